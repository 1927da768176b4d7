//! Everything that a run can set: what is on sale, where the services live, and the numbers of the rules.
use std::{collections::BTreeMap, time::Duration};

use wire::redis::Durability;

use crate::{
    domain::{Class, Trip},
    shards::Shards,
    timetable::TrainRun,
};

/// Port on which every service answers.
pub const SERVICE_PORT: u16 = 80;

/// The services, each on its own hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Authentication and rate limits; the only one that buyers reach.
    Gateway,
    /// Admission queue and order state machine.
    Order,
    /// Stock of segments.
    Inventory,
    /// Concrete seats.
    Seat,
    /// Payments, callbacks of the bank, refunds.
    Payment,
    /// Ticket numbers, compensation.
    Ticketing,
}

impl Service {
    /// All of them, from the buyer inwards.
    pub const ALL: &[Service] = &[
        Service::Gateway,
        Service::Order,
        Service::Inventory,
        Service::Seat,
        Service::Payment,
        Service::Ticketing,
    ];

    /// The name, which the names of its hosts begin with.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Gateway => "gateway",
            Service::Order => "order",
            Service::Inventory => "inventory",
            Service::Seat => "seat",
            Service::Payment => "payment",
            Service::Ticketing => "ticketing",
        }
    }
}

/// Where Redis is. Addresses are "host:port".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisAddress {
    /// One server.
    Server(String),
    /// The cluster that these nodes belong to.
    Cluster(Vec<String>),
}

/// Where everything lives.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Instances of each service, at least 1; a service that is not named has [`Topology::INSTANCES`].
    pub instances: BTreeMap<Service, usize>,
    /// Where Redis is.
    pub redis: RedisAddress,
    /// Address of the bank's payment gateway, "host:port".
    pub bank: String,
}

impl Topology {
    /// Instances of a service unless told otherwise.
    pub const INSTANCES: usize = 2;

    /// Number of instances of a service.
    pub fn instances(&self, service: Service) -> usize {
        self.instances.get(&service).copied().unwrap_or(Topology::INSTANCES).max(1)
    }

    /// Name of a host; instances count from 1.
    pub fn host(service: Service, instance: usize) -> String {
        format!("{}-{instance}", service.name())
    }

    /// Hosts of a service.
    pub fn hosts(&self, service: Service) -> Vec<String> {
        (1..=self.instances(service)).map(|instance| Topology::host(service, instance)).collect()
    }

    /// Addresses of a service, "host:port", in the order of its hosts.
    pub fn addresses(&self, service: Service) -> Vec<String> {
        self.hosts(service).into_iter().map(|host| format!("{host}:{SERVICE_PORT}")).collect()
    }
}

impl Default for Topology {
    fn default() -> Topology {
        Topology {
            instances: BTreeMap::new(),
            redis: RedisAddress::Server("redis-1:6379".to_owned()),
            bank: "bank-1:80".to_owned(),
        }
    }
}

/// The seats of one class of a train run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassOnSale {
    /// The class.
    pub class: Class,
    /// Seats of the class, which is the stock of each segment.
    pub seats: u32,
    /// Price of a seat on one segment, in fen.
    pub price_per_segment_fen: u64,
}

/// A train run and what is sold of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOnSale {
    /// The train.
    pub train: TrainRun,
    /// Its classes, each at most once.
    pub classes: Vec<ClassOnSale>,
}

impl RunOnSale {
    /// Number of segments.
    pub fn segments(&self) -> u32 {
        u32::try_from(self.train.segments()).unwrap_or(u32::MAX)
    }

    /// What is sold of a class, if it exists on this train.
    pub fn class(&self, class: Class) -> Option<&ClassOnSale> {
        self.classes.iter().find(|on_sale| on_sale.class == class)
    }
}

/// What is on sale: fixed for a run.
#[derive(Debug, Clone, Default)]
pub struct Sale {
    runs: Vec<RunOnSale>,
    /// Position in `runs` by id.
    by_id: BTreeMap<String, usize>,
}

impl Sale {
    /// A sale of these runs; the order is kept. Of runs with the same id only the first can be found.
    pub fn new(runs: Vec<RunOnSale>) -> Sale {
        let mut by_id = BTreeMap::new();
        for (position, run) in runs.iter().enumerate() {
            by_id.entry(run.train.id.clone()).or_insert(position);
        }
        Sale { runs, by_id }
    }

    /// The runs, in the order given.
    pub fn runs(&self) -> &[RunOnSale] {
        &self.runs
    }

    /// The run with this id.
    pub fn run(&self, id: &str) -> Option<&RunOnSale> {
        self.position(id).and_then(|position| self.runs.get(position))
    }

    /// Position in [`Sale::runs`] of the run with this id.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// What is sold of the class that a trip is in.
    ///
    /// # Errors
    /// [`NotOnSale`] when the trip cannot be made.
    pub fn class_for(&self, trip: &Trip) -> Result<&ClassOnSale, NotOnSale> {
        let run = self.run(&trip.run).ok_or(NotOnSale::Run)?;
        let class = run.class(trip.class).ok_or(NotOnSale::Class(trip.class))?;
        if trip.from < trip.to && trip.to <= run.segments() {
            Ok(class)
        } else {
            Err(NotOnSale::Trip { from: trip.from, to: trip.to, last: run.segments() })
        }
    }
}

/// Why there are no tickets for a trip, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOnSale {
    /// The train does not run, or is not on sale.
    #[error("there is no such train on sale")]
    Run,
    /// The train has no such class.
    #[error("the train has no {0} class")]
    Class(Class),
    /// The trip does not go from an earlier to a later station of the train.
    #[error("no trip from station {from} to station {to} on a train with stations 0 to {last}")]
    Trip {
        /// Station index where it should begin.
        from: u32,
        /// Station index where it should end.
        to: u32,
        /// Index of the last station of the train.
        last: u32,
    },
}

/// The admission queue (ticketing spec, admission queue).
#[derive(Debug, Clone)]
pub struct QueueRules {
    /// Most that wait per train run.
    pub waiting_max: u64,
    /// Part of what remains that leaves per second, 0 to 1.
    pub share_per_second: f64,
    /// Most that leave per second.
    pub leave_per_second_max: f64,
    /// Who would wait longer is offered standby.
    pub wait_max: Duration,
    /// Life of a queue token.
    pub token_life: Duration,
}

impl Default for QueueRules {
    fn default() -> QueueRules {
        QueueRules {
            waiting_max: 50_000,
            share_per_second: 0.02,
            leave_per_second_max: 2_000.0,
            wait_max: Duration::from_secs(60),
            token_life: Duration::from_secs(15 * 60),
        }
    }
}

/// Limit of requests, per account and per device (ticketing spec, gateway).
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Requests per second that can be kept up, more than 0 and at most [`RateLimit::MAX_PER_SECOND`].
    pub per_second: f64,
    /// Requests that can be made at once after a pause.
    pub burst: u32,
}

impl RateLimit {
    /// The buckets count in ms.
    pub const MAX_PER_SECOND: f64 = 1000.0;

    /// Full ms until a token comes back: rather one more, so that the limit is never exceeded.
    pub fn token_ms(&self) -> i64 {
        (1000.0 / self.per_second).ceil() as i64
    }
}

impl Default for RateLimit {
    fn default() -> RateLimit {
        RateLimit { per_second: 3.0, burst: 10 }
    }
}

/// How long each call may take. An inner call has less time than the outer one, so that it is the inner one that
/// gives up first and the outer one can still say so.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Gateway to service, for a request that changes something.
    pub write: Duration,
    /// Gateway to service, for a request that only reads.
    pub read: Duration,
    /// Service to service.
    pub internal: Duration,
    /// Service to service, when the other one has to ask the bank.
    pub internal_with_bank: Duration,
    /// Payment service to bank (ticketing spec, third-party budgets: 3 s).
    pub bank: Duration,
    /// Connecting to Redis.
    pub redis_connect: Duration,
    /// A command to Redis.
    pub redis: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            write: Duration::from_secs(8),
            read: Duration::from_secs(2),
            internal: Duration::from_secs(2),
            internal_with_bank: Duration::from_secs(4),
            bank: Duration::from_secs(3),
            redis_connect: Duration::from_millis(500),
            redis: Duration::from_secs(1),
        }
    }
}

/// How persisted work is done again after it failed.
#[derive(Debug, Clone)]
pub struct WorkRules {
    /// How often each instance looks for work that is due in a list, in one of the shards after the other.
    pub sweep_every: Duration,
    /// Most pieces of work that an instance takes from one list at a time.
    pub batch: usize,
    /// How long a piece of work belongs to the one who took it; afterwards it is due again, for anybody. Longer
    /// than doing it takes.
    pub lease: Duration,
    /// Wait before the second try; each further wait is twice as long (ticketing spec, payment callbacks: 1 s).
    pub retry_first: Duration,
    /// Retries after which a payment goes to the dead letters (ticketing spec, payment callbacks: 8).
    pub retries_max: u32,
    /// Wait between two tries of all other work, which is never given up.
    pub retry_steady: Duration,
    /// How long after its creation the bank is asked about a payment that it has sent no news of, and how often
    /// afterwards.
    pub watch_after: Duration,
}

impl WorkRules {
    /// Wait after the given number of failed tries, at least 1: 1, 2, 4, 8… times [`WorkRules::retry_first`].
    pub fn retry_after(&self, failed: u32) -> Duration {
        self.retry_first.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1).min(16)))
    }
}

impl Default for WorkRules {
    fn default() -> WorkRules {
        WorkRules {
            sweep_every: Duration::from_millis(500),
            batch: 64,
            lease: Duration::from_secs(8),
            retry_first: Duration::from_secs(1),
            retries_max: 8,
            retry_steady: Duration::from_secs(2),
            watch_after: Duration::from_secs(10),
        }
    }
}

/// Everything that the services need to know; the same on all hosts.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is on sale.
    pub sale: Sale,
    /// Where everything lives.
    pub topology: Topology,
    /// How many replicas must have what an answer of Redis rests on before a service believes it, and how long they may
    /// take; `None`: what the master says is enough.
    pub durability: Option<Durability>,
    /// The parts that the data in Redis is divided into; the same for as long as the data is there.
    pub shards: Shards,
    /// Time to pay, from the submission of the order. Short, so that a rehearsal sees the deadline pass.
    pub pay_within: Duration,
    /// Time to place an order (take stock and seat); it is given up when nobody has finished it by then. Must be
    /// longer than [`Timeouts::write`] and shorter than `pay_within`.
    pub place_within: Duration,
    /// How long after the payment deadline the lock of a seat expires. The order frees its seats itself; this is
    /// the second line, and it leaves a paid order time to be ticketed.
    pub seat_lock_grace: Duration,
    /// How long the outcome of an idempotency key is kept (ticketing spec, idempotency: 7 days).
    pub idempotency_kept: Duration,
    /// The admission queue.
    pub queue: QueueRules,
    /// Limit of requests.
    pub rate_limit: RateLimit,
    /// How long calls may take.
    pub timeouts: Timeouts,
    /// How persisted work is done.
    pub work: WorkRules,
    /// How long an instance's processor works for a request before it handles it, whatever is asked and whoever asks;
    /// zero: none.
    pub request_work: Duration,
    /// Part of the paid orders, 0 to 1, that railway operations refuse to ticket: these are compensated.
    pub ticket_refusals: f64,
    /// Secret that signs the tokens of buyers.
    pub token_secret: String,
    /// Secret that the bank signs its callbacks with.
    pub callback_secret: String,
}

impl Config {
    /// A sale with the default of every other setting.
    pub fn new(sale: Sale) -> Config {
        Config { sale, ..Config::default() }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sale: Sale::default(),
            topology: Topology::default(),
            durability: None,
            shards: Shards::default(),
            pay_within: Duration::from_secs(45),
            place_within: Duration::from_secs(12),
            seat_lock_grace: Duration::from_secs(30),
            idempotency_kept: Duration::from_secs(7 * 24 * 60 * 60),
            queue: QueueRules::default(),
            rate_limit: RateLimit::default(),
            timeouts: Timeouts::default(),
            work: WorkRules::default(),
            request_work: Duration::ZERO,
            ticket_refusals: 0.0,
            token_secret: "rehearsal-token-secret".to_owned(),
            callback_secret: "rehearsal-callback-secret".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_wait_1_2_4_8() {
        let rules = WorkRules::default();
        let waits: Vec<u64> = (1..=8).map(|failed| rules.retry_after(failed).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128]);
        assert!(rules.retry_after(u32::MAX) > Duration::ZERO);
    }

    #[test]
    fn hosts_count_from_1() {
        assert_eq!(Topology::default().addresses(Service::Order), ["order-1:80", "order-2:80"]);
    }
}
