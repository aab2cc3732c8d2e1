//! A session: a conversation with a pool that outlives the element it is held with (RFC 5352 §3.5, §3.8, §3.9, §6.5).
//!
//! ```text
//!           element selected             up               fail_over
//!  Waiting ─────────────────▶ Connecting ──▶ Connected ────────────▶ Leaving
//!     ▲ ▲                        │               │ lost                 │ ended
//!     │ └── refused, time-out ───┘               ├──────────────────────┘
//!     └──────────── report, next one ────────────┤
//!     ▲                        fail_over         ▼
//!     └──────────────────────────────────── Interrupted (fail-over on demand)
//! ```
//!
//! Messages with the PPID of ASAP are the control channel, all others the data channel of one association; where the pool's
//! transport is for data only, there is no control channel. That is so with every transport but SCTP (RFC 5354 §3.3–3.7), and
//! there the connection is the application's: it is told whom to connect to, and tells what came of it.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

use super::{
    CardError, Carrier, Event, OpenError, PoolUser, SendError, SessionError, SessionId,
    SessionOptions, Timer,
};
use crate::ids::{AssocId, PeId, PoolHandle, Ppid};
use crate::machine::{Data, End};
use crate::time::Instant;
use crate::wire::asap::Message;
use crate::wire::{List, PoolElement};

/// An association that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) remote: SocketAddr,
    /// Whether there will be a control channel.
    pub(super) control: bool,
}

/// The association that a session has with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) association: AssocId,
    /// Whether there is a control channel.
    pub(super) control: bool,
}

/// The connection that a session has with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) element: PeId,
    /// `None` where the connection is the application's.
    pub(super) channel: Option<Channel>,
    pub(super) since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// For a resolution, or for a pause to end.
    Waiting,
    Connecting {
        element: PeId,
        /// `None` where the application connects.
        call: Option<Call>,
    },
    Connected(Link),
    /// The application wants another element. The end of the association is awaited, and what it could not deliver.
    Leaving(Link),
    /// For [`PoolUser::fail_over`].
    Interrupted,
}

/// A message that waits for an element.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) data: Data,
    /// How many elements it could not be delivered to.
    pub(super) tries: u32,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) pool_handle: PoolHandle,
    pub(super) options: SessionOptions,
    pub(super) state: State,
    /// Messages that the last element did not get, and after them those that wait for one; and their bytes in all.
    pub(super) undelivered: VecDeque<Queued>,
    pub(super) queue: VecDeque<Queued>,
    pub(super) queued: usize,
    /// What the element in use was sent although another one had been, in order, and how often it had been sent.
    pub(super) resent: VecDeque<(Bytes, u32)>,
    /// The state that the last element gave us.
    pub(super) cookie: Option<Bytes>,
    /// The element that was lost last, or the one in use.
    pub(super) last: Option<PeId>,
    /// Whom to prefer, in order: by the application's choice, or the last business card.
    pub(super) preferred: Vec<PeId>,
    /// Elements that failed since one worked.
    pub(super) failed: BTreeSet<PeId>,
    /// Whether the element in use has said anything.
    pub(super) heard: bool,
    pub(super) pause: Duration,
    /// When it fails, unless an element is found that works.
    pub(super) deadline: Instant,
    pub(super) error: SessionError,
}

impl Session {
    /// The association of a session that is connected.
    fn channel(&self) -> Option<Channel> {
        match self.state {
            State::Connected(link) => link.channel,
            _ => None,
        }
    }

    pub(super) fn enqueue(&mut self, data: Data) {
        self.queued += data.bytes.len();
        self.queue.push_back(Queued { data, tries: 0 });
    }

    /// Whether its element is the only one that it may have.
    pub(super) fn is_bound(&self) -> bool {
        self.options.failover == super::Failover::Never && self.options.element.is_some()
    }
}

impl PoolUser {
    /// Opens a session with a pool that fails over by itself. Messages may be sent at once; they wait until there is an element.
    /// `None` where there are `max_sessions` already.
    ///
    /// ```
    /// use rserpool_core::user::{Config, PoolUser};
    /// use rserpool_core::{Instant, PoolHandle};
    ///
    /// let mut config = Config::default();
    /// config.max_sessions = 1;
    /// let mut user = PoolUser::new(config, [7; 32]);
    /// let pool = PoolHandle::from("EchoPool");
    /// let session = user.open(Instant::EPOCH, &pool).expect("the first one");
    /// assert_eq!(user.open(Instant::EPOCH, &pool), None);
    /// // It has no element yet.
    /// assert_eq!(user.element(session), None);
    /// ```
    pub fn open(&mut self, now: Instant, pool_handle: &PoolHandle) -> Option<SessionId> {
        self.open_with(now, pool_handle, SessionOptions::default())
    }

    /// Opens a session of another kind.
    ///
    /// ```
    /// use rserpool_core::user::{Carrier, PoolUser, SessionId, SessionOptions};
    /// use rserpool_core::{Instant, PoolHandle};
    ///
    /// /// A session of which `Event::Selected` tells whom to connect to.
    /// fn open_tcp(user: &mut PoolUser, now: Instant, pool: &PoolHandle) -> Option<SessionId> {
    ///     let mut options = SessionOptions::default();
    ///     options.carrier = Carrier::Tcp;
    ///     user.open_with(now, pool, options)
    /// }
    /// ```
    pub fn open_with(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle,
        options: SessionOptions,
    ) -> Option<SessionId> {
        if self.sessions.len() >= self.config.max_sessions {
            return None;
        }
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = Session {
            pool_handle: pool_handle.clone(),
            options,
            state: State::Waiting,
            undelivered: VecDeque::new(),
            queue: VecDeque::new(),
            queued: 0,
            resent: VecDeque::new(),
            cookie: None,
            last: None,
            preferred: options.element.into_iter().collect(),
            failed: BTreeSet::new(),
            heard: false,
            pause: self.config.failover_pause,
            deadline: now + self.config.failover_timeout,
            error: SessionError::Unreachable,
        };
        self.sessions.insert(id, session);
        self.look_for_element(now, id);
        Some(id)
    }

    /// Opens a session with each element of a pool that has been resolved, `own` excepted: what is sent in all of them reaches the
    /// whole pool (RFC 5352 §6.5.5, ASAP_SEND_TO_ALL; with `None` also ASAP_SEND_TO_SELF). They do not fail over. All are
    /// opened, or none.
    ///
    /// ```
    /// use rserpool_core::user::{OpenError, PoolUser};
    /// use rserpool_core::{Instant, PoolHandle, Ppid};
    ///
    /// /// Says it to the whole pool, which `Event::Resolved` has told of.
    /// fn say(user: &mut PoolUser, now: Instant, pool: &PoolHandle) -> Result<(), OpenError> {
    ///     for (_, session) in user.open_all(now, pool, None)? {
    ///         let sent = user.send(session, Ppid::UNSPECIFIED, 0, "hello".into());
    ///         assert_eq!(sent, Ok(()));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn open_all(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle,
        own: Option<PeId>,
    ) -> Result<Vec<(PeId, SessionId)>, OpenError> {
        // RFC 5352 §6.5.1: translation comes before sending.
        let pool = self.cache.pool(pool_handle).ok_or(OpenError::Unresolved)?;
        let elements: Vec<_> = pool
            .usable(Carrier::Sctp)
            .map(|element| element.id)
            .filter(|element| Some(*element) != own)
            .collect();
        if self.sessions.len() + elements.len() > self.config.max_sessions {
            return Err(OpenError::TooManySessions);
        }
        let open = |element| {
            let options = SessionOptions::only(element);
            let session = self.open_with(now, pool_handle, options)?;
            Some((element, session))
        };
        Ok(elements.into_iter().filter_map(open).collect())
    }

    /// The element that a session is connected to.
    pub fn element(&self, session: SessionId) -> Option<PeId> {
        match self.sessions.get(&session)?.state {
            State::Connected(link) => Some(link.element),
            _ => None,
        }
    }

    /// The association that a session has with its element.
    ///
    /// ```
    /// use rserpool_core::user::{Config, PoolUser};
    /// use rserpool_core::{Instant, PoolHandle};
    ///
    /// let mut user = PoolUser::new(Config::default(), [7; 32]);
    /// let session = user.open(Instant::EPOCH, &PoolHandle::from("EchoPool")).expect("the first one");
    /// // A driver asks before it sends, to know whose send buffer has to have room.
    /// assert_eq!(user.association(session), None);
    /// ```
    pub fn association(&self, session: SessionId) -> Option<AssocId> {
        let channel = self.sessions.get(&session)?.channel()?;
        Some(channel.association)
    }

    /// Sends a message to the session's element, in order and reliably; while there is none, the message waits. What the
    /// application has not got an answer to may be lost when the element fails, and what is
    /// [sent again](SessionOptions::resend) may come twice.
    ///
    /// ```
    /// use rserpool_core::user::{Config, PoolUser, SendError};
    /// use rserpool_core::{Instant, PoolHandle, Ppid};
    ///
    /// let mut config = Config::default();
    /// config.max_session_queue = 8;
    /// let mut user = PoolUser::new(config, [7; 32]);
    /// let session = user.open(Instant::EPOCH, &PoolHandle::from("EchoPool")).expect("the first one");
    /// // It waits for an element. The next one has no room to.
    /// assert_eq!(user.send(session, Ppid::UNSPECIFIED, 0, "hello".into()), Ok(()));
    /// assert_eq!(user.send(session, Ppid::UNSPECIFIED, 0, "world".into()), Err(SendError::QueueFull));
    /// assert_eq!(user.send(session, Ppid::ASAP, 0, "!".into()), Err(SendError::ReservedPpid));
    /// ```
    pub fn send(
        &mut self,
        session: SessionId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    ) -> Result<(), SendError> {
        self.send_data(session, Data::ordered(ppid, stream, bytes))
    }

    /// The same for a message that may overtake others (RFC 5352 §6.5.5). A transport that cannot do so sends it in order, and
    /// so does every transport where it is sent again.
    ///
    /// ```
    /// use rserpool_core::Ppid;
    /// use rserpool_core::user::{PoolUser, SendError, SessionId};
    ///
    /// /// Need not wait for what was sent before.
    /// fn cancel(user: &mut PoolUser, session: SessionId) -> Result<(), SendError> {
    ///     user.send_unordered(session, Ppid::UNSPECIFIED, 0, "cancel".into())
    /// }
    /// ```
    pub fn send_unordered(
        &mut self,
        session: SessionId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    ) -> Result<(), SendError> {
        self.send_data(session, Data::unordered(ppid, stream, bytes))
    }

    fn send_data(&mut self, session: SessionId, data: Data) -> Result<(), SendError> {
        let session = self
            .sessions
            .get_mut(&session)
            .ok_or(SendError::UnknownSession)?;
        // RFC 5352 §5: the data channel MUST NOT use ASAP's PPID.
        if data.ppid == Ppid::ASAP || data.ppid == Ppid::ENRP {
            return Err(SendError::ReservedPpid);
        }
        if data.bytes.is_empty() {
            return Err(SendError::Empty);
        }
        if session.options.carrier != Carrier::Sctp {
            return Err(SendError::NotSctp);
        }
        if let Some(channel) = session.channel() {
            self.actions.send_data(channel.association, data);
            return Ok(());
        }
        if session.queued + data.bytes.len() > self.config.max_session_queue {
            return Err(SendError::QueueFull);
        }
        session.enqueue(data);
        Ok(())
    }

    /// Leaves the session's element for another one, whatever its fail-over: at once, so that what is on the way may be lost.
    /// An element that does not answer is reported by [`PoolUser::report_unreachable`]. Does nothing where the session is looking
    /// for an element already.
    ///
    /// ```
    /// use rserpool_core::Instant;
    /// use rserpool_core::user::{PoolUser, SessionId};
    ///
    /// /// The application has asked, and waited long enough.
    /// fn on_silence(user: &mut PoolUser, now: Instant, session: SessionId) {
    ///     if let Some(element) = user.element(session) {
    ///         println!("{element} does not answer");
    ///         user.fail_over(now, session);
    ///     }
    /// }
    /// ```
    pub fn fail_over(&mut self, now: Instant, session: SessionId) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        match known.state {
            State::Connected(link) => {
                known.state = State::Leaving(link);
                match link.channel {
                    Some(channel) => self.actions.abort(channel.association),
                    // Nothing of it is the machine's: it has ended when the application is told.
                    None => self.on_link_lost(now, session, End::Closed),
                }
            }
            State::Interrupted => {
                known.deadline = now + self.config.failover_timeout;
                self.look_for_element(now, session);
            }
            _ => {}
        }
    }

    /// Ends a session after what was sent has been delivered. What still waits for an element is dropped.
    ///
    /// ```
    /// use rserpool_core::user::{Config, PoolUser, SendError};
    /// use rserpool_core::{Instant, PoolHandle, Ppid};
    ///
    /// let mut user = PoolUser::new(Config::default(), [7; 32]);
    /// let session = user.open(Instant::EPOCH, &PoolHandle::from("EchoPool")).expect("the first one");
    /// user.close(session);
    /// let late = user.send(session, Ppid::UNSPECIFIED, 0, "hello".into());
    /// assert_eq!(late, Err(SendError::UnknownSession));
    /// ```
    pub fn close(&mut self, session: SessionId) {
        let Some(closed) = self.remove_session(session) else {
            return;
        };
        match closed.state {
            State::Connected(link) => {
                if let Some(channel) = link.channel {
                    self.actions.disconnect(channel.association);
                }
            }
            State::Connecting { call, .. } => self.abandon(session, call),
            State::Waiting | State::Leaving(_) | State::Interrupted => {}
        }
    }

    pub(super) fn remove_session(&mut self, session: SessionId) -> Option<Session> {
        for timer in [
            Timer::Connect(session),
            Timer::Retry(session),
            Timer::GiveUp(session),
            Timer::Refused(session),
        ] {
            self.timers.cancel(timer);
        }
        self.sessions.remove(&session)
    }

    /// Says to elements that this user is an element of a pool, too, and whom to turn to when it fails: to each one when a
    /// session gets to it (RFC 5352 §3.9). Without elements nothing is said.
    ///
    /// ```
    /// use rserpool_core::PoolHandle;
    /// use rserpool_core::user::{CardError, Element, PoolUser};
    ///
    /// /// This user is an element of `pool`, and `others` can do what it does.
    /// fn introduce(user: &mut PoolUser, pool: &PoolHandle, others: &[Element]) -> Result<(), CardError> {
    ///     let elements: Vec<_> = others.iter().map(Element::to_wire).collect();
    ///     user.set_business_card(pool, &elements)
    /// }
    /// ```
    pub fn set_business_card(
        &mut self,
        pool_handle: &PoolHandle,
        elements: &[PoolElement<'_>],
    ) -> Result<(), CardError> {
        if elements.is_empty() {
            self.card = None;
            return Ok(());
        }
        let message = Message::BusinessCard {
            pool_handle: pool_handle.as_bytes(),
            pool_elements: List::Slice(elements),
        };
        self.card = Some(message.to_bytes().map_err(|_| CardError::TooLong)?);
        Ok(())
    }

    /// The session on an association, where it has a control channel.
    fn on_control(&mut self, association: AssocId) -> Option<&mut Session> {
        let id = self.by_association.get(&association)?;
        let session = self.sessions.get_mut(id)?;
        let channel = match session.state {
            State::Connected(link) | State::Leaving(link) => link.channel,
            _ => None,
        };
        if !channel.is_some_and(|channel| channel.control) {
            return None;
        }
        session.heard = true;
        Some(session)
    }

    /// The last cookie is kept (RFC 5352 §3.8). Where there is no control channel it could not be handed on.
    pub(super) fn on_cookie(&mut self, association: AssocId, cookie: &[u8]) {
        match self.on_control(association) {
            Some(session) => session.cookie = Some(Bytes::copy_from_slice(cookie)),
            None => self.counters.unexpected += 1,
        }
    }

    /// The element recommends others (RFC 5352 §3.9 BC1, BC2). Only their order counts: where they are, a registrar says. A pool
    /// that is not the session's is none of the element's business.
    pub(super) fn on_business_card(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        elements: List<'_, PoolElement<'_>>,
    ) {
        let max = self.config.max_pool_elements;
        let session = self
            .on_control(association)
            .filter(|session| session.pool_handle.as_bytes() == pool_handle);
        let Some(session) = session else {
            self.counters.unexpected += 1;
            return;
        };
        session.preferred = elements
            .iter()
            .take(max)
            .map(|element| element.id)
            .collect();
        let pool_handle = session.pool_handle.clone();
        if self.cache.pool(&pool_handle).is_none() {
            self.refresh(now, &pool_handle);
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
