//! Just-in-time linearization (G. Lowe, "Testing for linearizability", Concurrency and Computation: Practice and
//! Experience 29(4), 2017): the calls are gone through in the order of time, with all the configurations that the
//! object can be in. A call is linearized when it returns and not before, unless another one that returns needs it.
//! When no configuration is left the history is not linearizable, and the call that returned then is the first that
//! cannot be explained.
//!
//! What keeps the configurations few:
//!
//! - Reads are linearized as soon as a state allows them: that takes nothing from anybody.
//! - An overwriting call that is open when another one takes place may have come just before it, and so may open reads
//!   of what it has written. They are *free* from then on: when they return that explains them, and until then they can
//!   still be taken for a later moment.
//! - Of equal actions, the one that returns first goes first: they can be exchanged. Those without an answer are only
//!   counted.
//! - Of two that commute, only one order is looked at, and none if they can as well come later.
//! - A configuration that can do all that another one can makes the other one superfluous.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::configuration::{Configuration, Group, Open};
use super::model::{Call, Effect, Model};

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding<S> {
    /// There is an order of the calls that explains every answer.
    Linearizable,
    /// There is none.
    Contradiction(Contradiction<S>),
    /// The search took more steps than it was allowed: nothing is known.
    Undecided {
        /// The moment up to which there is an explanation.
        at: Duration,
    },
}

/// The first answer that no order of the calls explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction<S> {
    /// When the answer came.
    pub at: Duration,
    /// The call that it came to, as an index into the calls.
    pub call: usize,
    /// What the object could have been just before, with the call that made it so, if any had.
    pub possible: BTreeMap<S, Option<usize>>,
}

/// Looks for an order of the calls that explains all answers. A step is the look at one open call in one
/// configuration: some 20 ns. After `steps_max` of them it gives up.
///
/// Calls at the same instant count as concurrent: who returns when another one begins may come after it.
pub fn search<M: Model>(model: &M, calls: &[Call<M::Action>], steps_max: u64) -> Finding<M::State> {
    let mut search = Search::new(model, calls, steps_max);
    for (at, returns, call) in events(model, calls) {
        if !returns {
            search.begin(call);
            continue;
        }
        let possible = search.possible();
        if let Err(TooLong) = search.end(call) {
            return Finding::Undecided { at };
        }
        if search.configurations.is_empty() {
            return Finding::Contradiction(Contradiction { at, call, possible });
        }
    }
    Finding::Linearizable
}

/// The beginnings and the returns in the order of time; at the same instant, beginnings first.
fn events<M: Model>(model: &M, calls: &[Call<M::Action>]) -> Vec<(Duration, bool, usize)> {
    let discernible = model.discernible(calls);
    let mut events = Vec::with_capacity(2 * calls.len());
    for (index, call) in calls.iter().enumerate() {
        match call.completed {
            Some(completed) => {
                events.push((call.invoked, false, index));
                events.push((completed, true, index));
            }
            None if model.effect(&call.action) != Effect::Reads && discernible(&call.action) => {
                events.push((call.invoked, false, index));
            }
            None => {}
        }
    }
    events.sort_unstable();
    events
}

/// A configuration on the way to the end of a call, and the call that took place last on that way.
struct Way<S> {
    at: Configuration<S>,
    last: Option<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    open: Open,
    /// Does an open read need the state that it left?
    is_seen: bool,
}

/// The search was given up.
struct TooLong;

struct Search<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<M::Action>],
    /// For each call the number of its action.
    classes: Vec<usize>,
    /// The calls that have begun and will return, by the time of that.
    open: Vec<Open>,
    /// The calls that have begun and have no answer, by their actions.
    groups: BTreeMap<usize, Group>,
    vacant: Vec<usize>,
    slots: usize,
    begun: usize,
    configurations: Vec<Configuration<M::State>>,
    steps: u64,
    steps_max: u64,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, calls: &'a [Call<M::Action>], steps_max: u64) -> Self {
        let mut known: BTreeMap<&M::Action, usize> = BTreeMap::new();
        let classes = calls.iter().map(|call| {
            let next = known.len();
            *known.entry(&call.action).or_insert(next)
        });
        Search {
            model,
            calls,
            classes: classes.collect(),
            open: Vec::new(),
            groups: BTreeMap::new(),
            vacant: Vec::new(),
            slots: 0,
            begun: 0,
            configurations: vec![Configuration::new(model.initial())],
            steps: 0,
            steps_max,
        }
    }

    fn possible(&self) -> BTreeMap<M::State, Option<usize>> {
        self.configurations.iter().map(|it| (it.state.clone(), it.by)).collect()
    }

    fn begin(&mut self, call: usize) {
        let (class, begun) = (self.classes[call], self.begun);
        self.begun += 1;
        let action = &self.calls[call].action;
        let effect = self.model.effect(action);
        if self.calls[call].completed.is_none() {
            self.groups.entry(class).or_insert_with(|| Group::new(effect)).calls.push((begun, call));
            return;
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        let open = Open { call, class, effect, begun, slot: Some(slot) };
        let returns = self.calls[call].completed;
        let place = self.open.partition_point(|other| self.calls[other.call].completed <= returns);
        self.open.insert(place, open);
        if effect == Effect::Reads {
            for it in &mut self.configurations {
                if self.model.step(&it.state, action).is_some() {
                    it.done.insert(slot);
                }
            }
        }
    }

    /// Leaves the configurations in which the call has taken place.
    fn end(&mut self, call: usize) -> Result<(), TooLong> {
        let place = self.open.iter().position(|open| open.call == call);
        let ending = self.open.remove(place.expect("a call begins before it ends"));
        let slot = ending.slot.expect("a call that ends has an answer");
        let mut after = Vec::new();
        for it in std::mem::take(&mut self.configurations) {
            if it.done.contains(slot) {
                self.keep(&mut after, slot, it);
                continue;
            }
            if it.is_free(ending) {
                self.linearize_earlier(ending, slot, &it, &mut after);
            }
            self.linearize_now(ending, slot, it, &mut after)?;
        }
        self.vacant.push(slot);
        self.configurations = after;
        self.forget_what_all_have_spent();
        Ok(())
    }

    /// All ways in which a free call has taken place before the last overwriting one.
    fn linearize_earlier(
        &mut self,
        ending: Open,
        slot: usize,
        it: &Configuration<M::State>,
        after: &mut Vec<Configuration<M::State>>,
    ) {
        let writes = match ending.effect {
            Effect::Overwrites => vec![ending],
            _ => self.candidates(ending, it),
        };
        for write in writes {
            self.steps += 1 + self.open.len() as u64;
            if write.effect != Effect::Overwrites || !it.is_free(write) {
                continue;
            }
            let Some(written) = self.model.step(&it.state, self.action(write)) else { continue };
            let sees = |read: &Open| {
                read.effect == Effect::Reads
                    && it.is_free(*read)
                    && self.model.step(&written, self.action(*read)).is_some()
            };
            let mut earlier = it.clone();
            if write.call != ending.call {
                if !sees(&ending) {
                    continue;
                }
                earlier.take(write);
            }
            for read in self.open.iter().filter(|open| sees(open)) {
                earlier.take(*read);
            }
            self.keep(after, slot, earlier);
        }
    }

    /// All ways in which the call takes place now, with or without others just before it.
    fn linearize_now(
        &mut self,
        ending: Open,
        slot: usize,
        from: Configuration<M::State>,
        after: &mut Vec<Configuration<M::State>>,
    ) -> Result<(), TooLong> {
        let mut known = BTreeSet::new();
        let mut ways = vec![Way { at: from, last: None }];
        while let Some(Way { at: it, last }) = ways.pop() {
            self.steps += (1 + self.open.len() + self.groups.len()) as u64;
            if self.steps > self.steps_max {
                return Err(TooLong);
            }
            let is_moot = last.is_some_and(|last| self.is_moot(last, ending));
            let ended = if is_moot { None } else { self.apply(&it, ending) };
            let is_possible = ended.is_some() || is_moot;
            if let Some((ended, _)) = ended {
                self.keep(after, slot, ended);
            }
            if is_possible && self.is_enough(ending, &it) {
                continue;
            }
            for other in self.candidates(ending, &it) {
                if last.is_some_and(|last| self.is_out_of_order(last, other)) {
                    continue;
                }
                self.steps += self.open.len() as u64;
                if let Some((next, is_seen)) = self.apply(&it, other)
                    && known.insert((next.key(), other.call))
                {
                    ways.push(Way { at: next, last: Some(Last { open: other, is_seen }) });
                }
            }
        }
        Ok(())
    }

    /// Is there nothing that could only be explained by others coming before the call that ends?
    fn is_enough(&self, ending: Open, it: &Configuration<M::State>) -> bool {
        let is_seen = self.open.iter().any(|open| open.effect == Effect::Reads && !it.has(*open));
        let mut others = self.candidates(ending, it).into_iter();
        others.all(|open| self.is_moot(Last { open, is_seen }, ending))
    }

    /// Is it all the same whether one came just before the other, since what is to be explained by that can be so
    /// without?
    fn is_moot(&self, last: Last, then: Open) -> bool {
        last.open.is_overwritten_by(then)
            || (!last.is_seen && self.model.commute(self.action(last.open), self.action(then)))
    }

    /// Is there another order of these two that is looked at anyway?
    fn is_out_of_order(&self, last: Last, then: Open) -> bool {
        let (first, second) = (self.action(last.open), self.action(then));
        last.open.is_overwritten_by(then)
            || (!last.is_seen
                && last.open.class > then.class
                && self.model.commute(first, second)
                && self.model.commute(second, first))
    }

    /// The open calls that may change the state next: of equal ones that are free alike, the first. Those that equal
    /// the one that ends can wait until it has.
    fn candidates(&self, ending: Open, it: &Configuration<M::State>) -> Vec<Open> {
        let mut chosen: Vec<Open> = Vec::new();
        let answered = self.open.iter().copied().filter(|open| !it.has(*open));
        let unanswered = self.groups.iter().filter_map(|(class, group)| it.next_of(*class, group));
        for open in answered.chain(unanswered) {
            let is_alike = |other: &Open| other.class == open.class && it.is_free(*other) == it.is_free(open);
            if open.effect != Effect::Reads && open.class != ending.class && !chosen.iter().any(is_alike) {
                chosen.push(open);
            }
        }
        chosen
    }

    fn action(&self, open: Open) -> &'a M::Action {
        &self.calls[open.call].action
    }

    /// The configuration after an open call has taken place, and whether an open read has seen the state that it left.
    fn apply(&self, it: &Configuration<M::State>, open: Open) -> Option<(Configuration<M::State>, bool)> {
        let state = self.model.step(&it.state, self.action(open))?;
        let mut next = Configuration { state, ..it.clone() };
        next.take(open);
        if open.effect != Effect::Reads {
            next.by = Some(open.call);
        }
        if open.effect == Effect::Overwrites {
            next.overwritten = self.begun;
        }
        let mut is_seen = false;
        for read in self.open.iter().filter(|open| open.effect == Effect::Reads) {
            if !next.has(*read) && self.model.step(&next.state, self.action(*read)).is_some() {
                next.take(*read);
                is_seen = true;
            }
        }
        Some((next, is_seen))
    }

    /// Adds a configuration in which a call has ended, unless another one can do all that it can.
    fn keep(
        &mut self,
        kept: &mut Vec<Configuration<M::State>>,
        ended: usize,
        mut it: Configuration<M::State>,
    ) {
        // One for each of the others, and what it costs to look at it more closely.
        let alike = kept.iter().filter(|other| other.state == it.state).count();
        self.steps += (kept.len() + alike * (self.open.len() + self.groups.len())) as u64;
        it.done.remove(ended);
        if kept.iter().any(|other| other.can_do_all_of(&it, &self.open, &self.groups)) {
            return;
        }
        kept.retain(|other| !it.can_do_all_of(other, &self.open, &self.groups));
        kept.push(it);
    }

    /// A call without an answer that has taken place in every configuration is open no more.
    fn forget_what_all_have_spent(&mut self) {
        let Some(first) = self.configurations.first() else { return };
        let spent: Vec<usize> = first.spent.keys().copied().collect();
        for class in spent {
            let least = self.configurations.iter().map(|it| it.spent_of(class)).min().unwrap_or(0);
            if least == 0 {
                continue;
            }
            for it in &mut self.configurations {
                it.return_spent(class, least);
            }
            if let Some(group) = self.groups.get_mut(&class) {
                group.calls.drain(..least);
                if group.calls.is_empty() {
                    self.groups.remove(&class);
                }
            }
        }
    }
}
