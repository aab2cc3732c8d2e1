//! A cursor over received bytes, and the note of what was skipped.

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

    pub(crate) fn note(&mut self, span: Span) {
        if self.0.len() < Self::CAP {
            self.0.push(span);
        }
    }
}

/// Bytes that know where in the message they stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Skips `count` bytes, or to the end.
    pub(crate) fn skip(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes = &self.bytes[count..];
        self.offset += count;
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.bytes.split_first_chunk() else {
            return Err(DecodeError::at(DecodeErrorKind::Truncated, self.offset));
        };
        self.bytes = tail;
        self.offset += N;
        Ok(*head)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }
}
