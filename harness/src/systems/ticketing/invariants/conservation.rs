//! Invariant 3: at rest, capacity = remaining + locked + sold, in the stock, the seats and the tickets alike.
//!
//! While the run goes on, what remains must stay between zero and the capacity.

use std::collections::BTreeMap;
use std::time::Duration;

use ticketing::domain::{HoldState, OrderState, SeatLockState, Trip};

use crate::check::Invariant;
use crate::check::conservation::Conservation as Accounts;
use crate::systems::ticketing::facts::{Change, Coach, Facts};

pub(in crate::systems::ticketing) const NAME: &str = "conservation";

pub(in crate::systems::ticketing) struct Conservation {
    invariant: Invariant,
    capacities: BTreeMap<Coach, Vec<u32>>,
}

/// Seats by segment of each train and class.
#[derive(Default)]
struct Count(BTreeMap<Coach, BTreeMap<u32, i64>>);

impl Count {
    fn add(&mut self, trip: &Trip, seats: i64) {
        let segments = self.0.entry((trip.run.clone(), trip.class)).or_default();
        (trip.from..trip.to).for_each(|segment| *segments.entry(segment).or_default() += seats);
    }

    fn get(&self, coach: &Coach, segment: u32) -> i64 {
        self.0.get(coach).and_then(|segments| segments.get(&segment)).copied().unwrap_or(0)
    }
}

impl Conservation {
    pub(in crate::systems::ticketing) fn new(capacities: BTreeMap<Coach, Vec<u32>>) -> Conservation {
        Conservation { invariant: Invariant::new(NAME), capacities }
    }

    /// Follows a change of the stock; a record that cannot be read is a leak, too.
    pub(in crate::systems::ticketing) fn on_change(&mut self, facts: &Facts, change: &Change, at: Duration) {
        match change {
            Change::Stock { run, class } => {
                let coach = (run.clone(), *class);
                let Some(stock) = facts.stock.get(&coach) else { return };
                for (segment, remaining) in stock {
                    let of_train = self.capacities.get(&coach).and_then(|all| all.get(*segment as usize));
                    let capacity = i64::from(of_train.copied().unwrap_or(0));
                    self.invariant.check(at, (0..=capacity).contains(remaining), || {
                        let what = format!(
                            "{run}, {class} class, segment {segment}: {remaining} seats remain of {capacity}"
                        );
                        (what, Vec::new())
                    });
                }
            }
            Change::Unreadable { key, why } => {
                self.invariant
                    .check(at, false, || (format!("the record {key} cannot be read: {why}"), Vec::new()));
            }
            _ => {}
        }
    }

    /// The equations at rest. A lock counts only if its order may have one: what an ended order still holds is lost.
    pub(in crate::systems::ticketing) fn conclude(&mut self, facts: &Facts, at: Duration) {
        let [mut held, mut sold, mut seated, mut ticketed, mut lost] = [(); 5].map(|()| Count::default());
        let state = |order: &str| facts.orders.get(order).map(|order| order.state);
        // The orders that have not as many seats in one place as in the others.
        let mut odd: Vec<(&str, &Trip)> = Vec::new();
        for (order, hold) in &facts.holds {
            let Some(trip) = &hold.trip else { continue };
            let valid = facts.valid_tickets(order).count();
            let (count, is_odd) = match (hold.state, state(order)) {
                (HoldState::Released, _) => (None, valid > 0),
                (HoldState::Held, Some(state)) if !state.is_final() => (Some(&mut held), valid > 0),
                (HoldState::Sold, Some(OrderState::Success)) => {
                    (Some(&mut sold), valid != hold.seats as usize)
                }
                _ => (Some(&mut lost), true),
            };
            count.into_iter().for_each(|count| count.add(trip, i64::from(hold.seats)));
            if is_odd {
                odd.push((order, trip));
            }
        }
        for (order, lock) in &facts.seat_locks {
            let (SeatLockState::Ticketed, Some(OrderState::Success), Some(trip)) =
                (lock.state, state(order), &lock.trip)
            else {
                continue;
            };
            seated.add(trip, lock.seats.len() as i64);
        }
        for order in facts.tickets_of.keys() {
            facts.valid_tickets(order).for_each(|(_, ticket)| ticketed.add(&ticket.trip, 1));
        }
        for (coach, capacities) in &self.capacities {
            for (segment, capacity) in (0_u32..).zip(capacities.iter().copied().map(i64::from)) {
                let remaining = facts.stock.get(coach).and_then(|stock| stock.get(&segment)).copied();
                let [held, sold, seated, ticketed, lost] =
                    [&held, &sold, &seated, &ticketed, &lost].map(|count| count.get(coach, segment));
                let describe = || {
                    let (run, class) = coach;
                    let is_here = |trip: &Trip| {
                        (&trip.run, trip.class) == (run, *class) && (trip.from..trip.to).contains(&segment)
                    };
                    // One explains it: the others are likely to be there for the same reason.
                    let first = odd.iter().find(|(_, trip)| is_here(trip)).map(|(order, _)| *order);
                    let hint = first.map(|order| format!("; look at order {order}")).unwrap_or_default();
                    let remaining = remaining.map_or("no".to_owned(), |remaining| remaining.to_string());
                    let what = format!(
                        "at rest, {run}, {class} class, segment {segment}: {capacity} seats exist, but {remaining} \
                         remain, {held} are held and {sold} are sold; {lost} are still taken by orders that have \
                         ended without a ticket; {seated} seats are taken for good and {ticketed} tickets are \
                         valid{hint}"
                    );
                    (what, first.map(|order| facts.operations_of(order)).unwrap_or_default())
                };
                let mut seats = Accounts::new(i128::from(capacity));
                seats.set("remaining", i128::from(remaining.unwrap_or(0)));
                seats.set("held", i128::from(held));
                seats.set("sold", i128::from(sold));
                seats.observe(&mut self.invariant, at, |_| describe());
                let agree = remaining.is_some() && sold == ticketed && seated == ticketed;
                self.invariant.check(at, agree, describe);
            }
        }
    }

    pub(in crate::systems::ticketing) fn invariant(&self) -> &Invariant {
        &self.invariant
    }
}
