//! A client with a keep-alive pool per address, and JSON calls.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use world::time::{Duration, Instant};

use super::{
    ApiError, Connection, Error,
    connection::Failure,
    error::{NotSent, Unknown},
};

/// Limits of a [`Client`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections kept open per address while nobody uses them; 0 or more. Those above are closed after use.
    pub idle_max: usize,
    /// Longest time for a connection to be established: a host without power gives no answer at all, and who waits
    /// for it with the whole budget has nothing left for asking another one.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { idle_max: 256, connect_timeout: Duration::from_secs(1) }
    }
}

/// Sends requests to any address and keeps the connections for the next ones. Clones share the pool.
///
/// The connection used last is used first (LIFO): few stay warm and the others age out with their servers.
/// Belongs to the host that first uses it, as its connections do: make one per host.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    options: Options,
    /// By address; the last of each list was used last.
    idle: Mutex<BTreeMap<String, Vec<Connection>>>,
}

impl Client {
    /// A client without connections.
    pub fn new(options: Options) -> Client {
        Client { pool: Arc::new(Pool { options, idle: Mutex::default() }) }
    }

    /// Sends a request to "host:port" and waits for the whole answer; connecting and answering together take at
    /// most `within`, connecting alone at most [`Options::connect_timeout`]. A pooled connection that is found closed before anything was written is replaced; nothing is
    /// ever sent twice. Dropping the future closes the connection that it used.
    ///
    /// # Errors
    /// [`Error::NotSent`] if the request certainly had no effect, otherwise [`Error::Unknown`].
    pub async fn send(
        &self,
        addr: &str,
        mut request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Bytes>, Error> {
        let deadline = Instant::now() + within;
        while let Some(mut connection) = self.pool.take(addr) {
            match connection.try_send(request, within).await {
                Ok(response) => {
                    self.pool.put(connection);
                    return Ok(response);
                }
                Err(Failure::Unsent(unsent)) => {
                    world::reachable!("http.client.pooled-connection-closed");
                    request = *unsent;
                }
                Err(Failure::Error(error)) => return Err(error),
            }
        }
        let mut connection = Connection::connect(addr, within.min(self.pool.options.connect_timeout)).await?;
        let remaining = deadline.duration_since(Instant::now());
        let response =
            connection.send(request, remaining).await.map_err(|error| whole_budget(error, within))?;
        self.pool.put(connection);
        Ok(response)
    }

    /// POSTs JSON and reads JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post_json<T: Serialize, R: DeserializeOwned>(
        &self,
        addr: &str,
        path: &str,
        body: &T,
        within: Duration,
    ) -> Result<R, CallError> {
        let request =
            json_request(Method::POST, path, Some(body)).map_err(|reason| not_sent(addr, reason))?;
        read_json(&self.send(addr, request, within).await?)
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get_json<R: DeserializeOwned>(
        &self,
        addr: &str,
        path: &str,
        within: Duration,
    ) -> Result<R, CallError> {
        let request = json_request::<()>(Method::GET, path, None).map_err(|reason| not_sent(addr, reason))?;
        read_json(&self.send(addr, request, within).await?)
    }
}

/// Connecting took a part of the budget: an error tells the whole, which is what the caller asked for.
fn whole_budget(error: Error, within: Duration) -> Error {
    match error {
        Error::Unknown { addr, reason: Unknown::Timeout(_) } => {
            Error::Unknown { addr, reason: Unknown::Timeout(within) }
        }
        other => other,
    }
}

fn not_sent(addr: &str, reason: NotSent) -> CallError {
    CallError::Transport(Error::NotSent { addr: addr.to_owned(), reason })
}

impl Pool {
    fn take(&self, addr: &str) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(addr)?.pop()
    }

    fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.get_mut(connection.addr()) {
            Some(list) if list.len() < self.options.idle_max => list.push(connection),
            None if self.options.idle_max > 0 => {
                idle.insert(connection.addr().to_owned(), vec![connection]);
            }
            _ => {}
        }
    }
}

/// Why a JSON call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no answer.
    #[error(transparent)]
    Transport(#[from] Error),
    /// The answer is an error of the service (any status but 2xx).
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The answer says that it worked, but its body is not what was expected.
    #[error("{status} with an unexpected body: {error}")]
    Body {
        /// The status, 2xx.
        status: StatusCode,
        /// What is wrong with the body.
        error: serde_json::Error,
    },
}

impl CallError {
    /// May the call have had an effect? See [`Error::is_unknown`] and [`ApiError::promises_no_effect`].
    pub fn is_unknown(&self) -> bool {
        match self {
            CallError::Transport(error) => error.is_unknown(),
            CallError::Api(error) => !error.promises_no_effect(),
            CallError::Body { .. } => true,
        }
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            CallError::Transport(_) => None,
            CallError::Api(error) => Some(error.status),
            CallError::Body { status, .. } => Some(*status),
        }
    }
}

/// A request with an optional JSON body. `path` is the path and query, beginning with `/`.
///
/// # Errors
/// [`NotSent::InvalidRequest`] if the path is not valid in a URI or the body has no JSON form.
pub fn json_request<T: Serialize>(
    method: Method,
    path: &str,
    body: Option<&T>,
) -> Result<Request<Bytes>, NotSent> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() =
        path.parse().map_err(|_| NotSent::InvalidRequest("the path is not valid in a URI"))?;
    if let Some(body) = body {
        let json =
            serde_json::to_vec(body).map_err(|_| NotSent::InvalidRequest("the body has no JSON form"))?;
        *request.body_mut() = json.into();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

/// Reads the JSON of an answer.
///
/// # Errors
/// [`CallError::Api`] for any status but 2xx, [`CallError::Body`] if the JSON is not an `R`.
pub fn read_json<R: DeserializeOwned>(response: &Response<Bytes>) -> Result<R, CallError> {
    if !response.status().is_success() {
        return Err(ApiError::read(response).into());
    }
    serde_json::from_slice(response.body())
        .map_err(|error| CallError::Body { status: response.status(), error })
}
