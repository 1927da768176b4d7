//! A master that comes back with its data while its replicas wait to be elected: the one that follows it again counts its
//! offset from the beginning, as the master does, and one that lags behind, but has not begun anew, then has the better
//! rank. Writes that were acknowledged only after a replica had them (`WAIT 1`) are lost, with real servers as well.

use std::time::Duration;

use redis_middleware::persistence::FsyncPolicy;
use wire::redis::{Client, Options};
use world::{
    sim,
    time::{self, Instant},
};

use crate::{
    common,
    nodes::{Nodes, ask, key_at, lines, on_real_servers},
    real::{RealCluster, command, until},
    stage::{Stage, config},
};

const NODE_TIMEOUT: Duration = Duration::from_secs(3);
/// Which replica is faster is chance: one real failover of six goes well.
const RUNS_MAX: u64 = 8;
const WRITES: usize = 200;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    /// Was the replica elected that lagged behind?
    has_lagging_master: bool,
    /// Acknowledged writes that the new master does not have.
    lost: usize,
}

async fn role(address: &str) -> String {
    ask::<String>(address, "INFO replication").await.unwrap_or_default()
}

/// Writes keys one after the other; the last is acknowledged when `replicas` have all of them.
async fn write(address: &str, key: &str, when: &str, replicas: usize) {
    let client = Client::new(address, Options::default());
    let mut connection = client.connection();
    for number in 0..WRITES {
        let set = command(&format!("SET {{{key}}}:{when}:{number} x"));
        set.query_async::<()>(&mut connection).await.expect("the master serves its key");
    }
    let has: usize =
        command(&format!("WAIT {replicas} 5000")).query_async(&mut connection).await.expect("WAIT");
    assert!(has >= replicas, "{has} replicas have the {when} writes");
}

async fn come_back(nodes: &impl Nodes) -> End {
    let addresses = nodes.addresses();
    let mut roles = Vec::new();
    for address in &addresses {
        // Who loses its replica below would be given another one.
        ask::<()>(address, "CONFIG SET cluster-migration-barrier 9").await.expect("CONFIG SET");
        let known = lines(address).await;
        roles.push(known.into_iter().find(|line| line.is("myself")).expect("every node knows itself"));
    }
    let masters: Vec<usize> = (0..roles.len()).filter(|node| roles[*node].is("master")).collect();
    let [victim, witness, ..] = masters[..] else { panic!("masters: {masters:?}") };
    let mut replicas = Vec::new();
    for node in (0..roles.len()).filter(|node| roles[*node].is("slave")) {
        let is_of = |master: usize| roles[node].master == roles[master].id;
        if is_of(victim) {
            replicas.insert(0, node);
        } else if is_of(witness) {
            let follow = format!("CLUSTER REPLICATE {}", roles[victim].id);
            ask::<()>(&addresses[node], &follow).await.expect("CLUSTER REPLICATE");
            replicas.push(node);
        }
    }
    let [close, lagging] = replicas[..] else { panic!("replicas: {replicas:?}") };
    let (master, follower, straggler) = (&addresses[victim], &addresses[close], &addresses[lagging]);
    until("both follow", || async move { role(master).await.contains("connected_slaves:2") }).await;
    until("both are up", || async move {
        role(follower).await.contains("link_status:up") && role(straggler).await.contains("link_status:up")
    })
    .await;

    let key = key_at(master).await;
    write(master, &key, "early", 2).await;
    nodes.part(victim, lagging).await;
    write(master, &key, "late", 1).await;

    nodes.kill(victim);
    let witness = &addresses[witness];
    let id = &roles[victim].id;
    until("it is held for failed", || async move {
        lines(witness).await.iter().any(|line| line.id == *id && line.is("fail"))
    })
    .await;
    nodes.boot(victim);
    let booted = Instant::now();
    let elected = loop {
        let mut elected = None;
        for node in [close, lagging] {
            if role(&addresses[node]).await.contains("role:master") {
                elected = Some(node);
            }
        }
        if let Some(node) = elected {
            break node;
        }
        assert!(booted.elapsed() < NODE_TIMEOUT * 10, "nobody takes over");
        time::sleep(Duration::from_millis(20)).await;
    };
    let names: Vec<String> = (0..WRITES).map(|number| format!("{{{key}}}:late:{number}")).collect();
    let exist = format!("EXISTS {}", names.join(" "));
    let found: usize = ask(&addresses[elected], &exist).await.expect("EXISTS");
    End { has_lagging_master: elected == lagging, lost: WRITES - found }
}

/// Until the one that lags behind was elected.
fn assert_is_lost(kind: &str, mut run: impl FnMut(u64) -> End) {
    let mut ends = Vec::new();
    for number in 0..RUNS_MAX {
        let end = run(number);
        ends.push(end);
        // Whoever follows again has what the master had on disk: all of it.
        let lost = if end.has_lagging_master { WRITES } else { 0 };
        assert_eq!(end.lost, lost, "{kind}: {ends:?}");
        if end.has_lagging_master {
            eprintln!("{kind}: {ends:?}");
            return;
        }
    }
    panic!("{kind}: the one that lags behind was never elected: {ends:?}");
}

#[test]
fn a_replica_that_follows_its_returned_master_is_outranked_by_one_that_lags_behind() {
    assert_is_lost("ours", |seed| {
        let outcome = sim::run(sim::Config::new(seed), || async {
            let config = redis_middleware::Config {
                cluster_node_timeout: NODE_TIMEOUT,
                appendonly: true,
                appendfsync: FsyncPolicy::Always,
                ..config()
            };
            come_back(&Stage::new(config).await).await
        });
        outcome.result.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", outcome.panics))
    });
    if !common::has_real_redis() {
        return;
    }
    assert_is_lost("real", |_| {
        on_real_servers(|| async {
            let more = &["--appendonly", "yes", "--appendfsync", "always"];
            come_back(&RealCluster::start(NODE_TIMEOUT, more).await).await
        })
    });
}
