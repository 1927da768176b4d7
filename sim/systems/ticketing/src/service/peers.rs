//! Calls to the instances of another service.
//!
//! Every call between services is idempotent, by the id of the order or payment that it is about, so one that got
//! lost may be sent to the next instance. One that timed out may not: the time of the caller is used up.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::{Serialize, de::DeserializeOwned};
use wire::http::{CallError, Client, Error, error::Unknown, json_request, read_json};
use world::time::Instant;

use super::{ApiError, Outcome};
use crate::shards::stable_hash;

/// The instances of one service. Clones share the turn.
#[derive(Clone)]
pub(crate) struct Peers {
    client: Client,
    addresses: Vec<String>,
    turn: Arc<AtomicUsize>,
}

impl Peers {
    /// The instances at these addresses, at least one; the first turn is drawn.
    pub(crate) fn new(client: Client, addresses: Vec<String>) -> Peers {
        let turn = world::rand::range(0..addresses.len() as u64) as usize;
        Peers { client, addresses, turn: Arc::new(AtomicUsize::new(turn)) }
    }

    /// The instance whose turn it is (round robin).
    pub(crate) fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len()
    }

    /// The instance that a name belongs to: the same one every time.
    pub(crate) fn of(&self, name: &str) -> usize {
        (stable_hash(name) % self.addresses.len() as u64) as usize
    }

    /// Sends a request to an instance, and to the others in turn while it certainly had no effect, or, when it is
    /// idempotent, while connections get lost. All tries together take at most `within`.
    ///
    /// # Errors
    /// That of the last try; [`Error::Unknown`] if any of them may have had an effect.
    pub(crate) async fn send(
        &self,
        first: usize,
        request: Request<Bytes>,
        idempotent: bool,
        within: Duration,
    ) -> Result<Response<Bytes>, Error> {
        let deadline = Instant::now() + within;
        let mut in_doubt = None;
        let mut last = None;
        for turn in 0..self.addresses.len() {
            let remaining = deadline.duration_since(Instant::now());
            if turn > 0 && remaining.is_zero() {
                break;
            }
            let Some(address) = self.addresses.get((first + turn) % self.addresses.len()) else { break };
            world::sometimes!(turn > 0 && in_doubt.is_some(), "ticketing.peers.sent-again-in-doubt");
            world::sometimes!(turn > 0 && in_doubt.is_none(), "ticketing.peers.next-instance-asked");
            match self.client.send(address, request.clone(), remaining).await {
                Ok(response) => return Ok(response),
                Err(error @ Error::NotSent { .. }) => last = Some(error),
                Err(error @ Error::Unknown { reason: Unknown::Lost(_), .. }) if idempotent => {
                    in_doubt = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(in_doubt.or(last).expect("there is at least one address"))
    }

    /// POSTs JSON to the instance whose turn it is.
    pub(crate) async fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Outcome<R> {
        self.call(self.next(), Method::POST, path, Some(body), within).await
    }

    /// GETs JSON from the instance whose turn it is.
    pub(crate) async fn get<R: DeserializeOwned>(&self, path: &str, within: Duration) -> Outcome<R> {
        self.call(self.next(), Method::GET, path, None::<&()>, within).await
    }

    /// POSTs JSON to the instance that a name belongs to.
    pub(crate) async fn post_to<R: DeserializeOwned>(
        &self,
        name: &str,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Outcome<R> {
        self.call(self.of(name), Method::POST, path, Some(body), within).await
    }

    async fn call<R: DeserializeOwned>(
        &self,
        first: usize,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        within: Duration,
    ) -> Outcome<R> {
        let request = json_request(method, path, body)
            .map_err(|error| ApiError::nothing_happened(error.to_string()))?;
        let response = self.send(first, request, true, within).await.map_err(|error| no_answer(&error))?;
        read_json(&response).map_err(|error| match error {
            CallError::Transport(error) => no_answer(&error),
            CallError::Api(error) => error,
            CallError::Body { .. } => ApiError::unknown(error.to_string()),
        })
    }
}

/// What a missing answer means for the caller of the service.
pub(crate) fn no_answer(error: &Error) -> ApiError {
    if error.is_unknown() {
        ApiError::unknown(error.to_string())
    } else {
        ApiError::nothing_happened(error.to_string())
    }
}
