//! A pool element at work: processor sharing.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

/// An element and its jobs, each with an equal share of the capacity.
///
/// All jobs are given the same, so that only the sum of it is kept: a job is done when the sum has grown by its size.
pub(super) struct Service {
    capacity: f64,
    most_jobs: u32,
    jobs: BinaryHeap<Running>,
    /// What each job that is always there would have been given.
    given: f64,
    /// Until when `given` and `used` count.
    counted: f64,
    used: f64,
    /// Counts the changes of the jobs, so that a completion that was foreseen before is known to be out of date.
    changes: u64,
}

/// A job, by what [`Service::given`] is when it is done. The greatest is the first to be done.
struct Running {
    done_at: f64,
    user: usize,
}

impl Service {
    pub(super) fn new(capacity: f64, most_jobs: u32) -> Self {
        Self {
            capacity,
            most_jobs,
            jobs: BinaryHeap::new(),
            given: 0.0,
            counted: 0.0,
            used: 0.0,
            changes: 0,
        }
    }

    pub(super) fn capacity(&self) -> f64 {
        self.capacity
    }

    /// The number of jobs.
    pub(super) fn jobs(&self) -> u32 {
        u32::try_from(self.jobs.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn most_jobs(&self) -> u32 {
        self.most_jobs
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes the job of a user; `false`, and nothing has changed, where it is full.
    pub(super) fn accept(&mut self, now: f64, user: usize, size: f64) -> bool {
        if self.jobs() >= self.most_jobs {
            return false;
        }
        self.count(now);
        let done_at = self.given + size;
        self.jobs.push(Running { done_at, user });
        self.changes += 1;
        true
    }

    /// When the first job will be done if none comes.
    pub(super) fn next_completion(&self) -> Option<f64> {
        let first = self.jobs.peek()?;
        let left = (first.done_at - self.given).max(0.0);
        Some(self.counted + left * f64::from(self.jobs()) / self.capacity)
    }

    /// Ends the job that is done now, and says whose it was.
    pub(super) fn complete(&mut self, now: f64) -> Option<usize> {
        self.count(now);
        let Running { done_at, user } = self.jobs.pop()?;
        self.changes += 1;
        // Exactly: rounding must not add up. An idle element begins anew.
        self.given = if self.jobs.is_empty() { 0.0 } else { done_at };
        Some(user)
    }

    /// The calculations since the last call.
    pub(super) fn take_used(&mut self, now: f64) -> f64 {
        self.count(now);
        core::mem::take(&mut self.used)
    }

    fn count(&mut self, now: f64) {
        if !self.jobs.is_empty() {
            let calculations = (now - self.counted) * self.capacity;
            self.used += calculations;
            self.given += calculations / f64::from(self.jobs());
        }
        self.counted = now;
    }
}

impl Ord for Running {
    fn cmp(&self, other: &Self) -> Ordering {
        let done = other.done_at.total_cmp(&self.done_at);
        done.then_with(|| other.user.cmp(&self.user))
    }
}

impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Running {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_share_the_capacity() {
        let mut service = Service::new(10.0, 2);
        assert!(service.accept(0.0, 1, 20.0));
        assert_eq!(service.next_completion(), Some(2.0));
        // The first has 10 to go and the second 5: at half the speed each.
        assert!(service.accept(1.0, 2, 5.0));
        assert!(!service.accept(1.0, 3, 5.0), "full");
        assert_eq!(service.next_completion(), Some(2.0));
        assert_eq!(service.complete(2.0), Some(2));
        assert_eq!(service.next_completion(), Some(2.5));
        assert_eq!(service.take_used(2.25), 22.5);
        assert_eq!(service.complete(2.5), Some(1));
        assert_eq!((service.jobs(), service.next_completion()), (0, None));
        assert_eq!(service.take_used(9.0), 2.5, "idle");
    }
}
