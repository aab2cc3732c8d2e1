//! What carries messages: SCTP of the kernel, or SCTP over one UDP socket. Both do the same things.

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::time::Instant;

use bytes::Bytes;
use rserpool_core::{AssocId, End, Ppid};

use crate::{Options, Runtime, TransportKind};

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(not(target_os = "linux"))]
#[path = "transport/no_kernel.rs"]
mod kernel;
mod udp;

use self::kernel::Kernel;
use self::udp::Udp;

/// How many bytes may wait for an association beside its send buffer.
const MAX_HELD: usize = 4 << 20;

/// What the transport tells the driver.
#[derive(Debug)]
pub(crate) enum Arrival {
    Connected {
        association: AssocId,
        remote: Vec<SocketAddr>,
    },
    ConnectFailed {
        remote: SocketAddr,
    },
    Disconnected {
        association: AssocId,
        end: End,
    },
    Message {
        association: AssocId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    },
    SendFailed {
        association: AssocId,
        message: Outgoing,
    },
}

/// A message to a peer.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) ppid: Ppid,
    pub(crate) stream: u16,
    pub(crate) unordered: bool,
    pub(crate) bytes: Bytes,
}

/// The transport of one endpoint.
pub(crate) enum Transport<R: Runtime> {
    Udp(Box<Udp<R>>),
    Kernel(Box<Kernel<R>>),
}

/// Does the same with either transport.
macro_rules! either {
    ($self:expr, $transport:ident => $action:expr) => {
        match $self {
            Transport::Udp($transport) => $action,
            Transport::Kernel($transport) => $action,
        }
    };
}

impl<R: Runtime> Transport<R> {
    /// Binds the local addresses, or the first loopback address that is free.
    pub(crate) fn bind(options: &Options<R>, seed: [u8; 32]) -> io::Result<Self> {
        match options.transport {
            TransportKind::Udp => Self::udp(options, seed),
            TransportKind::Kernel => Self::kernel(options),
            TransportKind::Auto => match Kernel::<R>::probe() {
                Ok(()) => Self::kernel(options),
                Err(error) => {
                    tracing::debug!(%error, "no kernel SCTP");
                    Self::udp(options, seed)
                }
            },
        }
    }

    fn udp(options: &Options<R>, seed: [u8; 32]) -> io::Result<Self> {
        let udp = first_free(options, |addresses| Udp::bind(options, addresses, seed))?;
        Ok(Self::Udp(Box::new(udp)))
    }

    fn kernel(options: &Options<R>) -> io::Result<Self> {
        let kernel = first_free(options, |addresses| Kernel::bind(options, addresses))?;
        Ok(Self::Kernel(Box::new(kernel)))
    }

    pub(crate) fn kind(&self) -> TransportKind {
        match self {
            Self::Udp(_) => TransportKind::Udp,
            Self::Kernel(_) => TransportKind::Kernel,
        }
    }

    /// The local addresses, the first one preferred.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Udp(udp) => vec![udp.local().ip()],
            Self::Kernel(kernel) => kernel.addresses().to_vec(),
        }
    }

    /// The first local address, and the UDP or SCTP port.
    pub(crate) fn local(&self) -> SocketAddr {
        either!(self, it => it.local())
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        match self {
            Self::Udp(udp) => udp.poll_timeout(),
            Self::Kernel(_) => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Udp(udp) => udp.handle_timeout(now),
            Self::Kernel(_) => {}
        }
    }

    /// Opens an association from the port of that protocol.
    pub(crate) fn connect(&mut self, now: Instant, ppid: Ppid, remote: &[SocketAddr]) {
        match self {
            Self::Udp(udp) => udp.connect(now, ppid, remote),
            Self::Kernel(kernel) => kernel.connect(ppid, remote),
        }
    }

    /// Sends a message; says whether it was taken. Where the send buffer is full, the message waits for room in it. A peer that
    /// lets too much wait is given up: a message less would be a gap in a reliable stream.
    pub(crate) fn send(&mut self, now: Instant, association: AssocId, message: &Outgoing) -> bool {
        match self {
            Self::Udp(udp) => udp.send(now, association, message),
            Self::Kernel(kernel) => kernel.send(association, message),
        }
    }

    /// Whether messages wait for room in a send buffer.
    pub(crate) fn is_full(&self) -> bool {
        either!(self, it => it.is_full())
    }

    /// Whether messages to that peer wait for room in its send buffer.
    pub(crate) fn is_full_for(&self, association: AssocId) -> bool {
        either!(self, it => it.is_full_for(association))
    }

    /// How often a peer's messages have ceased to wait so far.
    pub(crate) fn relieved(&self) -> u64 {
        either!(self, it => it.relieved())
    }

    /// Closes an association after what waits has been sent.
    pub(crate) fn close(&mut self, now: Instant, association: AssocId) {
        match self {
            Self::Udp(udp) => udp.close(now, association),
            Self::Kernel(kernel) => kernel.close(association),
        }
    }

    pub(crate) fn abort(&mut self, now: Instant, association: AssocId) {
        match self {
            Self::Udp(udp) => udp.abort(now, association),
            Self::Kernel(kernel) => kernel.abort(association),
        }
    }

    /// Whether any association is up.
    pub(crate) fn is_open(&self) -> bool {
        either!(self, it => it.is_open())
    }

    pub(crate) fn close_all(&mut self, now: Instant) {
        match self {
            Self::Udp(udp) => udp.close_all(now),
            Self::Kernel(kernel) => kernel.close_all(),
        }
    }

    pub(crate) fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        match self {
            Self::Udp(udp) => udp.poll_arrival(now),
            Self::Kernel(kernel) => kernel.poll_arrival(),
        }
    }

    /// Hands to the sockets what there is to send, as far as they have room.
    pub(crate) fn flush(&mut self) {
        either!(self, it => it.flush());
    }

    /// Waits until a socket has something, or takes what could not be sent. Without `room` for what comes, messages are left
    /// where they close the windows of the peers.
    pub(crate) async fn ready(&self, room: bool) -> io::Result<()> {
        either!(self, it => it.ready(room).await)
    }

    /// Takes a batch of what has come.
    pub(crate) fn receive(&mut self, now: Instant, room: bool) {
        match self {
            Self::Udp(udp) => udp.receive(now, room),
            Self::Kernel(kernel) => kernel.receive(room),
        }
    }
}

/// Binds the addresses that were asked for, or the first loopback address that is free.
fn first_free<T, R: Runtime>(
    options: &Options<R>,
    mut bind: impl FnMut(&[IpAddr]) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::AddrInUse, "no loopback address is free");
    for candidate in options.candidates() {
        match bind(&candidate) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            result => return result,
        }
    }
    Err(last)
}
