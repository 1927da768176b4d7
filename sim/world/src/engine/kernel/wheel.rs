//! A hierarchical timing wheel (Varghese, Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987) over the 64 bits
//! of a time in nanoseconds, six bits a level.
//!
//! An event stands on the level of the highest six bits in which its time differs from the wheel's own; on the
//! lowest level a slot is one nanosecond. The next event is in the first slot taken on the lowest level taken; if that
//! is not level 0, the wheel jumps to the earliest event of that slot and the slot's events are dealt out anew, each
//! to a lower level: no empty tick is ever visited. So an event moves at most once a level, however many others wait,
//! and adding or cancelling one touches only its neighbours in a linked list.
//!
//! Order within an instant needs no sorting: lists keep the order of scheduling, and a slot is dealt out in that
//! order before anything later can be added below it.

use super::slab::Slab;

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;
/// End of a list.
const NONE: u32 = u32::MAX;

/// What stands on a wheel.
pub(super) trait Timed {
    /// When it is due.
    fn at_ns(&self) -> u64;
    /// Its neighbours on the wheel.
    fn links(&mut self) -> &mut Links;
}

/// The neighbours of an event in its list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    previous: u32,
    next: u32,
}

impl Default for Links {
    fn default() -> Links {
        Links { previous: NONE, next: NONE }
    }
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

const EMPTY: List = List { first: NONE, last: NONE };

/// See the module. The events themselves live in a slab; all methods are given the same one.
pub(super) struct Wheel {
    now_ns: u64,
    lists: [[List; SLOTS]; LEVELS],
    /// A bit for each slot with events.
    taken: [u64; LEVELS],
    /// A bit for each level with events.
    taken_levels: u32,
}

impl Default for Wheel {
    /// An empty wheel, at time 0.
    fn default() -> Wheel {
        Wheel { now_ns: 0, lists: [[EMPTY; SLOTS]; LEVELS], taken: [0; LEVELS], taken_levels: 0 }
    }
}

impl Wheel {
    /// The time of the last event.
    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Level and slot of a time, as seen from now.
    #[inline]
    fn place(&self, at_ns: u64) -> (usize, usize) {
        // The lowest bit makes no difference to the level, and setting it spares the case of no difference.
        let level = ((at_ns ^ self.now_ns) | 1).ilog2() / LEVEL_BITS;
        (level as usize, (at_ns >> (level * LEVEL_BITS)) as usize % SLOTS)
    }

    /// Adds an event, behind all others of its instant.
    #[inline]
    pub(super) fn append<T: Timed>(&mut self, events: &mut Slab<T>, index: u32, at_ns: u64) {
        let (level, slot) = self.place(at_ns);
        let list = &mut self.lists[level][slot];
        let last = std::mem::replace(&mut list.last, index);
        if last == NONE {
            list.first = index;
            self.taken[level] |= 1 << slot;
            self.taken_levels |= 1 << level;
        } else {
            links(events, last).next = index;
        }
        *links(events, index) = Links { previous: last, next: NONE };
    }

    /// Takes an event off the wheel that was due then and had these neighbours.
    pub(super) fn unlink<T: Timed>(&mut self, events: &mut Slab<T>, at_ns: u64, neighbours: Links) {
        let (level, slot) = self.place(at_ns);
        match neighbours.previous {
            NONE => self.lists[level][slot].first = neighbours.next,
            previous => links(events, previous).next = neighbours.next,
        }
        match neighbours.next {
            NONE => self.lists[level][slot].last = neighbours.previous,
            next => links(events, next).previous = neighbours.previous,
        }
        if self.lists[level][slot].first == NONE {
            self.untake(level, slot);
        }
    }

    fn untake(&mut self, level: usize, slot: usize) {
        self.taken[level] &= !(1 << slot);
        if self.taken[level] == 0 {
            self.taken_levels &= !(1 << level);
        }
    }

    /// When the next event is due; the wheel moves there.
    pub(super) fn next_time<T: Timed>(&mut self, events: &mut Slab<T>) -> Option<u64> {
        if self.taken_levels == 0 {
            return None;
        }
        let level = self.taken_levels.trailing_zeros() as usize;
        let slot = self.taken[level].trailing_zeros() as usize;
        if level == 0 {
            self.now_ns = self.now_ns & !(SLOTS as u64 - 1) | slot as u64;
        } else {
            self.deal_out(events, level, slot);
        }
        Some(self.now_ns)
    }

    /// Jumps to the earliest event of a slot and deals its events out to the levels below.
    fn deal_out<T: Timed>(&mut self, events: &mut Slab<T>, level: usize, slot: usize) {
        let first = std::mem::replace(&mut self.lists[level][slot], EMPTY).first;
        self.untake(level, slot);
        let mut earliest_ns = event(events, first).at_ns();
        let mut index = event(events, first).links().next;
        while index != NONE {
            let event = event(events, index);
            earliest_ns = earliest_ns.min(event.at_ns());
            index = event.links().next;
        }
        self.now_ns = earliest_ns;
        let mut index = first;
        while index != NONE {
            let event = event(events, index);
            let (at_ns, next) = (event.at_ns(), event.links().next);
            self.append(events, index, at_ns);
            index = next;
        }
    }

    /// The first event that is due now.
    pub(super) fn first_due(&self) -> Option<u32> {
        let first = self.lists[0][self.now_ns as usize % SLOTS].first;
        (first != NONE).then_some(first)
    }
}

fn event<T: Timed>(events: &mut Slab<T>, index: u32) -> &mut T {
    events.get_mut(index).expect("lists hold events that exist")
}

fn links<T: Timed>(events: &mut Slab<T>, index: u32) -> &mut Links {
    event(events, index).links()
}
