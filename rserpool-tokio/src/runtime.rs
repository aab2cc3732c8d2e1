//! Tokio's sockets, timers and tasks.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::time::Instant;

use rserpool_driver::{Interest, Runtime, Spawn, TcpStream};
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
    type Udp = udp::Udp;
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

#[cfg(unix)]
mod udp {
    use core::future::poll_fn;
    use core::net::SocketAddr;
    use core::pin::pin;
    use core::task::Poll;
    use core::time::Duration;
    use std::io;

    use rserpool_driver::{Interest, UdpSocket, Watched};
    use tokio::io::unix::AsyncFd;

    /// A UDP socket. It is watched for what comes, and for room to send only while that is waited for: else each datagram that
    /// has left would wake up the thread.
    #[derive(Debug)]
    pub struct Udp(AsyncFd<std::net::UdpSocket>);

    impl Udp {
        /// Waits for room by a second watch of the socket, or for something to come. Where the process has no descriptor left for
        /// the second one, it is time to try again soon.
        async fn room(
            &self,
            interest: Interest,
            room: io::Result<AsyncFd<std::net::UdpSocket>>,
        ) -> io::Result<()> {
            const SOON: Duration = Duration::from_millis(10);
            let mut soon = pin!(tokio::time::sleep(SOON));
            poll_fn(|context| {
                if interest == Interest::Either
                    && let Poll::Ready(readable) = self.0.poll_read_ready(context)
                {
                    return Poll::Ready(readable.map(|_| ()));
                }
                match &room {
                    Ok(room) => room.poll_write_ready(context).map_ok(|_| ()),
                    Err(_) => soon.as_mut().poll(context).map(Ok),
                }
            })
            .await
        }
    }

    impl Watched for Udp {
        async fn ready(&self, interest: Interest) -> io::Result<()> {
            if interest == Interest::Readable {
                return self.0.readable().await.map(|_| ());
            }
            let room = self.0.get_ref().try_clone();
            let room = room.and_then(|socket| watched(socket, Interest::Writable));
            self.room(interest, room).await
        }
    }

    impl UdpSocket for Udp {
        fn watch(socket: std::net::UdpSocket) -> io::Result<Self> {
            watched(socket, Interest::Readable).map(Self)
        }

        fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            let readable = tokio::io::Interest::READABLE;
            self.0.try_io(readable, |socket| socket.recv_from(buffer))
        }

        fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
            let readable = tokio::io::Interest::READABLE;
            self.0.try_io(readable, |socket| socket.recv(buffer))
        }

        fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.get_ref().send(bytes)
        }

        fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
            self.0.get_ref().send_to(bytes, to)
        }
    }

    fn watched(
        socket: std::net::UdpSocket,
        interest: Interest,
    ) -> io::Result<AsyncFd<std::net::UdpSocket>> {
        #[expect(
            deprecated,
            reason = "its heir is unsafe, for types whose descriptor changes; this socket owns one as long as it lives"
        )]
        AsyncFd::with_interest(socket, super::of(interest))
    }

    #[cfg(test)]
    mod tests {
        use futures_lite::future::poll_once;

        use super::*;

        #[tokio::test]
        async fn a_socket_is_ready_for_what_it_is_watched_for() {
            let [one, other] = [(); 2].map(|()| {
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
                socket.set_nonblocking(true).expect("a socket");
                let address = socket.local_addr().expect("bound");
                (Udp::watch(socket).expect("a runtime"), address)
            });
            for interest in [Interest::Writable, Interest::Either] {
                one.0.ready(interest).await.expect("there is room");
            }
            let none_left = Err(io::ErrorKind::Other.into());
            let soon = one.0.room(Interest::Either, none_left).await;
            soon.expect("another attempt");
            assert!(poll_once(one.0.ready(Interest::Readable)).await.is_none());
            let mut buffer = [0; 2];
            for interest in [Interest::Readable, Interest::Either] {
                other.0.try_send_to(b"x", one.1).expect("there is room");
                one.0.ready(interest).await.expect("it is there");
                if interest == Interest::Readable {
                    let received = one.0.try_recv_from(&mut buffer);
                    assert_eq!(received.expect("it is there"), (1, other.1));
                    let error = one.0.try_recv_from(&mut buffer).expect_err("no more");
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod udp {
    use core::net::SocketAddr;
    use std::io;

    use rserpool_driver::{Interest, UdpSocket, Watched};

    /// A UDP socket.
    #[derive(Debug)]
    pub struct Udp(tokio::net::UdpSocket);

    impl Watched for Udp {
        async fn ready(&self, interest: Interest) -> io::Result<()> {
            self.0.ready(super::of(interest)).await.map(|_| ())
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
