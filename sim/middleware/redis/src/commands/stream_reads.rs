//! `XREAD` and `XREADGROUP`.

use std::collections::BTreeMap;

use crate::{
    commands::{
        Args, Context,
        blocking::{wait, whole_timeout_ms},
        is,
        stream_groups::{propagate_position, propagate_taken},
        stream_ids::{self, reply_entry, reply_id},
    },
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::Blob,
    number::integer,
    stream::{ReadOutcome, Stream, StreamId},
    waiting::Want,
};
use wire::redis::reply::Protocol;

/// What stands for `>`, as in Redis: the entries that the group has not seen yet.
const UNSEEN: StreamId = StreamId::MAX;
/// What a client gets at most that waited without saying how much it wants.
const COUNT_AFTER_WAITING: usize = 1000;

/// The arguments of both commands.
struct Read<'a> {
    count: usize,
    acknowledged: bool,
    /// How long to wait for entries, milliseconds; 0: for ever.
    block_ms: Option<u64>,
    group: Option<(&'a [u8], &'a [u8])>,
    keys: &'a [&'a [u8]],
    ids: &'a [&'a [u8]],
}

impl<'a> Read<'a> {
    /// Everything of a stream, of which nothing is named yet.
    fn all() -> Self {
        Self { count: usize::MAX, acknowledged: false, block_ms: None, group: None, keys: &[], ids: &[] }
    }

    fn parse(c: &Context<'_>, a: &'a Args<'a>, by_group: bool) -> Result<Self, ReplyError> {
        let mut read = Self::all();
        let mut rest = &a[1..];
        loop {
            rest = match rest {
                [option, time, rest @ ..] if is(option, "BLOCK") => {
                    if c.db.caller.is_script {
                        let name = String::from_utf8_lossy(a[0]);
                        return Err(ReplyError::new(format!(
                            "ERR {name} command is not allowed with BLOCK option from scripts"
                        )));
                    }
                    read.block_ms = Some(whole_timeout_ms(time)?);
                    rest
                }
                [option, count, rest @ ..] if is(option, "COUNT") => {
                    // Zero and less are no limit.
                    let count = usize::try_from(integer(count)?).ok().filter(|count| *count > 0);
                    read.count = count.unwrap_or(usize::MAX);
                    rest
                }
                [option, streams @ ..] if is(option, "STREAMS") && !streams.is_empty() => {
                    if !streams.len().is_multiple_of(2) {
                        return Err(fixed(
                            "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be \
                             specified.",
                        ));
                    }
                    (read.keys, read.ids) = streams.split_at(streams.len() / 2);
                    break;
                }
                [option, group, consumer, rest @ ..] if is(option, "GROUP") => {
                    if !by_group {
                        return Err(only_with_group("GROUP"));
                    }
                    read.group = Some((group, consumer));
                    rest
                }
                [option, rest @ ..] if is(option, "NOACK") => {
                    if !by_group {
                        return Err(only_with_group("NOACK"));
                    }
                    read.acknowledged = true;
                    rest
                }
                _ => return Err(SYNTAX),
            };
        }
        if by_group && read.group.is_none() {
            return Err(fixed("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(read)
    }

    /// After which id a stream is to be read.
    fn after(&self, c: &Context<'_>, key: &[u8], id: &[u8]) -> Result<StreamId, ReplyError> {
        let stream = c.db.keyspace.read::<Stream>(key)?;
        if let Some((group, _)) = self.group
            && stream.is_none_or(|stream| !stream.groups.contains_key(group))
        {
            let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
            return Err(ReplyError::new(format!(
                "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
            )));
        }
        match (id, self.group) {
            (b"$", None) => Ok(stream.map_or(StreamId::MIN, |stream| stream.log.last_id())),
            (b"$", Some(_)) => Err(fixed(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                 consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just \
                 return an empty result set.",
            )),
            (b">", Some(_)) => Ok(UNSEEN),
            (b">", None) => Err(fixed(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
                 option.",
            )),
            _ => stream_ids::parse(id),
        }
    }

    /// Reads one of the streams; `None` if there is nothing to be read.
    fn read(
        &self,
        c: &mut Context<'_>,
        key: &[u8],
        after: StreamId,
    ) -> Result<Option<ReadOutcome>, ReplyError> {
        let Some(stream) = c.db.keyspace.read::<Stream>(key)? else { return Ok(None) };
        let top = stream.log.last_live_id();
        let Some((group, consumer)) = self.group else {
            let Some(start) = after.next().filter(|_| top > Some(after)) else { return Ok(None) };
            let entries = stream.log.range(start, StreamId::MAX).take(self.count);
            return Ok(Some(entries.map(|(id, fields)| (id, Some(fields.clone()))).collect()));
        };
        let seen = stream.group(group).map(|group| group.last_id());
        if after == UNSEEN && top <= seen {
            return Ok(None);
        }
        self.read_by_group(c, key, (group, consumer), after)
    }

    fn read_by_group(
        &self,
        c: &mut Context<'_>,
        key: &[u8],
        (group, consumer): (&[u8], &[u8]),
        after: StreamId,
    ) -> Result<Option<ReadOutcome>, ReplyError> {
        let stream = c.db.keyspace.read::<Stream>(key)?;
        if let Some(stream) = stream
            && stream.group(group).is_some_and(|group| !group.consumers.contains_key(consumer))
        {
            c.db.propagation.instead(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
        let now_ms = c.db.now_ms();
        let outcome = c.db.keyspace.edit(key, |stream: &mut Stream| {
            let outcome = if after == UNSEEN {
                stream.deliver(group, consumer, self.count, self.acknowledged, now_ms)
            } else {
                stream.redeliver(group, consumer, after, self.count, now_ms)
            };
            (outcome, false)
        })?;
        c.db.keyspace.note(key);
        self.propagate(c, key, group, after == UNSEEN, outcome.as_ref());
        Ok(outcome)
    }
}

impl Read<'_> {
    /// What replicas get of a read by a group: who has what, and how far the group is. Reading again what is pending
    /// changes nothing that they need.
    fn propagate(
        &self,
        c: &mut Context<'_>,
        key: &[u8],
        group: &[u8],
        is_new: bool,
        outcome: Option<&ReadOutcome>,
    ) {
        if let Some(outcome) = outcome.filter(|_| is_new) {
            if !self.acknowledged {
                propagate_taken(c, key, group, outcome.iter().map(|(id, _)| *id));
            }
            propagate_position(c, key, group);
        }
        c.db.propagation.instead(&[]);
    }
}

fn only_with_group(option: &str) -> ReplyError {
    ReplyError::new(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    ))
}

pub(super) fn xread(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let read = Read::parse(c, a, false)?;
    run(c, &read)
}

pub(super) fn xreadgroup(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let read = Read::parse(c, a, true)?;
    run(c, &read)
}

fn run(c: &mut Context<'_>, read: &Read<'_>) -> Outcome {
    let streams = read.keys.iter().zip(read.ids);
    let streams: Vec<(&[u8], StreamId)> =
        streams.map(|(key, id)| Ok((*key, read.after(c, key, id)?))).collect::<Result<_, ReplyError>>()?;
    let mut outcomes = Vec::new();
    for (key, after) in &streams {
        if let Some(outcome) = read.read(c, key, *after)? {
            outcomes.push((*key, outcome));
        }
    }
    if !outcomes.is_empty() {
        reply(c, &outcomes);
    } else if let Some(block_ms) = read.block_ms {
        let mut after = BTreeMap::new();
        for (key, id) in streams {
            after.entry(Blob::from(key)).or_insert(id);
        }
        let group = read.group.map(|(group, consumer)| (group.into(), consumer.into(), read.acknowledged));
        let count = if read.count == usize::MAX { COUNT_AFTER_WAITING } else { read.count };
        wait(c, read.keys, Want::Stream { group, count, after }, block_ms);
    } else {
        c.reply.null_array();
    }
    Ok(())
}

/// Gives a client that waited the entries of a stream that has some now.
pub(super) fn serve(
    c: &mut Context<'_>,
    key: &[u8],
    group: Option<(&[u8], &[u8])>,
    acknowledged: bool,
    count: usize,
    after: StreamId,
) -> Outcome {
    let read = Read { count, acknowledged, group, ..Read::all() };
    let outcome = match group {
        Some(names) => read.read_by_group(c, key, names, UNSEEN)?,
        None => {
            let stream = c.db.keyspace.read::<Stream>(key)?;
            stream.zip(after.next()).map(|(stream, start)| {
                let entries = stream.log.range(start, StreamId::MAX).take(count);
                entries.map(|(id, fields)| (id, Some(fields.clone()))).collect()
            })
        }
    };
    // What came may be gone already: then there is a stream without entries.
    reply(c, &[(key, outcome.unwrap_or_default())]);
    Ok(())
}

/// Writes what was read from each stream.
fn reply(c: &mut Context<'_>, outcomes: &[(&[u8], ReadOutcome)]) {
    // RESP3 has a map of the streams, RESP2 a list of pairs.
    let nested = c.reply.protocol() == Protocol::Resp2;
    if nested {
        c.reply.array(outcomes.len());
    } else {
        c.reply.map(outcomes.len());
    }
    for (key, outcome) in outcomes {
        if nested {
            c.reply.array(2);
        }
        c.reply.bulk(key);
        c.reply.array(outcome.len());
        for (id, fields) in outcome {
            match fields {
                Some(fields) => reply_entry(c.reply, *id, fields),
                None => {
                    c.reply.array(2);
                    reply_id(c.reply, *id);
                    c.reply.null_array();
                }
            }
        }
    }
}
