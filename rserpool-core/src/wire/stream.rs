//! The messages in a byte stream: ASAP over TCP (RFC 5352 §2.1, §3.3). Each ends where its length field and the padding to four
//! bytes say so (RFC 5354 §4); there is nothing between them.

use bytes::{BufMut, Bytes, BytesMut};

/// A message says that it is shorter than its header: where the next one begins, nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message length below 4: the rest of the stream is not readable")]
pub struct FramingError;

/// Takes the bytes of a stream as they come, and gives the messages in it.
///
/// It keeps what it is given until [`poll_message`](Self::poll_message) has taken it; after that, less than a message.
///
/// ```
/// use rserpool_core::wire::Deframer;
///
/// let mut stream = Deframer::default();
/// // One message, and the begin of another one.
/// stream.push(&[0x05, 0, 0, 8, 1, 2, 3, 4, 0x05, 0]);
/// assert_eq!(stream.poll_message()?.as_deref(), Some(&[0x05, 0, 0, 8, 1, 2, 3, 4][..]));
/// assert_eq!(stream.poll_message()?, None);
/// assert_eq!(stream.pending(), [0x05, 0]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Deframer {
    pending: BytesMut,
}

impl Deframer {
    /// The length of type, flags and length.
    const HEADER: usize = 4;

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next message with its padding; `None` where it is not there as a whole. An error is final: the stream is to be given
    /// up.
    pub fn poll_message(&mut self) -> Result<Option<Bytes>, FramingError> {
        let Some(&[_, _, high, low]) = self.pending.first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < Self::HEADER {
            return Err(FramingError);
        }
        let padded = length.next_multiple_of(4);
        if self.pending.len() < padded {
            return Ok(None);
        }
        Ok(Some(self.pending.split_to(padded).freeze()))
    }

    /// The begin of the next message, as far as it is there.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }
}

/// Appends a message to what is sent on a stream, with the padding that it lacks.
pub fn frame(stream: &mut BytesMut, message: &[u8]) {
    stream.extend_from_slice(message);
    stream.put_bytes(0, message.len().next_multiple_of(4) - message.len());
}
