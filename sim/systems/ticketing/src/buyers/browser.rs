//! A buyer's browser: one connection to a gateway, and an operation of the history for each request.
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use record::history::Outcome;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use wire::http::{ApiError, Connection, Error, json_request, read_json, trace};
use world::sim;
use world::time::Instant;

use super::{Shared, Visit};
use crate::{
    api::{DEVICE, IDEMPOTENCY_KEY},
    auth,
};

/// How long a browser tries to connect to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The first wait before a request is tried again; each further one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// The longest wait before a request is tried again, unless the server asks for more.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The longest `retry-after` that a buyer takes seriously.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// A request to make.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// Path and query at the gateway, or "host:port/path" of another server.
    pub(super) target: String,
    /// JSON.
    pub(super) body: Option<Bytes>,
    pub(super) key: Option<String>,
    /// What it is about: a train run or an order.
    pub(super) subject: String,
}

impl Ask {
    pub(super) fn get(operation: &'static str, target: String, subject: &str) -> Ask {
        Ask { operation, method: Method::GET, target, body: None, key: None, subject: subject.to_owned() }
    }

    pub(super) fn post(operation: &'static str, target: String, subject: &str, body: &impl Serialize) -> Ask {
        // The bodies of our own api always have a JSON form.
        let body = Some(serde_json::to_vec(body).unwrap_or_default().into());
        Ask { operation, method: Method::POST, target, body, key: None, subject: subject.to_owned() }
    }

    pub(super) fn post_nothing(operation: &'static str, target: String, subject: &str) -> Ask {
        Ask { method: Method::POST, ..Ask::get(operation, target, subject) }
    }

    pub(super) fn with_key(self, key: String) -> Ask {
        Ask { key: Some(key), ..self }
    }
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum No {
    /// A clear no; `retry_after` if the server said when to come back.
    Refused { error: ApiError, retry_after: Option<Duration> },
    /// Nothing happened, for a reason that may pass.
    Failed,
    /// It may have happened.
    Unknown,
}

impl No {
    /// The code of a clear no.
    pub(super) fn code(&self) -> &str {
        match self {
            No::Refused { error, .. } => &error.code,
            No::Failed | No::Unknown => "",
        }
    }

    /// Does it make sense to send the same again?
    pub(super) fn may_retry(&self) -> bool {
        match self {
            No::Refused { error, .. } => error.status == StatusCode::TOO_MANY_REQUESTS,
            No::Failed | No::Unknown => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            No::Refused { retry_after, .. } => *retry_after,
            No::Failed | No::Unknown => None,
        }
    }
}

/// A browser with its user logged in.
#[derive(Debug)]
pub(super) struct Browser<'a> {
    shared: &'a Shared,
    buyer: u64,
    account: String,
    authorization: Option<HeaderValue>,
    device: Option<HeaderValue>,
    connection: Option<Connection>,
    requests: u64,
    /// Operations that the buyer still makes; `None`: any number.
    operations: Option<u64>,
    /// Tells that the buyer leaves instead of making another one.
    leave: Option<oneshot::Sender<()>>,
}

impl<'a> Browser<'a> {
    pub(super) fn new(shared: &'a Shared, visit: Visit, leave: oneshot::Sender<()>) -> Browser<'a> {
        let Visit { buyer, operations, .. } = visit;
        let account = format!("buyer-{buyer}");
        let token = auth::token(&shared.config.token_secret, &account);
        Browser {
            shared,
            buyer,
            authorization: HeaderValue::try_from(format!("Bearer {token}")).ok(),
            device: HeaderValue::try_from(format!("device-{buyer}")).ok(),
            account,
            connection: None,
            requests: 0,
            operations,
            leave: Some(leave),
        }
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Makes a request, and makes it again with the same key while that makes sense and `until` has not passed.
    pub(super) async fn insist<R: DeserializeOwned>(
        &mut self,
        ask: &Ask,
        until: Instant,
        observed: impl Fn(&R) -> String,
    ) -> Result<R, No> {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let no = match self.ask(ask, &observed).await {
                Ok(result) => return Ok(result),
                Err(no) => no,
            };
            // Between half and one and a half, so that those who were refused together do not come back together.
            let wait = backoff.mul_f64(0.5 + world::rand::f64()).max(no.retry_after().unwrap_or_default());
            if !no.may_retry() || Instant::now() + wait > until {
                return Err(no);
            }
            world::time::sleep(wait).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Makes a request once and records it; `observed` is what the history remembers of a result. Never ends for a buyer
    /// who leaves instead.
    pub(super) async fn ask<R: DeserializeOwned>(
        &mut self,
        ask: &Ask,
        observed: impl Fn(&R) -> String,
    ) -> Result<R, No> {
        match &mut self.operations {
            Some(0) => {
                if let Some(leave) = self.leave.take() {
                    // Nobody waits for it where the whole journey is already over.
                    let _ = leave.send(());
                }
                return std::future::pending().await;
            }
            Some(operations) => *operations -= 1,
            None => {}
        }
        let (history, key) = (&self.shared.history, ask.key.clone());
        let invoked = sim::elapsed();
        let id = history.invoke(self.buyer, ask.operation, key, Some(ask.subject.clone()), invoked);
        let result = match self.exchange(ask).await {
            Ok(response) => read(&response),
            Err(error) if error.is_unknown() => Err(No::Unknown),
            Err(_) => Err(No::Failed),
        };
        let (outcome, value) = match &result {
            Ok(result) => (Outcome::Ok, Some(observed(result))),
            Err(No::Refused { error, .. }) => (Outcome::Refused, Some(error.code.to_string())),
            Err(No::Failed) => (Outcome::Failed, None),
            Err(No::Unknown) => (Outcome::Unknown, None),
        };
        self.shared.history.complete(id, outcome, value, sim::elapsed());
        result
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Response<Bytes>, Error> {
        let within = self.shared.profile.request_timeout;
        self.requests += 1;
        if !ask.target.starts_with('/') {
            // Another server, which gets neither our token nor our connection.
            let (addr, path) = ask.target.split_at(ask.target.find('/').unwrap_or(ask.target.len()));
            let request = request(ask, if path.is_empty() { "/" } else { path }, addr)?;
            return Connection::connect(addr, CONNECT_TIMEOUT).await?.send(request, within).await;
        }
        let mut connection = self.connect().await?;
        let mut request = request(ask, &ask.target, connection.addr())?;
        let headers = request.headers_mut();
        if let (Some(authorization), Some(device)) = (&self.authorization, &self.device) {
            headers.insert(header::AUTHORIZATION, authorization.clone());
            headers.insert(DEVICE, device.clone());
        }
        if let Ok(id) = HeaderValue::try_from(format!("{}-{}", self.account, self.requests)) {
            headers.insert(trace::HEADER, id);
        }
        let response = connection.send(request, within).await?;
        self.connection = Some(connection);
        Ok(response)
    }

    /// The connection of the last request, or a new one to a gateway that accepts one, any of them first.
    async fn connect(&mut self) -> Result<Connection, Error> {
        if let Some(mut connection) = self.connection.take()
            && connection.is_usable()
        {
            return Ok(connection);
        }
        let gateways = &self.shared.gateways;
        let first = world::rand::range(0..gateways.len().max(1) as u64) as usize;
        let (before, from) = gateways.split_at(first.min(gateways.len()));
        let mut result = Err(Error::NotSent {
            addr: String::new(),
            reason: wire::http::error::NotSent::InvalidRequest("there is no gateway"),
        });
        for gateway in from.iter().chain(before) {
            result = Connection::connect(gateway, CONNECT_TIMEOUT).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

fn request(ask: &Ask, path: &str, addr: &str) -> Result<Request<Bytes>, Error> {
    let mut request = json_request::<()>(ask.method.clone(), path, None)
        .map_err(|reason| Error::NotSent { addr: addr.to_owned(), reason })?;
    if let Some(body) = &ask.body {
        *request.body_mut() = body.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(key) = ask.key.as_ref().and_then(|key| HeaderValue::try_from(key).ok()) {
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
    Ok(request)
}

/// The result of an answer: 2xx is one, 4xx is a clear no, 503 and `nothing_happened` promise that nothing
/// happened, and everything else promises nothing.
fn read<R: DeserializeOwned>(response: &Response<Bytes>) -> Result<R, No> {
    if response.status().is_success() {
        return read_json(response).map_err(|_| No::Unknown);
    }
    let error = ApiError::read(response);
    if error.status.is_client_error() {
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        return Err(No::Refused { error, retry_after: retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)) });
    }
    Err(if error.promises_no_effect() { No::Failed } else { No::Unknown })
}
