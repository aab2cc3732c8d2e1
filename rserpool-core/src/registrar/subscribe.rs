//! Users that are told of the changes of a pool (RFC 5352 §2.2.5, §2.2.6).
//!
//! ```text
//!  HANDLE_RESOLUTION, S ──▶ subscribed ── change ──▶ due ── ≤ 5 a second ──▶ one RESPONSE to all subscribers
//!                               ▲                                                │
//!                               └────────────────────────────────────────────────┘
//! ```
//!
//! A subscription ends with the association, and with the pool. It is granted only with elements, and where there is room; else
//! the A bit says that the user has to ask.

use alloc::collections::{BTreeMap, BTreeSet};

use super::{Registrar, Timer};
use crate::handlespace::{ElementKey, Selection};
use crate::ids::{AssocId, PoolHandle, Ppid};
use crate::time::Instant;
use crate::wire::CauseCode;

/// The subscribers of one pool.
#[derive(Debug)]
struct Circle {
    id: u64,
    subscribers: BTreeSet<AssocId>,
    /// When the next update may be sent.
    next: Instant,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    circles: BTreeMap<PoolHandle, Circle>,
    by_id: BTreeMap<u64, PoolHandle>,
    by_association: BTreeMap<AssocId, BTreeSet<PoolHandle>>,
    last_id: u64,
}

impl Subscriptions {
    /// Adds a subscriber; says whether there was room.
    fn insert(
        &mut self,
        association: AssocId,
        pool_handle: &[u8],
        (each, pool): (usize, usize),
    ) -> bool {
        let own = self.by_association.get(&association);
        if own.is_some_and(|own| own.contains(pool_handle)) {
            return true;
        }
        let circle = self.circles.get(pool_handle);
        if own.map_or(0, BTreeSet::len) >= each
            || circle.map_or(0, |circle| circle.subscribers.len()) >= pool
        {
            return false;
        }
        let handle = PoolHandle::from(pool_handle);
        let last_id = &mut self.last_id;
        let circle = self.circles.entry(handle.clone()).or_insert_with(|| {
            *last_id += 1;
            Circle {
                id: *last_id,
                subscribers: BTreeSet::new(),
                next: Instant::EPOCH,
            }
        });
        circle.subscribers.insert(association);
        self.by_id.insert(circle.id, handle.clone());
        self.by_association
            .entry(association)
            .or_default()
            .insert(handle);
        true
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.circles.is_empty() && self.by_id.is_empty() && self.by_association.is_empty()
    }

    /// Takes a pool's circle away.
    fn dissolve(&mut self, pool_handle: &PoolHandle) -> Option<Circle> {
        let circle = self.circles.remove(pool_handle)?;
        self.by_id.remove(&circle.id);
        for association in &circle.subscribers {
            if let Some(own) = self.by_association.get_mut(association) {
                own.remove(pool_handle);
                if own.is_empty() {
                    self.by_association.remove(association);
                }
            }
        }
        Some(circle)
    }
}

impl Registrar {
    /// A user wants to be told of changes of a pool; says whether it will be.
    pub(super) fn subscribe(&mut self, association: AssocId, pool_handle: &[u8]) -> bool {
        let caps = (
            self.config.max_association_subscriptions,
            self.config.max_pool_subscribers,
        );
        self.subscriptions.insert(association, pool_handle, caps)
    }

    /// The user has gone.
    pub(super) fn unsubscribe(&mut self, association: AssocId) {
        let own = self.subscriptions.by_association.remove(&association);
        for pool_handle in own.unwrap_or_default() {
            let Some(circle) = self.subscriptions.circles.get_mut(&pool_handle) else {
                continue;
            };
            circle.subscribers.remove(&association);
            if circle.subscribers.is_empty() {
                self.timers.cancel(Timer::Update(circle.id));
                self.subscriptions.dissolve(&pool_handle);
            }
        }
    }

    /// An element is about to be removed, or has been changed: its pool's subscribers hear of it, together with all that happens
    /// until the next update may be sent.
    pub(super) fn touch(&mut self, key: ElementKey) {
        let Some(element) = self.handlespace.get(key) else {
            return;
        };
        if let Some(circle) = self.subscriptions.circles.get(&element.pool) {
            self.timers.set(Timer::Update(circle.id), circle.next);
        }
    }

    /// Sends an update: a selection like that for any other answer, encoded once.
    pub(super) fn on_update(&mut self, now: Instant, id: u64) {
        let Some(pool_handle) = self.subscriptions.by_id.get(&id).cloned() else {
            return;
        };
        let mut selected = core::mem::take(&mut self.selected);
        selected.clear();
        let items = self.config.default_items.min(self.config.max_items);
        let handle = pool_handle.as_bytes();
        let selection = self.handlespace.select(handle, items, &mut selected);
        let gone = matches!(selection, Selection::UnknownPool);
        let update = self.encode_answer(handle, &selected, true);
        self.selected = selected;
        let update = update.or_else(|| {
            let code = if gone {
                CauseCode::UNKNOWN_POOL_HANDLE
            } else {
                CauseCode::LACK_OF_RESOURCES
            };
            Self::encode_refusal(handle, code)
        });
        let Some(circle) = self.subscriptions.circles.get_mut(&pool_handle) else {
            return;
        };
        circle.next = now + self.config.update_interval;
        if let Some(update) = update {
            for association in &circle.subscribers {
                self.counters.updates += 1;
                self.actions
                    .send(*association, Ppid::ASAP, 0, update.clone());
            }
        }
        if gone {
            // RFC 5352 §2.2.5: no further updates, also when the pool is created again.
            self.subscriptions.dissolve(&pool_handle);
        }
    }
}
