//! The layout of the keys in Redis. No other place knows how a key is spelt: services make their keys here and
//! the checks of the harness read them back with [`Key::parse`].
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `stock:{s/N}:RUN:CLASS` | hash | segment index → seats that remain |
//! | `hold:{s/N}:ORDER` | hash | [`records::Hold`](crate::records::Hold) |
//! | `seats:{s/N}:RUN:CLASS` | hash | seat label → a character per segment, `0` free, `1` taken |
//! | `seat-lock:{s/N}:ORDER` | hash | [`records::SeatLock`](crate::records::SeatLock) |
//! | `seat-lock-expiry:{s/N}` | zset | orders whose seats are only locked, by expiry in ms |
//! | `order:{s/N}:ORDER` | hash | [`records::Order`](crate::records::Order) |
//! | `order-placing:{s/N}`, `order-expiry:{s/N}`, `order-cleanup:{s/N}` | zset | order ids that still need work, by the time when it is due in ms |
//! | `idem:{ACCOUNT}:KEY` | hash | what an idempotency key is used for: `digest`, `order`, perhaps `outcome` |
//! | `queue:{s/N}:RUN` | hash | the admission queue: `tail`, `head`, `credit_milli`, `advanced_ms`, `remaining` |
//! | `queue-token:{s/N}:TOKEN` | hash | a place in it: `run`, `position`, `account`, `joined_ms`, perhaps `order` |
//! | `queue-place:{s/N}:RUN:ACCOUNT` | hash | the place of an account that waits: `token`, `position` |
//! | `rate:account:{ACCOUNT}`, `rate:device:{DEVICE}` | string | empty; a token bucket, which is full again when the key expires |
//! | `payment:{s/N}:PAYMENT` | hash | [`records::Payment`](crate::records::Payment) |
//! | `payment-work:{s/N}`, `payment-watch:{s/N}` | zset | payment ids to act on, and to ask the bank about, by due time in ms |
//! | `payment-dead-letter:{s/N}` | list | payment ids whose work was given up |
//! | `ticket:{s/N}:NUMBER` | hash | [`records::Ticket`](crate::records::Ticket) |
//! | `ticketing-work:{s/N}` | zset | paid orders without ticket, by due time in ms |
//!
//! Braces are part of the key: they enclose its hash tag, which alone decides on its slot in a Redis Cluster (Redis
//! Cluster specification, hash tags). `{s/N}` is the tag of the [shard](crate::shards) N, spelt so that CRC16 puts the
//! shards into slots that are far apart; `{ACCOUNT}` and `{DEVICE}` are tags of their own. A part in capitals never
//! contains a colon or a brace, except the idempotency key, which comes last, after the tag.
use std::fmt::{self, Display};

use crate::{
    domain::Class,
    ids::{Id, OrderId, PaymentId, QueueToken, TicketNumber},
    shards::Shard,
};

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

/// The sorted sets of persisted work that every shard has. At rest all of them are empty.
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
        /// Shard of the run.
        shard: Shard,
        /// Train run.
        run: &'a str,
        /// Class.
        class: Class,
    },
    /// Stock taken by an order.
    Hold {
        /// Order id.
        order: OrderId,
    },
    /// Occupation of each seat.
    Seats {
        /// Shard of the run.
        shard: Shard,
        /// Train run.
        run: &'a str,
        /// Class.
        class: Class,
    },
    /// Seats picked by an order.
    SeatLock {
        /// Order id.
        order: OrderId,
    },
    /// An order.
    Order {
        /// Order id.
        order: OrderId,
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
        /// Shard of the run.
        shard: Shard,
        /// Train run.
        run: &'a str,
    },
    /// Place in an admission queue.
    QueueToken {
        /// The token.
        token: QueueToken,
    },
    /// Place of an account in the queue of a run.
    QueuePlace {
        /// Shard of the run.
        shard: Shard,
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
        payment: PaymentId,
    },
    /// A ticket.
    Ticket {
        /// Ticket number.
        number: TicketNumber,
    },
    /// One of [`WORK`].
    Work {
        /// Shard of its members.
        shard: Shard,
        /// Which one.
        list: &'static str,
    },
    /// The list [`PAYMENT_DEAD_LETTER`].
    PaymentDeadLetter {
        /// Shard of its members.
        shard: Shard,
    },
}

/// What begins with a word and the tag of a shard. In pieces, not by `write!`: keys are made for every command.
fn in_shard(f: &mut fmt::Formatter<'_>, kind: &str, shard: Shard) -> fmt::Result {
    f.write_str(kind)?;
    f.write_str(":{s/")?;
    shard.fmt(f)?;
    f.write_str("}")
}

/// A key that belongs to an id.
fn of_id(f: &mut fmt::Formatter<'_>, kind: &str, id: impl Id) -> fmt::Result {
    in_shard(f, kind, id.shard())?;
    f.write_str(":")?;
    id.fmt(f)
}

/// A key that belongs to a class of a train run.
fn of_class(f: &mut fmt::Formatter<'_>, kind: &str, shard: Shard, run: &str, class: Class) -> fmt::Result {
    in_shard(f, kind, shard)?;
    write!(f, ":{run}:{class}")
}

/// A token bucket.
fn bucket(f: &mut fmt::Formatter<'_>, kind: &str, name: &str) -> fmt::Result {
    f.write_str(kind)?;
    f.write_str(":{")?;
    f.write_str(name)?;
    f.write_str("}")
}

impl Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Key::Stock { shard, run, class } => of_class(f, "stock", shard, run, class),
            Key::Hold { order } => of_id(f, "hold", order),
            Key::Seats { shard, run, class } => of_class(f, "seats", shard, run, class),
            Key::SeatLock { order } => of_id(f, "seat-lock", order),
            Key::Order { order } => of_id(f, "order", order),
            Key::Idempotency { account, key } => write!(f, "idem:{{{account}}}:{key}"),
            Key::Queue { shard, run } => {
                in_shard(f, "queue", shard)?;
                f.write_str(":")?;
                f.write_str(run)
            }
            Key::QueueToken { token } => of_id(f, "queue-token", token),
            Key::QueuePlace { shard, run, account } => {
                in_shard(f, "queue-place", shard)?;
                write!(f, ":{run}:{account}")
            }
            Key::RateOfAccount { account } => bucket(f, "rate:account", account),
            Key::RateOfDevice { device } => bucket(f, "rate:device", device),
            Key::Payment { payment } => of_id(f, "payment", payment),
            Key::Ticket { number } => of_id(f, "ticket", number),
            Key::Work { shard, list } => in_shard(f, list, shard),
            Key::PaymentDeadLetter { shard } => in_shard(f, PAYMENT_DEAD_LETTER, shard),
        }
    }
}

impl<'a> Key<'a> {
    /// Reads a key back; `None` for one that the ticket sale does not make.
    pub fn parse(key: &'a [u8]) -> Option<Key<'a>> {
        let (kind, rest) = std::str::from_utf8(key).ok()?.split_once(':')?;
        match kind {
            "idem" => {
                let (account, key) = rest.strip_prefix('{')?.split_once("}:")?;
                Some(Key::Idempotency { account, key })
            }
            "rate" => {
                let (of, name) = rest.strip_suffix('}')?.split_once(":{")?;
                match of {
                    "account" => Some(Key::RateOfAccount { account: name }),
                    "device" => Some(Key::RateOfDevice { device: name }),
                    _ => None,
                }
            }
            _ => {
                let (shard, rest) = rest.strip_prefix("{s/")?.split_once('}')?;
                let shard = shard.parse().ok()?;
                match rest.strip_prefix(':') {
                    Some(rest) => Key::parse_within(shard, kind, rest),
                    None if rest.is_empty() => Key::parse_list(shard, kind),
                    None => None,
                }
            }
        }
    }

    /// Reads what follows the tag of a shard.
    fn parse_within(shard: Shard, kind: &str, rest: &'a str) -> Option<Key<'a>> {
        /// An id that belongs there.
        fn id<T: Id>(shard: Shard, text: &str) -> Option<T> {
            text.parse().ok().filter(|id: &T| id.shard() == shard)
        }
        let of_class = || {
            let (run, class) = rest.split_once(':')?;
            Some((run, class.parse().ok()?))
        };
        Some(match kind {
            "stock" => of_class().map(|(run, class)| Key::Stock { shard, run, class })?,
            "hold" => Key::Hold { order: id(shard, rest)? },
            "seats" => of_class().map(|(run, class)| Key::Seats { shard, run, class })?,
            "seat-lock" => Key::SeatLock { order: id(shard, rest)? },
            "order" => Key::Order { order: id(shard, rest)? },
            "queue" => Key::Queue { shard, run: rest },
            "queue-token" => Key::QueueToken { token: id(shard, rest)? },
            "queue-place" => {
                rest.split_once(':').map(|(run, account)| Key::QueuePlace { shard, run, account })?
            }
            "payment" => Key::Payment { payment: id(shard, rest)? },
            "ticket" => Key::Ticket { number: id(shard, rest)? },
            _ => return None,
        })
    }

    /// A key that ends with the tag of its shard.
    fn parse_list(shard: Shard, kind: &str) -> Option<Key<'a>> {
        if kind == PAYMENT_DEAD_LETTER {
            return Some(Key::PaymentDeadLetter { shard });
        }
        WORK.iter().find(|list| **list == kind).map(|list| Key::Work { shard, list })
    }
}

/// Remaining seats of each segment of a run and class.
pub fn stock(shard: Shard, run: &str, class: Class) -> String {
    Key::Stock { shard, run, class }.to_string()
}

/// Stock that an order has taken.
pub fn hold(order: OrderId) -> String {
    Key::Hold { order }.to_string()
}

/// Occupation of each seat of a run and class.
pub fn seats(shard: Shard, run: &str, class: Class) -> String {
    Key::Seats { shard, run, class }.to_string()
}

/// Seats that an order has picked.
pub fn seat_lock(order: OrderId) -> String {
    Key::SeatLock { order }.to_string()
}

/// An order.
pub fn order(order: OrderId) -> String {
    Key::Order { order }.to_string()
}

/// What an account has used an idempotency key for.
pub fn idempotency(account: &str, key: &str) -> String {
    Key::Idempotency { account, key }.to_string()
}

/// Admission queue of a run.
pub fn queue(shard: Shard, run: &str) -> String {
    Key::Queue { shard, run }.to_string()
}

/// A place in an admission queue.
pub fn queue_token(token: QueueToken) -> String {
    Key::QueueToken { token }.to_string()
}

/// The place of an account in the queue of a run.
pub fn queue_place(shard: Shard, run: &str, account: &str) -> String {
    Key::QueuePlace { shard, run, account }.to_string()
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
pub fn payment(payment: PaymentId) -> String {
    Key::Payment { payment }.to_string()
}

/// A ticket.
pub fn ticket(number: TicketNumber) -> String {
    Key::Ticket { number }.to_string()
}

/// One of the lists in [`WORK`].
pub fn work(shard: Shard, list: &'static str) -> String {
    Key::Work { shard, list }.to_string()
}

/// Payments whose work was given up.
pub fn payment_dead_letter(shard: Shard) -> String {
    Key::PaymentDeadLetter { shard }.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use redis_protocol::redis_keyslot;

    use super::*;
    use crate::shards::Shards;

    const RUN: &str = "ICE-599@2017-03-31";
    /// Slots of a Redis Cluster.
    const SLOTS: usize = 16_384;

    fn keys_of(shard: Shard) -> Vec<Key<'static>> {
        let order = OrderId::new(shard, 7_264_918_273_645);
        let own = [
            Key::Stock { shard, run: RUN, class: Class::First },
            Key::Hold { order },
            Key::Seats { shard, run: RUN, class: Class::Second },
            Key::SeatLock { order },
            Key::Order { order },
            Key::Queue { shard, run: RUN },
            Key::QueueToken { token: QueueToken::new(shard, 3, 77) },
            Key::QueuePlace { shard, run: RUN, account: "alice" },
            Key::Payment { payment: order.payment() },
            Key::Ticket { number: order.ticket(2) },
            Key::PaymentDeadLetter { shard },
        ];
        own.into_iter().chain(WORK.iter().map(|list| Key::Work { shard, list })).collect()
    }

    #[test]
    fn every_key_round_trips() {
        let others = [
            Key::Idempotency { account: "alice", key: "a:b:c" },
            Key::Idempotency { account: "alice", key: "{x}:}:" },
            Key::RateOfAccount { account: "alice" },
            Key::RateOfDevice { device: "phone" },
        ];
        for key in Shards::default().all().flat_map(keys_of).chain(others) {
            assert_eq!(Key::parse(key.to_string().as_bytes()), Some(key), "{key}");
        }
    }

    #[test]
    fn foreign_keys_are_not_ours() {
        let order = OrderId::new(Shards::new(1).of_run(RUN), 1);
        assert_eq!(Key::Order { order }.to_string(), "order:{s/0}:0-1");
        for key in [
            "",
            "stock",
            "stock:run:first",
            "stock:{s/0}:run",
            "stock:{s/0}:run:third",
            "order:0-1",
            "order:{s/1}:0-1",
            "order:{s/01}:1-1",
            "order:{s/0}",
            "order-placing",
            "order-placing:{s/0}:",
            "order-placing:{s/0}x",
            "rate:x",
            "rate:planet:{x}",
            "rate:account:x",
            "something:{s/0}:else",
            "idem:x:y",
            "idem:{x}",
        ] {
            assert_eq!(Key::parse(key.as_bytes()), None, "{key}");
        }
        assert_eq!(Key::parse(&[0xff, b':']), None);
    }

    #[test]
    fn a_shard_is_in_one_slot_and_the_shards_are_spread() {
        let slots: Vec<u16> = Shards::default()
            .all()
            .map(|shard| {
                let slots: BTreeSet<u16> =
                    keys_of(shard).iter().map(|key| redis_keyslot(key.to_string().as_bytes())).collect();
                assert_eq!(slots.len(), 1, "shard {shard}: {slots:?}");
                slots.into_iter().next().expect("a slot")
            })
            .collect();
        let mut of_masters = [0; 3];
        for slot in &slots {
            of_masters[usize::from(*slot) * of_masters.len() / SLOTS] += 1;
        }
        assert!(of_masters.iter().all(|shards| shards * 2 <= slots.len()), "{slots:?}: {of_masters:?}");
        assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), slots.len(), "{slots:?}");
    }

    #[test]
    fn an_account_is_in_a_slot_of_its_own() {
        let slot = |key: String| redis_keyslot(key.as_bytes());
        assert_eq!(slot(idempotency("alice", "k")), slot(rate_of_account("alice")));
        assert_eq!(slot(idempotency("alice", "{s/0}")), slot(idempotency("alice", "k")));
        assert_eq!(slot(rate_of_account("alice")), redis_keyslot(b"alice"));
        assert_eq!(slot(rate_of_device("phone")), redis_keyslot(b"phone"));
    }
}
