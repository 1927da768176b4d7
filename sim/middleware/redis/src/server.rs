//! The server: connections, the clock, active expiry, and those who look on.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Notify,
};
use wire::redis::{
    reply::{Protocol, Writer},
    request::Parser,
};
use world::net::TcpListener;

use crate::{
    commands::Database,
    keyspace::{Keyspace, Value},
    scripting::{Limits, Scripts},
    session::{Session, State, Unit},
};

/// Keys are expired actively at most so often; in between, no command sees an expired key anyway.
const ACTIVE_EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of replies after which a batch is written out even if more requests are waiting.
const WRITE_AT: usize = 256 * 1024;
/// Bytes asked of a stream at once.
const READ_SIZE: usize = 16 * 1024;

/// Told after each command, script or transaction (an atomic unit), and after each expiry, that changed keys.
///
/// It is called while the store is locked, so it sees exactly the state that the unit left; it must not call the
/// server.
pub type Observer = Arc<dyn Fn(&Changes<'_>) + Send + Sync>;

/// What an atomic unit changed.
pub struct Changes<'a> {
    keyspace: &'a Keyspace,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(keyspace: &'a Keyspace) -> Self {
        Self { keyspace }
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
    /// What a script may use.
    pub script_limits: Limits,
    /// Seed of the commands that choose at random (`SPOP`, `SRANDMEMBER`, `RANDOMKEY`).
    pub seed: u64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("observer", &self.observer.is_some())
            .field("script_limits", &self.script_limits)
            .field("seed", &self.seed)
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
        let state = State {
            db,
            scripts: Scripts::new(options.script_limits),
            observer: options.observer,
            next_id: 1,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), expiry_moved: Notify::new() }) }
    }

    /// Accepts connections at `address` ("0.0.0.0:6379") on the current host, a task for each, and expires keys.
    /// Ends only with an error.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(&self, address: &str) -> io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        let server = self.clone();
        world::task::spawn(async move { server.expire_actively().await });
        loop {
            let (stream, _) = listener.accept().await?;
            let server = self.clone();
            world::task::spawn(async move {
                // A broken connection is its client's concern.
                let _ = server.serve(stream).await;
            });
        }
    }

    /// Serves one connection over any stream, until the client closes it.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<()> {
        let mut connection = Connection::new(self, stream);
        connection.run().await
    }

    /// Looks at the data between two atomic units. Keys whose time has come may still be there until the next
    /// command or the active expiry (every 100 ms) removes them.
    pub fn inspect<R>(&self, look: impl FnOnce(&Keyspace) -> R) -> R {
        look(&self.lock().db.keyspace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes keys whose time has come, so that they are gone (and the observer knows) without any command.
    async fn expire_actively(&self) {
        loop {
            let next = self.lock().db.keyspace.next_expiry_ms();
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
                    self.lock().begin(now_us());
                }
            }
        }
    }
}

/// The clock of the server's host: microseconds since the Unix epoch.
fn now_us() -> u64 {
    let since_epoch = world::time::system_now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// A connection of a client.
struct Connection<'a, S> {
    server: &'a Server,
    stream: S,
    session: Session,
    read: BytesMut,
    parser: Parser,
    replies: Writer,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    fn new(server: &'a Server, stream: S) -> Self {
        let mut state = server.lock();
        let session = Session::new(state.next_id);
        state.next_id += 1;
        drop(state);
        Self {
            server,
            stream,
            session,
            read: BytesMut::with_capacity(READ_SIZE),
            parser: Parser::default(),
            replies: Writer::new(Protocol::Resp2),
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let mut more = true;
            while more {
                more = self.run_batch();
                if !self.replies.is_empty() {
                    self.stream.write_all(self.replies.as_bytes()).await?;
                    self.stream.flush().await?;
                    self.replies.clear();
                }
            }
            if self.session.closing {
                return self.stream.shutdown().await;
            }
            self.read.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Runs the complete requests of the read buffer; true if it stopped early because of many replies.
    fn run_batch(&mut self) -> bool {
        let mut consumed = 0;
        let mut state = None;
        let more = loop {
            let buffer = self.read.get(consumed..).unwrap_or_default();
            match self.parser.parse(buffer) {
                Ok(None) => break false,
                Ok(Some(length)) => {
                    let args: Vec<&[u8]> = self.parser.arguments(buffer).collect();
                    if !args.is_empty() {
                        let state = state.get_or_insert_with(|| self.server.lock());
                        let soonest = state.db.keyspace.next_expiry_ms();
                        state.begin(now_us());
                        Unit { state, session: &mut self.session, reply: &mut self.replies }.request(&args);
                        state.end();
                        if state
                            .db
                            .keyspace
                            .next_expiry_ms()
                            .is_some_and(|new| soonest.is_none_or(|old| new < old))
                        {
                            self.server.shared.expiry_moved.notify_one();
                        }
                    }
                    self.parser.reset();
                    consumed += length;
                }
                Err(error) => {
                    self.replies.error(format!("ERR Protocol error: {error}").as_bytes());
                    self.session.closing = true;
                }
            }
            if self.session.closing {
                break false;
            }
            if self.replies.len() >= WRITE_AT {
                break true;
            }
        };
        drop(state);
        self.read.advance(consumed);
        more
    }
}

impl<S> Drop for Connection<'_, S> {
    fn drop(&mut self) {
        self.server.lock().unwatch(&mut self.session);
    }
}
