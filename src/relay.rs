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

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rserpool_core::element::PoolElement;
use rserpool_core::user::{PoolUser, SessionId};
use rserpool_core::{AssocId, Machine, Ppid};
use rserpool_tokio::{Handle, MAX_MESSAGE_SIZE};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, tcp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

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

/// What the two ends say to each other beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    End,
    Credit(u32),
}

impl Control {
    fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(5);
        match self {
            Self::End => bytes.put_u8(0),
            Self::Credit(more) => {
                bytes.put_u8(1);
                bytes.put_u32(more);
            }
        }
        bytes.freeze()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [0] => Some(Self::End),
            [1, a, b, c, d] => Some(Self::Credit(u32::from_be_bytes([a, b, c, d]))),
            _ => None,
        }
    }
}

/// The user's first message: it can take a whole window.
pub(crate) fn greeting() -> Bytes {
    credit(WINDOW)
}

fn credit(more: usize) -> Bytes {
    Control::Credit(u32::try_from(more).unwrap_or(u32::MAX)).encode()
}

/// What has come from the peer.
#[derive(Debug, Default)]
struct State {
    /// The PPID of its first message. [`CONTROL`]: it knows of end and credit.
    peer: Option<Ppid>,
    /// What was not passed on yet.
    received: BytesMut,
    /// How much may be sent.
    credit: usize,
    /// Whether it has said that nothing more comes, and whether it was told so.
    ended: bool,
    told_end: bool,
    /// Since when an element has known of this user without being ready.
    asked: Option<Instant>,
    /// Whether the session is gone.
    closed: bool,
}

impl State {
    fn knows_control(&self) -> bool {
        self.peer == Some(CONTROL)
    }

    /// Whether the session ended in the middle of something. Who cannot say the end just closes it.
    fn is_cut_off(&self) -> bool {
        self.closed && self.knows_control() && !self.ended
    }
}

/// Why a session has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// More than was allowed, or after the end.
    TooMuch,
    /// Too much waits to be passed on, for [`Inlet::PATIENCE`], and others wait for it.
    Stuck,
}

/// Where the events of a session go in; one end of a [`Line`].
#[derive(Clone, Debug)]
pub(crate) struct Inlet(Arc<watch::Sender<State>>);

impl Inlet {
    /// How long the other sessions wait for a peer that knows of no credit, and for the end of the program: one after the other.
    const PATIENCE: Duration = Duration::from_millis(250);

    /// Takes a message; waits for room where the peer cannot know how much there is.
    pub(crate) async fn take(&self, ppid: Ppid, bytes: &Bytes) -> Result<(), Breach> {
        let mut result = Ok(());
        self.0.send_modify(|state| {
            state.peer.get_or_insert(ppid);
            result = match Control::decode(bytes).filter(|_| ppid == CONTROL) {
                Some(Control::End) => {
                    state.ended = true;
                    Ok(())
                }
                Some(Control::Credit(more)) => {
                    let more = usize::try_from(more).unwrap_or(usize::MAX);
                    state.credit = state.credit.saturating_add(more).min(WINDOW);
                    Ok(())
                }
                // Of a later version, perhaps.
                None if ppid == CONTROL || state.closed => Ok(()),
                None if state.ended => Err(Breach::TooMuch),
                None if state.knows_control() && state.received.len() + bytes.len() > WINDOW => {
                    Err(Breach::TooMuch)
                }
                None => {
                    state.received.extend_from_slice(bytes);
                    Ok(())
                }
            };
        });
        result?;
        let mut changes = self.0.subscribe();
        let room = changes.wait_for(|state| state.closed || state.received.len() <= PLAIN_WINDOW);
        match timeout(Self::PATIENCE, room).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Breach::Stuck),
        }
    }

    /// The session is gone.
    pub(crate) fn close(&self) {
        self.0.send_modify(|state| state.closed = true);
    }

    /// An element has been told of this user, and is to say that it is ready; or that element is gone.
    pub(crate) fn asked(&self, element: bool) {
        let since = element.then(Instant::now);
        self.0.send_modify(|state| state.asked = since);
    }

    /// Whether the other side is ready, and may have got something.
    pub(crate) fn is_accepted(&self) -> bool {
        self.0.borrow().peer.is_some()
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
    /// A server that has closed the connection is noticed after [`Line::IDLE`] and the time that its system remembers it.
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
    /// After how much silence a TCP peer is asked whether it is still there: who vanishes must not keep a place for ever.
    const IDLE: Duration = Duration::from_secs(60);

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

    /// The same for a TCP connection, once the other side is `ready`. One that was cut off, this program's end included, is reset,
    /// so that nobody takes what has come for all there is.
    pub(crate) async fn carry_tcp(
        &self,
        mut stream: TcpStream,
        ready: impl Future<Output = Result<(), CutOff>>,
    ) {
        let linger = |stream: &TcpStream, time| SockRef::from(stream).set_linger(time);
        // A connection that is gone already needs none of this.
        let _ = linger(&stream, Some(Duration::ZERO));
        let idle = TcpKeepalive::new().with_time(Self::IDLE);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&idle);
        // A reset; an end may be that of one half only.
        let ready = tokio::select! {
            biased;
            ready = ready => ready,
            _ = stream.ready(Interest::ERROR) => Err(CutOff),
        };
        let (reader, writer) = stream.split();
        let carried = match ready {
            Ok(()) => self.carry(reader, writer, Framing::Chunks).await,
            cut_off => cut_off,
        };
        if carried.is_ok() {
            let _ = linger(&stream, None);
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
    fn what_is_said_beside_the_bytes() {
        for control in [Control::End, Control::Credit(0), Control::Credit(u32::MAX)] {
            assert_eq!(Control::decode(&control.encode()), Some(control));
        }
        for bytes in [&b""[..], b"\x00\x00", b"\x01\0\0\0", b"\x02"] {
            assert_eq!(Control::decode(bytes), None);
        }
    }

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

    #[tokio::test]
    async fn a_peer_is_held_to_its_credit_and_to_its_end() {
        let inlet = || Inlet(Arc::new(watch::Sender::new(State::default())));
        let window = Bytes::from(vec![0; WINDOW]);
        let more = Bytes::from_static(b"x");
        let over = inlet();
        assert_eq!(over.take(CONTROL, &greeting()).await, Ok(()));
        assert_eq!(over.take(DATA, &window).await, Ok(()));
        assert_eq!(over.take(DATA, &more).await, Err(Breach::TooMuch));
        let ended = inlet();
        assert_eq!(ended.take(CONTROL, &Control::End.encode()).await, Ok(()));
        assert_eq!(ended.take(DATA, &more).await, Err(Breach::TooMuch));
    }

    #[tokio::test]
    async fn credit_has_a_bound() {
        let inlet = Inlet(Arc::new(watch::Sender::new(State::default())));
        for _ in 0..2 {
            let all = Control::Credit(u32::MAX).encode();
            assert_eq!(inlet.take(CONTROL, &all).await, Ok(()));
            assert_eq!(inlet.0.borrow().credit, WINDOW);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_without_credit_is_waited_for_within_bounds() {
        let inlet = Inlet(Arc::new(watch::Sender::new(State::default())));
        let window = Bytes::from(vec![0; PLAIN_WINDOW]);
        assert_eq!(inlet.take(DATA, &window).await, Ok(()));
        let more = Bytes::from_static(b"x");
        let start = Instant::now();
        assert_eq!(inlet.take(DATA, &more).await, Err(Breach::Stuck));
        // Nobody else is heard meanwhile.
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
