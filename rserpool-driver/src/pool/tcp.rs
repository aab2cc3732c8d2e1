//! A byte stream with a pool: the machine selects elements, reports and fails over, and the connections are made here.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::Mutex;

use rserpool_core::user::{PoolUser as Machine, SessionId};
use rserpool_core::wire::Transport;
use rserpool_core::{End, Instant, PeId};
use tokio::io::ReadBuf;

use super::session::{Session, SessionEvent};
use super::{Ended, lock};
use crate::{Runtime, TcpStream, connect_tcp};

/// A connection with an element of a pool over TCP: `AsyncRead` and `AsyncWrite`, of tokio as well as of futures.
///
/// Until it is connected, and in [`reconnect`](Self::reconnect), an element that cannot be reached is reported, and the next one
/// tried (RFC 5352 §3.5). Nobody but the application knows where in its stream another element could go on: so the failure of a
/// connection is an error of reading or writing, reported at once, after which `reconnect` begins a new stream with another
/// element. What had been written and not answered may be lost. The end of what an element says is no error.
pub struct TcpSession<R: Runtime> {
    session: Session,
    /// The element to connect to.
    selected: Option<(PeId, SocketAddr)>,
    link: Option<Link<R::Tcp>>,
    /// The end of the last connection, as long as the machine does not know of it.
    lost: Arc<Mutex<Option<Lost>>>,
}

struct Link<S> {
    stream: S,
    element: PeId,
    /// Whether the element has said anything, and whether it has said that there is no more.
    heard: bool,
    ended: bool,
}

struct Lost {
    element: PeId,
    end: End,
    heard: bool,
}

/// Tells the machine of the end of a connection, unless that was done.
fn tell(user: &mut Machine, now: Instant, session: SessionId, lost: &Mutex<Option<Lost>>) {
    if let Some(lost) = lock(lost).take() {
        user.end_connection(now, session, lost.element, lost.end, lost.heard);
    }
}

impl<R: Runtime> TcpSession<R> {
    /// Waits until the session has its first element.
    pub(super) async fn connect(session: Session) -> Result<Self, Ended> {
        let mut session = Self {
            session,
            selected: None,
            link: None,
            lost: Arc::default(),
        };
        session.attach().await?;
        Ok(session)
    }

    /// The element that it is connected to; `None` after the connection has failed.
    pub fn element(&self) -> Option<PeId> {
        self.link.as_ref().map(|link| link.element)
    }

    /// Begins a new stream, with another element where one can be reached. It fails after `failover_timeout` (1 minute) of looking
    /// for one. A future that is dropped leaves the session without a connection; call it again.
    pub async fn reconnect(&mut self) -> Result<(), Ended> {
        if self.link.as_ref().is_some_and(|link| link.ended) {
            self.lose(End::Closed);
        }
        self.link = None;
        let (id, lost) = (self.session.id(), self.lost.clone());
        let leave = move |user: &mut Machine, now| {
            tell(user, now, id, &lost);
            user.fail_over(now, id);
        };
        self.session.call(leave).await?;
        self.attach().await
    }

    /// Connects to whatever element is selected, until one answers.
    async fn attach(&mut self) -> Result<(), Ended> {
        loop {
            let selected = self.selected;
            let attempt = async {
                match selected {
                    Some((element, remote)) => (element, connect_tcp::<R>(remote).await),
                    None => core::future::pending().await,
                }
            };
            let (element, result) = tokio::select! {
                event = self.session.next() => {
                    if let SessionEvent::Selected { element, transport } = event? {
                        self.selected = match transport.as_transport() {
                            Transport::Tcp { port, address, .. } => {
                                Some((element, SocketAddr::new(address, port)))
                            }
                            _ => None,
                        };
                    }
                    continue;
                }
                attempt = attempt => attempt,
            };
            self.selected = None;
            match result {
                Ok(stream) if self.session.confirm_connection(element).await? => {
                    self.link = Some(Link {
                        stream,
                        element,
                        heard: false,
                        ended: false,
                    });
                    return Ok(());
                }
                // The machine has another one in mind.
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%element, %error, "cannot connect");
                    let end = End::Lost;
                    self.session.end_connection(element, end, false).await?;
                }
            }
        }
    }

    /// The connection is no more.
    fn lose(&mut self, end: End) {
        let Some(link) = self.link.take() else {
            return;
        };
        *lock(&self.lost) = Some(Lost {
            element: link.element,
            end: if link.ended { End::Closed } else { end },
            heard: link.heard,
        });
        let (id, lost) = (self.session.id(), self.lost.clone());
        self.session
            .leave_behind(move |user, now| tell(user, now, id, &lost));
    }

    fn stream(&mut self) -> io::Result<&mut Link<R::Tcp>> {
        self.link
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn settle<T>(&mut self, result: io::Result<T>) -> Poll<io::Result<T>> {
        if result.is_err() {
            self.lose(End::Lost);
        }
        Poll::Ready(result)
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let link = self.stream()?;
        let result = ready!(link.stream.poll_read(context, buffer));
        match result {
            Ok(0) => link.ended |= !buffer.is_empty(),
            Ok(_) => link.heard = true,
            Err(_) => {}
        }
        self.settle(result)
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(self.stream()?.stream.poll_write(context, bytes));
        self.settle(result)
    }

    fn shut_down(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.stream()?.stream.poll_shutdown(context));
        self.settle(result)
    }
}

/// Nothing of it is pinned.
impl<R: Runtime> Unpin for TcpSession<R> {}

impl<R: Runtime> tokio::io::AsyncRead for TcpSession<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = ready!(self.read(context, buffer.initialize_unfilled()))?;
        buffer.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<R: Runtime> tokio::io::AsyncWrite for TcpSession<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down(context)
    }
}

impl<R: Runtime> futures_io::AsyncRead for TcpSession<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read(context, buffer)
    }
}

impl<R: Runtime> futures_io::AsyncWrite for TcpSession<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down(context)
    }
}

impl<R: Runtime> fmt::Debug for TcpSession<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpSession")
            .field(&self.session.id())
            .finish()
    }
}
