//! Round Robin (RFC 5356 §4.1): a circular list and a head.
//!
//! ```text
//!        head
//!         ▼
//!   ┌─▶ B ─▶ C ─▶ D ─▶ A ─┐      select(2) gives B, C; then the head is C.
//!   └─────────────────────┘      A newcomer sits down before the head: its turn comes last.
//! ```

use alloc::vec::Vec;

use super::seats::Seats;

/// The circular list. Every operation is O(1), a selection O(items).
#[derive(Clone, Debug)]
pub(super) struct RoundRobin<M> {
    seats: Seats<Link<M>>,
    head: Option<u32>,
}

#[derive(Clone, Debug)]
struct Link<M> {
    member: M,
    previous: u32,
    next: u32,
}

impl<M: Copy> RoundRobin<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            head: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn contains(&self, seat: u32) -> bool {
        self.seats.get(seat).is_some()
    }

    pub(super) fn insert(&mut self, member: M) -> Option<u32> {
        let around = self
            .head
            .and_then(|head| Some((self.seats.get(head)?.previous, head)));
        let (previous, next) = around.unwrap_or_default();
        let seat = self.seats.insert(Link {
            member,
            previous,
            next,
        })?;
        if around.is_none() {
            self.head = Some(seat);
            self.join(seat, seat);
            return Some(seat);
        }
        if let Some(link) = self.seats.get_mut(previous) {
            link.next = seat;
        }
        if let Some(link) = self.seats.get_mut(next) {
            link.previous = seat;
        }
        Some(seat)
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let link = self.seats.remove(seat)?;
        self.join(link.previous, link.next);
        if self.head == Some(seat) {
            self.head = (link.next != seat).then_some(link.next);
        }
        Some(link.member)
    }

    /// The members from the head on; then the head moves on by one, however many were selected (RFC 5356 §4.1.2).
    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
        let mut at = self.head;
        for item in 0..items.min(self.len()) {
            let Some(link) = at.and_then(|seat| self.seats.get(seat)) else {
                return;
            };
            selected.push(link.member);
            at = Some(link.next);
            if item == 0 {
                self.head = at;
            }
        }
    }

    fn join(&mut self, previous: u32, next: u32) {
        if let Some(link) = self.seats.get_mut(previous) {
            link.next = next;
        }
        if let Some(link) = self.seats.get_mut(next) {
            link.previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn next(order: &mut RoundRobin<char>, items: usize) -> String {
        let mut selected = Vec::new();
        order.select(items, &mut selected);
        selected.into_iter().collect()
    }

    // RFC 5356 §4.1.2
    #[test]
    fn the_head_advances_by_one_whatever_is_returned() {
        let mut order = RoundRobin::new();
        assert_eq!(next(&mut order, 3), "");
        "ABC".chars().for_each(|member| {
            order.insert(member);
        });
        let lists = [3, 0, 2, 1, 9].map(|items| next(&mut order, items));
        assert_eq!(lists, ["ABC", "", "BC", "C", "ABC"]);
    }

    #[test]
    fn a_newcomer_waits_for_its_turn_and_a_leaver_takes_nobodys() {
        let mut order = RoundRobin::new();
        let [a, b, _] = ['A', 'B', 'C'].map(|member| order.insert(member).unwrap());
        assert_eq!(next(&mut order, 1), "A");
        order.insert('D');
        assert_eq!(next(&mut order, 4), "BCAD");
        assert_eq!(order.remove(b), Some('B'));
        assert_eq!(next(&mut order, 4), "CAD");
        assert_eq!(order.remove(a), Some('A'));
        assert_eq!(next(&mut order, 4), "DC");
    }
}
