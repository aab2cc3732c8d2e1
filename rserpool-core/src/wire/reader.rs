//! A cursor over received bytes, and what a walk over them does with the parameters that it skips.

use alloc::vec::Vec;

use super::error::{DecodeError, DecodeErrorKind};

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of its first byte.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
}

impl Span {
    /// The bytes of it in `message`; what lies beyond the end is left out.
    pub fn of(self, message: &[u8]) -> &[u8] {
        let start = self.offset.min(message.len());
        let end = self.offset.saturating_add(self.length).min(message.len());
        &message[start..end]
    }

    /// The span with its [`place`] as an offset in `message`.
    pub(crate) fn within(self, message: &[u8]) -> Self {
        let offset = self.offset.wrapping_sub(place(message));
        Self { offset, ..self }
    }
}

/// Where unrecognized parameters stood that are to be reported; at most [`Unrecognized::CAP`] of them are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unrecognized(Vec<Span>);

impl Unrecognized {
    /// How many parameters one message can have reported.
    pub const CAP: usize = 16;

    /// The parameters, in the order of the message.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// The note with places as offsets in `message`.
    #[inline]
    pub(crate) fn within(mut self, message: &[u8]) -> Self {
        for span in &mut self.0 {
            *span = span.within(message);
        }
        self
    }
}

/// A walk over the bytes of a message: the decoder's, which checks everything, or a later one over what it has checked.
pub trait Walk {
    /// Whether the bytes have been checked before, so that lists in them need not be looked at.
    const CHECKED: bool;

    /// Notes a skipped parameter that the sender wants to hear of.
    fn note(&mut self, span: Span);
}

impl Walk for Unrecognized {
    const CHECKED: bool = false;

    fn note(&mut self, span: Span) {
        if self.0.len() < Self::CAP {
            self.0.push(span);
        }
    }
}

/// The walk over checked bytes: all that is to be noted has been.
#[derive(Debug)]
pub struct Checked;

impl Walk for Checked {
    const CHECKED: bool = true;

    fn note(&mut self, _: Span) {}
}

/// Bytes that are read from their front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.0.split_first_chunk() else {
            return Err(DecodeError::at(DecodeErrorKind::Truncated, place(self.0)));
        };
        self.0 = tail;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Two 16-bit fields.
    #[inline]
    pub(crate) fn pair(&mut self) -> Result<(u16, u16), DecodeError> {
        let [a, b, c, d] = self.array()?;
        Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
}

/// Where `bytes` stand, as long as the decoder is at work: their address, so that no walk needs to count. Before a span
/// leaves the decoder, [`Span::within`] makes it an offset in the message.
#[inline]
pub(crate) fn place(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}
