//! The handshake: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, and what duplicates of them mean.
//!
//! Gaps in sctp-proto 0.10.8: an INIT while established kills the association, a peer's restart makes
//! a second association beside the old one, an INIT collision makes two at each end, and a client-only
//! endpoint panics on an INIT. The whole handshake is therefore done here, by the tables of RFC 9260
//! §5.2, and an association of sctp-proto is made from its result as if both INITs had been exchanged
//! out of band. Can go when upstream implements §5.2.
//!
//! ```text
//!   initiator                         responder (stores nothing before COOKIE ECHO)
//!   COOKIE-WAIT    INIT      ------>
//!                            <------  INIT ACK with cookie
//!   COOKIE-ECHOED  COOKIE ECHO ---->  ESTABLISHED
//!   ESTABLISHED              <------  COOKIE ACK
//! ```

use alloc::vec::Vec;

use super::cookie::Cookie;
use super::params::{STATE_COOKIE, UNRECOGNIZED, encode};
use crate::packet::padded;
use crate::packet::{read_u16, read_u32};

/// What one side says of itself in INIT or INIT ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Initiate tag: the verification tag of packets to this side.
    pub(crate) tag: u32,
    /// Advertised receiver window in bytes.
    pub(crate) window: u32,
    /// Streams this side wants to send on.
    pub(crate) outbound: u16,
    /// Streams this side accepts.
    pub(crate) inbound: u16,
    /// Its first TSN.
    pub(crate) initial_tsn: u32,
}

impl Terms {
    /// Reads the 16 fixed bytes of an INIT or INIT ACK value.
    pub(crate) fn read(value: &[u8]) -> Option<Terms> {
        Some(Terms {
            tag: read_u32(value, 0)?,
            window: read_u32(value, 4)?,
            outbound: read_u16(value, 8)?,
            inbound: read_u16(value, 10)?,
            initial_tsn: read_u32(value, 12)?,
        })
    }

    /// The fixed bytes.
    pub(crate) fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0..4].copy_from_slice(&self.tag.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.window.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.outbound.to_be_bytes());
        bytes[10..12].copy_from_slice(&self.inbound.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.initial_tsn.to_be_bytes());
        bytes
    }

    /// RFC 9260 §3.3.2: no zero tag, no zero stream counts, a window of at least 1,500 bytes. A first
    /// TSN of 0 is legal but sctp-proto refuses it: one peer in four thousand million must try again.
    pub(crate) fn is_valid(&self) -> bool {
        self.tag != 0
            && self.outbound != 0
            && self.inbound != 0
            && self.window >= 1_500
            && self.initial_tsn != 0
    }

    /// The terms as an INIT chunk without parameters, as sctp-proto takes it out of band.
    pub(crate) fn init_chunk(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20);
        bytes.extend_from_slice(&[crate::packet::kind::INIT, 0, 0, 20]);
        bytes.extend_from_slice(&self.encode());
        bytes
    }
}

/// Value of an INIT ACK.
pub(crate) fn init_ack(local: &Terms, cookie: &[u8], unrecognized: &[Vec<u8>]) -> Vec<u8> {
    let mut value = Vec::with_capacity(20 + cookie.len());
    value.extend_from_slice(&local.encode());
    value.extend_from_slice(&encode(STATE_COOKIE, &[cookie]));
    for param in unrecognized {
        value.resize(padded(value.len()), 0);
        value.extend_from_slice(&encode(UNRECOGNIZED, &[param]));
    }
    value
}

/// What a valid COOKIE ECHO means for the association there is between these ports and addresses
/// (RFC 9260 §5.2.4, table 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicate {
    /// Action A: the peer has lost its state.
    Restart,
    /// Action B: both sides sent INIT; the peer's came after its answer to ours.
    Collision,
    /// Action D: both tags are the ones in use.
    Same,
    /// Action C and everything else.
    Discard,
}

/// Compares a cookie with the tags in use; `peer` is not known in COOKIE-WAIT.
pub(crate) fn judge(cookie: &Cookie, local: u32, peer: Option<u32>) -> Duplicate {
    let local_matches = cookie.local.tag == local;
    match (local_matches, peer) {
        (true, Some(peer)) if cookie.peer.tag == peer => Duplicate::Same,
        (true, _) => Duplicate::Collision,
        (false, Some(peer)) if cookie.peer.tag != peer && cookie.tie == (local, peer) => {
            Duplicate::Restart
        }
        _ => Duplicate::Discard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9260 §3.2: the chunk length counts the padding between parameters, not that of the last one.
    #[test]
    fn the_last_parameter_is_not_padded() {
        let terms = Terms {
            tag: 1,
            window: 1_500,
            outbound: 1,
            inbound: 1,
            initial_tsn: 1,
        };
        assert_eq!(init_ack(&terms, &[0; 89], &[]).len(), 16 + 4 + 89);
        let report = [vec![0xc0, 0x99, 0, 5, 1]];
        let value = init_ack(&terms, &[0; 89], &report);
        assert_eq!(value.len(), 16 + 4 + 92 + 4 + 5);
        assert_eq!(value[112..116], [0, 8, 0, 9]);
    }
}
