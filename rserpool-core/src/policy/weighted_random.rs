//! Weighted Random (RFC 5356 §4.4) and Randomized Least Used (§5.4): a tree of partial sums.
//!
//! ```text
//!  weights    1   2   3   4   5   6   7   8        A draw below the total descends from the longest sum:
//!  sums       ├───┤       │   ├───┤       │        right where it is not below it, less the sum.
//!             │   └──3    │   │   └──11   │
//!             └──────────10   │           │        A drawn member's weight is 0 for the rest of the
//!             └──────────────────────────36        selection, so that nobody is drawn twice.
//! ```

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::seats::Seats;
use crate::rng::Rng;

/// A Fenwick tree over the seats: `sums[i]` is the weight of the seats `i - lowest_bit(i) .. i`, and `sums[0]` is nothing.
#[derive(Clone, Debug)]
pub(super) struct WeightedRandom<M> {
    seats: Seats<(M, u32)>,
    sums: Vec<u64>,
    total: u64,
}

impl<M: Copy> WeightedRandom<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            sums: Vec::new(),
            total: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(&mut self, member: M, weight: u32) -> usize {
        let seat = self.seats.insert((member, weight));
        while self.sums.len() <= seat + 1 {
            self.grow();
        }
        self.add(seat, weight);
        seat
    }

    pub(super) fn update(&mut self, seat: usize, weight: u32) -> bool {
        let Some((_, current)) = self.seats.get_mut(seat) else {
            return false;
        };
        let previous = core::mem::replace(current, weight);
        self.subtract(seat, previous);
        self.add(seat, weight);
        true
    }

    pub(super) fn remove(&mut self, seat: usize) -> Option<M> {
        let (member, weight) = self.seats.remove(seat)?;
        self.subtract(seat, weight);
        Some(member)
    }

    /// Draws without replacement, each time with a probability proportional to the weight.
    pub(super) fn select(&mut self, rng: &mut Rng, items: usize, selected: &mut Vec<M>) {
        let mut drawn: SmallVec<[(usize, u32); 16]> = SmallVec::new();
        while drawn.len() < items && self.total > 0 {
            let draw = u64::try_from(rng.below(self.total.into())).unwrap_or(0);
            let seat = self.seat_at(draw);
            let Some(&(member, weight)) = self.seats.get(seat) else {
                break;
            };
            selected.push(member);
            self.subtract(seat, weight);
            drawn.push((seat, weight));
        }
        for (seat, weight) in drawn {
            self.add(seat, weight);
        }
    }

    /// The seat whose share of the line from 0 to the total covers `draw`.
    fn seat_at(&self, mut draw: u64) -> usize {
        let seats = self.sums.len().saturating_sub(1);
        let mut step = seats.checked_ilog2().map_or(0, |bits| 1 << bits);
        let mut before = 0;
        while step > 0 {
            if let Some(sum) = self.sums.get(before + step).filter(|sum| **sum <= draw) {
                draw -= sum;
                before += step;
            }
            step /= 2;
        }
        before
    }

    /// One more seat, without weight: its sum covers what the sums of its lower half cover.
    fn grow(&mut self) {
        let index = self.sums.len();
        let mut sum = 0;
        let mut step = 1;
        while index > 0 && step < lowest_bit(index) {
            sum += self.sums[index - step];
            step *= 2;
        }
        self.sums.push(sum);
    }

    fn add(&mut self, seat: usize, weight: u32) {
        self.total += u64::from(weight);
        let mut index = seat + 1;
        while let Some(sum) = self.sums.get_mut(index) {
            *sum += u64::from(weight);
            index += lowest_bit(index);
        }
    }

    fn subtract(&mut self, seat: usize, weight: u32) {
        self.total -= u64::from(weight);
        let mut index = seat + 1;
        while let Some(sum) = self.sums.get_mut(index) {
            *sum -= u64::from(weight);
            index += lowest_bit(index);
        }
    }
}

const fn lowest_bit(index: usize) -> usize {
    index & index.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5356 §4.4.2
    #[test]
    fn every_seat_covers_exactly_its_weight_of_the_line() {
        let mut order = WeightedRandom::new();
        let mut weights = Vec::new();
        for member in 0..37_u32 {
            let weight = member * 7 % 5;
            order.insert(member, weight);
            weights.push(weight);
            let line = (0..order.total).map(|draw| order.seat_at(draw));
            let expected = weights
                .iter()
                .enumerate()
                .flat_map(|(seat, weight)| core::iter::repeat_n(seat, *weight as usize));
            assert!(line.eq(expected));
        }
    }

    #[test]
    fn a_selection_leaves_the_sums_as_they_were() {
        let mut order = WeightedRandom::new();
        for member in 0..20_u32 {
            order.insert(member, member);
        }
        let before = order.sums.clone();
        let mut selected = Vec::new();
        order.select(&mut Rng::from_seed([3; 32]), 50, &mut selected);
        assert_eq!(order.sums, before);
        assert_eq!(order.total, 190);
        assert_eq!(selected.len(), 19, "the one without weight is left out");
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let mut order = WeightedRandom::new();
        for member in 0..100 {
            order.insert(member, u32::MAX);
        }
        let mut selected = Vec::new();
        order.select(&mut Rng::from_seed([4; 32]), 100, &mut selected);
        selected.sort_unstable();
        assert!(selected.into_iter().eq(0..100));
    }
}
