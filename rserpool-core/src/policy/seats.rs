//! Seats that are numbered, kept and used again: what all orders put their members in.

use alloc::vec::Vec;

/// A vector with holes. The last seat that became free is taken first, else one is added at the end.
#[derive(Clone, Debug)]
pub(super) struct Seats<T> {
    taken: Vec<Option<T>>,
    free: Vec<u32>,
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

    /// The number of the seat; `None` where 2^32 are taken.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(seat) = self.free.pop() {
            self.taken[seat as usize] = Some(value);
            return Some(seat);
        }
        let seat = u32::try_from(self.taken.len()).ok()?;
        self.taken.push(Some(value));
        Some(seat)
    }

    pub(super) fn remove(&mut self, seat: u32) -> Option<T> {
        let value = self.taken.get_mut(seat as usize)?.take()?;
        self.free.push(seat);
        Some(value)
    }

    pub(super) fn get(&self, seat: u32) -> Option<&T> {
        self.taken.get(seat as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, seat: u32) -> Option<&mut T> {
        self.taken.get_mut(seat as usize)?.as_mut()
    }
}
