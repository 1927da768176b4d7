//! Makes single nodes a cluster, as `redis-cli --cluster create` does.

use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd};
use world::net::TcpStream;

use crate::redis::client::{Client, Options};

/// Slots of a cluster.
const SLOTS: usize = 16_384;

/// How often the nodes are asked whether they have come to know each other.
const POLL: Duration = Duration::from_millis(100);
/// Times that they are asked.
const POLLS: usize = 600;

/// Makes a cluster of the nodes at these addresses ("host:port"; fresh ones that listen already), with so many replicas
/// for each master: the first nodes become masters with equal parts of the slots, the others their replicas in turn.
/// Returns when every node says that the cluster is up and every replica is linked to its master.
///
/// # Errors
/// When a node cannot be reached, is not fresh, or they do not come together within a minute.
pub async fn form(addresses: &[String], replicas: usize) -> RedisResult<()> {
    let nodes: Vec<Client> =
        addresses.iter().map(|address| Client::new(address, Options::default())).collect();
    let masters = nodes.len() / (replicas + 1);
    if masters == 0 {
        return Err(failure("too few nodes for so many replicas"));
    }
    for (number, node) in nodes.iter().enumerate() {
        if number < masters {
            let first = SLOTS * number / masters;
            let last = SLOTS * (number + 1) / masters - 1;
            ask::<()>(node, cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last)).await?;
        }
        ask::<()>(node, cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(number + 1)).await?;
    }
    // A node is met at an IP address, not at a name.
    let first = TcpStream::connect(&addresses[0]).await?.peer_addr()?;
    for node in &nodes[1..] {
        let meet = cmd("CLUSTER").arg("MEET").arg(first.ip().to_string()).arg(first.port()).clone();
        ask::<()>(node, &meet).await?;
    }
    until(&nodes, |seen| seen.nodes.lines().count() == nodes.len() && !seen.nodes.contains("handshake"))
        .await?;
    let mut ids = Vec::new();
    for node in &nodes[..masters] {
        ids.push(ask::<String>(node, cmd("CLUSTER").arg("MYID")).await?);
    }
    for (number, node) in nodes[masters..].iter().enumerate() {
        ask::<()>(node, cmd("CLUSTER").arg("REPLICATE").arg(&ids[number % masters])).await?;
    }
    until(&nodes, |seen| {
        let replicas = seen.nodes.lines().filter(|line| line.contains("slave")).count();
        // The replicas of a master are known to all before anybody may fail.
        replicas == nodes.len() - masters
            && seen.cluster.contains("cluster_state:ok")
            && !seen.replication.contains("master_link_status:down")
    })
    .await
}

/// Waits until every node lists a replica for each range of slots, so that clients that look for replicas find them. A
/// replica is listed when it has got something of its master's stream: after `repl-ping-replica-period` at the latest.
///
/// # Errors
/// When a node cannot be reached, or that does not come about within a minute.
pub async fn until_replicas_are_listed(addresses: &[String]) -> RedisResult<()> {
    let nodes: Vec<Client> =
        addresses.iter().map(|address| Client::new(address, Options::default())).collect();
    for _ in 0..POLLS {
        let mut all = true;
        for node in &nodes {
            let ranges: Vec<Vec<Value>> = ask(node, cmd("CLUSTER").arg("SLOTS")).await?;
            // First slot, last slot, the master, its replicas.
            all &= ranges.iter().all(|range| range.len() > 3);
        }
        if all {
            return Ok(());
        }
        world::time::sleep(POLL).await;
    }
    Err(failure("the replicas did not get into step in time"))
}

/// What a node says of the cluster and of itself.
struct Seen {
    nodes: String,
    cluster: String,
    replication: String,
}

async fn ask<T: FromRedisValue>(node: &Client, command: &Cmd) -> RedisResult<T> {
    command.query_async(&mut node.connection()).await
}

async fn look(node: &Client) -> RedisResult<Seen> {
    Ok(Seen {
        nodes: ask(node, cmd("CLUSTER").arg("NODES")).await?,
        cluster: ask(node, cmd("CLUSTER").arg("INFO")).await?,
        replication: ask(node, cmd("INFO").arg("replication")).await?,
    })
}

/// Asks all nodes again and again until what each says is right.
async fn until(nodes: &[Client], is_right: impl Fn(&Seen) -> bool) -> RedisResult<()> {
    for _ in 0..POLLS {
        let mut all = true;
        for node in nodes {
            match look(node).await {
                Ok(seen) => all &= is_right(&seen),
                // A replica that gets all its data answers nothing else meanwhile.
                Err(error) if error.code() == Some("LOADING") => all = false,
                Err(error) => return Err(error),
            }
        }
        if all {
            return Ok(());
        }
        world::time::sleep(POLL).await;
    }
    Err(failure("the nodes did not come together in time"))
}

fn failure(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, what))
}
