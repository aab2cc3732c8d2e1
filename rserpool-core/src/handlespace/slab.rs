//! Elements by key: an index that is used again, and a generation that is not.

use alloc::vec::Vec;
use core::num::NonZeroU32;

/// Names an element of a handlespace from its registration until its removal, and never another one after that.
///
/// Its order is stable and the same for the same sequence of calls, but has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    index: u32,
    generation: NonZeroU32,
}

impl ElementKey {
    /// The place of the element, as [`Slab::key_at`] takes it.
    pub(super) const fn index(self) -> u32 {
        self.index
    }
}

#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<ElementKey>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
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
    pub(super) fn insert(&mut self, value: T) {
        let slot = |generation| Slot {
            generation,
            value: Some(value),
        };
        match self.free.pop() {
            Some(key) => self.slots[key.index as usize] = slot(key.generation),
            None => self.slots.push(slot(NonZeroU32::MIN)),
        }
        self.len += 1;
    }

    pub(super) fn get(&self, key: ElementKey) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == key.generation)
    }

    /// The value at a place that is taken, whatever its generation.
    pub(super) fn at(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    /// The key of a place that is taken.
    pub(super) fn key_at(&self, index: u32) -> ElementKey {
        let slot = self.slots.get(index as usize);
        let generation = slot.map_or(NonZeroU32::MIN, |slot| slot.generation);
        ElementKey { index, generation }
    }

    pub(super) fn get_mut(&mut self, key: ElementKey) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.value
            .as_mut()
            .filter(|_| slot.generation == key.generation)
    }

    pub(super) fn remove(&mut self, key: ElementKey) -> Option<T> {
        self.get(key)?;
        let value = self.slots.get_mut(key.index as usize)?.value.take();
        self.len -= 1;
        // A slot whose generations are used up is given up, so that no key is ever valid twice.
        if let Some(generation) = key.generation.checked_add(1) {
            self.free.push(ElementKey { generation, ..key });
        }
        value
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
        slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.vacant().unwrap();
        slab.insert('b');
        assert_eq!(first.index, second.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&'b'), 1));

        let last = ElementKey {
            generation: NonZeroU32::MAX,
            ..second
        };
        slab.slots[0].generation = NonZeroU32::MAX;
        assert_eq!(slab.remove(last), Some('b'));
        let other = slab.vacant().unwrap();
        assert_ne!(other.index, last.index, "the slot is given up");
    }
}
