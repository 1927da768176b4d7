//! The bank's payment gateway, as far as it is used here. Everything that is asked of it is idempotent by a
//! reference of ours, so it can be asked again whenever an answer does not come.
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    domain::CURRENCY,
    ids::PaymentId,
    service::{Outcome, Peers},
};

/// Where a payment stands at the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum BankState {
    Created,
    Captured,
    Refunded,
    Closed,
    /// Something that asks for nothing from us.
    #[serde(other)]
    Other,
}

impl BankState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            BankState::Created => "CREATED",
            BankState::Captured => "CAPTURED",
            BankState::Refunded => "REFUNDED",
            BankState::Closed => "CLOSED",
            BankState::Other => "OTHER",
        }
    }
}

/// What an answer of the bank says about a payment.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BankPayment {
    pub(super) bank_id: String,
    pub(super) state: BankState,
    pub(super) version: u64,
    pub(super) captured_fen: u64,
}

#[derive(Serialize)]
struct Create<'a> {
    merchant_ref: &'a str,
    amount_fen: u64,
    currency: &'a str,
    notify: &'a [String],
}

#[derive(Serialize)]
struct Refund<'a> {
    refund_ref: &'a str,
    bank_id: &'a str,
    amount_fen: u64,
}

/// The bank.
pub(super) struct Bank {
    pub(super) peer: Peers,
    /// How long an answer may take.
    pub(super) within: Duration,
    /// Where its callbacks go, "host:port/path".
    pub(super) notify: Vec<String>,
}

impl Bank {
    /// Makes the payment of this reference, or finds it.
    pub(super) async fn create(&self, payment: PaymentId, amount_fen: u64) -> Outcome<BankPayment> {
        let merchant_ref = &payment.to_string();
        let body = Create { merchant_ref, amount_fen, currency: CURRENCY, notify: &self.notify };
        self.peer.post("/v1/payments", &body, self.within).await
    }

    /// Where the payment of this reference stands; `None` when the bank has never heard of it.
    pub(super) async fn find(&self, payment: PaymentId) -> Outcome<Option<BankPayment>> {
        match self.peer.get(&format!("/v1/payments?merchant_ref={payment}"), self.within).await {
            Ok(payment) => Ok(Some(payment)),
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a payment up: it cannot be captured afterwards. Refused when it is captured already.
    pub(super) async fn close(&self, bank_id: &str) -> Outcome<BankPayment> {
        self.peer.post(&format!("/v1/payments/{bank_id}/close"), &(), self.within).await
    }

    /// Gives money back, once for each reference.
    pub(super) async fn refund(
        &self,
        refund_ref: &str,
        bank_id: &str,
        amount_fen: u64,
    ) -> Outcome<BankPayment> {
        let body = Refund { refund_ref, bank_id, amount_fen };
        self.peer.post("/v1/refunds", &body, self.within).await
    }
}
