//! Monotonic states: states move forward only, and who asks later is not told an earlier one.
//!
//! "Later" is meant in real time, over all clients: an answer that came before a question was asked binds the answer to
//! that question. Those who ask at the same time may see either.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::Operation;

use super::Invariant;

/// Which states can follow which, in any number of moves.
#[derive(Debug, Clone)]
pub struct Moves<S> {
    states: Vec<S>,
    /// For each state the states that can follow it, itself included, as bits.
    reach: Vec<u64>,
}

impl<S: Copy + PartialEq> Moves<S> {
    /// The moves of a state machine, given by its single steps.
    ///
    /// # Panics
    /// With more than 64 states.
    pub fn new(states: &[S], step: impl Fn(S, S) -> bool) -> Moves<S> {
        assert!(states.len() <= 64, "{} states: at most 64 are supported", states.len());
        let steps = |from: usize| {
            let to = (0..states.len()).filter(|to| from == *to || step(states[from], states[*to]));
            to.fold(0, |all, to| all | 1_u64 << to)
        };
        let mut reach: Vec<u64> = (0..states.len()).map(steps).collect();
        // Warshall's closure: paths over one more state at a time.
        for over in 0..states.len() {
            for from in 0..states.len() {
                if reach[from] & 1 << over != 0 {
                    reach[from] |= reach[over];
                }
            }
        }
        Moves { states: states.to_vec(), reach }
    }

    /// Can `from` become `to` in any number of moves, none included? A state that is none of the machine's becomes
    /// nothing.
    pub fn reaches(&self, from: S, to: S) -> bool {
        let index = |state| self.states.iter().position(|known| *known == state);
        match (index(from), index(to)) {
            (Some(from), Some(to)) => self.reach[from] & 1 << to != 0,
            _ => false,
        }
    }
}

/// An answer that told the state of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<S> {
    /// The state.
    pub state: S,
    /// When it was asked for, since the start of the simulation.
    pub invoked: Duration,
    /// When the answer came, since the start of the simulation.
    pub completed: Duration,
    /// The operation, by its index in the history.
    pub operation: u64,
}

impl<S> Seen<S> {
    /// What a completed operation of the history told; `None` while it is under way.
    pub fn of(operation: &Operation, state: S) -> Option<Seen<S>> {
        let completed = operation.completed?;
        Some(Seen { state, invoked: operation.invoked, completed, operation: operation.id.0 })
    }
}

/// The states that clients were told, by what they are the states of.
#[derive(Debug, Clone)]
pub struct Monotonic<K, S> {
    moves: Moves<S>,
    /// For each state the answer that told it first.
    seen: BTreeMap<K, Vec<Seen<S>>>,
}

impl<K: Ord, S: Copy + PartialEq> Monotonic<K, S> {
    /// Nobody was told anything yet.
    pub fn new(moves: Moves<S>) -> Monotonic<K, S> {
        Monotonic { moves, seen: BTreeMap::new() }
    }

    /// The machine whose states these are.
    pub fn moves(&self) -> &Moves<S> {
        &self.moves
    }

    /// A client was told a state: no answer that came before it asked may have told a later one. `describe` is given
    /// the answer that did. Answers are to be observed in the order in which they came, or were asked for.
    pub fn observe(
        &mut self,
        invariant: &mut Invariant,
        key: K,
        seen: Seen<S>,
        describe: impl FnOnce(&Seen<S>) -> String,
    ) {
        let known = self.seen.entry(key).or_default();
        let later = known
            .iter()
            .find(|known| known.completed < seen.invoked && !self.moves.reaches(known.state, seen.state));
        invariant.check(seen.completed, later.is_none(), || {
            // Only called with one.
            let what = later.map(describe).unwrap_or_default();
            (what, later.iter().map(|later| later.operation).chain([seen.operation]).collect())
        });
        learn(known, seen);
    }

    /// A client was told something from which follows that this state was reached, or a later one.
    pub fn at_least(&mut self, key: K, seen: Seen<S>) {
        learn(self.seen.entry(key).or_default(), seen);
    }

    /// Was anybody told that it is in this state?
    pub fn was_seen<Q: Ord + ?Sized>(&self, key: &Q, state: S) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.seen.get(key).is_some_and(|known| known.iter().any(|seen| seen.state == state))
    }
}

fn learn<S: PartialEq>(known: &mut Vec<Seen<S>>, seen: Seen<S>) {
    match known.iter_mut().find(|known| known.state == seen.state) {
        Some(known) if known.completed <= seen.completed => {}
        Some(known) => *known = seen,
        None => known.push(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 becomes 1 or 2, 1 becomes 3, 3 becomes 1 again; 4 is apart.
    fn moves() -> Moves<u8> {
        Moves::new(&[0, 1, 2, 3, 4], |from, to| matches!((from, to), (0, 1 | 2) | (1, 3) | (3, 1)))
    }

    fn seen(state: u8, invoked: u64, completed: u64, operation: u64) -> Seen<u8> {
        let [invoked, completed] = [invoked, completed].map(Duration::from_millis);
        Seen { state, invoked, completed, operation }
    }

    fn first_violation(all: &[Seen<u8>]) -> Option<(f64, Vec<u64>)> {
        let (mut monotonic, mut invariant) = (Monotonic::new(moves()), Invariant::new("monotonic"));
        for seen in all {
            monotonic.observe(&mut invariant, "it", *seen, |later| format!("was {}", later.state));
        }
        let result = invariant.result();
        assert_eq!(result.checks, all.len() as u64);
        result.first_violation.map(|violation| (violation.at_s, violation.operations))
    }

    #[test]
    fn states_follow_by_any_number_of_moves() {
        let moves = moves();
        let reached = |from| (0..6).filter(|to| moves.reaches(from, *to)).collect::<Vec<_>>();
        let expected: [&[u8]; 6] = [&[0, 1, 2, 3], &[1, 3], &[2], &[1, 3], &[4], &[]];
        assert_eq!((0..6).map(reached).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn who_asks_later_is_not_told_an_earlier_state() {
        assert_eq!(first_violation(&[seen(0, 0, 5, 0), seen(1, 6, 9, 1), seen(3, 9, 12, 2)]), None);
        let stale = [seen(0, 0, 5, 0), seen(3, 6, 9, 1), seen(0, 10, 12, 2), seen(2, 13, 14, 3)];
        assert_eq!(first_violation(&stale), Some((0.012, vec![1, 2])));
        // Of two ways only one was taken.
        assert_eq!(first_violation(&[seen(2, 0, 5, 0), seen(1, 6, 9, 1)]), Some((0.009, vec![0, 1])));
    }

    #[test]
    fn who_asks_meanwhile_may_be_told_either() {
        assert_eq!(first_violation(&[seen(1, 0, 5, 0), seen(0, 4, 9, 1), seen(0, 5, 9, 2)]), None);
        // An answer that was long on its way does not make up for one that was told since.
        let all = [seen(1, 0, 5, 0), seen(0, 4, 9, 1), seen(0, 10, 11, 2)];
        assert_eq!(first_violation(&all), Some((0.011, vec![0, 2])));
    }

    #[test]
    fn what_follows_from_an_answer_binds_the_next_and_not_itself() {
        let (mut monotonic, mut invariant) = (Monotonic::new(moves()), Invariant::new("monotonic"));
        let what = |_: &Seen<u8>| String::new();
        monotonic.observe(&mut invariant, 7, seen(3, 0, 1, 0), what);
        monotonic.at_least(7, seen(0, 2, 3, 1));
        monotonic.observe(&mut invariant, 7, seen(1, 4, 5, 2), what);
        assert!(!invariant.is_violated() && monotonic.was_seen(&7, 3) && !monotonic.was_seen(&7, 2));
        monotonic.at_least(8, seen(1, 0, 1, 3));
        monotonic.observe(&mut invariant, 8, seen(0, 2, 3, 4), what);
        assert!(invariant.is_violated());
    }
}
