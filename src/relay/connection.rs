//! A TCP connection of somebody else's program.

use core::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connection that is reset where it ends before [`finish`](Self::finish), the end of this program included: nobody shall take
/// what has come for all there is.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    /// After how much silence the other program is asked whether it is still there: who vanishes must not keep a place for ever.
    pub(super) const IDLE: Duration = Duration::from_secs(60);

    pub(crate) fn new(stream: TcpStream) -> Self {
        let connection = Self { stream };
        connection.linger(Some(Duration::ZERO));
        let idle = TcpKeepalive::new().with_time(Self::IDLE);
        // A connection that is gone already needs none of this.
        let _ = SockRef::from(&connection.stream).set_tcp_keepalive(&idle);
        connection
    }

    /// What comes of the `future`; `None` where the other program has reset the connection before. An end may be that of one half
    /// only.
    pub(crate) async fn unless_reset<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = future => Some(result),
            _ = self.stream.ready(Interest::ERROR) => None,
        }
    }

    /// Everything was said.
    pub(crate) fn finish(self) {
        self.linger(None);
    }

    fn linger(&self, time: Option<Duration>) {
        // A connection that is gone has nothing to linger for.
        let _ = SockRef::from(&self.stream).set_linger(time);
    }
}
