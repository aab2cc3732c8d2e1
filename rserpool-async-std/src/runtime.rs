//! The sockets and timers of async-io, whose reactor has a thread of its own and serves any executor.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::net::Shutdown;
use std::time::Instant;

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite, future};
use rserpool_driver::{Interest, Runtime, TcpListener, TcpStream, UdpSocket, Watched};

/// The runtime.
///
/// ```
/// use rserpool_async_std::{AsyncIo, PoolUser};
///
/// // The names of this crate are those of `rserpool_driver` with this runtime.
/// fn same(user: PoolUser) -> rserpool_driver::PoolUser<AsyncIo> {
///     user
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub enum AsyncIo {}

impl Runtime for AsyncIo {
    type Udp = Socket<std::net::UdpSocket>;
    #[cfg(target_os = "linux")]
    type Sctp = Socket<rserpool_sctp::Socket>;
    type Tcp = Socket<std::net::TcpStream>;
    type TcpListener = Socket<std::net::TcpListener>;
    type Timer = Timer;

    fn timer(at: Instant) -> Timer {
        Timer(async_io::Timer::at(at))
    }
}

/// A timer.
#[derive(Debug)]
pub struct Timer(async_io::Timer);

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(|_| ())
    }
}

/// A socket that the reactor watches. Nothing remembers that it was not ready: what cannot be done is tried, and fails.
#[derive(Debug)]
pub struct Socket<S>(Async<S>);

impl<S> Socket<S> {
    /// The reactor's own.
    pub fn into_inner(self) -> Async<S> {
        self.0
    }
}

impl<S: Send + Sync + 'static> Watched for Socket<S> {
    async fn ready(&self, interest: Interest) -> io::Result<()> {
        match interest {
            Interest::Readable => self.0.readable().await,
            Interest::Writable => self.0.writable().await,
            Interest::Either => future::or(self.0.readable(), self.0.writable()).await,
        }
    }
}

impl UdpSocket for Socket<std::net::UdpSocket> {
    fn watch(socket: std::net::UdpSocket) -> io::Result<Self> {
        Async::new_nonblocking(socket).map(Self)
    }

    fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.get_ref().recv_from(buffer)
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.get_ref().recv(buffer)
    }

    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_ref().send(bytes)
    }

    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(bytes, to)
    }
}

impl TcpStream for Socket<std::net::TcpStream> {
    fn watch(stream: std::net::TcpStream) -> io::Result<Self> {
        Async::new_nonblocking(stream).map(Self)
    }

    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_writable(context))?;
        Poll::Ready(self.0.get_ref().take_error()?.map_or(Ok(()), Err))
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The reactor's own only flushes.
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}

impl TcpListener for Socket<std::net::TcpListener> {
    type Stream = Socket<std::net::TcpStream>;

    fn watch(listener: std::net::TcpListener) -> io::Result<Self> {
        Async::new_nonblocking(listener).map(Self)
    }

    fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        loop {
            match self.0.get_ref().accept() {
                Ok((stream, remote)) => {
                    return Poll::Ready(Async::new(stream).map(|stream| (Socket(stream), remote)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl rserpool_driver::SctpSocket for Socket<rserpool_sctp::Socket> {
    fn watch(socket: rserpool_sctp::Socket) -> io::Result<Self> {
        Async::new_nonblocking(socket).map(Self)
    }

    fn get_ref(&self) -> &rserpool_sctp::Socket {
        self.0.get_ref()
    }

    fn try_io<T>(
        &self,
        _: Interest,
        io: impl FnOnce(&rserpool_sctp::Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        io(self.0.get_ref())
    }
}
