//! Six simulated servers: six hosts, real sockets of the simulation, real elections.

use std::time::Duration;

use redis::{FromRedisValue, RedisResult};
use redis_middleware::{Config, Options, Server};
use wire::redis::{Client, Options as ClientOptions, cluster};
use world::{
    host::{self, Host},
    sim, time,
};

pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// Six nodes, each made anew at every boot, with its files on its host's disk.
pub(crate) struct Stage {
    pub(crate) hosts: Vec<Host>,
}

impl Stage {
    pub(crate) async fn new(config: Config) -> Self {
        let hosts: Vec<Host> = (1..=6)
            .map(|number| {
                let config = config.clone();
                host::add(&format!("redis-{number}"), move || {
                    let options =
                        Options { seed: world::rand::u64(), config: config.clone(), ..Options::default() };
                    let server = Server::new(options);
                    async move {
                        server.listen("0.0.0.0:6379").await.expect("the port and the disk are there");
                    }
                })
            })
            .collect();
        time::sleep(Duration::from_millis(100)).await;
        let addresses: Vec<String> = (1..=6).map(|number| format!("redis-{number}:6379")).collect();
        cluster::form(&addresses, 1).await.expect("the nodes come together");
        Self { hosts }
    }

    pub(crate) fn client(number: usize) -> Client {
        Client::new(format!("redis-{number}:6379"), ClientOptions::default())
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, number: usize, words: &str) -> RedisResult<T> {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut Self::client(number).connection()).await
    }

    /// Waits until `CLUSTER INFO` or another text of a node has something.
    pub(crate) async fn until(&self, number: usize, command: &str, has: &str) -> Duration {
        let started = time::Instant::now();
        for _ in 0..600 {
            let text: RedisResult<String> = self.ask(number, command).await;
            if text.is_ok_and(|text| text.contains(has)) {
                return started.elapsed();
            }
            time::sleep(Duration::from_millis(50)).await;
        }
        panic!("redis-{number}: {command} never has {has}");
    }
}

pub(crate) fn config() -> Config {
    Config {
        cluster_enabled: true,
        cluster_node_timeout: NODE_TIMEOUT,
        repl_diskless_sync_delay: Duration::ZERO,
        ..Config::default()
    }
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
