//! `INCRBYFLOAT` and `HINCRBYFLOAT`. They add as Redis does where it was built for x86-64: see [`Extended`].

use crate::{
    commands::{Args, Context, hashes::set_field},
    error::{NOT_FLOAT, Outcome, ReplyError, fixed},
    extended::{Extended, Parsed},
    keyspace::{Blob, Expiry, Hash, Value},
};

const NOT_FINITE: ReplyError = fixed("ERR increment would produce NaN or Infinity");

/// The sum as it is stored.
fn add(current: Parsed, increment: Parsed) -> Result<String, ReplyError> {
    let (Parsed::Finite(current), Parsed::Finite(increment)) = (current, increment) else {
        return Err(NOT_FINITE);
    };
    current.add(increment).map(Extended::to_text).ok_or(NOT_FINITE)
}

pub(super) fn incrbyfloat(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let current = match c.db.keyspace.read::<Vec<u8>>(a[1])? {
        Some(value) => Extended::parse(value).ok_or(NOT_FLOAT)?,
        None => Parsed::Finite(Extended::ZERO),
    };
    let sum = add(current, Extended::parse(a[2]).ok_or(NOT_FLOAT)?)?;
    c.reply.bulk(sum.as_bytes());
    // Replicas may have been built with another floating-point unit.
    c.db.propagation.instead(&[b"SET", a[1], sum.as_bytes(), b"KEEPTTL"]);
    c.db.keyspace.set(a[1], Value::String(sum.into_bytes()), Expiry::Keep);
    Ok(())
}

pub(super) fn hincrbyfloat(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let increment = Extended::parse(a[3]).ok_or(NOT_FLOAT)?;
    if increment == Parsed::Infinite {
        return Err(fixed("ERR value is NaN or Infinity"));
    }
    let current = match c.db.keyspace.read::<Hash>(a[1])?.and_then(|hash| hash.get(a[2])) {
        Some(value) => Extended::parse(value).ok_or(fixed("ERR hash value is not a float"))?,
        None => Parsed::Finite(Extended::ZERO),
    };
    let sum = add(current, increment)?;
    c.db.keyspace.edit_or_create(a[1], |hash: &mut Hash| {
        set_field(hash, a[2], Blob::from(sum.as_bytes()));
        ((), true)
    })?;
    c.db.propagation.instead(&[b"HSET", a[1], a[2], sum.as_bytes()]);
    c.reply.bulk(sum.as_bytes());
    Ok(())
}
