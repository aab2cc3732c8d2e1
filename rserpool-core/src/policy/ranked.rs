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

use super::ranks::Ranks;
use super::seats::Seats;

/// Where a member stands, the lowest first, and how much higher with each selection.
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
}

/// Classes of equals by rank, each a circular list. Every operation takes a few steps, a selection a few for each item.
#[derive(Clone, Debug)]
pub(super) struct Ranked<M> {
    seats: Seats<Standing<M>>,
    /// By how much a selection raises who sits there. Seats behind the last one of anybody with a step are not there.
    steps: Vec<u32>,
    /// The heads of the classes.
    classes: Ranks,
}

#[derive(Clone, Debug)]
struct Standing<M> {
    member: M,
    /// That of its registration, and a step more for each selection since then: with it the degradation counter of
    /// RFC 5356 §5.2.2.
    rank: u64,
    /// Its neighbours in the class, perhaps itself.
    previous: u32,
    next: u32,
}

impl<M: Copy> Ranked<M> {
    pub(super) fn new() -> Self {
        Self {
            seats: Seats::new(),
            steps: Vec::new(),
            classes: Ranks::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn insert(&mut self, member: M, rank: Rank) -> Option<u32> {
        let seat = self.seats.insert(Standing {
            member,
            rank: rank.base,
            previous: 0,
            next: 0,
        })?;
        self.set_step(seat, rank.step);
        self.enter(rank.base, seat);
        Some(seat)
    }

    pub(super) fn update(&mut self, seat: u32, rank: Rank) -> bool {
        if self.seats.get(seat).is_none() {
            return false;
        }
        self.set_step(seat, rank.step);
        self.change(seat, rank.base);
        true
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        let standing = self.seats.remove(seat)?;
        self.leave(standing.rank, seat, (standing.previous, standing.next));
        Some(standing.member)
    }

    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
        if !self.steps.is_empty() {
            return self.select_and_raise(items, selected);
        }
        let Some(mut left) = items.checked_sub(1) else {
            return;
        };
        let seats = &self.seats;
        self.classes.visit(|head| {
            let first = *head;
            let Some(standing) = seats.get(first) else {
                return ControlFlow::Break(());
            };
            selected.push(standing.member);
            *head = standing.next;
            let mut at = standing.next;
            while at != first
                && left > 0
                && let Some(standing) = seats.get(at)
            {
                left -= 1;
                selected.push(standing.member);
                at = standing.next;
            }
            match left.checked_sub(1) {
                Some(less) => left = less,
                None => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        });
    }

    /// The same where a selection moves members to other classes. None joins its new class before all are selected, and then they
    /// do so in the order of their selection.
    fn select_and_raise(&mut self, items: usize, selected: &mut Vec<M>) {
        let before = selected.len();
        let mut at = self.select_alone(items, selected);
        let others = match items - (selected.len() - before) {
            0 => Others::new(),
            left => self.select_others(left, selected),
        };
        while let Some(standing) = self.seats.get(at) {
            let (seat, rank) = (at, standing.rank);
            at = standing.next;
            self.enter(rank, seat);
        }
        for (seat, leads) in others {
            let Some(standing) = self.seats.get(seat) else {
                continue;
            };
            let rank = standing.rank;
            let raised = rank.saturating_add(self.step(seat).into());
            if raised != rank {
                self.change(seat, raised);
            } else if leads {
                self.move_on(seat);
            }
        }
    }

    /// Selects the lowest as long as each is alone in its class and a selection raises it, the usual case. They have left their
    /// classes and have their new ranks then. Answers with the first one, from which `next` leads to the others.
    fn select_alone(&mut self, items: usize, selected: &mut Vec<M>) -> u32 {
        let (mut first, mut last) = (NOBODY, NOBODY);
        let (seats, steps) = (&mut self.seats, &self.steps);
        for _ in 0..items {
            let taken = self.classes.take_lowest_if(|seat| {
                let (Some(standing), Some(step)) = (seats.get_mut(seat), steps.get(seat as usize))
                else {
                    return false;
                };
                let raised = standing.rank.saturating_add((*step).into());
                if standing.next != seat || raised == standing.rank {
                    return false;
                }
                standing.rank = raised;
                standing.next = NOBODY;
                selected.push(standing.member);
                true
            });
            let Some(seat) = taken else {
                break;
            };
            match seats.get_mut(last) {
                Some(standing) => standing.next = seat,
                None => first = seat,
            }
            last = seat;
        }
        first
    }

    /// Selects some more, whoever they are. Answers with those that a selection may move, and whether each was the head of others,
    /// which moves on.
    fn select_others(&mut self, items: usize, selected: &mut Vec<M>) -> Others {
        let mut later = Others::new();
        let mut left = items;
        let (seats, steps) = (&self.seats, &self.steps);
        self.classes.visit(|head| {
            let first = *head;
            let mut at = first;
            while left > 0
                && let Some(standing) = seats.get(at)
            {
                left -= 1;
                selected.push(standing.member);
                let leads = at == first && standing.next != first;
                let step = steps.get(at as usize).copied().unwrap_or(0);
                if step > 0 || leads {
                    later.push((at, leads));
                }
                at = standing.next;
                if at == first {
                    return ControlFlow::Continue(());
                }
            }
            ControlFlow::Break(())
        });
        later
    }

    fn step(&self, seat: u32) -> u32 {
        self.steps.get(seat as usize).copied().unwrap_or(0)
    }

    fn set_step(&mut self, seat: u32, step: u32) {
        let seat = seat as usize;
        if step > 0 && seat >= self.steps.len() {
            self.steps.resize(seat + 1, 0);
        }
        if let Some(known) = self.steps.get_mut(seat) {
            *known = step;
        }
    }

    /// Gives a member a rank; where it is another one, its turn is the last one there.
    fn change(&mut self, seat: u32, rank: u64) {
        let Some(standing) = self.seats.get_mut(seat) else {
            return;
        };
        let (before, neighbours) = (standing.rank, (standing.previous, standing.next));
        if rank != before {
            standing.rank = rank;
            self.leave(before, seat, neighbours);
            self.enter(rank, seat);
        }
    }

    /// The next one is the head of the class, if this one was.
    fn move_on(&mut self, seat: u32) {
        if let Some(standing) = self.seats.get(seat)
            && let Some(head) = self.classes.get_mut(standing.rank)
            && *head == seat
        {
            *head = standing.next;
        }
    }

    /// Sits down before the head of a class.
    fn enter(&mut self, rank: u64, seat: u32) {
        let head = self.classes.insert(rank, seat);
        match head.and_then(|head| self.seats.get(head)) {
            Some(standing) => {
                let (previous, next) = (standing.previous, head.unwrap_or(seat));
                self.join(previous, seat);
                self.join(seat, next);
            }
            None => self.join(seat, seat),
        }
    }

    /// Leaves a class, where it sits between these two.
    fn leave(&mut self, rank: u64, seat: u32, (previous, next): (u32, u32)) {
        if next == seat {
            self.classes.remove(rank);
            return;
        }
        self.join(previous, next);
        if let Some(head) = self.classes.get_mut(rank)
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

/// Who moves after a selection, and whether it is the head of its class.
type Others = SmallVec<[(u32, bool); 8]>;

/// No seat.
const NOBODY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
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
        let highest = Rank {
            base: u64::MAX - 1,
            step: u32::MAX,
        };
        order.insert('a', highest);
        order.insert('b', Rank::degrading(0, u32::MAX));
        assert_eq!(next(&mut order, 2), "ba");
        assert_eq!(next(&mut order, 2), "ba");
    }

    /// Members in the order of their turns, sorted by rank at each selection: what the module says, word by word.
    #[test]
    fn as_a_list_that_is_sorted() {
        let mut rng = Rng::from_seed([7; 32]);
        let (mut order, mut list) = (Ranked::new(), Vec::new());
        for member in 0..300 {
            let step = [0, 40_000_000, 60_000_000][rng.index(3)];
            // Those that nothing raises come late, for else there would soon be no others.
            let base = (rng.index(100) + if step == 0 { 50 } else { 0 }) as u64 * 40_000_000;
            order.insert(member, Rank { base, step });
            list.push((base, step, member));
        }
        for _ in 0..4_000 {
            let items = rng.index(9);
            let mut selected = Vec::new();
            order.select(items, &mut selected);
            let mut sorted = list.clone();
            sorted.sort_by_key(|(rank, ..)| *rank);
            assert!(
                sorted
                    .iter()
                    .take(items)
                    .map(|(.., member)| *member)
                    .eq(selected)
            );
            let rank = |place: usize| sorted.get(place).map(|(rank, ..)| *rank);
            for (place, (_, step, member)) in sorted.iter().take(items).enumerate() {
                let leads = place == 0 || rank(place - 1) != rank(place);
                if *step > 0 || (leads && rank(place + 1) == rank(place)) {
                    let at = list.iter().position(|(.., other)| other == member);
                    let (rank, step, member) = list.remove(at.unwrap());
                    list.push((rank + u64::from(step), step, member));
                }
            }
        }
    }
}
