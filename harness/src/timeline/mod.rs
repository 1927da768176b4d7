//! How a run went over its time: watched while it goes, cut into windows afterwards, the file `timeline.json`.
//!
//! Watching disturbs nothing: it sets no timer and draws nothing. Whoever happens to come by (a client who asks or is
//! answered, the director who waits for rest) looks at the gauges when the next look is due, so that a run has the same
//! fingerprint with and without.
//!
//! | to find | look in |
//! | --- | --- |
//! | when to look, and what was seen | [`samples`] |
//! | windows: how wide, and what belongs into which | [`windows`] |
//! | which host stands where | [`hosts`] |
//! | what led to a violation | [`stories`] |

mod hosts;
mod samples;
pub mod stories;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use record::history::{History, Operation, Outcome};
use record::timeline::{FailoverRecord, LostOperation, SCHEMA, Timeline};
use world::host::Host;
use world::{cpu, net, sim};

use self::hosts::Topology;
use self::samples::{Sample, Samples};
pub use self::windows::Windows;
use crate::faults::Faults;
use crate::lock;
use crate::rehearsal::{Played, Request};
use crate::system::{Conclusion, Failover, Instruments, LostWrite, Production};

/// Watches one run, for people while it goes and for its report afterwards. Clones watch the same run.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    live: Live,
    seen: Mutex<Seen>,
}

/// The figures of a run that goes on, readable from other threads.
#[derive(Debug, Default)]
pub struct Live {
    offered: AtomicU64,
    answered: AtomicU64,
    resting: AtomicBool,
    faults: Mutex<Vec<String>>,
    violated: Mutex<Option<String>>,
}

/// What was seen of a run.
#[derive(Debug, Default)]
struct Seen {
    samples: Samples,
    topology: Topology,
    load_until: Duration,
    failovers: Vec<Failover>,
    lost: Vec<LostWrite>,
}

impl Live {
    /// Operations that clients have asked for so far.
    pub fn offered(&self) -> u64 {
        self.offered.load(Ordering::Relaxed)
    }

    /// Operations that have been answered so far: acknowledged, or a clear no.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Is the load over, and does the system come to rest?
    pub fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }

    /// The faults that are going on: `crash order-1`.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    /// The first invariant that was seen to be violated.
    pub fn violated(&self) -> Option<String> {
        lock(&self.violated).clone()
    }

    fn count(&self, operation: &Operation) {
        match operation.outcome {
            None => _ = self.offered.fetch_add(1, Ordering::Relaxed),
            Some(Outcome::Ok | Outcome::Refused) => _ = self.answered.fetch_add(1, Ordering::Relaxed),
            Some(Outcome::Failed | Outcome::Unknown) => {}
        }
    }
}

impl Watch {
    /// The figures of the run as it goes on.
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.0.seen)
    }

    /// When the load of the run that was watched ended, since its start.
    pub fn load_until(&self) -> Duration {
        self.seen().load_until
    }

    /// The share of its cores' time that each host worked from one moment since the start to another, by its name; hosts
    /// that were given no work are not in it.
    pub fn busy(&self, from: Duration, to: Duration) -> BTreeMap<String, f64> {
        let seen = self.seen();
        let busy = seen.samples.busy_between(from, to);
        seen.topology.names().filter_map(|(host, name)| Some((name.to_owned(), *busy.get(&host)?))).collect()
    }

    /// The timeline of the run that was watched, without its stories. `size` and `replay` as the timeline has them.
    pub fn timeline(&self, request: &Request, played: &Played, size: &str, replay: &str) -> Timeline {
        let seen = self.seen();
        let windows = Windows::of_run(played);
        let settings = request.scenario.settings.iter();
        let mut gauges = seen.samples.gauges(&windows);
        gauges.retain(|gauge| gauge.values.iter().flatten().any(|value| *value != 0.0));
        gauges.sort_by(|a, b| a.group.cmp(&b.group));
        Timeline {
            schema: SCHEMA,
            about: request.scenario.about.clone(),
            size: size.to_owned(),
            replay: replay.to_owned(),
            load_until_s: seen.load_until.as_secs_f64(),
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_string())).collect(),
            window_s: windows.width().as_secs_f64(),
            windows: windows.count(),
            operations: played.history.with_operations(|operations| windows.operations(operations)),
            gauges,
            hosts: seen.topology.hosts(&seen.samples.busy(&windows)),
            links: seen.topology.links(),
            failovers: seen.failovers.iter().map(failover).collect(),
            lost: played.history.with_operations(|operations| lost(&seen.lost, operations)),
            stories: Vec::new(),
            tables: played.tables.clone(),
        }
    }
}

fn failover(failover: &Failover) -> FailoverRecord {
    FailoverRecord { at_s: failover.at.as_secs_f64(), host: failover.host.clone() }
}

/// Acknowledged operations whose effect is missing, by time of the loss.
fn lost(lost: &[LostWrite], operations: &[Operation]) -> Vec<LostOperation> {
    let name = |write: &LostWrite| {
        let operation = usize::try_from(write.operation.0).ok().and_then(|index| operations.get(index));
        operation.map(|operation| operation.name.to_owned()).unwrap_or_default()
    };
    let told = lost.iter().map(|write| LostOperation {
        operation: write.operation.0,
        name: name(write),
        subject: write.subject.clone(),
        acknowledged_s: write.acknowledged.as_secs_f64(),
        lost_s: write.lost.as_secs_f64(),
    });
    let mut told: Vec<LostOperation> = told.collect();
    told.sort_by(|a, b| a.lost_s.total_cmp(&b.lost_s).then(a.operation.cmp(&b.operation)));
    told
}

/// Looks at a run from inside its simulation, when a look is due; clones are the same.
#[derive(Clone)]
pub(crate) struct Watcher(Arc<Mutex<Looking>>);

struct Looking {
    watch: Watch,
    instruments: Instruments,
    faults: Faults,
    /// Operations that are under way.
    under_way: u64,
}

impl Watcher {
    /// Watches from now on.
    pub(crate) fn begin(
        watch: &Watch,
        production: &dyn Production,
        history: &History,
        faults: &Faults,
    ) -> Watcher {
        let looking = Looking {
            watch: watch.clone(),
            instruments: production.instruments(),
            faults: faults.clone(),
            under_way: 0,
        };
        let watcher = Watcher(Arc::new(Mutex::new(looking)));
        let observing = watcher.clone();
        history.observe(Box::new(move |operation| observing.lock().on_operation(operation)));
        watcher.look();
        watcher
    }

    fn lock(&self) -> MutexGuard<'_, Looking> {
        lock(&self.0)
    }

    /// Looks, if a look is due.
    pub(crate) fn look(&self) {
        self.lock().look(false);
    }

    /// The load is over and everything is healed.
    pub(crate) fn load_ended(&self) {
        let looking = self.lock();
        looking.watch.seen().load_until = sim::elapsed();
        looking.watch.live().resting.store(true, Ordering::Relaxed);
    }

    /// The run is over: a last look, and what can be told at the end only. `clients` are the hosts that customers
    /// acted from.
    pub(crate) fn end(&self, clients: &BTreeSet<Host>, conclusion: &Conclusion) {
        let mut looking = self.lock();
        looking.look(true);
        let mut seen = looking.watch.seen();
        seen.failovers.clone_from(&conclusion.failovers);
        seen.lost.clone_from(&conclusion.lost);
        seen.topology = Topology::of(clients, &net::traffic());
    }
}

impl Looking {
    fn on_operation(&mut self, operation: &Operation) {
        self.watch.live().count(operation);
        match operation.outcome {
            None => self.under_way += 1,
            Some(_) => self.under_way -= 1,
        }
        self.look(false);
    }

    fn look(&mut self, is_last: bool) {
        let now = sim::elapsed();
        if !is_last && !self.watch.seen().samples.is_due(now) {
            return;
        }
        let busy = cpu::usages().into_iter().map(|(host, usage)| {
            let cores = usage.cores as f64;
            (host, usage.busy.as_secs_f64() / cores)
        });
        let sample = Sample {
            at: now,
            under_way: self.under_way,
            delivered: net::delivered(),
            busy: busy.collect(),
            readings: (self.instruments.gauges)(),
        };
        self.watch.seen().samples.add(sample);
        let live = self.watch.live();
        *lock(&live.faults) = self.faults.going_on();
        let mut violated = lock(&live.violated);
        if violated.is_none() {
            *violated = (self.instruments.violated)();
        }
    }
}

/// Of hosts, the share of their cores' time that was worked, by window.
type Busy = BTreeMap<Host, Vec<f64>>;
