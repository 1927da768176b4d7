//! How an order ends without a ticket: cancelled, not paid in time, or given up while it was being placed; and
//! giving back what it holds.
use std::sync::Arc;

use crate::{
    api::{AboutOrder, CancelView, GiveBack, Moved, RefundOutcome, code},
    domain::OrderState,
    ids::OrderId,
    records::Order,
    service::{Outcome, idempotency::Idempotent, request, store::unexpected},
};

use super::{
    OrderService,
    moves::{ABANDON, CLOSE},
    mutants,
    view::is_visible,
};

/// `reason` of an order that was not paid in time.
const EXPIRED: &str = "expired";
/// `reason` of an order that its buyer has cancelled.
const CANCELLED: &str = "cancelled";

impl OrderService {
    /// Closes an unpaid order for its buyer; the same idempotency key gives the same answer.
    pub(super) async fn cancel(&self, account: &str, key: &str, order: OrderId) -> Outcome<CancelView> {
        let record = self.orders.read(order).await?;
        if !record.is_some_and(|record| is_visible(&record, account)) {
            return Err(request::not_found("there is no such order"));
        }
        let instance = &self.orders.instance;
        let cancellation = Idempotent { account, key, digest: format!("cancel {order}") };
        let outcome = match cancellation.bind(instance, order).await?.outcome {
            Some(outcome) => outcome,
            None => {
                let closed = if world::mutant!("ticketing.cancel-left-to-expiry") {
                    mutants::close_at_the_next_sweep(&self.orders, order).await?
                } else {
                    self.orders.make(&CLOSE, order, &[("reason", CANCELLED.to_owned())]).await?
                };
                if closed.moved {
                    self.clean_up_soon(order);
                }
                // An order that is paid for may be closed later: what it is now is the answer that stays.
                cancellation.conclude(instance, order, closed.state.as_str()).await?
            }
        };
        match outcome.parse() {
            Ok(OrderState::Closed) => {
                Ok(CancelView { order_id: order.to_string(), state: OrderState::Closed })
            }
            Ok(state) => Err(request::conflict(
                code::TOO_LATE,
                format!("the order is {state} and cannot be cancelled"),
            )),
            Err(_) => Err(unexpected("bind.lua", outcome)),
        }
    }

    /// Work of `order-expiry`: closes an order that was not paid in time.
    pub(super) async fn expire(self: Arc<Self>, order: OrderId) {
        let reason = [("reason", EXPIRED.to_owned())];
        let closed = if world::mutant!("ticketing.expiry-overwrites-payment") {
            mutants::close_unseen(&self.orders, order, &reason).await
        } else {
            self.orders.make(&CLOSE, order, &reason).await
        };
        let outcome = match closed {
            // Paid or cancelled meanwhile, and off the list by that.
            Ok(outcome) if !outcome.moved => {
                world::reachable!("ticketing.order.settled-while-expiring");
                self.expiry.done(order).await
            }
            Ok(_) => return self.clean_up(order).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.expiry.postpone(order).await;
        }
    }

    /// Work of `order-placing`: gives up an order that nobody has finished placing.
    pub(super) async fn abandon(self: Arc<Self>, order: OrderId) {
        let outcome = match self.orders.make(&ABANDON, order, &[("reason", code::ABANDONED.to_owned())]).await
        {
            // Opened or rejected meanwhile, and off the list by that.
            Ok(outcome) if !outcome.moved => self.placing.done(order).await,
            Ok(_) => {
                world::reachable!("ticketing.order.abandoned");
                return self.clean_up(order).await;
            }
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.placing.postpone(order).await;
        }
    }

    /// Cleans up at once, without keeping the caller waiting. If this host crashes, the list brings it back.
    pub(super) fn clean_up_soon(&self, order: OrderId) {
        if let Some(service) = self.me.upgrade() {
            world::task::spawn(service.clean_up(order));
        }
    }

    /// Work of `order-cleanup`: gives back everything that an ended order may hold.
    pub(super) async fn clean_up(self: Arc<Self>, order: OrderId) {
        if self.give_back(order).await.is_err() {
            world::reachable!("ticketing.order.cleanup-postponed");
            self.cleanup.postpone(order).await;
        }
    }

    /// Seats first: stock that is free again while its seat is not would be sold to somebody who finds no seat.
    async fn give_back(&self, order: OrderId) -> Outcome<()> {
        let Some(record) = self.orders.read(order).await? else { return self.cleanup.done(order).await };
        let within = self.config().timeouts.internal;
        let what = GiveBack { order, trip: record.trip.clone(), even_sold: false };
        let _: Moved = self.seat.post("/internal/free", &what, within).await?;
        if !keeps_stock_by_mistake(&record) {
            let _: Moved = self.inventory.post_to(&what.trip.run, "/internal/release", &what, within).await?;
        }
        // A rejected order never was one that could be paid.
        if record.state == OrderState::Closed {
            let about = AboutOrder { order };
            let within = self.config().timeouts.internal_with_bank;
            // Whatever it answers, the payment service has taken note and sees to it.
            let _: RefundOutcome = self.payment.post("/internal/refund", &about, within).await?;
        }
        self.cleanup.done(order).await
    }
}

fn keeps_stock_by_mistake(record: &Order) -> bool {
    world::mutant!("ticketing.stock-not-returned-on-payment-timeout")
        && record.reason.as_deref() == Some(EXPIRED)
}
