//! Reactions to the chunks of a packet whose ports and tag are verified.

use core::net::SocketAddr;

use super::{Association, Context, End, State};
use crate::edge::abort::{abort, cause, error_cause, tag_matches};
use crate::edge::chunks::{Unknown, unrecognized_chunk};
use crate::edge::init::Terms;
use crate::edge::params::Params;
use crate::edge::ppid::{BadData, Data};
use crate::edge::reassembly::Verdict;
use crate::edge::sack::Sack;
use crate::edge::shutdown::{Guard, Repeat};
use crate::event::{ConnectFailure, Reason};
use crate::packet::{
    Chunk, Chunks, Header, PacketBuilder, T_BIT, kind, read_u16, read_u32, single, tsn_after,
};

/// A packet on its way through the chunks.
pub(crate) struct Arrival {
    /// Its verification tag.
    pub(crate) tag: u32,
    /// UDP source.
    pub(crate) from: SocketAddr,
    /// What goes on to the engine.
    inward: Option<PacketBuilder>,
    /// A SACK says that there is room again, and DATA waits for repetition.
    window_opened: bool,
}

impl Arrival {
    pub(crate) fn new(tag: u32, from: SocketAddr) -> Arrival {
        Arrival {
            tag,
            from,
            inward: None,
            window_opened: false,
        }
    }
}

/// Whether to look at the next chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Chunk,
    Packet,
}

impl Association {
    /// A verified packet.
    pub(crate) fn on_packet(
        &mut self,
        chunks: Chunks<'_>,
        mut arrival: Arrival,
        context: &mut Context<'_>,
    ) {
        if self.follow(arrival.from) {
            context.counters.udp_port_changes += 1;
        }
        for chunk in chunks {
            let go_on =
                self.ended.is_none() && self.on_chunk(&chunk, &mut arrival, context) == Next::Chunk;
            if !go_on {
                break;
            }
        }
        self.feed(&mut arrival, context);
        self.drain(context);
    }

    /// RFC 6951 §5.4: the peer's UDP port is the one its last verified packet came from.
    fn follow(&mut self, from: SocketAddr) -> bool {
        let moved =
            from.ip() == self.udp.ip() && from.port() != self.udp.port() && from.port() != 0;
        if moved {
            self.udp = from;
        }
        moved
    }

    /// The packet for the engine, if there is an engine.
    fn inward<'a>(&self, arrival: &'a mut Arrival) -> Option<&'a mut PacketBuilder> {
        let engine = self.engine.as_ref()?;
        Some(arrival.inward.get_or_insert_with(|| engine.packet(512)))
    }

    fn feed(&mut self, arrival: &mut Arrival, context: &mut Context<'_>) {
        if let (Some(engine), Some(packet)) = (&mut self.engine, arrival.inward.take()) {
            engine.feed(context.now, packet);
            if arrival.window_opened {
                engine.expedite();
            }
            if engine.has_failed() {
                self.fail(context, cause::PROTOCOL_VIOLATION, Reason::Aborted);
            }
        }
    }

    fn on_chunk(
        &mut self,
        chunk: &Chunk<'_>,
        arrival: &mut Arrival,
        context: &mut Context<'_>,
    ) -> Next {
        match chunk.kind {
            kind::DATA => return self.on_data(chunk, arrival, context),
            kind::SACK => self.on_sack(chunk, arrival, context),
            kind::INIT_ACK => self.on_init_ack(chunk, context),
            kind::COOKIE_ACK => self.on_cookie_ack(context),
            kind::HEARTBEAT => self.on_heartbeat(chunk, arrival.from, context),
            kind::HEARTBEAT_ACK => self
                .heartbeat
                .on_ack(context.now, chunk.value, context.config),
            kind::ERROR => self.on_error(chunk, context),
            kind::ABORT => {
                // What came before it in this packet counts.
                self.feed(arrival, context);
                self.on_abort(chunk, arrival.tag);
                return Next::Packet;
            }
            kind::SHUTDOWN => self.on_shutdown(chunk, arrival, context),
            kind::SHUTDOWN_ACK => self.on_shutdown_ack(arrival.tag, context),
            kind::SHUTDOWN_COMPLETE => {
                let peer = self.peer.map(|peer| peer.tag);
                let meant = tag_matches(chunk, arrival.tag, self.local.tag, peer);
                if meant && self.state == State::ShutdownAckSent {
                    self.ended = Some(End::Disconnected(Reason::Closed));
                }
                return Next::Packet;
            }
            kind::INIT | kind::COOKIE_ECHO => context.counters.unexpected_chunks += 1,
            _ => return self.on_unknown(chunk, context),
        }
        Next::Chunk
    }

    fn on_data(
        &mut self,
        chunk: &Chunk<'_>,
        arrival: &mut Arrival,
        context: &mut Context<'_>,
    ) -> Next {
        let receiving = matches!(
            self.state,
            State::Established | State::ShutdownPending | State::ShutdownSent
        );
        if !receiving {
            context.counters.unexpected_chunks += 1;
            return Next::Chunk;
        }
        let code = match Data::read(chunk) {
            Ok(data) if data.stream < context.config.streams => {
                match self.intake.judge(&data, self.received) {
                    Verdict::Take => {
                        // RFC 9260 §9.2: in SHUTDOWN-SENT, DATA is acknowledged at once.
                        let acknowledge = self.state == State::ShutdownSent;
                        if let Some(packet) = self.inward(arrival) {
                            data.inward(acknowledge, packet);
                        }
                        self.owes_sack = true;
                        return Next::Chunk;
                    }
                    Verdict::Drop => {
                        context.counters.impossible_chunks += 1;
                        return Next::Chunk;
                    }
                    Verdict::Abort => cause::PROTOCOL_VIOLATION,
                }
            }
            Err(BadData::Empty) => cause::NO_USER_DATA,
            Ok(_) | Err(BadData::Malformed) => cause::PROTOCOL_VIOLATION,
        };
        context.counters.impossible_chunks += 1;
        self.fail(context, code, Reason::Aborted);
        Next::Packet
    }

    fn on_sack(&mut self, chunk: &Chunk<'_>, arrival: &mut Arrival, context: &mut Context<'_>) {
        let Some(packet) = self.inward(arrival) else {
            context.counters.unexpected_chunks += 1;
            return;
        };
        let Some(sack) = Sack::check(chunk.value, self.last_sent) else {
            context.counters.impossible_chunks += 1;
            return;
        };
        packet.chunk(kind::SACK, 0, chunk.value);
        let room = u32::try_from(context.config.mtu).unwrap_or(u32::MAX);
        if self.peer_window < room && sack.window >= room {
            arrival.window_opened = tsn_after(self.last_sent, sack.cumulative);
        }
        self.peer_window = sack.window;
        self.on_acknowledged(sack.cumulative, context);
    }

    fn on_acknowledged(&mut self, cumulative: u32, context: &mut Context<'_>) {
        if tsn_after(cumulative, self.acknowledged) {
            self.acknowledged = cumulative;
            self.outward.on_acknowledged(cumulative);
            self.unacknowledged.on_acknowledged(cumulative);
            self.heartbeat.on_progress(context.now);
            if self.guard.is_some() {
                self.guard = Some(Guard::start(context.now, context.config));
            }
        }
    }

    /// RFC 9260 §5.1 C.
    fn on_init_ack(&mut self, chunk: &Chunk<'_>, context: &mut Context<'_>) {
        if self.state != State::CookieWait {
            // RFC 9260 §5.2.3: a late one means nothing.
            context.counters.unexpected_chunks += 1;
            return;
        }
        let params = Params::read(chunk.value);
        let peer = Terms::read(chunk.value).filter(Terms::is_valid);
        let (Some(peer), Some(cookie)) = (peer, params.cookie) else {
            let tag = read_u32(chunk.value, 0).unwrap_or(0);
            let header = Header {
                tag,
                ..self.header()
            };
            context.transmit(self.udp, abort(header, cause::INVALID_MANDATORY_PARAMETER));
            self.ended = Some(End::ConnectFailed(ConnectFailure::Refused));
            return;
        };
        if peer.tag == self.local.tag {
            // sctp-proto needs them to differ. The next INIT gets another INIT ACK with another tag.
            return;
        }
        self.peer = Some(peer);
        self.state = State::CookieEchoed(cookie.to_vec());
        let mut builder = PacketBuilder::new(self.header());
        builder.chunk(kind::COOKIE_ECHO, 0, cookie);
        if !params.unrecognized.is_empty() {
            let info = params.unrecognized.concat();
            let error = error_cause(cause::UNRECOGNIZED_PARAMETERS, &info);
            builder.chunk(kind::ERROR, 0, &error);
        }
        context.transmit(self.udp, builder.finish());
        self.addresses = params.addresses;
        self.repeat = Some(Repeat::start(context.now, context.config.rto_initial));
    }

    fn on_cookie_ack(&mut self, context: &mut Context<'_>) {
        // RFC 9260 §5.2.5: elsewhere silently discarded.
        if let (State::CookieEchoed(_), Some(peer)) = (&self.state, self.peer) {
            let addresses = core::mem::take(&mut self.addresses);
            self.establish(peer, addresses, context);
        }
    }

    /// Answered to where it came from: the peer may be testing another of its addresses.
    fn on_heartbeat(&self, chunk: &Chunk<'_>, from: SocketAddr, context: &mut Context<'_>) {
        if self.peer.is_some() {
            let payload = single(self.header(), kind::HEARTBEAT_ACK, 0, chunk.value);
            context.transmit(from, payload);
        }
    }

    /// An ERROR is a report; only a stale cookie changes anything (RFC 9260 §5.2.6).
    fn on_error(&mut self, chunk: &Chunk<'_>, context: &mut Context<'_>) {
        context.counters.errors += 1;
        let code = read_u16(chunk.value, 0);
        tracing::debug!(association = self.id.0, ?code, "ERROR chunk from the peer");
        if code != Some(cause::STALE_COOKIE) || !matches!(self.state, State::CookieEchoed(_)) {
            return;
        }
        if self.stale {
            self.ended = Some(End::ConnectFailed(ConnectFailure::Refused));
            return;
        }
        self.stale = true;
        self.peer = None;
        self.state = State::CookieWait;
        self.send_init(context);
    }

    fn on_abort(&mut self, chunk: &Chunk<'_>, tag: u32) {
        let peer = self.peer.map(|peer| peer.tag);
        if self.ended.is_some() || !tag_matches(chunk, tag, self.local.tag, peer) {
            return;
        }
        self.ended = Some(match self.state {
            State::CookieWait | State::CookieEchoed(_) => {
                End::ConnectFailed(ConnectFailure::Refused)
            }
            // Everything has been acknowledged, and the peer has no association any more: SHUTDOWN COMPLETE was its last word, and
            // it says so to something else that came late.
            State::ShutdownAckSent if chunk.flags & T_BIT != 0 => End::Disconnected(Reason::Closed),
            _ => End::Disconnected(Reason::Aborted),
        });
    }

    /// RFC 9260 §9.2: acknowledges DATA like a SACK, then no new messages are taken.
    fn on_shutdown(&mut self, chunk: &Chunk<'_>, arrival: &mut Arrival, context: &mut Context<'_>) {
        let (Some(cumulative), true) = (read_u32(chunk.value, 0), self.engine.is_some()) else {
            context.counters.unexpected_chunks += 1;
            return;
        };
        if tsn_after(cumulative, self.last_sent) {
            context.counters.impossible_chunks += 1;
            return;
        }
        let sack = Sack {
            cumulative,
            window: self.peer_window,
        };
        if let Some(packet) = self.inward(arrival) {
            packet.chunk(kind::SACK, 0, &sack.encode());
        }
        self.on_acknowledged(cumulative, context);
        self.feed(arrival, context);
        match self.state {
            State::Established | State::ShutdownPending => {
                self.state = State::ShutdownReceived;
                self.close_requested = true;
                self.guard = Some(Guard::start(context.now, context.config));
            }
            State::ShutdownSent => {
                self.state = State::ShutdownAckSent;
                self.repeat = Some(Repeat::start(context.now, self.heartbeat.rto()));
                self.send_empty(kind::SHUTDOWN_ACK, context);
            }
            State::ShutdownAckSent => self.send_empty(kind::SHUTDOWN_ACK, context),
            _ => {}
        }
    }

    fn on_shutdown_ack(&mut self, tag: u32, context: &mut Context<'_>) {
        match self.state {
            State::ShutdownSent | State::ShutdownAckSent => {
                self.send_empty(kind::SHUTDOWN_COMPLETE, context);
                self.ended = Some(End::Disconnected(Reason::Closed));
            }
            State::CookieWait | State::CookieEchoed(_) => {
                // RFC 9260 §8.5.1 E: it belongs to an association before this one.
                let header = Header {
                    tag,
                    ..self.header()
                };
                context.transmit(
                    self.udp,
                    single(header, kind::SHUTDOWN_COMPLETE, T_BIT, &[]),
                );
            }
            _ => context.counters.unexpected_chunks += 1,
        }
    }

    fn on_unknown(&mut self, chunk: &Chunk<'_>, context: &mut Context<'_>) -> Next {
        context.counters.unknown_chunks += 1;
        let rule = Unknown::chunk(chunk.kind);
        if rule.report && self.peer.is_some() {
            self.send_chunk(kind::ERROR, &unrecognized_chunk(chunk), context);
        }
        if rule.skip { Next::Chunk } else { Next::Packet }
    }
}
