//! TCP for the ASAP of users (RFC 5352 §2.1, §3.3): beside SCTP, and never for anything else.
//!
//! A registrar listens, and what a stranger can have of it is bounded: connections in all and for each host, the time for a
//! message that has begun or for taking an answer, the time without any message, and what waits to be sent. No more is read from a
//! connection than can be answered. A user calls.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::time::Instant;

use rserpool_core::{AssocId, End, Ppid};

use self::connection::{Connection, Progress, State};
use super::ready::Ready;
use super::{Arrival, Outgoing};
use crate::{MAX_MESSAGE_SIZE, Options, Runtime, TcpListener, TcpStream, tcp};

mod connection;
#[cfg(test)]
mod tests;

/// A socket, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Socket {
    Listener(usize),
    Connection(AssocId),
}

/// What happens when a time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// The peer owes something.
    GiveUp(Instant),
    /// There was no message for too long.
    Idle(Instant),
    Never,
}

impl Due {
    fn at(self) -> Option<Instant> {
        match self {
            Self::GiveUp(at) | Self::Idle(at) => Some(at),
            Self::Never => None,
        }
    }
}

struct Known<R: Runtime> {
    connection: Connection<R::Tcp>,
    /// Whether the peer called.
    accepted: bool,
    /// Whether the machine knows that it has ended.
    told: bool,
    due: Due,
}

/// The TCP connections of one endpoint.
pub(crate) struct Tcp<R: Runtime> {
    listeners: Vec<(R::TcpListener, Waker)>,
    calls: bool,
    /// Where to call from.
    local: Vec<IpAddr>,
    next: u64,
    connections: BTreeMap<AssocId, Known<R>>,
    /// How many connections hosts have opened.
    hosts: BTreeMap<IpAddr, usize>,
    due: BTreeSet<(Instant, AssocId)>,
    /// Connections with messages that have not been looked at, and those with something to send.
    unread: BTreeSet<AssocId>,
    unsent: BTreeSet<AssocId>,
    /// Those whose peers have to take something first.
    blocked: BTreeSet<AssocId>,
    /// When to accept again, after the system had no room.
    accepts: Option<Instant>,
    arrivals: VecDeque<Arrival>,
    ready: Ready<Socket>,
    buffer: Box<[u8]>,
}

impl<R: Runtime> Tcp<R> {
    const MAX_CONNECTIONS: usize = 1024;
    /// Of one host: an IPv4 address, or a network of IPv6.
    const MAX_HOST_CONNECTIONS: usize = 64;
    /// How long a message may take from its begin to its end, and the peer to take what it is sent.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// How long a user may be silent.
    const IDLE: Duration = Duration::from_secs(300);
    /// How long nobody is accepted after the system had no room.
    const PAUSE: Duration = Duration::from_millis(100);
    /// How many connections are accepted before anything else gets its turn.
    const BATCH: usize = 64;
    /// While more than this waits to be sent to a user, its next message is not looked at.
    const MAX_UNSENT: usize = 1 << 16;
    /// A peer that lets more wait than this is given up.
    const MAX_HELD: usize = 1 << 20;
    const BUFFER: usize = 1 << 14;

    /// Listens at the local addresses where the options say so; `None` where there is to be no TCP.
    pub(super) fn bind(options: &Options<R>, addresses: &[IpAddr]) -> io::Result<Option<Self>> {
        if options.asap_tcp_port.is_none() && !options.registrar_over_tcp {
            return Ok(None);
        }
        let ready = Ready::new();
        let mut listeners = Vec::new();
        for address in addresses.iter().filter(|_| options.asap_tcp_port.is_some()) {
            let port = options.asap_tcp_port.unwrap_or_default();
            let listener = tcp::listen(SocketAddr::new(*address, port))?;
            let socket = Socket::Listener(listeners.len());
            ready.raise(socket);
            listeners.push((R::TcpListener::watch(listener)?, ready.waker(socket)));
        }
        Ok(Some(Self {
            listeners,
            calls: options.registrar_over_tcp,
            local: options.local.clone(),
            next: 0,
            connections: BTreeMap::new(),
            hosts: BTreeMap::new(),
            due: BTreeSet::new(),
            unread: BTreeSet::new(),
            unsent: BTreeSet::new(),
            blocked: BTreeSet::new(),
            accepts: None,
            arrivals: VecDeque::new(),
            ready,
            buffer: vec![0; Self::BUFFER].into_boxed_slice(),
        }))
    }

    /// Whether it carries what an association of that protocol would: a user asks for registrars with the PPID of ASAP.
    pub(super) fn is_for(&self, ppid: Ppid) -> bool {
        self.calls && ppid == Ppid::ASAP
    }

    pub(super) fn connect(&mut self, now: Instant, remote: &[SocketAddr]) {
        let Some(&remote) = remote.first() else {
            return;
        };
        let of_family = |local: &&IpAddr| local.is_ipv4() == remote.is_ipv4();
        let local = self.local.iter().find(of_family).copied();
        match tcp::call(remote, local).and_then(R::Tcp::watch) {
            Ok(stream) => {
                self.insert(now, stream, remote, State::Connecting);
            }
            Err(error) => {
                tracing::debug!(%remote, %error, "cannot connect");
                self.arrivals.push_back(Arrival::ConnectFailed { remote });
            }
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        stream: R::Tcp,
        remote: SocketAddr,
        state: State,
    ) -> AssocId {
        let association = AssocId::tcp(self.next);
        self.next += 1;
        let socket = Socket::Connection(association);
        let known = Known {
            connection: Connection::new(stream, self.ready.waker(socket), remote, state),
            accepted: state == State::Open,
            told: false,
            due: Due::Never,
        };
        self.connections.insert(association, known);
        self.ready.raise(socket);
        self.owe(now, association);
        association
    }

    /// Takes a message; says whether it was taken. A peer that lets too much wait is given up.
    pub(super) fn send(&mut self, association: AssocId, message: &Outgoing) -> bool {
        let Some(known) = self.connections.get_mut(&association) else {
            return false;
        };
        let connection = &mut known.connection;
        if connection.state != State::Open || message.bytes.len() > MAX_MESSAGE_SIZE {
            return false;
        }
        if connection.waiting() + message.bytes.len() > Self::MAX_HELD {
            tracing::warn!(remote = %connection.remote, "the peer takes no messages; giving it up");
            self.end(association, End::Lost);
            return false;
        }
        connection.send(message);
        self.unsent.insert(association);
        true
    }

    /// Whether messages wait for room in a send buffer.
    pub(super) fn is_full(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Closes a connection after what waits has been sent.
    pub(super) fn close(&mut self, association: AssocId) {
        if let Some(known) = self.connections.get_mut(&association)
            && known.connection.state == State::Open
        {
            if known.connection.ended {
                return self.drain(association);
            }
            known.connection.state = State::Closing;
            known.connection.unread = false;
            self.unsent.insert(association);
            self.ready.raise(Socket::Connection(association));
        }
    }

    /// Both sides have no more to say: what waits is sent, and that is all.
    fn drain(&mut self, association: AssocId) {
        self.tell_end(association, End::Closed);
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        known.connection.state = State::Draining;
        known.connection.unread = false;
        if known.connection.is_drained() {
            self.end(association, End::Closed);
        }
    }

    pub(super) fn abort(&mut self, association: AssocId) {
        self.end(association, End::Lost);
    }

    pub(super) fn is_open(&self) -> bool {
        !self.connections.is_empty()
    }

    pub(super) fn close_all(&mut self) {
        self.listeners.clear();
        let open: Vec<_> = self.connections.keys().copied().collect();
        for association in open {
            self.close(association);
            self.hang_up(association);
        }
    }

    /// Nobody waits for the connection any more, if it is not up yet.
    fn hang_up(&mut self, association: AssocId) {
        let known = self.connections.get(&association);
        if known.is_some_and(|known| known.connection.state == State::Connecting) {
            self.end(association, End::Lost);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        self.accepts.into_iter().chain(due).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.accepts.take_if(|at| *at <= now).is_some() {
            for index in 0..self.listeners.len() {
                self.ready.raise(Socket::Listener(index));
            }
        }
        while let Some((at, association)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let Some(known) = self.connections.get_mut(&association) else {
                continue;
            };
            let idle = matches!(core::mem::replace(&mut known.due, Due::Never), Due::Idle(_));
            if known.connection.is_owed() {
                tracing::debug!(remote = %known.connection.remote, "the peer does not go on");
                self.end(association, End::Lost);
            } else if idle && !known.connection.unread {
                self.close(association);
                self.owe(now, association);
            }
            // Else there is something that nobody had the time to look at.
        }
    }

    pub(super) fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            let association = self.unread.pop_first()?;
            self.look(now, association);
        }
    }

    /// Whether no more is to be read before the peer has taken what it was sent. One side of a connection always reads.
    fn is_stalled(known: &Known<R>) -> bool {
        known.accepted && known.connection.waiting() > Self::MAX_UNSENT
    }

    /// Takes the next message of a connection.
    fn look(&mut self, now: Instant, association: AssocId) {
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        if !known.connection.unread || Self::is_stalled(known) {
            return;
        }
        let connection = &mut known.connection;
        match connection.poll_message() {
            Ok(Some(bytes)) => {
                let takes = connection.waiting() == 0;
                self.unread.insert(association);
                self.arrivals.push_back(Arrival::Message {
                    association,
                    ppid: Ppid::ASAP,
                    stream: 0,
                    bytes,
                });
                // It may still owe to take what it is sent.
                if takes {
                    self.forgive(association);
                }
            }
            Ok(None) if connection.ended && connection.is_cut_off() => {
                self.end(association, End::Lost);
            }
            Ok(None) if connection.ended => self.drain(association),
            Ok(None) => {
                connection.unread = false;
                self.ready.raise(Socket::Connection(association));
            }
            Err(error) => {
                tracing::debug!(remote = %connection.remote, %error, "no ASAP");
                self.end(association, End::Lost);
            }
        }
        self.owe(now, association);
    }

    /// Hands to the sockets what there is to send, as far as they have room.
    pub(super) fn flush(&mut self, now: Instant) {
        while let Some(association) = self.unsent.pop_first() {
            let Some(known) = self.connections.get_mut(&association) else {
                continue;
            };
            if known.connection.write().is_err() {
                self.end(association, End::Lost);
            } else {
                self.settle(now, association);
            }
        }
    }

    /// After something may have been sent.
    fn settle(&mut self, now: Instant, association: AssocId) {
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        if known.connection.is_drained() {
            return self.end(association, End::Closed);
        }
        if known.connection.waiting() > 0 {
            self.blocked.insert(association);
        } else if self.blocked.remove(&association) {
            self.forgive(association);
        }
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        if known.connection.unread && !Self::is_stalled(known) {
            self.unread.insert(association);
        }
        self.owe(now, association);
    }

    /// Waits until there is something to do.
    pub(super) async fn ready(&self) {
        self.ready.wait().await;
    }

    /// Does what has become possible at the sockets.
    pub(super) fn receive(&mut self, now: Instant, room: bool) {
        for socket in self.ready.take() {
            match socket {
                // Nobody is let in who cannot be announced.
                Socket::Listener(_) if !room => self.accepts = Some(now + Self::PAUSE),
                Socket::Listener(index) => self.accept(now, index),
                Socket::Connection(association) => self.progress(now, association),
            }
        }
    }

    fn accept(&mut self, now: Instant, index: usize) {
        if self.accepts.is_some() {
            return;
        }
        for _ in 0..Self::BATCH {
            let Some((listener, waker)) = self.listeners.get(index) else {
                return;
            };
            match listener.poll_accept(&mut Context::from_waker(waker)) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, remote))) => self.admit(now, stream, remote),
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "no connection accepted");
                    self.accepts = Some(now + Self::PAUSE);
                    return;
                }
            }
        }
        self.ready.raise(Socket::Listener(index));
    }

    /// One who comes when there is no room finds the connection closed.
    fn admit(&mut self, now: Instant, stream: R::Tcp, remote: SocketAddr) {
        let host = host(remote.ip());
        let count = self.hosts.get(&host).copied().unwrap_or_default();
        if count >= Self::MAX_HOST_CONNECTIONS || self.connections.len() >= Self::MAX_CONNECTIONS {
            tracing::debug!(%remote, "too many connections");
            return;
        }
        self.hosts.insert(host, count + 1);
        let association = self.insert(now, stream, remote, State::Open);
        self.arrivals.push_back(Arrival::Connected {
            association,
            remote: vec![remote],
        });
    }

    fn progress(&mut self, now: Instant, association: AssocId) {
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        let remote = known.connection.remote;
        match known.connection.progress(&mut self.buffer) {
            Ok(Progress::Connected) => {
                self.arrivals.push_back(Arrival::Connected {
                    association,
                    remote: vec![remote],
                });
                self.forgive(association);
                self.ready.raise(Socket::Connection(association));
            }
            Ok(Progress::Read) if known.connection.unread => {
                self.unread.insert(association);
            }
            Ok(Progress::Read) => self.ready.raise(Socket::Connection(association)),
            Ok(Progress::Waits) => {}
            Err(error) => {
                tracing::debug!(%remote, %error, "the connection has failed");
                return self.end(association, End::Lost);
            }
        }
        self.settle(now, association);
    }

    /// The peer has done what it owed.
    fn forgive(&mut self, association: AssocId) {
        if let Some(known) = self.connections.get_mut(&association)
            && let Some(at) = core::mem::replace(&mut known.due, Due::Never).at()
        {
            self.due.remove(&(at, association));
        }
    }

    /// Sets the time that the peer has left. What it has owed for a while it does not owe for longer because of something new, nor
    /// because of bytes in which there may be no message.
    fn owe(&mut self, now: Instant, association: AssocId) {
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        let due = match (known.connection.is_owed(), known.due) {
            (true, Due::GiveUp(_)) | (false, Due::Idle(_)) => return,
            (false, _) if known.connection.unread => return,
            (true, _) => Due::GiveUp(now + Self::PATIENCE),
            (false, _) if known.accepted => Due::Idle(now + Self::IDLE),
            (false, _) => Due::Never,
        };
        self.forgive(association);
        if let Some(known) = self.connections.get_mut(&association) {
            known.due = due;
            self.due.extend(due.at().map(|at| (at, association)));
        }
    }

    /// Forgets a connection, which closes it.
    fn end(&mut self, association: AssocId, end: End) {
        self.tell_end(association, end);
        self.forgive(association);
        self.blocked.remove(&association);
        let Some(known) = self.connections.remove(&association) else {
            return;
        };
        if known.accepted {
            let host = host(known.connection.remote.ip());
            if let Some(count) = self.hosts.get_mut(&host) {
                *count -= 1;
                if *count == 0 {
                    self.hosts.remove(&host);
                }
            }
        }
    }

    /// Tells the machine that a connection has ended, unless it knows.
    fn tell_end(&mut self, association: AssocId, end: End) {
        let Some(known) = self.connections.get_mut(&association) else {
            return;
        };
        if core::mem::replace(&mut known.told, true) {
            return;
        }
        self.arrivals
            .push_back(if known.connection.state == State::Connecting {
                let remote = known.connection.remote;
                Arrival::ConnectFailed { remote }
            } else {
                Arrival::Disconnected { association, end }
            });
    }
}

/// The host that an address stands for: of IPv6 its network, because a host has as many addresses in it as it likes.
fn host(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}
