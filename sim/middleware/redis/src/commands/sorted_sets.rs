//! Commands on single members of sorted sets, and those that take from either end.

use crate::{
    commands::{Args, Context, PopFirst, check_type, is, pop_count, remove_members},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Blob, Expiry, Keyspace, Value},
    number::float,
    sorted_set::SortedSet,
};
use wire::redis::reply::{Protocol, Writer};

/// The options of `ZADD`.
#[derive(Debug, Clone, Copy, Default)]
struct AddOptions {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
    increment: bool,
}

impl AddOptions {
    /// Reads the options; returns them and the arguments that follow.
    fn parse<'a>(arguments: &'a [&'a [u8]]) -> Result<(Self, &'a [&'a [u8]]), ReplyError> {
        let mut options = Self::default();
        let mut rest = arguments;
        while let Some((option, after)) = rest.split_first() {
            let place = if is(option, "NX") {
                &mut options.only_new
            } else if is(option, "XX") {
                &mut options.only_existing
            } else if is(option, "GT") {
                &mut options.only_greater
            } else if is(option, "LT") {
                &mut options.only_less
            } else if is(option, "CH") {
                &mut options.count_changed
            } else if is(option, "INCR") {
                &mut options.increment
            } else {
                break;
            };
            *place = true;
            rest = after;
        }
        if rest.is_empty() || !rest.len().is_multiple_of(2) {
            return Err(SYNTAX);
        }
        if options.only_new && options.only_existing {
            return Err(fixed("ERR XX and NX options at the same time are not compatible"));
        }
        if (options.only_greater && (options.only_new || options.only_less))
            || (options.only_less && options.only_new)
        {
            return Err(fixed("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if options.increment && rest.len() > 2 {
            return Err(fixed("ERR INCR option supports a single increment-element pair"));
        }
        Ok((options, rest))
    }
}

/// What adding one member did.
enum Added {
    Nothing,
    New(f64),
    Updated(f64),
    Unchanged(f64),
}

fn add(set: &mut SortedSet, member: &[u8], given: f64, options: AddOptions) -> Result<Added, ReplyError> {
    let Some(current) = set.score(member) else {
        if options.only_existing {
            return Ok(Added::Nothing);
        }
        set.insert(member, given);
        return Ok(Added::New(given));
    };
    if options.only_new {
        return Ok(Added::Nothing);
    }
    let score = if options.increment { current + given } else { given };
    if score.is_nan() {
        return Err(fixed("ERR resulting score is not a number (NaN)"));
    }
    if (options.only_less && score >= current) || (options.only_greater && score <= current) {
        return Ok(Added::Nothing);
    }
    if score == current {
        return Ok(Added::Unchanged(score));
    }
    set.insert(member, score);
    Ok(Added::Updated(score))
}

fn zadd_with(c: &mut Context<'_>, key: &[u8], options: AddOptions, pairs: &[&[u8]]) -> Outcome {
    let pairs: Vec<(f64, &[u8])> = pairs
        .chunks_exact(2)
        .map(|pair| Ok((float(pair[0])?, pair[1])))
        .collect::<Result<_, ReplyError>>()?;
    check_type::<SortedSet>(&c.db.keyspace, key)?;
    let (mut added, mut updated, mut score) = (0, 0, None);
    c.db.keyspace.edit_or_create(key, |set: &mut SortedSet| {
        let mut changed = false;
        for (given, member) in &pairs {
            match add(set, member, *given, options) {
                Err(error) => return (Err(error), changed),
                Ok(Added::Nothing) => score = None,
                Ok(Added::New(new)) => {
                    added += 1;
                    changed = true;
                    score = Some(new);
                }
                Ok(Added::Updated(new)) => {
                    updated += 1;
                    changed = true;
                    score = Some(new);
                }
                Ok(Added::Unchanged(same)) => score = Some(same),
            }
        }
        (Ok(()), changed)
    })??;
    match (options.increment, score) {
        (true, Some(score)) => c.reply.double(score),
        (true, None) => c.reply.null(),
        (false, _) => c.reply.count(if options.count_changed { added + updated } else { added }),
    }
    Ok(())
}

pub(super) fn zadd(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (options, pairs) = AddOptions::parse(&a[2..])?;
    zadd_with(c, a[1], options, pairs)
}

pub(super) fn zincrby(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    zadd_with(c, a[1], AddOptions { increment: true, ..AddOptions::default() }, &a[2..])
}

pub(super) fn zrem(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    remove_members(c, a, |set: &mut SortedSet, member| set.remove(member).is_some())
}

pub(super) fn zcard(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<SortedSet>(a[1])?.map_or(0, SortedSet::len);
    c.reply.count(length);
    Ok(())
}

pub(super) fn zscore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    match c.db.keyspace.read::<SortedSet>(a[1])?.and_then(|set| set.score(a[2])) {
        Some(score) => c.reply.double(score),
        None => c.reply.null(),
    }
    Ok(())
}

pub(super) fn zmscore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let set = c.db.keyspace.read::<SortedSet>(a[1])?;
    c.reply.array(a.len() - 2);
    for member in &a[2..] {
        match set.and_then(|set| set.score(member)) {
            Some(score) => c.reply.double(score),
            None => c.reply.null(),
        }
    }
    Ok(())
}

fn rank(c: &mut Context<'_>, a: &Args<'_>, reverse: bool) -> Outcome {
    let set = c.db.keyspace.read::<SortedSet>(a[1])?;
    let rank = set.and_then(|set| {
        let rank = set.rank(a[2])?;
        Some(if reverse { set.len() - 1 - rank } else { rank })
    });
    match rank {
        Some(rank) => c.reply.count(rank),
        None => c.reply.null(),
    }
    Ok(())
}

pub(super) fn zrank(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    rank(c, a, false)
}

pub(super) fn zrevrank(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    rank(c, a, true)
}

fn pop(c: &mut Context<'_>, a: &Args<'_>, highest: bool) -> Outcome {
    let count = pop_count(a, || SYNTAX)?;
    let popped = c.db.keyspace.edit(a[1], |set: &mut SortedSet| {
        let wanted = count.unwrap_or(1).min(set.len());
        let popped: Vec<(Blob, f64)> = (0..wanted).filter_map(|_| set.pop(highest)).collect();
        let changed = !popped.is_empty();
        (popped, changed)
    })?;
    let popped = popped.unwrap_or_default();
    // With a count, RESP3 nests a pair per member.
    let nested = count.is_some() && c.reply.protocol() == Protocol::Resp3;
    c.reply.array(if nested { popped.len() } else { popped.len() * 2 });
    for (member, score) in &popped {
        if nested {
            c.reply.array(2);
        }
        c.reply.bulk(member);
        c.reply.double(*score);
    }
    Ok(())
}

pub(super) fn zpopmin(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    pop(c, a, false)
}

pub(super) fn zpopmax(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    pop(c, a, true)
}

/// `ZMPOP numkeys key… MIN|MAX [COUNT count]`: takes from the first sorted set that is there.
pub(super) fn zmpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let PopFirst { keys, from: highest, count } = PopFirst::parse(&a[1..], is_highest)?;
    for key in keys {
        if take(c, key, highest, count)?.is_some() {
            return Ok(());
        }
    }
    c.reply.null_array();
    Ok(())
}

/// Reads which end of a sorted set is meant.
pub(super) fn is_highest(end: &[u8]) -> Result<bool, ReplyError> {
    match end {
        end if is(end, "MIN") => Ok(false),
        end if is(end, "MAX") => Ok(true),
        _ => Err(SYNTAX),
    }
}

/// Takes up to so many members of a sorted set, and replies with them and the key; `None` if there is no sorted set,
/// otherwise how many there were.
pub(super) fn take(
    c: &mut Context<'_>,
    key: &[u8],
    highest: bool,
    count: usize,
) -> Result<Option<usize>, ReplyError> {
    let Some(popped) = pop_members(c, key, highest, count)? else { return Ok(None) };
    c.reply.array(2);
    c.reply.bulk(key);
    c.reply.array(popped.len());
    for (member, score) in &popped {
        c.reply.array(2);
        c.reply.bulk(member);
        c.reply.double(*score);
    }
    Ok(Some(popped.len()))
}

/// Takes one member of a sorted set, and replies with the key, it and its score in one row; false if there is no sorted
/// set.
pub(super) fn take_one(c: &mut Context<'_>, key: &[u8], highest: bool) -> Result<bool, ReplyError> {
    let Some(popped) = pop_members(c, key, highest, 1)? else { return Ok(false) };
    c.reply.array(popped.len() * 2 + 1);
    c.reply.bulk(key);
    for (member, score) in &popped {
        c.reply.bulk(member);
        c.reply.double(*score);
    }
    Ok(true)
}

/// Members with their scores.
type Members = Vec<(Blob, f64)>;

fn pop_members(
    c: &mut Context<'_>,
    key: &[u8],
    highest: bool,
    count: usize,
) -> Result<Option<Members>, ReplyError> {
    c.db.keyspace.edit(key, |set: &mut SortedSet| {
        let wanted = count.min(set.len());
        ((0..wanted).filter_map(|_| set.pop(highest)).collect(), true)
    })
}

/// Replies with members; with scores, RESP3 nests a pair per member.
pub(super) fn reply_members(reply: &mut Writer, members: &[(&[u8], f64)], with_scores: bool) {
    let nested = with_scores && reply.protocol() == Protocol::Resp3;
    reply.array(if with_scores && !nested { members.len() * 2 } else { members.len() });
    for (member, score) in members {
        if nested {
            reply.array(2);
        }
        reply.bulk(member);
        if with_scores {
            reply.double(*score);
        }
    }
}

/// Replaces whatever a key holds by a sorted set; an empty one only removes it.
pub(super) fn store_members(keyspace: &mut Keyspace, key: &[u8], members: SortedSet) {
    if members.is_empty() {
        keyspace.remove(key);
    } else {
        keyspace.set(key, Value::SortedSet(members), Expiry::Never);
    }
}
