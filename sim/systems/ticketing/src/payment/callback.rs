//! News from the bank: signed callbacks, and the answers to our questions, which say the same.
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::{
    api::{SIGNATURE, code},
    auth,
    domain::PaymentState,
    ids::{Id, PaymentId},
    keys,
    service::{
        ApiError, Outcome, request, script,
        store::{millis, unexpected},
    },
};

use super::{
    PaymentService,
    bank::{BankPayment, BankState},
    mutants,
};

script!(NEWS, "news.lua");

/// The body of a callback.
#[derive(Debug, Deserialize)]
struct Callback {
    /// The bank's id of the payment.
    payment_id: String,
    /// Our id of it.
    merchant_ref: String,
    version: u64,
    state: BankState,
    amount_fen: u64,
}

/// What news have led to.
pub(super) struct TakenIn {
    /// Whether they were news, not a repetition.
    pub(super) is_new: bool,
    /// Where the payment stands now.
    pub(super) state: PaymentState,
}

impl TakenIn {
    /// Whether there may be something to do now; nothing is ever due before the money has moved.
    fn needs_work(&self) -> bool {
        self.is_new && self.state != PaymentState::Created
    }
}

impl PaymentService {
    /// Handles a callback: checks the signature, persists the news and what is to be done about them, and only then
    /// acknowledges. Doing it begins at once; if this host crashes, the list of work brings it back.
    pub(super) async fn callback(self: &Arc<Self>, headers: &HeaderMap, body: &Bytes) -> Outcome<()> {
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_signed = auth::is_signed(&self.config().callback_secret, body, signature);
        world::sometimes!(!is_signed, "ticketing.payment.callback-forged");
        if !is_signed && !world::mutant!("ticketing.signature-not-checked") {
            let message = "the callback is not signed by the bank";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, message));
        }
        let callback: Callback = request::body(body)?;
        let payment = request::id(&callback.merchant_ref)?;
        let captured_fen = if callback.state == BankState::Captured { callback.amount_fen } else { 0 };
        let (bank_id, state, version) = (callback.payment_id, callback.state, callback.version);
        let taken_in = self.take_in(payment, &BankPayment { bank_id, state, version, captured_fen }).await?;
        world::sometimes!(!taken_in.is_new, "ticketing.payment.callback-repeated");
        if taken_in.needs_work() || world::mutant!("ticketing.callback-not-idempotent") {
            world::task::spawn(Arc::clone(self).work(payment));
        }
        Ok(())
    }

    /// Takes in what the bank says about a payment; a repetition or an older version changes nothing.
    pub(super) async fn take_in(&self, payment: PaymentId, news: &BankPayment) -> Outcome<TakenIn> {
        let taken_in = if world::mutant!("ticketing.capture-after-close-ignored") {
            &mutants::NEWS_OF_OPEN_PAYMENTS
        } else {
            &NEWS
        };
        let mut script = taken_in.prepare_invoke();
        script.key(keys::payment(payment));
        for list in [keys::PAYMENT_WORK, keys::PAYMENT_WATCH] {
            script.key(keys::work(payment.shard(), list));
        }
        script
            .arg(payment.to_string())
            .arg(news.version)
            .arg(news.state.as_str())
            .arg(news.captured_fen)
            .arg(&news.bank_id);
        script.arg(millis(self.config().work.lease));
        let (is_new, state): (bool, String) = self.instance.store.run(&script).await?;
        if state.is_empty() {
            return Err(request::not_found("there is no such payment"));
        }
        Ok(TakenIn { is_new, state: state.parse().map_err(|_| unexpected("news.lua", &state))? })
    }

    /// Work of `payment-watch`: asks the bank about a payment that it has sent no news of. Until the payment leaves
    /// CREATED it stays on the list and is asked about again when the lease ends.
    pub(super) async fn watch(self: Arc<Self>, payment: PaymentId) {
        // When the bank does not answer, or does not know it yet, there is nothing to do but to ask again.
        let Ok(Some(at_bank)) = self.bank.find(payment).await else { return };
        if self.take_in(payment, &at_bank).await.is_ok_and(|taken_in| taken_in.needs_work()) {
            world::reachable!("ticketing.payment.callback-never-came");
            self.work(payment).await;
        }
    }
}
