//! Issuing the tickets of a paid order, or compensating when that is not possible.
//!
//! Every step is idempotent by the order id, and the order stays on the list of work until it is in a final state:
//! whoever takes it up goes through all steps again and finds those done that were done. Which way an order goes is
//! decided by its one move out of TICKETING, to SUCCESS or to FAIL; whoever comes second goes the same way.
use std::sync::Arc;

use crate::{
    api::{AboutOrder, GiveBack, Issued, MoveOutcome, Moved, OrderRecord, RefundOutcome},
    domain::{OrderState, PaymentState},
    ids::{OrderId, TicketNumber},
    inventory::stock::moved,
    keys,
    service::{Outcome, script, store::unexpected},
};

use super::TicketingService;

script!(ISSUE, "issue.lua");
script!(VOID, "void.lua");

impl TicketingService {
    /// Work of `ticketing-work`: brings a paid order to its end.
    pub(super) async fn work(self: Arc<Self>, order: OrderId) {
        if self.bring_to_end(order).await.is_err() {
            self.work.postpone(order).await;
        }
    }

    async fn bring_to_end(&self, order: OrderId) -> Outcome<()> {
        let record: OrderRecord = self.tell_order(order, "ticketing", &()).await?;
        match record.state {
            OrderState::Ticketing => self.issue(&record).await,
            OrderState::Fail => self.compensate(&record).await,
            _ => self.work.done(order).await,
        }
    }

    /// Seats, stock, ticket numbers, and then the order is a success.
    async fn issue(&self, record: &OrderRecord) -> Outcome<()> {
        let about = AboutOrder { order: record.order };
        let within = self.config().timeouts.internal;
        let seats: Moved = self.seat.post("/internal/ticket", &about, within).await?;
        if seats == Moved::Refused {
            return self.fail(record).await;
        }
        let stock: Moved = self.inventory.post_to(&record.trip.run, "/internal/sell", &about, within).await?;
        if stock == Moved::Refused || self.is_refused_by_railway() {
            return self.fail(record).await;
        }
        if self.write_tickets(record).await? == Moved::Refused {
            return self.fail(record).await;
        }
        let issued = Issued { tickets: numbers(record).map(|number| number.to_string()).collect() };
        let outcome: MoveOutcome = self.tell_order(record.order, "success", &issued).await?;
        if outcome.state == OrderState::Fail {
            return self.compensate(record).await;
        }
        if world::mutant!("ticketing.seat-freed-after-issue") {
            let _: Moved = self.seat.post("/internal/free", &self.all_of(record), within).await?;
        }
        self.work.done(record.order).await
    }

    /// No ticket can be issued. If another worker has managed to, so much the better.
    async fn fail(&self, record: &OrderRecord) -> Outcome<()> {
        world::reachable!("ticketing.issue.impossible");
        let outcome: MoveOutcome = self.tell_order(record.order, "fail", &()).await?;
        match outcome.state {
            OrderState::Fail => self.compensate(record).await,
            _ => self.work.done(record.order).await,
        }
    }

    /// Takes back everything that the order has: tickets before seats, seats before stock, so that nothing is given
    /// to somebody else while it is still in use here. The order is closed when the money is back.
    async fn compensate(&self, record: &OrderRecord) -> Outcome<()> {
        let within = self.config().timeouts.internal;
        self.void_tickets(record).await?;
        let all = self.all_of(record);
        let _: Moved = self.seat.post("/internal/free", &all, within).await?;
        let _: Moved = self.inventory.post_to(&record.trip.run, "/internal/release", &all, within).await?;
        let about = AboutOrder { order: record.order };
        let within = self.config().timeouts.internal_with_bank;
        let refund: RefundOutcome = self.payment.post("/internal/refund", &about, within).await?;
        if refund.state != PaymentState::Refunded {
            return Err(unexpected("the refund", refund.state));
        }
        let _: MoveOutcome = self.tell_order(record.order, "compensated", &()).await?;
        self.work.done(record.order).await
    }

    /// Railway operations have the last word on a ticket; how often they refuse is a setting.
    fn is_refused_by_railway(&self) -> bool {
        let refusals = self.config().ticket_refusals;
        refusals > 0.0 && world::rand::chance(refusals)
    }

    async fn write_tickets(&self, record: &OrderRecord) -> Outcome<Moved> {
        let trip = &record.trip;
        let mut script = ISSUE.prepare_invoke();
        script.key(keys::order(record.order));
        for number in numbers(record) {
            script.key(keys::ticket(number));
        }
        script
            .arg(record.order.to_string())
            .arg(&trip.run)
            .arg(trip.class.as_str())
            .arg(trip.from)
            .arg(trip.to);
        script.arg(&record.seats);
        let reply: String = self.instance.store.run(&script).await?;
        moved("issue.lua", &reply)
    }

    async fn void_tickets(&self, record: &OrderRecord) -> Outcome<()> {
        let mut script = VOID.prepare_invoke();
        for number in numbers(record) {
            script.key(keys::ticket(number));
        }
        self.instance.store.run::<i64>(&script).await.map(|_| ())
    }

    fn all_of(&self, record: &OrderRecord) -> GiveBack {
        GiveBack { order: record.order, trip: record.trip.clone(), even_sold: true }
    }

    async fn tell_order<R: serde::de::DeserializeOwned>(
        &self,
        order: OrderId,
        what: &str,
        body: &impl serde::Serialize,
    ) -> Outcome<R> {
        self.order
            .post(&format!("/internal/orders/{order}/{what}"), body, self.config().timeouts.internal)
            .await
    }
}

/// The ticket numbers of an order: made from its id, so that issuing twice makes the same tickets.
fn numbers(record: &OrderRecord) -> impl Iterator<Item = TicketNumber> {
    (1..).zip(&record.seats).map(|(passenger, _)| record.order.ticket(passenger))
}
