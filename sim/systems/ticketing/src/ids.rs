//! Ids. Each begins with the shard of the train run that it is about, so that whoever is given one knows without a
//! lookup where to look.
//!
//! | id | spelling |
//! | --- | --- |
//! | order | `{shard}-{snowflake}` |
//! | payment, the one of its order | `p{order}` |
//! | ticket | `{order}-{passenger, from 1}` |
//! | queue token | `{shard}-{position of the run in the sale}-{16 hex digits, random}` |
//!
//! An id has one spelling only. Any other text is the id of nothing, and is refused where it comes in.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::shards::{Shard, canonical};

/// The text cannot be the id of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such {0}")]
pub struct NoSuchId(&'static str);

/// An id that belongs to a shard.
pub trait Id: Copy + fmt::Display + FromStr<Err = NoSuchId> {
    /// The shard of the train run that it is about.
    fn shard(self) -> Shard;
}

/// An id is sent as its text.
macro_rules! as_text {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NoSuchId;
            fn try_from(text: String) -> Result<$name, NoSuchId> {
                text.parse()
            }
        }
    };
}

/// Id of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct OrderId {
    shard: Shard,
    snowflake: u64,
}

impl OrderId {
    /// The order with this number in a shard.
    pub fn new(shard: Shard, snowflake: u64) -> OrderId {
        OrderId { shard, snowflake }
    }

    /// Its one payment.
    pub fn payment(self) -> PaymentId {
        PaymentId(self)
    }

    /// The ticket of one of its passengers, who count from 1.
    pub fn ticket(self, passenger: u32) -> TicketNumber {
        TicketNumber { order: self, passenger }
    }
}

impl Id for OrderId {
    fn shard(self) -> Shard {
        self.shard
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shard.fmt(f)?;
        f.write_str("-")?;
        self.snowflake.fmt(f)
    }
}

impl FromStr for OrderId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<OrderId, NoSuchId> {
        let (shard, snowflake) = text.split_once('-').ok_or(NoSuchId("order"))?;
        match (shard.parse(), canonical(snowflake)) {
            (Ok(shard), Some(snowflake)) => Ok(OrderId { shard, snowflake }),
            _ => Err(NoSuchId("order")),
        }
    }
}

as_text!(OrderId);

/// Id of the one payment of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PaymentId(OrderId);

impl PaymentId {
    /// The order that it pays for.
    pub fn order(self) -> OrderId {
        self.0
    }
}

impl Id for PaymentId {
    fn shard(self) -> Shard {
        self.0.shard
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("p")?;
        self.0.fmt(f)
    }
}

impl FromStr for PaymentId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<PaymentId, NoSuchId> {
        let order = text.strip_prefix('p').and_then(|order| order.parse().ok());
        order.map(PaymentId).ok_or(NoSuchId("payment"))
    }
}

as_text!(PaymentId);

/// Number of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketNumber {
    order: OrderId,
    passenger: u32,
}

impl Id for TicketNumber {
    fn shard(self) -> Shard {
        self.order.shard
    }
}

impl fmt::Display for TicketNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.order, self.passenger)
    }
}

impl FromStr for TicketNumber {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<TicketNumber, NoSuchId> {
        let (order, passenger) = text.rsplit_once('-').ok_or(NoSuchId("ticket"))?;
        let passenger = canonical(passenger).and_then(|passenger| u32::try_from(passenger).ok());
        match (order.parse(), passenger) {
            (Ok(order), Some(passenger)) => Ok(TicketNumber { order, passenger }),
            _ => Err(NoSuchId("ticket")),
        }
    }
}

/// A place in the admission queue of a train run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueToken {
    shard: Shard,
    run: u32,
    random: u64,
}

impl QueueToken {
    /// A token for the run at this position of the sale, in its shard.
    pub fn new(shard: Shard, run: u32, random: u64) -> QueueToken {
        QueueToken { shard, run, random }
    }

    /// Position of the run in the sale.
    pub fn run(self) -> usize {
        self.run as usize
    }
}

impl Id for QueueToken {
    fn shard(self) -> Shard {
        self.shard
    }
}

impl fmt::Display for QueueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:016x}", self.shard, self.run, self.random)
    }
}

impl FromStr for QueueToken {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<QueueToken, NoSuchId> {
        let none = NoSuchId("queue token");
        let mut parts = text.splitn(3, '-');
        let (Some(shard), Some(run), Some(random)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(none);
        };
        let is_hex =
            random.len() == 16 && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let run = canonical(run).and_then(|run| u32::try_from(run).ok());
        match (shard.parse(), run, u64::from_str_radix(random, 16)) {
            (Ok(shard), Some(run), Ok(random)) if is_hex => Ok(QueueToken { shard, run, random }),
            _ => Err(none),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::Shards;

    fn shard(run: &str) -> Shard {
        Shards::default().of_run(run)
    }

    #[test]
    fn every_id_round_trips_and_knows_its_shard() {
        let shard = shard("ICE-599@2017-03-31");
        for snowflake in [0, 7, u64::MAX] {
            let order = OrderId::new(shard, snowflake);
            assert_eq!(order.to_string().parse(), Ok(order));
            assert_eq!(order.payment().to_string().parse(), Ok(order.payment()));
            assert_eq!(order.ticket(5).to_string().parse(), Ok(order.ticket(5)));
            let token = QueueToken::new(shard, 23, snowflake);
            assert_eq!(token.to_string().parse(), Ok(token));
            assert!(crate::auth::is_name(&token.to_string()), "{token}");
            let shards = [order.shard(), order.payment().shard(), order.ticket(5).shard(), token.shard()];
            assert_eq!(shards, [shard; 4]);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "", "-", "1", "1-", "-1", "01-1", "1-01", "1-+1", "1--1", "999-1", "1-1-1", "a-1", "1-1:1",
            "1-{1}",
        ] {
            assert!(text.parse::<OrderId>().is_err(), "{text}");
            assert!(format!("p{text}").parse::<PaymentId>().is_err(), "{text}");
        }
        assert!("1-1".parse::<PaymentId>().is_err());
        assert!("1-1".parse::<TicketNumber>().is_err());
        for text in ["1-1", "1-1-1", "1-1-00000000000000000", "1-1-000000000000000A", "1-1-+00000000000000f"]
        {
            assert!(text.parse::<QueueToken>().is_err(), "{text}");
        }
    }
}
