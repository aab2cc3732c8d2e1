//! The sockets and timers of async-io, whose reactor has a thread of its own and serves any executor.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use async_io::Async;
use futures_lite::future;
use rserpool_driver::{Interest, Runtime, UdpSocket, Watched};

/// The runtime.
#[derive(Clone, Copy, Debug)]
pub enum AsyncIo {}

impl Runtime for AsyncIo {
    type Udp = Socket<std::net::UdpSocket>;
    #[cfg(target_os = "linux")]
    type Sctp = Socket<rserpool_sctp::Socket>;
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

    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(bytes, to)
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
