//! The operational scope as one registrar sees it: its peers, and what goes to them (RFC 5353 §3.1, §3.4).
//!
//! ```text
//!                    any message                        61 s of silence
//!   unknown ───────────────────────▶ Active ◀──────────────────────────▶ Probed
//!                                     │  ▲         any message             │ 5 s of silence, no association
//!                     INIT_TAKEOVER   │  │ any message                     ▼
//!                     of another one  ▼  │                          own takeover (takeover.rs)
//!                                   Suspected ── nothing comes of it ──────▲
//! ```

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::startup::Startup;
use super::sync::{Download, Upload};
use super::takeover::{Move, Takeover};
use super::{Event, Registrar, Timer};
use crate::ids::{AssocId, Ppid, ServerId};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::enrp::{Message, MessageBody};
use crate::wire::{List, SctpTransport, ServerInformation, TransportUse};

/// What a registrar thinks of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It was heard of late.
    Active,
    /// It was silent for MAX-TIME-LAST-HEARD and has been asked whether it is there.
    Probed,
    /// Another registrar wants to take it over; `claimed` once that one said that it has.
    Suspected {
        /// That one.
        taker: ServerId,
        /// Whether ENRP_TAKEOVER_SERVER has come.
        claimed: bool,
    },
}

/// A peer registrar.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it speaks ENRP; empty while unknown.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) association: Option<AssocId>,
    pub(super) status: Status,
    /// Whether updates of it may have been missed: its elements are to be fetched, even where the checksums agree.
    pub(super) outdated: bool,
    /// Messages that wait for the association.
    waiting: VecDeque<Bytes>,
    /// What is being fetched from it.
    pub(super) download: Option<Download>,
    /// What it is fetching.
    pub(super) upload: Option<Upload>,
}

/// All that a registrar keeps about its scope.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) servers: BTreeMap<ServerId, Server>,
    /// Addresses to call as long as no peer is known there: configured ones, and those of lost peers.
    contacts: BTreeSet<SocketAddr>,
    /// Calls on their way.
    calls: BTreeSet<SocketAddr>,
    pub(super) startup: Startup,
    /// Who has refused to be the mentor, starting itself.
    pub(super) refusers: BTreeSet<ServerId>,
    pub(super) takeovers: BTreeMap<ServerId, Takeover>,
    /// What is on its way to a new home, oldest first.
    pub(super) moves: VecDeque<Move>,
}

impl Scope {
    /// Lost peers' addresses beyond this number are forgotten.
    const MAX_CONTACTS: usize = 256;

    pub(super) fn new(configured: &[SocketAddr]) -> Self {
        Self {
            contacts: configured.iter().copied().collect(),
            ..Self::default()
        }
    }

    pub(super) fn is_call(&self, remote: SocketAddr) -> bool {
        self.calls.contains(&remote)
    }

    fn remember(&mut self, addresses: &[SocketAddr]) {
        if let Some(&first) = addresses.first()
            && self.contacts.len() < Self::MAX_CONTACTS
        {
            self.contacts.insert(first);
        }
    }
}

impl Registrar {
    /// The peers that are thought to be alive.
    pub(super) fn active_peers(&self) -> Vec<ServerId> {
        self.scope
            .servers
            .iter()
            .filter(|(_, server)| server.status == Status::Active)
            .map(|(id, _)| *id)
            .collect()
    }

    /// A message of any type has come from `id`: it is known and alive (RFC 5353 §3.4.1, §3.4.3). `None` where there is no
    /// room for another peer.
    pub(super) fn on_heard(
        &mut self,
        now: Instant,
        id: ServerId,
        association: Option<AssocId>,
    ) -> Option<()> {
        let new = !self.scope.servers.contains_key(&id);
        self.ensure_server(now, id)?;
        let server = self.scope.servers.get_mut(&id)?;
        let was = core::mem::replace(&mut server.status, Status::Active);
        if was != Status::Active {
            self.timers.cancel(Timer::NoResponse(id));
            self.timers.cancel(Timer::Suspicion(id));
        }
        if !planted(Bug::LastHeardNotRearmed) {
            self.timers
                .set(Timer::LastHeard(id), now + self.config.max_time_last_heard);
        }
        // RFC 5353 §3.5.1: the target is active, and the takeover stops.
        self.stop_takeover(id);
        if let Some(association) = association {
            let before = self
                .peers
                .get(&association)
                .and_then(|peer| peer.server)
                .filter(|before| *before != id);
            self.bind_server(id, association);
            if let Some(peer) = self.peers.get_mut(&association) {
                peer.proven = true;
            }
            if let Some(before) = before {
                self.on_replaced(now, before);
            }
        }
        if new {
            self.actions.notify(Event::PeerFound { server: id });
            self.send_presence(id, true);
        }
        Some(())
    }

    /// Where `before` was, another registrar is now: its process has ended, and the new one knows nothing of it.
    fn on_replaced(&mut self, now: Instant, before: ServerId) {
        if let Some(server) = self.scope.servers.get_mut(&before) {
            server.association = None;
            server.waiting.clear();
            self.stop_download(now, before);
            self.on_no_response(now, before);
        }
    }

    /// Whether a message on the association can be of the registrar that it names as its sender. A registrar has one
    /// identifier as long as it lives, and speaks from its own addresses.
    pub(super) fn may_speak_for(&self, association: AssocId, sender: ServerId) -> bool {
        let Some(peer) = self.peers.get(&association) else {
            return false;
        };
        if peer.proven && peer.server.is_some_and(|server| server != sender) {
            return false;
        }
        match self.scope.servers.get(&sender) {
            Some(server) if server.association == Some(association) => true,
            Some(server) if !server.addresses.is_empty() => {
                server.addresses.iter().any(|one| peer.is_at(one.ip()))
            }
            _ => true,
        }
    }

    /// The peer owns elements of which only others have told: what it says of them is fetched, even where the checksums agree.
    pub(super) fn expect_news(&mut self, id: ServerId) {
        if let Some(server) = self.scope.servers.get_mut(&id) {
            server.outdated = true;
        }
    }

    /// Makes `id` a peer whose silence is watched. `None` where there is no room.
    pub(super) fn ensure_server(&mut self, now: Instant, id: ServerId) -> Option<()> {
        if self.scope.servers.contains_key(&id) {
            return Some(());
        }
        if self.scope.servers.len() >= self.config.max_peers {
            self.counters.refused_peers += 1;
            return None;
        }
        let server = Server {
            addresses: Vec::new(),
            association: None,
            status: Status::Active,
            outdated: true,
            waiting: VecDeque::new(),
            download: None,
            upload: None,
        };
        self.scope.servers.insert(id, server);
        self.timers
            .set(Timer::LastHeard(id), now + self.config.max_time_last_heard);
        Some(())
    }

    /// Learns where the peer of an association speaks ENRP. It can only name addresses of its own.
    pub(super) fn learn_own_addresses(
        &mut self,
        association: AssocId,
        id: ServerId,
        transport: &SctpTransport<'_>,
    ) {
        let own = self
            .peers
            .get(&association)
            .is_some_and(|peer| transport.addresses.iter().any(|one| peer.is_at(one)));
        if own {
            self.learn_addresses(id, transport);
        } else {
            self.counters.unexpected += 1;
        }
    }

    /// Learns where a peer speaks ENRP.
    pub(super) fn learn_addresses(&mut self, id: ServerId, transport: &SctpTransport<'_>) {
        const MAX_ADDRESSES: usize = 16;
        let Some(server) = self.scope.servers.get_mut(&id) else {
            return;
        };
        if transport.port != 0 {
            server.addresses = transport
                .addresses
                .iter()
                .take(MAX_ADDRESSES)
                .filter(|address| !address.is_unspecified() && !address.is_multicast())
                .map(|address| SocketAddr::new(address, transport.port))
                .collect();
        }
    }

    /// The peer is reached on `association` from now on; what waited for one goes out. What still comes from its host on an older
    /// association than it is reached on changes nothing: the peer may have lost that one, and would not hear what is said there.
    fn bind_server(&mut self, id: ServerId, association: AssocId) {
        let bound = self.scope.servers.get(&id).and_then(|one| one.association);
        let bound = bound.and_then(|bound| self.peers.get(&bound));
        if let (Some(bound), Some(peer)) = (bound, self.peers.get(&association))
            && bound.order > peer.order
            && peer.remote.first().is_some_and(|one| bound.is_at(one.ip()))
        {
            return;
        }
        let Some(server) = self.scope.servers.get_mut(&id) else {
            return;
        };
        let waiting = core::mem::take(&mut server.waiting);
        let old = server.association.replace(association);
        server.outdated |= old != Some(association) && !planted(Bug::OutdatedForgotten);
        if let Some(peer) = self.peers.get_mut(&association)
            && peer.server != Some(id)
        {
            peer.server = Some(id);
            peer.proven = false;
        }
        if let Some(old) = old.filter(|old| *old != association)
            && let Some(peer) = self.peers.get_mut(&old)
        {
            peer.server = None;
        }
        for bytes in waiting {
            self.actions.send(association, Ppid::ENRP, 0, bytes);
        }
    }

    /// Sends a message to a peer; without an association it waits for one.
    pub(super) fn send_server(&mut self, id: ServerId, body: MessageBody<'_>) {
        let message = Message {
            sender: self.id,
            receiver: id,
            body,
        };
        if let Ok(bytes) = message.to_bytes() {
            self.send_bytes(id, bytes);
        }
    }

    /// The encoded message goes to one peer.
    pub(super) fn send_bytes(&mut self, id: ServerId, bytes: Bytes) {
        const MAX_WAITING: usize = 64;
        let Some(server) = self.scope.servers.get_mut(&id) else {
            return;
        };
        if let Some(association) = server.association {
            self.actions.send(association, Ppid::ENRP, 0, bytes);
            return;
        }
        if server.waiting.len() < MAX_WAITING {
            server.waiting.push_back(bytes);
        }
        let addresses = server.addresses.clone();
        self.call_server(addresses);
    }

    /// Calls a registrar that was heard by multicast; a flood of these starts few calls.
    pub(super) fn call_announced(&mut self, transport: &SctpTransport<'_>) {
        const MAX_CALLS: usize = 16;
        const MAX_ADDRESSES: usize = 16;
        let addresses: Vec<_> = transport
            .addresses
            .iter()
            .take(MAX_ADDRESSES)
            .filter(|address| !address.is_unspecified() && !address.is_multicast())
            .map(|address| SocketAddr::new(address, transport.port))
            .filter(|address| address.port() != 0 && !self.config.enrp_addresses.contains(address))
            .collect();
        let known = self
            .scope
            .servers
            .values()
            .any(|server| server.addresses.iter().any(|one| addresses.contains(one)));
        if known || self.scope.calls.len() < MAX_CALLS {
            self.call_server(addresses);
        }
    }

    fn call_server(&mut self, addresses: Vec<SocketAddr>) {
        if let Some(&first) = addresses.first()
            && self.scope.calls.insert(first)
        {
            self.actions.connect(Ppid::ENRP, addresses);
        }
    }

    /// Sends an announcement to every known peer, encoded once (RFC 5353 §3.1). Where a peer has no association the message is
    /// dropped if it is `perishable`: the audit repairs what is lost.
    pub(super) fn send_all(&mut self, body: MessageBody<'_>, perishable: bool) {
        let message = Message {
            sender: self.id,
            receiver: ServerId::default(),
            body,
        };
        let Ok(bytes) = message.to_bytes() else {
            return;
        };
        let ids: Vec<_> = self.scope.servers.keys().copied().collect();
        for id in ids {
            let up = self.scope.servers[&id].association.is_some();
            if up || !perishable {
                self.send_bytes(id, bytes.clone());
            }
        }
    }

    /// A presence with the checksum and, always, the server information (RFC 5353 §2.1, §3.6.1).
    fn presence<R>(&self, reply_required: bool, send: impl FnOnce(MessageBody<'_>) -> R) -> R {
        let addresses: Vec<IpAddr> = self
            .config
            .enrp_addresses
            .iter()
            .map(|address| address.ip())
            .collect();
        let server = self
            .config
            .enrp_addresses
            .first()
            .map(|address| ServerInformation {
                id: self.id,
                transport: SctpTransport {
                    port: address.port(),
                    transport_use: TransportUse::DATA_ONLY,
                    addresses: List::Slice(&addresses),
                },
            });
        send(MessageBody::Presence {
            reply_required,
            checksum: Some(self.handlespace.checksum(self.id)),
            server,
        })
    }

    /// The bytes of a presence for `receiver`, 0 for all.
    fn presence_bytes(&self, receiver: ServerId, reply_required: bool) -> Option<Bytes> {
        self.presence(reply_required, |body| {
            let message = Message {
                sender: self.id,
                receiver,
                body,
            };
            message.to_bytes().ok()
        })
    }

    pub(super) fn send_presence(&mut self, id: ServerId, reply_required: bool) {
        if let Some(bytes) = self.presence_bytes(id, reply_required) {
            self.send_bytes(id, bytes);
        }
    }

    /// Answers whoever asked on `association`, known or not.
    pub(super) fn answer_presence(&mut self, association: AssocId, receiver: ServerId) {
        if let Some(bytes) = self.presence_bytes(receiver, false) {
            self.actions.send(association, Ppid::ENRP, 0, bytes);
        }
    }

    /// Every PEER-HEARTBEAT-CYCLE (RFC 5353 §3.4.2).
    pub(super) fn on_heartbeat(&mut self, now: Instant) {
        self.announce_presence();
        self.call_contacts();
        // Whoever owns elements is watched, however it came to own them.
        let owners: Vec<_> = self
            .handlespace
            .owners()
            .filter(|id| *id != self.id && !self.is_moving_from(*id))
            .collect();
        for owner in owners {
            self.ensure_server(now, owner);
        }
        if !planted(Bug::HeartbeatNotRearmed) {
            self.timers
                .set(Timer::Heartbeat, now + self.config.peer_heartbeat_cycle);
        }
    }

    /// Tells all peers, and the group, that this registrar is there.
    pub(super) fn announce_presence(&mut self) {
        let Some(bytes) = self.presence_bytes(ServerId::default(), false) else {
            return;
        };
        let ids: Vec<_> = self.scope.servers.keys().copied().collect();
        for id in ids {
            self.send_bytes(id, bytes.clone());
        }
        if self.config.enrp_announce {
            self.actions.announce(Ppid::ENRP, bytes);
        }
    }

    /// Calls the configured and lost peers that are not known at the moment.
    pub(super) fn call_contacts(&mut self) {
        let known: BTreeSet<_> = self
            .scope
            .servers
            .values()
            .filter(|server| server.association.is_some())
            .flat_map(|server| server.addresses.iter().copied())
            .collect();
        let own = &self.config.enrp_addresses;
        let missing: Vec<_> = self
            .scope
            .contacts
            .iter()
            .filter(|address| !known.contains(address) && !own.contains(address))
            .copied()
            .collect();
        for address in missing {
            self.call_server(alloc::vec![address]);
        }
    }

    /// An association that a call asked for is up: who is there is asked, or told what waited for it.
    pub(super) fn on_enrp_connected(&mut self, association: AssocId, remote: &[SocketAddr]) {
        let mut called = false;
        for address in remote {
            called |= self.scope.calls.remove(address);
        }
        if !called {
            return;
        }
        let id = self
            .scope
            .servers
            .iter()
            .find(|(_, server)| {
                remote
                    .first()
                    .is_some_and(|one| server.addresses.contains(one))
            })
            .map(|(id, _)| *id);
        match id {
            Some(id) => {
                self.bind_server(id, association);
                self.send_presence(id, true);
            }
            None => {
                if let Some(bytes) = self.presence_bytes(ServerId::default(), true) {
                    self.actions.send(association, Ppid::ENRP, 0, bytes);
                }
            }
        }
    }

    /// A call has failed. A peer that was asked whether it is there is dead (RFC 5353 §3.4.3: "If the send fails").
    pub(super) fn on_enrp_call_failed(&mut self, now: Instant, remote: SocketAddr) {
        self.scope.calls.remove(&remote);
        let id = self
            .scope
            .servers
            .iter()
            .find(|(_, server)| server.addresses.first() == Some(&remote))
            .map(|(id, server)| (*id, server.status));
        if let Some((id, status)) = id {
            if let Some(server) = self.scope.servers.get_mut(&id) {
                server.waiting.clear();
            }
            if status == Status::Probed {
                self.on_no_response(now, id);
            }
        }
        self.on_mentor_unreachable(now, remote);
    }

    /// The association to a peer has ended. Whether the peer is dead is a matter of its silence.
    pub(super) fn on_enrp_disconnected(
        &mut self,
        now: Instant,
        id: ServerId,
        association: AssocId,
    ) {
        let Some(server) = self.scope.servers.get_mut(&id) else {
            return;
        };
        if server.association == Some(association) {
            server.association = None;
            server.upload = None;
            self.timers.cancel(Timer::Upload(id));
            self.stop_download(now, id);
            self.probe(now, id);
        }
    }

    /// The peer was silent for MAX-TIME-LAST-HEARD, or its association ended: it is asked at once (RFC 5353 §3.4.3).
    pub(super) fn probe(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.scope.servers.get_mut(&id) else {
            return;
        };
        if server.status != Status::Active {
            return;
        }
        server.status = Status::Probed;
        self.timers.cancel(Timer::LastHeard(id));
        self.timers.set(
            Timer::NoResponse(id),
            now + self.config.max_time_no_response,
        );
        self.send_presence(id, true);
    }

    /// Forgets a peer that owns nothing any more; its address is called again from time to time.
    pub(super) fn forget_server(&mut self, id: ServerId) {
        let Some(server) = self.scope.servers.remove(&id) else {
            return;
        };
        for timer in [
            Timer::LastHeard(id),
            Timer::NoResponse(id),
            Timer::Suspicion(id),
            Timer::Download(id),
            Timer::Upload(id),
        ] {
            self.timers.cancel(timer);
        }
        if let Some(association) = server.association {
            if let Some(peer) = self.peers.get_mut(&association) {
                peer.server = None;
            }
            self.actions.abort(association);
        }
        self.scope.remember(&server.addresses);
        self.actions.notify(Event::PeerLost { server: id });
    }
}
