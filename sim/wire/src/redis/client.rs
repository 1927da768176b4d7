//! Many callers, few connections: what a service holds to talk to one Redis server.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike};
use tokio::sync::{mpsc, oneshot};

use super::{
    connection::single,
    driver::{self, Request},
    error::reply_lost,
};

/// How a [`Client`] connects and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Longest time for a connection to be established. Commands that wait for it fail as not sent.
    pub connect_timeout: Duration,
    /// Longest time from handing a command to a connection until all its replies are there. When it passes, the
    /// connection is given up with everything that is under way on it.
    pub response_timeout: Duration,
    /// Connections over which callers are spread in turn (at least one).
    pub connections: usize,
}

impl Default for Options {
    /// One second for either timeout, two connections.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            connections: 2,
        }
    }
}

/// A client of one server. Clones share its connections.
///
/// Concurrent commands are pipelined: each connection has a task (of the host of its first caller) that writes
/// what callers hand in and gives the replies back in order. A connection is opened by the first command that
/// needs it, and opened again by the next one after it broke.
///
/// Errors tell whether the command can have had an effect: with [`was_not_sent`](super::was_not_sent) it certainly
/// had none; after any other io error (a lost connection, a reply that did not come in time) its outcome is unknown.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: String,
    options: Options,
    next: AtomicUsize,
    /// The queue of each connection's task, once it was started.
    lanes: Vec<Mutex<Option<mpsc::UnboundedSender<Request>>>>,
}

impl Client {
    /// A client of the server at `address` ("host:port"). Nothing is connected yet.
    pub fn new(address: impl Into<String>, options: Options) -> Self {
        let lanes = (0..options.connections.max(1)).map(|_| Mutex::new(None)).collect();
        Self {
            shared: Arc::new(Shared { address: address.into(), options, next: AtomicUsize::new(0), lanes }),
        }
    }

    /// A handle for commands that want a `&mut` connection: a clone of the client.
    pub fn connection(&self) -> Client {
        self.clone()
    }

    /// The address of the server.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    async fn exchange(&self, bytes: Vec<u8>, skip: usize, keep: usize) -> RedisResult<Vec<Value>> {
        if skip + keep == 0 {
            // An empty pipeline: nothing to send, nothing to wait for.
            return Ok(Vec::new());
        }
        let (reply, receiver) = oneshot::channel();
        self.shared.hand_over(Request { bytes, skip, keep, reply });
        receiver.await.unwrap_or_else(|_| {
            Err(reply_lost(std::io::ErrorKind::ConnectionAborted, "the connection's task has ended"))
        })
    }
}

impl Shared {
    /// Gives the request to the next lane in turn; starts its task if it does not run (any more, after a crash of
    /// the host that it ran on).
    fn hand_over(&self, request: Request) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let mut lane = self.lanes[turn].lock().unwrap_or_else(PoisonError::into_inner);
        let request = match lane.as_ref() {
            None => request,
            Some(queue) => match queue.send(request) {
                Ok(()) => return,
                Err(refused) => refused.0,
            },
        };
        let (queue, requests) = mpsc::unbounded_channel();
        // The receiver is alive: this cannot fail.
        let _ = queue.send(request);
        world::task::spawn(driver::run(self.address.clone(), self.options.clone(), requests));
        *lane = Some(queue);
    }
}

impl ConnectionLike for Client {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move { single(self.exchange(cmd.get_packed_command(), 0, 1).await?) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move { self.exchange(pipeline.get_packed_pipeline(), offset, count).await })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
