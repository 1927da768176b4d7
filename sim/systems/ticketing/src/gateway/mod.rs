//! The gateway: the only service that buyers reach. Proves who is asking, limits how often, and passes requests on.
//!
//! - `rate_limit`, `rate_limit.lua`: requests per account and per device.
//! - `forward`: to which instance of which service, and what happens when there is no answer.
use std::{pin::pin, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use wire::http::trace;

use crate::{
    api::code,
    auth,
    config::Config,
    service::{ApiError, Instance, Outcome, request},
};

mod forward;
mod rate_limit;
#[cfg(test)]
mod tests;

use forward::{Destination, Upstreams};

/// One instance of the gateway.
struct Gateway {
    instance: Instance,
    upstreams: Upstreams,
}

/// What a gateway host boots.
pub async fn run(config: Arc<Config>, _instance: usize) {
    let instance = Instance::new(config);
    let gateway = Arc::new(Gateway { upstreams: Upstreams::new(&instance), instance: instance.clone() });
    let router = Router::new()
        .route("/v1/trains/{run}/remaining", get(inventory))
        .route("/v1/queue", post(order))
        .route("/v1/queue/{token}", get(order))
        .route("/v1/orders", post(order))
        .route("/v1/orders/{id}", get(order))
        .route("/v1/orders/{id}/cancel", post(order))
        .route("/v1/payments", post(payment))
        .with_state(gateway);
    instance.serve(router).await;
}

type App = State<Arc<Gateway>>;

async fn inventory(
    app: App,
    Path(run): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    traced(app, Destination::Inventory { run }, method, uri, headers, body).await
}

async fn order(app: App, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    traced(app, Destination::Order, method, uri, headers, body).await
}

async fn payment(app: App, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    traced(app, Destination::Payment, method, uri, headers, body).await
}

/// Every request has a trace id: the buyer's, or a new one. It goes to every service that works for the request and
/// comes back with the answer.
async fn traced(
    State(gateway): App,
    destination: Destination,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut received = Request::new(body);
    (*received.method_mut(), *received.uri_mut(), *received.headers_mut()) = (method, uri, headers);
    let id = trace::current().or_else(|| HeaderValue::from_str(&format!("{:016x}", world::rand::u64())).ok());
    let answer =
        async { gateway.handle(&destination, received).await.unwrap_or_else(ApiError::into_response) };
    let mut response = trace::scope_pinned(id.clone(), pin!(answer)).await;
    if let Some(id) = id {
        response.headers_mut().insert(trace::HEADER, id);
    }
    response
}

impl Gateway {
    /// Who, how often, and on to the service.
    async fn handle(&self, destination: &Destination, received: Request<Bytes>) -> Outcome<Response> {
        let config = &self.instance.config;
        let authorization =
            received.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let account = authorization.and_then(|value| auth::account(&config.token_secret, value));
        let account = account.ok_or_else(unauthenticated)?.to_owned();
        let device = request::device(received.headers())?;
        if let Some(wait_ms) = self.wait_ms(&account, device).await? {
            return Ok(rate_limit::too_many_requests(wait_ms));
        }
        Ok(self.upstreams.forward(config, destination, &account, received).await)
    }

    /// Whatever goes wrong with the limit, the request has not been passed on yet.
    async fn wait_ms(&self, account: &str, device: &str) -> Outcome<Option<u64>> {
        let wait_ms = rate_limit::wait_ms(&self.instance, account, device).await;
        wait_ms.map_err(|error| ApiError::nothing_happened(error.message))
    }
}

fn unauthenticated() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, "the bearer token proves no account")
}
