//! SCTP of the Linux kernel: a one-to-many socket for each SCTP port.
//!
//! Between two ports there is one association. A user may have several sessions with one element: each of them has its
//! association from another port, and there are as many ports as there are associations with one peer.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::io;

use rserpool_core::{AssocId, End, Ppid};
use rserpool_sctp::{
    AssociationId, AssociationState, Family, Inbox, Init, Notification, Received, Rto, Socket,
};
use rserpool_udp_sctp::Config;

use super::{Arrival, MAX_HELD, Outgoing};
use crate::{Interest, MAX_MESSAGE_SIZE, Options, Runtime, SctpSocket};

mod lost;
mod outbound;
mod waits;

use self::lost::{Failed, Lost};
use self::outbound::{Outbound, SHARE};
use self::waits::Waits;

/// One SCTP port.
struct Port<R: Runtime> {
    socket: Arc<R::Sctp>,
    number: u16,
    /// How many bytes an association is given at once; see [`outbound`].
    share: usize,
    inbox: Inbox,
    /// Whether the socket had nothing more when it was read last.
    empty: bool,
    /// The association whose end is held back.
    lost: Option<Lost>,
    /// Associations with something to send, in order.
    ready: VecDeque<AssocId>,
    /// Those that the socket had no room for.
    full: Vec<AssocId>,
    /// Whether it is waited for room.
    waits_for_room: bool,
}

/// The kernel's name for an association: the index of its port, and its number there.
type KernelName = (usize, AssociationId);

/// An association that is up.
struct Association {
    name: KernelName,
    remote: Vec<SocketAddr>,
    /// The addresses that it was asked for with.
    asked: Vec<SocketAddr>,
    /// How many streams the peer takes.
    streams: u16,
    outbound: Outbound,
}

/// The transport of one endpoint.
pub(crate) struct Kernel<R: Runtime> {
    /// The port of ASAP and of everything else, and the one of ENRP, if any; or as many as it takes.
    ports: Vec<Port<R>>,
    /// Whether there may be more of them, because nobody calls here.
    many: bool,
    waits: Waits,
    /// Ports with something to send, and those that something has come at.
    sending: BTreeSet<usize>,
    heard: VecDeque<usize>,
    /// The ports that have an association, or have asked for one, by the address that it was asked for with.
    calls: BTreeSet<(SocketAddr, usize)>,
    addresses: Vec<IpAddr>,
    max_associations: usize,
    /// The name of the next association.
    next: u64,
    names: HashMap<KernelName, AssocId>,
    open: BTreeMap<AssocId, Association>,
    /// The addresses that each attempt was asked for with.
    asked: HashMap<KernelName, Vec<SocketAddr>>,
    arrivals: VecDeque<Arrival>,
    /// How many messages wait, in all.
    queued: usize,
    /// How often an association had nothing waiting any more.
    relieved: u64,
}

impl<R: Runtime> Kernel<R> {
    /// Whether there is kernel SCTP.
    pub(super) fn probe() -> io::Result<()> {
        Ok(rserpool_sctp::probe()?)
    }

    /// Binds the addresses at all ports.
    pub(super) fn bind(options: &Options<R>, addresses: &[IpAddr]) -> io::Result<Self> {
        let config = Config::default();
        let mut kernel = Self {
            ports: Vec::new(),
            many: options.sctp_port.is_none() && options.enrp_port.is_none(),
            waits: Waits::default(),
            sending: BTreeSet::new(),
            heard: VecDeque::new(),
            calls: BTreeSet::new(),
            addresses: addresses.to_vec(),
            max_associations: config.max_associations,
            next: 0,
            names: HashMap::new(),
            open: BTreeMap::new(),
            asked: HashMap::new(),
            arrivals: VecDeque::new(),
            queued: 0,
            relieved: 0,
        };
        kernel.add_port(options.sctp_port)?;
        if options.enrp_port.is_some() {
            kernel.add_port(options.enrp_port)?;
        }
        Ok(kernel)
    }

    fn add_port(&mut self, number: Option<u16>) -> io::Result<()> {
        let port = Port::bind(number, &self.addresses, &Config::default())?;
        self.waits
            .add(self.ports.len(), &port.socket, Interest::Readable);
        self.ports.push(port);
        Ok(())
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(super) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.addresses[0], self.ports[0].number)
    }

    /// Opens an association to those addresses that the local ones can reach.
    pub(super) fn connect(&mut self, ppid: Ppid, remote: &[SocketAddr]) {
        let Some(&asked) = remote.first() else {
            return;
        };
        let index = usize::from(ppid == Ppid::ENRP && self.ports.len() > 1);
        let called = match self.many {
            true => self.call_from_any(asked, remote),
            false => self.call(index, asked, remote),
        };
        if let Err(error) = called {
            tracing::debug!(remote = %asked, %error, "cannot connect");
            let failed = Arrival::ConnectFailed { remote: asked };
            self.arrivals.push_back(failed);
        }
    }

    /// Calls from the first port that has no association with the peer.
    fn call_from_any(&mut self, asked: SocketAddr, remote: &[SocketAddr]) -> io::Result<()> {
        let calls = self.calls.range((asked, 0)..=(asked, usize::MAX));
        let known = calls.enumerate().find(|(index, call)| *index != call.1);
        let count = self.calls.range((asked, 0)..=(asked, usize::MAX)).count();
        let mut index = known.map_or(count, |(index, _)| index);
        loop {
            if index == self.ports.len() {
                self.add_port(None)?;
            }
            match self.call(index, asked, remote) {
                // The peer has it by another of its addresses.
                Err(error) if matches!(error.raw_os_error(), Some(EISCONN | EALREADY)) => {
                    index += 1;
                }
                result => return result,
            }
        }
    }

    fn call(&mut self, index: usize, asked: SocketAddr, remote: &[SocketAddr]) -> io::Result<()> {
        let port = &self.ports[index];
        let reachable = |to: &&SocketAddr| {
            let own = self.addresses.contains(&to.ip()) && to.port() == port.number;
            !own && self.addresses.iter().any(|ip| ip.is_ipv4() == to.is_ipv4())
        };
        let targets: Vec<_> = remote.iter().filter(reachable).copied().collect();
        if targets.is_empty() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let socket = port.socket.get_ref();
        let id = match socket.connect(&targets) {
            Ok(id) => id,
            // There is one, or the peer is calling as well.
            Err(error)
                if !self.many && matches!(error.raw_os_error(), Some(EISCONN | EALREADY)) =>
            {
                let found = targets.iter().find_map(|to| socket.association(*to).ok());
                found.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let name = (index, id);
        match self.names.get(&name) {
            // It is up already: that is the answer.
            Some(&association) => {
                let known = self.open.get(&association);
                let mut remote = known.map_or(Vec::new(), |known| known.remote.clone());
                add(&mut remote, &[asked]);
                self.arrivals.push_back(Arrival::Connected {
                    association,
                    remote,
                });
            }
            None => {
                self.asked.entry(name).or_default().push(asked);
                self.calls.insert((asked, index));
            }
        }
        Ok(())
    }

    pub(super) fn send(&mut self, association: AssocId, message: &Outgoing) -> bool {
        let Some(known) = self.open.get_mut(&association) else {
            return false;
        };
        let length = message.bytes.len();
        let good = (1..=MAX_MESSAGE_SIZE).contains(&length) && message.stream < known.streams;
        if !good {
            return false;
        }
        if known.outbound.closing {
            // The end that follows says so.
            return true;
        }
        if known.outbound.cost + message.cost() > MAX_HELD {
            tracing::warn!(remote = ?known.remote, "the peer takes no messages; giving it up");
            self.abort(association);
            return false;
        }
        let message = if known.outbound.cost > FEW {
            message.kept()
        } else {
            message.clone()
        };
        if known.outbound.push(message) {
            self.ports[known.name.0].ready.push_back(association);
            self.sending.insert(known.name.0);
        }
        self.queued += 1;
        if self.queued >= Socket::BATCH && !self.ports[known.name.0].ready.is_empty() {
            self.flush();
        }
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.queued > 0
    }

    pub(super) fn is_full_for(&self, association: AssocId) -> bool {
        let known = self.open.get(&association);
        known.is_some_and(|known| !known.outbound.is_empty())
    }

    pub(super) fn relieved(&self) -> u64 {
        self.relieved
    }

    pub(super) fn close(&mut self, association: AssocId) {
        let Some(known) = self.open.get_mut(&association) else {
            return;
        };
        known.outbound.closing = true;
        if known.outbound.is_empty() {
            let (index, id) = known.name;
            close(self.ports[index].socket.get_ref(), id);
        }
    }

    /// What has come before the end is still told.
    pub(super) fn abort(&mut self, association: AssocId) {
        if let Some(known) = self.open.get_mut(&association) {
            known.outbound.closing = true;
            let (index, id) = known.name;
            if let Err(error) = self.ports[index].socket.get_ref().abort(id) {
                // It has ended, which is on its way here.
                tracing::debug!(?association, %error, "not aborted");
            }
            let unsent = known.outbound.take();
            self.give_back(association, unsent);
        }
    }

    /// What waited for an association that has ended goes back.
    fn give_back(&mut self, association: AssocId, unsent: VecDeque<Outgoing>) {
        self.queued -= unsent.len();
        self.relieved += 1;
        let failed = |message| Arrival::SendFailed {
            association,
            message,
        };
        self.arrivals.extend(unsent.into_iter().map(failed));
    }

    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn close_all(&mut self) {
        let open: Vec<_> = self.open.keys().copied().collect();
        for association in open {
            self.close(association);
        }
    }

    pub(super) fn poll_arrival(&mut self) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            let index = *self.heard.front()?;
            match self.ports[index].inbox.next() {
                Some(received) => {
                    self.tell_end(index, Some(&received));
                    self.translate(index, received);
                }
                None => {
                    self.heard.pop_front();
                    if self.ports[index].empty {
                        self.tell_end(index, None);
                    }
                }
            }
        }
    }

    fn translate(&mut self, index: usize, received: Received) {
        let name = |id| (index, id);
        match received {
            Received::Message {
                association,
                stream,
                ppid,
                bytes,
            } => {
                if let Some(&association) = self.names.get(&name(association)) {
                    self.arrivals.push_back(Arrival::Message {
                        association,
                        ppid: Ppid(ppid),
                        stream,
                        bytes,
                    });
                }
            }
            Received::Notification { notification, peer } => match notification {
                Notification::AssociationChange {
                    association: id,
                    state,
                    outbound_streams,
                    ..
                } => match state {
                    AssociationState::Up => self.up(name(id), peer, outbound_streams),
                    AssociationState::Restarted => {
                        self.down(name(id), End::Lost);
                        self.up(name(id), peer, outbound_streams);
                    }
                    AssociationState::Closed => self.down(name(id), End::Closed),
                    _ => self.hold_back(name(id)),
                },
                Notification::SenderDry { association } => self.on_dry(name(association)),
                Notification::SendFailed {
                    association,
                    stream,
                    ppid,
                    first,
                    last,
                    bytes,
                    ..
                } => {
                    let failed = Failed {
                        stream,
                        ppid,
                        first,
                        last,
                        bytes,
                    };
                    self.on_send_failed(name(association), failed);
                }
                other => tracing::debug!(?other, "the kernel tells"),
            },
        }
    }

    fn up(&mut self, name: KernelName, peer: Option<SocketAddr>, streams: u16) {
        if self.names.contains_key(&name) {
            return;
        }
        let (index, id) = name;
        let socket = self.ports[index].socket.get_ref();
        // It may have ended meanwhile; then only the notification knows an address.
        let mut remote = socket.peer_addresses(id).unwrap_or_default();
        if remote.is_empty() {
            remote.extend(peer);
        }
        if remote.is_empty() || self.open.len() >= self.max_associations {
            tracing::debug!(?remote, "too many associations, or it has ended");
            // Its end is told, and is the answer to those who asked.
            let _ = socket.abort(id);
            return;
        }
        let asked = self.asked.remove(&name).unwrap_or_default();
        add(&mut remote, &asked);
        let association = AssocId(self.next);
        self.next += 1;
        self.names.insert(name, association);
        let known = Association {
            name,
            remote: remote.clone(),
            asked,
            streams,
            outbound: Outbound::default(),
        };
        self.open.insert(association, known);
        self.arrivals.push_back(Arrival::Connected {
            association,
            remote,
        });
    }

    /// An association has ended, or did not come up.
    fn down(&mut self, name: KernelName, end: End) {
        self.calls_failed(name);
        let Some(association) = self.names.remove(&name) else {
            return;
        };
        if let Some(mut known) = self.open.remove(&association) {
            for asked in known.asked {
                self.calls.remove(&(asked, name.0));
            }
            let unsent = known.outbound.take();
            self.give_back(association, unsent);
        }
        self.arrivals
            .push_back(Arrival::Disconnected { association, end });
    }

    fn calls_failed(&mut self, name: KernelName) {
        for remote in self.asked.remove(&name).unwrap_or_default() {
            self.calls.remove(&(remote, name.0));
            self.arrivals.push_back(Arrival::ConnectFailed { remote });
        }
    }

    pub(super) async fn ready(&mut self, room: bool) -> io::Result<()> {
        self.waits.ready(room).await
    }

    pub(super) fn receive(&mut self, room: bool) {
        for index in self.waits.take_writable() {
            let port = &mut self.ports[index];
            port.waits_for_room = false;
            port.ready.extend(port.full.drain(..));
            self.sending.insert(index);
        }
        if !room {
            return;
        }
        for index in self.waits.take_readable() {
            let port = &mut self.ports[index];
            port.receive();
            self.heard.push_back(index);
            self.waits.add(index, &port.socket, Interest::Readable);
        }
    }
}

impl<R: Runtime> Port<R> {
    /// The buffers of a socket; the kernel grants what it may.
    const BUFFER: usize = 4 << 20;

    /// A socket at that port; one that is called, unless any port will do.
    fn bind(port: Option<u16>, addresses: &[IpAddr], config: &Config) -> io::Result<Self> {
        let at = |ip: &IpAddr| SocketAddr::new(*ip, port.unwrap_or(0));
        let addresses: Vec<_> = addresses.iter().map(at).collect();
        // A socket of one IP version does not see a peer's addresses of the other one, which an element may register.
        let socket = Socket::new(Family::Both).or_else(|_| Socket::new(Family::of(&addresses)))?;
        configure(&socket, config)?;
        socket.set_buffers(Self::BUFFER, Self::BUFFER)?;
        socket.bind(&addresses)?;
        if port.is_some() {
            socket.listen()?;
        }
        Ok(Self {
            number: socket.port()?,
            share: (socket.send_buffer()? / SHARE).max(MAX_MESSAGE_SIZE),
            inbox: Inbox::new(MAX_MESSAGE_SIZE),
            empty: true,
            lost: None,
            socket: Arc::new(R::Sctp::watch(socket)?),
            ready: VecDeque::new(),
            full: Vec::new(),
            waits_for_room: false,
        })
    }

    /// One system call; what follows has its turn later.
    fn receive(&mut self) {
        let inbox = &mut self.inbox;
        let more = self.socket.try_io(Interest::Readable, |socket| {
            match socket.receive(inbox) {
                Ok(true) => Ok(()),
                // The socket is empty; to ask once more would tell nothing new.
                Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::debug!(%error, "not received");
                    }
                    Err(io::ErrorKind::WouldBlock.into())
                }
            }
        });
        self.empty = more.is_err();
    }
}

/// What waits for an association beyond so many bytes may wait for long.
const FEW: usize = 64 << 10;
const EISCONN: i32 = 106;
const EALREADY: i32 = 114;

/// The same values as over UDP, as far as the kernel has them: a peer that is silent is dead within 5 seconds.
fn configure(socket: &Socket, config: &Config) -> io::Result<()> {
    let future = AssociationId::FUTURE;
    let bounded = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    let retransmissions = bounded(config.association_max_retransmissions);
    socket.set_nodelay(true)?;
    socket.set_rto(
        future,
        Rto {
            initial: config.rto_initial,
            min: config.rto_min,
            max: config.rto_max,
        },
    )?;
    socket.set_max_retransmissions(future, retransmissions)?;
    // The kernel waits for this time and the retransmission time-out.
    let heartbeat = config.heartbeat_interval.saturating_sub(config.rto_max);
    socket.set_heartbeat(future, heartbeat, retransmissions)?;
    socket.set_init(Init {
        outbound_streams: config.streams,
        inbound_streams: config.streams,
        attempts: bounded(config.max_init_retransmissions),
        max_timeout: config.rto_max,
    })
}

/// Closes an association; one that has ended already says so by itself.
fn close(socket: &Socket, id: AssociationId) {
    if let Err(error) = socket.close(id) {
        tracing::debug!(?id, %error, "not closed");
    }
}

/// Adds what is not there yet.
fn add(addresses: &mut Vec<SocketAddr>, more: &[SocketAddr]) {
    for address in more {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
}
