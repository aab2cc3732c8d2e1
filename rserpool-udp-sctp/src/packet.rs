//! SCTP packets as bytes: parse and build, nothing else (RFC 9260 §3).
//!
//! ```text
//!   packet = source port, destination port, verification tag, CRC32c, chunk*
//!   chunk  = type, flags, length, value, padding to 4 bytes
//! ```
//!
//! Parsing borrows from the datagram and never fails half-way: [`Packet::parse`] walks the whole
//! chunk list once, so that whoever holds a [`Packet`] can iterate without checking again.

use alloc::vec::Vec;

/// Chunk types (RFC 9260 §3.2).
pub mod kind {
    /// Payload data.
    pub const DATA: u8 = 0x00;
    /// Initiation.
    pub const INIT: u8 = 0x01;
    /// Initiation acknowledgement, carries the state cookie.
    pub const INIT_ACK: u8 = 0x02;
    /// Selective acknowledgement.
    pub const SACK: u8 = 0x03;
    /// Heartbeat request.
    pub const HEARTBEAT: u8 = 0x04;
    /// Heartbeat acknowledgement.
    pub const HEARTBEAT_ACK: u8 = 0x05;
    /// Abort.
    pub const ABORT: u8 = 0x06;
    /// Shutdown, carries a cumulative TSN acknowledgement.
    pub const SHUTDOWN: u8 = 0x07;
    /// Shutdown acknowledgement.
    pub const SHUTDOWN_ACK: u8 = 0x08;
    /// Operation error.
    pub const ERROR: u8 = 0x09;
    /// State cookie, echoed.
    pub const COOKIE_ECHO: u8 = 0x0a;
    /// Cookie acknowledgement.
    pub const COOKIE_ACK: u8 = 0x0b;
    /// Shutdown complete.
    pub const SHUTDOWN_COMPLETE: u8 = 0x0e;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is reflected (RFC 9260 §8.5.1).
pub const T_BIT: u8 = 0x01;

/// Length of the common header.
pub const HEADER_LEN: usize = 12;

/// The common header without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's SCTP port.
    pub source_port: u16,
    /// The receiver's SCTP port.
    pub destination_port: u16,
    /// The receiver's verification tag; 0 with INIT.
    pub tag: u32,
}

/// One chunk, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Chunk type.
    pub kind: u8,
    /// Chunk flags.
    pub flags: u8,
    /// Chunk value without padding.
    pub value: &'a [u8],
}

/// Why a datagram is no SCTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than a header and one chunk, a chunk length that does not fit, or a zero port.
    #[error("malformed packet")]
    Malformed,
    /// The CRC32c does not match.
    #[error("bad checksum")]
    Checksum,
}

/// A packet whose checksum and chunk lengths are verified.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The common header.
    pub header: Header,
    chunks: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Verifies checksum, ports and the length of every chunk.
    ///
    /// # Errors
    ///
    /// [`PacketError`]; the checksum is looked at first (RFC 9260 §6.8).
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        if datagram.len() < HEADER_LEN + 4 {
            return Err(PacketError::Malformed);
        }
        if read_u32_le(datagram, 8) != Some(checksum(datagram)) {
            return Err(PacketError::Checksum);
        }
        Packet::parse_unchecked(datagram)
    }

    /// As [`Packet::parse`] for bytes whose checksum does not matter.
    ///
    /// # Errors
    ///
    /// [`PacketError::Malformed`].
    pub fn parse_unchecked(datagram: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        let parsed = || {
            let header = Header {
                source_port: read_u16(datagram, 0)?,
                destination_port: read_u16(datagram, 2)?,
                tag: read_u32(datagram, 4)?,
            };
            Some((header, datagram.get(HEADER_LEN..)?))
        };
        let (header, chunks) = parsed().ok_or(PacketError::Malformed)?;
        if header.source_port == 0 || header.destination_port == 0 || chunks.is_empty() {
            return Err(PacketError::Malformed);
        }
        let mut rest = chunks;
        while !rest.is_empty() {
            let (_, tail) = split_chunk(rest).ok_or(PacketError::Malformed)?;
            rest = tail;
        }
        Ok(Packet { header, chunks })
    }

    /// The chunks in their order.
    #[must_use]
    pub fn chunks(&self) -> Chunks<'a> {
        Chunks { rest: self.chunks }
    }

    /// The first chunk; a parsed packet has one.
    #[must_use]
    pub fn first(&self) -> Option<Chunk<'a>> {
        self.chunks().next()
    }
}

/// Iterates over chunks. Made by [`Packet::chunks`].
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (chunk, rest) = split_chunk(self.rest)?;
        self.rest = rest;
        Some(chunk)
    }
}

/// Takes one chunk off the front. The padding of the last chunk may be missing.
fn split_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let length = usize::from(read_u16(bytes, 2)?);
    let value = bytes.get(4..length)?;
    let end = padded(length).min(bytes.len());
    let chunk = Chunk {
        kind: *bytes.first()?,
        flags: *bytes.get(1)?,
        value,
    };
    Some((chunk, bytes.get(end..)?))
}

/// Iterates over (type, value) of the parameters in a chunk value, from `offset` on. Ends at the
/// first one that does not fit.
pub fn params(value: &[u8], offset: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = value.get(offset..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let kind = read_u16(rest, 0)?;
        let length = usize::from(read_u16(rest, 2)?);
        let body = rest.get(4..length)?;
        rest = rest.get(padded(length).min(rest.len())..)?;
        Some((kind, body))
    })
}

/// Builds a packet chunk by chunk.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    bytes: Vec<u8>,
}

impl PacketBuilder {
    /// A packet with this header and no chunk.
    #[must_use]
    pub fn new(header: Header) -> PacketBuilder {
        PacketBuilder::with_capacity(header, 64)
    }

    /// As [`PacketBuilder::new`], with room for `capacity` bytes of chunks.
    #[must_use]
    pub fn with_capacity(header: Header, capacity: usize) -> PacketBuilder {
        let mut bytes = Vec::with_capacity(HEADER_LEN + capacity);
        bytes.extend_from_slice(&header.source_port.to_be_bytes());
        bytes.extend_from_slice(&header.destination_port.to_be_bytes());
        bytes.extend_from_slice(&header.tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        PacketBuilder { bytes }
    }

    /// Appends one chunk whose value is the concatenation of `parts`, padded to 4 bytes. A value
    /// that does not fit the 16-bit length is left out.
    pub fn chunk_of(&mut self, kind: u8, flags: u8, parts: &[&[u8]]) -> &mut PacketBuilder {
        let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
        if let Ok(length) = u16::try_from(length) {
            self.bytes.extend_from_slice(&[kind, flags]);
            self.bytes.extend_from_slice(&length.to_be_bytes());
            for part in parts {
                self.bytes.extend_from_slice(part);
            }
            self.bytes.resize(padded(self.bytes.len()), 0);
        }
        self
    }

    /// Appends one chunk.
    pub fn chunk(&mut self, kind: u8, flags: u8, value: &[u8]) -> &mut PacketBuilder {
        self.chunk_of(kind, flags, &[value])
    }

    /// Whether no chunk was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN
    }

    /// Bytes so far, header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The packet with its checksum.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let sum = checksum(&self.bytes).to_le_bytes();
        if let Some(field) = self.bytes.get_mut(8..HEADER_LEN) {
            field.copy_from_slice(&sum);
        }
        self.bytes
    }
}

/// A packet with a single chunk.
#[must_use]
pub fn single(header: Header, kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut builder = PacketBuilder::new(header);
    builder.chunk(kind, flags, value);
    builder.finish()
}

/// CRC32c over a packet, its checksum field taken as zero (RFC 9260 appendix A).
#[must_use]
pub fn checksum(packet: &[u8]) -> u32 {
    let head = packet.get(..8).unwrap_or(packet);
    let tail = packet.get(HEADER_LEN..).unwrap_or(&[]);
    let sum = crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]);
    crc32c::crc32c_append(sum, tail)
}

/// Rounds a length up to a multiple of 4.
#[must_use]
pub const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// A big-endian number at `offset`, if it is there.
#[must_use]
pub fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_be_bytes(*field))
}

/// A big-endian number at `offset`, if it is there.
#[must_use]
pub fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_be_bytes(*field))
}

fn read_u32_le(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field))
}

/// `a` is later than `b` in serial number arithmetic (RFC 1982 with 32 bits).
#[must_use]
pub const fn tsn_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000_0000
}
