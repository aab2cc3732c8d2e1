//! SACK, both ways.
//!
//! Gaps in sctp-proto 0.10.8: a SACK of what was never sent closes the association, gap blocks that
//! overlap are walked over and over, and one's own SACK grows beyond the packet size when there are
//! many gaps. Incoming ones are checked against what was sent, outgoing ones are cut. Can go when
//! upstream ignores the first two and bounds the third.

use alloc::vec::Vec;

use crate::packet::{Chunk, PacketBuilder, kind, read_u16, read_u32, tsn_after};

/// The head of a SACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sack {
    /// Everything up to here has arrived.
    pub(crate) cumulative: u32,
    /// Advertised receiver window.
    pub(crate) window: u32,
}

impl Sack {
    /// Reads a SACK; none if it is malformed or acknowledges more than `last_sent`.
    pub(crate) fn check(value: &[u8], last_sent: u32) -> Option<Sack> {
        let sack = Sack::head(value)?;
        let gaps = usize::from(read_u16(value, 8)?);
        let duplicates = usize::from(read_u16(value, 10)?);
        let blocks = value.get(12..12 + 4 * gaps)?;
        value.get(12..12 + 4 * (gaps + duplicates))?;
        if tsn_after(sack.cumulative, last_sent) {
            return None;
        }
        let outstanding = last_sent.wrapping_sub(sack.cumulative);
        let mut previous = 1;
        for block in blocks.chunks_exact(4) {
            let (start, end) = (read_u16(block, 0)?, read_u16(block, 2)?);
            if start <= previous || end < start || u32::from(end) > outstanding {
                return None;
            }
            previous = end;
        }
        Some(sack)
    }

    /// Reads the first fields only.
    pub(crate) fn head(value: &[u8]) -> Option<Sack> {
        Some(Sack {
            cumulative: read_u32(value, 0)?,
            window: read_u32(value, 4)?,
        })
    }

    /// The same as a chunk value without gaps.
    pub(crate) fn encode(&self) -> [u8; 12] {
        let mut value = [0; 12];
        value[..4].copy_from_slice(&self.cumulative.to_be_bytes());
        value[4..8].copy_from_slice(&self.window.to_be_bytes());
        value
    }
}

/// Puts a SACK of sctp-proto on the wire, with as many gap blocks as `room` bytes allow and no
/// duplicate TSNs.
pub(crate) fn outward(chunk: &Chunk<'_>, room: usize, packet: &mut PacketBuilder) -> Option<Sack> {
    let sack = Sack::head(chunk.value)?;
    let gaps = usize::from(read_u16(chunk.value, 8)?).min(room / 4);
    let blocks = chunk.value.get(12..12 + 4 * gaps)?;
    let mut value = Vec::with_capacity(12 + blocks.len());
    value.extend_from_slice(&sack.encode());
    value.extend_from_slice(blocks);
    if let (Some(field), Ok(gaps)) = (value.get_mut(8..10), u16::try_from(gaps)) {
        field.copy_from_slice(&gaps.to_be_bytes());
    }
    packet.chunk(kind::SACK, 0, &value);
    Some(sack)
}
