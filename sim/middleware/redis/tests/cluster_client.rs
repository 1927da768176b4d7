//! The cluster client of `wire` against six real servers: over all slots, through a migration, and through the death of
//! a master under load.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{AsyncCommands, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Script, Value};
use redis_protocol::redis_keyslot;
use wire::redis::{
    Client, Durability, Options as NodeOptions,
    cluster::{ClusterClient, Options},
    was_not_executed, was_not_replicated, was_not_sent,
};
use world::{
    engines::EngineKind,
    sim, task,
    time::{self, Instant},
};

const NODE_TIMEOUT_MS: u64 = 2000;
const SLOTS: usize = 16_384;

/// Six real servers, three masters with a replica each; all end with this value.
struct RealCluster {
    servers: Mutex<BTreeMap<u16, Child>>,
    directory: tempfile::TempDir,
    bus_ports: BTreeMap<u16, u16>,
}

/// Where the servers listen: `redis-cli` and the other servers come by the first address, and the tokio engine has its
/// host in one of the others, the first that no other run uses. Redis takes sixteen addresses at most.
fn addresses() -> Vec<String> {
    let hosts = (0..15).map(|block| format!("127.77.{}.1", block * 16));
    std::iter::once("127.0.0.1".to_owned()).chain(hosts).collect()
}

/// Ports that nobody has, and none of those that the system gives to outgoing connections. Where to look first depends
/// on the process: several of these tests may run at once.
fn free_ports(count: usize) -> Vec<u16> {
    let start = 12_000 + u16::try_from(std::process::id() % 1000).expect("small") * 12;
    let free: Vec<u16> =
        (start..32_000).filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).take(count).collect();
    assert_eq!(free.len(), count, "not enough free ports");
    free
}

impl RealCluster {
    async fn start() -> Self {
        let free = free_ports(12);
        let (ports, bus_ports) = free.split_at(6);
        let cluster = Self {
            servers: Mutex::default(),
            directory: tempfile::tempdir().expect("a directory"),
            bus_ports: ports.iter().copied().zip(bus_ports.iter().copied()).collect(),
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
    fn boot(&self, port: u16) {
        let directory = self.directory.path().join(port.to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--cluster-port", &self.bus_ports[&port].to_string()])
            .arg("--bind")
            .args(addresses())
            .args(["--protected-mode", "no", "--save", "", "--appendonly", "no"])
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", &NODE_TIMEOUT_MS.to_string()])
            .args(["--cluster-announce-ip", "127.0.0.1", "--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).insert(port, child);
    }

    /// `kill -9`.
    fn kill(&self, port: u16) {
        if let Some(mut child) = self.servers.lock().unwrap_or_else(PoisonError::into_inner).remove(&port) {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    fn seeds(&self) -> Vec<String> {
        self.bus_ports.keys().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    fn client(&self, durability: Option<Durability>) -> ClusterClient {
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
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(20), "it takes too long until {what}");
        time::sleep(Duration::from_millis(50)).await;
    }
}

fn command(words: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command
}

/// Asks one node.
async fn ask<T: FromRedisValue>(port: u16, words: &str) -> RedisResult<T> {
    let client = Client::new(format!("127.0.0.1:{port}"), NodeOptions::default());
    command(words).query_async(&mut client.connection()).await
}

fn port_of(client: &Client) -> u16 {
    client.address().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("host:port")
}

/// The master of a slot, as the node of a port says.
async fn master_of(asked: u16, slot: u16) -> u16 {
    let ranges: Vec<Vec<Value>> = ask(asked, "CLUSTER SLOTS").await.expect("the slots");
    let port = ranges.iter().find_map(|range| match range.as_slice() {
        [Value::Int(first), Value::Int(last), Value::Array(master), ..]
            if (*first..=*last).contains(&slot.into()) =>
        {
            master.get(1)
        }
        _ => None,
    });
    redis::from_redis_value(port.expect("the slot is served").clone()).expect("a port")
}

/// A key for every slot.
fn a_key_per_slot() -> Vec<String> {
    let mut keys = vec![String::new(); SLOTS];
    let mut missing = SLOTS;
    for number in 0.. {
        let key = format!("key:{number}");
        let place = &mut keys[usize::from(redis_keyslot(key.as_bytes()))];
        if place.is_empty() {
            *place = key;
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    keys
}

/// A key in a slot that this master serves.
async fn key_at(port: u16, keys: &[String]) -> String {
    for key in keys {
        if master_of(port, redis_keyslot(key.as_bytes())).await == port {
            return key.clone();
        }
    }
    panic!("it serves nothing");
}

#[test]
fn six_real_servers() {
    if !common::has_real_redis() {
        return;
    }
    let config = sim::Config { engine: EngineKind::Tokio, ..sim::Config::new(1) };
    let outcome = sim::run(config, || async {
        let cluster = Arc::new(RealCluster::start().await);
        let keys = a_key_per_slot();
        let client = cluster.client(None);
        all_slots(&client, &keys).await;
        scripts_and_transactions(&client, &keys).await;
        a_slot_migrates(&client).await;
        a_master_dies(&cluster, &keys).await;
    });
    assert!(outcome.result.is_ok(), "{:?} {:?}", outcome.result.err(), outcome.panics);
    for mark in ["moved", "ask", "backing-off", "refresh-after-failure", "not-replicated", "script-loaded"] {
        assert!(outcome.coverage[&format!("redis.client.{mark}")].hits > 0, "{mark}");
    }
}

async fn all_slots(client: &ClusterClient, keys: &[String]) {
    let mut redis = client.connection();
    for part in keys.chunks(2048) {
        let mut pipeline = Pipeline::new();
        for key in part {
            pipeline.set(key, format!("value of {key}")).ignore().get(key);
        }
        let values: Vec<String> = pipeline.query_async(&mut redis).await.expect("a pipeline");
        let expected: Vec<String> = part.iter().map(|key| format!("value of {key}")).collect();
        assert_eq!(values, expected);
    }
    for key in keys.iter().step_by(100) {
        let value: String = redis.get(key).await.expect("GET");
        assert_eq!(value, format!("value of {key}"));
    }
    let size: usize = command("DBSIZE").query_async(&mut redis).await.expect("DBSIZE");
    assert_eq!(size, SLOTS);
    let all: BTreeSet<String> = redis.keys("*").await.expect("KEYS");
    assert_eq!(all.len(), SLOTS);
    let error = redis.del::<_, i64>(&keys[..2]).await.expect_err("two slots");
    assert!(error.code() == Some("CROSSSLOT") && was_not_executed(&error), "{error}");
}

async fn scripts_and_transactions(client: &ClusterClient, keys: &[String]) {
    let mut redis = client.connection();
    let script = Script::new("return redis.call('APPEND', KEYS[1], ARGV[1])");
    for key in keys.iter().step_by(1000) {
        let length: usize = script.key(key).arg("!").invoke_async(&mut redis).await.expect("a script");
        assert_eq!(length, format!("value of {key}!").len());
        let (first, second): (i64, i64) = Pipeline::new()
            .atomic()
            .incr(format!("{{{key}}}:n"), 1)
            .incr(format!("{{{key}}}:n"), 1)
            .query_async(&mut redis)
            .await
            .expect("a transaction");
        assert_eq!((first, second), (1, 2));
    }
}

/// Moves a slot with some keys while commands go on.
async fn a_slot_migrates(client: &ClusterClient) {
    let mut redis = client.connection();
    let names: Vec<String> = (0..20).map(|number| format!("{{moving}}:{number}")).collect();
    for name in &names {
        let () = redis.set(name, 0).await.expect("SET");
    }
    let slot = redis_keyslot(b"moving");
    let masters: Vec<u16> = client.masters().await.expect("masters").iter().map(port_of).collect();
    let source = master_of(masters[0], slot).await;
    let target = *masters.iter().find(|port| **port != source).expect("another");
    let source_id: String = ask(source, "CLUSTER MYID").await.expect("an id");
    let target_id: String = ask(target, "CLUSTER MYID").await.expect("an id");
    let set_slot = |port, what: String| async move {
        let () = ask(port, &format!("CLUSTER SETSLOT {slot} {what}")).await.expect("SETSLOT");
    };
    set_slot(target, format!("IMPORTING {source_id}")).await;
    set_slot(source, format!("MIGRATING {target_id}")).await;
    // One key after the other; in between, all of them are written, and so is one that did not exist before.
    for (round, name) in names.iter().enumerate() {
        let moved: String =
            ask(source, &format!("MIGRATE 127.0.0.1 {target} {name} 0 1000")).await.expect("MIGRATE");
        assert_eq!(moved, "OK");
        let mut pipeline = Pipeline::new();
        for name in &names {
            pipeline.incr(name, 1);
        }
        let values: Vec<usize> = pipeline.query_async(&mut redis).await.expect("a pipeline");
        assert_eq!(values, vec![round + 1; names.len()]);
        let fresh: i64 = redis.incr(format!("{{moving}}:fresh-{round}"), 1).await.expect("INCR");
        assert_eq!(fresh, 1);
    }
    // Several keys of which some are there and some are not: later, as long as this lasts.
    let (both, mut other) = ([names[0].clone(), "{moving}:nowhere".to_owned()], client.connection());
    let put_off = task::spawn(async move { other.mget::<_, Vec<Option<i64>>>(&both[..]).await });
    time::sleep(Duration::from_millis(300)).await;
    assert!(!put_off.is_finished());
    for port in [target, source] {
        set_slot(port, format!("NODE {target_id}")).await;
    }
    let values = put_off.await.expect("not aborted");
    assert_eq!(values, Ok(vec![Some(20), None]));
    let value: i64 = redis.get(&names[3]).await.expect("GET");
    assert_eq!(value, 20);
}

/// What a writer saw.
#[derive(Default)]
struct Written {
    acknowledged: BTreeSet<String>,
    errors: Vec<RedisError>,
}

/// Writes fresh keys, which begin alike, until it is time to stop.
async fn write(client: ClusterClient, prefix: String, pause: Duration, stop: Instant) -> Written {
    let mut redis = client.connection();
    let mut written = Written::default();
    for number in 0.. {
        if Instant::now() > stop {
            break;
        }
        let name = format!("{prefix}:{number}");
        match redis.set::<_, _, ()>(&name, number).await {
            Ok(()) => {
                written.acknowledged.insert(name);
            }
            Err(error) => written.errors.push(error),
        }
        time::sleep(pause).await;
    }
    written
}

async fn a_master_dies(cluster: &Arc<RealCluster>, keys: &[String]) {
    let durability = Some(Durability { replicas: 1, timeout: Duration::from_millis(500) });
    let client = cluster.client(durability);
    let masters = client.masters().await.expect("masters");
    let (victim, survivor) = (port_of(&masters[0]), port_of(&masters[1]));
    let near = key_at(victim, keys).await;
    let slot = redis_keyslot(near.as_bytes());
    let started = Instant::now();
    let stop = started + Duration::from_secs(14);
    // Some all over the cluster, and some that always have a write under way at the master that will die.
    let all_over = keys.iter().step_by(700).map(|key| (key, Duration::from_millis(5)));
    let busy = std::iter::repeat_n((&near, Duration::from_micros(100)), 4);
    let writers: Vec<_> = all_over
        .chain(busy)
        .enumerate()
        .map(|(writer, (key, pause))| {
            task::spawn(write(client.clone(), format!("{{{key}}}:{writer}"), pause, stop))
        })
        .collect();
    time::sleep(Duration::from_secs(2)).await;
    cluster.kill(victim);
    until("a replica is elected", || async { master_of(survivor, slot).await != victim }).await;
    // The new master has no replica until the old one is back.
    time::sleep(Duration::from_secs(2)).await;
    cluster.boot(victim);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.expect("not aborted"));
    }
    let errors: Vec<&RedisError> = written.iter().flat_map(|written| &written.errors).collect();
    let count = |is_so: &dyn Fn(&RedisError) -> bool| errors.iter().filter(|error| is_so(error)).count();
    let not_replicated = count(&was_not_replicated);
    let lost = count(&|error| error.is_io_error() && !was_not_replicated(error) && !was_not_sent(error));
    let acknowledged: usize = written.iter().map(|written| written.acknowledged.len()).sum();
    eprintln!("{acknowledged} acknowledged, {not_replicated} not replicated, {lost} lost");
    // What was certainly not executed was sent again until it was.
    assert_eq!(
        not_replicated + lost,
        errors.len(),
        "{:?}",
        errors.iter().map(|e| e.to_string()).collect::<BTreeSet<_>>()
    );
    assert!(lost <= written.len(), "at most one for each writer, when the master died");
    let reader = cluster.client(None);
    for name in written.iter().flat_map(|written| &written.acknowledged).collect::<Vec<_>>().chunks(1000) {
        let mut pipeline = Pipeline::new();
        for name in name {
            pipeline.exists(*name);
        }
        let found: Vec<bool> = pipeline.query_async(&mut reader.connection()).await.expect("a pipeline");
        assert!(found.iter().all(|found| *found), "an acknowledged write is lost");
    }
    // All is durable again, and scripts run on the new master, which nobody loaded them into.
    let mut redis = client.connection();
    let () = redis.set(&near, "back").await.expect("a durable write");
    let script = Script::new("return redis.call('GET', KEYS[1])");
    for key in [&keys[0], &near] {
        let _: String = script.key(key).invoke_async(&mut redis).await.expect("a script");
    }
}
