//! Invariant 4: every captured payment ends as exactly one ticketed order or one full refund; nobody is charged
//! twice; refunds never exceed captures; no ticket is valid that nobody has paid for.
//!
//! The bank's own ledger says what was captured and refunded: what our services believe does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ticketing::domain::OrderState;

use crate::check::Invariant;
use crate::systems::ticketing::facts::{Change, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "money";

/// What the bank did with the money of a payment. Amounts in fen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::systems::ticketing) enum Movement {
    Captured(u64),
    Refunded(u64),
    /// A refund that the bank refused since more was asked back than there was.
    ExcessRefund(u64),
}

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    captured: u64,
    captures: u32,
    refunded: u64,
}

impl Account {
    fn kept(self) -> i128 {
        i128::from(self.captured) - i128::from(self.refunded)
    }
}

pub(in crate::systems::ticketing) struct Money {
    invariant: Invariant,
    /// By our payment id, which is the reference that the bank knows.
    accounts: BTreeMap<String, Account>,
    /// The payments of each order of which money moved.
    of_order: BTreeMap<String, BTreeSet<String>>,
}

impl Money {
    pub(in crate::systems::ticketing) fn new() -> Money {
        Money { invariant: Invariant::new(NAME), accounts: BTreeMap::new(), of_order: BTreeMap::new() }
    }

    /// Follows the bank's ledger.
    pub(in crate::systems::ticketing) fn on_movement(
        &mut self,
        facts: &Facts,
        payment: &str,
        movement: Movement,
        at: Duration,
    ) {
        let order = facts.payments.get(payment).map(|payment| payment.order.clone()).unwrap_or_default();
        self.of_order.entry(order.clone()).or_default().insert(payment.to_owned());
        let account = self.accounts.entry(payment.to_owned()).or_default();
        let excess = match movement {
            Movement::Captured(amount) => {
                account.captured += amount;
                account.captures += 1;
                false
            }
            Movement::Refunded(amount) => {
                account.refunded += amount;
                false
            }
            Movement::ExcessRefund(_) => true,
        };
        let account = *account;
        self.invariant.check(at, !excess && account.refunded <= account.captured, || {
            let what = format!(
                "payment {payment}: more is refunded than was captured ({account}); the last movement was {movement:?}"
            );
            (what, facts.operations_of(&order))
        });
        if let Movement::Captured(_) = movement {
            let charged = self.charged(&order);
            self.invariant.check(at, account.captures <= 1 && charged <= 1, || {
                let what = format!("order {order} is charged {charged} times; payment {payment}: {account}");
                (what, facts.operations_of(&order))
            });
        }
    }

    /// Payments of an order of which money is kept.
    fn charged(&self, order: &str) -> usize {
        let payments = self.of_order.get(order).into_iter().flatten();
        payments
            .filter(|payment| self.accounts.get(*payment).is_some_and(|account| account.kept() > 0))
            .count()
    }

    /// What the bank has kept for an order.
    fn kept(&self, payments: &[&str]) -> i128 {
        payments.iter().filter_map(|payment| self.accounts.get(*payment)).map(|account| account.kept()).sum()
    }

    /// Follows the tickets: one that becomes valid must be paid for.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        let Change::Ticket { number, .. } = change else { return };
        let Some(ticket) = facts.tickets.get(number) else { return };
        if facts.valid_tickets(&ticket.order).next().is_none() {
            return;
        }
        let payment = facts.orders.get(&ticket.order).and_then(|order| order.payment.clone());
        let kept = self.kept(&payment.iter().map(String::as_str).collect::<Vec<_>>());
        let owed = facts.orders.get(&ticket.order).map_or(0, |order| i128::from(order.amount_fen));
        self.invariant.check(at, kept >= owed, || {
            let what = format!(
                "ticket {number} of order {} is valid, but the bank has {kept} fen for it and it costs {owed}",
                ticket.order
            );
            (what, facts.operations_of(&ticket.order))
        });
    }

    /// At rest: ticketed and paid in full, or neither.
    pub(in crate::systems::ticketing) fn conclude(&mut self, facts: &Facts, at: Duration) {
        let mut payments_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, payment) in &facts.payments {
            payments_of.entry(&payment.order).or_default().push(id);
        }
        for (id, order) in &facts.orders {
            let payments = payments_of.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            let kept = self.kept(payments);
            let tickets = facts.valid_tickets(id).count();
            let ticketed = order.state == OrderState::Success;
            let expected =
                if ticketed { (i128::from(order.amount_fen), order.passengers as usize) } else { (0, 0) };
            self.invariant.check(at, (kept, tickets) == expected, || {
                let what = format!(
                    "at rest, order {id} is {}, has {tickets} valid tickets for {} passengers, costs {} fen, and the \
                     bank keeps {kept} fen for it",
                    order.state, order.passengers, order.amount_fen
                );
                (what, facts.operations_of(id))
            });
        }
        for (id, account) in &self.accounts {
            let known =
                facts.payments.get(id).is_some_and(|payment| facts.orders.contains_key(&payment.order));
            self.invariant.check(at, known || account.kept() == 0, || {
                (
                    format!(
                        "at rest, the bank keeps money for payment {id}, which belongs to no order: {account}"
                    ),
                    Vec::new(),
                )
            });
        }
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "captured {} fen in {} captures, refunded {} fen",
            self.captured, self.captures, self.refunded
        )
    }
}
