//! Least Used with Degradation (RFC 5356 §5.2): a heap by rank and, among equals, by turn.
//!
//! ```text
//!   rank, turn   10,3  20,1  35,2  35,4        select(2) gives A, B. With a degradation of 15 each, A has 25 then, and B
//!                A     B     C     D           35, where its turn is the last one: A, C, D, B.
//! ```
//!
//! A selection raises the rank of all that were selected, so that those of one selection hardly ever are equals of anybody in
//! the next one: a circular list of equals, as the other load policies have, would have one member.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::heap::Heap;
use super::seats::Seats;

/// The members by what they are loaded with, and how often they were selected since they said so.
#[derive(Clone, Debug)]
pub(super) struct Degrading<M> {
    seats: Seats<Load<M>>,
    /// By rank and turn.
    heap: Heap<u128>,
    next_turn: u64,
}

#[derive(Clone, Debug)]
struct Load<M> {
    member: M,
    load: u32,
    load_degradation: u32,
    /// The degradation counter (RFC 5356 §5.2.2).
    selections: u32,
}

impl<M> Load<M> {
    /// Nobody reaches the end of it: that takes 2^32 selections of the highest degradation.
    fn rank(&self) -> u64 {
        u64::from(self.selections) * u64::from(self.load_degradation) + u64::from(self.load)
    }
}

impl<M: Copy> Degrading<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            heap: Heap::new(),
            next_turn: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(
        &mut self,
        member: M,
        (load, load_degradation): (u32, u32),
    ) -> Option<u32> {
        let load = Load {
            member,
            load,
            load_degradation,
            selections: 0,
        };
        let rank = load.rank();
        let seat = self.seats.insert(load)?;
        let turn = self.take_turn();
        self.heap.set(seat, key(rank, turn));
        Some(seat)
    }

    pub(super) fn update(&mut self, seat: u32, (load, load_degradation): (u32, u32)) -> bool {
        let Some(standing) = self.seats.get_mut(seat) else {
            return false;
        };
        let before = standing.rank();
        (standing.load, standing.load_degradation) = (load, load_degradation);
        standing.selections = 0;
        let rank = standing.rank();
        if rank != before {
            let turn = self.take_turn();
            self.heap.set(seat, key(rank, turn));
        }
        true
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let standing = self.seats.remove(seat)?;
        self.heap.remove(seat);
        Some(standing.member)
    }

    /// The lowest ranks. Of equals that were selected the first has had its turn, and so has whoever has another rank then.
    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
        // The last one moves to its new place from where it is, the others are taken out.
        let mut taken: SmallVec<[(u128, u32); 8]> = SmallVec::new();
        while taken.len() + 1 < items
            && let Some(first) = self.heap.pop()
        {
            taken.push(first);
        }
        if taken.len() < items
            && let Some(first) = self.heap.first()
        {
            taken.push(first);
        }
        let after = self.heap.second();
        for (index, (place, seat)) in taken.iter().copied().enumerate() {
            let Some(standing) = self.seats.get_mut(seat) else {
                continue;
            };
            selected.push(standing.member);
            standing.selections = standing.selections.saturating_add(1);
            let raised = standing.rank();
            let rank = rank_of(place);
            let is_equal = |other: Option<&(u128, u32)>| {
                other.is_some_and(|(other, _)| rank_of(*other) == rank)
            };
            let leads = !index
                .checked_sub(1)
                .is_some_and(|one| is_equal(taken.get(one)));
            let has_equals = is_equal(taken.get(index + 1).or(after.as_ref()));
            if raised != rank || (leads && has_equals) {
                let turn = self.take_turn();
                self.heap.set(seat, key(raised, turn));
            } else {
                self.heap.set(seat, place);
            }
        }
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }
}

/// Orders by rank, then by turn.
fn key(rank: u64, turn: u64) -> u128 {
    u128::from(rank) << 64 | u128::from(turn)
}

fn rank_of(key: u128) -> u64 {
    u64::try_from(key >> 64).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn next(order: &mut Degrading<char>, items: usize) -> String {
        let mut selected = Vec::new();
        order.select(items, &mut selected);
        selected.into_iter().collect()
    }

    #[test]
    fn the_example_of_the_module() {
        let mut order = Degrading::new();
        for (member, load) in [('B', 20), ('C', 35), ('A', 10), ('D', 35)] {
            order.insert(member, (load, 15));
        }
        assert_eq!(next(&mut order, 2), "AB");
        assert_eq!(next(&mut order, 4), "ACDB");
    }

    // RFC 5356 §5.2.2: the example of 9 selections in a row.
    #[test]
    fn degradation_counts_from_zero_and_by_one() {
        let mut order = Degrading::new();
        let a = order.insert('a', (0, 0x0100_0000)).unwrap();
        order.insert('b', (0x0880_0000, 0x0100_0000));
        let row: String = (0..10).map(|_| next(&mut order, 1)).collect();
        assert_eq!(row, "aaaaaaaaab");
        assert!(order.update(a, (0, 0x0100_0000)));
        let row: String = (0..11).map(|_| next(&mut order, 1)).collect();
        assert_eq!(
            row, "aaaaaaaaaab",
            "the counter starts anew, b's stays at 1"
        );
    }

    #[test]
    fn without_degradation_equals_take_turns() {
        let mut order = Degrading::new();
        "abc".chars().for_each(|member| {
            order.insert(member, (7, 0));
        });
        let lists = [2, 0, 2, 3, 9].map(|items| next(&mut order, items));
        assert_eq!(lists, ["ab", "", "bc", "cab", "abc"]);
    }

    #[test]
    fn ranks_do_not_overflow() {
        let mut order = Degrading::new();
        let a = order.insert('a', (u32::MAX, u32::MAX)).unwrap();
        order.insert('b', (0, u32::MAX));
        order.seats.get_mut(a).unwrap().selections = u32::MAX;
        order.update(a, (u32::MAX, u32::MAX - 1));
        order.seats.get_mut(a).unwrap().selections = u32::MAX;
        assert_eq!(next(&mut order, 2), "ba");
        assert_eq!(next(&mut order, 2), "ba");
    }
}
