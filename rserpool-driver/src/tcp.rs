//! TCP connections of a runtime.

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::time::Instant;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::runtime::Alarm;
use crate::{Runtime, TcpStream};

/// How long a peer may say nothing to what it is sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to an element of a pool, or to whoever else is there. It fails with [`TimedOut`](io::ErrorKind::TimedOut) after 5 s.
/// On Linux, a peer that dies without a word is noticed within about a minute, and one that lives and takes nothing of what it is
/// sent for so long is given up: nobody can tell them apart. With tokio, it must be called within the runtime.
///
/// ```no_run
/// # async fn example(remote: core::net::SocketAddr) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_driver::connect_tcp;
/// use rserpool_tokio::Tokio;
/// use tokio::io::AsyncWriteExt;
///
/// let mut stream = connect_tcp::<Tokio>(remote).await?.into_inner();
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// # Ok(()) }
/// ```
pub async fn connect_tcp<R: Runtime>(remote: SocketAddr) -> io::Result<R::Tcp> {
    let stream = call(remote, None)?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(Duration::from_secs(60)))?;
    let stream = R::Tcp::watch(stream)?;
    let mut alarm = Alarm::<R>::new();
    tokio::select! {
        result = poll_fn(|context| stream.poll_connected(context)) => result?,
        () = alarm.wait(Some(Instant::now() + PATIENCE)) => return Err(io::ErrorKind::TimedOut.into()),
    }
    Ok(stream)
}

/// Begins to connect.
pub(crate) fn call(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<std::net::TcpStream> {
    let socket = open(remote)?;
    tune(&socket)?;
    if let Some(local) = local {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if !is_under_way(&error) => return Err(error),
        _ => {}
    }
    Ok(socket.into())
}

/// A connection that does not block is never there at once.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

/// Binds a socket that is called.
pub(crate) fn listen(local: SocketAddr) -> io::Result<std::net::TcpListener> {
    const BACKLOG: i32 = 1024;
    let socket = open(local)?;
    // Those that it accepts are as it is.
    tune(&socket)?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a process that was there before must not keep this one out.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Small messages go at once, and a peer that is gone is noticed, whether there is anything on its way to it or not.
fn tune(socket: &Socket) -> io::Result<()> {
    const IDLE: Duration = Duration::from_secs(2);
    const INTERVAL: Duration = Duration::from_secs(1);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL);
    #[cfg(target_os = "linux")]
    let keepalive = keepalive.with_retries(3);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PATIENCE))?;
    socket.set_tcp_keepalive(&keepalive)
}
