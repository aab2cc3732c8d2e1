//! What a pool user is told, and what it tells.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::dialect::Dialect;
use crate::hunt::HuntConfig;
use crate::ids::{PeId, PoolHandle, Ppid, ServerId};
use crate::wire::{self, CauseCode, Policy, PolicyType, Transport, TransportBuf};

/// Configuration of a [`PoolUser`](super::PoolUser).
///
/// ```
/// use core::time::Duration;
/// use rserpool_core::user::Config;
///
/// let mut config = Config::default();
/// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
/// // For a user that lives in a small device.
/// config.max_sessions = 16;
/// config.max_session_queue = 64 << 10;
/// config.failover_timeout = Duration::from_secs(20);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The dialect of the operational scope.
    pub dialect: Dialect,
    /// How registrars are found.
    pub hunt: HuntConfig,
    /// T1-ENRPrequest: how long to wait for the answer to a request (15 s).
    pub t1_enrp_request: Duration,
    /// MAX-REQUEST-RETRANSMIT: how often an unanswered request is repeated (2).
    pub max_request_retransmit: u32,
    /// stale_cache_value: how long a resolved pool is used without asking again (30 s); zero asks every time.
    pub stale_cache_value: Duration,
    /// How many elements to ask for at most; `None` leaves it to the registrar. An extension that others skip.
    pub items: Option<u32>,
    /// How many pools are remembered at most (256).
    pub max_pools: usize,
    /// How many elements of a pool are remembered at most (128).
    pub max_pool_elements: usize,
    /// How many requests may wait for an answer at most (1,024).
    pub max_requests: usize,
    /// How many sessions there may be at most (10,000). Each keeps a cookie of up to 64 KiB.
    pub max_sessions: usize,
    /// How many bytes may wait in one session for an element at most, those included that are sent again (1 MiB).
    pub max_session_queue: usize,
    /// To how many more elements a message is sent that could not be delivered, in sessions that send again (3).
    pub max_resends: u32,
    /// How many subscriptions there may be at most (64).
    pub max_subscriptions: usize,
    /// How often a pool is asked for that is subscribed to, and of which the registrar does not tell by itself (30 s).
    pub subscription_poll: Duration,
    /// How long to wait for an association to an element (5 s).
    pub connect_timeout: Duration,
    /// The first pause after no element of the pool could be reached; it doubles up to `failover_pause_max` (250 ms).
    pub failover_pause: Duration,
    /// The longest such pause (10 s).
    pub failover_pause_max: Duration,
    /// How long a session may be without an element that works before it fails (60 s). An element works that the session was with
    /// for `failover_pause_max`, or for 4 × `failover_pause` where it has said anything; others do not begin the time anew.
    pub failover_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            hunt: HuntConfig::default(),
            t1_enrp_request: Duration::from_secs(15),
            max_request_retransmit: 2,
            stale_cache_value: Duration::from_secs(30),
            items: None,
            max_pools: 256,
            max_pool_elements: 128,
            max_requests: 1024,
            max_sessions: 10_000,
            max_session_queue: 1 << 20,
            max_resends: 3,
            max_subscriptions: 64,
            subscription_poll: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            failover_pause: Duration::from_millis(250),
            failover_pause_max: Duration::from_secs(10),
            failover_timeout: Duration::from_secs(60),
        }
    }
}

/// A session, named by the pool user; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a session does when its element fails.
///
/// ```
/// use rserpool_core::user::{Failover, SessionOptions};
///
/// let mut options = SessionOptions::default();
/// assert_eq!(options.failover, Failover::Automatic);
/// // The application wants to know what is lost before anybody else is asked.
/// options.failover = Failover::OnDemand;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failover {
    /// It looks for another one at once.
    #[default]
    Automatic,
    /// It waits for [`PoolUser::fail_over`](super::PoolUser::fail_over). The first element is looked for at once.
    OnDemand,
    /// It ends, also where the first element that was selected cannot be reached (RFC 5352 §6.5.5, ASAP_SEND_NO_FAILOVER).
    Never,
}

/// By what a session is held. All elements of a pool have the same kind of user transport (RFC 5352 §3.1); a session finds none
/// in a pool of another kind.
///
/// ```
/// use rserpool_core::user::{Carrier, SessionOptions};
///
/// // The application has its own way over TCP, such as TLS.
/// let mut options = SessionOptions::default();
/// options.carrier = Carrier::Tcp;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carrier {
    /// SCTP: the machine has all of it done.
    #[default]
    Sctp,
    /// TCP. The machine does everything but to connect and to carry data, which is the application's: see [`Event::Selected`].
    Tcp,
    /// The same with UDP.
    Udp,
    /// The same with whatever the pool has.
    Any,
}

impl Carrier {
    pub(super) fn suits(self, transport: &Transport<'_>) -> bool {
        match (self, transport) {
            (Self::Sctp | Self::Any, Transport::Sctp(sctp)) => !sctp.addresses.is_empty(),
            (Self::Tcp, Transport::Tcp { .. }) | (Self::Udp, Transport::Udp { .. }) => true,
            (Self::Any, _) => true,
            _ => false,
        }
    }
}

/// How a session is held.
///
/// ```
/// use rserpool_core::PeId;
/// use rserpool_core::user::SessionOptions;
///
/// // With the element that it knows already, if it is still there; lost messages go to the next one.
/// let mut options = SessionOptions::default();
/// options.element = Some(PeId(0x7));
/// options.resend = true;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// What it does when its element fails (automatic).
    pub failover: Failover,
    /// Whether messages that the transport knows to be undelivered go to the next element (no; RFC 5352 §6.5.5,
    /// ASAP_SEND_FAILOVER). Some may come twice, because their acknowledgement was lost; and what the transport of a failed
    /// element had acknowledged, but the element not read, is lost without a trace. Else they come back by
    /// [`Event::Undelivered`].
    pub resend: bool,
    /// The element to begin with, where it can be reached (none; RFC 5352 §6.5.3).
    pub element: Option<PeId>,
    /// By what it is held (SCTP).
    pub carrier: Carrier,
}

impl SessionOptions {
    /// A session with one element and no other.
    ///
    /// ```
    /// use rserpool_core::PeId;
    /// use rserpool_core::user::{Failover, SessionOptions};
    ///
    /// assert_eq!(SessionOptions::only(PeId(0x7)).failover, Failover::Never);
    /// ```
    pub fn only(element: PeId) -> Self {
        Self {
            failover: Failover::Never,
            resend: false,
            element: Some(element),
            carrier: Carrier::Sctp,
        }
    }
}

/// A resolved pool element.
///
/// ```
/// use core::net::SocketAddr;
/// use rserpool_core::user::Element;
///
/// /// Where to connect to, in a pool whose sessions are the application's.
/// fn remote(element: &Element) -> Option<SocketAddr> {
///     let transport = element.user_transport.as_transport();
///     Some(SocketAddr::new(transport.addresses().next()?, transport.port()?))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its identifier within the pool.
    pub id: PeId,
    /// Its home registrar.
    pub home_id: ServerId,
    /// The Registration Life field; [`Dialect::life_from_wire`] tells what it means.
    pub life: i32,
    /// Where it serves users.
    pub user_transport: TransportBuf,
    /// Its values for the policy; `None` where RFC 5356 does not define the policy.
    pub policy: Option<Policy<'static>>,
}

impl Element {
    /// The element as a message has it.
    pub fn to_wire(&self) -> wire::PoolElement<'_> {
        wire::PoolElement {
            id: self.id,
            home_id: self.home_id,
            life: self.life,
            user_transport: self.user_transport.as_transport(),
            policy: self.policy.unwrap_or(Policy::Other {
                policy_type: PolicyType(0),
                data: &[],
            }),
            asap_transport: None,
        }
    }
}

impl From<&wire::PoolElement<'_>> for Element {
    fn from(element: &wire::PoolElement<'_>) -> Self {
        Self {
            id: element.id,
            home_id: element.home_id,
            life: element.life,
            user_transport: (&element.user_transport).into(),
            policy: element.policy.standard(),
        }
    }
}

/// Why a pool could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The registrar refused.
    #[error("the registrar refused: {}", list(.0))]
    Refused(Vec<CauseCode>),
    /// No registrar answered T1 × (1 + MAX-REQUEST-RETRANSMIT) long.
    #[error("no registrar answered")]
    Timeout,
    /// Too many requests wait already.
    #[error("too many requests wait for an answer")]
    TooManyRequests,
    /// A pool handle has 1 to [`PoolHandle::MAX_LENGTH`] bytes.
    #[error("the pool handle is empty or too long")]
    InvalidHandle,
}

/// Why a pool was not subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There are `max_subscriptions` already.
    #[error("too many subscriptions")]
    TooManySubscriptions,
    /// A pool handle has 1 to [`PoolHandle::MAX_LENGTH`] bytes.
    #[error("the pool handle is empty or too long")]
    InvalidHandle,
}

/// Why no sessions with the elements of a pool were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The pool is not in the cache: resolve it first.
    #[error("the pool has not been resolved")]
    Unresolved,
    /// There would be more than `max_sessions`.
    #[error("too many sessions")]
    TooManySessions,
}

/// Why a business card was not taken; the old one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// It does not fit into a message of 64 KiB.
    #[error("the business card is too long")]
    TooLong,
}

fn list(causes: &[CauseCode]) -> alloc::string::String {
    let names: Vec<_> = causes.iter().map(|cause| cause.name()).collect();
    names.join(", ")
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such session, or it has ended.
    #[error("the session has ended")]
    UnknownSession,
    /// The session waits for an element, and its queue is full.
    #[error("the session's queue is full")]
    QueueFull,
    /// The PPIDs of ASAP and ENRP are not for data (RFC 5352 §5).
    #[error("PPIDs 11 and 12 belong to ASAP and ENRP")]
    ReservedPpid,
    /// There are no empty messages in SCTP.
    #[error("the message is empty")]
    Empty,
    /// The session is not held by SCTP: what carries data is the application's.
    #[error("the session's connection is the application's own")]
    NotSctp,
}

/// Why a session ended that its user did not close.
///
/// ```
/// use rserpool_core::user::{ResolveError, SessionError};
///
/// let error = SessionError::Unresolved(ResolveError::Timeout);
/// assert_eq!(error.to_string(), "the pool cannot be resolved: no registrar answered");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The pool could not be resolved for too long; the last reason.
    #[error("the pool cannot be resolved: {0}")]
    Unresolved(ResolveError),
    /// The pool has elements, and none could be reached for too long.
    #[error("no element of the pool can be reached")]
    Unreachable,
    /// The pool's elements have another user transport than the session's [`Carrier`].
    #[error("the pool has another kind of transport")]
    OtherTransport,
    /// The element is gone, and the session was to be with no other.
    #[error("the element has failed")]
    ElementLost,
}

/// What a pool user tells.
///
/// ```
/// use rserpool_core::user::Event;
///
/// fn print(event: &Event) {
///     match event {
///         Event::Message { session, bytes, .. } => println!("session {}: {bytes:?}", session.0),
///         Event::FailedOver { session, new, .. } => println!("session {}: now with {new}", session.0),
///         Event::SessionFailed { session, error } => println!("session {}: {error}", session.0),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A pool was resolved, by a registrar or from the cache.
    Resolved {
        /// The pool.
        pool_handle: PoolHandle,
        /// Its policy.
        policy: PolicyType,
        /// Its elements, in the registrar's order.
        elements: Vec<Element>,
    },
    /// A pool could not be resolved.
    ResolveFailed {
        /// The pool.
        pool_handle: PoolHandle,
        /// Why.
        error: ResolveError,
    },
    /// A session that is not held by SCTP has an element that the application shall connect to, and tell by
    /// [`confirm_connection`](super::PoolUser::confirm_connection) or [`end_connection`](super::PoolUser::end_connection). After
    /// `connect_timeout` without a word the element counts as unreachable, and the next one is selected. Attempts and connections
    /// that the session had before are to be dropped.
    Selected {
        /// The session.
        session: SessionId,
        /// The element.
        element: PeId,
        /// Where it serves.
        transport: TransportBuf,
    },
    /// A session has its first element.
    Connected {
        /// The session.
        session: SessionId,
        /// The element.
        element: PeId,
    },
    /// A pool that is subscribed to is known now, or has changed (RFC 5352 §2.2.5).
    Updated {
        /// The pool.
        pool_handle: PoolHandle,
        /// Its policy; `None` where the pool is not there.
        policy: Option<PolicyType>,
        /// Its elements, in the registrar's order.
        elements: Vec<Element>,
    },
    /// A session has lost its element, and does what its [`Failover`] says.
    Interrupted {
        /// The session.
        session: SessionId,
        /// The element.
        element: PeId,
        /// Whether the element closed the session in order, or [`fail_over`](super::PoolUser::fail_over) left it; else it is
        /// unreachable and has been reported.
        closed: bool,
    },
    /// A session goes on with another element. What was sent to the old one and not answered may be lost. Whatever made the old
    /// one trusted does not hold for the new one: a security context has to be made anew (RFC 5355 §2.9).
    FailedOver {
        /// The session.
        session: SessionId,
        /// The element that was lost.
        old: PeId,
        /// The element that it goes on with; the same one where no other could be reached.
        new: PeId,
        /// Whether the old one's state was handed over (RFC 5352 §3.8).
        cookie_echoed: bool,
    },
    /// An element sent a message.
    Message {
        /// The session.
        session: SessionId,
        /// The application's protocol.
        ppid: Ppid,
        /// The stream.
        stream: u16,
        /// The message.
        bytes: Bytes,
    },
    /// A message could not be delivered, or perhaps not: the element may have it, and the transport not know. It is not sent
    /// again.
    Undelivered {
        /// The session.
        session: SessionId,
        /// The application's protocol.
        ppid: Ppid,
        /// The stream.
        stream: u16,
        /// The message.
        bytes: Bytes,
    },
    /// A session has ended by itself. What waited in it has come back before.
    SessionFailed {
        /// The session.
        session: SessionId,
        /// Why.
        error: SessionError,
    },
    /// A registrar reported an error that belongs to no request.
    ErrorReported {
        /// What it said.
        causes: Vec<CauseCode>,
    },
}

/// What a pool user counts.
///
/// ```
/// use rserpool_core::user::PoolUser;
///
/// fn line(user: &PoolUser) -> String {
///     let counters = user.counters();
///     format!("{} resolutions, {} elements reported", counters.resolutions, counters.reports)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// ASAP messages that could not be decoded.
    pub malformed: u64,
    /// Messages that a pool user does not expect.
    pub unexpected: u64,
    /// Handle resolutions sent to registrars.
    pub resolutions: u64,
    /// Unreachable elements reported.
    pub reports: u64,
}
