//! Invariant 1: for every train, date, segment and class, valid tickets + live locks ≤ capacity, at every instant.
//!
//! Stock and seats are locked separately, so both are counted: once with the live holds of stock, once with the live
//! locks of seats, each together with the valid tickets. An order that has both a lock and tickets counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ticketing::domain::{Class, HoldState, SeatLockState, Trip};

use crate::check::Invariant;
use crate::systems::ticketing::facts::{Change, Coach, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "zero-oversell";

/// Which locks are counted beside the tickets.
#[derive(Debug, Clone, Copy)]
enum Ledger {
    Stock,
    Seats,
}

impl Ledger {
    fn noun(self) -> &'static str {
        match self {
            Ledger::Stock => "live holds of stock",
            Ledger::Seats => "live seat locks",
        }
    }
}

/// Seats that an order takes, by segment of a train and class.
type Load = BTreeMap<Coach, BTreeMap<u32, u32>>;

pub(in crate::systems::ticketing) struct ZeroOversell {
    invariant: Invariant,
    capacities: BTreeMap<Coach, Vec<u32>>,
    /// Seats taken by segment, and what each order contributes: for stock and for seats.
    taken: [BTreeMap<Coach, BTreeMap<u32, u32>>; 2],
    loads: [BTreeMap<String, Load>; 2],
}

impl ZeroOversell {
    pub(in crate::systems::ticketing) fn new(capacities: BTreeMap<Coach, Vec<u32>>) -> ZeroOversell {
        let (taken, loads) = Default::default();
        ZeroOversell { invariant: Invariant::new(NAME), capacities, taken, loads }
    }

    /// Follows a change of a hold, a seat lock or a ticket.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        match change {
            Change::Hold { order, .. } => self.recount(facts, Ledger::Stock, order, at),
            Change::SeatLock { order, .. } => self.recount(facts, Ledger::Seats, order, at),
            Change::Ticket { number, before } => {
                let Some(ticket) = facts.tickets.get(number).or(before.as_ref()) else { return };
                self.recount(facts, Ledger::Stock, &ticket.order, at);
                self.recount(facts, Ledger::Seats, &ticket.order, at);
            }
            _ => {}
        }
    }

    /// Counts all orders anew, after the store has changed as a whole.
    pub(in crate::systems::ticketing) fn rebase(&mut self, facts: &Facts, at: Duration) {
        (self.taken, self.loads) = Default::default();
        let orders = facts.holds.keys().chain(facts.seat_locks.keys()).chain(facts.tickets_of.keys());
        let orders: BTreeSet<&String> = orders.chain(facts.lost_tickets.keys()).collect();
        for order in orders {
            for ledger in [Ledger::Stock, Ledger::Seats] {
                self.recount(facts, ledger, order, at);
            }
        }
    }

    /// Replaces what an order contributes, and checks every segment that it takes now.
    fn recount(&mut self, facts: &Facts, ledger: Ledger, order: &str, at: Duration) {
        let index = ledger as usize;
        let now = load(facts, ledger, order);
        let before = match now.is_empty() {
            true => self.loads[index].remove(order),
            false => self.loads[index].insert(order.to_owned(), now.clone()),
        };
        for (coach, segments) in before.iter().flatten() {
            let taken = self.taken[index].entry(coach.clone()).or_default();
            for (segment, seats) in segments {
                if let Some(count) = taken.get_mut(segment) {
                    *count = count.saturating_sub(*seats);
                }
            }
        }
        for (coach, segments) in now {
            let taken = self.taken[index].entry(coach.clone()).or_default();
            for (segment, seats) in segments {
                let count = taken.entry(segment).or_default();
                *count += seats;
                // What does not exist has no capacity.
                let of_train = self.capacities.get(&coach).and_then(|all| all.get(segment as usize));
                let capacity = of_train.copied().unwrap_or(0);
                self.invariant.check(at, *count <= capacity, || {
                    let (run, class) = &coach;
                    let noun = ledger.noun();
                    let what = format!(
                        "{run}, {class} class, segment {segment}: {count} seats taken by {noun} and valid tickets, \
                         but only {capacity} exist; the last were taken by order {order}"
                    );
                    (what, facts.operations_of(order))
                });
            }
        }
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}

/// What an order takes on each segment: by its lock or by its tickets, whichever is more.
fn load(facts: &Facts, ledger: Ledger, order: &str) -> Load {
    let locked: Option<(&Trip, u32)> = match ledger {
        Ledger::Stock => facts
            .holds
            .get(order)
            .filter(|hold| hold.state != HoldState::Released)
            .and_then(|hold| Some((hold.trip.as_ref()?, hold.seats))),
        Ledger::Seats => facts
            .seat_locks
            .get(order)
            .filter(|lock| lock.state != SeatLockState::Freed)
            .and_then(|lock| Some((lock.trip.as_ref()?, lock.seats.len() as u32))),
    };
    let mut load = Load::new();
    let valid = facts.valid_tickets(order).map(|(_, ticket)| ticket);
    for ticket in valid.chain(facts.lost_tickets(order)) {
        let segments = load.entry(coach(&ticket.trip)).or_default();
        (ticket.trip.from..ticket.trip.to).for_each(|segment| *segments.entry(segment).or_default() += 1);
    }
    if let Some((trip, seats)) = locked {
        let segments = load.entry(coach(trip)).or_default();
        for segment in trip.from..trip.to {
            let count = segments.entry(segment).or_default();
            *count = (*count).max(seats);
        }
    }
    load
}

fn coach(trip: &Trip) -> (String, Class) {
    (trip.run.clone(), trip.class)
}
