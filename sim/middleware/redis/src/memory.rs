//! How much memory the data takes, and how often its keys are used.
//!
//! What a server uses is an estimate here, in the sizes that Redis's structures have: per key its bytes, the entry of
//! the dictionary, the object and the expiry; per value its bytes, and per element the bytes and the links around them.
//! A value of many elements is estimated from three of them (the first, the middle and the last), so that a change
//! costs the same however long a list is. Nothing else counts: not the connections and what is on its way to them, not
//! scripts, not the backlog of replication, and not the megabyte that a real server needs for itself.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::keyspace::{Blob, Value};

/// The entry of the dictionary, the object and the header of the key.
const KEY: usize = 24 + 16 + 9;
/// What an expiry adds: another entry.
pub(crate) const EXPIRY: usize = 32;
/// The header of an aggregate.
const AGGREGATE: usize = 64;
/// What is around the bytes of an element, or of a field and of its value.
const ELEMENT: usize = 11;
/// A member of a sorted set: the node of the skip list with its score, and the entry of the dictionary.
const MEMBER: usize = 72;
/// An entry of a stream, beside its fields.
const STREAM_ENTRY: usize = 24;

/// Bytes of a key with its value.
pub(crate) fn weigh(key: &[u8], value: &Value) -> usize {
    KEY + key.len()
        + match value {
            Value::String(bytes) => bytes.len() + 9,
            Value::Hash(hash) => {
                let pair = |(field, value): (&Blob, &Blob)| field.len() + value.len() + 2 * ELEMENT;
                sampled(hash.len(), |place| hash.get_index(place).map_or(0, pair))
            }
            Value::List(list) => sampled(list.len(), |place| list.get(place).map_or(0, element)),
            Value::Set(set) => sampled(set.len(), |place| set.get_index(place).map_or(0, element)),
            Value::SortedSet(set) => {
                sampled(set.len(), |place| set.member_at(place).map_or(0, |member| member.len() + MEMBER))
            }
            Value::Stream(stream) => {
                let fields = |entry: Option<(_, &crate::stream::Fields)>| {
                    let blobs = entry.into_iter().flat_map(|(_, fields)| fields.iter());
                    blobs.map(|(field, value)| field.len() + value.len() + 2 * ELEMENT).sum::<usize>()
                };
                let mut entries = stream.log.iter();
                let (first, last) = (fields(entries.next()), fields(entries.next_back()));
                AGGREGATE + stream.log.len() * (STREAM_ENTRY + first.max(last))
            }
        }
}

fn element(element: &Blob) -> usize {
    element.len() + ELEMENT
}

/// The size of all elements, from that of three.
fn sampled(count: usize, size: impl Fn(usize) -> usize) -> usize {
    let elements = match count {
        0 => 0,
        1..=3 => (0..count).map(size).sum(),
        _ => (size(0) + size(count / 2) + size(count - 1)) * count / 3,
    };
    AGGREGATE + elements
}

/// What is noted of each use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// When it was used last, in seconds.
    Recency,
    /// How often, on a logarithmic scale that time wears down.
    Frequency {
        /// How hard the scale is to climb.
        log_factor: u64,
        /// Minutes that take one off.
        decay_minutes: u64,
    },
}

/// When, or how often, a key was used: in the 24 bits that Redis has for both.
#[derive(Debug, Default)]
pub(crate) struct Usage(AtomicU32);

/// What uses are noted by.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) tracking: Tracking,
    now_s: u32,
    /// State of the generator that decides whether a frequency climbs.
    random: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { tracking: Tracking::Recency, now_s: 0, random: AtomicU64::new(0) }
    }
}

/// How often a new key counts as used.
const NEW: u32 = 5;

impl Clock {
    pub(crate) fn set(&mut self, now_ms: u64) {
        // What is left of the upper bits is of no meaning: only differences count.
        self.now_s = (now_ms / 1000) as u32;
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random = AtomicU64::new(seed);
    }

    /// The usage of a key that has just come.
    pub(crate) fn new_usage(&self) -> Usage {
        Usage(AtomicU32::new(match self.tracking {
            Tracking::Recency => self.now_s,
            Tracking::Frequency { .. } => self.minutes() << 8 | NEW,
        }))
    }

    fn minutes(&self) -> u32 {
        (self.now_s / 60) & 0xffff
    }

    /// Notes that a key is used.
    pub(crate) fn note(&self, usage: &Usage) {
        match self.tracking {
            Tracking::Recency => usage.0.store(self.now_s, Relaxed),
            Tracking::Frequency { log_factor, decay_minutes } => {
                let counter = self.decayed(usage, decay_minutes);
                let counter = if self.climbs(counter, log_factor) { counter + 1 } else { counter };
                usage.0.store(self.minutes() << 8 | counter, Relaxed);
            }
        }
    }

    fn climbs(&self, counter: u32, log_factor: u64) -> bool {
        if counter >= 255 {
            return false;
        }
        let chance = 1.0 / (f64::from(counter.saturating_sub(NEW)) * log_factor as f64 + 1.0);
        let drawn = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (drawn ^ (drawn >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed >> 11) as f64) < chance * (1u64 << 53) as f64
    }

    /// The frequency that is left after what time took.
    fn decayed(&self, usage: &Usage, decay_minutes: u64) -> u32 {
        let noted = usage.0.load(Relaxed);
        let (then, counter) = ((noted >> 8) & 0xffff, noted & 0xff);
        let elapsed = self.minutes().wrapping_sub(then) & 0xffff;
        let periods = u64::from(elapsed).checked_div(decay_minutes).unwrap_or(0);
        counter.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX))
    }

    /// How good a victim a key is: the higher, the less it was used.
    pub(crate) fn idleness(&self, usage: &Usage) -> u64 {
        match self.tracking {
            Tracking::Recency => u64::from(self.now_s.saturating_sub(usage.0.load(Relaxed))),
            Tracking::Frequency { decay_minutes, .. } => u64::from(255 - self.decayed(usage, decay_minutes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::List;

    #[test]
    fn weight_grows_with_what_is_there() {
        let list =
            |count: usize| Value::List((0..count).map(|_| Blob::from(&b"0123456789"[..])).collect::<List>());
        let [one, ten, thousand] = [1, 10, 1000].map(|count| weigh(b"k", &list(count)));
        assert_eq!((ten - one, thousand - one), (9 * 21, 999 * 21));
        assert!(weigh(b"k", &Value::String(vec![0; 100])) < weigh(b"kk", &Value::String(vec![0; 100])));
    }

    #[test]
    fn frequency_climbs_slowly_and_wears_off() {
        let tracking = Tracking::Frequency { log_factor: 10, decay_minutes: 1 };
        let mut clock = Clock { tracking, ..Clock::default() };
        clock.set(60_000_000);
        let usage = clock.new_usage();
        let start = clock.idleness(&usage);
        for _ in 0..1000 {
            clock.note(&usage);
        }
        let used = clock.idleness(&usage);
        assert!(start - used > 5 && start - used < 40, "{used} from {start}");
        clock.set(60_000_000 + 60_000 * 300);
        assert_eq!(clock.idleness(&usage), 255);
    }
}
