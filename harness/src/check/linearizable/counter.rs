//! A counter: a number that is added to, and a stock that things are taken from as long as there are enough.

use super::model::{Effect, Model};

/// A counter that begins at `initial` and may have bounds: a stock has 0 and its capacity, a sequence none.
#[derive(Debug, Clone, Copy)]
pub struct Counter {
    initial: i64,
    least: i64,
    most: i64,
}

impl Counter {
    /// A counter without bounds.
    pub fn new(initial: i64) -> Counter {
        Counter { initial, least: i64::MIN, most: i64::MAX }
    }

    /// A stock that is full at first: nobody can take from it what is not there, or put back more than was taken.
    pub fn stock(capacity: u32) -> Counter {
        Counter { initial: i64::from(capacity), least: 0, most: i64::from(capacity) }
    }
}

/// An operation on a counter, with its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// This was read.
    Read(i64),
    /// So many were put back, or added.
    Put(u32),
    /// So many were taken.
    Taken(u32),
    /// So many were asked for, and there were not as many.
    Refused(u32),
    /// So much was added, less than 0 if it was taken away, and this was the number afterwards.
    Added {
        /// The summand.
        by: i64,
        /// The sum.
        now: i64,
    },
}

impl Model for Counter {
    type Action = Action;
    type State = i64;

    fn initial(&self) -> i64 {
        self.initial
    }

    fn step(&self, state: &i64, action: &Action) -> Option<i64> {
        let after = match action {
            Action::Read(value) => (value == state).then_some(*state),
            Action::Put(number) => state.checked_add(i64::from(*number)),
            Action::Taken(number) => state.checked_sub(i64::from(*number)),
            Action::Refused(number) => {
                (state.saturating_sub(i64::from(*number)) < self.least).then_some(*state)
            }
            Action::Added { by, now } => state.checked_add(*by).filter(|sum| sum == now),
        };
        after.filter(|after| (self.least..=self.most).contains(after))
    }

    fn effect(&self, action: &Action) -> Effect {
        match action {
            Action::Read(_) | Action::Refused(_) => Effect::Reads,
            Action::Put(_) | Action::Taken(_) | Action::Added { .. } => Effect::Changes,
        }
    }

    /// Two that both take, or both put: if both fit, they fit in either order.
    fn commute(&self, first: &Action, second: &Action) -> bool {
        matches!((first, second), (Action::Put(_), Action::Put(_)) | (Action::Taken(_), Action::Taken(_)))
    }
}
