//! Priority (RFC 5356 §4.5), Least Used (§5.1) and Priority Least Used (§5.3): ordered by rank, round robin among equals.
//!
//! ```text
//!   rank     10        20    35                select(5) gives B C A, D, E. Then the head of each class that was read
//!   class    A ▶B C    D     ▶E F              moves on by one: A B ▶C, D, E ▶F.
//! ```

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::seats::Seats;
use crate::ordered::Ordered;

/// Classes of equals by rank, the lowest first, each a circular list. Every operation is O(log n), a selection O(items). Whoever
/// joins a class sits down before its head: its turn comes last.
#[derive(Clone, Debug)]
pub(super) struct Ranked<M> {
    seats: Seats<Standing<M>>,
    /// The heads of the classes.
    classes: Ordered<u64, u32>,
}

#[derive(Clone, Debug)]
struct Standing<M> {
    member: M,
    rank: u64,
    /// Its neighbours in the class, perhaps itself.
    previous: u32,
    next: u32,
}

impl<M: Copy> Ranked<M> {
    pub(super) fn new() -> Self {
        Self {
            seats: Seats::new(),
            classes: Ordered::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(&mut self, member: M, rank: u64) -> Option<u32> {
        let seat = self.seats.insert(Standing {
            member,
            rank,
            previous: 0,
            next: 0,
        })?;
        self.enter(rank, seat);
        Some(seat)
    }

    pub(super) fn update(&mut self, seat: u32, rank: u64) -> bool {
        let Some(standing) = self.seats.get_mut(seat) else {
            return false;
        };
        let before = core::mem::replace(&mut standing.rank, rank);
        let neighbours = (standing.previous, standing.next);
        if rank != before {
            self.leave(before, seat, neighbours);
            self.enter(rank, seat);
        }
        true
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let standing = self.seats.remove(seat)?;
        self.leave(standing.rank, seat, (standing.previous, standing.next));
        Some(standing.member)
    }

    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
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
            order.insert(member, load);
        }
        let lists = [3, 3, 3, 5].map(|items| next(&mut order, items));
        assert_eq!(lists, ["abx", "bay", "abz", "baxyz"]);
    }
}
