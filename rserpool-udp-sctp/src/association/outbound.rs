//! What leaves an association: handshake and shutdown chunks, and the engine's packets made fit for
//! the wire.

use bytes::Bytes;
use std::time::Instant;

use super::{Association, Context, State};
use crate::edge::abort::cause;
use crate::edge::ppid;
use crate::edge::sack::{self, Sack};
use crate::edge::shutdown::Repeat;
use crate::event::Reason;
use crate::packet::{Header, Packet, PacketBuilder, kind, single, tsn_after};

impl Association {
    pub(super) fn send_init(&self, context: &mut Context<'_>) {
        let header = Header {
            tag: 0,
            ..self.header()
        };
        let payload = single(header, kind::INIT, 0, &self.local.encode());
        context.transmit(self.udp, payload);
    }

    pub(super) fn send_cookie_echo(&self, context: &mut Context<'_>) {
        if let State::CookieEchoed(cookie) = &self.state {
            self.send_chunk(kind::COOKIE_ECHO, cookie, context);
        }
    }

    /// SHUTDOWN with what was acknowledged to the peer.
    pub(super) fn send_shutdown(&self, context: &mut Context<'_>) {
        self.send_chunk(kind::SHUTDOWN, &self.received.to_be_bytes(), context);
    }

    /// SHUTDOWN or SHUTDOWN ACK as soon as everything is acknowledged (RFC 9260 §9.2).
    pub(super) fn drain(&mut self, context: &mut Context<'_>) {
        let draining = matches!(self.state, State::ShutdownPending | State::ShutdownReceived);
        if !draining || self.ended.is_some() {
            return;
        }
        if self.buffered() > 0 || tsn_after(self.last_sent, self.acknowledged) {
            return;
        }
        self.repeat = Some(Repeat::start(context.now, self.heartbeat.rto()));
        if self.state == State::ShutdownPending {
            // An acknowledgement that is held back would leave the peer waiting for it: out with it.
            if self.owes_sack {
                self.nudge(context.now);
                self.flush(context);
            }
            self.state = State::ShutdownSent;
            self.send_shutdown(context);
        } else {
            self.state = State::ShutdownAckSent;
            self.send_empty(kind::SHUTDOWN_ACK, context);
        }
    }

    /// Makes the engine acknowledge now; it has to be flushed after.
    pub(super) fn nudge(&mut self, now: Instant) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let mut packet = engine.packet(32);
        ppid::nudge(self.received, &mut packet);
        engine.feed(now, packet);
    }

    /// Moves what the engine has to send to the wire.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) {
        while let Some(engine) = &mut self.engine {
            if engine.has_failed() {
                return self.fail(context, cause::PROTOCOL_VIOLATION, Reason::Aborted);
            }
            // The engine hands over all it may send in one go; the second call finds nothing.
            let packets = engine.poll(context.now);
            if packets.is_empty() {
                return;
            }
            for packet in packets {
                self.put_on_wire(&packet, context);
            }
        }
    }

    fn put_on_wire(&mut self, engine_packet: &Bytes, context: &mut Context<'_>) {
        let Ok(packet) = Packet::parse_unchecked(engine_packet) else {
            return;
        };
        let mut builder = PacketBuilder::with_capacity(self.header(), engine_packet.len());
        let mut late = false;
        // RFC 9260 §9.2: while draining, nobody should wait for a delayed acknowledgement.
        let hurry = self.close_requested;
        for chunk in packet.chunks() {
            match chunk.kind {
                kind::DATA => {
                    if let Some(tsn) = self.outward.put(&chunk, hurry, &mut builder)
                        && tsn_after(tsn, self.last_sent)
                    {
                        self.last_sent = tsn;
                        if chunk.flags & ppid::END != 0 {
                            self.unacknowledged.on_sent(tsn);
                        }
                    }
                }
                kind::SACK => {
                    let room = context.config.mtu.saturating_sub(builder.len() + 16);
                    if let Some(sack) = sack::outward(&chunk, room, &mut builder) {
                        late = self.note_sack(sack);
                    }
                }
                _ => {}
            }
        }
        if !builder.is_empty() {
            context.transmit(self.udp, builder.finish());
        }
        if late {
            self.send_shutdown(context);
        }
    }

    /// Remembers what the peer was told; true if a SHUTDOWN before this one said less.
    fn note_sack(&mut self, sack: Sack) -> bool {
        let newer = tsn_after(sack.cumulative, self.received);
        self.received = sack.cumulative;
        self.told_window = usize::try_from(sack.window).unwrap_or(usize::MAX);
        self.read_since = 0;
        self.owes_sack = false;
        newer && self.state == State::ShutdownSent
    }
}
