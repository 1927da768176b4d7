//! Values in numbered slots whose memory goes back when they are gone.
//!
//! Slots stand in chunks; a chunk without a value is freed, wherever it stands, so that a peak of a million tasks or
//! timers costs nothing once it is over. An index is reused as soon as its slot is free: who keeps one for long must
//! be able to tell by the value whether it is still the one meant.

/// Slots of a chunk: few enough that a handful of survivors pins little, enough that the allocator is rarely asked.
const CHUNK: usize = 256;
const BITS: u32 = CHUNK.trailing_zeros();
/// End of a list of free slots.
const NONE: u16 = u16::MAX;

enum Slot<T> {
    Used(T),
    Free { next: u16 },
}

struct Chunk<T> {
    slots: [Slot<T>; CHUNK],
    first_free: u16,
    used: u16,
}

impl<T> Chunk<T> {
    fn new() -> Box<Chunk<T>> {
        let next = |slot: usize| if slot + 1 < CHUNK { slot as u16 + 1 } else { NONE };
        let slots = std::array::from_fn(|slot| Slot::Free { next: next(slot) });
        Box::new(Chunk { slots, first_free: 0, used: 0 })
    }
}

/// See the module.
pub(crate) struct Slab<T> {
    chunks: Vec<Option<Box<Chunk<T>>>>,
    /// Every chunk that is not full, freed ones included, once; the last is filled next.
    open: Vec<u32>,
    /// The last chunk that became empty, kept so that a single value that comes and goes costs no allocation.
    spare: Option<Box<Chunk<T>>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new(), open: Vec::new(), spare: None }
    }
}

impl<T> Slab<T> {
    /// Puts a value into a free slot.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let number = match self.open.last() {
            Some(number) => *number,
            None => {
                let number = self.chunks.len() as u32;
                self.chunks.push(None);
                self.open.push(number);
                number
            }
        };
        let place = &mut self.chunks[number as usize];
        let chunk = place.get_or_insert_with(|| self.spare.take().unwrap_or_else(Chunk::new));
        let slot = chunk.first_free;
        let Slot::Free { next } = std::mem::replace(&mut chunk.slots[usize::from(slot)], Slot::Used(value))
        else {
            unreachable!("a free slot is free")
        };
        chunk.first_free = next;
        chunk.used += 1;
        if next == NONE {
            self.open.pop();
        }
        number << BITS | u32::from(slot)
    }

    /// Takes a value out.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let number = index >> BITS;
        let home = self.chunks.get_mut(number as usize)?;
        let chunk = home.as_mut()?;
        let slot = index as usize % CHUNK;
        let place = &mut chunk.slots[slot];
        if matches!(place, Slot::Free { .. }) {
            return None;
        }
        let free = Slot::Free { next: chunk.first_free };
        let Slot::Used(value) = std::mem::replace(place, free) else { return None };
        if chunk.first_free == NONE {
            self.open.push(number);
        }
        chunk.first_free = slot as u16;
        chunk.used -= 1;
        if chunk.used == 0 {
            self.spare = home.take();
        }
        Some(value)
    }

    /// The value in a slot.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get((index >> BITS) as usize)?.as_ref()?;
        match &chunk.slots[index as usize % CHUNK] {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// The value in a slot.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut((index >> BITS) as usize)?.as_mut()?;
        match &mut chunk.slots[index as usize % CHUNK] {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// All values, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let chunks = self.chunks.iter().enumerate();
        let slots = chunks.filter_map(|(number, chunk)| Some((number, chunk.as_ref()?)));
        slots.flat_map(|(number, chunk)| {
            chunk.slots.iter().enumerate().filter_map(move |(slot, content)| match content {
                Slot::Used(value) => Some(((number << BITS | slot) as u32, value)),
                Slot::Free { .. } => None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 0..3_000)) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            for (add, number) in steps {
                if add {
                    let index = slab.insert(number);
                    prop_assert_eq!(model.insert(index, number), None, "slot {} was taken", index);
                } else {
                    let key = model.keys().nth(usize::from(number) % model.len().max(1)).copied();
                    let index = key.unwrap_or(u32::from(number));
                    prop_assert_eq!(slab.remove(index), model.remove(&index));
                    prop_assert!(slab.get(index).is_none());
                }
            }
            let content: BTreeMap<u32, u16> = slab.iter().map(|(index, value)| (index, *value)).collect();
            prop_assert_eq!(content, model);
        }
    }

    #[test]
    fn chunks_without_values_are_freed() {
        let mut slab = Slab::default();
        let indices: Vec<u32> = (0..100_000).map(|number| slab.insert(number)).collect();
        for index in &indices[..99_999] {
            slab.remove(*index);
        }
        assert_eq!(slab.chunks.iter().flatten().count(), 1);
        assert_eq!(slab.get(indices[99_999]), Some(&99_999));
    }
}
