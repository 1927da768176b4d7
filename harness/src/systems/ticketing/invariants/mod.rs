//! The invariants of the ticket sale (ticketing spec, invariants 1 to 5 and 7).
//!
//! | file | promise |
//! | --- | --- |
//! | `zero_oversell` | valid tickets + live locks ≤ capacity, at every instant |
//! | `no_double_seat` | no seat is held by two parties on overlapping segments, at every instant |
//! | `conservation` | capacity = remaining + locked + sold, in the stock, the seats and the tickets |
//! | `money` | every captured payment ends as one ticketed order or one full refund |
//! | `one_outcome` | one idempotency key, one outcome; states never move backward |
//! | `admission` | the queue lets nobody in faster than its law allows |
//! | `liveness` | once faults heal, every order reaches a final state; nothing acknowledged is lost |

pub(super) mod admission;
pub(super) mod conservation;
pub(super) mod liveness;
pub(super) mod money;
pub(super) mod no_double_seat;
pub(super) mod one_outcome;
pub(super) mod zero_oversell;

/// Names in the order in which people should read them.
pub(super) const NAMES: &[&str] = &[
    zero_oversell::NAME,
    no_double_seat::NAME,
    conservation::NAME,
    money::NAME,
    one_outcome::NAME,
    admission::NAME,
    liveness::NAME,
    liveness::NO_LOST_ORDER,
];
