//! What goes in and out of the stack: identifiers, events, errors.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// An association. Never reused within a [`Stack`](crate::Stack).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssociationId(pub(crate) u64);

impl AssociationId {
    /// The number behind it, for logs and maps.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The association with that number. One that never was is treated like one that is gone.
    #[must_use]
    pub fn from_u64(number: u64) -> AssociationId {
        AssociationId(number)
    }
}

impl fmt::Display for AssociationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A UDP datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Address and UDP port to send to.
    pub to: SocketAddr,
    /// The SCTP packet.
    pub payload: Vec<u8>,
}

/// What happened. Events of one association come in order: `Connected` (or `ConnectFailed`, and
/// then nothing more), any number of `Message` and `Writable`, any number of `Undelivered`, `Disconnected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An association is up, whoever asked for it; again, where `connect` was called for one that is up.
    Connected {
        /// The association.
        id: AssociationId,
        /// SCTP port on this side.
        local_port: u16,
        /// IP address and **SCTP** port of the peer: the address that the handshake went to and fro with.
        remote: SocketAddr,
        /// Further addresses that the peer lists in its INIT or INIT ACK, at most 32. It may list whatever it likes: they are
        /// not verified.
        listed: Vec<IpAddr>,
    },
    /// A `connect` did not lead to an association.
    ConnectFailed {
        /// The association that will not be.
        id: AssociationId,
        /// SCTP port on this side.
        local_port: u16,
        /// IP address and SCTP port of the peer.
        remote: SocketAddr,
        /// Why.
        reason: ConnectFailure,
    },
    /// A whole message of the peer.
    Message {
        /// The association.
        id: AssociationId,
        /// Stream it came on.
        stream: u16,
        /// Payload protocol identifier, in host order.
        ppid: u32,
        /// The message.
        bytes: Bytes,
    },
    /// After [`SendError::BufferFull`]: half of the send buffer is free again.
    Writable {
        /// The association.
        id: AssociationId,
    },
    /// The association is about to be gone, and the peer has not acknowledged this message. It may have
    /// it all the same. They come in the order in which they were sent.
    Undelivered {
        /// The association.
        id: AssociationId,
        /// Stream it was sent on.
        stream: u16,
        /// Payload protocol identifier, in host order.
        ppid: u32,
        /// The message.
        bytes: Bytes,
    },
    /// The association is gone.
    Disconnected {
        /// The association.
        id: AssociationId,
        /// Why.
        reason: Reason,
    },
}

/// Why an association ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Gracefully, by either side: every message arrived.
    Closed,
    /// By ABORT of either side, or because the peer broke the protocol.
    Aborted,
    /// The peer stopped to answer.
    TimedOut,
    /// The peer came back without its state. A new association follows.
    Restarted,
}

/// Why a `connect` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// No answer.
    TimedOut,
    /// The peer answered with ABORT.
    Refused,
    /// `abort` was called meanwhile.
    Aborted,
}

/// Why [`Stack::listen`](crate::Stack::listen) failed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Port 0.
    #[error("SCTP port 0 cannot be used")]
    InvalidPort,
    /// Already listening there.
    #[error("already listening on this SCTP port")]
    InUse,
}

/// Why [`Stack::connect`](crate::Stack::connect) failed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The peer's port is 0, or all ports for associations that name none are in use towards it.
    #[error("no SCTP port for it")]
    InvalidPort,
    /// The remote address is unspecified or multicast, of the other IP version, or this very end.
    #[error("not an address to connect to")]
    InvalidAddress,
    /// There are [`max_associations`](crate::Config::max_associations).
    #[error("too many associations")]
    TooMany,
}

/// Why [`Stack::send`](crate::Stack::send) failed. Nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// SCTP has no empty messages.
    #[error("empty message")]
    Empty,
    /// Longer than [`max_message_size`](crate::Config::max_message_size).
    #[error("message too long")]
    TooLong,
    /// The peer does not take so many streams.
    #[error("no such stream")]
    NoSuchStream,
    /// Gone, or never was.
    #[error("unknown association")]
    UnknownAssociation,
    /// Being closed by either side.
    #[error("association is closing")]
    Closing,
    /// Wait for [`Event::Writable`] and try again.
    #[error("send buffer full")]
    BufferFull,
}
