//! `capacity.json`, schema 1: what a system carries, measured by playing one scenario at several loads.
//!
//! Rates are operations per simulated second and, like everything else here, those of the steady window of each run:
//! from [`Capacity::warm_up_s`] after the load began until it ended. What cannot be said is `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::result::{OperationStats, ServiceLevel, Verdict};

/// The version of the shape of [`Capacity`].
pub const SCHEMA: u32 = 1;

/// The least share of the operations asked for that must be answered, acknowledged or a clear no, for the service levels
/// to be met: a system that fails fast does not carry a load.
pub const ANSWERED_MIN: f64 = 0.99;

/// The share of its cores' time from which on a host counts as saturated.
pub const SATURATED: f64 = 0.95;

/// What a system carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The name of the scenario: `ticketing/capacity`.
    pub scenario: String,
    /// What the scenario shows, in its author's words; empty if it does not say.
    pub about: String,
    /// The system under test: `ticketing`.
    pub system: String,
    /// What the runs were played on: `kernel`.
    pub engine: String,
    /// The seeds that each level was played with.
    pub seeds: Vec<u64>,
    /// The planted bugs that were switched on.
    pub mutants: Vec<String>,
    /// The shell line that plays the same again.
    pub replay: String,
    /// Simulated seconds of load of each run.
    pub load_s: f64,
    /// Simulated seconds at the beginning of the load that are left out.
    pub warm_up_s: f64,
    /// Levels that were asked for and not played, over all curves: the sweep was stopped.
    pub levels_not_played: usize,
    /// Whether an invariant was violated at any level; otherwise, whether any level meets the service levels. Invalid if
    /// nobody came, or if none does and not all were played.
    pub verdict: Verdict,
    /// One for each combination of the settings that were swept; a single one where none was.
    pub curves: Vec<Curve>,
}

/// The levels that were played with the same settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The settings that were swept, with their values here.
    pub settings: BTreeMap<String, String>,
    /// From the lowest load to the highest.
    pub levels: Vec<Level>,
    /// The highest rate that meets the service levels.
    pub sustained: Sustained,
    /// The host that saturates first; `null` if no host was given work on its processor.
    pub bottleneck: Option<Bottleneck>,
    /// The universal scalability law through the levels.
    pub fit: Option<Fit>,
    /// Why there is no fit; `null` if there is one.
    pub no_fit: Option<NoFit>,
}

/// One load, over all seeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// What the arrival rates of the scenario were multiplied by.
    pub factor: f64,
    /// Customers who come per second, by the scenario: the mean over the load.
    pub customers_per_s: f64,
    /// Operations that were asked for.
    pub offered_per_s: f64,
    /// Operations that were answered: acknowledged, or a clear no.
    pub achieved_per_s: f64,
    /// Those of them that were refused: sold out, rate limited.
    pub refused_per_s: f64,
    /// The share of the operations asked for that was answered in the end, also after the window; 0 to 1.
    pub answered: f64,
    /// The mean number of operations under way.
    pub concurrency: f64,
    /// Whether clearly more operations were under way in the second half of the window than in the first: more came than
    /// were done, and a longer window would show longer waits.
    pub is_growing: bool,
    /// Operations that were asked for in the window, by name: how they ended and how long they took.
    pub operations: BTreeMap<String, OperationStats>,
    /// The limits on latency, and what was observed in the window.
    pub service_levels: Vec<ServiceLevel>,
    /// Whether all limits were met and at least [`ANSWERED_MIN`] of the operations were answered.
    pub met: bool,
    /// The invariants that were violated.
    pub violated: Vec<String>,
    /// The hosts that were given work on their processors, the busiest first.
    pub hosts: Vec<HostLoad>,
    /// The runs, by seed.
    pub runs: Vec<Run>,
}

/// How busy a host was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostLoad {
    /// Its name: `order-1`.
    pub name: String,
    /// The share of its cores' time that was worked, 0 to 1.
    pub busy: f64,
}

/// One run of a level: a point that the law is fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Operations under way.
    pub concurrency: f64,
    /// Operations answered per second.
    pub achieved_per_s: f64,
}

/// Between which rates the service levels stop being met. Rates are those offered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sustained {
    /// The highest level up to which all meet them; `null` if the lowest misses them.
    pub met_per_s: Option<f64>,
    /// The lowest level that misses them; `null` if none does.
    pub missed_per_s: Option<f64>,
    /// Where, between the two, the first of the limits would be reached if latencies grew evenly; `null` unless both exist
    /// and a limit on latency is missed.
    pub about_per_s: Option<f64>,
    /// The limits that the lowest level that misses them misses.
    pub missed: Vec<String>,
    /// Were, at that level, fewer than [`ANSWERED_MIN`] of the operations answered?
    pub too_few_answered: bool,
}

/// The host that saturates first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// Its name.
    pub host: String,
    /// The highest offered rate at which it, and every other host, was not saturated; `null` if it always was.
    pub free_per_s: Option<f64>,
    /// The lowest offered rate at which it was saturated; `null` if it never was.
    pub saturated_per_s: Option<f64>,
    /// The offered rate at which it would have no time left, by the utilisation law from the levels at which it was not
    /// saturated; `null` if there is no such level.
    pub full_per_s: Option<f64>,
}

/// The universal scalability law (Gunther, Guerrilla Capacity Planning, 2007): with N operations under way,
/// X(N) = λN / (1 + σ(N − 1) + κN(N − 1)) of them are answered per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// λ: operations per second of a single one under way.
    pub lambda: Estimate,
    /// σ: contention, the share of the work that is done one after the other.
    pub sigma: Estimate,
    /// κ: coherency, what each costs each other.
    pub kappa: Estimate,
    /// The share of the variance of the throughput that the curve explains; below 0 if a constant explains more.
    pub r_squared: f64,
    /// The runs that it was fitted to.
    pub points: usize,
    /// Where throughput per latency ("power") is highest (Kleinrock, ICC 1979): beyond, a little throughput costs
    /// much latency. `null` if the measured levels do not reach it.
    pub knee: Option<Knee>,
    /// Why there is no knee; `null` if there is one.
    pub no_knee: Option<NoKnee>,
    /// The highest throughput of the curve, at a number of operations under way or, `null`, approached only; `null` if it
    /// has none, or if there is no knee, without which it would be a guess.
    pub ceiling: Option<Ceiling>,
}

/// Why no curve was fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum NoFit {
    /// A curve through so few levels proves nothing.
    TooFewLevels {
        /// Levels that it takes.
        needed: usize,
        /// Levels at which anything was answered.
        measured: usize,
    },
    /// No curve of the law runs through what was measured.
    NoCurve,
}

/// Why the levels show no knee.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum NoKnee {
    /// The throughput grows as the operations under way do: no level comes near what the system carries.
    StraightLine,
    /// The levels end before the curve bends.
    AboveTheLevels {
        /// Operations under way at the highest level.
        measured: f64,
        /// Operations under way where the curve would bend.
        knee: f64,
    },
    /// The curve would bend at a throughput that no level reached: nothing was measured where it does.
    BetweenTheLevels {
        /// Operations under way at the last level before.
        measured: f64,
        /// Operations under way at the next level.
        next: f64,
    },
    /// The levels begin where the curve has bent already.
    BelowTheLevels {
        /// Operations under way at the lowest level.
        measured: f64,
        /// Operations under way where the curve would bend.
        knee: f64,
    },
}

/// A fitted value, with the interval that holds 95 % of the values fitted to resampled residuals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end; `null` if it is not bounded.
    pub high: Option<f64>,
}

/// The knee of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// Operations under way.
    pub concurrency: Estimate,
    /// Operations answered per second.
    pub per_s: Estimate,
}

/// The highest throughput of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Operations under way.
    pub concurrency: Option<f64>,
    /// Operations answered per second.
    pub per_s: f64,
}

impl Capacity {
    /// The text of `capacity.json`, indented, with a line break at the end.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a capacity has only string keys and cannot fail to be written as JSON") + "\n"
    }
}

impl Fit {
    /// Operations answered per second with so many under way, above 0.
    pub fn throughput(&self, concurrency: f64) -> f64 {
        let (n, sigma, kappa) = (concurrency, self.sigma.value, self.kappa.value);
        self.lambda.value * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
    }
}
