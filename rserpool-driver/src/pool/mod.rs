//! What an application holds: [`Registrar`], [`PoolElement`] and [`PoolUser`], and their sessions.
//!
//! ```text
//!  application            router                         driver
//!  session.recv  ◀─inbox─ an event is for one session ◀─ events    machine, transport
//!  session.send  ───────────── commands ───────────────▶
//! ```
//!
//! Driver and router are one future, so that an endpoint needs one task, whatever number of sessions it has. Handles are cloned at
//! will; what the last clone leaves behind is tidied up by the router.

mod asked;
mod builder;
mod element;
mod external;
mod inbox;
mod membership;
mod registrar;
mod router;
mod served;
mod session;
mod tcp;
mod udp;
mod user;
mod watch;

pub use builder::{Builder, Limits};
pub use element::{PoolElement, SetLoadError};
pub use membership::{Membership, RegisterError};
pub use registrar::Registrar;
pub use served::{CookieError, ElementEvent, ElementSession};
pub use session::{RecvError, Session, SessionEvent};
pub use tcp::TcpSession;
pub use udp::UdpSession;
pub use user::{ConnectError, PoolUser, ResolveError, WatchError};
pub use watch::{Pool, Watch};

use bytes::Bytes;
use rserpool_core::Ppid;
use rserpool_core::user::SessionError;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{MAX_MESSAGE_SIZE, Stopped};

/// A message of the application. Bytes and text become one with PPID 0 on stream 0, in order.
///
/// ```
/// use rserpool_tokio::Message;
///
/// let mut message = Message::from("hello");
/// message.unordered = true;
/// assert_eq!(message.bytes, "hello");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The application's protocol; those of ASAP and ENRP are not for data (RFC 5352 §5).
    pub ppid: Ppid,
    /// The SCTP stream.
    pub stream: u16,
    /// Whether it may overtake others on its way (RFC 5352 §6.5.5); not told of those that come.
    pub unordered: bool,
    /// 1 to [`MAX_MESSAGE_SIZE`] bytes.
    pub bytes: Bytes,
}

impl Message {
    /// A message of that protocol.
    ///
    /// ```
    /// use rserpool_core::Ppid;
    /// use rserpool_tokio::Message;
    ///
    /// // The application's own protocol, on a stream that others do not hold up.
    /// let mut message = Message::new(Ppid(0x4321), vec![0; 1024]);
    /// message.stream = 1;
    /// assert_eq!(message.bytes.len(), 1024);
    /// ```
    pub fn new(ppid: Ppid, bytes: impl Into<Bytes>) -> Self {
        Self::received(ppid, 0, bytes.into())
    }

    fn received(ppid: Ppid, stream: u16, bytes: Bytes) -> Self {
        Self {
            ppid,
            stream,
            unordered: false,
            bytes,
        }
    }

    fn check(&self) -> Result<(), SendError> {
        if self.ppid == Ppid::ASAP || self.ppid == Ppid::ENRP {
            return Err(SendError::ReservedPpid);
        }
        match self.bytes.len() {
            0 => Err(SendError::Empty),
            length if length > MAX_MESSAGE_SIZE => Err(SendError::TooLong),
            _ => Ok(()),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Message {
    fn from(bytes: T) -> Self {
        Self::new(Ppid(0), bytes)
    }
}

/// Why a session has ended.
///
/// ```
/// use rserpool_core::user::SessionError;
/// use rserpool_tokio::Ended;
///
/// /// Whether a new session would have the same end.
/// fn is_final(ended: &Ended) -> bool {
///     matches!(ended, Ended::Stopped | Ended::Failed(SessionError::OtherTransport))
/// }
/// assert!(!is_final(&Ended::Unread));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was closed: by this side, or at an element by its user, who may also have been lost.
    #[error("the session has been closed")]
    Closed,
    /// No element of the pool is left to go on with.
    #[error(transparent)]
    Failed(#[from] SessionError),
    /// The application did not read it, and others had to wait for that: see [`Limits::patience`].
    #[error("the session was not read for too long")]
    Unread,
    /// The endpoint has stopped.
    #[error("the endpoint has stopped")]
    Stopped,
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Why a message was not sent.
///
/// ```
/// use rserpool_tokio::{Ended, SendError};
///
/// /// Whether it is the message that has to be another one.
/// fn is_the_message(error: &SendError) -> bool {
///     matches!(error, SendError::ReservedPpid | SendError::Empty | SendError::TooLong)
/// }
/// assert!(is_the_message(&SendError::TooLong));
/// assert!(!is_the_message(&Ended::Closed.into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The PPIDs of ASAP and ENRP are not for data (RFC 5352 §5).
    #[error("PPIDs 11 and 12 belong to ASAP and ENRP")]
    ReservedPpid,
    /// There are no empty messages in SCTP.
    #[error("the message is empty")]
    Empty,
    /// It has more than [`MAX_MESSAGE_SIZE`] bytes.
    #[error("the message is too long")]
    TooLong,
    /// The session is not held by SCTP: what carries data is the application's.
    #[error("the session's connection is the application's own")]
    NotSctp,
}

impl From<Stopped> for SendError {
    fn from(stopped: Stopped) -> Self {
        Self::Ended(stopped.into())
    }
}

/// Nothing that is done under these locks panics half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
