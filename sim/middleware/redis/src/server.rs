//! The server: the clock, its background tasks, and those who look on.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::{Duration, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
};
use wire::redis::reply::Writer;
use world::net::TcpListener;

use crate::{
    bus,
    commands::{self, Database},
    config::Config,
    connection::Connection,
    eviction,
    keyspace::{Keyspace, Value},
    pause::Pauses,
    persistence::{self, Purpose},
    rdb::{self, Origin, Snapshot},
    replication::{self, Replication, ReplicationId},
    scripting::{Limits, Scripts},
    session::{Session, State, Unit},
};

/// Keys are expired actively at most so often; in between, no command sees an expired key anyway.
const ACTIVE_EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// The beat of what is done once a second.
const CRON: Duration = Duration::from_secs(1);

/// Told after each command, script or transaction (an atomic unit), and after each expiry, that changed keys.
///
/// It is called while the store is locked, so it sees exactly the state that the unit left; it must not call the
/// server.
pub type Observer = Arc<dyn Fn(&Changes<'_>) + Send + Sync>;

/// What those who watch over a cluster hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// A node has come to hold another one for failed (`FAIL`), by the votes of a majority that it has counted or by
    /// another's word.
    HeldForFailed,
    /// A node has become the master of the slots of the master that it was a replica of: a failover.
    TookOver,
}

/// Called by a node for each [`Alert`]. As the [`Observer`], it must not call the server.
pub type Alarm = Arc<dyn Fn(Alert) + Send + Sync>;

/// What an atomic unit changed.
pub struct Changes<'a> {
    keyspace: &'a Keyspace,
    is_replica: bool,
    epoch: u64,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(keyspace: &'a Keyspace, is_replica: bool, epoch: u64) -> Self {
        Self { keyspace, is_replica, epoch }
    }

    /// The epoch in which the server got its slots: of two masters that claim the same slots, the one with the higher
    /// epoch has them, and what the other one writes will be lost. 0 without a cluster.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Does the server only repeat what its master did?
    pub fn is_replica(&self) -> bool {
        self.is_replica
    }

    /// The keys that were changed (or removed, or whose expiry was), each with the value that it has now, in the
    /// order in which they were first changed.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a Value>)> {
        let keyspace = self.keyspace;
        keyspace.changes().iter().map(move |key| (&**key, keyspace.get(key)))
    }

    /// The whole store, as the unit left it.
    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }
}

impl fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keyspace.changes().iter().map(|key| String::from_utf8_lossy(key)))
            .finish()
    }
}

/// How a [`Server`] behaves.
#[derive(Clone, Default)]
pub struct Options {
    /// Sees every change.
    pub observer: Option<Observer>,
    /// Hears when another node of the cluster has failed, and when this one takes over from its master.
    pub alarm: Option<Alarm>,
    /// What a script may use.
    pub script_limits: Limits,
    /// Seed of the commands that choose at random (`SPOP`, `SRANDMEMBER`, `RANDOMKEY`) and of the server's ids: two
    /// servers that know each other must not have the same.
    pub seed: u64,
    /// The configuration to start with.
    pub config: Config,
    /// Counts every command that is processed; several servers, or one after another, may share it.
    pub commands: Arc<AtomicU64>,
    /// How long its host's processor works for each command of a client and for each command that a script of one calls;
    /// zero, the default, asks nothing of the processor. A request runs at once, as one atomic unit, and is answered when
    /// the work for it is done; with a single core, all requests queue for it as they do for the one thread of Redis.
    /// What a replica repeats of its master costs nothing.
    pub command_work: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("observer", &self.observer.is_some())
            .field("alarm", &self.alarm.is_some())
            .field("script_limits", &self.script_limits)
            .field("seed", &self.seed)
            .field("config", &self.config)
            .field("commands", &self.commands)
            .field("command_work", &self.command_work)
            .finish()
    }
}

/// A simulated Redis server, version 7.0, a single node with one database. Clones share the same data.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Rung when a key got an earlier expiry than all others.
    expiry_moved: Notify,
    /// Work for one command.
    command_work: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// A server without data.
    pub fn new(options: Options) -> Self {
        let mut db = Database { random: options.seed, ..Database::default() };
        db.keyspace.record_changes = options.observer.is_some();
        db.keyspace.clock_mut().seed(options.seed);
        db.keyspace.clock_mut().tracking = eviction::tracking(&options.config);
        db.clients.limits = options.config.client_output_buffer_limit;
        let replication = Replication::new(ReplicationId::draw(|| db.draw_u64()));
        let state = State {
            db,
            scripts: Scripts::new(options.script_limits),
            observer: options.observer,
            alarm: options.alarm,
            config: options.config,
            replication,
            persistence: None,
            is_log_selected: false,
            is_loading: false,
            pauses: Pauses::default(),
            started_ms: 0,
            run_id: run_id(options.seed),
            port: 0,
            bus: None,
            links: BTreeMap::new(),
            commands: options.commands,
        };
        let (state, command_work) = (Mutex::new(state), options.command_work);
        Self { shared: Arc::new(Shared { state, expiry_moved: Notify::new(), command_work }) }
    }

    /// Accepts connections at `address` ("0.0.0.0:6379") on the current host, a task for each, and expires keys.
    /// Ends only with an error.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(&self, address: &str) -> io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        {
            let mut state = self.lock();
            state.port = local.port();
            state.started_ms = now_ms();
            state.is_loading = state.config.persistence().is_some() || state.config.cluster_enabled;
        }
        tokio::select! {
            biased;
            ended = self.work(local.ip()) => ended,
            ended = self.accept(&listener) => ended,
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            let local = stream.local_addr().ok();
            let server = self.clone();
            world::task::spawn(async move {
                // A broken connection is its client's concern.
                let _ = Connection::new(&server, stream, Some(peer), local).run().await;
            });
        }
    }

    /// What the server does beside answering clients; ends with an error, as Redis would exit.
    async fn work(&self, address: IpAddr) -> io::Result<()> {
        let driver = self.load().await?;
        let server = self.clone();
        world::task::spawn(async move { server.expire_actively().await });
        let server = self.clone();
        world::task::spawn(async move { server.keep_time().await });
        world::task::spawn(replication::link::follow(self.clone()));
        let is_node = self.lock().config.cluster_enabled;
        let bus = if is_node { Some(bus::start(self, address).await?) } else { None };
        {
            // What was loaded is told, and told to clients, when it is known whose slots these are.
            let mut state = self.lock();
            state.is_loading = false;
            state.observe();
        }
        let keeping = async {
            match driver {
                Some(driver) => driver.run(|purpose| self.snapshot(purpose)).await.map_err(io::Error::other),
                None => std::future::pending().await,
            }
        };
        let gossiping = async {
            match bus {
                Some(bus) => bus::run(bus).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = keeping => ended,
            ended = gossiping => ended,
        }
    }

    /// Loads what is on the disk; clients hear `LOADING` meanwhile.
    async fn load(&self) -> io::Result<Option<persistence::Driver>> {
        let Some(config) = self.lock().config.persistence() else { return Ok(None) };
        bus::install(&config.directory).await?;
        let opened = persistence::open(config, &mut Loaded { server: self.clone() }).await;
        let (persistence, driver) = opened.map_err(io::Error::other)?;
        let mut state = self.lock();
        state.persistence = Some(persistence);
        // What was loaded is not new to the disk.
        state.db.keyspace.take_changes();
        Ok(Some(driver))
    }

    /// All keys as they are now, for a file.
    fn snapshot(&self, purpose: Purpose) -> Vec<u8> {
        let mut state = self.lock();
        if purpose == Purpose::AofBase {
            state.is_log_selected = false;
        }
        let origin =
            Origin { created_s: now_ms() / 1000, aof_base: purpose == Purpose::AofBase, ..Origin::default() };
        rdb::encode(&state.db.keyspace, &origin)
    }

    /// Serves one connection over any stream, until the client closes it.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<()> {
        Connection::new(self, stream, None, None).run().await
    }

    /// Looks at the data between two atomic units. Keys whose time has come may still be there until the next
    /// command or the active expiry (every 100 ms) removes them.
    pub fn inspect<R>(&self, look: impl FnOnce(&Keyspace) -> R) -> R {
        look(&self.lock().db.keyspace)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of a processor for so many commands.
    pub(crate) fn work_for(&self, commands: u64) -> Duration {
        self.shared.command_work.saturating_mul(u32::try_from(commands).unwrap_or(u32::MAX))
    }

    /// A key expires sooner than all others did.
    pub(crate) fn expiry_moved(&self) {
        self.shared.expiry_moved.notify_one();
    }

    /// What is done once a second.
    async fn keep_time(&self) {
        for beat in 0.. {
            {
                let mut state = self.lock();
                let State { replication, config, db, pauses, .. } = &mut *state;
                let now_ms = now_ms();
                let is_paused = pauses.any(now_ms);
                db.stats.beat();
                replication.cron(config, now_ms, beat, is_paused, || db.draw_u64());
                replication.ask_if_wanted(is_paused);
                db.clients.close_slow(now_ms, |id| db.pubsub.is_subscribed(id));
                state.redirect_waiting();
            }
            match beat {
                0 => self.part_of(CRON).await,
                _ => world::time::sleep(CRON).await,
            }
        }
    }

    /// After what a server does first of all: nodes of a cluster are not started in one instant, so that what they do
    /// periodically they do at different moments. In step, two replicas with the same data ask for votes at once in 49 of
    /// 2 000 elections instead of 3.
    pub(crate) async fn part_of(&self, period: Duration) {
        let part = {
            let mut state = self.lock();
            match state.config.cluster_enabled {
                true => {
                    let micros = usize::try_from(period.as_micros()).unwrap_or(usize::MAX);
                    Duration::from_micros(state.db.draw(micros) as u64)
                }
                false => period,
            }
        };
        world::time::sleep(part).await;
    }

    /// Removes keys whose time has come, so that they are gone (and the observer knows) without any command.
    async fn expire_actively(&self) {
        loop {
            let next = {
                let state = self.lock();
                // A replica waits for its master's word.
                state.db.keyspace.next_expiry_ms().filter(|_| !state.replication.is_replica())
            };
            match next {
                None => self.shared.expiry_moved.notified().await,
                Some(ms) => {
                    // A key is gone one millisecond after its time.
                    let wait = Duration::from_millis((ms + 1).saturating_sub(now_us() / 1000));
                    let slept = world::time::sleep(wait.max(ACTIVE_EXPIRY_INTERVAL));
                    if wait > ACTIVE_EXPIRY_INTERVAL {
                        tokio::select! {
                            biased;
                            () = self.shared.expiry_moved.notified() => continue,
                            () = slept => {}
                        }
                    } else {
                        slept.await;
                    }
                    let mut state = self.lock();
                    state.begin(now_us());
                    state.end();
                }
            }
        }
    }
}

/// A name for a run of a server, from its seed: apart from its other choices, which are as if there were none.
fn run_id(seed: u64) -> String {
    let mut random = Database { random: !seed, ..Database::default() };
    ReplicationId::draw(|| random.draw_u64()).0
}

/// Where what is on the disk goes when the server starts.
struct Loaded {
    server: Server,
}

impl persistence::Target for Loaded {
    fn restore(&mut self, snapshot: Snapshot) {
        self.server.lock().db.keyspace.replace(snapshot.keyspace);
    }

    fn run(&mut self, args: &[&[u8]]) -> bool {
        if args.first().is_none_or(|name| commands::find(name).is_none()) {
            return false;
        }
        let mut state = self.server.lock();
        state.begin_of_master(now_us());
        let mut session = Session::of_master();
        let mut discarded = Writer::default();
        Unit { state: &mut state, session: &mut session, reply: &mut discarded }.request(args);
        true
    }
}

/// The clock of the server's host: microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    let since_epoch = world::time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// The same in milliseconds.
pub(crate) fn now_ms() -> u64 {
    now_us() / 1000
}
