//! Keys that somebody waits for, and those of them that have become ready.

use super::{Blob, Keyspace, Set, Value};

/// What clients can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    List,
    SortedSet,
    Stream,
}

impl Awaited {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::List(_) => Some(Awaited::List),
            Value::SortedSet(_) => Some(Awaited::SortedSet),
            Value::Stream(_) => Some(Awaited::Stream),
            Value::String(_) | Value::Hash(_) | Value::Set(_) => None,
        }
    }
}

impl Keyspace {
    /// Somebody waits for keys to have a value of this kind.
    pub(crate) fn start_awaiting(&mut self, keys: &[Blob], kind: Awaited) {
        self.waiting[kind as usize] += 1;
        self.awaited.extend(keys.iter().cloned());
    }

    /// He does not any more; nobody waits for those of the keys that `is_left` says.
    pub(crate) fn stop_awaiting(&mut self, keys: &[Blob], kind: Awaited, is_left: impl Fn(&Blob) -> bool) {
        self.waiting[kind as usize] = self.waiting[kind as usize].saturating_sub(1);
        for key in keys.iter().filter(|key| is_left(key)) {
            self.awaited.remove(key);
        }
    }

    /// Tells those who wait for a key that something happened to it that those may wait for who wait for this kind.
    pub(crate) fn signal(&mut self, key: &[u8], kind: Awaited) {
        if self.waiting[kind as usize] > 0
            && let Some(key) = self.awaited.get(key)
        {
            self.ready.insert(key.clone());
        }
    }

    /// Tells them that the key has another value than before.
    pub(crate) fn signal_new(&mut self, key: &[u8]) {
        if !self.awaited.is_empty()
            && let Some(kind) = self.get(key).and_then(Awaited::of)
        {
            self.signal(key, kind);
        }
    }

    /// Is there a key that became ready?
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The keys that became ready since this was asked last; `None` if there are none.
    pub(crate) fn take_ready(&mut self) -> Option<Set> {
        Some(std::mem::take(&mut self.ready)).filter(|ready| !ready.is_empty())
    }
}
