//! What a checker has to know about an object: how it behaves when one operation comes after the other.

use std::fmt::Debug;
use std::time::Duration;

use record::history::{Operation, Outcome};

/// An object by its sequential behaviour.
///
/// An action is an operation together with its answer, so that every action is deterministic: `step` says whether the
/// answer is right in a state, and what the state is afterwards.
pub trait Model {
    /// An operation and its answer.
    type Action: Clone + Ord + Debug;
    /// What the object is between two operations.
    type State: Clone + Ord + Debug;

    /// What it is before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `action`, or `None` if nobody can be given that answer in this state.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;

    /// What `action` does to the state. Wrong answers make wrong verdicts; [`Effect::Changes`] is always right.
    fn effect(&self, action: &Self::Action) -> Effect;

    /// Is it all the same in which order the two come? True only if wherever `first` and then `second` can come,
    /// `second` and then `first` can come as well, and lead to the same state. `false` is always right, and slower.
    fn commute(&self, _first: &Self::Action, _second: &Self::Action) -> bool {
        false
    }

    /// Can somebody tell that this operation, which nobody has an answer to, took place? `calls` are all those of the
    /// object. Those that nobody can tell are left out. `true` is always right, and slower.
    fn discernible(&self, _calls: &[Call<Self::Action>]) -> impl Fn(&Self::Action) -> bool {
        |_| true
    }
}

/// What an action does to the state of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Never changes it: a read, a refusal.
    Reads,
    /// Can come in every state, and makes the next state the same whatever it was: a plain write.
    Overwrites,
    /// Anything else.
    Changes,
}

/// An operation as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<A> {
    /// The operation and its answer; without an answer, what it does if it does anything.
    pub action: A,
    /// When the client asked, since the start of the simulation.
    pub invoked: Duration,
    /// When the client was answered, since the start of the simulation. `None` if it was not: the operation takes
    /// effect at any time after `invoked`, or never.
    pub completed: Option<Duration>,
    /// Its index in the history, to name it by.
    pub operation: u64,
}

impl<A> Call<A> {
    /// An operation of the history, with what it did, or does if it does anything. `None` if it has failed for certain:
    /// nothing happened, so there is nothing to explain.
    pub fn of(operation: &Operation, action: A) -> Option<Call<A>> {
        let Operation { id, invoked, completed, outcome, .. } = operation;
        let completed = match outcome {
            Some(Outcome::Ok | Outcome::Refused) => *completed,
            Some(Outcome::Unknown) | None => None,
            Some(Outcome::Failed) => return None,
        };
        Some(Call { action, invoked: *invoked, completed, operation: id.0 })
    }

    /// An operation that was answered.
    pub fn answered(operation: u64, action: A, invoked: Duration, completed: Duration) -> Call<A> {
        Call { action, invoked, completed: Some(completed), operation }
    }

    /// An operation that nobody has an answer to: a timeout, a lost connection, or it is still under way.
    pub fn unanswered(operation: u64, action: A, invoked: Duration) -> Call<A> {
        Call { action, invoked, completed: None, operation }
    }
}
