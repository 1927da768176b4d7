//! Values: written in plain encodings, read in all that Redis 7.0 writes.

use super::{
    RdbError,
    listpack::{Element, Listpack},
    reader::Reader,
    stream,
    writer::Writer,
};
use crate::{
    keyspace::{Blob, Hash, List, Set, Value},
    sorted_set::SortedSet,
};

/// Types of values, each with its encoding.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const HASH: u8 = 4;
    /// With scores in binary.
    pub(super) const SORTED_SET: u8 = 5;
    pub(super) const MODULE: u8 = 6;
    pub(super) const MODULE_2: u8 = 7;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST: u8 = 18;
    pub(super) const STREAM: u8 = 19;
}

/// A node of a quicklist that is one large element, and one that is a listpack.
const PLAIN_NODE: u64 = 1;
const PACKED_NODE: u64 = 2;

/// The type under which a value is written.
pub(super) fn type_of(value: &Value) -> u8 {
    match value {
        Value::String(_) => kind::STRING,
        Value::Hash(_) => kind::HASH,
        Value::List(_) => kind::LIST,
        Value::Set(_) => kind::SET,
        Value::SortedSet(_) => kind::SORTED_SET,
        Value::Stream(_) => kind::STREAM,
    }
}

/// Writes a value, without its type.
pub(super) fn write(out: &mut Writer, value: &Value) {
    match value {
        Value::String(text) => out.string(text),
        Value::Hash(hash) => {
            out.count(hash.len());
            for (field, value) in hash {
                out.string(field);
                out.string(value);
            }
        }
        Value::List(list) => {
            out.count(list.len());
            list.iter().for_each(|element| out.string(element));
        }
        Value::Set(set) => {
            out.count(set.len());
            set.iter().for_each(|member| out.string(member));
        }
        Value::SortedSet(set) => {
            out.count(set.len());
            // In the order of the table, which Redis does not care about and cursors here depend on.
            for (member, score) in (0..set.len()).filter_map(|place| set.at(place)) {
                out.string(member);
                out.raw(&score.to_le_bytes());
            }
        }
        Value::Stream(stream) => stream::write(out, stream),
    }
}

/// Reads a value of a type; `None` if it is an aggregate without elements.
pub(super) fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Option<Value>, RdbError> {
    let value = match kind {
        kind::STRING => Value::String(reader.string()?.into_owned()),
        kind::LIST => Value::List(read_list(reader)?),
        kind::LIST_QUICKLIST => Value::List(read_quicklist(reader)?),
        kind::SET => Value::Set(read_set(reader)?),
        kind::SET_INTSET => Value::Set(read_intset(reader)?),
        kind::HASH => Value::Hash(read_hash(reader)?),
        kind::HASH_LISTPACK => Value::Hash(read_packed_hash(reader)?),
        kind::SORTED_SET => Value::SortedSet(read_sorted_set(reader)?),
        kind::SORTED_SET_LISTPACK => Value::SortedSet(read_packed_sorted_set(reader)?),
        kind::STREAM => Value::Stream(stream::read(reader)?),
        kind::MODULE | kind::MODULE_2 => return Err(RdbError::Unsupported("a value of a module")),
        3 | 9 | 10 | 12 | 13 | 14 | 15 => {
            return Err(RdbError::Unsupported("an encoding that Redis 7.0 does not write"));
        }
        _ => return Err(reader.corrupt("Unknown RDB encoding type")),
    };
    let is_empty = match &value {
        Value::String(_) | Value::Stream(_) => false,
        Value::Hash(hash) => hash.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Set(set) => set.is_empty(),
        Value::SortedSet(set) => set.is_empty(),
    };
    Ok((!is_empty).then_some(value))
}

fn read_list(reader: &mut Reader<'_>) -> Result<List, RdbError> {
    let mut list = List::new();
    for _ in 0..reader.length()? {
        list.push_back(Blob::from(&*reader.string()?));
    }
    Ok(list)
}

fn read_quicklist(reader: &mut Reader<'_>) -> Result<List, RdbError> {
    let mut list = List::new();
    for _ in 0..reader.length()? {
        let container = reader.length()?;
        let node = reader.string()?;
        match container {
            PLAIN_NODE if !node.is_empty() => list.push_back(Blob::from(&*node)),
            PACKED_NODE => {
                let mut listpack = Listpack::open(&node, reader.position())?;
                while let Some(element) = listpack.next()? {
                    list.push_back(element.blob());
                }
            }
            _ => return Err(reader.corrupt("Quicklist integrity check failed.")),
        }
    }
    Ok(list)
}

fn insert_member(set: &mut Set, member: Blob, reader: &Reader<'_>) -> Result<(), RdbError> {
    if set.insert(member) { Ok(()) } else { Err(reader.corrupt("Duplicate set members detected")) }
}

fn read_set(reader: &mut Reader<'_>) -> Result<Set, RdbError> {
    let mut set = Set::default();
    for _ in 0..reader.length()? {
        let member = Blob::from(&*reader.string()?);
        insert_member(&mut set, member, reader)?;
    }
    Ok(set)
}

/// A sorted array of integers of one width.
fn read_intset(reader: &mut Reader<'_>) -> Result<Set, RdbError> {
    let bytes = reader.string()?;
    let corrupt = reader.corrupt("Intset integrity check failed.");
    let mut numbers = Reader::new(&bytes);
    let width = u32::from_le_bytes(numbers.array().map_err(|_| corrupt.clone())?);
    let length = u32::from_le_bytes(numbers.array().map_err(|_| corrupt.clone())?);
    let mut set = Set::default();
    let mut before = None;
    for _ in 0..length {
        let number = match width {
            2 => numbers.array().map(|bytes| i64::from(i16::from_le_bytes(bytes))),
            4 => numbers.array().map(|bytes| i64::from(i32::from_le_bytes(bytes))),
            8 => numbers.array().map(i64::from_le_bytes),
            _ => return Err(corrupt),
        };
        let number = number.map_err(|_| corrupt.clone())?;
        if before.replace(number).is_some_and(|before| number <= before) {
            return Err(corrupt);
        }
        set.insert(Blob::from(number.to_string().into_bytes()));
    }
    if numbers.position() == bytes.len() && length > 0 { Ok(set) } else { Err(corrupt) }
}

fn read_hash(reader: &mut Reader<'_>) -> Result<Hash, RdbError> {
    let mut hash = Hash::default();
    for _ in 0..reader.length()? {
        let field = Blob::from(&*reader.string()?);
        let value = Blob::from(&*reader.string()?);
        if hash.insert(field, value).is_some() {
            return Err(reader.corrupt("Duplicate hash fields detected"));
        }
    }
    Ok(hash)
}

/// Reads a listpack whose elements come in pairs.
fn read_pairs(
    reader: &mut Reader<'_>,
    mut take: impl FnMut(Element<'_>, Element<'_>) -> Option<()>,
) -> Result<(), RdbError> {
    let bytes = reader.string()?;
    let mut listpack = Listpack::open(&bytes, reader.position())?;
    while let Some(first) = listpack.next()? {
        let second = listpack.element()?;
        take(first, second).ok_or_else(|| listpack.corrupt())?;
    }
    Ok(())
}

fn read_packed_hash(reader: &mut Reader<'_>) -> Result<Hash, RdbError> {
    let mut hash = Hash::default();
    read_pairs(reader, |field, value| hash.insert(field.blob(), value.blob()).is_none().then_some(()))?;
    Ok(hash)
}

fn insert_scored(set: &mut SortedSet, member: &[u8], score: f64) -> Option<()> {
    (!score.is_nan() && set.insert(member, score).is_none()).then_some(())
}

fn read_sorted_set(reader: &mut Reader<'_>) -> Result<SortedSet, RdbError> {
    let mut set = SortedSet::default();
    for _ in 0..reader.length()? {
        let member = reader.string()?;
        let score = f64::from_le_bytes(reader.array()?);
        insert_scored(&mut set, &member, score)
            .ok_or_else(|| reader.corrupt("Zset with a NAN score or duplicate fields detected"))?;
    }
    Ok(set)
}

fn read_packed_sorted_set(reader: &mut Reader<'_>) -> Result<SortedSet, RdbError> {
    let mut set = SortedSet::default();
    read_pairs(reader, |member, score| {
        let score = match score {
            Element::Integer(number) => number as f64,
            Element::Text(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        };
        insert_scored(&mut set, &member.bytes(), score)
    })?;
    Ok(set)
}
