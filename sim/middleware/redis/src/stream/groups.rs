//! Groups of consumers: what was delivered to whom and is not acknowledged yet.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fields, Log, Stream, StreamId};
use crate::keyspace::Blob;

/// An entry that was delivered and is not acknowledged.
#[derive(Debug, Clone)]
pub struct Pending {
    /// To whom it was delivered last.
    pub consumer: Blob,
    /// When that was, in milliseconds since the Unix epoch.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A consumer of a group.
#[derive(Debug, Clone, Default)]
pub struct Consumer {
    /// When it asked for entries last, in milliseconds since the Unix epoch.
    pub(crate) seen_ms: u64,
    /// Invariant: the ids of the group's pending entries that belong to this consumer.
    pub(crate) pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// The entries that it did not acknowledge yet.
    pub fn pending(&self) -> impl Iterator<Item = StreamId> {
        self.pending.iter().copied()
    }
}

/// A group of consumers.
#[derive(Debug, Clone, Default)]
pub struct Group {
    pub(crate) last_id: StreamId,
    /// How many of all entries ever added were delivered, if that is known.
    pub(crate) entries_read: Option<i64>,
    pub(crate) pending: BTreeMap<StreamId, Pending>,
    pub(crate) consumers: BTreeMap<Blob, Consumer>,
}

/// How a claimed entry changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) delivered_ms: u64,
    /// Sets the number of deliveries; otherwise it grows if `counts`.
    pub(crate) deliveries: Option<u64>,
    pub(crate) counts: bool,
}

/// What a consumer reads: an entry without fields is one of its own that was deleted since.
pub(crate) type ReadOutcome = Vec<(StreamId, Option<Fields>)>;

impl Group {
    /// The highest id that was delivered.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// What is not acknowledged, lowest id first.
    pub fn pending(&self) -> impl Iterator<Item = (StreamId, &Pending)> {
        self.pending.iter().map(|(id, pending)| (*id, pending))
    }

    /// The consumers, by name.
    pub fn consumers(&self) -> impl Iterator<Item = (&[u8], &Consumer)> {
        self.consumers.iter().map(|(name, consumer)| (&**name, consumer))
    }

    /// Finds or makes a consumer that is seen now; returns its shared name.
    pub(crate) fn see(&mut self, name: &[u8], now_ms: u64) -> Blob {
        let known = self.consumers.get_key_value(name).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| Blob::from(name));
        self.consumers.entry(name.clone()).or_default().seen_ms = now_ms;
        name
    }

    /// Makes a consumer; false if there is one of that name.
    pub(crate) fn create_consumer(&mut self, name: &[u8], now_ms: u64) -> bool {
        let is_new = !self.consumers.contains_key(name);
        if is_new {
            self.see(name, now_ms);
        }
        is_new
    }

    /// Removes a consumer with all that it did not acknowledge; returns how much that was.
    pub(crate) fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(name)?;
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// An entry is no longer pending; false if it was not.
    pub(crate) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }

    /// Makes an entry pending for a consumer, whoever had it before.
    pub(crate) fn assign(&mut self, id: StreamId, name: &Blob, delivered_ms: u64, deliveries: u64) {
        let pending = Pending { consumer: name.clone(), delivered_ms, deliveries };
        if let Some(before) = self.pending.insert(id, pending)
            && let Some(consumer) = self.consumers.get_mut(&before.consumer)
        {
            consumer.pending.remove(&id);
        }
        if let Some(consumer) = self.consumers.get_mut(name) {
            consumer.pending.insert(id);
        }
    }

    /// Hands a pending entry to a consumer; one that is not pending counts as delivered once.
    pub(crate) fn claim(&mut self, id: StreamId, name: &Blob, claim: Claim) {
        let before = self.pending.get(&id).map_or(1, |pending| pending.deliveries);
        let counted = before.wrapping_add(u64::from(claim.counts));
        self.assign(id, name, claim.delivered_ms, claim.deliveries.unwrap_or(counted));
    }

    /// How many entries are still to be delivered, if that can be told.
    pub(crate) fn lag(&self, log: &Log) -> Option<i64> {
        let added = log.entries_added.cast_signed();
        if added == 0 {
            return Some(0);
        }
        match self.entries_read {
            Some(read) if !log.has_gaps_from(self.last_id) => Some(added.wrapping_sub(read)),
            _ => Some(added.wrapping_sub(log.added_up_to(self.last_id)?.cast_signed())),
        }
    }

    /// Notes that an entry is delivered for the first time.
    fn advance(&mut self, log: &Log, id: StreamId) {
        if id <= self.last_id {
            return;
        }
        self.entries_read = match self.entries_read {
            Some(read) if !log.has_gaps_from(id) => Some(read.wrapping_add(1)),
            read if log.entries_added == 0 => read,
            _ => log.added_up_to(id).map(u64::cast_signed),
        };
        self.last_id = id;
    }
}

impl Stream {
    /// Delivers up to `count` entries that the group has not seen yet.
    pub(crate) fn deliver(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        count: usize,
        acknowledged: bool,
        now_ms: u64,
    ) -> ReadOutcome {
        let (log, Some(group)) = (&self.log, self.groups.get_mut(group)) else { return Vec::new() };
        let name = group.see(consumer, now_ms);
        let Some(start) = group.last_id.next() else { return Vec::new() };
        let mut read = Vec::new();
        for (id, fields) in log.range(start, StreamId::MAX).take(count) {
            group.advance(log, id);
            if !acknowledged {
                group.assign(id, &name, now_ms, 1);
            }
            read.push((id, Some(fields.clone())));
        }
        read
    }

    /// Delivers up to `count` of the entries after an id again that the consumer did not acknowledge.
    pub(crate) fn redeliver(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        after: StreamId,
        count: usize,
        now_ms: u64,
    ) -> ReadOutcome {
        let (log, Some(group)) = (&self.log, self.groups.get_mut(group)) else { return Vec::new() };
        let name = group.see(consumer, now_ms);
        let (Some(start), Some(consumer)) = (after.next(), group.consumers.get(&name)) else {
            return Vec::new();
        };
        let mut read = Vec::new();
        for id in consumer.pending.range(start..).take(count) {
            let fields = log.get(*id).cloned();
            if fields.is_some()
                && let Some(pending) = group.pending.get_mut(id)
            {
                pending.delivered_ms = now_ms;
                pending.deliveries = pending.deliveries.wrapping_add(1);
            }
            read.push((*id, fields));
        }
        read
    }
}
