//! Asking nodes for the slots, each over a connection of its own: commands that hang do not hold it up.

use std::{io, time::Duration};

use redis::{Pipeline, RedisResult, Value, aio::ConnectionLike};
use world::net::TcpStream;

use super::slots::{SlotRange, parse_slots};
use crate::redis::connection::Connection;

/// What a node says about the cluster.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) ranges: Vec<SlotRange>,
    /// The largest epoch that the node has heard of: it grows with every failover and migration.
    pub(super) epoch: u64,
    /// Does it believe that the cluster works?
    is_ok: bool,
}

/// Asks one node after the other until one answers that believes the cluster to work and has heard of all that the
/// asker has (`epoch`): a node on the smaller side of a partition tells an old story. If there is none, the best of the
/// others will do. `None` when nobody answers. Each node has `timeout` to answer.
pub(super) async fn ask_in_turn(addresses: &[String], epoch: u64, timeout: Duration) -> Option<View> {
    let mut best: Option<View> = None;
    for address in addresses {
        let Ok(Some(view)) = world::time::timeout(timeout, ask(address)).await else { continue };
        if view.is_ok && view.epoch >= epoch {
            return Some(view);
        }
        let worth = |view: &View| (view.epoch, view.is_ok);
        if best.as_ref().is_none_or(|best| worth(best) < worth(&view)) {
            best = Some(view);
        }
    }
    world::sometimes!(best.is_some(), "redis.client.refresh-from-stale-node");
    best
}

/// `None` if the node does not answer, or does not know of any slot that is served.
async fn ask(address: &str) -> Option<View> {
    let (info, slots) = exchange(address).await.ok()?;
    let ranges = parse_slots(&slots, address).filter(|ranges| !ranges.is_empty())?;
    let text = match &info {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    };
    let field = |name: &str| {
        text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
    };
    // Without this information there is nothing to be said against the slots.
    let is_ok = field("cluster_state").is_none_or(|state| state == "ok");
    let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Some(View { ranges, epoch, is_ok })
}

async fn exchange(address: &str) -> RedisResult<(Value, Value)> {
    let stream = TcpStream::connect(address).await?;
    let mut connection = Connection::new(stream, None);
    let mut questions = Pipeline::with_capacity(2);
    questions.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let replies = connection.req_packed_commands(&questions, 0, 2).await?;
    let replies: Result<[Value; 2], _> = replies.try_into();
    let [info, slots] = replies.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((info, slots))
}
