//! The pool user: a client of pools (RFC 5352 §3.3, §3.5, §3.7–§3.9, §6.5).
//!
//! It finds a registrar, resolves pools, remembers them for a while or is told of their changes, and holds sessions with them: a
//! session goes on with another element when its element fails.
//!
//! | RFC 5352 §6.5.5 | here |
//! |---|---|
//! | ASAP_SEND_TO_LAST | [`PoolUser::send`] in a session; each session selects an element of its own |
//! | ASAP_SEND_TO_ALL, ASAP_SEND_TO_SELF | [`PoolUser::open_all`] |
//! | ASAP_SEND_FAILOVER | [`SessionOptions::resend`] |
//! | ASAP_SEND_NO_FAILOVER | without it, for each message: [`Event::Undelivered`] returns it; for the session: [`Failover::Never`] |
//! | ASAP_SCTP_UNORDER | [`PoolUser::send_unordered`] |
//!
//! What is sent and received is SCTP's. A session with a pool of another transport selects, reports and fails over in the same
//! way, and leaves the connections to the application: [`Carrier`].
//!
//! An element that is there and does not answer is the application's to notice, who knows what an answer is and when it is due:
//! [`PoolUser::fail_over`].

mod config;
mod connect;
mod external;
mod failover;
mod resolve;
mod select;
mod session;
mod subscribe;
#[cfg(test)]
mod tests;

pub use config::{
    CardError, Carrier, Config, Counters, Element, Event, Failover, OpenError, ResolveError,
    SendError, SessionError, SessionId, SessionOptions, SubscribeError,
};

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use self::connect::Calls;
use self::resolve::{Answer, Requests};
use self::select::Cache;
use self::session::Session;
use self::subscribe::Subscriptions;
use crate::faults;
use crate::hunt::{Found, Hunt, earlier};
use crate::ids::{AssocId, PeId, PoolHandle, Ppid};
use crate::machine::{Action, Actions, Data, Input, Machine};
use crate::rng::Rng;
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::asap::{self, Message};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// T1-ENRPrequest of a request.
    T1Request(u64),
    /// An association to an element does not come up.
    Connect(SessionId),
    /// The pause before the next attempt is over.
    Retry(SessionId),
    /// A session has been without an element for too long.
    GiveUp(SessionId),
    /// The element did not get a message, and is still there.
    Refused(SessionId),
    /// A subscription that no registrar serves is asked for.
    Poll(u64),
}

/// The machine of one pool user with any number of sessions.
///
/// The driver opens each of its associations from a local port of its own, so that two sessions with the same element are two
/// associations.
///
/// ```
/// use rserpool_core::user::{Config, PoolUser};
/// use rserpool_core::wire::asap::{self, Message};
/// use rserpool_core::{Action, AssocId, Input, Instant, Machine, PoolHandle};
///
/// let mut config = Config::default();
/// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
/// let mut user = PoolUser::new(config, [7; 32]);
/// let (now, association) = (Instant::EPOCH, AssocId(1));
///
/// user.subscribe(now, &PoolHandle::from("EchoPool"))?;
/// let Some(Action::Connect { remote, .. }) = user.poll_action() else { panic!() };
/// user.handle_input(now, Input::Connected { association, remote: &remote });
/// let Some(Action::Send { bytes, .. }) = user.poll_action() else { panic!() };
/// assert!(matches!(asap::decode(&bytes)?.message, Message::HandleResolution { subscribe: true, .. }));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PoolUser {
    config: Config,
    rng: Rng,
    hunt: Hunt,
    requests: Requests,
    cache: Cache,
    subscriptions: Subscriptions,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    by_association: BTreeMap<AssocId, SessionId>,
    /// The business card, encoded.
    card: Option<Bytes>,
    /// The associations that were asked for, by the address asked for.
    connecting: BTreeMap<SocketAddr, Calls>,
    /// Reports that wait for a home.
    reports: Vec<(PoolHandle, PeId)>,
    timers: Timers<Timer>,
    actions: Actions<Event>,
    counters: Counters,
}

impl PoolUser {
    /// How many unreachable reports wait for a home at most.
    const MAX_REPORTS: usize = 64;

    /// A user that knows no registrar yet.
    ///
    /// ```
    /// use rserpool_core::user::{Config, PoolUser};
    /// use rserpool_core::Machine;
    ///
    /// let mut user = PoolUser::new(Config::default(), [7; 32]);
    /// // It does nothing by itself.
    /// assert_eq!(user.poll_action(), None);
    /// assert_eq!(user.poll_timeout(), None);
    /// ```
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        Self {
            hunt: Hunt::new(config.hunt.clone(), &mut rng),
            rng,
            requests: Requests::default(),
            cache: Cache::new(config.max_pools),
            config,
            subscriptions: Subscriptions::default(),
            sessions: BTreeMap::new(),
            next_session: 0,
            by_association: BTreeMap::new(),
            card: None,
            connecting: BTreeMap::new(),
            reports: Vec::new(),
            timers: Timers::new(),
            actions: Actions::new(),
            counters: Counters::default(),
        }
    }

    /// The association to its home registrar.
    pub fn home(&self) -> Option<AssocId> {
        self.hunt.home()
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn on_asap(&mut self, now: Instant, association: AssocId, bytes: &[u8]) {
        let decoded = match asap::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.counters.malformed += 1;
                if let Some(answer) = faults::answer(bytes, &error) {
                    self.actions.send(association, Ppid::ASAP, 0, answer);
                }
                return;
            }
        };
        if let Some(report) = faults::report(bytes, &decoded) {
            self.actions.send(association, Ppid::ASAP, 0, report);
        }
        let from_home = self.hunt.home() == Some(association);
        match decoded.message {
            Message::HandleResolutionResponse {
                accepted,
                pool_handle,
                policy,
                pool_elements,
                error,
            } if from_home => {
                let answer = Answer {
                    accepted,
                    policy,
                    elements: pool_elements,
                    error,
                };
                self.on_resolution_response(now, pool_handle, &answer);
            }
            Message::Error { causes } if from_home => self.on_error(now, causes),
            Message::Cookie { cookie } => self.on_cookie(association, cookie),
            Message::BusinessCard {
                pool_handle,
                pool_elements,
            } => self.on_business_card(now, association, pool_handle, pool_elements),
            _ => self.counters.unexpected += 1,
        }
    }

    fn on_connected(&mut self, now: Instant, association: AssocId, remote: &[SocketAddr]) {
        if self.by_association.contains_key(&association) {
            self.counters.unexpected += 1;
            return;
        }
        let found = self
            .hunt
            .on_connected(association, remote, &mut self.actions);
        match found {
            Found::Home => self.on_home(now, association),
            Found::Surplus => self.actions.disconnect(association),
            Found::NotOurs if self.hunt.home() == Some(association) => {}
            Found::NotOurs => self.on_element_connected(now, association, remote),
        }
    }
}

impl Machine for PoolUser {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected {
                association,
                remote,
            } => self.on_connected(now, association, remote),
            Input::ConnectFailed { remote } if self.hunt.is_attempt(remote) => {
                self.hunt.on_connect_failed(remote, &mut self.actions);
            }
            Input::ConnectFailed { remote } => self.on_element_connect_failed(now, remote),
            Input::Disconnected { association, end } => {
                if self.hunt.on_disconnected(now, association) {
                    self.hunt.search(now, &mut self.actions);
                } else {
                    self.on_element_lost(now, association, end);
                }
            }
            Input::Message {
                association,
                ppid: Ppid::ASAP,
                bytes,
                ..
            } => self.on_asap(now, association, bytes),
            Input::Message {
                association,
                ppid,
                stream,
                bytes,
            } => match self.by_association.get(&association).copied() {
                Some(session) if ppid != Ppid::ENRP => self.on_data(session, ppid, stream, bytes),
                _ => self.counters.unexpected += 1,
            },
            // RFC 5352 §3.7.1: a registrar that takes no message is as good as gone.
            Input::SendFailed { association, .. } if self.hunt.home() == Some(association) => {
                self.actions.abort(association);
            }
            // Cookies and business cards go with the association.
            Input::SendFailed {
                ppid: Ppid::ASAP, ..
            } => {}
            Input::SendFailed {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let data = Data::ordered(ppid, stream, Bytes::copy_from_slice(bytes));
                self.on_send_failed(now, association, data);
            }
            Input::Announcement {
                source,
                ppid: Ppid::ASAP,
                bytes,
            } => self.hunt.on_announcement(
                now,
                self.config.dialect,
                (source, bytes),
                &mut self.actions,
            ),
            Input::Announcement { .. } => self.counters.unexpected += 1,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.hunt.handle_timeout(now, &mut self.actions);
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::T1Request(id) => self.on_request_timeout(now, id),
                Timer::Connect(session) => self.on_connect_timeout(now, session),
                Timer::Retry(session) => self.seek(now, session),
                Timer::GiveUp(session) => self.on_give_up(session),
                Timer::Refused(session) => self.on_refused(session),
                Timer::Poll(id) => self.on_poll(now, id),
            }
        }
    }

    fn poll_action(&mut self) -> Option<Action<Event>> {
        self.actions.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.timers.next(), self.hunt.poll_timeout())
    }
}
