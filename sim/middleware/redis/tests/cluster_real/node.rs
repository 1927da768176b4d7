//! One of our nodes among real ones: its links are real sockets, its clock is the real one.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, UNIX_EPOCH},
};

use redis_middleware::{
    Blob,
    cluster::{Action, Cluster, Facts, Keys, LinkId, MasterLink, NodeId, Options, Slot},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use wire::redis::reply::{Protocol, Writer};

use crate::common::{Reply, free_port, pause};

/// A node; clones are the same.
#[derive(Clone)]
pub(crate) struct OurNode(Arc<Mutex<State>>);

struct State {
    cluster: Cluster,
    /// What is to be written to each link.
    links: BTreeMap<LinkId, mpsc::UnboundedSender<bytes::Bytes>>,
    /// What was asked of the node besides.
    done: Vec<Action>,
}

/// A node without keys.
struct NoKeys;

impl Keys for NoKeys {
    fn count(&self, _: Slot) -> usize {
        0
    }
    fn some_of(&self, _: Slot, _: usize) -> Vec<Blob> {
        Vec::new()
    }
    fn is_empty(&self) -> bool {
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "among real servers, the real clock counts")]
fn now_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since_epoch.as_millis() as i64
}

/// A replica that is always in sync, with nothing.
fn facts() -> Facts {
    Facts { offset: 0, master_link: MasterLink::Up { last_heard_ms: now_ms() } }
}

impl OurNode {
    /// A node that listens on a free port of the loopback interface.
    #[expect(clippy::disallowed_methods, reason = "real servers come over real sockets")]
    pub(crate) async fn start(node_timeout_ms: i64, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let bus_port = listener.local_addr().expect("bound").port();
        let options = Options { port: free_port().await, bus_port, node_timeout_ms, ..Options::default() };
        let mut state = seed;
        let random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let cluster = Cluster::new(options, Box::new(random), now_ms());
        let node = Self(Arc::new(Mutex::new(State { cluster, links: BTreeMap::new(), done: Vec::new() })));
        let accepting = node.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let local = stream.local_addr().expect("accepted").ip();
                let link = accepting.lock().cluster.on_accepted(now_ms(), peer.ip(), local);
                accepting.carry(link, stream);
            }
        });
        let ticking = node.clone();
        tokio::spawn(async move {
            loop {
                ticking.input(|cluster| cluster.cron(now_ms(), &facts()));
                pause(Duration::from_millis(100)).await;
            }
        });
        node
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    pub(crate) fn id(&self) -> NodeId {
        self.look(Cluster::id)
    }

    /// Looks at the node.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Cluster) -> R) -> R {
        look(&self.lock().cluster)
    }

    /// What it was to do besides talking to the others.
    pub(crate) fn done(&self) -> Vec<Action> {
        self.lock().done.clone()
    }

    /// `CLUSTER` with some words.
    pub(crate) fn command(&self, words: &str) -> Reply {
        self.command_in(Protocol::Resp2, words)
    }

    pub(crate) fn command_in(&self, protocol: Protocol, words: &str) -> Reply {
        let words: Vec<&[u8]> =
            std::iter::once("CLUSTER").chain(words.split(' ')).map(str::as_bytes).collect();
        let mut reply = Writer::new(protocol);
        self.input(|cluster| cluster.command(now_ms(), &facts(), &NoKeys, &words, &mut reply));
        Reply::decode(reply.as_bytes())
    }

    /// Gives the node something and does what it then asks for.
    pub(crate) fn input(&self, run: impl FnOnce(&mut Cluster)) {
        let mut state = self.lock();
        run(&mut state.cluster);
        while let Some(action) = state.cluster.next_action() {
            match action {
                Action::Connect { link, ip, port } => self.connect(&mut state, link, ip, port),
                Action::Send { link, bytes } => {
                    // A link whose task has ended is about to be reported as down.
                    let _ = state.links[&link].send(bytes);
                }
                Action::Close { link } => {
                    state.links.remove(&link);
                }
                other => state.done.push(other),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "real servers are reached over real sockets")]
    fn connect(&self, state: &mut State, link: LinkId, ip: String, port: u16) {
        let (sender, receiver) = mpsc::unbounded_channel();
        state.links.insert(link, sender);
        let node = self.clone();
        tokio::spawn(async move {
            match TcpStream::connect((ip.as_str(), port)).await {
                Ok(stream) => {
                    let local: IpAddr = stream.local_addr().expect("connected").ip();
                    node.input(|cluster| cluster.on_link_up(now_ms(), &facts(), link, local));
                    node.carry_on(link, stream, receiver).await;
                }
                Err(_) => node.down(link),
            }
        });
    }

    /// Serves an accepted link.
    #[expect(clippy::disallowed_methods, reason = "a task per socket")]
    fn carry(&self, link: LinkId, stream: TcpStream) {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().links.insert(link, sender);
        let node = self.clone();
        tokio::spawn(async move { node.carry_on(link, stream, receiver).await });
    }

    /// Moves bytes until the link is closed by either side.
    async fn carry_on(
        &self,
        link: LinkId,
        stream: TcpStream,
        mut out: mpsc::UnboundedReceiver<bytes::Bytes>,
    ) {
        let (mut read, mut write) = stream.into_split();
        let mut buffer = vec![0; 1000];
        loop {
            tokio::select! {
                biased;
                bytes = out.recv() => match bytes {
                    Some(bytes) => if write.write_all(&bytes).await.is_err() {
                        return self.down(link);
                    },
                    // Closed by the node.
                    None => return,
                },
                length = read.read(&mut buffer) => match length {
                    Ok(length @ 1..) => {
                        self.input(|cluster| cluster.on_data(now_ms(), &facts(), link, &buffer[..length]));
                    }
                    _ => return self.down(link),
                },
            }
        }
    }

    fn down(&self, link: LinkId) {
        self.lock().links.remove(&link);
        self.input(|cluster| cluster.on_link_down(link));
    }
}
