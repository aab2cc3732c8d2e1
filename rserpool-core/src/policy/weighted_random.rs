//! Weighted Random (RFC 5356 §4.4) and Randomized Least Used (§5.4): classes of members with nearly the same weight.
//!
//! ```text
//!  weights   classes            A class is drawn with a probability proportional to the sum of its weights. In it a
//!  8 .. 15   9  12  8           member is drawn, each as likely as the other, and taken with the probability
//!  4 .. 7    5  7               weight / end of the class (16, 8, 4, 2), or else another one is drawn: as no weight
//!  1         1  1  1            is below half of the end, that is one draw more on average at most.
//! ```
//!
//! A member that was drawn is out of its class for the rest of the selection, so that nobody is drawn twice.

use alloc::vec::Vec;

use super::seats::Seats;
use crate::rng::Rng;

/// The members by the number of bits in their weights. Joining, changing and leaving are O(1), a selection O(items) on
/// average.
#[derive(Clone, Debug)]
pub(super) struct WeightedRandom<M> {
    seats: Seats<Place>,
    /// Sorted, the one with the largest weights first; one without members may be among them.
    classes: Vec<Class<M>>,
    total: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    weight: u32,
    /// Where the member is in its class.
    index: u32,
}

#[derive(Clone, Debug)]
struct Class<M> {
    /// The number of bits in the weights.
    bits: u32,
    /// The sum of the weights.
    sum: u64,
    /// Within a selection: the sum of the weights of those that can be drawn, and how many these are. They come first.
    sum_able: u64,
    able: u32,
    /// Members, their seats and their weights.
    members: Vec<(M, u32, u32)>,
}

impl<M: Copy> WeightedRandom<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            classes: Vec::new(),
            total: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(&mut self, member: M, weight: u32) -> Option<u32> {
        let seat = self.seats.insert(Place { weight, index: 0 })?;
        self.enter(seat, member, weight);
        Some(seat)
    }

    pub(super) fn update(&mut self, seat: u32, weight: u32) -> bool {
        let Some(place) = self.seats.get(seat).copied() else {
            return false;
        };
        if place.weight != weight
            && let Some(member) = self.leave(place)
        {
            self.enter(seat, member, weight);
        }
        true
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let place = self.seats.remove(seat)?;
        self.leave(place)
    }

    /// Draws without replacement, each time with a probability proportional to the weight.
    pub(super) fn select(&mut self, rng: &mut Rng, items: usize, selected: &mut Vec<M>) {
        let total = self.total;
        for item in 1..=items {
            let Some(number) = self.draw_class(rng) else {
                break;
            };
            let class = &mut self.classes[number];
            let index = class.draw(rng);
            let (member, _, weight) = class.members[index];
            selected.push(member);
            // Nobody is drawn after the last one.
            if item < items {
                self.total -= u64::from(weight);
                class.sum_able -= u64::from(weight);
                class.able -= 1;
                let last = class.able as usize;
                class.members.swap(index, last);
                self.settle(number, index);
                self.settle(number, last);
            }
        }
        if self.total < total {
            self.total = total;
            self.classes.iter_mut().for_each(Class::restore);
        }
    }

    /// `None` where nobody can be drawn.
    fn draw_class(&self, rng: &mut Rng) -> Option<usize> {
        let mut draw = rng.below_u64(self.total);
        self.classes.iter().position(|class| {
            let here = draw < class.sum_able;
            draw = draw.saturating_sub(class.sum_able);
            here
        })
    }

    /// Puts a member into the class of its weight.
    fn enter(&mut self, seat: u32, member: M, weight: u32) {
        let bits = u32::BITS - weight.leading_zeros();
        let number = match self.class_of(weight) {
            Ok(number) => number,
            Err(number) => {
                let class = Class {
                    bits,
                    sum: 0,
                    sum_able: 0,
                    able: 0,
                    members: Vec::new(),
                };
                self.classes.insert(number, class);
                number
            }
        };
        self.total += u64::from(weight);
        let class = &mut self.classes[number];
        class.sum += u64::from(weight);
        class.members.push((member, seat, weight));
        class.restore();
        let last = class.members.len() - 1;
        self.settle(number, last);
    }

    /// Takes the member at this place out of its class.
    fn leave(&mut self, place: Place) -> Option<M> {
        let number = self.class_of(place.weight).ok()?;
        self.total -= u64::from(place.weight);
        let class = &mut self.classes[number];
        class.sum -= u64::from(place.weight);
        let (member, _, _) = class.members.swap_remove(place.index as usize);
        class.restore();
        self.settle(number, place.index as usize);
        Some(member)
    }

    /// The number of the class for a weight, or what it would be.
    fn class_of(&self, weight: u32) -> Result<usize, usize> {
        let bits = u32::BITS - weight.leading_zeros();
        let number = self.classes.iter().position(|class| class.bits <= bits);
        match number {
            Some(number) if self.classes[number].bits == bits => Ok(number),
            Some(number) => Err(number),
            None => Err(self.classes.len()),
        }
    }

    /// Notes that the member at `index` of a class is there now.
    fn settle(&mut self, number: usize, index: usize) {
        let Some(&(_, seat, weight)) = self.classes[number].members.get(index) else {
            return;
        };
        // There are not more members than seats.
        if let (Some(place), Ok(index)) = (self.seats.get_mut(seat), u32::try_from(index)) {
            *place = Place { weight, index };
        }
    }
}

impl<M> Class<M> {
    /// One of those that can be drawn; there is one at least, and it has a weight.
    fn draw(&self, rng: &mut Rng) -> usize {
        loop {
            let (index, draw) = rng.below_and_bits(self.able);
            let (_, _, weight) = self.members[index as usize];
            if u64::from(draw) >> (u32::BITS - self.bits) < u64::from(weight) {
                return index as usize;
            }
        }
    }

    /// All can be drawn again.
    fn restore(&mut self) {
        self.sum_able = self.sum;
        // There are not more members than seats.
        self.able = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 5356 §4.4.2: within a class and between classes.
    #[test]
    fn each_is_drawn_in_proportion_to_its_weight() {
        let weights = [1, 1, 2, 3, 4, 7, 8, 15, 16, 31, 0, 100];
        let mut order = WeightedRandom::new();
        for (member, weight) in weights.into_iter().enumerate() {
            order.insert(member, weight);
        }
        let mut rng = Rng::from_seed([5; 32]);
        let draws = 200_000;
        let mut counts = [0_u32; 12];
        let mut selected = Vec::new();
        for _ in 0..draws {
            selected.clear();
            order.select(&mut rng, 1, &mut selected);
            counts[selected[0]] += 1;
        }
        let total = f64::from(weights.iter().sum::<u32>());
        let mut deviation = 0.0;
        for (count, weight) in counts.into_iter().zip(weights) {
            let expected = f64::from(draws) * f64::from(weight) / total;
            if weight == 0 {
                assert_eq!(count, 0);
            } else {
                deviation += (f64::from(count) - expected).powi(2) / expected;
            }
        }
        // Chi-square with 10 degrees of freedom: 29.6 is exceeded once in 1,000 seeds.
        assert!(deviation < 29.6, "{deviation}");
    }

    #[test]
    fn a_selection_leaves_the_classes_as_they_were() {
        let mut order = WeightedRandom::new();
        for member in 0..20_u32 {
            order.insert(member, member);
        }
        let state = |order: &WeightedRandom<u32>| {
            let class = |class: &Class<u32>| {
                let mut members = class.members.clone();
                members.sort_unstable();
                (class.bits, class.sum, class.sum_able, class.able, members)
            };
            order.classes.iter().map(class).collect::<Vec<_>>()
        };
        let before = state(&order);
        let mut selected = Vec::new();
        order.select(&mut Rng::from_seed([3; 32]), 50, &mut selected);
        assert_eq!(state(&order), before);
        assert_eq!(order.total, 190);
        assert_eq!(selected.len(), 19, "the one without weight is left out");
        for seat in 0..20 {
            let place = order.seats.get(seat).unwrap();
            let number = order.class_of(place.weight).unwrap();
            let (member, of, weight) = order.classes[number].members[place.index as usize];
            assert_eq!((member, of, weight), (seat, seat, place.weight));
        }
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
