//! Writes values into bytes that are already there and zero.

use bytes::BytesMut;

use super::error::EncodeError;

/// A cursor over zeroed bytes of exactly the length that the values said they have.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn over(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) {
        self.put(value.to_be_bytes());
    }

    /// Two 16-bit fields, as nearly every header has.
    #[inline]
    pub(crate) fn pair(&mut self, first: u16, second: u16) {
        self.u32(u32::from(first) << 16 | u32::from(second));
    }

    #[inline]
    pub(crate) fn slice(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// A whole parameter with its padding.
    #[inline]
    pub(crate) fn param(&mut self, kind: u16, value: &[u8]) {
        self.param_header(kind, value.len());
        self.slice(value);
        self.pad();
    }

    /// A parameter header for a value of `length` bytes.
    #[inline]
    pub(crate) fn param_header(&mut self, kind: u16, length: usize) {
        self.pair(kind, length_field(length + 4));
    }

    /// Moves on to the next multiple of four; the bytes are zero already.
    #[inline]
    pub(crate) fn pad(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }
}

/// Appends `length` zeroed bytes to `target` and lets `write` fill them. Nothing is appended on an error.
pub(crate) fn append(
    target: &mut BytesMut,
    length: usize,
    write: impl FnOnce(&mut Writer<'_>),
) -> Result<(), EncodeError> {
    if length > super::MAX_MESSAGE {
        return Err(EncodeError { length });
    }
    let start = target.len();
    target.resize(start + length, 0);
    write(&mut Writer::over(&mut target[start..]));
    Ok(())
}

/// A length as its field says it. Whatever is written fits into a message of 65,535 bytes, so that nothing is cut.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`append` has checked the length of the whole message"
)]
pub(crate) const fn length_field(length: usize) -> u16 {
    length as u16
}
