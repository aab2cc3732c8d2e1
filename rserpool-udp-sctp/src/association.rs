//! One association, its states and timers (RFC 9260 §4).
//!
//! ```text
//!   COOKIE-WAIT -> COOKIE-ECHOED -> ESTABLISHED -> SHUTDOWN-PENDING  -> SHUTDOWN-SENT      -> gone
//!                                               -> SHUTDOWN-RECEIVED -> SHUTDOWN-ACK-SENT  -> gone
//! ```
//!
//! Everything but the transfer of user data is decided here; that is the engine's.
//! `inbound` holds the reactions to chunks, `outbound` what leaves.

pub(crate) mod inbound;
mod outbound;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng as _;
use std::time::Instant;

use crate::config::{Config, Counters};
use crate::edge::abort::{abort, cause};
use crate::edge::cookie::Cookie;
use crate::edge::engine::Engine;
use crate::edge::heartbeat::{Due, Heartbeat, encode};
use crate::edge::init::Terms;
use crate::edge::ootb::is_unicast;
use crate::edge::params::Params;
use crate::edge::ppid::{MAX_IN_PREFIX, Outward, Unwrapped};
use crate::edge::reassembly::Intake;
use crate::edge::shutdown::{Guard, Repeat};
use crate::edge::unacknowledged::Unacknowledged;
use crate::event::{AssociationId, ConnectFailure, Reason, SendError, Transmit};
use crate::packet::{Header, Packet, kind, single};

/// What a call may use besides the association.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) out: &'a mut VecDeque<Transmit>,
    pub(crate) counters: &'a mut Counters,
    pub(crate) rng: &'a mut ChaCha8Rng,
}

impl Context<'_> {
    /// Queues a datagram.
    pub(crate) fn transmit(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.out.push_back(Transmit { to, payload });
    }
}

/// States of RFC 9260 §4; CLOSED is having no `Association`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    CookieWait,
    /// Holds the value of the COOKIE ECHO.
    CookieEchoed(Vec<u8>),
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    ConnectFailed(ConnectFailure),
    Disconnected(Reason),
}

/// A message that waits for the handshake.
struct Waiting {
    stream: u16,
    ppid: u32,
    message: Vec<u8>,
}

/// One association.
pub(crate) struct Association {
    pub(crate) id: AssociationId,
    pub(crate) local_port: u16,
    /// IP address and SCTP port of the peer.
    pub(crate) remote: SocketAddr,
    /// IP address and UDP port of the peer.
    pub(crate) udp: SocketAddr,
    pub(crate) local: Terms,
    /// Known from COOKIE-ECHOED on.
    pub(crate) peer: Option<Terms>,
    /// Further addresses the peer may send from.
    addresses: Vec<IpAddr>,
    pub(crate) state: State,
    /// `connect` asked for it, or `Connected` was told: somebody knows its id.
    pub(crate) known: bool,
    /// Set once it is over; the stack then removes it.
    pub(crate) ended: Option<End>,
    /// Booked in the stack's deadlines.
    pub(crate) booked: Option<Instant>,
    /// In the stack's list of associations with output.
    pub(crate) dirty: bool,
    /// A marker for its messages is in the stack's event queue.
    pub(crate) marked: bool,
    /// Refused a message since; `Writable` is owed.
    blocked: bool,
    engine: Option<Engine>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    close_requested: bool,
    /// The peer found our cookie stale once.
    stale: bool,
    repeat: Option<Repeat>,
    guard: Option<Guard>,
    heartbeat: Heartbeat,
    intake: Intake,
    outward: Outward,
    pub(crate) unacknowledged: Unacknowledged,
    /// Highest TSN that went out.
    last_sent: u32,
    /// Highest TSN the peer acknowledged in sequence.
    acknowledged: u32,
    peer_window: u32,
    /// Highest TSN acknowledged to the peer, window told with it, bytes read since.
    received: u32,
    /// DATA went to the engine since the last SACK.
    owes_sack: bool,
    told_window: usize,
    read_since: usize,
}

impl Association {
    /// A new initiator in COOKIE-WAIT; its INIT is on the way.
    pub(crate) fn connect(
        id: AssociationId,
        ends: (u16, SocketAddr),
        udp: SocketAddr,
        local: Terms,
        context: &mut Context<'_>,
    ) -> Association {
        let mut association = Association::blank(id, ends, udp, local, context);
        association.known = true;
        association.send_init(context);
        association.repeat = Some(Repeat::start(context.now, context.config.rto_initial));
        association
    }

    fn blank(
        id: AssociationId,
        (local_port, remote): (u16, SocketAddr),
        udp: SocketAddr,
        local: Terms,
        context: &Context<'_>,
    ) -> Association {
        Association {
            id,
            local_port,
            remote,
            udp,
            local,
            peer: None,
            addresses: Vec::new(),
            state: State::CookieWait,
            known: false,
            ended: None,
            booked: None,
            dirty: false,
            marked: false,
            blocked: false,
            engine: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            close_requested: false,
            stale: false,
            repeat: None,
            guard: None,
            heartbeat: Heartbeat::new(context.now, context.config),
            intake: Intake::default(),
            outward: Outward::default(),
            unacknowledged: Unacknowledged::default(),
            last_sent: local.initial_tsn.wrapping_sub(1),
            acknowledged: local.initial_tsn.wrapping_sub(1),
            peer_window: 0,
            received: 0,
            owes_sack: false,
            told_window: context.config.max_receive_buffer,
            read_since: 0,
        }
    }

    /// The addresses of the peer beside the one that it is reached at.
    pub(crate) fn listed(&self) -> Vec<IpAddr> {
        let further = |ip: &IpAddr| *ip != self.remote.ip() && is_unicast(*ip);
        self.addresses.iter().copied().filter(further).collect()
    }

    /// A new association from a cookie that came back from `from`, not yet established.
    pub(crate) fn accept(
        id: AssociationId,
        cookie: &Cookie,
        from: SocketAddr,
        context: &Context<'_>,
    ) -> Association {
        let udp = if from.ip() == cookie.remote.ip() {
            from
        } else {
            SocketAddr::new(cookie.remote.ip(), from.port())
        };
        let ends = (cookie.local_port, cookie.remote);
        Association::blank(id, ends, udp, cookie.local, context)
    }

    /// Both sides agreed. False if it was established before or sctp-proto does not take it.
    pub(crate) fn establish(
        &mut self,
        peer: Terms,
        addresses: Vec<IpAddr>,
        context: &mut Context<'_>,
    ) -> bool {
        if self.engine.is_some() {
            return false;
        }
        self.peer = Some(peer);
        self.addresses = addresses;
        let engine = Engine::new(
            self.header(),
            self.remote,
            &self.local,
            &peer,
            context.config,
        );
        if engine.is_none() {
            self.fail(context, cause::OUT_OF_RESOURCE, Reason::Aborted);
            return false;
        }
        self.engine = engine;
        self.state = State::Established;
        self.repeat = None;
        self.peer_window = peer.window;
        self.received = peer.initial_tsn.wrapping_sub(1);
        self.heartbeat = Heartbeat::new(context.now, context.config);
        self.waiting_bytes = 0;
        while let Some(Waiting {
            stream,
            ppid,
            message,
        }) = self.waiting.pop_front()
        {
            // A stream the peer turned out not to have is the caller's loss: it was told the limit.
            if stream < self.streams(context.config)
                && let Some(engine) = &mut self.engine
                && let Some(bytes) = engine.write(stream, ppid, &message)
            {
                self.unacknowledged.on_written(stream, bytes);
            }
        }
        if self.close_requested {
            self.begin_close(context);
        }
        true
    }

    /// Queues a message.
    pub(crate) fn send(
        &mut self,
        stream: u16,
        ppid: u32,
        message: &[u8],
        config: &Config,
    ) -> Result<(), SendError> {
        if message.is_empty() {
            // Gap in sctp-proto 0.10.8: an empty write uses up a sequence number and stalls the stream.
            return Err(SendError::Empty);
        }
        if message.len() > config.max_message_size {
            return Err(SendError::TooLong);
        }
        if stream >= self.streams(config) {
            return Err(SendError::NoSuchStream);
        }
        if self.close_requested || self.ended.is_some() {
            return Err(SendError::Closing);
        }
        let buffered = self.buffered();
        if buffered > 0 && buffered + message.len() > config.max_send_buffer {
            self.blocked = true;
            return Err(SendError::BufferFull);
        }
        match (&self.state, &mut self.engine) {
            (State::Established, Some(engine)) => {
                let bytes = engine.write(stream, ppid, message);
                let bytes = bytes.ok_or(SendError::Closing)?;
                self.unacknowledged.on_written(stream, bytes);
            }
            (State::CookieWait | State::CookieEchoed(_), _) => {
                self.waiting_bytes += message.len();
                let message = message.to_vec();
                self.waiting.push_back(Waiting {
                    stream,
                    ppid,
                    message,
                });
            }
            _ => return Err(SendError::Closing),
        }
        Ok(())
    }

    /// Graceful close; while connecting it takes effect once connected.
    pub(crate) fn close(&mut self, context: &mut Context<'_>) {
        if self.close_requested {
            return;
        }
        self.close_requested = true;
        if self.state == State::Established {
            self.begin_close(context);
        }
    }

    fn begin_close(&mut self, context: &mut Context<'_>) {
        self.state = State::ShutdownPending;
        self.guard = Some(Guard::start(context.now, context.config));
        self.drain(context);
    }

    /// ABORT of the caller.
    pub(crate) fn abort(&mut self, context: &mut Context<'_>) {
        self.fail(context, cause::USER_INITIATED_ABORT, Reason::Aborted);
    }

    /// The next whole message, and a SACK if that opened the receive window again.
    pub(crate) fn read(&mut self, context: &Context<'_>) -> Option<(u16, Unwrapped)> {
        let (stream, message) = self.engine.as_mut()?.read()?;
        if let Some(sequence) = message.sequence {
            self.intake.on_read(stream, sequence);
        }
        self.read_since += message.bytes.len() + MAX_IN_PREFIX;
        let size = context.config.max_receive_buffer;
        if self.told_window < size / 2 && self.read_since >= size / 4 {
            // Once per SACK: the one that follows tells the new window.
            self.read_since = 0;
            self.nudge(context.now);
        }
        Some((stream, message))
    }

    /// Whether it is or was ESTABLISHED.
    pub(crate) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether messages wait for [`Association::read`].
    pub(crate) fn is_readable(&self) -> bool {
        self.engine.as_ref().is_some_and(Engine::is_readable)
    }

    /// Whether the peer may send this packet from this IP address. A multi-homed peer may answer INIT
    /// from another address than it was sent to, but then has to list that one (RFC 9260 §5.1.2).
    pub(crate) fn accepts_from(&self, ip: IpAddr, packet: &Packet<'_>) -> bool {
        let listed = || {
            let first = packet.first().filter(|chunk| chunk.kind == kind::INIT_ACK);
            first.is_some_and(|chunk| {
                let addresses = Params::read(chunk.value).addresses;
                addresses.contains(&self.remote.ip()) && addresses.contains(&ip)
            })
        };
        self.remote.ip() == ip
            || self.addresses.contains(&ip)
            || (self.state == State::CookieWait && listed())
    }

    /// The owed `Writable`, once half of the send buffer is free.
    pub(crate) fn take_writable(&mut self, config: &Config) -> bool {
        let free = self.blocked
            && self.state == State::Established
            && self.buffered() <= config.max_send_buffer / 2;
        if free {
            self.blocked = false;
        }
        free
    }

    /// Timers at or before `now`.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        if self.guard.is_some_and(|guard| guard.deadline <= now) {
            return self.fail(context, cause::USER_INITIATED_ABORT, Reason::Aborted);
        }
        if self.repeat.is_some_and(|repeat| repeat.deadline <= now) {
            self.on_repeat(context);
        }
        if let Some(engine) = &mut self.engine {
            if engine.poll_timeout().is_some_and(|at| at <= now) {
                engine.handle_timeout(now);
            }
            if self.ended.is_none() {
                self.on_heartbeat_deadline(context);
            }
        }
    }

    /// T1-init, T1-cookie, T2-shutdown.
    fn on_repeat(&mut self, context: &mut Context<'_>) {
        let handshake = self.engine.is_none();
        let limit = if handshake {
            context.config.max_init_retransmissions
        } else {
            context.config.association_max_retransmissions
        };
        let again = self
            .repeat
            .as_mut()
            .is_some_and(|r| r.again(context.now, limit, context.config));
        if !again {
            self.repeat = None;
            self.ended = Some(if handshake {
                End::ConnectFailed(ConnectFailure::TimedOut)
            } else {
                End::Disconnected(Reason::TimedOut)
            });
            return;
        }
        match &self.state {
            State::CookieWait => self.send_init(context),
            State::CookieEchoed(_) => self.send_cookie_echo(context),
            State::ShutdownSent => self.send_shutdown(context),
            State::ShutdownAckSent => self.send_empty(kind::SHUTDOWN_ACK, context),
            _ => self.repeat = None,
        }
    }

    fn on_heartbeat_deadline(&mut self, context: &mut Context<'_>) {
        if context.now < self.heartbeat.deadline {
            return;
        }
        let nonce = context.rng.next_u64();
        match self
            .heartbeat
            .on_deadline(context.now, nonce, context.config)
        {
            Due::Nothing => {}
            Due::Send(nonce) => self.send_chunk(kind::HEARTBEAT, &encode(nonce), context),
            Due::Dead => self.ended = Some(End::Disconnected(Reason::TimedOut)),
        }
    }

    /// The earliest of its deadlines.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let engine = self.engine.as_ref();
        [
            self.repeat.map(|repeat| repeat.deadline),
            self.guard.map(|guard| guard.deadline),
            engine.map(|_| self.heartbeat.deadline),
            engine.and_then(Engine::poll_timeout),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Ends it with an ABORT to the peer, if the peer's tag is known.
    fn fail(&mut self, context: &mut Context<'_>, code: u16, reason: Reason) {
        if self.ended.is_some() {
            return;
        }
        if self.peer.is_some() {
            let payload = abort(self.header(), code);
            context.transmit(self.udp, payload);
        }
        self.ended = Some(match self.state {
            State::CookieWait | State::CookieEchoed(_) => {
                End::ConnectFailed(ConnectFailure::Aborted)
            }
            _ => End::Disconnected(reason),
        });
    }

    /// Bytes that wait to be sent or acknowledged.
    fn buffered(&mut self) -> usize {
        self.waiting_bytes + self.engine.as_mut().map_or(0, Engine::buffered)
    }

    /// Streams to send on: ours, cut to what the peer accepts.
    fn streams(&self, config: &Config) -> u16 {
        self.peer
            .map_or(config.streams, |peer| peer.inbound.min(config.streams))
    }

    /// Header of packets to the peer.
    pub(crate) fn header(&self) -> Header {
        Header {
            source_port: self.local_port,
            destination_port: self.remote.port(),
            tag: self.peer.map_or(0, |peer| peer.tag),
        }
    }

    fn send_chunk(&self, kind: u8, value: &[u8], context: &mut Context<'_>) {
        let payload = single(self.header(), kind, 0, value);
        context.transmit(self.udp, payload);
    }

    /// A chunk without value.
    pub(crate) fn send_empty(&self, kind: u8, context: &mut Context<'_>) {
        self.send_chunk(kind, &[], context);
    }
}
