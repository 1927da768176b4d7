//! The inventory service: the stock of every segment, and the all-or-nothing deduction.
//!
//! - `deduct.lua`: takes stock on every segment of a trip, or on none.
//! - `release.lua`, `sell.lua`: what becomes of it.
//! - `stock`: these scripts as functions.
//! - `query`: what remains, as buyers see it.
use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    routing::{get, post},
};
use bytes::Bytes;

use crate::{
    api::{DeductOutcome, Moved, Remaining, RemainingQuery},
    config::Config,
    domain::Trip,
    service::{Instance, Outcome, request},
};

mod mutants;
mod query;
pub(crate) mod stock;
#[cfg(test)]
mod tests;

use stock::Stock;

/// What an inventory host boots.
pub async fn run(config: Arc<Config>, _instance: usize) {
    let instance = Instance::new(config);
    let stock = Arc::new(Stock { instance: instance.clone() });
    let remaining = Arc::new(query::RemainingCache::new(Arc::clone(&stock)));
    let router = Router::new()
        .route("/v1/trains/{run}/remaining", get(look).with_state(remaining))
        .route("/internal/deduct", post(deduct))
        .route("/internal/release", post(release))
        .route("/internal/sell", post(sell))
        .with_state(stock);
    instance.serve(router).await;
}

async fn look(
    State(cache): State<Arc<query::RemainingCache>>,
    Path(run): Path<String>,
    query: Result<Query<RemainingQuery>, QueryRejection>,
) -> Outcome<Json<Remaining>> {
    let Query(query) = query.map_err(|error| request::bad(error.body_text()))?;
    let trip = Trip { run, class: query.class, from: query.from, to: query.to };
    Ok(Json(Remaining { remaining: cache.of(&trip).await? }))
}

async fn deduct(State(stock): State<Arc<Stock>>, body: Bytes) -> Outcome<Json<DeductOutcome>> {
    Ok(Json(stock.deduct(&request::body(&body)?).await?))
}

async fn release(State(stock): State<Arc<Stock>>, body: Bytes) -> Outcome<Json<Moved>> {
    Ok(Json(stock.release(&request::body(&body)?).await?))
}

async fn sell(State(stock): State<Arc<Stock>>, body: Bytes) -> Outcome<Json<Moved>> {
    Ok(Json(stock.sell(&request::body(&body)?).await?))
}
