//! A vector in blocks: what it holds stays where it is when it grows.
//!
//! A vector that grows moves all that it holds, and leaves room behind that is too small for the next one.

use alloc::vec::Vec;

/// Items by number. Adding one is O(1); once in a block the list of blocks may be moved, which is a small part of them.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<T> {
    /// All but the last one are full. The first one grows as a vector does, so that a few items need little.
    blocks: Vec<Vec<T>>,
}

impl<T> Blocks<T> {
    /// Blocks of 32 KiB or less: few enough for the list of them to stay in the cache.
    const SHIFT: u32 = (32_768 / size_of::<T>()).ilog2();
    const FULL: usize = 1 << Self::SHIFT;

    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        match self.blocks.last() {
            Some(last) => ((self.blocks.len() - 1) << Self::SHIFT) + last.len(),
            None => 0,
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.blocks
            .get(index >> Self::SHIFT)?
            .get(index & (Self::FULL - 1))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = index as usize;
        self.blocks
            .get_mut(index >> Self::SHIFT)?
            .get_mut(index & (Self::FULL - 1))
    }

    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        match self.blocks.last_mut() {
            Some(last) if last.len() < Self::FULL => last.push(item),
            _ => self.push_block(item),
        }
    }

    #[cold]
    fn push_block(&mut self, item: T) {
        let room = if self.blocks.is_empty() {
            1
        } else {
            Self::FULL
        };
        let mut block = Vec::with_capacity(room);
        block.push(item);
        self.blocks.push(block);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_vector() {
        let mut real = Blocks::new();
        assert_eq!((real.len(), real.get(0)), (0, None));
        let numbers = 0..10_000_u32;
        for number in numbers.clone() {
            real.push([number, 0, 0]);
        }
        for number in numbers.clone() {
            let item = real.get_mut(number).expect("an item");
            item[1] = number + 1;
        }
        assert!(
            numbers
                .clone()
                .all(|number| real.get(number) == Some(&[number, number + 1, 0]))
        );
        assert!(real.iter().map(|item| item[0]).eq(numbers));
        assert_eq!((real.len(), real.get(10_000)), (10_000, None));
        assert_eq!(real.get_mut(u32::MAX), None);
    }

    #[test]
    fn nothing_moves_but_within_the_first_block() {
        let mut real = Blocks::new();
        let mut places = Vec::new();
        for number in 0..10_000_u32 {
            real.push(number);
            places.push(core::ptr::from_ref(real.get(number).expect("an item")));
        }
        let same = (0..10_000).zip(places).filter(|(number, place)| {
            let item = real.get(*number).expect("an item");
            core::ptr::eq(item, *place)
        });
        assert!(same.count() >= 10_000 - Blocks::<u32>::FULL);
    }
}
