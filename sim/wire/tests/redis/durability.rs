//! Group commit: what is sent, and what callers get.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisResult};
use wire::redis::{Client, Durability, Options, was_not_executed, was_not_replicated, was_not_sent};
use world::{task, time};

use crate::fake::{Answer, Fake, node, simulate};

const WAIT: Duration = Duration::from_millis(100);

fn durable() -> Client {
    let durability = Some(Durability { replicas: 1, timeout: WAIT });
    Client::new("node-1:6379", Options { connections: 1, durability, ..Options::default() })
}

async fn send(client: &Client, words: &str) -> RedisResult<i64> {
    let mut command = Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command.query_async(&mut client.connection()).await
}

/// A server on which `WAIT` takes 5 ms.
fn slow_wait(fake: &Fake, count: usize) {
    fake.rule(move |_, words| match words {
        "WAIT 1 100" => Answer::Later(Duration::from_millis(5), format!(":{count}\r\n")),
        _ => Answer::Usual,
    });
}

#[test]
fn replies_come_after_their_groups_wait() {
    simulate(1, |fake| async move {
        slow_wait(&fake, 1);
        let client = durable();
        let started = time::Instant::now();
        assert_eq!(send(&client, "SET a 1").await, Ok(1));
        assert!(started.elapsed() > Duration::from_millis(5));
        let callers: Vec<_> = (0..100)
            .map(|number| {
                let client = client.clone();
                task::spawn(async move { send(&client, &format!("SET {number} 1")).await })
            })
            .collect();
        let started = time::Instant::now();
        for caller in callers {
            assert_eq!(caller.await, Ok(Ok(1)));
        }
        // The first alone, perhaps, and all others together.
        assert!(started.elapsed() < Duration::from_millis(20), "{:?}", started.elapsed());
        let log = fake.take_log();
        let waits = log.iter().filter(|words| words.starts_with("1: WAIT")).count();
        assert!(log.len() == 101 + waits && (2..=4).contains(&waits), "{waits} of {}", log.len());
    });
}

#[test]
fn what_is_not_replicated_says_so_and_the_connection_goes_on() {
    let outcome = simulate(1, |fake| async move {
        slow_wait(&fake, 0);
        let client = durable();
        let error = send(&client, "SET a 1").await.expect_err("no replica");
        assert!(was_not_replicated(&error), "{error}");
        assert!(!was_not_sent(&error) && !was_not_executed(&error) && error.is_io_error());
        assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
        // A transaction as well, and a WAIT that fails.
        fake.rule(|_, words| match words {
            "EXEC" => Answer::Bytes("*1\r\n:1\r\n".into()),
            "WAIT 1 100" => Answer::error("ERR WAIT cannot be used with replica instances."),
            _ => Answer::Usual,
        });
        let mut transaction = Pipeline::new();
        transaction.atomic().cmd("SET").arg("a").arg(1);
        let error = transaction.query_async::<(i64,)>(&mut client.connection()).await.expect_err("a replica");
        assert!(was_not_replicated(&error), "{error}");
        fake.rule(|_, _| Answer::Usual);
        assert_eq!(send(&client, "SET a 1").await, Ok(1));
        let seen = fake.take_seen();
        let first = seen.first().map(|seen| seen.connection);
        assert!(seen.iter().all(|seen| Some(seen.connection) == first), "{seen:?}");
    });
    assert!(outcome.coverage["redis.client.not-replicated"].hits >= 2);
}

#[test]
fn error_replies_need_no_replicas() {
    simulate(1, |fake| async move {
        fake.rule(|_, words| match words {
            "WAIT 1 100" => Answer::Later(WAIT, ":0\r\n".into()),
            "EXEC" => Answer::error("EXECABORT Transaction discarded because of previous errors."),
            _ => Answer::error("READONLY You can't write against a read only replica."),
        });
        let client = durable();
        let started = time::Instant::now();
        let error = send(&client, "SET a 1").await.expect_err("refused");
        assert!(error.code() == Some("READONLY") && was_not_executed(&error), "{error}");
        assert!(started.elapsed() < Duration::from_millis(10), "{:?}", started.elapsed());
        // The next group waits for the end of this one, and is answered as fast.
        let _ = send(&client, "SET a 1").await.expect_err("refused");
        assert!(started.elapsed() < WAIT + Duration::from_millis(10), "{:?}", started.elapsed());
    });
}

#[test]
fn a_connection_lost_in_the_wait_leaves_nothing_unsaid() {
    simulate(1, |fake| async move {
        let has_waited = Arc::new(AtomicBool::new(false));
        let waiting = Arc::clone(&has_waited);
        fake.rule(move |_, words| match words {
            "WAIT 1 100" => {
                waiting.store(true, Ordering::Relaxed);
                Answer::Silence
            }
            "GET b" => Answer::Silence,
            _ => Answer::Usual,
        });
        let client = durable();
        let ask = |words: &'static str| {
            let client = client.clone();
            task::spawn(async move { send(&client, words).await })
        };
        let executed = ask("SET a 1");
        while !has_waited.load(Ordering::Relaxed) {
            time::sleep(Duration::from_millis(1)).await;
        }
        time::sleep(Duration::from_millis(1)).await;
        let waiting = ask("SET b 1");
        time::sleep(Duration::from_millis(1)).await;
        node(1).kill();
        let error = executed.await.expect("not aborted").expect_err("the server is dead");
        assert!(was_not_replicated(&error), "{error}");
        let error = waiting.await.expect("not aborted").expect_err("the server is dead");
        assert!(was_not_sent(&error), "{error}");
        node(1).boot();
        time::sleep(Duration::from_millis(10)).await;
        let error = send(&client, "GET b").await.expect_err("no reply");
        assert!(error.is_timeout() && !was_not_replicated(&error) && !was_not_sent(&error), "{error}");
    });
}
