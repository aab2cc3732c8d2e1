//! Deadlines of one machine, ordered, at most one a key.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// A set of deadlines. Setting, cancelling and taking are O(log n); equal deadlines come in the order of their keys.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
    deadlines: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self {
            queue: BTreeSet::new(),
            deadlines: BTreeMap::new(),
        }
    }

    /// Starts the timer `key`, or starts it anew.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.cancel(key);
        self.queue.insert((at, key));
        self.deadlines.insert(key, at);
    }

    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(at) = self.deadlines.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    pub(crate) fn is_set(&self, key: K) -> bool {
        self.deadlines.contains_key(&key)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
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
}
