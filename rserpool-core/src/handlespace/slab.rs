//! Elements by key: an index that is used again, and a generation that is not.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::blocks::Blocks;

/// Names an element of a handlespace from its registration until its removal, and never another one after that.
///
/// Its order is stable and the same for the same sequence of calls, but has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    index: u32,
    generation: NonZeroU32,
}

impl ElementKey {
    /// The place of the element, as [`Slab::key_at`] takes it; not that of another one as long as it is there.
    pub(crate) const fn index(self) -> u32 {
        self.index
    }
}

#[derive(Debug)]
pub(super) struct Slab<T, N> {
    slots: Blocks<Slot<T, N>>,
    free: Vec<ElementKey>,
    len: usize,
}

/// A small note stands beside the value: within it, it would need the room of a larger one.
#[derive(Debug)]
struct Slot<T, N> {
    generation: NonZeroU32,
    note: N,
    value: Option<T>,
}

impl<T, N: Copy> Slab<T, N> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Blocks::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The key that the next value will have; `None` where 2^32 are there.
    pub(super) fn vacant(&self) -> Option<ElementKey> {
        if let Some(key) = self.free.last() {
            return Some(*key);
        }
        let index = u32::try_from(self.slots.len()).ok()?;
        Some(ElementKey {
            index,
            generation: NonZeroU32::MIN,
        })
    }

    /// Puts `value` where [`Self::vacant`] says.
    pub(super) fn insert(&mut self, value: T, note: N) {
        let slot = |generation| Slot {
            generation,
            note,
            value: Some(value),
        };
        match self.free.pop() {
            Some(key) => {
                if let Some(place) = self.slots.get_mut(key.index) {
                    *place = slot(key.generation);
                }
            }
            None => self.slots.push(slot(NonZeroU32::MIN)),
        }
        self.len += 1;
    }

    pub(super) fn get(&self, key: ElementKey) -> Option<&T> {
        self.get_with_note(key).map(|(value, _)| value)
    }

    pub(super) fn get_with_note(&self, key: ElementKey) -> Option<(&T, &N)> {
        let slot = self.slots.get(key.index)?;
        let value = slot.value.as_ref()?;
        (slot.generation == key.generation).then_some((value, &slot.note))
    }

    /// The value at a place that is taken, whatever its generation.
    pub(super) fn at(&self, index: u32) -> Option<&T> {
        self.slots.get(index)?.value.as_ref()
    }

    /// The key of a place that is taken.
    pub(super) fn key_at(&self, index: u32) -> ElementKey {
        let slot = self.slots.get(index);
        let generation = slot.map_or(NonZeroU32::MIN, |slot| slot.generation);
        ElementKey { index, generation }
    }

    /// The note at a place that is taken.
    pub(super) fn note_mut(&mut self, index: u32) -> Option<&mut N> {
        let slot = self.slots.get_mut(index)?;
        Some(&mut slot.note)
    }

    pub(super) fn note_at(&self, index: u32) -> Option<&N> {
        Some(&self.slots.get(index)?.note)
    }

    /// What is at a place that is taken, and its key.
    pub(super) fn at_mut(&mut self, index: u32) -> Option<(ElementKey, &mut T, &mut N)> {
        let slot = self.slots.get_mut(index)?;
        let generation = slot.generation;
        let key = ElementKey { index, generation };
        Some((key, slot.value.as_mut()?, &mut slot.note))
    }

    pub(super) fn get_mut(&mut self, key: ElementKey) -> Option<(&mut T, &mut N)> {
        let slot = self.slots.get_mut(key.index)?;
        let value = slot.value.as_mut()?;
        (slot.generation == key.generation).then_some((value, &mut slot.note))
    }

    pub(super) fn remove(&mut self, key: ElementKey) -> Option<(T, N)> {
        let slot = self.slots.get_mut(key.index)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        let note = slot.note;
        self.len -= 1;
        // A slot whose generations are used up is given up, so that no key is ever valid twice.
        if let Some(generation) = key.generation.checked_add(1) {
            self.free.push(ElementKey { generation, ..key });
        }
        Some((value, note))
    }

    /// All values, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_valid_twice() {
        let mut slab = Slab::new();
        let first = slab.vacant().unwrap();
        slab.insert('a', 1);
        assert_eq!(slab.remove(first), Some(('a', 1)));
        let second = slab.vacant().unwrap();
        slab.insert('b', 2);
        assert_eq!(first.index, second.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&'b'), 1));

        let last = ElementKey {
            generation: NonZeroU32::MAX,
            ..second
        };
        slab.slots.get_mut(0).unwrap().generation = NonZeroU32::MAX;
        assert_eq!(slab.remove(last), Some(('b', 2)));
        let other = slab.vacant().unwrap();
        assert_ne!(other.index, last.index, "the slot is given up");
    }
}
