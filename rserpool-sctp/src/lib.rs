//! Linux kernel SCTP for Reliable Server Pooling, without a runtime.
//!
//! A [`Socket`] is one-to-many (RFC 6458 §3): one socket has all associations of an SCTP port, and tells of them by
//! [`Notification`]. It never blocks. Whole messages and notifications come out of an [`Inbox`]:
//!
//! ```no_run
//! # fn example() -> Result<(), rserpool_sctp::Error> {
//! use rserpool_sctp::{Family, Inbox, Received, Socket};
//!
//! let socket = Socket::new(Family::V4)?;
//! socket.bind(&["127.0.0.1:3863".parse().expect("an address")])?;
//! socket.listen()?;
//! let mut inbox = Inbox::new(65_536);
//! // When the socket can be read:
//! socket.receive(&mut inbox)?;
//! while let Some(Received::Message { association, bytes, .. }) = inbox.next() {
//!     println!("{} bytes of {association:?}", bytes.len());
//! }
//! # Ok(()) }
//! ```
//!
//! All system calls of kernel SCTP, and all `unsafe` code of the workspace, are in the module `sys` of this crate. What the
//! kernel hands over is parsed by safe functions on bytes, in [`cmsg`], [`notification`] and [`Inbox`].
//!
//! On other systems the crate is empty.
#![cfg(target_os = "linux")]

extern crate alloc;

mod address;
pub mod cmsg;
mod inbox;
mod layout;
pub mod notification;
mod options;
mod socket;
#[expect(unsafe_code, reason = "system calls that no other crate has")]
mod sys;

pub use inbox::{Counters, Fragment, Inbox, Received};
pub use notification::{AddressState, AssociationState, Notification};
pub use options::{Init, Rto};
pub use socket::{Family, Message, Socket};

use std::io;

/// The kernel's number for an association. It belongs to one socket, and may be used again after the association has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssociationId(pub i32);

impl AssociationId {
    /// In a setting: all associations that are still to come (SCTP_FUTURE_ASSOC).
    pub const FUTURE: Self = Self(0);
}

/// Why there is no kernel SCTP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no SCTP, and no module for it could be loaded.
    #[error(
        "this kernel has no SCTP: load the module sctp, or use SCTP over UDP (--transport udp)"
    )]
    Unsupported,
    /// The kernel refused for another reason.
    #[error("cannot open an SCTP socket: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Tells a kernel without SCTP from other failures.
    fn of(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT) => Self::Unsupported,
            _ => Self::Io(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Unsupported => Self::new(io::ErrorKind::Unsupported, error),
        }
    }
}

/// Whether this kernel can do SCTP: lets a socket listen, and closes it again. A kernel that lacks what cookies are made with
/// has sockets which cannot listen.
pub fn probe() -> Result<(), Error> {
    let socket = Socket::new(Family::V4)?;
    socket.bind(&[(core::net::Ipv4Addr::LOCALHOST, 0).into()])?;
    Ok(socket.listen()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_sctp_is_told_from_other_failures() {
        let of = |errno| Error::of(io::Error::from_raw_os_error(errno));
        assert!(matches!(of(93), Error::Unsupported));
        assert!(matches!(of(94), Error::Unsupported));
        assert!(matches!(of(13), Error::Io(_)));
        match probe() {
            Ok(()) => {}
            Err(error @ Error::Unsupported) => {
                assert!(error.to_string().contains("--transport udp"));
            }
            Err(Error::Io(error)) => panic!("{error}"),
        }
    }
}
