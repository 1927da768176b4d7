//! `XINFO`.

use crate::{
    commands::{
        Args, Context, is,
        stream_groups::{no_group, reply_help, wrong_subcommand},
        stream_ids::{reply_entries, reply_entry, reply_id},
    },
    error::{NO_SUCH_KEY, Outcome, ReplyError},
    number::integer,
    stream::{Consumer, Group, Log, Stream},
};
use wire::redis::reply::Writer;

const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
];

/// How many entries `XINFO STREAM FULL` shows of each kind.
const USUAL_COUNT: usize = 10;

pub(super) fn xinfo(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if a.len() == 2 {
        reply_help(c.reply, a, HELP);
        return Ok(());
    }
    let now_ms = c.db.now_ms();
    let stream = c.db.keyspace.read::<Stream>(a[2])?.ok_or(NO_SUCH_KEY)?;
    if is(a[1], "GROUPS") {
        reply_groups(c.reply, stream);
    } else if is(a[1], "CONSUMERS") {
        let group = stream.group(a[3]).ok_or_else(|| no_group(a[2], a[3]))?;
        c.reply.array(group.consumers.len());
        for (name, consumer) in &group.consumers {
            c.reply.map(3);
            pair(c.reply, "name").bulk(name);
            pair(c.reply, "pending").count(consumer.pending.len());
            pair(c.reply, "idle").integer(now_ms.saturating_sub(consumer.seen_ms).cast_signed());
        }
    } else if let Some(count) = full(a)? {
        c.reply.map(9);
        reply_log(c.reply, &stream.log);
        let entries: Vec<_> = stream.log.iter().take(count).collect();
        reply_entries(pair(c.reply, "entries"), &entries);
        pair(c.reply, "groups").array(stream.groups.len());
        for (name, group) in &stream.groups {
            reply_group(c.reply, &stream.log, name, group, count);
        }
    } else {
        c.reply.map(10);
        reply_log(c.reply, &stream.log);
        pair(c.reply, "groups").count(stream.groups.len());
        for (name, entry) in
            [("first-entry", stream.log.iter().next()), ("last-entry", stream.log.iter().next_back())]
        {
            let reply = pair(c.reply, name);
            match entry {
                Some((id, fields)) => reply_entry(reply, id, fields),
                None => reply.null(),
            }
        }
    }
    Ok(())
}

/// Writes the name of a field, whose value is to follow.
fn pair<'a>(reply: &'a mut Writer, name: &str) -> &'a mut Writer {
    reply.bulk(name.as_bytes());
    reply
}

fn integer_or_null(reply: &mut Writer, number: Option<i64>) {
    match number {
        Some(number) => reply.integer(number),
        None => reply.null(),
    }
}

/// How many entries `XINFO STREAM key [FULL [COUNT count]]` is to show in full, if any.
fn full(a: &Args<'_>) -> Result<Option<usize>, ReplyError> {
    match &a[3..] {
        [] => Ok(None),
        [option] if is(option, "FULL") => Ok(Some(USUAL_COUNT)),
        [option, count_option, count] if is(option, "FULL") && is(count_option, "COUNT") => {
            Ok(Some(match usize::try_from(integer(count)?) {
                Ok(0) => usize::MAX,
                Ok(count) => count,
                Err(_) => USUAL_COUNT,
            }))
        }
        _ => Err(wrong_subcommand(a)),
    }
}

/// What both forms of `XINFO STREAM` start with.
fn reply_log(reply: &mut Writer, log: &Log) {
    pair(reply, "length").count(log.len());
    pair(reply, "radix-tree-keys").count(log.node_count());
    pair(reply, "radix-tree-nodes").count(log.radix_node_count());
    reply_id(pair(reply, "last-generated-id"), log.last_id());
    reply_id(pair(reply, "max-deleted-entry-id"), log.max_deleted_id);
    pair(reply, "entries-added").integer(log.entries_added.cast_signed());
    reply_id(pair(reply, "recorded-first-entry-id"), log.first_id());
}

fn reply_groups(reply: &mut Writer, stream: &Stream) {
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        reply.map(6);
        pair(reply, "name").bulk(name);
        pair(reply, "consumers").count(group.consumers.len());
        pair(reply, "pending").count(group.pending.len());
        reply_id(pair(reply, "last-delivered-id"), group.last_id);
        integer_or_null(pair(reply, "entries-read"), group.entries_read);
        integer_or_null(pair(reply, "lag"), group.lag(&stream.log));
    }
}

fn reply_group(reply: &mut Writer, log: &Log, name: &[u8], group: &Group, count: usize) {
    reply.map(7);
    pair(reply, "name").bulk(name);
    reply_id(pair(reply, "last-delivered-id"), group.last_id);
    integer_or_null(pair(reply, "entries-read"), group.entries_read);
    integer_or_null(pair(reply, "lag"), group.lag(log));
    pair(reply, "pel-count").count(group.pending.len());
    pair(reply, "pending").array(group.pending.len().min(count));
    for (id, pending) in group.pending().take(count) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(&pending.consumer);
        reply.integer(pending.delivered_ms.cast_signed());
        reply.integer(pending.deliveries.cast_signed());
    }
    pair(reply, "consumers").array(group.consumers.len());
    for (name, consumer) in &group.consumers {
        reply_consumer(reply, group, name, consumer, count);
    }
}

fn reply_consumer(reply: &mut Writer, group: &Group, name: &[u8], consumer: &Consumer, count: usize) {
    reply.map(4);
    pair(reply, "name").bulk(name);
    pair(reply, "seen-time").integer(consumer.seen_ms.cast_signed());
    pair(reply, "pel-count").count(consumer.pending.len());
    let pending = || {
        let own = consumer.pending().take(count);
        own.filter_map(|id| group.pending.get(&id).map(|pending| (id, pending)))
    };
    pair(reply, "pending").array(pending().count());
    for (id, pending) in pending() {
        reply.array(3);
        reply_id(reply, id);
        reply.integer(pending.delivered_ms.cast_signed());
        reply.integer(pending.deliveries.cast_signed());
    }
}
