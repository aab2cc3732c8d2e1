//! The home of the element: how it is found, kept, changed and lost (RFC 5352 §3.1, §3.4, §3.6).

use core::net::SocketAddr;

use super::{Event, Owed, Peer, PoolElement, State, Timer};
use crate::hunt::Found;
use crate::ids::{AssocId, PeId, ServerId};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::asap::Message;

/// The fields of an ASAP_ENDPOINT_KEEP_ALIVE.
pub(super) struct KeepAlive<'a> {
    pub(super) home: bool,
    pub(super) server_id: ServerId,
    pub(super) pool_handle: &'a [u8],
    pub(super) pe_id: Option<PeId>,
}

impl PoolElement {
    pub(super) fn on_connected(
        &mut self,
        now: Instant,
        association: AssocId,
        remote: &[SocketAddr],
    ) {
        let Some(&first) = remote.first() else {
            return;
        };
        // Users cannot take the places that the element needs to reach a registrar.
        let known = self.peers.contains_key(&association);
        let wanted = remote.iter().any(|remote| self.hunt.is_attempt(*remote));
        if !known && !wanted && self.peers.len() >= self.config.max_associations {
            self.counters.refused += 1;
            self.actions.abort(association);
            return;
        }
        self.peers.entry(association).or_insert(Peer {
            remote: first,
            session: false,
        });
        let found = self
            .hunt
            .on_connected(association, remote, &mut self.actions);
        match found {
            Found::Home => self.on_home(now, ServerId::default()),
            Found::Surplus if !known => self.actions.disconnect(association),
            Found::Surplus | Found::NotOurs => {}
        }
    }

    /// There is a new home, and it has not been asked for anything.
    fn on_home(&mut self, now: Instant, id: ServerId) {
        self.home_id = id;
        self.owed = Owed::default();
        self.timers.cancel(Timer::T2Registration);
        self.proceed(now);
    }

    /// RFC 5352 §3.4 KA1–KA2, §2.2.7.
    pub(super) fn on_keep_alive(
        &mut self,
        now: Instant,
        association: AssocId,
        keep_alive: &KeepAlive<'_>,
    ) {
        let meant = keep_alive.pool_handle == self.config.pool_handle.as_bytes()
            && keep_alive.pe_id.is_none_or(|pe_id| pe_id == self.id)
            && self.state != State::Out;
        if !meant {
            self.counters.unexpected += 1;
            return;
        }
        let message = Message::EndpointKeepAliveAck {
            pool_handle: self.config.pool_handle.as_bytes(),
            pe_id: self.id,
        };
        if !planted(Bug::KeepAliveNotAcknowledged) {
            self.actions.send_asap(association, &message);
        }
        if self.hunt.home() == Some(association) {
            self.home_id = keep_alive.server_id;
        } else if keep_alive.home
            && !self.is_home(keep_alive.server_id)
            && !planted(Bug::HomeFlagIgnored)
        {
            // KA2.4. The new home learns the element's attributes by a registration at once, not at the next T4.
            let Some(peer) = self.peers.get(&association) else {
                return;
            };
            self.hunt.adopt(association, peer.remote, &mut self.actions);
            self.known = true;
            if planted(Bug::AdoptedWithoutRegistration) {
                self.home_id = keep_alive.server_id;
                return;
            }
            self.on_home(now, keep_alive.server_id);
        }
    }

    /// Whether the registrar with this identifier is known to be the home.
    fn is_home(&self, id: ServerId) -> bool {
        self.hunt.home().is_some() && self.home_id != ServerId::default() && self.home_id == id
    }

    pub(super) fn on_disconnected(&mut self, now: Instant, association: AssocId) {
        let Some(peer) = self.peers.remove(&association) else {
            return;
        };
        if peer.session {
            self.actions.notify(Event::SessionClosed { association });
        }
        if !self.hunt.on_disconnected(now, association) {
            return;
        }
        self.timers.cancel(Timer::T2Registration);
        self.timers.cancel(Timer::T4Reregistration);
        self.announced_home = None;
        self.owed = Owed::default();
        if self.state == State::Registered {
            self.state = State::Pending;
        }
        if planted(Bug::HomeLossUnnoticed) {
            return;
        }
        self.proceed(now);
    }
}
