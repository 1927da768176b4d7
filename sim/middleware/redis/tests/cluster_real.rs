//! Our nodes in one cluster with real ones: the same bus, the same votes, the same replies.

mod common;
#[path = "cluster_real/node.rs"]
mod node;

use std::time::Duration;

use common::{Raw, RealRedis, Reply, block_on, free_port, pause};
use node::OurNode;
use redis_middleware::cluster::{Action, Cluster, Facts, NodeId};
use tempfile::TempDir;
use wire::redis::reply::Protocol;

const TIMEOUT_MS: i64 = 2000;

/// A real node, its directory, and a connection to it.
struct RealNode {
    server: RealRedis,
    bus_port: u16,
    client: Raw,
    _directory: TempDir,
}

impl RealNode {
    /// `None`, with a clear word, where there is no redis-server.
    async fn start() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let bus_port = free_port().await;
        let server = RealRedis::start_with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus_port.to_string(),
            "--cluster-node-timeout",
            &TIMEOUT_MS.to_string(),
            "--dir",
            directory.path().to_str().expect("a path"),
        ])
        .await?;
        let client = Raw::connect(server.port).await;
        Some(Self { server, bus_port, client, _directory: directory })
    }

    async fn cluster(&mut self, words: &str) -> Reply {
        self.client.words(&format!("CLUSTER {words}")).await
    }

    async fn id(&mut self) -> NodeId {
        NodeId::parse(self.cluster("MYID").await.text().as_bytes()).expect("a name")
    }

    /// The line of `CLUSTER NODES` about a node.
    async fn line(&mut self, id: NodeId) -> String {
        let nodes = self.cluster("NODES").await.text();
        nodes.lines().find(|line| line.starts_with(id.as_str())).unwrap_or_default().to_owned()
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        pause(Duration::from_millis(50)).await;
    }
    panic!("not within 30 s: {what}");
}

fn ok(reply: &Reply) {
    assert_eq!(*reply, Reply::Line(b'+', "OK".into()));
}

/// Real masters and one of ours, which know each other; the slots are shared out, ours come last. With `epochs`, each
/// has an epoch of its own from the start.
async fn mixed(real: usize, epochs: bool) -> Option<(Vec<RealNode>, OurNode)> {
    let ours = OurNode::start(TIMEOUT_MS, 7).await;
    let mut nodes = Vec::new();
    let share = 16_384 / (real + 1);
    for place in 0..real {
        let mut node = RealNode::start().await?;
        ok(&node.cluster(&format!("ADDSLOTSRANGE {} {}", place * share, (place + 1) * share - 1)).await);
        if epochs {
            ok(&node.cluster(&format!("SET-CONFIG-EPOCH {}", place + 1)).await);
        }
        nodes.push(node);
    }
    ok(&ours.command(&format!("ADDSLOTSRANGE {} 16383", real * share)));
    if epochs {
        ok(&ours.command(&format!("SET-CONFIG-EPOCH {}", real + 1)));
    }
    for node in &nodes {
        ok(&ours.command(&format!("MEET 127.0.0.1 {} {}", node.server.port, node.bus_port)));
    }
    for node in &mut nodes {
        until("the real node is up", async || node.cluster("INFO").await.text().contains("cluster_state:ok"))
            .await;
    }
    until("our node is up", async || ours.look(|cluster| cluster.is_up())).await;
    Some((nodes, ours))
}

#[test]
fn our_node_meets_a_real_one_and_is_one_of_its_own() {
    block_on(async {
        let Some((mut nodes, ours)) = mixed(1, false).await else { return };
        let real = &mut nodes[0];
        let (real_id, our_id) = (real.id().await, ours.id());
        let our_port = ours.look(|cluster| cluster.me().port());
        // They see each other, connected both ways, with slots and epochs that do not collide.
        let line = real.line(our_id).await;
        assert!(line.contains(&format!(" 127.0.0.1:{our_port}@")), "{line}");
        assert!(line.contains(" master - ") && line.ends_with(" connected 8192-16383"), "{line}");
        let line = ours.command("NODES").text();
        let line = line.lines().find(|line| line.starts_with(real_id.as_str())).expect("a line").to_owned();
        assert!(line.contains(" master - ") && line.ends_with(" connected 0-8191"), "{line}");
        until("different epochs that both know", async || {
            let about = |cluster: &Cluster| {
                let real = cluster.node(&real_id).expect("known").config_epoch();
                (real, cluster.me().config_epoch())
            };
            let (theirs, mine) = ours.look(about);
            let line = real.line(our_id).await;
            theirs != mine && line.contains(&format!(" {mine} connected"))
        })
        .await;
        assert_eq!(
            real.client.words("SET foo bar").await.text(),
            format!("MOVED 12182 127.0.0.1:{our_port}")
        );
        let links = real.cluster("LINKS").await;
        assert!(matches!(&links, Reply::Many(b'*', Some(links)) if links.len() == 2), "{links:?}");
        // They keep each other's pings answered for longer than the timeout.
        pause(Duration::from_millis(2 * TIMEOUT_MS as u64)).await;
        assert!(real.line(our_id).await.contains(" connected 8192"));
        assert!(ours.look(|cluster| cluster.is_up()));
        // What is published on either side is known to the other.
        ok(&real.client.words("CONFIG SET cluster-announce-hostname real.example").await);
        real.client.words("PUBLISH news hello").await;
        until("the publication", async || {
            let publication =
                Action::Publish { shard: false, channel: "news".into(), message: "hello".into() };
            ours.done().contains(&publication)
        })
        .await;
        let mut subscriber = Raw::connect(real.server.port).await;
        subscriber.words("SUBSCRIBE news").await;
        ours.input(|cluster| cluster.publish(0, &Facts::default(), false, b"news", b"back"));
        let Reply::Many(_, Some(message)) = subscriber.read().await else { panic!("no message") };
        assert_eq!(message[2].text(), "back");
        until("the host name", async || ours.command("NODES").text().contains(",real.example ")).await;
    });
}

#[test]
fn real_masters_vote_for_our_replica() {
    block_on(async {
        let Some((mut nodes, voter)) = mixed(2, true).await else { return };
        let ours = OurNode::start(TIMEOUT_MS, 8).await;
        let failing = nodes[0].id().await;
        let (port, bus_port) = (nodes[1].server.port, nodes[1].bus_port);
        ok(&ours.command(&format!("MEET 127.0.0.1 {port} {bus_port}")));
        until("our replica knows its master", async || {
            ours.look(|cluster| cluster.node(&failing).is_some_and(|node| !node.slots().is_empty()))
        })
        .await;
        ok(&ours.command(&format!("REPLICATE {failing}")));
        let follows = format!(" slave {failing} ");
        for real in &mut nodes {
            until("it is known as one", async || real.line(ours.id()).await.contains(&follows)).await;
        }
        // By hand, there and back: each side pauses, waits for the offset, and votes although the master works.
        ok(&ours.command("FAILOVER"));
        until("ours took over by hand", async || ours.look(|cluster| cluster.me().is_master())).await;
        let follows = format!(" myself,slave {} ", ours.id());
        until("the real one follows ours", async || nodes[0].line(failing).await.contains(&follows)).await;
        // The voters must know whose replica it is.
        let follows = format!(" slave {} ", ours.id());
        until("the other one knows", async || nodes[1].line(failing).await.contains(&follows)).await;
        for node in [&ours, &voter] {
            until("ours know", async || {
                node.look(|cluster| cluster.node(&failing).is_some_and(|node| node.is_replica()))
            })
            .await;
        }
        ok(&nodes[0].cluster("FAILOVER").await);
        until("the real one took over by hand", async || ours.look(|cluster| cluster.me().is_replica()))
            .await;
        let done = ours.done();
        assert!(done.iter().any(|action| matches!(action, Action::PauseWrites { .. })), "{done:?}");
        assert!(done.contains(&Action::ResumeWrites), "{done:?}");
        // And without being asked; but not at once: for two timeouts Redis would take the votes of the election by hand
        // for those of the next one.
        pause(Duration::from_millis(2 * TIMEOUT_MS as u64)).await;
        drop(nodes.remove(0));
        until("it was elected", async || ours.look(|cluster| cluster.me().is_master())).await;
        assert!(ours.done().contains(&Action::BecomeMaster));
        let real = &mut nodes[0];
        until("the real master follows", async || {
            let line = real.line(ours.id()).await;
            line.contains(" master - ") && line.ends_with(" connected 0-5460")
        })
        .await;
        until("all is well", async || real.cluster("INFO").await.text().contains("cluster_state:ok")).await;
        assert!(real.line(failing).await.contains(" master,fail - "));
    });
}

#[test]
fn our_master_votes_for_a_real_replica_and_one_of_ours_yields_to_a_real_one() {
    block_on(async {
        let Some((mut nodes, ours)) = mixed(2, true).await else { return };
        let Some(mut replica) = RealNode::start().await else { return };
        let master = nodes[0].id().await;
        let (port, bus_port) = (nodes[1].server.port, nodes[1].bus_port);
        ok(&replica.cluster(&format!("MEET 127.0.0.1 {port} {bus_port}")).await);
        until("the replica knows all", async || {
            replica.cluster("NODES").await.text().matches(" master ").count() >= 3
        })
        .await;
        ok(&replica.cluster(&format!("REPLICATE {master}")).await);
        let id = replica.id().await;
        until("it is known as one", async || {
            ours.look(|cluster| cluster.node(&id).is_some_and(|node| node.is_replica() && node.offset() > 0))
        })
        .await;
        until("the same slots on both sides", async || {
            ours.command("SLOTS") == nodes[1].cluster("SLOTS").await
        })
        .await;
        drop(nodes.remove(0));
        until("it was elected", async || replica.line(id).await.contains("myself,master")).await;
        assert!(ours.look(|cluster| cluster.last_vote_epoch() > 0), "with our vote: there are but two");
        until("our node follows", async || {
            ours.look(|cluster| cluster.owner(0).map(|owner| owner.id()) == Some(id) && cluster.is_up())
        })
        .await;
        // A real replica takes our node's slots without asking: ours becomes its replica.
        ok(&replica.cluster(&format!("FORGET {master}")).await);
        let Some(mut heir) = RealNode::start().await else { return };
        ok(&heir.cluster(&format!("MEET 127.0.0.1 {port} {bus_port}")).await);
        until("the heir knows all", async || heir.cluster("NODES").await.text().contains(ours.id().as_str()))
            .await;
        until("with its slots", async || heir.line(ours.id()).await.ends_with(" 10922-16383")).await;
        ok(&heir.cluster(&format!("REPLICATE {}", ours.id())).await);
        ok(&heir.cluster("FAILOVER TAKEOVER").await);
        until("our node gives in", async || ours.look(|cluster| cluster.me().is_replica())).await;
        let heir_id = heir.id().await;
        let done = ours.done();
        assert!(done.contains(&Action::Demoted { by: heir_id, offset: 0 }), "{done:?}");
        assert!(matches!(done.iter().rev().find(|action| matches!(action, Action::ReplicateFrom { .. })),
            Some(Action::ReplicateFrom { master, .. }) if *master == heir_id));
        until("and is known to", async || heir.line(ours.id()).await.contains(&format!(" slave {heir_id} ")))
            .await;
    });
}

/// Commands whose replies are the same everywhere, but for the node's name and address.
/// Unknown subcommands and wrong numbers of arguments are refused before, by the table of commands.
const SAME: &[&str] = &[
    "HELP",
    "KEYSLOT foo{bar}",
    "KEYSLOT {}x",
    "COUNTKEYSINSLOT 5",
    "COUNTKEYSINSLOT 16384",
    "COUNTKEYSINSLOT x",
    "GETKEYSINSLOT 5 10",
    "GETKEYSINSLOT 5 -1",
    "GETKEYSINSLOT 99999 1",
    "SLOTS",
    "LINKS",
    "INFO",
    "COUNT-FAILURE-REPORTS {me}",
    "COUNT-FAILURE-REPORTS nobody",
    "ADDSLOTS 1 2 x",
    "ADDSLOTS 1 2 2",
    "ADDSLOTS 16384",
    "DELSLOTS 1",
    "ADDSLOTSRANGE 1 2 3",
    "ADDSLOTSRANGE 5 1",
    "ADDSLOTSRANGE 1 5 3 4",
    "ADDSLOTSRANGE 1 5 7 7",
    "ADDSLOTS 3",
    "DELSLOTSRANGE 5 6",
    "DELSLOTSRANGE 2 3 3 4",
    "DELSLOTS 3 3",
    "DELSLOTS 3",
    "SLOTS",
    "SHARDS",
    "SETSLOT 9 MIGRATING {me}",
    "SETSLOT 1 MIGRATING nobody",
    "SETSLOT 1 IMPORTING {me}",
    "SETSLOT 9 IMPORTING nobody",
    "SETSLOT 9 IMPORTING {me}",
    "SETSLOT 1 MIGRATING {me}",
    "SETSLOT 1 STABLE",
    "SETSLOT 1 STABLE x",
    "SETSLOT 1 NODE nobody",
    "SETSLOT x STABLE",
    "SETSLOT 9 NODE {me}",
    "SETSLOT 1 NOPE {me}",
    "NODES",
    "REPLICAS {me}",
    "SLAVES nobody",
    "REPLICATE nobody",
    "REPLICATE {me}",
    "FORGET {me}",
    "FORGET nobody",
    "FAILOVER",
    "FAILOVER FORCE",
    "FAILOVER SOON",
    "FAILOVER FORCE NOW",
    "MEET 127.0.0.1 x",
    "MEET 127.0.0.1 0",
    "MEET 127.0.0.1 60000",
    "MEET 127.0.0.1 1 x",
    "MEET localhost 6379",
    "MEET 127.0.0.1 6379 1 2",
    "MEET 1.2.3 6379",
    "BUMPEPOCH",
    "BUMPEPOCH",
    "SET-CONFIG-EPOCH 7",
    "SET-CONFIG-EPOCH -1",
    "SET-CONFIG-EPOCH x",
    "SAVECONFIG",
    "INFO",
    "RESET NOW",
    "RESET SOFT",
    "NODES",
    "SET-CONFIG-EPOCH 7",
    "RESET HARD",
    "SET-CONFIG-EPOCH 7",
    "SET-CONFIG-EPOCH 8",
    "BUMPEPOCH",
    "INFO",
    "FLUSHSLOTS",
    "NODES",
];

#[test]
fn commands_get_the_replies_of_a_real_node() {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        block_on(async {
            let Some(mut real) = RealNode::start().await else { return };
            if protocol == Protocol::Resp3 {
                real.client.words("HELLO 3").await;
            }
            let ours = OurNode::start(TIMEOUT_MS, 9).await;
            for command in SAME {
                let id = real.id().await;
                let reply = real.cluster(&command.replace("{me}", id.as_str())).await;
                let expected = anonymous(reply, id, real.server.port, real.bus_port);
                let id = ours.id();
                let reply = ours.command_in(protocol, &command.replace("{me}", id.as_str()));
                let (port, bus_port) = ours.look(|cluster| (cluster.me().port(), cluster.me().bus_port()));
                assert_eq!(anonymous(reply, id, port, bus_port), expected, "{command}");
            }
        });
    }
}

/// A reply as text, without a node's name and ports.
fn anonymous(reply: Reply, id: NodeId, port: u16, bus_port: u16) -> String {
    let text = format!("{:?}", legible(reply)).replace(id.as_str(), "{me}");
    text.replace(&format!(":{port}@{bus_port}"), ":{port}@{bus}").replace(&format!("\"{port}\""), "{port}")
}

/// Bulk strings as text, in whatever depth.
fn legible(reply: Reply) -> Reply {
    match reply {
        Reply::Bulk(kind, Some(bytes)) => Reply::Line(kind, String::from_utf8_lossy(&bytes).into_owned()),
        Reply::Many(kind, Some(items)) => Reply::Many(kind, Some(items.into_iter().map(legible).collect())),
        other => other,
    }
}
