//! Subscriptions: a registrar says when a pool changes (RFC 5352 §2.2.5, §2.2.6).
//!
//! A subscription ends with the association to the home, with the pool, and where the registrar has no room for it; then the
//! user asks again: a new home at once, else after `subscription_poll`. So it is told of every change, later where it must ask.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::resolve::{Asker, is_valid};
use super::{Element, Event, PoolUser, SubscribeError, Timer};
use crate::hunt::SHORTEST;
use crate::ids::PoolHandle;
use crate::time::Instant;
use crate::wire::PolicyType;

/// One subscription.
#[derive(Debug)]
struct Subscription {
    pool_handle: PoolHandle,
    /// What the application was told last; its elements in the order of their identifiers. `None` where it was told nothing yet.
    told: Option<(Option<PolicyType>, Vec<Element>)>,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_id: BTreeMap<u64, Subscription>,
    by_pool: BTreeMap<PoolHandle, u64>,
    next: u64,
}

impl Subscriptions {
    pub(super) fn contains(&self, pool_handle: &[u8]) -> bool {
        self.by_pool.contains_key(pool_handle)
    }
}

impl PoolUser {
    /// Asks to be told how a pool is now and whenever it changes, by [`Event::Updated`]. Does nothing where that is so already.
    ///
    /// ```
    /// use rserpool_core::user::{Config, PoolUser, SubscribeError};
    /// use rserpool_core::{Instant, PoolHandle};
    ///
    /// let mut config = Config::default();
    /// config.max_subscriptions = 1;
    /// let mut user = PoolUser::new(config, [7; 32]);
    /// let (one, other) = (PoolHandle::from("EchoPool"), PoolHandle::from("TimePool"));
    /// assert_eq!(user.subscribe(Instant::EPOCH, &one), Ok(()));
    /// assert_eq!(user.subscribe(Instant::EPOCH, &other), Err(SubscribeError::TooManySubscriptions));
    /// user.unsubscribe(&one);
    /// assert_eq!(user.subscribe(Instant::EPOCH, &other), Ok(()));
    /// ```
    pub fn subscribe(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle,
    ) -> Result<(), SubscribeError> {
        if !is_valid(pool_handle) {
            return Err(SubscribeError::InvalidHandle);
        }
        if self.subscriptions.contains(pool_handle.as_bytes()) {
            return Ok(());
        }
        if self.subscriptions.by_id.len() >= self.config.max_subscriptions {
            return Err(SubscribeError::TooManySubscriptions);
        }
        self.subscriptions.next += 1;
        let id = self.subscriptions.next;
        let subscription = Subscription {
            pool_handle: pool_handle.clone(),
            told: None,
        };
        self.subscriptions.by_id.insert(id, subscription);
        self.subscriptions.by_pool.insert(pool_handle.clone(), id);
        // A request without the S bit may be on its way.
        if !self.repeat_request(now, pool_handle) {
            self.refresh(now, pool_handle);
        }
        Ok(())
    }

    /// No more updates are told. The protocol knows no way to end them before the association ends.
    pub fn unsubscribe(&mut self, pool_handle: &PoolHandle) {
        if let Some(id) = self.subscriptions.by_pool.remove(pool_handle) {
            self.subscriptions.by_id.remove(&id);
            self.timers.cancel(Timer::Poll(id));
        }
    }

    /// Asks for a pool again: the answer is for the cache, and for who has subscribed to it.
    pub(super) fn refresh(&mut self, now: Instant, pool_handle: &PoolHandle) {
        self.request(now, pool_handle, Asker::Nobody);
    }

    /// RFC 5352 §2.2.5: registrars do not share what users have subscribed to.
    pub(super) fn resubscribe(&mut self, now: Instant) {
        let pools: Vec<_> = self.subscriptions.by_pool.keys().cloned().collect();
        for pool_handle in pools {
            self.refresh(now, &pool_handle);
        }
    }

    pub(super) fn on_poll(&mut self, now: Instant, id: u64) {
        if let Some(subscription) = self.subscriptions.by_id.get(&id) {
            let pool_handle = subscription.pool_handle.clone();
            self.refresh(now, &pool_handle);
        }
    }

    /// A registrar has described the pool, or said that there is none (without a policy): what is new is told. Where it will not
    /// say so by itself the next time, it is asked.
    pub(super) fn on_described(
        &mut self,
        now: Instant,
        pool_handle: &[u8],
        accepted: bool,
        pool: Option<(PolicyType, &[Element])>,
    ) {
        let Some(&id) = self.subscriptions.by_pool.get(pool_handle) else {
            return;
        };
        self.await_update(now, id, accepted);
        let Some(subscription) = self.subscriptions.by_id.get_mut(&id) else {
            return;
        };
        let policy = pool.map(|(policy, _)| policy);
        let elements = pool.map_or(&[][..], |(_, elements)| elements);
        let mut sorted = elements.to_vec();
        sorted.sort_by_key(|element| element.id);
        let told = Some((policy, sorted));
        if subscription.told != told {
            subscription.told = told;
            self.actions.notify(Event::Updated {
                pool_handle: subscription.pool_handle.clone(),
                policy,
                elements: elements.to_vec(),
            });
        }
    }

    /// No registrar has answered.
    pub(super) fn on_undescribed(&mut self, now: Instant, pool_handle: &PoolHandle) {
        if let Some(&id) = self.subscriptions.by_pool.get(pool_handle) {
            self.await_update(now, id, false);
        }
    }

    fn await_update(&mut self, now: Instant, id: u64, accepted: bool) {
        if accepted {
            self.timers.cancel(Timer::Poll(id));
        } else {
            let pause = self.config.subscription_poll.max(SHORTEST);
            self.timers.set(Timer::Poll(id), now + pause);
        }
    }
}
