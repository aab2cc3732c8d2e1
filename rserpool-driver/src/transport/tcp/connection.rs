//! One TCP connection: bytes in and out, and what it owes.

use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use rserpool_core::wire::{Deframer, FramingError, frame};

use super::super::Outgoing;
use crate::TcpStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    Open,
    /// This side has no more to say, and waits for the other one to say the same.
    Closing,
    /// Both sides have no more to say. What the other one was answered is still on the way.
    Draining,
}

/// What comes of a look at the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Connected,
    /// Something was read that has to be looked at.
    Read,
    /// Nothing for now.
    Waits,
}

pub(super) struct Connection<S> {
    stream: S,
    waker: Waker,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    input: Deframer,
    output: BytesMut,
    /// Whether there may be messages in `input`: nothing is read before they are taken.
    pub(super) unread: bool,
    /// The other side has no more to say.
    pub(super) ended: bool,
    /// Whether the other side has been told that this one has no more to say.
    shut: bool,
}

impl<S: TcpStream> Connection<S> {
    pub(super) fn new(stream: S, waker: Waker, remote: SocketAddr, state: State) -> Self {
        Self {
            stream,
            waker,
            remote,
            state,
            input: Deframer::default(),
            output: BytesMut::new(),
            unread: false,
            ended: false,
            shut: false,
        }
    }

    /// How many bytes wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.output.len()
    }

    /// Whether both sides have said everything, and nothing is on the way.
    pub(super) fn is_drained(&self) -> bool {
        self.state == State::Draining && self.output.is_empty()
    }

    /// Whether it is the peer that has to go on: with the handshake, with a message that it has begun, by taking what it is sent,
    /// or by closing.
    pub(super) fn is_owed(&self) -> bool {
        let begun = !self.unread && !self.input.pending().is_empty();
        self.state != State::Open || begun || !self.output.is_empty()
    }

    pub(super) fn send(&mut self, message: &Outgoing) {
        frame(&mut self.output, &message.bytes);
    }

    /// The next whole message that has come.
    pub(super) fn poll_message(&mut self) -> Result<Option<Bytes>, FramingError> {
        self.input.poll_message()
    }

    /// Whether the other side went in the middle of a message.
    pub(super) fn is_cut_off(&self) -> bool {
        !self.input.pending().is_empty()
    }

    /// Does what can be done without waiting. An error is the end.
    pub(super) fn progress(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        if self.state == State::Connecting {
            return match self.stream.poll_connected(&mut context) {
                Poll::Pending => Ok(Progress::Waits),
                Poll::Ready(Ok(())) => {
                    self.state = State::Open;
                    Ok(Progress::Connected)
                }
                Poll::Ready(Err(error)) => Err(error),
            };
        }
        self.write()?;
        if self.state == State::Draining || self.unread || self.ended {
            return Ok(Progress::Waits);
        }
        match self.stream.poll_read(&mut context, buffer) {
            Poll::Pending => Ok(Progress::Waits),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(0)) if self.state == State::Closing => {
                self.state = State::Draining;
                Ok(Progress::Waits)
            }
            Poll::Ready(Ok(length)) => {
                // Nobody wants to hear more where this side is about to go.
                if self.state == State::Open {
                    self.ended = length == 0;
                    self.input.push(&buffer[..length]);
                    self.unread = true;
                }
                Ok(Progress::Read)
            }
        }
    }

    /// Sends what the socket has room for, and after the last of it says that there is no more.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.state == State::Connecting {
            return Ok(());
        }
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        while !self.output.is_empty() {
            match self.stream.poll_write(&mut context, &self.output) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(length)) => self.output.advance(length),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.state == State::Closing && !self.shut {
            match self.stream.poll_shutdown(&mut context) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    result?;
                    self.shut = true;
                }
            }
        }
        Ok(())
    }
}
