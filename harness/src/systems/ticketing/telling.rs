//! Changes of the store as lines of the run's story.

use std::collections::{BTreeMap, BTreeSet};

use record::story::{self, Kind, Line};
use ticketing::domain::Trip;
use ticketing::records::{Hold, Order, Payment, SeatLock, Ticket};

use super::facts::{Change, Coach, Facts};

/// Tells what changes.
#[derive(Debug)]
pub(super) struct Teller {
    /// How many segments each train has.
    segments: BTreeMap<Coach, usize>,
    /// Whose stock was whole, and has not been lost since.
    opened: BTreeSet<Coach>,
}

impl Teller {
    /// Of the trains with these seats, by segment.
    pub(super) fn new(capacities: &BTreeMap<Coach, Vec<u32>>) -> Teller {
        let segments = capacities.iter().map(|(coach, seats)| (coach.clone(), seats.len())).collect();
        Teller { segments, opened: BTreeSet::new() }
    }

    /// Tells a change that has just happened, if somebody wants to know.
    pub(super) fn tell(&mut self, facts: &Facts, change: &Change) {
        if !story::is_told() || self.is_opening(facts, change) {
            return;
        }
        story::tell(|| Line {
            at: world::sim::elapsed(),
            host: world::host::name(),
            peer: None,
            is_answer: false,
            kind: Kind::State,
            trace: String::new(),
            text: text(facts, change),
        });
    }

    /// Stock is opened segment by segment: that is one thing, and told when all of it is there.
    fn is_opening(&mut self, facts: &Facts, change: &Change) -> bool {
        let Change::Stock { run, class } = change else { return false };
        let coach = (run.clone(), *class);
        let known = facts.stock.get(&coach).map_or(0, BTreeMap::len);
        if known == 0 {
            self.opened.remove(&coach);
        } else if self.segments.get(&coach).is_none_or(|all| known >= *all) {
            self.opened.insert(coach);
        } else {
            return !self.opened.contains(&coach);
        }
        false
    }
}

fn text(facts: &Facts, change: &Change) -> String {
    match change {
        Change::Order { id, before } => {
            let details = |order: &Order| {
                let reason = order.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
                format!(
                    "{}, {} seats of {}, {}{reason}",
                    order.account,
                    order.passengers,
                    ride(&order.trip),
                    fen(order.amount_fen)
                )
            };
            let now = facts.orders.get(id);
            line("order", id, before.as_ref(), now, |order| order.state.to_string(), details)
        }
        Change::Hold { order, before } => {
            let details = |hold: &Hold| match &hold.trip {
                Some(trip) => format!("{} seats of {}", hold.seats, ride(trip)),
                None => format!("{} seats", hold.seats),
            };
            let now = facts.holds.get(order);
            let state = |hold: &Hold| hold.state.to_string();
            line("hold of stock for order", order, before.as_ref(), now, state, details)
        }
        Change::SeatLock { order, before } => {
            let details = |lock: &SeatLock| format!("seats {}", lock.seats.join(", "));
            let now = facts.seat_locks.get(order);
            let state = |lock: &SeatLock| lock.state.to_string();
            line("lock of seats for order", order, before.as_ref(), now, state, details)
        }
        Change::Payment { id, before } => {
            let details = |payment: &Payment| {
                let (captured, amount) = (fen(payment.captured_fen), fen(payment.amount_fen));
                format!("of order {}, {captured} captured of {amount}", payment.order)
            };
            let now = facts.payments.get(id);
            line("payment", id, before.as_ref(), now, |payment| payment.state.to_string(), details)
        }
        Change::Ticket { number, before } => {
            let details = |ticket: &Ticket| {
                format!("of order {}, seat {}, {}", ticket.order, ticket.seat, ride(&ticket.trip))
            };
            let now = facts.tickets.get(number);
            line("ticket", number, before.as_ref(), now, |ticket| ticket.state.to_string(), details)
        }
        Change::Stock { run, class } => {
            let stock = facts.stock.get(&(run.clone(), *class));
            let left = stock.filter(|stock| !stock.is_empty()).map_or_else(|| "gone".to_owned(), remaining);
            format!("stock of {run}, {class} class: {left}")
        }
        Change::Queue { run } => {
            let (tail, head) = facts.queues.get(run).copied().unwrap_or_default();
            format!("queue of {run}: {tail} have come, {head} are admitted")
        }
        Change::Unreadable { key, why } => format!("{key} cannot be read: {why}"),
    }
}

/// `0 to 6: 2, 7: 1, 8 to 20: 2`: what remains on each segment, neighbours with as many seats together.
fn remaining(stock: &BTreeMap<u32, i64>) -> String {
    let segments: Vec<(u32, i64)> = stock.iter().map(|(segment, left)| (*segment, *left)).collect();
    let stretches = segments.chunk_by(|(one, left), (next, as_many)| one + 1 == *next && left == as_many);
    let text = |stretch: &[(u32, i64)]| match stretch {
        [(first, left), .., (last, _)] => format!("{first} to {last}: {left}"),
        [(only, left)] => format!("{only}: {left}"),
        [] => String::new(),
    };
    stretches.map(text).collect::<Vec<_>>().join(", ")
}

fn ride(trip: &Trip) -> String {
    format!("{} {} class, segments {} to {}", trip.run, trip.class, trip.from, trip.to.saturating_sub(1))
}

fn fen(amount: u64) -> String {
    format!("{amount} fen")
}

/// A thing with its state before and after the change, `None` where there was none.
fn line<T>(
    what: &str,
    id: &str,
    before: Option<&T>,
    after: Option<&T>,
    state: impl Fn(&T) -> String,
    details: impl FnOnce(&T) -> String,
) -> String {
    let states = match (before.map(&state), after.map(&state)) {
        (Some(before), Some(after)) if before != after => format!("{before} ⇒ {after}"),
        (_, Some(after)) => after,
        (Some(before), None) => format!("{before} ⇒ gone"),
        (None, None) => "gone".to_owned(),
    };
    let details = after.map(|after| format!(" ({})", details(after))).unwrap_or_default();
    format!("{what} {id}: {states}{details}")
}

#[cfg(test)]
mod tests {
    use ticketing::domain::Class;

    use super::*;

    fn stock(left: &[(u32, i64)]) -> BTreeMap<u32, i64> {
        left.iter().copied().collect()
    }

    #[test]
    fn what_remains_is_told_by_stretches_of_the_ride() {
        let told = |left: &[(u32, i64)]| remaining(&stock(left));
        assert_eq!(told(&[(0, 2), (1, 2), (2, 1), (3, 2), (4, 2)]), "0 to 1: 2, 2: 1, 3 to 4: 2");
        assert_eq!(told(&[(0, 2), (2, 2)]), "0: 2, 2: 2", "nothing is known of the segment between");
    }

    #[test]
    fn stock_is_told_when_all_of_it_is_there_and_when_some_or_all_is_lost() {
        let coach = ("ICE 1".to_owned(), Class::Second);
        let mut teller = Teller::new(&BTreeMap::from([(coach.clone(), vec![2, 2, 2])]));
        let change = Change::Stock { run: coach.0.clone(), class: coach.1 };
        let mut told = |left: &[(u32, i64)]| {
            let mut facts = Facts::default();
            facts.stock.insert(coach.clone(), stock(left));
            (!teller.is_opening(&facts, &change)).then(|| text(&facts, &change))
        };
        assert_eq!(told(&[(0, 2)]), None);
        assert_eq!(told(&[(0, 2), (1, 2)]), None);
        let whole = told(&[(0, 2), (1, 2), (2, 2)]);
        assert_eq!(whole.as_deref(), Some("stock of ICE 1, second class: 0 to 2: 2"));
        let part = told(&[(0, 2), (2, 2)]);
        assert_eq!(part.as_deref(), Some("stock of ICE 1, second class: 0: 2, 2: 2"), "it was whole before");
        assert_eq!(told(&[]).as_deref(), Some("stock of ICE 1, second class: gone"));
        assert_eq!(told(&[(0, 2)]), None, "opened again");
    }
}
