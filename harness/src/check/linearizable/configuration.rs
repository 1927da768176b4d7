//! One of the things that an object can be in the middle of its calls, and what is behind it.

use std::collections::BTreeMap;

use super::model::Effect;
use super::slots::Slots;

/// A call that has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) call: usize,
    /// Equal actions have equal numbers.
    pub(super) class: usize,
    pub(super) effect: Effect,
    /// How many had begun before it.
    pub(super) begun: usize,
    /// Where it is in [`Configuration::done`]; `None` if it has no answer, and so no end.
    pub(super) slot: Option<usize>,
}

impl Open {
    /// May this one have come just before the other one, and reads of it with it, without anybody else seeing that?
    pub(super) fn is_overwritten_by(self, then: Open) -> bool {
        self.effect == Effect::Overwrites && then.effect == Effect::Overwrites
    }
}

/// The calls of one action that have begun and have no answer, in the order in which they began: each with how many had
/// begun before it. They are taken in that order.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) effect: Effect,
    pub(super) calls: Vec<(usize, usize)>,
}

impl Group {
    pub(super) fn new(effect: Effect) -> Group {
        Group { effect, calls: Vec::new() }
    }
}

/// What the object can be, and what has taken place of what is open.
#[derive(Debug, Clone)]
pub(super) struct Configuration<S> {
    pub(super) state: S,
    /// The open calls that have taken place.
    pub(super) done: Slots,
    /// How many of the calls without an answer have taken place, by their action.
    pub(super) spent: BTreeMap<usize, usize>,
    /// How many calls had begun when an overwriting one took place last: those of them that still have not taken place
    /// are free.
    pub(super) overwritten: usize,
    /// The call that made the state what it is.
    pub(super) by: Option<usize>,
}

impl<S: Clone + Ord> Configuration<S> {
    pub(super) fn new(state: S) -> Configuration<S> {
        Configuration { state, done: Slots::default(), spent: BTreeMap::new(), overwritten: 0, by: None }
    }

    /// All that matters for what can come.
    pub(super) fn key(&self) -> (S, Slots, BTreeMap<usize, usize>, usize) {
        (self.state.clone(), self.done.clone(), self.spent.clone(), self.overwritten)
    }

    /// Has an open call taken place?
    pub(super) fn has(&self, open: Open) -> bool {
        open.slot.is_some_and(|slot| self.done.contains(slot))
    }

    /// May an open call that has not taken place have come just before the last overwriting one?
    pub(super) fn is_free(&self, open: Open) -> bool {
        open.begun < self.overwritten && open.effect != Effect::Changes
    }

    /// An open call takes place.
    pub(super) fn take(&mut self, open: Open) {
        match open.slot {
            Some(slot) => self.done.insert(slot),
            None => *self.spent.entry(open.class).or_default() += 1,
        }
    }

    pub(super) fn spent_of(&self, class: usize) -> usize {
        self.spent.get(&class).copied().unwrap_or(0)
    }

    /// So many calls without an answer are open no more.
    pub(super) fn return_spent(&mut self, class: usize, number: usize) {
        match self.spent_of(class) - number {
            0 => _ = self.spent.remove(&class),
            left => _ = self.spent.insert(class, left),
        }
    }

    /// The next call without an answer.
    pub(super) fn next_of(&self, class: usize, group: &Group) -> Option<Open> {
        let (begun, call) = *group.calls.get(self.spent_of(class))?;
        Some(Open { call, class, effect: group.effect, begun, slot: None })
    }

    /// Has this one every future that the other one has?
    pub(super) fn can_do_all_of(
        &self,
        other: &Configuration<S>,
        open: &[Open],
        groups: &BTreeMap<usize, Group>,
    ) -> bool {
        self.state == other.state
            && open.iter().all(|open| match (self.has(*open), other.has(*open)) {
                (true, true) => true,
                // It changes nothing, so that it is only good to have it behind oneself.
                (true, false) => open.effect == Effect::Reads,
                (false, true) => open.effect == Effect::Overwrites && self.is_free(*open),
                (false, false) => self.is_free(*open) || !other.is_free(*open),
            })
            && self.spent.iter().all(|(class, spent)| *spent <= other.spent_of(*class))
            && (self.overwritten >= other.overwritten
                || groups
                    .iter()
                    .all(|(class, group)| self.free_of(*class, group) >= other.free_of(*class, group)))
    }

    /// How many calls without an answer are free.
    fn free_of(&self, class: usize, group: &Group) -> usize {
        let begun = group.calls.partition_point(|(begun, _)| *begun < self.overwritten);
        begun.saturating_sub(self.spent_of(class))
    }
}
