//! Ranks in order, each with a value: runs of up to 16 ranks, found by the digits of a rank.
//!
//! ```text
//!   root   slot  0   1   2   3  …  63      runs
//!                │   │   └─┬─┘      │      0   10 12 15 ··
//!              run 0 │   run 2    run 3    1   71 72 90 98 99   in some slots of the node, as others there
//!                   node                   2   130 255 ··
//! ```
//!
//! A node looks at 6 bits of a rank. A run has one slot of a node, or some that follow each other, so that each number belongs to
//! one run: where a rank is, or would be, takes a step for each digit that matters, and then only that run, of four cache lines, is
//! read and written. A full run is split between two slots; where it has a single one, it gets a node there and all of its slots.
//! Runs that are nearly empty are joined with a neighbour of the same node, and a node with one run left gives its slot to it.
//! What a selection takes is at the begin of run 0, or of one of the next few where that is empty.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::run::{MOST, NONE, Run};

/// A sorted map from ranks to values. Every operation takes 11 steps at most and moves the items of one run; to split one or to
/// join two takes that for each digit at most.
#[derive(Clone, Debug)]
pub(super) struct Ranks {
    /// Run 0 is the lowest and always there, perhaps empty.
    runs: Vec<Run>,
    nodes: Vec<Node>,
    /// Runs that are not used, by `next`, and nodes, by `parent`.
    free_run: u32,
    free_node: u32,
    /// As the content of a slot.
    root: u32,
    /// How far a rank is shifted for the digit at which the root looks.
    shift: u32,
    /// The highest rank for which the root has a slot.
    highest: u64,
}

#[derive(Clone, Debug)]
struct Node {
    /// Numbers of runs, or of nodes and [`NODE`].
    slots: [u32; SLOTS],
    /// The node above and the slot there; [`NONE`] for the root.
    parent: u32,
    slot: u8,
    shift: u32,
}

/// A run with fewer is joined with another, where both together do not have more than half of [`MOST`].
const FEW: usize = MOST / 4;
const SLOTS: usize = 64;
const LAST_SLOT: u8 = 63;
const BITS: u32 = 6;
/// Says that the rest is the number of a node.
const NODE: u32 = 1 << 31;

impl Node {
    const fn new(parent: u32, slot: u8, shift: u32) -> Self {
        Self {
            slots: [0; SLOTS],
            parent,
            slot,
            shift,
        }
    }
}

impl Ranks {
    pub(super) fn new() -> Self {
        Self {
            runs: alloc::vec![Run::new()],
            nodes: Vec::new(),
            free_run: NONE,
            free_node: NONE,
            root: 0,
            shift: 0,
            highest: u64::MAX,
        }
    }

    pub(super) fn get_mut(&mut self, rank: u64) -> Option<&mut u32> {
        let number = self.run_of(rank);
        let run = self.runs.get_mut(number as usize)?;
        let place = run.place(rank).ok()?;
        Some(run.value(place))
    }

    /// Adds a rank; where it is there, nothing changes, and its value is the answer.
    pub(super) fn insert(&mut self, rank: u64, value: u32) -> Option<u32> {
        loop {
            if rank > self.highest {
                self.rise();
                continue;
            }
            let number = self.run_of(rank);
            let run = &mut self.runs[number as usize];
            let place = match run.place(rank) {
                Ok(place) => return Some(*run.value(place)),
                Err(place) => place,
            };
            if run.len() < MOST {
                run.insert(place, (rank, value));
                return None;
            }
            self.split(number, rank);
        }
    }

    pub(super) fn remove(&mut self, rank: u64) -> Option<u32> {
        let number = self.run_of(rank);
        let run = self.runs.get_mut(number as usize)?;
        let place = run.place(rank).ok()?;
        let value = run.remove(place);
        if run.len() < FEW {
            self.join(number);
        }
        Some(value)
    }

    /// Takes the lowest rank away, if its value is such a one.
    pub(super) fn take_lowest_if(&mut self, is: impl FnOnce(u32) -> bool) -> Option<u32> {
        let mut number = 0;
        loop {
            let run = self.runs.get_mut(number as usize)?;
            if run.len == 0 {
                number = run.next;
                continue;
            }
            let value = *run.value(0);
            if !is(value) {
                return None;
            }
            run.remove(0);
            if run.len == 0 {
                self.join(number);
            }
            return Some(value);
        }
    }

    /// Shows the values in the order of their ranks to `visit`, to look at and to change, until it has seen enough.
    pub(super) fn visit(&mut self, mut visit: impl FnMut(&mut u32) -> ControlFlow<()>) {
        let mut number = 0;
        while let Some(run) = self.runs.get_mut(number as usize) {
            for place in 0..run.len() {
                if visit(run.value(place)).is_break() {
                    return;
                }
            }
            number = run.next;
        }
    }

    /// The number of the run to which a rank belongs.
    fn run_of(&self, rank: u64) -> u32 {
        let (mut slot, mut shift) = (self.root, self.shift);
        while slot & NODE != 0 {
            slot = self.nodes[(slot ^ NODE) as usize].slots[usize::from(digit(rank, shift))];
            shift = shift.wrapping_sub(BITS);
        }
        slot
    }

    /// Puts a root above the one that is there, for ranks that are too high for it.
    fn rise(&mut self) {
        let old = self.root;
        let shift = self.shift + BITS;
        // Nothing is beyond the highest digits: they lead to the last run.
        let last = self.run_of(u64::MAX);
        let root = self.add_node(Node::new(NONE, 0, shift));
        let added = self.add_run_after(last, (root, 1, LAST_SLOT));
        let slots = &mut self.nodes[root as usize].slots;
        slots.fill(added);
        slots[0] = old;
        self.nodes[(old ^ NODE) as usize].parent = root;
        self.root = root | NODE;
        self.set_shift(shift);
    }

    /// Gives the slots of the upper half of a full run to a new one, or those above all its ranks where `rank` is to be there, so
    /// that ranks which come in their order leave fuller runs behind.
    #[inline(never)] // One call in ten: its registers and its room on the stack are not for the others.
    fn split(&mut self, number: u32, rank: u64) {
        let run = &self.runs[number as usize];
        if run.first == run.last {
            self.add_node_for(number, rank);
        }
        let run = &mut self.runs[number as usize];
        let shift = self.nodes[run.node as usize].shift;
        let slot_of = |place| digit(run.rank(place), shift);
        let (lowest, middle, highest) = (slot_of(0), slot_of(MOST / 2), slot_of(MOST - 1));
        let first = if highest < digit(rank, shift) {
            highest + 1
        } else if lowest < middle || middle == run.last {
            middle
        } else {
            middle + 1
        };
        let stays = (0..MOST)
            .take_while(|place| slot_of(*place) < first)
            .count();
        let (node, last) = (run.node, run.last);
        run.last = first - 1;
        let added = self.add_run_after(number, (node, first, last));
        let slots = usize::from(first)..=usize::from(last);
        self.nodes[node as usize].slots[slots].fill(added);
        if let Some((lower, upper)) = self.pair(number, added) {
            upper.take(lower, stays);
        }
    }

    /// Two different runs.
    fn pair(&mut self, first: u32, second: u32) -> Option<(&mut Run, &mut Run)> {
        let pair = self
            .runs
            .get_disjoint_mut([first as usize, second as usize]);
        pair.ok().map(|[first, second]| (first, second))
    }

    /// A node for a run that has a single slot: all of its slots are the run's.
    fn add_node_for(&mut self, number: u32, rank: u64) {
        let run = &mut self.runs[number as usize];
        let (parent, slot) = (run.node, run.first);
        let shift = match self.nodes.get(parent as usize) {
            Some(parent) => parent.shift - BITS,
            None => run.rank(MOST - 1).max(rank).ilog2() / BITS * BITS,
        };
        let mut node = Node::new(parent, slot, shift);
        node.slots.fill(number);
        let added = self.add_node(node);
        let run = &mut self.runs[number as usize];
        (run.node, run.first, run.last) = (added, 0, LAST_SLOT);
        self.put(parent, slot, added | NODE);
        if parent == NONE {
            self.set_shift(shift);
        }
    }

    /// Joins a run that is nearly empty with a neighbour, and does so with what comes of it.
    #[inline(never)] // As `split`.
    fn join(&mut self, mut number: u32) {
        while let Some(run) = self.runs.get(number as usize)
            && run.len() < FEW
        {
            if self.can_join(number, run.next) {
                self.take_in_next(number);
            } else if self.can_join(run.previous, number) {
                number = run.previous;
                self.take_in_next(number);
            } else {
                return;
            }
        }
    }

    /// Whether two neighbours are of the same node and together fill half of one at most, or one of them is empty.
    fn can_join(&self, lower: u32, upper: u32) -> bool {
        let (lower, upper) = (self.runs.get(lower as usize), self.runs.get(upper as usize));
        lower.zip(upper).is_some_and(|(lower, upper)| {
            lower.node == upper.node
                && (lower.len() + upper.len() <= MOST / 2 || lower.len == 0 || upper.len == 0)
        })
    }

    /// A run takes in the next one, which is of the same node and for which it has room.
    fn take_in_next(&mut self, number: u32) {
        let taken = self.runs[number as usize].next;
        let Some((run, upper)) = self.pair(number, taken) else {
            return;
        };
        run.take(upper, 0);
        let (node, slots, next) = (run.node, upper.slots(), upper.next);
        (run.last, run.next) = (upper.last, next);
        let whole = (run.first, run.last) == (0, LAST_SLOT);
        let free = &mut self.runs[taken as usize];
        free.next = core::mem::replace(&mut self.free_run, taken);
        if let Some(next) = self.runs.get_mut(next as usize) {
            next.previous = number;
        }
        match whole {
            true => self.remove_node(node, number),
            false => self.nodes[node as usize].slots[slots].fill(number),
        }
    }

    /// Removes a node. The run that is the only one there has its slot then.
    fn remove_node(&mut self, node: u32, only: u32) {
        let removed = &mut self.nodes[node as usize];
        let (parent, slot) = (removed.parent, removed.slot);
        removed.parent = self.free_node;
        self.free_node = node;
        let run = &mut self.runs[only as usize];
        (run.node, run.first, run.last) = (parent, slot, slot);
        self.put(parent, slot, only);
    }

    /// How far the root shifts a rank.
    fn set_shift(&mut self, shift: u32) {
        self.shift = shift;
        self.highest = u64::MAX >> (u64::BITS - BITS).saturating_sub(shift);
    }

    /// Sets the content of a slot, or of all where there is no node.
    fn put(&mut self, node: u32, slot: u8, content: u32) {
        match self.nodes.get_mut(node as usize) {
            Some(node) => node.slots[usize::from(slot)] = content,
            None => {
                self.root = content;
                self.highest = u64::MAX;
            }
        }
    }

    /// Adds an empty run that has slots of a node from one to another.
    fn add_run_after(&mut self, previous: u32, (node, first, last): (u32, u8, u8)) -> u32 {
        let next = self.runs[previous as usize].next;
        let added = match self.runs.get(self.free_run as usize) {
            Some(free) => core::mem::replace(&mut self.free_run, free.next),
            None => {
                self.runs.push(Run::new());
                number_of(self.runs.len() - 1)
            }
        };
        let run = &mut self.runs[added as usize];
        (run.node, run.first, run.last) = (node, first, last);
        (run.previous, run.next, run.len) = (previous, next, 0);
        self.runs[previous as usize].next = added;
        if let Some(next) = self.runs.get_mut(next as usize) {
            next.previous = added;
        }
        added
    }

    fn add_node(&mut self, node: Node) -> u32 {
        match self.nodes.get_mut(self.free_node as usize) {
            Some(free) => {
                let added = self.free_node;
                self.free_node = free.parent;
                *free = node;
                added
            }
            None => {
                self.nodes.push(node);
                number_of(self.nodes.len() - 1)
            }
        }
    }
}

/// The slot of a rank in a node.
const fn digit(rank: u64, shift: u32) -> u8 {
    (rank >> shift & 0x3f) as u8
}

fn number_of(place: usize) -> u32 {
    let number = u32::try_from(place)
        .ok()
        .filter(|number| number & NODE == 0);
    number.expect("2^31 runs need more memory than there is")
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Runs that follow each other and are empty: those on the way from one run to the next, up and down all digits.
    const EMPTY_IN_A_ROW: usize = 2 * 11;

    fn check(real: &Ranks, model: &BTreeMap<u64, u32>) {
        let (mut items, mut before, mut number, mut empty) = (Vec::new(), NONE, 0, 0);
        let mut used = 0;
        while let Some(run) = real.runs.get(number as usize) {
            used += 1;
            empty = if run.len == 0 { empty + 1 } else { 0 };
            assert!(empty <= EMPTY_IN_A_ROW);
            assert_eq!(run.previous, before);
            for place in 0..run.len() {
                assert_eq!(real.run_of(run.rank(place)), number);
                items.push((run.rank(place), *run.clone().value(place)));
            }
            (before, number) = (number, run.next);
        }
        assert!(
            items
                .iter()
                .copied()
                .eq(model.iter().map(|(rank, value)| (*rank, *value)))
        );
        let (runs, nodes) = below(real, real.root, (NONE, 0));
        assert_eq!(runs, used);
        let free = |mut next: u32, follow: &dyn Fn(u32) -> Option<u32>| {
            let mut count = 0;
            while let Some(after) = follow(next) {
                (next, count) = (after, count + 1);
            }
            count
        };
        let free_runs = free(real.free_run, &|run| {
            Some(real.runs.get(run as usize)?.next)
        });
        let free_nodes = free(real.free_node, &|node| {
            Some(real.nodes.get(node as usize)?.parent)
        });
        assert_eq!(
            (runs + free_runs, nodes + free_nodes),
            (real.runs.len(), real.nodes.len())
        );
    }

    /// How many runs and nodes there are in a slot, all of which are as they should be.
    fn below(real: &Ranks, content: u32, (parent, slot): (u32, u8)) -> (usize, usize) {
        if content & NODE == 0 {
            let run = &real.runs[content as usize];
            assert!(run.node == parent && run.slots().contains(&usize::from(slot)));
            return (usize::from(run.first == slot), 0);
        }
        let number = content ^ NODE;
        let node = &real.nodes[number as usize];
        assert_eq!((node.parent, node.slot), (parent, slot));
        let shift = real
            .nodes
            .get(parent as usize)
            .map_or(real.shift + BITS, |node| node.shift);
        assert_eq!(node.shift + BITS, shift);
        let slots = (0..).zip(node.slots);
        let parts = slots.map(|(slot, content)| below(real, content, (number, slot)));
        parts.fold((0, 1), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    /// Close together, far from each other, and both.
    fn rank() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..300_u64,
            (0..40_u64, 0..64_u32).prop_map(|(rank, shift)| rank << shift),
            (any::<u64>(), 0..64_u32).prop_map(|(rank, shift)| rank >> shift),
            (0..300_u64).prop_map(|rank| u64::from(u32::MAX) - rank),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
        #[test]
        fn as_a_tree(steps in prop::collection::vec((rank(), 0..10_u32), 0..2_000), ascending in 0..500_u64) {
            let (mut real, mut model) = (Ranks::new(), BTreeMap::new());
            for rank in 0..ascending {
                prop_assert_eq!(real.insert(rank << 20, 7), None);
                model.insert(rank << 20, 7);
            }
            check(&real, &model);
            for (value, (rank, step)) in (0..).zip(steps) {
                let known = model.range(rank..).next().map_or(rank, |(known, _)| *known);
                match step {
                    0..6 => {
                        prop_assert_eq!(real.insert(rank, value), model.get(&rank).copied());
                        model.entry(rank).or_insert(value);
                    }
                    6..8 => prop_assert_eq!(real.remove(known), model.remove(&known)),
                    8 => {
                        let lowest = model.first_entry();
                        let taken = lowest.filter(|lowest| lowest.get() % 2 == 0);
                        let taken = taken.map(|lowest| lowest.remove());
                        prop_assert_eq!(real.take_lowest_if(|value| value % 2 == 0), taken);
                    }
                    _ => prop_assert_eq!(real.get_mut(rank), model.get_mut(&rank)),
                }
                prop_assert_eq!(real.get_mut(known).copied(), model.get(&known).copied());
            }
            check(&real, &model);
            let mut left = 40;
            real.visit(|value| {
                *value += 1;
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            model.values_mut().take(40).for_each(|value| *value += 1);
            check(&real, &model);
            while let Some((rank, value)) = model.pop_first() {
                match rank % 2 {
                    0 => prop_assert_eq!(real.take_lowest_if(|_| true), Some(value)),
                    _ => prop_assert_eq!(real.remove(rank), Some(value)),
                }
                if model.len() % 64 == 0 {
                    check(&real, &model);
                }
            }
            prop_assert_eq!(real.take_lowest_if(|_| true), None);
            prop_assert_eq!(real.root, 0, "a single run is left");
        }
    }

    #[test]
    fn runs_are_filled_whatever_the_order() {
        let filled = |rank: fn(u32) -> u32| {
            let mut ranks = Ranks::new();
            (0..100_000).for_each(|number| assert_eq!(ranks.insert(rank(number).into(), 0), None));
            100_000.0 / ranks.runs.len() as f64 / MOST as f64
        };
        let ascending = filled(|number| 3_001 * number);
        assert!(ascending > 0.55, "{ascending}");
        let spread = filled(|number| number.wrapping_mul(0x9e37_79b1));
        assert!(spread > 0.6, "{spread}");
    }
}
