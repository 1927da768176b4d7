//! The Redis of the sale: one server that keeps everything in memory, or a cluster.
//!
//! The nodes of a cluster are named by the part of the slots that they serve and their number within it: `redis-a1` is
//! the first part's master when the sale opens, `redis-a2` its replica.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use redis_middleware::cluster::{SLOTS, Slot};
use redis_middleware::persistence::{self, FsyncPolicy, Repair};
use redis_middleware::{Changes, Config, Observer, Options, Server};
use scenarios::{Fault, Links, Scenario, Setting, Settings, Side, Strike};
use ticketing::config::RedisAddress;
use wire::redis::{Durability, cluster};
use world::host;

use super::monitor::{Monitor, Node};

/// The only server where there is no cluster.
const ALONE: &str = "redis-1";
const PORT: u16 = 6379;
/// Masters of a cluster: the fewest that can outvote a failed one.
const MASTERS: usize = 3;
const REPLICAS_MAX: i64 = 2;
const PARTS: [char; MASTERS] = ['a', 'b', 'c'];

/// What a run has of Redis.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// 0 without a cluster.
    masters: usize,
    replicas: usize,
    config: Config,
    /// Time on its one core that a server takes for a command.
    command_work: Duration,
    /// Commands that each node has processed, in the order of the nodes.
    commands: Vec<Arc<AtomicU64>>,
}

/// The settings of Redis.
pub(super) fn settings() -> Vec<Setting> {
    let (millisecond, minute) = (Duration::from_millis(1), Duration::from_secs(60));
    vec![
        Setting::flag(
            "redis.cluster",
            false,
            "a cluster of three masters with replicas, instead of one server",
        ),
        Setting::integer("redis.replicas", 1, 0..=REPLICAS_MAX, "replicas of each master of the cluster"),
        Setting::integer(
            "redis.replicas_to_wait",
            0,
            0..=REPLICAS_MAX,
            "replicas that must have what an answer of Redis rests on before a service believes it (WAIT)",
        )
        .guard(),
        Setting::duration(
            "redis.wait_within",
            Duration::from_millis(200),
            millisecond..=minute,
            "how long the replicas may take for that",
        ),
        Setting::duration(
            "redis.node_timeout",
            Duration::from_secs(2),
            Duration::from_millis(100)..=minute,
            "silence after which a node of the cluster counts as failing (cluster-node-timeout)",
        ),
        Setting::integer(
            "redis.min_replicas_to_write",
            0,
            0..=REPLICAS_MAX,
            "replicas that a master must have heard of lately to take writes (min-replicas-to-write)",
        )
        .guard(),
        Setting::text(
            "redis.appendfsync",
            "off",
            "append-only file: off, or synced always, everysec or no (appendfsync)",
        )
        .guard(),
    ]
}

/// Every host that scenarios may name.
pub(super) fn hosts() -> Vec<String> {
    let all = Plan { masters: MASTERS, replicas: REPLICAS_MAX as usize, ..Plan::default() };
    std::iter::once(ALONE.to_owned()).chain(all.hosts()).collect()
}

/// What the scenario asks for.
///
/// # Errors
/// A sentence for the user: settings that contradict each other, or faults of hosts that are not there.
pub(super) fn plan(scenario: &Scenario) -> Result<Plan, String> {
    let settings = &scenario.settings;
    let (masters, replicas) = match settings.flag("redis.cluster") {
        true => (MASTERS, count(settings, "redis.replicas")),
        false => (0, 0),
    };
    for key in ["redis.replicas_to_wait", "redis.min_replicas_to_write"] {
        let wanted = count(settings, key);
        if wanted > replicas {
            return Err(format!("{key} is {wanted}, but each master has {replicas} replicas"));
        }
    }
    let appendfsync = match settings.text("redis.appendfsync") {
        "off" => None,
        "always" => Some(FsyncPolicy::Always),
        "everysec" => Some(FsyncPolicy::EverySecond),
        "no" => Some(FsyncPolicy::No),
        other => {
            return Err(format!("redis.appendfsync is {other:?}, expected off, always, everysec or no"));
        }
    };
    let config = Config {
        appendonly: appendfsync.is_some(),
        appendfsync: appendfsync.unwrap_or_default(),
        min_replicas_to_write: count(settings, "redis.min_replicas_to_write") as u64,
        repl_diskless_sync_delay: Duration::ZERO,
        cluster_enabled: masters > 0,
        cluster_node_timeout: settings.duration("redis.node_timeout"),
        ..Config::default()
    };
    let command_work = settings.duration("cpu.command");
    let mut plan = Plan { masters, replicas, config, command_work, commands: Vec::new() };
    plan.commands = plan.nodes().iter().map(|_| Arc::default()).collect();
    let (known, there) = (hosts(), plan.hosts());
    for name in scenario.faults.iter().flat_map(named) {
        if known.contains(name) && !there.contains(name) {
            let there = there.join(", ");
            return Err(format!("a fault names {name}, but with these settings Redis is on {there}"));
        }
    }
    Ok(plan)
}

fn count(settings: &Settings, key: &str) -> usize {
    usize::try_from(settings.integer(key)).unwrap_or(0)
}

/// The hosts that a fault names.
fn named(fault: &Fault) -> Vec<&String> {
    match &fault.strike {
        Strike::Hosts { on, .. } => on.iter().collect(),
        Strike::Links { links: Links::Of(hosts), .. } => hosts.iter().collect(),
        Strike::Links { links: Links::Between { sides, .. }, .. } => {
            let hosts = sides.iter().filter_map(|side| match side {
                Side::Hosts(hosts) => Some(hosts),
                Side::Rest => None,
            });
            hosts.flatten().collect()
        }
    }
}

/// How services make sure of an answer.
pub(super) fn durability(settings: &Settings) -> Option<Durability> {
    let replicas = u32::try_from(settings.integer("redis.replicas_to_wait")).unwrap_or(0);
    (replicas > 0).then(|| Durability { replicas, timeout: settings.duration("redis.wait_within") })
}

/// The part of the slots that a slot is in, when there are so many (or none: then all are in one).
pub(super) fn part_of(slot: Slot, masters: usize) -> usize {
    let first = |part: usize| usize::from(SLOTS) * part / masters.max(1);
    (0..masters.max(1)).rev().find(|part| first(*part) <= usize::from(slot)).unwrap_or(0)
}

/// Runs a server, as the script does that an operator has the machine run at boot: what a loss of power has left torn
/// at the end of the append-only file, and no server would load, is cut off first (`redis-check-aof --fix`). None of it
/// was acknowledged where that waits for the disk.
async fn start(server: &Server, config: &Config) -> std::io::Result<()> {
    if config.appendonly {
        let repair = persistence::repair(&config.dir).await.map_err(std::io::Error::other)?;
        world::sometimes!(repair != Repair::Sound, "ticketing.redis.append-only-file-repaired");
    }
    server.listen(&format!("0.0.0.0:{PORT}")).await
}

impl Plan {
    /// Number of parts that the slots are divided into: 0 without a cluster.
    pub(super) fn masters(&self) -> usize {
        self.masters
    }

    /// The nodes, masters first.
    fn nodes(&self) -> Vec<(String, Node)> {
        if self.masters == 0 {
            return vec![(ALONE.to_owned(), Node { part: 0, number: 1 })];
        }
        let numbers = 1..=self.replicas + 1;
        let nodes = numbers.flat_map(|number| (0..self.masters).map(move |part| Node { part, number }));
        nodes.map(|node| (format!("redis-{}{}", PARTS[node.part], node.number), node)).collect()
    }

    pub(super) fn hosts(&self) -> Vec<String> {
        self.nodes().into_iter().map(|(name, _)| name).collect()
    }

    /// Each node's name with the commands that it has processed so far.
    pub(super) fn commands(&self) -> Vec<(String, Arc<AtomicU64>)> {
        self.hosts().into_iter().zip(self.commands.iter().cloned()).collect()
    }

    fn addresses(&self) -> Vec<String> {
        self.hosts().iter().map(|host| format!("{host}:{PORT}")).collect()
    }

    /// Where services find it.
    pub(super) fn address(&self) -> RedisAddress {
        match self.masters {
            0 => RedisAddress::Server(format!("{ALONE}:{PORT}")),
            _ => RedisAddress::Cluster(self.addresses()),
        }
    }

    /// Adds the hosts.
    pub(super) fn stage(&self, monitor: &Monitor) {
        for ((name, node), commands) in self.nodes().into_iter().zip(&self.commands) {
            let (monitor, config, commands) = (monitor.clone(), self.config.clone(), Arc::clone(commands));
            let command_work = self.command_work;
            let host = host::add(&name, move || {
                monitor.booted(node);
                let (monitor, alarmed) = (monitor.clone(), monitor.clone());
                let observer: Observer = Arc::new(move |changes: &Changes<'_>| {
                    monitor.on_store(node, changes);
                });
                let server = Server::new(Options {
                    observer: Some(observer),
                    alarm: Some(Arc::new(move |alert| alarmed.on_alarm(alert))),
                    seed: world::rand::u64(),
                    config: config.clone(),
                    commands: Arc::clone(&commands),
                    command_work,
                    ..Options::default()
                });
                let config = config.clone();
                async move {
                    if start(&server, &config).await.is_err() {
                        // A server that cannot keep its promises ends.
                        host::current().kill();
                    }
                }
            });
            if !command_work.is_zero() {
                // Redis runs commands on one thread.
                host.set_cores(1);
            }
        }
    }

    /// Makes the nodes a cluster, if they are to be one.
    ///
    /// # Errors
    /// A sentence: they did not come together.
    pub(super) async fn form(&self) -> Result<(), String> {
        if self.masters == 0 {
            return Ok(());
        }
        // The servers listen after their hosts' first turn.
        world::time::sleep(Duration::from_millis(100)).await;
        let formed = cluster::form(&self.addresses(), self.replicas).await;
        formed.map_err(|error| format!("the Redis Cluster does not come together: {error}"))?;
        self.sync().await;
        Ok(())
    }

    /// Has every node's machine put the names of its files on its disk (`sync`), as they are of a cluster that has been
    /// there for days.
    async fn sync(&self) {
        let nodes: Vec<_> = self.hosts().iter().filter_map(|name| host::find(name)).collect();
        let synced: Vec<_> = nodes
            .into_iter()
            .map(|host| {
                let directory = self.config.dir.clone();
                host.spawn(async move { persistence::sync_names(directory).await })
            })
            .collect();
        for synced in synced {
            let _ = synced.await;
        }
    }
}
