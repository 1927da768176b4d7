//! Invariant 2: no seat is held by two parties on overlapping segments, at any instant.
//!
//! A party is an order that holds a seat by a live lock, or a passenger of it who has a valid ticket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ticketing::domain::{SeatLockState, Trip};

use crate::check::Invariant;
use crate::systems::ticketing::facts::{Change, Coach, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "no-double-seat";

/// An order, and the segments from the first to before the end on which it holds a seat.
type Holder = (String, u32, u32);

pub(in crate::systems::ticketing) struct NoDoubleSeat {
    invariant: Invariant,
    /// Who holds each seat.
    holders: BTreeMap<Coach, BTreeMap<String, Vec<Holder>>>,
    /// The seats that an order held when it was last looked at.
    held: BTreeMap<String, Vec<(Trip, String)>>,
}

impl NoDoubleSeat {
    pub(in crate::systems::ticketing) fn new() -> NoDoubleSeat {
        NoDoubleSeat { invariant: Invariant::new(NAME), holders: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// Follows a change of a seat lock or a ticket.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        let order = match change {
            Change::SeatLock { order, .. } => order.clone(),
            Change::Ticket { number, before } => {
                match facts.tickets.get(number).or(before.as_ref()).map(|ticket| ticket.order.clone()) {
                    Some(order) => order,
                    None => return,
                }
            }
            _ => return,
        };
        self.look(facts, order, at);
    }

    /// Looks at all orders anew, after the store has changed as a whole.
    pub(in crate::systems::ticketing) fn rebase(&mut self, facts: &Facts, at: Duration) {
        self.holders.clear();
        self.held.clear();
        let orders = facts.seat_locks.keys().chain(facts.tickets_of.keys()).chain(facts.lost_tickets.keys());
        let orders: BTreeSet<&String> = orders.collect();
        for order in orders {
            self.look(facts, order.clone(), at);
        }
    }

    /// Replaces the seats that an order holds.
    fn look(&mut self, facts: &Facts, order: String, at: Duration) {
        let now = seats_of(facts, &order);
        for (trip, seat) in self.held.remove(&order).into_iter().flatten() {
            let coach = self.holders.entry((trip.run, trip.class)).or_default();
            if let Some(holders) = coach.get_mut(&seat) {
                holders.retain(|(holder, ..)| *holder != order);
            }
        }
        self.check_twins(facts, &order, at);
        for (trip, seat) in &now {
            let coach = self.holders.entry((trip.run.clone(), trip.class)).or_default();
            let holders = coach.entry(seat.clone()).or_default();
            let other = holders
                .iter()
                .find(|(holder, from, to)| *holder != order && *from < trip.to && trip.from < *to);
            self.invariant.check(at, other.is_none(), || {
                let (holder, from, to) = other.cloned().unwrap_or_default();
                let Trip { run, class, .. } = trip;
                let what = format!(
                    "{run}, {class} class, seat {seat}: order {order} holds it on the segments {}..{} while order \
                     {holder} holds it on {from}..{to}",
                    trip.from, trip.to
                );
                (what, [facts.operations_of(&order), facts.operations_of(&holder)].concat())
            });
            holders.push((order.clone(), trip.from, trip.to));
        }
        if !now.is_empty() {
            self.held.insert(order, now);
        }
    }

    /// Two passengers of one order must not share a seat either.
    fn check_twins(&mut self, facts: &Facts, order: &str, at: Duration) {
        let lock = facts.seat_locks.get(order).filter(|lock| lock.state != SeatLockState::Freed);
        let locked: Vec<&String> = lock.iter().flat_map(|lock| &lock.seats).collect();
        let ticketed: Vec<&String> = facts.valid_tickets(order).map(|(_, ticket)| &ticket.seat).collect();
        for mut seats in [locked, ticketed] {
            seats.sort_unstable();
            let twin = seats.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone());
            self.invariant.check(at, twin.is_none(), || {
                let seat = twin.clone().unwrap_or_default();
                (
                    format!("order {order} has seat {seat} for two of its passengers"),
                    facts.operations_of(order),
                )
            });
        }
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}

/// The seats that an order holds, by its live lock or its valid tickets.
fn seats_of(facts: &Facts, order: &str) -> Vec<(Trip, String)> {
    let lock = facts.seat_locks.get(order).filter(|lock| lock.state != SeatLockState::Freed);
    let locked = lock.and_then(|lock| Some((lock.trip.as_ref()?, &lock.seats)));
    let locked = locked
        .into_iter()
        .flat_map(|(trip, seats)| seats.iter().map(move |seat| (trip.clone(), seat.clone())));
    let ticketed = facts.valid_tickets(order).map(|(_, ticket)| (ticket.trip.clone(), ticket.seat.clone()));
    let lost = facts.lost_tickets(order).map(|ticket| (ticket.trip.clone(), ticket.seat.clone()));
    let mut all: Vec<_> = locked.chain(ticketed).chain(lost).collect();
    all.sort_unstable();
    all.dedup();
    all
}
