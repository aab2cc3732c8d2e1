//! Tokio's sockets, timers and tasks.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::time::Instant;

use rserpool_driver::{Interest, Runtime, Spawn, TcpStream, UdpSocket, Watched};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The runtime.
///
/// ```
/// use rserpool_tokio::{PoolUser, Tokio};
///
/// // The names of this crate are those of `rserpool_driver` with this runtime.
/// fn same(user: PoolUser) -> rserpool_driver::PoolUser<Tokio> {
///     user
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Tokio {}

impl Runtime for Tokio {
    type Udp = Udp;
    #[cfg(target_os = "linux")]
    type Sctp = sctp::Sctp;
    type Tcp = Tcp;
    type TcpListener = TcpListener;
    type Timer = Sleep;

    fn timer(at: Instant) -> Sleep {
        tokio::time::sleep_until(at.into())
    }
}

impl Spawn for Tokio {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }
}

/// A UDP socket.
#[derive(Debug)]
pub struct Udp(tokio::net::UdpSocket);

impl Watched for Udp {
    async fn ready(&self, interest: Interest) -> io::Result<()> {
        self.0.ready(of(interest)).await.map(|_| ())
    }
}

impl UdpSocket for Udp {
    fn watch(socket: std::net::UdpSocket) -> io::Result<Self> {
        tokio::net::UdpSocket::from_std(socket).map(Self)
    }

    fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_recv_from(buffer)
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_recv(buffer)
    }

    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_send(bytes)
    }

    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.try_send_to(bytes, to)
    }
}

/// A TCP connection.
#[derive(Debug)]
pub struct Tcp(tokio::net::TcpStream);

impl Tcp {
    /// The runtime's own.
    pub fn into_inner(self) -> tokio::net::TcpStream {
        self.0
    }
}

impl TcpStream for Tcp {
    fn watch(stream: std::net::TcpStream) -> io::Result<Self> {
        tokio::net::TcpStream::from_std(stream).map(Self)
    }

    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_write_ready(context))?;
        Poll::Ready(self.0.take_error()?.map_or(Ok(()), Err))
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A TCP socket that is called.
#[derive(Debug)]
pub struct TcpListener(tokio::net::TcpListener);

impl rserpool_driver::TcpListener for TcpListener {
    type Stream = Tcp;

    fn watch(listener: std::net::TcpListener) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(listener).map(Self)
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Tcp, SocketAddr)>> {
        let (stream, remote) = ready!(self.0.poll_accept(context))?;
        Poll::Ready(Ok((Tcp(stream), remote)))
    }
}

fn of(interest: Interest) -> tokio::io::Interest {
    match interest {
        Interest::Readable => tokio::io::Interest::READABLE,
        Interest::Writable => tokio::io::Interest::WRITABLE,
        Interest::Either => tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE,
    }
}

#[cfg(target_os = "linux")]
mod sctp {
    use std::io;

    use rserpool_driver::{Interest, SctpSocket, Watched};
    use rserpool_sctp::Socket;
    use tokio::io::unix::AsyncFd;

    /// A socket of kernel SCTP.
    #[derive(Debug)]
    pub struct Sctp(AsyncFd<Socket>);

    impl Watched for Sctp {
        async fn ready(&self, interest: Interest) -> io::Result<()> {
            self.0.ready(super::of(interest)).await.map(|_| ())
        }
    }

    impl SctpSocket for Sctp {
        fn watch(socket: Socket) -> io::Result<Self> {
            #[expect(
                deprecated,
                reason = "its heir is unsafe, for types whose descriptor changes; this socket owns one as long as it lives"
            )]
            AsyncFd::new(socket).map(Self)
        }

        fn get_ref(&self) -> &Socket {
            self.0.get_ref()
        }

        fn try_io<T>(
            &self,
            interest: Interest,
            io: impl FnOnce(&Socket) -> io::Result<T>,
        ) -> io::Result<T> {
            self.0.try_io(super::of(interest), io)
        }
    }
}
