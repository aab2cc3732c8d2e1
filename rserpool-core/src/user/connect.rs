//! From a session without an element to one with an element (RFC 5352 §3.5, §6.5.1).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::resolve::Asker;
use super::session::{Call, Channel, Link, State};
use super::{Carrier, Event, Failover, PoolUser, ResolveError, SessionError, SessionId, Timer};
use crate::hunt::SHORTEST;
use crate::ids::{AssocId, Ppid};
use crate::time::Instant;
use crate::wire::asap::Message;
use crate::wire::{SctpTransport, Transport, TransportUse};

/// The associations asked for at one address. Answers come without a name: each is for whoever waits.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: BTreeSet<SessionId>,
    /// Those whose session has lost interest.
    lost: usize,
}

impl Calls {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0
    }

    fn abandon(&mut self, id: SessionId) {
        if self.waiting.remove(&id) {
            self.lost += 1;
        }
    }

    /// Who gets an association that is up.
    fn take_answered(&mut self) -> Option<SessionId> {
        let first = self.waiting.pop_first();
        if first.is_none() {
            self.lost = self.lost.saturating_sub(1);
        }
        first
    }

    /// Whose call has failed. The ones that were given up are the oldest.
    fn take_failed(&mut self) -> Option<SessionId> {
        if self.lost == 0 {
            return self.waiting.pop_first();
        }
        self.lost -= 1;
        None
    }
}

/// The association to ask for.
fn call(sctp: &SctpTransport<'_>) -> Option<(Call, Vec<SocketAddr>)> {
    let addresses: Vec<_> = sctp
        .addresses
        .iter()
        .map(|address| SocketAddr::new(address, sctp.port))
        .collect();
    let call = Call {
        remote: *addresses.first()?,
        control: sctp.transport_use == TransportUse::DATA_PLUS_CONTROL,
    };
    Some((call, addresses))
}

impl PoolUser {
    /// Looks for an element until the session's deadline.
    pub(super) fn look_for_element(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.state = State::Waiting;
        self.timers.set(Timer::GiveUp(id), session.deadline);
        self.seek(now, id);
    }

    /// Connects to the next element out of the cache, or asks a registrar first. Where there is none, what is known of the pool is
    /// used, however old, while it is asked for (RFC 5352 §3.3 C3).
    pub(super) fn seek(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        if session.failed.len() >= self.config.max_pool_elements {
            return self.pause(now, id, SessionError::Unreachable);
        }
        let pool_handle = session.pool_handle.clone();
        let stale = self.config.stale_cache_value;
        let fresh = self.cache.fresh(now, &pool_handle, stale).is_some();
        let connects = (fresh || self.home().is_none()) && self.connect_next(now, id);
        if !fresh || !connects {
            self.request(now, &pool_handle, Asker::Session(id));
        }
    }

    /// Connects to the element that is preferred, or that the policy selects, or has the application do it. Says whether there was
    /// one to select.
    fn connect_next(&mut self, now: Instant, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let Some(pool) = self.cache.pool(&session.pool_handle) else {
            return false;
        };
        let carrier = session.options.carrier;
        let preferred = pool.preferred(carrier, &session.preferred, &session.failed);
        let element = match preferred {
            None if !session.is_bound() => pool.select(carrier, &session.failed, &mut self.rng),
            preferred => preferred,
        };
        let Some(element) = element else {
            return false;
        };
        let timeout = now + self.config.connect_timeout;
        self.timers.set(Timer::Connect(id), timeout);
        let call = match (carrier, element.user_transport.as_transport()) {
            (Carrier::Sctp, Transport::Sctp(sctp)) => call(&sctp),
            _ => None,
        };
        session.state = State::Connecting {
            element: element.id,
            call: call.as_ref().map(|(call, _)| *call),
        };
        if let Some((call, addresses)) = call {
            let calls = self.connecting.entry(call.remote).or_default();
            calls.waiting.insert(id);
            // Each of a user's associations is from a port of its own.
            self.actions.connect(Ppid::UNSPECIFIED, addresses);
        } else {
            self.actions.notify(Event::Selected {
                session: id,
                element: element.id,
                transport: element.user_transport.clone(),
            });
        }
        true
    }

    /// An answer about the pool has come.
    pub(super) fn on_resolved(&mut self, now: Instant, id: SessionId) {
        if !self.is_waiting(id) || self.connect_next(now, id) {
            return;
        }
        let error = self.lack(id);
        if self
            .sessions
            .get(&id)
            .is_some_and(|session| session.is_bound())
        {
            self.fail(id, error);
        } else {
            self.pause(now, id, error);
        }
    }

    /// Why a session found no element in a pool that has been resolved.
    fn lack(&mut self, id: SessionId) -> SessionError {
        let Some(session) = self.sessions.get(&id) else {
            return SessionError::Unreachable;
        };
        match self.cache.pool(&session.pool_handle) {
            Some(pool)
                if !pool.elements.is_empty()
                    && pool.usable(session.options.carrier).next().is_none() =>
            {
                SessionError::OtherTransport
            }
            _ => SessionError::Unreachable,
        }
    }

    pub(super) fn on_unresolved(&mut self, now: Instant, id: SessionId, error: &ResolveError) {
        if !self.is_waiting(id) {
            return;
        }
        let failure = SessionError::Unresolved(error.clone());
        if *error == ResolveError::InvalidHandle {
            self.fail(id, failure);
        } else if *error != ResolveError::Timeout || !self.connect_next(now, id) {
            self.pause(now, id, failure);
        }
    }

    fn is_waiting(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|session| session.state == State::Waiting)
    }

    /// Nobody could be reached: all elements become candidates again after a pause that doubles each time.
    fn pause(&mut self, now: Instant, id: SessionId, error: SessionError) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.error = error;
        session.failed.clear();
        let pause = session.pause.max(SHORTEST);
        self.timers.set(Timer::Retry(id), now + pause);
        session.pause = pause.saturating_mul(2).min(self.config.failover_pause_max);
    }

    /// An association that a session asked for is up.
    pub(super) fn on_element_connected(
        &mut self,
        now: Instant,
        association: AssocId,
        remote: &[SocketAddr],
    ) {
        let Some(id) = self.take_connecting(remote) else {
            self.actions.disconnect(association);
            return;
        };
        let state = self.sessions.get(&id).map(|session| session.state);
        let Some(State::Connecting {
            call: Some(call), ..
        }) = state
        else {
            return;
        };
        self.by_association.insert(association, id);
        let channel = Channel {
            association,
            control: call.control,
        };
        self.on_link_up(now, id, Some(channel));
    }

    /// The session has its element: the cookie goes first, then the business card, then what waited (RFC 5352 §3.8, §3.9).
    pub(super) fn on_link_up(&mut self, now: Instant, id: SessionId, channel: Option<Channel>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let State::Connecting { element, .. } = session.state else {
            return;
        };
        self.timers.cancel(Timer::Connect(id));
        self.timers.cancel(Timer::GiveUp(id));
        session.state = State::Connected(Link {
            element,
            channel,
            since: now,
        });
        session.heard = false;
        let control = channel.filter(|channel| channel.control);
        let control = control.map(|channel| channel.association);
        let cookie = session.last.and(session.cookie.as_deref());
        let echoed = control.zip(cookie);
        if let Some((association, cookie)) = echoed {
            self.actions
                .send_asap(association, &Message::CookieEcho { cookie });
        }
        if let Some((association, card)) = control.zip(self.card.as_ref()) {
            self.actions.send(association, Ppid::ASAP, 0, card.clone());
        }
        // RFC 5355 §2.9.3: the application learns that the security context of the old one is gone.
        self.actions.notify(match session.last.replace(element) {
            None => Event::Connected {
                session: id,
                element,
            },
            Some(old) => Event::FailedOver {
                session: id,
                old,
                new: element,
                cookie_echoed: echoed.is_some(),
            },
        });
        // Without an association nothing was taken to be sent.
        let Some(Channel { association, .. }) = channel else {
            return;
        };
        session.queued = 0;
        for queued in session.undelivered.drain(..).chain(session.queue.drain(..)) {
            if queued.tries > 0 {
                let resent = (queued.data.bytes.clone(), queued.tries);
                session.resent.push_back(resent);
            }
            self.actions.send_data(association, queued.data);
        }
    }

    /// The session that an association to one of `remote` is for. `None`: whoever asked for it has lost interest.
    fn take_connecting(&mut self, remote: &[SocketAddr]) -> Option<SessionId> {
        let address = remote
            .iter()
            .find(|address| self.connecting.contains_key(address))?;
        let calls = self.connecting.get_mut(address)?;
        let taken = calls.take_answered();
        if calls.is_empty() {
            self.connecting.remove(address);
        }
        taken
    }

    /// Nobody waits any more for the association that was asked for.
    pub(super) fn abandon(&mut self, id: SessionId, call: Option<Call>) {
        if let Some(calls) = call.and_then(|call| self.connecting.get_mut(&call.remote)) {
            calls.abandon(id);
        }
    }

    pub(super) fn on_element_connect_failed(&mut self, now: Instant, remote: SocketAddr) {
        let Some(calls) = self.connecting.get_mut(&remote) else {
            self.counters.unexpected += 1;
            return;
        };
        let failed = calls.take_failed();
        if calls.is_empty() {
            self.connecting.remove(&remote);
        }
        if let Some(id) = failed {
            self.on_unreachable(now, id);
        }
    }

    pub(super) fn on_connect_timeout(&mut self, now: Instant, id: SessionId) {
        let state = self.sessions.get(&id).map(|session| session.state);
        if let Some(State::Connecting { call, .. }) = state {
            self.abandon(id, call);
            self.on_unreachable(now, id);
        }
    }

    /// The selected element could not be reached: it is reported once, and the next one is tried (RFC 5352 §3.5), unless the
    /// session is not to have another one (§6.5.5, ASAP_SEND_NO_FAILOVER).
    pub(super) fn on_unreachable(&mut self, now: Instant, id: SessionId) {
        self.timers.cancel(Timer::Connect(id));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let State::Connecting { element, .. } = session.state else {
            return;
        };
        session.state = State::Waiting;
        session.failed.insert(element);
        let pool_handle = session.pool_handle.clone();
        let never = session.options.failover == Failover::Never;
        self.report_unreachable(&pool_handle, element);
        if never {
            self.fail(id, SessionError::Unreachable);
        } else {
            self.seek(now, id);
        }
    }
}
