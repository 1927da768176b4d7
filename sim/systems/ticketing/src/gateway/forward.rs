//! Passing a request on to a service, and its answer back.
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};

use crate::{
    api::{ACCOUNT, IDEMPOTENCY_KEY},
    config::{Config, Service},
    service::{Instance, Peers, peers::no_answer},
};

/// The services that buyers reach through the gateway.
pub(super) struct Upstreams {
    inventory: Peers,
    order: Peers,
    payment: Peers,
}

/// Where a request goes.
pub(super) enum Destination {
    /// To the instance that the train run belongs to.
    Inventory {
        /// The train run.
        run: String,
    },
    /// To any instance.
    Order,
    /// To any instance.
    Payment,
}

impl Upstreams {
    pub(super) fn new(instance: &Instance) -> Upstreams {
        Upstreams {
            inventory: instance.peers(Service::Inventory),
            order: instance.peers(Service::Order),
            payment: instance.peers(Service::Payment),
        }
    }

    /// Passes a request of an account on. Only what a service needs goes with it: whatever else the buyer has sent,
    /// such as an account of another, stays here.
    pub(super) async fn forward(
        &self,
        config: &Config,
        destination: &Destination,
        account: &str,
        received: Request<Bytes>,
    ) -> Response {
        let (peers, first) = match destination {
            Destination::Inventory { run } => (&self.inventory, self.inventory.of(run)),
            Destination::Order => (&self.order, self.order.next()),
            Destination::Payment => (&self.payment, self.payment.next()),
        };
        let is_read = received.method() == Method::GET;
        // Taking a place in a queue has no key: an account has one place per train, so repeating it is harmless.
        let is_join = received.uri().path() == "/v1/queue";
        let idempotent = is_read || is_join || received.headers().contains_key(IDEMPOTENCY_KEY);
        let within = if is_read { config.timeouts.read } else { config.timeouts.write };
        match peers.send(first, passed_on(account, received), idempotent, within).await {
            Ok(response) => passed_back(response),
            Err(error) => no_answer(&error).into_response(),
        }
    }
}

fn passed_on(account: &str, received: Request<Bytes>) -> Request<Bytes> {
    let (parts, body) = received.into_parts();
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    for name in [IDEMPOTENCY_KEY, header::CONTENT_TYPE] {
        copy(&parts.headers, request.headers_mut(), name);
    }
    if let Ok(account) = HeaderValue::from_str(account) {
        request.headers_mut().insert(ACCOUNT, account);
    }
    request
}

fn passed_back(response: http::Response<Bytes>) -> Response {
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = parts.status;
    copy(&parts.headers, answer.headers_mut(), header::CONTENT_TYPE);
    answer
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, name: HeaderName) {
    if let Some(value) = from.get(&name) {
        to.insert(name, value.clone());
    }
}
