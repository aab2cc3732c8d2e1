//! Watching the elements: keep-alives, unreachable reports, registration lives (RFC 5352 §3.4, §3.5).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::limits::{Budget, host};
use super::{Event, Registrar, Removal, Timer};
use crate::dialect::Life;
use crate::handlespace::ElementKey;
use crate::ids::{AssocId, PeId, ServerId};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::asap::{self, Message};
use crate::wire::enrp::UpdateAction;

/// What is known of an element of our own beyond the handlespace.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The association it registered on, while it lasts.
    pub(super) association: Option<AssocId>,
    /// Whether the element takes this registrar for its home on that association: it registered there, or said yes when it was
    /// asked to.
    pub(super) registered: bool,
    /// Whether it is to adopt this registrar as its home: the next question says so.
    claiming: bool,
    /// Another registrar that says that the element is its own: believed where the element does not answer.
    rival: Option<ServerId>,
    /// The hosts that reported it since it last acknowledged anything.
    reporters: BTreeSet<IpAddr>,
    /// Whether an association to it was asked for.
    pub(super) calling: Option<SocketAddr>,
}

impl Registrar {
    /// Begins to watch an element, or begins anew after a re-registration.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        association: AssocId,
        key: ElementKey,
        life: Life,
    ) {
        self.bind(association, key);
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.reporters.clear();
            watch.registered = true;
            watch.claiming = false;
            watch.rival = None;
        }
        self.timers.cancel(Timer::Acknowledgement(key));
        self.schedule(now, key);
        match life {
            Life::For(_)
                if planted(Bug::LifeNotRearmed) && self.timers.is_set(Timer::Life(key)) => {}
            Life::For(life) => self.timers.set(Timer::Life(key), now + life),
            Life::Forever => self.timers.cancel(Timer::Life(key)),
        }
    }

    /// The element is reached on `association` from now on.
    pub(super) fn bind(&mut self, association: AssocId, key: ElementKey) {
        let watch = self.watches.entry(key).or_default();
        if let Some(waiting) = watch.calling.take().and_then(|to| self.calls.get_mut(&to)) {
            waiting.remove(&key);
        }
        let old = watch.association.replace(association);
        watch.registered &= old == Some(association);
        if let Some(old) = old.filter(|old| *old != association)
            && let Some(peer) = self.peers.get_mut(&old)
        {
            peer.elements.remove(&key);
        }
        if let Some(peer) = self.peers.get_mut(&association) {
            peer.elements.insert(key);
        }
    }

    /// The next keep-alive, spread over time (RFC 5352 §3.5: ±50 %).
    fn schedule(&mut self, now: Instant, key: ElementKey) {
        let interval = self.config.keep_alive_interval;
        if interval.is_zero() || planted(Bug::KeepAliveNotRearmed) {
            self.timers.cancel(Timer::KeepAlive(key));
        } else {
            let interval = self.rng.jitter(interval);
            self.timers.set(Timer::KeepAlive(key), now + interval);
        }
    }

    /// Asks an element whether it is there; one question at a time. Without an association it is called first.
    pub(super) fn ask(&mut self, now: Instant, key: ElementKey) {
        if self.timers.is_set(Timer::Acknowledgement(key)) {
            return;
        }
        self.timers.cancel(Timer::KeepAlive(key));
        if !planted(Bug::AcknowledgementNotAwaited) {
            self.timers.set(
                Timer::Acknowledgement(key),
                now + self.config.keep_alive_timeout,
            );
        }
        match self.watches.get(&key).and_then(|watch| watch.association) {
            Some(association) => self.send_keep_alive(association, key),
            None => self.call(key),
        }
    }

    pub(super) fn send_keep_alive(&mut self, association: AssocId, key: ElementKey) {
        let Some(element) = self.handlespace.get(key) else {
            return;
        };
        let named = self.config.dialect.keep_alive_names_element();
        let message = Message::EndpointKeepAlive {
            home: self.watches.get(&key).is_some_and(|watch| watch.claiming)
                && !planted(Bug::ClaimWithoutHomeFlag),
            server_id: self.id,
            pool_handle: element.pool.as_bytes(),
            pe_id: named.then_some(element.id),
        };
        self.counters.keep_alives += 1;
        self.actions.send_asap(association, &message);
    }

    /// RFC 5352 §3.5: the element that a keep-alive did not reach is unreachable.
    pub(super) fn on_send_failed(&mut self, association: AssocId, bytes: &[u8]) {
        let Ok(Message::EndpointKeepAlive {
            pool_handle, pe_id, ..
        }) = asap::decode(bytes).map(|decoded| decoded.message)
        else {
            return;
        };
        let Some(peer) = self.peers.get(&association) else {
            return;
        };
        let meant = |key: &ElementKey| {
            self.handlespace.get(*key).is_some_and(|element| {
                element.pool.as_bytes() == pool_handle
                    && pe_id.is_none_or(|pe_id| pe_id == element.id)
            })
        };
        let failed: Vec<_> = peer
            .elements
            .iter()
            .copied()
            .filter(|key| self.timers.is_set(Timer::Acknowledgement(*key)) && meant(key))
            .collect();
        for key in failed {
            self.remove(key, Removal::Unreachable);
        }
    }

    /// An acknowledgement counts only from the element's own host: others cannot keep a dead element alive. One that comes after
    /// the element was removed is answered with the notice of its end, so that it need not wait for its T4 to come back.
    pub(super) fn on_acknowledgement(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        pe_id: PeId,
    ) {
        // RFC 5352 §2.1: over TCP there are no elements.
        if association.is_tcp() {
            self.counters.unexpected += 1;
            return;
        }
        let found = self.handlespace.find(pool_handle, pe_id);
        if found.is_none()
            && pool_handle.len() <= self.config.max_pool_handle
            && self.admits(now, association, Budget::Errors)
        {
            self.send_notice(association, pool_handle, pe_id);
        }
        let key = found
            .filter(|key| self.watches.contains_key(key))
            .filter(|key| {
                self.speaks_for(association, *key) || planted(Bug::AcknowledgementByAnybody)
            });
        let Some(key) = key else {
            self.counters.unexpected += 1;
            return;
        };
        self.timers.cancel(Timer::Acknowledgement(key));
        let Some(watch) = self.watches.get_mut(&key) else {
            return;
        };
        watch.reporters.clear();
        // Who acknowledges the H flag has this registrar as its home (RFC 5352 §3.4 KA2.4). Who only answers may have another
        // one, and is asked next time.
        watch.registered |= watch.claiming;
        watch.claiming = !watch.registered;
        let contested = watch.rival.take().is_some();
        self.schedule(now, key);
        if contested {
            self.announce_update(UpdateAction::Add, key);
        }
    }

    /// Another registrar says that it owns an element that is registered here. The element is asked, and decides: its answer is
    /// announced, its silence leaves it to the other one. However often that one says so, there is one question at a time.
    pub(super) fn contest(&mut self, now: Instant, key: ElementKey, rival: ServerId) {
        let asked = self.timers.is_set(Timer::Acknowledgement(key));
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.rival = Some(rival);
            watch.claiming |= !asked;
        }
        self.ask(now, key);
    }

    /// A report leads to a question at once; the element is removed where it stays silent, or where more than
    /// MAX-BAD-PE-REPORT hosts have reported it since it last acknowledged anything (RFC 5352 §3.5). One host that reports
    /// often counts once.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        pe_id: PeId,
    ) {
        self.counters.reports += 1;
        if !self.admits(now, association, Budget::Reports) {
            return;
        }
        let reporter = self
            .peers
            .get(&association)
            .and_then(|peer| peer.remote.first())
            .map(|remote| host(remote.ip()));
        let Some(key) = self.handlespace.find(pool_handle, pe_id) else {
            return;
        };
        let (Some(watch), Some(reporter)) = (self.watches.get_mut(&key), reporter) else {
            return;
        };
        watch.reporters.insert(reporter);
        if planted(Bug::ReportsAreBelieved) || watch.reporters.len() > self.config.max_bad_pe_report
        {
            self.remove(key, Removal::Reported);
        } else {
            self.ask(now, key);
        }
    }

    /// The registration was not renewed: the element is told that it is a member no longer (RFC 5352 §3.2).
    pub(super) fn on_life_ended(&mut self, key: ElementKey) {
        self.tell_gone(key);
        self.remove(key, Removal::Expired);
    }

    /// Tells an element that it is a member no longer (RFC 5352 §2.2.4, §3.2).
    pub(super) fn send_notice(&mut self, association: AssocId, pool_handle: &[u8], pe_id: PeId) {
        let message = Message::DeregistrationResponse {
            pool_handle,
            pe_id,
            error: None,
        };
        self.actions.send_asap(association, &message);
    }

    /// The association of elements has ended. A live element comes back by itself; a dead one refuses the call and is gone
    /// within a round trip.
    pub(super) fn on_disconnected(&mut self, now: Instant, association: AssocId) {
        let Some(peer) = self.peers.remove(&association) else {
            return;
        };
        self.unsubscribe(association);
        if let Some(first) = peer.remote.first()
            && self.associations.get(first) == Some(&association)
        {
            self.associations.remove(first);
        }
        if let Some(server) = peer.server {
            self.on_enrp_disconnected(now, server, association);
        }
        self.timers.cancel(Timer::Idle(association));
        for key in peer.elements {
            let Some(watch) = self.watches.get_mut(&key) else {
                continue;
            };
            watch.association = None;
            if let Some(rival) = watch.rival.take()
                && self.scope.servers.contains_key(&rival)
            {
                self.yield_to(rival, key);
                continue;
            }
            self.timers.cancel(Timer::Acknowledgement(key));
            if !planted(Bug::LostElementUnnoticed) {
                self.ask(now, key);
            }
        }
    }

    /// An element of a dead registrar becomes one's own: it is asked to adopt this registrar (RFC 5353 §3.5.2).
    pub(super) fn claim(&mut self, now: Instant, key: ElementKey) {
        let Some(element) = self.handlespace.get(key) else {
            return;
        };
        match element.life {
            Life::For(life) => self.timers.set(Timer::Life(key), now + life),
            Life::Forever => self.timers.cancel(Timer::Life(key)),
        }
        self.watches.entry(key).or_default().claiming = true;
        self.timers.cancel(Timer::Acknowledgement(key));
        self.ask(now, key);
    }

    /// Claims an element that a rival calls its own as well. A claim that runs is not begun anew: however often the rival says so,
    /// the element's silence ends it.
    pub(super) fn claim_against(&mut self, now: Instant, key: ElementKey, rival: ServerId) {
        let claiming = self.watches.get(&key).is_some_and(|watch| watch.claiming);
        if !claiming || !self.timers.is_set(Timer::Acknowledgement(key)) {
            self.claim(now, key);
        }
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.rival = Some(rival);
        }
    }

    /// An element that a rival calls its own is no longer one's own.
    fn yield_to(&mut self, rival: ServerId, key: ElementKey) {
        self.let_go(key);
        self.set_home(key, rival);
        self.touch(key);
        self.expect_news(rival);
    }

    /// An element of one's own has a new home: it is watched no longer. One that still takes this registrar for its home hears
    /// that it is none, and registers again; any other one does not mind.
    pub(super) fn let_go(&mut self, key: ElementKey) {
        self.tell_gone(key);
        if let Some(element) = self.handlespace.get(key) {
            self.actions.notify(Event::Moved {
                pool_handle: element.pool.clone(),
                pe_id: element.id,
            });
        }
        self.unwatch(key);
    }

    /// An element that this registrar has an association with is told that it is a member no longer, or not here. Whatever
    /// registrars said of each other's elements: one that takes this registrar for its home registers again.
    pub(super) fn tell_gone(&mut self, key: ElementKey) {
        let own = self.watches.get(&key).and_then(|watch| watch.association);
        let association = own.or_else(|| {
            let transport = self.handlespace.get(key)?.asap_transport.as_ref()?;
            let transport = transport.as_transport();
            let port = transport.port()?;
            let mut addresses = transport.addresses();
            addresses.find_map(|one| self.associations.get(&SocketAddr::new(one, port)).copied())
        });
        if let Some(association) = association {
            self.send_notice_of(association, key);
        }
    }

    /// The notice for an element of the handlespace.
    fn send_notice_of(&mut self, association: AssocId, key: ElementKey) {
        if let Some(element) = self.handlespace.get(key) {
            let (pool, pe_id) = (element.pool.clone(), element.id);
            self.send_notice(association, pool.as_bytes(), pe_id);
        }
    }

    /// Takes an element of one's own out of the handlespace, with all that belongs to it, and tells the peers.
    pub(super) fn remove(&mut self, key: ElementKey, reason: Removal) {
        let watch = self.watches.get(&key);
        let association = watch.and_then(|watch| watch.association);
        let rival = watch.and_then(|watch| watch.rival);
        let unreachable = matches!(reason, Removal::Unreachable | Removal::Reported);
        let rival = rival.filter(|rival| unreachable && self.scope.servers.contains_key(rival));
        if rival.is_none() && !planted(Bug::RemovalNotAnnounced) {
            self.announce_update(UpdateAction::Delete, key);
        }
        self.unwatch(key);
        if let Some(association) = association.filter(|_| unreachable) {
            self.dismiss(association, key);
        }
        if let Some(rival) = rival {
            return self.yield_to(rival, key);
        }
        self.touch(key);
        if let Some(element) = self.handlespace.deregister(key) {
            self.actions.notify(Event::Removed {
                pool_handle: element.pool,
                pe_id: element.id,
                reason,
            });
        }
    }

    /// An element that was removed may live on, and take itself for a member: it is told, by the end of its association where
    /// that is of no other use, so that it registers again.
    fn dismiss(&mut self, association: AssocId, key: ElementKey) {
        let Some(peer) = self.peers.get(&association) else {
            return;
        };
        if peer.elements.is_empty() && peer.server.is_none() {
            self.actions.abort(association);
        } else {
            self.send_notice_of(association, key);
        }
    }

    fn unwatch(&mut self, key: ElementKey) {
        for timer in [
            Timer::KeepAlive(key),
            Timer::Acknowledgement(key),
            Timer::Life(key),
        ] {
            self.timers.cancel(timer);
        }
        if let Some(watch) = self.watches.remove(&key) {
            if let Some(waiting) = watch.calling.and_then(|to| self.calls.get_mut(&to)) {
                waiting.remove(&key);
            }
            if let Some(peer) = watch
                .association
                .and_then(|association| self.peers.get_mut(&association))
            {
                peer.elements.remove(&key);
            }
        }
    }
}
