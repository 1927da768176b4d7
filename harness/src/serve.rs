//! The simulated servers for real: on sockets of this machine, in its time, for anybody's client.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use redis_middleware::{Config, Options, Server};
use wire::redis::cluster;
use world::engines::EngineKind;
use world::{host, sim, time};

/// Nodes of the cluster: three masters and a replica for each.
const NODES: u16 = 6;
const REPLICAS: usize = 1;
/// The node timeout of the cluster: shorter than Redis's own of 15 s, for people who kill nodes to see what happens.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// One Redis server.
    Redis,
    /// A Redis Cluster: three masters with a replica each.
    RedisCluster,
}

impl Service {
    /// The port that is taken unless told otherwise: where clients look first.
    pub fn default_port(self) -> u16 {
        match self {
            Service::Redis => 6379,
            Service::RedisCluster => 7000,
        }
    }

    /// Names and ports of its servers, the first at `port`.
    fn servers(self, port: u16) -> Option<Vec<(String, u16)>> {
        match self {
            Service::Redis => Some(vec![("redis".to_owned(), port)]),
            Service::RedisCluster => (0..NODES)
                .map(|number| Some((format!("redis-{}", number + 1), port.checked_add(number)?)))
                .collect(),
        }
    }
}

/// Serves at this address and the ports that follow it, until the process ends; returns only with an error. Says on
/// stdout where each server listens, and when all are ready. The servers' random choices come from the seed.
///
/// # Errors
/// A sentence: a port is taken, or the servers did not come up.
pub fn serve(service: Service, at: SocketAddrV4, seed: u64) -> Result<(), String> {
    let servers = service.servers(at.port()).ok_or("there are not enough ports above this one")?;
    for (name, port) in &servers {
        check_free(*at.ip(), *port)
            .map_err(|error| format!("{name} cannot listen at {}:{port}: {error}", at.ip()))?;
    }
    let config = sim::Config {
        engine: EngineKind::Tokio,
        listen_at: Some(*at.ip()),
        watchdog: None,
        ..sim::Config::new(seed)
    };
    let outcome = sim::run(config, move || run(service, *at.ip(), servers));
    match outcome.result {
        Ok(ended) => ended,
        Err(error) => Err(error.to_string()),
    }
}

/// A port that is taken is told before anything starts. (The address is looked at with a socket of the machine's own,
/// outside of any simulated world.)
fn check_free(ip: Ipv4Addr, port: u16) -> io::Result<()> {
    std::net::TcpListener::bind((ip, port)).map(drop)
}

async fn run(service: Service, ip: Ipv4Addr, servers: Vec<(String, u16)>) -> Result<(), String> {
    let mut addresses = Vec::new();
    let (failed, mut failures) = tokio::sync::mpsc::unbounded_channel();
    for (name, port) in servers {
        let config = match service {
            Service::Redis => Config::default(),
            Service::RedisCluster => Config {
                cluster_enabled: true,
                cluster_announce_ip: Some(ip.to_string()),
                cluster_node_timeout: NODE_TIMEOUT,
                repl_diskless_sync_delay: Duration::ZERO,
                repl_ping_replica_period: Duration::from_secs(1),
                ..Config::default()
            },
        };
        let failed = failed.clone();
        let shown = name.clone();
        host::add(&name, move || {
            let server = Server::new(Options {
                seed: world::rand::u64(),
                config: config.clone(),
                ..Options::default()
            });
            let (failed, shown) = (failed.clone(), shown.clone());
            async move {
                let Err(error) = server.listen(&format!("0.0.0.0:{port}")).await else { return };
                // The receiver waits for as long as the world is there.
                let _ = failed.send(format!("{shown} at port {port}: {error}"));
            }
        });
        addresses.push((name, format!("{}:{port}", IpAddr::V4(ip))));
    }
    let ready = async {
        // The servers listen after their hosts' first turn.
        time::sleep(Duration::from_millis(50)).await;
        if service == Service::RedisCluster {
            let addresses: Vec<String> = addresses.iter().map(|(_, address)| address.clone()).collect();
            cluster::form(&addresses, REPLICAS).await.map_err(|error| error.to_string())?;
            cluster::until_replicas_are_listed(&addresses).await.map_err(|error| error.to_string())?;
        }
        announce(&addresses).map_err(|error| error.to_string())?;
        std::future::pending::<Result<(), String>>().await
    };
    tokio::select! {
        biased;
        failure = failures.recv() => Err(failure.unwrap_or_default()),
        ended = ready => ended,
    }
}

/// One line for each server, then `ready`: programs wait for it.
fn announce(addresses: &[(String, String)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, address) in addresses {
        writeln!(out, "listening {name} {address}")?;
    }
    writeln!(out, "ready")?;
    out.flush()
}
