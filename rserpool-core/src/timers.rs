//! Deadlines of one machine, ordered, at most one a key.
//!
//! ```text
//!   places   key ─▶ slot          slots   (key, where it stands in the queue)
//!   (hash)                                           │
//!                                                    ▼
//!   queue    (deadline, slot), a heap in which each one has up to 4 after it, none of them earlier
//! ```
//!
//! A timer that is started anew with a later deadline, as nearly all are, moves towards the end of the queue, where most of
//! them already stand: on average less than one step.

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};

use rustc_hash::FxBuildHasher;

use crate::hashed::Hashed;
use crate::time::Instant;

/// A set of deadlines. Setting, cancelling and taking are O(log n); equal deadlines come in the order of their keys.
///
/// Where keys have parts that a peer chooses, the number of them must be bounded: hashes can be foreseen.
#[derive(Debug)]
pub struct Timers<K> {
    places: Hashed<u32>,
    slots: Vec<Slot<K>>,
    free: Vec<u32>,
    queue: Vec<Entry>,
}

/// A deadline and a slot in 12 bytes, of which a copy is compared.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Entry {
    at: Instant,
    slot: u32,
}

#[derive(Debug)]
struct Slot<K> {
    key: K,
    position: u32,
}

impl<K: Ord + Hash + Copy> Timers<K> {
    /// A set without deadlines.
    pub const fn new() -> Self {
        Self {
            places: Hashed::new(),
            slots: Vec::new(),
            free: Vec::new(),
            queue: Vec::new(),
        }
    }

    /// Starts the timer `key`, or starts it anew.
    pub fn set(&mut self, key: K, at: Instant) {
        let slot = match self.slot_of(key) {
            Some(slot) => slot,
            None => self.seat(key),
        };
        let position = self.slots[slot as usize].position;
        self.place(Entry { at, slot }, position as usize);
    }

    /// Stops the timer `key`, if it runs.
    pub fn cancel(&mut self, key: K) {
        let slots = &self.slots;
        let is_key = |slot: &u32| slots[*slot as usize].key == key;
        let Some(slot) = self.places.remove(hash(key), is_key) else {
            return;
        };
        let position = self.slots[slot as usize].position as usize;
        self.free.push(slot);
        if let Some(last) = self.queue.pop()
            && position < self.queue.len()
        {
            self.place(last, position);
        }
    }

    /// Whether the timer `key` runs.
    pub fn is_set(&self, key: K) -> bool {
        self.slot_of(key).is_some()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|entry| entry.at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let Entry { at, slot } = *self.queue.first()?;
        if at > now {
            return None;
        }
        let key = self.slots[slot as usize].key;
        self.cancel(key);
        Some(key)
    }

    fn slot_of(&self, key: K) -> Option<u32> {
        let is_key = |slot: &u32| self.slots[*slot as usize].key == key;
        self.places.find(hash(key), is_key).copied()
    }

    /// A slot for a new key, at the end of the queue and with no deadline yet.
    fn seat(&mut self, key: K) -> u32 {
        let end = |length: usize| u32::try_from(length).expect("fewer than 2^32 timers");
        let slot = Slot {
            key,
            position: end(self.queue.len()),
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                end(self.slots.len() - 1)
            }
        };
        self.queue.push(Entry {
            at: Instant::EPOCH,
            slot: index,
        });
        let slots = &self.slots;
        self.places
            .insert(hash(key), index, |slot| hash(slots[*slot as usize].key));
        index
    }

    /// Puts an entry into the queue at `position`, whose own entry is of no account any more, or where its deadline belongs:
    /// what stands in the way moves over.
    fn place(&mut self, entry: Entry, position: usize) {
        let mut place = position;
        while let Some(before) = place.checked_sub(1).map(|place| place / WIDTH)
            && self.is_earlier(entry, self.queue[before])
        {
            self.put(self.queue[before], place);
            place = before;
        }
        // What has moved to the front is earlier than all that come after it.
        while place >= position
            && let Some(after) = self.earliest_after(place)
            && self.is_earlier(self.queue[after], entry)
        {
            self.put(self.queue[after], place);
            place = after;
        }
        self.put(entry, place);
    }

    fn earliest_after(&self, position: usize) -> Option<usize> {
        let first = position * WIDTH + 1;
        let last = self.queue.len().min(first + WIDTH);
        (first..last).reduce(|earliest, other| {
            match self.is_earlier(self.queue[other], self.queue[earliest]) {
                true => other,
                false => earliest,
            }
        })
    }

    fn is_earlier(&self, one: Entry, other: Entry) -> bool {
        let ((at, slot), (other_at, other)) = ((one.at, one.slot), (other.at, other.slot));
        let key = |slot: u32| self.slots[slot as usize].key;
        at < other_at || (at == other_at && key(slot) < key(other))
    }

    fn put(&mut self, entry: Entry, position: usize) {
        self.queue[position] = entry;
        // The queue is not longer than the slots, whose number fits.
        self.slots[entry.slot as usize].position = u32::try_from(position).unwrap_or(u32::MAX);
    }
}

impl<K: Ord + Hash + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

fn hash(key: impl Hash) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// How many entries come after each one in the queue. With 4, three of four have none after them.
const WIDTH: usize = 4;

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_earliest_due_timer_comes_first_and_once() {
        let at = Instant::from_micros;
        let mut timers = Timers::new();
        timers.set('b', at(20));
        timers.set('a', at(20));
        timers.set('c', at(10));
        timers.set('c', at(30));
        timers.set('d', at(5));
        timers.cancel('d');
        assert!(timers.is_set('c') && !timers.is_set('d'));
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.pop(at(19)), None);
        assert_eq!(timers.pop(at(25)), Some('a'));
        assert_eq!(timers.pop(at(25)), Some('b'));
        assert_eq!(timers.pop(at(25)), None);
        assert_eq!(timers.pop(at(30)), Some('c'));
        assert_eq!(timers.next(), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Operation {
        Set(u8, u64),
        Cancel(u8),
        Pop(u64),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            4 => (0..40_u8, 0..30_u64).prop_map(|(key, at)| Operation::Set(key, at)),
            1 => (0..40_u8).prop_map(Operation::Cancel),
            1 => (0..30_u64).prop_map(Operation::Pop),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn as_a_map_that_is_searched(operations in prop::collection::vec(operation(), 1..300)) {
            let mut timers = Timers::new();
            let mut model: BTreeMap<u8, u64> = BTreeMap::new();
            for operation in operations {
                let earliest = model.iter().map(|(key, at)| (*at, *key)).min();
                match operation {
                    Operation::Set(key, at) => {
                        timers.set(key, Instant::from_micros(at));
                        model.insert(key, at);
                    }
                    Operation::Cancel(key) => {
                        timers.cancel(key);
                        model.remove(&key);
                    }
                    Operation::Pop(now) => {
                        let due = earliest.filter(|(at, _)| *at <= now).map(|(_, key)| key);
                        prop_assert_eq!(timers.pop(Instant::from_micros(now)), due);
                        due.map(|key| model.remove(&key));
                    }
                }
                let next = model.values().min().copied().map(Instant::from_micros);
                prop_assert_eq!(timers.next(), next);
                prop_assert!((0..40).all(|key| timers.is_set(key) == model.contains_key(&key)));
            }
        }
    }
}
