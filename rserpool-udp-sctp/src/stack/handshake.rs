//! INIT and COOKIE ECHO from anybody (RFC 9260 §5.1, §5.2).

use super::*;
use crate::edge::abort::{abort, cause, error_cause};
use crate::edge::cookie::Cookie;
use crate::edge::init::{Duplicate, init_ack, judge};
use crate::edge::params::Params;
use crate::packet::{Header, single};

/// Ends it for the reason on the way to a new association.
const RESTARTED: Option<End> = Some(End::Disconnected(Reason::Restarted));

impl Stack {
    /// Answers an INIT with an INIT ACK. Stores nothing and changes no association.
    pub(super) fn on_init(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        let header = packet.header;
        let source = SocketAddr::new(from.ip(), header.source_port);
        // RFC 9260 §8.5.1 A, §6.10: tag 0, and alone in its packet.
        let alone = header.tag == 0 && packet.chunks().count() == 1;
        let peer = packet.first().and_then(|chunk| Terms::read(chunk.value));
        let (Some(chunk), Some(peer), true) =
            (packet.first(), peer, alone && is_unicast(from.ip()))
        else {
            self.counters.malformed += 1;
            return;
        };
        let existing = self.peers.get(&(header.destination_port, source)).copied();
        let params = Params::read(chunk.value);
        let refusal = if existing.is_none() && !self.listening.contains(&header.destination_port) {
            Some(cause::USER_INITIATED_ABORT)
        } else if params.host_name {
            Some(cause::UNRESOLVABLE_ADDRESS)
        } else if !peer.is_valid() {
            Some(cause::INVALID_MANDATORY_PARAMETER)
        } else if existing.is_none() && self.associations.len() >= self.config.max_associations {
            self.counters.over_limit += 1;
            Some(cause::OUT_OF_RESOURCE)
        } else {
            None
        };
        if let Some(code) = refusal {
            self.counters.inits_refused += 1;
            return self.refuse(now, from, back(header, peer.tag), code);
        }
        let (limit, window) = (
            self.config.max_half_open_per_source,
            self.config.half_open_lifetime,
        );
        if !self.inits.take(now, from.ip(), limit, window) {
            self.counters.inits_over_limit += 1;
            return;
        }
        let Some((local, tie)) = self.terms_for(now, existing, peer.tag) else {
            return;
        };
        let cookie = Cookie {
            made: now.saturating_duration_since(self.started.unwrap_or(now)),
            local_port: header.destination_port,
            remote: source,
            local,
            peer,
            tie,
            addresses: params.addresses,
        };
        let value = init_ack(&local, &cookie.seal(&self.cookie_key), &params.unrecognized);
        let payload = single(back(header, peer.tag), kind::INIT_ACK, 0, &value);
        self.counters.inits_answered += 1;
        self.out.push_back(Transmit { to: from, payload });
    }

    /// Our side of the INIT ACK and the tie-tags, by the state there is (RFC 9260 §5.2.1, §5.2.2).
    fn terms_for(
        &mut self,
        now: Instant,
        existing: Option<AssociationId>,
        peer_tag: u32,
    ) -> Option<(Terms, (u32, u32))> {
        let association = existing.and_then(|id| self.associations.get(&id));
        let (keep, tie) = match association.map(|a| (a, &a.state, a.peer)) {
            None => (None, (0, 0)),
            Some((a, State::CookieWait, _)) => (Some(a.local), (0, 0)),
            Some((a, State::CookieEchoed(_), peer)) => {
                (Some(a.local), (a.local.tag, peer.map_or(0, |p| p.tag)))
            }
            Some((a, State::ShutdownAckSent, _)) => {
                // RFC 9260 §9.2: it is asked to finish first.
                a.send_empty(kind::SHUTDOWN_ACK, &mut context!(self, now));
                return None;
            }
            Some((a, _, peer)) => (None, (a.local.tag, peer.map_or(0, |p| p.tag))),
        };
        let local = match keep {
            // Two equal tags are of no use to sctp-proto; the peer's next INIT has the same, ours not.
            Some(local) if local.tag == peer_tag => return None,
            Some(local) => local,
            None => loop {
                let terms = self.new_terms();
                if terms.tag != peer_tag {
                    break terms;
                }
            },
        };
        Some((local, tie))
    }

    /// A cookie comes back: a new association, or what table 12 of RFC 9260 §5.2.4 says.
    pub(super) fn on_cookie_echo(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>) {
        let header = packet.header;
        let opened = packet
            .first()
            .and_then(|chunk| Cookie::open(chunk.value, &self.cookie_key));
        let fits = |cookie: &Cookie| {
            cookie.local_port == header.destination_port
                && cookie.remote.port() == header.source_port
                && cookie.local.tag == header.tag
                && (cookie.remote.ip() == from.ip() || cookie.addresses.contains(&from.ip()))
        };
        let Some(cookie) = opened.filter(fits) else {
            self.counters.bad_cookies += 1;
            return;
        };
        let existing = self.peers.get(&(cookie.local_port, cookie.remote)).copied();
        let association = existing.and_then(|id| self.associations.get(&id));
        let verdict = association.map(|a| judge(&cookie, a.local.tag, a.peer.map(|p| p.tag)));
        if verdict != Some(Duplicate::Same) && self.is_stale(now, from, &cookie, header) {
            return;
        }
        match (existing, verdict) {
            // Action D: our COOKIE ACK was lost, or both sides began and agree.
            (Some(id), Some(Duplicate::Same)) => self.enter(now, from, packet, (id, &cookie)),
            (Some(id), Some(Duplicate::Collision)) => {
                self.on_collision(now, from, packet, (id, &cookie));
            }
            (Some(id), Some(Duplicate::Restart)) => {
                self.on_restart(now, from, packet, (id, &cookie));
            }
            (None, _) if self.listening.contains(&cookie.local_port) => {
                self.accept(now, from, packet, &cookie);
            }
            _ => self.counters.bad_cookies += 1,
        }
    }

    /// RFC 9260 §5.2.6. The excess of age is told in microseconds.
    fn is_stale(
        &mut self,
        now: Instant,
        from: SocketAddr,
        cookie: &Cookie,
        header: Header,
    ) -> bool {
        let age = now
            .saturating_duration_since(self.started.unwrap_or(now))
            .saturating_sub(cookie.made);
        let excess = age.saturating_sub(self.config.valid_cookie_life);
        if excess.is_zero() {
            return false;
        }
        self.counters.stale_cookies += 1;
        if self.strangers.take(now) {
            let micros = u32::try_from(excess.as_micros()).unwrap_or(u32::MAX);
            let error = error_cause(cause::STALE_COOKIE, &micros.to_be_bytes());
            let payload = single(back(header, cookie.peer.tag), kind::ERROR, 0, &error);
            self.out.push_back(Transmit { to: from, payload });
        }
        true
    }

    fn accept(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>, cookie: &Cookie) {
        if self.tags.contains_key(&cookie.local.tag) {
            // Drawn a second time since the INIT ACK. The peer's next attempt gets another.
            self.counters.bad_cookies += 1;
            return;
        }
        if self.associations.len() >= self.config.max_associations {
            self.counters.over_limit += 1;
            return self.refuse(
                now,
                from,
                back(packet.header, cookie.peer.tag),
                cause::OUT_OF_RESOURCE,
            );
        }
        let id = self.new_id();
        let association = Association::accept(id, cookie, from, &context!(self, now));
        self.insert(association);
        self.enter(now, from, packet, (id, cookie));
    }

    /// ESTABLISHED, COOKIE ACK, and then what was bundled behind the COOKIE ECHO.
    fn enter(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        (id, cookie): (AssociationId, &Cookie),
    ) {
        self.inits.give_back(from.ip());
        let mut chunks = packet.chunks();
        chunks.next();
        let arrival = Arrival::new(packet.header.tag, from);
        let (peer, addresses) = (cookie.peer, cookie.addresses.clone());
        self.with(now, id, |association, context| {
            association.establish(peer, addresses, context);
            if association.ended.is_none() {
                association.send_empty(kind::COOKIE_ACK, context);
                association.on_packet(chunks, arrival, context);
            }
        });
    }

    /// Action B: the peer's INIT overtook its answer to ours. Its later tag is the one in use.
    fn on_collision(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        known: (AssociationId, &Cookie),
    ) {
        let up = self
            .associations
            .get(&known.0)
            .is_some_and(Association::is_up);
        if up {
            // We were up with an earlier incarnation of the peer.
            self.on_restart(now, from, packet, known);
        } else {
            self.enter(now, from, packet, known);
        }
    }

    /// Action A: the peer came back without its state. One association is lost, another begins.
    fn on_restart(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &Packet<'_>,
        (id, cookie): (AssociationId, &Cookie),
    ) {
        let Some(association) = self.associations.get_mut(&id) else {
            return;
        };
        if association.state == State::ShutdownAckSent {
            return association.send_empty(kind::SHUTDOWN_ACK, &mut context!(self, now));
        }
        self.counters.restarts += 1;
        association.ended = RESTARTED;
        self.remove(id);
        self.accept(now, from, packet, cookie);
    }

    /// ABORT to somebody who is not in an association.
    fn refuse(&mut self, now: Instant, from: SocketAddr, header: Header, code: u16) {
        if header.tag != 0 && self.strangers.take(now) {
            let payload = abort(header, code);
            self.out.push_back(Transmit { to: from, payload });
        }
    }
}

/// The header of an answer.
fn back(header: Header, tag: u32) -> Header {
    Header {
        source_port: header.destination_port,
        destination_port: header.source_port,
        tag,
    }
}
