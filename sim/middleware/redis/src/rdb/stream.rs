//! Streams: their entries in listpacks, a node of Redis's radix tree each, and what their groups keep.

use std::collections::BTreeMap;

use super::{
    RdbError,
    listpack::{Builder, Element, Listpack},
    reader::Reader,
    writer::Writer,
};
use crate::{
    keyspace::Blob,
    stream::{Consumer, Fields, Group, Log, Node, Pending, Stream, StreamId, text_bytes},
};

/// Marks of an entry: it was deleted; it has the fields of its node's first entry.
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Marks of a deleted entry that make it so many bytes longer. Nobody looks at any but the two above.
const LONGER: [i64; 4] = [DELETED, DELETED | 1 << 7, DELETED | 1 << 12, DELETED | 1 << 15];

pub(super) fn write(out: &mut Writer, stream: &Stream) {
    let log = &stream.log;
    out.count(log.node_count());
    for node in log.nodes() {
        out.string(&id_bytes(node.first_id));
        out.string(&node_listpack(log, node));
    }
    out.count(log.len());
    write_id(out, log.last_id);
    write_id(out, log.first_id());
    write_id(out, log.max_deleted_id);
    out.length(log.entries_added);
    out.count(stream.groups.len());
    for (name, group) in &stream.groups {
        out.string(name);
        write_group(out, group);
    }
}

fn write_id(out: &mut Writer, id: StreamId) {
    out.length(id.ms);
    out.length(id.seq);
}

fn id_bytes(id: StreamId) -> [u8; 16] {
    ((u128::from(id.ms) << 64) | u128::from(id.seq)).to_be_bytes()
}

fn id_of(bytes: [u8; 16]) -> StreamId {
    let number = u128::from_be_bytes(bytes);
    StreamId { ms: (number >> 64) as u64, seq: number as u64 }
}

fn write_group(out: &mut Writer, group: &Group) {
    write_id(out, group.last_id);
    out.length(group.entries_read.unwrap_or(-1).cast_unsigned());
    out.count(group.pending.len());
    for (id, pending) in &group.pending {
        out.raw(&id_bytes(*id));
        out.raw(&pending.delivered_ms.to_le_bytes());
        out.length(pending.deliveries);
    }
    out.count(group.consumers.len());
    for (name, consumer) in &group.consumers {
        out.string(name);
        out.raw(&consumer.seen_ms.to_le_bytes());
        out.count(consumer.pending.len());
        consumer.pending.iter().for_each(|id| out.raw(&id_bytes(*id)));
    }
}

/// A node's listpack, as long as the node says that it is in Redis.
fn node_listpack(log: &Log, node: &Node) -> Vec<u8> {
    let listpack = build_node(log, node, 0);
    match node.bytes.checked_sub(listpack.len()) {
        Some(missing @ 1..) if node.dead > 0 => build_node(log, node, missing),
        _ => listpack,
    }
}

/// The entries of a node. Of the deleted ones, only their number, their size and the last one's id are known: others
/// stand for them, the first of which is `padding` bytes longer than it need be.
fn build_node(log: &Log, node: &Node, mut padding: usize) -> Vec<u8> {
    let mut out = Builder::new();
    out.count(node.live);
    out.count(node.dead);
    out.count(node.fields.len());
    node.fields.iter().for_each(|field| out.text(field));
    out.integer(0);
    let last_live_id = log.range(node.first_id, node.last_id).next_back().map(|(id, _)| id);
    let ends_dead = last_live_id != Some(node.last_id);
    for _ in 0..node.dead.saturating_sub(usize::from(ends_dead)) {
        write_dead(&mut out, node, node.first_id, std::mem::take(&mut padding));
    }
    for (id, fields) in log.range(node.first_id, node.last_id) {
        let same_fields = fields.iter().map(|(field, _)| field).eq(&node.fields);
        out.integer(if same_fields { SAME_FIELDS } else { 0 });
        write_difference(&mut out, node, id);
        let mut elements = 3 + fields.len();
        if !same_fields {
            out.count(fields.len());
            elements += 1 + fields.len();
        }
        for (field, value) in fields.iter() {
            if !same_fields {
                out.text(field);
            }
            out.text(value);
        }
        out.count(elements);
    }
    if ends_dead && node.dead > 0 {
        write_dead(&mut out, node, node.last_id, padding);
    }
    out.finish()
}

fn write_difference(out: &mut Builder, node: &Node, id: StreamId) {
    out.integer(id.ms.wrapping_sub(node.first_id.ms).cast_signed());
    out.integer(id.seq.wrapping_sub(node.first_id.seq).cast_signed());
}

/// A deleted entry: without fields if it is not to be padded by more than its marks can be.
fn write_dead(out: &mut Builder, node: &Node, id: StreamId, padding: usize) {
    let filler = if padding < LONGER.len() { None } else { field_of(padding) };
    out.integer(LONGER.get(padding).copied().unwrap_or(DELETED));
    write_difference(out, node, id);
    out.integer(i64::from(filler.is_some()));
    if let Some((field, value)) = &filler {
        out.text(field);
        out.text(value);
    }
    out.integer(if filler.is_some() { 6 } else { 4 });
}

/// A field with a value that together take so many bytes in a listpack, at least four.
fn field_of(bytes: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = |length: usize| vec![b'x'; length];
    // Not all sizes are sizes of a text: where the length's own length grows, one is left out.
    (0..4).map(text).find_map(|field| {
        let left = bytes.checked_sub(text_bytes(&field))?;
        let lengths = left.saturating_sub(10)..left;
        lengths.map(text).find(|value| text_bytes(value) == left).map(|value| (field, value))
    })
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Stream, RdbError> {
    let mut entries = BTreeMap::new();
    let mut nodes = Vec::new();
    for _ in 0..reader.length()? {
        let key = reader.string()?;
        let first_id = <[u8; 16]>::try_from(&*key)
            .map_err(|_| reader.corrupt("Stream node key entry is not the size of a stream ID"))?;
        let bytes = reader.string()?;
        let listpack = Listpack::open(&bytes, reader.position())?;
        let node = read_node(listpack, id_of(first_id), bytes.len(), &mut entries)?;
        if nodes.last().is_some_and(|before: &Node| before.last_id >= node.first_id) {
            return Err(reader.corrupt("Stream nodes are not in order"));
        }
        nodes.push(node);
    }
    let length = reader.length()?;
    let last_id = read_id(reader)?;
    let _first_id = read_id(reader)?;
    let max_deleted_id = read_id(reader)?;
    let entries_added = reader.length()?;
    let is_consistent =
        length == entries.len() as u64 && entries.last_key_value().is_none_or(|(id, _)| *id <= last_id);
    if !is_consistent {
        return Err(reader.corrupt("Stream length or last ID inconsistent with its entries"));
    }
    let mut log = Log::restored(entries, nodes.into());
    log.last_id = last_id;
    log.max_deleted_id = max_deleted_id;
    log.entries_added = entries_added;
    let mut groups = BTreeMap::new();
    for _ in 0..reader.length()? {
        let name = Blob::from(&*reader.string()?);
        let group = read_group(reader)?;
        if groups.insert(name, group).is_some() {
            return Err(reader.corrupt("Duplicated consumer group name"));
        }
    }
    Ok(Stream { log, groups })
}

fn read_id(reader: &mut Reader<'_>) -> Result<StreamId, RdbError> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

/// Reads a node; its entries that were not deleted go to `entries`.
fn read_node(
    mut listpack: Listpack<'_>,
    first_id: StreamId,
    bytes: usize,
    entries: &mut BTreeMap<StreamId, Fields>,
) -> Result<Node, RdbError> {
    let (live, dead) = (listpack.count()?, listpack.count()?);
    let mut fields = Vec::new();
    for _ in 0..listpack.count()? {
        fields.push(listpack.element()?.blob());
    }
    if listpack.integer()? != 0 {
        return Err(listpack.corrupt());
    }
    let mut node = Node { first_id, last_id: first_id, live: 0, dead: 0, bytes, fields: fields.into() };
    while let Some(flags) = listpack.next()? {
        let Element::Integer(flags) = flags else { return Err(listpack.corrupt()) };
        let (id, fields) = read_entry(&mut listpack, &node, flags & SAME_FIELDS != 0)?;
        node.last_id = node.last_id.max(id);
        if flags & DELETED != 0 {
            node.dead += 1;
            continue;
        }
        node.live += 1;
        if id < first_id || entries.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(listpack.corrupt());
        }
        entries.insert(id, fields);
    }
    if (node.live, node.dead) == (live, dead) && live + dead > 0 { Ok(node) } else { Err(listpack.corrupt()) }
}

/// Reads what follows an entry's marks.
fn read_entry(
    listpack: &mut Listpack<'_>,
    node: &Node,
    same_fields: bool,
) -> Result<(StreamId, Fields), RdbError> {
    let mut difference = || listpack.integer().map(i64::cast_unsigned);
    let id = StreamId {
        ms: node.first_id.ms.wrapping_add(difference()?),
        seq: node.first_id.seq.wrapping_add(difference()?),
    };
    let mut fields = Vec::new();
    let mut elements = 3;
    if same_fields {
        for name in &node.fields {
            fields.push((name.clone(), listpack.element()?.blob()));
        }
    } else {
        for _ in 0..listpack.count()? {
            fields.push((listpack.element()?.blob(), listpack.element()?.blob()));
        }
        elements += 1 + fields.len();
    }
    if listpack.count()? == elements + fields.len() {
        Ok((id, fields.into()))
    } else {
        Err(listpack.corrupt())
    }
}

fn read_group(reader: &mut Reader<'_>) -> Result<Group, RdbError> {
    let last_id = read_id(reader)?;
    let entries_read = reader.length()?.cast_signed();
    let mut unowned = BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = id_of(reader.array()?);
        let delivered_ms = u64::from_le_bytes(reader.array()?);
        let deliveries = reader.length()?;
        if unowned.insert(id, (delivered_ms, deliveries)).is_some() {
            return Err(reader.corrupt("Duplicated global PEL entry loading stream consumer group"));
        }
    }
    let entries_read = (entries_read != -1).then_some(entries_read);
    let mut group = Group { last_id, entries_read, ..Group::default() };
    for _ in 0..reader.length()? {
        let name = Blob::from(&*reader.string()?);
        let mut consumer = Consumer { seen_ms: u64::from_le_bytes(reader.array()?), ..Consumer::default() };
        for _ in 0..reader.length()? {
            let id = id_of(reader.array()?);
            let (delivered_ms, deliveries) = unowned
                .remove(&id)
                .ok_or_else(|| reader.corrupt("Consumer entry not found in group global PEL"))?;
            group.pending.insert(id, Pending { consumer: name.clone(), delivered_ms, deliveries });
            consumer.pending.insert(id);
        }
        if group.consumers.insert(name, consumer).is_some() {
            return Err(reader.corrupt("Duplicate stream consumer detected."));
        }
    }
    if unowned.is_empty() { Ok(group) } else { Err(reader.corrupt("Stream CG PEL entry without consumer")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{NextId, Trim, TrimTo};

    #[test]
    fn a_node_is_as_long_as_it_says_whatever_was_deleted() {
        let mut log = Log::default();
        let mut random = 1_u64;
        let mut draw = |bound: u64| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) % bound
        };
        let mut id = StreamId::MIN;
        for _ in 0..3000 {
            let (ms, seq) = if draw(3) == 0 {
                (id.ms + 1 + draw(9) * draw(100_000), draw(300))
            } else {
                (id.ms, id.seq + 1)
            };
            id = StreamId { ms, seq };
            let blob = |length: u64| Blob::from(vec![b'v'; length as usize]);
            let fields =
                (0..1 + draw(3)).map(|field| (blob(field + draw(2)), blob(draw(5) * draw(40)))).collect();
            log.add(NextId::Given(id), fields).expect("ids that rise");
            if draw(4) > 0 {
                let from_now = draw(40);
                let victim = log.iter().rev().nth(from_now as usize).map(|(id, _)| id);
                victim.map(|id| log.delete(id));
            }
        }
        log.trim(Trim { to: TrimTo::Length(log.len() - 50), approximate: false, limit: None });
        assert!(log.nodes().map(|node| node.dead).sum::<usize>() > 100);
        for node in log.nodes() {
            assert_eq!(node_listpack(&log, node).len(), node.bytes, "{node:?}");
        }
    }

    #[test]
    fn fields_of_all_sizes_can_be_made() {
        for bytes in 4..10_000 {
            let made = field_of(bytes).map(|(field, value)| text_bytes(&field) + text_bytes(&value));
            assert_eq!(made, Some(bytes));
        }
    }
}
