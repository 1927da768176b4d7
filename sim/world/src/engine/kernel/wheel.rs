//! A hierarchical timing wheel (Varghese, Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987) over the 64 bits
//! of a time in nanoseconds, six bits a level.
//!
//! An entry stands on the level of the highest six bits in which its time differs from the wheel's own; on the lowest
//! level a slot is one nanosecond. The next entry is in the first slot taken on the lowest level taken. The wheel
//! jumps to the earliest entry of that slot, and deals out the rest of the slot, each to a lower level: no empty tick
//! is ever visited. So an entry moves at most once a level, however many others wait.
//!
//! Order within an instant needs no sorting: slots keep the order in which entries were added, and a slot is dealt
//! out in that order before anything later can be added below it.
//!
//! Entries cannot be taken out; whoever gives them up says so by `is_live`, and they vanish when they are met.

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;
/// Emptied buffers of slots that are kept for others, and how many entries they may hold: an ordinary load costs no
/// allocations, and a peak holds no memory for ever.
const SPARE: usize = 64;
const SPARE_ENTRIES: usize = 256;

/// Something that is due at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<T> {
    pub(super) at_ns: u64,
    /// Counts entries; unique.
    pub(super) number: u64,
    pub(super) what: T,
}

/// See the module.
pub(super) struct Wheel<T> {
    now_ns: u64,
    slots: Vec<Vec<Entry<T>>>,
    /// By level, a bit for each slot with entries.
    taken: [u64; LEVELS],
    /// A bit for each level with entries.
    taken_levels: u32,
    /// What is due now, from `next_due` on.
    due: Vec<Entry<T>>,
    next_due: usize,
    count: usize,
    spare: Vec<Vec<Entry<T>>>,
}

impl<T> Default for Wheel<T> {
    /// An empty wheel, at time 0.
    fn default() -> Wheel<T> {
        Wheel {
            now_ns: 0,
            slots: (0..LEVELS * SLOTS).map(|_| Vec::new()).collect(),
            taken: [0; LEVELS],
            taken_levels: 0,
            due: Vec::new(),
            next_due: 0,
            count: 0,
            spare: Vec::new(),
        }
    }
}

impl<T: Copy> Wheel<T> {
    /// The time of the last entry.
    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// How many entries there are, those given up included.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds an entry that is due now or later, behind all others of its instant.
    #[inline]
    pub(super) fn add(&mut self, entry: Entry<T>) {
        self.count += 1;
        self.place(entry);
    }

    #[inline]
    fn place(&mut self, entry: Entry<T>) {
        // The lowest bit makes no difference to the level, and setting it spares the case of no difference.
        let level = ((entry.at_ns ^ self.now_ns) | 1).ilog2() / LEVEL_BITS;
        let slot = (entry.at_ns >> (level * LEVEL_BITS)) as usize % SLOTS;
        self.taken[level as usize] |= 1 << slot;
        self.taken_levels |= 1 << level;
        let entries = &mut self.slots[level as usize * SLOTS + slot];
        if entries.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *entries = spare;
        }
        entries.push(entry);
    }

    #[inline]
    fn recycle(&mut self, mut entries: Vec<Entry<T>>) {
        if self.spare.len() < SPARE && entries.capacity() <= SPARE_ENTRIES {
            entries.clear();
            self.spare.push(entries);
        }
    }

    /// Takes all entries of a slot.
    #[inline]
    fn empty(&mut self, level: usize, slot: usize) -> Vec<Entry<T>> {
        self.taken[level] &= !(1 << slot);
        if self.taken[level] == 0 {
            self.taken_levels &= !(1 << level);
        }
        std::mem::take(&mut self.slots[level * SLOTS + slot])
    }

    /// When the next entry is due; the wheel moves there.
    pub(super) fn next_time(&mut self, is_live: impl Fn(&Entry<T>) -> bool) -> Option<u64> {
        loop {
            while let Some(entry) = self.due.get(self.next_due) {
                if is_live(entry) {
                    return Some(self.now_ns);
                }
                self.next_due += 1;
                self.count -= 1;
            }
            if self.taken_levels == 0 {
                return None;
            }
            let level = self.taken_levels.trailing_zeros() as usize;
            let slot = self.taken[level].trailing_zeros() as usize;
            let mut entries = self.empty(level, slot);
            let all = entries.len();
            entries.retain(&is_live);
            self.count -= all - entries.len();
            self.start_due();
            if let Some(earliest_ns) = entries.iter().map(|entry| entry.at_ns).min() {
                self.now_ns = earliest_ns;
                for entry in entries.drain(..) {
                    if entry.at_ns == earliest_ns {
                        self.due.push(entry);
                    } else {
                        self.place(entry);
                    }
                }
            }
            self.recycle(entries);
        }
    }

    #[inline]
    fn start_due(&mut self) {
        self.due.clear();
        if self.due.capacity() > SPARE * SPARE_ENTRIES {
            self.due.shrink_to(SPARE_ENTRIES);
        }
        self.next_due = 0;
    }

    /// Takes the next entry that is due now.
    #[inline]
    pub(super) fn pop_due(&mut self, is_live: impl Fn(&Entry<T>) -> bool) -> Option<Entry<T>> {
        loop {
            while let Some(entry) = self.due.get(self.next_due) {
                self.next_due += 1;
                self.count -= 1;
                if is_live(entry) {
                    return Some(*entry);
                }
            }
            // What was added meanwhile for this very instant.
            let slot = self.now_ns as usize % SLOTS;
            if self.taken[0] & 1 << slot == 0 {
                return None;
            }
            let mut entries = self.empty(0, slot);
            self.start_due();
            self.due.append(&mut entries);
            self.recycle(entries);
        }
    }

    /// Lets go of all entries that were given up.
    pub(super) fn purge(&mut self, is_live: impl Fn(&Entry<T>) -> bool) {
        self.due.drain(..self.next_due);
        self.next_due = 0;
        for entries in self.slots.iter_mut().chain([&mut self.due]) {
            entries.retain(&is_live);
            entries.shrink_to(entries.len());
        }
        self.count = self.due.len();
        self.taken_levels = 0;
        for level in 0..LEVELS {
            self.taken[level] = 0;
            for slot in 0..SLOTS {
                let entries = &self.slots[level * SLOTS + slot];
                self.taken[level] |= u64::from(!entries.is_empty()) << slot;
                self.count += entries.len();
            }
            self.taken_levels |= u32::from(self.taken[level] != 0) << level;
        }
    }
}
