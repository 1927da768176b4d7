//! The client of `wire` against this server: over plain streams, and inside of a simulation.

use std::{collections::BTreeMap, io, time::Duration};

use redis::{AsyncCommands, Pipeline, Script};
use redis_middleware::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::redis::{Client, Connection, Options as ClientOptions, was_not_sent};
use world::{host, net::TcpListener, sim, time};

const ADDRESS: &str = "redis-1:6379";

/// Runs a test in a simulation with a server on the host `redis-1`.
fn simulate<F>(test: impl FnOnce(Client) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let outcome = sim::run(sim::Config::new(7), move || async move {
        let server = Server::new(Options::default());
        host::add("redis-1", move || {
            let server = server.clone();
            async move {
                server.listen("0.0.0.0:6379").await.expect("the port is free");
            }
        });
        time::sleep(Duration::from_millis(10)).await;
        test(Client::new(ADDRESS, ClientOptions::default())).await;
    });
    if let Err(error) = outcome.result {
        panic!("{error}: {:?}", outcome.panics);
    }
}

#[test]
fn commands_pipelines_transactions_and_scripts_work() {
    simulate(|client| async move {
        let mut redis = client.connection();
        let () = redis.set("a", 1).await.expect("SET");
        let (one, two): (i64, Vec<i64>) = Pipeline::new()
            .incr("a", 1)
            .rpush("l", &[1, 2])
            .ignore()
            .lrange("l", 0, -1)
            .query_async(&mut redis)
            .await
            .expect("a pipeline");
        assert_eq!((one, two), (2, vec![1, 2]));
        let (sum,): (i64,) =
            Pipeline::new().atomic().incr("a", 40).query_async(&mut redis).await.expect("a transaction");
        assert_eq!(sum, 42);
        let () = Pipeline::new().query_async(&mut redis).await.expect("nothing to do");
        let script = Script::new("return {redis.call('GET', KEYS[1]), ARGV[1]}");
        for _ in 0..2 {
            let reply: (i64, String) =
                script.key("a").arg("x").invoke_async(&mut redis).await.expect("a script");
            assert_eq!(reply, (42, "x".to_owned()));
        }
        let error = redis.hget::<_, _, Option<i64>>("a", "f").await.expect_err("a wrong type");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        assert!(!was_not_sent(&error));
    });
}

#[test]
fn concurrent_callers_share_connections_and_get_their_own_replies() {
    simulate(|client| async move {
        let callers: Vec<_> = (0..200)
            .map(|caller: usize| {
                let mut redis = client.connection();
                world::task::spawn(async move {
                    for round in 0..5 {
                        let text = format!("{caller}-{round}");
                        let echo: String =
                            redis::cmd("ECHO").arg(&text).query_async(&mut redis).await.expect("ECHO");
                        assert_eq!(echo, text);
                        let () = redis.incr("n", 1).await.expect("INCR");
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no caller fails");
        }
        let sum: i64 = client.connection().get("n").await.expect("GET");
        assert_eq!(sum, 1000);
    });
}

#[test]
fn keys_expire_without_any_command() {
    let outcome = sim::run(sim::Config::new(1), || async {
        let server = Server::new(Options::default());
        let listening = server.clone();
        host::add("redis-1", move || {
            let server = listening.clone();
            async move { server.listen("0.0.0.0:6379").await.expect("the port is free") }
        });
        time::sleep(Duration::from_millis(10)).await;
        let mut redis = Client::new(ADDRESS, ClientOptions::default()).connection();
        let () = redis.pset_ex("soon", 1, 1000).await.expect("PSETEX");
        let () = redis.pset_ex("later", 1, 60_000).await.expect("PSETEX");
        let () = redis.pset_ex("sooner", 1, 500).await.expect("PSETEX");
        let keys = || server.inspect(redis_middleware::Keyspace::len);
        time::sleep(Duration::from_millis(400)).await;
        assert_eq!(keys(), 3);
        time::sleep(Duration::from_millis(250)).await;
        assert_eq!(keys(), 2);
        time::sleep(Duration::from_millis(500)).await;
        assert_eq!(keys(), 1);
        let left: i64 = redis.pttl("later").await.expect("PTTL");
        assert!((58_700..58_900).contains(&left), "{left}");
        time::sleep(Duration::from_secs(60)).await;
        assert_eq!(keys(), 0);
    });
    assert!(outcome.result.is_ok(), "{:?} {:?}", outcome.result.err(), outcome.panics);
}

#[test]
fn a_dead_server_is_told_apart_from_a_lost_reply_and_the_client_reconnects() {
    simulate(|client| async move {
        let server = host::find("redis-1").expect("the server's host");
        let mut redis = client.connection();
        let () = redis.set("a", 1).await.expect("SET");
        server.kill();
        // The connections are still open on this side: whatever was written may have arrived.
        let mut lost = 0;
        let mut refused = 0;
        for _ in 0..6 {
            let error = redis.incr::<_, _, i64>("a", 1).await.expect_err("nobody answers");
            assert!(error.is_io_error(), "{error}");
            if was_not_sent(&error) { refused += 1 } else { lost += 1 }
        }
        assert!(refused >= 3, "refused {refused}, lost {lost}");
        server.boot();
        time::sleep(Duration::from_millis(10)).await;
        // One connection per lane may have to learn first that its peer is gone.
        let mut answers = BTreeMap::new();
        for _ in 0..6 {
            let answer = redis.get::<_, Option<i64>>("a").await;
            *answers.entry(answer.is_ok()).or_insert(0) += 1;
        }
        assert!(answers.get(&true).copied().unwrap_or(0) >= 4, "{answers:?}");
    });
}

/// A server that reads requests and answers only the first.
async fn answer_once(listener: TcpListener) {
    let mut connections = Vec::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let mut bytes = [0; 256];
        let _ = stream.read(&mut bytes).await;
        let _ = stream.write_all(b"+PONG\r\n").await;
        connections.push(stream);
    }
}

#[test]
fn a_late_reply_gives_up_the_connection_with_all_that_is_under_way() {
    let outcome = sim::run(sim::Config::new(3), || async {
        host::add("silent", || async {
            let listener = TcpListener::bind("0.0.0.0:6379").await.expect("the port is free");
            answer_once(listener).await;
        });
        time::sleep(Duration::from_millis(10)).await;
        let options = ClientOptions {
            connections: 1,
            response_timeout: Duration::from_millis(300),
            ..ClientOptions::default()
        };
        let client = Client::new("silent:6379", options);
        let ping = |client: &Client| {
            let mut redis = client.connection();
            async move { redis::cmd("PING").query_async::<String>(&mut redis).await }
        };
        assert_eq!(ping(&client).await.expect("the first is answered"), "PONG");
        let started = time::Instant::now();
        let first = world::task::spawn(ping(&client));
        time::sleep(Duration::from_millis(100)).await;
        let second = world::task::spawn(ping(&client));
        for waiting in [first, second] {
            let error = waiting.await.expect("not aborted").expect_err("no reply");
            assert!(error.is_timeout() && !was_not_sent(&error), "{error}");
        }
        let waited = started.elapsed();
        assert!((Duration::from_millis(300)..Duration::from_millis(310)).contains(&waited), "{waited:?}");
        // A new connection is answered again.
        assert_eq!(ping(&client).await.expect("answered"), "PONG");
    });
    assert!(outcome.result.is_ok(), "{:?} {:?}", outcome.result.err(), outcome.panics);
}

#[test]
fn a_plain_connection_is_poisoned_by_a_timeout_and_sends_nothing_more() {
    let outcome = sim::run(sim::Config::new(3), || async {
        let (stream, mut peer) = tokio::io::duplex(1024);
        let mut connection = Connection::new(stream, Some(Duration::from_millis(50)));
        let error = redis::cmd("PING").query_async::<String>(&mut connection).await.expect_err("no reply");
        assert!(error.is_timeout() && !was_not_sent(&error), "{error}");
        assert!(connection.is_poisoned());
        // The reply that comes too late belongs to nobody.
        peer.write_all(b"+PONG\r\n").await.expect("written");
        let error =
            redis::cmd("GET").arg("a").query_async::<String>(&mut connection).await.expect_err("poisoned");
        assert!(was_not_sent(&error), "{error}");
        drop(connection);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).await.expect("closed");
        assert_eq!(received, b"*1\r\n$4\r\nPING\r\n");
    });
    assert!(outcome.result.is_ok(), "{:?} {:?}", outcome.result.err(), outcome.panics);
}

#[test]
fn a_plain_connection_is_poisoned_by_a_dropped_command_and_by_garbage() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (stream, _peer) = tokio::io::duplex(1024);
        let mut connection = Connection::new(stream, None);
        let command = redis::cmd("PING");
        let mut ping = Box::pin(command.query_async::<String>(&mut connection));
        let pending =
            std::future::poll_fn(|cx| std::task::Poll::Ready(ping.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        drop(ping);
        assert!(connection.is_poisoned());

        let (stream, mut peer) = tokio::io::duplex(1024);
        let mut connection = Connection::new(stream, None);
        peer.write_all(b"?what\r\n").await.expect("written");
        let error = command.query_async::<String>(&mut connection).await.expect_err("garbage");
        assert!(error.is_io_error() && connection.is_poisoned(), "{error}");

        let (stream, peer) = tokio::io::duplex(1024);
        let mut connection = Connection::new(stream, None);
        drop(peer);
        let error = command.query_async::<String>(&mut connection).await.expect_err("closed");
        assert!(error.is_connection_dropped(), "{error}");
    });
    let not_io: redis::RedisError = io::Error::other("something else").into();
    assert!(!was_not_sent(&not_io));
}
