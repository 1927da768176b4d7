//! The cluster's client: where commands go, what redirections and failures do, and what callers are told.

use std::{collections::BTreeSet, time::Duration};

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Script, ServerErrorKind, Value};
use wire::redis::{
    Durability, Options as NodeOptions,
    cluster::{Backoff, ClusterClient, Options},
    was_not_executed, was_not_replicated, was_not_sent,
};
use world::{task, time};

use crate::fake::{Answer, THIRDS, key_of, node, simulate, slot_of};

fn client_with(options: Options) -> ClusterClient {
    ClusterClient::new(["node-1:6379"], options)
}

fn client() -> ClusterClient {
    client_with(Options::default())
}

async fn send<T: FromRedisValue>(client: &ClusterClient, words: &str) -> RedisResult<T> {
    let mut command = Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command.query_async(&mut client.connection()).await
}

/// The node that a command reaches.
async fn reached(client: &ClusterClient, words: &str) -> usize {
    send(client, words).await.expect("a node answers")
}

#[test]
fn commands_find_their_nodes_and_the_slots_are_asked_for_once() {
    simulate(3, |fake| async move {
        let client = client();
        let first: Vec<_> = (0..50)
            .map(|number| {
                let client = client.clone();
                task::spawn(async move {
                    reached(&client, &format!("GET {}", key_of(number % 3 + 1, number))).await
                })
            })
            .collect();
        for (number, reached) in first.into_iter().enumerate() {
            assert_eq!(reached.await, Ok(number % 3 + 1));
        }
        let without_key: BTreeSet<usize> = BTreeSet::from([
            reached(&client, "PING").await,
            reached(&client, "INFO").await,
            reached(&client, "TIME").await,
        ]);
        assert_eq!(without_key.len(), 3, "the masters take turns");
        assert_eq!(send::<usize>(&client, "DBSIZE").await, Ok(1 + 2 + 3));
        assert_eq!(client.masters().await.map(|masters| masters.len()), Ok(3));
        assert_eq!(fake.take_questions(), 1);
    });
}

#[test]
fn a_pipeline_is_split_and_its_replies_are_in_order() {
    simulate(3, |fake| async move {
        let client = client();
        let mut pipeline = Pipeline::new();
        for number in 0..9 {
            pipeline.cmd("GET").arg(key_of(number % 3 + 1, number));
        }
        let replies: Vec<usize> = pipeline.query_async(&mut client.connection()).await.expect("replies");
        assert_eq!(replies, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
        // Side by side: every node takes 30 ms for each of its three.
        fake.rule(|node, _| Answer::Later(Duration::from_millis(30), format!(":{node}\r\n")));
        let started = time::Instant::now();
        let replies: Vec<usize> = pipeline.query_async(&mut client.connection()).await.expect("replies");
        assert_eq!(replies, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
        assert!(started.elapsed() < Duration::from_millis(110), "{:?}", started.elapsed());
        let () = Pipeline::new().query_async(&mut client.connection()).await.expect("nothing to do");
    });
}

#[test]
fn transactions_are_for_one_slot() {
    simulate(3, |fake| async move {
        fake.rule(|node, words| match words {
            "EXEC" => Answer::Bytes(format!("*2\r\n:{node}\r\n:{node}\r\n")),
            _ => Answer::Usual,
        });
        let client = client();
        let transaction = |keys: [&str; 2]| {
            let mut transaction = Pipeline::new();
            transaction.atomic().cmd("INCR").arg(keys[0]).cmd("INCR").arg(keys[1]);
            transaction
        };
        let key = key_of(2, 0);
        let near = format!("{{{key}}}.x");
        let replies = transaction([&key, &near]).query_async::<Vec<usize>>(&mut client.connection()).await;
        assert_eq!(replies, Ok(vec![2, 2]));
        let expected: Vec<String> =
            ["MULTI".into(), format!("INCR {key}"), format!("INCR {near}"), "EXEC".into()]
                .map(|words: String| format!("2: {words}"))
                .into();
        assert_eq!(fake.take_log(), expected);
        let far = transaction([&key, &key_of(2, 1)]);
        let error = far.query_async::<Vec<usize>>(&mut client.connection()).await.expect_err("two slots");
        assert!(error.code() == Some("CROSSSLOT") && was_not_executed(&error), "{error}");
        for words in ["WATCH a", "MULTI", "SCAN 0", "SUBSCRIBE c"] {
            let error = send::<Value>(&client, words).await.expect_err(words);
            assert!(was_not_executed(&error), "{error}");
        }
        assert_eq!(fake.take_log(), [""; 0]);
    });
}

#[test]
fn a_moved_slot_is_followed_at_once_and_the_map_refreshed_once() {
    let outcome = simulate(3, |fake| async move {
        let client = client();
        assert_eq!(reached(&client, &format!("GET {}", key_of(1, 0))).await, 1);
        // The second third goes to the third node.
        let moved = [(0, 5460, 1), (5461, 16_383, 3)];
        fake.reassign(&moved);
        fake.rule(|node, words| match words.strip_prefix("GET ").map(slot_of) {
            Some(slot) if node == 2 && !words.starts_with("CLUSTER") => {
                Answer::error(format_args!("MOVED {slot} node-3:6379"))
            }
            _ => Answer::Usual,
        });
        fake.take_log();
        let key = key_of(2, 0);
        assert_eq!(reached(&client, &format!("GET {key}")).await, 3);
        assert_eq!(reached(&client, &format!("GET {key}")).await, 3);
        assert_eq!(
            fake.take_log(),
            [format!("2: GET {key}"), format!("3: GET {key}"), format!("3: GET {key}")]
        );
        time::sleep(Duration::from_millis(200)).await;
        assert_eq!(fake.take_questions(), 1);
        // The refresh brought the others.
        assert_eq!(reached(&client, &format!("GET {}", key_of(2, 1))).await, 3);
        assert_eq!(fake.take_log().len(), 1);
    });
    assert_eq!(outcome.coverage["redis.client.moved"].hits, 1);
}

#[test]
fn a_storm_of_redirections_refreshes_rarely() {
    simulate(3, |fake| async move {
        let client = client();
        assert_eq!(reached(&client, &format!("GET {}", key_of(1, 0))).await, 1);
        fake.take_questions();
        // A node that sends everybody away, and a map that stays as it is.
        fake.rule(|node, words| match words.strip_prefix("GET ").map(slot_of) {
            Some(slot) if node == 2 => Answer::error(format_args!("MOVED {slot} node-3:6379")),
            _ => Answer::Usual,
        });
        let started = time::Instant::now();
        let keys: Vec<String> = (0..10).map(|number| key_of(2, number)).collect();
        while started.elapsed() < Duration::from_millis(1000) {
            for key in &keys {
                assert_eq!(reached(&client, &format!("GET {key}")).await, 3);
            }
        }
        let questions = fake.take_questions();
        assert!((5..=11).contains(&questions), "{questions} refreshes in a second");
    });
}

#[test]
fn an_endless_redirection_ends() {
    simulate(3, |fake| async move {
        fake.rule(|node, words| match words.strip_prefix("GET ").map(slot_of) {
            Some(slot) => Answer::error(format_args!("MOVED {slot} node-{}:6379", node % 3 + 1)),
            _ => Answer::Usual,
        });
        let client = client_with(Options { max_redirects: 8, ..Options::default() });
        let error = send::<Value>(&client, "GET a").await.expect_err("nobody wants it");
        assert!(error.code() == Some("MOVED") && was_not_executed(&error), "{error}");
        assert_eq!(fake.take_log().len(), 9);
    });
}

#[test]
fn ask_is_followed_for_once_behind_asking() {
    let outcome = simulate(3, |fake| async move {
        fake.rule(|node, words| match words.split(' ').next() {
            Some("GET" | "INCR") if node == 1 => Answer::error("ASK 0 node-2:6379"),
            Some("EXEC") if node == 1 => {
                Answer::error("EXECABORT Transaction discarded because of previous errors.")
            }
            Some("EXEC") => Answer::Bytes("*1\r\n:7\r\n".into()),
            _ => Answer::Usual,
        });
        let client = client();
        let key = key_of(1, 0);
        for _ in 0..2 {
            assert_eq!(reached(&client, &format!("GET {key}")).await, 2);
        }
        let seen = fake.take_seen();
        let words: Vec<_> = seen.iter().map(|seen| format!("{}: {}", seen.node, seen.words)).collect();
        let once = [format!("1: GET {key}"), "2: ASKING".into(), format!("2: GET {key}")];
        assert_eq!(words, [once.clone(), once].concat(), "the slot is still the first node's");
        assert!(
            seen[1].connection == seen[2].connection && seen[1].at == seen[2].at,
            "in one write: {seen:?}"
        );

        let mut transaction = Pipeline::new();
        transaction.atomic().cmd("INCR").arg(&key);
        let reply = transaction.query_async::<(i64,)>(&mut client.connection()).await;
        assert_eq!(reply, Ok((7,)));
        let incr = format!("INCR {key}");
        let words = [
            "1: MULTI",
            &format!("1: {incr}"),
            "1: EXEC",
            "2: ASKING",
            "2: MULTI",
            &format!("2: {incr}"),
            "2: EXEC",
        ];
        assert_eq!(fake.take_log(), words);

        let mut pipeline = Pipeline::new();
        pipeline.cmd("GET").arg(&key).cmd("GET").arg(key_of(3, 0)).cmd("SET").arg(&key).arg(1);
        let replies = pipeline.query_async::<Vec<usize>>(&mut client.connection()).await;
        assert_eq!(replies, Ok(vec![2, 3, 1]));
    });
    assert!(outcome.coverage["redis.client.ask"].hits >= 4);
}

/// Answers `GET` with an error so many times.
fn refusals(error: &'static str, mut times: usize) -> impl FnMut(usize, &str) -> Answer + Send {
    move |_, words| {
        if times > 0 && words.starts_with("GET") {
            times -= 1;
            return Answer::error(error);
        }
        Answer::Usual
    }
}

#[test]
fn what_was_put_off_is_sent_again_later() {
    simulate(3, |fake| async move {
        for error in [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "LOADING Redis is loading the dataset in memory",
        ] {
            fake.rule(refusals(error, 4));
            let started = time::Instant::now();
            assert_eq!(reached(&client(), "GET a").await, 3, "{error}");
            // 20, 40, 80 and 160 ms at most, half of that at least.
            let waited = started.elapsed();
            assert!(
                (Duration::from_millis(150)..Duration::from_millis(310)).contains(&waited),
                "{error}: {waited:?}"
            );
        }
        fake.rule(refusals("CLUSTERDOWN The cluster is down", usize::MAX));
        fake.take_log();
        let client = client_with(Options { deadline: Duration::from_secs(1), ..Options::default() });
        let started = time::Instant::now();
        let error = send::<Value>(&client, "GET a").await.expect_err("it stays down");
        assert!(started.elapsed() <= Duration::from_millis(1010), "{:?}", started.elapsed());
        assert!(error.code() == Some("CLUSTERDOWN") && was_not_executed(&error), "{error}");
        assert!((5..=8).contains(&fake.take_log().len()));
        // Of a pipeline, the others have their replies.
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SET").arg("a").arg(1).cmd("GET").arg("a");
        let error =
            pipeline.query_async::<Vec<Value>>(&mut client.connection()).await.expect_err("one failed");
        let errors = error.clone().into_server_errors().expect("a server's error");
        assert!(errors.len() == 1 && errors[0].0 == 1, "{errors:?}");
        assert_eq!(errors[0].1.kind(), Some(ServerErrorKind::ClusterDown));
        assert!(!was_not_executed(&error), "the SET was executed");
    });
}

#[test]
fn a_dead_node_is_tried_now_and_then_until_another_serves_its_slots() {
    let outcome = simulate(4, |fake| async move {
        let client = client();
        let key = key_of(2, 0);
        assert_eq!(reached(&client, &format!("GET {key}")).await, 2);
        node(2).kill();
        time::sleep(Duration::from_millis(1)).await;
        let started = time::Instant::now();
        // A command every millisecond, for two seconds.
        let callers: Vec<_> = (0..2000)
            .map(|number| {
                let (client, words) = (client.clone(), format!("GET {key}"));
                task::spawn(async move {
                    time::sleep(Duration::from_millis(number)).await;
                    send::<usize>(&client, &words).await
                })
            })
            .collect();
        // Another part of the cluster is not touched by it.
        let other = time::Instant::now();
        assert_eq!(reached(&client, &format!("GET {}", key_of(3, 0))).await, 3);
        assert!(other.elapsed() < Duration::from_millis(5));
        time::sleep(Duration::from_millis(1900)).await;
        let taken_over = [(0, 5460, 1), (5461, 10_922, 4), (10_923, 16_383, 3)];
        fake.reassign(&taken_over);
        let mut lost = 0;
        for caller in callers {
            match caller.await.expect("no caller fails") {
                Ok(reached) => assert_eq!(reached, 4),
                Err(error) if !was_not_sent(&error) => lost += 1,
                Err(error) => panic!("{error}"),
            }
        }
        // One on each connection that was open: its reply was lost.
        assert!(lost <= 2, "{lost}");
        assert!(started.elapsed() < Duration::from_millis(2200), "{:?}", started.elapsed());
    });
    let attempts = outcome.coverage["redis.client.backing-off"].hits;
    assert!((4..=12).contains(&attempts), "{attempts} connections were tried in two seconds");
    assert!(outcome.coverage["redis.client.refresh-after-failure"].hits > 0);
}

#[test]
fn what_cannot_be_sent_says_so_after_the_deadline() {
    simulate(3, |_| async move {
        let client = client_with(Options { deadline: Duration::from_millis(700), ..Options::default() });
        assert_eq!(reached(&client, &format!("GET {}", key_of(1, 0))).await, 1);
        node(2).kill();
        let started = time::Instant::now();
        let error = send::<Value>(&client, &format!("SET {} 1", key_of(2, 0))).await.expect_err("it is dead");
        assert!(was_not_sent(&error) && was_not_executed(&error), "{error}");
        let waited = started.elapsed();
        assert!((Duration::from_millis(400)..Duration::from_millis(710)).contains(&waited), "{waited:?}");
        // A pipeline that was executed in part does not claim that it was not sent.
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SET").arg(key_of(1, 0)).arg(1).cmd("SET").arg(key_of(2, 0)).arg(1);
        let error = pipeline.query_async::<Value>(&mut client.connection()).await.expect_err("half of it");
        assert!(!was_not_sent(&error) && !was_not_executed(&error) && error.is_io_error(), "{error}");
        // Nor is anybody there who could tell the slots to this one.
        let lonely = ClusterClient::new(["node-2:6379"], client_options(300));
        let started = time::Instant::now();
        let error = send::<Value>(&lonely, "GET a").await.expect_err("nobody is there");
        assert!(was_not_sent(&error), "{error}");
        assert_eq!(started.elapsed().as_millis(), 300);
        assert!(was_not_sent(&lonely.masters().await.expect_err("nobody is there")));
    });
}

fn client_options(deadline_ms: u64) -> Options {
    Options { deadline: Duration::from_millis(deadline_ms), ..Options::default() }
}

/// Answers `GET` with silence once.
fn silent_once() -> impl FnMut(usize, &str) -> Answer + Send {
    let mut is_silent = true;
    move |_, words| {
        let is_asked = words.starts_with("GET") || words.starts_with("SET");
        if is_asked && std::mem::take(&mut is_silent) { Answer::Silence } else { Answer::Usual }
    }
}

#[test]
fn after_a_lost_reply_only_reads_are_sent_again_and_only_on_request() {
    simulate(3, |fake| async move {
        for (words, retry_reads, is_answered) in
            [("GET a", false, false), ("GET a", true, true), ("SET a 1", true, false)]
        {
            fake.rule(silent_once());
            fake.take_log();
            let client = client_with(Options { retry_reads, ..Options::default() });
            let reply = send::<usize>(&client, words).await;
            assert_eq!(reply.is_ok(), is_answered, "{words}");
            if let Err(error) = reply {
                assert!(error.is_timeout() && !was_not_sent(&error) && !was_not_executed(&error), "{error}");
            }
            assert_eq!(fake.take_log().len(), if is_answered { 2 } else { 1 }, "{words}");
        }
    });
}

#[test]
fn a_script_is_loaded_where_it_is_missed() {
    simulate(3, |fake| async move {
        let mut has_script = BTreeSet::new();
        let script = Script::new("return 1");
        let hash = script.get_hash().to_owned();
        fake.rule(move |node, words| match words.split(' ').next() {
            Some("SCRIPT") => {
                has_script.insert(node);
                Answer::Bytes(format!("$40\r\n{hash}\r\n"))
            }
            Some("EVALSHA") if !has_script.contains(&node) || !words.contains(&hash) => {
                Answer::error("NOSCRIPT No matching script.")
            }
            _ => Answer::Usual,
        });
        let client = client();
        for node in [1, 2, 3, 3, 2, 1] {
            let reached = script.key(key_of(node, 0)).invoke_async::<usize>(&mut client.connection()).await;
            assert_eq!(reached, Ok(node));
        }
        let log = fake.take_log();
        let loads = log.iter().filter(|words| words.contains("SCRIPT LOAD")).count();
        assert!((3..=4).contains(&loads), "{log:?}");
        // In a pipeline too, and for a script that nobody knows, the error is the server's.
        let mut pipeline = Pipeline::new();
        pipeline.cmd("EVALSHA").arg("f00").arg(1).arg("k");
        let error = pipeline.query_async::<Value>(&mut client.connection()).await.expect_err("unknown");
        assert_eq!(error.code(), Some("NOSCRIPT"), "{error}");
    });
}

#[test]
fn the_map_of_a_node_that_was_left_behind_is_not_believed() {
    simulate(3, |fake| async move {
        // Only the first node is asked at first.
        let client =
            client_with(Options { refresh_interval: Some(Duration::from_millis(50)), ..Options::default() });
        let key = key_of(2, 0);
        assert_eq!(reached(&client, &format!("GET {key}")).await, 2);
        let taken_over = [(0, 5460, 1), (5461, 16_383, 3)];
        fake.reassign(&taken_over);
        fake.deviate(1, &THIRDS, 3);
        time::sleep(Duration::from_millis(60)).await;
        // This one is told the truth sooner or later, and then never the old story again.
        let mut nodes = Vec::new();
        for _ in 0..100 {
            nodes.push(reached(&client, &format!("GET {key}")).await);
            time::sleep(Duration::from_millis(60)).await;
        }
        nodes.dedup();
        assert!(nodes == [3] || nodes == [2, 3], "{nodes:?}");
    });
}

#[test]
fn acknowledged_means_replicated_on_every_node() {
    simulate(3, |fake| async move {
        fake.rule(|node, words| match words.starts_with("WAIT") {
            true => Answer::Bytes(format!(":{}\r\n", usize::from(node != 2))),
            false => Answer::Usual,
        });
        let durability = Some(Durability { replicas: 1, timeout: Duration::from_millis(100) });
        let node = NodeOptions { durability, ..NodeOptions::default() };
        let client = client_with(Options { node, ..Options::default() });
        assert_eq!(reached(&client, &format!("SET {} 1", key_of(1, 0))).await, 1);
        let error = send::<Value>(&client, &format!("SET {} 1", key_of(2, 0))).await.expect_err("no replica");
        assert!(was_not_replicated(&error) && !was_not_executed(&error), "{error}");
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SET").arg(key_of(1, 0)).arg(1).cmd("SET").arg(key_of(2, 0)).arg(1);
        let error = pipeline.query_async::<Value>(&mut client.connection()).await.expect_err("half of it");
        assert!(was_not_replicated(&error), "{error}");
        // A slot that moved is no durable write of the node that says so.
        fake.rule(|node, words| match (words.split(' ').next(), node) {
            (Some("WAIT"), 2) => Answer::Later(Duration::from_millis(100), ":0\r\n".into()),
            (Some("SET"), 2) => Answer::error(format_args!("MOVED {} node-3:6379", slot_of(&key_of(2, 0)))),
            _ => Answer::Usual,
        });
        let started = time::Instant::now();
        assert_eq!(reached(&client, &format!("SET {} 1", key_of(2, 0))).await, 3);
        assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    });
}

/// Commands from many tasks while a node dies and another takes over.
fn trouble() -> u128 {
    let outcome = simulate(4, |fake| async move {
        let backoff = Backoff { first: Duration::from_millis(5), max: Duration::from_millis(50) };
        let client = client_with(Options { backoff, ..Options::default() });
        let callers: Vec<_> = (0..30)
            .map(|number| {
                let client = client.clone();
                task::spawn(async move {
                    for round in 0..50 {
                        let _ =
                            send::<usize>(&client, &format!("GET {}", key_of(number % 3 + 1, round))).await;
                        time::sleep(Duration::from_millis(10)).await;
                    }
                })
            })
            .collect();
        time::sleep(Duration::from_millis(100)).await;
        node(2).crash();
        time::sleep(Duration::from_millis(100)).await;
        fake.reassign(&[(0, 5460, 1), (5461, 10_922, 4), (10_923, 16_383, 3)]);
        for caller in callers {
            caller.await.expect("no caller fails");
        }
    });
    outcome.fingerprint
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(trouble(), trouble());
}
