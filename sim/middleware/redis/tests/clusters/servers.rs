//! A cluster of simulated servers, through redirections, crashes and partitions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::RedisResult;
use redis_middleware::{Config, Observer, Options, Server, persistence::FsyncPolicy};
use wire::redis::{Client, Options as ClientOptions, cluster};
use world::{
    host::{self, Host},
    net::{self, Impairment},
    time,
};

use crate::stage::{NODE_TIMEOUT, Stage, config, simulate};

/// `a` has slot 15495: it is the third master's.
const OWNER: usize = 3;
const REPLICA: usize = 6;

#[test]
fn a_request_goes_where_its_slot_is() {
    simulate(1, || async {
        let stage = Stage::new(config()).await;
        let () = stage.ask(OWNER, "SET a 1").await.expect("its own slot");
        let moved: RedisResult<()> = stage.ask(1, "SET a 1").await;
        let moved = moved.expect_err("another node's slot");
        assert_eq!(moved.redirect_node().map(|(_, slot)| slot), Some(15495));
        let crossing: RedisResult<()> = stage.ask(OWNER, "MSET a 1 b 2").await;
        assert_eq!(crossing.expect_err("two slots").code(), Some("CROSSSLOT"));
        let script: RedisResult<()> = stage.ask(OWNER, "EVAL return(redis.call('GET','b')) 1 a").await;
        assert!(script.expect_err("an undeclared key").to_string().contains("non local key"));
        let moved: RedisResult<()> = stage.ask(REPLICA, "GET a").await;
        assert_eq!(moved.expect_err("a replica without READONLY").code(), Some("MOVED"));
        let mut pipeline = redis::pipe();
        pipeline.cmd("READONLY").ignore().cmd("GET").arg("a");
        let one = ClientOptions { connections: 1, ..ClientOptions::default() };
        let client = Client::new(format!("redis-{REPLICA}:6379"), one);
        let (value,): (i64,) = pipeline.query_async(&mut client.connection()).await.expect("READONLY");
        assert_eq!(value, 1);
    });
}

#[test]
fn a_replica_takes_over_from_a_crashed_master() {
    for seed in 0..10 {
        simulate(seed, move || async move {
            let stage = Stage::new(config()).await;
            let () = stage.ask(OWNER, "SET a before").await.expect("SET");
            time::sleep(Duration::from_secs(1)).await;
            let crash = time::Instant::now();
            stage.hosts[OWNER - 1].crash();
            stage.until(REPLICA, "INFO replication", "role:master").await;
            let failed_over = crash.elapsed();
            // The timeout, the half of it between pings, gossip, and 0.5 to 1 s until the election.
            assert!(failed_over > NODE_TIMEOUT && failed_over < NODE_TIMEOUT * 3, "{failed_over:?}");
            stage.until(REPLICA, "CLUSTER INFO", "cluster_state:ok").await;
            let value: String = stage.ask(REPLICA, "GET a").await.expect("GET");
            assert_eq!(value, "before");
            let () = stage.ask(REPLICA, "SET a after").await.expect("SET");
            stage.hosts[OWNER - 1].boot();
            stage.until(OWNER, "INFO replication", "master_link_status:up").await;
            let mut pipeline = redis::pipe();
            pipeline.cmd("READONLY").ignore().cmd("GET").arg("a");
            let one = ClientOptions { connections: 1, ..ClientOptions::default() };
            let client = Client::new(format!("redis-{OWNER}:6379"), one);
            let (value,): (String,) = pipeline.query_async(&mut client.connection()).await.expect("READONLY");
            assert_eq!(value, "after", "seed {seed}");
        });
    }
}

#[test]
fn a_minority_master_accepts_writes_until_the_node_timeout_and_loses_them() {
    simulate(3, || async {
        let stage = Stage::new(config()).await;
        let others: Vec<Host> =
            stage.hosts.iter().copied().filter(|host| *host != stage.hosts[OWNER - 1]).collect();
        let () = stage.ask(OWNER, "SET a before").await.expect("SET");
        time::sleep(Duration::from_millis(100)).await;
        let cut = net::impair_both(&[stage.hosts[OWNER - 1]], &others, Impairment::Partition);
        let cut_at = time::Instant::now();
        let mut last_accepted = Duration::ZERO;
        while cut_at.elapsed() < NODE_TIMEOUT * 4 {
            let set: RedisResult<()> = stage.ask(OWNER, "SET a lost").await;
            match set {
                Ok(()) => last_accepted = cut_at.elapsed(),
                Err(error) => assert_eq!(error.code(), Some("CLUSTERDOWN")),
            }
            time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            last_accepted > NODE_TIMEOUT / 2 && last_accepted < NODE_TIMEOUT * 2,
            "accepted until {last_accepted:?}"
        );
        let value: String = stage.ask(REPLICA, "GET a").await.expect("the new master");
        assert_eq!(value, "before");
        cut.heal();
        stage.until(OWNER, "INFO replication", "master_link_status:up").await;
        stage.until(OWNER, "CLUSTER INFO", "cluster_state:ok").await;
        let role: String = stage.ask(OWNER, "INFO replication").await.expect("INFO");
        assert!(role.contains("role:slave"), "{role}");
    });
}

#[test]
fn with_a_sync_before_each_reply_nothing_is_lost_when_the_power_fails_everywhere() {
    for seed in 0..5 {
        simulate(seed, || async {
            let config = Config { appendonly: true, appendfsync: FsyncPolicy::Always, ..config() };
            let stage = Stage::new(config).await;
            let seeds = ["redis-1:6379", "redis-2:6379"];
            let client = cluster::ClusterClient::new(seeds, cluster::Options::default());
            let writer = client;
            let acknowledged = Arc::new(Mutex::new(Vec::new()));
            let written = acknowledged.clone();
            world::task::spawn(async move {
                for number in 0.. {
                    let set: RedisResult<()> =
                        redis::cmd("SET").arg(number).arg(number).query_async(&mut writer.clone()).await;
                    if set.is_ok() {
                        written.lock().expect("no panic").push(number);
                    }
                }
            });
            time::sleep(Duration::from_millis(2_345)).await;
            let before: Vec<i32> = acknowledged.lock().expect("no panic").clone();
            for host in &stage.hosts {
                host.crash();
            }
            time::sleep(Duration::from_secs(1)).await;
            for host in &stage.hosts {
                host.boot();
            }
            for number in 1..=6 {
                stage.until(number, "CLUSTER INFO", "cluster_state:ok").await;
            }
            assert!(before.len() > 100, "{}", before.len());
            // The old connections lead to machines that know nothing of them.
            let reader = cluster::ClusterClient::new(seeds, cluster::Options::default());
            for number in before {
                let value: Option<i32> =
                    redis::cmd("GET").arg(number).query_async(&mut reader.clone()).await.expect("GET");
                assert_eq!(value, Some(number));
            }
        });
    }
}

/// Clients knock while a server reads what the disk has: who watches the data must not see a part of it.
#[test]
fn what_is_being_loaded_is_seen_by_nobody() {
    const KEYS: usize = 2_000;
    simulate(1, || async {
        let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
        let server = host::add("redis", {
            let seen = Arc::clone(&seen);
            move || {
                let seen = Arc::clone(&seen);
                seen.lock().expect("no panic").clear();
                let observer: Observer = Arc::new(move |changes| {
                    seen.lock().expect("no panic").push(changes.keyspace().iter().count());
                });
                let config =
                    Config { appendonly: true, appendfsync: FsyncPolicy::Always, ..Config::default() };
                let server = Server::new(Options { observer: Some(observer), config, ..Options::default() });
                async move {
                    server.listen("0.0.0.0:6379").await.expect("the port and the disk are there");
                }
            }
        });
        time::sleep(Duration::from_millis(100)).await;
        let mut redis = Client::new("redis:6379", ClientOptions::default()).connection();
        let mut write = redis::pipe();
        for number in 0..KEYS {
            write.cmd("SET").arg(number).arg("x".repeat(1_000)).ignore();
        }
        let () = write.query_async(&mut redis).await.expect("written");
        server.crash();
        time::sleep(Duration::from_secs(1)).await;
        server.boot();
        let mut redis = Client::new("redis:6379", ClientOptions::default()).connection();
        let mut refused = 0;
        while redis::cmd("SET").arg(1).arg("y").query_async::<()>(&mut redis).await.is_err() {
            refused += 1;
            time::sleep(Duration::from_micros(100)).await;
        }
        assert!(refused > 3, "it was loaded before anybody could knock");
        assert_eq!(seen.lock().expect("no panic").first(), Some(&KEYS));
    });
}
