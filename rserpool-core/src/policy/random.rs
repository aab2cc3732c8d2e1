//! Random (RFC 5356 §4.3): an array that is shuffled as far as it is read.

use alloc::vec::Vec;

use super::seats::Seats;
use crate::rng::Rng;

/// All members in an array without holes, in any order. Joining and leaving are O(1), a selection O(items).
#[derive(Clone, Debug)]
pub(super) struct Random<M> {
    /// Each member and where its seat stands in `array`.
    seats: Seats<(M, usize)>,
    array: Vec<usize>,
}

impl<M: Copy> Random<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            array: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.array.len()
    }

    pub(super) fn contains(&self, seat: usize) -> bool {
        self.seats.get(seat).is_some()
    }

    pub(super) fn insert(&mut self, member: M) -> usize {
        let seat = self.seats.insert((member, self.array.len()));
        self.array.push(seat);
        seat
    }

    pub(super) fn remove(&mut self, seat: usize) -> Option<M> {
        let (member, place) = self.seats.remove(seat)?;
        self.array.swap_remove(place);
        self.settle(place);
        Some(member)
    }

    /// The first steps of a shuffle: every list of `items` members is equally likely, whatever the order was before.
    pub(super) fn select(&mut self, rng: &mut Rng, items: usize, selected: &mut Vec<M>) {
        for place in 0..items.min(self.len()) {
            let drawn = place + rng.index(self.len() - place);
            self.array.swap(place, drawn);
            self.settle(drawn);
            selected.extend(self.settle(place));
        }
    }

    /// Notes that the seat at `place` of the array stands there now.
    fn settle(&mut self, place: usize) -> Option<M> {
        let (member, standing) = self.seats.get_mut(*self.array.get(place)?)?;
        *standing = place;
        Some(*member)
    }
}
