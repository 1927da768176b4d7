//! Messages, waiting and pauses in a cluster, in a simulation: six nodes, the last three of them replicas.

use std::time::Duration;

use redis_middleware::Config;
use wire::redis::cluster;
use world::time;

use crate::line::{A_MOMENT, Line, boot, quick, simulate};

const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// `a` has slot 15495: it is the third master's, whose replica is the sixth node.
const OWNER: usize = 3;
const REPLICA: usize = 6;

async fn form() {
    time::sleep(Duration::from_millis(100)).await;
    let addresses: Vec<String> = (1..=6).map(|number| format!("redis-{number}:6379")).collect();
    cluster::form(&addresses, 1).await.expect("the nodes come together");
}

fn config() -> Config {
    Config { cluster_enabled: true, cluster_node_timeout: NODE_TIMEOUT, ..quick() }
}

async fn until(number: usize, command: &str, has: &str) {
    let mut line = Line::to(number).await;
    for _ in 0..600 {
        if line.ask(command).await.contains(has) {
            return;
        }
        time::sleep(Duration::from_millis(50)).await;
    }
    panic!("redis-{number}: {command} never has {has}");
}

#[test]
fn a_message_is_heard_at_every_node_and_one_of_a_slot_in_its_shard() {
    simulate(1, || async {
        let _servers = boot(6, &config());
        form().await;
        let mut everywhere = Vec::new();
        for number in 1..=6 {
            let mut line = Line::to(number).await;
            line.ask("SUBSCRIBE news").await;
            everywhere.push(line);
        }
        let mut shard = Line::to(OWNER).await;
        assert!(shard.ask("SSUBSCRIBE a").await.contains("$10 ssubscribe $1 a :1"));
        assert!(Line::to(1).await.ask("SSUBSCRIBE a").await.starts_with("-MOVED 15495"));
        let mut at_replica = Line::to(REPLICA).await;
        assert!(at_replica.ask("SSUBSCRIBE a").await.contains("ssubscribe"));
        assert_eq!(Line::to(2).await.ask("PUBLISH news flash").await, ":1", "those at this node are counted");
        assert!(Line::to(2).await.ask("SPUBLISH a x").await.starts_with("-MOVED 15495"));
        assert_eq!(Line::to(OWNER).await.ask("SPUBLISH a one").await, ":1");
        time::sleep(Duration::from_millis(100)).await;
        for line in &mut everywhere {
            assert_eq!(line.hear(A_MOMENT).await, "*3 $7 message $4 news $5 flash");
        }
        assert_eq!(shard.hear(A_MOMENT).await, "*3 $8 smessage $1 a $3 one");
        assert_eq!(at_replica.hear(A_MOMENT).await, "*3 $8 smessage $1 a $3 one");
    });
}

#[test]
fn whoever_waits_or_listens_is_told_when_the_slot_goes_elsewhere() {
    simulate(2, || async {
        let _servers = boot(6, &config());
        form().await;
        let (mut waits, mut listens) = (Line::to(OWNER).await, Line::to(OWNER).await);
        waits.say("BLPOP a 0").await;
        listens.ask("SSUBSCRIBE a").await;
        let new_owner = Line::to(1).await.ask("CLUSTER MYID").await.replace("$40 ", "");
        for number in [1, 2, OWNER] {
            let moved = Line::to(number).await.ask(&format!("CLUSTER SETSLOT 15495 NODE {new_owner}")).await;
            assert_eq!(moved, "+OK");
        }
        let heard = listens.hear(A_MOMENT).await;
        assert!(heard.contains("$12 sunsubscribe $1 a :0"), "{heard}");
        let heard = waits.hear(Duration::from_secs(3)).await;
        assert!(heard.starts_with("-MOVED 15495"), "{heard}");
        // The connection lives on.
        assert_eq!(waits.ask("PING").await, "+PONG");
    });
}

#[test]
fn a_manual_failover_holds_writes_back_and_loses_none() {
    for seed in 0..5 {
        simulate(seed, || async {
            let _servers = boot(6, &config());
            form().await;
            until(REPLICA, "INFO replication", "master_link_status:up").await;
            let mut hello = Line::to(REPLICA).await;
            let hello = hello.ask("HELLO").await;
            assert!(hello.contains("$4 mode $7 cluster") && hello.contains("$4 role $7 replica"), "{hello}");
            let (mut writer, mut waiting) = (Line::to(OWNER).await, Line::to(OWNER).await);
            waiting.say("BLPOP {a}list 0").await;
            time::sleep(A_MOMENT).await;
            assert_eq!(Line::to(REPLICA).await.ask("CLUSTER FAILOVER").await, "+OK");
            let mut accepted = 0;
            let refused = loop {
                writer.say("INCR a").await;
                let heard = loop {
                    let heard = writer.hear(Duration::from_millis(1)).await;
                    if !heard.is_empty() {
                        break heard;
                    }
                };
                match heard.strip_prefix(':') {
                    Some(count) => accepted = count.parse().expect("a count"),
                    None => break heard,
                }
            };
            assert!(refused.starts_with("-MOVED 15495"), "{refused}");
            until(REPLICA, "INFO replication", "role:master").await;
            let value: i64 = Line::to(REPLICA)
                .await
                .ask("GET a")
                .await
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse().ok())
                .unwrap_or(0);
            assert_eq!(value, accepted, "every acknowledged write is there");
            let heard = waiting.hear(Duration::from_secs(3)).await;
            assert!(heard.starts_with("-UNBLOCKED") || heard.starts_with("-MOVED"), "{heard}");
        });
    }
}
