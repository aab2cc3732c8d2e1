//! Priority (RFC 5356 §4.5), Least Used (§5.1), with Degradation (§5.2) and Priority Least Used (§5.3): ordered by rank,
//! round robin among equals.
//!
//! ```text
//!   rank     10        20    35                select(5) gives B C A, D, E. Then the head of each class that was read
//!   class    A ▶B C    D     ▶E F              moves on by one: A B ▶C, D, E ▶F.
//! ```
//!
//! With degradation every selection raises the rank of all that were selected, and whoever changes its rank sits down before
//! the head of its new class: its turn comes last.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use smallvec::SmallVec;

use super::seats::Seats;
use crate::ordered::Ordered;

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

/// Classes of equals by rank, each a circular list. Every operation is O(log n), a selection O(items), or with degradation
/// O(items * log n).
#[derive(Clone, Debug)]
pub(super) struct Ranked<M> {
    seats: Seats<Standing<M>>,
    /// The heads of the classes.
    classes: Ordered<u64, u32>,
    /// Whether anybody's rank ever grew with selections.
    degrading: bool,
}

#[derive(Clone, Debug)]
struct Standing<M> {
    member: M,
    rank: Rank,
    /// The degradation counter (RFC 5356 §5.2.2).
    selections: u32,
    /// Its neighbours in the class, perhaps itself.
    previous: u32,
    next: u32,
}

impl<M> Standing<M> {
    fn key(&self) -> u64 {
        self.rank.after(self.selections)
    }
}

impl<M: Copy> Ranked<M> {
    pub(super) fn new() -> Self {
        Self {
            seats: Seats::new(),
            classes: Ordered::new(),
            degrading: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(&mut self, member: M, rank: Rank) -> Option<u32> {
        self.degrading |= rank.step > 0;
        let standing = Standing {
            member,
            rank,
            selections: 0,
            previous: 0,
            next: 0,
        };
        let key = standing.key();
        let seat = self.seats.insert(standing)?;
        self.enter(key, seat);
        Some(seat)
    }

    pub(super) fn update(&mut self, seat: u32, rank: Rank) -> bool {
        self.degrading |= rank.step > 0;
        self.change(seat, |standing| {
            standing.rank = rank;
            standing.selections = 0;
        })
        .is_some()
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let standing = self.seats.remove(seat)?;
        self.leave(standing.key(), seat, (standing.previous, standing.next));
        Some(standing.member)
    }

    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
        if self.degrading {
            return self.select_and_raise(items, selected);
        }
        let mut left = items;
        let seats = &self.seats;
        self.classes.visit(|head| {
            let first = *head;
            let mut at = first;
            while left > 0
                && let Some(standing) = seats.get(at)
            {
                left -= 1;
                selected.push(standing.member);
                if at == first {
                    *head = standing.next;
                }
                at = standing.next;
                if at == first {
                    return ControlFlow::Continue(());
                }
            }
            ControlFlow::Break(())
        });
    }

    /// The same where a selection moves members to other classes.
    fn select_and_raise(&mut self, items: usize, selected: &mut Vec<M>) {
        // What is selected moves on in the order in which it is selected. That begins with the first one whose rank changes.
        let mut later: SmallVec<[(u32, bool); 8]> = SmallVec::new();
        let mut left = items;
        let seats = &self.seats;
        self.classes.visit(|head| {
            let first = *head;
            let mut at = first;
            while left > 0
                && let Some(standing) = seats.get(at)
            {
                left -= 1;
                selected.push(standing.member);
                let leads = at == first && standing.next != first;
                if standing.rank.step > 0 || (leads && !later.is_empty()) {
                    later.push((at, leads));
                } else if leads {
                    *head = standing.next;
                }
                at = standing.next;
                if at == first {
                    return ControlFlow::Continue(());
                }
            }
            ControlFlow::Break(())
        });
        for (seat, leads) in later {
            let degrade = |standing: &mut Standing<M>| {
                standing.selections = standing.selections.saturating_add(1);
            };
            if self.change(seat, degrade) == Some(false) && leads {
                self.move_on(seat);
            }
        }
    }

    /// Changes what a member's rank comes from; where it has another one then, its turn is the last one there. Whether it has;
    /// `None` where nobody sits there.
    fn change(&mut self, seat: u32, change: impl FnOnce(&mut Standing<M>)) -> Option<bool> {
        let standing = self.seats.get_mut(seat)?;
        let before = standing.key();
        change(standing);
        let (key, neighbours) = (standing.key(), (standing.previous, standing.next));
        if key != before {
            self.leave(before, seat, neighbours);
            self.enter(key, seat);
        }
        Some(key != before)
    }

    /// The next one is the head of the class, if this one was.
    fn move_on(&mut self, seat: u32) {
        if let Some(standing) = self.seats.get(seat)
            && let Some(head) = self.classes.get_mut(standing.key())
            && *head == seat
        {
            *head = standing.next;
        }
    }

    /// Sits down before the head of a class.
    fn enter(&mut self, key: u64, seat: u32) {
        let next = self.classes.insert(key, seat).unwrap_or(seat);
        let previous = match self.seats.get(next) {
            Some(head) if next != seat => head.previous,
            _ => seat,
        };
        self.join(previous, seat);
        self.join(seat, next);
    }

    /// Leaves a class, where it sits between these two.
    fn leave(&mut self, key: u64, seat: u32, (previous, next): (u32, u32)) {
        if next == seat {
            self.classes.remove(key);
            return;
        }
        self.join(previous, next);
        if let Some(head) = self.classes.get_mut(key)
            && *head == seat
        {
            *head = next;
        }
    }

    fn join(&mut self, previous: u32, next: u32) {
        if let Some(standing) = self.seats.get_mut(previous) {
            standing.next = next;
        }
        if let Some(standing) = self.seats.get_mut(next) {
            standing.previous = previous;
        }
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
        order.change(a, |standing| standing.selections = u32::MAX);
        assert_eq!(next(&mut order, 2), "ba");
        assert_eq!(next(&mut order, 2), "ba");
    }
}
