//! The seat service: a concrete seat on every segment of a trip, locked until the payment deadline.
//!
//! - `lock.lua`: picks and locks.
//! - `ticket.lua`, `free.lua`: what becomes of the lock.
//! - `locks`: these scripts as functions; [`map`]: how seats are called.
//!
//! Orders free their seats themselves when they end without a ticket. The expiry of locks is the second line: it
//! needs nothing but this service. A lock that expired is refused when it should be ticketed, so a seat is never
//! given to two parties.
use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;

use crate::{
    api::{LockOutcome, Moved},
    config::Config,
    ids::OrderId,
    service::{Instance, Outcome, request},
};

mod locks;
pub mod map;
mod mutants;
#[cfg(test)]
mod tests;

use locks::Locks;

/// What a seat host boots.
pub async fn run(config: Arc<Config>, _instance: usize) {
    let instance = Instance::new(config);
    let locks = Arc::new(Locks::new(&instance));
    locks.expiry.drain(&locks, expire);
    let router = Router::new()
        .route("/internal/lock", post(lock))
        .route("/internal/ticket", post(ticket))
        .route("/internal/free", post(free))
        .with_state(locks);
    instance.serve(router).await;
}

async fn lock(State(locks): State<Arc<Locks>>, body: Bytes) -> Outcome<Json<LockOutcome>> {
    Ok(Json(locks.lock(&request::body(&body)?).await?))
}

async fn ticket(State(locks): State<Arc<Locks>>, body: Bytes) -> Outcome<Json<Moved>> {
    Ok(Json(locks.ticket(&request::body(&body)?).await?))
}

async fn free(State(locks): State<Arc<Locks>>, body: Bytes) -> Outcome<Json<Moved>> {
    Ok(Json(locks.free(&request::body(&body)?).await?))
}

/// A failure needs no care: the lock stays on the list and is due again when the lease ends.
async fn expire(locks: Arc<Locks>, order: OrderId) {
    if locks.expire(order).await.is_err() {
        locks.expiry.postpone(order).await;
    }
}
