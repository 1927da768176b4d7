//! Six nodes of either kind, and what they say about each other.

use redis::{FromRedisValue, RedisResult};
use wire::redis::{Client, Options};
use world::{
    engines::EngineKind,
    net::{self, Impairment},
    sim,
};

use crate::{
    real::{RealCluster, command},
    stage::Stage,
};

/// Six nodes, of either kind.
pub(crate) trait Nodes: Send + Sync + 'static {
    /// Where each listens: "host:port".
    fn addresses(&self) -> Vec<String>;
    /// Ends the process of a node.
    fn kill(&self, node: usize);
    fn boot(&self, node: usize);
    /// Ends the replication of a master by one of its replicas, which cannot begin again. The bus is not touched where
    /// the servers are real.
    async fn part(&self, master: usize, replica: usize);
}

impl Nodes for RealCluster {
    fn addresses(&self) -> Vec<String> {
        self.seeds()
    }

    fn kill(&self, node: usize) {
        RealCluster::kill(self, self.port(node));
    }

    fn boot(&self, node: usize) {
        RealCluster::boot(self, self.port(node));
    }

    async fn part(&self, master: usize, replica: usize) {
        let addresses = self.addresses();
        // The master wants no password and refuses whoever gives one.
        ask::<()>(&addresses[replica], "CONFIG SET masterauth none").await.expect("CONFIG SET");
        ask::<()>(&addresses[master], "CLIENT KILL TYPE replica").await.expect("CLIENT KILL");
    }
}

impl Nodes for Stage {
    fn addresses(&self) -> Vec<String> {
        (1..=self.hosts.len()).map(|number| format!("redis-{number}:6379")).collect()
    }

    fn kill(&self, node: usize) {
        self.hosts[node].kill();
    }

    fn boot(&self, node: usize) {
        self.hosts[node].boot();
    }

    async fn part(&self, master: usize, replica: usize) {
        net::impair_both(&[self.hosts[master]], &[self.hosts[replica]], Impairment::Partition);
    }
}

pub(crate) async fn ask<T: FromRedisValue>(address: &str, words: &str) -> RedisResult<T> {
    let client = Client::new(address, Options::default());
    command(words).query_async(&mut client.connection()).await
}

/// A line of `CLUSTER NODES`.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: String,
    flags: Vec<String>,
    /// The master of a replica, else "-".
    pub(crate) master: String,
    /// The first range, if it has any.
    pub(crate) slots: Option<String>,
}

impl Line {
    pub(crate) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|is| is == flag)
    }
}

pub(crate) async fn lines(address: &str) -> Vec<Line> {
    let text: String = ask(address, "CLUSTER NODES").await.expect("a living node");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        Line {
            id: words[0].to_owned(),
            flags: words[2].split(',').map(str::to_owned).collect(),
            master: words[3].to_owned(),
            slots: words.get(8).map(|range| (*range).to_owned()),
        }
    };
    text.lines().map(line).collect()
}

/// A key that this node is the master of.
pub(crate) async fn key_at(address: &str) -> String {
    for number in 0..1000 {
        let key = format!("key-{number}");
        if ask::<()>(address, &format!("SET {key} x")).await.is_ok() {
            return key;
        }
    }
    panic!("{address} serves nothing");
}

/// Runs on the tokio engine, where the servers are real.
pub(crate) fn on_real_servers<F, T>(test: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let config = sim::Config { engine: EngineKind::Tokio, ..sim::Config::new(1) };
    let outcome = sim::run(config, test);
    outcome.result.unwrap_or_else(|error| panic!("{error}: {:?}", outcome.panics))
}
