//! What the hashes in Redis hold, as types: read by the services and by the checks of the harness.
//!
//! Each record is parsed from pairs of field and value in any order. Unknown fields are ignored, so that a field
//! can be added without breaking those who read.
use std::{fmt::Display, str::FromStr};

use crate::domain::{Class, HoldState, OrderState, PaymentState, SeatLockState, TicketState, Trip};

/// Why a hash is not the record that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The hash has no fields, which is how Redis shows a key that does not exist.
    #[error("no such record")]
    Absent,
    /// A field that the record cannot do without.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field that cannot be read.
    #[error("the field {field} cannot be read: {why}")]
    Unreadable {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// The fields of one hash.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Fields<'a> {
    /// Collects the fields of a hash.
    ///
    /// # Errors
    /// [`RecordError::Absent`] when there are none.
    pub fn new(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Fields<'a>, RecordError> {
        let fields: Vec<_> = fields.into_iter().collect();
        if fields.is_empty() { Err(RecordError::Absent) } else { Ok(Fields(fields)) }
    }

    /// The text of a field; `None` when the field is absent or empty.
    ///
    /// # Errors
    /// [`RecordError::Unreadable`] when it is no UTF-8.
    pub fn text(&self, field: &'static str) -> Result<Option<&'a str>, RecordError> {
        let Some((_, value)) = self.0.iter().find(|(name, _)| *name == field.as_bytes()) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value)
            .map_err(|error| RecordError::Unreadable { field, why: error.to_string() })?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// A field read as a `T`; `None` when the field is absent or empty.
    ///
    /// # Errors
    /// [`RecordError::Unreadable`] when it is none.
    pub fn optional<T: FromStr<Err: Display>>(&self, field: &'static str) -> Result<Option<T>, RecordError> {
        let parse = |text: &str| {
            text.parse().map_err(|error: T::Err| RecordError::Unreadable { field, why: error.to_string() })
        };
        self.text(field)?.map(parse).transpose()
    }

    /// A field that must be there, read as a `T`.
    ///
    /// # Errors
    /// [`RecordError::Missing`] and [`RecordError::Unreadable`].
    pub fn required<T: FromStr<Err: Display>>(&self, field: &'static str) -> Result<T, RecordError> {
        self.optional(field)?.ok_or(RecordError::Missing(field))
    }

    /// The trip in the fields `run`, `class`, `from`, `to`; `None` when there is none.
    fn trip(&self) -> Result<Option<Trip>, RecordError> {
        let Some(run) = self.optional("run")? else { return Ok(None) };
        let (class, from, to): (Class, u32, u32) =
            (self.required("class")?, self.required("from")?, self.required("to")?);
        if from >= to {
            return Err(RecordError::Unreadable { field: "to", why: format!("{to} is not after {from}") });
        }
        Ok(Some(Trip { run, class, from, to }))
    }

    /// The comma-joined words of a field; none when it is absent or empty.
    fn list(&self, field: &'static str) -> Result<Vec<String>, RecordError> {
        Ok(self.text(field)?.map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default())
    }
}

/// `hold:{order}`: the stock that an order has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Where it stands.
    pub state: HoldState,
    /// The segments; `None` on a tombstone, written when there was nothing to release.
    pub trip: Option<Trip>,
    /// Seats taken on every segment of the trip; 0 on a tombstone.
    pub seats: u32,
    /// When it came to its state, in ms of the clock of Redis.
    pub at_ms: u64,
}

impl Hold {
    /// Reads the fields of the hash.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Hold, RecordError> {
        let fields = Fields::new(fields)?;
        Ok(Hold {
            state: fields.required("state")?,
            trip: fields.trip()?,
            seats: fields.optional("seats")?.unwrap_or(0),
            at_ms: fields.required("at_ms")?,
        })
    }
}

/// `seat-lock:{order}`: the seats that an order has picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatLock {
    /// Where it stands.
    pub state: SeatLockState,
    /// The segments; `None` on a tombstone, written when there was nothing to free.
    pub trip: Option<Trip>,
    /// Labels of the seats, one per passenger; none on a tombstone.
    pub seats: Vec<String>,
    /// When the lock expires unless the seats are ticketed by then, in ms of the clock of Redis; 0 on a tombstone.
    pub expires_ms: u64,
}

impl SeatLock {
    /// Reads the fields of the hash.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse<'a>(
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<SeatLock, RecordError> {
        let fields = Fields::new(fields)?;
        Ok(SeatLock {
            state: fields.required("state")?,
            trip: fields.trip()?,
            seats: fields.list("seats")?,
            expires_ms: fields.optional("expires_ms")?.unwrap_or(0),
        })
    }
}

/// `order:{order}`: an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Where it stands.
    pub state: OrderState,
    /// Who ordered.
    pub account: String,
    /// What is travelled.
    pub trip: Trip,
    /// Number of passengers, which is the number of seats.
    pub passengers: u32,
    /// Price of all seats together, in fen.
    pub amount_fen: u64,
    /// Currency of the amount.
    pub currency: String,
    /// The idempotency key that it was submitted with.
    pub key: String,
    /// When it was submitted, in ms of the clock of Redis.
    pub created_ms: u64,
    /// Until when it can be paid, in ms of the clock of Redis.
    pub pay_by_ms: u64,
    /// Labels of its seats; none before WAIT_PAY.
    pub seats: Vec<String>,
    /// Numbers of its tickets; none before SUCCESS.
    pub tickets: Vec<String>,
    /// Id of the payment that paid for it; `None` before PAID.
    pub payment: Option<String>,
    /// Why it ended without a ticket: `sold_out`, `abandoned`, `expired`, `cancelled`, `not_ticketed`.
    pub reason: Option<String>,
    /// Counts its moves.
    pub version: u64,
}

impl Order {
    /// Reads the fields of the hash.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Order, RecordError> {
        let fields = Fields::new(fields)?;
        Ok(Order {
            state: fields.required("state")?,
            account: fields.required("account")?,
            trip: fields.trip()?.ok_or(RecordError::Missing("run"))?,
            passengers: fields.required("passengers")?,
            amount_fen: fields.required("amount_fen")?,
            currency: fields.required("currency")?,
            key: fields.required("key")?,
            created_ms: fields.required("created_ms")?,
            pay_by_ms: fields.required("pay_by_ms")?,
            seats: fields.list("seats")?,
            tickets: fields.list("tickets")?,
            payment: fields.optional("payment")?,
            reason: fields.optional("reason")?,
            version: fields.required("version")?,
        })
    }
}

/// `payment:{payment}`: the one payment of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Where it stands.
    pub state: PaymentState,
    /// What it pays for.
    pub order: String,
    /// Who pays; `None` on a tombstone, written when an order ended before anybody asked for its payment.
    pub account: Option<String>,
    /// What is asked for, in fen; 0 on a tombstone.
    pub amount_fen: u64,
    /// What the bank says it has captured, in fen.
    pub captured_fen: u64,
    /// The highest version that the bank has told; 0 before the first.
    pub version: u64,
    /// The bank's id of it; `None` before the bank has answered.
    pub bank_id: Option<String>,
    /// Failed tries to deal with its present state.
    pub attempts: u32,
    /// Whether nothing is left to do about its present state.
    pub settled: bool,
}

impl Payment {
    /// Reads the fields of the hash.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Payment, RecordError> {
        let fields = Fields::new(fields)?;
        Ok(Payment {
            state: fields.required("state")?,
            order: fields.required("order")?,
            account: fields.optional("account")?,
            amount_fen: fields.optional("amount_fen")?.unwrap_or(0),
            captured_fen: fields.optional("captured_fen")?.unwrap_or(0),
            version: fields.required("version")?,
            bank_id: fields.optional("bank_id")?,
            attempts: fields.optional("attempts")?.unwrap_or(0),
            settled: fields.text("settled")? == Some("1"),
        })
    }
}

/// `ticket:{number}`: a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Whether it can be travelled with.
    pub state: TicketState,
    /// The order that it was issued for.
    pub order: String,
    /// What is travelled.
    pub trip: Trip,
    /// Label of the seat.
    pub seat: String,
    /// Which passenger of the order travels with it, from 1.
    pub passenger: u32,
}

impl Ticket {
    /// Reads the fields of the hash.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Ticket, RecordError> {
        let fields = Fields::new(fields)?;
        Ok(Ticket {
            state: fields.required("state")?,
            order: fields.required("order")?,
            trip: fields.trip()?.ok_or(RecordError::Missing("run"))?,
            seat: fields.required("seat")?,
            passenger: fields.required("passenger")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &'static str) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
        text.split_whitespace().map(|pair| {
            let (field, value) = pair.split_once('=').unwrap_or((pair, ""));
            (field.as_bytes(), value.as_bytes())
        })
    }

    #[test]
    fn an_order_is_read_in_any_order_of_fields() {
        let order = Order::parse(hash(
            "version=3 pay_by_ms=9 created_ms=8 key=k currency=CNY amount_fen=700 passengers=2 to=4 from=1 \
             class=second run=R@2017-03-31 account=alice state=WAIT_PAY seats=01-02,01-03 tickets= unknown=x",
        ))
        .expect("a complete order");
        assert_eq!(order.state, OrderState::WaitPay);
        assert_eq!(order.trip.segments(), 3);
        assert_eq!(order.seats, ["01-02", "01-03"]);
        assert!(order.tickets.is_empty());
        assert_eq!(order.payment, None);
    }

    #[test]
    fn a_tombstone_is_a_hold_without_a_trip() {
        let hold = Hold::parse(hash("state=RELEASED at_ms=5")).expect("a tombstone");
        assert_eq!((hold.state, hold.trip, hold.seats), (HoldState::Released, None, 0));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(Hold::parse(hash("")), Err(RecordError::Absent));
        assert_eq!(Hold::parse(hash("state=HELD")), Err(RecordError::Missing("at_ms")));
        let error = Hold::parse(hash("state=LOST at_ms=1")).expect_err("no such state");
        assert_eq!(error.to_string(), "the field state cannot be read: \"LOST\" is no hold state");
        assert!(Hold::parse(hash("state=HELD at_ms=1 run=R class=first from=2 to=2")).is_err());
        assert!(Ticket::parse([(&b"state"[..], &b"\xff"[..])]).is_err());
    }
}
