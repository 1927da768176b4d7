//! `result.json`, schema 1: what people and programs can rely on. A change of its shape is a new schema number.
//!
//! The fields stand here in the order in which they are written. Maps are ordered, and seconds are rounded to
//! microseconds, so that equal runs give equal bytes. Seconds that are not a number are written as `null`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of the shape of [`RunResult`].
pub const SCHEMA: u32 = 1;

/// The verdict of a run and the figures behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The name of the scenario: `ticketing/peak`.
    pub scenario: String,
    /// The system under test: `ticketing`.
    pub system: String,
    /// What the run was played on: `kernel`.
    pub engine: String,
    /// What all randomness of the run was drawn from.
    pub seed: u64,
    /// The planted bugs that were switched on.
    pub mutants: Vec<String>,
    /// 32 hex digits over every scheduling choice, timer, delivery and fault: equal runs have equal ones.
    pub fingerprint: String,
    /// How the run ended.
    pub verdict: Verdict,
    /// Simulated seconds from the start to rest.
    #[serde(with = "seconds")]
    pub simulated_s: f64,
    /// Seconds of the wall clock that it took: the only field that differs between equal runs.
    #[serde(with = "seconds")]
    pub wall_s: f64,
    /// Messages delivered by the simulated network.
    pub messages: u64,
    /// Counts and latencies by operation name.
    pub operations: BTreeMap<String, OperationStats>,
    /// The invariants that were checked.
    pub invariants: Vec<InvariantResult>,
    /// The faults that were injected, by time.
    pub faults: Vec<FaultRecord>,
    /// How the system recovered from faults.
    pub recovery: Vec<Recovery>,
    /// The limits on latency, and what was observed.
    pub service_levels: Vec<ServiceLevel>,
    /// How often the run came by the places that a scenario wants to reach.
    pub coverage: Vec<Coverage>,
}

/// How a run ended, from the point of view of its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every invariant held and every service level was met.
    Held,
    /// An invariant was violated.
    Violated,
    /// Every invariant held, but a service level was missed.
    Slow,
    /// The run proves nothing: the load generator was saturated, or the engine diverged.
    Invalid,
}

/// Counts by outcome and latencies of the operations of one name. Without operations the latencies are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStats {
    /// Acknowledged.
    pub ok: u64,
    /// A clear no: sold out, rate limited.
    pub refused: u64,
    /// An error that promises that nothing happened.
    pub failed: u64,
    /// A timeout, a lost connection or no completion: may or may not have happened.
    pub unknown: u64,
    /// The median latency in microseconds.
    pub p50_us: u64,
    /// The latency in microseconds that 95 % stay within.
    pub p95_us: u64,
    /// The latency in microseconds that 99 % stay within.
    pub p99_us: u64,
    /// The latency in microseconds that 99.9 % stay within.
    pub p999_us: u64,
    /// The longest latency in microseconds.
    pub max_us: u64,
}

/// One invariant over the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InvariantResult {
    /// Its name: `zero-oversell`.
    pub name: String,
    /// Whether every check of it held.
    pub held: bool,
    /// How often it was checked; 0 means that nothing is known.
    pub checks: u64,
    /// The first check that failed.
    pub first_violation: Option<Violation>,
}

/// A failed check of an invariant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// When, in simulated seconds since the start.
    #[serde(with = "seconds")]
    pub at_s: f64,
    /// What was wrong, in one sentence.
    pub what: String,
    /// The operations that lead to it, as indices into the history.
    pub operations: Vec<u64>,
}

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Its kind: `crash`, `partition`.
    pub kind: String,
    /// When it began, in simulated seconds since the start.
    #[serde(with = "seconds")]
    pub from_s: f64,
    /// When it was healed, in simulated seconds since the start.
    #[serde(with = "seconds")]
    pub to_s: f64,
    /// The hosts it was on.
    pub on: Vec<String>,
}

/// How the system came back from one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// The fault, as an index into [`RunResult::faults`].
    pub fault: u64,
    /// When the system noticed, in simulated seconds since the start; `null` if it never did.
    #[serde(with = "optional_seconds")]
    pub detected_s: Option<f64>,
    /// Recovery time: seconds from the fault until the operations that it touched succeed again at 95 % or more
    /// of the rate before it, for 10 s; `null` if they were not seen to.
    #[serde(with = "optional_seconds")]
    pub rto_s: Option<f64>,
    /// The limit on it; `null` if the scenario has none.
    #[serde(with = "optional_seconds")]
    pub rto_limit_s: Option<f64>,
    /// Data loss: the age in seconds, at the fault, of the oldest acknowledged write that is missing after
    /// recovery, or how long after the fault it was acknowledged; 0 if none is missing.
    #[serde(with = "seconds")]
    pub rpo_s: f64,
    /// The limit on it; `null` if the scenario has none.
    #[serde(with = "optional_seconds")]
    pub rpo_limit_s: Option<f64>,
    /// How many acknowledged writes are missing after recovery.
    pub lost_acknowledged: u64,
}

/// A limit on a latency, and what was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLevel {
    /// Operation and percentile: `order.submit p95`.
    pub name: String,
    /// The limit in microseconds.
    pub limit_us: u64,
    /// What was observed, in microseconds.
    pub observed_us: u64,
    /// Whether the observed latency stays within the limit.
    pub met: bool,
}

/// How often a run came by a place that a scenario wants to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The place: `redis.failover`.
    pub name: String,
    /// How often.
    pub hits: u64,
}

impl RunResult {
    /// The text of `result.json`, indented, with a line break at the end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("a result has only string keys and cannot fail to be written as JSON");
        text.push('\n');
        text
    }

    /// Reads what [`RunResult::to_json`] wrote.
    ///
    /// # Errors
    /// If the text is not JSON or not of this shape; the error tells line and column.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::Violated => "violated",
            Self::Slow => "slow",
            Self::Invalid => "invalid",
        })
    }
}

/// Seconds as a JSON number with at most 6 decimals.
mod seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Rounded to microseconds: sums of seconds would otherwise show as 0.30000000000000004.
    pub(super) fn rounded(seconds: f64) -> f64 {
        let microseconds = (seconds * 1e6).round();
        // Beyond this, doubles are coarser than microseconds; adding 0.0 turns -0.0 into 0.0.
        if microseconds.abs() < 9e15 { microseconds / 1e6 + 0.0 } else { seconds }
    }

    pub(super) fn serialize<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        rounded(*seconds).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// Seconds that may not exist: a JSON number with at most 6 decimals, or `null`.
mod optional_seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        seconds.map(super::seconds::rounded).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::deserialize(deserializer)
    }
}
