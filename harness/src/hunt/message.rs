//! What a hunt and its workers say to each other: one JSON document a line.

use scenarios::Strategy;
use serde::{Deserialize, Serialize};

use crate::rehearsal::Failure;
use crate::target::Target;

/// A line to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// From now on these scenarios.
    Session(Session),
    /// Play this, and answer.
    Task(Task),
}

/// What a worker is told first, and whenever that changes: the scenarios, which it then knows by their place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) scenarios: Vec<Target>,
    /// At full size, not at hunting size?
    pub(crate) is_full_size: bool,
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
    pub strategy: Strategy,
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
