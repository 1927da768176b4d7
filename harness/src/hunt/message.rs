//! What a hunt and its workers say to each other: one JSON document a line.

use serde::{Deserialize, Serialize};

use crate::capsule::StrategyText;

/// What a worker is told first: the scenarios, which it then knows by their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) scenarios: Vec<Target>,
}

/// A scenario as it was when the hunt began, whatever becomes of its file meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How the user names it: `ticketing/peak`, or a path.
    pub given: String,
    /// How messages call its file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Settings that override the file's.
    pub set: Vec<(String, String)>,
}

/// One seed to play.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The place of the scenario.
    pub scenario: usize,
    /// The seed.
    pub seed: u64,
    /// The planted mistakes that are switched on.
    pub mutants: Vec<String>,
    /// Who runs next among tasks that are ready.
    pub strategy: StrategyText,
}

/// How it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) simulated_s: f64,
    /// Times that a task was polled.
    pub(crate) polls: u64,
    /// Empty when all was as it should be, and for a scenario that is made to fail.
    pub(crate) failures: Vec<Failure>,
    /// Did a scenario that is made to fail do so, as it says?
    pub(crate) is_as_expected: Option<bool>,
    /// The marks that the run came by.
    pub(crate) reached: Vec<String>,
    /// The marks that it did not come by.
    pub(crate) missed: Vec<String>,
}

/// What was not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The name of the invariant or the service level; a word for anything else.
    pub of: String,
    /// One sentence.
    pub what: String,
    /// Simulated seconds since the start, where there is such a moment.
    pub at_s: Option<f64>,
}

impl Failure {
    /// The sentence without what differs from seed to seed: numbers, and ids that are made of them.
    pub fn kind(&self) -> String {
        let mut kind = String::new();
        for word in self.what.split_inclusive(' ') {
            if word.contains(|c: char| c.is_ascii_digit()) {
                if !kind.ends_with("… ") {
                    kind.push_str("… ");
                }
            } else {
                kind.push_str(word);
            }
        }
        kind.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_kind_differ_in_numbers_only() {
        let failure = |what: &str| Failure { of: "zero-oversell".into(), what: what.into(), at_s: None };
        let first = failure("ICE-7 on 2017-03-31 sold 12 seats of 11 in 2nd class");
        let second = failure("ICE-9 on 2017-03-31 sold 4 seats of 3 in 1st class");
        assert_eq!(first.kind(), second.kind());
        assert_eq!(first.kind(), "… on … sold … seats of … in … class");
        assert_ne!(first.kind(), failure("order A1 was charged twice").kind());
    }
}
