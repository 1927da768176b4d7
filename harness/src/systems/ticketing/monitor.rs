//! The monitor: hears every change of the store, every movement at the bank and every answer to a buyer, at the
//! moment when it happens, and lets the invariants look.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::history::{History, Operation};
use record::result::InvariantResult;
use redis_middleware::Value;
use ticketing::Config;
use ticketing::keys::Key;
use world::sim;

use super::facts::{Facts, Stored, capacities};
use super::invariants::admission::Admission;
use super::invariants::conservation::Conservation;
use super::invariants::liveness::Liveness;
use super::invariants::money::{Money, Movement};
use super::invariants::no_double_seat::NoDoubleSeat;
use super::invariants::one_outcome::OneOutcome;
use super::invariants::zero_oversell::ZeroOversell;

/// All invariants and the facts that they look at; clones are the same monitor.
#[derive(Clone)]
pub(super) struct Monitor(Arc<Mutex<State>>);

struct State {
    facts: Facts,
    zero_oversell: ZeroOversell,
    no_double_seat: NoDoubleSeat,
    conservation: Conservation,
    money: Money,
    one_outcome: OneOutcome,
    admission: Admission,
    liveness: Liveness,
}

fn stored(value: &Value) -> Stored<'_> {
    match value {
        Value::Hash(hash) => Stored::Hash(hash.iter().map(|(field, value)| (&**field, &**value)).collect()),
        Value::SortedSet(set) => Stored::Members(set.len()),
        Value::List(list) => Stored::Members(list.len()),
        Value::Set(set) => Stored::Members(set.len()),
        Value::Stream(stream) => Stored::Members(stream.log().len()),
        Value::String(_) => Stored::Members(1),
    }
}

fn now() -> Duration {
    sim::elapsed()
}

impl Monitor {
    pub(super) fn new(config: &Config) -> Monitor {
        let capacities = capacities(&config.sale);
        Monitor(Arc::new(Mutex::new(State {
            facts: Facts::default(),
            zero_oversell: ZeroOversell::new(capacities.clone()),
            no_double_seat: NoDoubleSeat::new(),
            conservation: Conservation::new(capacities),
            money: Money::new(),
            one_outcome: OneOutcome::new(),
            admission: Admission::new(config.queue.clone()),
            liveness: Liveness::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One atomic step of the store: all its changes are taken in before the invariants look.
    pub(super) fn on_store<'a>(&self, changed: impl Iterator<Item = (&'a [u8], Option<&'a Value>)>) {
        let at = now();
        let mut state = self.lock();
        let State {
            facts, zero_oversell, no_double_seat, conservation, money, one_outcome, admission, ..
        } = &mut *state;
        let changes: Vec<_> = changed
            .filter_map(|(key, value)| {
                let key = Key::parse(key).filter(|key| Facts::follows(*key))?;
                facts.apply(key, value.map_or(Stored::Gone, stored))
            })
            .collect();
        for change in &changes {
            zero_oversell.on_change(facts, change, at);
            no_double_seat.on_change(facts, change, at);
            conservation.on_change(facts, change, at);
            money.on_change(facts, change, at);
            one_outcome.on_change(facts, change, at);
            admission.on_change(facts, change, at);
        }
    }

    /// Money moved at the bank.
    pub(super) fn on_movement(&self, payment: &str, movement: Movement) {
        let at = now();
        let mut state = self.lock();
        let State { facts, money, .. } = &mut *state;
        money.on_movement(facts, payment, movement, at);
    }

    /// A buyer asked or was answered.
    pub(super) fn on_operation(&self, operation: &Operation) {
        if operation.completed.is_none() {
            return;
        }
        let at = now();
        let mut state = self.lock();
        let State { facts, one_outcome, liveness, .. } = &mut *state;
        let order = match (operation.name, &operation.value) {
            ("order.submit", Some(order)) => Some(order),
            _ => operation.subject.as_ref(),
        };
        if let Some(order) = order {
            facts.operations.entry(order.clone()).or_default().push(operation.id.0);
        }
        one_outcome.on_operation(operation, at);
        liveness.on_operation(facts, operation, at);
    }

    /// Has the system nothing left to do?
    pub(super) fn at_rest(&self) -> bool {
        self.lock().facts.at_rest()
    }

    /// Payments waiting for an operator.
    pub(super) fn dead_letters(&self) -> usize {
        self.lock().facts.dead_letters()
    }

    /// Looks at the facts.
    pub(super) fn with_facts<R>(&self, look: impl FnOnce(&Facts) -> R) -> R {
        look(&self.lock().facts)
    }

    /// Checks what can be checked at rest only, and gives all results in the order of
    /// [`super::invariants::NAMES`].
    pub(super) fn conclude(&self, history: &History) -> Vec<InvariantResult> {
        let at = now();
        let mut state = self.lock();
        let State {
            facts,
            zero_oversell,
            no_double_seat,
            conservation,
            money,
            one_outcome,
            admission,
            liveness,
        } = &mut *state;
        conservation.conclude(facts, at);
        money.conclude(facts, at);
        history.with_operations(|operations| liveness.conclude(facts, operations, at));
        let [liveness, no_lost_order] = liveness.invariants();
        let all = [
            zero_oversell.invariant(),
            no_double_seat.invariant(),
            conservation.invariant(),
            money.invariant(),
            one_outcome.invariant(),
            admission.invariant(),
            liveness,
            no_lost_order,
        ];
        all.map(crate::check::Invariant::result).to_vec()
    }
}
