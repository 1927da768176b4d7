//! Linearizability (M. Herlihy and J. Wing, "Linearizability: a correctness condition for concurrent objects", TOPLAS
//! 12(3), 1990): every operation seems to take place at one moment between its invocation and its answer. Checked for
//! each key by itself, which is the same as for all of them together (locality; A. Horn and D. Kroening, "Faster
//! linearizability checking via P-compositionality", FORTE 2015).
//!
//! | to find | look in |
//! | --- | --- |
//! | what an object of one's own has to say | [`Model`] |
//! | a register, a stock or a sequence, a lock with leases | [`Register`], [`Counter`], [`Lock`] |
//! | the search | [`search()`] |
//!
//! An operation without an answer may have taken place, may still take place, or never: such a [`Call`] stays open for
//! ever. One that was refused or has failed for certain is a call that says so, or none.
//!
//! The general problem is NP-complete (P. Gibbons and E. Korach, "Testing shared memories", SIAM J. Comput. 26(4), 1997).
//! A search has a budget, [`STEPS_MAX`] steps for a key. When it is used up the invariant does not hold, with a sentence
//! that says that it was not decided.
//!
//! # Why no crate
//! Three of crates.io check histories. Measured in November 2026 on one register, 20 clients with 500 operations each
//! without a pause between them, half of them reads; seconds of one core, "–" for nothing after 20 s (of stateright,
//! after 10 s), "memory" for a recursion too deep for 8 GB of stack, and nothing where it was not measured:
//!
//! | history | todc-utils 0.1.1 | stateright 0.31 | this |
//! | --- | --- | --- | --- |
//! | linearizable, every written value once | – | memory | 0.10 |
//! | one stale read in its middle | – | memory | 0.05 |
//! | a tenth of the operations without an answer | – | | 0.08 |
//! | the same with five values | – | | 0.06 |
//! | 20 × 50 operations, linearizable | – | – | 0.01 |
//! | 5 × 200 operations, one stale read | 0.28 | | 0.001 |
//! | 20 × 500 with pauses, one stale read | 2.0 | – | 0.007 |
//!
//! `todc-utils` is Wing and Gong's search with Lowe's memory of what was tried, without dependencies; it panics on an
//! operation without an answer (the table gives it one after the end), copies a flag for every event at every step, and
//! says no without saying where. `stateright`'s tester copies the history at every level of its recursion and remembers
//! nothing, and brings 43 crates along. `lincheck` 0.2 tries all orders, knows only complete histories of its own
//! threads, and brings loom along. None of them ends when it takes too long.

mod configuration;
pub mod counter;
pub mod lock;
mod model;
pub mod register;
mod search;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

pub use counter::Counter;
pub use lock::Lock;
pub use model::{Call, Effect, Model};
pub use register::Register;
pub use search::{Contradiction, Finding, search};

use super::Invariant;

/// The steps that the search of one key may take: a second or so.
pub const STEPS_MAX: u64 = 20_000_000;

/// Of what an object may have been when an answer was wrong, so many are told.
const STATES_TOLD: usize = 4;

/// Objects of one kind, each with its calls, by their keys.
#[derive(Debug, Clone)]
pub struct Linearizable<K, M: Model> {
    model: M,
    steps_max: u64,
    calls: BTreeMap<K, Vec<Call<M::Action>>>,
}

impl<K: Ord + Display, M: Model> Linearizable<K, M> {
    /// Nobody has called any of them yet.
    pub fn new(model: M) -> Linearizable<K, M> {
        Linearizable { model, steps_max: STEPS_MAX, calls: BTreeMap::new() }
    }

    /// With another budget for each key than [`STEPS_MAX`].
    pub fn within(self, steps_max: u64) -> Linearizable<K, M> {
        Linearizable { steps_max, ..self }
    }

    /// A call of the object of this key. Calls may be recorded in any order.
    pub fn record(&mut self, key: K, call: Call<M::Action>) {
        self.calls.entry(key).or_default().push(call);
    }

    /// Looks for an explanation of all answers; every answer is a check. The first violation is the answer that came
    /// first of those that have none. It names its operation, and those that made the object what it was.
    pub fn conclude(&self, invariant: &mut Invariant) {
        let mut violations = Vec::new();
        for (key, calls) in &self.calls {
            invariant.held(calls.iter().filter(|call| call.completed.is_some()).count() as u64);
            match search(&self.model, calls, self.steps_max) {
                Finding::Linearizable => {}
                Finding::Contradiction(contradiction) => {
                    let (what, operations) = told(key, calls, &contradiction);
                    violations.push((contradiction.at, what, operations));
                }
                Finding::Undecided { at } => {
                    let what = format!(
                        "{key}: not decided within {} steps whether its answers can be explained from {:.3} s on",
                        self.steps_max,
                        at.as_secs_f64()
                    );
                    violations.push((at, what, Vec::new()));
                }
            }
        }
        violations.sort();
        for (at, what, operations) in violations {
            invariant.check(at, false, || (what, operations));
        }
    }
}

/// The sentence of a contradiction, and its operations.
fn told<A: Debug, S: Debug>(
    key: &impl Display,
    calls: &[Call<A>],
    contradiction: &Contradiction<S>,
) -> (String, Vec<u64>) {
    let call = &calls[contradiction.call];
    let mut operations = vec![call.operation];
    let mut possible = Vec::new();
    for (state, by) in contradiction.possible.iter().take(STATES_TOLD) {
        let by = by.map(|by| calls[by].operation);
        operations.extend(by);
        let since = by.map_or("from the beginning".to_owned(), |by| format!("by operation {by}"));
        possible.push(format!("{state:?} {since}"));
    }
    let more = contradiction.possible.len().saturating_sub(STATES_TOLD);
    if more > 0 {
        possible.push(format!("one of {more} more"));
    }
    operations.sort_unstable();
    operations.dedup();
    let (operation, action, possible) = (call.operation, &call.action, possible.join(", or "));
    let what =
        format!("{key}: the answer {action:?} to operation {operation} is wrong, since it was {possible}");
    (what, operations)
}
