//! Changes of the store as lines of the run's story.

use record::story::{self, Kind, Line};
use ticketing::domain::Trip;

use super::facts::{Change, Facts};

/// Tells a change that has just happened, if somebody wants to know.
pub(super) fn tell(facts: &Facts, change: &Change) {
    story::tell(|| Line {
        at: world::sim::elapsed(),
        host: world::host::name(),
        kind: Kind::State,
        trace: String::new(),
        text: text(facts, change),
    });
}

fn text(facts: &Facts, change: &Change) -> String {
    match change {
        Change::Order { id, before } => {
            let now = facts.orders.get(id);
            let what = now.map(|order| {
                let reason = order.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
                format!(
                    "{}, {} seats of {}, {}{reason}",
                    order.account,
                    order.passengers,
                    ride(&order.trip),
                    fen(order.amount_fen)
                )
            });
            line("order", id, before.as_ref().map(|order| order.state), now.map(|order| order.state), what)
        }
        Change::Hold { order, before } => {
            let now = facts.holds.get(order);
            let what = now.map(|hold| match &hold.trip {
                Some(trip) => format!("{} seats of {}", hold.seats, ride(trip)),
                None => format!("{} seats", hold.seats),
            });
            line(
                "hold of stock for order",
                order,
                before.as_ref().map(|hold| hold.state),
                now.map(|hold| hold.state),
                what,
            )
        }
        Change::SeatLock { order, before } => {
            let now = facts.seat_locks.get(order);
            let what = now.map(|lock| format!("seats {}", lock.seats.join(", ")));
            line(
                "lock of seats for order",
                order,
                before.as_ref().map(|lock| lock.state),
                now.map(|lock| lock.state),
                what,
            )
        }
        Change::Payment { id, before } => {
            let now = facts.payments.get(id);
            let what = now.map(|payment| {
                format!(
                    "of order {}, {} captured of {}",
                    payment.order,
                    fen(payment.captured_fen),
                    fen(payment.amount_fen)
                )
            });
            line(
                "payment",
                id,
                before.as_ref().map(|payment| payment.state),
                now.map(|payment| payment.state),
                what,
            )
        }
        Change::Ticket { number, before } => {
            let now = facts.tickets.get(number);
            let what = now.map(|ticket| {
                format!("of order {}, seat {}, {}", ticket.order, ticket.seat, ride(&ticket.trip))
            });
            line(
                "ticket",
                number,
                before.as_ref().map(|ticket| ticket.state),
                now.map(|ticket| ticket.state),
                what,
            )
        }
        Change::Stock { run, class } => {
            let stock = facts.stock.get(&(run.clone(), *class));
            let left = stock.map(|left| {
                left.iter().map(|(segment, left)| format!("{segment}: {left}")).collect::<Vec<_>>()
            });
            format!("stock of {run}, {class} class: {}", left.unwrap_or_default().join(", "))
        }
        Change::Queue { run } => {
            let (tail, head) = facts.queues.get(run).copied().unwrap_or_default();
            format!("queue of {run}: {tail} have come, {head} are admitted")
        }
        Change::Unreadable { key, why } => format!("{key} cannot be read: {why}"),
    }
}

fn ride(trip: &Trip) -> String {
    format!("{} {} class, segments {} to {}", trip.run, trip.class, trip.from, trip.to.saturating_sub(1))
}

fn fen(amount: u64) -> String {
    format!("{amount} fen")
}

fn line(
    what: &str,
    id: &str,
    before: Option<impl std::fmt::Display + PartialEq>,
    after: Option<impl std::fmt::Display + PartialEq>,
    details: Option<String>,
) -> String {
    let states = match (before, after) {
        (None, Some(after)) => format!("{after}"),
        (Some(before), Some(after)) if before.to_string() == after.to_string() => format!("{after}"),
        (Some(before), Some(after)) => format!("{before} ⇒ {after}"),
        (Some(before), None) => format!("{before} ⇒ gone"),
        (None, None) => "gone".to_owned(),
    };
    let details = details.map(|details| format!(" ({details})")).unwrap_or_default();
    format!("{what} {id}: {states}{details}")
}
