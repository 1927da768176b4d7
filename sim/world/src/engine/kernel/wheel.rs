//! A hierarchical timing wheel (Varghese, Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987) over the 64 bits
//! of a time in nanoseconds, six bits a level.
//!
//! An entry stands on the level of the highest six bits in which its time differs from the wheel's own; on the lowest
//! level a slot is one nanosecond. The next entries are in the first slot taken on the lowest level taken. If they are
//! few, they are sorted and become `near`, to which whatever is added before the slot's end is added in its place. If
//! they are many, the wheel jumps to the earliest, and deals out the rest, each to a lower level. So no empty tick is
//! ever visited, and an entry moves at most once a level, however many others wait.
//!
//! Entries of one instant keep the order in which they were added: slots do, and a slot is emptied before anything
//! later can be added below it.
//!
//! Entries cannot be taken out; whoever gives them up says so by `is_live`, and they vanish when they are met.

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;
/// Emptied buffers of slots that are kept for others, and how many entries they may hold: an ordinary load costs no
/// allocations, and a peak holds no memory for ever.
const SPARE: usize = 64;
const SPARE_ENTRIES: usize = 256;

/// So many entries of a slot are sorted rather than dealt out; and among so many is an entry inserted at most.
const SORTED: usize = 32;
const NEAR: usize = 128;
/// Entries of `near` that are over are cut off when there are more than these.
const OVER: usize = 1024;

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
    /// In order, from `next` on: everything that is due up to `near_last_ns`.
    near: Vec<Entry<T>>,
    next: usize,
    near_last_ns: u64,
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
            near: Vec::new(),
            next: 0,
            near_last_ns: 0,
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
        if entry.at_ns <= self.near_last_ns {
            self.add_near(entry);
        } else {
            self.place(entry);
        }
    }

    fn add_near(&mut self, entry: Entry<T>) {
        let waiting = &self.near[self.next..];
        let position = waiting.partition_point(|other| other.at_ns <= entry.at_ns);
        if position < waiting.len() && waiting.len() >= NEAR {
            self.spill();
            self.count -= 1;
            return self.add(entry);
        }
        if self.next > OVER {
            self.near.drain(..self.next);
            self.next = 0;
        }
        self.near.insert(self.next + position, entry);
    }

    /// Puts what is near, but not due now, back into slots; those of these times are empty so far.
    #[cold]
    fn spill(&mut self) {
        let later = self.near.partition_point(|entry| entry.at_ns <= self.now_ns);
        let spilled = self.near.split_off(later);
        self.near_last_ns = self.now_ns;
        for entry in &spilled {
            self.place(*entry);
        }
        self.recycle(spilled);
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
            while let Some(entry) = self.near.get(self.next) {
                if is_live(entry) {
                    self.now_ns = entry.at_ns;
                    return Some(self.now_ns);
                }
                self.next += 1;
                self.count -= 1;
            }
            if self.taken_levels == 0 {
                return None;
            }
            self.load(&is_live);
        }
    }

    /// Fills `near`, which is over, from the first slot.
    fn load(&mut self, is_live: impl Fn(&Entry<T>) -> bool) {
        let level = self.taken_levels.trailing_zeros() as usize;
        let slot = self.taken[level].trailing_zeros() as usize;
        let mut entries = self.empty(level, slot);
        let all = entries.len();
        entries.retain(is_live);
        self.count -= all - entries.len();
        let over = std::mem::take(&mut self.near);
        self.recycle(over);
        self.next = 0;
        let Some(first) = entries.first() else { return self.recycle(entries) };
        if entries.len() <= SORTED {
            // The bits below this level are the place within the slot.
            let within = (1_u64 << (level as u32 * LEVEL_BITS)) - 1;
            self.near_last_ns = first.at_ns | within;
            entries.sort_unstable_by_key(|entry| (entry.at_ns, entry.number));
            self.near = entries;
            return;
        }
        let earliest_ns = entries.iter().fold(u64::MAX, |earliest, entry| earliest.min(entry.at_ns));
        (self.now_ns, self.near_last_ns) = (earliest_ns, earliest_ns);
        for entry in &entries {
            if entry.at_ns == earliest_ns {
                self.near.push(*entry);
            } else {
                self.place(*entry);
            }
        }
        self.recycle(entries);
    }

    /// Takes the next entry that is due now.
    #[inline]
    pub(super) fn pop_due(&mut self, is_live: impl Fn(&Entry<T>) -> bool) -> Option<Entry<T>> {
        while let Some(entry) = self.near.get(self.next).filter(|entry| entry.at_ns == self.now_ns) {
            self.next += 1;
            self.count -= 1;
            if is_live(entry) {
                return Some(*entry);
            }
        }
        None
    }

    /// Lets go of all entries that were given up.
    pub(super) fn purge(&mut self, is_live: impl Fn(&Entry<T>) -> bool) {
        self.near.drain(..self.next);
        self.next = 0;
        for entries in self.slots.iter_mut().chain([&mut self.near]) {
            entries.retain(&is_live);
            entries.shrink_to(entries.len());
        }
        self.count = self.near.len();
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
