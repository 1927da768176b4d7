//! `CLIENT`: who is connected, and what is done about them.

use std::{fmt::Write as _, net::SocketAddr};

use crate::{
    clients::{Client, Face, Release},
    commands::{
        Args,
        blocking::whole_timeout_ms,
        connection::{check_name, set_name},
        is, reply_help, wrong_subcommand,
    },
    error::{Outcome, ReplyError, SYNTAX, fixed},
    number::{integer, parse_i64},
    pause::Purpose,
    pubsub::Kind,
    session::{Mute, Unit, full_name},
};
use wire::redis::reply::Protocol;

const HELP: &[&str] = &[
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Normal,
    Replica,
    PubSub,
    /// The stream from the master is none of the server's clients: nobody is of this type.
    Master,
}

impl Type {
    fn parse(name: &[u8]) -> Result<Self, ReplyError> {
        match name {
            name if is(name, "NORMAL") => Ok(Type::Normal),
            name if is(name, "SLAVE") || is(name, "REPLICA") => Ok(Type::Replica),
            name if is(name, "PUBSUB") => Ok(Type::PubSub),
            name if is(name, "MASTER") => Ok(Type::Master),
            name => {
                let name = String::from_utf8_lossy(name);
                Err(ReplyError::new(format!("ERR Unknown client type '{name}'")))
            }
        }
    }

    fn of(unit: &Unit<'_>, client: &Client) -> Self {
        if client.face.is_replica {
            Type::Replica
        } else if unit.state.db.pubsub.is_subscribed(client.id) {
            Type::PubSub
        } else {
            Type::Normal
        }
    }
}

pub(super) fn client(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    match a {
        [_, what] if is(what, "HELP") => reply_help(unit.reply, a, HELP),
        [_, what] if is(what, "ID") => unit.reply.integer(unit.session.id),
        [_, what] if is(what, "GETNAME") => {
            let client = unit.state.db.clients.at(unit.session.seat);
            let name = client.map(|client| client.name.as_slice()).filter(|name| !name.is_empty());
            unit.reply.bulk_or_null(name);
        }
        [_, what, name] if is(what, "SETNAME") => {
            check_name(name)?;
            set_name(unit, name);
            unit.reply.ok();
        }
        [_, what] if is(what, "INFO") => {
            let own = unit.state.db.clients.at(unit.session.seat);
            let text = own.map(|client| describe(unit, client)).unwrap_or_default();
            unit.reply.text(&text);
        }
        [_, what, options @ ..] if is(what, "LIST") => return list(unit, options),
        [_, what, options @ ..] if is(what, "KILL") => return kill(unit, options),
        [_, what, switch] if is(what, "REPLY") => return reply_mode(unit, switch),
        [_, what, switch] if is(what, "NO-EVICT") => {
            unit.session.is_spared = match switch {
                switch if is(switch, "ON") => true,
                switch if is(switch, "OFF") => false,
                _ => return Err(SYNTAX),
            };
            unit.reply.ok();
        }
        [_, what, id, reason @ ..] if is(what, "UNBLOCK") && reason.len() <= 1 => {
            return unblock(unit, id, reason.first().copied());
        }
        [_, what, time, mode @ ..] if is(what, "PAUSE") && mode.len() <= 1 => {
            let all = match mode.first() {
                None => true,
                Some(mode) if is(mode, "ALL") => true,
                Some(mode) if is(mode, "WRITE") => false,
                Some(_) => return Err(fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
            };
            let now_ms = unit.state.db.now_ms();
            let time_ms = whole_timeout_ms(time)?;
            // No time at all is over at once.
            if time_ms > 0 {
                let until_ms = now_ms.saturating_add(time_ms);
                unit.state.pauses.start(Purpose::Command, all, until_ms, now_ms);
            }
            unit.reply.ok();
        }
        [_, what] if is(what, "UNPAUSE") => {
            unit.state.pauses.end(Purpose::Command);
            unit.reply.ok();
        }
        _ => return Err(wrong_subcommand(a)),
    }
    Ok(())
}

fn reply_mode(unit: &mut Unit<'_>, switch: &[u8]) -> Outcome {
    match switch {
        switch if is(switch, "ON") => {
            unit.session.mute = Mute::Off;
            unit.reply.ok();
        }
        switch if is(switch, "OFF") => unit.session.mute = Mute::On,
        switch if is(switch, "SKIP") => {
            if unit.session.mute != Mute::On {
                unit.session.mute = Mute::Next;
            }
        }
        _ => return Err(SYNTAX),
    }
    Ok(())
}

fn list(unit: &mut Unit<'_>, options: &[&[u8]]) -> Outcome {
    let clients = &unit.state.db.clients;
    let text: String = match options {
        [] => clients.iter().map(|client| describe(unit, client)).collect(),
        [what, kind] if is(what, "TYPE") => {
            let kind = Type::parse(kind)?;
            let wanted = clients.iter().filter(|client| Type::of(unit, client) == kind);
            wanted.map(|client| describe(unit, client)).collect()
        }
        [what, ids @ ..] if is(what, "ID") && !ids.is_empty() => {
            let mut text = String::new();
            for id in ids {
                let id = parse_i64(id).ok_or(fixed("ERR Invalid client ID"))?;
                text.extend(clients.get(id).map(|client| describe(unit, client)));
            }
            text
        }
        _ => return Err(SYNTAX),
    };
    unit.reply.text(&text);
    Ok(())
}

fn address(address: Option<SocketAddr>) -> String {
    address.map_or("?:0".to_owned(), |address| address.to_string())
}

/// The line of a client in `CLIENT LIST`.
fn describe(unit: &Unit<'_>, client: &Client) -> String {
    let now_ms = unit.state.db.now_ms();
    let is_own = client.id == unit.session.id;
    let face = if is_own { unit.session.face(now_ms, 0) } else { client.face };
    let seconds = |since_ms: u64| (now_ms / 1000).saturating_sub(since_ms / 1000);
    let pubsub = &unit.state.db.pubsub;
    let [channels, patterns, shards] =
        [Kind::Channel, Kind::Pattern, Kind::Shard].map(|kind| pubsub.count(client.id, kind));
    let queued = face.queued.map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX));
    let command = face.command.map_or("NULL".to_owned(), |(command, sub)| full_name(command, sub));
    let mut line = format!("id={} addr={} laddr={}", client.id, address(client.peer), address(client.local));
    // Writing to a string cannot fail.
    let _ = writeln!(
        line,
        " fd={} name={} age={} idle={} flags={} db=0 sub={channels} psub={patterns} ssub={shards} multi={queued} \
         qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} omem={} tot-mem={} events=r cmd={command} \
         user=default redir=-1 resp={}",
        client.id.saturating_add(7),
        String::from_utf8_lossy(&client.name),
        seconds(client.connected_ms),
        seconds(face.heard_ms),
        flags(face, pubsub.is_subscribed(client.id)),
        face.unread,
        client.pieces(),
        client.unsent(),
        face.unread + client.unsent(),
        if client.protocol == Protocol::Resp3 { 3 } else { 2 },
    );
    line
}

fn flags(face: Face, is_subscriber: bool) -> String {
    let all = [
        (face.is_replica, 'S'),
        (is_subscriber, 'P'),
        (face.queued.is_some(), 'x'),
        (face.is_blocked, 'b'),
        (face.is_closing, 'c'),
        (face.is_read_only, 'r'),
        (face.is_spared, 'e'),
    ];
    let flags: String = all.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// Which clients are to go.
#[derive(Default)]
struct Victims {
    id: Option<i64>,
    address: Option<String>,
    local: Option<String>,
    kind: Option<Type>,
    spares_caller: bool,
}

impl Victims {
    fn parse(options: &[&[u8]]) -> Result<Self, ReplyError> {
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        if let [address] = options {
            return Ok(Self { address: text(address), ..Self::default() });
        }
        let mut victims = Self { spares_caller: true, ..Self::default() };
        let mut rest = options;
        while let Some((option, after)) = rest.split_first() {
            let (value, after) = after.split_first().ok_or(SYNTAX)?;
            match option {
                option if is(option, "ID") => {
                    let id = parse_i64(value).filter(|id| *id > 0);
                    victims.id = Some(id.ok_or(fixed("ERR client-id should be greater than 0"))?);
                }
                option if is(option, "TYPE") => victims.kind = Some(Type::parse(value)?),
                option if is(option, "ADDR") => victims.address = text(value),
                option if is(option, "LADDR") => victims.local = text(value),
                option if is(option, "USER") => {
                    if *value != b"default" {
                        let name = String::from_utf8_lossy(value);
                        return Err(ReplyError::new(format!("ERR No such user '{name}'")));
                    }
                }
                option if is(option, "SKIPME") => {
                    victims.spares_caller = match value {
                        value if is(value, "YES") => true,
                        value if is(value, "NO") => false,
                        _ => return Err(SYNTAX),
                    };
                }
                _ => return Err(SYNTAX),
            }
            rest = after;
        }
        Ok(victims)
    }

    fn have(&self, unit: &Unit<'_>, client: &Client) -> bool {
        self.address.as_ref().is_none_or(|wanted| *wanted == address(client.peer))
            && self.local.as_ref().is_none_or(|wanted| *wanted == address(client.local))
            && self.kind.is_none_or(|kind| kind == Type::of(unit, client))
            && self.id.is_none_or(|id| id == client.id)
            && !(self.spares_caller && client.id == unit.session.id)
    }
}

fn kill(unit: &mut Unit<'_>, options: &[&[u8]]) -> Outcome {
    let victims = Victims::parse(options)?;
    let clients = unit.state.db.clients.iter().filter(|client| victims.have(unit, client));
    let ids: Vec<i64> = clients.map(|client| client.id).collect();
    for id in &ids {
        if *id == unit.session.id {
            // The reply is still to be heard.
            unit.session.closing = true;
        } else {
            world::sometimes!(true, "redis.client-killed");
            unit.state.db.clients.kill(*id);
            unit.state.db.stop_waiting(*id);
            unit.state.db.pubsub.forget(*id);
            unit.state.replication.let_replica_go(*id);
        }
    }
    match options {
        [_] if ids.is_empty() => return Err(fixed("ERR No such client")),
        [_] => unit.reply.ok(),
        _ => unit.reply.count(ids.len()),
    }
    Ok(())
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`
fn unblock(unit: &mut Unit<'_>, id: &[u8], reason: Option<&[u8]>) -> Outcome {
    let release = match reason {
        None => Release::TimeOut,
        Some(reason) if is(reason, "TIMEOUT") => Release::TimeOut,
        Some(reason) if is(reason, "ERROR") => Release::Error,
        Some(_) => return Err(fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = integer(id)?;
    let db = &mut unit.state.db;
    let is_blocked = if db.waiting.has(id) {
        db.release(id, |reply| match release {
            Release::TimeOut => reply.null_array(),
            Release::Error => reply.error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        });
        true
    } else {
        db.clients.release(id, release)
    };
    unit.reply.integer(i64::from(is_blocked));
    Ok(())
}
