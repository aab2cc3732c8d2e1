//! Seats that are numbered, kept and used again: what all orders put their members in.

use alloc::vec::Vec;

/// A vector with holes. The last seat that became free is taken first, else one is added at the end.
#[derive(Clone, Debug)]
pub(super) struct Seats<T> {
    taken: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Seats<T> {
    pub(super) const fn new() -> Self {
        Self {
            taken: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The number of seats that are taken.
    pub(super) fn len(&self) -> usize {
        self.taken.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> usize {
        match self.free.pop() {
            Some(seat) => {
                self.taken[seat] = Some(value);
                seat
            }
            None => {
                self.taken.push(Some(value));
                self.taken.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, seat: usize) -> Option<T> {
        let value = self.taken.get_mut(seat)?.take()?;
        self.free.push(seat);
        Some(value)
    }

    pub(super) fn get(&self, seat: usize) -> Option<&T> {
        self.taken.get(seat)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, seat: usize) -> Option<&mut T> {
        self.taken.get_mut(seat)?.as_mut()
    }
}
