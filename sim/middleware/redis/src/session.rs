//! What one connection has beside its stream, and how its requests are run as atomic units.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::redis::reply::Writer;

use crate::{
    bus::Queue,
    cluster::{Access, LinkId},
    commands::{self, Args, Command, Context, Database, Flags, KeyPlaces, Refusal, Run, perform},
    config::Config,
    error::{Outcome, ReplyError, fixed},
    keyspace::Blob,
    persistence::Persistence,
    propagation::Propagation,
    replication::{
        LinkState, Replication,
        feed::{Handshake, Sync},
    },
    scripting::Scripts,
    server::{Alarm, Changes, Observer},
};

/// There is one database.
const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
const LOADING: ReplyError = fixed("LOADING Redis is loading the dataset in memory");
const MASTER_DOWN: ReplyError =
    fixed("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");

/// The state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) name: Vec<u8>,
    /// The other end, where there is one that has an address.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) transaction: Option<Transaction>,
    /// The commands of a transaction run.
    pub(crate) is_executing: bool,
    /// Watched keys with the version that they had.
    pub(crate) watched: Vec<(Blob, u64)>,
    /// Offset of the replication stream after the last command.
    pub(crate) offset: u64,
    /// What the last request waits for, before the next one is read.
    pub(crate) blocked: Option<Blocked>,
    /// What a replica said about itself before it asked for the stream.
    pub(crate) handshake: Handshake,
    /// From now on the connection carries the replication stream.
    pub(crate) sync: Option<Sync>,
    /// The next command may use a slot that is being imported (`ASKING`).
    pub(crate) asking: bool,
    /// Reads of a replica's data are welcome (`READONLY`).
    pub(crate) read_only: bool,
    /// The requests come from the master: they are obeyed.
    pub(crate) is_master: bool,
    /// The client said good-bye: close after the reply.
    pub(crate) closing: bool,
}

impl Session {
    pub(crate) fn new(id: i64, peer: Option<SocketAddr>) -> Self {
        Self { id, peer, ..Self::default() }
    }

    /// The session in which the commands of the master run.
    pub(crate) fn of_master() -> Self {
        Self { is_master: true, ..Self::default() }
    }
}

/// What a client waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blocked {
    /// `WAIT`: for so many replicas to have all up to the session's offset; for so many milliseconds, 0: for ever.
    Replicas { count: usize, timeout_ms: u64 },
}

/// Commands queued since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) commands: Vec<Queued>,
    /// A command could not be queued: `EXEC` will refuse.
    pub(crate) broken: bool,
}

/// A queued command.
pub(crate) struct Queued {
    pub(crate) command: &'static Command,
    pub(crate) arguments: Vec<Box<[u8]>>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.command.name)
    }
}

/// All that the connections share.
pub(crate) struct State {
    pub(crate) db: Database,
    pub(crate) scripts: Scripts,
    pub(crate) observer: Option<Observer>,
    pub(crate) alarm: Option<Alarm>,
    pub(crate) next_id: i64,
    pub(crate) config: Config,
    pub(crate) replication: Replication,
    /// What is kept on the disk, if anything is.
    pub(crate) persistence: Option<Persistence>,
    /// The append-only file says which database is meant since it was begun.
    pub(crate) is_log_selected: bool,
    /// The data is being loaded, and what part the node has in its cluster.
    pub(crate) is_loading: bool,
    /// Port that the server listens on; 0 when it does not.
    pub(crate) port: u16,
    /// Where the cluster's work goes, once the bus runs.
    pub(crate) bus: Option<Queue>,
    /// Where the messages for each link of the bus go.
    pub(crate) links: BTreeMap<LinkId, mpsc::UnboundedSender<Bytes>>,
}

impl State {
    /// Starts an atomic unit of a client: reads the clock, and sees to the keys whose time has come.
    pub(crate) fn begin(&mut self, now_us: u64) {
        self.db.now_us = now_us;
        let now_ms = now_us / 1000;
        // While the data is being loaded, what seems to expire may be given more time by what has yet to be read.
        if !self.is_loading && self.db.keyspace.next_expiry_ms().is_some_and(|ms| ms < now_ms) {
            if self.replication.is_replica() {
                self.db.keyspace.hide_expired(now_ms);
            } else {
                self.prepare();
                self.db.purge();
                self.propagate(Propagation::take_each);
            }
            self.observe();
        }
        self.prepare();
    }

    /// Starts an atomic unit of the master: nothing goes before it says so.
    pub(crate) fn begin_of_master(&mut self, now_us: u64) {
        self.db.now_us = now_us;
        self.db.keyspace.reveal();
        self.db.propagation.wanted = self.persistence.is_some();
        self.db.refusal = None;
    }

    /// Sets what the unit may do and who is to hear of it.
    fn prepare(&mut self) {
        self.db.propagation.wanted = self.replication.is_recording() || self.persistence.is_some();
        self.db.refusal = self.refusal();
    }

    /// Ends an atomic unit: replicas get what it changed, the observer sees it.
    pub(crate) fn end(&mut self) {
        self.propagate(Propagation::take);
        self.observe();
    }

    /// Hands over what the unit has to propagate: to the replicas, if it is not a replica's, and to the disk.
    pub(crate) fn propagate(&mut self, take: impl FnOnce(&mut Propagation, &mut dyn FnMut(&[u8]))) {
        let Self { db, replication, persistence, is_log_selected, .. } = self;
        let changes = db.keyspace.take_changes();
        if let Some(persistence) = persistence
            && changes > 0
        {
            persistence.changed(changes);
        }
        take(&mut db.propagation, &mut |commands| {
            if !replication.is_replica() {
                replication.feed(commands);
            }
            if let Some(persistence) = persistence {
                if !std::mem::replace(is_log_selected, true) {
                    persistence.append(SELECT);
                }
                persistence.append(commands);
            }
        });
    }

    /// The observer sees what changed. While the data is being loaded, there is nothing to see yet.
    pub(crate) fn observe(&mut self) {
        if let Some(observer) = &self.observer
            && !self.is_loading
            && !self.db.keyspace.changes().is_empty()
        {
            let epoch = self.db.cluster.as_ref().map_or(0, |cluster| cluster.me().config_epoch());
            observer(&Changes::new(&self.db.keyspace, self.replication.is_replica(), epoch));
            self.db.keyspace.forget_changes();
        }
    }

    /// Takes another configuration: whoever works by it hears of it.
    pub(crate) fn configure(&mut self, config: Config) {
        self.config = config;
        if let (Some(persistence), Some(config)) = (&self.persistence, self.config.persistence()) {
            persistence.configure(|before| *before = config);
        }
        let options = crate::bus::options(&self.config, self.port);
        self.drive(|cluster, now_ms, facts| cluster.configure(now_ms, facts, options));
    }

    /// Why clients may not write just now, if so.
    fn refusal(&self) -> Option<Refusal> {
        if self.replication.is_replica() {
            return self.config.replica_read_only.then_some(Refusal::ReadOnly);
        }
        if self.persistence.as_ref().is_some_and(Persistence::is_refusing) {
            return Some(Refusal::Disk);
        }
        self.replication.lacks_replicas(&self.config).then_some(Refusal::NoReplicas)
    }

    pub(crate) fn unwatch(&mut self, session: &mut Session) {
        for (key, _) in session.watched.drain(..) {
            self.db.keyspace.unwatch(&key);
        }
    }
}

/// One request of one connection, while it is run.
pub(crate) struct Unit<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) session: &'a mut Session,
    pub(crate) reply: &'a mut Writer,
}

impl Unit<'_> {
    /// Handles a request: runs it, or queues it within a transaction.
    pub(crate) fn request(&mut self, args: &Args<'_>) {
        let asking = std::mem::take(&mut self.session.asking);
        match self.admit(args, asking) {
            Err(error) => self.refuse(args, &error),
            Ok(command) => match &mut self.session.transaction {
                Some(transaction) if !command.flags.has(Flags::IMMEDIATE) => {
                    let arguments = args.iter().map(|argument| Box::from(*argument)).collect();
                    transaction.commands.push(Queued { command, arguments });
                    self.reply.status("QUEUED");
                }
                _ => self.run(command, args),
            },
        }
        self.session.offset = self.state.replication.offset();
    }

    /// Finds the command, and checks whether it may be run now: in the order in which Redis does.
    fn admit(&mut self, args: &Args<'_>, asking: bool) -> Result<&'static Command, ReplyError> {
        let command =
            args.first().and_then(|name| commands::find(name)).ok_or_else(|| commands::unknown(args))?;
        if !command.accepts(args.len()) {
            return Err(ReplyError::wrong_arity(command.name));
        }
        commands::check_subcommand(command, args)?;
        if self.session.is_master {
            return Ok(command);
        }
        if self.session.transaction.is_some() && command.flags.has(Flags::NO_MULTI) {
            return Err(fixed("ERR Command not allowed inside a transaction"));
        }
        self.route(command, args, asking)?;
        if let Some(refusal) = self.state.db.refusal
            && let Some(error) = self.concerned(command).find_map(|command| refusal.of(command))
        {
            // Only the files know what is the matter.
            let disk = self.state.persistence.as_ref().filter(|_| refusal == Refusal::Disk);
            return Err(disk.and_then(Persistence::refusal).map_or(error, ReplyError::new));
        }
        let is_severed = |master: &crate::replication::Master| master.state != LinkState::Connected;
        if !self.state.config.replica_serve_stale_data
            && self.state.replication.master.as_ref().is_some_and(is_severed)
            && self.concerned(command).any(|command| !command.flags.has(Flags::STALE))
        {
            return Err(MASTER_DOWN);
        }
        if self.state.is_loading && self.concerned(command).any(|command| !command.flags.has(Flags::LOADING))
        {
            return Err(LOADING);
        }
        Ok(command)
    }

    /// Fails with a redirection when the request is for another node of the cluster.
    fn route(&mut self, command: &'static Command, args: &Args<'_>, asking: bool) -> Outcome {
        let Database { cluster: Some(cluster), keyspace, access, slot, .. } = &mut self.state.db else {
            return Ok(());
        };
        let exists = |key: &[u8]| keyspace.get(key).is_some();
        *access = Access { asking, read_only: self.session.read_only, ..Access::default() };
        let routed = match &self.session.transaction {
            Some(transaction) if command.name == "exec" => {
                let writes = transaction.commands.iter().any(|queued| queued.command.writes);
                let keys = transaction.commands.iter().flat_map(|queued| {
                    KeyPlaces::of(queued.command, &queued.arguments).keys(&queued.arguments)
                });
                cluster.route(keys, Access { transaction_writes: writes, ..*access }, exists)
            }
            _ => {
                let keys = KeyPlaces::of(command, args).keys(args);
                cluster.route(keys, Access { writes: command.writes, ..*access }, exists)
            }
        };
        *slot = routed.map_err(|redirection| {
            world::sometimes!(true, "redis.cluster.redirected");
            ReplyError::new(redirection.to_string())
        })?;
        Ok(())
    }

    /// The commands that a request is about: those of the transaction for `EXEC`.
    fn concerned(&self, command: &'static Command) -> impl Iterator<Item = &'static Command> {
        let queued = self.session.transaction.as_ref().filter(|_| command.name == "exec");
        let queued = queued.into_iter().flat_map(|transaction| &transaction.commands);
        std::iter::once(command).chain(queued.map(|queued| queued.command))
    }

    /// Replies to a request that cannot be run; within a transaction, `EXEC` will refuse.
    fn refuse(&mut self, args: &Args<'_>, error: &ReplyError) {
        if args.first().is_some_and(|name| commands::is(name, "EXEC")) {
            // Even a malformed EXEC ends the transaction.
            self.session.transaction = None;
            self.state.unwatch(self.session);
            if is_redirection(error) {
                self.reply.error(error.as_bytes());
                return;
            }
            let reason = error.0.strip_prefix("ERR ").unwrap_or(&error.0);
            let message = format!("EXECABORT Transaction discarded because of: {reason}");
            self.reply.error(message.as_bytes());
            return;
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.broken = true;
        }
        self.reply.error(error.as_bytes());
    }

    /// Runs a command and writes its reply, whatever comes.
    pub(crate) fn run(&mut self, command: &Command, args: &Args<'_>) {
        let mark = self.reply.len();
        let outcome: Outcome = match command.run {
            Run::Data(run) => {
                perform(command, run, &mut Context { db: &mut self.state.db, reply: self.reply }, args)
            }
            Run::Session(run) => run(self, args),
        };
        if let Err(error) = outcome {
            self.reply.truncate(mark);
            self.reply.error(error.as_bytes());
        }
    }
}

/// Is it one of the errors that say where else, or when, to come again? They are given as they are, also for `EXEC`.
fn is_redirection(error: &ReplyError) -> bool {
    let code = error.0.split(' ').next().unwrap_or_default();
    matches!(code, "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" | "CLUSTERDOWN")
}
