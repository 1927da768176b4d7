//! The order service: admission queue, submission, the order state machine, expiry of unpaid orders.
//!
//! - `admission`, `admission.lua`: the admission law; `queue`: places in the queue.
//! - `submit`: from a queue token to an order that waits for its money.
//! - `moves`, `transition.lua`: the state machine.
//! - `ending`: cancellation, expiry, and giving back what an ended order holds.
use std::sync::{Arc, Weak};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{
    api::{AboutOrder, CancelView, Issued, JoinQueue, MoveOutcome, OrderRecord, OrderView, Paid, QueuePlace},
    config::{Config, Service},
    domain::OrderState,
    ids::OrderId,
    keys,
    service::{Instance, Outcome, Peers, request, work::WorkList},
};

mod admission;
mod ending;
mod moves;
mod mutants;
mod queue;
mod snowflake;
mod submit;
#[cfg(test)]
mod tests;
mod view;

use moves::{COMPENSATED, FAIL, Orders, PAID, SUCCESS, TICKETING};

/// One instance of the order service.
struct OrderService {
    orders: Orders,
    /// Number of the instance, from 1.
    number: usize,
    inventory: Peers,
    seat: Peers,
    payment: Peers,
    ticketing: Peers,
    placing: WorkList,
    expiry: WorkList,
    cleanup: WorkList,
    /// Itself, for tasks that outlive the request that starts them.
    me: Weak<OrderService>,
}

/// What an order host boots.
pub async fn run(config: Arc<Config>, instance: usize) {
    let number = instance;
    let instance = Instance::new(config);
    let service = OrderService::new(&instance, number);
    service.placing.drain(&service, OrderService::abandon);
    service.expiry.drain(&service, OrderService::expire);
    service.cleanup.drain(&service, OrderService::clean_up);
    let router = Router::new()
        .route("/v1/queue", post(join))
        .route("/v1/queue/{token}", get(poll))
        .route("/v1/orders", post(submit))
        .route("/v1/orders/{id}", get(status))
        .route("/v1/orders/{id}/cancel", post(cancel))
        .route("/internal/orders/{id}", get(record))
        .route("/internal/orders/{id}/paid", post(paid))
        .route("/internal/orders/{id}/ticketing", post(ticketing))
        .route("/internal/orders/{id}/success", post(success))
        .route("/internal/orders/{id}/fail", post(fail))
        .route("/internal/orders/{id}/compensated", post(compensated))
        .with_state(service);
    instance.serve(router).await;
}

impl OrderService {
    fn new(instance: &Instance, number: usize) -> Arc<OrderService> {
        Arc::new_cyclic(|me| OrderService {
            orders: Orders { instance: instance.clone() },
            number,
            inventory: instance.peers(Service::Inventory),
            seat: instance.peers(Service::Seat),
            payment: instance.peers(Service::Payment),
            ticketing: instance.peers(Service::Ticketing),
            placing: WorkList::new(instance, keys::ORDER_PLACING),
            expiry: WorkList::new(instance, keys::ORDER_EXPIRY),
            cleanup: WorkList::new(instance, keys::ORDER_CLEANUP),
            me: me.clone(),
        })
    }

    fn config(&self) -> &Config {
        &self.orders.instance.config
    }

    /// Tells the ticketing service that tickets are owed. If that gets lost, its list of work brings it back.
    fn ticket_soon(&self, order: OrderId) {
        let (ticketing, within) = (self.ticketing.clone(), self.config().timeouts.internal);
        let about = AboutOrder { order };
        world::task::spawn(async move {
            let _: Outcome<()> = ticketing.post("/internal/issue", &about, within).await;
        });
    }
}

type App = State<Arc<OrderService>>;

async fn join(
    State(service): App,
    headers: HeaderMap,
    body: Bytes,
) -> Outcome<(StatusCode, Json<QueuePlace>)> {
    let wanted: JoinQueue = request::body(&body)?;
    let place = queue::join(&service.orders.instance, request::account(&headers)?, &wanted.run).await?;
    Ok((StatusCode::ACCEPTED, Json(place)))
}

async fn poll(
    State(service): App,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Outcome<Json<QueuePlace>> {
    let (account, token) = (request::account(&headers)?, request::id(&token)?);
    Ok(Json(queue::poll(&service.orders.instance, account, token).await?))
}

async fn submit(
    State(service): App,
    headers: HeaderMap,
    body: Bytes,
) -> Outcome<(StatusCode, Json<OrderView>)> {
    let (account, key) = (request::account(&headers)?, request::idempotency_key(&headers)?);
    let order = service.submit(account, key, &request::body(&body)?).await?;
    Ok((StatusCode::CREATED, Json(order)))
}

async fn status(State(service): App, headers: HeaderMap, Path(id): Path<String>) -> Outcome<Json<OrderView>> {
    let (account, order) = (request::account(&headers)?, request::id(&id)?);
    let record = service.orders.read(order).await?;
    match record {
        Some(record) if view::is_visible(&record, account) => Ok(Json(view::order_view(order, &record))),
        _ => Err(request::not_found("there is no such order")),
    }
}

async fn cancel(
    State(service): App,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Outcome<Json<CancelView>> {
    let (account, key) = (request::account(&headers)?, request::idempotency_key(&headers)?);
    Ok(Json(service.cancel(account, key, request::id(&id)?).await?))
}

async fn record(State(service): App, Path(id): Path<String>) -> Outcome<Json<OrderRecord>> {
    let order = request::id(&id)?;
    let record = service.orders.read(order).await?;
    let record = record.ok_or_else(|| request::not_found("there is no such order"))?;
    Ok(Json(view::order_record(order, record)))
}

async fn paid(State(service): App, Path(id): Path<String>, body: Bytes) -> Outcome<Json<MoveOutcome>> {
    let order = request::id(&id)?;
    let paid: Paid = request::body(&body)?;
    let outcome = service.orders.make(&PAID, order, &[("payment", paid.payment.to_string())]).await?;
    world::sometimes!(outcome.state == OrderState::Closed, "ticketing.order.paid-after-its-end");
    if outcome.moved {
        service.ticket_soon(order);
    }
    Ok(Json(outcome))
}

async fn ticketing(State(service): App, Path(id): Path<String>) -> Outcome<Json<OrderRecord>> {
    service.orders.make(&TICKETING, request::id(&id)?, &[]).await?;
    record(State(service), Path(id)).await
}

async fn success(State(service): App, Path(id): Path<String>, body: Bytes) -> Outcome<Json<MoveOutcome>> {
    let issued: Issued = request::body(&body)?;
    let tickets = [("tickets", issued.tickets.join(","))];
    Ok(Json(service.orders.make(&SUCCESS, request::id(&id)?, &tickets).await?))
}

async fn fail(State(service): App, Path(id): Path<String>) -> Outcome<Json<MoveOutcome>> {
    Ok(Json(service.orders.make(&FAIL, request::id(&id)?, &[]).await?))
}

async fn compensated(State(service): App, Path(id): Path<String>) -> Outcome<Json<MoveOutcome>> {
    let reason = [("reason", "not_ticketed".to_owned())];
    Ok(Json(service.orders.make(&COMPENSATED, request::id(&id)?, &reason).await?))
}
