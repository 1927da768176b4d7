//! The layout of the keys in Redis. No other place knows how a key is spelt: services make their keys here and
//! the checks of the harness read them back with [`Key::parse`].
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `stock:{run}:{class}` | hash | segment index → seats that remain |
//! | `hold:{order}` | hash | [`records::Hold`](crate::records::Hold) |
//! | `seats:{run}:{class}` | hash | seat label → a character per segment, `0` free, `1` taken |
//! | `seat-lock:{order}` | hash | [`records::SeatLock`](crate::records::SeatLock) |
//! | `seat-lock-expiry` | zset | orders whose seats are only locked, by expiry in ms |
//! | `order:{order}` | hash | [`records::Order`](crate::records::Order) |
//! | `order-placing`, `order-expiry`, `order-cleanup` | zset | order ids that still need work, by the time when it is due in ms |
//! | `idem:{account}:{key}` | hash | what an idempotency key was used for: `order`, `digest`, perhaps `outcome` |
//! | `queue:{run}` | hash | the admission queue: `tail`, `head`, `credit_milli`, `advanced_ms`, `remaining` |
//! | `queue-token:{token}` | hash | a place in it: `run`, `position`, `account`, `order`, `joined_ms` |
//! | `queue-place:{run}:{account}` | string | the token of an account that already waits |
//! | `rate:account:{account}`, `rate:device:{device}` | string | token bucket: when it is full again, in µs since 1970 |
//! | `payment:{payment}` | hash | [`records::Payment`](crate::records::Payment) |
//! | `payment-work`, `payment-watch` | zset | payment ids to act on, and to ask the bank about, by due time in ms |
//! | `payment-dead-letter` | list | payment ids whose work was given up |
//! | `ticket:{number}` | hash | [`records::Ticket`](crate::records::Ticket) |
//! | `ticketing-work` | zset | paid orders without ticket, by due time in ms |
//!
//! A `{…}` never contains a colon, except the idempotency key, which comes last.
use std::fmt;

use crate::domain::Class;

/// Orders that are being placed: those that nobody finishes are given up when due.
pub const ORDER_PLACING: &str = "order-placing";
/// Orders that wait for money: closed when due.
pub const ORDER_EXPIRY: &str = "order-expiry";
/// Orders that ended without a ticket and may still hold stock, a seat or money.
pub const ORDER_CLEANUP: &str = "order-cleanup";
/// Orders whose seats are locked: freed when due.
pub const SEAT_LOCK_EXPIRY: &str = "seat-lock-expiry";
/// Payments with news that are not dealt with yet.
pub const PAYMENT_WORK: &str = "payment-work";
/// Payments without news: the bank is asked when due.
pub const PAYMENT_WATCH: &str = "payment-watch";
/// Payments whose work failed too often.
pub const PAYMENT_DEAD_LETTER: &str = "payment-dead-letter";
/// Paid orders that have no ticket yet.
pub const TICKETING_WORK: &str = "ticketing-work";

/// Every sorted set of persisted work. At rest all of them are empty.
pub const WORK: &[&str] = &[
    ORDER_PLACING,
    ORDER_EXPIRY,
    ORDER_CLEANUP,
    SEAT_LOCK_EXPIRY,
    PAYMENT_WORK,
    PAYMENT_WATCH,
    TICKETING_WORK,
];

/// A key of the ticket sale; `Display` writes it as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'a> {
    /// Remaining seats of each segment.
    Stock {
        /// Train run.
        run: &'a str,
        /// Class.
        class: Class,
    },
    /// Stock taken by an order.
    Hold {
        /// Order id.
        order: &'a str,
    },
    /// Occupation of each seat.
    Seats {
        /// Train run.
        run: &'a str,
        /// Class.
        class: Class,
    },
    /// Seats picked by an order.
    SeatLock {
        /// Order id.
        order: &'a str,
    },
    /// An order.
    Order {
        /// Order id.
        order: &'a str,
    },
    /// Use of an idempotency key.
    Idempotency {
        /// Account that sent it.
        account: &'a str,
        /// The key as sent.
        key: &'a str,
    },
    /// Admission queue.
    Queue {
        /// Train run.
        run: &'a str,
    },
    /// Place in an admission queue.
    QueueToken {
        /// The token.
        token: &'a str,
    },
    /// Token of an account in the queue of a run.
    QueuePlace {
        /// Train run.
        run: &'a str,
        /// Account.
        account: &'a str,
    },
    /// Token bucket of an account.
    RateOfAccount {
        /// Account.
        account: &'a str,
    },
    /// Token bucket of a device.
    RateOfDevice {
        /// Device id.
        device: &'a str,
    },
    /// A payment.
    Payment {
        /// Payment id.
        payment: &'a str,
    },
    /// A ticket.
    Ticket {
        /// Ticket number.
        number: &'a str,
    },
    /// One of [`WORK`].
    Work(&'static str),
    /// The list [`PAYMENT_DEAD_LETTER`].
    PaymentDeadLetter,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Stock { run, class } => write!(f, "stock:{run}:{class}"),
            Key::Hold { order } => write!(f, "hold:{order}"),
            Key::Seats { run, class } => write!(f, "seats:{run}:{class}"),
            Key::SeatLock { order } => write!(f, "seat-lock:{order}"),
            Key::Order { order } => write!(f, "order:{order}"),
            Key::Idempotency { account, key } => write!(f, "idem:{account}:{key}"),
            Key::Queue { run } => write!(f, "queue:{run}"),
            Key::QueueToken { token } => write!(f, "queue-token:{token}"),
            Key::QueuePlace { run, account } => write!(f, "queue-place:{run}:{account}"),
            Key::RateOfAccount { account } => write!(f, "rate:account:{account}"),
            Key::RateOfDevice { device } => write!(f, "rate:device:{device}"),
            Key::Payment { payment } => write!(f, "payment:{payment}"),
            Key::Ticket { number } => write!(f, "ticket:{number}"),
            Key::Work(name) => f.write_str(name),
            Key::PaymentDeadLetter => f.write_str(PAYMENT_DEAD_LETTER),
        }
    }
}

impl<'a> Key<'a> {
    /// Reads a key back; `None` for one that the ticket sale does not make.
    pub fn parse(key: &'a [u8]) -> Option<Key<'a>> {
        let key = std::str::from_utf8(key).ok()?;
        let Some((kind, rest)) = key.split_once(':') else {
            return match key {
                PAYMENT_DEAD_LETTER => Some(Key::PaymentDeadLetter),
                _ => WORK.iter().find(|work| **work == key).map(|work| Key::Work(work)),
            };
        };
        let pair = || rest.split_once(':');
        let of_class =
            |pair: Option<(&'a str, &str)>| pair.and_then(|(run, class)| Some((run, class.parse().ok()?)));
        Some(match kind {
            "stock" => of_class(pair()).map(|(run, class)| Key::Stock { run, class })?,
            "hold" => Key::Hold { order: rest },
            "seats" => of_class(pair()).map(|(run, class)| Key::Seats { run, class })?,
            "seat-lock" => Key::SeatLock { order: rest },
            "order" => Key::Order { order: rest },
            "idem" => pair().map(|(account, key)| Key::Idempotency { account, key })?,
            "queue" => Key::Queue { run: rest },
            "queue-token" => Key::QueueToken { token: rest },
            "queue-place" => pair().map(|(run, account)| Key::QueuePlace { run, account })?,
            "rate" => match pair()? {
                ("account", account) => Key::RateOfAccount { account },
                ("device", device) => Key::RateOfDevice { device },
                _ => return None,
            },
            "payment" => Key::Payment { payment: rest },
            "ticket" => Key::Ticket { number: rest },
            _ => return None,
        })
    }
}

/// Remaining seats of each segment of a run and class.
pub fn stock(run: &str, class: Class) -> String {
    Key::Stock { run, class }.to_string()
}

/// Stock that an order has taken.
pub fn hold(order: &str) -> String {
    Key::Hold { order }.to_string()
}

/// Occupation of each seat of a run and class.
pub fn seats(run: &str, class: Class) -> String {
    Key::Seats { run, class }.to_string()
}

/// Seats that an order has picked.
pub fn seat_lock(order: &str) -> String {
    Key::SeatLock { order }.to_string()
}

/// An order.
pub fn order(order: &str) -> String {
    Key::Order { order }.to_string()
}

/// What an account has used an idempotency key for.
pub fn idempotency(account: &str, key: &str) -> String {
    Key::Idempotency { account, key }.to_string()
}

/// Admission queue of a run.
pub fn queue(run: &str) -> String {
    Key::Queue { run }.to_string()
}

/// A place in an admission queue.
pub fn queue_token(token: &str) -> String {
    Key::QueueToken { token }.to_string()
}

/// The token of an account in the queue of a run.
pub fn queue_place(run: &str, account: &str) -> String {
    Key::QueuePlace { run, account }.to_string()
}

/// Token bucket of an account.
pub fn rate_of_account(account: &str) -> String {
    Key::RateOfAccount { account }.to_string()
}

/// Token bucket of a device.
pub fn rate_of_device(device: &str) -> String {
    Key::RateOfDevice { device }.to_string()
}

/// A payment.
pub fn payment(payment: &str) -> String {
    Key::Payment { payment }.to_string()
}

/// A ticket.
pub fn ticket(number: &str) -> String {
    Key::Ticket { number }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_round_trips() {
        let run = "ICE-599@2017-03-31";
        let keys = [
            Key::Stock { run, class: Class::First },
            Key::Hold { order: "o1" },
            Key::Seats { run, class: Class::Second },
            Key::SeatLock { order: "o1" },
            Key::Order { order: "o1" },
            Key::Idempotency { account: "alice", key: "a:b:c" },
            Key::Queue { run },
            Key::QueueToken { token: "t1" },
            Key::QueuePlace { run, account: "alice" },
            Key::RateOfAccount { account: "alice" },
            Key::RateOfDevice { device: "phone" },
            Key::Payment { payment: "p1" },
            Key::Ticket { number: "n1" },
            Key::PaymentDeadLetter,
        ];
        for key in keys.into_iter().chain(WORK.iter().map(|work| Key::Work(work))) {
            assert_eq!(Key::parse(key.to_string().as_bytes()), Some(key));
        }
    }

    #[test]
    fn foreign_keys_are_not_ours() {
        for key in [
            "",
            "stock",
            "stock:run",
            "stock:run:third",
            "rate:x",
            "rate:planet:x",
            "something:else",
            "idem:x",
        ] {
            assert_eq!(Key::parse(key.as_bytes()), None, "{key}");
        }
        assert_eq!(Key::parse(&[0xff, b':']), None);
    }
}
