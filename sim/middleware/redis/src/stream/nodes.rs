//! How Redis would store a stream: in nodes of up to a hundred entries or four kilobytes. Nothing of it is needed to
//! store one here, but approximate trimming removes whole nodes only, and `XINFO STREAM` counts them.

use super::StreamId;
use crate::{keyspace::Blob, number::parse_i64};

/// Default of `stream-node-max-entries`.
const MAX_ENTRIES: usize = 100;
/// Default of `stream-node-max-bytes`.
const MAX_BYTES: usize = 4096;
/// The header of an empty listpack and its end mark.
const EMPTY_BYTES: usize = 7;

/// A node: a listpack in Redis.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The id of the entry that it was made for; the others are stored as differences to it.
    pub(crate) first_id: StreamId,
    /// The id of its last entry, a deleted one included.
    pub(crate) last_id: StreamId,
    /// Entries that were not deleted.
    pub(crate) live: usize,
    /// Deleted entries keep their place.
    pub(crate) dead: usize,
    /// Its size, deleted entries included.
    pub(crate) bytes: usize,
    /// The fields of its first entry: entries with the same need not repeat them.
    pub(crate) fields: Box<[Blob]>,
}

impl Node {
    /// A node for a first entry, which is yet to be added.
    pub(super) fn new(id: StreamId, fields: &[(Blob, Blob)]) -> Self {
        let fields: Box<[Blob]> = fields.iter().map(|(field, _)| field.clone()).collect();
        let names: usize = fields.iter().map(|field| text_bytes(field)).sum();
        // Counts of live and of deleted entries, of fields, the fields, and a zero.
        let bytes = EMPTY_BYTES + 3 * number_bytes(0) + number_bytes(count(fields.len())) + names;
        Self { first_id: id, last_id: id, live: 0, dead: 0, bytes, fields }
    }

    /// Is there no more room for an entry?
    pub(super) fn is_full_for(&self, fields: &[(Blob, Blob)]) -> bool {
        let given: usize = fields.iter().map(|(field, value)| field.len() + value.len()).sum();
        self.bytes + given >= MAX_BYTES || self.live + self.dead >= MAX_ENTRIES
    }

    pub(super) fn add(&mut self, id: StreamId, fields: &[(Blob, Blob)]) {
        let same_fields = fields.len() == self.fields.len()
            && fields.iter().zip(&self.fields).all(|((field, _), first)| field == first);
        // Flags, both differences of the id, the values, the number of all these.
        let ms = id.ms.wrapping_sub(self.first_id.ms).cast_signed();
        let seq = id.seq.wrapping_sub(self.first_id.seq).cast_signed();
        let mut bytes = number_bytes(0) + number_bytes(ms) + number_bytes(seq);
        bytes += fields.iter().map(|(_, value)| text_bytes(value)).sum::<usize>();
        let mut elements = fields.len() + 3;
        if !same_fields {
            bytes += number_bytes(count(fields.len()));
            bytes += fields.iter().map(|(field, _)| text_bytes(field)).sum::<usize>();
            elements += fields.len() + 1;
        }
        self.bytes += bytes + number_bytes(count(elements));
        self.live += 1;
        self.last_id = id;
    }

    /// Marks live entries as deleted.
    pub(super) fn bury(&mut self, entries: usize) {
        self.live -= entries;
        self.dead += entries;
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Bytes of an integer in a listpack.
fn number_bytes(number: i64) -> usize {
    with_length(match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    })
}

/// Bytes of a text in a listpack; one that is an integer is stored as such.
pub(crate) fn text_bytes(text: &[u8]) -> usize {
    match (parse_i64(text), text.len()) {
        (Some(number), _) => number_bytes(number),
        (None, length @ ..64) => with_length(1 + length),
        (None, length @ ..4096) => with_length(2 + length),
        (None, length) => with_length(5 + length),
    }
}

/// An element with the length that follows it, from which a listpack is read backwards.
fn with_length(bytes: usize) -> usize {
    bytes
        + match bytes {
            0..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
}

/// The nodes of the radix tree that has these keys, which are in order: chains of bytes without a branch are one node.
pub(super) fn radix_nodes(ids: impl Iterator<Item = StreamId>) -> usize {
    let keys: Vec<[u8; 16]> =
        ids.map(|id| ((u128::from(id.ms) << 64) | u128::from(id.seq)).to_be_bytes()).collect();
    if keys.is_empty() { 1 } else { radix_nodes_below(&keys, 0) }
}

fn radix_nodes_below(keys: &[[u8; 16]], depth: usize) -> usize {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return 0 };
    if keys.len() == 1 {
        return if depth == first.len() { 1 } else { 2 };
    }
    let Some(branch) = (depth..first.len()).find(|at| first[*at] != last[*at]) else { return 1 };
    let chain = usize::from(branch > depth);
    let children = keys.chunk_by(|a, b| a[branch] == b[branch]);
    chain + 1 + children.map(|keys| radix_nodes_below(keys, branch + 1)).sum::<usize>()
}
