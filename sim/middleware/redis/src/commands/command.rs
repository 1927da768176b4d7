//! `COMMAND`: what clients ask about the commands of the server. Specifications of keys are left empty: their places are
//! told in the form of old, and by `COMMAND GETKEYS`.

use super::{
    Args, Command, Flags, KeyPlaces, TABLE, about::about, arity_accepts, find, glob, is, reply_help,
    table::SUBCOMMANDS,
};
use crate::{
    error::{Outcome, SYNTAX, fixed},
    session::Unit,
};
use wire::redis::reply::Writer;

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
];

pub(super) fn command(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let reply = &mut *unit.reply;
    match a {
        [_] => describe_all(reply),
        [_, what] if is(what, "INFO") => describe_all(reply),
        [_, what] if is(what, "HELP") => reply_help(reply, a, HELP),
        [_, what] if is(what, "COUNT") => reply.count(TABLE.len()),
        [_, what, names @ ..] if is(what, "DOCS") => document(reply, names),
        [_, what, filter @ ..] if is(what, "LIST") => return list(reply, filter),
        [_, what, names @ ..] if is(what, "INFO") => {
            reply.array(names.len());
            for name in names {
                match named(name) {
                    Some((command, None)) => describe(reply, command),
                    Some((command, Some((name, arity)))) => {
                        describe_one(reply, &format!("{}|{name}", command.name), arity, (0, 0, 0));
                        reply.array(0);
                    }
                    None => reply.null(),
                }
            }
        }
        [_, what, request @ ..] if is(what, "GETKEYS") => return keys(reply, request),
        _ => return Err(SYNTAX),
    }
    Ok(())
}

/// A command, or a subcommand with its arity, by a name such as `get` or `config|get`.
fn named(name: &[u8]) -> Option<(&'static Command, Option<(&'static str, i8)>)> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let command = find(parts.next().unwrap_or_default())?;
    let Some(subcommand) = parts.next() else { return Some((command, None)) };
    let known =
        subcommands(command).iter().find(|(name, _)| subcommand.eq_ignore_ascii_case(name.as_bytes()))?;
    Some((command, Some(*known)))
}

fn subcommands(command: &Command) -> &'static [(&'static str, i8)] {
    SUBCOMMANDS.iter().find(|(container, _)| *container == command.name).map_or(&[], |(_, known)| known)
}

fn describe_all(reply: &mut Writer) {
    reply.array(TABLE.len());
    for command in TABLE {
        describe(reply, command);
    }
}

fn describe(reply: &mut Writer, command: &Command) {
    describe_one(reply, command.name, command.arity, command.keys);
    let subcommands = subcommands(command);
    reply.array(subcommands.len());
    for (name, arity) in subcommands {
        describe_one(reply, &format!("{}|{name}", command.name), *arity, (0, 0, 0));
        reply.array(0);
    }
}

/// All but the subcommands, which follow.
fn describe_one(reply: &mut Writer, name: &str, arity: i8, (first, last, step): (i8, i8, i8)) {
    let about = about(name);
    reply.array(10);
    reply.bulk(name.as_bytes());
    reply.integer(i64::from(arity));
    let flags: Vec<&str> = about.flags.split_whitespace().collect();
    reply.set(flags.len());
    for flag in flags {
        reply.status(flag);
    }
    for place in [first, last, step] {
        reply.integer(i64::from(place));
    }
    let categories: Vec<&str> = about.categories.split_whitespace().collect();
    reply.set(categories.len());
    for category in categories {
        reply.status(&format!("@{category}"));
    }
    // Tips, and specifications of keys.
    reply.set(0);
    reply.set(0);
}

fn document(reply: &mut Writer, names: &[&[u8]]) {
    let wanted: Vec<String> = if names.is_empty() {
        TABLE.iter().map(|command| command.name.to_owned()).collect()
    } else {
        let full = |(command, sub): (&Command, Option<(&str, i8)>)| match sub {
            None => command.name.to_owned(),
            Some((name, _)) => format!("{}|{name}", command.name),
        };
        names.iter().filter_map(|name| named(name).map(full)).collect()
    };
    reply.map(wanted.len());
    for name in wanted {
        reply.bulk(name.as_bytes());
        reply.map(1);
        reply.bulk(b"group");
        reply.bulk(about(&name).group.as_bytes());
    }
}

/// `COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN argument]`
fn list(reply: &mut Writer, filter: &[&[u8]]) -> Outcome {
    let all = TABLE.iter().map(|command| command.name.to_owned());
    let names: Vec<String> = match filter {
        [] => all.collect(),
        [by, kind, argument] if is(by, "FILTERBY") => {
            let with_subcommands = TABLE.iter().flat_map(|command| {
                let subcommands = subcommands(command).iter();
                let subcommands = subcommands.map(move |(name, _)| format!("{}|{name}", command.name));
                std::iter::once(command.name.to_owned()).chain(subcommands)
            });
            if is(kind, "MODULE") {
                Vec::new()
            } else if is(kind, "ACLCAT") {
                let category = String::from_utf8_lossy(argument).to_lowercase();
                let has = |name: &String| about(name).categories.split(' ').any(|other| other == category);
                with_subcommands.filter(has).collect()
            } else if is(kind, "PATTERN") {
                // Names have no case.
                let pattern = argument.to_ascii_lowercase();
                with_subcommands.filter(|name| glob::matches(&pattern, name.as_bytes())).collect()
            } else {
                return Err(SYNTAX);
            }
        }
        _ => return Err(SYNTAX),
    };
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// `COMMAND GETKEYS request…`
fn keys(reply: &mut Writer, request: &[&[u8]]) -> Outcome {
    let command = request.first().and_then(|name| find(name));
    let command = command.ok_or(fixed("ERR Invalid command specified"))?;
    let about = about(command.name).flags;
    let has_keys = command.keys.0 > 0 || about.contains("movablekeys") || has_keys_in_subcommands(command);
    if !has_keys || command.flags.has(Flags::SHARD_CHANNELS) {
        return Err(fixed("ERR The command has no key arguments"));
    }
    if !arity_accepts(command.arity, request.len()) {
        return Err(fixed("ERR Invalid number of arguments specified for command"));
    }
    let keys: Vec<&[u8]> = KeyPlaces::of(command, request).keys(request).collect();
    if keys.is_empty() && !about.contains("no_mandatory_keys") {
        return Err(fixed("ERR Invalid arguments specified for command"));
    }
    reply.array(keys.len());
    for key in keys {
        reply.bulk(key);
    }
    Ok(())
}

/// Do subcommands have keys?
fn has_keys_in_subcommands(command: &Command) -> bool {
    matches!(command.name, "xgroup" | "xinfo")
}
