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

use crate::story;

use super::{
    connection::single,
    driver::{self, Parcel, Request},
    error::reply_lost,
};

/// How a [`Client`] connects and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Longest time for a connection to be established. Commands that wait for it fail as not sent.
    pub connect_timeout: Duration,
    /// Longest time from handing a command to a connection until all its replies are there, the wait for replicas
    /// not included. When it passes, the connection is given up with everything that is under way on it.
    pub response_timeout: Duration,
    /// Connections over which callers are spread in turn (at least one).
    pub connections: usize,
    /// Hold replies back until replicas have what they rest on? By default not.
    pub durability: Option<Durability>,
}

impl Default for Options {
    /// One second for either timeout, two connections, no durability.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            connections: 2,
            durability: None,
        }
    }
}

/// How many replicas must have what a reply rests on before the caller gets that reply.
///
/// Each connection commits in groups: what is waiting is written in one go with a `WAIT` behind it, and while that is
/// under way (Redis serves nothing else on a connection during a `WAIT`), newer requests gather for the next group. So
/// a request waits for at most one group before its own, and the cost of a `WAIT` is shared. When it says that enough
/// replicas acknowledged, the group's replies are handed out; if not, each request fails as
/// [not replicated](super::NotReplicated), and the connection goes on. A request whose replies are all errors is
/// answered at once.
///
/// Reads are as durable as writes: after every command, a read as well, Redis notes how far the replication stream has
/// come (`c->woff = server.master_repl_offset` in `processCommand` of server.c, 7.0), and that is what a later `WAIT`
/// waits for. What a read has seen, whoever wrote it, was in the stream before; so nothing is read that may vanish by
/// the loss of the master alone. This does not hold for a command that blocks (`BLPOP`) and is served later: its own
/// effect joins the stream after the note was taken. And acknowledged by a replica is not the same as kept for good: a
/// replica without these writes may win the election, and replicas acknowledge what is in their memory, not on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Replicas that have to acknowledge.
    pub replicas: u32,
    /// How long Redis waits for them, in whole milliseconds (at least one).
    pub timeout: Duration,
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

    async fn exchange(&self, parcel: Parcel) -> RedisResult<Vec<Value>> {
        if parcel.skip + parcel.keep == 0 {
            // An empty pipeline: nothing to send, nothing to wait for.
            return Ok(Vec::new());
        }
        self.hand_over(parcel).replies().await
    }

    /// Hands a parcel to a connection, to be written soon.
    pub(super) fn hand_over(&self, parcel: Parcel) -> Sent {
        let asked = story::redis_commands(&self.shared.address, &parcel.bytes);
        let (reply, receiver) = oneshot::channel();
        self.shared.hand_over(Request { parcel, reply });
        Sent(receiver, asked)
    }
}

/// What was handed to a connection.
pub(super) struct Sent(oneshot::Receiver<RedisResult<Vec<Value>>>, Option<story::Asked>);

impl Sent {
    /// Its replies, once they are all there and as durable as asked for.
    pub(super) async fn replies(self) -> RedisResult<Vec<Value>> {
        let result = self.0.await.unwrap_or_else(|_| {
            Err(reply_lost(std::io::ErrorKind::ConnectionAborted, "the connection's task has ended"))
        });
        if let Some(asked) = self.1 {
            story::redis_replies(&asked, &result);
        }
        result
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
        Box::pin(async move { single(self.exchange(Parcel::command(cmd.get_packed_command())).await?) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let parcel = Parcel {
                bytes: pipeline.get_packed_pipeline(),
                skip: offset,
                keep: count,
                is_transaction: pipeline.is_transaction(),
            };
            self.exchange(parcel).await
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
