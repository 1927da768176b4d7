//! Commands about the connection itself.

use crate::{
    commands::{Args, VERSION, is},
    error::{NOT_INTEGER, Outcome, ReplyError, SYNTAX, fixed},
    number::parse_i64,
    session::{Session, Unit},
};
use wire::redis::reply::Protocol;

const WRONG_PASSWORD: ReplyError = fixed("WRONGPASS invalid username-password pair or user is disabled.");

/// There are no passwords: the default user may come in with any, as in an unconfigured Redis.
pub(super) fn auth(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    match a {
        [_, _] => Err(fixed(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        [_, user, _] if *user == b"default" => {
            unit.reply.ok();
            Ok(())
        }
        [_, _, _] => Err(WRONG_PASSWORD),
        _ => Err(SYNTAX),
    }
}

pub(super) fn hello(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let mut protocol = None;
    if let Some(version) = a.get(1) {
        let not_a_number = fixed("ERR Protocol version is not an integer or out of range");
        protocol = Some(match parse_i64(version).ok_or(not_a_number)? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(fixed("NOPROTO unsupported protocol version")),
        });
    }
    let mut name: Option<&[u8]> = None;
    let mut options = a.get(2..).unwrap_or_default();
    while let Some((option, rest)) = options.split_first() {
        options = match rest {
            [user, _, rest @ ..] if is(option, "AUTH") => {
                if *user != b"default" {
                    return Err(WRONG_PASSWORD);
                }
                rest
            }
            [given, rest @ ..] if is(option, "SETNAME") => {
                check_name(given)?;
                name = Some(given);
                rest
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(ReplyError::new(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        };
    }
    if let Some(name) = name {
        set_name(unit, name);
    }
    if let Some(protocol) = protocol {
        set_protocol(unit, protocol);
    }
    let proto = if unit.reply.protocol() == Protocol::Resp3 { 3 } else { 2 };
    unit.reply.map(7);
    for (key, value) in [("server", "redis"), ("version", VERSION)] {
        unit.reply.bulk(key.as_bytes());
        unit.reply.bulk(value.as_bytes());
    }
    unit.reply.bulk(b"proto");
    unit.reply.integer(proto);
    unit.reply.bulk(b"id");
    unit.reply.integer(unit.session.id);
    let mode = if unit.state.config.cluster_enabled { "cluster" } else { "standalone" };
    let role = if unit.state.replication.is_replica() { "replica" } else { "master" };
    for (key, value) in [("mode", mode), ("role", role)] {
        unit.reply.bulk(key.as_bytes());
        unit.reply.bulk(value.as_bytes());
    }
    unit.reply.bulk(b"modules");
    unit.reply.array(0);
    Ok(())
}

pub(super) fn select(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    match parse_i64(a[1]).ok_or(NOT_INTEGER)? {
        0 => {
            unit.reply.ok();
            Ok(())
        }
        index if i32::try_from(index).is_err() => {
            Err(fixed("ERR value is out of range, value must between -2147483648 and 2147483647"))
        }
        _ => Err(fixed("ERR DB index is out of range")),
    }
}

pub(super) fn quit(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    unit.session.closing = true;
    unit.reply.ok();
    Ok(())
}

/// Back to the state of a new connection.
pub(super) fn reset(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    unit.state.unwatch(unit.session);
    unit.state.db.pubsub.forget(unit.session.id);
    let Session { id, seat, peer, last, is_spared, .. } = *unit.session;
    *unit.session = Session { last, is_spared, ..Session::new(id, seat, peer) };
    set_name(unit, b"");
    set_protocol(unit, Protocol::Resp2);
    unit.reply.status("RESET");
    Ok(())
}

/// Sets the protocol of the replies, and of what others send to the connection.
fn set_protocol(unit: &mut Unit<'_>, protocol: Protocol) {
    unit.reply.set_protocol(protocol);
    if let Some(client) = unit.state.db.clients.at_mut(unit.session.seat) {
        client.protocol = protocol;
    }
}

/// Sets the name of the connection; an empty one is none.
pub(super) fn set_name(unit: &mut Unit<'_>, name: &[u8]) {
    if let Some(client) = unit.state.db.clients.at_mut(unit.session.seat) {
        client.name = name.to_vec();
    }
}

pub(super) fn check_name(name: &[u8]) -> Outcome {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(())
    } else {
        Err(fixed("ERR Client names cannot contain spaces, newlines or special characters."))
    }
}
