//! Commands on keys of any type: existence, names, expiry.

use crate::{
    commands::{Args, Context, glob, is, server::sync_option},
    error::{INT_OUT_OF_RANGE, NO_SUCH_KEY, Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Expiry, Value},
    number::integer,
};

pub(super) fn del(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let removed = a[1..].iter().filter(|key| c.db.keyspace.remove(key)).count();
    c.reply.count(removed);
    Ok(())
}

/// `EXISTS` and `TOUCH`: a key named twice counts twice.
pub(super) fn exists(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    c.reply.count(a[1..].iter().filter(|key| c.db.keyspace.get(key).is_some()).count());
    Ok(())
}

pub(super) fn type_of(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    c.reply.status(c.db.keyspace.get(a[1]).map_or("none", Value::type_name));
    Ok(())
}

pub(super) fn keys(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let found: Vec<&[u8]> =
        c.db.keyspace.iter().map(|(key, _)| key).filter(|key| glob::matches(a[1], key)).collect();
    c.reply.array(found.len());
    for key in found {
        c.reply.bulk(key);
    }
    Ok(())
}

pub(super) fn dbsize(c: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    c.reply.count(c.db.keyspace.len());
    Ok(())
}

pub(super) fn randomkey(c: &mut Context<'_>, _: &Args<'_>) -> Outcome {
    let index = c.db.draw(c.db.keyspace.len());
    c.reply.bulk_or_null(c.db.keyspace.at(index).map(|(key, _)| &**key));
    Ok(())
}

/// `FLUSHALL` and `FLUSHDB`: there is one database.
pub(super) fn flush(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    sync_option(&a[1..])?;
    c.db.keyspace.clear();
    c.reply.ok();
    Ok(())
}

pub(super) fn rename(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    move_key(c, a[1], a[2])?;
    c.reply.ok();
    Ok(())
}

pub(super) fn renamenx(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    if c.db.keyspace.get(a[1]).is_none() {
        return Err(NO_SUCH_KEY);
    }
    let free = c.db.keyspace.get(a[2]).is_none();
    if free {
        move_key(c, a[1], a[2])?;
    }
    c.reply.integer(i64::from(free));
    Ok(())
}

fn move_key(c: &mut Context<'_>, from: &[u8], to: &[u8]) -> Outcome {
    if from == to {
        return c.db.keyspace.get(from).map(|_| ()).ok_or(NO_SUCH_KEY);
    }
    let (value, expires_ms) = c.db.keyspace.take(from).ok_or(NO_SUCH_KEY)?;
    c.db.keyspace.set(to, value, expires_ms.map_or(Expiry::Never, Expiry::At));
    // In Redis, what was there is removed first.
    c.db.keyspace.signal_new(to);
    Ok(())
}

/// `COPY source destination [DB number] [REPLACE]`: the expiry goes with the value.
pub(super) fn copy(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let mut replace = false;
    let mut options = a[3..].iter();
    while let Some(option) = options.next() {
        if is(option, "REPLACE") {
            replace = true;
        } else if is(option, "DB") {
            let number = integer(options.next().ok_or(SYNTAX)?)?;
            if i32::try_from(number).is_err() {
                return Err(INT_OUT_OF_RANGE);
            }
            if number != 0 {
                return Err(fixed("ERR DB index is out of range"));
            }
        } else {
            return Err(SYNTAX);
        }
    }
    let (source, destination) = (a[1], a[2]);
    if source == destination {
        return Err(fixed("ERR source and destination objects are the same"));
    }
    let free = replace || c.db.keyspace.get(destination).is_none();
    let value = c.db.keyspace.get(source).filter(|_| free).cloned();
    let expiry = c.db.keyspace.expires_ms(source).map_or(Expiry::Never, Expiry::At);
    c.reply.integer(i64::from(value.is_some()));
    if let Some(value) = value {
        c.db.keyspace.set(destination, value, expiry);
        c.db.keyspace.signal_new(destination);
    }
    Ok(())
}

pub(super) fn expire(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    expire_at(c, a, "expire", 1000, true)
}

pub(super) fn pexpire(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    expire_at(c, a, "pexpire", 1, true)
}

pub(super) fn expireat(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    expire_at(c, a, "expireat", 1000, false)
}

pub(super) fn pexpireat(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    expire_at(c, a, "pexpireat", 1, false)
}

/// Conditions on the expiry that a key has already.
#[derive(Default)]
struct Conditions {
    only_without: bool,
    only_with: bool,
    only_later: bool,
    only_earlier: bool,
}

fn conditions(options: &[&[u8]]) -> Result<Conditions, ReplyError> {
    let mut conditions = Conditions::default();
    for option in options {
        let place = if is(option, "NX") {
            &mut conditions.only_without
        } else if is(option, "XX") {
            &mut conditions.only_with
        } else if is(option, "GT") {
            &mut conditions.only_later
        } else if is(option, "LT") {
            &mut conditions.only_earlier
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(ReplyError::new(format!("ERR Unsupported option {option}")));
        };
        *place = true;
    }
    let Conditions { only_without, only_with, only_later, only_earlier } = conditions;
    if only_without && (only_with || only_later || only_earlier) {
        return Err(fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
    }
    if only_later && only_earlier {
        return Err(fixed("ERR GT and LT options at the same time are not compatible"));
    }
    Ok(conditions)
}

fn expire_at(
    c: &mut Context<'_>,
    a: &Args<'_>,
    command: &str,
    milliseconds_per_unit: i64,
    relative: bool,
) -> Outcome {
    let conditions = conditions(&a[3..])?;
    let invalid = || ReplyError::new(format!("ERR invalid expire time in '{command}' command"));
    let now_ms = i64::try_from(c.db.now_ms()).map_err(|_| invalid())?;
    let base = if relative { now_ms } else { 0 };
    let at = integer(a[2])?
        .checked_mul(milliseconds_per_unit)
        .and_then(|duration| duration.checked_add(base))
        .ok_or_else(invalid)?;
    let key = a[1];
    let current = c.db.keyspace.expires_ms(key).and_then(|ms| i64::try_from(ms).ok());
    let refused = c.db.keyspace.get(key).is_none()
        || (conditions.only_without && current.is_some())
        || (conditions.only_with && current.is_none())
        // A key without expiry lives for ever: nothing is later.
        || (conditions.only_later && current.is_none_or(|current| at <= current))
        || (conditions.only_earlier && current.is_some_and(|current| at >= current));
    if refused {
        c.reply.integer(0);
        return Ok(());
    }
    match u64::try_from(at) {
        Ok(ms) if at > now_ms || c.db.obeys => {
            c.db.keyspace.set_expiry(key, Some(ms));
            c.db.keyspace.touch(key);
            c.db.propagation.instead(&[b"PEXPIREAT", key, ms.to_string().as_bytes()]);
        }
        _ => {
            c.db.keyspace.remove(key);
            c.db.propagation.instead(&[b"DEL", key]);
        }
    }
    c.reply.integer(1);
    Ok(())
}

pub(super) fn persist(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let expires = c.db.keyspace.expires_ms(a[1]).is_some();
    if expires {
        c.db.keyspace.set_expiry(a[1], None);
        c.db.keyspace.touch(a[1]);
    }
    c.reply.integer(i64::from(expires));
    Ok(())
}

/// Replies with something about a key's expiry: -2 without the key, -1 without an expiry.
fn reply_expiry(c: &mut Context<'_>, key: &[u8], about: impl FnOnce(u64) -> u64) -> Outcome {
    match c.db.keyspace.expires_ms(key) {
        Some(ms) => c.reply.integer(i64::try_from(about(ms)).unwrap_or(i64::MAX)),
        None => c.reply.integer(if c.db.keyspace.get(key).is_some() { -1 } else { -2 }),
    }
    Ok(())
}

pub(super) fn pttl(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let now_ms = c.db.now_ms();
    reply_expiry(c, a[1], |ms| ms.saturating_sub(now_ms))
}

pub(super) fn ttl(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let now_ms = c.db.now_ms();
    reply_expiry(c, a[1], |ms| (ms.saturating_sub(now_ms)).saturating_add(500) / 1000)
}

pub(super) fn pexpiretime(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    reply_expiry(c, a[1], |ms| ms)
}

pub(super) fn expiretime(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    reply_expiry(c, a[1], |ms| ms.saturating_add(500) / 1000)
}
