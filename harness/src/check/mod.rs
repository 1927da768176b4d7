//! Invariants: named promises, checked during and after a run; and the checks that any system can build its own from.
//!
//! | check | promise |
//! | --- | --- |
//! | [`linearizable`] | a register, a counter or a lock, by its key, answers as if one operation came after the other |
//! | [`exactly_once`] | one key, one effect; what was acknowledged has had it |
//! | [`monotonic`] | who asks later is not told an earlier state |
//! | [`conservation`] | what is there is moved, and neither made nor lost |
//! | [`liveness`] | once the faults have healed, what was begun ends in time |
//!
//! RTO and RPO are measured from the history and the faults for every system: [`crate::recovery`].
//!
//! A check looks at what clients saw or what a store holds, and tells an [`Invariant`], which counts the checks and keeps
//! the first violation: its moment, one sentence, and the operations of the history that belong to it. Several checks
//! may tell the same invariant. What could not be decided has not held: the invariant is violated, and says so.
//!
//! How a system uses them: this one sells the seats of trains, and tells its clients how their orders stand. Its
//! [`Production::conclude`](crate::system::Production::conclude) goes through the history and gives the results.
//!
//! ```
//! use std::time::Duration;
//!
//! use harness::check::Invariant;
//! use harness::check::linearizable::{Call, Counter, Linearizable, counter::Action};
//! use harness::check::monotonic::{Monotonic, Moves, Seen};
//! use record::history::{History, Operation, Outcome};
//! use record::result::InvariantResult;
//!
//! fn conclude(history: &History) -> [InvariantResult; 2] {
//!     let [mut stock, mut forward] = ["stock", "forward"].map(Invariant::new);
//!     let mut seats = Linearizable::new(Counter::stock(2));
//!     let is_step = |from, to| matches!((from, to), ("open", "paid" | "closed"));
//!     let mut orders = Monotonic::new(Moves::new(&["open", "paid", "closed"], is_step));
//!     history.with_operations(|operations| {
//!         for operation in operations {
//!             let subject = operation.subject.clone().unwrap_or_default();
//!             if operation.name == "seats.take" {
//!                 let is_refused = operation.outcome == Some(Outcome::Refused);
//!                 let action = if is_refused { Action::Refused(1) } else { Action::Taken(1) };
//!                 if let Some(call) = Call::of(operation, action) {
//!                     seats.record(subject, call);
//!                 }
//!             } else if let Some(seen) = told(operation) {
//!                 let what = format!("{subject} was told to be {}, and had come further before", seen.state);
//!                 orders.observe(&mut forward, subject, seen, |_| what);
//!             }
//!         }
//!     });
//!     seats.conclude(&mut stock);
//!     [stock.result(), forward.result()]
//! }
//!
//! fn told(operation: &Operation) -> Option<Seen<&'static str>> {
//!     let value = operation.value.as_deref()?;
//!     Seen::of(operation, ["open", "paid", "closed"].into_iter().find(|state| *state == value)?)
//! }
//!
//! let (history, ms) = (History::new(), Duration::from_millis);
//! let operation = |process, name, subject: &str, from, to, outcome, value: Option<&str>| {
//!     let id = history.invoke(process, name, None, Some(subject.to_owned()), ms(from));
//!     history.complete(id, outcome, value.map(str::to_owned), ms(to));
//! };
//! operation(0, "seats.take", "train 7", 10, 20, Outcome::Ok, None);
//! // Nobody knows whether this one has a seat: that there is none for the next shows that it has.
//! operation(1, "seats.take", "train 7", 30, 40, Outcome::Unknown, None);
//! operation(2, "seats.take", "train 7", 50, 60, Outcome::Refused, None);
//! operation(0, "order.status", "order 4", 70, 80, Outcome::Ok, Some("paid"));
//! operation(1, "order.status", "order 4", 90, 95, Outcome::Ok, Some("open"));
//! let [stock, forward] = conclude(&history);
//! assert!(stock.held && stock.checks == 2);
//! let violation = forward.first_violation.expect("it went back");
//! assert_eq!((violation.at_s, violation.operations), (0.095, vec![3, 4]));
//! ```

pub mod conservation;
pub mod exactly_once;
pub mod linearizable;
pub mod liveness;
pub mod monotonic;

use std::time::Duration;

use record::result::{InvariantResult, Violation};

/// A promise, how often it was checked, and the first time that it was broken.
#[derive(Debug, Clone)]
pub struct Invariant {
    name: &'static str,
    checks: u64,
    first_violation: Option<Violation>,
}

impl Invariant {
    /// A promise that has not been checked yet.
    pub fn new(name: &'static str) -> Invariant {
        Invariant { name, checks: 0, first_violation: None }
    }

    /// Counts one check; when it does not hold, `describe` says in one sentence what was seen instead, and names
    /// the operations of the history that belong to it.
    pub fn check(&mut self, at: Duration, holds: bool, describe: impl FnOnce() -> (String, Vec<u64>)) {
        self.checks += 1;
        if !holds && self.first_violation.is_none() {
            let (what, operations) = describe();
            self.first_violation = Some(Violation { at_s: at.as_secs_f64(), what, operations });
        }
    }

    /// Counts checks that held.
    pub fn held(&mut self, checks: u64) {
        self.checks += checks;
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Has it been broken?
    pub fn is_violated(&self) -> bool {
        self.first_violation.is_some()
    }

    /// As it stands in the result. A promise that was never checked has not held.
    pub fn result(&self) -> InvariantResult {
        InvariantResult {
            name: self.name.to_owned(),
            held: self.first_violation.is_none(),
            checks: self.checks,
            first_violation: self.first_violation.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_violation_is_kept() {
        let mut invariant = Invariant::new("zero-oversell");
        invariant.check(Duration::from_secs(1), true, || unreachable!("not described while it holds"));
        invariant.check(Duration::from_secs(2), false, || ("first".to_owned(), vec![4]));
        invariant.check(Duration::from_secs(3), false, || ("second".to_owned(), vec![5]));
        let result = invariant.result();
        assert_eq!((result.held, result.checks), (false, 3));
        let expected = Violation { at_s: 2.0, what: "first".to_owned(), operations: vec![4] };
        assert_eq!(result.first_violation, Some(expected));
    }
}
