//! Commands that return elements chosen at random: `SRANDMEMBER`, `HRANDFIELD`, `ZRANDMEMBER`.

use wire::redis::reply::Protocol;

use crate::{
    commands::{Args, Context, Database, is, sorted_sets::reply_members},
    error::{COUNT_OUT_OF_RANGE, OUT_OF_RANGE, Outcome, ReplyError, SYNTAX},
    keyspace::{Blob, Hash, Set},
    number::integer,
    sorted_set::SortedSet,
};

/// Most elements that are returned for a negative count. Redis would try to write any number of them.
const MAX_REPEATED: usize = 1024 * 1024;

/// The count of `XRANDMEMBER key [count]`.
fn parse_count(text: &[u8]) -> Result<i64, ReplyError> {
    match integer(text)? {
        i64::MIN => Err(COUNT_OUT_OF_RANGE),
        count => Ok(count),
    }
}

/// The count of `XRAND key [count [option]]`, and whether the option is given.
fn parse(a: &Args<'_>, option: &str) -> Result<(Option<i64>, bool), ReplyError> {
    /// Twice as many elements must be countable.
    const MOST_PAIRS: i64 = i64::MAX / 2;
    let [_, _, count, options @ ..] = a else { return Ok((None, false)) };
    let count = parse_count(count)?;
    match options {
        [] => Ok((Some(count), false)),
        [given] if !is(given, option) => Err(SYNTAX),
        [_] if (-MOST_PAIRS..=MOST_PAIRS).contains(&count) => Ok((Some(count), true)),
        [_] => Err(OUT_OF_RANGE),
        _ => Err(SYNTAX),
    }
}

/// Places of so many elements among `length`. A negative count may name one several times; without a count, there is
/// one at most.
fn choose(db: &mut Database, length: usize, count: Option<i64>) -> Result<Vec<usize>, ReplyError> {
    let count = count.unwrap_or(1);
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if length == 0 {
        return Ok(Vec::new());
    }
    if count < 0 {
        if wanted > MAX_REPEATED {
            return Err(OUT_OF_RANGE);
        }
        return Ok((0..wanted).map(|_| db.draw(length)).collect());
    }
    // The first steps of a Fisher–Yates shuffle.
    let mut places: Vec<usize> = (0..length).collect();
    for step in 0..wanted.min(length) {
        let other = step + db.draw(length - step);
        places.swap(step, other);
    }
    places.truncate(wanted);
    Ok(places)
}

pub(super) fn srandmember(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let count = match a {
        [_, _] => None,
        [_, _, count] => Some(parse_count(count)?),
        _ => return Err(SYNTAX),
    };
    let length = c.db.keyspace.read::<Set>(a[1])?.map_or(0, Set::len);
    let chosen = choose(c.db, length, count)?;
    let set = c.db.keyspace.read::<Set>(a[1])?;
    let members = chosen.iter().filter_map(|place| set.and_then(|set| set.get_index(*place)));
    if count.is_some() {
        c.reply.array(chosen.len());
        for member in members {
            c.reply.bulk(member);
        }
    } else {
        c.reply.bulk_or_null(members.map(|member| &**member).next());
    }
    Ok(())
}

/// `HRANDFIELD key [count [WITHVALUES]]`.
pub(super) fn hrandfield(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (count, with_values) = parse(a, "WITHVALUES")?;
    let length = c.db.keyspace.read::<Hash>(a[1])?.map_or(0, Hash::len);
    let chosen = choose(c.db, length, count)?;
    let hash = c.db.keyspace.read::<Hash>(a[1])?;
    let fields: Vec<(&Blob, &Blob)> =
        chosen.iter().filter_map(|place| hash.and_then(|hash| hash.get_index(*place))).collect();
    if count.is_none() {
        c.reply.bulk_or_null(fields.first().map(|(field, _)| &***field));
        return Ok(());
    }
    let nested = with_values && c.reply.protocol() == Protocol::Resp3;
    c.reply.array(if with_values && !nested { fields.len() * 2 } else { fields.len() });
    for (field, value) in fields {
        if nested {
            c.reply.array(2);
        }
        c.reply.bulk(field);
        if with_values {
            c.reply.bulk(value);
        }
    }
    Ok(())
}

/// `ZRANDMEMBER key [count [WITHSCORES]]`.
pub(super) fn zrandmember(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (count, with_scores) = parse(a, "WITHSCORES")?;
    let length = c.db.keyspace.read::<SortedSet>(a[1])?.map_or(0, SortedSet::len);
    let chosen = choose(c.db, length, count)?;
    let set = c.db.keyspace.read::<SortedSet>(a[1])?;
    let members: Vec<(&[u8], f64)> = chosen
        .iter()
        .filter_map(|place| set.and_then(|set| set.at(*place)))
        .map(|(member, score)| (&**member, score))
        .collect();
    if count.is_some() {
        reply_members(c.reply, &members, with_scores);
    } else {
        c.reply.bulk_or_null(members.first().map(|(member, _)| *member));
    }
    Ok(())
}
