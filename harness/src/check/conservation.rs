//! Conservation: what is there is moved from one account to another, and neither made nor lost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;

/// Accounts whose balances have a sum that never changes: money, seats, messages. What a balance counts, and its unit,
/// is the user's.
#[derive(Debug, Clone)]
pub struct Conservation<A> {
    total: i128,
    sum: i128,
    balances: BTreeMap<A, i128>,
}

impl<A: Ord> Conservation<A> {
    /// No account has anything; all of them together have to have this.
    pub fn new(total: i128) -> Conservation<A> {
        Conservation { total, sum: 0, balances: BTreeMap::new() }
    }

    /// What an account holds now.
    pub fn set(&mut self, account: A, balance: i128) {
        let before = self.balances.insert(account, balance).unwrap_or(0);
        self.sum += balance - before;
    }

    /// What an account holds; 0 unless it was told.
    pub fn balance<Q: Ord + ?Sized>(&self, account: &Q) -> i128
    where
        A: std::borrow::Borrow<Q>,
    {
        self.balances.get(account).copied().unwrap_or(0)
    }

    /// How much there is too much; less than 0 if something is missing.
    pub fn excess(&self) -> i128 {
        self.sum - self.total
    }

    /// The accounts are looked at, at a moment at which nothing is on its way between them.
    pub fn observe(
        &self,
        invariant: &mut Invariant,
        at: Duration,
        describe: impl FnOnce(&Conservation<A>) -> (String, Vec<u64>),
    ) {
        invariant.check(at, self.excess() == 0, || describe(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_is_still_there_and_what_is_made_or_lost_shows() {
        let mut accounts = Conservation::new(10);
        let mut invariant = Invariant::new("conservation");
        let at = Duration::from_secs;
        let describe = |it: &Conservation<&str>| (format!("{} too much", it.excess()), vec![]);
        accounts.set("here", 10);
        accounts.observe(&mut invariant, at(1), describe);
        accounts.set("here", 7);
        accounts.set("there", 3);
        accounts.observe(&mut invariant, at(2), describe);
        assert!(!invariant.is_violated());
        assert_eq!((accounts.balance("here"), accounts.balance("nowhere")), (7, 0));
        accounts.set("there", 1);
        accounts.observe(&mut invariant, at(3), describe);
        accounts.set("there", 3);
        accounts.observe(&mut invariant, at(4), describe);
        let result = invariant.result();
        let violation = result.first_violation.expect("2 are lost");
        assert_eq!((result.checks, violation.at_s, violation.what.as_str()), (4, 3.0, "-2 too much"));
    }
}
