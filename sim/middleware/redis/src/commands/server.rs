//! Commands about the server itself: enough for real clients to feel at home.

use std::collections::BTreeMap;

use crate::{
    commands::{Args, Command, Context, Run, TABLE, find, is},
    config::SetError,
    error::{Outcome, ReplyError, SYNTAX},
    replication,
    session::Unit,
};

/// The version that the server claims and behaves like.
pub(crate) const VERSION: &str = "7.0.15";

pub(super) fn ping(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let message = match a {
        [_] => None,
        [_, message] => Some(message),
        _ => return Err(ReplyError::wrong_arity("ping")),
    };
    if c.db.caller.is_subscriber {
        // It looks like a message, which is what such a connection reads.
        c.reply.array(2);
        c.reply.bulk(b"pong");
        c.reply.bulk(message.copied().unwrap_or_default());
    } else if let Some(message) = message {
        c.reply.bulk(message);
    } else {
        c.reply.status("PONG");
    }
    Ok(())
}

pub(super) fn echo(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    c.reply.bulk(a[1]);
    Ok(())
}

pub(super) fn time(c: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let now_us = c.db.now_us;
    c.reply.array(2);
    c.reply.bulk((now_us / 1_000_000).to_string().as_bytes());
    c.reply.bulk((now_us % 1_000_000).to_string().as_bytes());
    Ok(())
}

/// `INFO [section…]`
pub(super) fn info(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let wanted = |name: &str| {
        let all = |section: &&[u8]| is(section, "ALL") || is(section, "DEFAULT") || is(section, "EVERYTHING");
        a.len() == 1 || a[1..].iter().any(|section| is(section, name) || all(section))
    };
    let mut sections = Vec::new();
    if wanted("SERVER") {
        let mode = if unit.state.config.cluster_enabled { "cluster" } else { "standalone" };
        let port = unit.state.port;
        sections
            .push(format!("# Server\r\nredis_version:{VERSION}\r\nredis_mode:{mode}\r\ntcp_port:{port}\r\n"));
    }
    if wanted("REPLICATION") {
        sections.push(format!("# Replication\r\n{}", replication::commands::info(unit)));
    }
    if wanted("CLUSTER") {
        let enabled = u8::from(unit.state.config.cluster_enabled);
        sections.push(format!("# Cluster\r\ncluster_enabled:{enabled}\r\n"));
    }
    if wanted("KEYSPACE") {
        let keys = unit.state.db.keyspace.len();
        let line = if keys == 0 { String::new() } else { format!("db0:keys={keys}\r\n") };
        sections.push(format!("# Keyspace\r\n{line}"));
    }
    unit.reply.text(&sections.join("\r\n"));
    Ok(())
}

pub(super) fn config(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    if is(a[1], "GET") {
        let found: BTreeMap<&str, String> = a[2..]
            .iter()
            .flat_map(|pattern| unit.state.config.get(&String::from_utf8_lossy(pattern)))
            .collect();
        unit.reply.map(found.len());
        for (name, value) in found {
            unit.reply.bulk(name.as_bytes());
            unit.reply.bulk(value.as_bytes());
        }
    } else if is(a[1], "SET") {
        let (pairs, rest) = a[2..].as_chunks::<2>();
        if !rest.is_empty() {
            return Err(ReplyError::wrong_arity("config|set"));
        }
        let mut changed = unit.state.config.clone();
        for [name, value] in pairs {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            changed.change(&name, &value).map_err(|error| match error {
                SetError::Unknown => ReplyError::new(format!(
                    "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
                )),
                SetError::Immutable => ReplyError::new(format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"
                )),
                SetError::Invalid(why) => ReplyError::new(format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
                )),
            })?;
        }
        unit.state.configure(changed);
        unit.reply.ok();
    } else {
        unit.reply.ok();
    }
    Ok(())
}

pub(super) fn command(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    match a {
        [_] => {
            unit.reply.array(TABLE.len());
            for command in TABLE {
                describe(unit, command);
            }
        }
        [_, what] if is(what, "COUNT") => unit.reply.count(TABLE.len()),
        [_, what, ..] if is(what, "DOCS") => unit.reply.map(0),
        [_, what] if is(what, "LIST") => {
            unit.reply.set(TABLE.len());
            for command in TABLE {
                unit.reply.bulk(command.name.as_bytes());
            }
        }
        [_, what, names @ ..] if is(what, "INFO") => {
            unit.reply.array(names.len());
            for name in names {
                match find(name) {
                    Some(command) => describe(unit, command),
                    None => unit.reply.null_array(),
                }
            }
        }
        _ => return Err(SYNTAX),
    }
    Ok(())
}

fn describe(unit: &mut Unit<'_>, command: &Command) {
    let reply = &mut unit.reply;
    let mut flags = vec![if command.writes { "write" } else { "readonly" }];
    if matches!(command.run, Run::Session(_)) {
        flags = vec!["noscript"];
    }
    reply.array(6);
    reply.bulk(command.name.as_bytes());
    reply.integer(i64::from(command.arity));
    reply.set(flags.len());
    for flag in flags {
        reply.status(flag);
    }
    let (first, last, step) = command.keys;
    for place in [first, last, step] {
        reply.integer(i64::from(place));
    }
}

/// Is this a syntax that `FLUSHALL`-like commands take?
pub(super) fn sync_option(a: &[&[u8]]) -> Outcome {
    match a {
        [] => Ok(()),
        [option] if is(option, "ASYNC") || is(option, "SYNC") => Ok(()),
        _ => Err(SYNTAX),
    }
}
