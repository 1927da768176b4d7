//! Exactly once: a key has one effect, however often its request was sent; and what was acknowledged has had it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;

/// The effects by key. A key is what a client makes its request known by when it repeats it: an idempotency key.
#[derive(Debug, Clone)]
pub struct ExactlyOnce<K, E> {
    effects: BTreeMap<K, E>,
    acknowledged: BTreeMap<K, (Duration, u64)>,
}

impl<K: Ord, E: PartialEq> ExactlyOnce<K, E> {
    /// Nothing has happened yet.
    pub fn new() -> ExactlyOnce<K, E> {
        ExactlyOnce { effects: BTreeMap::new(), acknowledged: BTreeMap::new() }
    }

    /// An effect of a key was seen at `at`: the first of it, or the same again. `describe` is given the first one when
    /// this is another one.
    pub fn effect(
        &mut self,
        invariant: &mut Invariant,
        at: Duration,
        key: K,
        effect: E,
        describe: impl FnOnce(&E, &E) -> (String, Vec<u64>),
    ) {
        use std::collections::btree_map::Entry;
        match self.effects.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(effect);
                invariant.held(1);
            }
            Entry::Occupied(first) => {
                let first = first.get();
                invariant.check(at, *first == effect, || describe(first, &effect));
            }
        }
    }

    /// A client was told at `at` that its request has had its effect.
    pub fn acknowledge(&mut self, key: K, at: Duration, operation: u64) {
        self.acknowledged.entry(key).or_insert((at, operation));
    }

    /// All has happened that will: each acknowledged key has had an effect. The first violation is that which was
    /// acknowledged first.
    pub fn conclude(&self, invariant: &mut Invariant, describe: impl Fn(&K) -> String) {
        let mut missing: Vec<_> = Vec::new();
        for (key, (at, operation)) in &self.acknowledged {
            match self.effects.contains_key(key) {
                true => invariant.held(1),
                false => missing.push((*at, *operation, key)),
            }
        }
        missing.sort_unstable_by_key(|(at, operation, _)| (*at, *operation));
        for (at, operation, key) in missing {
            invariant.check(at, false, || (describe(key), vec![operation]));
        }
    }
}

impl<K: Ord, E: PartialEq> Default for ExactlyOnce<K, E> {
    fn default() -> Self {
        ExactlyOnce::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(1);

    fn told(first: &u32, second: &u32) -> (String, Vec<u64>) {
        (format!("{first} and {second}"), vec![u64::from(*first), u64::from(*second)])
    }

    #[test]
    fn the_same_effect_may_be_seen_again_and_another_one_may_not() {
        let (mut once, mut invariant) = (ExactlyOnce::new(), Invariant::new("once"));
        once.effect(&mut invariant, AT, "a", 1, told);
        once.effect(&mut invariant, AT, "b", 2, told);
        once.effect(&mut invariant, AT, "a", 1, told);
        assert!(!invariant.is_violated());
        once.effect(&mut invariant, AT * 3, "b", 3, told);
        let result = invariant.result();
        let violation = result.first_violation.expect("two effects");
        assert_eq!((result.checks, violation.at_s), (4, 3.0));
        assert_eq!((violation.what.as_str(), violation.operations), ("2 and 3", vec![2, 3]));
    }

    #[test]
    fn what_was_acknowledged_has_had_its_effect() {
        let (mut once, mut invariant) = (ExactlyOnce::new(), Invariant::new("once"));
        once.acknowledge("a", AT, 7);
        once.acknowledge("c", AT * 5, 9);
        once.acknowledge("b", AT * 2, 8);
        once.effect(&mut invariant, AT, "a", 1, told);
        once.conclude(&mut invariant, |key| format!("{key} never happened"));
        let violation = invariant.result().first_violation.expect("b and c are missing");
        assert_eq!((violation.at_s, violation.what.as_str()), (2.0, "b never happened"));
        assert_eq!(violation.operations, vec![8]);
    }
}
