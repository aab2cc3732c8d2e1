//! The pool element: a server that is a member of a pool (RFC 5352 §3.1, §3.2, §3.4).
//!
//! ```text
//!               register              home found            response
//!   Out ──────────────────▶ Hunting ─────────────▶ Pending ───────────▶ Registered
//!    ▲                         ▲                    │  T2: next try         │ T4, new policy, new home
//!    │                         └── home lost ───────┴───────────────────────┘
//!    │  response or T3                    deregister
//!    └───────────────────── Leaving ◀───────────────────────────────────────┘
//! ```
//!
//! Users reach the element on the same SCTP endpoint. Messages with the PPID of ASAP are the control channel, all others
//! are the application's. Without a control channel, where the user transport is for data only, users get neither cookies nor a
//! business card.

mod config;
mod home;
mod session;
#[cfg(test)]
mod tests;

pub use config::{CardError, Config, CookieError, Counters, Event, SendError};

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use self::home::KeepAlive;
use crate::faults;
use crate::hunt::{Hunt, earlier};
use crate::ids::{AssocId, PeId, PoolHandle, Ppid, ServerId};
use crate::machine::{Action, Actions, Data, Input, Machine};
use crate::planted::{Bug, planted};
use crate::rng::Rng;
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::asap::{self, Message};
use crate::wire::{Cause, CauseCode, List, Policy, PoolElement as WireElement};

/// Where the element stands with its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not a member and not trying to be one.
    Out,
    /// Waits for a home, or for the answer to a registration.
    Pending,
    /// A member.
    Registered,
    /// Waits for a home, or for the answer to a de-registration.
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    T2Registration,
    T3Deregistration,
    T4Reregistration,
}

/// Requests sent to the home and not answered.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    registrations: u32,
    deregistrations: u32,
}

/// A peer that the element has an association with.
#[derive(Clone, Copy, Debug)]
struct Peer {
    remote: SocketAddr,
    /// Whether the user was told of a session on it.
    session: bool,
}

/// The machine of one pool element.
///
/// The driver opens its associations from the port on which it also accepts: a registrar that takes over calls back there.
///
/// ```
/// # use rserpool_core::PoolHandle;
/// # use rserpool_core::element::{Config, Event, PoolElement};
/// # use rserpool_core::wire::{Policy, Transport, TransportBuf};
/// use rserpool_core::{Action, AssocId, Input, Instant, Machine, Ppid};
///
/// # let transport = Transport::Udp { port: 7, address: "192.0.2.2".parse()? };
/// # let config = Config::new(PoolHandle::from("EchoPool"), TransportBuf::from(&transport), Policy::Random);
/// let mut element = PoolElement::new(config, [7; 32]);
/// // A user comes, and says something: it has an answer.
/// let (now, association) = (Instant::EPOCH, AssocId(1));
/// element.handle_input(now, Input::Connected { association, remote: &["192.0.2.9:4000".parse()?] });
/// element.handle_input(now, Input::Message { association, ppid: Ppid(0), stream: 0, bytes: b"hello" });
/// while let Some(action) = element.poll_action() {
///     if let Action::Notify(Event::Message { association, ppid, stream, bytes }) = action {
///         element.send(association, ppid, stream, bytes)?;
///     }
/// }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PoolElement {
    config: Config,
    id: PeId,
    rng: Rng,
    state: State,
    /// Registrations or de-registrations in a row that were not answered in time, or refused for the time being
    /// (RFC 5352 §3.1).
    attempts: u32,
    /// What the home has not answered yet. A registrar answers in order.
    owed: Owed,
    /// Whether a registrar may have the element in its handlespace.
    known: bool,
    /// The home as it named itself; 0 while unknown.
    home_id: ServerId,
    /// Whether the user knows of the current home.
    announced_home: Option<AssocId>,
    hunt: Hunt,
    peers: BTreeMap<AssocId, Peer>,
    /// The business card, encoded.
    card: Option<Bytes>,
    timers: Timers<Timer>,
    actions: Actions<Event>,
    counters: Counters,
}

impl PoolElement {
    /// An element that is not registered yet.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let id = config.pe_id.unwrap_or_else(|| PeId(rng.nonzero_u32()));
        Self {
            hunt: Hunt::new(config.hunt.clone(), &mut rng),
            config,
            id,
            rng,
            state: State::Out,
            attempts: 0,
            owed: Owed::default(),
            known: false,
            home_id: ServerId::default(),
            announced_home: None,
            peers: BTreeMap::new(),
            card: None,
            timers: Timers::new(),
            actions: Actions::new(),
            counters: Counters::default(),
        }
    }

    /// Its identifier within the pool.
    pub fn id(&self) -> PeId {
        self.id
    }

    /// Its pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.config.pool_handle
    }

    /// Whether it is a member of its pool.
    pub fn is_registered(&self) -> bool {
        self.state == State::Registered
    }

    /// The association to its home registrar.
    pub fn home(&self) -> Option<AssocId> {
        self.hunt.home()
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Joins the pool; answered by [`Event::Registered`], [`Event::Rejected`] or [`Event::RegistrationFailed`]. As long as no
    /// registrar can be reached at all, the hunt goes on. Does nothing where the element is a member or is about to be one.
    ///
    /// ```
    /// use rserpool_core::Instant;
    /// use rserpool_core::element::PoolElement;
    /// use rserpool_core::wire::{CauseCode, Policy};
    ///
    /// /// `Event::Rejected` has come: no other attempt without a correction.
    /// fn on_rejected(element: &mut PoolElement, now: Instant, causes: &[CauseCode]) {
    ///     if causes.contains(&CauseCode::INCONSISTENT_POLICY) {
    ///         element.set_policy(now, Policy::RoundRobin);
    ///         element.register(now);
    ///     }
    /// }
    /// ```
    pub fn register(&mut self, now: Instant) {
        if matches!(self.state, State::Out | State::Leaving) {
            self.timers.cancel(Timer::T3Deregistration);
            self.state = State::Pending;
            self.attempts = 0;
            self.proceed(now);
        }
    }

    /// Leaves the pool; answered by [`Event::Deregistered`]. Does nothing where the element is not a member.
    ///
    /// ```
    /// # use rserpool_core::PoolHandle;
    /// # use rserpool_core::element::Config;
    /// # use rserpool_core::wire::{Policy, Transport, TransportBuf};
    /// use rserpool_core::element::{Event, PoolElement};
    /// use rserpool_core::{Action, Instant, Machine};
    ///
    /// # let transport = TransportBuf::from(&Transport::Opaque(b"?"));
    /// # let config = Config::new(PoolHandle::from("EchoPool"), transport, Policy::Random);
    /// let mut element = PoolElement::new(config, [7; 32]);
    /// element.register(Instant::EPOCH);
    /// // No registrar has heard of it yet, so that there is none to wait for.
    /// element.deregister(Instant::EPOCH);
    /// let left = Event::Deregistered { acknowledged: false };
    /// assert_eq!(element.poll_action(), Some(Action::Notify(left)));
    /// ```
    pub fn deregister(&mut self, now: Instant) {
        if !matches!(self.state, State::Pending | State::Registered) {
            return;
        }
        if !self.known {
            // No registrar has heard of the element: there is nobody to tell.
            return self.leave(false);
        }
        self.timers.cancel(Timer::T2Registration);
        self.timers.cancel(Timer::T4Reregistration);
        self.state = State::Leaving;
        self.announced_home = None;
        self.attempts = 0;
        self.proceed(now);
    }

    /// Changes the element's values for the pool's policy, and tells the registrar at once; one that lacks resources at the moment
    /// hears of them when the registration is tried again.
    ///
    /// ```
    /// use rserpool_core::Instant;
    /// use rserpool_core::element::PoolElement;
    /// use rserpool_core::wire::Policy;
    ///
    /// /// A load is a fraction of 0xffffffff (RFC 5356 §3.1).
    /// fn set_load(element: &mut PoolElement, now: Instant, percent: u8) {
    ///     let load = u32::MAX / 100 * u32::from(percent.min(100));
    ///     element.set_policy(now, Policy::LeastUsed { load });
    /// }
    /// ```
    pub fn set_policy(&mut self, now: Instant, policy: Policy<'static>) {
        self.config.policy = policy;
        if self.is_postponed() {
            return;
        }
        if matches!(self.state, State::Pending | State::Registered) {
            self.proceed(now);
        }
    }

    /// Takes the next step: a request to the home where there is one, else the hunt (RFC 5352 §3.1 R3, §3.2 D3).
    fn proceed(&mut self, now: Instant) {
        if self.state == State::Out {
            return;
        }
        let Some(home) = self.hunt.home() else {
            if self.state == State::Leaving && !self.timers.is_set(Timer::T3Deregistration) {
                self.timers
                    .set(Timer::T3Deregistration, now + self.config.t3_deregistration);
            }
            self.hunt.search(now, &mut self.actions);
            return;
        };
        if self.state == State::Leaving {
            self.send_deregistration(now, home);
        } else {
            self.send_registration(now, home);
        }
    }

    fn send_registration(&mut self, now: Instant, home: AssocId) {
        // RFC 5352 §3.1 R2.1–R2.5. The ASAP transport is filled in by the registrar.
        let message = Message::Registration {
            pool_handle: self.config.pool_handle.as_bytes(),
            pool_element: WireElement {
                id: self.id,
                home_id: self.home_id,
                life: self.config.dialect.life_to_wire(self.config.life),
                user_transport: self.config.user_transport.as_transport(),
                policy: self.config.policy,
                asap_transport: None,
            },
        };
        self.actions.send_asap(home, &message);
        self.owed.registrations = self.owed.registrations.saturating_add(1);
        self.known = true;
        // R4. One that runs already is left: new values must not hide that nothing is answered.
        if !self.timers.is_set(Timer::T2Registration) {
            self.timers
                .set(Timer::T2Registration, now + self.config.t2_registration);
        }
        self.timers.cancel(Timer::T4Reregistration);
    }

    fn send_deregistration(&mut self, now: Instant, home: AssocId) {
        // RFC 5352 §3.2 D1–D4
        let message = Message::Deregistration {
            pool_handle: self.config.pool_handle.as_bytes(),
            pe_id: self.id,
        };
        self.actions.send_asap(home, &message);
        self.owed.deregistrations = self.owed.deregistrations.saturating_add(1);
        // D4. It bounds the whole, however often the home changes.
        if !self.timers.is_set(Timer::T3Deregistration) {
            self.timers
                .set(Timer::T3Deregistration, now + self.config.t3_deregistration);
        }
    }

    fn on_registration_response(
        &mut self,
        now: Instant,
        association: AssocId,
        rejected: bool,
        error: Option<List<'_, Cause<'_>>>,
    ) {
        if self.owed.registrations == 0 || self.hunt.home() != Some(association) {
            self.counters.unexpected += 1;
            return;
        }
        self.owed.registrations -= 1;
        self.hunt.on_answered();
        if !matches!(self.state, State::Pending | State::Registered) {
            return;
        }
        self.timers.cancel(Timer::T2Registration);
        if rejected {
            self.on_rejected(now, error.map(faults::codes).unwrap_or_default());
            return;
        }
        self.attempts = 0;
        self.state = State::Registered;
        if !planted(Bug::T4NotArmed) {
            self.timers
                .set(Timer::T4Reregistration, now + self.config.t4());
        }
        if self.announced_home.replace(association) != Some(association) {
            self.actions.notify(Event::Registered { home: association });
        }
    }

    /// Whether a registration was refused for the time being, and waits to be tried again.
    fn is_postponed(&self) -> bool {
        self.attempts > 0 && self.timers.is_set(Timer::T4Reregistration)
    }

    /// RFC 5352 §3.1: no further attempt without a correction. A lack of resources is corrected by time, or by another
    /// registrar: up to MAX-REG-ATTEMPT times the element tries again after about T2, and looks for another one meanwhile.
    fn on_rejected(&mut self, now: Instant, causes: Vec<CauseCode>) {
        let passes = causes == [CauseCode::LACK_OF_RESOURCES];
        if passes && self.is_postponed() {
            // Registrations that were sent together are refused together, and are one attempt.
            return;
        }
        if passes && self.attempts < self.config.max_reg_attempt {
            self.attempts += 1;
            // Elements that were refused together do not come back together.
            let pause = self.rng.jitter(self.config.t2_registration);
            self.timers.set(Timer::T4Reregistration, now + pause);
            self.hunt.search(now, &mut self.actions);
            return;
        }
        self.retire();
        self.actions.notify(Event::Rejected { causes });
    }

    /// Ends all that the element did to become or stay a member.
    fn retire(&mut self) {
        self.state = State::Out;
        self.announced_home = None;
        self.known = false;
        for timer in [
            Timer::T2Registration,
            Timer::T3Deregistration,
            Timer::T4Reregistration,
        ] {
            self.timers.cancel(timer);
        }
        self.hunt.stop();
    }

    fn on_deregistration_response(
        &mut self,
        now: Instant,
        association: AssocId,
        error: Option<List<'_, Cause<'_>>>,
    ) {
        // Only the home has the say: anybody may open an association to the element.
        if self.hunt.home() != Some(association) {
            self.counters.unexpected += 1;
            return;
        }
        let asked = self.owed.deregistrations > 0;
        self.owed.deregistrations = self.owed.deregistrations.saturating_sub(1);
        let failed = error.is_some();
        if let Some(causes) = error.map(faults::codes) {
            self.actions.notify(Event::ErrorReported { causes });
        }
        match self.state {
            State::Leaving if asked => {
                self.hunt.on_answered();
                self.leave(!failed);
            }
            // RFC 5352 §3.2: the notice that the registration's life has ended.
            State::Registered if !asked && !failed => {
                self.actions.notify(Event::Expired);
                self.announced_home = None;
                self.state = State::Pending;
                if planted(Bug::ExpiryIsFinal) {
                    return;
                }
                self.proceed(now);
            }
            _ => self.counters.unexpected += 1,
        }
    }

    fn leave(&mut self, acknowledged: bool) {
        self.retire();
        self.actions.notify(Event::Deregistered { acknowledged });
    }

    /// A request was not answered in time: it is repeated, and beside it the hunt looks for another registrar
    /// (RFC 5352 §3.1, §3.2). After MAX-REG-ATTEMPT of them the user is told.
    fn on_request_timeout(&mut self, now: Instant) {
        self.attempts += 1;
        if self.attempts <= self.config.max_reg_attempt {
            self.hunt.search(now, &mut self.actions);
            self.proceed(now);
        } else if self.state == State::Leaving {
            self.leave(false);
        } else {
            self.retire();
            self.actions.notify(Event::RegistrationFailed);
        }
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
        let about_me = |pool_handle: &[u8], pe_id| {
            pool_handle == self.config.pool_handle.as_bytes() && pe_id == self.id
        };
        match decoded.message {
            Message::RegistrationResponse {
                rejected,
                pool_handle,
                pe_id,
                error,
            } if about_me(pool_handle, pe_id) => {
                self.on_registration_response(now, association, rejected, error);
            }
            Message::DeregistrationResponse {
                pool_handle,
                pe_id,
                error,
            } if about_me(pool_handle, pe_id) => {
                self.on_deregistration_response(now, association, error);
            }
            Message::EndpointKeepAlive {
                home,
                server_id,
                pool_handle,
                pe_id,
            } => {
                let keep_alive = KeepAlive {
                    home,
                    server_id,
                    pool_handle,
                    pe_id,
                };
                self.on_keep_alive(now, association, &keep_alive);
            }
            Message::CookieEcho { cookie } => self.on_cookie_echo(association, cookie),
            Message::BusinessCard {
                pool_handle,
                pool_elements,
            } => self.on_business_card(association, pool_handle, pool_elements),
            Message::Error { causes } => self.on_error(now, association, faults::codes(causes)),
            _ => self.counters.unexpected += 1,
        }
    }

    /// An ASAP_ERROR from the home while it owes an answer to a registration is that answer.
    fn on_error(&mut self, now: Instant, association: AssocId, causes: Vec<CauseCode>) {
        if self.hunt.home() == Some(association) && self.timers.is_set(Timer::T2Registration) {
            self.on_rejected(now, causes);
        } else {
            self.actions.notify(Event::ErrorReported { causes });
        }
    }
}

impl Machine for PoolElement {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected {
                association,
                remote,
            } => self.on_connected(now, association, remote),
            Input::ConnectFailed { remote } => {
                self.hunt.on_connect_failed(remote, &mut self.actions);
            }
            Input::Disconnected { association, .. } => self.on_disconnected(now, association),
            Input::Message {
                association, ppid, ..
            } if !self.peers.contains_key(&association) || ppid == Ppid::ENRP => {
                self.counters.unexpected += 1;
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
            } => self.on_data(association, ppid, stream, bytes),
            // RFC 5352 §3.7.1: the message is not sent again; the request is, to the next registrar.
            Input::SendFailed {
                association,
                ppid: Ppid::ASAP,
                ..
            } if self.hunt.home() == Some(association) => self.actions.abort(association),
            Input::SendFailed {
                ppid: Ppid::ASAP | Ppid::ENRP,
                ..
            } => {}
            Input::SendFailed {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let data = Data::ordered(ppid, stream, Bytes::copy_from_slice(bytes));
                self.on_undelivered(association, data);
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
                Timer::T2Registration | Timer::T3Deregistration => self.on_request_timeout(now),
                Timer::T4Reregistration => self.proceed(now),
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
