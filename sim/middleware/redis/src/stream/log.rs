//! The entries of a stream.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Fields, StreamId,
    nodes::{self, Node},
};
use crate::error::{ReplyError, fixed};

const EXHAUSTED: ReplyError =
    fixed("ERR The stream has exhausted the last possible ID, unable to add more items");
const NOT_GREATER: ReplyError =
    fixed("ERR The ID specified in XADD is equal or smaller than the target stream top item");
/// What Redis says when a millisecond has no number left: it leaves `errno` as it was, and any other than `EDOM`
/// stands for this text. Which one a real server happens to have cannot be known, so this is not compared.
const TOO_LARGE: ReplyError = fixed("ERR Elements are too large to be stored");

/// The id that an entry is to get.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NextId {
    /// From the clock: `*`.
    Clock(u64),
    /// Of a millisecond, with the next number: `ms-*`.
    Within(u64),
    /// This one.
    Given(StreamId),
}

/// What trimming is to leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TrimTo {
    Length(usize),
    /// The entries from this id on.
    Id(StreamId),
}

/// How to trim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trim {
    pub(crate) to: TrimTo,
    /// Removes only whole nodes of Redis's storage.
    pub(crate) approximate: bool,
    /// Removes at most so many entries.
    pub(crate) limit: Option<usize>,
}

/// The entries of a stream, and what it remembers of those that went.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: BTreeMap<StreamId, Fields>,
    /// Invariant: in the order of their ids; each entry is within one of them.
    nodes: VecDeque<Node>,
    pub(crate) last_id: StreamId,
    pub(crate) max_deleted_id: StreamId,
    pub(crate) entries_added: u64,
}

impl Log {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Are there no entries?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, lowest id first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (StreamId, &Fields)> {
        self.entries.iter().map(|(id, fields)| (*id, fields))
    }

    /// The fields of an entry.
    pub fn get(&self, id: StreamId) -> Option<&Fields> {
        self.entries.get(&id)
    }

    /// The highest id that an entry ever had.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The entries from one id to another, both included.
    pub(crate) fn range(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Fields)> {
        let range = (start <= end).then(|| self.entries.range(start..=end));
        range.into_iter().flatten().map(|(id, fields)| (*id, fields))
    }

    /// The id of the first entry; the lowest of all without any.
    pub(crate) fn first_id(&self) -> StreamId {
        self.entries.first_key_value().map_or(StreamId::MIN, |(id, _)| *id)
    }

    /// The id of the last entry that is still there.
    pub(crate) fn last_live_id(&self) -> Option<StreamId> {
        self.entries.last_key_value().map(|(id, _)| *id)
    }

    pub(crate) fn add(&mut self, id: NextId, fields: Fields) -> Result<StreamId, ReplyError> {
        let next = self.last_id.next().ok_or(EXHAUSTED)?;
        let id = match id {
            NextId::Clock(ms) if ms > self.last_id.ms => StreamId { ms, seq: 0 },
            NextId::Clock(_) => next,
            NextId::Within(ms) if ms != self.last_id.ms => StreamId { ms, seq: 0 },
            NextId::Within(ms) if ms != next.ms => return Err(TOO_LARGE),
            NextId::Within(_) => next,
            NextId::Given(id) => id,
        };
        if id <= self.last_id {
            return Err(NOT_GREATER);
        }
        if self.nodes.back().is_none_or(|node| node.is_full_for(&fields)) {
            self.nodes.push_back(Node::new(id, &fields));
        }
        if let Some(node) = self.nodes.back_mut() {
            node.add(id, &fields);
        }
        self.entries.insert(id, fields);
        self.last_id = id;
        self.entries_added = self.entries_added.wrapping_add(1);
        Ok(id)
    }

    /// Removes an entry; false if there was none.
    pub(crate) fn delete(&mut self, id: StreamId) -> bool {
        if self.entries.remove(&id).is_none() {
            return false;
        }
        let place = self.nodes.partition_point(|node| node.first_id <= id).wrapping_sub(1);
        if let Some(node) = self.nodes.get_mut(place) {
            node.bury(1);
            if node.live == 0 {
                self.nodes.remove(place);
            }
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// Removes entries from the start; returns how many.
    pub(crate) fn trim(&mut self, trim: Trim) -> usize {
        let before = self.entries.len();
        while let Some(node) = self.nodes.front() {
            let (live, last_id) = (node.live, node.last_id);
            let trimmed = before - self.entries.len();
            let is_done = matches!(trim.to, TrimTo::Length(length) if self.entries.len() <= length);
            if is_done || trim.limit.is_some_and(|limit| trimmed + live > limit) {
                break;
            }
            let goes = match trim.to {
                TrimTo::Length(length) => self.entries.len() - live >= length,
                TrimTo::Id(id) => last_id < id,
            };
            if goes {
                self.nodes.pop_front();
                self.take_while(|id, _| id <= last_id);
                continue;
            }
            if !trim.approximate {
                // A node of which something stays: what goes is only marked as deleted.
                let taken = match trim.to {
                    TrimTo::Length(length) => self.take_while(|_, left| left > length),
                    TrimTo::Id(end) => self.take_while(|id, _| id < end),
                };
                if let Some(node) = self.nodes.front_mut() {
                    node.bury(taken);
                }
            }
            break;
        }
        before - self.entries.len()
    }

    /// Removes entries from the start as long as their id, and the number of all that are left, are as wanted.
    fn take_while(&mut self, wanted: impl Fn(StreamId, usize) -> bool) -> usize {
        let before = self.entries.len();
        while let Some((id, _)) = self.entries.first_key_value()
            && wanted(*id, self.entries.len())
        {
            self.entries.pop_first();
        }
        before - self.entries.len()
    }

    /// A log with these entries, which are within these nodes, in order.
    pub(crate) fn restored(entries: BTreeMap<StreamId, Fields>, nodes: VecDeque<Node>) -> Self {
        Self { entries, nodes, ..Self::default() }
    }

    /// The nodes in which Redis would store the entries.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Number of nodes in which Redis would store the entries.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Number of nodes of the radix tree through which Redis would find those.
    pub(crate) fn radix_node_count(&self) -> usize {
        nodes::radix_nodes(self.nodes.iter().map(|node| node.first_id))
    }

    /// May an entry from this id on have been deleted? As far as the highest deleted id tells.
    pub(super) fn has_gaps_from(&self, start: StreamId) -> bool {
        !self.is_empty()
            && self.max_deleted_id != StreamId::MIN
            && self.first_id() <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    /// How many entries were ever added up to this id, if that can be told.
    pub(super) fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if id == self.last_id || (self.is_empty() && id < self.last_id) {
            return Some(self.entries_added);
        }
        let first_id = self.first_id();
        let is_whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < first_id;
        if id > self.last_id || id > first_id || !is_whole {
            return None;
        }
        let before_first = self.entries_added.wrapping_sub(self.entries.len() as u64);
        Some(if id == first_id { before_first.wrapping_add(1) } else { before_first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Blob;

    fn log(entries: u64) -> Log {
        let mut log = Log::default();
        for ms in 1..=entries {
            let fields: Fields = [(Blob::from(&b"f"[..]), Blob::from(&b"v"[..]))].into();
            log.add(NextId::Given(StreamId { ms, seq: 0 }), fields).expect("ids that rise");
        }
        log
    }

    #[test]
    fn approximate_trimming_removes_whole_nodes() {
        let mut log = log(250);
        assert_eq!(log.node_count(), 3);
        let trim = Trim { to: TrimTo::Length(60), approximate: true, limit: None };
        assert_eq!(log.trim(trim), 100);
        assert_eq!(log.trim(Trim { limit: Some(10), ..trim }), 0);
        assert_eq!(log.trim(Trim { approximate: false, ..trim }), 90);
        assert_eq!((log.len(), log.first_id().ms), (60, 191));
    }

    #[test]
    fn an_empty_stream_remembers_its_last_id() {
        let mut log = log(1);
        assert!(log.delete(StreamId { ms: 1, seq: 0 }));
        assert!(!log.delete(StreamId { ms: 1, seq: 0 }));
        assert_eq!((log.len(), log.node_count(), log.last_id().ms), (0, 0, 1));
        assert!(log.add(NextId::Given(StreamId { ms: 1, seq: 0 }), Fields::default()).is_err());
    }
}
