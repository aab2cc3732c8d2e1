//! Messages of peer registrars (RFC 5353), and who owns an element.
//!
//! An element belongs to the registrar that it registered with last. Where two registrars disagree, the one that has the
//! element's own association asks it: its answer is announced, its silence leaves it to the other one. Where neither has it,
//! the takeover's rule for server identifiers decides, and the winner asks the element to adopt it.

use bytes::Bytes;

use super::limits::Budget;
use super::{Registrar, Timer};
use crate::dialect::{Dialect, Life};
use crate::faults;
use crate::handlespace::{ElementKey, NewElement};
use crate::ids::{AssocId, Ppid, ServerId};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::enrp::{self, Message, MessageBody, UpdateAction};
use crate::wire::{Cause, DecodeError, Decoded, List, PoolElement};

impl Registrar {
    pub(super) fn on_enrp(&mut self, now: Instant, association: AssocId, bytes: &[u8]) {
        if self.config.enrp_addresses.is_empty() {
            self.counters.unexpected += 1;
            return;
        }
        let decoded = match enrp::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return self.on_enrp_malformed(now, association, bytes, &error),
        };
        let Message {
            sender, receiver, ..
        } = decoded.message;
        let for_me = receiver == ServerId::default() || receiver == self.id;
        if !for_me || sender == self.id {
            self.counters.unexpected += 1;
            return;
        }
        self.report_enrp(now, association, bytes, &decoded);
        if sender == ServerId::default() {
            // A tool that looks: it is answered, and is no peer.
            match decoded.message.body {
                MessageBody::ListRequest => self.on_list_request(association, sender),
                MessageBody::HandleTableRequest { own_only } => {
                    self.on_table_request(now, association, sender, own_only);
                }
                MessageBody::Presence {
                    reply_required: true,
                    ..
                } => self.answer_presence(association, sender),
                _ => self.counters.unexpected += 1,
            }
            return;
        }
        if !self.may_speak_for(association, sender) {
            self.counters.unexpected += 1;
            return;
        }
        let new = !self.scope.servers.contains_key(&sender);
        if new && !self.admits(now, association, Budget::Peers) {
            return;
        }
        if self.on_heard(now, sender, Some(association)).is_some() {
            self.on_peer_message(now, association, sender, &decoded.message.body);
        }
    }

    fn on_peer_message(
        &mut self,
        now: Instant,
        association: AssocId,
        sender: ServerId,
        body: &MessageBody<'_>,
    ) {
        match *body {
            MessageBody::Presence {
                reply_required,
                checksum,
                server,
            } => {
                if let Some(server) = server.filter(|server| server.id == sender) {
                    self.learn_own_addresses(association, sender, &server.transport);
                }
                if reply_required {
                    self.answer_presence(association, sender);
                }
                self.on_mentor_heard(now, sender);
                self.audit(now, sender, checksum);
            }
            MessageBody::HandleTableRequest { own_only } => {
                self.on_table_request(now, association, sender, own_only);
            }
            MessageBody::HandleTableResponse {
                rejected,
                more,
                pools,
            } => self.on_table(now, sender, (rejected, more), pools),
            MessageBody::HandleUpdate {
                action,
                pool_handle,
                pool_element,
                ..
            } => match action {
                UpdateAction::Add => self.on_add(now, sender, pool_handle, &pool_element),
                UpdateAction::Delete => self.on_delete(sender, pool_handle, &pool_element),
            },
            MessageBody::ListRequest => self.on_list_request(association, sender),
            MessageBody::ListResponse { rejected, servers } => {
                self.on_list_response(now, sender, rejected, servers);
            }
            MessageBody::InitTakeover { target } => self.on_init_takeover(now, sender, target),
            MessageBody::InitTakeoverAck { target } => {
                self.on_init_takeover_ack(now, sender, target);
            }
            MessageBody::TakeoverServer { target } => self.on_takeover_server(now, sender, target),
            MessageBody::Error { .. } => self.counters.peer_errors += 1,
        }
    }

    /// A presence by multicast. It tells of a new peer, but proves nothing: the peer is called (RFC 5353 §3.4.1).
    pub(super) fn on_enrp_announcement(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(Message {
            sender,
            body: MessageBody::Presence { server, .. },
            ..
        }) = enrp::decode(bytes).map(|decoded| decoded.message)
        else {
            self.counters.malformed += 1;
            return;
        };
        let Some(server) = server.filter(|server| server.id == sender) else {
            self.counters.unexpected += 1;
            return;
        };
        if sender == self.id || sender == ServerId::default() {
            return;
        }
        if !self.scope.servers.contains_key(&sender) && self.admits_announcement(now) {
            self.call_announced(&server.transport);
        }
    }

    /// RFC 5353 §3.6, §3.6.1 steps 3–5.
    fn audit(&mut self, now: Instant, sender: ServerId, checksum: Option<u16>) {
        let differs =
            checksum.is_some_and(|checksum| checksum != self.handlespace.checksum(sender));
        let outdated = self
            .scope
            .servers
            .get(&sender)
            .is_some_and(|server| server.outdated);
        let wanted = (differs || outdated) && !planted(Bug::AuditForgotten);
        if wanted && self.scope.startup.is_running() {
            self.start_download(now, sender, true);
        }
    }

    /// What the checksum cannot see is fetched again from time to time, one peer after the other.
    pub(super) fn schedule_resync(&mut self, now: Instant) {
        let interval = self.rng.jitter(self.config.resync_interval);
        self.timers.set(Timer::Resync, now + interval);
    }

    pub(super) fn on_resync(&mut self, now: Instant) {
        for id in self.active_peers() {
            self.start_download(now, id, true);
        }
        self.schedule_resync(now);
    }

    /// ADD_PE: only the home itself says what becomes of an element (RFC 5353 §3.3.1).
    fn on_add(
        &mut self,
        now: Instant,
        sender: ServerId,
        pool_handle: &[u8],
        element: &PoolElement<'_>,
    ) {
        if element.home_id != sender {
            self.counters.unexpected += 1;
            return;
        }
        if let Some(key) = self.accept(now, pool_handle, element) {
            self.unmark(sender, key);
        }
    }

    /// DEL_PE counts only from the element's home (RFC 5353 §3.3.2): one that lost its elements cannot delete them.
    fn on_delete(&mut self, sender: ServerId, pool_handle: &[u8], element: &PoolElement<'_>) {
        let Some(key) = self.handlespace.find(pool_handle, element.id) else {
            return;
        };
        let home = self.handlespace.get(key).map(|element| element.home);
        if home != Some(sender) && !planted(Bug::DeleteByAnybody) {
            self.counters.unexpected += 1;
            return;
        }
        self.unmark(sender, key);
        self.tell_gone(key);
        self.touch(key);
        self.handlespace.deregister(key);
    }

    /// Takes over what a peer says of an element that it calls its own, or refuses it. The key of the element where it is the
    /// peer's afterwards.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        pool_handle: &[u8],
        element: &PoolElement<'_>,
    ) -> Option<ElementKey> {
        if pool_handle.len() > self.config.max_pool_handle {
            self.counters.unexpected += 1;
            return None;
        }
        let known = self.handlespace.find(pool_handle, element.id);
        let home = known
            .and_then(|key| self.handlespace.get(key))
            .map(|known| known.home);
        if let Some(key) = known
            && home == Some(self.id)
            && !self.yields(now, key, element.home_id)
        {
            return None;
        }
        let life = self.config.dialect.life_from_wire(element.life);
        let new = NewElement {
            id: element.id,
            home: element.home_id,
            life: life.unwrap_or(Life::Forever),
            user_transport: element.user_transport,
            policy: element.policy,
            asap_transport: element.asap_transport,
        };
        // Only what is really the other one's afterwards is let go.
        let Ok(registered) = self.handlespace.register(pool_handle, &new) else {
            self.counters.refused += 1;
            return None;
        };
        if registered.outcome.is_change() {
            self.touch(registered.key);
        }
        if home != Some(element.home_id) {
            self.leave_unmarked(element.home_id, registered.key);
        }
        match home {
            Some(home) if home == self.id => self.let_go(registered.key),
            Some(home) if home != element.home_id => self.unmark(home, registered.key),
            _ => {}
        }
        Some(registered.key)
    }

    /// Whether an element of one's own is left to the peer that claims it.
    fn yields(&mut self, now: Instant, key: ElementKey, claimant: ServerId) -> bool {
        let watch = self.watches.get(&key);
        let (registered, up) = watch.map_or((false, false), |watch| {
            (watch.registered, watch.association.is_some())
        });
        match (registered, up) {
            (true, true) => {
                self.contest(now, key, claimant);
                return false;
            }
            // It has left.
            (true, false) => return true,
            (false, _) => {}
        }
        if self.config.dialect.takeover_yields(self.id, claimant) {
            return true;
        }
        self.claim_against(now, key, claimant);
        false
    }

    /// Tells all peers what has become of an element (RFC 5353 §3.3), with its ASAP transport.
    pub(super) fn announce_update(&mut self, action: UpdateAction, key: ElementKey) {
        let Some(bytes) = self.update_bytes(action, key) else {
            return;
        };
        let servers = self.scope.servers.values();
        for association in servers.filter_map(|server| server.association) {
            self.actions.send(association, Ppid::ENRP, 0, bytes.clone());
        }
    }

    fn update_bytes(&mut self, action: UpdateAction, key: ElementKey) -> Option<Bytes> {
        if self.scope.servers.is_empty() {
            return None;
        }
        let element = self.handlespace.get(key)?;
        let dialect = match planted(Bug::UpdateInOtherUnit) {
            true => Dialect::Rsplib,
            false => self.config.dialect,
        };
        let life = dialect.life_to_wire(element.life);
        let message = Message {
            sender: self.id,
            receiver: ServerId::default(),
            body: MessageBody::HandleUpdate {
                action,
                takeover_suggested: false,
                pool_handle: element.pool.as_bytes(),
                pool_element: element.to_wire(life, !planted(Bug::UpdateWithoutTransport)),
            },
        };
        message.cut_from(&mut self.actions.blocks).ok()
    }

    pub(super) fn answer_enrp(
        &mut self,
        association: AssocId,
        receiver: ServerId,
        body: MessageBody<'_>,
    ) {
        let message = Message {
            sender: self.id,
            receiver,
            body,
        };
        if let Ok(bytes) = message.to_bytes() {
            self.actions.send(association, Ppid::ENRP, 0, bytes);
        }
    }

    /// RFC 5353 §3.7. An error is never answered with an error.
    fn on_enrp_malformed(
        &mut self,
        now: Instant,
        association: AssocId,
        bytes: &[u8],
        error: &DecodeError,
    ) {
        self.counters.malformed += 1;
        let code = error.cause();
        if let Some(code) = code.filter(|_| bytes.first() != Some(&enrp::message_type::ERROR)) {
            let causes = [Cause {
                code,
                info: error.offender(bytes),
            }];
            self.answer_enrp_error(now, association, bytes, &causes);
        }
    }

    fn report_enrp(
        &mut self,
        now: Instant,
        association: AssocId,
        bytes: &[u8],
        decoded: &Decoded<Message<'_>>,
    ) {
        let causes = faults::unrecognized(bytes, &decoded.unrecognized);
        if !causes.is_empty() && !matches!(decoded.message.body, MessageBody::Error { .. }) {
            self.answer_enrp_error(now, association, bytes, &causes);
        }
    }

    fn answer_enrp_error(
        &mut self,
        now: Instant,
        association: AssocId,
        bytes: &[u8],
        causes: &[Cause<'_>],
    ) {
        if !self.admits(now, association, Budget::Errors) {
            return;
        }
        let sender = bytes
            .get(4..8)
            .and_then(|id| id.try_into().ok())
            .map_or(ServerId::default(), |id| ServerId(u32::from_be_bytes(id)));
        let body = MessageBody::Error {
            causes: List::Slice(causes),
        };
        self.answer_enrp(association, sender, body);
    }
}
