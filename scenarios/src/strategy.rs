//! Scheduling strategies as people write them: `random`, `fifo`, or `pct:DEPTH:POLLS`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who runs next among tasks that are ready in the same instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one that has been ready longest.
    Fifo,
    /// Any, equally likely.
    #[default]
    Random,
    /// The one of highest priority; priorities change at random steps (Burckhardt et al., ASPLOS 2010).
    Pct {
        /// Ordering constraints of the bugs to be found.
        depth: u32,
        /// Expected number of polls of a run.
        steps: u64,
    },
}

/// What was expected of a text that is no strategy.
pub const EXPECTED: &str = "random, fifo or pct:DEPTH:POLLS";

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Fifo => f.write_str("fifo"),
            Strategy::Random => f.write_str("random"),
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
        for text in ["random", "fifo", "pct:2:10000"] {
            assert_eq!(text.parse::<Strategy>().expect("read").to_string(), text);
        }
        for text in ["", "pct", "pct:2", "pct:x:1", "pct:1:2:3", "random:1", "fair"] {
            assert!(text.parse::<Strategy>().is_err(), "{text}");
        }
    }
}
