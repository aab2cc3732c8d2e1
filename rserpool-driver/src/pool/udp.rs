//! Datagrams with a pool.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

use rserpool_core::PeId;

use super::Ended;
use super::external::External;
use super::session::Session;
use crate::{Interest, Runtime, UdpSocket, Watched};

/// Datagrams to and from an element of a pool over UDP.
///
/// Nothing says that an element is there, or has got a datagram. Where its host says that nobody is there, that is an error of
/// sending or receiving; the element is reported (RFC 5352 §3.5), and [`reconnect`](Self::reconnect) goes on with another one. An
/// element that does not answer is the application's to notice: then it calls `reconnect`, too.
///
/// ```no_run
/// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
/// use core::time::Duration;
/// use tokio::time::timeout;
///
/// let mut session = user.connect_udp("TimePool").await?;
/// let mut answer = [0; 1024];
/// let length = loop {
///     let sent = session.send(b"what time is it?").await;
///     let received = timeout(Duration::from_secs(1), session.recv(&mut answer)).await;
///     if let (Ok(()), Ok(Ok(length))) = (sent, received) {
///         break length;
///     }
///     session.reconnect().await?;
/// };
/// println!("{:?}", &answer[..length]);
/// # Ok(()) }
/// ```
pub struct UdpSession<R: Runtime>(External<R::Udp>);

impl<R: Runtime> UdpSession<R> {
    /// Waits until the session has its first element.
    pub(super) async fn connect(session: Session) -> Result<Self, Ended> {
        let mut external = External::new(session);
        external.attach::<R, _>(open::<R>).await?;
        Ok(Self(external))
    }

    /// The element that it is with; `None` after an error.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::UdpSession) -> Result<(), Box<dyn core::error::Error>> {
    /// if session.element().is_none() {
    ///     println!("nobody is there: reconnect");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn element(&self) -> Option<PeId> {
        self.0.element()
    }

    /// Goes on with another element where there is one. It fails after `failover_timeout` (1 minute) of looking for one. A future
    /// that is dropped leaves the session without an element; call it again.
    ///
    /// ```no_run
    /// # async fn example(mut session: rserpool_tokio::UdpSession) -> Result<(), Box<dyn core::error::Error>> {
    /// let silent = session.element();
    /// session.reconnect().await?;
    /// if session.element() == silent {
    ///     println!("the pool has nobody else");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn reconnect(&mut self) -> Result<(), Ended> {
        self.0.leave().await?;
        self.0.attach::<R, _>(open::<R>).await
    }

    /// Sends a datagram; one that is too long (65,507 bytes is the most over IPv4) is an error, and the element stays. After an
    /// error that says that nobody is there, it is [`NotConnected`](io::ErrorKind::NotConnected) until
    /// [`reconnect`](Self::reconnect).
    ///
    /// ```no_run
    /// # async fn example(mut session: rserpool_tokio::UdpSession, sample: [u8; 8]) -> Result<(), Box<dyn core::error::Error>> {
    /// // A sample that is lost is not missed; where nobody is there, another element gets the next one.
    /// if session.send(&sample).await.is_err() {
    ///     session.reconnect().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        loop {
            let socket = &self.0.link()?.socket;
            match socket.try_send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.ready(Interest::Writable).await?;
                }
                result => return self.settle(result).map(|_| ()),
            }
        }
    }

    /// The next datagram, or what of it has room in the buffer; says how long it is. Dropping the future loses nothing.
    /// Errors are those of [`send`](Self::send).
    ///
    /// ```no_run
    /// # async fn example(mut session: rserpool_tokio::UdpSession) -> Result<(), Box<dyn core::error::Error>> {
    /// // Longer than any datagram: what has no room is lost.
    /// let mut buffer = vec![0; 65_536];
    /// let length = session.recv(&mut buffer).await?;
    /// println!("{:?}", &buffer[..length]);
    /// # Ok(()) }
    /// ```
    pub async fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let link = self.0.link()?;
            match link.socket.try_recv(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    link.socket.ready(Interest::Readable).await?;
                }
                result => {
                    link.heard |= result.is_ok();
                    return self.settle(result);
                }
            }
        }
    }

    /// Errors that say that nobody is there are the end of it.
    fn settle<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        if let Err(error) = &result
            && matches!(
                error.kind(),
                ConnectionRefused | HostUnreachable | NetworkUnreachable
            )
        {
            self.0.lose();
        }
        result
    }
}

/// A socket that hears nobody else.
async fn open<R: Runtime>(remote: SocketAddr) -> io::Result<R::Udp> {
    let any = match remote {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(remote)?;
    R::Udp::watch(socket)
}

impl<R: Runtime> fmt::Debug for UdpSession<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpSession")
            .field(&self.0.session.id())
            .finish()
    }
}
