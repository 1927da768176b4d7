//! What a system under rehearsal tells the harness. Implement [`System`] in a crate of your own, hand it to
//! [`crate::cli::main`], and the same commands rehearse your system.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use record::history::{History, OperationId};
use record::mutant::Mutant;
use record::result::InvariantResult;
use record::table::Table;
use scenarios::{Scenario, SystemVocabulary};
use world::host::Host;

/// A future that a production hands to the harness.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A system that can be rehearsed.
pub trait System: Sync {
    /// What scenario files may say about it: journeys, settings, hosts, operations, invariants.
    fn vocabulary(&self) -> SystemVocabulary;

    /// The mistakes planted in it.
    fn mutants(&self) -> &'static [Mutant];

    /// What the story of a run can be about (`--focus order=ID`), and what stands before its id where lines name it.
    fn focuses(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Hosts whose crash the design claims to survive: those that a swarm of faults may draw.
    fn survivable_hosts(&self) -> Vec<String>;

    /// Reads what the settings name, such as files. Runs outside the simulation, once per run.
    ///
    /// # Errors
    /// A sentence for the user: a setting names something that cannot be used.
    fn prepare(&self, scenario: &Scenario) -> Result<Box<dyn Production>, String>;
}

/// A system made ready for one run. All its methods are called inside the simulation, on the director's host.
pub trait Production: Send + Sync {
    /// Adds the hosts and brings the system to the moment before the load begins.
    ///
    /// # Errors
    /// A sentence: the system did not come up.
    fn stage(&mut self, history: &History) -> BoxFuture<Result<(), String>>;

    /// One customer of a journey, and the host that they act from. What they want and do they draw by `world::rand`,
    /// which draws by their number: leaving another one out does not change it.
    fn customer(&self, journey: &str, customer: Customer) -> (Host, BoxFuture<()>);

    /// What people may see of the system while it runs and afterwards; asked for once, when it is staged. Nothing by
    /// default.
    fn instruments(&self) -> Instruments {
        Instruments::default()
    }

    /// Is there nothing left to do for the system? Asked every second once the load is over and faults are healed.
    fn at_rest(&self) -> bool;

    /// What operators do when the system has come to rest, or has failed to: replay dead letters, for example. Was
    /// there anything to do? Then they look again once it has come to rest after that, a few times at most.
    fn wind_up(&self) -> BoxFuture<bool>;

    /// Checks what can only be checked at the end, and gives all results.
    fn conclude(&mut self) -> Conclusion;
}

/// What can be read off a system while it runs. Reading changes nothing: it sets no timer and draws nothing.
pub struct Instruments {
    /// The gauges, the same ones each time. Called up to a few thousand times in a run.
    pub gauges: Box<dyn FnMut() -> Vec<Reading> + Send>,
    /// The name of an invariant that has been violated, if one has.
    pub violated: Box<dyn FnMut() -> Option<String> + Send>,
}

impl Default for Instruments {
    fn default() -> Self {
        Instruments { gauges: Box::new(Vec::new), violated: Box::new(|| None) }
    }
}

/// What a gauge shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What belongs into one chart: `stock`.
    pub group: &'static str,
    /// Its name within the group: `remaining`.
    pub name: String,
    /// The unit that a report gives it: `seats`; of a total, the unit of its growth: `/s`.
    pub unit: &'static str,
    /// How the value is to be understood.
    pub kind: ReadingKind,
    /// What it shows.
    pub value: f64,
}

/// How the value of a gauge is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingKind {
    /// As it is.
    Level,
    /// As the sum of all so far, which never falls: a report shows its growth per second.
    Total,
}

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    /// Unique over all journeys of the run.
    pub number: u64,
    /// How long they try before they give up; `None`: as the system has it.
    pub patience: Option<Duration>,
    /// How many operations of the history they make before they leave; `None`: as many as they need.
    pub operations: Option<u64>,
}

/// What a run showed about the system.
#[derive(Debug, Clone, Default)]
pub struct Conclusion {
    /// The invariants, in the order in which people should read them.
    pub invariants: Vec<InvariantResult>,
    /// The system's own summary.
    pub tables: Vec<Table>,
    /// When the system noticed by itself that something was wrong, since the start of the simulation: a node held for
    /// failed, a breaker that opened, a health check that failed. Empty if nothing in it watches.
    pub noticed: Vec<Duration>,
    /// When another instance took over what one had served, in order of time.
    pub failovers: Vec<Failover>,
    /// What was acknowledged to customers and is not there any more, each once.
    pub lost: Vec<LostWrite>,
}

/// An instance takes over what another one has served: a replica becomes a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// When, since the start of the simulation.
    pub at: Duration,
    /// The host that serves it from then on.
    pub host: String,
}

/// An acknowledged write that the system does not have any more. Both times are since the start of the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostWrite {
    /// The operation that was acknowledged.
    pub operation: OperationId,
    /// What was written: the id of an order.
    pub subject: String,
    /// When the customer was told that it had happened.
    pub acknowledged: Duration,
    /// When it was gone, not earlier than acknowledged.
    pub lost: Duration,
}
