//! The moves of the order state machine: each changes the state and the lists of persisted work in one step.
//!
//! ```text
//! PLACING ──open──▶ WAIT_PAY ──paid──▶ PAID ──ticketing──▶ TICKETING ──success──▶ SUCCESS
//!    │                 │                                       └──fail──▶ FAIL ──compensated──▶ CLOSED
//!    │                 └──close──▶ CLOSED ┐
//!    └──reject, abandon──▶ REJECTED ──────┴─▶ order-cleanup, unless nothing was held
//! ```
//!
//! The cancellation by the buyer is the move `close` as well.
use std::time::Duration;

use redis::Script;

use crate::{
    api::MoveOutcome,
    domain::OrderState,
    ids::{Id, OrderId},
    keys,
    records::Order,
    service::{
        Instance, Outcome, request, script,
        store::{millis, unexpected},
    },
};

script!(TRANSITION, "transition.lua");

/// A move of an order.
pub(super) struct Move {
    from: OrderState,
    to: OrderState,
    /// List of work that the order leaves, or none.
    leaves: Option<&'static str>,
    /// List of work that it enters, or none.
    enters: Option<&'static str>,
}

/// Stock and seats are held: the order exists for its buyer and waits for money.
pub(super) const OPEN: Move = Move {
    from: OrderState::Placing,
    to: OrderState::WaitPay,
    leaves: Some(keys::ORDER_PLACING),
    enters: Some(keys::ORDER_EXPIRY),
};

/// Sold out before anything was held.
pub(super) const REJECT: Move = Move {
    from: OrderState::Placing,
    to: OrderState::Rejected,
    leaves: Some(keys::ORDER_PLACING),
    enters: None,
};

/// Given up while it was being placed: something may be held, or be on its way to being held.
pub(super) const ABANDON: Move = Move {
    from: OrderState::Placing,
    to: OrderState::Rejected,
    leaves: Some(keys::ORDER_PLACING),
    enters: Some(keys::ORDER_CLEANUP),
};

/// Not paid in time.
pub(super) const CLOSE: Move = Move {
    from: OrderState::WaitPay,
    to: OrderState::Closed,
    leaves: Some(keys::ORDER_EXPIRY),
    enters: Some(keys::ORDER_CLEANUP),
};

/// The money has arrived: tickets are owed.
pub(super) const PAID: Move = Move {
    from: OrderState::WaitPay,
    to: OrderState::Paid,
    leaves: Some(keys::ORDER_EXPIRY),
    enters: Some(keys::TICKETING_WORK),
};

/// The ticketing service has begun.
pub(super) const TICKETING: Move =
    Move { from: OrderState::Paid, to: OrderState::Ticketing, leaves: None, enters: None };

/// Tickets are issued.
pub(super) const SUCCESS: Move = Move {
    from: OrderState::Ticketing,
    to: OrderState::Success,
    leaves: Some(keys::TICKETING_WORK),
    enters: None,
};

/// No ticket can be issued; the ticketing service compensates.
pub(super) const FAIL: Move =
    Move { from: OrderState::Ticketing, to: OrderState::Fail, leaves: None, enters: None };

/// Seat, stock and money are back.
pub(super) const COMPENSATED: Move =
    Move { from: OrderState::Fail, to: OrderState::Closed, leaves: Some(keys::TICKETING_WORK), enters: None };

impl Move {
    /// Whether the order may hold something that has to be given back.
    pub(super) fn needs_cleanup(&self) -> bool {
        self.enters == Some(keys::ORDER_CLEANUP)
    }
}

/// When the work on the list that an order enters is due.
pub(super) enum Due {
    /// At a time of the clock of Redis, in ms.
    At(u64),
    /// After a wait.
    In(Duration),
}

/// All orders.
pub(super) struct Orders {
    pub(super) instance: Instance,
}

impl Orders {
    /// Reads an order; `None` when there is none.
    pub(super) async fn read(&self, order: OrderId) -> Outcome<Option<Order>> {
        self.instance.store.record(keys::order(order), |fields| Order::parse(fields)).await
    }

    /// Makes a move, if the order is where it begins; work on the new list is due when the lease of the caller ends.
    pub(super) async fn make(
        &self,
        step: &Move,
        order: OrderId,
        fields: &[(&str, String)],
    ) -> Outcome<MoveOutcome> {
        self.make_due(step, order, fields, Due::In(self.instance.config.work.lease)).await
    }

    /// [`Orders::make`], with the time when the work on the new list is due.
    pub(super) async fn make_due(
        &self,
        step: &Move,
        order: OrderId,
        fields: &[(&str, String)],
        due: Due,
    ) -> Outcome<MoveOutcome> {
        self.make_by(&TRANSITION, step, order, fields, due).await
    }

    /// Makes a move by this script.
    pub(super) async fn make_by(
        &self,
        transition: &Script,
        step: &Move,
        order: OrderId,
        fields: &[(&str, String)],
        due: Due,
    ) -> Outcome<MoveOutcome> {
        let mut script = transition.prepare_invoke();
        script.key(keys::order(order)).arg(order.to_string()).arg(step.from.as_str()).arg(step.to.as_str());
        let mut keys = 1;
        for list in [step.leaves, step.enters] {
            match list {
                Some(list) => {
                    keys += 1;
                    script.key(keys::work(order.shard(), list)).arg(keys)
                }
                None => script.arg(0),
            };
        }
        match due {
            Due::At(ms) => script.arg(ms),
            Due::In(wait) => script.arg(format!("+{}", millis(wait))),
        };
        for (field, value) in fields {
            script.arg(field).arg(value);
        }
        let (moved, state): (bool, String) = self.instance.store.run(&script).await?;
        if state.is_empty() {
            return Err(request::not_found("there is no such order"));
        }
        let state = state.parse().map_err(|_| unexpected("transition.lua", &state))?;
        Ok(MoveOutcome { moved, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_is_legal() {
        for step in [OPEN, REJECT, ABANDON, CLOSE, PAID, TICKETING, SUCCESS, FAIL, COMPENSATED] {
            assert!(step.from.can_become(step.to), "{} -> {}", step.from, step.to);
            for list in [step.leaves, step.enters].into_iter().flatten() {
                assert!(keys::WORK.contains(&list), "{list}");
            }
        }
    }

    #[test]
    fn a_final_state_is_on_no_list_but_the_cleanup() {
        for step in [OPEN, REJECT, ABANDON, CLOSE, PAID, TICKETING, SUCCESS, FAIL, COMPENSATED] {
            if step.to.is_final() {
                assert!(step.leaves.is_some());
                assert!(step.enters.is_none_or(|list| list == keys::ORDER_CLEANUP));
            }
        }
    }
}
