//! Commands on lists.

use crate::{
    commands::{Args, Context, PopFirst, check_type, is, pop_count},
    error::{INDEX_OUT_OF_RANGE, NO_SUCH_KEY, Outcome, ReplyError, SYNTAX, fixed},
    keyspace::{Blob, List},
    number::{integer, natural, resolve_range},
};

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}

fn push_at(list: &mut List, end: End, element: Blob) {
    match end {
        End::Left => list.push_front(element),
        End::Right => list.push_back(element),
    }
}

fn pop_at(list: &mut List, end: End) -> Option<Blob> {
    match end {
        End::Left => list.pop_front(),
        End::Right => list.pop_back(),
    }
}

fn push(c: &mut Context<'_>, a: &Args<'_>, end: End, only_existing: bool) -> Outcome {
    check_type::<List>(&c.db.keyspace, a[1])?;
    if only_existing && c.db.keyspace.get(a[1]).is_none() {
        c.reply.integer(0);
        return Ok(());
    }
    let length = c.db.keyspace.edit_or_create(a[1], |list: &mut List| {
        for element in &a[2..] {
            push_at(list, end, Blob::from(*element));
        }
        (list.len(), true)
    })?;
    c.reply.count(length);
    Ok(())
}

pub(super) fn lpush(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    push(c, a, End::Left, false)
}

pub(super) fn rpush(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    push(c, a, End::Right, false)
}

pub(super) fn lpushx(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    push(c, a, End::Left, true)
}

pub(super) fn rpushx(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    push(c, a, End::Right, true)
}

fn pop(c: &mut Context<'_>, a: &Args<'_>, end: End, command: &str) -> Outcome {
    let count = pop_count(a, || ReplyError::wrong_arity(command))?;
    let popped = c.db.keyspace.edit(a[1], |list: &mut List| {
        let wanted = count.unwrap_or(1).min(list.len());
        let popped: Vec<Blob> = (0..wanted).filter_map(|_| pop_at(list, end)).collect();
        let changed = !popped.is_empty();
        (popped, changed)
    })?;
    match (popped, count) {
        (None, None) => c.reply.null(),
        (None, Some(_)) => c.reply.null_array(),
        (Some(popped), None) => c.reply.bulk_or_null(popped.first().map(|element| &**element)),
        (Some(popped), Some(_)) => {
            c.reply.array(popped.len());
            for element in &popped {
                c.reply.bulk(element);
            }
        }
    }
    Ok(())
}

pub(super) fn lpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    pop(c, a, End::Left, "lpop")
}

pub(super) fn rpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    pop(c, a, End::Right, "rpop")
}

pub(super) fn llen(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<List>(a[1])?.map_or(0, List::len);
    c.reply.count(length);
    Ok(())
}

pub(super) fn lrange(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (start, stop) = (integer(a[2])?, integer(a[3])?);
    let Some(list) = c.db.keyspace.read::<List>(a[1])? else {
        c.reply.array(0);
        return Ok(());
    };
    let range = resolve_range(start, stop, list.len());
    c.reply.array(range.len());
    for element in list.range(range) {
        c.reply.bulk(element);
    }
    Ok(())
}

/// An index that may count from the end, as a position in the list.
fn position(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { i64::try_from(length).ok()?.checked_add(index)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

pub(super) fn lindex(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let Some(list) = c.db.keyspace.read::<List>(a[1])? else {
        c.reply.null();
        return Ok(());
    };
    let element = position(integer(a[2])?, list.len()).and_then(|index| list.get(index));
    c.reply.bulk_or_null(element.map(|element| &**element));
    Ok(())
}

pub(super) fn lset(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let length = c.db.keyspace.read::<List>(a[1])?.ok_or(NO_SUCH_KEY)?.len();
    let index = position(integer(a[2])?, length).ok_or(INDEX_OUT_OF_RANGE)?;
    c.db.keyspace.edit(a[1], |list: &mut List| {
        if let Some(element) = list.get_mut(index) {
            *element = Blob::from(a[3]);
        }
        ((), true)
    })?;
    c.reply.ok();
    Ok(())
}

pub(super) fn lrem(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let count = integer(a[2])?;
    let wanted = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(wanted) => wanted,
    };
    let removed = c.db.keyspace.edit(a[1], |list: &mut List| {
        let mut removed = 0;
        let mut keep = |element: &Blob| {
            let remove = removed < wanted && **element == *a[3];
            removed += usize::from(remove);
            !remove
        };
        if count >= 0 {
            list.retain(keep);
        } else {
            let mut kept: List = List::with_capacity(list.len());
            while let Some(element) = list.pop_back() {
                if keep(&element) {
                    kept.push_front(element);
                }
            }
            *list = kept;
        }
        (removed, removed > 0)
    })?;
    c.reply.count(removed.unwrap_or(0));
    Ok(())
}

pub(super) fn ltrim(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let (start, stop) = (integer(a[2])?, integer(a[3])?);
    c.db.keyspace.edit(a[1], |list: &mut List| {
        let range = resolve_range(start, stop, list.len());
        list.truncate(range.end);
        list.drain(..range.start);
        ((), true)
    })?;
    c.reply.ok();
    Ok(())
}

pub(super) fn linsert(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let after = match a[2] {
        place if is(place, "AFTER") => true,
        place if is(place, "BEFORE") => false,
        _ => return Err(SYNTAX),
    };
    let length = c.db.keyspace.edit(a[1], |list: &mut List| {
        let Some(pivot) = list.iter().position(|element| **element == *a[3]) else { return (None, false) };
        list.insert(pivot + usize::from(after), Blob::from(a[4]));
        (Some(list.len()), true)
    })?;
    match length {
        None => c.reply.integer(0),
        Some(None) => c.reply.integer(-1),
        Some(Some(length)) => c.reply.count(length),
    }
    Ok(())
}

pub(super) fn rpoplpush(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    move_element(c, a[1], a[2], End::Right, End::Left)
}

pub(super) fn lmove(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    move_element(c, a[1], a[2], end(a[3])?, end(a[4])?)
}

pub(super) fn end(name: &[u8]) -> Result<End, ReplyError> {
    if is(name, "LEFT") {
        Ok(End::Left)
    } else if is(name, "RIGHT") {
        Ok(End::Right)
    } else {
        Err(SYNTAX)
    }
}

/// Moves an element from one list to another, or within one.
pub(super) fn move_element(
    c: &mut Context<'_>,
    source: &[u8],
    destination: &[u8],
    from: End,
    to: End,
) -> Outcome {
    if c.db.keyspace.read::<List>(source)?.is_none() {
        c.reply.null();
        return Ok(());
    }
    check_type::<List>(&c.db.keyspace, destination)?;
    let element = if source == destination {
        // In place, so that a list of one element is not removed and made again (it would lose its expiry).
        c.db.keyspace.edit(source, |list: &mut List| {
            let element = pop_at(list, from);
            if let Some(element) = &element {
                push_at(list, to, element.clone());
            }
            (element, true)
        })?
    } else {
        let element = c.db.keyspace.edit(source, |list: &mut List| (pop_at(list, from), true))?;
        if let Some(Some(element)) = &element {
            c.db.keyspace.edit_or_create(destination, |list: &mut List| {
                push_at(list, to, element.clone());
                ((), true)
            })?;
        }
        element
    };
    c.reply.bulk_or_null(element.flatten().as_deref());
    Ok(())
}

/// `LMPOP numkeys key… LEFT|RIGHT [COUNT count]`: takes from the first list that is there.
pub(super) fn lmpop(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let PopFirst { keys, from, count } = PopFirst::parse(&a[1..], end)?;
    for key in keys {
        if take(c, key, from, count)?.is_some() {
            return Ok(());
        }
    }
    c.reply.null_array();
    Ok(())
}

/// Takes up to so many elements of a list, and replies with them and the key; `None` if there is no list, otherwise how
/// many there were.
pub(super) fn take(
    c: &mut Context<'_>,
    key: &[u8],
    from: End,
    count: usize,
) -> Result<Option<usize>, ReplyError> {
    let popped = c.db.keyspace.edit(key, |list: &mut List| {
        let wanted = count.min(list.len());
        let popped: Vec<Blob> = (0..wanted).filter_map(|_| pop_at(list, from)).collect();
        (popped, true)
    })?;
    let Some(popped) = popped else { return Ok(None) };
    c.reply.array(2);
    c.reply.bulk(key);
    c.reply.array(popped.len());
    for element in &popped {
        c.reply.bulk(element);
    }
    Ok(Some(popped.len()))
}

/// Takes one element of a list, and replies with the key and it; false if there is no list.
pub(super) fn take_one(c: &mut Context<'_>, key: &[u8], from: End) -> Result<bool, ReplyError> {
    let popped = c.db.keyspace.edit(key, |list: &mut List| (pop_at(list, from), true))?;
    let Some(popped) = popped else { return Ok(false) };
    c.reply.array(2);
    c.reply.bulk(key);
    c.reply.bulk_or_null(popped.as_deref());
    Ok(true)
}

/// The options of `LPOS`.
struct Search {
    /// From which match on, and from which end if it is negative.
    rank: i64,
    /// How many matches to return, 0 for all; without it, one, and not in an array.
    count: Option<usize>,
    /// How many elements to look at.
    max_length: usize,
}

impl Search {
    fn parse(arguments: &[&[u8]]) -> Result<Self, ReplyError> {
        let mut search = Self { rank: 1, count: None, max_length: usize::MAX };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let argument = arguments.next().ok_or(SYNTAX)?;
            if is(option, "RANK") {
                search.rank = integer(argument)?;
                if search.rank == 0 {
                    return Err(fixed(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                         or use negative to start from the end of the list",
                    ));
                }
            } else if is(option, "COUNT") {
                search.count = Some(natural(argument).ok_or(fixed("ERR COUNT can't be negative"))?);
            } else if is(option, "MAXLEN") {
                let given = natural(argument).ok_or(fixed("ERR MAXLEN can't be negative"))?;
                search.max_length = if given == 0 { usize::MAX } else { given };
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(search)
    }

    /// The positions of the element, in the order in which they are found.
    fn find(&self, list: &List, element: &[u8]) -> Vec<usize> {
        let skipped = match self.rank {
            // Redis negates this to itself, and every match is past it.
            i64::MIN => 0,
            rank => usize::try_from(rank.unsigned_abs() - 1).unwrap_or(usize::MAX),
        };
        let wanted = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let matches = |place: &usize| list.get(*place).is_some_and(|found| **found == *element);
        let places = 0..list.len();
        if self.rank < 0 {
            places.rev().take(self.max_length).filter(matches).skip(skipped).take(wanted).collect()
        } else {
            places.take(self.max_length).filter(matches).skip(skipped).take(wanted).collect()
        }
    }
}

pub(super) fn lpos(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let search = Search::parse(&a[3..])?;
    let found = c.db.keyspace.read::<List>(a[1])?.map_or(Vec::new(), |list| search.find(list, a[2]));
    match (search.count, found.first()) {
        (Some(_), _) => {
            c.reply.array(found.len());
            for place in found {
                c.reply.count(place);
            }
        }
        (None, Some(place)) => c.reply.count(*place),
        (None, None) => c.reply.null(),
    }
    Ok(())
}
