//! What must hold, during a sale and at its rest.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use partners::payment::{Ledger, ledger::EntryKind};
use redis_middleware::{Keyspace, Observer, Value};

use super::tested::{
    Config,
    config::Sale,
    domain::{Class, HoldState, OrderState, PaymentState, SeatLockState, TicketState},
    ids::{OrderId, TicketNumber},
    keys::{self, Key},
    records::{Hold, Order, Payment, SeatLock, Ticket},
};

fn fields(value: &Value) -> Vec<(&[u8], &[u8])> {
    let hash = value.as_hash().expect("a hash");
    hash.iter().map(|(field, value)| (field.as_ref(), value.as_ref())).collect()
}

/// Watches every change of the store.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

struct Seen {
    capacity: BTreeMap<(String, Class), i64>,
    orders: BTreeMap<String, OrderState>,
    holds: BTreeMap<String, HoldState>,
    locks: BTreeMap<String, SeatLockState>,
    payments: BTreeMap<String, PaymentState>,
    wrong: Vec<String>,
}

impl Watch {
    pub(crate) fn new(sale: &Sale) -> Watch {
        let mut capacity = BTreeMap::new();
        for run in sale.runs() {
            for class in &run.classes {
                capacity.insert((run.train.id.clone(), class.class), i64::from(class.seats));
            }
        }
        Watch(Arc::new(Mutex::new(Seen {
            capacity,
            orders: BTreeMap::new(),
            holds: BTreeMap::new(),
            locks: BTreeMap::new(),
            payments: BTreeMap::new(),
            wrong: Vec::new(),
        })))
    }

    pub(crate) fn observer(&self) -> Observer {
        let seen = Arc::clone(&self.0);
        Arc::new(move |changes| {
            let mut seen = seen.lock().expect("a lock");
            for (key, value) in changes.iter() {
                if let Some(value) = value {
                    seen.change(key, value, changes.keyspace());
                }
            }
        })
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.0.lock().expect("a lock").wrong.clone()
    }
}

fn moves<S: Copy + PartialEq + std::fmt::Debug>(
    known: &mut BTreeMap<String, S>,
    name: &str,
    next: S,
    can: impl Fn(S, S) -> bool,
) -> Option<String> {
    let before = known.insert(name.to_owned(), next)?;
    (before != next && !can(before, next)).then(|| format!("{name} moved from {before:?} to {next:?}"))
}

impl Seen {
    fn change(&mut self, key: &[u8], value: &Value, keyspace: &Keyspace) {
        let wrong = match Key::parse(key).expect("only keys of the sale") {
            Key::Stock { run, class, .. } => self.stock(run, class, value),
            Key::Order { order } => {
                let record = Order::parse(fields(value)).expect("an order");
                moves(&mut self.orders, &order.to_string(), record.state, OrderState::can_become)
            }
            Key::Hold { order } => {
                let record = Hold::parse(fields(value)).expect("a hold");
                moves(&mut self.holds, &order.to_string(), record.state, HoldState::can_become)
            }
            Key::SeatLock { order } => {
                let record = SeatLock::parse(fields(value)).expect("a seat lock");
                moves(&mut self.locks, &order.to_string(), record.state, SeatLockState::can_become)
            }
            Key::Payment { payment } => {
                let record = Payment::parse(fields(value)).expect("a payment");
                moves(&mut self.payments, &payment.to_string(), record.state, PaymentState::can_become)
            }
            Key::Ticket { number } => ticket(number, value, keyspace),
            _ => None,
        };
        self.wrong.extend(wrong);
    }

    fn stock(&self, run: &str, class: Class, value: &Value) -> Option<String> {
        let capacity = self.capacity.get(&(run.to_owned(), class))?;
        let bad = fields(value).into_iter().find(|(_, remaining)| {
            let remaining: i64 = String::from_utf8_lossy(remaining).parse().expect("a number");
            !(0..=*capacity).contains(&remaining)
        });
        bad.map(|(segment, remaining)| {
            let (segment, remaining) = (String::from_utf8_lossy(segment), String::from_utf8_lossy(remaining));
            format!("stock of {run} {class} segment {segment} is {remaining} of {capacity}")
        })
    }
}

/// No two valid tickets share a seat on a segment.
fn ticket(number: TicketNumber, value: &Value, keyspace: &Keyspace) -> Option<String> {
    let ticket = Ticket::parse(fields(value)).expect("a ticket");
    let mut others = keyspace.iter().filter_map(|(key, value)| match Key::parse(key)? {
        Key::Ticket { number: other } if other != number => {
            Some((other, Ticket::parse(fields(value)).expect("a ticket")))
        }
        _ => None,
    });
    let shared = others.find(|(_, other)| {
        other.state == TicketState::Valid
            && ticket.state == TicketState::Valid
            && other.seat == ticket.seat
            && other.trip.overlaps(&ticket.trip)
    });
    shared.map(|(other, _)| {
        format!("tickets {number} and {other} share seat {} of {}", ticket.seat, ticket.trip.run)
    })
}

/// Work and dead letters that are left.
pub(crate) fn work_left(keyspace: &Keyspace) -> String {
    let mut left = String::new();
    for (key, value) in keyspace.iter() {
        match Key::parse(key) {
            Some(Key::Work { shard, list }) => {
                for (member, _) in value.as_sorted_set().expect("a sorted set").iter() {
                    left += &format!("{list} of shard {shard}: {} ", String::from_utf8_lossy(member));
                }
            }
            Some(Key::PaymentDeadLetter { .. }) => left += keys::PAYMENT_DEAD_LETTER,
            _ => {}
        }
    }
    left
}

/// How many orders are in which state.
pub(crate) fn orders_by_state(keyspace: &Keyspace) -> BTreeMap<String, u64> {
    let mut states = BTreeMap::new();
    for (key, value) in keyspace.iter() {
        if let Some(Key::Order { .. }) = Key::parse(key) {
            let order = Order::parse(fields(value)).expect("an order");
            let reason = order.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            *states.entry(format!("{}{reason}", order.state)).or_default() += 1;
        }
    }
    states
}

/// Everything that must hold when nothing moves any more.
pub(crate) fn at_rest(keyspace: &Keyspace, config: &Config, ledger: &Ledger) -> Vec<String> {
    let mut wrong = conservation(keyspace, config);
    wrong.extend(seats_match(keyspace, config));
    let mut by_key: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (key, value) in keyspace.iter() {
        let Some(Key::Order { order }) = Key::parse(key) else { continue };
        let record = Order::parse(fields(value)).expect("an order");
        *by_key.entry((record.account.clone(), record.key.clone())).or_default() += 1;
        if !record.state.is_final() {
            wrong.push(format!("order {order} rests in {}", record.state));
        }
        let tickets = record.tickets.len();
        let expected = if record.state == OrderState::Success { record.passengers as usize } else { 0 };
        if tickets != expected {
            wrong.push(format!("order {order} in {} has {tickets} tickets", record.state));
        }
        wrong.extend(money(order, &record, ledger));
    }
    wrong.extend(
        by_key
            .iter()
            .filter(|(_, orders)| **orders > 1)
            .map(|(key, orders)| format!("{key:?} made {orders} orders")),
    );
    ledger.with_entries(|entries| {
        for entry in entries {
            if let EntryKind::RefundRefused { refund_ref, refusal } = &entry.kind {
                wrong.push(format!("the bank refused the refund {refund_ref}: {refusal}"));
            }
        }
    });
    wrong
}

/// A successful order is paid, once; any other has nothing charged.
fn money(order: OrderId, record: &Order, ledger: &Ledger) -> Option<String> {
    let payment = ledger.by_merchant_ref(&order.payment().to_string());
    let (captured, refunded) =
        payment.map_or((0, 0), |payment| (payment.view.captured_fen, payment.view.refunded_fen));
    let right = if record.state == OrderState::Success {
        captured == record.amount_fen && refunded == 0
    } else {
        captured == refunded
    };
    (!right).then(|| format!("order {order} in {}: captured {captured}, refunded {refunded}", record.state))
}

/// capacity = remaining + held + sold, for every segment, in holds and in tickets.
fn conservation(keyspace: &Keyspace, config: &Config) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in config.sale.runs() {
        let shard = config.shards.of_run(&run.train.id);
        for class in &run.classes {
            let stock = keys::stock(shard, &run.train.id, class.class);
            let stock = keyspace.get(stock.as_bytes()).expect("stock");
            for (segment, remaining) in fields(stock) {
                let segment: u32 = String::from_utf8_lossy(segment).parse().expect("a segment");
                let remaining: u32 = String::from_utf8_lossy(remaining).parse().expect("a number");
                let (mut held, mut ticketed) = (0, 0);
                for (key, value) in keyspace.iter() {
                    match Key::parse(key) {
                        Some(Key::Hold { .. }) => {
                            let hold = Hold::parse(fields(value)).expect("a hold");
                            let here = hold.trip.as_ref().is_some_and(|trip| {
                                trip.run == run.train.id
                                    && trip.class == class.class
                                    && (trip.from..trip.to).contains(&segment)
                            });
                            held += if here && hold.state != HoldState::Released { hold.seats } else { 0 };
                        }
                        Some(Key::Ticket { .. }) => {
                            let ticket = Ticket::parse(fields(value)).expect("a ticket");
                            let here = ticket.trip.run == run.train.id
                                && ticket.trip.class == class.class
                                && (ticket.trip.from..ticket.trip.to).contains(&segment);
                            ticketed += u32::from(here && ticket.state == TicketState::Valid);
                        }
                        _ => {}
                    }
                }
                if remaining + held != class.seats || held != ticketed {
                    let (id, class) = (&run.train.id, class);
                    wrong.push(format!(
                        "{id} {} segment {segment}: {remaining} remain, {held} held or sold, {ticketed} ticketed, of {}",
                        class.class, class.seats
                    ));
                }
            }
        }
    }
    wrong
}

/// The occupation of the seats is that of the locks that are not freed.
fn seats_match(keyspace: &Keyspace, config: &Config) -> Vec<String> {
    let mut taken: BTreeMap<(String, Class, String), Vec<u8>> = BTreeMap::new();
    for run in config.sale.runs() {
        let shard = config.shards.of_run(&run.train.id);
        for class in &run.classes {
            let seats = keys::seats(shard, &run.train.id, class.class);
            let seats = keyspace.get(seats.as_bytes()).expect("seats");
            for (label, _) in fields(seats) {
                let label = String::from_utf8_lossy(label).into_owned();
                taken.insert((run.train.id.clone(), class.class, label), vec![b'0'; run.segments() as usize]);
            }
        }
    }
    let mut wrong = Vec::new();
    for (key, value) in keyspace.iter() {
        let Some(Key::SeatLock { order }) = Key::parse(key) else { continue };
        let lock = SeatLock::parse(fields(value)).expect("a seat lock");
        let Some(trip) = lock.trip.filter(|_| lock.state != SeatLockState::Freed) else { continue };
        for seat in lock.seats {
            let bits = taken.get_mut(&(trip.run.clone(), trip.class, seat.clone())).expect("a seat");
            for segment in trip.from..trip.to {
                if std::mem::replace(&mut bits[segment as usize], b'1') == b'1' {
                    wrong.push(format!(
                        "seat {seat} of {} is locked twice, the second time by {order}",
                        trip.run
                    ));
                }
            }
        }
    }
    for ((run, class, label), bits) in taken {
        let seats = keys::seats(config.shards.of_run(&run), &run, class);
        let seats = keyspace.get(seats.as_bytes()).expect("seats");
        let stored =
            fields(seats).into_iter().find(|(field, _)| *field == label.as_bytes()).expect("the seat").1;
        if stored != bits {
            wrong.push(format!("seat {label} of {run} {class} is {}", String::from_utf8_lossy(stored)));
        }
    }
    wrong
}
