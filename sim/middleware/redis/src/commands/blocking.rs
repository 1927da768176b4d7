//! Commands that wait until there is something to be taken, and how those who wait are served.

use crate::{
    commands::{
        Args, Context, PopFirst, check_type,
        lists::{self, End},
        sorted_sets, stream_reads,
    },
    error::{NOT_INTEGER, Outcome, ReplyError, fixed},
    keyspace::{Blob, List, Value},
    number::parse_i64,
    stream::StreamId,
    waiting::{Verdict, Wait, Want},
};

/// A time to wait, in seconds, as milliseconds; 0: for ever.
fn timeout_ms(seconds: &[u8]) -> Result<u64, ReplyError> {
    let invalid = fixed("ERR timeout is not a float or out of range");
    // Redis reads more digits than a double has room for: what is infinite here is only too much there.
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse::<f64>().ok());
    let ms = (seconds.filter(|seconds| !seconds.is_nan()).ok_or(invalid)? * 1000.0).ceil();
    // What is too much for Redis's counter ends up below zero there.
    if ms < 0.0 || ms >= i64::MAX as f64 {
        return Err(fixed("ERR timeout is negative"));
    }
    Ok(ms as u64)
}

/// The same for a time in whole milliseconds.
pub(super) fn whole_timeout_ms(ms: &[u8]) -> Result<u64, ReplyError> {
    let ms = parse_i64(ms).ok_or(fixed("ERR timeout is not an integer or out of range"))?;
    u64::try_from(ms).map_err(|_| fixed("ERR timeout is negative"))
}

/// The caller is to wait, if it can: within a transaction or a script its time is over at once.
pub(super) fn wait(c: &mut Context<'_>, keys: &[&[u8]], want: Want, timeout_ms: u64) {
    if c.db.caller.may_block {
        c.db.wait = Some(Wait::new(keys, want, timeout_ms));
    } else if matches!(want, Want::Move { .. }) {
        c.reply.null();
    } else {
        c.reply.null_array();
    }
}

/// Replicas get the command that does not wait.
fn propagate(c: &mut Context<'_>, name: &str, key: &[u8], taken: Option<usize>) {
    match taken {
        None => c.db.propagation.instead(&[name.as_bytes(), key]),
        Some(taken) => c.db.propagation.instead(&[name.as_bytes(), key, taken.to_string().as_bytes()]),
    }
}

fn pop_list(c: &mut Context<'_>, key: &[u8], from: End, count: Option<usize>) -> Result<bool, ReplyError> {
    let taken = match count {
        None => lists::take_one(c, key, from)?.then_some(None),
        Some(count) => lists::take(c, key, from, count)?.map(Some),
    };
    let Some(taken) = taken else { return Ok(false) };
    propagate(c, if from == End::Left { "LPOP" } else { "RPOP" }, key, taken);
    Ok(true)
}

fn pop_sorted_set(
    c: &mut Context<'_>,
    key: &[u8],
    highest: bool,
    count: Option<usize>,
) -> Result<bool, ReplyError> {
    let taken = match count {
        None => sorted_sets::take_one(c, key, highest)?.then_some(None),
        Some(count) => sorted_sets::take(c, key, highest, count)?.map(Some),
    };
    let Some(taken) = taken else { return Ok(false) };
    propagate(c, if highest { "ZPOPMAX" } else { "ZPOPMIN" }, key, taken);
    Ok(true)
}

fn pop_any_list(
    c: &mut Context<'_>,
    keys: &[&[u8]],
    timeout: &[u8],
    from: End,
    count: Option<usize>,
) -> Outcome {
    let timeout_ms = timeout_ms(timeout)?;
    for key in keys {
        if pop_list(c, key, from, count)? {
            return Ok(());
        }
    }
    wait(c, keys, Want::List { from, count }, timeout_ms);
    Ok(())
}

fn pop_any_sorted_set(
    c: &mut Context<'_>,
    keys: &[&[u8]],
    timeout: &[u8],
    highest: bool,
    count: Option<usize>,
) -> Outcome {
    let timeout_ms = timeout_ms(timeout)?;
    for key in keys {
        if pop_sorted_set(c, key, highest, count)? {
            return Ok(());
        }
    }
    wait(c, keys, Want::SortedSet { highest, count }, timeout_ms);
    Ok(())
}

/// The keys and the timeout of `command key… timeout`.
fn keys_and_timeout<'a>(a: &'a Args<'a>) -> Result<(&'a [&'a [u8]], &'a [u8]), ReplyError> {
    // The table's arity guarantees both.
    let (timeout, keys) = a.get(1..).and_then(<[_]>::split_last).ok_or(NOT_INTEGER)?;
    Ok((keys, timeout))
}

/// `BLPOP key… timeout`
pub(super) fn blpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (keys, timeout) = keys_and_timeout(a)?;
    pop_any_list(c, keys, timeout, End::Left, None)
}

/// `BRPOP key… timeout`
pub(super) fn brpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (keys, timeout) = keys_and_timeout(a)?;
    pop_any_list(c, keys, timeout, End::Right, None)
}

/// `BLMPOP timeout numkeys key… LEFT|RIGHT [COUNT count]`
pub(super) fn blmpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let PopFirst { keys, from, count } = PopFirst::parse(&a[2..], lists::end)?;
    pop_any_list(c, keys, a[1], from, Some(count))
}

/// `BZPOPMIN key… timeout`
pub(super) fn bzpopmin(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (keys, timeout) = keys_and_timeout(a)?;
    pop_any_sorted_set(c, keys, timeout, false, None)
}

/// `BZPOPMAX key… timeout`
pub(super) fn bzpopmax(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (keys, timeout) = keys_and_timeout(a)?;
    pop_any_sorted_set(c, keys, timeout, true, None)
}

/// `BZMPOP timeout numkeys key… MIN|MAX [COUNT count]`
pub(super) fn bzmpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let PopFirst { keys, from: highest, count } = PopFirst::parse(&a[2..], sorted_sets::is_highest)?;
    pop_any_sorted_set(c, keys, a[1], highest, Some(count))
}

/// `BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`
pub(super) fn blmove(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (from, to) = (lists::end(a[3])?, lists::end(a[4])?);
    let want = Want::Move { from, to, destination: Blob::from(a[2]), is_rpoplpush: false };
    move_or_wait(c, a[1], want, a[5])
}

/// `BRPOPLPUSH source destination timeout`
pub(super) fn brpoplpush(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let destination = Blob::from(a[2]);
    let want = Want::Move { from: End::Right, to: End::Left, destination, is_rpoplpush: true };
    move_or_wait(c, a[1], want, a[3])
}

fn move_or_wait(c: &mut Context<'_>, source: &[u8], want: Want, timeout: &[u8]) -> Outcome {
    let timeout_ms = timeout_ms(timeout)?;
    check_type::<List>(&c.db.keyspace, source)?;
    if c.db.keyspace.get(source).is_some() {
        return serve(c, source, &want);
    }
    wait(c, &[source], want, timeout_ms);
    Ok(())
}

/// Is the value of a key what a client waits for?
pub(crate) fn judge(value: &Value, key: &Blob, wait: &Wait) -> Verdict {
    match (value, &wait.want) {
        (Value::List(_), Want::List { .. } | Want::Move { .. })
        | (Value::SortedSet(_), Want::SortedSet { .. }) => Verdict::IsServed,
        (Value::Stream(stream), Want::Stream { group: Some((group, ..)), .. }) => match stream.group(group) {
            None => Verdict::Fails("NOGROUP the consumer group this client was blocked on no longer exists"),
            Some(group) if stream.log.last_id() > group.last_id() => Verdict::IsServed,
            Some(_) => Verdict::Waits,
        },
        (Value::Stream(stream), Want::Stream { group: None, after, .. }) => {
            if after.get(key).is_some_and(|after| stream.log.last_id() > *after) {
                Verdict::IsServed
            } else {
                Verdict::Waits
            }
        }
        _ => Verdict::Waits,
    }
}

/// Does for a client what it waited for, now that the key has something.
pub(crate) fn serve(c: &mut Context<'_>, key: &[u8], want: &Want) -> Outcome {
    match want {
        Want::List { from, count } => pop_list(c, key, *from, *count).map(|_| ()),
        Want::SortedSet { highest, count } => pop_sorted_set(c, key, *highest, *count).map(|_| ()),
        Want::Move { from, to, destination, is_rpoplpush } => {
            lists::move_element(c, key, destination, *from, *to)?;
            let word = |end: &End| if *end == End::Left { &b"left"[..] } else { b"right" };
            if *is_rpoplpush {
                c.db.propagation.instead(&[b"RPOPLPUSH", key, destination]);
            } else {
                c.db.propagation.instead(&[b"LMOVE", key, destination, word(from), word(to)]);
            }
            Ok(())
        }
        Want::Stream { group, count, after } => {
            let names = group.as_ref().map(|(group, consumer, _)| (&**group, &**consumer));
            let acknowledged = group.as_ref().is_some_and(|(.., acknowledged)| *acknowledged);
            let after = after.get(key).copied().unwrap_or(StreamId::MAX);
            stream_reads::serve(c, key, names, acknowledged, *count, after)
        }
    }
}
