//! Writes values into bytes that are already there and zero.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::EncodeError;
use super::param::padding;

/// A cursor over zeroed bytes. What does not fit is left out, but counted: so a value is measured by writing it.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
    /// The last value that was padded: where its padding ends, and how much it is.
    padded: (usize, usize),
}

/// A message or parameter that has been begun, and whose length is not known yet.
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct Open(usize);

impl<'a> Writer<'a> {
    #[inline]
    const fn over(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            padded: (0, 0),
        }
    }

    /// Words in network byte order.
    #[inline]
    pub(crate) fn words<const N: usize>(&mut self, words: [u32; N]) {
        let end = self.at + N * 4;
        if let Some(target) = self.bytes.get_mut(self.at..end) {
            for (target, word) in target.as_chunks_mut().0.iter_mut().zip(words) {
                *target = word.to_be_bytes();
            }
        }
        self.at = end;
    }

    /// Bytes of any number, with their padding.
    #[inline]
    pub(crate) fn padded(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(target) = self.bytes.get_mut(self.at..end) {
            target.copy_from_slice(bytes);
        }
        let padding = padding(bytes.len());
        self.at = end + padding;
        self.padded = (self.at, padding);
    }

    /// A whole parameter with its padding.
    #[inline]
    pub(crate) fn param(&mut self, kind: u16, value: &[u8]) {
        self.words([header(kind, value.len())]);
        self.padded(value);
    }

    /// Begins a parameter with other parameters in it: writes `first`, its header without a length and its fields.
    #[inline]
    pub(crate) fn open<const N: usize>(&mut self, first: [u32; N]) -> Open {
        let open = Open(self.at);
        self.words(first);
        open
    }

    /// Ends it, or a message. Its length has all padding in it. For a message RFC 5354 §4 can be read both ways, and every
    /// implementation understands this one.
    #[inline]
    pub(crate) fn close(&mut self, open: Open) {
        self.set_length(open, self.at);
    }

    /// Ends a parameter whose last one may have padding: its length has the padding between the parameters in it, but not
    /// that of the last one (RFC 5354 §2).
    #[inline]
    pub(crate) fn close_unpadded(&mut self, open: Open) {
        let (end, padding) = self.padded;
        let padding = if end == self.at { padding } else { 0 };
        self.set_length(open, self.at - padding);
    }

    #[inline]
    fn set_length(&mut self, open: Open, end: usize) {
        if let Some(field) = self.bytes.get_mut(open.0 + 2..open.0 + 4) {
            field.copy_from_slice(&length_field(end - open.0).to_be_bytes());
        }
    }
}

/// A parameter header for a value of `length` bytes.
#[inline]
pub(crate) const fn header(kind: u16, length: usize) -> u32 {
    pair(kind, length_field(length + 4))
}

/// Two 16-bit fields as a word.
#[inline]
pub(crate) const fn pair(first: u16, second: u16) -> u32 {
    (first as u32) << 16 | second as u32
}

/// Writes into `bytes`, which are zero, and says how many bytes it takes: more than there are if it does not fit.
#[inline]
pub(crate) fn write_to(bytes: &mut [u8], write: impl Fn(&mut Writer<'_>)) -> usize {
    let mut writer = Writer::over(bytes);
    write(&mut writer);
    writer.at
}

/// Appends to `target` what `write` writes. Nothing is appended on an error.
#[inline]
pub(crate) fn append(
    target: &mut BytesMut,
    write: impl Fn(&mut Writer<'_>),
) -> Result<(), EncodeError> {
    append_about(target, ROOM, write)
}

/// As [`append`]; what needs more than `room` bytes is written twice.
#[inline]
pub(crate) fn append_about(
    target: &mut BytesMut,
    room: usize,
    write: impl Fn(&mut Writer<'_>),
) -> Result<(), EncodeError> {
    let start = target.len();
    target.put_bytes(0, room);
    let length = write_to(&mut target[start..], &write);
    if length > super::MAX_MESSAGE {
        target.truncate(start);
        return Err(EncodeError { length });
    }
    if length <= room {
        target.truncate(start + length);
    } else {
        target.resize(start + length, 0);
        write_to(&mut target[start..], write);
    }
    Ok(())
}

/// What `write` writes, as bytes of their own.
#[inline]
pub(crate) fn fresh(write: impl Fn(&mut Writer<'_>)) -> Result<Bytes, EncodeError> {
    let mut room = [0; ROOM];
    let length = write_to(&mut room, &write);
    match room.get(..length) {
        Some(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        None => long(length, write),
    }
}

/// What `write` writes: `length` bytes, which are too many for a buffer that is there already.
fn long(length: usize, write: impl Fn(&mut Writer<'_>)) -> Result<Bytes, EncodeError> {
    if length > super::MAX_MESSAGE {
        return Err(EncodeError { length });
    }
    let mut bytes = alloc::vec![0; length];
    write_to(&mut bytes, write);
    Ok(bytes.into())
}

/// Memory that the messages of a machine share. A block whose messages have all been sent and dropped is used again, so that
/// nothing is allocated where they do not stay long; where they do, they have the block to themselves, and others get a new one.
///
/// A message that is kept for long, such as one that waits for a slow peer, keeps its block: blocks are small, and what is
/// longer than one gets bytes of its own. How many messages can wait is bounded by those who hold them, whatever their length.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    ring: [BytesMut; 8],
    current: usize,
}

impl Blocks {
    /// About 20 messages.
    const SIZE: usize = 2048;

    /// What `write` writes.
    #[inline]
    pub(crate) fn cut(&mut self, write: impl Fn(&mut Writer<'_>)) -> Result<Bytes, EncodeError> {
        let mut room = [0; ROOM];
        let length = write_to(&mut room, &write);
        if length > Self::SIZE {
            return long(length, write);
        }
        let block = self.with_room(length);
        match room.get(..length) {
            Some(bytes) => block.extend_from_slice(bytes),
            None => {
                block.put_bytes(0, length);
                write_to(block, write);
            }
        }
        Ok(block.split().freeze())
    }

    /// An empty block that has room for `length` bytes, at most [`Self::SIZE`]: the one of the last message, or else the one that
    /// has not been used for the longest time.
    fn with_room(&mut self, length: usize) -> &mut BytesMut {
        if !self.ring[self.current].try_reclaim(length) {
            self.current = (self.current + 1) % self.ring.len();
            let oldest = &mut self.ring[self.current];
            if !oldest.try_reclaim(Self::SIZE) {
                *oldest = BytesMut::with_capacity(Self::SIZE);
            }
        }
        &mut self.ring[self.current]
    }
}

/// Most messages fit into this many bytes; those that do not are written twice.
const ROOM: usize = 384;

/// A length as its field says it. Whatever is kept fits into a message of 65,535 bytes, so that nothing is cut.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a message that is too long is not kept"
)]
#[inline]
pub(crate) const fn length_field(length: usize) -> u16 {
    length as u16
}
