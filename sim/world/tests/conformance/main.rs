//! Every engine of the build does what the table in the crate's documentation says of it: where the table says "as
//! the kernel", the promise holds, and where it says otherwise, exactly that is seen. Nothing is skipped, so a row
//! that has become wrong fails.
//!
//! A check plays the feature's row on one engine. It returns `Ok` if the promise held, and otherwise says what it saw
//! in the words of the table. What an engine tells that it cannot give counts as seen: [`unsupported`].

mod hosts;
mod links;
mod resources;
mod runs;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod timing;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::engines::{EngineKind, FEATURES, Support};
use world::net::{Latency, TcpListener, TcpStream};
use world::sim::{self, Config, Outcome};
use world::{host, task, time};

/// One-way latency where the engine takes any.
pub(crate) const LATENCY: Duration = Duration::from_millis(1);

/// What a check saw: the promise kept, or these words of the table.
pub(crate) type Seen = Result<(), String>;

/// A check of one feature.
type Check = fn(EngineKind) -> Seen;

/// All checks, by the name of their feature.
fn checks() -> Vec<(&'static str, Check)> {
    [
        streams::CHECKS,
        timing::CHECKS,
        tasks::CHECKS,
        hosts::CHECKS,
        links::CHECKS,
        resources::CHECKS,
        runs::CHECKS,
    ]
    .concat()
}

/// Plays the checks of one module; all that differ from the table are shown.
fn conform(checks: &[(&str, Check)]) {
    let mut wrong = Vec::new();
    for (name, check) in checks {
        let feature = FEATURES.iter().find(|feature| feature.name == *name);
        let feature = feature.unwrap_or_else(|| panic!("the table has no row {name:?}"));
        for engine in EngineKind::available() {
            let seen = check(engine);
            let as_told = match (feature.on(engine), &seen) {
                (Support::Full, seen) => seen.is_ok(),
                (Support::Differs(how), Err(seen)) => how == seen,
                (Support::Differs(_), Ok(())) => false,
            };
            if !as_told {
                let told = feature.on(engine);
                wrong.push(format!("{name} on {engine}:\n   told {told:?}\n   seen {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_has_a_check_and_every_check_a_row() {
    let rows: BTreeSet<&str> = FEATURES.iter().map(|feature| feature.name).collect();
    let checked: BTreeSet<&str> = checks().iter().map(|(name, _)| *name).collect();
    assert_eq!(rows, checked);
    assert_eq!(rows.len(), FEATURES.len(), "a row stands twice");
}

#[test]
fn the_documentation_shows_the_table() {
    let shown = include_str!("../../src/engines/table.md");
    let table = world::engines::render();
    assert!(shown == table, "src/engines/table.md is out of date; it should read:\n{table}");
}

/// A run with constant latency.
pub(crate) fn config(engine: EngineKind) -> Config {
    Config { engine, latency: Latency::constant(LATENCY), ..Config::new(1) }
}

/// Plays a check's world.
pub(crate) fn play<F, Fut>(engine: EngineKind, main: F) -> Seen
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Seen> + Send + 'static,
{
    let outcome = outcome(engine, main);
    match outcome.result {
        Ok(seen) => seen.and_then(|()| unsupported(&outcome.unsupported)),
        Err(error) => Err(error.to_string()),
    }
}

/// As [`play`], where a check says itself what it makes of the outcome.
pub(crate) fn outcome<F, Fut>(engine: EngineKind, main: F) -> Outcome<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    sim::run(config(engine), main)
}

/// What the engine said that it cannot give.
pub(crate) fn unsupported(what: &[String]) -> Seen {
    if what.is_empty() { Ok(()) } else { Err("unsupported, and the outcome says so".to_owned()) }
}

/// `Err` with these words.
pub(crate) fn seen(what: &str) -> Seen {
    Err(what.to_owned())
}

/// Adds a host that accepts one connection after the other and hands each to `serve`, and waits until it listens.
pub(crate) async fn serve<F, Fut>(name: &'static str, serve: F) -> host::Host
where
    F: Fn(TcpStream) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let host = host::add(name, move || {
        let serve = serve.clone();
        async move {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("port 80 is free");
            while let Ok((stream, _)) = listener.accept().await {
                task::spawn(serve(stream));
            }
        }
    });
    time::sleep(Duration::from_millis(20)).await;
    host
}

/// Sends back what comes.
pub(crate) async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Asks an echo for one byte, and waits for it for a while.
pub(crate) async fn asks(stream: &mut TcpStream, patience: Duration) -> bool {
    let exchange = async {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    };
    matches!(time::timeout(patience, exchange).await, Ok(Ok(b'x')))
}
