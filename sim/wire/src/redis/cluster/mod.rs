//! The client of a cluster: commands find their nodes by their keys, and follow when slots move.
//!
//! How it works inside: `command` finds the slot of a command, `slots` is the map from slots to masters, `topology`
//! keeps it and `refresh` asks for it; `node` is a node's connections and when to try them again; `attempts` sends a
//! `unit` as often as its replies ask for and its safety allows; `scripts` has the scripts to load where they are
//! missed; [`form`](fn@form) makes a cluster of single nodes.

mod attempts;
mod command;
mod form;
mod node;
mod refresh;
mod scripts;
mod slots;
mod topology;
mod unit;

use std::{io, pin::pin, sync::Arc, time::Duration};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::ConnectionLike,
};
use world::time::Instant;

pub use self::form::{form, until_replicas_are_listed};
use self::{
    attempts::Shared,
    command::{Merge, Target},
    scripts::Scripts,
    topology::{Found, Route, Topology},
    unit::{Unit, Work},
};
use super::{
    client::{self, Client},
    connection::checked,
    driver::Parcel,
    error::{not_sent, reply_lost, was_not_replicated, was_not_sent},
};

/// How a [`ClusterClient`] routes, redirects and tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The connections to each node. A [`Durability`](super::Durability) goes for all of them.
    pub node: client::Options,
    /// No attempt at a command starts later than this after it was handed in. The last attempt may still take the
    /// node's `connect_timeout` and `response_timeout`, and the wait for replicas.
    pub deadline: Duration,
    /// `MOVED` and `ASK` that a command follows at most.
    pub max_redirects: u32,
    /// Times that a command is sent again at most, for another cause than a redirection.
    pub max_retries: u32,
    /// Send commands that change nothing again when their reply was lost?
    pub retry_reads: bool,
    /// How long to wait before a node that could not be connected is tried again, before a command that was told to
    /// try again does so, and before the slots are asked for again when no node answered.
    pub backoff: Backoff,
    /// Time between refreshes of the slot map without any cause. Looked at when a command is sent: a client without
    /// work asks nobody. `None`: never.
    pub refresh_interval: Option<Duration>,
    /// Least time from the end of a refresh to the beginning of the next, whatever its cause.
    pub min_refresh_interval: Duration,
    /// Longest time that one node gets to connect and tell the slots, before the next is asked.
    pub refresh_timeout: Duration,
}

impl Default for Options {
    /// Nodes as [`client::Options::default`], a deadline of 5 s, 16 redirections and 16 retries, lost reads not
    /// repeated, back-off from 20 ms to 1 s, refreshes every minute at least and every 100 ms at most, half a second
    /// for each node.
    fn default() -> Self {
        Self {
            node: client::Options::default(),
            deadline: Duration::from_secs(5),
            max_redirects: 16,
            max_retries: 16,
            retry_reads: false,
            backoff: Backoff { first: Duration::from_millis(20), max: Duration::from_secs(1) },
            refresh_interval: Some(Duration::from_secs(60)),
            min_refresh_interval: Duration::from_millis(100),
            refresh_timeout: Duration::from_millis(500),
        }
    }
}

/// Exponential back-off: each failure in a row doubles the wait, of which the upper half is drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait after the first failure.
    pub first: Duration,
    /// Longest wait of all.
    pub max: Duration,
}

/// A client of a cluster. Clones share its connections and its map of the slots.
///
/// # Routing
/// A command goes to the master of its first key's slot; replicas are never read from. The map comes from
/// `CLUSTER SLOTS`: at first use, after a redirection, after a failure, and from time to time. Commands without a key
/// go to the masters in turn; `FLUSHALL`, `FLUSHDB`, `SCRIPT FLUSH` and changes to functions to all of them, `DBSIZE`
/// and `KEYS` as well, with their replies added up. A command whose keys are in different slots is refused by the
/// server (`CROSSSLOT`); nothing is split up. Commands that are about one connection or one node (`WATCH`,
/// `SUBSCRIBE`, `WAIT`, `SCAN` …) are refused here; for those, [`masters`](Self::masters) gives the nodes.
///
/// The commands of a pipeline are sent to their nodes side by side, and each is redirected on its own, so their
/// order is kept only among those for one node that are answered at the first attempt. A pipeline in atomic mode must
/// be in one slot; else it fails with `CROSSSLOT` and nothing is sent.
///
/// A script that was loaded by this client (`redis::Script` does so when it is missed) is loaded again at every node
/// that does not have it, a replica that just became a master for example, right before it is run there. Within a
/// transaction that cannot be done: use `EVAL` there.
///
/// # What a caller sees while the cluster changes
/// Nothing but a delay, as long as it is certain that no server executed the command, and the [`Options`] allow one
/// more attempt: `MOVED` and `ASK` are followed; after `TRYAGAIN`, `CLUSTERDOWN`, `MASTERDOWN` and `LOADING` it is sent
/// again, later; so is what could not be sent, since its node cannot be connected (which is then tried only every now
/// and then, not by every command) or since no node has told the slots. When no more attempt is allowed, the error is
/// that of the last one: [not sent](super::was_not_sent), or the server's reply. For all of these
/// [`was_not_executed`](super::was_not_executed) holds. A script that makes up such a reply after it has written is
/// taken at its word.
///
/// When a master dies, the replies of all that it was sent are lost. These commands fail with another io error, at
/// once or after the `response_timeout`: they may have been executed or not, and are not sent again, except for reads if
/// [`Options::retry_reads`] says so. Later commands for its slots wait, within their deadlines, until a replica has been
/// elected and a node told so.
///
/// What the dead master had acknowledged is lost too if the elected replica had not got it. With a
/// [`Durability`](super::Durability), acknowledged means replicated: a command that was executed, but not replicated in
/// time, fails with [`was_not_replicated`] and is not sent again.
///
/// A pipeline fails as a whole, with the error that says least about what was executed: `was_not_sent` holds only if
/// none of its commands was sent.
#[derive(Debug, Clone)]
pub struct ClusterClient {
    shared: Arc<Shared>,
}

impl ClusterClient {
    /// A client of the cluster that these nodes ("host:port", at least one) belong to. Nothing is connected yet.
    pub fn new(seeds: impl IntoIterator<Item = impl Into<String>>, options: Options) -> Self {
        let seeds = seeds.into_iter().map(Into::into).collect();
        let topology = Arc::new(Topology::new(seeds, options));
        Self { shared: Arc::new(Shared { topology, scripts: Scripts::default() }) }
    }

    /// A handle for commands that want a `&mut` connection: a clone of the client.
    pub fn connection(&self) -> ClusterClient {
        self.clone()
    }

    /// Clients of the masters, one each, for what is about single nodes. They share this client's connections, and do
    /// not follow redirections.
    ///
    /// # Errors
    /// [Not sent](super::was_not_sent) when no node told the slots before the deadline.
    pub async fn masters(&self) -> RedisResult<Vec<Client>> {
        let nodes = self.master_nodes(Instant::now()).await?;
        Ok(nodes.iter().map(|node| node.client().clone()).collect())
    }

    async fn master_nodes(&self, started: Instant) -> RedisResult<Vec<Arc<node::Node>>> {
        let topology = &self.shared.topology;
        let deadline = started + topology.options().deadline;
        loop {
            let mut refreshed = pin!(topology.refreshed());
            refreshed.as_mut().enable();
            let masters = topology.serving_masters();
            if !masters.is_empty() {
                return Ok(masters);
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(not_sent(io::ErrorKind::TimedOut, "no node told the slots in time"));
            }
            // Asks for the map.
            topology.find(&Route::AnyMaster, now);
            topology::wait(deadline, refreshed).await;
        }
    }

    async fn command(&self, command: &Cmd) -> RedisResult<Value> {
        let route = match command::target(command) {
            Target::Slot(slot) => Route::Slot(slot),
            Target::AnyMaster => Route::AnyMaster,
            Target::AllMasters(merge) => return Box::pin(self.on_all_masters(command, merge)).await,
            Target::Refused => return Err(refused(command)),
        };
        let shared = &*self.shared;
        let mut unit = Unit::new(Work::Command(command), route);
        let started = Instant::now();
        // The first attempt, as almost always the only one, is spared all that only more of them need.
        if let Found::Ready(node) = shared.topology.find(&unit.route, started) {
            let sent = node.client().hand_over(Parcel::command(command.get_packed_command()));
            let outcome = sent.replies().await;
            shared.settle(&mut unit, &node, outcome);
        }
        if !unit.is_done {
            Box::pin(shared.run(std::slice::from_mut(&mut unit), started)).await;
        }
        checked(unit.into_reply()?)
    }

    async fn on_all_masters(&self, command: &Cmd, merge: Merge) -> RedisResult<Value> {
        let started = Instant::now();
        let masters = self.master_nodes(started).await?;
        let unit = |node| Unit::new(Work::Command(command), Route::Node(node));
        let mut units: Vec<_> = masters.into_iter().map(unit).collect();
        if command::is_script_flush(command) {
            self.shared.scripts.forget();
        }
        self.shared.run(&mut units, started).await;
        merge_replies(join(units)?, merge)
    }

    async fn pipeline(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut units = Vec::with_capacity(pipeline.len());
        for command in pipeline.cmd_iter() {
            let route = match command::target(command) {
                Target::Slot(slot) => Route::Slot(slot),
                Target::AnyMaster => Route::AnyMaster,
                Target::AllMasters(_) | Target::Refused => return Err(refused(command)),
            };
            units.push(Unit::new(Work::Command(command), route));
        }
        self.shared.run(&mut units, Instant::now()).await;
        join(units)
    }

    async fn transaction(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut route = Route::AnyMaster;
        for command in pipeline.cmd_iter() {
            match (command::target(command), &route) {
                (Target::Slot(slot), Route::Slot(first)) if slot != *first => {
                    return Err(RedisError::from((
                        ErrorKind::Server(ServerErrorKind::CrossSlot),
                        "the keys of a transaction are not in one slot; nothing was sent",
                    )));
                }
                (Target::Slot(slot), _) => route = Route::Slot(slot),
                (Target::AnyMaster, _) => {}
                (Target::AllMasters(_) | Target::Refused, _) => return Err(refused(command)),
            }
        }
        let mut unit = Unit::new(Work::Transaction(pipeline), route);
        self.shared.run(std::slice::from_mut(&mut unit), Instant::now()).await;
        Ok(vec![unit.into_reply()?])
    }
}

/// A command that makes no sense over the connections of many nodes.
fn refused(command: &Cmd) -> RedisError {
    let name = match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    };
    let reason = "the command cannot be sent this way by the client of a cluster; nothing was sent";
    RedisError::from((ErrorKind::Client, reason, name))
}

/// The replies of all units; or the one error that claims no more than what goes for all of them.
fn join(units: Vec<Unit<'_>>) -> RedisResult<Vec<Value>> {
    let count = units.len();
    let mut replies = Vec::with_capacity(count);
    let mut unsent = Vec::new();
    let mut unreplicated = None;
    for unit in units {
        match unit.into_reply() {
            Ok(reply) => replies.push(reply),
            Err(error) if was_not_sent(&error) => unsent.push(error),
            Err(error) if was_not_replicated(&error) => unreplicated = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (unsent.pop(), unreplicated) {
        (None, None) => Ok(replies),
        (None, Some(error)) => Err(error),
        (Some(error), _) if unsent.len() + 1 == count => Err(error),
        (Some(error), _) => {
            let reason = format!("of {count} commands, {} were not sent: {error}", unsent.len() + 1);
            Err(reply_lost(io::ErrorKind::Interrupted, reason))
        }
    }
}

fn merge_replies(replies: Vec<Value>, merge: Merge) -> RedisResult<Value> {
    let mut sum = 0;
    let mut all = Vec::new();
    let mut first = None;
    for reply in replies {
        match (checked(reply)?, merge) {
            (reply, Merge::First) => first = first.or(Some(reply)),
            (Value::Int(number), Merge::Sum) => sum += number,
            (Value::Array(items), Merge::Concatenation) => all.extend(items),
            _ => {
                return Err(RedisError::from((
                    ErrorKind::UnexpectedReturnType,
                    "replies that cannot be merged",
                )));
            }
        }
    }
    Ok(match merge {
        Merge::First => first.unwrap_or(Value::Nil),
        Merge::Sum => Value::Int(sum),
        Merge::Concatenation => Value::Array(all),
    })
}

impl ConnectionLike for ClusterClient {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.command(cmd))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            if pipeline.is_transaction() {
                return self.transaction(pipeline).await;
            }
            let replies = self.pipeline(pipeline).await?;
            Ok(replies.into_iter().skip(offset).take(count).collect())
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
