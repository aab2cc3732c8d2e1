//! A heap that knows where each seat is.
//!
//! ```text
//!   queue      (key, seat), up to 4 after each one, none of them with a lower key
//!   positions  seat ─▶ where it stands in the queue
//! ```

use alloc::vec::Vec;

/// Seats by key, the lowest first. Every operation is O(log n).
#[derive(Clone, Debug)]
pub(super) struct Heap<K> {
    queue: Vec<(K, u32)>,
    /// Where each seat stands; [`NOWHERE`] where it does not.
    positions: Vec<u32>,
}

impl<K: Ord + Copy> Heap<K> {
    pub(super) const fn new() -> Self {
        Self {
            queue: Vec::new(),
            positions: Vec::new(),
        }
    }

    pub(super) fn first(&self) -> Option<(K, u32)> {
        self.queue.first().copied()
    }

    /// The one after the first.
    pub(super) fn second(&self) -> Option<(K, u32)> {
        let second = self.first_after(0)?;
        self.queue.get(second).copied()
    }

    /// Gives a seat a key; it need not have one.
    pub(super) fn set(&mut self, seat: u32, key: K) {
        let number = seat as usize;
        if self.positions.len() <= number {
            self.positions.resize(number + 1, NOWHERE);
        }
        let mut position = self.positions[number] as usize;
        if self.positions[number] == NOWHERE {
            position = self.queue.len();
            self.queue.push((key, seat));
        }
        self.place((key, seat), position);
    }

    pub(super) fn remove(&mut self, seat: u32) {
        let Some(position) = self.positions.get_mut(seat as usize) else {
            return;
        };
        let position = core::mem::replace(position, NOWHERE);
        if position != NOWHERE
            && let Some(last) = self.queue.pop()
            && (position as usize) < self.queue.len()
        {
            self.place(last, position as usize);
        }
    }

    pub(super) fn pop(&mut self) -> Option<(K, u32)> {
        let first = self.first()?;
        self.remove(first.1);
        Some(first)
    }

    /// Puts an entry into the queue at `position`, whose own entry is of no account any more, or where its key belongs: what stands
    /// in the way moves over.
    fn place(&mut self, entry: (K, u32), position: usize) {
        let mut place = position;
        while let Some(before) = place.checked_sub(1).map(|place| place / WIDTH)
            && entry.0 < self.queue[before].0
        {
            self.put(self.queue[before], place);
            place = before;
        }
        // What has moved to the front is earlier than all that come after it.
        while place >= position
            && let Some(after) = self.first_after(place)
            && self.queue[after].0 < entry.0
        {
            self.put(self.queue[after], place);
            place = after;
        }
        self.put(entry, place);
    }

    #[inline]
    fn first_after(&self, position: usize) -> Option<usize> {
        let start = position * WIDTH + 1;
        let (mut first, mut lowest) = (start, self.queue.get(start)?.0);
        for (place, (key, _)) in (start..).zip(&self.queue[start..]).take(WIDTH).skip(1) {
            if *key < lowest {
                (first, lowest) = (place, *key);
            }
        }
        Some(first)
    }

    fn put(&mut self, entry: (K, u32), position: usize) {
        self.queue[position] = entry;
        // The queue is not longer than the seats, whose number fits.
        self.positions[entry.1 as usize] = u32::try_from(position).unwrap_or(NOWHERE);
    }
}

/// How many entries come after each one in the queue.
const WIDTH: usize = 4;

const NOWHERE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn as_a_map_that_is_sorted(steps in prop::collection::vec((0..60_u32, 0..30_u32, 0..8_u8), 1..200)) {
            let (mut heap, mut model) = (Heap::new(), BTreeMap::new());
            for (step, (seat, key, what)) in steps.into_iter().enumerate() {
                match what {
                    0 => {
                        heap.remove(seat);
                        model.remove(&seat);
                    }
                    1 => {
                        let first = model.iter().map(|(seat, key)| (*key, *seat)).min();
                        prop_assert_eq!(heap.pop(), first);
                        first.map(|(_, seat)| model.remove(&seat));
                    }
                    // No two have the same key.
                    _ => {
                        heap.set(seat, (key, step));
                        model.insert(seat, (key, step));
                    }
                }
                let mut sorted: Vec<_> = model.iter().map(|(seat, key)| (*key, *seat)).collect();
                sorted.sort_unstable();
                prop_assert_eq!(heap.first(), sorted.first().copied());
                prop_assert_eq!(heap.second(), sorted.get(1).copied());
            }
        }
    }
}
