//! The stack: many associations over one UDP socket.

use alloc::collections::{BTreeSet, VecDeque};
use core::net::{IpAddr, SocketAddr};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

mod handshake;

use crate::association::inbound::Arrival;
use crate::association::{Association, Context, End, State};
use crate::config::{Config, Counters};
use crate::edge::abort::tag_matches;
use crate::edge::init::Terms;
use crate::edge::ootb::{Bucket, InitBudget, answer, is_unicast};
use crate::event::{AssociationId, ConnectError, Event, ListenError, Reason, SendError, Transmit};
use crate::packet::{Packet, PacketError, kind};

/// An event, or the place of an association's messages among the events. Messages stay in the
/// association until they are asked for, so that a slow reader closes the peer's window.
enum Queued {
    Event(Event),
    Messages(AssociationId),
}

/// SCTP for one local address, over one UDP socket. See the crate documentation.
pub struct Stack {
    local: IpAddr,
    config: Config,
    listening: HashSet<u16>,
    associations: HashMap<AssociationId, Association>,
    /// By our verification tag.
    tags: HashMap<u32, AssociationId>,
    /// By our SCTP port and the peer's address and SCTP port.
    peers: HashMap<(u16, SocketAddr), AssociationId>,
    deadlines: BTreeSet<(Instant, AssociationId)>,
    dirty: VecDeque<AssociationId>,
    out: VecDeque<Transmit>,
    events: VecDeque<Queued>,
    counters: Counters,
    rng: ChaCha8Rng,
    cookie_key: [u8; 32],
    started: Option<Instant>,
    now: Option<Instant>,
    next_id: u64,
    /// The next local port for an association that names none.
    next_port: u16,
    strangers: Bucket,
    inits: InitBudget,
}

impl Stack {
    /// A stack for the socket bound to `local`. The seed must be secret and fresh: verification tags
    /// and the key of the state cookies come from it.
    #[must_use]
    pub fn new(local: IpAddr, config: Config, seed: [u8; 32]) -> Stack {
        let config = config.sanitized();
        let mut rng = ChaCha8Rng::from_seed(seed);
        let mut cookie_key = [0; 32];
        rng.fill_bytes(&mut cookie_key);
        let mut slot_key = [0; 16];
        rng.fill_bytes(&mut slot_key);
        let mut port = [0; 2];
        rng.fill_bytes(&mut port);
        Stack {
            local,
            strangers: Bucket::new(config.out_of_the_blue_rate),
            config,
            listening: HashSet::new(),
            associations: HashMap::new(),
            tags: HashMap::new(),
            peers: HashMap::new(),
            deadlines: BTreeSet::new(),
            dirty: VecDeque::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            rng,
            cookie_key,
            started: None,
            now: None,
            next_id: 0,
            next_port: u16::from_be_bytes(port) | 0xc000,
            inits: InitBudget::new(slot_key),
        }
    }

    /// Accepts associations on this SCTP port from now on.
    ///
    /// # Errors
    ///
    /// [`ListenError`]; nothing changed.
    pub fn listen(&mut self, port: u16) -> Result<(), ListenError> {
        if port == 0 {
            Err(ListenError::InvalidPort)
        } else if self.listening.insert(port) {
            Ok(())
        } else {
            Err(ListenError::InUse)
        }
    }

    /// Begins an association from `local_port`, which may also be listening, to the **SCTP** port of
    /// `remote`. Port 0 takes a free one of those for associations that nobody calls (RFC 6335 §6). Ends
    /// in `Connected` or `ConnectFailed` with the same id. If there is an association between the two
    /// already, its id is returned and nothing begins; where it is up, `Connected` comes again.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; nothing changed.
    pub fn connect(
        &mut self,
        now: Instant,
        local_port: u16,
        remote: SocketAddr,
    ) -> Result<AssociationId, ConnectError> {
        self.advance(now);
        let mut udp = remote;
        udp.set_port(self.config.udp_port);
        // Flow label and scope do not name a peer.
        let remote = SocketAddr::new(remote.ip(), remote.port());
        if remote.port() == 0 {
            return Err(ConnectError::InvalidPort);
        }
        let itself = remote.ip() == self.local && remote.port() == local_port;
        if itself || !is_unicast(remote.ip()) || remote.is_ipv4() != self.local.is_ipv4() {
            return Err(ConnectError::InvalidAddress);
        }
        if let Some(id) = self.peers.get(&(local_port, remote)).copied() {
            self.tell_connected(id);
            return Ok(id);
        }
        if self.associations.len() >= self.config.max_associations {
            return Err(ConnectError::TooMany);
        }
        let local_port = match local_port {
            0 => self.free_port(remote).ok_or(ConnectError::InvalidPort)?,
            port => port,
        };
        let id = self.new_id();
        let local = self.new_terms();
        let mut context = context!(self, now);
        let association = Association::connect(id, (local_port, remote), udp, local, &mut context);
        self.insert(association);
        self.settle(id);
        Ok(id)
    }

    /// Queues a message. It may be sent while the association is being set up. Messages of one stream
    /// arrive in order.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was queued.
    pub fn send(
        &mut self,
        now: Instant,
        id: AssociationId,
        stream: u16,
        ppid: u32,
        message: &[u8],
    ) -> Result<(), SendError> {
        self.advance(now);
        let association = self
            .associations
            .get_mut(&id)
            .ok_or(SendError::UnknownAssociation)?;
        association.send(stream, ppid, message, &self.config)?;
        mark_dirty(association, &mut self.dirty);
        Ok(())
    }

    /// Closes gracefully: what is queued is delivered first. Takes no new messages. Ends in
    /// `Disconnected`, with `Aborted` if the peer makes no progress for
    /// [`t5_shutdown_guard`](Config::t5_shutdown_guard). An unknown id is ignored.
    pub fn close(&mut self, now: Instant, id: AssociationId) {
        self.with(now, id, |association, context| association.close(context));
    }

    /// Ends at once; what is queued is lost. `Disconnected` (or `ConnectFailed`) with `Aborted`
    /// follows. An unknown id is ignored.
    pub fn abort(&mut self, now: Instant, id: AssociationId) {
        self.with(now, id, |association, context| association.abort(context));
    }

    /// Takes the payload of a UDP datagram from `from`. Nothing in it can make this fail; what is
    /// dropped is counted.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.advance(now);
        self.counters.received += 1;
        let packet = match Packet::parse(datagram) {
            Ok(packet) => packet,
            Err(PacketError::Checksum) => {
                self.counters.bad_checksum += 1;
                return;
            }
            Err(PacketError::Malformed) => {
                self.counters.malformed += 1;
                return;
            }
        };
        match packet.first().map(|chunk| chunk.kind) {
            Some(kind::INIT) => self.on_init(now, from, &packet),
            Some(kind::COOKIE_ECHO) => self.on_cookie_echo(now, from, &packet),
            _ => self.on_packet(now, from, &packet),
        }
    }

    /// Lets timers run. Early and repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        // What is re-armed for this very instant waits for the next call.
        let mut budget = self.deadlines.len();
        while budget > 0 && self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            budget -= 1;
            if let Some((_, id)) = self.deadlines.pop_first() {
                if let Some(association) = self.associations.get_mut(&id) {
                    association.booked = None;
                }
                self.with(now, id, |association, context| {
                    association.handle_timeout(context);
                });
            }
        }
    }

    /// When to call [`Stack::handle_timeout`] next, unless something else is called before.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        while self.flush_one() {}
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        while self.out.is_empty() && self.flush_one() {}
        self.out.pop_front()
    }

    /// The next event. A caller that stops to ask closes the windows of its peers.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            let id = match self.events.pop_front()? {
                Queued::Event(event) => return Some(event),
                Queued::Messages(id) => id,
            };
            if let Some(event) = self.read(id) {
                return Some(event);
            }
        }
    }

    /// What was received and dropped so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Number of associations, those being set up or closed included.
    #[must_use]
    pub fn associations(&self) -> usize {
        self.associations.len()
    }

    /// One message of an association, which then goes to the end of the queue: no peer starves others.
    fn read(&mut self, id: AssociationId) -> Option<Event> {
        let now = self.now?;
        let association = self.associations.get_mut(&id)?;
        association.marked = false;
        let context = context!(self, now);
        let message = association.read(&context);
        if association.is_readable() {
            association.marked = true;
            self.events.push_back(Queued::Messages(id));
        }
        mark_dirty(association, &mut self.dirty);
        message.map(|(stream, message)| Event::Message {
            id,
            stream,
            ppid: message.ppid,
            bytes: message.bytes,
        })
    }

    /// A packet that is neither INIT nor COOKIE ECHO: by tag, ports and address to its association.
    fn on_packet(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        let header = packet.header;
        let source = SocketAddr::new(from.ip(), header.source_port);
        let by_tag = self.tags.get(&header.tag).copied();
        let by_ports = self.peers.get(&(header.destination_port, source)).copied();
        let fits = |association: &Association| {
            association.local_port == header.destination_port
                && association.remote.port() == header.source_port
                && association.accepts_from(from.ip(), packet)
        };
        if let Some(id) = by_tag
            && self.associations.get(&id).is_some_and(fits)
        {
            let arrival = Arrival::new(header.tag, from);
            return self.with(now, id, |association, context| {
                association.on_packet(packet.chunks(), arrival, context);
            });
        }
        match by_ports {
            Some(id) => self.on_foreign_tag(now, from, packet, id),
            None if by_tag.is_some() => self.counters.bad_port += 1,
            None => self.on_out_of_the_blue(now, from, packet),
        }
    }

    /// Right peer and ports, but not our tag: only with the T bit it may be the peer's
    /// (RFC 9260 §8.5.1).
    fn on_foreign_tag(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        id: AssociationId,
    ) {
        let tag = packet.header.tag;
        let Some((association, chunk)) = self.associations.get(&id).zip(packet.first()) else {
            return;
        };
        let peer = association.peer.map(|peer| peer.tag);
        let connecting = matches!(
            association.state,
            State::CookieWait | State::CookieEchoed(_)
        );
        let reflected = matches!(chunk.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE)
            && tag_matches(&chunk, tag, association.local.tag, peer);
        if reflected {
            let arrival = Arrival::new(tag, from);
            self.with(now, id, |association, context| {
                association.on_packet(packet.chunks(), arrival, context);
            });
        } else if connecting && chunk.kind == kind::SHUTDOWN_ACK {
            self.on_out_of_the_blue(now, from, packet);
        } else {
            self.counters.bad_tag += 1;
        }
    }

    fn on_out_of_the_blue(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        self.counters.out_of_the_blue += 1;
        let Some(payload) = answer(packet, from) else {
            return;
        };
        if self.strangers.take(now) {
            self.counters.out_of_the_blue_answered += 1;
            self.out.push_back(Transmit { to: from, payload });
        }
    }

    /// Runs `action` on an association and does what follows from it.
    fn with(
        &mut self,
        now: Instant,
        id: AssociationId,
        action: impl FnOnce(&mut Association, &mut Context<'_>),
    ) {
        self.advance(now);
        if let Some(association) = self.associations.get_mut(&id) {
            let was_up = association.is_up();
            action(association, &mut context!(self, now));
            if !was_up && association.is_up() {
                association.known = true;
                self.tell_connected(id);
            }
            self.settle(id);
        }
    }

    /// Says of an association that is up that it is.
    fn tell_connected(&mut self, id: AssociationId) {
        if let Some(association) = self.associations.get(&id).filter(|known| known.is_up()) {
            let connected = Event::Connected {
                id,
                local_port: association.local_port,
                remote: association.remote,
                listed: association.listed(),
            };
            self.events.push_back(Queued::Event(connected));
        }
    }

    /// A local port that nobody listens at, and that no association to that peer has.
    fn free_port(&mut self, remote: SocketAddr) -> Option<u16> {
        const FIRST: u16 = 49_152;
        (FIRST..=u16::MAX).find_map(|_| {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST);
            let used = self.listening.contains(&port)
                || self.peers.contains_key(&(port, remote))
                || remote == SocketAddr::new(self.local, port);
            (!used).then_some(port)
        })
    }

    /// After anything that touched an association: its events, its deadline, its end.
    fn settle(&mut self, id: AssociationId) {
        let Some(association) = self.associations.get_mut(&id) else {
            return;
        };
        if association.ended.is_some() {
            return self.remove(id);
        }
        if association.is_readable() && !association.marked {
            association.marked = true;
            self.events.push_back(Queued::Messages(id));
        }
        if association.take_writable(&self.config) {
            self.events.push_back(Queued::Event(Event::Writable { id }));
        }
        mark_dirty(association, &mut self.dirty);
        self.book(id);
    }

    /// Keeps the deadline of an association in the ordered set.
    fn book(&mut self, id: AssociationId) {
        let Some(association) = self.associations.get_mut(&id) else {
            return;
        };
        let deadline = association.deadline();
        if deadline == association.booked {
            return;
        }
        if let Some(old) = association.booked {
            self.deadlines.remove(&(old, id));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, id));
        }
        association.booked = deadline;
    }

    /// Lets one association with output send it. False if there is none.
    fn flush_one(&mut self) -> bool {
        let Some((id, now)) = self.dirty.pop_front().zip(self.now) else {
            return false;
        };
        if let Some(association) = self.associations.get_mut(&id) {
            association.dirty = false;
            association.flush(&mut context!(self, now));
            if association.ended.is_some() {
                self.remove(id);
            } else {
                self.book(id);
            }
        }
        true
    }

    fn insert(&mut self, association: Association) {
        self.tags.insert(association.local.tag, association.id);
        self.peers
            .insert((association.local_port, association.remote), association.id);
        self.associations.insert(association.id, association);
    }

    /// Takes an ended association out, after the messages that had arrived.
    fn remove(&mut self, id: AssociationId) {
        while self
            .associations
            .get(&id)
            .is_some_and(Association::is_readable)
        {
            match self.read(id) {
                Some(event) => self.events.push_back(Queued::Event(event)),
                None => break,
            }
        }
        let Some(association) = self.associations.remove(&id) else {
            return;
        };
        if let Some(booked) = association.booked {
            self.deadlines.remove(&(booked, id));
        }
        self.tags.remove(&association.local.tag);
        self.peers
            .remove(&(association.local_port, association.remote));
        if !association.known {
            return;
        }
        let undelivered = association.unacknowledged.into_messages();
        let undelivered = undelivered.map(|(stream, ppid, bytes)| Event::Undelivered {
            id,
            stream,
            ppid,
            bytes,
        });
        self.events.extend(undelivered.map(Queued::Event));
        let event = match association.ended {
            Some(End::ConnectFailed(reason)) => Event::ConnectFailed {
                id,
                local_port: association.local_port,
                remote: association.remote,
                reason,
            },
            Some(End::Disconnected(reason)) => Event::Disconnected { id, reason },
            None => Event::Disconnected {
                id,
                reason: Reason::Aborted,
            },
        };
        self.events.push_back(Queued::Event(event));
    }

    fn new_id(&mut self) -> AssociationId {
        self.next_id += 1;
        AssociationId(self.next_id)
    }

    /// Our side of a new INIT exchange.
    fn new_terms(&mut self) -> Terms {
        let tag = loop {
            let tag = self.rng.next_u32();
            if tag != 0 && !self.tags.contains_key(&tag) {
                break tag;
            }
        };
        Terms {
            tag,
            window: u32::try_from(self.config.max_receive_buffer).unwrap_or(u32::MAX),
            outbound: self.config.streams,
            inbound: self.config.streams,
            initial_tsn: self.rng.next_u32().max(1),
        }
    }

    fn advance(&mut self, now: Instant) {
        self.started.get_or_insert(now);
        // Callers' clocks may differ by a little; time does not run back here.
        if self.now.is_none_or(|last| last < now) {
            self.now = Some(now);
        }
    }
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack")
            .field("local", &self.local)
            .field("associations", &self.associations.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn mark_dirty(association: &mut Association, dirty: &mut VecDeque<AssociationId>) {
    if !association.dirty {
        association.dirty = true;
        dirty.push_back(association.id);
    }
}
