//! Liveness: once the faults have healed, what was begun ends in time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;

/// What was begun, and when it ended. All times are since the start of the simulation.
#[derive(Debug, Clone)]
pub struct Liveness<K> {
    begun: BTreeMap<K, (Duration, Option<Duration>)>,
}

/// When what was begun is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When the last fault was healed.
    pub healed: Duration,
    /// How long after that, or after its beginning if that came later, everything has to have ended.
    pub within: Duration,
    /// When the run ended: of what is not due until then nothing is known.
    pub end: Duration,
}

impl<K: Ord> Liveness<K> {
    /// Nothing was begun yet.
    pub fn new() -> Liveness<K> {
        Liveness { begun: BTreeMap::new() }
    }

    /// Something begins, or begins anew.
    pub fn began(&mut self, key: K, at: Duration) {
        self.begun.insert(key, (at, None));
    }

    /// Something ends, whether it succeeds or not. What never began needs no end.
    pub fn ended<Q: Ord + ?Sized>(&mut self, key: &Q, at: Duration)
    where
        K: std::borrow::Borrow<Q>,
    {
        if let Some((_, end)) = self.begun.get_mut(key) {
            end.get_or_insert(at);
        }
    }

    /// Everything has ended in time. The first violation is that which was due first, at the moment when it was.
    pub fn conclude(
        &self,
        invariant: &mut Invariant,
        deadline: Deadline,
        describe: impl Fn(&K) -> (String, Vec<u64>),
    ) {
        let mut late = Vec::new();
        for (key, (begun, ended)) in &self.begun {
            let due = begun.max(&deadline.healed).saturating_add(deadline.within);
            match ended {
                Some(ended) if *ended <= due => invariant.held(1),
                None if due > deadline.end => {}
                _ => late.push((due, key)),
            }
        }
        late.sort();
        for (due, key) in late {
            invariant.check(due, false, || describe(key));
        }
    }
}

impl<K: Ord> Default for Liveness<K> {
    fn default() -> Self {
        Liveness::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_ends_within_the_deadline_after_the_last_fault() {
        let at = Duration::from_secs;
        let deadline = Deadline { healed: at(10), within: at(5), end: at(30) };
        let late = |begun: &[(&'static str, u64, Option<u64>)]| {
            let (mut liveness, mut invariant) = (Liveness::new(), Invariant::new("liveness"));
            for (key, begin, end) in begun {
                liveness.began(*key, at(*begin));
                if let Some(end) = end {
                    liveness.ended(*key, at(*end));
                }
            }
            liveness.conclude(&mut invariant, deadline, |key| (format!("{key} is late"), vec![]));
            let result = invariant.result();
            (result.checks, result.first_violation.map(|first| (first.at_s, first.what)))
        };
        assert_eq!(late(&[("a", 1, Some(15)), ("b", 12, Some(17)), ("c", 2, Some(3))]), (3, None));
        assert_eq!(late(&[("a", 1, Some(16))]), (1, Some((15.0, "a is late".to_owned()))));
        let begun = [("a", 14, None), ("b", 12, Some(18)), ("c", 3, Some(4))];
        assert_eq!(late(&begun), (3, Some((17.0, "b is late".to_owned()))));
        // It has some time left when the run ends: nothing is known of it.
        assert_eq!(late(&[("a", 27, None)]), (0, None));
    }
}
