//! SCTP over one UDP socket.

use alloc::collections::{BTreeMap, VecDeque};
use core::iter;
use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::io;
use std::time::Instant;

use rserpool_core::{AssocId, End, Ppid};
use rserpool_udp_sctp::{AssociationId, Config, Event, Reason, SendError, Stack, Transmit};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Arrival, MAX_HELD, Outgoing};
use crate::{Interest, MAX_MESSAGE_SIZE, Options, Runtime, UdpSocket, Watched};

/// Messages to a peer whose send buffer is full, in order.
#[derive(Default)]
struct Held {
    messages: VecDeque<Outgoing>,
    cost: usize,
    /// Whether the association shall close when they are sent.
    closing: bool,
}

impl Held {
    fn push(&mut self, message: Outgoing) {
        self.cost += message.cost();
        self.messages.push_back(message);
    }
}

/// The transport of one endpoint.
pub(crate) struct Udp<R: Runtime> {
    socket: R::Udp,
    local: SocketAddr,
    stack: Stack,
    sctp_port: Option<u16>,
    enrp_port: Option<u16>,
    /// The associations that are up, with the peer's address.
    open: BTreeMap<AssocId, (AssociationId, Vec<SocketAddr>)>,
    /// The address that each attempt was asked for with.
    asked: HashMap<AssociationId, SocketAddr>,
    arrivals: VecDeque<Arrival>,
    held: BTreeMap<AssocId, Held>,
    /// How often something was held no longer.
    relieved: u64,
    /// The packet that the socket had no room for.
    blocked: Option<Transmit>,
    buffer: Box<[u8]>,
    /// Datagrams taken since there was room for what is in them.
    unread: usize,
}

impl<R: Runtime> Udp<R> {
    /// The longest UDP payload.
    const MAX_DATAGRAM: usize = 65_536;
    /// How many datagrams are taken from the socket before anything else gets its turn.
    const BATCH: usize = 64;
    /// While events wait for their reader, the stack keeps its messages, which closes the windows of the peers; its packets
    /// are taken all the same, so that peers do not think that it is dead. What else they can make it keep is bounded by the
    /// number of datagrams that are taken.
    const MAX_UNREAD: usize = 1 << 16;

    /// Binds the one address that SCTP over UDP has.
    pub(super) fn bind(
        options: &Options<R>,
        addresses: &[IpAddr],
        seed: [u8; 32],
    ) -> io::Result<Self> {
        let [local] = addresses else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "SCTP over UDP has one local address",
            ));
        };
        let socket = bind_udp(SocketAddr::new(*local, options.udp_port))?;
        Self::over(socket, options, seed)
    }

    fn over(socket: std::net::UdpSocket, options: &Options<R>, seed: [u8; 32]) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let mut config = Config::default();
        config.udp_port = options.peer_udp_port;
        config.max_message_size = MAX_MESSAGE_SIZE;
        let mut stack = Stack::new(local.ip(), config, seed);
        for port in options.sctp_port.into_iter().chain(options.enrp_port) {
            stack.listen(port).map_err(io::Error::other)?;
        }
        Ok(Self {
            socket: R::Udp::watch(socket)?,
            local,
            stack,
            sctp_port: options.sctp_port,
            enrp_port: options.enrp_port,
            open: BTreeMap::new(),
            asked: HashMap::new(),
            arrivals: VecDeque::new(),
            held: BTreeMap::new(),
            relieved: 0,
            blocked: None,
            buffer: vec![0; Self::MAX_DATAGRAM].into_boxed_slice(),
            unread: 0,
        })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.stack.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
    }

    /// Opens an association to the first address of the local family, from the port of that protocol.
    pub(super) fn connect(&mut self, now: Instant, ppid: Ppid, remote: &[SocketAddr]) {
        let Some(&asked) = remote.first() else {
            return;
        };
        let reachable = |address: &&SocketAddr| address.is_ipv4() == self.local.is_ipv4();
        let target = remote.iter().find(reachable).copied();
        let port = if ppid == Ppid::ENRP {
            self.enrp_port
        } else {
            self.sctp_port
        };
        let opened = target.map(|target| self.stack.connect(now, port.unwrap_or(0), target));
        match opened {
            Some(Ok(id)) => {
                self.asked.insert(id, asked);
            }
            Some(Err(error)) => {
                tracing::debug!(remote = %asked, %error, "cannot connect");
                self.arrivals
                    .push_back(Arrival::ConnectFailed { remote: asked });
            }
            None => {
                tracing::debug!(remote = %asked, "no address of the local family");
                self.arrivals
                    .push_back(Arrival::ConnectFailed { remote: asked });
            }
        }
    }

    /// Sends a message; says whether it was taken. Where the send buffer is full, the message waits for room in it. A peer that
    /// lets too much wait is given up: a message less would be a gap in a reliable stream.
    pub(super) fn send(&mut self, now: Instant, association: AssocId, message: &Outgoing) -> bool {
        let Some((id, remote)) = self.open.get(&association) else {
            return false;
        };
        if let Some(held) = self.held.get_mut(&association) {
            if held.cost + message.cost() > MAX_HELD {
                tracing::warn!(?remote, "the peer takes no messages; giving it up");
                self.abort(now, association);
                return false;
            }
            held.push(message.kept());
            return true;
        }
        match write(&mut self.stack, now, *id, message) {
            Ok(()) => true,
            // One that the peer has closed, or that has ended without anybody having been told, returns the message then, after
            // those that were sent before it.
            Err(SendError::BufferFull | SendError::Closing | SendError::UnknownAssociation) => {
                let held = self.held.entry(association).or_default();
                held.push(message.kept());
                true
            }
            Err(error) => {
                tracing::debug!(?association, %error, "message not sent");
                false
            }
        }
    }

    /// Whether messages wait for room in a send buffer.
    pub(super) fn is_full(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn is_full_for(&self, association: AssocId) -> bool {
        self.held.contains_key(&association)
    }

    pub(super) fn relieved(&self) -> u64 {
        self.relieved
    }

    /// There is room in the send buffer again.
    fn send_held(&mut self, now: Instant, association: AssocId) {
        let Some((id, _)) = self.open.get(&association) else {
            return;
        };
        let Some(mut held) = self.held.remove(&association) else {
            return;
        };
        while let Some(message) = held.messages.pop_front() {
            match write(&mut self.stack, now, *id, &message) {
                Ok(()) => held.cost -= message.cost(),
                Err(SendError::BufferFull | SendError::Closing | SendError::UnknownAssociation) => {
                    held.messages.push_front(message);
                    self.held.insert(association, held);
                    return;
                }
                Err(error) => {
                    tracing::debug!(?association, %error, "message not sent");
                    self.arrivals.push_back(Arrival::SendFailed {
                        association,
                        message,
                    });
                }
            }
        }
        self.relieved += 1;
        if held.closing {
            self.stack.close(now, *id);
        }
    }

    /// What waited for an association that has ended goes back.
    fn give_back(&mut self, association: AssocId) {
        let held = self.held.remove(&association).unwrap_or_default();
        self.relieved += 1;
        let failed = |message| Arrival::SendFailed {
            association,
            message,
        };
        self.arrivals.extend(held.messages.into_iter().map(failed));
    }

    /// Closes an association after what waits has been sent.
    pub(super) fn close(&mut self, now: Instant, association: AssocId) {
        if let Some(held) = self.held.get_mut(&association) {
            held.closing = true;
        } else if let Some((id, _)) = self.open.get(&association) {
            self.stack.close(now, *id);
        }
    }

    pub(super) fn abort(&mut self, now: Instant, association: AssocId) {
        if let Some((id, _)) = self.open.get(&association) {
            self.stack.abort(now, *id);
        }
    }

    /// Whether any association is up.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn close_all(&mut self, now: Instant) {
        let open: Vec<_> = self.open.keys().copied().collect();
        for association in open {
            self.close(now, association);
        }
    }

    pub(super) fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            let event = self.stack.poll_event()?;
            let arrival = self.translate(now, event);
            self.arrivals.extend(arrival);
        }
    }

    fn translate(&mut self, now: Instant, event: Event) -> Option<Arrival> {
        Some(match event {
            Event::Connected {
                id, remote, listed, ..
            } => {
                let port = remote.port();
                let listed = listed.into_iter().map(|ip| SocketAddr::new(ip, port));
                let mut remote: Vec<_> = iter::once(remote).chain(listed).collect();
                self.open.insert(name(id), (id, remote.clone()));
                if let Some(asked) = self.asked.remove(&id) {
                    add(&mut remote, asked);
                }
                Arrival::Connected {
                    association: name(id),
                    remote,
                }
            }
            Event::ConnectFailed { id, remote, .. } => Arrival::ConnectFailed {
                remote: self.asked.remove(&id).unwrap_or(remote),
            },
            Event::Disconnected { id, reason } => {
                self.open.remove(&name(id));
                self.give_back(name(id));
                Arrival::Disconnected {
                    association: name(id),
                    end: match reason {
                        Reason::Closed => End::Closed,
                        _ => End::Lost,
                    },
                }
            }
            Event::Message {
                id,
                stream,
                ppid,
                bytes,
            } => Arrival::Message {
                association: name(id),
                ppid: Ppid(ppid),
                stream,
                bytes,
            },
            Event::Undelivered {
                id,
                stream,
                ppid,
                bytes,
            } => Arrival::SendFailed {
                association: name(id),
                message: Outgoing {
                    ppid: Ppid(ppid),
                    stream,
                    unordered: false,
                    bytes,
                },
            },
            Event::Writable { id } => {
                self.send_held(now, name(id));
                return None;
            }
        })
    }

    /// Hands packets to the socket until there are none, or it has no room.
    pub(super) fn flush(&mut self) {
        while let Some(packet) = self.blocked.take().or_else(|| self.stack.poll_transmit()) {
            match self.socket.try_send_to(&packet.payload, packet.to) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(packet);
                    return;
                }
                // SCTP repeats what is lost.
                Err(error) => tracing::debug!(to = %packet.to, %error, "packet not sent"),
            }
        }
    }

    fn reads(&self, room: bool) -> bool {
        room || self.unread < Self::MAX_UNREAD
    }

    /// Waits until the socket can be read, or takes what could not be sent.
    pub(super) async fn ready(&mut self, room: bool) -> io::Result<()> {
        match Interest::of(self.reads(room), self.blocked.is_some()) {
            Some(interest) => self.socket.ready(interest).await,
            None => core::future::pending().await,
        }
    }

    /// Takes a batch of datagrams from the socket.
    pub(super) fn receive(&mut self, now: Instant, room: bool) {
        if !self.reads(room) {
            return;
        }
        if room {
            self.unread = 0;
        }
        for _ in 0..Self::BATCH {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, from)) => {
                    self.unread += usize::from(!room);
                    self.stack
                        .handle_datagram(now, from, &self.buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(%error, "datagram not received");
                    return;
                }
            }
        }
    }
}

/// The stack sends everything in order.
fn write(
    stack: &mut Stack,
    now: Instant,
    id: AssociationId,
    message: &Outgoing,
) -> Result<(), SendError> {
    stack.send(now, id, message.stream, message.ppid.0, &message.bytes)
}

/// The address that a call was made for counts as one of the peer's.
fn add(remote: &mut Vec<SocketAddr>, asked: SocketAddr) {
    if !remote.contains(&asked) {
        remote.push(asked);
    }
}

/// The machine's name for an association.
fn name(id: AssociationId) -> AssocId {
    AssocId(id.as_u64())
}

/// Binds a UDP socket with room for bursts: 64 KiB messages are many datagrams.
fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    const BUFFER: usize = 4 << 20;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The kernel grants what it may; a smaller buffer is slower, not wrong.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
