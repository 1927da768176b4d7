//! Commands on the entries of streams.

use crate::{
    commands::{
        Args, Context, check_type, is,
        stream_ids::{self, End, reply_entries, reply_id},
    },
    error::{NO_SUCH_KEY, Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Awaited, Blob},
    number::integer,
    stream::{Fields, Log, NextId, Stream, StreamId, Trim, TrimTo},
};

/// Without a `LIMIT`, approximate trimming removes no more entries than this: a hundred nodes of Redis.
const USUAL_LIMIT: usize = 10_000;

/// The options that `XADD` and `XTRIM` share.
#[derive(Default)]
struct TrimOptions {
    to: Option<TrimTo>,
    approximate: bool,
    limit: Option<usize>,
}

impl TrimOptions {
    /// Reads an option if the arguments start with one; returns those that follow it.
    fn take<'a>(&mut self, arguments: &'a [&'a [u8]]) -> Result<Option<&'a [&'a [u8]]>, ReplyError> {
        let [option, rest @ ..] = arguments else { return Ok(None) };
        let [value, after @ ..] = rest else { return Ok(None) };
        if is(option, "LIMIT") {
            let limit = usize::try_from(integer(value)?);
            self.limit = Some(limit.map_err(|_| fixed("ERR The LIMIT argument must be >= 0."))?);
            return Ok(Some(after));
        }
        let by_length = is(option, "MAXLEN");
        if !by_length && !is(option, "MINID") {
            return Ok(None);
        }
        if self.to.is_some() {
            return Err(fixed(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let (value, after) = match rest {
            [b"~", value, after @ ..] => {
                self.approximate = true;
                (value, after)
            }
            [b"=", value, after @ ..] => (value, after),
            _ => (value, after),
        };
        self.to = Some(if by_length {
            let length = usize::try_from(integer(value)?);
            TrimTo::Length(length.map_err(|_| fixed("ERR The MAXLEN argument must be >= 0."))?)
        } else {
            TrimTo::Id(stream_ids::parse(value)?)
        });
        Ok(Some(after))
    }

    /// What the options ask for, once all were read.
    fn finish(self, is_xtrim: bool) -> Result<Option<Trim>, ReplyError> {
        if self.to.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(fixed(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.to.is_none() && is_xtrim {
            return Err(fixed("ERR syntax error, XTRIM must be called with a trimming strategy"));
        }
        if self.limit.is_some() && !self.approximate {
            return Err(fixed("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        let limit = match self.limit {
            Some(0) => None,
            None if self.approximate => Some(USUAL_LIMIT),
            limit => limit,
        };
        Ok(self.to.map(|to| Trim { to, approximate: self.approximate, limit }))
    }
}

/// The id for a new entry; `None` for `*`, which the clock decides.
fn next_id(text: &[u8]) -> Result<Option<NextId>, ReplyError> {
    if text == b"*" {
        return Ok(None);
    }
    Ok(Some(match stream_ids::parse_millisecond(text) {
        Some(ms) => NextId::Within(ms),
        None => NextId::Given(stream_ids::parse(text)?),
    }))
}

/// `XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value…`
pub(super) fn xadd(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let mut options = TrimOptions::default();
    let mut only_existing = false;
    let mut rest = &a[2..];
    let mut id = None;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = options.take(rest)? {
            rest = after;
        } else if is(first, "NOMKSTREAM") {
            only_existing = true;
            rest = after;
        } else {
            id = next_id(first)?;
            rest = after;
            break;
        }
    }
    let trim = options.finish(false)?;
    if rest.is_empty() || !rest.len().is_multiple_of(2) {
        return Err(ReplyError::wrong_arity("xadd"));
    }
    if matches!(id, Some(NextId::Given(StreamId::MIN))) {
        return Err(fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    check_type::<Stream>(&c.db.keyspace, a[1])?;
    if only_existing && c.db.keyspace.get(a[1]).is_none() {
        c.reply.null();
        return Ok(());
    }
    let id = id.unwrap_or(NextId::Clock(c.db.now_ms()));
    let fields: Fields =
        rest.chunks_exact(2).map(|pair| (Blob::from(pair[0]), Blob::from(pair[1]))).collect();
    let added = c.db.keyspace.edit_or_create(a[1], |stream: &mut Stream| {
        let added = stream.log.add(id, fields);
        if let (Ok(_), Some(trim)) = (&added, trim) {
            stream.log.trim(trim);
        }
        let changed = added.is_ok();
        (added, changed)
    })??;
    c.db.keyspace.signal(a[1], Awaited::Stream);
    // Replicas get the id that the clock gave.
    let (added_text, place) = (added.to_string(), a.len() - rest.len() - 1);
    let mut command = a.to_vec();
    command[place] = added_text.as_bytes();
    c.db.propagation.instead(&command);
    reply_id(c.reply, added);
    Ok(())
}

pub(super) fn xtrim(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let mut options = TrimOptions::default();
    let mut rest = &a[2..];
    while !rest.is_empty() {
        rest = options.take(rest)?.ok_or(SYNTAX)?;
    }
    let trim = options.finish(true)?;
    let trimmed = c.db.keyspace.edit(a[1], |stream: &mut Stream| {
        let trimmed = trim.map_or(0, |trim| stream.log.trim(trim));
        (trimmed, trimmed > 0)
    })?;
    c.reply.count(trimmed.unwrap_or(0));
    Ok(())
}

pub(super) fn xlen(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<Stream>(a[1])?.map_or(0, |stream| stream.log.len());
    c.reply.count(length);
    Ok(())
}

pub(super) fn xdel(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if c.db.keyspace.read::<Stream>(a[1])?.is_none() {
        c.reply.integer(0);
        return Ok(());
    }
    let ids = stream_ids::parse_all(&a[2..])?;
    let deleted = c.db.keyspace.edit(a[1], |stream: &mut Stream| {
        let deleted = ids.iter().filter(|id| stream.log.delete(**id)).count();
        (deleted, deleted > 0)
    })?;
    c.reply.count(deleted.unwrap_or(0));
    Ok(())
}

pub(super) fn xrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, a[2], a[3], false)
}

pub(super) fn xrevrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, a[3], a[2], true)
}

fn range(c: &mut Context<'_>, a: &Args<'_>, start: &[u8], end: &[u8], reverse: bool) -> Outcome {
    let start = stream_ids::parse_end(start, End::Start)?;
    let end = stream_ids::parse_end(end, End::Stop)?;
    let mut count = usize::MAX;
    let mut rest = &a[4..];
    while let Some((option, after)) = rest.split_first() {
        let (value, after) = after.split_first().filter(|_| is(option, "COUNT")).ok_or(SYNTAX)?;
        let given = integer(value)?;
        // As Redis does: -1 is its mark for no count only where none was given.
        count = usize::try_from(given).unwrap_or(0);
        rest = after;
    }
    let Some(stream) = c.db.keyspace.read::<Stream>(a[1])? else {
        c.reply.array(0);
        return Ok(());
    };
    if count == 0 {
        c.reply.null_array();
        return Ok(());
    }
    let entries = stream.log.range(start, end);
    let entries: Vec<(StreamId, &Fields)> =
        if reverse { entries.rev().take(count).collect() } else { entries.take(count).collect() };
    reply_entries(c.reply, &entries);
    Ok(())
}

/// `XSETID key last-id [ENTRIESADDED count] [MAXDELETEDID id]`. Those who watch the key are not told, as in Redis.
pub(super) fn xsetid(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let last_id = stream_ids::parse(a[2])?;
    let (mut entries_added, mut max_deleted_id) = (None, StreamId::MIN);
    let mut rest = &a[3..];
    while let Some((option, after)) = rest.split_first() {
        let (value, after) = after.split_first().ok_or(SYNTAX)?;
        if is(option, "ENTRIESADDED") {
            let added = u64::try_from(integer(value)?);
            entries_added = Some(added.map_err(|_| fixed("ERR entries_added must be positive"))?);
        } else if is(option, "MAXDELETEDID") {
            max_deleted_id = stream_ids::parse(value)?;
            if last_id < max_deleted_id {
                return Err(fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(SYNTAX);
        }
        rest = after;
    }
    let set = c.db.keyspace.edit(a[1], |stream: &mut Stream| {
        (set_id(&mut stream.log, last_id, entries_added, max_deleted_id), false)
    })?;
    set.ok_or(NO_SUCH_KEY)??;
    c.db.keyspace.note(a[1]);
    c.reply.ok();
    Ok(())
}

fn set_id(log: &mut Log, last_id: StreamId, entries_added: Option<u64>, max_deleted_id: StreamId) -> Outcome {
    if log.last_live_id().is_some_and(|top| last_id < top) {
        return Err(fixed("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if !log.is_empty() && entries_added.is_some_and(|added| added < log.len() as u64) {
        return Err(fixed(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    log.last_id = last_id;
    if let Some(added) = entries_added {
        log.entries_added = added;
    }
    if max_deleted_id != StreamId::MIN {
        log.max_deleted_id = max_deleted_id;
    }
    Ok(())
}
