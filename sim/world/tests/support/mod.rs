//! Stages shared by the tests.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{Latency, TcpListener, TcpStream};
use world::sim::{self, Config, Outcome, Strategy};
use world::{host, rand, task, time};

pub(crate) const LATENCY: Duration = Duration::from_millis(1);

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A simulation whose links take a millisecond; no task may panic.
pub(crate) fn play<F, Fut>(seed: u64, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    let outcome = sim::run(Config { latency: Latency::constant(LATENCY), ..Config::new(seed) }, main);
    assert!(outcome.panics.is_empty(), "{:?}", outcome.panics);
    outcome
}

pub(crate) fn simulate<F, Fut>(main: F) -> Fut::Output
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    play(1, main).result.unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `main` under every strategy; nothing may panic.
pub(crate) fn under_every_strategy<F, Fut>(main: F)
where
    F: Fn() -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    for strategy in [Strategy::Fifo, Strategy::Random, Strategy::Pct { depth: 2, steps: 50 }] {
        let outcome = sim::run(Config { strategy, ..Config::new(1) }, main.clone());
        assert!(outcome.panics.is_empty(), "{:?}", outcome.panics);
        outcome.result.unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
    }
}

/// Starts clients of an echoing host `server` that wait, draw, iterate a hash map, and say what they made of it.
pub(crate) async fn busy_clients(count: u64) -> Vec<u64> {
    let clients = host::add("clients", || async {});
    let handles: Vec<_> = (0..count).map(|number| clients.spawn(busy_client(number))).collect();
    let mut results = Vec::new();
    for handle in handles {
        results.push(handle.await.expect("clients do not panic"));
    }
    results
}

async fn busy_client(number: u64) -> u64 {
    time::sleep(Duration::from_micros(rand::range(0..5_000))).await;
    let mut stream = TcpStream::connect("server:80").await.expect("the server is up");
    let map: HashMap<u64, u64> = (0..50).map(|key| (key, rand::u64())).collect();
    let mut sum = number;
    for (position, (key, value)) in map.iter().enumerate() {
        sum = sum.wrapping_mul(31).wrapping_add(*key ^ *value ^ position as u64);
    }
    for _ in 0..5 {
        stream.write_all(&sum.to_le_bytes()).await.expect("the server reads");
        sum = sum.wrapping_add(stream.read_u64_le().await.expect("the server answers"));
    }
    sum
}

/// Adds a host that accepts one connection after the other and hands each to `serve`.
pub(crate) fn serve<F, Fut>(name: &'static str, serve: F) -> host::Host
where
    F: Fn(TcpStream) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    host::add(name, move || {
        let serve = serve.clone();
        async move {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("port 80 is free");
            while let Ok((stream, _)) = listener.accept().await {
                task::spawn(serve(stream));
            }
        }
    })
}

pub(crate) async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A connection to an echoing host over which one byte has gone and come back.
pub(crate) async fn connected() -> (host::Host, TcpStream) {
    let server = serve("server", echo);
    task::yield_now().await;
    let mut stream = TcpStream::connect("server:80").await.expect("up");
    stream.write_all(b"x").await.expect("open");
    stream.read_u8().await.expect("echoed");
    (server, stream)
}
