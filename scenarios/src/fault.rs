//! Faults: what befalls which hosts or links, when, and how badly.
//!
//! `README.md` beside this crate describes every kind for those who write scenarios.

use std::fmt;
use std::time::Duration;

use crate::bandwidth::Bandwidth;
use crate::duration::Jump;

/// A fault of the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Since the start of the load.
    pub at: Duration,
    /// How long it lasts; `None`: until the end of the load, or no time at all where [`FaultKind::is_momentary`].
    pub for_: Option<Duration>,
    /// What happens, and to whom.
    pub strike: Strike,
}

/// What happens to hosts or to the links between them.
#[derive(Debug, Clone, PartialEq)]
pub enum Strike {
    /// Something befalls hosts.
    Hosts {
        /// In the order of the file; at least one, none twice.
        on: Vec<String>,
        /// What happens to each of them.
        effect: HostEffect,
    },
    /// Something befalls links.
    Links {
        /// Which ones.
        links: Links,
        /// What happens to each of them.
        effect: LinkEffect,
    },
}

/// What can befall a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEffect {
    /// Its processes die; its network stack answers for them: resets, and refusals to connect. It boots when healed.
    Kill,
    /// It loses power: memory is gone, files are as of their last fsync, and its network is silent. It boots when
    /// healed.
    Crash,
    /// Its processes stand still, while its network stack still takes what fits into its buffers. They run on when
    /// healed.
    Pause,
    /// Its wall clock jumps, and back when healed.
    ClockJump {
        /// How far, and where to.
        by: Jump,
    },
    /// Its clocks run fast or slow. When healed they run true, and the wall clock is set right.
    ClockDrift {
        /// Parts per million, fast if positive; not zero, at most [`HostEffect::DRIFT_MAX_PPM`] either way.
        ppm: i32,
    },
    /// Its disk takes longer for everything; when healed it is as fast as before.
    SlowDisk {
        /// So many times as long, from 2 to [`HostEffect::SLOWNESS_MAX`].
        slowness: u32,
    },
}

impl HostEffect {
    /// The slowest disk: a write takes minutes instead of less than a millisecond.
    pub const SLOWNESS_MAX: u32 = 1_000_000;
    /// The fastest drift, either way: half or one and a half times true speed.
    pub const DRIFT_MAX_PPM: i32 = 500_000;
}

/// What can befall a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkEffect {
    /// Everything is dropped without a sign.
    Partition,
    /// Everything waits, and arrives when healed.
    Hold,
    /// Everything takes longer.
    Slow {
        /// By so much, in each direction; more than zero.
        latency: Duration,
    },
    /// Packets get lost.
    Lossy {
        /// The probability of each, from [`LinkEffect::LOSS_MIN`] to 1.
        loss: f64,
    },
    /// Only so much passes; the rest queues.
    Narrow {
        /// In each direction.
        bandwidth: Bandwidth,
    },
    /// Every connection that exists is reset, at both ends.
    ResetConnections,
}

/// Links between hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Links {
    /// Every link of each of these hosts, those between them included; at least one, none twice.
    Of(Vec<String>),
    /// The links between hosts of different sides. Links within a side are left alone.
    Between {
        /// At least two; no host is on two sides, and at most one is [`Side::Rest`].
        sides: Vec<Side>,
        /// Which way; with [`Direction::OneWay`] there are two sides.
        direction: Direction,
    },
}

/// One side of a fault of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// These hosts; at least one.
    Hosts(Vec<String>),
    /// `"*"`: all hosts that no other side names, those outside of the system included.
    Rest,
}

/// Which way a fault of links acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// On what goes either way.
    #[default]
    Both,
    /// On what goes from the first side to the second.
    OneWay,
}

impl LinkEffect {
    /// The least loss that a scenario may ask for.
    pub const LOSS_MIN: f64 = 0.000_001;
}

impl Direction {
    pub(crate) const NAMES: [(&str, Direction); 2] =
        [("both", Direction::Both), ("one-way", Direction::OneWay)];
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.strike.kind()
    }

    /// When the fault heals, given the duration of the load.
    pub fn until(&self, load: Duration) -> Duration {
        if self.kind().is_momentary() {
            return self.at;
        }
        self.for_.map_or(load, |lasts| self.at.saturating_add(lasts).min(load))
    }

    /// A host that two faults would strike at the same time in ways that exclude each other: a host that is down
    /// cannot be paused, and a clock or a disk runs at one speed only. Everything else adds up.
    pub(crate) fn excludes<'a>(&'a self, other: &Fault, load: Duration) -> Option<&'a str> {
        if self.at >= other.until(load) || other.at >= self.until(load) {
            return None;
        }
        let (Strike::Hosts { on, effect }, Strike::Hosts { on: others, effect: other }) =
            (&self.strike, &other.strike)
        else {
            return None;
        };
        let exclusive = match (effect, other) {
            (HostEffect::ClockJump { .. }, _) | (_, HostEffect::ClockJump { .. }) => false,
            (HostEffect::ClockDrift { .. }, other) => matches!(other, HostEffect::ClockDrift { .. }),
            (HostEffect::SlowDisk { .. }, other) => matches!(other, HostEffect::SlowDisk { .. }),
            (HostEffect::Kill | HostEffect::Crash | HostEffect::Pause, other) => {
                matches!(other, HostEffect::Kill | HostEffect::Crash | HostEffect::Pause)
            }
        };
        on.iter().find(|host| exclusive && others.contains(host)).map(String::as_str)
    }
}

impl Strike {
    /// The kind that stands in scenario files and in results.
    pub fn kind(&self) -> FaultKind {
        match self {
            Strike::Hosts { effect, .. } => match effect {
                HostEffect::Kill => FaultKind::Kill,
                HostEffect::Crash => FaultKind::Crash,
                HostEffect::Pause => FaultKind::Pause,
                HostEffect::ClockJump { .. } => FaultKind::ClockJump,
                HostEffect::ClockDrift { .. } => FaultKind::ClockDrift,
                HostEffect::SlowDisk { .. } => FaultKind::SlowDisk,
            },
            Strike::Links { effect, .. } => match effect {
                LinkEffect::Partition => FaultKind::Partition,
                LinkEffect::Hold => FaultKind::Hold,
                LinkEffect::Slow { .. } => FaultKind::SlowLink,
                LinkEffect::Lossy { .. } => FaultKind::LossyLink,
                LinkEffect::Narrow { .. } => FaultKind::NarrowLink,
                LinkEffect::ResetConnections => FaultKind::ResetConnections,
            },
        }
    }
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// [`HostEffect::ClockDrift`].
    ClockDrift,
    /// [`HostEffect::ClockJump`].
    ClockJump,
    /// [`HostEffect::Crash`].
    Crash,
    /// [`LinkEffect::Hold`].
    Hold,
    /// [`HostEffect::Kill`].
    Kill,
    /// [`LinkEffect::Lossy`].
    LossyLink,
    /// [`LinkEffect::Narrow`].
    NarrowLink,
    /// [`LinkEffect::Partition`].
    Partition,
    /// [`HostEffect::Pause`].
    Pause,
    /// [`LinkEffect::ResetConnections`].
    ResetConnections,
    /// [`HostEffect::SlowDisk`].
    SlowDisk,
    /// [`LinkEffect::Slow`].
    SlowLink,
}

impl FaultKind {
    /// Every kind that exists, in the order of their names.
    pub const ALL: &[FaultKind] = &[
        FaultKind::ClockDrift,
        FaultKind::ClockJump,
        FaultKind::Crash,
        FaultKind::Hold,
        FaultKind::Kill,
        FaultKind::LossyLink,
        FaultKind::NarrowLink,
        FaultKind::Partition,
        FaultKind::Pause,
        FaultKind::ResetConnections,
        FaultKind::SlowDisk,
        FaultKind::SlowLink,
    ];

    /// The name in scenario files and in results.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::ClockDrift => "clock-drift",
            FaultKind::ClockJump => "clock-jump",
            FaultKind::Crash => "crash",
            FaultKind::Hold => "hold",
            FaultKind::Kill => "kill",
            FaultKind::LossyLink => "lossy-link",
            FaultKind::NarrowLink => "narrow-link",
            FaultKind::Partition => "partition",
            FaultKind::Pause => "pause",
            FaultKind::ResetConnections => "reset-connections",
            FaultKind::SlowDisk => "slow-disk",
            FaultKind::SlowLink => "slow-link",
        }
    }

    /// Whether it befalls links, not hosts.
    pub fn is_of_links(self) -> bool {
        match self {
            FaultKind::ClockDrift
            | FaultKind::ClockJump
            | FaultKind::Crash
            | FaultKind::Kill
            | FaultKind::Pause
            | FaultKind::SlowDisk => false,
            FaultKind::Hold
            | FaultKind::LossyLink
            | FaultKind::NarrowLink
            | FaultKind::Partition
            | FaultKind::ResetConnections
            | FaultKind::SlowLink => true,
        }
    }

    /// Whether it is over as soon as it has happened.
    pub fn is_momentary(self) -> bool {
        self == FaultKind::ResetConnections
    }

    pub(crate) fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for FaultKind {
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

    fn fault(at: u64, for_: Option<u64>, effect: HostEffect) -> Fault {
        let strike = Strike::Hosts { on: vec!["a".into()], effect };
        Fault { at: seconds(at), for_: for_.map(seconds), strike }
    }

    #[test]
    fn a_fault_without_an_end_lasts_until_the_end_of_the_load() {
        assert_eq!(fault(5, None, HostEffect::Crash).until(seconds(60)), seconds(60));
        assert_eq!(fault(5, Some(2), HostEffect::Crash).until(seconds(60)), seconds(7));
    }

    #[test]
    fn a_momentary_fault_is_over_at_once() {
        let strike =
            Strike::Links { links: Links::Of(vec!["a".into()]), effect: LinkEffect::ResetConnections };
        assert_eq!(Fault { at: seconds(5), for_: None, strike }.until(seconds(60)), seconds(5));
    }

    #[test]
    fn a_host_has_one_fate_and_one_speed_at_a_time_and_any_number_of_jumps() {
        let jump = HostEffect::ClockJump { by: Jump::Back(seconds(1)) };
        let (kill, crash, pause, drift) =
            (HostEffect::Kill, HostEffect::Crash, HostEffect::Pause, HostEffect::ClockDrift { ppm: 5 });
        let disk = HostEffect::SlowDisk { slowness: 5 };
        for (one, other, exclusive) in [
            (kill, kill, true),
            (kill, crash, true),
            (crash, pause, true),
            (pause, pause, true),
            (drift, drift, true),
            (drift, kill, false),
            (disk, disk, true),
            (disk, crash, false),
            (disk, drift, false),
            (jump, jump, false),
            (jump, drift, false),
            (jump, pause, false),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let (one, other) = (fault(5, Some(5), one), fault(9, Some(5), other));
                assert_eq!(one.excludes(&other, seconds(60)).is_some(), exclusive, "{one:?} {other:?}");
                let after = Fault { at: seconds(10), ..other };
                assert_eq!(one.excludes(&after, seconds(60)), None, "one after the other");
            }
        }
    }

    #[test]
    fn kinds_are_listed_by_name() {
        let names = FaultKind::names();
        assert!(names.is_sorted());
        assert!(names.iter().all(|name| FaultKind::from_name(name).unwrap().name() == *name));
    }
}
