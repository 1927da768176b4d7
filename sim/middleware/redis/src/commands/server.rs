//! Commands about the server itself: enough for real clients to feel at home.

use std::collections::BTreeMap;

use crate::{
    commands::{Args, Context, is, reply_help, wrong_subcommand},
    config::SetError,
    error::{Outcome, ReplyError, SYNTAX, fixed},
    number::parse_i64,
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
        set_config(unit, &a[2..])?;
        unit.reply.ok();
    } else if is(a[1], "RESETSTAT") {
        unit.state.db.reset_stats();
        unit.reply.ok();
    } else if is(a[1], "REWRITE") {
        return Err(fixed("ERR The server is running without a config file"));
    } else {
        reply_help(unit.reply, a, CONFIG_HELP);
    }
    Ok(())
}

/// Sets several parameters, or none of them.
fn set_config(unit: &mut Unit<'_>, pairs: &[&[u8]]) -> Outcome {
    let (pairs, rest) = pairs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ReplyError::wrong_arity("config|set"));
    }
    let failed = |name: &str, why: &str| {
        ReplyError::new(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"))
    };
    let mut changed = unit.state.config.clone();
    let mut seen = Vec::new();
    for [given, _] in pairs {
        let given = String::from_utf8_lossy(given);
        let name = given.to_lowercase();
        changed.check_change(&name).map_err(|error| match error {
            SetError::Unknown => ReplyError::new(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{given}'"
            )),
            _ => failed(&given, "can't set immutable config"),
        })?;
        if seen.contains(&name) {
            return Err(failed(&given, "duplicate parameter"));
        }
        seen.push(name);
    }
    for ([_, value], name) in pairs.iter().zip(&seen) {
        changed.change(name, &String::from_utf8_lossy(value)).map_err(|error| match error {
            SetError::Invalid(why) => failed(name, &why),
            _ => failed(name, "can't set immutable config"),
        })?;
    }
    unit.state.configure(changed);
    Ok(())
}

const SLOWLOG_HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
];

/// The log of slow commands, of which there are none.
pub(super) fn slowlog(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    match a {
        [_, what] if is(what, "HELP") => reply_help(unit.reply, a, SLOWLOG_HELP),
        [_, what] if is(what, "LEN") => unit.reply.integer(0),
        [_, what] if is(what, "RESET") => unit.reply.ok(),
        [_, what] if is(what, "GET") => unit.reply.array(0),
        [_, what, count] if is(what, "GET") => {
            let is_count = parse_i64(count).is_some_and(|count| count >= -1);
            if !is_count {
                return Err(fixed("ERR count should be greater than or equal to -1"));
            }
            unit.reply.array(0);
        }
        _ => return Err(wrong_subcommand(a)),
    }
    Ok(())
}

const CONFIG_HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Rewrite the configuration file.",
];

/// Is this a syntax that `FLUSHALL`-like commands take?
pub(super) fn sync_option(a: &[&[u8]]) -> Outcome {
    match a {
        [] => Ok(()),
        [option] if is(option, "ASYNC") || is(option, "SYNC") => Ok(()),
        _ => Err(SYNTAX),
    }
}
