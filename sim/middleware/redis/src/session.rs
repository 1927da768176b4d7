//! What one connection has beside its stream, and how its requests are run as atomic units.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::redis::reply::{Protocol, Writer};

use crate::{
    bus::Queue,
    clients::{Face, Seat},
    cluster::{Access, LinkId},
    commands::{self, Args, Caller, Command, Context, Database, Flags, KeyPlaces, Refusal, Run, perform},
    config::Config,
    error::{OUT_OF_MEMORY, Outcome, ReplyError, fixed},
    eviction,
    keyspace::Blob,
    pause::Pauses,
    persistence::Persistence,
    propagation::{Propagation, Receiver},
    replication::{
        LinkState, MasterAddress, Replication,
        feed::{Handshake, Sync},
    },
    scripting::Scripts,
    server::{Alarm, Changes, Observer, now_ms},
    waiting::Wait,
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
    /// Place among the clients of the server.
    pub(crate) seat: Seat,
    /// The other end, where there is one that has an address.
    pub(crate) peer: Option<SocketAddr>,
    /// The last command, with its subcommand.
    pub(crate) last: Option<(&'static Command, Option<&'static str>)>,
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
    /// Which replies the client wants to have (`CLIENT REPLY`).
    pub(crate) mute: Mute,
    /// It is not to be closed for want of memory (`CLIENT NO-EVICT`).
    pub(crate) is_spared: bool,
}

/// The replies that a client wants to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mute {
    /// All.
    #[default]
    Off,
    /// None.
    On,
    /// Not that to the next request.
    Next,
    /// Not that to this request.
    This,
}

impl Mute {
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Mute::On | Mute::This)
    }
}

impl Session {
    pub(crate) fn new(id: i64, seat: Seat, peer: Option<SocketAddr>) -> Self {
        Self { id, seat, peer, ..Self::default() }
    }

    /// What others are to see of it.
    pub(crate) fn face(&self, now_ms: u64, unread: usize) -> Face {
        Face {
            heard_ms: now_ms,
            command: self.last,
            queued: self.transaction.as_ref().map(|transaction| transaction.commands.len()),
            is_blocked: self.blocked.is_some(),
            is_in_wait: matches!(self.blocked, Some(Blocked::Replicas { .. })),
            is_read_only: self.read_only,
            is_replica: self.sync.is_some(),
            is_closing: self.closing,
            is_spared: self.is_spared,
            unread,
        }
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
    /// For one of some keys to have something; for so many milliseconds, 0: for ever. What it is, the server knows.
    Keys { timeout_ms: u64 },
    /// For the end of a pause: then the request is read again.
    Pause,
}

/// Commands queued since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) commands: Vec<Queued>,
    /// A command could not be queued: `EXEC` will refuse.
    pub(crate) broken: bool,
}

/// A queued command.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) command: &'static Command,
    pub(crate) arguments: Vec<Box<[u8]>>,
}

/// All that the connections share.
pub(crate) struct State {
    pub(crate) db: Database,
    pub(crate) scripts: Scripts,
    pub(crate) observer: Option<Observer>,
    pub(crate) alarm: Option<Alarm>,
    pub(crate) config: Config,
    /// Counts commands for whoever runs the server; `INFO` has counts of its own, which clients may reset.
    pub(crate) commands: Arc<AtomicU64>,
    pub(crate) replication: Replication,
    /// What is kept on the disk, if anything is.
    pub(crate) persistence: Option<Persistence>,
    /// The append-only file says which database is meant since it was begun.
    pub(crate) is_log_selected: bool,
    /// The data is being loaded, and what part the node has in its cluster.
    pub(crate) is_loading: bool,
    /// Clients that are held back, if any are.
    pub(crate) pauses: Pauses,
    /// When the server started to listen, by the wall clock in milliseconds.
    pub(crate) started_ms: u64,
    /// A name that no other run of a server has.
    pub(crate) run_id: String,
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
        self.db.keyspace.clock_mut().set(now_ms);
        let is_paused = self.pauses.any(now_ms);
        if self.db.keyspace.has_hidden() && !is_paused && !self.replication.is_replica() {
            // What was hidden during a pause is now to go.
            self.db.keyspace.reveal();
        }
        // While the data is being loaded, what seems to expire may be given more time by what has yet to be read.
        if !self.is_loading && self.db.keyspace.next_expiry_ms().is_some_and(|ms| ms < now_ms) {
            // During a pause the data stays as it is, for a replica that is to take over.
            if is_paused || self.replication.is_replica() {
                self.db.keyspace.hide_expired(now_ms);
            } else {
                self.prepare();
                self.db.purge();
                self.propagate(Propagation::take_each);
            }
            self.observe();
        }
        self.prepare();
        if self.config.maxmemory > 0 {
            self.evict();
        } else {
            self.db.is_out_of_memory = false;
        }
    }

    /// Starts an atomic unit of the master: nothing goes before it says so.
    pub(crate) fn begin_of_master(&mut self, now_us: u64) {
        self.db.now_us = now_us;
        self.db.keyspace.clock_mut().set(now_us / 1000);
        self.db.is_out_of_memory = false;
        self.db.keyspace.reveal();
        self.db.propagation.wanted = self.persistence.is_some();
        self.db.refusal = None;
        self.db.obeys = true;
    }

    /// Sets what the unit may do and who is to hear of it.
    fn prepare(&mut self) {
        self.db.propagation.wanted = self.replication.is_recording() || self.persistence.is_some();
        self.db.refusal = self.refusal();
        self.db.obeys = false;
    }

    /// Ends an atomic unit: replicas get what it changed, the observer sees it. Then those are served who waited for
    /// what it left.
    pub(crate) fn end(&mut self) {
        self.settle();
        if !self.db.to_cluster.is_empty() {
            self.publish_to_cluster();
        }
        if self.db.keyspace.has_ready() {
            self.serve_waiting();
        }
    }

    /// Replicas get what was changed, the observer sees it.
    pub(crate) fn settle(&mut self) {
        self.propagate(Propagation::take);
        self.observe();
    }

    /// Hands over what the unit has to propagate: to the replicas, if it is not a replica's, and to the disk.
    pub(crate) fn propagate(&mut self, take: impl FnOnce(&mut Propagation, &mut dyn FnMut(&[u8], Receiver))) {
        let Self { db, replication, persistence, is_log_selected, .. } = self;
        let changes = db.keyspace.take_changes();
        if let Some(persistence) = persistence
            && changes > 0
        {
            persistence.changed(changes);
        }
        take(&mut db.propagation, &mut |commands, receiver| {
            if receiver != Receiver::Disk && !replication.is_replica() {
                replication.feed(commands);
            }
            if receiver != Receiver::Replicas
                && let Some(persistence) = persistence
            {
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
        self.db.keyspace.clock_mut().tracking = eviction::tracking(&self.config);
        self.db.clients.limits = self.config.client_output_buffer_limit;
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

    /// The server follows a master from now on, or another one: whoever waits for data here waits in vain.
    pub(crate) fn follow(&mut self, address: MasterAddress) {
        self.replication.follow(address, now_ms());
        self.disconnect_waiting();
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
    /// Handles a request: runs it, or queues it within a transaction. False: it is to be read again when the pause
    /// is over.
    pub(crate) fn request(&mut self, args: &Args<'_>) -> bool {
        let asking = std::mem::take(&mut self.session.asking);
        let mark = self.reply.len();
        let mut pushes = false;
        match self.admit(args, asking) {
            Err(error) => self.refuse(args, &error),
            Ok(command) => {
                if self.is_paused(command) {
                    self.session.asking = asking;
                    self.session.blocked = Some(Blocked::Pause);
                    return false;
                }
                match &mut self.session.transaction {
                    Some(transaction) if !command.flags.has(Flags::IMMEDIATE) => {
                        let arguments = args.iter().map(|argument| Box::from(*argument)).collect();
                        transaction.commands.push(Queued { command, arguments });
                        self.reply.status("QUEUED");
                    }
                    _ => {
                        pushes = command.flags.has(Flags::PUSHES);
                        self.run(command, args);
                    }
                }
            }
        }
        if self.session.mute != Mute::Off {
            if self.session.mute.is_silent() && !pushes {
                self.reply.truncate(mark);
            }
            self.session.mute = match self.session.mute {
                Mute::Next => Mute::This,
                Mute::This => Mute::Off,
                mute => mute,
            };
        }
        self.session.offset = self.state.replication.offset();
        true
    }

    /// Is the command held back by a pause? The master's never are.
    fn is_paused(&self, command: &'static Command) -> bool {
        self.state.pauses.any(self.state.db.now_ms()) && !self.session.is_master && self.is_held_back(command)
    }

    #[cold]
    fn is_held_back(&self, command: &'static Command) -> bool {
        let may_replicate = |command: &Command| command.writes || command.flags.has(Flags::MAY_REPLICATE);
        self.state.pauses.all(self.state.db.now_ms()) || self.concerned(command).any(may_replicate)
    }

    /// In RESP2, a connection that is subscribed to something says little else.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.reply.protocol() == Protocol::Resp2 && self.state.db.pubsub.is_subscribed(self.session.id)
    }

    /// Finds the command, and checks whether it may be run now: in the order in which Redis does.
    fn admit(&mut self, args: &Args<'_>, asking: bool) -> Result<&'static Command, ReplyError> {
        let command =
            args.first().and_then(|name| commands::find(name)).ok_or_else(|| commands::unknown(args))?;
        if !command.accepts(args.len()) {
            return Err(ReplyError::wrong_arity(command.name));
        }
        let subcommand = commands::check_subcommand(command, args)?;
        if self.session.is_master {
            return Ok(command);
        }
        self.session.last = Some((command, subcommand));
        if self.session.transaction.is_some() && command.flags.has(Flags::NO_MULTI) {
            return Err(fixed("ERR Command not allowed inside a transaction"));
        }
        self.route(command, args, asking)?;
        if self.state.db.is_out_of_memory && self.needs_memory(command, subcommand) {
            return Err(OUT_OF_MEMORY);
        }
        if let Some(refusal) = self.state.db.refusal
            && let Some(error) = self.concerned(command).find_map(|command| refusal.of(command))
        {
            // Only the files know what is the matter.
            let disk = self.state.persistence.as_ref().filter(|_| refusal == Refusal::Disk);
            return Err(disk.and_then(Persistence::refusal).map_or(error, ReplyError::new));
        }
        if self.is_subscriber() && !command.flags.has(Flags::SUBSCRIBER) {
            let name = full_name(command, subcommand);
            return Err(ReplyError::new(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                 in this context"
            )));
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
        let shard_channel = command.flags.has(Flags::SHARD_CHANNELS);
        *access = Access { asking, read_only: self.session.read_only, shard_channel, ..Access::default() };
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

    /// Is the command one that may need more memory? In a transaction, what is queued does; `EXEC` does if a queued
    /// command does.
    fn needs_memory(&self, command: &'static Command, subcommand: Option<&str>) -> bool {
        let is_queued = self.session.transaction.is_some()
            && !matches!(command.name, "exec" | "discard" | "quit" | "reset");
        let is_group = command.name == "xgroup" && matches!(subcommand, Some("create" | "createconsumer"));
        is_queued || is_group || self.concerned(command).any(|command| command.flags.has(Flags::DENY_OOM))
    }

    /// The commands that a request is about: those of the transaction for `EXEC`.
    fn concerned(&self, command: &'static Command) -> impl Iterator<Item = &'static Command> {
        let queued = self.session.transaction.as_ref().filter(|_| command.name == "exec");
        let queued = queued.into_iter().flat_map(|transaction| &transaction.commands);
        std::iter::once(command).chain(queued.map(|queued| queued.command))
    }

    /// Replies to a request that cannot be run; within a transaction, `EXEC` will refuse.
    fn refuse(&mut self, args: &Args<'_>, error: &ReplyError) {
        let stats = &mut self.state.db.stats;
        stats.failed(error);
        if let Some(command) = args.first().and_then(|name| commands::find(name)) {
            stats.rejected(command, commands::subcommand_name(command, args));
        }
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
            Run::Data(run) => self.run_on_data(command, run, args),
            Run::Session(run) => run(self, args),
        };
        let subcommand = commands::subcommand_name(command, args);
        self.state.commands.fetch_add(1, Ordering::Relaxed);
        self.state.db.stats.called(command, subcommand, outcome.as_ref().err());
        if let Err(error) = outcome {
            self.reply.truncate(mark);
            self.reply.error(error.as_bytes());
        }
        // A message that the connection sent to itself comes before the reply, as in Redis.
        if command.flags.has(Flags::MAY_REPLICATE)
            && !self.state.db.pubsub.is_empty()
            && !self.session.mute.is_silent()
            && self.state.db.clients.has_mail(self.session.seat)
        {
            self.state.db.clients.take_own(self.session.seat, self.reply, mark);
        }
    }

    fn run_on_data(&mut self, command: &Command, run: commands::DataCommand, args: &Args<'_>) -> Outcome {
        // Few commands have to know who says them.
        let asks = command.flags.has(Flags::BLOCKING) || command.flags.has(Flags::SUBSCRIBER);
        if asks {
            let may_block = !self.session.is_executing && !self.session.is_master;
            let is_subscriber = self.is_subscriber();
            self.state.db.caller = Caller { may_block, is_subscriber, is_script: false };
        }
        let outcome = perform(command, run, &mut Context { db: &mut self.state.db, reply: self.reply }, args);
        if asks {
            self.state.db.caller = Caller::default();
            if let Some(wait) = self.state.db.wait.take() {
                self.block(command, wait);
            }
        }
        outcome
    }

    /// The connection waits from now on.
    fn block(&mut self, command: &Command, mut wait: Wait) {
        world::sometimes!(true, "redis.blocked-on-keys");
        wait.protocol = self.reply.protocol();
        wait.is_silent = self.session.mute.is_silent();
        wait.reads_replica = self.session.read_only && !command.writes;
        self.session.blocked = Some(Blocked::Keys { timeout_ms: wait.timeout_ms });
        self.state.db.start_waiting(self.session.id, wait);
    }
}

/// The name of a command, with that of the subcommand.
pub(crate) fn full_name(command: &Command, subcommand: Option<&str>) -> String {
    subcommand.map_or(command.name.to_owned(), |subcommand| format!("{}|{subcommand}", command.name))
}

/// Is it one of the errors that say where else, or when, to come again? They are given as they are, also for `EXEC`.
fn is_redirection(error: &ReplyError) -> bool {
    let code = error.0.split(' ').next().unwrap_or_default();
    matches!(code, "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" | "CLUSTERDOWN")
}
