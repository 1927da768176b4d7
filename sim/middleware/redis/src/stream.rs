//! Streams: entries in the order of their ids, and the groups of consumers that read them.

mod groups;
mod log;
mod nodes;

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::keyspace::Blob;

pub(crate) use groups::{Claim, ReadOutcome};
pub use groups::{Consumer, Group, Pending};
pub use log::Log;
pub(crate) use log::{NextId, Trim, TrimTo};
pub(crate) use nodes::{Node, text_bytes};

/// The fields of an entry with their values, in the order in which they were given.
pub type Fields = Arc<[(Blob, Blob)]>;

/// The id of an entry: milliseconds, and a number among those of the same millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since the Unix epoch, unless the client made it up.
    pub ms: u64,
    /// Counts within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Below all ids that an entry can have.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The highest of all ids.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The id that follows, unless this is the highest.
    pub(crate) fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id before, unless this is the lowest.
    pub(crate) fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A stream. Unlike the other aggregates it stays when its last entry goes.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    pub(crate) log: Log,
    pub(crate) groups: BTreeMap<Blob, Group>,
}

impl Stream {
    /// The entries.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The groups of consumers, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The group of a name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other_over_the_end_of_a_millisecond() {
        let last = StreamId { ms: 7, seq: u64::MAX };
        let first = StreamId { ms: 8, seq: 0 };
        assert_eq!(last.next(), Some(first));
        assert_eq!(first.previous(), Some(last));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(last.to_string(), "7-18446744073709551615");
    }
}
