//! Requests of elements and users (RFC 5352 §3.1–3.3).

use alloc::vec::Vec;
use bytes::Bytes;
use smallvec::SmallVec;

use super::limits::Budget;
use super::{Event, Peer, Registrar, Removal};
use crate::dialect::Life;
use crate::faults;
use crate::handlespace::{
    ElementKey, NewElement, RegisterError, RegisterOutcome, Registered, Selection,
};
use crate::ids::{AssocId, PeId, PoolHandle, Ppid};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::asap::{self, Message};
use crate::wire::enrp::UpdateAction;
use crate::wire::{
    Cause, CauseCode, DecodeError, List, PoolElement, SctpTransport, Transport, TransportBuf,
    TransportUse,
};

/// Why a request is refused: the cause and its information.
struct Refusal {
    code: CauseCode,
    info: Vec<u8>,
}

impl Refusal {
    fn new(code: CauseCode) -> Self {
        Self {
            code,
            info: Vec::new(),
        }
    }

    /// Invalid Values, with the parameter that has them (RFC 5354 §3.12.4).
    fn invalid(parameter: &[u8]) -> Self {
        Self {
            code: CauseCode::INVALID_VALUES,
            info: parameter.to_vec(),
        }
    }
}

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::InconsistentPolicy(policy) => Self {
                code: CauseCode::INCONSISTENT_POLICY,
                info: policy.to_param(),
            },
            RegisterError::InconsistentTransport(transport) => Self {
                code: CauseCode::INCONSISTENT_TRANSPORT,
                info: transport.as_bytes().to_vec(),
            },
            RegisterError::InconsistentUse => Self::new(CauseCode::INCONSISTENT_USE),
            _ => Self::new(CauseCode::LACK_OF_RESOURCES),
        }
    }
}

impl Registrar {
    pub(super) fn on_asap(&mut self, now: Instant, association: AssocId, bytes: &[u8]) {
        let decoded = match asap::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return self.on_malformed(now, association, bytes, &error),
        };
        if let Some(report) = faults::report(bytes, &decoded)
            && self.admits(now, association, Budget::Errors)
        {
            self.actions.send(association, Ppid::ASAP, 0, report);
        }
        match decoded.message {
            Message::Registration {
                pool_handle,
                pool_element,
            } => self.on_registration(now, association, pool_handle, &pool_element),
            Message::Deregistration { pool_handle, pe_id } => {
                self.on_deregistration(now, association, pool_handle, pe_id);
            }
            Message::HandleResolution {
                subscribe,
                pool_handle,
                items,
            } => self.on_resolution(now, association, pool_handle, (items, subscribe)),
            Message::EndpointKeepAliveAck { pool_handle, pe_id } => {
                self.on_acknowledgement(now, association, pool_handle, pe_id);
            }
            Message::EndpointUnreachable { pool_handle, pe_id } => {
                self.on_report(now, association, pool_handle, pe_id);
            }
            _ => self.counters.unexpected += 1,
        }
    }

    /// A registration is rejected as such where it can be seen whose it is; anything else is an ASAP_ERROR
    /// (RFC 5352 §2.2.14, §3.1).
    fn on_malformed(
        &mut self,
        now: Instant,
        association: AssocId,
        bytes: &[u8],
        error: &DecodeError,
    ) {
        self.counters.malformed += 1;
        let salvaged = match error.cause() {
            Some(CauseCode::UNRECOGNIZED_PARAMETER) => None,
            Some(_) => asap::salvage_registration(bytes),
            None => None,
        };
        if let Some((pool_handle, pe_id)) = salvaged
            && pool_handle.len() <= self.config.max_pool_handle
        {
            if self.admits(now, association, Budget::Errors) {
                let refusal = Refusal::invalid(error.offender(bytes));
                self.refuse_registration(association, (pool_handle, pe_id), &refusal);
            }
        } else if let Some(answer) = faults::answer(bytes, error)
            && self.admits(now, association, Budget::Errors)
        {
            self.actions.send(association, Ppid::ASAP, 0, answer);
        }
    }

    fn on_registration(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        element: &PoolElement<'_>,
    ) {
        // RFC 5352 §2.1: all messages between a registrar and an element MUST use SCTP.
        let refused = if association.is_tcp() {
            Some(CauseCode::UNSPECIFIED)
        } else if !self.admits(now, association, Budget::Registrations) {
            Some(CauseCode::LACK_OF_RESOURCES)
        } else {
            None
        };
        if let Some(code) = refused {
            if self.admits(now, association, Budget::Errors) {
                let refusal = Refusal::new(code);
                self.refuse_registration(association, (pool_handle, element.id), &refusal);
            }
            return;
        }
        match self.register(now, association, pool_handle, element) {
            Ok(registered) => {
                self.counters.registrations += 1;
                let new = matches!(registered.outcome, RegisterOutcome::New);
                if registered.outcome.is_change() {
                    self.touch(registered.key);
                }
                if new || !planted(Bug::ChangeNotAnnounced) {
                    self.announce_update(UpdateAction::Add, registered.key);
                }
                let message = Message::RegistrationResponse {
                    rejected: false,
                    pool_handle,
                    pe_id: element.id,
                    error: None,
                };
                if new || !planted(Bug::ReregistrationNotAnswered) {
                    self.actions.send_asap(association, &message);
                }
                if new {
                    self.actions.notify(Event::Registered {
                        pool_handle: pool_handle.into(),
                        pe_id: element.id,
                    });
                }
            }
            Err(refusal) => {
                self.refuse_registration(association, (pool_handle, element.id), &refusal);
            }
        }
    }

    /// Checks a registration and carries it out; on an error nothing has changed.
    fn register(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        element: &PoolElement<'_>,
    ) -> Result<Registered, Refusal> {
        if pool_handle.len() > self.config.max_pool_handle {
            return Err(Refusal::new(CauseCode::INVALID_VALUES));
        }
        let life = self.check_values(element)?;
        let Some(peer) = self.peers.get(&association) else {
            return Err(Refusal::new(CauseCode::UNSPECIFIED));
        };
        check_addresses(peer, &element.user_transport)?;
        let known = self.handlespace.find(pool_handle, element.id);
        self.check_unique(association, peer, known)?;
        self.check_room(peer, known)?;
        // Rule 4: the address that the registration came from is the element's ASAP transport.
        let addresses: SmallVec<[_; 4]> = peer.remote.iter().map(|remote| remote.ip()).collect();
        let asap_transport = SctpTransport {
            port: peer.remote.first().map_or(0, |remote| remote.port()),
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&addresses),
        };
        let new = NewElement {
            id: element.id,
            home: self.id,
            life,
            user_transport: element.user_transport,
            policy: element.policy,
            asap_transport: Some(asap_transport),
        };
        let registered = match self.handlespace.register(pool_handle, &new) {
            Ok(registered) => registered,
            Err(RegisterError::UnsupportedPolicy) => {
                return Err(Refusal::invalid(&element.policy.to_param()));
            }
            Err(error) => return Err(error.into()),
        };
        self.watch(now, association, registered.key, life);
        Ok(registered)
    }

    /// Values that no registration may have, whatever the pool.
    fn check_values(&self, element: &PoolElement<'_>) -> Result<Life, Refusal> {
        let parameter = || TransportBuf::from(&element.user_transport);
        let life = self.config.dialect.life_from_wire(element.life);
        let Some(life) = life.filter(|life| *life != Life::For(core::time::Duration::ZERO)) else {
            return Err(Refusal::invalid(&element.to_param()));
        };
        if element.id == PeId(0) {
            return Err(Refusal::invalid(&element.to_param()));
        }
        // RFC 5354 §3.4
        let known_use = [TransportUse::DATA_ONLY, TransportUse::DATA_PLUS_CONTROL];
        if element.user_transport.port() == Some(0)
            || !known_use.contains(&element.user_transport.transport_use())
        {
            return Err(Refusal::invalid(parameter().as_bytes()));
        }
        Ok(life)
    }

    /// An identifier that another living element of the pool has is not free (RFC 5354 §3.12.5). Whoever comes from the
    /// same host, or after the old association has ended, is taken for the same element.
    fn check_unique(
        &self,
        association: AssocId,
        peer: &Peer,
        known: Option<ElementKey>,
    ) -> Result<(), Refusal> {
        let holder = known
            .and_then(|key| self.watches.get(&key))
            .and_then(|watch| watch.association)
            .filter(|holder| *holder != association)
            .and_then(|holder| self.peers.get(&holder));
        match holder {
            Some(holder)
                if !peer
                    .remote
                    .first()
                    .is_some_and(|one| holder.lists(one.ip())) =>
            {
                Err(Refusal::new(CauseCode::NON_UNIQUE_PE_ID))
            }
            _ => Ok(()),
        }
    }

    /// Bounds what the end of one association can cause.
    fn check_room(&self, peer: &Peer, known: Option<ElementKey>) -> Result<(), Refusal> {
        let there = known.is_some_and(|key| peer.elements.contains(&key));
        if !there && peer.elements.len() >= self.config.max_association_elements {
            return Err(Refusal::new(CauseCode::LACK_OF_RESOURCES));
        }
        Ok(())
    }

    fn refuse_registration(
        &mut self,
        association: AssocId,
        (pool_handle, pe_id): (&[u8], PeId),
        refusal: &Refusal,
    ) {
        let causes = [Cause {
            code: refusal.code,
            info: &refusal.info,
        }];
        let message = Message::RegistrationResponse {
            rejected: true,
            pool_handle,
            pe_id,
            error: Some(List::Slice(&causes)),
        };
        self.refuse(association, (pool_handle, pe_id), refusal.code, &message);
    }

    fn refuse(
        &mut self,
        association: AssocId,
        (pool_handle, pe_id): (&[u8], PeId),
        cause: CauseCode,
        message: &Message<'_>,
    ) {
        self.counters.refused += 1;
        // An answer that had to repeat a handle of nearly 65,535 bytes would be too long: then the cause goes alone.
        let causes = [Cause {
            code: cause,
            info: &[],
        }];
        let alone = Message::Error {
            causes: List::Slice(&causes),
        };
        if let Ok(bytes) = message.to_bytes().or_else(|_| alone.to_bytes()) {
            self.actions.send(association, Ppid::ASAP, 0, bytes);
        }
        let cap = self.config.max_pool_handle.min(pool_handle.len());
        self.actions.notify(Event::Refused {
            pool_handle: PoolHandle::from(&pool_handle[..cap]),
            pe_id,
            cause,
        });
    }

    /// RFC 5352 §3.2. An unknown element is gone already. De-registration by proxy is not allowed (RFC 5352 §2.2.2): it must come on
    /// the element's own association, or from one of its addresses; over TCP it is refused whomever it is about (RFC 5352 §2.1).
    fn on_deregistration(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        pe_id: PeId,
    ) {
        let key = self.handlespace.find(pool_handle, pe_id);
        let anybody = planted(Bug::DeregistrationByAnybody);
        let foreign =
            association.is_tcp() || key.is_some_and(|key| !self.speaks_for(association, key));
        if !anybody && foreign {
            if !self.admits(now, association, Budget::Errors) {
                return;
            }
            let cause = CauseCode::SECURITY;
            let causes = [Cause {
                code: cause,
                info: &[],
            }];
            let message = Message::DeregistrationResponse {
                pool_handle,
                pe_id,
                error: Some(List::Slice(&causes)),
            };
            self.refuse(association, (pool_handle, pe_id), cause, &message);
            return;
        }
        if let Some(key) = key {
            // On another association it may be a request of long ago, overtaken by a registration: the element is told on its
            // own one, and comes back if it wants to.
            let own = self.watches.get(&key).and_then(|watch| watch.association);
            if let Some(own) = own.filter(|own| *own != association) {
                self.send_notice(own, pool_handle, pe_id);
            }
            self.remove(key, Removal::Deregistered);
        }
        self.counters.deregistrations += 1;
        let message = Message::DeregistrationResponse {
            pool_handle,
            pe_id,
            error: None,
        };
        if let Ok(bytes) = message.to_bytes() {
            self.actions.send(association, Ppid::ASAP, 0, bytes);
        }
    }

    /// Whether the peer of `association` is the element's host: by its association, or by its address. Over TCP nobody is
    /// (RFC 5352 §2.1).
    pub(super) fn speaks_for(&self, association: AssocId, key: ElementKey) -> bool {
        if association.is_tcp() {
            return false;
        }
        let own = self.watches.get(&key).and_then(|watch| watch.association);
        if own == Some(association) {
            return true;
        }
        let Some(peer) = self.peers.get(&association) else {
            return false;
        };
        let first = peer.remote.first();
        first.is_some_and(|first| self.is_element_at(key, first.ip()))
    }

    /// RFC 5352 §3.3.
    fn on_resolution(
        &mut self,
        now: Instant,
        association: AssocId,
        pool_handle: &[u8],
        (items, subscribe): (Option<u32>, bool),
    ) {
        if !self.admits(now, association, Budget::Resolutions) {
            if self.admits(now, association, Budget::Errors) {
                self.refuse_resolution(association, pool_handle, CauseCode::LACK_OF_RESOURCES);
            }
            return;
        }
        let items = match items {
            None | Some(0) => self.config.default_items,
            Some(items) => usize::try_from(items).unwrap_or(usize::MAX),
        };
        let items = items.min(self.config.max_items);
        let mut selected = core::mem::take(&mut self.selected);
        selected.clear();
        let selection = self.handlespace.select(pool_handle, items, &mut selected);
        match selection {
            // While the table is being fetched, "unknown" would not be true.
            Selection::UnknownPool if !self.is_running() => {
                self.refuse_resolution(association, pool_handle, CauseCode::LACK_OF_RESOURCES);
            }
            Selection::UnknownPool => {
                self.refuse_resolution(association, pool_handle, CauseCode::UNKNOWN_POOL_HANDLE);
            }
            // The pool is there, and none of its elements is able to serve: all weights are 0.
            Selection::Selected(_) if selected.is_empty() => {
                self.refuse_resolution(association, pool_handle, CauseCode::LACK_OF_RESOURCES);
            }
            Selection::Selected(_) => {
                // RFC 5352 §2.2.6: the A bit
                let accepted = subscribe && self.subscribe(association, pool_handle);
                match self.encode_answer(pool_handle, &selected, accepted) {
                    Some(bytes) => {
                        self.counters.resolutions += 1;
                        self.actions.send(association, Ppid::ASAP, 0, bytes);
                    }
                    None => {
                        let code = CauseCode::LACK_OF_RESOURCES;
                        self.refuse_resolution(association, pool_handle, code);
                    }
                }
            }
        }
        self.selected = selected;
    }

    /// The elements of a pool, and whether its changes are told; `None` without any.
    pub(super) fn encode_answer(
        &mut self,
        pool_handle: &[u8],
        selected: &[ElementKey],
        accepted: bool,
    ) -> Option<Bytes> {
        let first = self.handlespace.get(*selected.first()?)?;
        let dialect = self.config.dialect;
        let mut elements = emptied(core::mem::take(&mut self.answer));
        let selected = selected.iter().filter_map(|key| self.handlespace.get(*key));
        elements.extend(
            selected.map(|element| element.to_wire(dialect.life_to_wire(element.life), false)),
        );
        // The longest answer is 128 elements of 64 IPv6 addresses each, more than a message can hold: then the last ones are
        // left out, as if fewer had been asked for.
        let mut count = elements.len();
        let bytes = loop {
            let message = Message::HandleResolutionResponse {
                accepted,
                pool_handle,
                policy: Some(first.policy),
                pool_elements: List::Slice(&elements[..count]),
                error: None,
            };
            match message.cut_from(&mut self.actions.blocks) {
                Ok(bytes) => break Some(bytes),
                Err(_) if count > 1 => count /= 2,
                Err(_) => break None,
            }
        };
        self.answer = emptied(elements);
        bytes
    }

    fn refuse_resolution(&mut self, association: AssocId, pool_handle: &[u8], code: CauseCode) {
        self.counters.unresolved += 1;
        if let Some(bytes) = Self::encode_refusal(pool_handle, code) {
            self.actions.send(association, Ppid::ASAP, 0, bytes);
        }
    }

    /// `None` where the handle is so long that no message can repeat it.
    pub(super) fn encode_refusal(pool_handle: &[u8], code: CauseCode) -> Option<Bytes> {
        let causes = [Cause { code, info: &[] }];
        let message = Message::HandleResolutionResponse {
            accepted: false,
            pool_handle,
            policy: None,
            pool_elements: List::EMPTY,
            error: Some(List::Slice(&causes)),
        };
        message.to_bytes().ok()
    }
}

/// The addresses of the element must be among those of its association, whatever the transport (RFC 5352 §2.2.1).
fn check_addresses(peer: &Peer, transport: &Transport<'_>) -> Result<(), Refusal> {
    if transport.addresses().all(|address| peer.lists(address)) {
        return Ok(());
    }
    Err(Refusal::invalid(TransportBuf::from(transport).as_bytes()))
}

/// The same memory without anything in it, for elements that live for another time: what has the same size is collected in place.
fn emptied<'a>(mut elements: Vec<PoolElement<'_>>) -> Vec<PoolElement<'a>> {
    elements.clear();
    let none = |_| unreachable!("it was emptied");
    elements.into_iter().map(none).collect()
}
