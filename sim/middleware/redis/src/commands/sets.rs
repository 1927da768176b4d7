//! Commands on sets.

use crate::{
    commands::{Args, Context, check_type, is, pop_count, remove_members},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Blob, Expiry, Set, Value},
    number::natural,
};

pub(super) fn sadd(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let added = c.db.keyspace.edit_or_create(a[1], |set: &mut Set| {
        let mut added = 0;
        for member in &a[2..] {
            if !set.contains(*member) {
                set.insert(Blob::from(*member));
                added += 1;
            }
        }
        (added, added > 0)
    })?;
    c.reply.count(added);
    Ok(())
}

pub(super) fn srem(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    remove_members(c, a, |set: &mut Set, member| set.swap_remove(member))
}

pub(super) fn scard(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<Set>(a[1])?.map_or(0, Set::len);
    c.reply.count(length);
    Ok(())
}

pub(super) fn sismember(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let found = c.db.keyspace.read::<Set>(a[1])?.is_some_and(|set| set.contains(a[2]));
    c.reply.integer(i64::from(found));
    Ok(())
}

pub(super) fn smismember(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let set = c.db.keyspace.read::<Set>(a[1])?;
    c.reply.array(a.len() - 2);
    for member in &a[2..] {
        c.reply.integer(i64::from(set.is_some_and(|set| set.contains(*member))));
    }
    Ok(())
}

pub(super) fn smembers(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let set = c.db.keyspace.read::<Set>(a[1])?;
    c.reply.set(set.map_or(0, Set::len));
    for member in set.into_iter().flatten() {
        c.reply.bulk(member);
    }
    Ok(())
}

pub(super) fn smove(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (source, destination, member) = (a[1], a[2], a[3]);
    let found = match c.db.keyspace.read::<Set>(source)? {
        None => {
            c.reply.integer(0);
            return Ok(());
        }
        Some(set) => set.contains(member),
    };
    check_type::<Set>(&c.db.keyspace, destination)?;
    if found && source != destination {
        c.db.keyspace.edit(source, |set: &mut Set| ((), set.swap_remove(member)))?;
        c.db.keyspace.edit_or_create(destination, |set: &mut Set| ((), set.insert(Blob::from(member))))?;
    }
    c.reply.integer(i64::from(found));
    Ok(())
}

pub(super) fn spop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let count = pop_count(a, || SYNTAX)?;
    let length = c.db.keyspace.read::<Set>(a[1])?.map_or(0, Set::len);
    let wanted = count.unwrap_or(1).min(length);
    let draws: Vec<usize> = (0..wanted).map(|taken| c.db.draw(length - taken)).collect();
    let popped = c.db.keyspace.edit(a[1], |set: &mut Set| {
        let popped: Vec<Blob> = draws.iter().filter_map(|index| set.swap_remove_index(*index)).collect();
        let changed = !popped.is_empty();
        (popped, changed)
    })?;
    let popped = popped.unwrap_or_default();
    if !popped.is_empty() {
        let members = popped.iter().map(|member| &**member);
        let command: Vec<&[u8]> = [&b"SREM"[..], a[1]].into_iter().chain(members).collect();
        c.db.propagation.instead(&command);
    }
    if count.is_some() {
        c.reply.set(popped.len());
        for member in &popped {
            c.reply.bulk(member);
        }
    } else {
        c.reply.bulk_or_null(popped.first().map(|member| &**member));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// Computes over sets; fails when any key holds something else.
fn combine(c: &Context<'_>, keys: &[&[u8]], operation: Operation) -> Result<Set, ReplyError> {
    let sets = keys.iter().map(|key| c.db.keyspace.read::<Set>(key)).collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = sets.split_first() else { return Ok(Set::default()) };
    let mut result = Set::default();
    match operation {
        Operation::Union => {
            for set in sets.iter().flatten() {
                result.extend(set.iter().cloned());
            }
        }
        Operation::Intersection => {
            let in_all =
                |member: &&Blob| others.iter().all(|set| set.is_some_and(|set| set.contains(*member)));
            result.extend(first.iter().flat_map(|set| set.iter()).filter(in_all).cloned());
        }
        Operation::Difference => {
            let in_none = |member: &&Blob| !others.iter().flatten().any(|set| set.contains(*member));
            result.extend(first.iter().flat_map(|set| set.iter()).filter(in_none).cloned());
        }
    }
    Ok(result)
}

fn reply_combined(c: &mut Context<'_>, a: &Args<'_>, operation: Operation) -> Outcome {
    let result = combine(c, &a[1..], operation)?;
    c.reply.set(result.len());
    for member in &result {
        c.reply.bulk(member);
    }
    Ok(())
}

fn store_combined(c: &mut Context<'_>, a: &Args<'_>, operation: Operation) -> Outcome {
    let result = combine(c, &a[2..], operation)?;
    let length = result.len();
    if length == 0 {
        c.db.keyspace.remove(a[1]);
    } else {
        c.db.keyspace.set(a[1], Value::Set(result), Expiry::Never);
    }
    c.reply.count(length);
    Ok(())
}

pub(super) fn sunion(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    reply_combined(c, a, Operation::Union)
}

pub(super) fn sinter(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    reply_combined(c, a, Operation::Intersection)
}

pub(super) fn sdiff(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    reply_combined(c, a, Operation::Difference)
}

pub(super) fn sunionstore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    store_combined(c, a, Operation::Union)
}

pub(super) fn sinterstore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    store_combined(c, a, Operation::Intersection)
}

pub(super) fn sdiffstore(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    store_combined(c, a, Operation::Difference)
}

/// `SINTERCARD numkeys key… [LIMIT limit]`.
pub(super) fn sintercard(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let positive = fixed("ERR numkeys should be greater than 0");
    let count = natural(a[1]).filter(|count| *count > 0);
    let count = count.ok_or(positive)?;
    let keys = a
        .get(2..)
        .and_then(|rest| rest.get(..count))
        .ok_or(fixed("ERR Number of keys can't be greater than number of args"))?;
    let mut limit = usize::MAX;
    let mut options = a[2 + count..].iter();
    while let Some(option) = options.next() {
        let (true, Some(argument)) = (is(option, "LIMIT"), options.next()) else { return Err(SYNTAX) };
        limit = match natural(argument).ok_or(fixed("ERR LIMIT can't be negative"))? {
            0 => usize::MAX,
            limit => limit,
        };
    }
    let result = combine(c, keys, Operation::Intersection)?;
    c.reply.count(result.len().min(limit));
    Ok(())
}
