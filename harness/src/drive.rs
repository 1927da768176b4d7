//! The load: customers arrive by the scenario's rates or one by one, whether or not the system keeps up (an open
//! model).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scenarios::{Arrival, Journey, Rate};
use world::host::Host;
use world::time::{self, Instant};

use crate::system::{Customer, Production};

/// The customers: who has come, and how many are still there.
#[derive(Debug, Clone, Default)]
pub struct Crowd(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    present: u64,
    arrived: Vec<Arrived>,
    /// Where customers acted from.
    hosts: BTreeSet<Host>,
}

/// A customer who has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// What they do.
    pub journey: String,
    /// Since the start of the load.
    pub at: Duration,
    /// Which customer it is.
    pub number: u64,
    /// How many operations they make before they leave; `None`: as many as they need.
    pub operations: Option<u64>,
}

/// Leaves the crowd when dropped: also when the customer's host crashes.
struct Presence(Crowd);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.lock().present -= 1;
    }
}

impl Crowd {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        crate::lock(&self.0)
    }

    /// Customers who have arrived so far.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.lock().arrived.clone()
    }

    /// Customers who have not finished.
    pub fn present(&self) -> u64 {
        self.lock().present
    }

    /// The hosts that customers have acted from so far.
    pub fn hosts(&self) -> BTreeSet<Host> {
        self.lock().hosts.clone()
    }

    fn enter(&self, arrived: Arrived) -> Presence {
        let mut counted = self.lock();
        counted.present += 1;
        counted.arrived.push(arrived);
        Presence(self.clone())
    }
}

/// When the next customers of one journey come.
enum Arrivals<'a> {
    Rate(Drawn<'a>),
    Listed(std::slice::Iter<'a, Arrival>),
}

impl Arrivals<'_> {
    fn next(&mut self) -> Option<Arrival> {
        match self {
            Arrivals::Rate(drawn) => drawn.next().map(Arrival::at),
            Arrivals::Listed(listed) => listed.next().copied(),
        }
    }
}

/// Arrivals that are drawn by a rate.
struct Drawn<'a> {
    rate: &'a Rate,
    /// Step of the rate, and how many customers of that step have been scheduled.
    step: usize,
    scheduled: u64,
    end: Duration,
}

impl Drawn<'_> {
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
///
/// Each draws from a generator of their own, by their number: one customer less leaves the others as they are.
pub async fn drive(
    production: &dyn Production,
    journeys: &BTreeMap<String, Journey>,
    duration: Duration,
    crowd: &Crowd,
) {
    let start = Instant::now();
    let mut numbers = Numbers::of(journeys);
    let mut sources: Vec<(Option<Arrival>, Arrivals<'_>, &str, Option<Duration>)> = journeys
        .iter()
        .map(|(name, journey)| {
            let mut arrivals = match &journey.arrivals {
                scenarios::Arrivals::Rate(rate) => {
                    Arrivals::Rate(Drawn { rate, step: 0, scheduled: 0, end: duration })
                }
                scenarios::Arrivals::Listed(listed) => Arrivals::Listed(listed.iter()),
            };
            (arrivals.next(), arrivals, name.as_str(), journey.patience)
        })
        .collect();
    // Few journeys: the earliest is found by looking at all.
    while let Some(source) = sources
        .iter_mut()
        .filter(|source| source.0.is_some())
        .min_by_key(|source| source.0.map(|arrival| arrival.at))
    {
        let (Some(arrival), arrivals, journey, patience) = (source.0, &mut source.1, source.2, source.3)
        else {
            break;
        };
        source.0 = arrivals.next();
        time::sleep_until(start + arrival.at).await;
        let number = arrival.customer.unwrap_or_else(|| numbers.next());
        let operations = arrival.operations;
        let presence =
            crowd.enter(Arrived { journey: journey.to_owned(), at: arrival.at, number, operations });
        let customer = Customer { number, patience, operations };
        let (host, customer) = production.customer(journey, customer);
        crowd.lock().hosts.insert(host);
        host.spawn(async move {
            let _presence = presence;
            world::rand::scope(&format!("customer {number}"), customer).await;
        });
    }
    time::sleep_until(start + duration).await;
}

/// Numbers for customers who have none: those that no other one has, from 0.
struct Numbers {
    taken: BTreeSet<u64>,
    next: u64,
}

impl Numbers {
    fn of(journeys: &BTreeMap<String, Journey>) -> Self {
        let listed = journeys.values().filter_map(|journey| match &journey.arrivals {
            scenarios::Arrivals::Listed(listed) => Some(listed),
            scenarios::Arrivals::Rate(_) => None,
        });
        Self { taken: listed.flatten().filter_map(|arrival| arrival.customer).collect(), next: 0 }
    }

    fn next(&mut self) -> u64 {
        while self.taken.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        self.next - 1
    }
}
