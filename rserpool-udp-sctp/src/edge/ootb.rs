//! Packets out of the blue (RFC 9260 §8.4), and limits on answers to strangers.
//!
//! Gap in sctp-proto 0.10.8: packets that belong to no association get no answer, so a peer that
//! missed our end keeps repeating. Can go when upstream implements §8.4 with a rate limit.

use alloc::vec;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::time::Instant;

use super::abort::reflected_abort;
use crate::packet::{Header, Packet, T_BIT, kind, single};

/// The answer to a packet that belongs to no association, if it deserves one. INIT and COOKIE ECHO
/// are not for this function.
pub(crate) fn answer(packet: &Packet<'_>, from: SocketAddr) -> Option<Vec<u8>> {
    if !is_unicast(from.ip()) {
        return None;
    }
    let back = Header {
        source_port: packet.header.destination_port,
        destination_port: packet.header.source_port,
        tag: packet.header.tag,
    };
    let mut shutdown_ack = false;
    for chunk in packet.chunks() {
        match chunk.kind {
            // Never an answer to an answer.
            kind::ABORT | kind::SHUTDOWN_COMPLETE | kind::COOKIE_ACK | kind::ERROR => return None,
            kind::SHUTDOWN_ACK => shutdown_ack = true,
            _ => {}
        }
    }
    if shutdown_ack {
        Some(single(back, kind::SHUTDOWN_COMPLETE, T_BIT, &[]))
    } else {
        Some(reflected_abort(back))
    }
}

/// Neither unspecified nor multicast nor broadcast.
pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// A token bucket that holds one second's worth.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    tokens: u32,
    refilled: Option<Instant>,
}

impl Bucket {
    pub(crate) fn new(per_second: u32) -> Bucket {
        Bucket {
            per_second,
            tokens: per_second,
            refilled: None,
        }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let last = *self.refilled.get_or_insert(now);
        let gained = now.saturating_duration_since(last).as_micros() * u128::from(self.per_second)
            / 1_000_000;
        if gained > 0 {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(self.per_second);
            self.refilled = Some(now);
        }
        let taken = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        taken
    }
}

/// Open INITs by source, in a table of fixed size: sources that share a slot share its budget, and
/// nothing a stranger sends makes it grow.
#[derive(Debug)]
pub(crate) struct InitBudget {
    slots: Vec<u16>,
    key: [u8; 16],
    since: Option<Instant>,
}

const SLOTS: usize = 1024;

impl InitBudget {
    pub(crate) fn new(key: [u8; 16]) -> InitBudget {
        InitBudget {
            slots: vec![0; SLOTS],
            key,
            since: None,
        }
    }

    /// Counts one INIT; false if the source is over `limit` within `window`.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        source: IpAddr,
        limit: u16,
        window: Duration,
    ) -> bool {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= window {
            self.slots.fill(0);
            self.since = Some(now);
        }
        let Some(slot) = self.slot(source) else {
            return false;
        };
        if *slot >= limit {
            return false;
        }
        *slot += 1;
        true
    }

    /// The source proved that it receives what is sent to its address.
    pub(crate) fn give_back(&mut self, source: IpAddr) {
        if let Some(slot) = self.slot(source) {
            *slot = slot.saturating_sub(1);
        }
    }

    fn slot(&mut self, source: IpAddr) -> Option<&mut u16> {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        source.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or(0);
        self.slots.get_mut(index)
    }
}
