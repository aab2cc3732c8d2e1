//! A byte stream with a pool.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use rserpool_core::PeId;
use tokio::io::ReadBuf;

use super::Ended;
use super::external::External;
use super::session::Session;
use crate::{Runtime, TcpStream, connect_tcp};

/// A connection with an element of a pool over TCP: `AsyncRead` and `AsyncWrite`, of tokio as well as of futures.
///
/// Until it is connected, and in [`reconnect`](Self::reconnect), an element that cannot be reached is reported, and the next one
/// tried (RFC 5352 §3.5). Nobody but the application knows where in its stream another element could go on: so the failure of a
/// connection is an error of reading or writing, reported at once, after which `reconnect` begins a new stream with another
/// element. What had been written and not answered may be lost. The end of what an element says is no error.
///
/// ```no_run
/// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let mut stream = user.connect_tcp("WebPool").await?;
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let mut page = String::new();
/// while let Err(error) = stream.read_to_string(&mut page).await {
///     println!("{error}: once more, with another element");
///     page.clear();
///     stream.reconnect().await?;
///     stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// }
/// # Ok(()) }
/// ```
pub struct TcpSession<R: Runtime>(External<R::Tcp>);

impl<R: Runtime> TcpSession<R> {
    /// Waits until the session has its first element.
    pub(super) async fn connect(session: Session) -> Result<Self, Ended> {
        let mut external = External::new(session);
        external.attach::<R, _>(connect_tcp::<R>).await?;
        Ok(Self(external))
    }

    /// The element that it is connected to; `None` after the connection has failed.
    ///
    /// ```no_run
    /// # async fn example(stream: rserpool_tokio::TcpSession) -> Result<(), Box<dyn core::error::Error>> {
    /// match stream.element() {
    ///     Some(element) => println!("with {element}"),
    ///     None => println!("reconnect before you read or write"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn element(&self) -> Option<PeId> {
        self.0.element()
    }

    /// Begins a new stream, with another element where one can be reached. It fails after `failover_timeout` (1 minute) of looking
    /// for one. A future that is dropped leaves the session without a connection; call it again.
    ///
    /// ```no_run
    /// # async fn example(mut stream: rserpool_tokio::TcpSession, from: u64) -> Result<(), Box<dyn core::error::Error>> {
    /// use tokio::io::AsyncWriteExt;
    ///
    /// // The application knows where in the stream it was, and can say so to another element.
    /// stream.reconnect().await?;
    /// stream.write_all(format!("SKIP {from}\r\n").as_bytes()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn reconnect(&mut self) -> Result<(), Ended> {
        self.0.leave().await?;
        self.0.attach::<R, _>(connect_tcp::<R>).await
    }

    fn settle<T>(&mut self, result: io::Result<T>) -> Poll<io::Result<T>> {
        if result.is_err() {
            self.0.lose();
        }
        Poll::Ready(result)
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let link = self.0.link()?;
        let result = ready!(link.socket.poll_read(context, buffer));
        match result {
            Ok(0) => link.ended |= !buffer.is_empty(),
            Ok(_) => link.heard = true,
            Err(_) => {}
        }
        self.settle(result)
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(self.0.link()?.socket.poll_write(context, bytes));
        self.settle(result)
    }

    fn shut_down(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.0.link()?.socket.poll_shutdown(context));
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
            .field(&self.0.session.id())
            .finish()
    }
}
