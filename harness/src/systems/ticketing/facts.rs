//! What stands in the ticket sale's store, followed change by change: the eyes of the invariants.
//!
//! The simulated Redis reports every atomic step (a command, a script, a transaction) with the keys that it changed.
//! Nothing here trusts what a service says about itself: capacities come from the timetable and the settings, the
//! rest from the store and, for money, from the bank.

use std::collections::{BTreeMap, BTreeSet};

use ticketing::config::Sale;
use ticketing::domain::{Class, HoldState, OrderState, TicketState};
use ticketing::keys::Key;
use ticketing::records::{Hold, Order, Payment, RecordError, SeatLock, Ticket};

/// A value of the store, as far as the facts need it.
pub(super) type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A record that has changed: what it was and what it is.
#[derive(Debug)]
pub(super) enum Change {
    Order { id: String, before: Option<Order> },
    Hold { order: String, before: Option<Hold> },
    SeatLock { order: String, before: Option<SeatLock> },
    Payment { id: String, before: Option<Payment> },
    Ticket { number: String, before: Option<Ticket> },
    Stock { run: String, class: Class },
    Queue { run: String },
    Unreadable { key: String, why: RecordError },
}

/// A train and class.
pub(super) type Coach = (String, Class);

/// The store as it stands.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) orders: BTreeMap<String, Order>,
    pub(super) holds: BTreeMap<String, Hold>,
    pub(super) seat_locks: BTreeMap<String, SeatLock>,
    pub(super) payments: BTreeMap<String, Payment>,
    pub(super) tickets: BTreeMap<String, Ticket>,
    /// Numbers of the tickets of each order.
    pub(super) tickets_of: BTreeMap<String, BTreeSet<String>>,
    /// Tickets that buyers have seen, and that the store has lost, by their orders.
    pub(super) lost_tickets: BTreeMap<String, Vec<Ticket>>,
    /// Remaining seats by segment; an entry that is no number is absent.
    pub(super) stock: BTreeMap<Coach, BTreeMap<u32, i64>>,
    /// `(tail, head)` of each admission queue.
    pub(super) queues: BTreeMap<String, (u64, u64)>,
    /// What is left in the lists of persisted work, by their keys.
    pub(super) work: BTreeMap<String, usize>,
    /// What is left in the lists of dead letters, by their keys.
    pub(super) dead_letters: BTreeMap<String, usize>,
    /// Operations of the history that are about an order.
    pub(super) operations: BTreeMap<String, Vec<u64>>,
    /// Orders that are not in a final state.
    pub(super) open_orders: BTreeSet<String>,
    pub(super) totals: Totals,
}

/// Sums over the records, kept up with every change.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Seats times segments of the holds that are held.
    pub(super) locked: u64,
    /// Seats times segments of the holds that are sold.
    pub(super) sold: u64,
    /// Orders by state.
    pub(super) orders: BTreeMap<OrderState, u64>,
}

impl Totals {
    fn replace_order(&mut self, before: Option<&Order>, after: Option<&Order>) {
        if let Some(count) = before.and_then(|order| self.orders.get_mut(&order.state)) {
            *count -= 1;
        }
        if let Some(order) = after {
            *self.orders.entry(order.state).or_default() += 1;
        }
    }

    fn replace_hold(&mut self, before: Option<&Hold>, after: Option<&Hold>) {
        if let Some((sum, seats)) = before.and_then(|hold| self.sum_of(hold)) {
            *sum -= seats;
        }
        if let Some((sum, seats)) = after.and_then(|hold| self.sum_of(hold)) {
            *sum += seats;
        }
    }

    /// Where a hold counts, and how much.
    fn sum_of(&mut self, hold: &Hold) -> Option<(&mut u64, u64)> {
        let sum = match hold.state {
            HoldState::Held => &mut self.locked,
            HoldState::Sold => &mut self.sold,
            HoldState::Released => return None,
        };
        Some((sum, u64::from(hold.seats) * u64::from(hold.trip.as_ref()?.segments())))
    }
}

/// Puts a record in place of another; `None` removes it. Returns what was there.
fn replace<T>(map: &mut BTreeMap<String, T>, id: &str, after: Option<T>) -> Option<T> {
    match after {
        Some(after) => map.insert(id.to_owned(), after),
        None => map.remove(id),
    }
}

/// What a hash holds, or how many members another collection has.
pub(super) enum Stored<'a> {
    Hash(Fields<'a>),
    Members(usize),
    Gone,
}

impl Facts {
    /// Does any invariant look at this key?
    pub(super) fn follows(key: Key<'_>) -> bool {
        !matches!(
            key,
            Key::RateOfAccount { .. }
                | Key::RateOfDevice { .. }
                | Key::Idempotency { .. }
                | Key::QueueToken { .. }
                | Key::QueuePlace { .. }
                | Key::Seats { .. }
        )
    }

    /// Takes in the new value of a key that it follows.
    pub(super) fn apply(&mut self, key: Key<'_>, stored: Stored<'_>) -> Option<Change> {
        match self.apply_parsed(key, stored) {
            Ok(change) => change,
            Err(why) => Some(Change::Unreadable { key: key.to_string(), why }),
        }
    }

    fn apply_parsed(&mut self, key: Key<'_>, stored: Stored<'_>) -> Result<Option<Change>, RecordError> {
        let fields = match stored {
            Stored::Hash(fields) => Some(fields),
            Stored::Members(count) => {
                self.set_work(key, count);
                return Ok(None);
            }
            Stored::Gone => {
                self.set_work(key, 0);
                None
            }
        };
        Ok(Some(match key {
            Key::Order { order } => {
                let order = order.to_string();
                let after = fields.map(Order::parse).transpose()?;
                match &after {
                    Some(after) if !after.state.is_final() => self.open_orders.insert(order.clone()),
                    _ => self.open_orders.remove(&order),
                };
                let before = replace(&mut self.orders, &order, after);
                self.totals.replace_order(before.as_ref(), self.orders.get(&order));
                Change::Order { before, id: order }
            }
            Key::Hold { order } => {
                let (order, after) = (order.to_string(), fields.map(Hold::parse).transpose()?);
                let before = replace(&mut self.holds, &order, after);
                self.totals.replace_hold(before.as_ref(), self.holds.get(&order));
                Change::Hold { before, order }
            }
            Key::SeatLock { order } => {
                let (order, after) = (order.to_string(), fields.map(SeatLock::parse).transpose()?);
                Change::SeatLock { before: replace(&mut self.seat_locks, &order, after), order }
            }
            Key::Payment { payment } => {
                let (id, after) = (payment.to_string(), fields.map(Payment::parse).transpose()?);
                Change::Payment { before: replace(&mut self.payments, &id, after), id }
            }
            Key::Ticket { number } => {
                self.apply_ticket(number.to_string(), fields.map(Ticket::parse).transpose()?)
            }
            Key::Stock { run, class, .. } => {
                let remaining = fields.unwrap_or_default().into_iter().filter_map(segment_count).collect();
                self.stock.insert((run.to_owned(), class), remaining);
                Change::Stock { run: run.to_owned(), class }
            }
            Key::Queue { run, .. } => {
                let fields = fields.unwrap_or_default();
                self.queues.insert(run.to_owned(), (number(&fields, "tail"), number(&fields, "head")));
                Change::Queue { run: run.to_owned() }
            }
            _ => return Ok(None),
        }))
    }

    fn apply_ticket(&mut self, number: String, after: Option<Ticket>) -> Change {
        if let Some(after) = &after {
            self.tickets_of.entry(after.order.clone()).or_default().insert(number.clone());
        }
        Change::Ticket { before: replace(&mut self.tickets, &number, after), number }
    }

    fn set_work(&mut self, key: Key<'_>, members: usize) {
        match key {
            Key::Work { .. } => self.work.insert(key.to_string(), members),
            Key::PaymentDeadLetter { .. } => self.dead_letters.insert(key.to_string(), members),
            _ => None,
        };
    }

    /// The valid tickets of an order.
    pub(super) fn valid_tickets(&self, order: &str) -> impl Iterator<Item = (&String, &Ticket)> {
        let numbers = self.tickets_of.get(order).into_iter().flatten();
        let tickets = numbers.filter_map(|number| self.tickets.get_key_value(number));
        tickets.filter(|(_, ticket)| ticket.state == TicketState::Valid)
    }

    /// The tickets of an order that are in its buyer's hands although the store has lost them.
    pub(super) fn lost_tickets(&self, order: &str) -> impl Iterator<Item = &Ticket> {
        self.lost_tickets.get(order).into_iter().flatten()
    }

    /// Payments waiting for an operator.
    pub(super) fn dead_letters(&self) -> usize {
        self.dead_letters.values().sum()
    }

    /// Is there neither an open order nor persisted work? Dead letters wait for an operator and do not count.
    pub(super) fn at_rest(&self) -> bool {
        self.open_orders.is_empty() && self.work.values().all(|members| *members == 0)
    }

    /// The operations of the history that are about an order.
    pub(super) fn operations_of(&self, order: &str) -> Vec<u64> {
        self.operations.get(order).cloned().unwrap_or_default()
    }
}

fn segment_count((field, value): (&[u8], &[u8])) -> Option<(u32, i64)> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(field)?.parse().ok()?, text(value)?.parse().ok()?))
}

/// A field of a hash as a whole number; 0 when it is absent.
fn number(fields: &Fields<'_>, name: &str) -> u64 {
    let field = fields.iter().find(|(field, _)| *field == name.as_bytes());
    let text = field.and_then(|(_, value)| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Seats of every train and class: from the timetable and the settings, not from the store.
pub(super) fn capacities(sale: &Sale) -> BTreeMap<Coach, Vec<u32>> {
    let coaches = sale.runs().iter().flat_map(|run| {
        let segments = run.segments() as usize;
        run.classes
            .iter()
            .map(move |class| ((run.train.id.clone(), class.class), vec![class.seats; segments]))
    });
    coaches.collect()
}
