//! Weighted Round Robin (RFC 5356 §4.2): windows in a cycle, the earliest deadline first.
//!
//! The circular list of the RFC, with `weight` entries of each member, is never built. A cycle has as many selections as the
//! sum of the weights, and a member of weight w has w windows of equal length in it, one for each selection that is due to
//! it. Of the windows that have opened, the one that closes first is served:
//!
//! ```text
//!   cycle      0 ──────────────────────────── 1      A has weight 3, B has 2, C has 1
//!   A          ├─────────┼─────────┼──────────┤
//!   B          ├──────────────┼───────────────┤      ready    its window is open        by its end
//!   C          ├──────────────────────────────┤      waiting  its window opens later    by its start
//!   served      A    B    A    B    A    C           done     nothing left in this cycle
//! ```
//!
//! A member is never more than about one selection ahead of its share or behind it, and a cycle is exact. With all weights 1
//! it is Round Robin. Starts and ends are compared as fractions, so that any weight is as exact as any other.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use super::seats::Seats;

/// The members by their current windows. Every operation is O(log n), a selection O(items + log n).
#[derive(Clone, Debug)]
pub(super) struct WeightedRoundRobin<M> {
    seats: Seats<Share<M>>,
    /// Windows that are open, by their end.
    ready: BTreeMap<Key, u32>,
    /// Windows that open later in this cycle, by their start.
    waiting: BTreeMap<Key, u32>,
    /// First windows of the next cycle, by their end.
    done: BTreeMap<Key, u32>,
    /// The number of the current cycle.
    cycle: u64,
    /// The sum of all weights.
    total: u64,
    /// Selections that are left in the current cycle.
    remaining: u64,
    next_turn: u64,
}

/// A start or an end, at equal ones the shorter window first, then the turn.
type Key = (Fraction, Reverse<u32>, u64);

#[derive(Clone, Debug)]
struct Share<M> {
    member: M,
    weight: u32,
    /// Windows of the cycle that are behind it; always less than `weight` where there is a weight.
    used: u32,
    /// The cycle that its window is in: the current one or the next.
    cycle: u64,
    waiting: bool,
    turn: u64,
}

/// A point in a cycle. Equal where the values are: 1/2 is 2/4.
#[derive(Clone, Copy, Debug)]
struct Fraction {
    numerator: u32,
    denominator: u32,
}

impl<M> Share<M> {
    fn by_start(&self) -> Key {
        self.key(self.used)
    }

    fn by_end(&self) -> Key {
        self.key(self.used + 1)
    }

    fn key(&self, windows: u32) -> Key {
        let point = Fraction {
            numerator: windows,
            denominator: self.weight,
        };
        (point, Reverse(self.weight), self.turn)
    }
}

impl<M: Copy> WeightedRoundRobin<M> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Seats::new(),
            ready: BTreeMap::new(),
            waiting: BTreeMap::new(),
            done: BTreeMap::new(),
            cycle: 0,
            total: 0,
            remaining: 0,
            next_turn: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// A newcomer has the part of its weight that is left of the cycle, rounded down.
    pub(super) fn insert(&mut self, member: M, weight: u32) -> Option<u32> {
        let seat = self.seats.insert(Share {
            member,
            weight: 0,
            used: 0,
            cycle: 0,
            waiting: false,
            turn: 0,
        })?;
        self.update(seat, weight);
        Some(seat)
    }

    /// A new weight counts from here on. How far the member is ahead of its share or behind it stays, so that nobody gains
    /// or starves by changing its weight often; one that had no weight is a newcomer.
    pub(super) fn update(&mut self, seat: u32, weight: u32) -> bool {
        let Some(share) = self.seats.get(seat) else {
            return false;
        };
        if share.weight == weight {
            return true;
        }
        let newcomer = share.weight == 0;
        let left = self.left_under(share, weight);
        self.withdraw(seat);
        let (turn, next_cycle) = (self.take_turn(), self.cycle + 1);
        if let Some(share) = self.seats.get_mut(seat) {
            share.weight = weight;
            if newcomer {
                share.turn = turn;
            }
            (share.cycle, share.used) = match left {
                0 => (next_cycle, 0),
                _ => (self.cycle, weight - left),
            };
        }
        self.total += u64::from(weight);
        self.remaining += u64::from(left);
        self.enqueue(seat);
        true
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<M> {
        self.withdraw(seat);
        self.seats.remove(seat).map(|share| share.member)
    }

    /// The member whose turn it is, then the others in the order in which their windows come; only the first has been
    /// served (RFC 5356 §4.1.2, §4.2.2).
    pub(super) fn select(&mut self, items: usize, selected: &mut Vec<M>) {
        if items == 0 || self.total == 0 {
            return;
        }
        self.open_windows();
        let lines = [&self.ready, &self.waiting, &self.done];
        let upcoming = lines.into_iter().flat_map(BTreeMap::values);
        let members = upcoming.filter_map(|seat| self.seats.get(*seat));
        selected.extend(members.take(items).map(|share| share.member));
        // Somebody always is ready: the windows that are behind all members are as many as the selections of the cycle so far,
        // so that not all of them can be ahead of their shares.
        if let Some((_, &seat)) = self.ready.first_key_value() {
            self.serve(seat);
        }
    }

    /// Begins a cycle where the last one is over, and makes those ready whose windows have opened since.
    fn open_windows(&mut self) {
        if self.remaining == 0 {
            core::mem::swap(&mut self.ready, &mut self.done);
            self.cycle += 1;
            self.remaining = self.total;
        }
        for _ in 0..OPENED_AT_ONCE {
            let Some((_, &seat)) = self.waiting.first_key_value() else {
                return;
            };
            if !self
                .seats
                .get(seat)
                .is_some_and(|share| self.is_open(share))
            {
                return;
            }
            self.dequeue(seat);
            self.enqueue(seat);
        }
    }

    /// Counts a selection of this cycle for a member.
    fn serve(&mut self, seat: u32) {
        self.dequeue(seat);
        self.remaining -= 1;
        let (turn, next_cycle) = (self.take_turn(), self.cycle + 1);
        if let Some(share) = self.seats.get_mut(seat) {
            share.turn = turn;
            share.used += 1;
            if share.used == share.weight {
                (share.cycle, share.used) = (next_cycle, 0);
            }
        }
        self.enqueue(seat);
    }

    /// Whether the cycle has come to the start of its window.
    fn is_open(&self, share: &Share<M>) -> bool {
        let elapsed = u128::from(self.total - self.remaining);
        u128::from(share.used) * u128::from(self.total) <= elapsed * u128::from(share.weight)
    }

    /// Selections that are left to it in the current cycle.
    fn left_of(&self, share: &Share<M>) -> u32 {
        match share.cycle == self.cycle {
            true => share.weight - share.used,
            false => 0,
        }
    }

    /// Selections that would be left to it in the current cycle with another weight: as many more or fewer as the difference
    /// has in what is left of the cycle, but never a whole one away from the new share. At most `weight`.
    fn left_under(&self, share: &Share<M>, weight: u32) -> u32 {
        let (remaining, total) = (u128::from(self.remaining), u128::from(self.total));
        let part = |weight: u32| u128::from(weight) * remaining;
        let left = match total {
            0 => 0,
            _ if share.weight == 0 => part(weight) / total,
            _ => {
                let own = u128::from(self.left_of(share));
                let rounded = (part(weight.abs_diff(share.weight)) + total / 2) / total;
                let moved = match weight > share.weight {
                    true => own + rounded,
                    false => own.saturating_sub(rounded),
                };
                moved.clamp(part(weight) / total, part(weight).div_ceil(total))
            }
        };
        u32::try_from(left).map_or(weight, |left| left.min(weight))
    }

    /// Takes a member's part out of the cycle; what is left is a member without weight.
    fn withdraw(&mut self, seat: u32) {
        let Some(share) = self.seats.get(seat) else {
            return;
        };
        let (weight, left) = (share.weight, self.left_of(share));
        self.dequeue(seat);
        self.total -= u64::from(weight);
        self.remaining -= u64::from(left);
        if let Some(share) = self.seats.get_mut(seat) {
            (share.weight, share.used) = (0, 0);
        }
    }

    /// Puts a member into the line that it belongs to; one without weight is in none.
    fn enqueue(&mut self, seat: u32) {
        let Some(share) = self.seats.get(seat).filter(|share| share.weight > 0) else {
            return;
        };
        let (start, end) = (share.by_start(), share.by_end());
        let current = share.cycle == self.cycle;
        let waiting = current && !self.is_open(share);
        match (current, waiting) {
            (_, true) => self.waiting.insert(start, seat),
            (true, _) => self.ready.insert(end, seat),
            (false, _) => self.done.insert(end, seat),
        };
        if let Some(share) = self.seats.get_mut(seat) {
            share.waiting = waiting;
        }
    }

    fn dequeue(&mut self, seat: u32) {
        let Some(share) = self.seats.get(seat).filter(|share| share.weight > 0) else {
            return;
        };
        let (start, end) = (share.by_start(), share.by_end());
        match (share.cycle == self.cycle, share.waiting) {
            (_, true) => self.waiting.remove(&start),
            (true, _) => self.ready.remove(&end),
            (false, _) => self.done.remove(&end),
        };
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        let own = u64::from(self.numerator) * u64::from(other.denominator);
        own.cmp(&(u64::from(other.numerator) * u64::from(self.denominator)))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fraction {}

/// How many windows one selection makes ready at most. One opens per selection on average, but all may open at once.
const OPENED_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::round_robin::RoundRobin;
    use alloc::string::String;

    fn pool(weights: &[u32]) -> (WeightedRoundRobin<usize>, Vec<u32>) {
        let mut order = WeightedRoundRobin::new();
        let insert = |(member, weight): (usize, &u32)| order.insert(member, *weight).unwrap();
        let seats = weights.iter().enumerate().map(insert).collect();
        (order, seats)
    }

    fn next(order: &mut WeightedRoundRobin<usize>, items: usize) -> Vec<usize> {
        let mut selected = Vec::new();
        order.select(items, &mut selected);
        selected
    }

    fn row(order: &mut WeightedRoundRobin<usize>, selections: usize) -> Vec<usize> {
        (0..selections).flat_map(|_| next(order, 1)).collect()
    }

    fn letters(members: Vec<usize>) -> String {
        members
            .into_iter()
            .map(|member| char::from(b'A' + u8::try_from(member).unwrap()))
            .collect()
    }

    #[test]
    fn the_example_of_the_module() {
        let (mut order, _) = pool(&[3, 2, 1]);
        assert_eq!(letters(row(&mut order, 12)), "ABABACABABAC");
        let (mut order, _) = pool(&[5, 1, 1]);
        assert_eq!(letters(row(&mut order, 14)), "ABAACAAABAACAA");
    }

    // RFC 5356 §4.2.2: exact over a cycle, and never further from the share than one selection or so.
    #[test]
    fn every_cycle_is_exact_and_even() {
        let mut pools: Vec<Vec<u32>> = [
            &[50][..],
            &[7, 3],
            &[1, 0, 2],
            &[100, 7, 7, 7, 3],
            &[1, 2, 4, 8, 16],
        ]
        .map(Vec::from)
        .to_vec();
        pools.push([&[50][..], &[1; 50]].concat());
        pools.push((1..=24).collect());
        for weights in pools {
            let (mut order, _) = pool(&weights);
            let cycle = weights.iter().sum::<u32>() as usize;
            for _ in 0..3 {
                let mut counts = alloc::vec![0_usize; weights.len()];
                for (at, member) in row(&mut order, cycle).into_iter().enumerate() {
                    counts[member] += 1;
                    for (count, weight) in counts.iter().zip(&weights) {
                        let lag = (count * cycle).abs_diff((at + 1) * *weight as usize);
                        assert!(lag < cycle, "{weights:?}: {counts:?} after {at}");
                    }
                }
                assert!(counts.iter().zip(&weights).all(|(c, w)| *c == *w as usize));
            }
        }
    }

    #[test]
    fn a_heavy_member_alternates_with_many_light_ones() {
        let (mut order, _) = pool(&[&[50][..], &[1; 50]].concat());
        let row = row(&mut order, 100);
        assert!(row.chunks(2).all(|pair| pair[0] == 0 && pair[1] > 0));
    }

    // RFC 5356 §4.2.1
    #[test]
    fn with_all_weights_one_it_is_round_robin() {
        let (mut order, mut seats) = pool(&[1; 4]);
        let mut round = RoundRobin::new();
        let mut round_seats: Vec<_> = (0..4).map(|member| round.insert(member).unwrap()).collect();
        for step in 0..200 {
            let mut expected = Vec::new();
            round.select(step % 6, &mut expected);
            assert_eq!(next(&mut order, step % 6), expected);
            match step % 7 {
                3 => {
                    seats.push(order.insert(step, 1).unwrap());
                    round_seats.push(round.insert(step).unwrap());
                }
                5 => {
                    let leaver = step % seats.len();
                    order.remove(seats.swap_remove(leaver));
                    round.remove(round_seats.swap_remove(leaver));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_new_weight_counts_at_once() {
        let (mut order, seats) = pool(&[u32::MAX, 0, 1]);
        assert_eq!(row(&mut order, 4), [0, 2, 0, 0]);
        assert!(order.update(seats[1], u32::MAX));
        let row_of_two = row(&mut order, 100);
        for member in [0, 1] {
            assert_eq!(row_of_two.iter().filter(|m| **m == member).count(), 50);
        }
        assert!(order.update(seats[0], 0));
        assert_eq!(row(&mut order, 3), [1, 1, 1]);
        assert!(order.update(seats[1], 0));
        assert_eq!(row(&mut order, 3), [2, 2, 2]);
        assert!(order.update(seats[2], 0));
        assert_eq!(row(&mut order, 3), []);
    }

    #[test]
    fn a_member_that_keeps_changing_neither_starves_nor_gains() {
        let (mut order, seats) = pool(&[10; 10]);
        let mut count = 0;
        for step in 0..1_000 {
            order.update(seats[3], 10 + step % 2);
            count += usize::from(next(&mut order, 1) == [3]);
        }
        assert!((95..=115).contains(&count), "{count}");
    }

    #[test]
    fn windows_that_open_at_once_all_come() {
        let (mut order, _) = pool(&[2; 1_000]);
        for _ in 0..4 {
            let mut row = row(&mut order, 1_000);
            row.sort_unstable();
            assert!(row.into_iter().eq(0..1_000));
        }
        let all = next(&mut order, 2_000);
        assert_eq!(all.len(), 1_000);
    }
}
