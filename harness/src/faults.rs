//! Carries out the faults of a scenario and records when they happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::result::FaultRecord;
use scenarios::{Fault, FaultKind};
use world::time::{self, Instant};
use world::{host, task};

/// The faults of a run: those that have happened, and those that are going on.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Injected>>>);

#[derive(Debug)]
struct Injected {
    record: FaultRecord,
    healed: bool,
}

impl Faults {
    /// Schedules the faults, counted from now, the start of the load. A fault without an end lasts until
    /// [`Faults::heal_all`].
    pub fn schedule(&self, faults: &[Fault]) {
        let start = Instant::now();
        for fault in faults.iter().cloned() {
            let faults = self.clone();
            task::spawn(async move {
                time::sleep_until(start + fault.at).await;
                let index = faults.inject(&fault);
                if let Some(duration) = fault.for_ {
                    time::sleep(duration).await;
                    faults.heal(index);
                }
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Injected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inject(&self, fault: &Fault) -> usize {
        match fault.kind {
            FaultKind::Crash => hosts(&fault.on).for_each(host::Host::crash),
        }
        let now_s = now().as_secs_f64();
        let kind = fault.kind.name().to_owned();
        let record = FaultRecord { kind, from_s: now_s, to_s: now_s, on: fault.on.clone() };
        let mut injected = self.lock();
        injected.push(Injected { record, healed: false });
        injected.len() - 1
    }

    fn heal(&self, index: usize) {
        let mut injected = self.lock();
        let going_on = injected.get_mut(index).filter(|fault| !fault.healed);
        let Some(fault) = going_on else { return };
        fault.healed = true;
        fault.record.to_s = now().as_secs_f64();
        let on = fault.record.on.clone();
        // A host that two faults hold down stays down until the later one ends.
        let held: Vec<&String> = injected.iter().filter(|f| !f.healed).flat_map(|f| &f.record.on).collect();
        let free: Vec<String> = on.into_iter().filter(|name| !held.contains(&name)).collect();
        drop(injected);
        hosts(&free).for_each(host::Host::boot);
    }

    /// Ends every fault that is still going on.
    pub fn heal_all(&self) {
        let count = self.lock().len();
        (0..count).for_each(|index| self.heal(index));
    }

    /// What has happened, in order of time.
    pub fn records(&self) -> Vec<FaultRecord> {
        self.lock().iter().map(|fault| fault.record.clone()).collect()
    }
}

/// The hosts of these names; the scenario was checked against the system's hosts.
fn hosts(names: &[String]) -> impl Iterator<Item = host::Host> {
    names.iter().filter_map(|name| host::find(name))
}

fn now() -> Duration {
    Instant::now().since_start()
}
