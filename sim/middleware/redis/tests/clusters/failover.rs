//! A failover of ours beside a failover of real servers: noticed as fast, over as fast, with as much lost.

use std::{ops::RangeInclusive, time::Duration};

use redis::RedisResult;
use wire::redis::{Client, Options};
use world::{
    sim, task,
    time::{self, Instant},
};

use crate::{
    common,
    nodes::{Nodes, ask, key_at, lines, on_real_servers},
    real::{RealCluster, command, until},
    stage::{Stage, config},
};

const NODE_TIMEOUT: Duration = Duration::from_secs(1);
/// Failovers of the real servers; what they take differs by half of the node timeout and more.
const REAL_RUNS: usize = 10;
const SIMULATED_RUNS: u64 = 40;
/// A node looks at the others every 100 ms: times have no finer grain than that.
const GRAIN: Duration = Duration::from_millis(100);
const WRITERS: usize = 4;

/// What one failover was like.
#[derive(Debug, Clone, Copy)]
struct Failover {
    /// From the kill until another master says that the node has failed.
    to_fail: Duration,
    /// From the kill until that master says that another one has the slots.
    to_new_master: Duration,
    acknowledged: usize,
    /// Writes that the killed master acknowledged and the new one does not have.
    lost: usize,
}

/// Writes one fresh key after the other to a node until it is gone; which were acknowledged.
async fn write(address: String, key: String, writer: usize) -> Vec<String> {
    let client = Client::new(&address, Options::default());
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{{{key}}}:{writer}:{number}");
        let set: RedisResult<()> =
            command(&format!("SET {name} x")).query_async(&mut client.connection()).await;
        match set {
            Ok(()) => acknowledged.push(name),
            Err(_) => break,
        }
    }
    acknowledged
}

/// Kills a master under load and boots it again when another has taken over and all are well.
async fn fail_over(nodes: &impl Nodes, victim: usize) -> Failover {
    let addresses = nodes.addresses();
    let mut masters = Vec::new();
    for (node, address) in addresses.iter().enumerate() {
        if lines(address).await.iter().any(|line| line.is("myself") && line.is("master")) {
            masters.push(node);
        }
    }
    let (victim, witness) = (masters[victim % masters.len()], masters[(victim + 1) % masters.len()]);
    let id: String = ask(&addresses[victim], "CLUSTER MYID").await.expect("an id");
    let key = key_at(&addresses[victim]).await;
    let before = lines(&addresses[witness]).await;
    let slots = before.iter().find(|line| line.id == id).and_then(|line| line.slots.clone()).expect("slots");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| task::spawn(write(addresses[victim].clone(), key.clone(), writer)))
        .collect();
    time::sleep(Duration::from_millis(500)).await;

    nodes.kill(victim);
    let killed = Instant::now();
    let mut to_fail = None;
    let new_master = loop {
        let now = lines(&addresses[witness]).await;
        let failed = now.iter().any(|line| line.id == id && line.is("fail"));
        if failed {
            to_fail.get_or_insert(killed.elapsed());
        }
        if let Some(line) = now.into_iter().find(|line| line.id != id && line.slots.as_ref() == Some(&slots))
        {
            break line.id;
        }
        assert!(killed.elapsed() < NODE_TIMEOUT * 20, "nobody takes over");
        time::sleep(Duration::from_millis(5)).await;
    };
    let to_new_master = killed.elapsed();

    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("not aborted"));
    }
    let mut lost = 0;
    for address in
        addresses.iter().enumerate().filter(|(node, _)| *node != victim).map(|(_, address)| address)
    {
        if ask::<String>(address, "CLUSTER MYID").await.expect("an id") == new_master {
            for names in acknowledged.chunks(1000) {
                let found: usize =
                    ask(address, &format!("EXISTS {}", names.join(" "))).await.expect("EXISTS");
                lost += names.len() - found;
            }
        }
    }
    nodes.boot(victim);
    for address in &addresses {
        until("all are well", || async move {
            let info = ask::<String>(address, "CLUSTER INFO").await.unwrap_or_default();
            let role = ask::<String>(address, "INFO replication").await.unwrap_or_default();
            let is_linked = role.contains("master_link_status:up") || role.contains("connected_slaves:1");
            info.contains("cluster_state:ok") && is_linked
        })
        .await;
    }
    Failover {
        to_fail: to_fail.unwrap_or(to_new_master),
        to_new_master,
        acknowledged: acknowledged.len(),
        lost,
    }
}

/// The failovers of six real servers, one after the other.
fn real() -> Vec<Failover> {
    on_real_servers(|| async {
        let nodes = RealCluster::start(NODE_TIMEOUT, &[]).await;
        let mut failovers = Vec::new();
        for run in 0..REAL_RUNS {
            failovers.push(fail_over(&nodes, run).await);
        }
        failovers
    })
}

/// One failover of six simulated servers.
fn simulated(seed: u64) -> Failover {
    let outcome = sim::run(sim::Config::new(seed), || async {
        let config = redis_middleware::Config { cluster_node_timeout: NODE_TIMEOUT, ..config() };
        let nodes = Stage::new(config).await;
        let moment = Duration::from_micros(world::rand::u64() % 1_000_000);
        time::sleep(moment).await;
        fail_over(&nodes, 0).await
    });
    outcome.result.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", outcome.panics))
}

/// The smallest, the middle and the largest.
fn spread<T: Ord + Copy>(of: impl Iterator<Item = T>) -> (RangeInclusive<T>, T) {
    let mut sorted: Vec<T> = of.collect();
    sorted.sort();
    (sorted[0]..=sorted[sorted.len() - 1], sorted[sorted.len() / 2])
}

/// The median of each kind lies within the spread of the other, but for what loopback spares the real servers: there a
/// connection to a dead process is refused in the call that asks for it, and Redis counts the silence from that moment
/// (`ping_sent` in `clusterCron`). Over a network, as in the simulation, it counts from the next ping, which is due when
/// the last pong is half of a node timeout old.
fn assert_alike(what: &str, ours: impl Iterator<Item = Duration>, real: impl Iterator<Item = Duration>) {
    let (all, middle) = spread(ours);
    let (all_real, middle_real) = spread(real);
    eprintln!("{what}: {all:?}, median {middle:?}; real: {all_real:?}, median {middle_real:?}");
    let next_ping = NODE_TIMEOUT / 2;
    let over_network = all_real.start().saturating_sub(GRAIN)..=*all_real.end() + next_ping + GRAIN;
    assert!(over_network.contains(&middle), "{what}: {middle:?} is outside of {all_real:?}");
    let over_loopback = all.start().saturating_sub(next_ping + GRAIN)..=*all.end() + GRAIN;
    assert!(over_loopback.contains(&middle_real), "{what}: {middle_real:?} is outside of {all:?}");
}

#[test]
fn a_failover_takes_as_long_and_loses_as_much_as_one_of_real_servers() {
    if !common::has_real_redis() {
        return;
    }
    let real = real();
    let ours: Vec<Failover> = (0..SIMULATED_RUNS).map(simulated).collect();
    assert_alike("time to FAIL", ours.iter().map(|run| run.to_fail), real.iter().map(|run| run.to_fail));
    let new_master = |run: &Failover| run.to_new_master;
    assert_alike("time to the new master", ours.iter().map(new_master), real.iter().map(new_master));
    let (all, lost) = spread(ours.iter().map(|run| run.lost));
    let (all_real, lost_real) = spread(real.iter().map(|run| run.lost));
    eprintln!("lost: {all:?}, median {lost}; real: {all_real:?}, median {lost_real}");
    assert!(all_real.contains(&lost), "{lost} lost, real: {all_real:?}");
    assert!(all.contains(&lost_real), "lost: {all:?}, real: {lost_real}");
    assert!(ours.iter().chain(&real).all(|run| run.acknowledged > 100), "{ours:?} {real:?}");
}
