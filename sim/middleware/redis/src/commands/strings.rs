//! Commands on strings.

use crate::{
    commands::{Args, Context, is},
    error::{OVERFLOW, Outcome, ReplyError, STRING_TOO_LONG, SYNTAX, fixed},
    keyspace::{Expiry, Value},
    number::integer,
};

/// Largest string, in bytes: `proto-max-bulk-len` of Redis.
pub(super) const MAX_LENGTH: usize = 512 * 1024 * 1024;

/// The units in which an expiry is given: `EX`, `PX`, `EXAT`, `PXAT`.
#[derive(Clone, Copy)]
struct Unit {
    milliseconds: bool,
    absolute: bool,
}

fn unit(keyword: &[u8]) -> Option<Unit> {
    let (milliseconds, absolute) = if is(keyword, "EX") {
        (false, false)
    } else if is(keyword, "PX") {
        (true, false)
    } else if is(keyword, "EXAT") {
        (false, true)
    } else if is(keyword, "PXAT") {
        (true, true)
    } else {
        return None;
    };
    Some(Unit { milliseconds, absolute })
}

/// An expiry argument as an absolute time in milliseconds.
fn expiry(c: &Context<'_>, command: &str, unit: Unit, argument: &[u8]) -> Result<u64, ReplyError> {
    let invalid = || ReplyError::new(format!("ERR invalid expire time in '{command}' command"));
    let value = integer(argument)?;
    if value <= 0 {
        return Err(invalid());
    }
    let value = if unit.milliseconds { Some(value) } else { value.checked_mul(1000) };
    let base = if unit.absolute { 0 } else { i64::try_from(c.db.now_ms()).map_err(|_| invalid())? };
    let at = value.and_then(|value| value.checked_add(base)).ok_or_else(invalid)?;
    u64::try_from(at).map_err(|_| invalid())
}

/// Sets a string; one whose time has passed already is gone at once, unless others decide about that.
fn store(c: &mut Context<'_>, key: &[u8], value: &[u8], expiry: Expiry) {
    let keyspace = &mut c.db.keyspace;
    keyspace.set(key, Value::String(value.to_vec()), expiry);
    if let Expiry::At(ms) = expiry {
        if ms < c.db.now_us / 1000 && !c.db.obeys {
            keyspace.remove(key);
            c.db.propagation.instead(&[b"DEL", key]);
        } else {
            c.db.propagation.instead(&[b"SET", key, value, b"PXAT", ms.to_string().as_bytes()]);
        }
    }
}

pub(super) fn get(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let value = c.db.keyspace.read::<Vec<u8>>(a[1])?;
    c.reply.bulk_or_null(value.map(Vec::as_slice));
    Ok(())
}

pub(super) fn set(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (mut if_missing, mut if_present, mut get_old, mut keep) = (false, false, false, false);
    let mut expires: Option<(Unit, &[u8])> = None;
    let mut options = a[3..].iter();
    while let Some(option) = options.next() {
        if is(option, "NX") && !if_present {
            if_missing = true;
        } else if is(option, "XX") && !if_missing {
            if_present = true;
        } else if is(option, "GET") {
            get_old = true;
        } else if is(option, "KEEPTTL") && expires.is_none() {
            keep = true;
        } else if let Some(unit) = unit(option).filter(|_| expires.is_none() && !keep) {
            expires = Some((unit, options.next().ok_or(SYNTAX)?));
        } else {
            return Err(SYNTAX);
        }
    }
    let expiry = match expires {
        Some((unit, argument)) => Expiry::At(expiry(c, "set", unit, argument)?),
        None if keep => Expiry::Keep,
        None => Expiry::Never,
    };
    if get_old {
        let old = c.db.keyspace.read::<Vec<u8>>(a[1])?;
        c.reply.bulk_or_null(old.map(Vec::as_slice));
    }
    let present = c.db.keyspace.get(a[1]).is_some();
    if (if_missing && present) || (if_present && !present) {
        if !get_old {
            c.reply.null();
        }
        return Ok(());
    }
    store(c, a[1], a[2], expiry);
    if !get_old {
        c.reply.ok();
    }
    Ok(())
}

pub(super) fn setnx(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let missing = c.db.keyspace.get(a[1]).is_none();
    if missing {
        store(c, a[1], a[2], Expiry::Never);
    }
    c.reply.integer(i64::from(missing));
    Ok(())
}

pub(super) fn setex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let at = expiry(c, "setex", Unit { milliseconds: false, absolute: false }, a[2])?;
    store(c, a[1], a[3], Expiry::At(at));
    c.reply.ok();
    Ok(())
}

pub(super) fn psetex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let at = expiry(c, "psetex", Unit { milliseconds: true, absolute: false }, a[2])?;
    store(c, a[1], a[3], Expiry::At(at));
    c.reply.ok();
    Ok(())
}

pub(super) fn getset(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    get(c, a)?;
    store(c, a[1], a[2], Expiry::Never);
    Ok(())
}

pub(super) fn getdel(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    get(c, a)?;
    c.db.keyspace.remove(a[1]);
    c.db.propagation.instead(&[b"DEL", a[1]]);
    Ok(())
}

pub(super) fn getex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let mut expires: Option<(Unit, &[u8])> = None;
    let mut persist = false;
    let mut options = a[2..].iter();
    while let Some(option) = options.next() {
        if is(option, "PERSIST") && expires.is_none() {
            persist = true;
        } else if let Some(unit) = unit(option).filter(|_| expires.is_none() && !persist) {
            expires = Some((unit, options.next().ok_or(SYNTAX)?));
        } else {
            return Err(SYNTAX);
        }
    }
    // As Redis does: a missing key is answered before the time is looked at.
    let Some(value) = c.db.keyspace.read::<Vec<u8>>(a[1])? else {
        c.reply.null();
        return Ok(());
    };
    let value = value.clone();
    let at = expires.map(|(unit, argument)| expiry(c, "getex", unit, argument)).transpose()?;
    c.reply.bulk(&value);
    match at {
        Some(ms) if ms <= c.db.now_ms() && !c.db.obeys => {
            c.db.keyspace.remove(a[1]);
            c.db.propagation.instead(&[b"DEL", a[1]]);
        }
        Some(ms) => {
            c.db.keyspace.set_expiry(a[1], Some(ms));
            c.db.keyspace.touch(a[1]);
            c.db.propagation.instead(&[b"PEXPIREAT", a[1], ms.to_string().as_bytes()]);
        }
        None if persist && c.db.keyspace.expires_ms(a[1]).is_some() => {
            c.db.keyspace.set_expiry(a[1], None);
            c.db.keyspace.touch(a[1]);
            c.db.propagation.instead(&[b"PERSIST", a[1]]);
        }
        None => {}
    }
    Ok(())
}

pub(super) fn mget(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    c.reply.array(a.len() - 1);
    for key in &a[1..] {
        c.reply.bulk_or_null(c.db.keyspace.get(key).and_then(Value::as_string));
    }
    Ok(())
}

pub(super) fn mset(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    check_pairs(a, "mset")?;
    for pair in a[1..].chunks_exact(2) {
        store(c, pair[0], pair[1], Expiry::Never);
    }
    c.reply.ok();
    Ok(())
}

pub(super) fn msetnx(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    check_pairs(a, "msetnx")?;
    let free = a[1..].chunks_exact(2).all(|pair| c.db.keyspace.get(pair[0]).is_none());
    if free {
        for pair in a[1..].chunks_exact(2) {
            store(c, pair[0], pair[1], Expiry::Never);
        }
    }
    c.reply.integer(i64::from(free));
    Ok(())
}

fn check_pairs(a: &Args<'_>, command: &str) -> Outcome {
    if a.len().is_multiple_of(2) { Err(ReplyError::wrong_arity(command)) } else { Ok(()) }
}

pub(super) fn append(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<Vec<u8>>(a[1])?.map_or(0, Vec::len);
    check_length(length + a[2].len())?;
    let length = c.db.keyspace.edit_or_create(a[1], |value: &mut Vec<u8>| {
        value.extend_from_slice(a[2]);
        (value.len(), true)
    })?;
    c.reply.count(length);
    Ok(())
}

fn check_length(length: usize) -> Outcome {
    if length > MAX_LENGTH { Err(STRING_TOO_LONG) } else { Ok(()) }
}

pub(super) fn strlen(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<Vec<u8>>(a[1])?.map_or(0, Vec::len);
    c.reply.count(length);
    Ok(())
}

pub(super) fn getrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (start, end) = (integer(a[2])?, integer(a[3])?);
    let value = c.db.keyspace.read::<Vec<u8>>(a[1])?.map_or(&[][..], Vec::as_slice);
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    // Unlike other ranges, an end before the start of the string counts as its first byte.
    let from_end = |index: i64| if index < 0 { (length + index.max(-length)).max(0) } else { index };
    let part = if start < 0 && end < 0 && start > end {
        &[]
    } else {
        let range = from_end(start)..from_end(end).saturating_add(1).min(length);
        value.get(range.start as usize..range.end as usize).unwrap_or_default()
    };
    c.reply.bulk(part);
    Ok(())
}

/// Lengthens a string with zeros; false if it has the length already.
pub(super) fn grow(value: &mut Vec<u8>, length: usize) -> bool {
    if value.len() >= length {
        return false;
    }
    if length / 2 > value.capacity() {
        // Zeros that come from the system take no memory until something else is written.
        let mut grown = vec![0; length];
        grown[..value.len()].copy_from_slice(value);
        *value = grown;
    } else {
        value.resize(length, 0);
    }
    true
}

pub(super) fn setrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let offset = integer(a[2])?;
    let offset = usize::try_from(offset).map_err(|_| fixed("ERR offset is out of range"))?;
    let length = c.db.keyspace.read::<Vec<u8>>(a[1])?.map_or(0, Vec::len);
    if a[3].is_empty() {
        c.reply.count(length);
        return Ok(());
    }
    let end = offset.checked_add(a[3].len()).ok_or(STRING_TOO_LONG)?;
    check_length(end)?;
    let length = c.db.keyspace.edit_or_create(a[1], |value: &mut Vec<u8>| {
        grow(value, end);
        value[offset..end].copy_from_slice(a[3]);
        (value.len(), true)
    })?;
    c.reply.count(length);
    Ok(())
}

fn add(c: &mut Context<'_>, key: &[u8], difference: i64) -> Outcome {
    let current = match c.db.keyspace.read::<Vec<u8>>(key)? {
        Some(value) => integer(value)?,
        None => 0,
    };
    let sum = current.checked_add(difference).ok_or(OVERFLOW)?;
    c.db.keyspace.set(key, Value::String(sum.to_string().into_bytes()), Expiry::Keep);
    c.reply.integer(sum);
    Ok(())
}

pub(super) fn incr(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    add(c, a[1], 1)
}

pub(super) fn decr(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    add(c, a[1], -1)
}

pub(super) fn incrby(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    add(c, a[1], integer(a[2])?)
}

pub(super) fn decrby(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let difference = integer(a[2])?;
    add(c, a[1], difference.checked_neg().ok_or(fixed("ERR decrement would overflow"))?)
}
