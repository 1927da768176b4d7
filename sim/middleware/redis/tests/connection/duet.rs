//! Plays a script over several connections to our server and to a real one, and compares every reply.
//!
//! A line is a connection's number, then:
//! - `:` and a request, whose reply is read;
//! - `~` and a request, whose reply is read but not compared: it has an id;
//! - `!` and a request, whose reply is not read (yet);
//! - `<` to read the next reply, or several (`<3`).
//!
//! `{1}` stands for the id of connection 1. Between lines with `!` and what follows them, both servers get the time to
//! take the request.

use std::{net::Ipv4Addr, time::Duration};

use redis_middleware::{Options, Server};
use world::{engines::EngineKind, sim};

use crate::common::{Raw, RealRedis, Reply, free_port, pause};

/// Enough for a request to be taken by a server on the same machine.
const A_MOMENT: Duration = Duration::from_millis(15);

struct Side {
    connections: Vec<Raw>,
    ids: Vec<i64>,
}

impl Side {
    async fn connect(port: u16, count: usize) -> Self {
        let mut side = Self { connections: Vec::new(), ids: Vec::new() };
        for _ in 0..count {
            let mut connection = Raw::connect(port).await;
            side.ids.push(connection.words("CLIENT ID").await.integer().expect("an id"));
            side.connections.push(connection);
        }
        side
    }

    fn request(&self, words: &str) -> Vec<Vec<u8>> {
        let mut words = words.to_owned();
        for (number, id) in self.ids.iter().enumerate() {
            words = words.replace(&format!("{{{}}}", number + 1), &id.to_string());
        }
        words
            .split(' ')
            .map(|word| match word {
                "''" => vec![],
                word => word.replace('_', " ").into_bytes(),
            })
            .collect()
    }

    /// Plays one line; what was read.
    async fn play(&mut self, line: &str) -> Vec<Reply> {
        let at = line.find([':', '~', '!', '<']).expect("a line of a script");
        let number: usize = line[..at].parse().expect("the number of a connection");
        let (kind, rest) = (&line[at..=at], line[at + 1..].trim());
        let request = self.request(rest);
        let connection = &mut self.connections[number - 1];
        match kind {
            ":" => vec![connection.command(&request).await],
            "~" => {
                connection.command(&request).await;
                vec![]
            }
            "!" => {
                connection.write(&crate::common::encode(&request)).await;
                pause(A_MOMENT).await;
                vec![]
            }
            _ => {
                let mut replies = vec![];
                for _ in 0..rest.parse().unwrap_or(1) {
                    replies.push(connection.read().await);
                }
                replies
            }
        }
    }
}

/// Runs a test with the ports of our server and of a real one; `None` where there is no real one.
pub(crate) fn with_both<F, R>(test: impl FnOnce(u16, u16) -> F + Send + 'static) -> Option<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let config = sim::Config {
        engine: EngineKind::Tokio,
        listen_at: Some(Ipv4Addr::LOCALHOST),
        watchdog: None,
        ..sim::Config::new(1)
    };
    let outcome = sim::run(config, move || async move {
        let real = RealRedis::start().await?;
        let port = free_port().await;
        world::task::spawn(async move {
            let server = Server::new(Options::default());
            server.listen(&format!("0.0.0.0:{port}")).await.expect("the port is free");
        });
        pause(A_MOMENT).await;
        Some(test(port, real.port).await)
    });
    outcome.result.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Plays scripts, each on empty servers with new connections.
pub(crate) fn compare(scripts: &[&str]) {
    let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
    let differences = with_both(move |ours, real| async move {
        let mut differences = Vec::new();
        for script in &scripts {
            differences.extend(play(script, ours, real).await);
        }
        differences
    });
    let differences = differences.unwrap_or_default();
    assert!(differences.is_empty(), "replies differ:\n{}", differences.join("\n"));
}

/// Plays a script; what was different, after all that was not.
async fn play(script: &str, ours: u16, real: u16) -> Option<String> {
    let (mut ours, mut real) = (Side::connect(ours, 4).await, Side::connect(real, 4).await);
    for side in [&mut ours, &mut real] {
        side.play("1: FLUSHALL").await;
    }
    let mut log = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (one, other) = (ours.play(line).await, real.play(line).await);
        log.push_str(&format!("  {line}\n"));
        if one != other {
            return Some(format!("{log}  ours: {one:?}\n  redis-server: {other:?}\n"));
        }
        for reply in one {
            log.push_str(&format!("      {}\n", reply.text()));
        }
    }
    None
}
