//! Handle resolution: requests to the home registrar, repeated until somebody answers (RFC 5352 §3.3, §3.7).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Element, Event, PoolUser, ResolveError, SessionId, Timer};
use crate::faults;
use crate::ids::{AssocId, PeId, PoolHandle};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::asap::Message;
use crate::wire::{Cause, CauseCode, List, Policy, PolicyType, PoolElement};

/// A resolution that waits for its answer. There is one at most for each pool.
#[derive(Debug)]
pub(super) struct Request {
    pool_handle: PoolHandle,
    /// Whether the user asked.
    asked: bool,
    /// The sessions that asked.
    sessions: BTreeSet<SessionId>,
    /// When it fails: after T1 × (1 + MAX-REQUEST-RETRANSMIT), however often the home changes.
    deadline: Instant,
}

impl Request {
    fn new(pool_handle: &PoolHandle, deadline: Instant) -> Self {
        Self {
            pool_handle: pool_handle.clone(),
            asked: false,
            sessions: BTreeSet::new(),
            deadline,
        }
    }

    fn join(&mut self, asker: Asker) {
        match asker {
            Asker::User => self.asked = true,
            Asker::Session(session) => {
                self.sessions.insert(session);
            }
            Asker::Nobody => {}
        }
    }
}

/// Who wants to know of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    User,
    Session(SessionId),
    /// Only the cache, and who has subscribed to the pool.
    Nobody,
}

/// Whether messages can carry the handle.
pub(super) fn is_valid(pool_handle: &PoolHandle) -> bool {
    (1..=PoolHandle::MAX_LENGTH).contains(&pool_handle.as_bytes().len())
}

/// The requests that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Requests {
    by_id: BTreeMap<u64, Request>,
    by_pool: BTreeMap<PoolHandle, u64>,
    next: u64,
}

impl Requests {
    /// Adds a request for a pool that has none.
    fn insert(&mut self, pool_handle: &PoolHandle, deadline: Instant) -> u64 {
        self.next += 1;
        let request = Request::new(pool_handle, deadline);
        self.by_id.insert(self.next, request);
        self.by_pool.insert(pool_handle.clone(), self.next);
        self.next
    }

    fn remove(&mut self, id: u64) -> Option<Request> {
        let request = self.by_id.remove(&id)?;
        self.by_pool.remove(&request.pool_handle);
        Some(request)
    }
}

impl PoolUser {
    /// Resolves a pool, named by 1 to 65,000 bytes; answered by [`Event::Resolved`] or [`Event::ResolveFailed`]. A fresh entry of
    /// the cache answers at once (RFC 5352 §3.3 C1, C4).
    ///
    /// ```
    /// use rserpool_core::user::{Config, Event, PoolUser, ResolveError};
    /// use rserpool_core::{Action, Instant, Machine, PoolHandle};
    ///
    /// let mut user = PoolUser::new(Config::default(), [7; 32]);
    /// let nothing = PoolHandle::from("");
    /// user.resolve(Instant::EPOCH, &nothing);
    /// assert_eq!(user.poll_action(), Some(Action::Notify(Event::ResolveFailed {
    ///     pool_handle: nothing,
    ///     error: ResolveError::InvalidHandle,
    /// })));
    /// ```
    pub fn resolve(&mut self, now: Instant, pool_handle: &PoolHandle) {
        let stale = self.config.stale_cache_value;
        if let Some(pool) = self.cache.fresh(now, pool_handle, stale) {
            let (policy, elements) = (pool.policy, pool.elements.clone());
            self.actions.notify(Event::Resolved {
                pool_handle: pool_handle.clone(),
                policy,
                elements,
            });
        } else {
            self.request(now, pool_handle, Asker::User);
        }
    }

    /// Forgets what is known of a pool (RFC 5352 §6.4).
    ///
    /// ```
    /// use rserpool_core::user::PoolUser;
    /// use rserpool_core::{Instant, PoolHandle};
    ///
    /// /// As it is now, whatever is remembered.
    /// fn resolve_anew(user: &mut PoolUser, now: Instant, pool: &PoolHandle) {
    ///     user.purge(pool);
    ///     user.resolve(now, pool);
    /// }
    /// ```
    pub fn purge(&mut self, pool_handle: &PoolHandle) {
        self.cache.purge(pool_handle.as_bytes());
    }

    /// Reports an element that the application could not reach, and forgets it (RFC 5352 §3.5). Call it once for each event,
    /// and only after an attempt to send.
    ///
    /// ```
    /// use rserpool_core::user::{PoolUser, SessionId};
    /// use rserpool_core::{Instant, PoolHandle};
    ///
    /// /// The element was asked, and has not answered.
    /// fn on_silence(user: &mut PoolUser, now: Instant, pool: &PoolHandle, session: SessionId) {
    ///     if let Some(element) = user.element(session) {
    ///         user.report_unreachable(pool, element);
    ///         user.fail_over(now, session);
    ///     }
    /// }
    /// ```
    pub fn report_unreachable(&mut self, pool_handle: &PoolHandle, pe_id: PeId) {
        self.cache.remove(pool_handle, pe_id);
        if !is_valid(pool_handle) {
            return;
        }
        if let Some(home) = self.hunt.home() {
            self.send_report(home, pool_handle, pe_id);
        } else if self.reports.len() < Self::MAX_REPORTS {
            self.reports.push((pool_handle.clone(), pe_id));
        }
    }

    fn send_report(&mut self, home: AssocId, pool_handle: &PoolHandle, pe_id: PeId) {
        self.counters.reports += 1;
        let message = Message::EndpointUnreachable {
            pool_handle: pool_handle.as_bytes(),
            pe_id,
        };
        self.actions.send_asap(home, &message);
    }

    /// Asks for a pool, or joins the request that is on its way.
    pub(super) fn request(&mut self, now: Instant, pool_handle: &PoolHandle, asker: Asker) {
        let waiting = self.requests.by_pool.get(pool_handle).copied();
        let error = if !is_valid(pool_handle) {
            Some(ResolveError::InvalidHandle)
        } else if waiting.is_none() && self.requests.by_id.len() >= self.config.max_requests {
            Some(ResolveError::TooManyRequests)
        } else {
            None
        };
        if let Some(error) = error {
            let mut refused = Request::new(pool_handle, now);
            refused.join(asker);
            return self.resolve_failed(now, &refused, &error);
        }
        let trials = self.config.max_request_retransmit.saturating_add(1);
        let deadline = now + self.config.t1_enrp_request.saturating_mul(trials);
        let id = waiting.unwrap_or_else(|| self.requests.insert(pool_handle, deadline));
        if let Some(request) = self.requests.by_id.get_mut(&id) {
            request.join(asker);
        }
        if waiting.is_none() {
            self.send_request(now, id);
        }
    }

    /// Sends the request about a pool once more, where there is one.
    pub(super) fn repeat_request(&mut self, now: Instant, pool_handle: &PoolHandle) -> bool {
        let waiting = self.requests.by_pool.get(pool_handle).copied();
        if let Some(id) = waiting {
            self.send_request(now, id);
        }
        waiting.is_some()
    }

    /// NR1–NR4: without a home the hunt comes first; T1 bounds the whole.
    fn send_request(&mut self, now: Instant, id: u64) {
        let Some(request) = self.requests.by_id.get(&id) else {
            return;
        };
        let t1 = (now + self.config.t1_enrp_request).min(request.deadline);
        match self.hunt.home() {
            None => self.hunt.search(now, &mut self.actions),
            Some(home) => {
                self.counters.resolutions += 1;
                let message = Message::HandleResolution {
                    subscribe: self.subscriptions.contains(request.pool_handle.as_bytes()),
                    pool_handle: request.pool_handle.as_bytes(),
                    items: self.config.items,
                };
                self.actions.send_asap(home, &message);
            }
        }
        if !planted(Bug::T1NotArmed) {
            self.timers.set(Timer::T1Request(id), t1);
        }
    }

    /// A new home gets everything that waits (RFC 5352 §3.7.1).
    pub(super) fn on_home(&mut self, now: Instant, home: AssocId) {
        let waiting: Vec<_> = self.requests.by_id.keys().copied().collect();
        for id in waiting {
            self.send_request(now, id);
        }
        self.resubscribe(now);
        for (pool_handle, pe_id) in core::mem::take(&mut self.reports) {
            self.send_report(home, &pool_handle, pe_id);
        }
    }

    /// RFC 5352 §3.7.2: send again, and look for another registrar beside; after MAX-REQUEST-RETRANSMIT the user is told.
    pub(super) fn on_request_timeout(&mut self, now: Instant, id: u64) {
        let Some(request) = self.requests.by_id.get(&id) else {
            return;
        };
        if now < request.deadline {
            self.hunt.search(now, &mut self.actions);
            self.send_request(now, id);
        } else {
            self.fail_request(now, id, &ResolveError::Timeout);
        }
    }

    fn fail_request(&mut self, now: Instant, id: u64, error: &ResolveError) {
        self.timers.cancel(Timer::T1Request(id));
        if let Some(request) = self.requests.remove(id) {
            self.resolve_failed(now, &request, error);
        }
    }

    fn resolve_failed(&mut self, now: Instant, request: &Request, error: &ResolveError) {
        if request.asked {
            self.actions.notify(Event::ResolveFailed {
                pool_handle: request.pool_handle.clone(),
                error: error.clone(),
            });
        }
        self.on_undescribed(now, &request.pool_handle);
        for session in &request.sessions {
            self.on_unresolved(now, *session, error);
        }
    }

    pub(super) fn on_resolution_response(
        &mut self,
        now: Instant,
        pool_handle: &[u8],
        answer: &Answer<'_>,
    ) {
        let waiting = self.requests.by_pool.get(pool_handle).copied();
        if waiting.is_some() {
            self.hunt.on_answered();
        } else if !self.subscriptions.contains(pool_handle) {
            self.counters.unexpected += 1;
            return;
        }
        // An answer is negative by its error, or by the lack of any element (RFC 5352 §2.2.6).
        if answer.error.is_some() || answer.elements.is_empty() {
            let causes = answer.error.map(faults::codes).unwrap_or_default();
            self.cache.purge(pool_handle);
            if let Some(id) = waiting {
                self.fail_request(now, id, &ResolveError::Refused(causes.clone()));
            }
            // Other refusals say nothing about the pool.
            if causes.is_empty() || causes.contains(&CauseCode::UNKNOWN_POOL_HANDLE) {
                self.on_described(now, pool_handle, false, None);
            }
            return;
        }
        // RFC 5352 §2.2.6: without a policy it is Round Robin, whatever the elements say.
        let policy = answer
            .policy
            .map_or(PolicyType::ROUND_ROBIN, |policy| policy.policy_type());
        let elements: Vec<Element> = answer
            .elements
            .iter()
            .take(self.config.max_pool_elements)
            .map(|element| Element::from(&element))
            .collect();
        let request = waiting.and_then(|id| {
            self.timers.cancel(Timer::T1Request(id));
            self.requests.remove(id)
        });
        if request.as_ref().is_some_and(|request| request.asked) {
            self.actions.notify(Event::Resolved {
                pool_handle: pool_handle.into(),
                policy,
                elements: elements.clone(),
            });
        }
        self.on_described(now, pool_handle, answer.accepted, Some((policy, &elements)));
        self.cache
            .insert(now, &pool_handle.into(), policy, elements);
        for session in request.into_iter().flat_map(|request| request.sessions) {
            self.on_resolved(now, session);
        }
    }

    /// An ASAP_ERROR names no request: the oldest one is taken to be meant, because registrars answer in order.
    pub(super) fn on_error(&mut self, now: Instant, causes: List<'_, Cause<'_>>) {
        let causes = faults::codes(causes);
        self.hunt.on_answered();
        match self.requests.by_id.keys().next().copied() {
            Some(id) => self.fail_request(now, id, &ResolveError::Refused(causes)),
            None => self.actions.notify(Event::ErrorReported { causes }),
        }
    }
}

/// The fields of an ASAP_HANDLE_RESOLUTION_RESPONSE.
pub(super) struct Answer<'a> {
    pub(super) accepted: bool,
    pub(super) policy: Option<Policy<'a>>,
    pub(super) elements: List<'a, PoolElement<'a>>,
    pub(super) error: Option<List<'a, Cause<'a>>>,
}
