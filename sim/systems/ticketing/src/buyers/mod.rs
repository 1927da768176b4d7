//! The buyers: who comes to the sale, what they want, and what they do until they have a ticket or leave.
//!
//! - [`profile`]: how people behave: shares of those who look first, leave, cancel, pay late, try twice.
//! - `demand`: what they want: hot trains, long trips, company.
//! - `buy`: the journey of a buyer, from the first look to the ticket.
//! - `query`: the journey of somebody who only looks.
//! - `browser`: sends requests, records each as an operation of the history.
//! - [`tally`]: how it ended for them, by train run.
//!
//! Buyers record what they observe and judge nothing: the checks compare the history with the stores.
mod browser;
mod buy;
mod demand;
pub mod profile;
mod query;
pub mod tally;
#[cfg(test)]
mod tests;

pub use profile::Profile;
pub use tally::Tally;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use record::history::History;
use tokio::sync::oneshot;

use crate::Config;
use browser::Browser;
use demand::Demand;

/// Journeys that buyers make, by the names that scenarios use.
pub const JOURNEYS: &[&str] = &["buy", "query"];

/// Operations that buyers record in the history.
pub mod operation {
    /// Looks how many tickets are left for a trip.
    pub const REMAINING: &str = "train.remaining";
    /// Takes a place in the queue of a train.
    pub const JOIN: &str = "queue.join";
    /// Looks whether it is their turn.
    pub const POLL: &str = "queue.poll";
    /// Submits an order.
    pub const SUBMIT: &str = "order.submit";
    /// Looks how an order stands.
    pub const STATUS: &str = "order.status";
    /// Cancels an unpaid order.
    pub const CANCEL: &str = "order.cancel";
    /// Asks for the payment of an order.
    pub const CREATE_PAYMENT: &str = "payment.create";
    /// Pays at the bank.
    pub const PAY: &str = "payment.pay";

    /// All of them.
    pub const ALL: &[&str] = &[REMAINING, JOIN, POLL, SUBMIT, STATUS, CANCEL, CREATE_PAYMENT, PAY];
}

/// All buyers of a run. Clones share the tally.
#[derive(Debug, Clone)]
pub struct Buyers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    gateways: Vec<String>,
    history: History,
    profile: Profile,
    demand: Demand,
    tally: Mutex<BTreeMap<String, Tally>>,
}

/// Who comes, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Unique among all journeys of the run: the process of the history, which makes the account and the device.
    pub buyer: u64,
    /// How long the buyer tries to get an order, [`Profile::patience`] unless given; who has one sees it through.
    pub patience: Option<Duration>,
    /// How many operations of the history the buyer makes: who would make another one leaves instead.
    pub operations: Option<u64>,
}

impl Buyers {
    /// Buyers who come to the sale of `config` and record what they do in `history`.
    pub fn new(config: Arc<Config>, history: History, profile: Profile) -> Buyers {
        let gateways = config.topology.addresses(crate::config::Service::Gateway);
        let demand = Demand::new(&config.sale, &profile);
        let tally = config.sale.runs().iter().map(|run| (run.train.id.clone(), Tally::default())).collect();
        let shared = Shared { config, gateways, history, profile, demand, tally: Mutex::new(tally) };
        Buyers { shared: Arc::new(shared) }
    }

    /// One buyer, from arrival to ticket or departure, as a task of the current host.
    pub async fn journey_buy(self, visit: Visit) {
        let patience = visit.patience.unwrap_or(self.shared.profile.patience);
        let (leave, left) = oneshot::channel();
        let mut browser = Browser::new(&self.shared, visit, leave);
        tokio::select! {
            biased;
            () = buy::journey(&self.shared, &mut browser, patience) => {}
            Ok(()) = left => {}
        }
    }

    /// Somebody who looks at a few trains and leaves.
    pub async fn journey_query(self, visit: Visit) {
        let patience = visit.patience.unwrap_or(self.shared.profile.patience);
        let (leave, left) = oneshot::channel();
        let mut browser = Browser::new(&self.shared, visit, leave);
        tokio::select! {
            biased;
            () = query::journey(&self.shared, &mut browser, patience) => {}
            Ok(()) = left => {}
        }
    }

    /// How it has ended so far, by the id of the train run.
    pub fn tally(&self) -> BTreeMap<String, Tally> {
        self.shared.tally().clone()
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, BTreeMap<String, Tally>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something for a train run.
    fn count(&self, run: &str, count: impl FnOnce(&mut Tally)) {
        count(self.tally().entry(run.to_owned()).or_default());
    }
}

/// Waits for a time between half and one and a half of `about`, so that buyers do not move in step.
async fn pause(about: Duration) {
    world::time::sleep(about.mul_f64(0.5 + world::rand::f64())).await;
}
