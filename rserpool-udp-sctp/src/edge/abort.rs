//! ABORT, sent and received.
//!
//! Gap in sctp-proto 0.10.8: no call sends an ABORT, and one with the T bit (verification tag
//! reflected, RFC 9260 §8.5.1) is not recognised. ABORT chunks never reach it; this module judges
//! and builds them. Can go when upstream has an abort call and accepts the T bit.

use alloc::vec::Vec;

use crate::packet::{Chunk, Header, T_BIT, kind, single};

/// Error causes (RFC 9260 §3.3.10).
pub(crate) mod cause {
    pub(crate) const STALE_COOKIE: u16 = 3;
    pub(crate) const OUT_OF_RESOURCE: u16 = 4;
    pub(crate) const UNRESOLVABLE_ADDRESS: u16 = 5;
    pub(crate) const UNRECOGNIZED_CHUNK: u16 = 6;
    pub(crate) const INVALID_MANDATORY_PARAMETER: u16 = 7;
    pub(crate) const UNRECOGNIZED_PARAMETERS: u16 = 8;
    pub(crate) const NO_USER_DATA: u16 = 9;
    pub(crate) const USER_INITIATED_ABORT: u16 = 12;
    pub(crate) const PROTOCOL_VIOLATION: u16 = 13;
}

/// An ABORT with one error cause, towards a peer whose verification tag is known.
pub(crate) fn abort(header: Header, code: u16) -> Vec<u8> {
    single(header, kind::ABORT, 0, &error_cause(code, &[]))
}

/// An ABORT that reflects the tag of the packet it answers.
pub(crate) fn reflected_abort(header: Header) -> Vec<u8> {
    single(header, kind::ABORT, T_BIT, &[])
}

/// One error cause as it stands in ABORT and ERROR. `info` is cut at what the length can say.
pub(crate) fn error_cause(code: u16, info: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + info.len()).unwrap_or(4);
    let mut bytes = Vec::with_capacity(4 + info.len());
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    if length > 4 {
        bytes.extend_from_slice(info);
    }
    bytes
}

/// Whether an ABORT or SHUTDOWN COMPLETE with this packet tag is meant for the association with
/// tags `local` and `peer` (RFC 9260 §8.5.1 B, C).
pub(crate) fn tag_matches(chunk: &Chunk<'_>, tag: u32, local: u32, peer: Option<u32>) -> bool {
    if chunk.flags & T_BIT == 0 {
        tag == local
    } else {
        Some(tag) == peer
    }
}
