//! HTTP over in-memory streams, with hostile bytes against each side, and over the simulated network.
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::Path,
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use wire::http::{
    ApiError, BODY_LIMIT, Client, Connection, Error, Options,
    error::{NotSent, Unknown},
    json_request, read_json, serve, serve_connection, trace,
};
use world::net::TcpListener;

const WITHIN: Duration = Duration::from_secs(1);

fn router() -> Router {
    Router::new()
        .route("/double/{number}", get(|Path(number): Path<u64>| async move { Json(number * 2) }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/large", get(|| async { vec![b'x'; BODY_LIMIT + 1] }))
        .route("/never", get(std::future::pending::<()>))
        .route("/trace", get(|| async { trace::current_text() }))
        .route(
            "/refuse",
            get(|| async { Err::<(), _>(ApiError::new(StatusCode::CONFLICT, "sold_out", "no seat")) }),
        )
}

fn get_request(path: &str) -> Request<Bytes> {
    json_request::<()>(Method::GET, path, None).expect("a valid path")
}

async fn connection(stream: DuplexStream) -> Connection<DuplexStream> {
    Connection::new("server:80", stream).await.expect("a valid address")
}

/// A client connected to a server of [`router`].
async fn served() -> Connection<DuplexStream> {
    let (near, far) = duplex(16 * 1024);
    world::task::spawn(serve_connection(far, router()));
    connection(near).await
}

/// A client whose other side answers with the given bytes to whatever comes first, and then closes.
async fn answered_with(answer: &'static [u8]) -> Connection<DuplexStream> {
    let (near, mut far) = duplex(16 * 1024);
    world::task::spawn(async move {
        let mut request = [0; 4096];
        let _ = far.read(&mut request).await;
        let _ = far.write_all(answer).await;
    });
    connection(near).await
}

#[test]
fn one_connection_serves_many_requests() {
    simulate(async {
        let mut connection = served().await;
        for number in 0..100_u64 {
            let response =
                connection.send(get_request(&format!("/double/{number}")), WITHIN).await.expect("answer");
            assert_eq!(read_json::<u64>(&response).expect("a number"), number * 2);
            assert!(connection.is_usable());
        }
        let largest = Bytes::from(vec![b'y'; BODY_LIMIT]);
        let mut request = get_request("/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = largest.clone();
        // Larger than axum's extractors would take without the server's own limit.
        let response = connection.send(request, WITHIN).await.expect("answer");
        assert_eq!((response.status(), response.body()), (StatusCode::OK, &largest));
    });
}

#[test]
fn errors_travel_with_the_trace_id() {
    simulate(async {
        let mut connection = served().await;
        let response = connection.send(get_request("/refuse"), WITHIN).await.expect("answer");
        assert_eq!(ApiError::read(&response).trace_id, "");
        let response = trace::scope(Some(HeaderValue::from_static("buyer-7")), async {
            let response = connection.send(get_request("/trace"), WITHIN).await.expect("answer");
            assert_eq!(response.body(), "buyer-7");
            connection.send(get_request("/refuse"), WITHIN).await.expect("answer")
        })
        .await;
        let error = ApiError::read(&response);
        assert_eq!(
            (error.status, &*error.code, &*error.trace_id),
            (StatusCode::CONFLICT, "sold_out", "buyer-7")
        );
        assert!(error.promises_no_effect());
        assert_eq!(trace::current(), None);
    });
}

#[test]
fn a_timeout_leaves_the_outcome_unknown_and_the_connection_unusable() {
    simulate(async {
        let mut connection = served().await;
        let error = connection.send(get_request("/never"), WITHIN).await.expect_err("no answer");
        assert!(matches!(error, Error::Unknown { reason: Unknown::Timeout(WITHIN), .. }), "{error}");
        assert!(!connection.is_usable());
        let error = connection.send(get_request("/double/1"), WITHIN).await.expect_err("unusable");
        assert!(matches!(error, Error::NotSent { reason: NotSent::Closed, .. }), "{error}");
    });
}

#[test]
fn a_dropped_request_leaves_the_connection_unusable() {
    simulate(async {
        let mut connection = served().await;
        let dropped = world::time::timeout(WITHIN / 2, connection.send(get_request("/never"), WITHIN)).await;
        assert!(dropped.is_err());
        assert!(!connection.is_usable());
    });
}

#[test]
fn a_connection_closed_while_idle_sends_nothing() {
    simulate(async {
        let (near, far) = duplex(1024);
        let mut connection = connection(near).await;
        assert!(connection.is_usable());
        drop(far);
        assert!(!connection.is_usable());
        let error = connection.send(get_request("/double/1"), WITHIN).await.expect_err("closed");
        assert!(matches!(error, Error::NotSent { reason: NotSent::Closed, .. }), "{error}");
    });
}

#[test]
fn bodies_above_the_limit_are_refused_on_both_sides() {
    simulate(async {
        let mut connection = served().await;
        let mut request = get_request("/echo");
        *request.method_mut() = Method::POST;
        *request.body_mut() = vec![b'x'; BODY_LIMIT + 1].into();
        let error = connection.send(request, WITHIN).await.expect_err("too large");
        assert!(matches!(error, Error::NotSent { reason: NotSent::InvalidRequest(_), .. }), "{error}");
        let error = connection.send(get_request("/large"), WITHIN).await.expect_err("too large");
        assert!(matches!(error, Error::Unknown { reason: Unknown::BodyTooLarge(BODY_LIMIT), .. }), "{error}");
    });
}

#[test]
fn the_server_refuses_a_body_above_the_limit() {
    simulate(async {
        let (mut near, far) = duplex(16 * 1024);
        world::task::spawn(serve_connection(far, router()));
        let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", BODY_LIMIT + 1);
        near.write_all(head.as_bytes()).await.expect("head");
        let mut status = [0; 12];
        near.read_exact(&mut status).await.expect("status");
        assert_eq!(&status, b"HTTP/1.1 413");

        // The same without saying so first.
        let (near, far) = duplex(16 * 1024);
        world::task::spawn(serve_connection(far, router()));
        let (mut reader, mut writer) = tokio::io::split(near);
        world::task::spawn(async move {
            let head = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            writer.write_all(head).await.expect("head");
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            while writer.write_all(&chunk).await.is_ok() {}
        });
        let mut status = [0; 12];
        reader.read_exact(&mut status).await.expect("status");
        assert_eq!(&status, b"HTTP/1.1 413");
    });
}

#[test]
fn answers_that_are_not_http_leave_the_outcome_unknown() {
    let answers: [&[u8]; 8] = [
        b"",
        b"\0\xff\xfe\xfd",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 999999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ];
    simulate(async move {
        for answer in answers {
            let mut connection = answered_with(answer).await;
            let error = connection.send(get_request("/double/1"), WITHIN).await.expect_err("not HTTP");
            assert!(matches!(error, Error::Unknown { reason: Unknown::Lost(_), .. }), "{error} {answer:?}");
            assert!(!connection.is_usable());
        }
    });
}

#[test]
fn requests_that_are_not_http_end_the_connection_only() {
    let requests: [&[u8]; 5] = [
        b"\0\xff\xfe\xfd\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET / HTTP/1.1\r\nbroken header\r\n\r\n",
    ];
    simulate(async move {
        for request in requests {
            let (mut near, far) = duplex(16 * 1024);
            let server = world::task::spawn(serve_connection(far, router()));
            near.write_all(request).await.expect("written");
            let mut answer = Vec::new();
            near.read_to_end(&mut answer).await.expect("closed by the server");
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{request:?}");
            server.await.expect("the server ends without a panic");
        }
    });
}

#[test]
fn head_and_body_are_written_together() {
    simulate(async {
        let (mut near, far) = duplex(16 * 1024);
        world::task::spawn(serve_connection(far, router()));
        near.write_all(b"GET /double/21 HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("written");
        let mut answer = [0; 4096];
        let length = near.read(&mut answer).await.expect("answer");
        assert!(
            answer[..length].ends_with(b"\r\n\r\n42"),
            "{:?}",
            String::from_utf8_lossy(&answer[..length])
        );
    });
}

#[test]
fn a_handler_runs_to_its_end_after_the_client_has_left() {
    let (done, mut is_done) = tokio::sync::mpsc::channel::<()>(1);
    simulate(async move {
        let slow = move || {
            let done = done.clone();
            async move {
                world::time::sleep(WITHIN).await;
                let _ = done.send(()).await;
            }
        };
        let (mut near, far) = duplex(1024);
        world::task::spawn(serve_connection(far, Router::new().route("/", get(slow))));
        near.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("written");
        drop(near);
        assert!(is_done.recv().await.is_some(), "the handler was cancelled");
    });
}

#[test]
fn stale_idle_connections_are_replaced() {
    simulate(async {
        let server = serve_on("server", router());
        let client = Client::default();
        for _ in 0..3 {
            let number = client.get_json::<u64>("server:80", "/double/4", WITHIN).await.expect("an answer");
            assert_eq!(number, 8);
            // Its end of the pooled connection dies with it.
            server.kill();
            world::time::sleep(WITHIN).await;
            server.boot();
            world::time::sleep(WITHIN).await;
        }
    });
}

#[test]
fn the_connection_used_last_is_used_first() {
    simulate(async {
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        world::host::add("server", move || {
            let counted = Arc::clone(&counted);
            async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.expect("bound");
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    world::task::spawn(serve_connection(stream, router()));
                }
            }
        });
        let client = Client::default();
        let ask = || {
            let client = client.clone();
            world::task::spawn(async move { client.get_json::<u64>("server:80", "/double/1", WITHIN).await })
        };
        for asked in [ask(), ask(), ask()] {
            assert_eq!(asked.await.expect("no panic").expect("an answer"), 2);
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 3);
        for _ in 0..5 {
            ask().await.expect("no panic").expect("an answer");
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 3);
        // A request that is given up takes its connection along, the others stay.
        let dropped = client.send("server:80", get_request("/never"), WITHIN);
        assert!(world::time::timeout(WITHIN / 2, dropped).await.is_err());
        for asked in [ask(), ask(), ask()] {
            asked.await.expect("no panic").expect("an answer");
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn what_cannot_connect_was_not_sent() {
    simulate(async {
        let client = Client::default();
        world::host::add("idle", || async {});
        for addr in ["idle:80", "nobody:80", "10.99.99.99:80", "no address", "", "a\nb:80"] {
            let error = client.send(addr, get_request("/"), WITHIN).await.expect_err("nobody is there");
            assert!(matches!(error, Error::NotSent { reason: NotSent::Connect(_), .. }), "{error}");
        }
    });
}

#[test]
fn a_kill_after_the_request_was_written_leaves_the_outcome_unknown() {
    simulate(async {
        let server = serve_on("server", router());
        let client = Client::default();
        let asked = world::task::spawn(async move {
            client.send("server:80", get_request("/never"), Duration::from_secs(60)).await
        });
        world::time::sleep(WITHIN).await;
        server.kill();
        let error = asked.await.expect("no panic").expect_err("lost");
        assert!(matches!(error, Error::Unknown { reason: Unknown::Lost(_), .. }), "{error}");
    });
}

#[test]
fn a_host_without_power_costs_no_more_than_the_time_to_connect() {
    simulate(async {
        let server = serve_on("server", router());
        let client = Client::new(Options { connect_timeout: WITHIN, ..Options::default() });
        server.crash();
        let begin = world::time::Instant::now();
        let error = client.send("server:80", get_request("/never"), 5 * WITHIN).await.expect_err("no answer");
        assert!(matches!(error, Error::NotSent { reason: NotSent::ConnectTimeout(WITHIN), .. }), "{error}");
        assert_eq!(begin.elapsed(), WITHIN);
    });
}

#[test]
fn the_budget_covers_connecting_and_answering() {
    simulate(async {
        serve_on("server", router());
        let client = Client::default();
        let begin = world::time::Instant::now();
        let error = client.send("server:80", get_request("/never"), WITHIN).await.expect_err("no answer");
        assert!(matches!(error, Error::Unknown { reason: Unknown::Timeout(WITHIN), .. }), "{error}");
        assert_eq!(begin.elapsed(), WITHIN);
    });
}

/// Boots a host that serves on port 80.
fn serve_on(name: &str, router: Router) -> world::host::Host {
    world::host::add(name, move || {
        let router = router.clone();
        async move { serve(TcpListener::bind("0.0.0.0:80").await.expect("bound"), router).await }
    })
}

/// Runs a test in a simulation.
fn simulate(test: impl Future<Output = ()> + Send + 'static) {
    let outcome = world::sim::run(world::sim::Config::new(7), || test);
    assert_eq!(outcome.panics, []);
    outcome.result.expect("the test runs to its end");
}
