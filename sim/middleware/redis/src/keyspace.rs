//! The keys and their values, when they expire, who watches them, and what changed.
//!
//! - `ready`: keys that somebody waits for.
//! - `candidates`: keys that may go for want of memory.

mod candidates;
mod ready;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;

pub(crate) use self::ready::Awaited;

use crate::{
    error::{ReplyError, WRONG_TYPE},
    memory::{Clock, EXPIRY, Usage, weigh},
    sorted_set::SortedSet,
    stream::Stream,
};

/// Bytes that several owners share: keys, fields, members, elements.
pub type Blob = Arc<[u8]>;

/// A hash: fields in the order in which they came (a deletion moves the last field into the gap).
pub type Hash = IndexMap<Blob, Blob, FxBuildHasher>;
/// A list, left end first.
pub type List = VecDeque<Blob>;
/// A set: members in the order in which they came (a deletion moves the last member into the gap).
pub type Set = IndexSet<Blob, FxBuildHasher>;

/// A value. Aggregates are never empty, except streams: the key goes with the last element.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string of bytes.
    String(Vec<u8>),
    /// Fields with values.
    Hash(Hash),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    SortedSet(SortedSet),
    /// A stream.
    Stream(Stream),
}

impl Value {
    /// The name of the type, as the `TYPE` command gives it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::SortedSet(_) => "zset",
            Value::Stream(_) => "stream",
        }
    }

    /// The bytes, if it is a string.
    pub fn as_string(&self) -> Option<&[u8]> {
        if let Value::String(bytes) = self { Some(bytes) } else { None }
    }

    /// The fields, if it is a hash.
    pub fn as_hash(&self) -> Option<&Hash> {
        Hash::of(self)
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&List> {
        List::of(self)
    }

    /// The set, if it is one.
    pub fn as_set(&self) -> Option<&Set> {
        Set::of(self)
    }

    /// The sorted set, if it is one.
    pub fn as_sorted_set(&self) -> Option<&SortedSet> {
        SortedSet::of(self)
    }

    /// The stream, if it is one.
    pub fn as_stream(&self) -> Option<&Stream> {
        Stream::of(self)
    }
}

/// A type of value that a command works on.
pub(crate) trait Kind: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
    /// Does the key go when the value is in this state?
    fn is_gone(&self) -> bool;
}

macro_rules! kind {
    ($type:ty, $variant:ident, $is_gone:expr) => {
        impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn wrap(self) -> Value {
                Value::$variant(self)
            }
            fn is_gone(&self) -> bool {
                let is_gone: fn(&$type) -> bool = $is_gone;
                is_gone(self)
            }
        }
    };
}

kind!(Vec<u8>, String, |_| false);
kind!(Hash, Hash, Hash::is_empty);
kind!(List, List, List::is_empty);
kind!(Set, Set, Set::is_empty);
kind!(SortedSet, SortedSet, SortedSet::is_empty);
kind!(Stream, Stream, |_| false);

/// What becomes of a key's expiry when its value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Keep,
    Never,
    /// Milliseconds since the Unix epoch.
    At(u64),
}

#[derive(Debug)]
struct Entry {
    value: Value,
    expires_ms: Option<u64>,
    /// What it was weighed at last.
    bytes: usize,
    usage: Usage,
}

#[derive(Debug)]
struct Watch {
    watchers: usize,
    version: u64,
}

/// All keys with their values.
#[derive(Debug, Default)]
pub struct Keyspace {
    entries: IndexMap<Blob, Entry, FxBuildHasher>,
    /// Every key that expires, soonest first. Invariant: one element per entry with an `expires_ms`.
    expiries: BTreeSet<(u64, Blob)>,
    /// Versions of the keys that at least one connection watches.
    watched: BTreeMap<Blob, Watch>,
    /// Keys that changed since the observer was told last.
    changed: Set,
    pub(crate) record_changes: bool,
    /// Grows with every change.
    revision: u64,
    /// What it was when [`Keyspace::take_changes`] was called last.
    seen_revision: u64,
    /// On a replica: keys whose time has come, until the master says that they are gone.
    hidden: BTreeMap<Blob, Entry>,
    /// Bytes of all entries and expiries.
    used: usize,
    clock: Clock,
    /// Keys that were looked for, found and not found.
    hits: AtomicU64,
    misses: AtomicU64,
    /// The keys that expire, once one of them was to be chosen by its place.
    by_place: Option<Set>,
    /// Keys that clients wait for, and how many clients wait for each kind of value.
    awaited: BTreeSet<Blob>,
    waiting: [usize; 3],
    /// Those of them that have become ready, in the order in which they did.
    ready: Set,
}

impl Keyspace {
    /// The value of a key. A key whose time has come is still seen here until it is removed, which happens before
    /// the next command at the latest.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// When a key expires, in milliseconds since the Unix epoch.
    pub fn expires_ms(&self, key: &[u8]) -> Option<u64> {
        self.entries.get(key).and_then(|entry| entry.expires_ms)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of keys that expire.
    pub(crate) fn expiring(&self) -> usize {
        self.expiries.len()
    }

    /// Are there no keys?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys with their values, in an order that depends only on the history of commands.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.entries.iter().map(|(key, entry)| (&**key, &entry.value))
    }

    /// The key at a position: what a cursor or a random choice points at.
    pub(crate) fn at(&self, index: usize) -> Option<(&Blob, &Value)> {
        self.entries.get_index(index).map(|(key, entry)| (key, &entry.value))
    }

    /// The value of a key as one type, for a command that only reads.
    pub(crate) fn read<T: Kind>(&self, key: &[u8]) -> Result<Option<&T>, ReplyError> {
        match self.entries.get(key) {
            None => {
                count(&self.misses);
                Ok(None)
            }
            Some(entry) => {
                count(&self.hits);
                self.clock.note(&entry.usage);
                T::of(&entry.value).map(Some).ok_or(WRONG_TYPE)
            }
        }
    }

    /// Edits a value that exists (`None` otherwise). `edit` says what came out and whether anything changed.
    pub(crate) fn edit<T: Kind, R>(
        &mut self,
        key: &[u8],
        edit: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<Option<R>, ReplyError> {
        let Some(entry) = self.entries.get_mut(key) else { return Ok(None) };
        let value = T::of_mut(&mut entry.value).ok_or(WRONG_TYPE)?;
        self.clock.note(&entry.usage);
        let (result, changed) = edit(value);
        if value.is_gone() {
            self.remove(key);
            return Ok(Some(result));
        }
        let bytes = weigh(key, &entry.value);
        self.used = (self.used + bytes).saturating_sub(entry.bytes);
        entry.bytes = bytes;
        if changed {
            self.touch(key);
        }
        Ok(Some(result))
    }

    /// Edits a value, an empty one if there is none. `edit` says what came out and whether anything changed.
    pub(crate) fn edit_or_create<T: Kind, R>(
        &mut self,
        key: &[u8],
        edit: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<R, ReplyError> {
        if self.entries.contains_key(key) {
            // Only a missing key gives none.
            return self.edit(key, edit).and_then(|result| result.ok_or(WRONG_TYPE));
        }
        let mut value = T::default();
        let (result, changed) = edit(&mut value);
        if changed && !value.is_gone() {
            self.set(key, value.wrap(), Expiry::Never);
        }
        Ok(result)
    }

    /// Edits a value, an empty one if there is none, which stays even if `edit` says that nothing changed. (Then
    /// nobody is told of it, as in Redis.)
    pub(crate) fn edit_or_insert<T: Kind, R>(
        &mut self,
        key: &[u8],
        edit: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<R, ReplyError> {
        if !self.entries.contains_key(key) {
            let empty = self.entry(key, T::default().wrap());
            self.entries.insert(Blob::from(key), empty);
            self.signal_new(key);
        }
        // Only a missing key gives none.
        self.edit(key, edit).and_then(|result| result.ok_or(WRONG_TYPE))
    }

    /// Replaces a value of whatever type.
    pub(crate) fn set(&mut self, key: &[u8], value: Value, expiry: Expiry) {
        let index = match self.entries.get_full_mut(key) {
            Some((index, _, entry)) => {
                // Those who read a stream for a group are to hear that it is gone; nobody else is told, as in Redis.
                let was_stream = matches!(entry.value, Value::Stream(_));
                let bytes = weigh(key, &value);
                self.used = (self.used + bytes).saturating_sub(entry.bytes);
                entry.bytes = bytes;
                entry.value = value;
                self.clock.note(&entry.usage);
                if was_stream {
                    self.signal(key, Awaited::Stream);
                }
                index
            }
            None => {
                if let Some(kind) = Awaited::of(&value) {
                    self.signal(key, kind);
                }
                let entry = self.entry(key, value);
                self.entries.insert_full(Blob::from(key), entry).0
            }
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => self.set_expiry_at(index, None),
            Expiry::At(ms) => self.set_expiry_at(index, Some(ms)),
        }
        if let Some(key) = self.entries.get_index(index).map(|(key, _)| key.clone()) {
            self.touch_blob(key);
        }
    }

    /// The entry of a new key.
    fn entry(&mut self, key: &[u8], value: Value) -> Entry {
        let bytes = weigh(key, &value);
        self.used += bytes;
        Entry { value, expires_ms: None, bytes, usage: self.clock.new_usage() }
    }

    /// Sets when an existing key expires. Does not count as a change of the value: see [`Keyspace::touch`].
    pub(crate) fn set_expiry(&mut self, key: &[u8], expires_ms: Option<u64>) {
        if let Some(index) = self.entries.get_index_of(key) {
            self.set_expiry_at(index, expires_ms);
        }
    }

    fn set_expiry_at(&mut self, index: usize, expires_ms: Option<u64>) {
        let Some((key, entry)) = self.entries.get_index_mut(index) else { return };
        if entry.expires_ms == expires_ms {
            return;
        }
        let key = key.clone();
        if let Some(old) = std::mem::replace(&mut entry.expires_ms, expires_ms) {
            self.forget_expiry(old, &key);
        }
        if let Some(new) = expires_ms {
            self.note_expiry(new, key);
        }
    }

    fn note_expiry(&mut self, expires_ms: u64, key: Blob) {
        self.used += EXPIRY;
        if let Some(by_place) = &mut self.by_place {
            by_place.insert(key.clone());
        }
        self.expiries.insert((expires_ms, key));
    }

    fn forget_expiry(&mut self, expires_ms: u64, key: &Blob) {
        self.used = self.used.saturating_sub(EXPIRY);
        if let Some(by_place) = &mut self.by_place {
            by_place.swap_remove(key);
        }
        self.expiries.remove(&(expires_ms, key.clone()));
    }

    /// Removes a key; false if there was none.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        self.take(key).is_some()
    }

    /// Removes a key and returns what it had.
    pub(crate) fn take(&mut self, key: &[u8]) -> Option<(Value, Option<u64>)> {
        let (key, entry) = self.take_entry(key)?;
        if matches!(entry.value, Value::Stream(_)) {
            self.signal(&key, Awaited::Stream);
        }
        self.touch_blob(key);
        Some((entry.value, entry.expires_ms))
    }

    fn take_entry(&mut self, key: &[u8]) -> Option<(Blob, Entry)> {
        let (key, entry) = self.entries.swap_remove_entry(key)?;
        self.used = self.used.saturating_sub(entry.bytes);
        if let Some(ms) = entry.expires_ms {
            self.forget_expiry(ms, &key);
        }
        Some((key, entry))
    }

    /// Puts other keys in the place of all that there are. Those who watch a key that was or is there, and the
    /// observer, are told.
    pub(crate) fn replace(&mut self, other: Keyspace) {
        self.clear();
        self.entries = other.entries;
        self.expiries = other.expiries;
        self.used = other.used;
        for entry in self.entries.values_mut() {
            entry.usage = self.clock.new_usage();
        }
        let keys: Vec<Blob> = self.entries.keys().cloned().collect();
        for key in keys {
            self.touch_blob(key);
        }
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        for (key, entry) in &entries {
            if matches!(entry.value, Value::Stream(_)) {
                self.signal(key, Awaited::Stream);
            }
        }
        let keys: Vec<Blob> = entries.into_keys().collect();
        self.expiries.clear();
        self.hidden.clear();
        self.by_place = None;
        self.used = 0;
        // Emptying what is empty is propagated too, as in Redis.
        self.revision += 1;
        for key in keys {
            self.touch_blob(key);
        }
    }

    /// Removes the keys whose time has come, so that no command ever sees one; tells of each.
    pub(crate) fn purge(&mut self, now_ms: u64, mut removed: impl FnMut(&[u8])) {
        while let Some((ms, key)) = self.expiries.first()
            && *ms < now_ms
        {
            let key = key.clone();
            self.remove(&key);
            removed(&key);
        }
    }

    /// On a replica, keys whose time has come are hidden from clients: only the master may remove them.
    pub(crate) fn hide_expired(&mut self, now_ms: u64) {
        while let Some((ms, key)) = self.expiries.first()
            && *ms < now_ms
        {
            let key = key.clone();
            if let Some((key, entry)) = self.take_entry(&key) {
                self.touch_blob(key.clone());
                self.hidden.insert(key, entry);
            }
        }
    }

    /// Is anything hidden?
    pub(crate) fn has_hidden(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Brings back what was hidden: the master's commands see it.
    pub(crate) fn reveal(&mut self) {
        for (key, entry) in std::mem::take(&mut self.hidden) {
            if let Some(ms) = entry.expires_ms {
                self.note_expiry(ms, key.clone());
            }
            self.used += entry.bytes;
            self.touch_blob(key.clone());
            self.entries.insert(key, entry);
        }
    }

    /// Number of changes since this was asked last.
    pub(crate) fn take_changes(&mut self) -> u64 {
        let seen = std::mem::replace(&mut self.seen_revision, self.revision);
        self.revision - seen
    }

    /// A number that grows with every change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// When the next key expires.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.expiries.first().map(|(ms, _)| *ms)
    }

    /// Notes that a key changed, for those who watch it and for the observer.
    pub(crate) fn touch(&mut self, key: &[u8]) {
        self.revision += 1;
        if self.record_changes || !self.watched.is_empty() {
            self.touch_blob(
                self.entries.get_key_value(key).map_or_else(|| Blob::from(key), |(key, _)| key.clone()),
            );
        }
    }

    /// Notes a change for the observer only: of what consumer groups do, Redis does not tell those who watch the key.
    pub(crate) fn note(&mut self, key: &[u8]) {
        self.revision += 1;
        if self.record_changes
            && let Some((key, _)) = self.entries.get_key_value(key)
        {
            self.changed.insert(key.clone());
        }
    }

    fn touch_blob(&mut self, key: Blob) {
        self.revision += 1;
        if !self.watched.is_empty()
            && let Some(watch) = self.watched.get_mut(&key)
        {
            watch.version += 1;
        }
        if self.record_changes {
            self.changed.insert(key);
        }
    }

    /// The keys that changed since [`Keyspace::forget_changes`], in the order in which they were first changed.
    pub(crate) fn changes(&self) -> &Set {
        &self.changed
    }

    /// Forgets what changed.
    pub(crate) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// How often a key was looked for and found, and how often not.
    pub(crate) fn lookups(&self) -> (u64, u64) {
        (self.hits.load(Relaxed), self.misses.load(Relaxed))
    }

    /// Counts lookups anew.
    pub(crate) fn forget_lookups(&mut self) {
        (self.hits, self.misses) = (AtomicU64::new(0), AtomicU64::new(0));
    }

    /// The middle between the next expiry and the last.
    pub(crate) fn middle_expiry_ms(&self) -> Option<u64> {
        let (first, last) = (self.expiries.first()?.0, self.expiries.last()?.0);
        Some(first + (last - first) / 2)
    }

    /// An estimate of the memory that the data takes, in bytes.
    pub fn used_memory(&self) -> usize {
        self.used
    }

    /// Starts to watch a key; returns its version.
    pub(crate) fn watch(&mut self, key: &Blob) -> u64 {
        let watch = self.watched.entry(key.clone()).or_insert(Watch { watchers: 0, version: 0 });
        watch.watchers += 1;
        watch.version
    }

    /// Did a watched key change since it had this version?
    pub(crate) fn is_changed_since(&self, key: &[u8], version: u64) -> bool {
        self.watched.get(key).is_none_or(|watch| watch.version != version)
    }

    /// Ends one watch on a key.
    pub(crate) fn unwatch(&mut self, key: &[u8]) {
        if let Some(watch) = self.watched.get_mut(key) {
            watch.watchers -= 1;
            if watch.watchers == 0 {
                self.watched.remove(key);
            }
        }
    }
}

/// Adds one. Whoever counts has the keyspace for itself, so nothing is lost.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}
