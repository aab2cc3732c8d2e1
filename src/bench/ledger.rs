//! What was measured: CPU times of operations, and the memory of this process.

use core::hint::black_box;
use core::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Operation;

/// One figure: the time of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) operation: Operation,
    /// How many elements one selection selects; 0 where nothing is selected.
    pub(super) items: usize,
}

/// Times of operations, and how often they were carried out.
pub(super) struct Ledger {
    only: Option<Operation>,
    entries: Vec<(Row, Duration, u32)>,
}

impl Ledger {
    /// Measures all operations, or only one.
    pub(super) const fn new(only: Option<Operation>) -> Self {
        Self {
            only,
            entries: Vec::new(),
        }
    }

    /// Whether nobody wants to know of this operation.
    pub(super) fn leaves_out(&self, operation: Operation) -> bool {
        self.only.is_some_and(|only| only != operation)
    }

    /// Carries out `work`, which is `count` operations, and notes its time; does neither where the operation is left out.
    pub(super) fn measure(
        &mut self,
        (operation, items): (Operation, usize),
        count: u32,
        work: impl FnOnce(),
    ) {
        if self.leaves_out(operation) {
            return;
        }
        let begin = thread_time();
        counted(work);
        let time = thread_time().saturating_sub(begin);
        let row = Row { operation, items };
        match self.entries.iter_mut().find(|(known, ..)| *known == row) {
            Some((_, sum, operations)) => {
                *sum += time;
                *operations += count;
            }
            None => self.entries.push((row, time, count)),
        }
    }

    /// The time of each operation in nanoseconds, on average.
    pub(super) fn into_means(self) -> impl Iterator<Item = (Row, f64)> {
        let mean = |(row, time, count): (Row, Duration, u32)| {
            (row, time.as_secs_f64() * 1e9 / f64::from(count))
        };
        self.entries.into_iter().map(mean)
    }
}

/// A function of its own, so that a profiler can look at what is measured and at nothing else.
#[inline(never)]
fn counted(work: impl FnOnce()) {
    work();
    // The call before this is not the last thing, and so not a jump that leaves the function early.
    black_box(());
}

/// The CPU time of this thread: what others do on the machine does not count.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The bytes of memory that are really there for this process; `None` where the system does not say. Other files of /proc have
/// an estimate, this one counts page by page when it is asked.
pub(super) fn resident_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
