//! Random (RFC 5356 §4.3): an array that is shuffled as far as it is read.

use alloc::vec::Vec;

use super::seats::Seats;
use crate::rng::Rng;

/// All members in an array without holes, in any order. Joining and leaving are O(1), a selection O(items).
#[derive(Clone, Debug)]
pub(super) struct Random<M> {
    /// Where each one stands in `array`.
    seats: Seats<u32>,
    /// Members and their seats.
    array: Vec<(M, u32)>,
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

    pub(super) fn contains(&self, seat: u32) -> bool {
        self.seats.get(seat).is_some()
    }

    pub(super) fn insert(&mut self, member: M) -> Option<u32> {
        let place = u32::try_from(self.array.len()).ok()?;
        let seat = self.seats.insert(place)?;
        self.array.push((member, seat));
        Some(seat)
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let place = self.seats.remove(seat)? as usize;
        let (member, _) = self.array.swap_remove(place);
        self.settle(place);
        Some(member)
    }

    /// The first steps of a shuffle: every list of `items` members is equally likely, whatever the order was before.
    pub(super) fn select(&mut self, rng: &mut Rng, items: usize, selected: &mut Vec<M>) {
        let items = items.min(self.len());
        for place in 0..items {
            let drawn = place + rng.index(self.len() - place);
            selected.push(self.array[drawn].0);
            // Nobody is drawn after the last one.
            if place + 1 < items {
                self.array.swap(place, drawn);
                self.settle(drawn);
                self.settle(place);
            }
        }
    }

    /// Notes that the one at `place` of the array stands there now.
    fn settle(&mut self, place: usize) {
        let Some(&(_, seat)) = self.array.get(place) else {
            return;
        };
        if let (Some(standing), Ok(place)) = (self.seats.get_mut(seat), u32::try_from(place)) {
            *standing = place;
        }
    }
}
