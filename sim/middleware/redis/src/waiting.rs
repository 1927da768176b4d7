//! Clients that wait for a key to have something: who they are, in which order they came, and how they are served.
//!
//! A command such as `BLPOP` that finds nothing leaves a [`Wait`] here. Whoever makes a key ready does so within a unit
//! (a command, a transaction, a script); after that unit, the clients that wait for its keys are served, those who came
//! first before the others, each by a unit of its own: an element goes to one client only, and what is propagated are
//! the commands that do not wait.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::redis::reply::{Protocol, Writer};

use crate::{
    commands::{Context, Database, End, blocking},
    keyspace::{Awaited, Blob, Value},
    session::State,
    stream::StreamId,
};

/// What clients hear that wait for data on a server that gets another master.
pub(crate) const UNBLOCKED_BY_ROLE: &[u8] =
    b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";

/// What a client waits for, and what it gets then.
#[derive(Debug)]
pub(crate) enum Want {
    /// An element of a list, or up to so many of them.
    List { from: End, count: Option<usize> },
    /// An element of a list, to be moved to another; with `RPOPLPUSH` or with `LMOVE`.
    Move { from: End, to: End, destination: Blob, is_rpoplpush: bool },
    /// A member of a sorted set, or up to so many of them.
    SortedSet { highest: bool, count: Option<usize> },
    /// Entries of streams.
    Stream {
        /// The group and the consumer for which they are read, and whether they count as acknowledged.
        group: Option<(Blob, Blob, bool)>,
        count: usize,
        /// After which entry of each stream; of no meaning with a group.
        after: BTreeMap<Blob, StreamId>,
    },
}

impl Want {
    fn kind(&self) -> Awaited {
        match self {
            Want::List { .. } | Want::Move { .. } => Awaited::List,
            Want::SortedSet { .. } => Awaited::SortedSet,
            Want::Stream { .. } => Awaited::Stream,
        }
    }
}

/// A client that waits.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) keys: Vec<Blob>,
    pub(crate) want: Want,
    /// Milliseconds; 0: for ever.
    pub(crate) timeout_ms: u64,
    /// In which protocol it wants its reply, and whether it wants any.
    pub(crate) protocol: Protocol,
    pub(crate) is_silent: bool,
    /// It may wait on a replica, since it only reads and said `READONLY`.
    pub(crate) reads_replica: bool,
}

impl Wait {
    pub(crate) fn new(keys: &[&[u8]], want: Want, timeout_ms: u64) -> Self {
        Self {
            keys: keys.iter().map(|key| Blob::from(*key)).collect(),
            want,
            timeout_ms,
            protocol: Protocol::Resp2,
            is_silent: false,
            reads_replica: false,
        }
    }

    fn is_by_group(&self) -> bool {
        matches!(self.want, Want::Stream { group: Some(_), .. })
    }
}

/// All clients that wait for keys.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    clients: BTreeMap<i64, Wait>,
    /// For each key that somebody waits for: who, in the order in which they came.
    queues: BTreeMap<Blob, Vec<i64>>,
}

impl Waiting {
    pub(crate) fn has(&self, id: i64) -> bool {
        !self.clients.is_empty() && self.clients.contains_key(&id)
    }
}

impl Database {
    /// A client waits from now on.
    pub(crate) fn start_waiting(&mut self, id: i64, wait: Wait) {
        for key in &wait.keys {
            let queue = self.waiting.queues.entry(key.clone()).or_default();
            if !queue.contains(&id) {
                queue.push(id);
            }
        }
        self.keyspace.start_awaiting(&wait.keys, wait.want.kind());
        self.waiting.clients.insert(id, wait);
    }

    /// A client does not wait any more; `None` if it did not.
    pub(crate) fn stop_waiting(&mut self, id: i64) -> Option<Wait> {
        if self.waiting.clients.is_empty() {
            return None;
        }
        let wait = self.waiting.clients.remove(&id)?;
        for key in &wait.keys {
            if let Some(queue) = self.waiting.queues.get_mut(key) {
                queue.retain(|waiting| *waiting != id);
                if queue.is_empty() {
                    self.waiting.queues.remove(key);
                }
            }
        }
        let queues = &self.waiting.queues;
        self.keyspace.stop_awaiting(&wait.keys, wait.want.kind(), |key| !queues.contains_key(key));
        Some(wait)
    }

    /// Ends the waiting of a client with a reply.
    pub(crate) fn release(&mut self, id: i64, reply: impl FnOnce(&mut Writer)) {
        if let Some(wait) = self.stop_waiting(id) {
            let mut writer = Writer::new(wait.protocol);
            reply(&mut writer);
            self.reply_to_waiting(id, &wait, writer);
        }
    }

    fn reply_to_waiting(&mut self, id: i64, wait: &Wait, reply: Writer) {
        // Even without a reply the connection has to hear that it may go on.
        let bytes = if wait.is_silent { Bytes::new() } else { Bytes::from(reply.into_bytes()) };
        let now_ms = self.now_ms();
        self.clients.deliver(id, bytes, false, now_ms);
    }
}

/// What a key that became ready means for a client that waits for it.
pub(crate) enum Verdict {
    /// Nothing: it is not what the client waits for.
    Waits,
    IsServed,
    /// The client has to hear that it waits in vain.
    Fails(&'static str),
}

impl State {
    /// Serves those who wait for the keys that became ready, also for those that serving made ready.
    pub(crate) fn serve_waiting(&mut self) {
        while let Some(ready) = self.db.keyspace.take_ready() {
            for key in ready {
                let queue = self.db.waiting.queues.get(&key).cloned().unwrap_or_default();
                for id in queue {
                    self.serve(id, &key);
                }
            }
        }
    }

    fn serve(&mut self, id: i64, key: &Blob) {
        let Some(wait) = self.db.waiting.clients.get(&id) else { return };
        let verdict = match self.db.keyspace.get(key) {
            Some(value) => blocking::judge(value, key, wait),
            None => Verdict::Waits,
        };
        let is_stream = matches!(self.db.keyspace.get(key), Some(Value::Stream(_)));
        match verdict {
            _ if !is_stream && wait.is_by_group() => {
                self.db.release(id, |reply| reply.error(b"UNBLOCKED the stream key no longer exists"));
            }
            Verdict::Waits => {}
            Verdict::Fails(why) => self.db.release(id, |reply| reply.error(why.as_bytes())),
            Verdict::IsServed => {
                let Some(wait) = self.db.stop_waiting(id) else { return };
                let mut reply = Writer::new(wait.protocol);
                self.db.propagation.begin();
                let outcome =
                    blocking::serve(&mut Context { db: &mut self.db, reply: &mut reply }, key, &wait.want);
                if let Err(error) = outcome {
                    reply = Writer::new(wait.protocol);
                    reply.error(error.as_bytes());
                }
                self.settle();
                self.db.reply_to_waiting(id, &wait, reply);
            }
        }
    }

    /// All who wait for data hear that this server is none any more that gets any, and are disconnected.
    pub(crate) fn disconnect_waiting(&mut self) {
        let waiting: Vec<i64> = self.db.waiting.clients.keys().copied().collect();
        for id in waiting {
            world::reachable!("redis.unblocked-by-role");
            self.db.release(id, |reply| reply.error(UNBLOCKED_BY_ROLE));
            self.db.clients.close_after_mail(id);
        }
    }

    /// Those who wait for keys that another node of the cluster has now are told to go there: asked once a second.
    pub(crate) fn redirect_waiting(&mut self) {
        let Some(cluster) = &self.db.cluster else { return };
        let lost = self.db.waiting.clients.iter().filter_map(|(id, wait)| {
            let key = wait.keys.first()?;
            let redirection = cluster.route_blocked(key, wait.reads_replica).err()?;
            Some((*id, redirection.to_string()))
        });
        for (id, redirection) in lost.collect::<Vec<_>>() {
            world::reachable!("redis.unblocked-by-redirection");
            self.db.release(id, |reply| reply.error(redirection.as_bytes()));
        }
    }
}
