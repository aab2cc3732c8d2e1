//! Byte streams over a session: what `element --forward`, `element --exec` and `connect --listen` have in common.
//!
//! ```text
//!   user                                        element
//!     │  credit                                    │   the session begins; so much the user can take
//!     │───────────────────────────────────────────▶│   … connects to its server, or starts its process
//!     │                                    credit  │   the element is ready; so much it can take
//!     │◀───────────────────────────────────────────│
//!     │  data, end                     data, end   │   as far as there is credit; more credit for what was passed on
//!     │◀──────────────────────────────────────────▶│
//! ```
//!
//! Data are bytes; how they are cut into messages means nothing. The other two are messages with the PPID [`CONTROL`]:
//!
//! | first byte | |
//! |---|---|
//! | 0, end | nothing more will be sent: SCTP has no half-closed associations, TCP has half-closed connections |
//! | 1, credit | a number of 32 bits follows, in network byte order: so many more bytes may be sent; all in all at most a window |
//!
//! A session that ends before the end has been said was cut off. Before the element's first credit nothing of the user's data
//! has been sent, so that another element can take over. A user whose first message is not a credit knows none of this: it is
//! served as well as it can be.

use alloc::sync::Arc;
use core::time::Duration;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use rserpool_core::element::PoolElement;
use rserpool_core::user::{PoolUser, SessionId};
use rserpool_core::{AssocId, Machine, Ppid};
use rserpool_tokio::{Handle, MAX_MESSAGE_SIZE};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::tcp;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

pub(crate) use self::connection::Connection;
use self::inlet::{Control, State, credit};
pub(crate) use self::inlet::{Inlet, greeting};

mod connection;
mod inlet;

/// The PPID of end and credit. IANA gives numbers away from the other end.
pub(crate) const CONTROL: Ppid = Ppid(0x7273_7001);
/// The PPID of data: none in particular.
const DATA: Ppid = Ppid(0);

/// How many bytes of a peer wait here at most, and how many of them are passed on before they are credited.
const WINDOW: usize = 256 << 10;
const CREDIT: usize = WINDOW / 2;
/// How many bytes of a peer that knows of no credit wait here before all others wait for it.
const PLAIN_WINDOW: usize = 4 * WINDOW;
/// How many bytes are read at once.
const CHUNK: usize = 32 << 10;

/// A machine that has sessions.
pub(crate) trait Sessions: Machine + Send + 'static {
    /// What it calls a session.
    type Id: Copy + Send + Sync + 'static;
    /// The association that a session has with its peer, if any.
    fn association_of(&self, id: Self::Id) -> Option<AssocId>;
    /// Says whether the session is still there.
    fn send_in(&mut self, id: Self::Id, ppid: Ppid, bytes: Bytes) -> bool;
    /// Closes a session; does nothing where it has ended.
    fn end(&mut self, id: Self::Id);
}

impl Sessions for PoolElement {
    type Id = AssocId;

    fn association_of(&self, id: AssocId) -> Option<AssocId> {
        Some(id)
    }

    fn send_in(&mut self, id: AssocId, ppid: Ppid, bytes: Bytes) -> bool {
        self.send(id, ppid, 0, bytes).is_ok()
    }

    fn end(&mut self, id: AssocId) {
        self.close(id);
    }
}

impl Sessions for PoolUser {
    type Id = SessionId;

    fn association_of(&self, id: SessionId) -> Option<AssocId> {
        self.association(id)
    }

    fn send_in(&mut self, id: SessionId, ppid: Ppid, bytes: Bytes) -> bool {
        self.send(id, ppid, 0, bytes).is_ok()
    }

    fn end(&mut self, id: SessionId) {
        self.close(id);
    }
}

/// How a stream becomes messages for a peer that does not know that they are a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As it is read.
    Chunks,
    /// Each line is one; longer ones than a message are cut.
    Lines,
}

/// Where the peer's bytes are written.
pub(crate) trait Outlet: AsyncWrite + Unpin {
    /// Waits until nobody can read them any more.
    fn lost(&self) -> impl Future<Output = ()> + Send;
}

impl Outlet for tcp::WriteHalf<'_> {
    /// A server that has closed the connection is noticed after [`Connection::IDLE`] and the time that its system remembers it.
    async fn lost(&self) {
        // A runtime that ends loses everything.
        let _ = self.ready(Interest::ERROR).await;
    }
}

impl Outlet for pipe::Sender {
    async fn lost(&self) {
        let _ = self.ready(Interest::ERROR).await;
    }
}

/// The session was cut off, or what it is connected with here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutOff;

/// A session as a stream of bytes in both directions.
pub(crate) struct Line<M: Sessions> {
    handle: Handle<M>,
    id: M::Id,
    state: Arc<watch::Sender<State>>,
}

impl<M: Sessions> Line<M> {
    /// How long what has come is still passed on when the session is gone.
    const LINGER: Duration = Duration::from_secs(5);

    /// The session's stream, and where its events go in.
    pub(crate) fn new(handle: &Handle<M>, id: M::Id) -> (Self, Inlet) {
        let state = Arc::new(watch::Sender::new(State::default()));
        let line = Self {
            handle: handle.clone(),
            id,
            state: Arc::clone(&state),
        };
        (line, Inlet(state))
    }

    /// Says that this element is ready.
    pub(crate) async fn accept(&self) -> Result<(), CutOff> {
        self.until(|state| state.peer.is_some() || state.closed)
            .await;
        if self.knows_control() {
            self.send(CONTROL, credit(WINDOW)).await?;
        }
        Ok(())
    }

    /// Waits until an element is ready; `false` where the one that was asked is not in this time.
    pub(crate) async fn accepted(&self, patience: Duration) -> Result<bool, CutOff> {
        loop {
            let asked = self.state.borrow().asked;
            let silent = async {
                match asked {
                    Some(since) => sleep_until(since + patience).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.until(|it| it.peer.is_some() || it.closed || it.asked != asked) => {}
                () = silent => {
                    self.state.send_modify(|state| state.asked = None);
                    return Ok(false);
                }
            }
            let state = self.state.borrow();
            match (state.closed, state.peer) {
                (true, _) => return Err(CutOff),
                (false, Some(_)) => return Ok(true),
                (false, None) => {}
            }
        }
    }

    /// Carries bytes both ways until both have ended, or the session has. What fails to be written is not wanted any more: what
    /// is read decides.
    pub(crate) async fn carry(
        &self,
        reader: impl AsyncRead + Unpin,
        writer: impl Outlet,
        framing: Framing,
    ) -> Result<(), CutOff> {
        let closed = || self.until(|state| state.closed);
        let outgoing = async {
            tokio::select! {
                biased;
                () = closed() => Ok(()),
                result = self.outgoing(reader, framing) => result,
            }
        };
        let incoming = async {
            // Nothing is lost of what anybody would read.
            let _ = self.incoming(writer).await;
            Ok(())
        };
        let both = async { tokio::try_join!(outgoing, incoming).map(drop) };
        let overdue = async {
            closed().await;
            sleep(Self::LINGER).await;
        };
        tokio::select! {
            biased;
            () = self.until(State::is_cut_off) => Err(CutOff),
            result = both => result,
            () = overdue => Err(CutOff),
        }
    }

    /// The same for a TCP connection, once the other side is `ready`.
    pub(crate) async fn carry_tcp(
        &self,
        mut connection: Connection,
        ready: impl Future<Output = Result<(), CutOff>>,
    ) {
        if let Some(Ok(())) = connection.unless_reset(ready).await {
            let (reader, writer) = connection.stream.split();
            if self.carry(reader, writer, Framing::Chunks).await.is_ok() {
                connection.finish();
            }
        }
    }

    /// Leaves it to the user to close the session where both have said the end: a user takes an element that closes sessions for
    /// one that is about to go.
    pub(crate) async fn part(&self) {
        let ended = {
            let state = self.state.borrow();
            state.ended && state.told_end
        };
        if ended {
            // One that has not done so by then does not.
            let _ = timeout(Self::LINGER, self.until(|state| state.closed)).await;
        }
        self.hang_up().await;
    }

    /// Closes the session.
    pub(crate) async fn hang_up(&self) {
        let id = self.id;
        // An endpoint that has stopped has no sessions.
        let _ = self.handle.call(move |machine, _| machine.end(id)).await;
    }

    async fn until(&self, condition: impl FnMut(&State) -> bool) {
        // The sender lives as long as this does.
        let _ = self.state.subscribe().wait_for(condition).await;
    }

    fn knows_control(&self) -> bool {
        self.state.borrow().knows_control()
    }

    /// Sends a message when there is room for it in the peer's send buffer. A peer that takes nothing holds up nobody else.
    async fn send(&self, ppid: Ppid, bytes: Bytes) -> Result<(), CutOff> {
        let id = self.id;
        let sent = self
            .handle
            .call_with_room(
                move |machine| machine.association_of(id),
                move |machine, _| machine.send_in(id, ppid, bytes),
            )
            .await;
        match sent {
            Ok(true) => Ok(()),
            _ => Err(CutOff),
        }
    }

    /// How many bytes may be sent, and with which PPID: waits for credit where the peer gives any.
    async fn allowance(&self) -> (usize, Ppid) {
        if self.knows_control() {
            self.until(|state| state.credit > 0).await;
            return (self.state.borrow().credit.min(CHUNK), DATA);
        }
        (CHUNK, self.state.borrow().peer.unwrap_or(DATA))
    }

    async fn outgoing(
        &self,
        mut reader: impl AsyncRead + Unpin,
        framing: Framing,
    ) -> Result<(), CutOff> {
        let by_line = framing == Framing::Lines && !self.knows_control();
        let mut buffer = BytesMut::new();
        loop {
            let (most, ppid) = self.allowance().await;
            buffer.reserve(CHUNK);
            let most = u64::try_from(most).unwrap_or(u64::MAX);
            let read = (&mut reader).take(most).read_buf(&mut buffer).await;
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|_| CutOff)?,
            };
            if self.knows_control() {
                self.state.send_modify(|state| state.credit -= read);
            }
            let ended = read == 0;
            while let Some(message) = split(&mut buffer, by_line && !ended) {
                self.send(ppid, message).await?;
            }
            if ended {
                break;
            }
        }
        if self.knows_control() {
            self.send(CONTROL, Control::End.encode()).await?;
            self.state.send_modify(|state| state.told_end = true);
        } else {
            self.hang_up().await;
        }
        Ok(())
    }

    async fn incoming(&self, mut writer: impl Outlet) -> io::Result<()> {
        let mut passed = 0;
        loop {
            tokio::select! {
                biased;
                () = self.until(|it| !it.received.is_empty() || it.ended || it.closed) => {}
                () = writer.lost() => return Ok(()),
            }
            let mut received = BytesMut::new();
            self.state
                .send_modify(|state| received = state.received.split());
            if received.is_empty() {
                return writer.shutdown().await;
            }
            while received.has_remaining() {
                passed += writer.write_buf(&mut received).await?;
                if passed >= CREDIT && self.knows_control() {
                    // A session that has ended needs none.
                    let _ = self.send(CONTROL, credit(passed)).await;
                    passed = 0;
                }
            }
            writer.flush().await?;
        }
    }
}

impl Line<PoolUser> {
    /// Leaves the element for another one.
    pub(crate) async fn fail_over(&self) {
        let id = self.id;
        // An endpoint that has stopped has no sessions.
        let _ = self
            .handle
            .call(move |user, now| user.fail_over(now, id))
            .await;
    }
}

/// The next message of what was read. A line that has not come to its end waits, unless it is as long as a message.
fn split(buffer: &mut BytesMut, by_line: bool) -> Option<Bytes> {
    let whole = buffer.len().min(MAX_MESSAGE_SIZE);
    let end = match by_line {
        false => Some(whole),
        true => {
            let line = buffer[..whole].iter().position(|byte| *byte == b'\n');
            let full = Some(whole).filter(|whole| *whole == MAX_MESSAGE_SIZE);
            line.map(|at| at + 1).or(full)
        }
    };
    let end = end.filter(|end| *end > 0)?;
    Some(buffer.split_to(end).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_messages() {
        let mut buffer = BytesMut::from(&b"one\n\ntwo"[..]);
        assert_eq!(split(&mut buffer, true).as_deref(), Some(&b"one\n"[..]));
        assert_eq!(split(&mut buffer, true).as_deref(), Some(&b"\n"[..]));
        assert_eq!(split(&mut buffer, true), None);
        assert_eq!(split(&mut buffer, false).as_deref(), Some(&b"two"[..]));
        assert_eq!(split(&mut buffer, false), None);
        let mut long = BytesMut::zeroed(MAX_MESSAGE_SIZE + 1);
        let first = split(&mut long, true).map(|message| message.len());
        assert_eq!(
            (first, split(&mut long, true)),
            (Some(MAX_MESSAGE_SIZE), None)
        );
    }
}
