//! The names of things: servers, elements, pools, associations and payload protocols.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;

macro_rules! wire_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#010x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

wire_id! {
    /// Identifies a pool element within its pool (RFC 5354 §3.10). Never 0 in a registration.
    PeId
}

wire_id! {
    /// Identifies a registrar within the operational scope (RFC 5353 §3.2.1). 0 means "none" or "any".
    ServerId
}

/// A pool handle: an opaque byte string that names a pool (RFC 5354 §3.9).
///
/// Clones share the bytes. A handle made by [`PoolHandle::from`] a slice owns a copy of its own, so that it never keeps a
/// receive buffer alive.
///
/// ```
/// use rserpool_core::PoolHandle;
///
/// let pool = PoolHandle::from("EchoPool");
/// assert_eq!(pool.as_bytes(), b"EchoPool");
/// assert_eq!(pool.to_string(), "EchoPool");
/// assert_eq!(PoolHandle::from(&[0xff, 0x00][..]).to_string(), "0xff00");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolHandle(Arc<[u8]>);

impl PoolHandle {
    /// How many bytes it may have, so that every message has room for it beside the rest. The shortest one has a byte.
    pub const MAX_LENGTH: usize = 65_000;

    /// The handle as it stands on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for PoolHandle {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }
}

impl From<&str> for PoolHandle {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl Borrow<[u8]> for PoolHandle {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Text where the handle is printable UTF-8, else `0x` and hexadecimal digits.
impl fmt::Display for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match printable(&self.0) {
            Some(text) => f.write_str(text),
            None => {
                f.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn printable(bytes: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

/// An association, named by the driver. A driver never uses an id twice for the same machine.
///
/// ```
/// use rserpool_core::AssocId;
///
/// // A driver counts. What it has over TCP has names of its own, from another counter.
/// let (sctp, tcp) = (AssocId(1), AssocId::tcp(1));
/// assert_ne!(sctp, tcp);
/// assert!(tcp.is_tcp() && !sctp.is_tcp());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssocId(pub u64);

impl AssocId {
    const TCP: u64 = 1 << 63;

    /// The name of a TCP connection between a user and a registrar (RFC 5352 §2.1), by a number below 2⁶³. No association of SCTP
    /// has such a name.
    pub const fn tcp(number: u64) -> Self {
        Self(number | Self::TCP)
    }

    /// Whether it is a TCP connection.
    pub const fn is_tcp(self) -> bool {
        self.0 & Self::TCP != 0
    }
}

/// The protocol that a message belongs to: SCTP's payload protocol identifier, in host byte order.
///
/// ```
/// use rserpool_core::Ppid;
///
/// // On the wire it is in network byte order; some sockets have it so, too.
/// assert_eq!(Ppid::ASAP.0.to_be_bytes(), [0, 0, 0, 11]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ppid(pub u32);

impl Ppid {
    /// No protocol in particular: the application's.
    pub const UNSPECIFIED: Self = Self(0);
    /// Aggregate Server Access Protocol (RFC 5352 §8.3).
    pub const ASAP: Self = Self(11);
    /// Endpoint Handlespace Redundancy Protocol (RFC 5353 §5.4).
    pub const ENRP: Self = Self(12);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_handle_is_text_only_where_it_is_printable() {
        assert_eq!(PoolHandle::from("EchoPool").to_string(), "EchoPool");
        assert_eq!(PoolHandle::from("größe").to_string(), "größe");
        assert_eq!(PoolHandle::from(&[0xff, 0x00][..]).to_string(), "0xff00");
        assert_eq!(PoolHandle::from("a\nb").to_string(), "0x610a62");
        assert_eq!(PoolHandle::from("").to_string(), "0x");
    }
}
