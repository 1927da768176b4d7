//! `XGROUP`, and what consumers do about their pending entries. Those who watch a key are not told of any of this,
//! as in Redis; the observer is.

use wire::redis::reply::Writer;

use crate::{
    commands::{
        Args, Context, check_type, is,
        stream_ids::{self, End, reply_entry, reply_id},
    },
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Awaited, Blob},
    number::{integer, parse_i64},
    stream::{Claim, Fields, Group, Stream, StreamId},
};

const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
];

/// The number of entries that `XAUTOCLAIM` looks at, per entry that it may claim.
const ATTEMPTS: usize = 10;
/// The highest `COUNT` of `XAUTOCLAIM`: Redis reserves the size of an id for each.
const MAX_CLAIMS: i64 = i64::MAX / 16;

/// Replies to the `HELP` of a container command.
pub(crate) fn reply_help(reply: &mut Writer, a: &Args<'_>, lines: &[&str]) {
    let command = String::from_utf8_lossy(a[0]).to_uppercase();
    reply.array(lines.len() + 3);
    reply.status(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        reply.status(line);
    }
    reply.status("HELP");
    reply.status("    Prints this help.");
}

/// The error for arguments that do not fit a subcommand.
pub(crate) fn wrong_subcommand(a: &Args<'_>) -> ReplyError {
    let given = &a[1][..a[1].len().min(128)];
    let (given, command) = (String::from_utf8_lossy(given), String::from_utf8_lossy(a[0]).to_uppercase());
    ReplyError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{given}'. Try {command} HELP."
    ))
}

/// The error for a key that is there, but not the group.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> ReplyError {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    ReplyError::new(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

fn no_key_or_group(key: &[u8], group: &[u8]) -> ReplyError {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    ReplyError::new(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

fn group<'a>(c: &'a Context<'_>, key: &[u8], name: &[u8]) -> Result<Option<&'a Group>, ReplyError> {
    Ok(c.db.keyspace.read::<Stream>(key)?.and_then(|stream| stream.group(name)))
}

/// Edits a group that exists (`None` otherwise).
fn edit_group<R>(
    c: &mut Context<'_>,
    key: &[u8],
    name: &[u8],
    edit: impl FnOnce(&mut Group) -> R,
) -> Result<Option<R>, ReplyError> {
    let result =
        c.db.keyspace.edit(key, |stream: &mut Stream| (stream.groups.get_mut(name).map(edit), false))?;
    c.db.keyspace.note(key);
    Ok(result.flatten())
}

/// The options of `XGROUP CREATE` and `XGROUP SETID`.
#[derive(Default)]
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<i64>,
}

impl GroupOptions {
    fn parse(a: &Args<'_>, is_create: bool) -> Result<Self, ReplyError> {
        let mut options = Self::default();
        let mut rest = a.get(5..).unwrap_or_default();
        while !rest.is_empty() {
            rest = match rest {
                [option, rest @ ..] if is_create && is(option, "MKSTREAM") => {
                    options.make_stream = true;
                    rest
                }
                [option, read, rest @ ..] if is(option, "ENTRIESREAD") => {
                    options.entries_read = match integer(read)? {
                        -1 => None,
                        read if read < 0 => {
                            return Err(fixed("ERR value for ENTRIESREAD must be positive or -1"));
                        }
                        read => Some(read),
                    };
                    rest
                }
                _ => return Err(wrong_subcommand(a)),
            };
        }
        Ok(options)
    }
}

pub(super) fn xgroup(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if a.len() == 2 {
        reply_help(c.reply, a, HELP);
        return Ok(());
    }
    if is(a[1], "CREATE") {
        return create(c, a);
    }
    let options = if is(a[1], "SETID") { GroupOptions::parse(a, false)? } else { GroupOptions::default() };
    let (key, name) = (a[2], a[3]);
    let stream = c.db.keyspace.read::<Stream>(key)?.ok_or(NO_STREAM)?;
    if is(a[1], "DESTROY") {
        let gone =
            c.db.keyspace.edit(key, |stream: &mut Stream| (stream.groups.remove(name).is_some(), false))?;
        c.db.keyspace.note(key);
        if gone == Some(true) {
            c.db.keyspace.signal(key, Awaited::Stream);
        }
        c.reply.integer(i64::from(gone == Some(true)));
        return Ok(());
    }
    if !stream.groups.contains_key(name) {
        return Err(no_group(key, name));
    }
    if is(a[1], "SETID") {
        if !matches!(a.len(), 5 | 7) {
            return Err(wrong_subcommand(a));
        }
        let id = if a[4] == b"$" { stream.log.last_id() } else { stream_ids::parse_or_edge(a[4], 0)? };
        edit_group(c, key, name, |group| {
            group.last_id = id;
            group.entries_read = options.entries_read;
        })?;
        c.reply.ok();
    } else if is(a[1], "CREATECONSUMER") {
        let now_ms = c.db.now_ms();
        let created = edit_group(c, key, name, |group| group.create_consumer(a[4], now_ms))?;
        c.reply.integer(i64::from(created == Some(true)));
    } else {
        let pending = edit_group(c, key, name, |group| group.delete_consumer(a[4]))?;
        c.reply.count(pending.flatten().unwrap_or(0));
    }
    Ok(())
}

const NO_STREAM: ReplyError = fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
     option to create an empty stream automatically.",
);

fn create(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let options = GroupOptions::parse(a, true)?;
    let (key, name) = (a[2], a[3]);
    let stream = c.db.keyspace.read::<Stream>(key)?;
    if stream.is_none() && !options.make_stream {
        return Err(NO_STREAM);
    }
    if a.len() > 8 {
        return Err(wrong_subcommand(a));
    }
    let last_id = match a[4] {
        b"$" => stream.map_or(StreamId::MIN, |stream| stream.log.last_id()),
        id => stream_ids::parse(id)?,
    };
    if stream.is_some_and(|stream| stream.groups.contains_key(name)) {
        return Err(fixed("BUSYGROUP Consumer Group name already exists"));
    }
    // Only a new stream is a change that those who watch the key are told of.
    let is_new = stream.is_none();
    let group = Group { last_id, entries_read: options.entries_read, ..Group::default() };
    c.db.keyspace.edit_or_create(key, |stream: &mut Stream| {
        stream.groups.insert(Blob::from(name), group);
        ((), is_new)
    })?;
    c.db.keyspace.note(key);
    c.reply.ok();
    Ok(())
}

pub(super) fn xack(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if group(c, a[1], a[2])?.is_none() {
        c.reply.integer(0);
        return Ok(());
    }
    let ids = stream_ids::parse_all(&a[3..])?;
    let acknowledged =
        edit_group(c, a[1], a[2], |group| ids.iter().filter(|id| group.acknowledge(**id)).count())?;
    c.reply.count(acknowledged.unwrap_or(0));
    Ok(())
}

/// `XPENDING key group [[IDLE least-idle] start end count [consumer]]`
pub(super) fn xpending(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if a.len() == 3 {
        return pending_summary(c, a);
    }
    if a.len() > 9 {
        return Err(SYNTAX);
    }
    let (least_idle, range) = match &a[3..] {
        [option, idle, range @ ..] if a.len() >= 6 && is(option, "IDLE") => (integer(idle)?, range),
        range => (0, range),
    };
    let [start, end, count, consumer @ ..] = range else { return Err(SYNTAX) };
    let count = usize::try_from(integer(count)?).unwrap_or(0);
    let start = stream_ids::parse_end(start, End::Start)?;
    let end = stream_ids::parse_end(end, End::Stop)?;
    let now_ms = c.db.now_ms();
    let group = group(c, a[1], a[2])?.ok_or_else(|| no_key_or_group(a[1], a[2]))?;
    let wanted = consumer.first();
    let range = (start <= end).then(|| group.pending.range(start..=end));
    let found: Vec<(StreamId, Blob, u64, u64)> = range
        .into_iter()
        .flatten()
        .map(|(id, pending)| (*id, pending, now_ms.saturating_sub(pending.delivered_ms)))
        .filter(|(_, pending, idle)| {
            wanted.is_none_or(|wanted| *pending.consumer == **wanted) && is_idle(*idle, least_idle)
        })
        .map(|(id, pending, idle)| (id, pending.consumer.clone(), idle, pending.deliveries))
        .take(count)
        .collect();
    c.reply.array(found.len());
    for (id, consumer, idle, deliveries) in found {
        c.reply.array(4);
        reply_id(c.reply, id);
        c.reply.bulk(&consumer);
        c.reply.integer(idle.cast_signed());
        c.reply.integer(deliveries.cast_signed());
    }
    Ok(())
}

/// Was an entry not delivered for so long? It always was for zero and less.
fn is_idle(idle: u64, least: i64) -> bool {
    u64::try_from(least).is_ok_and(|least| idle >= least) || least < 0
}

fn pending_summary(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let stream = c.db.keyspace.read::<Stream>(a[1])?;
    let group = stream.and_then(|stream| stream.group(a[2])).ok_or_else(|| no_key_or_group(a[1], a[2]))?;
    c.reply.array(4);
    c.reply.count(group.pending.len());
    let (Some((first, _)), Some((last, _))) =
        (group.pending.first_key_value(), group.pending.last_key_value())
    else {
        c.reply.null();
        c.reply.null();
        c.reply.null_array();
        return Ok(());
    };
    reply_id(c.reply, *first);
    reply_id(c.reply, *last);
    let busy = || group.consumers.iter().filter(|(_, consumer)| !consumer.pending.is_empty());
    c.reply.array(busy().count());
    for (name, consumer) in busy() {
        c.reply.array(2);
        c.reply.bulk(name);
        c.reply.bulk_integer(i64::try_from(consumer.pending.len()).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// The options of `XCLAIM`.
struct ClaimOptions {
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    only_ids: bool,
    last_id: StreamId,
}

impl ClaimOptions {
    fn parse(arguments: &[&[u8]], now_ms: u64) -> Result<Self, ReplyError> {
        let mut options = Self {
            delivered_ms: None,
            deliveries: None,
            force: false,
            only_ids: false,
            last_id: StreamId::MIN,
        };
        let number = |text: &[u8], option: &str| {
            parse_i64(text)
                .ok_or_else(|| ReplyError::new(format!("ERR Invalid {option} option argument for XCLAIM")))
        };
        let mut rest = arguments;
        while !rest.is_empty() {
            rest = match rest {
                [option, rest @ ..] if is(option, "FORCE") => {
                    options.force = true;
                    rest
                }
                [option, rest @ ..] if is(option, "JUSTID") => {
                    options.only_ids = true;
                    rest
                }
                [option, idle, rest @ ..] if is(option, "IDLE") => {
                    let idle = number(idle, "IDLE")?;
                    options.delivered_ms = Some(now_ms.cast_signed().wrapping_sub(idle));
                    rest
                }
                [option, time, rest @ ..] if is(option, "TIME") => {
                    options.delivered_ms = Some(number(time, "TIME")?);
                    rest
                }
                [option, count, rest @ ..] if is(option, "RETRYCOUNT") => {
                    options.deliveries = u64::try_from(number(count, "RETRYCOUNT")?).ok();
                    rest
                }
                [option, id, rest @ ..] if is(option, "LASTID") => {
                    options.last_id = stream_ids::parse(id)?;
                    rest
                }
                [option, ..] => {
                    let option = String::from_utf8_lossy(option);
                    return Err(ReplyError::new(format!("ERR Unrecognized XCLAIM option '{option}'")));
                }
                [] => break,
            };
        }
        Ok(options)
    }
}

/// Replicas get what became of entries that a consumer took: their time and number of deliveries.
pub(super) fn propagate_taken(
    c: &mut Context<'_>,
    key: &[u8],
    name: &[u8],
    taken: impl IntoIterator<Item = StreamId>,
) {
    if !c.db.propagation.wanted {
        return;
    }
    let Ok(Some(group)) =
        c.db.keyspace.read::<Stream>(key).map(|stream| stream.and_then(|it| it.group(name)))
    else {
        return;
    };
    let last_id = group.last_id().to_string();
    for id in taken {
        let Some(pending) = group.pending.get(&id) else { continue };
        c.db.propagation.instead(&[
            b"XCLAIM",
            key,
            name,
            &pending.consumer,
            b"0",
            id.to_string().as_bytes(),
            b"TIME",
            pending.delivered_ms.to_string().as_bytes(),
            b"RETRYCOUNT",
            pending.deliveries.to_string().as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last_id.as_bytes(),
        ]);
    }
}

/// Replicas get how far a group has read.
pub(super) fn propagate_position(c: &mut Context<'_>, key: &[u8], name: &[u8]) {
    let Ok(Some(group)) =
        c.db.keyspace.read::<Stream>(key).map(|stream| stream.and_then(|it| it.group(name)))
    else {
        return;
    };
    let (last_id, read) = (group.last_id().to_string(), group.entries_read.unwrap_or(-1).to_string());
    c.db.propagation.instead(&[
        b"XGROUP",
        b"SETID",
        key,
        name,
        last_id.as_bytes(),
        b"ENTRIESREAD",
        read.as_bytes(),
    ]);
}

/// Replicas forget entries that were deleted while a consumer had them.
fn propagate_gone(c: &mut Context<'_>, key: &[u8], name: &[u8], gone: &[StreamId]) {
    for id in gone {
        c.db.propagation.instead(&[b"XACK", key, name, id.to_string().as_bytes()]);
    }
}

/// `XCLAIM key group consumer least-idle id… [option…]`
pub(super) fn xclaim(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if group(c, a[1], a[2])?.is_none() {
        return Err(no_key_or_group(a[1], a[2]));
    }
    let least_idle = parse_i64(a[4]).ok_or(fixed("ERR Invalid min-idle-time argument for XCLAIM"))?;
    let now_ms = c.db.now_ms();
    let ids: Vec<StreamId> = a[5..].iter().map_while(|text| stream_ids::parse(text).ok()).collect();
    let options = ClaimOptions::parse(&a[5 + ids.len()..], now_ms)?;
    // A time of delivery that cannot be is taken for now.
    let delivered_ms = options.delivered_ms.and_then(|ms| u64::try_from(ms).ok());
    let claim = Claim {
        delivered_ms: delivered_ms.filter(|ms| *ms <= now_ms).unwrap_or(now_ms),
        deliveries: options.deliveries,
        counts: !options.only_ids,
    };
    let claimed = c.db.keyspace.edit(a[1], |stream: &mut Stream| {
        let (log, Some(group)) = (&stream.log, stream.groups.get_mut(a[2])) else {
            return ((Vec::new(), Vec::new()), false);
        };
        group.last_id = group.last_id.max(options.last_id);
        let (mut claimed, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(fields) = log.get(id) else {
                // The entry was deleted: there is nothing to be acknowledged any more.
                if group.acknowledge(id) {
                    gone.push(id);
                }
                continue;
            };
            let takes = group.pending.get(&id).map_or(options.force, |pending| {
                is_idle(now_ms.saturating_sub(pending.delivered_ms), least_idle)
            });
            if takes {
                let consumer = group.see(a[3], now_ms);
                group.claim(id, &consumer, claim);
                claimed.push((id, fields.clone()));
            }
        }
        ((claimed, gone), false)
    })?;
    let (claimed, gone) = claimed.unwrap_or_default();
    c.db.keyspace.note(a[1]);
    propagate_gone(c, a[1], a[2], &gone);
    propagate_taken(c, a[1], a[2], claimed.iter().map(|(id, _)| *id));
    if options.last_id > StreamId::MIN && claimed.is_empty() {
        propagate_position(c, a[1], a[2]);
    }
    c.db.propagation.instead(&[]);
    reply_claimed(c, &claimed, options.only_ids);
    Ok(())
}

fn reply_claimed(c: &mut Context<'_>, claimed: &[(StreamId, Fields)], only_ids: bool) {
    c.reply.array(claimed.len());
    for (id, fields) in claimed {
        if only_ids {
            reply_id(c.reply, *id);
        } else {
            reply_entry(c.reply, *id, fields);
        }
    }
}

/// What `XAUTOCLAIM` did.
#[derive(Default)]
struct Sweep {
    claimed: Vec<(StreamId, Fields)>,
    deleted: Vec<StreamId>,
    /// Where to go on; the lowest id at the end.
    next: StreamId,
}

/// The arguments of `XAUTOCLAIM` after the names.
struct SweepOptions {
    least_idle: i64,
    start: StreamId,
    count: usize,
    only_ids: bool,
}

impl SweepOptions {
    fn parse(a: &Args<'_>) -> Result<Self, ReplyError> {
        let least_idle = parse_i64(a[4]).ok_or(fixed("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
        let start = stream_ids::parse_end(a[5], End::Start)?;
        let mut options = Self { least_idle, start, count: 100, only_ids: false };
        let mut rest = &a[6..];
        while !rest.is_empty() {
            rest = match rest {
                [option, count, rest @ ..] if is(option, "COUNT") => {
                    let count = parse_i64(count).filter(|count| (1..=MAX_CLAIMS).contains(count));
                    let count = count.and_then(|count| usize::try_from(count).ok());
                    options.count = count.ok_or(fixed("ERR COUNT must be > 0"))?;
                    rest
                }
                [option, rest @ ..] if is(option, "JUSTID") => {
                    options.only_ids = true;
                    rest
                }
                _ => return Err(SYNTAX),
            };
        }
        Ok(options)
    }
}

/// `XAUTOCLAIM key group consumer least-idle start [COUNT count] [JUSTID]`
pub(super) fn xautoclaim(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let options = SweepOptions::parse(a)?;
    check_type::<Stream>(&c.db.keyspace, a[1])?;
    let now_ms = c.db.now_ms();
    let swept =
        c.db.keyspace
            .edit(a[1], |stream: &mut Stream| (sweep(stream, a[2], a[3], &options, now_ms), false))?;
    let swept = swept.flatten().ok_or_else(|| no_key_or_group(a[1], a[2]))?;
    c.db.keyspace.note(a[1]);
    propagate_gone(c, a[1], a[2], &swept.deleted);
    propagate_taken(c, a[1], a[2], swept.claimed.iter().map(|(id, _)| *id));
    c.db.propagation.instead(&[]);
    c.reply.array(3);
    reply_id(c.reply, swept.next);
    reply_claimed(c, &swept.claimed, options.only_ids);
    c.reply.array(swept.deleted.len());
    for id in swept.deleted {
        reply_id(c.reply, id);
    }
    Ok(())
}

fn sweep(
    stream: &mut Stream,
    group: &[u8],
    consumer: &[u8],
    options: &SweepOptions,
    now_ms: u64,
) -> Option<Sweep> {
    let (log, group) = (&stream.log, stream.groups.get_mut(group)?);
    let mut sweep = Sweep::default();
    let claim = Claim { delivered_ms: now_ms, deliveries: None, counts: !options.only_ids };
    let mut from = Some(options.start);
    for _ in 0..options.count.saturating_mul(ATTEMPTS) {
        if sweep.claimed.len() + sweep.deleted.len() == options.count {
            break;
        }
        let Some((id, idle)) = from.and_then(|from| {
            let (id, pending) = group.pending.range(from..).next()?;
            Some((*id, now_ms.saturating_sub(pending.delivered_ms)))
        }) else {
            break;
        };
        from = id.next();
        match log.get(id) {
            None => {
                group.acknowledge(id);
                sweep.deleted.push(id);
            }
            Some(fields) if is_idle(idle, options.least_idle) => {
                let consumer = group.see(consumer, now_ms);
                group.claim(id, &consumer, claim);
                sweep.claimed.push((id, fields.clone()));
            }
            Some(_) => {}
        }
    }
    let next = from.and_then(|from| group.pending.range(from..).next());
    sweep.next = next.map_or(StreamId::MIN, |(id, _)| *id);
    Some(sweep)
}
