//! Group commit: replies are held back until a `WAIT` says that replicas have what they rest on.

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, Value};
use tokio::sync::oneshot;

use super::{client::Durability, error::not_replicated};

/// The groups of a connection, one after the other.
pub(super) struct Commit {
    durability: Durability,
    /// The encoded `WAIT`.
    wait: Arc<[u8]>,
    /// Is a `WAIT` under way? Then its group takes no more requests.
    is_closed: bool,
    executed: Vec<Executed>,
}

/// A request of the group under way whose replies are there.
struct Executed {
    replies: Vec<Value>,
    reply: oneshot::Sender<RedisResult<Vec<Value>>>,
}

impl Commit {
    pub(super) fn new(durability: &Durability) -> Self {
        let mut durability = durability.clone();
        // Zero would be for ever.
        durability.timeout = durability.timeout.max(Duration::from_millis(1));
        let timeout_ms = u64::try_from(durability.timeout.as_millis()).unwrap_or(u64::MAX);
        let wait = redis::cmd("WAIT").arg(durability.replicas).arg(timeout_ms).get_packed_command();
        Self { durability, wait: wait.into(), is_closed: false, executed: Vec::new() }
    }

    /// How long a `WAIT` may take.
    pub(super) fn timeout(&self) -> Duration {
        self.durability.timeout
    }

    /// Must newer requests wait for the next group?
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Closes the group that is under way; returns the `WAIT` to send behind it, unless it was sent already.
    pub(super) fn close(&mut self) -> Option<Arc<[u8]>> {
        let was_closed = std::mem::replace(&mut self.is_closed, true);
        (!was_closed).then(|| Arc::clone(&self.wait))
    }

    /// Keeps replies until the group's `WAIT` was answered.
    pub(super) fn hold(&mut self, replies: Vec<Value>, reply: oneshot::Sender<RedisResult<Vec<Value>>>) {
        self.executed.push(Executed { replies, reply });
    }

    /// The `WAIT` was answered: hands out what it is about, and opens the next group.
    pub(super) fn complete(&mut self, reply: Option<Value>) {
        self.is_closed = false;
        let needed =
            if world::mutant!("redis.client.wait-answer-ignored") { 0 } else { self.durability.replicas };
        let reason = match reply {
            Some(Value::Int(count)) if count >= i64::from(needed) => None,
            Some(Value::Int(count)) => Some(format!("{count} of {needed} replicas acknowledged in time")),
            Some(Value::ServerError(error)) => Some(error.to_string()),
            other => Some(format!("{other:?} is no reply to WAIT")),
        };
        if let Some(reason) = reason {
            return self.refuse(&reason);
        }
        for done in self.executed.drain(..) {
            // The caller may have gone.
            let _ = done.reply.send(Ok(done.replies));
        }
    }

    /// Too few replicas acknowledged this group, or nobody will learn how many did.
    pub(super) fn refuse(&mut self, reason: &str) {
        if self.executed.is_empty() {
            return;
        }
        world::reachable!("redis.client.not-replicated");
        let error = not_replicated(reason);
        for done in self.executed.drain(..) {
            let _ = done.reply.send(Err(error.clone()));
        }
    }
}

/// Did a server execute the request that these are the replies to, or any part of it?
pub(super) fn was_executed(replies: &[Value], is_transaction: bool) -> bool {
    let is_executed = |reply: &Value| !matches!(reply, Value::ServerError(_));
    if is_transaction { replies.last().is_some_and(is_executed) } else { replies.iter().any(is_executed) }
}
