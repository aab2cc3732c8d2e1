//! What has come for one session, and waits for the application.

use alloc::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Ended, lock};

/// How much of an inbox's limit something takes.
pub(super) trait Weigh {
    fn weight(&self) -> usize;
}

/// A queue between the router and whoever reads: bounded, and without a loss where reading is given up.
pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    /// Wakes one who reads.
    arrived: Notify,
    /// Wakes the router, which waits for room.
    taken: Notify,
    /// Wakes those who wait for the session to change.
    changed: Notify,
}

struct State<T> {
    items: VecDeque<T>,
    weight: usize,
    end: Option<Ended>,
}

impl<T: Weigh> Inbox<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                weight: 0,
                end: None,
            }),
            arrived: Notify::new(),
            taken: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// Adds something, or gives it back where there is no room. One item has room in any case; after the end, it goes nowhere.
    pub(super) fn push(&self, item: T, limit: usize) -> Result<(), T> {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return Ok(());
        }
        let weight = item.weight();
        if state.weight > 0 && state.weight + weight > limit {
            return Err(item);
        }
        state.weight += weight;
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Nothing comes any more. What is here can still be read.
    pub(super) fn end(&self, end: Ended) {
        lock(&self.state).end.get_or_insert(end);
        self.arrived.notify_waiters();
        self.taken.notify_one();
        self.changed.notify_waiters();
    }

    /// Whether more may come; else why not.
    pub(super) fn open(&self) -> Result<(), Ended> {
        match &lock(&self.state).end {
            None => Ok(()),
            Some(end) => Err(end.clone()),
        }
    }

    /// Ends when nothing comes any more.
    pub(super) async fn until_end(&self) {
        loop {
            let changed = self.changed.notified();
            if self.open().is_err() {
                return;
            }
            changed.await;
        }
    }

    /// Why it ended; closed, where it did not end by itself.
    pub(super) fn ended(&self) -> Ended {
        lock(&self.state).end.clone().unwrap_or(Ended::Closed)
    }

    /// The next item. Dropping the future loses none.
    pub(super) async fn next(&self) -> Result<T, Ended> {
        loop {
            // Before the look: what comes in between counts.
            let arrived = self.arrived.notified();
            if let Some(result) = self.take() {
                return result;
            }
            arrived.await;
        }
    }

    /// The next item, or why there is none; `None` where one may come.
    pub(super) fn take(&self) -> Option<Result<T, Ended>> {
        /// A queue that was long once does not keep the memory.
        const KEPT: usize = 4;
        let mut state = lock(&self.state);
        let Some(item) = state.items.pop_front() else {
            return state.end.clone().map(Err);
        };
        state.weight -= item.weight();
        let more = !state.items.is_empty();
        if !more {
            state.items.shrink_to(KEPT);
        }
        drop(state);
        if more {
            // Two may have come before two looked, and one wake-up at most is kept for those who do not wait yet.
            self.arrived.notify_one();
        }
        self.taken.notify_one();
        Some(Ok(item))
    }

    /// Ends when something was taken, perhaps earlier.
    pub(super) async fn taken(&self) {
        self.taken.notified().await;
    }

    /// The session has another element.
    pub(super) fn change(&self) {
        self.changed.notify_waiters();
    }

    /// Ends when it changes after this call, or ends.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
