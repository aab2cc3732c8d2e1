//! A hash table that grows a little at a time.
//!
//! ```text
//!   old     · · · · 5 6 7        each insertion moves the next few places from the old table to the new one,
//!   table   1 · 2 · 4 · 3 8 · ·  which is larger; whatever is looked for is looked for in both
//! ```
//!
//! A table that moves all that it holds when it grows takes a tenth of a second for a million of items, for which everybody else
//! has to wait.

use hashbrown::HashTable;

/// Items by a hash, which the caller computes. Everything is O(1).
#[derive(Clone, Debug)]
pub(crate) struct Hashed<T> {
    table: HashTable<T>,
    /// What has not moved yet, from the place `next` on.
    old: HashTable<T>,
    next: usize,
}

impl<T> Hashed<T> {
    /// How many places an insertion moves. All have moved before a quarter of the new table's room is taken.
    const MOVED: usize = 8;
    /// Small tables grow at once.
    const SMALL: usize = 1024;

    pub(crate) const fn new() -> Self {
        Self {
            table: HashTable::new(),
            old: HashTable::new(),
            next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len() + self.old.len()
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        match self.table.find(hash, &is_it) {
            None if self.is_moving() => self.old.find(hash, is_it),
            found => found,
        }
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let moving = self.is_moving();
        match self.table.find_mut(hash, &is_it) {
            None if moving => self.old.find_mut(hash, is_it),
            found => found,
        }
    }

    /// Adds an item that is not there; `hash_of` says the hash of those that have to move.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, item: T, hash_of: impl Fn(&T) -> u64) {
        let full = self.table.len() == self.table.capacity() && self.table.len() >= Self::SMALL;
        if full || self.is_moving() {
            self.grow(full, &hash_of);
        }
        self.table.insert_unique(hash, item, hash_of);
    }

    pub(crate) fn remove(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let moving = self.is_moving();
        let entry = match self.table.find_entry(hash, &is_it) {
            Err(_) if moving => self.old.find_entry(hash, is_it),
            found => found,
        };
        Some(entry.ok()?.remove().0)
    }

    #[inline]
    fn is_moving(&self) -> bool {
        !self.old.is_empty()
    }

    /// Begins with a new table where the one that is there is full, of items or of places that removed ones have left, and moves a
    /// few items to it.
    #[cold]
    fn grow(&mut self, full: bool, hash_of: &impl Fn(&T) -> u64) {
        if full && !self.is_moving() {
            let room = (2 * self.table.len()).max(self.table.num_buckets() / 2);
            self.old = core::mem::replace(&mut self.table, HashTable::with_capacity(room));
            self.next = 0;
        }
        for place in self.next..self.next + Self::MOVED {
            if let Ok(entry) = self.old.get_bucket_entry(place) {
                let (item, _) = entry.remove();
                self.table.insert_unique(hash_of(&item), item, hash_of);
            }
        }
        self.next += Self::MOVED;
        if !self.is_moving() {
            self.old = HashTable::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn hash(item: &u32) -> u64 {
        u64::from(*item).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn insert(real: &mut Hashed<u32>, item: u32) {
        real.insert(hash(&item), item, hash);
    }

    fn holds(real: &Hashed<u32>, item: u32) -> bool {
        real.find(hash(&item), |one| *one == item).is_some()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]
        #[test]
        fn as_a_set(steps in prop::collection::vec((0..40_000_u32, 0..3_000_u32, any::<bool>()), 0..20)) {
            let (mut real, mut model) = (Hashed::new(), BTreeSet::new());
            for (first, count, add) in steps {
                for item in first..first + count {
                    match add {
                        true if model.insert(item) => insert(&mut real, item),
                        true => {}
                        false => {
                            let removed = real.remove(hash(&item), |one| *one == item);
                            prop_assert_eq!(removed, model.remove(&item).then_some(item));
                        }
                    }
                }
                prop_assert_eq!(real.len(), model.len());
                prop_assert!((0..43_000).all(|item| holds(&real, item) == model.contains(&item)));
            }
        }
    }

    #[test]
    fn few_move_at_once() {
        let mut real = Hashed::new();
        let moved = core::cell::Cell::new(0_usize);
        let most = (0..100_000).map(|item| {
            moved.set(0);
            real.insert(hash(&item), item, |item| {
                moved.set(moved.get() + 1);
                hash(item)
            });
            moved.get()
        });
        assert!(most.max() <= Some(Hashed::<u32>::SMALL));
        assert!((0..100_000).all(|item| holds(&real, item)));
    }
}
