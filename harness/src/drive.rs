//! The load: customers arrive by the scenario's rates, whether or not the system keeps up (an open model).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scenarios::{Journey, Rate};
use world::time::{self, Instant};

use crate::system::Production;

/// Counts customers: how many have come, and how many are still there.
#[derive(Debug, Clone, Default)]
pub struct Crowd {
    arrived: Arc<AtomicU64>,
    present: Arc<AtomicU64>,
}

/// Leaves the crowd when dropped: also when the customer's host crashes.
struct Presence(Arc<AtomicU64>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crowd {
    /// Customers who have arrived so far.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Customers who have not finished.
    pub fn present(&self) -> u64 {
        self.present.load(Ordering::Relaxed)
    }

    fn enter(&self) -> (u64, Presence) {
        self.present.fetch_add(1, Ordering::Relaxed);
        (self.arrived.fetch_add(1, Ordering::Relaxed), Presence(Arc::clone(&self.present)))
    }
}

/// When the next customers of one journey come.
struct Arrivals<'a> {
    rate: &'a Rate,
    /// Step of the rate, and how many customers of that step have been scheduled.
    step: usize,
    scheduled: u64,
    end: Duration,
}

impl Arrivals<'_> {
    /// The moment of the next arrival, since the start of the load.
    ///
    /// Each customer comes at a random moment of its own share of the step, 1/rate long: evenly spread, but not in
    /// lockstep.
    fn next(&mut self) -> Option<Duration> {
        loop {
            let steps = self.rate.steps();
            let (from, per_second) = *steps.get(self.step)?;
            let until = steps.get(self.step + 1).map_or(self.end, |(next, _)| (*next).min(self.end));
            let place = self.scheduled as f64 + world::rand::f64();
            let at = from.as_secs_f64() + place / per_second;
            if per_second > 0.0 && at < until.as_secs_f64() {
                self.scheduled += 1;
                return Some(Duration::from_secs_f64(at));
            }
            self.step += 1;
            self.scheduled = 0;
        }
    }
}

/// Sends customers of all journeys until `duration` is over.
pub async fn drive(
    production: &dyn Production,
    journeys: &BTreeMap<String, Journey>,
    duration: Duration,
    crowd: &Crowd,
) {
    let start = Instant::now();
    let mut sources: Vec<(Option<Duration>, Arrivals<'_>, &str, Option<Duration>)> = journeys
        .iter()
        .map(|(name, journey)| {
            let mut arrivals = Arrivals { rate: &journey.rate, step: 0, scheduled: 0, end: duration };
            (arrivals.next(), arrivals, name.as_str(), journey.patience)
        })
        .collect();
    // Few journeys: the earliest is found by looking at all.
    while let Some(source) =
        sources.iter_mut().filter(|source| source.0.is_some()).min_by_key(|source| source.0)
    {
        let (Some(at), arrivals, journey, patience) = (source.0, &mut source.1, source.2, source.3) else {
            break;
        };
        source.0 = arrivals.next();
        time::sleep_until(start + at).await;
        let (number, presence) = crowd.enter();
        let (host, customer) = production.customer(journey, number, patience);
        host.spawn(async move {
            let _presence = presence;
            customer.await;
        });
    }
    time::sleep_until(start + duration).await;
}
