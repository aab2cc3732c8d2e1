//! Chunk types nobody here knows, and ERROR.
//!
//! Gaps in sctp-proto 0.10.8: a packet with an unknown chunk is dropped whole, whatever the two high
//! bits of the type say (RFC 9260 §3.2), and any ERROR chunk closes the association. Neither reaches
//! it. Can go when upstream skips and reports by the bits and treats ERROR as a report.

use alloc::vec::Vec;

use super::abort::{cause, error_cause};
use crate::packet::Chunk;

/// What the high bits of an unknown type ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Go on with the next one; otherwise the rest of the packet (or of the INIT) is not looked at.
    pub(crate) skip: bool,
    /// Tell the peer.
    pub(crate) report: bool,
}

impl Unknown {
    /// Rule for a chunk type.
    pub(crate) fn chunk(kind: u8) -> Unknown {
        Unknown {
            skip: kind & 0x80 != 0,
            report: kind & 0x40 != 0,
        }
    }

    /// Rule for a parameter type.
    pub(crate) fn param(kind: u16) -> Unknown {
        Unknown {
            skip: kind & 0x8000 != 0,
            report: kind & 0x4000 != 0,
        }
    }
}

/// Value of the ERROR chunk that reports an unknown chunk. At most 256 bytes of it go back, so that
/// the report is never a burden.
pub(crate) fn unrecognized_chunk(chunk: &Chunk<'_>) -> Vec<u8> {
    let value = chunk.value.get(..252).unwrap_or(chunk.value);
    let mut info = Vec::with_capacity(4 + value.len());
    info.extend_from_slice(&[chunk.kind, chunk.flags]);
    let length = u16::try_from(4 + chunk.value.len()).unwrap_or(u16::MAX);
    info.extend_from_slice(&length.to_be_bytes());
    info.extend_from_slice(value);
    error_cause(cause::UNRECOGNIZED_CHUNK, &info)
}
