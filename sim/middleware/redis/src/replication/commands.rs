//! The commands of replication.

use super::{
    LinkState, MasterAddress,
    feed::{Sync, replica},
};
use crate::{
    commands::{Args, is},
    error::{NOT_INTEGER, Outcome, ReplyError, SYNTAX, fixed},
    number::{integer, parse_i64},
    server::now_ms,
    session::{Blocked, Unit},
};

/// `PSYNC id offset`: the connection becomes one that carries the stream.
pub(crate) fn psync(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    refuse_severed(unit)?;
    let offset = parse_i64(a[2]).ok_or(NOT_INTEGER)?;
    let id = String::from_utf8_lossy(a[1]);
    let wanted = u64::try_from(offset).ok();
    let goes_on = wanted.filter(|offset| unit.state.replication.can_continue(&id, *offset));
    world::sometimes!(goes_on.is_none(), "redis.psync-refused");
    let stats = &mut unit.state.db.stats;
    match goes_on {
        Some(_) => stats.partial_syncs += 1,
        None => {
            stats.full_syncs += 1;
            // Who knows of no history did not ask for a part of one.
            stats.refused_partial_syncs += u64::from(id != "?");
        }
    }
    match goes_on {
        Some(offset) => {
            let id = &unit.state.replication.id;
            let reply = if unit.session.handshake.knows_ids {
                format!("CONTINUE {id}")
            } else {
                "CONTINUE".to_owned()
            };
            unit.reply.status(&reply);
            attach(unit, Sync::Partial(offset - 1));
        }
        None => attach(unit, Sync::Full { announced: true }),
    }
    Ok(())
}

/// `SYNC`: the same for those who know no ids, such as `redis-cli --replica`.
pub(crate) fn sync(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    refuse_severed(unit)?;
    unit.state.db.stats.full_syncs += 1;
    attach(unit, Sync::Full { announced: false });
    Ok(())
}

fn refuse_severed(unit: &Unit<'_>) -> Outcome {
    let master = unit.state.replication.master.as_ref();
    if master.is_some_and(|master| master.state != LinkState::Connected) {
        return Err(fixed("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    Ok(())
}

fn attach(unit: &mut Unit<'_>, sync: Sync) {
    let state = &mut *unit.state;
    if !state.replication.has_history() {
        // What came before was not recorded: the history starts here, under a name of its own.
        let db = &mut state.db;
        state.replication.begin_history(|| db.draw_u64());
        state.replication.previous = None;
    }
    state.replication.record();
    let replica = replica(unit.session, sync);
    state.replication.attach(unit.session.id, replica, &state.config, now_ms());
    unit.session.sync = Some(sync);
}

/// `REPLCONF option value…`: what a replica says about itself before `PSYNC`.
pub(crate) fn replconf(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let (pairs, rest) = a[1..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(SYNTAX);
    }
    for [option, value] in pairs {
        let handshake = &mut unit.session.handshake;
        if is(option, "LISTENING-PORT") {
            let port = u16::try_from(integer(value)?);
            handshake.port = port.map_err(|_| NOT_INTEGER)?;
        } else if is(option, "IP-ADDRESS") {
            if value.len() > 255 {
                let length = value.len();
                return Err(ReplyError::new(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {length} bytes"
                )));
            }
            handshake.ip = Some(String::from_utf8_lossy(value).into_owned());
        } else if is(option, "CAPA") {
            handshake.takes_eof |= is(value, "EOF");
            handshake.knows_ids |= is(value, "PSYNC2");
        } else if is(option, "ACK") || is(option, "GETACK") {
            // Only the two ends of the stream say that, and they listen for it elsewhere. There is no reply.
            return Ok(());
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(ReplyError::new(format!("ERR Unrecognized REPLCONF option: {option}")));
        }
    }
    unit.reply.ok();
    Ok(())
}

/// `REPLICAOF host port`, `REPLICAOF NO ONE`.
pub(crate) fn replicaof(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    if unit.state.config.cluster_enabled {
        return Err(fixed("ERR REPLICAOF not allowed in cluster mode."));
    }
    let state = &mut *unit.state;
    if is(a[1], "NO") && is(a[2], "ONE") {
        let db = &mut state.db;
        state.replication.lead(now_ms(), || db.draw_u64());
        unit.reply.ok();
        return Ok(());
    }
    let port = parse_i64(a[2]).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(fixed("ERR Invalid master port"))?;
    let address = MasterAddress { host: String::from_utf8_lossy(a[1]).into_owned(), port };
    if state.replication.master.as_ref().is_some_and(|master| master.address == address) {
        unit.reply.status("OK Already connected to specified master");
        return Ok(());
    }
    state.follow(address);
    unit.reply.ok();
    Ok(())
}

/// `ROLE`: what the server is, and how far it is.
pub(crate) fn role(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    let (replication, reply) = (&unit.state.replication, &mut unit.reply);
    let offset = i64::try_from(replication.offset()).unwrap_or(i64::MAX);
    match &replication.master {
        None => {
            let online: Vec<_> = replication.replicas.values().filter(|replica| replica.online).collect();
            reply.array(3);
            reply.bulk(b"master");
            reply.integer(offset);
            reply.array(online.len());
            for replica in online {
                reply.array(3);
                reply.bulk(replica.ip.as_bytes());
                reply.bulk(replica.port.to_string().as_bytes());
                reply.bulk(replica.acknowledged.to_string().as_bytes());
            }
        }
        Some(master) => {
            reply.array(5);
            reply.bulk(b"slave");
            reply.bulk(master.address.host.as_bytes());
            reply.integer(i64::from(master.address.port));
            reply.bulk(match master.state {
                LinkState::Connect => b"connect",
                LinkState::Connecting => b"connecting",
                LinkState::Sync => b"sync",
                LinkState::Connected => b"connected",
            });
            reply.integer(if master.state == LinkState::Connected { offset } else { -1 });
        }
    }
    Ok(())
}

/// `WAIT replicas timeout`: until so many replicas have what was written before this connection's last command.
pub(crate) fn wait(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let replication = &mut unit.state.replication;
    if replication.is_replica() {
        return Err(fixed(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let count = usize::try_from(integer(a[1])?.max(0)).unwrap_or(usize::MAX);
    let timeout = parse_i64(a[2]).ok_or(fixed("ERR timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| fixed("ERR timeout is negative"))?;
    let acknowledged = replication.count_acknowledged(unit.session.offset);
    if acknowledged >= count || unit.session.is_executing {
        unit.reply.count(acknowledged);
    } else {
        replication.ask_replicas();
        unit.session.blocked = Some(Blocked::Replicas { count, timeout_ms });
    }
    Ok(())
}

/// The section of `INFO`.
pub(crate) fn info(unit: &Unit<'_>) -> String {
    let state = &*unit.state;
    let (replication, config) = (&state.replication, &state.config);
    let now_s = now_ms() / 1000;
    let seconds_since = |ms: u64| now_s.saturating_sub(ms / 1000);
    let mut lines = vec![format!("role:{}", if replication.is_replica() { "slave" } else { "master" })];
    let offset = replication.offset();
    if let Some(master) = &replication.master {
        let connected = master.state == LinkState::Connected;
        lines.push(format!("master_host:{}", master.address.host));
        lines.push(format!("master_port:{}", master.address.port));
        lines.push(format!("master_link_status:{}", if connected { "up" } else { "down" }));
        let heard = if connected { seconds_since(master.heard_ms).to_string() } else { "-1".to_owned() };
        lines.push(format!("master_last_io_seconds_ago:{heard}"));
        lines.push(format!("master_sync_in_progress:{}", u8::from(master.state == LinkState::Sync)));
        lines.push(format!("slave_read_repl_offset:{offset}"));
        lines.push(format!("slave_repl_offset:{offset}"));
        if let Some(since_ms) = master.down_since_ms {
            lines.push(format!("master_link_down_since_seconds:{}", seconds_since(since_ms)));
        }
        lines.push("slave_priority:100".to_owned());
        lines.push(format!("slave_read_only:{}", u8::from(config.replica_read_only)));
        lines.push("replica_announced:1".to_owned());
    }
    lines.push(format!("connected_slaves:{}", replication.replicas.len()));
    if config.min_replicas_to_write > 0 && config.min_replicas_max_lag > 0 {
        lines.push(format!("min_slaves_good_slaves:{}", replication.good_replicas));
    }
    for (number, replica) in replication.replicas.values().enumerate() {
        let (state, lag) = match replica.online {
            true => ("online", seconds_since(replica.heard_ms)),
            false => ("wait_bgsave", 0),
        };
        lines.push(format!(
            "slave{number}:ip={},port={},state={state},offset={},lag={lag}",
            replica.ip, replica.port, replica.acknowledged
        ));
    }
    let unknown = "0".repeat(40);
    let previous = replication.previous.as_ref();
    let (first, length) = replication.backlog().unwrap_or((0, 0));
    lines.push("master_failover_state:no-failover".to_owned());
    lines.push(format!("master_replid:{}", replication.id));
    lines.push(format!("master_replid2:{}", previous.map_or(&unknown, |(id, _)| &id.0)));
    lines.push(format!("master_repl_offset:{offset}"));
    let second = previous.map_or("-1".to_owned(), |(_, until)| until.to_string());
    lines.push(format!("second_repl_offset:{second}"));
    lines.push(format!("repl_backlog_active:{}", u8::from(replication.has_history())));
    lines.push(format!("repl_backlog_size:{}", config.repl_backlog_size));
    lines.push(format!("repl_backlog_first_byte_offset:{first}"));
    lines.push(format!("repl_backlog_histlen:{length}"));
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}
