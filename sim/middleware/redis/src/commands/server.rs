//! Commands about the server itself: enough for real clients to feel at home.

use crate::{
    commands::{Args, Command, Context, Run, TABLE, find, glob, is},
    error::{Outcome, ReplyError, SYNTAX},
    number::integer,
    session::Unit,
};

/// The version that the server claims and behaves like.
pub(crate) const VERSION: &str = "7.0.15";

/// The configuration that clients ask for.
const CONFIGURATION: &[(&str, &str)] = &[
    ("appendonly", "no"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "536870912"),
    ("save", ""),
    ("timeout", "0"),
];

pub(super) fn ping(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    match a {
        [_] => c.reply.status("PONG"),
        [_, message] => c.reply.bulk(message),
        _ => return Err(ReplyError::wrong_arity("ping")),
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

pub(super) fn info(c: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let keys = c.db.keyspace.len();
    let keyspace = if keys == 0 { String::new() } else { format!("db0:keys={keys}\r\n") };
    c.reply.text(&format!(
        "# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\n\r\n\
         # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n\
         # Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n{keyspace}"
    ));
    Ok(())
}

/// `WAIT replicas timeout`: there are no replicas.
pub(super) fn wait(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    integer(a[1])?;
    integer(a[2])?;
    unit.reply.integer(0);
    Ok(())
}

pub(super) fn config(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    if is(a[1], "GET") && a.len() > 2 {
        let lower = |pattern: &&[u8]| pattern.to_ascii_lowercase();
        let patterns: Vec<Vec<u8>> = a[2..].iter().map(lower).collect();
        let wanted = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
        let found: Vec<_> = CONFIGURATION.iter().filter(|(name, _)| wanted(name)).collect();
        unit.reply.map(found.len());
        for (name, value) in found {
            unit.reply.bulk(name.as_bytes());
            unit.reply.bulk(value.as_bytes());
        }
        Ok(())
    } else if is(a[1], "SET") && a.len() > 3 {
        let name = String::from_utf8_lossy(a[2]);
        Err(ReplyError::new(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")))
    } else if is(a[1], "RESETSTAT") && a.len() == 2 {
        unit.reply.ok();
        Ok(())
    } else {
        Err(SYNTAX)
    }
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
