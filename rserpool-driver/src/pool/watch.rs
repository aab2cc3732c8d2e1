//! A pool as it is, and as it changes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Mutex;

use futures_core::Stream;
use rserpool_core::PoolHandle;
use rserpool_core::user::Element;
use rserpool_core::wire::PolicyType;
use tokio::sync::mpsc;

use super::asked::Asked;
use super::lock;
use super::router::Role;

/// A pool as a registrar describes it.
///
/// ```no_run
/// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_core::wire::PolicyType;
///
/// let pool = user.resolve("EchoPool").await?;
/// if pool.policy == Some(PolicyType::ROUND_ROBIN) {
///     println!("{} elements, one after the other", pool.elements.len());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pool {
    /// Its policy; `None` where there is no such pool.
    pub policy: Option<PolicyType>,
    /// Its elements, in the registrar's order.
    pub elements: Vec<Element>,
}

/// A stream of what a pool has become. Whoever is slow sees the last state only. It ends when the user has stopped; dropping it ends
/// the subscription.
///
/// ```no_run
/// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
/// let mut watch = user.watch("EchoPool").await?;
/// while let Some(pool) = watch.next().await {
///     println!("{} elements", pool.elements.len());
/// }
/// # Ok(()) }
/// ```
pub struct Watch {
    /// `None` where it has been seen.
    latest: Arc<Mutex<Option<Pool>>>,
    changed: mpsc::Receiver<()>,
    role: Arc<Asked>,
    pool: PoolHandle,
    id: u64,
}

impl Watch {
    /// What the pool has become since the last call; `None` when the user has stopped. Dropping the future loses nothing.
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// let mut watch = user.watch("EchoPool").await?;
    /// let before = watch.next().await.ok_or("stopped")?;
    /// let after = watch.next().await.ok_or("stopped")?;
    /// let gone = before.elements.iter().filter(|old| after.elements.iter().all(|new| new.id != old.id));
    /// println!("{} elements have gone", gone.count());
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Pool> {
        core::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.pool).finish()
    }
}

impl Stream for Watch {
    type Item = Pool;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Pool>> {
        loop {
            if core::task::ready!(self.changed.poll_recv(context)).is_none() {
                return Poll::Ready(None);
            }
            let latest = lock(&self.latest).take();
            if latest.is_some() {
                return Poll::Ready(latest);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.role.watches.remove(&self.pool, self.id) {
            let (role, pool) = (self.role.clone(), self.pool.clone());
            self.role.sessions().leave_behind(Box::new(move |user, _| {
                if role.watches.forget(&pool) {
                    user.unsubscribe(&pool);
                }
            }));
        }
    }
}

/// One who watches a pool.
struct Watcher {
    latest: Arc<Mutex<Option<Pool>>>,
    changed: mpsc::Sender<()>,
}

impl Watcher {
    fn tell(&self, pool: &Pool) {
        *lock(&self.latest) = Some(pool.clone());
        // Where it is full, somebody is going to look.
        let _ = self.changed.try_send(());
    }
}

/// Those who watch one pool, and what they were told.
#[derive(Default)]
struct Watched {
    known: Option<Pool>,
    watchers: BTreeMap<u64, Watcher>,
}

/// All who watch pools.
#[derive(Default)]
pub(super) struct Watches {
    pools: Mutex<BTreeMap<PoolHandle, Watched>>,
}

impl Watches {
    /// One more, who is told at once what is known. `id` is nobody else's.
    pub(super) fn add(role: &Arc<Asked>, pool: PoolHandle, id: u64) -> Watch {
        let (sender, changed) = mpsc::channel(1);
        let latest = Arc::new(Mutex::new(None));
        let watcher = Watcher {
            latest: latest.clone(),
            changed: sender,
        };
        let mut pools = lock(&role.watches.pools);
        let watched = pools.entry(pool.clone()).or_default();
        if let Some(known) = &watched.known {
            watcher.tell(known);
        }
        watched.watchers.insert(id, watcher);
        Watch {
            latest,
            changed,
            role: role.clone(),
            pool,
            id,
        }
    }

    /// Says whether it was the last one for that pool.
    fn remove(&self, pool: &PoolHandle, id: u64) -> bool {
        let mut pools = lock(&self.pools);
        pools.get_mut(pool).is_some_and(|watched| {
            watched.watchers.remove(&id);
            watched.watchers.is_empty()
        })
    }

    /// Forgets the pool, unless somebody has come meanwhile.
    fn forget(&self, pool: &PoolHandle) -> bool {
        let mut pools = lock(&self.pools);
        let forgotten = |watched: &Watched| watched.watchers.is_empty();
        pools.get(pool).is_some_and(forgotten) && pools.remove(pool).is_some()
    }

    pub(super) fn tell(&self, pool: &PoolHandle, now: Pool) {
        if let Some(watched) = lock(&self.pools).get_mut(pool) {
            for watcher in watched.watchers.values() {
                watcher.tell(&now);
            }
            watched.known = Some(now);
        }
    }

    pub(super) fn are_some(&self) -> bool {
        !lock(&self.pools).is_empty()
    }

    /// Nobody is told anything any more.
    pub(super) fn end(&self) {
        lock(&self.pools).clear();
    }
}
