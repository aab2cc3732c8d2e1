//! What comes from the peer of a session: its bytes, and what it says beside them.

use alloc::sync::Arc;
use core::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rserpool_core::Ppid;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{CONTROL, PLAIN_WINDOW, WINDOW};

/// What the two ends say to each other beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    End,
    Credit(u32),
}

impl Control {
    pub(super) fn encode(self) -> Bytes {
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

pub(super) fn credit(more: usize) -> Bytes {
    Control::Credit(u32::try_from(more).unwrap_or(u32::MAX)).encode()
}

/// What has come from the peer.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The PPID of its first message. [`CONTROL`]: it knows of end and credit.
    pub(super) peer: Option<Ppid>,
    /// What was not passed on yet.
    pub(super) received: BytesMut,
    /// How much may be sent.
    pub(super) credit: usize,
    /// Whether it has said that nothing more comes, and whether it was told so.
    pub(super) ended: bool,
    pub(super) told_end: bool,
    /// Since when an element has known of this user without being ready.
    pub(super) asked: Option<Instant>,
    /// Whether the session is gone.
    pub(super) closed: bool,
}

impl State {
    pub(super) fn knows_control(&self) -> bool {
        self.peer == Some(CONTROL)
    }

    /// Whether the session ended in the middle of something. Who cannot say the end just closes it.
    pub(super) fn is_cut_off(&self) -> bool {
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

/// Where the events of a session go in; one end of a [`Line`](super::Line).
#[derive(Clone, Debug)]
pub(crate) struct Inlet(pub(super) Arc<watch::Sender<State>>);

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

#[cfg(test)]
mod tests {
    use super::super::DATA;
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
