//! Real clients and raw bytes over loopback.

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Raw, Reply, block_on, pause, serve};
use redis::{AsyncCommands, Pipeline, Script};
use redis_middleware::{Observer, Options, Server, Value};

#[test]
fn the_redis_crates_own_client_works() {
    block_on(async {
        let port = serve(Server::new(Options::default())).await;
        for parameters in ["", "?protocol=resp3"] {
            let client =
                redis::Client::open(format!("redis://127.0.0.1:{port}/{parameters}")).expect("an address");
            let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
            let () = connection.del("h").await.expect("DEL");
            let () = connection.hset_multiple("h", &[("a", 1), ("b", 2)]).await.expect("HSET");
            let hash: std::collections::BTreeMap<String, i64> =
                connection.hgetall("h").await.expect("HGETALL");
            assert_eq!(hash.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
            let (a, b): (i64, Option<i64>) = Pipeline::new()
                .atomic()
                .hincr("h", "a", 41)
                .hget("h", "nope")
                .query_async(&mut connection)
                .await
                .expect("a transaction");
            assert_eq!((a, b), (42, None));
            let script = Script::new("return redis.call('HINCRBY', KEYS[1], 'b', ARGV[1])");
            for expected in [12, 22] {
                let sum: i64 = script.key("h").arg(10).invoke_async(&mut connection).await.expect("a script");
                assert_eq!(sum, expected);
            }
            let error = connection.lpush::<_, _, i64>("h", 1).await.expect_err("wrong type");
            assert_eq!(error.code(), Some("WRONGTYPE"));
        }
    });
}

#[test]
fn inline_commands_pipelines_and_pieces_are_understood() {
    block_on(async {
        let port = serve(Server::new(Options::default())).await;
        let mut raw = Raw::connect(port).await;
        raw.write(b"PING\r\nset a 'b c'\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nnope\r\n").await;
        assert_eq!(raw.read().await, Reply::Line(b'+', "PONG".into()));
        assert_eq!(raw.read().await, Reply::Line(b'+', "OK".into()));
        assert_eq!(raw.read().await, Reply::Bulk(b'$', Some(b"b c".to_vec())));
        assert!(raw.read().await.text().starts_with("ERR unknown command 'nope'"));
        for byte in b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n" {
            raw.write(&[*byte]).await;
        }
        assert_eq!(raw.read().await.text(), "hi");
        assert_eq!(raw.words("QUIT").await.text(), "OK");
        assert_eq!(raw.read().await, Reply::Closed);
    });
}

#[test]
fn a_protocol_error_is_answered_and_ends_the_connection_only() {
    block_on(async {
        let port = serve(Server::new(Options::default())).await;
        let mut broken = Raw::connect(port).await;
        broken.write(b"*1\r\nnonsense\r\n").await;
        assert_eq!(broken.read().await.text(), "ERR Protocol error: expected '$', got 'n'");
        assert_eq!(broken.read().await, Reply::Closed);
        assert_eq!(Raw::connect(port).await.words("PING").await.text(), "PONG");
    });
}

#[test]
fn keys_expire_to_the_millisecond_and_watch_sees_it() {
    block_on(async {
        let port = serve(Server::new(Options::default())).await;
        let (mut one, mut two) = (Raw::connect(port).await, Raw::connect(port).await);
        one.words("SET k v PX 40").await;
        let left = one.words("PTTL k").await.integer().expect("an integer");
        assert!((1..=40).contains(&left), "{left}");
        one.words("WATCH k other").await;
        one.words("MULTI").await;
        one.words("SET k again").await;
        pause(Duration::from_millis(60)).await;
        assert_eq!(two.words("GET k").await, Reply::Bulk(b'$', None));
        assert_eq!(one.words("EXEC").await, Reply::Many(b'*', None));
        assert_eq!(two.words("DBSIZE").await.integer(), Some(0));
    });
}

#[test]
fn the_observer_sees_every_atomic_unit_once_with_its_result() {
    type Seen = Arc<Mutex<Vec<Vec<(String, Option<i64>)>>>>;
    let seen = Seen::default();
    let observer: Observer = {
        let seen = seen.clone();
        Arc::new(move |changes| {
            let field = |value: &Value| {
                let text = value.as_hash().and_then(|hash| hash.get(&b"n"[..])).expect("a field");
                String::from_utf8_lossy(text).parse::<i64>().expect("a number")
            };
            let keys = changes
                .iter()
                .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.map(field)));
            seen.lock().expect("not poisoned").push(keys.collect());
        })
    };
    block_on(async {
        let server = Server::new(Options { observer: Some(observer), ..Options::default() });
        let port = serve(server.clone()).await;
        let mut raw = Raw::connect(port).await;
        raw.words("HSET a n 1").await;
        raw.words("HGET a n").await;
        raw.words("HDEL a nope").await;
        raw.write(b"EVAL \"for i = 1, 3 do redis.call('HINCRBY', 'a', 'n', 1) end redis.call('HSET', 'b', 'n', 9)\" 0\r\n")
            .await;
        raw.read().await;
        raw.words("MULTI").await;
        raw.words("HINCRBY a n 10").await;
        raw.words("DEL b").await;
        raw.words("EXEC").await;
        raw.words("PEXPIRE a 20").await;
        pause(Duration::from_millis(40)).await;
        raw.words("PING").await;
        assert!(server.inspect(redis_middleware::Keyspace::is_empty));
    });
    let key = |name: &str, value| (name.to_owned(), value);
    let expected = vec![
        vec![key("a", Some(1))],
        vec![key("a", Some(4)), key("b", Some(9))],
        vec![key("a", Some(14)), key("b", None)],
        vec![key("a", Some(14))],
        vec![key("a", None)],
    ];
    assert_eq!(*seen.lock().expect("not poisoned"), expected);
}

#[test]
fn cursors_return_what_stays_although_other_things_go() {
    block_on(async {
        let port = serve(Server::new(Options::default())).await;
        let mut raw = Raw::connect(port).await;
        for i in 0..100 {
            raw.words(&format!("SET key:{i} v")).await;
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut cursor = "0".to_owned();
        let mut step = 0;
        loop {
            let Reply::Many(_, Some(reply)) = raw.words(&format!("SCAN {cursor} COUNT 7")).await else {
                panic!("not a step")
            };
            let Reply::Many(_, Some(keys)) = &reply[1] else { panic!("no keys") };
            seen.extend(keys.iter().map(Reply::text));
            cursor = reply[0].text();
            if cursor == "0" {
                break;
            }
            // Odd keys go while the walk is under way, new ones come.
            raw.words(&format!("DEL key:{}", 2 * step + 1)).await;
            raw.words(&format!("DEL key:{}", 99 - 2 * step)).await;
            raw.words(&format!("SET new:{step} v")).await;
            step += 1;
        }
        for i in (0..100).step_by(2) {
            assert!(seen.contains(&format!("key:{i}")), "key:{i} stayed and was not returned");
        }
    });
}
