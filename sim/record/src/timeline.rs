//! `timeline.json`: how a run went over its time, on which hosts and between them; what a report draws and
//! `result.json` does not say. Latencies by window are in `latency.hlog`, an interval for each window and operation.
//!
//! Time is cut into windows of equal length. Window `i` covers the simulated seconds from `i · window_s` (included) to
//! `(i + 1) · window_s` (excluded); the last one covers the end of the run. All lists by window have one entry per
//! window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::story::Line;
use crate::table::Table;

/// The version of the shape of [`Timeline`].
pub const SCHEMA: u32 = 1;

/// How a run went over its time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// What the scenario shows, in its author's words; empty if it does not say.
    pub about: String,
    /// What was played: `full` or `hunt`.
    pub size: String,
    /// The shell line that replays the run.
    pub replay: String,
    /// When the load ended and all faults were healed, in simulated seconds since the start.
    pub load_until_s: f64,
    /// The settings in effect, as a scenario file or `--set` would write them.
    pub settings: BTreeMap<String, String>,
    /// Simulated seconds of a window.
    pub window_s: f64,
    /// How many windows there are.
    pub windows: usize,
    /// What clients asked for and were answered, by operation name.
    pub operations: BTreeMap<String, OperationSeries>,
    /// What was watched: stock, queues, the middleware, the network. What showed 0 all the time is left out.
    pub gauges: Vec<Gauge>,
    /// The hosts, by tier, and within one in the order in which the system added them.
    pub hosts: Vec<HostRecord>,
    /// Who talked to whom, by hosts; hosts that never did are not in it.
    pub links: Vec<LinkRecord>,
    /// When an instance took over what another one had served, in order of time.
    pub failovers: Vec<FailoverRecord>,
    /// Acknowledged operations whose effect is missing after recovery.
    pub lost: Vec<LostOperation>,
    /// What led to each violated invariant: all of it around the moment, as told by a second, identical run.
    pub stories: Vec<ViolationStory>,
    /// The system's own summary.
    pub tables: Vec<Table>,
}

impl Timeline {
    /// The text of `timeline.json`: on one line, with a line break at the end.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string(self);
        text.expect("a timeline has only string keys and cannot fail to be written as JSON") + "\n"
    }
}

/// The operations of one name, counted by window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSeries {
    /// Asked, by the window of the invocation: what was offered.
    pub invoked: Vec<u64>,
    /// Acknowledged, by the window of the completion, as all that follow.
    pub ok: Vec<u64>,
    /// A clear no.
    pub refused: Vec<u64>,
    /// An error that promises that nothing happened.
    pub failed: Vec<u64>,
    /// May or may not have happened. What never completed counts in the last window.
    pub unknown: Vec<u64>,
}

/// One quantity over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// What belongs into one chart: `stock`, `queue`, `orders`, `operations`, `redis`, `network`.
    pub group: String,
    /// Its name within the group: `remaining`.
    pub name: String,
    /// The unit: `seat segments`, `buyers`, `commands/s`, `bytes/s`.
    pub unit: String,
    /// The value at the end of each window, as it was seen last by then, or, of a rate, its mean over the window.
    /// `null` where it is not known.
    pub values: Vec<Option<f64>>,
}

/// A host of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name: `redis-a1`.
    pub name: String,
    /// What hosts of its kind are called: `redis`.
    pub role: String,
    /// How far it stands from the clients: 0 are the clients, 1 those whom they talk to, and so on. All are 0 where the
    /// engine does not tell who talks to whom.
    pub tier: u32,
    /// Messages that it was delivered.
    pub messages_in: u64,
    /// Bytes that it was delivered.
    pub bytes_in: u64,
    /// The share of its cores' time that was worked, by window, 0 to 1; empty if they were given no work.
    pub busy: Vec<f64>,
}

/// What one host sent to another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The name of the sender.
    pub from: String,
    /// The name of the receiver.
    pub to: String,
    /// Messages that were delivered.
    pub messages: u64,
    /// Bytes that were delivered.
    pub bytes: u64,
}

/// An instance took over what another one had served: a replica became a master.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailoverRecord {
    /// When, in simulated seconds since the start.
    pub at_s: f64,
    /// The host that served it from then on.
    pub host: String,
}

/// An acknowledged operation whose effect is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostOperation {
    /// Its index in the history.
    pub operation: u64,
    /// What was asked for: `order.submit`.
    pub name: String,
    /// What it is about: an order.
    pub subject: String,
    /// When it was acknowledged, in simulated seconds since the start.
    pub acknowledged_s: f64,
    /// When its effect was gone, in simulated seconds since the start.
    pub lost_s: f64,
}

/// What led to a violation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViolationStory {
    /// The invariant.
    pub invariant: String,
    /// What happened, in order.
    pub lines: Vec<Line>,
}
