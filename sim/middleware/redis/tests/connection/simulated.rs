//! What depends on time, on other servers and on slow readers, in a simulation.

use std::time::Duration;

use redis_middleware::{Config, Options, Server};
use tokio::io::AsyncReadExt;
use world::{host, time};

use crate::line::{A_MOMENT, Line, boot, quick, simulate, until_linked};

#[test]
fn whoever_waits_longest_is_served_first_and_a_timeout_is_kept_to_the_millisecond() {
    for seed in 0..20 {
        simulate(seed, || async {
            let _servers = boot(1, &quick());
            let mut waiting = Vec::new();
            for _ in 0..5 {
                let mut line = Line::to(1).await;
                line.say("BLPOP k 0").await;
                time::sleep(A_MOMENT).await;
                waiting.push(line);
            }
            let mut other = Line::to(1).await;
            // The third one goes; nothing is lost with it.
            drop(waiting.remove(2));
            time::sleep(A_MOMENT).await;
            other.ask("RPUSH k a b c").await;
            let mut heard = Vec::new();
            for line in &mut waiting {
                heard.push(line.hear(A_MOMENT).await);
            }
            assert_eq!(heard, ["*2 $1 k $1 a", "*2 $1 k $1 b", "*2 $1 k $1 c", ""]);
            let started = time::Instant::now();
            other.say("BLPOP none 1.5").await;
            other.stream.read_buf(&mut other.read).await.expect("a reply");
            let took = started.elapsed();
            assert!(took >= Duration::from_millis(1500) && took < Duration::from_millis(1510), "{took:?}");
        });
    }
}

#[test]
fn what_is_served_to_those_who_wait_reaches_the_replica_as_what_it_did() {
    simulate(1, || async {
        let servers = boot(2, &quick());
        let mut replica = Line::to(2).await;
        replica.ask("REPLICAOF redis-1 6379").await;
        until_linked(2).await;
        let mut lines = Vec::new();
        for words in [
            "BLPOP l 0",
            "BLMOVE l m LEFT RIGHT 0",
            "BRPOPLPUSH m n 0",
            "BLMPOP 0 1 o LEFT COUNT 2",
            "BZPOPMIN z 0",
            "BZMPOP 0 1 z MAX COUNT 5",
        ] {
            let mut line = Line::to(1).await;
            line.say(words).await;
            time::sleep(A_MOMENT).await;
            lines.push(line);
        }
        let mut subscriber = Line::to(2).await;
        subscriber.ask("SUBSCRIBE news").await;
        let mut master = Line::to(1).await;
        master.ask("XGROUP CREATE x g $ MKSTREAM").await;
        let mut reader = Line::to(1).await;
        reader.say("XREADGROUP GROUP g me BLOCK 0 STREAMS x >").await;
        time::sleep(A_MOMENT).await;
        for words in [
            "RPUSH l a b c",
            "RPUSH o 1 2 3",
            "ZADD z 1 a 2 b 3 c",
            "XADD x 1-1 f v",
            "PUBLISH news flash",
            "MULTI",
            "SET s 1",
            "PUBLISH news twice",
            "EXEC",
        ] {
            master.ask(words).await;
        }
        time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            subscriber.hear(A_MOMENT).await,
            "*3 $7 message $4 news $5 flash *3 $7 message $4 news $5 twice"
        );
        let contents = |number: usize| {
            servers[number - 1].0.inspect(|keyspace| {
                let mut keys: Vec<String> = keyspace
                    .iter()
                    .map(|(key, value)| {
                        let consumers = value.as_stream().map(|stream| {
                            stream.groups().map(|(_, group)| group.pending().count()).collect::<Vec<_>>()
                        });
                        let value = if consumers.is_some() { String::new() } else { format!("{value:?}") };
                        format!("{} {value} {consumers:?}", String::from_utf8_lossy(key))
                    })
                    .collect();
                keys.sort();
                keys
            })
        };
        assert_eq!(contents(2), contents(1));
        assert!(contents(1).len() >= 4, "{:?}", contents(1));
    });
}

#[test]
fn whoever_waits_at_a_master_that_becomes_a_replica_is_sent_away() {
    simulate(2, || async {
        let _servers = boot(2, &quick());
        let (mut one, mut two, mut other) = (Line::to(1).await, Line::to(1).await, Line::to(1).await);
        one.say("BLPOP k 0").await;
        two.say("SUBSCRIBE a").await;
        time::sleep(A_MOMENT).await;
        other.ask("REPLICAOF redis-2 6379").await;
        let heard = one.hear(A_MOMENT).await;
        assert!(heard.starts_with("-UNBLOCKED force unblock"), "{heard}");
        assert_eq!(one.stream.read_buf(&mut one.read).await.expect("closed"), 0);
        assert!(other.ask("BLPOP k 0").await.starts_with("-READONLY"));
        // Messages of the master are heard at the replica.
        until_linked(1).await;
        two.hear(A_MOMENT).await;
        Line::to(2).await.ask("PUBLISH a x").await;
        assert_eq!(two.hear(A_MOMENT).await, "*3 $7 message $1 a $1 x");
        // A stream can be waited for at a replica, too.
        other.say("XREAD BLOCK 0 STREAMS s $").await;
        time::sleep(A_MOMENT).await;
        Line::to(2).await.ask("XADD s 1-1 f v").await;
        assert!(other.hear(A_MOMENT).await.contains("1-1"));
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_and_disturbs_nobody() {
    simulate(3, || async {
        let config = Config::default();
        let _servers = boot(1, &config);
        let mut slow = Line::to(1).await;
        slow.say("SUBSCRIBE a").await;
        let mut quick = Line::to(1).await;
        quick.ask("SUBSCRIBE a").await;
        let mut publisher = Line::to(1).await;
        let message = "x".repeat(1 << 20);
        let mut receivers = Vec::new();
        for _ in 0..48 {
            receivers.push(publisher.ask(&format!("PUBLISH a {message}")).await);
            let heard = quick.hear(A_MOMENT).await;
            assert!(heard.len() > 1 << 20);
        }
        assert_eq!(receivers.first().map(String::as_str), Some(":2"));
        assert_eq!(receivers.last().map(String::as_str), Some(":1"), "it was closed at 32 MiB");
        // What waits within the soft limit for too long is too much as well.
        publisher.ask("CONFIG SET client-output-buffer-limit \"pubsub 32mb 1mb 5\"").await;
        let mut slow = Line::to(1).await;
        slow.say("SUBSCRIBE b").await;
        time::sleep(A_MOMENT).await;
        for _ in 0..4 {
            assert_eq!(publisher.ask(&format!("PUBLISH b {message}")).await, ":1");
        }
        time::sleep(Duration::from_secs(4)).await;
        assert_eq!(publisher.ask("PUBSUB NUMSUB b").await, "*2 $1 b :1");
        time::sleep(Duration::from_secs(4)).await;
        assert_eq!(publisher.ask("PUBSUB NUMSUB b").await, "*2 $1 b :0");
    });
}

#[test]
fn a_client_that_waits_or_does_not_read_can_be_killed() {
    simulate(4, || async {
        let _servers = boot(1, &Config::default());
        let mut stuck = Line::to(1).await;
        let mut other = Line::to(1).await;
        other.ask(&format!("SET big {}", "x".repeat(1 << 20))).await;
        for _ in 0..20 {
            stuck.say("GET big").await;
        }
        time::sleep(A_MOMENT).await;
        assert!(other.ask("CLIENT LIST").await.contains("id=1 "));
        assert_eq!(other.ask("CLIENT KILL ID 1").await, ":1");
        time::sleep(A_MOMENT).await;
        assert!(!other.ask("CLIENT LIST").await.contains("id=1 "));
        let mut waits = Line::to(1).await;
        waits.say("CLIENT PAUSE 100000 WRITE").await;
        waits.say("SET k v").await;
        time::sleep(A_MOMENT).await;
        assert_eq!(other.ask("CLIENT KILL ID 3").await, ":1");
        time::sleep(A_MOMENT).await;
        other.ask("CLIENT UNPAUSE").await;
        assert_eq!(other.ask("EXISTS k").await, ":0");
    });
}

#[test]
fn nothing_expires_while_clients_are_paused() {
    simulate(5, || async {
        let servers = boot(1, &Config::default());
        let mut line = Line::to(1).await;
        line.ask("SET k v PX 500").await;
        line.ask("CLIENT PAUSE 3000 WRITE").await;
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(line.ask("GET k").await, "$-1");
        line.say("SET other v").await;
        let started = time::Instant::now();
        assert_eq!(line.hear(Duration::from_secs(5)).await, "+OK");
        assert!(started.elapsed() > Duration::from_secs(1));
        assert_eq!(line.ask("DBSIZE").await, ":1");
        assert_eq!(servers[0].0.inspect(redis_middleware::Keyspace::len), 1);
    });
}

/// 10 ms a command on one core: who comes later waits for those before, a script pays for what it calls, and the state is
/// that of one command after the other.
#[test]
fn commands_take_their_time_on_the_one_core() {
    simulate(1, || async {
        let command_work = Duration::from_millis(10);
        let server = Server::new(Options { command_work, ..Options::default() });
        let redis = host::add("redis-1", move || {
            let server = server.clone();
            async move { server.listen("0.0.0.0:6379").await.expect("the port is free") }
        });
        redis.set_cores(1);
        let started = time::Instant::now();
        let mut lines = Vec::new();
        for _ in 0..4 {
            lines.push(Line::to(1).await);
        }
        assert!(started.elapsed() < command_work, "connecting is no command");
        let started = time::Instant::now();
        let asking: Vec<_> = lines
            .into_iter()
            .map(|mut line| {
                world::task::spawn(async move {
                    line.say("INCR n").await;
                    line.stream.read_buf(&mut line.read).await.expect("a reply");
                    (started.elapsed(), String::from_utf8_lossy(&line.read).into_owned())
                })
            })
            .collect();
        let mut answers = Vec::new();
        for asked in asking {
            answers.push(asked.await.expect("an answer"));
        }
        answers.sort();
        for ((took, reply), number) in answers.into_iter().zip(1..) {
            assert_eq!(reply, format!(":{number}\r\n"));
            let expected = command_work * number;
            assert!(took >= expected && took < expected + A_MOMENT, "{number}: {took:?}");
        }
        let mut line = Line::to(1).await;
        let started = time::Instant::now();
        line.say("EVAL \"redis.call('incr','n') return redis.call('incr','n')\" 0").await;
        line.stream.read_buf(&mut line.read).await.expect("a reply");
        assert_eq!(line.read, b":6\r\n");
        let took = started.elapsed();
        assert!(took >= command_work * 3 && took < command_work * 3 + A_MOMENT, "{took:?}");
        let usage = world::cpu::usage(redis);
        assert_eq!(usage.busy, command_work * 7);
        assert!(usage.waited >= command_work * 5, "{usage:?}");
    });
}
