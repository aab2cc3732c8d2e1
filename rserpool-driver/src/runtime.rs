//! What a driver needs of a runtime: to know when a socket is ready, and when it is time.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

/// A runtime. The implementing type is a name only; it has no values.
///
/// ```
/// use rserpool_driver::Runtime;
/// use rserpool_tokio::Tokio;
/// use std::time::{Duration, Instant};
///
/// /// Tokio for devices that shall sleep: timers may end 20 ms late.
/// enum Sleepy {}
///
/// impl Runtime for Sleepy {
///     type Udp = <Tokio as Runtime>::Udp;
///     #[cfg(target_os = "linux")]
///     type Sctp = <Tokio as Runtime>::Sctp;
///     type Tcp = <Tokio as Runtime>::Tcp;
///     type TcpListener = <Tokio as Runtime>::TcpListener;
///     type Timer = <Tokio as Runtime>::Timer;
///
///     fn timer(at: Instant) -> Self::Timer {
///         Tokio::timer(at + Duration::from_millis(20))
///     }
/// }
/// ```
pub trait Runtime: 'static {
    /// A UDP socket that it watches.
    type Udp: UdpSocket;
    /// A socket of kernel SCTP that it watches.
    #[cfg(target_os = "linux")]
    type Sctp: SctpSocket;
    /// A TCP connection that it watches.
    type Tcp: TcpStream;
    /// A TCP socket that is called, and that it watches.
    type TcpListener: TcpListener<Stream = Self::Tcp>;
    /// A future that ends at an instant, or soon after.
    type Timer: Future<Output = ()> + Send;

    /// A timer that ends at `at`, at once if that is in the past.
    fn timer(at: Instant) -> Self::Timer;
}

/// A runtime that has tasks of its own.
///
/// ```
/// # use rserpool_driver::Runtime;
/// # use rserpool_tokio::Tokio;
/// # use std::time::Instant;
/// # enum Second {}
/// # impl Runtime for Second {
/// #     type Udp = <Tokio as Runtime>::Udp;
/// #     #[cfg(target_os = "linux")]
/// #     type Sctp = <Tokio as Runtime>::Sctp;
/// #     type Tcp = <Tokio as Runtime>::Tcp;
/// #     type TcpListener = <Tokio as Runtime>::TcpListener;
/// #     type Timer = <Tokio as Runtime>::Timer;
/// #     fn timer(at: Instant) -> Self::Timer {
/// #         Tokio::timer(at)
/// #     }
/// # }
/// use rserpool_driver::Spawn;
/// use std::sync::OnceLock;
///
/// /// The runtime for endpoints, apart from that for requests.
/// static ENDPOINTS: OnceLock<tokio::runtime::Handle> = OnceLock::new();
///
/// impl Spawn for Second {
///     fn spawn(future: impl Future<Output = ()> + Send + 'static) {
///         ENDPOINTS.get().expect("set in main").spawn(future);
///     }
/// }
/// ```
pub trait Spawn: Runtime {
    /// Runs the future in a task.
    fn spawn(future: impl Future<Output = ()> + Send + 'static);
}

/// What to wait for.
///
/// ```
/// use rserpool_driver::Interest;
/// use tokio::io::Interest as Tokio;
///
/// fn of(interest: Interest) -> Tokio {
///     match interest {
///         Interest::Readable => Tokio::READABLE,
///         Interest::Writable => Tokio::WRITABLE,
///         Interest::Either => Tokio::READABLE | Tokio::WRITABLE,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// That there is something to receive.
    Readable,
    /// That there is room to send.
    Writable,
    /// One of both.
    Either,
}

impl Interest {
    /// `None` where there is nothing to wait for.
    pub(crate) fn of(readable: bool, writable: bool) -> Option<Self> {
        match (readable, writable) {
            (true, true) => Some(Self::Either),
            (true, false) => Some(Self::Readable),
            (false, true) => Some(Self::Writable),
            (false, false) => None,
        }
    }
}

/// A socket that a runtime watches.
///
/// ```
/// use rserpool_driver::{Interest, Watched};
/// use std::io;
///
/// /// Tries until it would not block.
/// async fn until_done<S: Watched, T>(
///     socket: &S,
///     interest: Interest,
///     attempt: impl Fn(&S) -> io::Result<T>,
/// ) -> io::Result<T> {
///     loop {
///         match attempt(socket) {
///             Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.ready(interest).await?,
///             result => return result,
///         }
///     }
/// }
/// ```
pub trait Watched: Send + Sync + 'static {
    /// Waits until the socket is ready, or seems so: what is tried then may still fail with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock). Dropping the future loses nothing. An error ends the endpoint.
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<()>> + Send;
}

/// A UDP socket. No call blocks: [`WouldBlock`](io::ErrorKind::WouldBlock) says that one would.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_driver::{Interest, Runtime, UdpSocket, Watched};
/// use rserpool_tokio::Tokio;
///
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// socket.set_nonblocking(true)?;
/// let own = socket.local_addr()?;
/// let socket = <Tokio as Runtime>::Udp::watch(socket)?;
/// socket.ready(Interest::Writable).await?;
/// socket.try_send_to(b"hello", own)?;
/// socket.ready(Interest::Readable).await?;
/// assert_eq!(socket.try_recv_from(&mut [0; 8])?, (5, own));
/// # Ok(()) }
/// ```
pub trait UdpSocket: Watched + Sized {
    /// Watches the socket, which is non-blocking already.
    fn watch(socket: std::net::UdpSocket) -> io::Result<Self>;

    /// Receives a datagram; says how long it is, and where it comes from.
    fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Receives a datagram on a socket that is connected; says how long it is.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends a datagram on a socket that is connected.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Sends a datagram.
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;
}

/// A socket of kernel SCTP.
///
/// ```
/// use rserpool_driver::{Interest, SctpSocket};
/// use std::io;
///
/// /// Leaves the socket ready where there is more.
/// async fn once<S: SctpSocket, T>(
///     socket: &S,
///     receive: impl Fn(&rserpool_sctp::Socket) -> io::Result<T>,
/// ) -> io::Result<T> {
///     socket.ready(Interest::Readable).await?;
///     socket.try_io(Interest::Readable, receive)
/// }
/// ```
#[cfg(target_os = "linux")]
pub trait SctpSocket: Watched + Sized {
    /// Watches the socket, which is non-blocking already.
    fn watch(socket: rserpool_sctp::Socket) -> io::Result<Self>;

    /// The socket, for what does not depend on its being ready.
    fn get_ref(&self) -> &rserpool_sctp::Socket;

    /// Tries what depends on it; [`WouldBlock`](io::ErrorKind::WouldBlock) tells the runtime that it is not. One that knows this
    /// already need not try.
    fn try_io<T>(
        &self,
        interest: Interest,
        io: impl FnOnce(&rserpool_sctp::Socket) -> io::Result<T>,
    ) -> io::Result<T>;
}

/// A TCP connection. Where something has to be waited for, the task of the context is woken; each direction remembers one task.
///
/// ```
/// use core::future::poll_fn;
/// use rserpool_driver::TcpStream;
///
/// async fn write_all<S: TcpStream>(stream: &mut S, mut bytes: &[u8]) -> std::io::Result<()> {
///     while !bytes.is_empty() {
///         let written = poll_fn(|context| stream.poll_write(context, bytes)).await?;
///         bytes = &bytes[written..];
///     }
///     Ok(())
/// }
/// ```
pub trait TcpStream: Sized + Send + Sync + 'static {
    /// Watches the connection, which is non-blocking already, and may be on its way.
    fn watch(stream: std::net::TcpStream) -> io::Result<Self>;

    /// Waits until the connection is up, or has failed.
    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads; 0 bytes are the end.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>;

    /// Writes a part of the bytes, or all.
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Says that there is no more to write.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A TCP socket that is called.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
/// use core::future::poll_fn;
/// use rserpool_driver::{Runtime, TcpListener, connect_tcp};
/// use rserpool_tokio::Tokio;
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// let own = listener.local_addr()?;
/// let listener = <Tokio as Runtime>::TcpListener::watch(listener)?;
/// let caller = connect_tcp::<Tokio>(own).await?.into_inner();
/// let (_, remote) = poll_fn(|context| listener.poll_accept(context)).await?;
/// assert_eq!(remote, caller.local_addr()?);
/// # Ok(()) }
/// ```
pub trait TcpListener: Sized + Send + Sync + 'static {
    /// What it accepts.
    type Stream: TcpStream;

    /// Watches the socket, which is non-blocking already.
    fn watch(listener: std::net::TcpListener) -> io::Result<Self>;

    /// Accepts a connection; says who it is.
    fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}

/// The one timer of an endpoint.
pub(crate) struct Alarm<R: Runtime> {
    set: Option<(Instant, Pin<Box<R::Timer>>)>,
}

impl<R: Runtime> Alarm<R> {
    pub(crate) fn new() -> Self {
        Self { set: None }
    }

    /// Waits until the deadline, at most. Deadlines move back with every message, and a timer that wakes too early once costs
    /// less than to set it each time.
    pub(crate) async fn wait(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return core::future::pending().await;
        };
        if self.set.as_ref().is_none_or(|(at, _)| *at > deadline) {
            self.set = Some((deadline, Box::pin(R::timer(deadline))));
        }
        if let Some((_, timer)) = &mut self.set {
            timer.await;
            self.set = None;
        }
    }
}
