//! Keys that may go for want of memory.

use super::{Blob, Keyspace};
use crate::memory::Clock;

impl Keyspace {
    /// The clock by which uses of keys are noted.
    pub(crate) fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// The key that expires next.
    pub(crate) fn next_to_expire(&self) -> Option<Blob> {
        self.expiries.first().map(|(_, key)| key.clone())
    }

    /// Number of keys that may go for want of memory: all, or those that expire.
    pub(crate) fn candidates(&self, expiring: bool) -> usize {
        if expiring { self.expiries.len() } else { self.entries.len() }
    }

    /// One of them.
    pub(crate) fn candidate_at(&mut self, place: usize, expiring: bool) -> Option<Blob> {
        if !expiring {
            return self.at(place).map(|(key, _)| key.clone());
        }
        let expiries = &self.expiries;
        let by_place =
            self.by_place.get_or_insert_with(|| expiries.iter().map(|(_, key)| key.clone()).collect());
        by_place.get_index(place).cloned()
    }

    /// Is it one of them?
    pub(crate) fn is_candidate(&self, key: &[u8], expiring: bool) -> bool {
        self.entries.get(key).is_some_and(|entry| !expiring || entry.expires_ms.is_some())
    }

    /// How little a key is used, by what is noted of its uses.
    pub(crate) fn idleness(&self, key: &[u8]) -> u64 {
        self.entries.get(key).map_or(0, |entry| self.clock.idleness(&entry.usage))
    }
}
