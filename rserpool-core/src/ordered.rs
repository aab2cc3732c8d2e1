//! A sorted map of small values, in blocks.
//!
//! ```text
//!   blocks   first key   items, sorted                      at most as many as fit into 2 KiB
//!            10          10 12 15 ··
//!            20          20 21 22 29 ·                      a full block is halved,
//!            31          31 40 ····                         one that is nearly empty joins another
//! ```
//!
//! A search looks at the first keys and then into one block, so that with a million of items it reads from memory what a tree
//! of small nodes reads from it twice as often; and items that follow each other are beside each other.

use alloc::vec::Vec;

use smallvec::SmallVec;

/// A map from keys to values. Searches are O(log n). Adding and removing moves items of one block, and one block in a hundred
/// calls or so comes or goes, for which the list of blocks is moved: n/128 places of 40 bytes or less.
#[derive(Clone, Debug)]
pub(crate) struct Ordered<K, V> {
    /// None of them is empty.
    blocks: SmallVec<[Block<K, V>; 1]>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Block<K, V> {
    first: K,
    items: Vec<(K, V)>,
}

impl<K: Ord + Copy, V: Copy> Ordered<K, V> {
    /// How many items a block has at most.
    const FULL: usize = 2048 / size_of::<(K, V)>();

    pub(crate) fn new() -> Self {
        Self {
            blocks: SmallVec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an item; where one with this key is there, nothing changes, and its value is the answer.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (number, place) = self.place(key);
        match place {
            Ok(index) => Some(self.blocks[number].items[index].1),
            Err(index) => {
                self.insert_at(number, index, (key, value));
                None
            }
        }
    }

    fn insert_at(&mut self, mut number: usize, mut index: usize, item: (K, V)) {
        self.len += 1;
        let last = self.blocks.len() <= number + 1;
        let Some(block) = self.blocks.get_mut(number) else {
            return self.add_block(number, alloc::vec![item]);
        };
        if block.items.len() == Self::FULL {
            // Those that come in their order leave full blocks behind.
            if last && index == Self::FULL {
                return self.add_block(number + 1, alloc::vec![item]);
            }
            let middle = Self::FULL / 2;
            let mut upper = Vec::with_capacity(Self::FULL);
            upper.extend(block.items.drain(middle..));
            self.add_block(number + 1, upper);
            if index > middle {
                (number, index) = (number + 1, index - middle);
            }
        }
        let block = &mut self.blocks[number];
        block.items.insert(index, item);
        block.first = block.items[0].0;
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (number, place) = self.place(key);
        let block = self.blocks.get_mut(number)?;
        let (_, value) = block.items.remove(place.ok()?);
        self.len -= 1;
        match block.items.first() {
            Some((first, _)) => block.first = *first,
            None => {
                self.blocks.remove(number);
                return Some(value);
            }
        }
        if block.items.len() < Self::FULL / 4 {
            self.join_next(number);
            self.join_next(number.saturating_sub(1));
        }
        Some(value)
    }

    /// The items with a key after `after`, or all, in the order of their keys.
    pub(crate) fn after(&self, after: Option<K>) -> Iter<'_, K, V> {
        let (number, index) = match after.map(|key| self.place(key)) {
            None => (0, 0),
            Some((number, Ok(index))) => (number, index + 1),
            Some((number, Err(index))) => (number, index),
        };
        let mut blocks = self.blocks.get(number..).unwrap_or(&[]).iter();
        let items = blocks.next().map_or(&[][..], |block| &block.items[index..]);
        Iter { items, blocks }
    }

    /// The number of the block that has the key or would have it, and where it is there or would be.
    fn place(&self, key: K) -> (usize, Result<usize, usize>) {
        let after = self.blocks.partition_point(|block| block.first <= key);
        let number = after.saturating_sub(1);
        let Some(block) = self.blocks.get(number) else {
            return (number, Err(0));
        };
        let index = block.items.partition_point(|(other, _)| *other < key);
        match block.items.get(index) {
            Some((other, _)) if *other == key => (number, Ok(index)),
            _ => (number, Err(index)),
        }
    }

    /// Adds a block that is not empty.
    fn add_block(&mut self, number: usize, items: Vec<(K, V)>) {
        let first = items[0].0;
        self.blocks.insert(number, Block { first, items });
    }

    /// Puts the next block's items into this one, where both together are not more than half a block.
    fn join_next(&mut self, number: usize) {
        let together = |pair: &[Block<K, V>]| pair[0].items.len() + pair[1].items.len();
        let pair = self.blocks.get(number..number + 2);
        if pair.is_some_and(|pair| together(pair) <= Self::FULL / 2) {
            let next = self.blocks.remove(number + 1);
            self.blocks[number].items.extend(next.items);
        }
    }
}

/// Items in the order of their keys.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a, K, V> {
    items: &'a [(K, V)],
    blocks: core::slice::Iter<'a, Block<K, V>>,
}

impl<K: Copy, V: Copy> Iter<'_, K, V> {
    /// The next item, which is still to come.
    pub(crate) fn peek(&mut self) -> Option<(K, V)> {
        while self.items.is_empty() {
            self.items = &self.blocks.next()?.items;
        }
        self.items.first().copied()
    }
}

impl<K: Copy, V: Copy> Iterator for Iter<'_, K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let item = self.peek()?;
        self.items = &self.items[1..];
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use core::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    fn check(real: &Ordered<u32, u32>, model: &BTreeMap<u32, u32>) {
        assert_eq!(
            (real.len(), real.is_empty()),
            (model.len(), model.is_empty())
        );
        let expected = || model.iter().map(|(key, value)| (*key, *value));
        assert!(real.after(None).eq(expected()));
        assert!(
            real.blocks
                .iter()
                .all(|block| block.first == block.items[0].0
                    && block.items.len() <= Ordered::<u32, u32>::FULL)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
        #[test]
        fn as_a_tree(
            keys in prop::collection::vec((0..4_000_u32, any::<bool>()), 0..3_000),
            ascending in 0..2_000_u32,
            places in prop::collection::vec(0..4_100_u32, 20),
        ) {
            let (mut real, mut model) = (Ordered::new(), BTreeMap::new());
            for key in 0..ascending {
                real.insert(key, key + 1);
                model.insert(key, key + 1);
            }
            check(&real, &model);
            for (value, (key, add)) in (0..).zip(keys) {
                if add {
                    let known = model.get(&key).copied();
                    prop_assert_eq!(real.insert(key, value), known);
                    model.entry(key).or_insert(value);
                } else {
                    prop_assert_eq!(real.remove(key), model.remove(&key));
                }
            }
            check(&real, &model);
            for place in places {
                let after = model.range((Bound::Excluded(place), Bound::Unbounded));
                prop_assert!(real.after(Some(place)).eq(after.map(|(key, value)| (*key, *value))));
            }
            while let Some((key, value)) = model.pop_first() {
                prop_assert_eq!(real.remove(key), Some(value));
                prop_assert_eq!(real.remove(key), None);
            }
            check(&real, &model);
        }
    }

    #[test]
    fn blocks_are_well_filled() {
        let full = Ordered::<u32, u32>::FULL;
        let mut ordered = Ordered::new();
        (0..100_000).for_each(|key| assert_eq!(ordered.insert(key, key), None));
        assert_eq!(ordered.blocks.len(), 100_000_usize.div_ceil(full));
        for key in 0..100_000_u32 {
            if !key.is_multiple_of(50) {
                ordered.remove(key);
            }
        }
        assert!(ordered.blocks.len() <= 2_000 * 8 / full);
    }
}
