//! Scheduling strategies as people write them: `random`, `random:FROM..UNTIL`, `fifo`, or `pct:DEPTH:POLLS`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration;

/// Who runs next among tasks that are ready in the same instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one that has been ready longest.
    Fifo,
    /// Any, equally likely.
    #[default]
    Random,
    /// Any within a stretch of simulated time, the one that has been ready longest before and after it.
    RandomWithin {
        /// Since the start of the simulation.
        from: Duration,
        /// Up to here, excluded; after `from`.
        until: Duration,
    },
    /// The one of highest priority; priorities change at random steps (Burckhardt et al., ASPLOS 2010).
    Pct {
        /// Ordering constraints of the bugs to be found.
        depth: u32,
        /// Expected number of polls of a run.
        steps: u64,
    },
}

/// What was expected of a text that is no strategy.
pub const EXPECTED: &str = "random, random:FROM..UNTIL, fifo or pct:DEPTH:POLLS";

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Fifo => f.write_str("fifo"),
            Strategy::Random => f.write_str("random"),
            Strategy::RandomWithin { from, until } => {
                write!(f, "random:{}..{}", duration::format(*from), duration::format(*until))
            }
            Strategy::Pct { depth, steps } => write!(f, "pct:{depth}:{steps}"),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let strategy = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("fifo"), None, ..) => Some(Strategy::Fifo),
            (Some("random"), None, ..) => Some(Strategy::Random),
            (Some("random"), Some(within), None, _) => within.split_once("..").and_then(|(from, until)| {
                let (from, until) = (duration::parse(from).ok()?, duration::parse(until).ok()?);
                (from < until).then_some(Strategy::RandomWithin { from, until })
            }),
            (Some("pct"), Some(depth), Some(steps), None) => depth
                .parse()
                .ok()
                .zip(steps.parse().ok())
                .map(|(depth, steps)| Strategy::Pct { depth, steps }),
            _ => None,
        };
        strategy.ok_or_else(|| format!("expected {EXPECTED}"))
    }
}

/// The same text in JSON.
impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_as_they_are_written() {
        for text in ["random", "random:1200ms..1250ms", "random:0s..1us", "fifo", "pct:2:10000"] {
            assert_eq!(text.parse::<Strategy>().expect("read").to_string(), text);
        }
        for text in [
            "",
            "pct",
            "pct:2",
            "pct:x:1",
            "pct:1:2:3",
            "random:1",
            "random:1s",
            "random:2s..1s",
            "random:1s..1s",
            "random:1..2",
            "random:1s..2s:3",
            "fair",
        ] {
            assert!(text.parse::<Strategy>().is_err(), "{text}");
        }
    }
}
