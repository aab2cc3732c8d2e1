//! Announcing the registrar by multicast (RFC 5352 §3.6).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::{Registrar, Timer};
use crate::hunt::SHORTEST;
use crate::ids::{Ppid, ServerId};
use crate::time::Instant;
use crate::wire::asap::{self, Message};
use crate::wire::{List, SctpTransport, Transport, TransportUse};

/// The other registrars that were heard.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    heard: BTreeSet<ServerId>,
}

impl Announcer {
    /// More than this many are not told apart: the announcements are rare enough then.
    const CAP: usize = 256;

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    pub(super) fn forget(&mut self, server: ServerId) {
        self.heard.remove(&server);
    }
}

impl Registrar {
    /// Every (N+1) × T6, so that all N+1 registrars together announce about once in T6.
    pub(super) fn announce(&mut self, now: Instant) {
        let addresses: Vec<IpAddr> = self
            .config
            .asap_addresses
            .iter()
            .map(|address| address.ip())
            .collect();
        let port = self
            .config
            .asap_addresses
            .first()
            .map_or(crate::ASAP_PORT, |address| address.port());
        let sctp = Transport::Sctp(SctpTransport {
            port,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&addresses),
        });
        let tcp = self.config.asap_tcp_port.into_iter().flat_map(|port| {
            addresses.iter().map(move |address| Transport::Tcp {
                port,
                transport_use: TransportUse::DATA_ONLY,
                address: *address,
            })
        });
        let sctp = Some(sctp).filter(|_| !addresses.is_empty());
        let transports: Vec<_> = sctp.into_iter().chain(tcp).collect();
        let message = Message::ServerAnnounce {
            server_id: self.id,
            transports: List::Slice(&transports),
        };
        if let Ok(bytes) = message.to_bytes() {
            self.actions.announce(Ppid::ASAP, bytes);
        }
        let others = u32::try_from(self.announcer.heard.len()).unwrap_or(u32::MAX);
        let t6 = self.config.t6_serverannounce.max(SHORTEST);
        let period = t6.saturating_mul(others.saturating_add(1));
        self.timers.set(Timer::Announce, now + period);
    }

    pub(super) fn on_announcement(&mut self, now: Instant, bytes: &[u8]) {
        // T7-ENRPoutdate, as long as elements and users remember an announcement; longer where there are many registrars.
        const OUTDATED: Duration = Duration::from_secs(5);
        let server_id = match asap::decode(bytes).map(|decoded| decoded.message) {
            Ok(Message::ServerAnnounce { server_id, .. }) => server_id,
            Ok(_) => {
                self.counters.unexpected += 1;
                return;
            }
            Err(_) => {
                self.counters.malformed += 1;
                return;
            }
        };
        let heard = &self.announcer.heard;
        let known = heard.contains(&server_id);
        if server_id == self.id || (heard.len() >= Announcer::CAP && !known) {
            return;
        }
        if !known && !self.admits_announcement(now) {
            return;
        }
        let heard = &mut self.announcer.heard;
        heard.insert(server_id);
        let servers = u32::try_from(heard.len() + 1).unwrap_or(u32::MAX);
        let outdated = OUTDATED.max(
            self.config
                .t6_serverannounce
                .saturating_mul(servers.saturating_mul(2)),
        );
        self.timers.set(Timer::Outdated(server_id), now + outdated);
    }
}
