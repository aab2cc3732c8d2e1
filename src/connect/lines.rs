//! Lines of any bytes, with a longest one.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::common::Failure;

/// Reads lines, each with its end as it came; the last one may have none.
pub(super) struct Lines<R> {
    input: R,
    buffer: BytesMut,
    /// How much of the buffer is known to have no end of a line.
    searched: usize,
    max: usize,
    number: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    const CHUNK: usize = 64 << 10;

    /// Lines of up to `max` bytes, their end included.
    pub(super) fn new(input: R, max: usize) -> Self {
        Self {
            input,
            buffer: BytesMut::new(),
            searched: 0,
            max,
            number: 0,
        }
    }

    /// The next line; `None` at the end of the input. Nothing is lost where this is dropped before it ends.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let found = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let length = found.map_or(self.buffer.len(), |at| self.searched + at + 1);
            if length > self.max {
                return Err(Failure::failed(format!(
                    "line {} is longer than {} bytes, the longest message",
                    self.number + 1,
                    self.max
                )));
            }
            if found.is_some() {
                return Ok(Some(self.split(length)));
            }
            self.searched = self.buffer.len();
            self.buffer.reserve(Self::CHUNK);
            match self.input.read_buf(&mut self.buffer).await {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Ok(Some(self.split(self.buffer.len()))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure::failed(format!("cannot read the input: {error}")));
                }
            }
        }
    }

    fn split(&mut self, length: usize) -> Bytes {
        self.searched = 0;
        self.number += 1;
        self.buffer.split_to(length).freeze()
    }
}
