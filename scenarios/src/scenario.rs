//! A scenario as the rest of the house sees it: complete, checked, in units that need no further reading.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use record::result::Verdict;

use crate::fault::Fault;
use crate::settings::Settings;
use crate::strategy::Strategy;
use crate::swarm::Swarm;

/// The size at which a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As the file says.
    Full,
    /// With the overrides of `[hunt]`: small enough to play many seeds.
    Hunt,
}

/// What is played: load, settings, faults, and what is expected of the system.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name with its folder, for example `ticketing/peak`: ASCII letters, digits, `-`, `_` and `.`, parts separated by `/`.
    pub name: String,
    /// The system under test, one of the vocabulary's.
    pub system: String,
    /// One sentence for people; empty when the file has none.
    pub about: String,
    /// How long the load lasts, more than zero. Then every fault heals.
    pub duration: Duration,
    /// How long the system may take to come to rest after the load, more than zero.
    pub settle: Duration,
    /// What people do, by the name of the journey; at least one.
    pub load: BTreeMap<String, Journey>,
    /// All settings of the system: its defaults, overridden by the file, overridden by `--set`.
    pub settings: Settings,
    /// The faults of the file, ordered by their start.
    pub faults: Vec<Fault>,
    /// Faults to be drawn by seed, on top of [`Self::faults`].
    pub swarm: Option<Swarm>,
    /// How the run must end when that is not `held` (a teaching scenario).
    pub expect: Option<Expect>,
    /// The service levels to hold.
    pub limits: Limits,
    /// How it is played unless the command line says otherwise.
    pub play: Play,
}

/// One kind of person: when they come, and how long each of them keeps trying.
#[derive(Debug, Clone, PartialEq)]
pub struct Journey {
    /// When they come.
    pub arrivals: Arrivals,
    /// After how long without success a person gives up; `None`: never.
    pub patience: Option<Duration>,
}

/// When the people of a journey come.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrivals {
    /// So many per second.
    Rate(Rate),
    /// One by one, in order of time.
    Listed(Vec<Arrival>),
}

impl Arrivals {
    /// Expected number of arrivals during the first `duration` of the load.
    pub fn count(&self, duration: Duration) -> f64 {
        match self {
            Self::Rate(rate) => rate.arrivals(duration),
            Self::Listed(arrivals) => arrivals.iter().filter(|arrival| arrival.at < duration).count() as f64,
        }
    }
}

/// One customer who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Since the start of the load.
    pub at: Duration,
    /// Which customer it is: what they want and do hangs on the seed and on this number. No two arrivals of a scenario
    /// have the same. `None`: the next number that none has.
    pub customer: Option<u64>,
    /// How many operations they make before they leave, at least 1; `None`: as many as they need.
    pub operations: Option<u64>,
}

impl Arrival {
    /// The most that a customer's number may be: 2⁵³ - 1, the most that JSON carries everywhere.
    pub const CUSTOMER_MAX: u64 = (1 << 53) - 1;
    /// The most operations that a scenario may grant a customer.
    pub const OPERATIONS_MAX: u64 = 1_000_000;

    /// Somebody who comes at this time.
    pub fn at(at: Duration) -> Self {
        Self { at, customer: None, operations: None }
    }
}

/// How a scenario is played unless the command line says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Play {
    /// Decides every random choice; `None`: drawn.
    pub seed: Option<u64>,
    /// Who runs next among tasks that are ready in the same instant; `None`: any, equally likely.
    pub strategy: Option<Strategy>,
    /// The planted mistakes that are switched on, ordered by name.
    pub mutants: Vec<String>,
}

/// Arrivals per second, constant from each step's offset until the next step.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    steps: Vec<(Duration, f64)>,
}

impl Rate {
    /// The highest rate that a scenario may ask for, per second.
    pub const MAX_PER_SECOND: f64 = 1e6;

    /// A rate that never changes. `per_second` is finite and not negative.
    pub fn constant(per_second: f64) -> Self {
        Self { steps: vec![(Duration::ZERO, per_second)] }
    }

    /// The same course, so many times as high; `factor` is finite and not negative.
    pub fn scaled(&self, factor: f64) -> Self {
        Self { steps: self.steps.iter().map(|(from, rate)| (*from, rate * factor)).collect() }
    }

    /// `steps` begin at zero and ascend; the reader has checked that.
    pub(crate) fn from_steps(steps: Vec<(Duration, f64)>) -> Self {
        Self { steps }
    }

    /// The steps: since the start of the load, and the arrivals per second from there on. Never empty; begins at zero;
    /// offsets ascend.
    pub fn steps(&self) -> &[(Duration, f64)] {
        &self.steps
    }

    /// Arrivals per second at an offset since the start of the load.
    pub fn at(&self, offset: Duration) -> f64 {
        self.steps.iter().take_while(|(from, _)| *from <= offset).last().map_or(0.0, |(_, rate)| *rate)
    }

    /// The highest rate, per second.
    pub fn peak(&self) -> f64 {
        self.steps.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }

    /// Expected number of arrivals during the first `duration` of the load.
    pub fn arrivals(&self, duration: Duration) -> f64 {
        let ends = self.steps.iter().skip(1).map(|(from, _)| *from).chain([duration]);
        let stretch = |((from, rate), to): (&(Duration, f64), Duration)| {
            to.min(duration).saturating_sub(*from).as_secs_f64() * rate
        };
        self.steps.iter().zip(ends).map(stretch).sum()
    }
}

/// How a teaching scenario must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// [`Verdict::Violated`] or [`Verdict::Slow`].
    pub verdict: Verdict,
    /// The invariant that must be violated; only with [`Verdict::Violated`]. `None`: any.
    pub invariant: Option<String>,
}

/// The service levels of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Recovery time objective: from the fault until the success rate is back.
    pub rto: Option<Duration>,
    /// Recovery point objective: the age of the oldest acknowledged write that may be lost.
    pub rpo: Option<Duration>,
    /// The longest allowed latency, by operation and percentile.
    pub latency: BTreeMap<String, BTreeMap<Percentile, Duration>>,
}

/// A percentile of a latency distribution that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Percentile {
    /// The median.
    P50,
    /// 95 of 100 are faster.
    P95,
    /// 99 of 100 are faster.
    P99,
    /// 999 of 1000 are faster.
    P999,
    /// The slowest.
    Max,
}

impl Percentile {
    /// All of them, ascending.
    pub const ALL: &[Percentile] = &[Self::P50, Self::P95, Self::P99, Self::P999, Self::Max];

    /// The name in scenario files and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }

    /// The share of operations that must be at most as slow, from 0 to 1.
    pub fn quantile(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
            Self::Max => 1.0,
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|percentile| percentile.name() == name)
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn rate_is_constant_between_its_steps() {
        let rate = Rate::from_steps(vec![(seconds(0), 50.0), (seconds(10), 2000.0), (seconds(30), 400.0)]);
        assert_eq!(rate.at(seconds(0)), 50.0);
        assert_eq!(rate.at(Duration::from_millis(9_999)), 50.0);
        assert_eq!(rate.at(seconds(10)), 2000.0);
        assert_eq!(rate.at(seconds(500)), 400.0);
        assert_eq!(rate.peak(), 2000.0);
        assert_eq!(
            rate.scaled(0.5).steps(),
            [(seconds(0), 25.0), (seconds(10), 1000.0), (seconds(30), 200.0)]
        );
        assert_eq!(rate.arrivals(seconds(40)), 500.0 + 40_000.0 + 4_000.0);
        assert_eq!(rate.arrivals(seconds(20)), 500.0 + 20_000.0);
        assert_eq!(Rate::constant(3.0).arrivals(seconds(5)), 15.0);
    }
}
