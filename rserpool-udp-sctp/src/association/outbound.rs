//! What leaves an association: handshake and shutdown chunks, and the engine's packets made fit for
//! the wire.

use alloc::vec::Vec;
use bytes::Bytes;
use std::time::Instant;

use super::{Association, Context, State};
use crate::edge::abort::cause;
use crate::edge::ppid;
use crate::edge::sack::{self, Sack};
use crate::edge::shutdown::Repeat;
use crate::event::Reason;
use crate::packet::{HEADER_LEN, Header, Packet, PacketBuilder, kind, single, tsn_after};

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
            self.put_on_wire(packets, context);
        }
    }

    /// The engine's packets, with an acknowledgement in the one that has room for it: the engine makes it last, and in a packet
    /// of its own.
    fn put_on_wire(&mut self, mut packets: Vec<Bytes>, context: &mut Context<'_>) {
        if let [.., data, last] = &mut packets[..]
            && is_sack(last)
        {
            // RFC 9260 §6.10: what controls stands before the data.
            core::mem::swap(data, last);
        }
        let mtu = context.config.mtu;
        let mut builder = PacketBuilder::new(self.header());
        let mut late = false;
        for packet in &packets {
            let full = builder.len() + packet.len() > mtu + HEADER_LEN;
            if !builder.is_empty() && (full || is_sack(packet)) {
                let next = PacketBuilder::new(self.header());
                let done = core::mem::replace(&mut builder, next);
                context.transmit(self.udp, done.finish());
            }
            late |= self.translate(packet, mtu, &mut builder);
        }
        if !builder.is_empty() {
            context.transmit(self.udp, builder.finish());
        }
        if late {
            self.send_shutdown(context);
        }
    }

    /// Makes the chunks of an engine's packet fit for the wire; true if a SHUTDOWN before it acknowledged less.
    fn translate(&mut self, packet: &Bytes, mtu: usize, builder: &mut PacketBuilder) -> bool {
        let Ok(packet) = Packet::parse_unchecked(packet) else {
            return false;
        };
        let mut late = false;
        // RFC 9260 §9.2: while draining, nobody should wait for a delayed acknowledgement.
        let hurry = self.close_requested;
        for chunk in packet.chunks() {
            match chunk.kind {
                kind::DATA => {
                    if let Some(tsn) = self.outward.put(&chunk, hurry, builder)
                        && tsn_after(tsn, self.last_sent)
                    {
                        self.last_sent = tsn;
                        if chunk.flags & ppid::END != 0 {
                            self.unacknowledged.on_sent(tsn);
                        }
                    }
                }
                kind::SACK => {
                    let room = mtu.saturating_sub(builder.len() + 16);
                    if let Some(sack) = sack::outward(&chunk, room, builder) {
                        late = self.note_sack(sack);
                    }
                }
                _ => {}
            }
        }
        late
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

fn is_sack(packet: &Bytes) -> bool {
    packet.get(HEADER_LEN) == Some(&kind::SACK)
}
