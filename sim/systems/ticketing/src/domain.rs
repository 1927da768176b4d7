//! The words of the ticket sale and the moves that its states may make: classes, trips, orders, holds, seat
//! locks, payments, tickets.
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Currency of every amount. Amounts are integer numbers of fen, a hundredth of it.
pub const CURRENCY: &str = "CNY";

/// Passengers that one order can carry.
pub const PASSENGERS_MAX: u32 = 5;

/// A word that is none of those that the type knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is no {of}")]
pub struct UnknownWord {
    /// What was read.
    pub word: String,
    /// What it should have been.
    pub of: &'static str,
}

/// An enum whose variants are stored and sent as fixed words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident ($of:literal) { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word that is stored and sent.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(UnknownWord { word: word.to_owned(), of: $of }),
                }
            }
        }
    };
}

words! {
    /// Class of a seat.
    Class ("class") {
        /// First class.
        First = "first",
        /// Second class.
        Second = "second",
    }
}

words! {
    /// State of an order (ticketing spec, order states), with two before the buyer knows of it.
    OrderState ("order state") {
        /// Stock and seat are being taken; not yet an order for its buyer.
        Placing = "PLACING",
        /// It never became an order: sold out, or given up while it was being placed. Final.
        Rejected = "REJECTED",
        /// Stock and seat are held until the payment deadline.
        WaitPay = "WAIT_PAY",
        /// The money is captured; tickets are owed.
        Paid = "PAID",
        /// Tickets are being issued.
        Ticketing = "TICKETING",
        /// Tickets are issued. Final in the selling core; aftersales may go on from here.
        Success = "SUCCESS",
        /// No ticket could be issued; seat, stock and money are on their way back.
        Fail = "FAIL",
        /// Nothing is held and nothing stays charged. Final.
        Closed = "CLOSED",
        /// Aftersales: the ticket is being given back.
        Refund = "REFUND",
        /// Aftersales: the ticket is being exchanged.
        Change = "CHANGE",
    }
}

impl OrderState {
    /// Whether the order may move from this state to `next` in one step. Staying is no move.
    pub const fn can_become(self, next: OrderState) -> bool {
        use OrderState::*;
        matches!(
            (self, next),
            (Placing, WaitPay | Rejected)
                | (WaitPay, Paid | Closed)
                | (Paid, Ticketing)
                | (Ticketing, Success | Fail)
                | (Fail, Closed)
                | (Success, Refund | Change)
                | (Refund, Closed)
                | (Change, Success)
        )
    }

    /// Whether the money of an order in this state stays: it pays for tickets, or somebody who deals with it as part
    /// of the order (compensation, aftersales) gives it back.
    pub const fn keeps_money(self) -> bool {
        use OrderState::*;
        matches!(self, Paid | Ticketing | Success | Fail | Refund | Change)
    }

    /// Whether an order may rest in this state for ever.
    pub const fn is_final(self) -> bool {
        matches!(self, OrderState::Rejected | OrderState::Success | OrderState::Closed)
    }
}

words! {
    /// State of the stock that an order has taken.
    HoldState ("hold state") {
        /// Taken for an order that is not ticketed yet.
        Held = "HELD",
        /// Taken for good.
        Sold = "SOLD",
        /// Given back; also written when nothing was taken, so that a deduction that comes late finds it.
        Released = "RELEASED",
    }
}

impl HoldState {
    /// Whether a hold may move from this state to `next` in one step.
    pub const fn can_become(self, next: HoldState) -> bool {
        use HoldState::*;
        // Sold stock comes back only when issuing the ticket failed afterwards (compensation).
        matches!((self, next), (Held, Sold | Released) | (Sold, Released))
    }
}

words! {
    /// State of the seats that an order has picked.
    SeatLockState ("seat lock state") {
        /// Kept for an order that is not ticketed yet; expires.
        Locked = "LOCKED",
        /// Taken for good.
        Ticketed = "TICKETED",
        /// Given back; also written when nothing was picked, so that a pick that comes late finds it.
        Freed = "FREED",
    }
}

impl SeatLockState {
    /// Whether a lock may move from this state to `next` in one step.
    pub const fn can_become(self, next: SeatLockState) -> bool {
        use SeatLockState::*;
        // A ticketed seat is freed only when issuing the ticket failed afterwards (compensation).
        matches!((self, next), (Locked, Ticketed | Freed) | (Ticketed, Freed))
    }
}

words! {
    /// State of the one payment of an order.
    PaymentState ("payment state") {
        /// Asked for, not captured yet.
        Created = "CREATED",
        /// The buyer's money has arrived.
        Captured = "CAPTURED",
        /// The money has to go back; the bank is being told.
        Refunding = "REFUNDING",
        /// The bank has given all of it back. Final.
        Refunded = "REFUNDED",
        /// Given up before any capture. A capture that comes all the same is refunded.
        Closed = "CLOSED",
        /// The bank has refused it. Final.
        Failed = "FAILED",
    }
}

impl PaymentState {
    /// Whether a payment may move from this state to `next` in one step.
    pub const fn can_become(self, next: PaymentState) -> bool {
        use PaymentState::*;
        matches!(
            (self, next),
            (Created, Captured | Refunding | Closed | Failed)
                | (Captured | Closed | Failed, Refunding)
                | (Refunding, Refunded)
        )
    }
}

words! {
    /// State of a ticket.
    TicketState ("ticket state") {
        /// Its holder travels.
        Valid = "VALID",
        /// Taken back.
        Void = "VOID",
    }
}

/// A ride on one train on one date: all segments from station index `from` up to station index `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Trip {
    /// Id of the train run.
    pub run: String,
    /// Class of the seats.
    pub class: Class,
    /// Index of the station where it begins, which is that of its first segment.
    pub from: u32,
    /// Index of the station where it ends, which is one more than that of its last segment.
    pub to: u32,
}

impl Trip {
    /// Number of segments that it takes.
    pub fn segments(&self) -> u32 {
        self.to.saturating_sub(self.from)
    }

    /// Whether both trips need a seat of the same train and class on a common segment.
    pub fn overlaps(&self, other: &Trip) -> bool {
        self.run == other.run && self.class == other.class && self.from < other.to && other.from < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for state in OrderState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for class in Class::ALL {
            assert_eq!(class.to_string().parse(), Ok(*class));
        }
        assert!("wait_pay".parse::<OrderState>().is_err());
    }

    /// Follows every legal move from `start` and says whether `start` can come back.
    fn returns<S: Copy + PartialEq>(start: S, all: &[S], can: impl Fn(S, S) -> bool) -> bool {
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(from) = reached.get(next).copied() {
            next += 1;
            for to in all.iter().copied().filter(|to| can(from, *to)) {
                if to == start {
                    return true;
                }
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
        }
        false
    }

    #[test]
    fn states_only_move_forward() {
        for state in OrderState::ALL {
            // A change gives a new ticket to a successful order: the only way that leads back.
            let may_return = matches!(state, OrderState::Success | OrderState::Change);
            assert_eq!(returns(*state, OrderState::ALL, OrderState::can_become), may_return, "{state}");
        }
        for state in HoldState::ALL {
            assert!(!returns(*state, HoldState::ALL, HoldState::can_become), "{state}");
        }
        for state in SeatLockState::ALL {
            assert!(!returns(*state, SeatLockState::ALL, SeatLockState::can_become), "{state}");
        }
        for state in PaymentState::ALL {
            assert!(!returns(*state, PaymentState::ALL, PaymentState::can_become), "{state}");
        }
    }

    #[test]
    fn only_aftersales_leave_a_final_state() {
        for (from, to) in
            OrderState::ALL.iter().flat_map(|from| OrderState::ALL.iter().map(move |to| (*from, *to)))
        {
            if from.is_final() && from.can_become(to) {
                assert!(matches!(to, OrderState::Refund | OrderState::Change), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn trips_overlap_on_a_common_segment_only() {
        let trip = |from, to| Trip { run: "R@2017-03-31".to_owned(), class: Class::Second, from, to };
        assert!(trip(0, 3).overlaps(&trip(2, 4)));
        assert!(!trip(0, 3).overlaps(&trip(3, 4)));
        assert!(!trip(0, 3).overlaps(&Trip { class: Class::First, ..trip(0, 3) }));
        assert_eq!(trip(1, 4).segments(), 3);
    }
}
