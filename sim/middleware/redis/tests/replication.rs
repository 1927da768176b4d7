//! Replication between simulated servers, in a simulation: what a replica has, and when, through faults.

use std::{collections::BTreeMap, time::Duration};

use redis::{FromRedisValue, RedisResult};
use redis_middleware::{Config, Keyspace, Options, Server};
use wire::redis::{Client, Options as ClientOptions};
use world::{
    disk,
    host::{self, Host},
    net::{self, Impairment},
    sim, time,
};

/// A few servers on hosts of their own.
#[derive(Clone)]
struct Stage {
    servers: Vec<Server>,
    hosts: Vec<Host>,
}

impl Stage {
    fn new(count: usize, config: &Config) -> Self {
        let mut stage = Self { servers: Vec::new(), hosts: Vec::new() };
        for number in 1..=count {
            let options = Options { seed: number as u64, config: config.clone(), ..Options::default() };
            let server = Server::new(options);
            stage.servers.push(server.clone());
            stage.hosts.push(host::add(&format!("redis-{number}"), move || {
                let server = server.clone();
                async move { server.listen("0.0.0.0:6379").await.expect("the port is free") }
            }));
        }
        stage
    }

    /// Says something to a server, by its number from 1.
    async fn ask<T: FromRedisValue>(&self, number: usize, words: &str) -> RedisResult<T> {
        let client = Client::new(format!("redis-{number}:6379"), ClientOptions::default());
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut client.connection()).await
    }

    async fn tell(&self, number: usize, words: &str) {
        let _: redis::Value =
            self.ask(number, words).await.unwrap_or_else(|error| panic!("{words}: {error}"));
    }

    /// A field of `INFO replication`.
    async fn info(&self, number: usize, field: &str) -> String {
        let info: String = self.ask(number, "INFO replication").await.expect("INFO");
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{field} is in {info}")).to_owned()
    }

    async fn follow(&self, replica: usize, master: usize) {
        self.tell(replica, &format!("REPLICAOF redis-{master} 6379")).await;
    }

    /// Waits until a replica's link is up.
    async fn until_linked(&self, replica: usize) {
        for _ in 0..300 {
            if self.info(replica, "master_link_status").await == "up" {
                return;
            }
            time::sleep(Duration::from_millis(100)).await;
        }
        panic!("redis-{replica} does not come into step");
    }

    fn content(&self, number: usize) -> BTreeMap<String, String> {
        self.servers[number - 1].inspect(describe)
    }

    fn cut(&self, a: usize, b: usize) -> net::Impaired {
        net::impair_both(&[self.hosts[a - 1]], &[self.hosts[b - 1]], Impairment::Partition)
    }
}

/// Every key with its value and expiry, as text. When a consumer was seen last is each server's own affair.
fn describe(keyspace: &Keyspace) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let describe = |key: &[u8], value| {
        let value = format!("{value:?}");
        let mut parts = value.split("seen_ms: ");
        let mut described = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            described.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        format!("{described} until {:?}", keyspace.expires_ms(key))
    };
    keyspace.iter().map(|(key, value)| (text(key), describe(key, value))).collect()
}

fn simulate<F>(seed: u64, test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let outcome = sim::run(sim::Config::new(seed), test);
    if let Err(error) = outcome.result {
        panic!("seed {seed}: {error}: {:?}", outcome.panics);
    }
}

fn quick() -> Config {
    Config { repl_diskless_sync_delay: Duration::ZERO, ..Config::default() }
}

/// Commands whose effect depends on the clock, on chance, or is of several keys.
const WRITES: &[&str] = &[
    "SET a 1 EX 100",
    "INCRBYFLOAT f 0.1",
    "HINCRBYFLOAT h f 1.5",
    "SADD s a b c d e f g",
    "SPOP s 3",
    "EXPIRE s 50",
    "GETEX a PX 70000",
    "RPUSH l 1 2 3",
    "LMPOP 1 l RIGHT COUNT 2",
    "ZADD z 1 a 2 b 3 c",
    "ZPOPMIN z",
    "XADD x * f v",
    "XADD x * f w",
    "XGROUP CREATE x g 0",
    "XREADGROUP GROUP g me COUNT 1 STREAMS x >",
    "XAUTOCLAIM x g you 0 0",
    "SET gone 1 PX 10",
    "SETEX later 20 v",
    "MSET m 1 n 2",
    "COPY m o",
    "GETDEL n",
];

#[test]
fn a_replica_gets_the_snapshot_and_then_every_change() {
    simulate(1, || async {
        let stage = Stage::new(3, &quick());
        for write in WRITES {
            stage.tell(1, write).await;
        }
        stage.follow(2, 1).await;
        stage.follow(3, 2).await;
        stage.until_linked(2).await;
        stage.until_linked(3).await;
        assert_eq!(stage.content(2), stage.content(1));
        for round in 0..20 {
            for write in WRITES.iter().filter(|write| !write.starts_with("XGROUP")) {
                stage.tell(1, write).await;
            }
            stage.tell(1, "EVAL return{redis.call('INCR',KEYS[1]),redis.call('SPOP',KEYS[2])} 2 i s").await;
            time::sleep(Duration::from_millis(20 * round)).await;
        }
        time::sleep(Duration::from_millis(50)).await;
        assert_eq!(stage.content(1).len(), stage.servers[0].inspect(Keyspace::len));
        assert_eq!(stage.content(2), stage.content(1));
        // A replica of a replica carries the same stream.
        assert_eq!(stage.content(3), stage.content(1));
        let offsets = [1, 2, 3].map(|number| stage.info(number, "master_repl_offset"));
        let [first, second, third] = offsets;
        let first = first.await;
        assert_eq!((second.await, third.await), (first.clone(), first));
        let refused: RedisResult<()> = stage.ask(2, "SET a 2").await;
        assert_eq!(refused.expect_err("a replica").code(), Some("READONLY"));
    });
}

#[test]
fn what_a_replica_missed_it_gets_from_the_backlog_or_else_by_a_snapshot() {
    simulate(2, || async {
        let config = Config { repl_backlog_size: 16 << 10, repl_timeout: Duration::from_secs(3), ..quick() };
        let stage = Stage::new(2, &config);
        stage.follow(2, 1).await;
        stage.until_linked(2).await;
        for (size, resync) in [(100, false), (1_000_000, true)] {
            let cut = stage.cut(1, 2);
            stage.tell(1, &format!("SET big {}", "x".repeat(size))).await;
            time::sleep(Duration::from_secs(8)).await;
            assert_eq!(stage.info(2, "master_link_status").await, "down");
            assert_eq!(stage.info(1, "connected_slaves").await, "0");
            let first =
                stage.info(1, "repl_backlog_first_byte_offset").await.parse::<u64>().expect("a number");
            cut.heal();
            stage.until_linked(2).await;
            assert_eq!(stage.content(2), stage.content(1));
            let after =
                stage.info(2, "repl_backlog_first_byte_offset").await.parse::<u64>().expect("a number");
            // After a snapshot the replica's own record starts anew.
            assert_eq!(after > first, resync, "{size}");
        }
    });
}

#[test]
fn wait_tells_how_many_replicas_have_it() {
    simulate(3, || async {
        let stage = Stage::new(3, &quick());
        stage.follow(2, 1).await;
        stage.follow(3, 1).await;
        stage.until_linked(2).await;
        stage.until_linked(3).await;
        let client =
            Client::new("redis-1:6379", ClientOptions { connections: 1, ..ClientOptions::default() });
        let mut redis = client.connection();
        let mut write_and_wait = async |replicas: usize, timeout_ms: u64| -> (usize, Duration) {
            let before = time::Instant::now();
            let mut pipeline = redis::pipe();
            pipeline.cmd("INCR").arg("n").ignore().cmd("WAIT").arg(replicas).arg(timeout_ms);
            let (have,): (usize,) = pipeline.query_async(&mut redis).await.expect("WAIT");
            (have, before.elapsed())
        };
        let (have, took) = write_and_wait(2, 0).await;
        assert_eq!(have, 2);
        assert!(took < Duration::from_millis(20), "{took:?}");
        let cut = stage.cut(1, 3);
        let (have, took) = write_and_wait(1, 0).await;
        assert!(have >= 1 && took < Duration::from_millis(20), "{took:?}");
        let (have, took) = write_and_wait(2, 300).await;
        assert_eq!(have, 1);
        assert!((300..350).contains(&took.as_millis()), "{took:?}");
        cut.heal();
    });
}

#[test]
fn a_master_without_near_replicas_refuses_writes() {
    simulate(4, || async {
        let config = Config { min_replicas_to_write: 1, min_replicas_max_lag: 2, ..quick() };
        let stage = Stage::new(2, &config);
        let refused: RedisResult<()> = stage.ask(1, "SET a 1").await;
        assert_eq!(refused.expect_err("no replica").code(), Some("NOREPLICAS"));
        stage.follow(2, 1).await;
        stage.until_linked(2).await;
        time::sleep(Duration::from_secs(2)).await;
        stage.tell(1, "SET a 1").await;
        let cut = stage.cut(1, 2);
        time::sleep(Duration::from_secs(5)).await;
        let script: RedisResult<()> = stage.ask(1, "EVAL return(redis.call('SET',KEYS[1],1)) 1 a").await;
        assert!(script.expect_err("the replica is far").to_string().contains("NOREPLICAS"));
        let read: i64 = stage.ask(1, "GET a").await.expect("reads go on");
        assert_eq!(read, 1);
        cut.heal();
    });
}

#[test]
fn after_a_failover_the_others_go_on_with_the_new_masters_history() {
    simulate(5, || async {
        let stage = Stage::new(3, &quick());
        stage.follow(2, 1).await;
        stage.follow(3, 1).await;
        stage.until_linked(2).await;
        stage.until_linked(3).await;
        stage.tell(1, "SET a before").await;
        time::sleep(Duration::from_millis(50)).await;
        let cut = [stage.cut(1, 2), stage.cut(1, 3)];
        // Acknowledged by a master that nobody hears: lost.
        stage.tell(1, "SET a lost").await;
        stage.tell(2, "REPLICAOF NO ONE").await;
        stage.tell(2, "SET b after").await;
        let history = stage.info(3, "repl_backlog_first_byte_offset").await;
        stage.follow(3, 2).await;
        stage.until_linked(3).await;
        // The part that both share was not sent again.
        assert_eq!(stage.info(3, "repl_backlog_first_byte_offset").await, history);
        cut.into_iter().for_each(net::Impaired::heal);
        stage.follow(1, 2).await;
        stage.until_linked(1).await;
        time::sleep(Duration::from_millis(50)).await;
        for number in [1, 3] {
            assert_eq!(stage.content(number), stage.content(2), "redis-{number}");
        }
        let value: String = stage.ask(1, "GET a").await.expect("GET");
        assert_eq!(value, "before");
    });
}

#[test]
fn a_key_is_gone_on_the_replica_when_the_master_says_so() {
    simulate(6, || async {
        let stage = Stage::new(2, &quick());
        stage.follow(2, 1).await;
        stage.until_linked(2).await;
        stage.tell(1, "SET a 1 PX 500").await;
        time::sleep(Duration::from_millis(100)).await;
        // The replica's clock runs ahead of the master's: it hides the key, but keeps what is done to it.
        stage.hosts[1].jump_clock(host::Shift::Forward(Duration::from_secs(5)));
        let hidden: Option<i64> = stage.ask(2, "GET a").await.expect("GET");
        assert_eq!(hidden, None);
        stage.tell(1, "INCR a").await;
        stage.tell(1, "PERSIST a").await;
        time::sleep(Duration::from_millis(100)).await;
        let kept: Option<i64> = stage.ask(2, "GET a").await.expect("GET");
        assert_eq!(kept, Some(2));
    });
}

/// The next command of an append-only file may give a key more time: only its end tells what has expired.
#[test]
fn a_key_whose_time_has_passed_stays_while_a_file_is_loaded() {
    simulate(1, || async {
        host::add("redis-1", || async {
            let mut file = String::new();
            for command in ["SET kept v PXAT 1000", "PEXPIREAT kept 4000000000000", "SET gone v PXAT 1000"] {
                let words: Vec<&str> = command.split(' ').collect();
                file += &format!("*{}\r\n", words.len());
                words.iter().for_each(|word| file += &format!("${}\r\n{word}\r\n", word.len()));
            }
            let config = Config { appendonly: true, dir: "/".to_owned(), ..quick() };
            disk::create_dir_all("/appendonlydir").await.expect("creates");
            let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\n";
            disk::write("/appendonlydir/appendonly.aof.manifest", manifest).await.expect("writes");
            disk::write("/appendonlydir/appendonly.aof.1.incr.aof", file).await.expect("writes");
            let server = Server::new(Options { config, ..Options::default() });
            server.listen("0.0.0.0:6379").await.expect("the port is free and the file is sound");
        });
        time::sleep(Duration::from_secs(1)).await;
        let stage = Stage { servers: Vec::new(), hosts: Vec::new() };
        assert_eq!(stage.ask::<Option<String>>(1, "GET kept").await, Ok(Some("v".to_owned())));
        assert_eq!(stage.ask::<Option<String>>(1, "GET gone").await, Ok(None));
    });
}
