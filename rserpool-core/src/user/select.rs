//! The pool user's side of the member selection policies (RFC 5356, "Pool User Considerations"), and the cache they work on
//! (RFC 5352 §3.3 C1–C4).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::{Carrier, Element};
use crate::ids::{PeId, PoolHandle};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::{Policy, PolicyType};

/// A pool as a registrar last described it.
#[derive(Debug)]
pub(super) struct CachedPool {
    pub(super) policy: PolicyType,
    pub(super) elements: Vec<Element>,
    resolved: Instant,
    /// Where round robin goes on.
    cursor: usize,
}

/// The pools that were resolved, at most `cap` of them.
#[derive(Debug)]
pub(super) struct Cache {
    pools: BTreeMap<PoolHandle, CachedPool>,
    cap: usize,
}

impl Cache {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            pools: BTreeMap::new(),
            cap,
        }
    }

    /// Keeps what a registrar said. The oldest pool makes room.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        pool: &PoolHandle,
        policy: PolicyType,
        mut elements: Vec<Element>,
    ) {
        if policy == PolicyType::PRIORITY {
            // RFC 5356 §4.5.3: the highest priority MUST be used, whatever the order of the list.
            elements.sort_by_key(|element| Reverse(priority(element)));
        }
        if !self.pools.contains_key(pool) && self.pools.len() >= self.cap {
            let oldest = self.pools.iter().min_by_key(|(_, pool)| pool.resolved);
            if let Some(oldest) = oldest.map(|(handle, _)| handle.clone()) {
                self.pools.remove(&oldest);
            }
        }
        let cached = CachedPool {
            policy,
            elements,
            resolved: now,
            cursor: 0,
        };
        self.pools.insert(pool.clone(), cached);
    }

    /// The pool, where it is not stale and has an element left (RFC 5352 §3.3 C2, C4).
    pub(super) fn fresh(
        &mut self,
        now: Instant,
        pool: &PoolHandle,
        stale_cache_value: Duration,
    ) -> Option<&mut CachedPool> {
        self.pools
            .get_mut(pool)
            .filter(|pool| now.duration_since(pool.resolved) < stale_cache_value)
            .filter(|pool| !pool.elements.is_empty())
    }

    pub(super) fn pool(&mut self, pool: &PoolHandle) -> Option<&mut CachedPool> {
        self.pools.get_mut(pool)
    }

    /// Forgets a pool (RFC 5352 §6.4).
    pub(super) fn purge(&mut self, pool: &[u8]) {
        self.pools.remove(pool);
    }

    /// Forgets an element that was found unreachable.
    pub(super) fn remove(&mut self, pool: &PoolHandle, id: PeId) {
        if let Some(pool) = self.pools.get_mut(pool)
            && let Some(index) = pool.elements.iter().position(|element| element.id == id)
        {
            pool.elements.remove(index);
            if index < pool.cursor {
                pool.cursor -= 1;
            }
        }
    }
}

impl CachedPool {
    /// The elements that can be reached by that carrier.
    pub(super) fn usable(&self, carrier: Carrier) -> impl Iterator<Item = &Element> {
        let suits = move |element: &&Element| carrier.suits(&element.user_transport.as_transport());
        self.elements.iter().filter(suits)
    }

    /// The first of `order` that is not in `excluded`, is a member of the pool, and can be reached by that carrier.
    pub(super) fn preferred(
        &self,
        carrier: Carrier,
        order: &[PeId],
        excluded: &BTreeSet<PeId>,
    ) -> Option<&Element> {
        order
            .iter()
            .filter(|id| !excluded.contains(id))
            .find_map(|id| self.usable(carrier).find(|element| element.id == *id))
    }

    /// The next element to use that is not in `excluded` and can be reached by that carrier.
    pub(super) fn select(
        &mut self,
        carrier: Carrier,
        excluded: &BTreeSet<PeId>,
        rng: &mut Rng,
    ) -> Option<&Element> {
        let usable = |element: &Element| {
            !excluded.contains(&element.id) && carrier.suits(&element.user_transport.as_transport())
        };
        let candidates: Vec<usize> = (0..self.elements.len())
            .filter(|index| usable(&self.elements[*index]))
            .collect();
        let first = *candidates.first()?;
        let index = match self.policy {
            // RFC 5356 §4.1.3, §4.2.3: through the list, and again from its start.
            PolicyType::ROUND_ROBIN | PolicyType::WEIGHTED_ROUND_ROBIN => {
                let next = candidates.iter().find(|index| **index >= self.cursor);
                let index = next.copied().unwrap_or(first);
                self.cursor = index + 1;
                index
            }
            // RFC 5356 §4.3.3, §4.4.3, §5.4.3: by chance.
            PolicyType::RANDOM
            | PolicyType::WEIGHTED_RANDOM
            | PolicyType::RANDOMIZED_LEAST_USED => candidates[rng.index(candidates.len())],
            // RFC 5356 §4.5.3, §5.1.3, §5.2.3, §5.3.3: in the order of the list.
            _ => first,
        };
        self.elements.get(index)
    }
}

fn priority(element: &Element) -> u32 {
    match element.policy {
        Some(Policy::Priority { priority }) => priority,
        _ => 0,
    }
}
