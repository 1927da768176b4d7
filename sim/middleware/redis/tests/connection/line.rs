//! Servers in a simulation, and a client that knows nothing but lines.

use std::time::Duration;

use redis_middleware::{Config, Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{
    host::{self, Host},
    net::TcpStream,
    sim, time,
};

use crate::common::encode;

/// Servers by name, each on a host of its own.
pub(crate) fn boot(count: usize, config: &Config) -> Vec<(Server, Host)> {
    let boot = |number: usize| {
        let server =
            Server::new(Options { seed: number as u64, config: config.clone(), ..Options::default() });
        let served = server.clone();
        let host = host::add(&format!("redis-{number}"), move || {
            let server = served.clone();
            async move { server.listen("0.0.0.0:6379").await.expect("the port is free") }
        });
        (server, host)
    };
    (1..=count).map(boot).collect()
}

pub(crate) fn simulate<F>(seed: u64, test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let outcome = sim::run(sim::Config::new(seed), test);
    if let Err(error) = outcome.result {
        panic!("seed {seed}: {error}: {:?}", outcome.panics);
    }
}

pub(crate) fn quick() -> Config {
    Config { repl_diskless_sync_delay: Duration::ZERO, ..Config::default() }
}

/// A connection that knows nothing but lines.
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

impl Line {
    pub(crate) async fn to(number: usize) -> Self {
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(&format!("redis-{number}:6379")).await {
                return Self { stream, read: Vec::new() };
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-{number} does not listen")
    }

    pub(crate) async fn say(&mut self, words: &str) {
        // Inline requests have to be short.
        let bytes = match words.len() {
            ..1000 => format!("{words}\r\n").into_bytes(),
            _ => encode(&words.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()),
        };
        self.stream.write_all(&bytes).await.expect("written");
        self.stream.flush().await.expect("written");
    }

    /// What comes until nothing has come for so long; line ends are blanks.
    pub(crate) async fn hear(&mut self, silence: Duration) -> String {
        while let Ok(Ok(1..)) = time::timeout(silence, self.stream.read_buf(&mut self.read)).await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).replace("\r\n", " ").trim().to_owned()
    }

    pub(crate) async fn ask(&mut self, words: &str) -> String {
        self.say(words).await;
        self.hear(A_MOMENT).await
    }
}

pub(crate) const A_MOMENT: Duration = Duration::from_millis(20);

/// Waits until a replica's link is up.
pub(crate) async fn until_linked(number: usize) {
    let mut line = Line::to(number).await;
    for _ in 0..300 {
        if line.ask("INFO replication").await.contains("master_link_status:up") {
            return;
        }
        time::sleep(Duration::from_millis(100)).await;
    }
    panic!("redis-{number} does not come into step");
}
