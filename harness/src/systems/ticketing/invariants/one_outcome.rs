//! Invariant 5: one idempotency key, one outcome; states never move backward.
//!
//! The store is watched for a second order under a key and for moves backward; the buyers' history for answers that
//! contradict each other. An order is read where it is written, and an answer is given only when it is safe with the
//! replicas: so by design nobody who asks after an answer has come is told an earlier state, by whichever instance.

use std::time::Duration;

use record::history::{Operation, Outcome};
use ticketing::api::code;
use ticketing::buyers::operation;
use ticketing::domain::{HoldState, OrderState, PaymentState, SeatLockState, TicketState};

use crate::check::Invariant;
use crate::check::exactly_once::ExactlyOnce;
use crate::check::monotonic::{Monotonic, Moves, Seen};
use crate::systems::ticketing::facts::{Change, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "one-outcome";

/// What an account and key are to an order.
type Submission = (String, String);
/// A buyer, what they asked for, and the key.
type Request = (u64, &'static str, String);

pub(in crate::systems::ticketing) struct OneOutcome {
    invariant: Invariant,
    orders: ExactlyOnce<Submission, String>,
    answers: ExactlyOnce<Request, Answer>,
    /// The states that buyers were told of each order.
    told: Monotonic<String, OrderState>,
    moves: AllMoves,
}

/// The state machines of the records.
struct AllMoves {
    holds: Moves<HoldState>,
    seat_locks: Moves<SeatLockState>,
    payments: Moves<PaymentState>,
    tickets: Moves<TicketState>,
}

/// An answer, and the operation that brought it.
struct Answer {
    text: String,
    operation: u64,
}

impl PartialEq for Answer {
    fn eq(&self, other: &Answer) -> bool {
        self.text == other.text
    }
}

/// A record of the store: what it is, its id, and the order that it belongs to.
struct Subject<'a> {
    kind: &'static str,
    id: &'a str,
    order: &'a str,
}

impl OneOutcome {
    pub(in crate::systems::ticketing) fn new() -> OneOutcome {
        let voided = |from, to| (from, to) == (TicketState::Valid, TicketState::Void);
        OneOutcome {
            invariant: Invariant::new(NAME),
            orders: ExactlyOnce::new(),
            answers: ExactlyOnce::new(),
            told: Monotonic::new(Moves::new(OrderState::ALL, OrderState::can_become)),
            moves: AllMoves {
                holds: Moves::new(HoldState::ALL, HoldState::can_become),
                seat_locks: Moves::new(SeatLockState::ALL, SeatLockState::can_become),
                payments: Moves::new(PaymentState::ALL, PaymentState::can_become),
                tickets: Moves::new(TicketState::ALL, voided),
            },
        }
    }

    /// Follows a change of any record that has a state.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        let OneOutcome { invariant, orders, told, moves, .. } = self;
        match change {
            Change::Order { id, before } => {
                let after = facts.orders.get(id);
                let subject = Subject { kind: "order", id, order: id };
                let states = (before.as_ref().map(|o| o.state), after.map(|o| o.state));
                moved(invariant, facts, &subject, states, told.moves(), at);
                if let Some(order) = after {
                    let key = (order.account.clone(), order.key.clone());
                    orders.effect(invariant, at, key, id.clone(), |first, id| {
                        let what = format!(
                            "account {} has two orders for one idempotency key {}: {first} and {id}",
                            order.account, order.key
                        );
                        (what, [facts.operations_of(first), facts.operations_of(id)].concat())
                    });
                }
            }
            Change::Hold { order, before } => {
                let subject = Subject { kind: "hold", id: order, order };
                let after = facts.holds.get(order).map(|hold| hold.state);
                moved(
                    invariant,
                    facts,
                    &subject,
                    (before.as_ref().map(|h| h.state), after),
                    &moves.holds,
                    at,
                );
            }
            Change::SeatLock { order, before } => {
                let subject = Subject { kind: "seat lock", id: order, order };
                let after = facts.seat_locks.get(order).map(|lock| lock.state);
                let states = (before.as_ref().map(|l| l.state), after);
                moved(invariant, facts, &subject, states, &moves.seat_locks, at);
            }
            Change::Payment { id, before } => {
                let after = facts.payments.get(id);
                let order = after.or(before.as_ref()).map_or("", |payment| &payment.order);
                let states = (before.as_ref().map(|p| p.state), after.map(|p| p.state));
                let subject = Subject { kind: "payment", id, order };
                moved(invariant, facts, &subject, states, &moves.payments, at);
            }
            Change::Ticket { number, before } => {
                let after = facts.tickets.get(number);
                let order = after.or(before.as_ref()).map_or("", |ticket| &ticket.order);
                let states = (before.as_ref().map(|t| t.state), after.map(|t| t.state));
                let subject = Subject { kind: "ticket", id: number, order };
                moved(invariant, facts, &subject, states, &moves.tickets, at);
            }
            Change::Stock { .. } | Change::Queue { .. } | Change::Unreadable { .. } => {}
        }
    }

    /// Follows the history: a completed operation.
    pub(in crate::systems::ticketing) fn on_operation(&mut self, operation: &Operation, at: Duration) {
        let (Some(outcome), Some(value)) = (operation.outcome, &operation.value) else { return };
        self.on_told(operation, outcome, value);
        if let (Some(key), Some(text)) = (&operation.key, answer(outcome, value)) {
            let key = (operation.process, operation.name, key.clone());
            let answer = Answer { text, operation: operation.id.0 };
            self.answers.effect(&mut self.invariant, at, key, answer, |first, answer| {
                let what = format!(
                    "buyer {} got two answers to {} under one idempotency key: first {}, then {}",
                    operation.process, operation.name, first.text, answer.text
                );
                (what, vec![first.operation, answer.operation])
            });
        }
    }

    /// Was any buyer told that an order is in this state?
    pub(in crate::systems::ticketing) fn was_told(&self, order: &str, state: OrderState) -> bool {
        self.told.was_seen(order, state)
    }

    /// What an answer says about the state of an order.
    fn on_told(&mut self, operation: &Operation, outcome: Outcome, value: &str) {
        let subject = || operation.subject.clone().unwrap_or_default();
        let (order, told) = match (operation.name, outcome) {
            // "ORDER STATE"
            (operation::STATUS, Outcome::Ok) => {
                let Some((order, state)) = value.split_once(' ') else { return };
                let Ok(state) = state.parse() else { return };
                (order.to_owned(), Told::Is(state))
            }
            (operation::CANCEL, Outcome::Ok) => {
                let Ok(state) = value.parse() else { return };
                (subject(), Told::Is(state))
            }
            (operation::CANCEL, Outcome::Refused) if value == code::TOO_LATE => {
                (subject(), Told::AtLeast(OrderState::Paid))
            }
            // The same answer comes to all repetitions, also when the order has long been paid for.
            (operation::SUBMIT, Outcome::Ok) => (value.to_owned(), Told::AtLeast(OrderState::WaitPay)),
            // It does not exist for its buyer before it is open.
            (operation::STATUS | operation::CANCEL, Outcome::Refused) if value == code::NOT_FOUND => {
                (subject(), Told::Is(OrderState::Placing))
            }
            _ => return,
        };
        let (Told::AtLeast(state) | Told::Is(state)) = told;
        let Some(seen) = Seen::of(operation, state) else { return };
        if let Told::AtLeast(_) = told {
            self.told.at_least(order, seen);
            return;
        }
        let (buyer, id) = (operation.process, order.clone());
        self.told.observe(&mut self.invariant, order, seen, |later| {
            let state = match state {
                OrderState::Placing => "not there".to_owned(),
                state => format!("as {state}"),
            };
            format!("buyer {buyer} saw order {id} {state} although it had been {} before", later.state)
        });
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}

/// What a buyer was told of an order.
enum Told {
    Is(OrderState),
    /// In this state, or one that comes after it.
    AtLeast(OrderState),
}

/// A record that was there must still be there, in the same state or a later one.
fn moved<S: Copy + PartialEq + std::fmt::Display>(
    invariant: &mut Invariant,
    facts: &Facts,
    subject: &Subject<'_>,
    (before, after): (Option<S>, Option<S>),
    moves: &Moves<S>,
    at: Duration,
) {
    let Some(before) = before else { return };
    let holds = after.is_some_and(|after| moves.reaches(before, after));
    invariant.check(at, holds, || {
        let Subject { kind, id, order } = subject;
        let after = after.map_or("was removed".to_owned(), |after| format!("went back to {after}"));
        (format!("{kind} {id} {after} from {before}"), facts.operations_of(order))
    });
}

/// An answer that settles what a key was used for. Being told to come back later settles nothing.
fn answer(outcome: Outcome, value: &str) -> Option<String> {
    match outcome {
        Outcome::Ok => Some(value.to_owned()),
        Outcome::Refused if [code::SOLD_OUT, code::ABANDONED].contains(&value) => Some(value.to_owned()),
        _ => None,
    }
}
