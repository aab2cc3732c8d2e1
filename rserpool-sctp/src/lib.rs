//! Linux kernel SCTP for Reliable Server Pooling, without a runtime.
//!
//! All system calls of kernel SCTP, and all `unsafe` code of the workspace, belong in this crate. So far it can tell whether
//! the kernel has SCTP at all; sockets come with the kernel transport.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};

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

/// Whether this kernel can do SCTP: opens a one-to-many socket (RFC 6458 §3) and closes it again.
pub fn probe() -> Result<(), Error> {
    match Socket::new(Domain::IPV4, Type::SEQPACKET, Some(Protocol::SCTP)) {
        Ok(_) => Ok(()),
        Err(error) if is_unsupported(&error) => Err(Error::Unsupported),
        Err(error) => Err(error.into()),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    // EPROTONOSUPPORT and ESOCKTNOSUPPORT have no kind of their own in the standard library.
    const EPROTONOSUPPORT: i32 = 93;
    const ESOCKTNOSUPPORT: i32 = 94;
    matches!(
        error.raw_os_error(),
        Some(EPROTONOSUPPORT | ESOCKTNOSUPPORT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_sctp_is_told_from_other_failures() {
        assert!(is_unsupported(&io::Error::from_raw_os_error(93)));
        assert!(is_unsupported(&io::Error::from_raw_os_error(94)));
        assert!(!is_unsupported(&io::Error::from_raw_os_error(13)));
        match probe() {
            Ok(()) => {}
            Err(error @ Error::Unsupported) => {
                assert!(error.to_string().contains("--transport udp"));
            }
            Err(Error::Io(error)) => panic!("{error}"),
        }
    }
}
