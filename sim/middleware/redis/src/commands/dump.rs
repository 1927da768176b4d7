//! `DUMP` and `RESTORE`: values in Redis's own format.

use crate::{
    commands::{Args, Context, is},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::Expiry,
    number::integer,
    rdb,
};

const BUSY_KEY: ReplyError = fixed("BUSYKEY Target key name already exists.");

pub(super) fn dump(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let payload = c.db.keyspace.get(a[1]).map(rdb::dump);
    c.reply.bulk_or_null(payload.as_deref());
    Ok(())
}

/// What `RESTORE` is told beside the value. What is known about the use of a value is checked and then forgotten:
/// nothing here goes by it.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
}

impl Options {
    fn parse(mut arguments: &[&[u8]]) -> Result<Self, ReplyError> {
        let mut options = Self::default();
        let (mut idle, mut frequency) = (false, false);
        loop {
            arguments = match arguments {
                [] => return Ok(options),
                [option, rest @ ..] if is(option, "REPLACE") => {
                    options.replace = true;
                    rest
                }
                [option, rest @ ..] if is(option, "ABSTTL") => {
                    options.absolute = true;
                    rest
                }
                [option, seconds, rest @ ..] if is(option, "IDLETIME") && !frequency => {
                    if integer(seconds)? < 0 {
                        return Err(fixed("ERR Invalid IDLETIME value, must be >= 0"));
                    }
                    idle = true;
                    rest
                }
                [option, uses, rest @ ..] if is(option, "FREQ") && !idle => {
                    if !(0..=255).contains(&integer(uses)?) {
                        return Err(fixed("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                    }
                    frequency = true;
                    rest
                }
                _ => return Err(SYNTAX),
            }
        }
    }
}

/// `RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub(super) fn restore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let options = Options::parse(&a[4..])?;
    let key = a[1];
    if !options.replace && c.db.keyspace.get(key).is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = integer(a[2])?;
    if ttl < 0 {
        return Err(fixed("ERR Invalid TTL value, must be >= 0"));
    }
    let value = rdb::restore(a[3]).map_err(|error| ReplyError::new(format!("ERR {error}")))?;
    let now_ms = c.db.now_ms().cast_signed();
    // As in Redis, a time beyond all others wraps around to one before all others.
    let expiry = match ttl {
        0 => Expiry::Never,
        _ => {
            let at = if options.absolute { ttl } else { ttl.wrapping_add(now_ms) };
            if at <= now_ms {
                c.db.keyspace.remove(key);
                c.reply.ok();
                return Ok(());
            }
            Expiry::At(at.cast_unsigned())
        }
    };
    c.db.keyspace.set(key, value, expiry);
    c.db.keyspace.signal_new(key);
    c.reply.ok();
    Ok(())
}
