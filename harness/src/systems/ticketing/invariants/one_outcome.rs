//! Invariant 5: one idempotency key, one outcome; states never move backward.
//!
//! The store is watched for a second order under a key and for moves backward; the buyers' history for answers that
//! contradict each other.

use std::collections::BTreeMap;
use std::time::Duration;

use record::history::{Operation, Outcome};
use ticketing::api::code;
use ticketing::domain::{HoldState, OrderState, PaymentState, SeatLockState, TicketState};

use crate::check::Invariant;
use crate::systems::ticketing::facts::{Change, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "one-outcome";

pub(in crate::systems::ticketing) struct OneOutcome {
    invariant: Invariant,
    /// The order that was made for an account and key.
    orders: BTreeMap<(String, String), String>,
    /// The answer that a buyer first got for a key, and the operation that brought it.
    answers: BTreeMap<(u64, &'static str, String), (String, u64)>,
    /// The state that a buyer last saw of an order.
    seen: BTreeMap<(u64, String), OrderState>,
}

/// Can `from` become `to` in any number of steps, none included?
fn reaches<S: Copy + PartialEq>(from: S, to: S, all: &[S], step: impl Fn(S, S) -> bool) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(state) = reached.get(next).copied() {
        next += 1;
        let further: Vec<S> =
            all.iter().copied().filter(|s| step(state, *s) && !reached.contains(s)).collect();
        reached.extend(further);
    }
    reached.contains(&to)
}

fn order_reaches(from: OrderState, to: OrderState) -> bool {
    reaches(from, to, OrderState::ALL, OrderState::can_become)
}

impl OneOutcome {
    pub(in crate::systems::ticketing) fn new() -> OneOutcome {
        let invariant = Invariant::new(NAME);
        OneOutcome { invariant, orders: BTreeMap::new(), answers: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// Follows a change of any record that has a state.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        match change {
            Change::Order { id, before } => {
                let after = facts.orders.get(id);
                self.moved(
                    facts,
                    ("order", id, id),
                    before.as_ref().map(|o| o.state),
                    after.map(|o| o.state),
                    order_reaches,
                    at,
                );
                if let Some(order) = after {
                    let key = (order.account.clone(), order.key.clone());
                    let first = self.orders.entry(key).or_insert_with(|| id.clone()).clone();
                    self.invariant.check(at, first == *id, || {
                        let what = format!(
                            "account {} has two orders for one idempotency key {}: {first} and {id}",
                            order.account, order.key
                        );
                        (what, [facts.operations_of(&first), facts.operations_of(id)].concat())
                    });
                }
            }
            Change::Hold { order, before } => {
                let after = facts.holds.get(order).map(|hold| hold.state);
                let step = |a, b| reaches(a, b, HoldState::ALL, HoldState::can_become);
                self.moved(facts, ("hold", order, order), before.as_ref().map(|h| h.state), after, step, at);
            }
            Change::SeatLock { order, before } => {
                let after = facts.seat_locks.get(order).map(|lock| lock.state);
                let step = |a, b| reaches(a, b, SeatLockState::ALL, SeatLockState::can_become);
                self.moved(
                    facts,
                    ("seat lock", order, order),
                    before.as_ref().map(|l| l.state),
                    after,
                    step,
                    at,
                );
            }
            Change::Payment { id, before } => {
                let after = facts.payments.get(id);
                let order =
                    after.or(before.as_ref()).map(|payment| payment.order.clone()).unwrap_or_default();
                let step = |a, b| reaches(a, b, PaymentState::ALL, PaymentState::can_become);
                let states = (before.as_ref().map(|p| p.state), after.map(|p| p.state));
                self.moved(facts, ("payment", id, &order), states.0, states.1, step, at);
            }
            Change::Ticket { number, before } => {
                let after = facts.tickets.get(number);
                let order = after.or(before.as_ref()).map(|ticket| ticket.order.clone()).unwrap_or_default();
                let step = |a, b| a == b || (a, b) == (TicketState::Valid, TicketState::Void);
                let states = (before.as_ref().map(|t| t.state), after.map(|t| t.state));
                self.moved(facts, ("ticket", number, &order), states.0, states.1, step, at);
            }
            Change::Stock { .. } | Change::Queue { .. } | Change::Unreadable { .. } => {}
        }
    }

    /// A record that was there must still be there, in the same state or a later one.
    fn moved<S: Copy + std::fmt::Display>(
        &mut self,
        facts: &Facts,
        (kind, id, order): (&str, &str, &str),
        before: Option<S>,
        after: Option<S>,
        forward: impl Fn(S, S) -> bool,
        at: Duration,
    ) {
        let Some(before) = before else { return };
        let holds = after.is_some_and(|after| forward(before, after));
        self.invariant.check(at, holds, || {
            let after = after.map_or("was removed".to_owned(), |after| format!("went back to {after}"));
            (format!("{kind} {id} {after} from {before}"), facts.operations_of(order))
        });
    }

    /// Follows the history: a completed operation.
    pub(in crate::systems::ticketing) fn on_operation(&mut self, operation: &Operation, at: Duration) {
        let (Some(outcome), Some(value)) = (operation.outcome, &operation.value) else { return };
        if operation.name == "order.status" && outcome == Outcome::Ok {
            self.on_status(operation, value, at);
        }
        if let (Some(key), Some(answer)) = (&operation.key, answer(outcome, value)) {
            let key = (operation.process, operation.name, key.clone());
            let id = operation.id.0;
            let (first, first_id) = self.answers.entry(key).or_insert_with(|| (answer.clone(), id)).clone();
            self.invariant.check(at, first == answer, || {
                let what = format!(
                    "buyer {} got two answers to {} under one idempotency key: first {first}, then {answer}",
                    operation.process, operation.name
                );
                (what, vec![first_id, id])
            });
        }
    }

    /// Was any buyer told that an order is in this state, and nothing later?
    pub(in crate::systems::ticketing) fn was_told(&self, order: &str, state: OrderState) -> bool {
        self.seen.iter().any(|((_, seen), last)| seen == order && *last == state)
    }

    /// `value` is "ORDER STATE".
    fn on_status(&mut self, operation: &Operation, value: &str, at: Duration) {
        let Some((order, state)) = value.split_once(' ') else { return };
        let Ok(state) = state.parse::<OrderState>() else { return };
        let last = self.seen.insert((operation.process, order.to_owned()), state);
        self.invariant.check(at, last.is_none_or(|last| order_reaches(last, state)), || {
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            let what =
                format!("buyer {} saw order {order} as {last} and later as {state}", operation.process);
            (what, vec![operation.id.0])
        });
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}

/// An answer that settles what a key was used for. Being told to come back later settles nothing.
fn answer(outcome: Outcome, value: &str) -> Option<String> {
    match outcome {
        Outcome::Ok => Some(value.to_owned()),
        Outcome::Refused if [code::SOLD_OUT, code::ABANDONED].contains(&value) => Some(value.to_owned()),
        _ => None,
    }
}
