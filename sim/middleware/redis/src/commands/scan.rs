//! Commands that walk in steps: `SCAN`, `HSCAN`, `SSCAN`, `ZSCAN`.
//!
//! Tables are walked from their end to their start; a cursor is the number of elements that are still to come.
//! A deletion moves the last element into the gap: either it was returned already, or its new place is still to
//! come. So whatever stays in the table during a whole walk is returned at least once, as Redis promises.

use crate::{
    commands::{Args, Context, glob, is},
    error::{INVALID_CURSOR, NOT_INTEGER, Outcome, ReplyError, SYNTAX},
    keyspace::{Hash, Set},
    number::parse_i64,
    sorted_set::SortedSet,
};
use wire::redis::reply::{Writer, format_double, push_integer};

/// A step of a walk.
struct Step<'a> {
    cursor: usize,
    count: usize,
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
}

/// Reads a cursor as C's `strtoul` does: an empty text is zero, a negative number wraps around.
fn cursor(text: &[u8]) -> Result<usize, ReplyError> {
    if text.is_empty() {
        return Ok(0);
    }
    let text = std::str::from_utf8(text).map_err(|_| INVALID_CURSOR)?;
    let magnitude: u64 = text.strip_prefix('-').unwrap_or(text).parse().map_err(|_| INVALID_CURSOR)?;
    let cursor = if text.starts_with('-') { magnitude.wrapping_neg() } else { magnitude };
    usize::try_from(cursor).map_err(|_| INVALID_CURSOR)
}

impl<'a> Step<'a> {
    fn parse(cursor: usize, arguments: &[&'a [u8]], of_keys: bool) -> Result<Self, ReplyError> {
        let mut step = Self { cursor, count: 10, pattern: None, type_name: None };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let argument = arguments.next().ok_or(SYNTAX)?;
            if is(option, "COUNT") {
                let count = parse_i64(argument).ok_or(NOT_INTEGER)?;
                step.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
            } else if is(option, "MATCH") {
                step.pattern = Some(argument);
            } else if is(option, "TYPE") && of_keys {
                step.type_name = Some(argument);
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(step)
    }

    /// The places to visit, and the next cursor.
    fn places(&self, length: usize) -> (std::ops::Range<usize>, usize) {
        let end = if self.cursor == 0 { length } else { self.cursor.min(length) };
        let start = end.saturating_sub(self.count);
        (start..end, start)
    }

    fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn header(reply: &mut Writer, next: usize, elements: usize) {
    reply.array(2);
    reply.bulk(next.to_string().as_bytes());
    reply.array(elements);
}

pub(super) fn scan(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let step = Step::parse(cursor(a[1])?, &a[2..], true)?;
    let (places, next) = step.places(c.db.keyspace.len());
    let keyspace = &c.db.keyspace;
    let found: Vec<&[u8]> = places
        .rev()
        .filter_map(|place| keyspace.at(place))
        .filter(|(key, value)| {
            let right_type =
                step.type_name.is_none_or(|name| name.eq_ignore_ascii_case(value.type_name().as_bytes()));
            right_type && step.wants(key)
        })
        .map(|(key, _)| &**key)
        .collect();
    header(c.reply, next, found.len());
    for key in found {
        c.reply.bulk(key);
    }
    Ok(())
}

pub(super) fn hscan(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let cursor = cursor(a[2])?;
    let Some(hash) = c.db.keyspace.read::<Hash>(a[1])? else {
        header(c.reply, 0, 0);
        return Ok(());
    };
    let step = Step::parse(cursor, &a[3..], false)?;
    let (places, next) = step.places(hash.len());
    let found: Vec<_> = places
        .rev()
        .filter_map(|place| hash.get_index(place))
        .filter(|(field, _)| step.wants(field))
        .collect();
    header(c.reply, next, found.len() * 2);
    for (field, value) in found {
        c.reply.bulk(field);
        c.reply.bulk(value);
    }
    Ok(())
}

pub(super) fn sscan(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let cursor = cursor(a[2])?;
    let Some(set) = c.db.keyspace.read::<Set>(a[1])? else {
        header(c.reply, 0, 0);
        return Ok(());
    };
    let step = Step::parse(cursor, &a[3..], false)?;
    let (places, next) = step.places(set.len());
    let found: Vec<_> =
        places.rev().filter_map(|place| set.get_index(place)).filter(|member| step.wants(member)).collect();
    header(c.reply, next, found.len());
    for member in found {
        c.reply.bulk(member);
    }
    Ok(())
}

pub(super) fn zscan(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let cursor = cursor(a[2])?;
    let Some(set) = c.db.keyspace.read::<SortedSet>(a[1])? else {
        header(c.reply, 0, 0);
        return Ok(());
    };
    let step = Step::parse(cursor, &a[3..], false)?;
    let (places, next) = step.places(set.len());
    let found: Vec<_> =
        places.rev().filter_map(|place| set.at(place)).filter(|(member, _)| step.wants(member)).collect();
    header(c.reply, next, found.len() * 2);
    for (member, score) in found {
        c.reply.bulk(member);
        let mut text = Vec::new();
        format_score(score, &mut text);
        c.reply.bulk(&text);
    }
    Ok(())
}

/// `ZSCAN` shows scores as they are stored: whole numbers in full, unlike all other commands.
fn format_score(score: f64, out: &mut Vec<u8>) {
    const WHOLE: f64 = (i64::MAX / 2) as f64;
    if score.fract() == 0.0 && score.abs() <= WHOLE {
        push_integer(score as i64, out);
    } else {
        format_double(score, out);
    }
}
