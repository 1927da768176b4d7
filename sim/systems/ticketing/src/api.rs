//! What is said over HTTP: the bodies that buyers exchange with the gateway and those that services exchange with
//! each other. Errors are a [`wire::http::ApiError`] with one of the [`code`]s.
use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Class, OrderState, PaymentState, Trip},
    ids::{OrderId, PaymentId},
};

/// Header with the idempotency key of a request that changes something.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header with the device of the buyer.
pub const DEVICE: HeaderName = HeaderName::from_static("x-device-id");
/// Header with the account that the gateway has authenticated; only the gateway sets it.
pub const ACCOUNT: HeaderName = HeaderName::from_static("x-account");
/// Header with the bank's signature of a callback.
pub const SIGNATURE: &str = "x-signature";

/// Machine-readable codes of the errors.
pub mod code {
    /// 400: the request cannot be understood.
    pub const BAD_REQUEST: &str = "bad_request";
    /// 401: no account is proved.
    pub const UNAUTHENTICATED: &str = "unauthenticated";
    /// 403: the queue token is unknown, expired, another's, for another train, or used up.
    pub const TOKEN_REFUSED: &str = "token_refused";
    /// 404: there is no such train, order, token, page.
    pub const NOT_FOUND: &str = "not_found";
    /// 409: no seat on every segment of the trip for every passenger.
    pub const SOLD_OUT: &str = "sold_out";
    /// 409: the queue is full or too slow; standby is offered.
    pub const STANDBY_OFFERED: &str = "standby_offered";
    /// 409: the idempotency key was used for something else.
    pub const IDEMPOTENCY_CONFLICT: &str = "idempotency_conflict";
    /// 409: placing the order took too long and was given up; nothing is held.
    pub const ABANDONED: &str = "abandoned";
    /// 409: the order is in a state in which this cannot be done any more.
    pub const TOO_LATE: &str = "too_late";
    /// 423: the queue token is not admitted yet.
    pub const NOT_ADMITTED: &str = "not_admitted";
    /// 429: too many requests of the account or the device; the header `retry-after` says when to come back.
    pub const TOO_MANY_REQUESTS: &str = "too_many_requests";
}

/// `GET /v1/trains/{run}/remaining?class=&from=&to=`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemainingQuery {
    /// Class.
    pub class: Class,
    /// Station index where the trip begins.
    pub from: u32,
    /// Station index where it ends.
    pub to: u32,
}

/// Answer to [`RemainingQuery`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// Tickets that could be sold for the trip: the least stock of its segments.
    pub remaining: u32,
}

/// `POST /v1/queue`: takes a place in the queue of a train; an account has one place per train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinQueue {
    /// Train run.
    pub run: String,
}

/// Where a token stands in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Its turn has not come.
    Waiting,
    /// An order can be submitted with it.
    Admitted,
    /// The wait is too long; standby is offered instead.
    StandbyOffered,
}

/// Answer to [`JoinQueue`] and to `GET /v1/queue/{token}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueuePlace {
    /// The token, to be shown when the order is submitted.
    pub token: String,
    /// Where it stands.
    pub state: QueueState,
    /// Place in the queue since the sale opened, from 1.
    pub position: u64,
    /// Waiting places before it.
    pub ahead: u64,
    /// Estimate of the remaining wait in ms; 0 when admitted, absent when it cannot be said.
    pub wait_ms: Option<u64>,
}

/// `POST /v1/orders`, with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitOrder {
    /// What is travelled.
    #[serde(flatten)]
    pub trip: Trip,
    /// Number of passengers.
    pub passengers: u32,
    /// An admitted token of the queue of this train.
    pub queue_token: String,
}

/// An order as its buyer sees it: answer to [`SubmitOrder`] and to `GET /v1/orders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Order id.
    pub order_id: String,
    /// Where it stands.
    pub state: OrderState,
    /// What is travelled.
    #[serde(flatten)]
    pub trip: Trip,
    /// Number of passengers.
    pub passengers: u32,
    /// Labels of the seats.
    pub seats: Vec<String>,
    /// Numbers of the tickets; none before SUCCESS.
    pub tickets: Vec<String>,
    /// Price of all seats together, in fen.
    pub amount_fen: u64,
    /// Currency of the amount.
    pub currency: String,
    /// Until when it can be paid, RFC 3339.
    pub pay_by: String,
    /// Why it ended without a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer to `POST /v1/orders/{id}/cancel`, which carries an idempotency key and no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelView {
    /// Order id.
    pub order_id: String,
    /// CLOSED.
    pub state: OrderState,
}

/// `POST /v1/payments`, with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePayment {
    /// The order to pay.
    pub order_id: String,
}

/// Answer to [`CreatePayment`]: the one payment of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// Our id of it, which is the bank's `merchant_ref`.
    pub payment_id: String,
    /// The bank's id of it.
    pub bank_id: String,
    /// Where the buyer pays: "host:port/path".
    pub pay_url: String,
    /// Where it stands.
    pub state: PaymentState,
    /// To be paid, in fen.
    pub amount_fen: u64,
    /// Currency of the amount.
    pub currency: String,
}

/// Between services: anything that is told about one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutOrder {
    /// Order id.
    pub order: OrderId,
}

/// Inventory, `POST /internal/deduct`: takes stock on every segment, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deduct {
    /// Order id.
    pub order: OrderId,
    /// What is travelled.
    pub trip: Trip,
    /// Seats to take on every segment.
    pub seats: u32,
}

/// Answer to [`Deduct`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeductOutcome {
    /// Taken, now or by an earlier request for the same order.
    Held,
    /// A segment has too little; nothing was taken and nothing will be for this order.
    SoldOut,
    /// The order has been given up meanwhile; nothing is taken.
    Released,
}

/// Inventory, `POST /internal/release`; seat, `POST /internal/free`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveBack {
    /// Order id.
    pub order: OrderId,
    /// What the order was for.
    pub trip: Trip,
    /// Also what was sold or ticketed already: only for an order in FAIL.
    pub even_sold: bool,
}

/// Answer to what moves a hold or a seat lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    /// It is now where it should be, by this request or by an earlier one.
    Done,
    /// It is somewhere else for good.
    Refused,
}

/// Seat, `POST /internal/lock`: picks a seat for each passenger, free on every segment of the trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSeats {
    /// Order id.
    pub order: OrderId,
    /// What is travelled.
    pub trip: Trip,
    /// Number of seats.
    pub seats: u32,
    /// When the lock expires, in ms of the clock of Redis.
    pub expires_ms: u64,
}

/// Answer to [`LockSeats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockOutcome {
    /// Locked, now or by an earlier request for the same order: the labels.
    Locked(Vec<String>),
    /// Not enough seats are free over the whole trip, though each segment has some.
    Fragmented,
    /// The order has been given up meanwhile; nothing is locked.
    Freed,
}

/// Order, `POST /internal/orders/{id}/paid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// The payment that paid.
    pub payment: PaymentId,
}

/// Order, `POST /internal/orders/{id}/success`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Numbers of the tickets.
    pub tickets: Vec<String>,
}

/// Answer of the order service to a request to move an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveOutcome {
    /// Whether this request made the move; false when it was made before or is not possible.
    pub moved: bool,
    /// Where the order stands now.
    pub state: OrderState,
}

/// An order as the other services see it: `GET /internal/orders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// Order id.
    pub order: OrderId,
    /// Who ordered.
    pub account: String,
    /// Where it stands.
    pub state: OrderState,
    /// What is travelled.
    pub trip: Trip,
    /// Number of passengers.
    pub passengers: u32,
    /// Labels of the seats.
    pub seats: Vec<String>,
    /// Price in fen.
    pub amount_fen: u64,
    /// Currency of the amount.
    pub currency: String,
}

/// Answer of the payment service to `POST /internal/refund`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundOutcome {
    /// Where the payment stands now. REFUNDED and CLOSED: nothing stays charged. REFUNDING: it is being seen to.
    pub state: PaymentState,
}

/// Answer of the payment service to `POST /internal/dead-letters/replay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Payments whose work begins anew.
    pub replayed: u64,
}
