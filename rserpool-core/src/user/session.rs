//! A session: a conversation with a pool that outlives the element it is held with (RFC 5352 §3.5, §3.8, §6.5.1).
//!
//! ```text
//!           element selected             up
//!  Waiting ─────────────────▶ Connecting ──▶ Connected
//!     ▲ ▲                        │               │
//!     │ └── refused, time-out ───┘               │
//!     └──────────── lost: report, next one ──────┘
//! ```

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Event, PoolUser, ResolveError, SendError, SessionError, SessionId, Timer};
use crate::hunt::SHORTEST;
use crate::ids::{AssocId, PeId, PoolHandle, Ppid};
use crate::machine::End;
use crate::time::Instant;
use crate::wire::Transport;
use crate::wire::asap::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For a resolution, or for a pause to end.
    Waiting,
    Connecting {
        element: PeId,
        remote: SocketAddr,
    },
    Connected {
        element: PeId,
        association: AssocId,
        since: Instant,
    },
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pool_handle: PoolHandle,
    state: State,
    /// Messages that wait for an element, and their bytes in all.
    queue: VecDeque<(Ppid, u16, Bytes)>,
    queued: usize,
    /// The state that the last element gave us.
    cookie: Option<Bytes>,
    /// The element that was lost last, or the one in use.
    last: Option<PeId>,
    /// Elements that failed since one worked.
    failed: BTreeSet<PeId>,
    /// Whether the element in use has said anything.
    heard: bool,
    pause: Duration,
    error: SessionError,
}

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

impl PoolUser {
    /// Opens a session with a pool. Messages may be sent at once; they wait until there is an element. `None` where there
    /// are `max_sessions` already.
    pub fn open(&mut self, now: Instant, pool_handle: &PoolHandle) -> Option<SessionId> {
        if self.sessions.len() >= self.config.max_sessions {
            return None;
        }
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = Session {
            pool_handle: pool_handle.clone(),
            state: State::Waiting,
            queue: VecDeque::new(),
            queued: 0,
            cookie: None,
            last: None,
            failed: BTreeSet::new(),
            heard: false,
            pause: self.config.failover_pause,
            error: SessionError::Unreachable,
        };
        self.sessions.insert(id, session);
        self.await_element(now, id);
        self.seek(now, id);
        Some(id)
    }

    /// Sends a message to the session's element, in order and reliably; while there is none, the message waits.
    pub fn send(
        &mut self,
        session: SessionId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    ) -> Result<(), SendError> {
        let max_queue = self.config.max_session_queue;
        let session = self
            .sessions
            .get_mut(&session)
            .ok_or(SendError::UnknownSession)?;
        if ppid == Ppid::ASAP {
            return Err(SendError::ReservedPpid);
        }
        if bytes.is_empty() {
            return Err(SendError::Empty);
        }
        if let State::Connected { association, .. } = session.state {
            self.actions.send(association, ppid, stream, bytes);
            return Ok(());
        }
        if session.queued + bytes.len() > max_queue {
            return Err(SendError::QueueFull);
        }
        session.queued += bytes.len();
        session.queue.push_back((ppid, stream, bytes));
        Ok(())
    }

    /// Ends a session after what was sent has been delivered. What still waits for an element is dropped.
    pub fn close(&mut self, session: SessionId) {
        let Some(closed) = self.remove_session(session) else {
            return;
        };
        match closed.state {
            State::Connected { association, .. } => {
                self.by_association.remove(&association);
                self.actions.disconnect(association);
            }
            State::Connecting { remote, .. } => self.abandon(session, remote),
            State::Waiting => {}
        }
    }

    fn remove_session(&mut self, session: SessionId) -> Option<Session> {
        for timer in [
            Timer::Connect(session),
            Timer::Retry(session),
            Timer::GiveUp(session),
        ] {
            self.timers.cancel(timer);
        }
        self.sessions.remove(&session)
    }

    /// Bounds the time without an element.
    fn await_element(&mut self, now: Instant, id: SessionId) {
        self.timers
            .set(Timer::GiveUp(id), now + self.config.failover_timeout);
    }

    /// Connects to the next element out of the cache, or asks a registrar first.
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
        if !fresh || !self.connect_next(now, id) {
            self.request(now, &pool_handle, Some(id));
        }
    }

    /// Starts an association to the element that the policy selects. Says whether there was one to select.
    fn connect_next(&mut self, now: Instant, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let Some(pool) = self.cache.pool(&session.pool_handle) else {
            return false;
        };
        let Some(element) = pool.select(&session.failed, &mut self.rng) else {
            return false;
        };
        let pe_id = element.id;
        let transport = element.user_transport.as_transport();
        let addresses: Vec<_> = match transport {
            Transport::Sctp(sctp) => sctp
                .addresses
                .iter()
                .map(|address| SocketAddr::new(address, sctp.port))
                .collect(),
            _ => Vec::new(),
        };
        let Some(&remote) = addresses.first() else {
            return false;
        };
        session.state = State::Connecting {
            element: pe_id,
            remote,
        };
        let calls = self.connecting.entry(remote).or_default();
        calls.waiting.insert(id);
        self.timers
            .set(Timer::Connect(id), now + self.config.connect_timeout);
        // The PPID selects no endpoint here: a user's associations are each from a port of their own.
        self.actions.connect(Ppid::ASAP, addresses);
        true
    }

    /// An answer about the pool has come.
    pub(super) fn on_resolved(&mut self, now: Instant, id: SessionId) {
        if self.is_waiting(id) && !self.connect_next(now, id) {
            self.pause(now, id, SessionError::Unreachable);
        }
    }

    pub(super) fn on_unresolved(&mut self, now: Instant, id: SessionId, error: &ResolveError) {
        if self.is_waiting(id) {
            self.pause(now, id, SessionError::Unresolved(error.clone()));
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

    /// An association that a session asked for is up: the cookie goes first, then what waited (RFC 5352 §3.8).
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
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let State::Connecting { element, .. } = session.state else {
            return;
        };
        self.timers.cancel(Timer::Connect(id));
        self.timers.cancel(Timer::GiveUp(id));
        self.by_association.insert(association, id);
        session.state = State::Connected {
            element,
            association,
            since: now,
        };
        session.heard = false;
        let cookie = session.last.and(session.cookie.as_deref());
        if let Some(cookie) = cookie {
            self.actions
                .send_asap(association, &Message::CookieEcho { cookie });
        }
        self.actions.notify(match session.last.replace(element) {
            None => Event::Connected {
                session: id,
                element,
            },
            Some(old) => Event::FailedOver {
                session: id,
                old,
                new: element,
                cookie_echoed: cookie.is_some(),
            },
        });
        session.queued = 0;
        for (ppid, stream, bytes) in session.queue.drain(..) {
            self.actions.send(association, ppid, stream, bytes);
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
    fn abandon(&mut self, id: SessionId, remote: SocketAddr) {
        if let Some(calls) = self.connecting.get_mut(&remote) {
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
        if let Some(State::Connecting { remote, .. }) = state {
            self.abandon(id, remote);
            self.on_unreachable(now, id);
        }
    }

    /// The selected element could not be reached: it is reported once, and the next one is tried (RFC 5352 §3.5).
    fn on_unreachable(&mut self, now: Instant, id: SessionId) {
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
        self.report_unreachable(&pool_handle, element);
        self.seek(now, id);
    }

    /// The session's association has ended. An element that closed it in order is not unreachable.
    pub(super) fn on_element_lost(&mut self, now: Instant, association: AssocId, end: End) {
        let Some(id) = self.by_association.remove(&association) else {
            return;
        };
        let settled = self.config.failover_pause_max;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let State::Connected { element, since, .. } = session.state else {
            return;
        };
        // One that answered, or lived for a while, was a good one: the search starts from scratch.
        if session.heard || now.duration_since(since) >= settled {
            session.failed.clear();
            session.pause = self.config.failover_pause;
        }
        session.state = State::Waiting;
        session.failed.insert(element);
        let pool_handle = session.pool_handle.clone();
        self.actions.notify(Event::Interrupted {
            session: id,
            element,
            closed: end == End::Closed,
        });
        match end {
            End::Closed => self.cache.remove(&pool_handle, element),
            End::Lost => self.report_unreachable(&pool_handle, element),
        }
        self.await_element(now, id);
        self.seek(now, id);
    }

    pub(super) fn on_give_up(&mut self, id: SessionId) {
        let Some(session) = self.remove_session(id) else {
            return;
        };
        if let State::Connecting { remote, .. } = session.state {
            self.abandon(id, remote);
        }
        self.actions.notify(Event::SessionFailed {
            session: id,
            error: session.error,
        });
    }

    /// The last cookie is kept (RFC 5352 §3.8).
    pub(super) fn on_cookie(&mut self, id: SessionId, cookie: &[u8]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard = true;
            session.cookie = Some(Bytes::copy_from_slice(cookie));
        }
    }

    pub(super) fn on_data(&mut self, id: SessionId, ppid: Ppid, stream: u16, bytes: &[u8]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard = true;
            self.actions.notify(Event::Message {
                session: id,
                ppid,
                stream,
                bytes: Bytes::copy_from_slice(bytes),
            });
        }
    }
}
