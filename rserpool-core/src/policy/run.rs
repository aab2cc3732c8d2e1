//! A run of ranks: some that follow each other, in a ring, so that the lowest leaves and the highest comes without any other
//! being moved.

use core::ops::RangeInclusive;

#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Rings, in which the lowest rank is at `begin`.
    ranks: [u64; MOST],
    values: [u32; MOST],
    begin: u8,
    pub(super) len: u8,
    /// The slots that it has in its node, if there is one.
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) node: u32,
    /// Its neighbours, if there are any.
    pub(super) previous: u32,
    pub(super) next: u32,
}

/// How many ranks a run has at most.
pub(super) const MOST: usize = 16;
/// No run and no node.
pub(super) const NONE: u32 = u32::MAX;

impl Run {
    /// An empty run that has all there is.
    pub(super) const fn new() -> Self {
        Self {
            ranks: [0; MOST],
            values: [0; MOST],
            begin: 0,
            len: 0,
            first: 0,
            last: 0,
            node: NONE,
            previous: NONE,
            next: NONE,
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Of its node.
    pub(super) fn slots(&self) -> RangeInclusive<usize> {
        self.first.into()..=self.last.into()
    }

    /// Where in the rings the item is that has this place in the order.
    fn at(&self, place: usize) -> usize {
        (usize::from(self.begin) + place) % MOST
    }

    /// The rank at a place.
    pub(super) fn rank(&self, place: usize) -> u64 {
        self.ranks[self.at(place)]
    }

    /// The value at a place.
    pub(super) fn value(&mut self, place: usize) -> &mut u32 {
        let at = self.at(place);
        &mut self.values[at]
    }

    fn set(&mut self, place: usize, (rank, value): (u64, u32)) {
        let at = self.at(place);
        (self.ranks[at], self.values[at]) = (rank, value);
    }

    fn shift(&mut self, from: usize, to: usize) {
        let from = self.at(from);
        self.set(to, (self.ranks[from], self.values[from]));
    }

    /// Where a rank is, or where it would be. The search begins with the highest: there most ranks arrive.
    pub(super) fn place(&self, rank: u64) -> Result<usize, usize> {
        let middle = self.len() / 2;
        let mut place = match rank < self.rank(middle) {
            true => middle,
            false => self.len(),
        };
        while place > 0 {
            let other = self.rank(place - 1);
            if other <= rank {
                return match other == rank {
                    true => Ok(place - 1),
                    false => Err(place),
                };
            }
            place -= 1;
        }
        Err(0)
    }

    /// Adds an item where there is room for it.
    pub(super) fn insert(&mut self, place: usize, item: (u64, u32)) {
        if place < self.len() / 2 {
            self.begin = self.begin.wrapping_sub(1);
            for at in 0..place {
                self.shift(at + 1, at);
            }
        } else {
            for at in (place..self.len()).rev() {
                self.shift(at, at + 1);
            }
        }
        self.set(place, item);
        self.len += 1;
    }

    /// Removes an item that is there.
    pub(super) fn remove(&mut self, place: usize) -> u32 {
        let value = *self.value(place);
        if place < self.len() / 2 {
            for at in (0..place).rev() {
                self.shift(at, at + 1);
            }
            self.begin = self.begin.wrapping_add(1);
        } else {
            for at in place + 1..self.len() {
                self.shift(at, at - 1);
            }
        }
        self.len -= 1;
        value
    }

    /// Takes the items of another run, which are higher, from a place on.
    pub(super) fn take(&mut self, other: &mut Self, from: usize) {
        if self.len == 0 && from == 0 {
            (self.ranks, self.values) = (other.ranks, other.values);
            (self.begin, self.len) = (other.begin, other.len);
            other.len = 0;
            return;
        }
        for place in from..other.len() {
            let at = other.at(place);
            self.set(self.len(), (other.ranks[at], other.values[at]));
            self.len += 1;
            other.len -= 1;
        }
    }
}
