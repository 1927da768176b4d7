//! The payment service: the one payment of each order, the bank's callbacks, refunds.
//!
//! - `create`, `create.lua`: a payment, here and at the bank (`bank`).
//! - `callback`, `news.lua`: what the bank says about it, idempotent by payment and version.
//! - `settle`: what has to be done about it, retried, with dead letters.
//! - `unwind.lua`: its order ends without a ticket.
use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{
    api::{AboutOrder, CreatePayment, PaymentView, RefundOutcome, Replayed},
    config::{Config, Service},
    keys,
    service::{Instance, Outcome, Peers, request, work::WorkList},
};

mod bank;
mod callback;
mod create;
mod mutants;
mod settle;
#[cfg(test)]
mod tests;

use bank::Bank;

/// One instance of the payment service.
struct PaymentService {
    instance: Instance,
    order: Peers,
    bank: Bank,
}

/// What a payment host boots.
pub async fn run(config: Arc<Config>, _instance: usize) {
    let instance = Instance::new(config);
    let service = Arc::new(PaymentService::new(&instance));
    WorkList::new(&instance, keys::PAYMENT_WORK).drain(&service, PaymentService::work);
    WorkList::new(&instance, keys::PAYMENT_WATCH).drain(&service, PaymentService::watch);
    let router = Router::new()
        .route("/v1/payments", post(create_payment))
        .route("/callbacks/payment", post(bank_callback))
        .route("/internal/refund", post(refund))
        .route("/internal/dead-letters/replay", post(replay))
        .with_state(service);
    instance.serve(router).await;
}

impl PaymentService {
    fn new(instance: &Instance) -> PaymentService {
        let topology = &instance.config.topology;
        let callback = |address| format!("{address}/callbacks/payment");
        let bank = Bank {
            peer: instance.partner(&topology.bank),
            within: instance.config.timeouts.bank,
            notify: topology.addresses(Service::Payment).into_iter().map(callback).collect(),
        };
        PaymentService { instance: instance.clone(), order: instance.peers(Service::Order), bank }
    }

    fn config(&self) -> &Config {
        &self.instance.config
    }
}

type App = State<Arc<PaymentService>>;

async fn create_payment(
    State(service): App,
    headers: HeaderMap,
    body: Bytes,
) -> Outcome<(StatusCode, Json<PaymentView>)> {
    let (account, key) = (request::account(&headers)?, request::idempotency_key(&headers)?);
    let wanted: CreatePayment = request::body(&body)?;
    let payment = service.create(account, key, request::id(&wanted.order_id)?).await?;
    Ok((StatusCode::CREATED, Json(payment)))
}

async fn bank_callback(State(service): App, headers: HeaderMap, body: Bytes) -> Outcome<StatusCode> {
    service.callback(&headers, &body).await?;
    Ok(StatusCode::OK)
}

async fn refund(State(service): App, body: Bytes) -> Outcome<Json<RefundOutcome>> {
    let about: AboutOrder = request::body(&body)?;
    Ok(Json(service.refund(about.order).await?))
}

async fn replay(State(service): App) -> Outcome<Json<Replayed>> {
    Ok(Json(service.replay().await?))
}
