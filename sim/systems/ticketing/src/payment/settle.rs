//! What has to be done about a payment in each of its states, until nothing is left: telling the order that the
//! money has arrived, giving it back, closing the payment at the bank.
use std::sync::Arc;

use http::StatusCode;

use crate::{
    api::{MoveOutcome, Paid, RefundOutcome, Replayed},
    domain::PaymentState,
    ids::{Id, OrderId, PaymentId},
    keys,
    records::Payment,
    service::{
        Outcome, request, script,
        store::{millis, unexpected},
    },
};

use super::{PaymentService, bank::BankState};

script!(UNWIND, "unwind.lua");
script!(SETTLE, "settle.lua");
script!(RETRY, "retry.lua");
script!(REPLAY, "replay.lua");

impl PaymentService {
    /// Work of `payment-work`. A failure is retried after 1, 2, 4, 8… s and goes to the dead letters after the last.
    pub(super) async fn work(self: Arc<Self>, payment: PaymentId) {
        if self.settle(payment).await.is_err() {
            world::reachable!("ticketing.payment.work-to-be-retried");
            let rules = &self.config().work;
            let mut script = RETRY.prepare_invoke();
            script.key(keys::payment(payment)).key(keys::work(payment.shard(), keys::PAYMENT_WORK));
            script.key(keys::payment_dead_letter(payment.shard()));
            script.arg(payment.to_string()).arg(rules.retries_max).arg(millis(rules.retry_first));
            // If even this fails, the work comes back when the lease ends.
            let _: Outcome<i64> = self.instance.store.run(&script).await;
        }
    }

    /// Does what the state of a payment asks for, and then what the next one asks for.
    async fn settle(&self, payment: PaymentId) -> Outcome<()> {
        loop {
            let record =
                self.instance.store.record(keys::payment(payment), |fields| Payment::parse(fields)).await?;
            let record = record.ok_or_else(|| request::not_found("there is no such payment"))?;
            match record.state {
                PaymentState::Captured => {
                    if self.is_wanted(payment).await? {
                        return self.settled(payment, record.state).await;
                    }
                    self.unwind(payment).await?;
                }
                PaymentState::Refunding if world::mutant!("ticketing.late-payment-not-refunded") => {
                    return self.settled(payment, record.state).await;
                }
                PaymentState::Refunding => self.refund_at_bank(payment, &record).await?,
                PaymentState::Closed if !record.settled => self.close_at_bank(payment, &record).await?,
                _ => return self.settled(payment, record.state).await,
            }
        }
    }

    /// Tells the order that its money has arrived; whether the order has use for it.
    async fn is_wanted(&self, payment: PaymentId) -> Outcome<bool> {
        let path = format!("/internal/orders/{}/paid", payment.order());
        let body = Paid { payment };
        let order: MoveOutcome = self.order.post(&path, &body, self.config().timeouts.internal).await?;
        if world::mutant!("ticketing.callback-not-idempotent") {
            return Ok(order.moved);
        }
        Ok(order.state.keeps_money())
    }

    /// Gives back everything that was captured. The reference is the same at each try: the bank does it once.
    async fn refund_at_bank(&self, payment: PaymentId, record: &Payment) -> Outcome<()> {
        world::always!(
            record.captured_fen > 0,
            "ticketing.payment.refunds-what-was-captured",
            "payment {payment} is to be refunded, and nothing was captured"
        );
        let bank_id =
            record.bank_id.as_deref().ok_or_else(|| unexpected("news.lua", "a capture without bank id"))?;
        let try_number =
            if world::mutant!("ticketing.refund-reference-per-attempt") { record.attempts } else { 0 };
        let refund_ref = format!("r{payment}-{try_number}");
        let refunded = match self.bank.refund(&refund_ref, bank_id, record.captured_fen).await {
            Err(error) if error.status == StatusCode::CONFLICT => {
                self.bank.find(payment).await?.ok_or(error)?
            }
            answer => answer?,
        };
        self.moved_on(payment, PaymentState::Refunding, self.take_in(payment, &refunded).await?.state)
    }

    /// Closes the payment at the bank, so that it cannot be captured. If the bank has captured it already, that is
    /// news, and leads to a refund.
    async fn close_at_bank(&self, payment: PaymentId, record: &Payment) -> Outcome<()> {
        let bank_id = match &record.bank_id {
            Some(bank_id) => bank_id.clone(),
            // Our request to create it may still be on its way: made first and closed then, it stays closed.
            None => self.bank.create(payment, record.amount_fen).await?.bank_id,
        };
        let closed = match self.bank.close(&bank_id).await {
            Err(error) if error.status == StatusCode::CONFLICT => {
                world::reachable!("ticketing.payment.captured-while-closing");
                self.bank.find(payment).await?.ok_or(error)?
            }
            answer => answer?,
        };
        let state = self.take_in(payment, &closed).await?.state;
        match closed.state {
            BankState::Closed => self.settled(payment, PaymentState::Closed).await,
            _ => self.moved_on(payment, PaymentState::Closed, state),
        }
    }

    /// An answer of the bank that leaves a payment where it was is a failure, to be tried again later.
    fn moved_on(&self, payment: PaymentId, before: PaymentState, now: PaymentState) -> Outcome<()> {
        if now == before { Err(unexpected("the bank", format!("{payment} is still {now}"))) } else { Ok(()) }
    }

    async fn settled(&self, payment: PaymentId, state: PaymentState) -> Outcome<()> {
        let mut script = SETTLE.prepare_invoke();
        script.key(keys::payment(payment)).key(keys::work(payment.shard(), keys::PAYMENT_WORK));
        script.arg(payment.to_string()).arg(state.as_str());
        self.instance.store.run::<i64>(&script).await.map(|_| ())
    }

    /// Notes that the order has no use for the money (any more).
    pub(super) async fn unwind(&self, payment: PaymentId) -> Outcome<PaymentState> {
        let config = self.config();
        let mut script = UNWIND.prepare_invoke();
        script.key(keys::payment(payment));
        for list in [keys::PAYMENT_WORK, keys::PAYMENT_WATCH] {
            script.key(keys::work(payment.shard(), list));
        }
        script.arg(payment.to_string()).arg(payment.order().to_string());
        script.arg(millis(config.work.lease)).arg(millis(config.idempotency_kept));
        let state: String = self.instance.store.run(&script).await?;
        state.parse().map_err(|_| unexpected("unwind.lua", state))
    }

    /// The order ends without a ticket: what was captured goes back, and nothing is captured later. Once this has
    /// answered it is persisted work; the answer tells how far it has come.
    pub(super) async fn refund(self: Arc<Self>, order: OrderId) -> Outcome<RefundOutcome> {
        let payment = order.payment();
        let state = self.unwind(payment).await?;
        if !matches!(state, PaymentState::Refunding | PaymentState::Closed) {
            return Ok(RefundOutcome { state });
        }
        Arc::clone(&self).work(payment).await;
        let record =
            self.instance.store.record(keys::payment(payment), |fields| Payment::parse(fields)).await?;
        Ok(RefundOutcome { state: record.map_or(state, |record| record.state) })
    }

    /// Begins the work of all dead letters anew.
    pub(super) async fn replay(self: Arc<Self>) -> Outcome<Replayed> {
        let mut replayed = 0;
        for shard in self.config().shards.all() {
            let letters = keys::payment_dead_letter(shard);
            let all = redis::cmd("LRANGE").arg(&letters).arg(0).arg(-1).take();
            let payments: Vec<String> = self.instance.store.command(&all).await?;
            // What is no payment stays, where it can be seen.
            for payment in payments.iter().filter_map(|payment| payment.parse::<PaymentId>().ok()) {
                let mut script = REPLAY.prepare_invoke();
                script.key(keys::payment(payment)).key(keys::work(shard, keys::PAYMENT_WORK)).key(&letters);
                script.arg(payment.to_string());
                world::reachable!("ticketing.payment.dead-letter-replayed");
                replayed += self.instance.store.run::<u64>(&script).await?;
            }
        }
        Ok(Replayed { replayed })
    }
}
