//! The bodies of the bank's requests, answers and callbacks. Amounts are integer numbers of fen.
use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Waits for the buyer.
    Created,
    /// The buyer has paid.
    Captured,
    /// A part of it was given back.
    PartlyRefunded,
    /// All of it was given back.
    Refunded,
    /// The merchant gave it up before it was paid.
    Closed,
}

/// `POST /v1/payments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePayment {
    /// The merchant's name for this payment: the same name is the same payment.
    pub merchant_ref: String,
    /// To be paid; more than 0.
    pub amount_fen: u64,
    /// ISO 4217.
    pub currency: String,
    /// Where callbacks go, "host:port/path"; attempts take turns.
    #[serde(default)]
    pub notify: Vec<String>,
}

/// `POST /v1/payments/{bank_id}/pay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pay {
    /// Who pays.
    pub payer: String,
}

/// `POST /v1/refunds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRefund {
    /// The merchant's name for this refund: the same name is the same refund.
    pub refund_ref: String,
    /// The payment.
    pub bank_id: String,
    /// To be given back; more than 0.
    pub amount_fen: u64,
}

/// A payment, as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// The bank's name for it.
    pub bank_id: String,
    /// The merchant's name for it.
    pub merchant_ref: String,
    /// Where it stands.
    pub state: State,
    /// Counts its changes, from 1.
    pub version: u64,
    /// What it is about.
    pub amount_fen: u64,
    /// What the buyer has paid.
    pub captured_fen: u64,
    /// What was given back.
    pub refunded_fen: u64,
    /// ISO 4217.
    pub currency: String,
}

/// Answer to `POST /v1/refunds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundView {
    /// The merchant's name for the refund.
    pub refund_ref: String,
    /// What was given back by it.
    pub refund_fen: u64,
    /// The payment now.
    #[serde(flatten)]
    pub payment: PaymentView,
}

/// A callback: a payment as it was at one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The bank's name for the payment.
    pub payment_id: String,
    /// The merchant's name for it.
    pub merchant_ref: String,
    /// The version told; an older one may arrive after a newer one.
    pub version: u64,
    /// Where the payment stood at this version.
    pub state: State,
    /// What it is about.
    pub amount_fen: u64,
    /// ISO 4217.
    pub currency: String,
}
