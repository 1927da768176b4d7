//! What a hunt and its workers say to each other: one JSON document a line.

use serde::{Deserialize, Serialize};

use crate::capsule::StrategyText;
use crate::rehearsal::Failure;
use crate::target::Target;

/// What a worker is told first: the scenarios, which it then knows by their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) scenarios: Vec<Target>,
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
