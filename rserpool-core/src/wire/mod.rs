//! Bytes to values and back: the messages of ASAP (RFC 5352 §2) and ENRP (RFC 5353 §2) and their parameters (RFC 5354).
//!
//! Decoding borrows from the bytes and allocates nothing, except that it notes where unrecognized parameters stood that the
//! sender wants to hear of. A list, such as the addresses of a transport, is checked once by the decoder; reading it then
//! walks the bytes again and cannot fail. Encoding writes once, and fills in the lengths of what is nested as it goes; only a
//! message that is longer than usual is written twice, the first time to measure it.
//!
//! ```
//! use rserpool_core::wire::asap::{self, Message};
//! use rserpool_core::PeId;
//!
//! let message = Message::EndpointUnreachable { pool_handle: b"EchoPool", pe_id: PeId(7) };
//! let bytes = message.to_bytes().unwrap();
//! assert_eq!(asap::decode(&bytes).unwrap().message, message);
//! ```
//!
//! # Fuzzing
//!
//! The targets `asap_decode`, `asap_stream`, `enrp_decode` and `roundtrip` run everything in here.

mod body;
mod element;
mod error;
mod list;
mod param;
mod policy;
mod reader;
mod stream;
mod transport;
mod writer;

pub mod asap;
pub mod enrp;

pub use element::{PoolElement, ServerInformation};
pub use error::{Cause, CauseCode, DecodeError, DecodeErrorKind, EncodeError};
pub use list::{List, ListItem, ListIter, WireList};
pub use param::{Param, Params, kind};
pub use policy::{Policy, PolicyType};
pub use reader::{Checked, Span, Unrecognized, Walk};
pub use stream::{Deframer, FramingError, frame};
pub use transport::{SctpTransport, Transport, TransportBuf, TransportUse};
pub(crate) use writer::Blocks;
pub use writer::Writer;

/// The longest message: its length field has 16 bits.
pub const MAX_MESSAGE: usize = 0xffff;

/// A decoded message and what stood around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<M> {
    /// The message.
    pub message: M,
    /// Its flags byte as it stood there.
    pub flags: u8,
    /// Parameters that were skipped and that the sender wants to hear of (RFC 5354 §3, upper bits 11).
    pub unrecognized: Unrecognized,
    /// Bytes after the message and its padding. They are not looked at.
    pub trailing: usize,
}

/// The common header, checked against the bytes (RFC 5354 §4).
///
/// The length field may or may not count the padding of the last parameter; both are in use.
pub(crate) struct Header<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// What follows the header in the message.
    pub(crate) value: &'a [u8],
    pub(crate) trailing: usize,
}

impl<'a> Header<'a> {
    #[inline]
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some((&[kind, flags, high, low], rest)) = bytes.split_first_chunk() else {
            return Err(DecodeError::at(
                DecodeErrorKind::ShortHeader,
                reader::place(bytes),
            ));
        };
        let length = usize::from(u16::from_be_bytes([high, low])).wrapping_sub(4);
        let Some((value, rest)) = rest.split_at_checked(length) else {
            let field = reader::place(bytes) + 2;
            return Err(DecodeError::at(DecodeErrorKind::MessageLength, field));
        };
        Ok(Self {
            kind,
            flags,
            value,
            trailing: rest.len().saturating_sub(param::padding(length)),
        })
    }

    /// The rule for unrecognized message types (RFC 5354 §4): 00 discard, 01 discard and report; 10 and 11 are reserved
    /// and discarded.
    #[cold]
    pub(crate) fn unknown(&self) -> DecodeError {
        let kind = DecodeErrorKind::UnknownMessage {
            kind: self.kind,
            report: self.kind >> 6 == 0b01,
        };
        let message = Span {
            offset: reader::place(self.value) - 4,
            length: self.value.len() + 4,
        };
        DecodeError::span(kind, message)
    }
}
