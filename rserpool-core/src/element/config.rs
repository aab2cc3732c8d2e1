//! What a pool element is told, and what it tells.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::dialect::{Dialect, Life};
use crate::hunt::HuntConfig;
use crate::ids::{AssocId, PeId, PoolHandle, Ppid};
use crate::user::Element;
use crate::wire::{CauseCode, Policy, TransportBuf};

/// Configuration of a [`PoolElement`](super::PoolElement).
///
/// ```
/// use core::time::Duration;
/// use rserpool_core::element::Config;
/// use rserpool_core::wire::{Policy, Transport, TransportBuf};
/// use rserpool_core::{Life, PoolHandle};
///
/// let transport = Transport::Udp { port: 7, address: "192.0.2.2".parse()? };
/// let mut config = Config::new(PoolHandle::from("EchoPool"), TransportBuf::from(&transport), Policy::Random);
/// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
/// // Forgotten within a minute where it dies and nobody asks for it.
/// config.life = Life::For(Duration::from_secs(60));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The pool to join; 1 to 65,000 bytes, by registrars' default at most 32.
    pub pool_handle: PoolHandle,
    /// The identifier within the pool; drawn at random where `None` (RFC 5352 §3.1 R2.2).
    pub pe_id: Option<PeId>,
    /// Where users are served. Its addresses must be among those of the association to the registrar.
    pub user_transport: TransportBuf,
    /// The pool's policy with this element's values.
    pub policy: Policy<'static>,
    /// How long a registration is valid (10 minutes and 20 seconds, so that T4 is 10 minutes).
    pub life: Life,
    /// The dialect of the operational scope.
    pub dialect: Dialect,
    /// How registrars are found.
    pub hunt: HuntConfig,
    /// T2-registration: how long to wait for the answer to a registration (30 s).
    pub t2_registration: Duration,
    /// T3-deregistration: how long to wait for the answer to a de-registration (30 s).
    pub t3_deregistration: Duration,
    /// T4-reregistration: time between registrations (10 min); at most the life less 20 s.
    pub t4_reregistration: Duration,
    /// MAX-REG-ATTEMPT: attempts that are unanswered, or refused for lack of resources, before the user is told (2).
    pub max_reg_attempt: u32,
    /// How many associations are served at most; more are aborted (10,000).
    pub max_associations: usize,
}

impl Config {
    /// The RFC's defaults for an element of `pool_handle` that serves at `user_transport`.
    pub fn new(
        pool_handle: PoolHandle,
        user_transport: TransportBuf,
        policy: Policy<'static>,
    ) -> Self {
        Self {
            pool_handle,
            pe_id: None,
            user_transport,
            policy,
            life: Life::For(Duration::from_secs(620)),
            dialect: Dialect::default(),
            hunt: HuntConfig::default(),
            t2_registration: Duration::from_secs(30),
            t3_deregistration: Duration::from_secs(30),
            t4_reregistration: Duration::from_secs(600),
            max_reg_attempt: 2,
            max_associations: 10_000,
        }
    }

    /// T4 as RFC 5352 §7.1 has it: the configured period, or 20 seconds less than the life, whichever is less. Of a life
    /// below 40 seconds half is taken, so that there is always time for a second attempt.
    pub(super) fn t4(&self) -> Duration {
        const MARGIN: Duration = Duration::from_secs(20);
        match self.life {
            Life::Forever => self.t4_reregistration,
            Life::For(life) => self
                .t4_reregistration
                .min(life.saturating_sub(MARGIN).max(life / 2)),
        }
    }
}

/// What a pool element tells its user.
///
/// ```
/// use rserpool_core::element::Event;
///
/// fn print(event: &Event) {
///     match event {
///         Event::Registered { .. } => println!("a member"),
///         Event::Rejected { causes } => println!("refused: {causes:?}"),
///         Event::Message { association, bytes, .. } => println!("from {}: {bytes:?}", association.0),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The element is a member of its pool; told at the first registration and after each change of the home.
    Registered {
        /// The association to the home registrar.
        home: AssocId,
    },
    /// A registrar refused the registration. It is not repeated until something is corrected (RFC 5352 §3.1).
    Rejected {
        /// Why; may be empty.
        causes: Vec<CauseCode>,
    },
    /// No registrar answered MAX-REG-ATTEMPT registrations. `register` starts anew.
    RegistrationFailed,
    /// The element is no longer a member of its pool.
    Deregistered {
        /// Whether a registrar has said so; else nobody answered.
        acknowledged: bool,
    },
    /// The registrar let the registration's life end; the element is registering again.
    Expired,
    /// A registrar reported an error that belongs to no request.
    ErrorReported {
        /// What it said.
        causes: Vec<CauseCode>,
    },
    /// A user has opened a session: its first message follows.
    SessionOpened {
        /// The association to the user.
        association: AssocId,
    },
    /// A user handed over the state that another element gave it (RFC 5352 §3.8).
    CookieEcho {
        /// The association to the user.
        association: AssocId,
        /// The state, as that element made it. It came through the user: verify it.
        cookie: Bytes,
    },
    /// A user sent a message.
    Message {
        /// The association to the user.
        association: AssocId,
        /// The application's protocol.
        ppid: Ppid,
        /// The stream.
        stream: u16,
        /// The message.
        bytes: Bytes,
    },
    /// The user is an element of that pool, and says whom to turn to when it fails (RFC 5352 §3.9).
    BusinessCard {
        /// The association to the user.
        association: AssocId,
        /// The user's pool.
        pool_handle: PoolHandle,
        /// The elements in the order to fail over to; at most 128.
        elements: Vec<Element>,
    },
    /// A message to a user could not be delivered, or perhaps not: the user may have it, and the transport not know.
    Undelivered {
        /// The association to the user.
        association: AssocId,
        /// The application's protocol.
        ppid: Ppid,
        /// The stream.
        stream: u16,
        /// The message.
        bytes: Bytes,
    },
    /// A user's session has ended.
    SessionClosed {
        /// The association it was on.
        association: AssocId,
    },
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such association, or it has ended.
    #[error("the association has ended")]
    UnknownAssociation,
    /// The PPIDs of ASAP and ENRP are not for data (RFC 5352 §5).
    #[error("PPIDs 11 and 12 belong to ASAP and ENRP")]
    ReservedPpid,
    /// There are no empty messages in SCTP.
    #[error("the message is empty")]
    Empty,
}

/// Why a cookie was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// There is no such association, or it has ended.
    #[error("the association has ended")]
    UnknownAssociation,
    /// The element's user transport is for data only (RFC 5352 §3.8).
    #[error("there is no control channel")]
    NoControlChannel,
    /// It has more than [`MAX_COOKIE`](super::PoolElement::MAX_COOKIE) bytes.
    #[error("the cookie is too long")]
    TooLong,
}

/// Why a business card was not taken; the old one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The element's user transport is for data only (RFC 5352 §3.9).
    #[error("there is no control channel")]
    NoControlChannel,
    /// It does not fit into a message of 64 KiB.
    #[error("the business card is too long")]
    TooLong,
}

/// What a pool element counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// ASAP messages that could not be decoded.
    pub malformed: u64,
    /// Messages that a pool element does not expect, or that are about somebody else.
    pub unexpected: u64,
    /// Associations refused because of the cap.
    pub refused: u64,
}
