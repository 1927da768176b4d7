//! Replication, as in Redis 7.0: a master streams what it propagates; a replica that was away asks for the rest by
//! replication id and offset (`PSYNC`), and gets a whole snapshot where that is no longer possible.
//!
//! Acknowledged writes are not waited for: a master that fails takes with it what its replicas have not got. `WAIT`
//! tells how many have got it, no more.
//!
//! - `stream`: the last bytes of the stream (the backlog, and what slow replicas still need).
//! - `feed`: a master's connection to a replica.
//! - `link`: a replica's connection to its master.
//! - `commands`: `PSYNC`, `REPLCONF`, `REPLICAOF`, `ROLE`, `WAIT`.

pub(crate) mod commands;
pub(crate) mod feed;
pub(crate) mod link;
mod stream;

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use tokio::sync::Notify;

use crate::{config::Config, propagation::encode};
use stream::Stream;

/// Bytes that a replica may lag behind before it is given up: the hard limit of
/// `client-output-buffer-limit replica`.
const OUTPUT_LIMIT: u64 = 256 << 20;
/// How long the backlog of a master without replicas is kept, in milliseconds: `repl-backlog-ttl`.
const BACKLOG_TTL_MS: u64 = 3_600_000;

/// The name of a history of writes: 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicationId(pub(crate) String);

impl ReplicationId {
    /// A new one from a source of random numbers.
    pub(crate) fn draw(mut random: impl FnMut() -> u64) -> Self {
        let digits: String = (0..3).map(|_| format!("{:016x}", random())).collect();
        Self(digits[..40].to_owned())
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a master is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MasterAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How far a replica is with its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Not connected.
    Connect,
    Connecting,
    /// Receives a snapshot.
    Sync,
    Connected,
}

/// A replica's view of its master.
#[derive(Debug, Clone)]
pub(crate) struct Master {
    pub(crate) address: MasterAddress,
    pub(crate) state: LinkState,
    /// When it was heard of last, by the wall clock in milliseconds.
    pub(crate) heard_ms: u64,
    /// Since when the link is down, if it is, likewise.
    pub(crate) down_since_ms: Option<u64>,
}

/// A replica, as its master knows it.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) ip: String,
    pub(crate) port: u16,
    /// Offset up to which the stream was handed to its connection.
    pub(crate) sent: u64,
    /// Offset that it acknowledged.
    pub(crate) acknowledged: u64,
    /// When it did so last, by the wall clock in milliseconds.
    pub(crate) heard_ms: u64,
    /// Does it have the snapshot that it needed?
    pub(crate) online: bool,
}

/// All that a server knows of replication.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(crate) id: ReplicationId,
    /// The history that this one goes on from, and the first offset that is not part of it any more.
    pub(crate) previous: Option<(ReplicationId, u64)>,
    /// `None`: nobody ever asked for it, and nothing is counted.
    stream: Option<Stream>,
    /// Offset when there is no stream.
    offset: u64,
    /// The stream has a `SELECT` since replicas with a fresh snapshot may read it.
    selected: bool,
    pub(crate) replicas: BTreeMap<i64, Replica>,
    /// When the last replica left, by the wall clock in milliseconds.
    lonely_since_ms: u64,
    /// Replicas heard of within `min-replicas-max-lag`, counted once a second as Redis does.
    pub(crate) good_replicas: u64,
    /// `None`: the server is a master.
    pub(crate) master: Option<Master>,
    /// Replicas are to say how far they are.
    ask_replicas: bool,
    pub(crate) bells: Bells,
}

/// Rung when something happened that tasks wait for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    /// The stream grew, or replicas are to be let go.
    pub(crate) stream: Arc<Notify>,
    /// A replica acknowledged, or the role changed.
    pub(crate) acknowledged: Arc<Notify>,
    /// The server has another master, or none any more.
    pub(crate) role: Arc<Notify>,
}

impl Replication {
    pub(crate) fn new(id: ReplicationId) -> Self {
        Self {
            id,
            previous: None,
            stream: None,
            offset: 0,
            selected: false,
            replicas: BTreeMap::new(),
            lonely_since_ms: 0,
            good_replicas: 0,
            master: None,
            ask_replicas: false,
            bells: Bells::default(),
        }
    }

    /// Offset of the last byte of the stream.
    pub(crate) fn offset(&self) -> u64 {
        self.stream.as_ref().map_or(self.offset, Stream::end)
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.master.is_some()
    }

    /// Does anybody want what is propagated?
    pub(crate) fn is_recording(&self) -> bool {
        self.stream.is_some() && self.master.is_none()
    }

    /// Starts to record the stream.
    pub(crate) fn record(&mut self) {
        if self.stream.is_none() {
            self.stream = Some(Stream::after(self.offset));
            self.selected = false;
        }
    }

    /// A master propagates commands.
    pub(crate) fn feed(&mut self, commands: &[u8]) {
        if let Some(stream) = &mut self.stream {
            if !self.selected {
                let mut select = Vec::new();
                encode(&[b"SELECT", b"0"], &mut select);
                stream.push(&select);
                self.selected = true;
            }
            stream.push(commands);
            self.bells.stream.notify_waiters();
        }
    }

    /// A replica passes on what its master sent.
    pub(crate) fn pass_on(&mut self, bytes: &[u8]) {
        self.record();
        if let Some(stream) = &mut self.stream {
            stream.push(bytes);
            if !self.replicas.is_empty() {
                self.bells.stream.notify_waiters();
            }
        }
    }

    /// Drops the part of the stream that nobody can need any more.
    pub(crate) fn trim(&mut self, config: &Config) {
        let Some(stream) = &mut self.stream else { return };
        let end = stream.end();
        let backlog = end.saturating_sub(config.repl_backlog_size);
        let slowest = self.replicas.values().map(|replica| replica.sent).min().unwrap_or(end);
        stream.forget(backlog.min(slowest.max(end.saturating_sub(OUTPUT_LIMIT))));
    }

    /// The next bytes for a replica, at most `limit`; `None` if it is to be let go: it lags too far behind, or it is
    /// not wanted any more.
    pub(crate) fn next_for(&mut self, replica: i64, limit: usize) -> Option<&[u8]> {
        let replica = self.replicas.get_mut(&replica)?;
        let bytes = self.stream.as_ref()?.since(replica.sent)?;
        let bytes = &bytes[..bytes.len().min(limit)];
        replica.sent += bytes.len() as u64;
        Some(bytes)
    }

    /// Can a replica that has this history up to before `offset` go on from there?
    pub(crate) fn can_continue(&self, id: &str, offset: u64) -> bool {
        let same = id.eq_ignore_ascii_case(&self.id.0);
        let shared = self
            .previous
            .as_ref()
            .is_some_and(|(previous, until)| id.eq_ignore_ascii_case(&previous.0) && offset <= *until);
        let stream = self.stream.as_ref().filter(|_| same || shared);
        stream.zip(offset.checked_sub(1)).is_some_and(|(stream, received)| stream.since(received).is_some())
    }

    /// A replica comes (back) with all up to `sent`.
    pub(crate) fn attach(&mut self, connection: i64, replica: Replica, config: &Config, now_ms: u64) {
        self.replicas.insert(connection, replica);
        self.count_good_replicas(config, now_ms);
    }

    /// A replica has gone.
    pub(crate) fn detach(&mut self, connection: i64, config: &Config, now_ms: u64) {
        if self.replicas.remove(&connection).is_some() {
            self.lonely_since_ms = now_ms;
            self.count_good_replicas(config, now_ms);
            self.bells.acknowledged.notify_waiters();
        }
    }

    /// All replicas have to come again, to hear of another replication id.
    pub(crate) fn let_replicas_go(&mut self) {
        if !self.replicas.is_empty() {
            self.replicas.clear();
            self.bells.stream.notify_waiters();
        }
    }

    /// A replica has to come again, if it is one.
    pub(crate) fn let_replica_go(&mut self, connection: i64) {
        if self.replicas.remove(&connection).is_some() {
            self.bells.stream.notify_waiters();
        }
    }

    /// A replica has said how far it is.
    pub(crate) fn acknowledge(&mut self, connection: i64, offset: u64, now_ms: u64) {
        if let Some(replica) = self.replicas.get_mut(&connection) {
            replica.acknowledged = replica.acknowledged.max(offset);
            replica.heard_ms = now_ms;
            self.bells.acknowledged.notify_waiters();
        }
    }

    /// Number of replicas that have all up to an offset.
    pub(crate) fn count_acknowledged(&self, offset: u64) -> usize {
        let offset = if world::mutant!("redis.wait-counts-linked-replicas") { 0 } else { offset };
        self.replicas.values().filter(|replica| replica.online && replica.acknowledged >= offset).count()
    }

    /// The stream is to say anew which database it is about: somebody starts to read here.
    pub(crate) fn select_again(&mut self) {
        self.selected = false;
    }

    /// Replicas are to say how far they are, once the requests at hand are dealt with.
    pub(crate) fn ask_replicas(&mut self) {
        self.ask_replicas = true;
    }

    /// Asks the replicas if somebody wants to know.
    pub(crate) fn ask_if_wanted(&mut self, is_paused: bool) {
        // During a pause nothing is added to the stream: a replica waits for its end.
        if self.ask_replicas && !is_paused && std::mem::take(&mut self.ask_replicas) && self.master.is_none()
        {
            let mut command = Vec::new();
            encode(&[b"REPLCONF", b"GETACK", b"*"], &mut command);
            self.feed(&command);
        }
    }

    pub(crate) fn count_good_replicas(&mut self, config: &Config, now_ms: u64) {
        // Redis compares whole seconds.
        let lag = |replica: &Replica| (now_ms / 1000).saturating_sub(replica.heard_ms / 1000);
        let good = |replica: &&Replica| replica.online && lag(replica) <= config.min_replicas_max_lag;
        self.good_replicas = self.replicas.values().filter(good).count() as u64;
    }

    /// Are there too few replicas near for a write?
    pub(crate) fn lacks_replicas(&self, config: &Config) -> bool {
        config.min_replicas_to_write > 0
            && config.min_replicas_max_lag > 0
            && self.master.is_none()
            && self.good_replicas < config.min_replicas_to_write
    }

    /// What is done once a second, `beat` counted from 0.
    pub(crate) fn cron(
        &mut self,
        config: &Config,
        now_ms: u64,
        beat: u64,
        is_paused: bool,
        draw: impl FnMut() -> u64,
    ) {
        let period = config.repl_ping_replica_period.as_secs().max(1);
        if beat.is_multiple_of(period) && !is_paused && !self.replicas.is_empty() && self.master.is_none() {
            let mut ping = Vec::new();
            encode(&[b"PING"], &mut ping);
            self.feed(&ping);
        }
        let timeout_ms = u64::try_from(config.repl_timeout.as_millis()).unwrap_or(u64::MAX);
        let silent =
            |replica: &Replica| replica.online && now_ms.saturating_sub(replica.heard_ms) > timeout_ms;
        let before = self.replicas.len();
        self.replicas.retain(|_, replica| !silent(replica));
        if self.replicas.len() < before {
            world::reachable!("redis.replica-timed-out");
            self.lonely_since_ms = now_ms;
            self.bells.stream.notify_waiters();
        }
        self.count_good_replicas(config, now_ms);
        let is_lonely = self.replicas.is_empty() && self.is_recording();
        if is_lonely && now_ms.saturating_sub(self.lonely_since_ms) > BACKLOG_TTL_MS {
            // Nothing is counted without a stream: whoever has the old history must not think that he has all of it.
            self.offset = self.offset();
            self.stream = None;
            self.begin_history(draw);
            self.previous = None;
        }
        self.trim(config);
    }

    /// A new history begins; the old one is part of it up to here.
    pub(crate) fn begin_history(&mut self, draw: impl FnMut() -> u64) {
        let old = std::mem::replace(&mut self.id, ReplicationId::draw(draw));
        self.previous = Some((old, self.offset() + 1));
        self.selected = false;
    }

    /// The server follows a master from now on, or another one. What it has stays until it hears more.
    pub(crate) fn follow(&mut self, address: MasterAddress, now_ms: u64) {
        let down_since_ms = Some(now_ms);
        self.master = Some(Master { address, state: LinkState::Connect, heard_ms: now_ms, down_since_ms });
        self.bells.role.notify_waiters();
        self.bells.acknowledged.notify_waiters();
    }

    /// The server is a master from now on.
    pub(crate) fn lead(&mut self, now_ms: u64, draw: impl FnMut() -> u64) {
        if self.master.take().is_some() {
            self.begin_history(draw);
            self.let_replicas_go();
            self.lonely_since_ms = now_ms;
            self.bells.role.notify_waiters();
        }
    }

    /// The master's snapshot is loaded: its history is ours, up to this offset.
    pub(crate) fn adopt(&mut self, id: ReplicationId, offset: u64) {
        self.id = id;
        self.previous = None;
        self.stream = Some(Stream::after(offset));
        self.let_replicas_go();
    }

    /// The master goes on from where we are, perhaps under another id.
    pub(crate) fn continue_as(&mut self, id: ReplicationId) {
        if id != self.id {
            let old = std::mem::replace(&mut self.id, id);
            self.previous = Some((old, self.offset() + 1));
            self.let_replicas_go();
        }
        self.record();
    }

    /// Is there a history that a master could go on from?
    pub(crate) fn has_history(&self) -> bool {
        self.stream.is_some()
    }

    /// The bytes of the backlog, for `INFO`: offset of the first and number.
    pub(crate) fn backlog(&self) -> Option<(u64, usize)> {
        self.stream.as_ref().map(Stream::kept)
    }
}

/// The text of an address without the port.
pub(crate) fn ip_text(address: Option<SocketAddr>) -> String {
    address.map(|address| address.ip().to_string()).unwrap_or_default()
}
