//! Payload protocol identifiers.
//!
//! Gap in sctp-proto 0.10.8: the PPID is a closed set of WebRTC's values, everything else is read as
//! `Unknown` and sent as 58. Between the edge and sctp-proto the PPID therefore travels in front of the
//! message: on the way in it is put before the user data of a first fragment, on the way out the first
//! four bytes of a first fragment are taken off and become the PPID of the chunk and, by [`Outward`],
//! of the fragments that follow. Can go when upstream takes a `u32`.
//!
//! ```text
//!   out:  PPID (4), message
//!   in:   PPID (4), stream sequence number (2), flags (1), filler length (1), filler, message
//! ```
//!
//! The filler charges a short message with what it costs to keep, see `reassembly`.

use alloc::collections::VecDeque;
use bytes::Bytes;

use crate::packet::{Chunk, PacketBuilder, kind, read_u16, read_u32, tsn_after};

/// Bytes in front of a message to the peer.
pub(crate) const OUT_PREFIX: usize = 4;

/// Bytes in front of a message from the peer, without filler.
const IN_PREFIX: usize = 8;

/// Most bytes in front of a message from the peer.
pub(crate) const MAX_IN_PREFIX: usize = IN_PREFIX + FILLER.len();

/// About what sctp-proto keeps per chunk besides the data.
const FILLER: [u8; 64] = [0; 64];

/// Longer ones need no filler.
const SHORT: usize = 512;

const IMMEDIATE: u8 = 0x08;
const UNORDERED: u8 = 0x04;
const BEGIN: u8 = 0x02;
pub(crate) const END: u8 = 0x01;

/// The PPID that sctp-proto sees: "binary", for it has no meaning there.
const NEUTRAL: [u8; 4] = 53_u32.to_be_bytes();

/// A DATA chunk of the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data<'a> {
    flags: u8,
    pub(crate) tsn: u32,
    pub(crate) stream: u16,
    pub(crate) sequence: u16,
    head: &'a [u8],
    ppid: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// A DATA chunk that ends the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadData {
    /// RFC 9260 §6.2: answered with "No User Data".
    Empty,
    /// Too short for its header.
    Malformed,
}

impl<'a> Data<'a> {
    /// Splits a DATA chunk.
    pub(crate) fn read(chunk: &Chunk<'a>) -> Result<Data<'a>, BadData> {
        let split = || {
            let (head, rest) = chunk.value.split_at_checked(8)?;
            let (ppid, payload) = rest.split_at_checked(4)?;
            Some(Data {
                flags: chunk.flags,
                tsn: read_u32(head, 0)?,
                stream: read_u16(head, 4)?,
                sequence: read_u16(head, 6)?,
                head,
                ppid,
                payload,
            })
        };
        let data = split().ok_or(BadData::Malformed)?;
        if data.payload.is_empty() {
            return Err(BadData::Empty);
        }
        Ok(data)
    }

    pub(crate) fn is_begin(&self) -> bool {
        self.flags & BEGIN != 0
    }

    pub(crate) fn is_end(&self) -> bool {
        self.flags & END != 0
    }

    pub(crate) fn is_unordered(&self) -> bool {
        self.flags & UNORDERED != 0
    }

    /// Hands it to sctp-proto. With `acknowledge` it is acknowledged without delay.
    pub(crate) fn inward(&self, acknowledge: bool, packet: &mut PacketBuilder) {
        let flags = self.flags | if acknowledge { IMMEDIATE } else { 0 };
        if !self.is_begin() {
            packet.chunk_of(kind::DATA, flags, &[self.head, &NEUTRAL, self.payload]);
            return;
        }
        let filler: &[u8] = if self.payload.len() < SHORT {
            &FILLER
        } else {
            &[]
        };
        let sequence = self.sequence.to_be_bytes();
        let length = u8::try_from(filler.len()).unwrap_or(0);
        let marks = [sequence[0], sequence[1], self.flags, length];
        let parts = [self.head, &NEUTRAL, self.ppid, &marks, filler, self.payload];
        packet.chunk_of(kind::DATA, flags, &parts);
    }
}

/// A message as it comes out of sctp-proto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unwrapped {
    pub(crate) ppid: u32,
    /// Stream sequence number, if it was ordered.
    pub(crate) sequence: Option<u16>,
    pub(crate) bytes: Bytes,
}

/// Takes off what [`Data::inward`] put in front.
pub(crate) fn unwrap(message: &Bytes) -> Option<Unwrapped> {
    let flags = *message.get(6)?;
    let start = IN_PREFIX + usize::from(*message.get(7)?);
    if start > message.len() {
        return None;
    }
    Some(Unwrapped {
        ppid: read_u32(message, 0)?,
        sequence: read_u16(message, 4).filter(|_| flags & UNORDERED == 0),
        bytes: message.slice(start..),
    })
}

/// PPIDs of the fragmented messages on their way, by the TSN of their first fragments, in order.
///
/// sctp-proto numbers the fragments of a message one after another, and messages in the order in which
/// they were written.
#[derive(Default)]
pub(crate) struct Outward(VecDeque<(u32, [u8; OUT_PREFIX])>);

impl Outward {
    /// Puts a DATA chunk of sctp-proto on the wire and tells its TSN. With `hurry` the peer is asked to
    /// acknowledge without delay (RFC 9260 §3.3.1, the I bit).
    pub(crate) fn put(
        &mut self,
        chunk: &Chunk<'_>,
        hurry: bool,
        packet: &mut PacketBuilder,
    ) -> Option<u32> {
        let (head, rest) = chunk.value.split_at_checked(8)?;
        let (_, payload) = rest.split_at_checked(4)?;
        let tsn = read_u32(head, 0)?;
        let (ppid, payload) = if chunk.flags & BEGIN == 0 {
            (self.of(tsn), payload)
        } else {
            let (ppid, payload) = payload.split_first_chunk()?;
            if chunk.flags & END == 0 {
                self.note(tsn, *ppid);
            }
            (*ppid, payload)
        };
        let hurry = if hurry { IMMEDIATE } else { 0 };
        packet.chunk_of(kind::DATA, chunk.flags | hurry, &[head, &ppid, payload]);
        Some(tsn)
    }

    /// RFC 9260 §3.3.1: "MUST be sent even in fragmented DATA chunks". A receiver that takes a message
    /// in parts goes by it.
    fn of(&self, tsn: u32) -> [u8; OUT_PREFIX] {
        let after = self.0.partition_point(|(first, _)| !tsn_after(*first, tsn));
        let message = after.checked_sub(1).and_then(|index| self.0.get(index));
        message.map_or([0; OUT_PREFIX], |(_, ppid)| *ppid)
    }

    fn note(&mut self, tsn: u32, ppid: [u8; OUT_PREFIX]) {
        // Not again when it is repeated.
        if self.0.back().is_none_or(|(last, _)| tsn_after(tsn, *last)) {
            self.0.push_back((tsn, ppid));
        }
    }

    /// Everything up to `cumulative` arrived.
    pub(crate) fn on_acknowledged(&mut self, cumulative: u32) {
        let next = cumulative.wrapping_add(1);
        while self
            .0
            .get(1)
            .is_some_and(|(first, _)| !tsn_after(*first, next))
        {
            self.0.pop_front();
        }
    }
}

/// A DATA chunk that repeats `tsn`, which sctp-proto has had: the one way to make it acknowledge now.
pub(crate) fn nudge(tsn: u32, packet: &mut PacketBuilder) {
    let flags = IMMEDIATE | BEGIN | END;
    let parts: [&[u8]; 4] = [&tsn.to_be_bytes(), &[0; 4], &NEUTRAL, &[0]];
    packet.chunk_of(kind::DATA, flags, &parts);
}
