//! Commands on ranges of sorted sets: by rank, by score, by member.

use std::cmp::Ordering;

use crate::{
    commands::{
        Args, Context, is,
        sorted_sets::{reply_members, store_members},
    },
    error::{MIN_MAX_NOT_FLOAT, MIN_MAX_NOT_STRING, Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Blob, Keyspace},
    number::{integer, resolve_range},
    sorted_set::{ScoreBound, SortedSet},
};

/// One end of a range of members: `-`, `+`, `[member`, `(member`.
#[derive(Debug, Clone, Copy)]
enum LexBound<'a> {
    Lowest,
    Highest,
    Member { member: &'a [u8], exclusive: bool },
}

impl LexBound<'_> {
    /// On which side of this end is a member? `Equal` only if the end includes it.
    fn side(self, member: &[u8], is_minimum: bool) -> Ordering {
        match self {
            LexBound::Lowest => Ordering::Greater,
            LexBound::Highest => Ordering::Less,
            LexBound::Member { member: end, exclusive } => match member.cmp(end) {
                Ordering::Equal if exclusive && is_minimum => Ordering::Less,
                Ordering::Equal if exclusive => Ordering::Greater,
                side => side,
            },
        }
    }
}

/// What a range is over.
#[derive(Debug, Clone, Copy)]
enum Span<'a> {
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

fn score_bound(text: &[u8]) -> Result<ScoreBound, ReplyError> {
    let (text, exclusive) = match text.strip_prefix(b"(") {
        Some(text) => (text, true),
        None => (text, false),
    };
    // As C's strtod: leading blanks are skipped, and no digits at all are a zero.
    let trimmed = text.trim_ascii_start();
    let score = match trimmed {
        [] if text.is_empty() => 0.0,
        _ => std::str::from_utf8(trimmed)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|score| !score.is_nan())
            .ok_or(MIN_MAX_NOT_FLOAT)?,
    };
    Ok(ScoreBound { score, exclusive })
}

fn lex_bound(text: &[u8]) -> Result<LexBound<'_>, ReplyError> {
    match text {
        b"-" => Ok(LexBound::Lowest),
        b"+" => Ok(LexBound::Highest),
        [b'[', member @ ..] => Ok(LexBound::Member { member, exclusive: false }),
        [b'(', member @ ..] => Ok(LexBound::Member { member, exclusive: true }),
        _ => Err(MIN_MAX_NOT_STRING),
    }
}

fn span<'a>(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Span<'a>, ReplyError> {
    Ok(match by {
        By::Rank => Span::Rank(integer(min)?, integer(max)?),
        By::Score => Span::Score(score_bound(min)?, score_bound(max)?),
        By::Lex => Span::Lex(lex_bound(min)?, lex_bound(max)?),
    })
}

/// The members of a span, in the direction asked for.
fn select<'a>(
    set: &'a SortedSet,
    span: Span<'a>,
    reverse: bool,
) -> Box<dyn Iterator<Item = (&'a [u8], f64)> + 'a> {
    match span {
        Span::Rank(start, stop) => {
            let range = resolve_range(start, stop, set.len());
            let (skip, take) = (range.start, range.len());
            if reverse {
                Box::new(set.iter().rev().skip(skip).take(take))
            } else {
                Box::new(set.iter().skip(skip).take(take))
            }
        }
        Span::Score(min, max) => {
            let members = set.range(min, max);
            if reverse { Box::new(members.rev()) } else { Box::new(members) }
        }
        Span::Lex(min, max) => {
            let from_min = move |(member, _): &(&[u8], f64)| min.side(member, true) != Ordering::Less;
            let to_max = move |(member, _): &(&[u8], f64)| max.side(member, false) != Ordering::Greater;
            if reverse {
                Box::new(set.iter().rev().skip_while(move |item| !to_max(item)).take_while(from_min))
            } else {
                Box::new(set.iter().skip_while(move |item| !from_min(item)).take_while(to_max))
            }
        }
    }
}

/// What the name of a command fixes; `None` where `ZRANGE` has an option.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    /// The members are stored instead of returned.
    stores: bool,
}

impl Form {
    const fn fixed(by: By, reverse: bool) -> Self {
        Self { by: Some(by), reverse: Some(reverse), stores: false }
    }
}

/// The options of all the `ZRANGE` commands.
struct RangeOptions {
    by: By,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

fn range_options(form: Form, arguments: &[&[u8]]) -> Result<RangeOptions, ReplyError> {
    let (mut by, mut reverse) = (form.by, form.reverse);
    let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
    let mut rest = arguments;
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        if is(option, "WITHSCORES") && !form.stores {
            with_scores = true;
        } else if is(option, "LIMIT")
            && let [given_offset, given_limit, after @ ..] = after
        {
            offset = integer(given_offset)?;
            limit = integer(given_limit)?;
            rest = after;
        } else if reverse.is_none() && is(option, "REV") {
            reverse = Some(true);
        } else if by.is_none() && is(option, "BYLEX") {
            by = Some(By::Lex);
        } else if by.is_none() && is(option, "BYSCORE") {
            by = Some(By::Score);
        } else {
            return Err(SYNTAX);
        }
    }
    let by = by.unwrap_or(By::Rank);
    if limit != -1 && by == By::Rank {
        return Err(fixed(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if with_scores && by == By::Lex {
        return Err(fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    Ok(RangeOptions { by, reverse: reverse.unwrap_or(false), with_scores, offset, limit })
}

/// The members that `[_, key, min, max, …]` asks for.
fn members<'a>(
    keyspace: &'a Keyspace,
    a: &'a Args<'_>,
    options: &RangeOptions,
) -> Result<Vec<(&'a [u8], f64)>, ReplyError> {
    // Reversed, the higher end comes first; ranks simply count from the other end.
    let (min, max) = if options.reverse && options.by != By::Rank { (a[3], a[2]) } else { (a[2], a[3]) };
    let span = span(options.by, min, max)?;
    let Some(set) = keyspace.read::<SortedSet>(a[1])? else { return Ok(Vec::new()) };
    if options.by == By::Rank {
        // The one limit that is allowed here is none, and Redis does not look at its offset.
        return Ok(select(set, span, options.reverse).collect());
    }
    // As Redis does: a negative offset skips everything, a negative limit takes everything.
    let skip = usize::try_from(options.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(options.limit).unwrap_or(usize::MAX);
    Ok(select(set, span, options.reverse).skip(skip).take(take).collect())
}

fn range(c: &mut Context<'_>, a: &Args<'_>, form: Form) -> Outcome {
    let options = range_options(form, &a[4..])?;
    let members = members(&c.db.keyspace, a, &options)?;
    reply_members(c.reply, &members, options.with_scores);
    Ok(())
}

/// `ZRANGESTORE destination key min max …`.
pub(super) fn zrangestore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let options = range_options(Form { by: None, reverse: None, stores: true }, &a[5..])?;
    let stored: SortedSet = members(&c.db.keyspace, &a[1..], &options)?.into_iter().collect();
    c.reply.count(stored.len());
    store_members(&mut c.db.keyspace, a[1], stored);
    Ok(())
}

pub(super) fn zrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, Form { by: None, reverse: None, stores: false })
}

pub(super) fn zrevrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, Form::fixed(By::Rank, true))
}

pub(super) fn zrangebyscore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, Form::fixed(By::Score, false))
}

pub(super) fn zrevrangebyscore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, Form::fixed(By::Score, true))
}

pub(super) fn zrangebylex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, Form::fixed(By::Lex, false))
}

pub(super) fn zrevrangebylex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    range(c, a, Form::fixed(By::Lex, true))
}

fn count(c: &mut Context<'_>, a: &Args<'_>, by: By) -> Outcome {
    let span = span(by, a[2], a[3])?;
    let count = c.db.keyspace.read::<SortedSet>(a[1])?.map_or(0, |set| select(set, span, false).count());
    c.reply.count(count);
    Ok(())
}

pub(super) fn zcount(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    count(c, a, By::Score)
}

pub(super) fn zlexcount(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    count(c, a, By::Lex)
}

fn remove(c: &mut Context<'_>, a: &Args<'_>, by: By) -> Outcome {
    let span = span(by, a[2], a[3])?;
    let removed = c.db.keyspace.edit(a[1], |set: &mut SortedSet| {
        let members: Vec<Blob> = select(set, span, false).map(|(member, _)| Blob::from(member)).collect();
        for member in &members {
            set.remove(member);
        }
        (members.len(), !members.is_empty())
    })?;
    c.reply.count(removed.unwrap_or(0));
    Ok(())
}

pub(super) fn zremrangebyrank(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    remove(c, a, By::Rank)
}

pub(super) fn zremrangebyscore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    remove(c, a, By::Score)
}

pub(super) fn zremrangebylex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    remove(c, a, By::Lex)
}
