//! Invariants: named promises, checked during and after a run.

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
