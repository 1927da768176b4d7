//! What has changed between two sets of runs: what `rehearse compare --format json` prints, and the file of a baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::result::RunResult;

/// The version of the shapes of [`Comparison`] and [`Baseline`].
pub const SCHEMA: u32 = 1;

/// Runs to compare others with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The runs, by seed.
    pub runs: Vec<BaselineRun>,
}

/// A run as far as it is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineRun {
    /// What was played: `full` or `hunt`.
    pub size: String,
    /// The settings in effect.
    pub settings: BTreeMap<String, String>,
    /// The verdict and the figures behind it.
    pub result: RunResult,
}

/// What has changed between two sets of runs of the same seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The scenario of all runs.
    pub scenario: String,
    /// The size of all runs: `full` or `hunt`.
    pub size: String,
    /// Seeds that both sides have played: only their runs are compared.
    pub seeds: Vec<u64>,
    /// How sure an interval is to have the true change in it.
    pub confidence: f64,
    /// Changes below this share (of a share of requests: below so many) count as none.
    pub threshold: f64,
    /// The worst of all changes.
    pub judgement: Judgement,
    /// What was compared, worst first.
    pub changes: Vec<Change>,
    /// Settings that differ: their values before and after. `null` where a side does not have it.
    pub settings: BTreeMap<String, (Option<String>, Option<String>)>,
    /// The planted bugs that were on, before and after.
    pub mutants: (Vec<String>, Vec<String>),
}

/// What became of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// Worse, by at least the threshold, and not by chance.
    Regressed,
    /// Too few seeds to tell.
    Unclear,
    /// Better, by at least the threshold, and not by chance.
    Improved,
    /// The change, if there is one, is below the threshold.
    NoChange,
}

/// What is compared. All of these are better when they are lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Runs in which the invariant was violated: a share of all runs.
    Violated,
    /// Runs in which the limit was missed: a share of all runs.
    Missed,
    /// Runs in which the system was not seen to come back from the fault: a share of all runs.
    NotBack,
    /// Requests that failed or were not answered: a share of all requests.
    Errors,
    /// Acknowledged writes that are missing: the mean of the runs.
    LostAcknowledged,
    /// Recovery time after a fault, in seconds.
    Rto,
    /// The median latency, in microseconds.
    P50,
    /// The latency that 95 % stay within, in microseconds.
    P95,
    /// The latency that 99 % stay within, in microseconds.
    P99,
}

impl Metric {
    /// Is its change told as a ratio? Otherwise as a difference.
    pub fn is_relative(self) -> bool {
        matches!(self, Metric::Rto | Metric::P50 | Metric::P95 | Metric::P99)
    }

    /// Is it about what must not happen at all? Then a single run in which it happens is worse than none.
    pub fn is_failure(self) -> bool {
        matches!(self, Metric::Violated | Metric::Missed | Metric::NotBack | Metric::LostAcknowledged)
    }
}

/// What became of one figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What it is a figure of: an operation, an invariant, a fault by its number.
    pub of: String,
    /// Which figure.
    pub metric: Metric,
    /// Its median over the seeds, before; of failures the mean.
    pub before: f64,
    /// Its median over the seeds, after; of failures the mean.
    pub after: f64,
    /// The typical change of a seed: of a ratio the ratio minus 1, otherwise the difference.
    pub change: f64,
    /// The interval that has the true change in it; `null` where there are too few seeds for one.
    pub interval: Option<(f64, f64)>,
    /// The probability to see this much or more if nothing had changed, corrected for the number of figures; `null`
    /// where nothing has to be tested.
    pub p: Option<f64>,
    /// What is to be made of it.
    pub judgement: Judgement,
}

impl Comparison {
    /// The comparison as JSON, indented, with a line break at the end.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a comparison has only string keys and cannot fail to be written as JSON") + "\n"
    }
}
