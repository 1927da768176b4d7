//! Six real servers, and how to talk to them from the tokio engine.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, FromRedisValue, RedisResult};
use wire::redis::{
    Client, Durability, Options as NodeOptions,
    cluster::{ClusterClient, Options},
};
use world::time::{self, Instant};

/// Six real servers, three masters with a replica each; all end with this value.
pub(crate) struct RealCluster {
    servers: Mutex<BTreeMap<u16, Child>>,
    directory: tempfile::TempDir,
    bus_ports: BTreeMap<u16, u16>,
    node_timeout: Duration,
    /// More of the command line.
    more: &'static [&'static str],
}

/// Where the servers listen: `redis-cli` and the other servers come by the first address, and the tokio engine has its
/// host in one of the others, the first that no other run uses. Redis takes sixteen addresses at most.
fn addresses() -> Vec<String> {
    let hosts = (0..15).map(|block| format!("127.77.{}.1", block * 16));
    std::iter::once("127.0.0.1".to_owned()).chain(hosts).collect()
}

/// Ports that nobody has, and none of those that the system gives to outgoing connections. Where to look first depends
/// on the process and on who asked before: several of these tests may run at once.
fn free_ports(count: usize) -> Vec<u16> {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let before = ASKED.fetch_add(1, Ordering::Relaxed);
    let start = 12_000 + u16::try_from(std::process::id() % 1000).expect("small") * 12 + before * 3_000;
    let free: Vec<u16> =
        (start..32_000).filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).take(count).collect();
    assert_eq!(free.len(), count, "not enough free ports");
    free
}

impl RealCluster {
    pub(crate) async fn start(node_timeout: Duration, more: &'static [&'static str]) -> Self {
        let free = free_ports(12);
        let (ports, bus_ports) = free.split_at(6);
        let cluster = Self {
            servers: Mutex::default(),
            directory: tempfile::tempdir().expect("a directory"),
            bus_ports: ports.iter().copied().zip(bus_ports.iter().copied()).collect(),
            node_timeout,
            more,
        };
        for port in ports {
            cluster.boot(*port);
        }
        for port in ports {
            until("the server listens", || async move { ask::<String>(*port, "PING").await.is_ok() }).await;
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(ports.iter().map(|port| format!("127.0.0.1:{port}")));
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = create.stdin(Stdio::null()).output().expect("redis-cli is installed");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        for port in ports {
            until("the node joins", || async move {
                let is_well = ask::<String>(*port, "CLUSTER INFO").await.is_ok_and(|info| {
                    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6")
                });
                let info = ask::<String>(*port, "INFO replication").await.unwrap_or_default();
                is_well && (info.contains("connected_slaves:1") || info.contains("master_link_status:up"))
            })
            .await;
        }
        cluster
    }

    /// Starts the server of this port, again if need be.
    pub(crate) fn boot(&self, port: u16) {
        let directory = self.directory.path().join(port.to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--cluster-port", &self.bus_ports[&port].to_string()])
            .arg("--bind")
            .args(addresses())
            .args(["--protected-mode", "no", "--save", "", "--appendonly", "no"])
            .args([
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                &self.node_timeout.as_millis().to_string(),
            ])
            .args(["--cluster-announce-ip", "127.0.0.1", "--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(&directory)
            .args(self.more)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).insert(port, child);
    }

    /// `kill -9`.
    pub(crate) fn kill(&self, port: u16) {
        if let Some(mut child) = self.servers.lock().unwrap_or_else(PoisonError::into_inner).remove(&port) {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// The port of a server, by its number from 0.
    pub(crate) fn port(&self, number: usize) -> u16 {
        *self.bus_ports.keys().nth(number).expect("there are six")
    }

    /// Where the servers listen, in the order of their ports.
    pub(crate) fn seeds(&self) -> Vec<String> {
        self.bus_ports.keys().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    pub(crate) fn client(&self, durability: Option<Durability>) -> ClusterClient {
        let node = NodeOptions { durability, ..NodeOptions::default() };
        ClusterClient::new(
            self.seeds(),
            Options { node, deadline: Duration::from_secs(10), ..Options::default() },
        )
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        for child in self.servers.get_mut().unwrap_or_else(PoisonError::into_inner).values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for something that takes a while.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(20), "it takes too long until {what}");
        time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn command(words: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command
}

/// Asks one node.
pub(crate) async fn ask<T: FromRedisValue>(port: u16, words: &str) -> RedisResult<T> {
    let client = Client::new(format!("127.0.0.1:{port}"), NodeOptions::default());
    command(words).query_async(&mut client.connection()).await
}

pub(crate) fn port_of(client: &Client) -> u16 {
    client.address().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("host:port")
}
