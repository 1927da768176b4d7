//! Sets of hash slots.

use std::fmt;

/// A hash slot: below [`SLOTS`].
pub type Slot = u16;

/// Number of hash slots of a cluster.
pub const SLOTS: Slot = 16_384;

/// The slot of a key: the CRC16 (XMODEM) of the part between the first `{` and the next `}` if there is something
/// in between, else of the whole key.
pub fn key_slot(key: &[u8]) -> Slot {
    redis_protocol::redis_keyslot(key)
}

const WORDS: usize = SLOTS as usize / 64;

/// A set of slots, one bit each: compared and combined 64 slots at a time.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    /// Bytes of a set on the wire: slot `n` is bit `n % 8` of byte `n / 8`.
    pub const WIRE_LENGTH: usize = SLOTS as usize / 8;

    /// Reads a set from its form on the wire.
    pub(super) fn from_wire(bytes: &[u8; Self::WIRE_LENGTH]) -> Self {
        let mut set = Self::default();
        for (word, bytes) in set.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        set
    }

    /// Appends the set in its form on the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for word in self.0.iter() {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Is the slot in the set? False for what is no slot.
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.get(usize::from(slot / 64)).is_some_and(|word| word & bit(slot) != 0)
    }

    /// Puts a slot in; true if it was not there. What is no slot is ignored.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let Some(word) = self.0.get_mut(usize::from(slot / 64)) else { return false };
        let before = *word;
        *word |= bit(slot);
        *word != before
    }

    /// Takes a slot out; true if it was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let Some(word) = self.0.get_mut(usize::from(slot / 64)) else { return false };
        let before = *word;
        *word &= !bit(slot);
        *word != before
    }

    /// Takes all slots out.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Number of slots in the set.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Is no slot in the set?
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The slots, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().enumerate().flat_map(|(place, word)| {
            let first = (place * 64) as Slot;
            let mut rest = *word;
            std::iter::from_fn(move || {
                let lowest = rest.trailing_zeros();
                // No bit is left when there are 64 zeros.
                (lowest < 64).then(|| {
                    rest &= rest - 1;
                    first + lowest as Slot
                })
            })
        })
    }

    /// The runs of neighbouring slots, first and last each, in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = (Slot, Slot)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let first = self.next(from, true)?;
            from = self.next(first, false).unwrap_or(SLOTS);
            Some((first, from - 1))
        })
    }

    /// The first slot at or after this one that is in the set, or the first that is not. Whole words at a time: clients
    /// ask for the ranges often, and these are long.
    fn next(&self, from: Slot, wanted: bool) -> Option<Slot> {
        let word_of = |place: usize| self.0.get(place).map(|word| if wanted { *word } else { !*word });
        let mut place = usize::from(from / 64);
        let mut word = word_of(place)? & (u64::MAX << (from % 64));
        while word == 0 {
            place += 1;
            word = word_of(place)?;
        }
        Some((place * 64) as Slot + word.trailing_zeros() as Slot)
    }

    /// Puts the slots of another set in.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine | theirs);
    }

    /// Takes the slots of another set out.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine & !theirs);
    }

    fn combine(&mut self, other: &Self, operation: impl Fn(u64, u64) -> u64) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine = operation(*mine, *theirs);
        }
    }

    /// The slots that are in this set and in another one.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.combine(other, |mine, theirs| mine & theirs);
        both
    }

    /// The slots of this set that are not in another one.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract(other);
        left
    }
}

fn bit(slot: Slot) -> u64 {
    1 << (slot % 64)
}

impl Default for SlotSet {
    /// The empty set.
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.ranges().map(|(first, last)| format!("{first}-{last}"));
        f.debug_set().entries(ranges).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_the_slots_of_the_specification() {
        assert_eq!(key_slot(b"123456789"), 0x31c3);
        assert_eq!(key_slot(b""), 0);
        assert_eq!(key_slot(b"foo"), 12_182);
        // Only the first pair of braces counts, and only if there is something in it.
        assert_eq!(key_slot(b"{user1000}.following"), key_slot(b"user1000"));
        assert_eq!(key_slot(b"foo{{bar}}zap"), key_slot(b"{bar"));
        assert_eq!(key_slot(b"foo{bar}{zap}"), key_slot(b"bar"));
        assert_ne!(key_slot(b"foo{}{bar}"), key_slot(b"bar"));
        assert_eq!(key_slot(b"foo{"), key_slot(b"foo{") % SLOTS);
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_in(
            slots in proptest::collection::btree_set(0..SLOTS, 0..300),
            taken in proptest::collection::btree_set(0..SLOTS, 0..300),
        ) {
            let mut set: SlotSet = slots.iter().copied().collect();
            prop_assert_eq!(set.len() as usize, slots.len());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), slots.iter().copied().collect::<Vec<_>>());
            let from_ranges = set.ranges().flat_map(|(first, last)| first..=last);
            prop_assert_eq!(from_ranges.collect::<Vec<_>>(), slots.iter().copied().collect::<Vec<_>>());
            let mut wire = Vec::new();
            set.write(&mut wire);
            for slot in 0..SLOTS {
                prop_assert_eq!(wire[usize::from(slot / 8)] >> (slot % 8) & 1 == 1, slots.contains(&slot));
            }
            prop_assert_eq!(&SlotSet::from_wire(wire[..].try_into().expect("2048 bytes")), &set);
            set.subtract(&taken.iter().copied().collect());
            prop_assert_eq!(
                set.iter().collect::<Vec<_>>(),
                slots.difference(&taken).copied().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        for (first, last) in
            [(0, SLOTS - 1), (0, 5460), (63, 64), (64, 127), (5461, 10_922), (SLOTS - 64, SLOTS - 1)]
        {
            let set: SlotSet = (first..=last).collect();
            assert_eq!(set.ranges().collect::<Vec<_>>(), [(first, last)]);
        }
        let set: SlotSet = (0..=100).chain(102..=200).collect();
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(0, 100), (102, 200)]);
    }

    #[test]
    fn what_is_no_slot_is_in_no_set() {
        let mut set = SlotSet::default();
        assert!(!set.insert(SLOTS));
        assert!(!set.contains(SLOTS));
        assert!(set.is_empty());
        assert!(set.insert(SLOTS - 1));
        assert!(!set.insert(SLOTS - 1));
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(SLOTS - 1, SLOTS - 1)]);
    }
}
