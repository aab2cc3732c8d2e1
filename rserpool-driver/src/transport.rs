//! What carries messages: SCTP of the kernel, or SCTP over one UDP socket, which do the same things; and TCP beside it for users at
//! a registrar.

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
mod ready;
mod tcp;
mod udp;

use self::kernel::Kernel;
use self::tcp::Tcp;
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

impl Outgoing {
    /// The same for a queue in which it may stay for long. Short messages share their memory with others, which would stay as
    /// well.
    fn kept(&self) -> Self {
        const SHORT: usize = 2048;
        let mut kept = self.clone();
        if kept.bytes.len() < SHORT {
            kept.bytes = Bytes::copy_from_slice(&self.bytes);
        }
        kept
    }

    /// What it costs to hold it, in bytes: many short ones cost more than they say.
    fn cost(&self) -> usize {
        const OVERHEAD: usize = 128;
        OVERHEAD + self.bytes.len()
    }
}

/// The transport of one endpoint. Its TCP connections are known by their names.
pub(crate) struct Transport<R: Runtime> {
    sctp: Sctp<R>,
    tcp: Option<Tcp<R>>,
}

enum Sctp<R: Runtime> {
    Udp(Box<Udp<R>>),
    Kernel(Box<Kernel<R>>),
}

/// Does the same with either transport.
macro_rules! either {
    ($self:expr, $transport:ident => $action:expr) => {
        match $self {
            Sctp::Udp($transport) => $action,
            Sctp::Kernel($transport) => $action,
        }
    };
}

impl<R: Runtime> Sctp<R> {
    fn bind(options: &Options<R>, seed: [u8; 32]) -> io::Result<Self> {
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
}

impl<R: Runtime> Transport<R> {
    /// Binds the local addresses, or the first loopback address that is free.
    pub(crate) fn bind(options: &Options<R>, seed: [u8; 32]) -> io::Result<Self> {
        let mut transport = Self {
            sctp: Sctp::bind(options, seed)?,
            tcp: None,
        };
        transport.tcp = Tcp::bind(options, &transport.addresses())?;
        Ok(transport)
    }

    pub(crate) fn kind(&self) -> TransportKind {
        match self.sctp {
            Sctp::Udp(_) => TransportKind::Udp,
            Sctp::Kernel(_) => TransportKind::Kernel,
        }
    }

    /// The local addresses, the first one preferred.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        match &self.sctp {
            Sctp::Udp(udp) => vec![udp.local().ip()],
            Sctp::Kernel(kernel) => kernel.addresses().to_vec(),
        }
    }

    /// The first local address, and the UDP or SCTP port.
    pub(crate) fn local(&self) -> SocketAddr {
        either!(&self.sctp, it => it.local())
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let sctp = match &mut self.sctp {
            Sctp::Udp(udp) => udp.poll_timeout(),
            Sctp::Kernel(_) => None,
        };
        let tcp = self.tcp.as_ref().and_then(Tcp::poll_timeout);
        sctp.into_iter().chain(tcp).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Sctp::Udp(udp) = &mut self.sctp {
            udp.handle_timeout(now);
        }
        if let Some(tcp) = &mut self.tcp {
            tcp.handle_timeout(now);
        }
    }

    /// Opens an association from the port of that protocol.
    pub(crate) fn connect(&mut self, now: Instant, ppid: Ppid, remote: &[SocketAddr]) {
        match (&mut self.tcp, &mut self.sctp) {
            (Some(tcp), _) if tcp.is_for(ppid) => tcp.connect(now, remote),
            (_, Sctp::Udp(udp)) => udp.connect(now, ppid, remote),
            (_, Sctp::Kernel(kernel)) => kernel.connect(ppid, remote),
        }
    }

    /// The TCP connections, where the association is one.
    fn tcp(&mut self, association: AssocId) -> Option<&mut Tcp<R>> {
        self.tcp.as_mut().filter(|_| association.is_tcp())
    }

    /// Sends a message; says whether it was taken. Where the send buffer is full, the message waits for room in it. A peer that
    /// lets too much wait is given up: a message less would be a gap in a reliable stream.
    pub(crate) fn send(&mut self, now: Instant, association: AssocId, message: &Outgoing) -> bool {
        if let Some(tcp) = self.tcp(association) {
            return tcp.send(association, message);
        }
        match &mut self.sctp {
            Sctp::Udp(udp) => udp.send(now, association, message),
            Sctp::Kernel(kernel) => kernel.send(association, message),
        }
    }

    /// Whether messages wait for room in a send buffer.
    pub(crate) fn is_full(&self) -> bool {
        either!(&self.sctp, it => it.is_full()) || self.tcp.as_ref().is_some_and(Tcp::is_full)
    }

    /// Whether messages to that peer wait for room in its send buffer.
    pub(crate) fn is_full_for(&self, association: AssocId) -> bool {
        // Sessions are SCTP's, and nobody else asks.
        either!(&self.sctp, it => it.is_full_for(association))
    }

    /// How often a peer's messages have ceased to wait so far.
    pub(crate) fn relieved(&self) -> u64 {
        either!(&self.sctp, it => it.relieved())
    }

    /// Closes an association after what waits has been sent.
    pub(crate) fn close(&mut self, now: Instant, association: AssocId) {
        if let Some(tcp) = self.tcp(association) {
            return tcp.close(association);
        }
        match &mut self.sctp {
            Sctp::Udp(udp) => udp.close(now, association),
            Sctp::Kernel(kernel) => kernel.close(association),
        }
    }

    pub(crate) fn abort(&mut self, now: Instant, association: AssocId) {
        if let Some(tcp) = self.tcp(association) {
            return tcp.abort(association);
        }
        match &mut self.sctp {
            Sctp::Udp(udp) => udp.abort(now, association),
            Sctp::Kernel(kernel) => kernel.abort(association),
        }
    }

    /// Whether any association is up.
    pub(crate) fn is_open(&self) -> bool {
        either!(&self.sctp, it => it.is_open()) || self.tcp.as_ref().is_some_and(Tcp::is_open)
    }

    pub(crate) fn close_all(&mut self, now: Instant) {
        if let Some(tcp) = &mut self.tcp {
            tcp.close_all();
        }
        match &mut self.sctp {
            Sctp::Udp(udp) => udp.close_all(now),
            Sctp::Kernel(kernel) => kernel.close_all(),
        }
    }

    pub(crate) fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        let sctp = match &mut self.sctp {
            Sctp::Udp(udp) => udp.poll_arrival(now),
            Sctp::Kernel(kernel) => kernel.poll_arrival(),
        };
        sctp.or_else(|| self.tcp.as_mut()?.poll_arrival(now))
    }

    /// Hands to the sockets what there is to send, as far as they have room.
    pub(crate) fn flush(&mut self) {
        either!(&mut self.sctp, it => it.flush());
        if let Some(tcp) = &mut self.tcp {
            tcp.flush(Instant::now());
        }
    }

    /// Waits until a socket has something, or takes what could not be sent. Without `room` for what comes, messages are left
    /// where they close the windows of the peers.
    pub(crate) async fn ready(&mut self, room: bool) -> io::Result<()> {
        let sctp = async { either!(&mut self.sctp, it => it.ready(room).await) };
        match &self.tcp {
            Some(tcp) => tokio::select! {
                result = sctp => result,
                () = tcp.ready() => Ok(()),
            },
            None => sctp.await,
        }
    }

    /// Takes a batch of what has come.
    pub(crate) fn receive(&mut self, now: Instant, room: bool) {
        match &mut self.sctp {
            Sctp::Udp(udp) => udp.receive(now, room),
            Sctp::Kernel(kernel) => kernel.receive(room),
        }
        if let Some(tcp) = &mut self.tcp {
            tcp.receive(now, room);
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
