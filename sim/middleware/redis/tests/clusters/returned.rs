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

/// Who is who.
struct Cast {
    /// The id of the master that will die.
    id: String,
    victim: usize,
    /// Another master.
    witness: usize,
    /// The replica that keeps up.
    close: usize,
    lagging: usize,
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

/// Gives the first master the replica of the second one as well, and waits until both follow it.
async fn cast(nodes: &impl Nodes) -> Cast {
    let addresses = nodes.addresses();
    let mut roles = Vec::new();
    for address in &addresses {
        // The one that loses its replica would be given another one.
        ask::<()>(address, "CONFIG SET cluster-migration-barrier 9").await.expect("CONFIG SET");
        let known = lines(address).await;
        roles.push(known.into_iter().find(|line| line.is("myself")).expect("every node knows itself"));
    }
    let masters: Vec<usize> = (0..roles.len()).filter(|node| roles[*node].is("master")).collect();
    let [victim, witness, ..] = masters[..] else { panic!("masters: {masters:?}") };
    let id = roles[victim].id.clone();
    let replica_of = |master: usize| {
        let found = (0..roles.len()).find(|node| roles[*node].master == roles[master].id);
        found.unwrap_or_else(|| panic!("no replica of {master}: {roles:?}"))
    };
    let (close, lagging) = (replica_of(victim), replica_of(witness));
    ask::<()>(&addresses[lagging], &format!("CLUSTER REPLICATE {id}")).await.expect("CLUSTER REPLICATE");
    let [master, follower, straggler] = [victim, close, lagging].map(|node| &addresses[node]);
    until("both follow", || async move {
        role(master).await.contains("connected_slaves:2")
            && role(follower).await.contains("link_status:up")
            && role(straggler).await.contains("link_status:up")
    })
    .await;
    Cast { id, victim, witness, close, lagging }
}

/// How many acknowledged writes are lost if the replica is elected that lags behind; `None` if it is not.
async fn come_back(nodes: &impl Nodes) -> Option<usize> {
    let Cast { id, victim, witness, close, lagging } = cast(nodes).await;
    let addresses = nodes.addresses();
    let master = &addresses[victim];
    let key = key_at(master).await;
    write(master, &key, "early", 2).await;
    nodes.part(victim, lagging).await;
    write(master, &key, "late", 1).await;

    nodes.kill(victim);
    let (witness, id) = (&addresses[witness], &id);
    until("it is held for failed", || async move {
        lines(witness).await.iter().any(|line| line.id == *id && line.is("fail"))
    })
    .await;
    nodes.boot(victim);
    let booted = Instant::now();
    while !role(&addresses[lagging]).await.contains("role:master") {
        if role(&addresses[close]).await.contains("role:master") || booted.elapsed() > NODE_TIMEOUT * 3 {
            return None;
        }
        time::sleep(Duration::from_millis(20)).await;
    }
    let names: Vec<String> = (0..WRITES).map(|number| format!("{{{key}}}:late:{number}")).collect();
    let exist = format!("EXISTS {}", names.join(" "));
    let found: usize = ask(&addresses[lagging], &exist).await.expect("EXISTS");
    Some(WRITES - found)
}

/// Tries until the one that lags behind was elected.
fn assert_is_lost(kind: &str, run: impl FnMut(u64) -> Option<usize>) {
    let lost = (0..RUNS_MAX).find_map(run);
    assert_eq!(lost, Some(WRITES), "{kind}: writes that are lost when the one that lags behind is elected");
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
