//! Commands on hashes.

use crate::{
    commands::{Args, Context, check_type, is, remove_members},
    error::{OVERFLOW, Outcome, ReplyError, fixed},
    keyspace::{Blob, Hash},
    number::{integer, parse_i64},
};

/// `HSET` and `HMSET`.
pub(super) fn hset(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let old_form = is(a[0], "HMSET");
    if !a.len().is_multiple_of(2) {
        return Err(ReplyError::wrong_arity(if old_form { "hmset" } else { "hset" }));
    }
    let created = c.db.keyspace.edit_or_create(a[1], |hash: &mut Hash| {
        let before = hash.len();
        for pair in a[2..].chunks_exact(2) {
            set_field(hash, pair[0], Blob::from(pair[1]));
        }
        (hash.len() - before, true)
    })?;
    if old_form {
        c.reply.ok();
    } else {
        c.reply.count(created);
    }
    Ok(())
}

pub(super) fn set_field(hash: &mut Hash, field: &[u8], value: Blob) {
    match hash.get_mut(field) {
        Some(place) => *place = value,
        None => {
            hash.insert(Blob::from(field), value);
        }
    }
}

pub(super) fn hsetnx(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let created = c.db.keyspace.edit_or_create(a[1], |hash: &mut Hash| {
        let created = !hash.contains_key(a[2]);
        if created {
            set_field(hash, a[2], Blob::from(a[3]));
        }
        (created, created)
    })?;
    c.reply.integer(i64::from(created));
    Ok(())
}

fn field<'a>(c: &'a Context<'_>, key: &[u8], field: &[u8]) -> Result<Option<&'a Blob>, ReplyError> {
    Ok(c.db.keyspace.read::<Hash>(key)?.and_then(|hash| hash.get(field)))
}

pub(super) fn hget(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let value = field(c, a[1], a[2])?.cloned();
    c.reply.bulk_or_null(value.as_deref());
    Ok(())
}

pub(super) fn hmget(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let hash = c.db.keyspace.read::<Hash>(a[1])?;
    c.reply.array(a.len() - 2);
    for field in &a[2..] {
        c.reply.bulk_or_null(hash.and_then(|hash| hash.get(*field)).map(|value| &**value));
    }
    Ok(())
}

pub(super) fn hgetall(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    match c.db.keyspace.read::<Hash>(a[1])? {
        None => c.reply.map(0),
        Some(hash) => {
            c.reply.map(hash.len());
            for (field, value) in hash {
                c.reply.bulk(field);
                c.reply.bulk(value);
            }
        }
    }
    Ok(())
}

pub(super) fn hkeys(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let hash = c.db.keyspace.read::<Hash>(a[1])?;
    c.reply.array(hash.map_or(0, Hash::len));
    for field in hash.into_iter().flat_map(Hash::keys) {
        c.reply.bulk(field);
    }
    Ok(())
}

pub(super) fn hvals(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let hash = c.db.keyspace.read::<Hash>(a[1])?;
    c.reply.array(hash.map_or(0, Hash::len));
    for value in hash.into_iter().flat_map(Hash::values) {
        c.reply.bulk(value);
    }
    Ok(())
}

pub(super) fn hlen(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<Hash>(a[1])?.map_or(0, Hash::len);
    c.reply.count(length);
    Ok(())
}

pub(super) fn hexists(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let exists = field(c, a[1], a[2])?.is_some();
    c.reply.integer(i64::from(exists));
    Ok(())
}

pub(super) fn hstrlen(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = field(c, a[1], a[2])?.map_or(0, |value| value.len());
    c.reply.count(length);
    Ok(())
}

pub(super) fn hdel(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    remove_members(c, a, |hash: &mut Hash, field| hash.swap_remove(field).is_some())
}

pub(super) fn hincrby(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let difference = integer(a[3])?;
    check_type::<Hash>(&c.db.keyspace, a[1])?;
    let current = match field(c, a[1], a[2])? {
        Some(value) => parse_i64(value).ok_or(fixed("ERR hash value is not an integer"))?,
        None => 0,
    };
    let sum = current.checked_add(difference).ok_or(OVERFLOW)?;
    c.db.keyspace.edit_or_create(a[1], |hash: &mut Hash| {
        set_field(hash, a[2], Blob::from(sum.to_string().into_bytes()));
        ((), true)
    })?;
    c.reply.integer(sum);
    Ok(())
}
