//! Which of many sockets something has happened at, without a look at the others.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The names of the sockets that were woken, and who waits for one.
#[derive(Debug)]
struct Woken<K> {
    sockets: BTreeSet<K>,
    driver: Option<Waker>,
}

/// The sockets of one endpoint, by their names.
#[derive(Debug)]
pub(super) struct Ready<K>(Arc<Mutex<Woken<K>>>);

struct Token<K> {
    ready: Ready<K>,
    socket: K,
}

impl<K> Clone for Ready<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Copy + Ord + Send + Sync + 'static> Ready<K> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Woken {
            sockets: BTreeSet::new(),
            driver: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Woken<K>> {
        // Nothing that is done while it is locked can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the runtime wakes when something happens at the socket.
    pub(super) fn waker(&self, socket: K) -> Waker {
        let ready = self.clone();
        Waker::from(Arc::new(Token { ready, socket }))
    }

    /// There is something to do for the socket.
    pub(super) fn raise(&self, socket: K) {
        let mut woken = self.lock();
        woken.sockets.insert(socket);
        let driver = woken.driver.take();
        drop(woken);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The sockets that were woken since it was asked last.
    pub(super) fn take(&self) -> BTreeSet<K> {
        core::mem::take(&mut self.lock().sockets)
    }

    /// Waits until one is woken.
    pub(super) async fn wait(&self) {
        poll_fn(|context| {
            let mut woken = self.lock();
            if !woken.sockets.is_empty() {
                return Poll::Ready(());
            }
            woken.driver = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl<K: Copy + Ord + Send + Sync + 'static> Wake for Token<K> {
    fn wake(self: Arc<Self>) {
        self.ready.raise(self.socket);
    }
}
