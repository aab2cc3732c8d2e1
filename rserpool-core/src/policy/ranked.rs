//! Priority (RFC 5356 §4.5), Least Used (§5.1), with Degradation (§5.2) and Priority Least Used (§5.3): ordered by rank,
//! round robin among equals.
//!
//! ```text
//!   rank     10   10   10 │ 20 │ 35   35        select(5) gives the members of the turns 3 5 9 4 1. Then the first of
//!   turn      3    5    9 │  4 │  1    7        equals takes their last turn: 5 9 10 │ 4 │ 7 11.
//! ```
//!
//! With degradation every selection raises the rank of all that were selected, and whoever changes its rank takes the last
//! turn at the new one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use smallvec::SmallVec;

use super::seats::Seats;

/// Where a member stands, the lowest first: `base + selections * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    base: u64,
    step: u32,
}

impl Rank {
    /// A rank that selections do not change.
    pub(super) const fn fixed(base: u64) -> Self {
        Self { base, step: 0 }
    }

    /// A rank that grows with every selection.
    pub(super) fn degrading(load: u32, load_degradation: u32) -> Self {
        Self {
            base: load.into(),
            step: load_degradation,
        }
    }

    /// Those of the highest rank, which nobody reaches within 2^32 selections, are equals.
    fn after(self, selections: u32) -> u64 {
        self.base
            .saturating_add(u64::from(selections) * u64::from(self.step))
    }
}

/// The members by (rank, turn). Every operation is O(log n), a selection O(items * log n).
#[derive(Clone, Debug)]
pub(super) struct Ranked<M> {
    seats: Seats<Standing<M>>,
    order: BTreeMap<(u64, u64), u32>,
    next_turn: u64,
}

#[derive(Clone, Debug)]
struct Standing<M> {
    member: M,
    rank: Rank,
    /// The degradation counter (RFC 5356 §5.2.2).
    selections: u32,
    turn: u64,
}

impl<M> Standing<M> {
    fn key(&self) -> (u64, u64) {
        (self.rank.after(self.selections), self.turn)
    }
}

impl<M: Copy> Ranked<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            order: BTreeMap::new(),
            next_turn: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(&mut self, member: M, rank: Rank) -> Option<u32> {
        let standing = Standing {
            member,
            rank,
            selections: 0,
            turn: self.take_turn(),
        };
        let key = standing.key();
        let seat = self.seats.insert(standing)?;
        self.order.insert(key, seat);
        Some(seat)
    }

    pub(super) fn update(&mut self, seat: u32, rank: Rank) -> bool {
        let Some(standing) = self.seats.get_mut(seat) else {
            return false;
        };
        let before = standing.key();
        standing.rank = rank;
        standing.selections = 0;
        if standing.key() != before {
            self.requeue(seat, before);
        }
        true
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let standing = self.seats.remove(seat)?;
        self.order.remove(&standing.key());
        Some(standing.member)
    }

    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
        // One more, to see whether the last one has an equal.
        let first: SmallVec<[((u64, u64), u32); 9]> = self
            .order
            .iter()
            .take(items.saturating_add(1))
            .map(|(key, seat)| (*key, *seat))
            .collect();
        let is_of =
            |index: usize, rank: u64| first.get(index).is_some_and(|(key, _)| key.0 == rank);
        for (index, &(key, seat)) in first.iter().enumerate().take(items) {
            let Some(standing) = self.seats.get_mut(seat) else {
                continue;
            };
            selected.push(standing.member);
            standing.selections = standing.selections.saturating_add(1);
            let leads = index == 0 || !is_of(index - 1, key.0);
            let leads_others = leads && is_of(index + 1, key.0);
            if leads_others || standing.key() != key {
                self.requeue(seat, key);
            }
        }
    }

    /// Moves a member from where it stood to the end of those of its rank.
    fn requeue(&mut self, seat: u32, before: (u64, u64)) {
        let turn = self.take_turn();
        if let Some(standing) = self.seats.get_mut(seat) {
            standing.turn = turn;
            self.order.remove(&before);
            self.order.insert(standing.key(), seat);
        }
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn next(order: &mut Ranked<char>, items: usize) -> String {
        let mut selected = Vec::new();
        order.select(items, &mut selected);
        selected.into_iter().collect()
    }

    // RFC 5356 §5.1.2
    #[test]
    fn each_class_of_equals_takes_turns() {
        let mut order = Ranked::new();
        for (member, load) in [('x', 20), ('a', 10), ('b', 10), ('y', 20), ('z', 20)] {
            order.insert(member, Rank::fixed(load));
        }
        let lists = [3, 3, 3, 5].map(|items| next(&mut order, items));
        assert_eq!(lists, ["abx", "bay", "abz", "baxyz"]);
    }

    // RFC 5356 §5.2.2: the example of 9 selections in a row.
    #[test]
    fn degradation_counts_from_zero_and_by_one() {
        let mut order = Ranked::new();
        let a = order.insert('a', Rank::degrading(0, 0x0100_0000)).unwrap();
        order.insert('b', Rank::degrading(0x0880_0000, 0x0100_0000));
        let row: String = (0..10).map(|_| next(&mut order, 1)).collect();
        assert_eq!(row, "aaaaaaaaab");
        assert!(order.update(a, Rank::degrading(0, 0x0100_0000)));
        let row: String = (0..11).map(|_| next(&mut order, 1)).collect();
        assert_eq!(
            row, "aaaaaaaaaab",
            "the counter starts anew, b's stays at 1"
        );
    }

    #[test]
    fn ranks_do_not_overflow() {
        let mut order = Ranked::new();
        let a = order
            .insert('a', Rank::degrading(u32::MAX, u32::MAX))
            .unwrap();
        order.insert('b', Rank::degrading(0, u32::MAX));
        if let Some(standing) = order.seats.get_mut(a) {
            order.order.remove(&standing.key());
            standing.selections = u32::MAX;
            order.order.insert(standing.key(), a);
        }
        assert_eq!(next(&mut order, 2), "ba");
        assert_eq!(next(&mut order, 2), "ba");
    }
}
