//! Redis commands through the cluster client, the simulated network and a cluster of three masters and three replicas.

use std::time::Duration;

use redis_middleware::{Config, Options, Server};
use wire::redis::cluster::{self, ClusterClient};
use world::{host, sim, time};

use crate::measure::{self, Measurement};

/// Hosts with a client each.
const CLIENTS: u64 = 4;
/// Callers on each of them, each with one command under way.
const CALLERS: u64 = 50;
/// Keys that the commands are spread over.
const KEYS: u64 = 10_000;

/// Commands per second of processor time; half of them write, and are replicated.
pub(crate) fn run(commands: u64) -> Measurement {
    let mut value = 0.0;
    let mut measurement = measure::whole(
        "commands/s",
        || {
            let outcome = sim::run(sim::Config::new(1), move || simulate(commands));
            value = outcome.result.unwrap_or_else(|error| panic!("{error}"));
            outcome.simulated
        },
        |_| 0.0,
    );
    measurement.value = value;
    measurement
}

/// Forms the cluster, then sends the commands; their number per second of processor time from then on.
async fn simulate(commands: u64) -> f64 {
    let addresses = stage().await;
    cluster::form(&addresses, 1).await.expect("the nodes come together");
    let each = commands / (CLIENTS * CALLERS);
    let before = measure::cpu_time();
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| {
            let client = ClusterClient::new(addresses.clone(), cluster::Options::default());
            let host = host::add(&format!("client-{number}"), || async {});
            host.spawn(async move {
                let callers: Vec<_> =
                    (0..CALLERS).map(|_| world::task::spawn(call(client.clone(), each))).collect();
                for caller in callers {
                    caller.await.expect("no caller fails");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no client fails");
    }
    (each * CLIENTS * CALLERS) as f64 / (measure::cpu_time() - before).as_secs_f64()
}

/// Starts the nodes; their addresses.
async fn stage() -> Vec<String> {
    let nodes = 1..=6;
    for number in nodes.clone() {
        host::add(&format!("redis-{number}"), || {
            let config = Config {
                cluster_enabled: true,
                repl_diskless_sync_delay: Duration::ZERO,
                ..Config::default()
            };
            let server = Server::new(Options { seed: world::rand::u64(), config, ..Options::default() });
            async move { server.listen("0.0.0.0:6379").await.expect("the port of a fresh host is free") }
        });
    }
    time::sleep(Duration::from_millis(100)).await;
    nodes.map(|number| format!("redis-{number}:6379")).collect()
}

async fn call(client: ClusterClient, commands: u64) {
    let mut connection = client.clone();
    for number in 0..commands {
        let key = world::rand::range(0..KEYS);
        let mut command = redis::cmd(if number % 2 == 0 { "SET" } else { "GET" });
        command.arg(format!("key:{key}"));
        if number % 2 == 0 {
            command.arg(number);
        }
        let _: redis::Value = command.query_async(&mut connection).await.expect("the cluster answers");
    }
}
