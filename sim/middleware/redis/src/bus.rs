//! A node of a cluster at work: carries out what [`Cluster`] decides, over streams, on the disk and in the data.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use wire::redis::reply::Writer;
use world::net::{TcpListener, TcpStream};

use crate::{
    cluster::{self, Action, Cluster, Facts, LinkId, MasterLink, SlotSet, key_slot},
    commands::{Database, Publication},
    config::Config,
    keyspace::Keyspace,
    pause::Purpose,
    replication::{LinkState, MasterAddress, Replication},
    server::{Alert, Server, now_ms, now_us},
    session::State,
};

/// The port of the bus lies so far above that for clients.
const BUS_PORT_DISTANCE: u16 = 10_000;
/// How often a node looks after its links.
const CRON: Duration = Duration::from_millis(100);
/// Bytes asked of a link at once.
const READ_SIZE: usize = 16 * 1024;
/// The file that outlives the process.
const FILE: &str = "nodes.conf";

/// Where the actions go that take time; in their order.
pub(crate) type Queue = mpsc::UnboundedSender<Action>;

/// The configuration as the cluster needs it.
pub(crate) fn options(config: &Config, port: u16) -> cluster::Options {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    cluster::Options {
        port,
        bus_port: port.saturating_add(BUS_PORT_DISTANCE),
        announce_ip: config.cluster_announce_ip.clone(),
        node_timeout_ms: ms(config.cluster_node_timeout),
        require_full_coverage: config.cluster_require_full_coverage,
        allow_reads_when_down: config.cluster_allow_reads_when_down,
        allow_replica_migration: config.cluster_allow_replica_migration,
        migration_barrier: usize::try_from(config.cluster_migration_barrier).unwrap_or(usize::MAX),
        replica_validity_factor: number(config.cluster_replica_validity_factor),
        replica_no_failover: config.cluster_replica_no_failover,
        repl_ping_replica_period_s: ms(config.repl_ping_replica_period) / 1000,
        ..cluster::Options::default()
    }
}

/// Wall clock in milliseconds, as the cluster counts.
pub(crate) fn clock_ms() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX)
}

/// What the cluster has to know of replication.
pub(crate) fn facts(replication: &Replication) -> Facts {
    let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let master_link = match &replication.master {
        Some(master) if master.state == LinkState::Connected => {
            MasterLink::Up { last_heard_ms: time(master.heard_ms) }
        }
        Some(master) => MasterLink::Down { since_ms: time(master.down_since_ms.unwrap_or(0)) },
        None => Facts::default().master_link,
    };
    Facts { offset: i64::try_from(replication.offset()).unwrap_or(i64::MAX), master_link }
}

impl cluster::Keys for Keyspace {
    fn count(&self, slot: cluster::Slot) -> usize {
        self.iter().filter(|(key, _)| key_slot(key) == slot).count()
    }

    fn some_of(&self, slot: cluster::Slot, most: usize) -> Vec<crate::keyspace::Blob> {
        let keys = self.iter().map(|(key, _)| key).filter(|key| key_slot(key) == slot);
        keys.take(most).map(crate::keyspace::Blob::from).collect()
    }

    fn is_empty(&self) -> bool {
        Keyspace::is_empty(self)
    }
}

impl State {
    /// Gives the cluster an input, and carries out what comes of it; `None` without a cluster.
    pub(crate) fn drive<R>(&mut self, input: impl FnOnce(&mut Cluster, i64, &Facts) -> R) -> Option<R> {
        let facts = facts(&self.replication);
        let result = input(self.db.cluster.as_deref_mut()?, clock_ms(), &facts);
        self.act_all();
        Some(result)
    }

    /// `CLUSTER …` of a client; false without a cluster.
    pub(crate) fn cluster_command(&mut self, args: &[&[u8]], reply: &mut Writer) -> bool {
        let facts = facts(&self.replication);
        let Database { cluster, keyspace, .. } = &mut self.db;
        let Some(cluster) = cluster else { return false };
        cluster.command(clock_ms(), &facts, keyspace, args, reply);
        self.act_all();
        true
    }

    fn act_all(&mut self) {
        while let Some(action) = self.db.cluster.as_deref_mut().and_then(Cluster::next_action) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::ReplicateFrom { ip, port, .. } => {
                self.follow(MasterAddress { host: ip, port });
            }
            Action::BecomeMaster => {
                let db = &mut self.db;
                self.replication.lead(now_ms(), || db.draw_u64());
            }
            Action::Demoted { .. } => world::reachable!("redis.cluster.demoted-with-data"),
            Action::PauseWrites { until_ms } => self.pause_writes(until_ms),
            Action::ResumeWrites => self.pauses.end(Purpose::Failover),
            Action::DropKeysOfSlots(slots) => self.drop_keys(Some(&slots)),
            Action::FlushData => self.drop_keys(None),
            Action::DropChannelsOfSlots(slots) => self.db.drop_channels(&slots),
            Action::Publish { shard, channel, message } => {
                self.db.now_us = now_us();
                self.db.publish(shard, &channel, &message);
            }
            Action::HeldForFailed { .. } => self.raise(Alert::HeldForFailed),
            Action::TookOver => self.raise(Alert::TookOver),
            Action::Connect { .. } | Action::Send { .. } | Action::Close { .. } | Action::Persist { .. } => {
                if let Some(bus) = &self.bus {
                    // The bus ends with the server only.
                    let _ = bus.send(action);
                }
            }
        }
    }

    fn raise(&self, alert: Alert) {
        if let Some(alarm) = &self.alarm {
            alarm(alert);
        }
    }

    /// Passes on what the unit published to the other nodes.
    pub(crate) fn publish_to_cluster(&mut self) {
        for Publication { shard, channel, message } in std::mem::take(&mut self.db.to_cluster) {
            self.drive(|cluster, now_ms, facts| cluster.publish(now_ms, facts, shard, &channel, &message));
        }
    }

    /// Removes the keys of some slots, or all.
    fn drop_keys(&mut self, slots: Option<&SlotSet>) {
        let all = self.db.keyspace.iter().map(|(key, _)| key);
        let gone = all.filter(|key| slots.is_none_or(|slots| slots.contains(key_slot(key))));
        let gone: Vec<_> = gone.map(crate::keyspace::Blob::from).collect();
        for key in gone {
            self.db.keyspace.remove(&key);
        }
        self.observe();
        self.serve_waiting();
    }
}

/// A node's part in the cluster, ready to be played.
pub(crate) struct Bus {
    server: Server,
    path: PathBuf,
    actions: mpsc::UnboundedReceiver<Action>,
}

/// Takes up what the node was before, or makes it a new one, and listens on the port of the bus.
///
/// # Errors
/// When its file cannot be read, or the port is taken.
pub(crate) async fn start(server: &Server, address: IpAddr) -> io::Result<Bus> {
    let (queue, actions) = mpsc::unbounded_channel();
    let path = {
        let mut state = server.lock();
        state.bus = Some(queue);
        PathBuf::from(&state.config.dir).join(FILE)
    };
    load(server, &path).await?;
    let port = server.lock().port.saturating_add(BUS_PORT_DISTANCE);
    let listener = TcpListener::bind(&format!("{address}:{port}")).await?;
    world::task::spawn(accept(server.clone(), listener));
    world::task::spawn(tick(server.clone()));
    Ok(Bus { server: server.clone(), path, actions })
}

/// Carries out what takes time, one after the other, until an error: the node's file cannot be written.
pub(crate) async fn run(bus: Bus) -> io::Result<()> {
    let Bus { server, path, mut actions } = bus;
    while let Some(action) = actions.recv().await {
        match action {
            Action::Persist { fsync } => {
                let text = server.lock().db.cluster.as_ref().map(|cluster| cluster.nodes_conf());
                save(&path, text.unwrap_or_default().as_bytes(), fsync).await?;
            }
            Action::Connect { link, ip, port } => {
                let (outbox, messages) = mpsc::unbounded_channel();
                server.lock().links.insert(link, outbox);
                world::task::spawn(connect(server.clone(), link, format!("{ip}:{port}"), messages));
            }
            Action::Send { link, bytes } => {
                if let Some(outbox) = server.lock().links.get(&link) {
                    // A link that has just gone reports it by itself.
                    let _ = outbox.send(bytes);
                }
            }
            Action::Close { link } => {
                server.lock().links.remove(&link);
            }
            // The others are carried out at once.
            _ => {}
        }
    }
    Ok(())
}

/// Makes the directory of the server's files, as whoever installs Redis does: it is there after any loss of power.
pub(crate) async fn install(directory: &Path) -> io::Result<()> {
    if world::disk::try_exists(directory).await? {
        return Ok(());
    }
    world::disk::create_dir_all(directory).await?;
    for parent in directory.ancestors().skip(1) {
        world::disk::sync_dir(parent).await?;
    }
    Ok(())
}

/// Takes up what the node was before, or makes it a new one.
async fn load(server: &Server, path: &Path) -> io::Result<()> {
    install(path.parent().unwrap_or(Path::new("/"))).await?;
    let known = match world::disk::read(path).await {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut state = server.lock();
    let options = options(&state.config, state.port);
    let mut seed = Database { random: state.db.draw_u64(), ..Database::default() };
    let random: cluster::Random = Box::new(move || seed.draw_u64());
    let cluster = match known.filter(|text| !text.is_empty()) {
        None => Cluster::new(options, random, clock_ms()),
        Some(text) => Cluster::load(options, random, clock_ms(), &text).map_err(io::Error::other)?,
    };
    state.db.cluster = Some(Box::new(cluster));
    let mut with_keys = SlotSet::default();
    for (key, _) in state.db.keyspace.iter() {
        with_keys.insert(key_slot(key));
    }
    state.drive(|cluster, now_ms, facts| cluster.on_data_loaded(now_ms, facts, &with_keys));
    Ok(())
}

async fn tick(server: Server) {
    let run = || server.lock().drive(|cluster, now_ms, facts| cluster.cron(now_ms, facts));
    run();
    server.part_of(CRON).await;
    loop {
        run();
        world::time::sleep(CRON).await;
    }
}

/// Writes the file as a whole: the old one stays until the new one is there.
async fn save(path: &Path, text: &[u8], fsync: bool) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let new = path.with_extension("conf.new");
    let mut file = world::disk::File::create(&new).await?;
    file.write_all(text).await?;
    file.flush().await?;
    // Redis syncs the bytes only when asked to. It can leave the rest to ext4, whose `auto_da_alloc` never lets a rename
    // outlive the bytes of the file; the simulated disk promises no more than POSIX does.
    file.sync_all().await?;
    world::disk::rename(&new, path).await?;
    if fsync {
        world::disk::sync_dir(directory).await?;
    }
    Ok(())
}

async fn accept(server: Server, listener: TcpListener) {
    while let Ok((stream, peer)) = listener.accept().await {
        let local = stream.local_addr().map_or(peer.ip(), |local| local.ip());
        let (outbox, messages) = mpsc::unbounded_channel();
        let link = {
            let mut state = server.lock();
            let Some(link) = state.drive(|cluster, now_ms, _| cluster.on_accepted(now_ms, peer.ip(), local))
            else {
                continue;
            };
            state.links.insert(link, outbox);
            link
        };
        world::task::spawn(carry(server.clone(), link, stream, messages));
    }
}

async fn connect(server: Server, link: LinkId, address: String, messages: Messages) {
    // Redis gives a link that does not come about as much time as a node that does not answer.
    let limit = server.lock().config.cluster_node_timeout;
    let stream = world::time::timeout(limit, TcpStream::connect(&address)).await;
    let Ok(Ok(stream)) = stream else {
        lost(&server, link);
        return;
    };
    let Ok(local) = stream.local_addr() else {
        lost(&server, link);
        return;
    };
    server.lock().drive(|cluster, now_ms, facts| cluster.on_link_up(now_ms, facts, link, local.ip()));
    carry(server, link, stream, messages).await;
}

fn lost(server: &Server, link: LinkId) {
    let mut state = server.lock();
    state.links.remove(&link);
    state.drive(|cluster, _, _| cluster.on_link_down(link));
}

/// Messages that go out over a link; the link is closed when nobody can send any more.
type Messages = mpsc::UnboundedReceiver<Bytes>;

/// Carries messages both ways until the link is closed from either side.
async fn carry(server: Server, link: LinkId, stream: TcpStream, mut messages: Messages) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_SIZE);
            match reader.read_buf(&mut buffer).await {
                Ok(length) if length > 0 => {
                    let bytes = buffer.split();
                    server
                        .lock()
                        .drive(|cluster, now_ms, facts| cluster.on_data(now_ms, facts, link, &bytes));
                }
                // Closed or broken: it is the same to the cluster.
                _ => return,
            }
        }
    };
    let writing = async {
        while let Some(message) = messages.recv().await {
            if writer.write_all(&message).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = writing => {}
        () = reading => {}
    }
    lost(&server, link);
}
