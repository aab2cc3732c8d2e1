//! What really happened, to compare with what the machines believe and do.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use core::net::IpAddr;
use core::time::Duration;

use rserpool_core::registrar::Removal;
use rserpool_core::wire::enrp::{self, MessageBody, UpdateAction};
use rserpool_core::wire::{Policy, PoolElement, Transport, TransportBuf, asap};
use rserpool_core::{Input, Instant, PeId, PoolHandle, Ppid, ServerId, user};

use crate::Cut;
use crate::kernel::EndId;
use crate::node::{NodeId, Role};
use crate::world::World;

/// What somebody once said of an element.
#[derive(Debug, PartialEq)]
struct Said {
    life: i32,
    user_transport: TransportBuf,
    policy: Option<Policy<'static>>,
    /// Where the element is reached by ASAP: whence it registered.
    address: Option<IpAddr>,
}

impl Said {
    fn of(element: &PoolElement<'_>, address: Option<IpAddr>) -> Self {
        let kept = user::Element::from(element);
        Self {
            life: kept.life,
            user_transport: kept.user_transport,
            policy: kept.policy,
            address,
        }
    }

    fn fits(&self, element: &PoolElement<'_>) -> bool {
        let address = address(element);
        self.life == element.life
            && self.policy == Some(element.policy)
            && (address.is_none() || address == self.address)
            && self.user_transport == TransportBuf::from(&element.user_transport)
    }
}

fn address(element: &PoolElement<'_>) -> Option<IpAddr> {
    let transport = Transport::Sctp(element.asap_transport?);
    transport.addresses().next()
}

/// One identifier of a pool.
#[derive(Debug, Default)]
struct Member {
    /// All that was ever said of it, the latest last.
    said: Vec<Said>,
    /// Who has tried to register it.
    hosts: BTreeSet<NodeId>,
    /// Whose registration each registrar granted last, or whose a liar says that it did.
    granted: BTreeMap<NodeId, NodeId>,
    /// How many of each host's de-registrations have not explained a removal yet.
    leaving: BTreeMap<NodeId, u32>,
}

/// The last keep-alive on an association.
#[derive(Debug)]
struct Asked {
    at: Instant,
    /// Whether the element has said nothing since.
    open: bool,
}

/// All that the invariants look up.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    members: BTreeMap<PoolHandle, BTreeMap<PeId, Member>>,
    /// All registrars that there ever were, and those that liars made up.
    pub(crate) servers: BTreeSet<ServerId>,
    asked: BTreeMap<EndId, Asked>,
    /// When, on its own clock, a registrar got the last report about an element.
    reported: BTreeMap<(NodeId, NodeId), Instant>,
    /// How many of a user's calls to a host have not explained a report yet.
    calls: BTreeMap<(NodeId, IpAddr), u32>,
    /// Cuts that are healed, and when they were.
    healed: Vec<(Instant, Cut)>,
    /// When the last message was on its way through a network that loses, delays or refuses.
    pub(crate) rough: Instant,
}

impl Truth {
    fn member(&self, pool: &[u8], id: PeId) -> Option<&Member> {
        self.members.get(pool)?.get(&id)
    }

    fn member_mut(&mut self, pool: &[u8], id: PeId) -> &mut Member {
        if !self.members.contains_key(pool) {
            self.members.insert(PoolHandle::from(pool), BTreeMap::new());
        }
        let ids = self.members.get_mut(pool);
        ids.expect("it is there now").entry(id).or_default()
    }

    fn say(&mut self, pool: &[u8], element: &PoolElement<'_>, address: Option<IpAddr>) {
        let (said, member) = (
            Said::of(element, address),
            self.member_mut(pool, element.id),
        );
        if !member.said.contains(&said) {
            member.said.push(said);
        }
    }

    /// I2: who said what a registrar says of an element, and which registrar its home is.
    fn doubt(&self, pool: &[u8], element: &PoolElement<'_>) -> Option<String> {
        let id = element.id.0;
        if !self.servers.contains(&element.home_id) {
            let home = element.home_id.0;
            return Some(format!(
                "I2: element {id} of {home:08x}, which there never was"
            ));
        }
        let Some(member) = self.member(pool, element.id) else {
            return Some(format!("I2: element {id} was never registered"));
        };
        let explained = member.said.iter().rev().any(|said| said.fits(element));
        (!explained).then(|| format!("I2: nobody ever said {element:?}"))
    }

    /// A host asks to be a member, or to be none any more.
    fn ask_membership(&mut self, from: NodeId, message: &asap::Message<'_>) {
        match *message {
            asap::Message::Registration {
                pool_handle,
                ref pool_element,
            } => {
                self.say(pool_handle, pool_element, Some(from.address()));
                self.member_mut(pool_handle, pool_element.id)
                    .hosts
                    .insert(from);
            }
            asap::Message::Deregistration { pool_handle, pe_id } => {
                let member = self.member_mut(pool_handle, pe_id);
                *member.leaving.entry(from).or_default() += 1;
            }
            _ => {}
        }
    }

    /// A host without rights says something. What registrars make of it is explained by it.
    pub(crate) fn hear_lie(&mut self, from: NodeId, ppid: Ppid, bytes: &[u8]) {
        if ppid == Ppid::ASAP {
            if let Ok(decoded) = asap::decode(bytes) {
                self.ask_membership(from, &decoded.message);
            }
        } else if let Ok(decoded) = enrp::decode(bytes) {
            self.servers.insert(decoded.message.sender);
            for_each_element(&decoded.message.body, &mut |pool, element| {
                self.servers.insert(element.home_id);
                self.say(pool, element, address(element));
                // Whoever is believed speaks for the element.
                if let Some(host) = address(element).and_then(NodeId::of) {
                    self.member_mut(pool, element.id).granted.insert(from, host);
                }
            });
        }
    }

    /// An association is no more.
    pub(crate) fn forget(&mut self, end: EndId) {
        self.asked.remove(&end);
    }

    pub(crate) fn heal(&mut self, at: Instant, cut: Cut) {
        self.healed.retain(|(healed, _)| *healed + PATIENCE > at);
        self.healed.push((at, cut));
    }

    /// A user's call to an element is explained by nothing any more, or explains a report. `None` where there was none.
    fn take_call(&mut self, user: NodeId, pool: &[u8], id: PeId) -> Option<()> {
        let said = &self.members.get(pool)?.get(&id)?.said;
        for said in said.iter().rev() {
            for address in said.user_transport.as_transport().addresses() {
                if let Some(calls) = self.calls.get_mut(&(user, address))
                    && *calls > 0
                {
                    *calls -= 1;
                    return Some(());
                }
            }
        }
        None
    }
}

/// The elements that a message puts into the handlespace of its receiver.
fn for_each_element(body: &MessageBody<'_>, visit: &mut dyn FnMut(&[u8], &PoolElement<'_>)) {
    match *body {
        MessageBody::HandleUpdate {
            action: UpdateAction::Add,
            pool_handle,
            ref pool_element,
            ..
        } => visit(pool_handle, pool_element),
        MessageBody::HandleTableResponse { pools, .. } => {
            for pool in pools {
                for element in pool.pool_elements {
                    visit(pool.pool_handle, &element);
                }
            }
        }
        _ => {}
    }
}

/// How long nothing may have disturbed an element and its home, so that it must be able to answer: a keep-alive's time, and that
/// of the most unlucky message.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// I2, I6 for a message of a machine.
    pub(crate) fn check_asap(&mut self, end: EndId, message: &asap::Message<'_>) -> Option<String> {
        let other = self.kernel.ends.get(&end).map(|state| state.other.0);
        match *message {
            asap::Message::Registration { .. } | asap::Message::Deregistration { .. } => {
                self.truth.ask_membership(end.0, message);
                None
            }
            asap::Message::RegistrationResponse {
                rejected: false,
                pool_handle,
                pe_id,
                ..
            } => {
                let member = self.truth.member_mut(pool_handle, pe_id);
                member.granted.insert(end.0, other?);
                None
            }
            asap::Message::HandleResolutionResponse {
                pool_handle,
                pool_elements,
                ..
            } => pool_elements
                .iter()
                .find_map(|element| self.truth.doubt(pool_handle, &element)),
            asap::Message::EndpointKeepAlive { home, .. } => self.check_question(end, other?, home),
            asap::Message::EndpointUnreachable { pool_handle, pe_id } => {
                let explained = self.truth.take_call(end.0, pool_handle, pe_id);
                explained.is_none().then(|| {
                    let id = pe_id.0;
                    format!("I6: element {id} is reported more often than it was called")
                })
            }
            _ => None,
        }
    }

    /// I2 for a message of a registrar.
    pub(crate) fn check_enrp(&self, message: &enrp::Message<'_>) -> Option<String> {
        let mut doubt = None;
        for_each_element(&message.body, &mut |pool, element| {
            if doubt.is_none() {
                doubt = self.truth.doubt(pool, element);
            }
        });
        doubt
    }

    /// I2: all that a registrar knows, somebody has said.
    pub(crate) fn check_elements(&self, id: NodeId) -> Option<String> {
        let Role::Registrar(registrar) = &self.nodes[id.index()].role else {
            return None;
        };
        let (dialect, handlespace) = (registrar.config().dialect, registrar.handlespace());
        handlespace
            .elements_after(None)
            .filter_map(|key| handlespace.get(key))
            .find_map(|element| {
                let wire = element.to_wire(dialect.life_to_wire(element.life), true);
                self.truth.doubt(element.pool.as_bytes(), &wire)
            })
    }

    /// I6: an element is asked once at a time, and not more often than at half the mean interval, unless it was reported just
    /// now. Claims of a new home, with the H flag, are not counted.
    fn check_question(&mut self, end: EndId, element: NodeId, home: bool) -> Option<String> {
        let node = &self.nodes[end.0.index()];
        let (Role::Registrar(registrar), Role::Element(_)) =
            (&node.role, &self.nodes[element.index()].role)
        else {
            return None;
        };
        let (at, config) = (node.local(self.now), registrar.config());
        let before = self.truth.asked.insert(end, Asked { at, open: true })?;
        let since = at.duration_since(before.at);
        let reported = self.truth.reported.get(&(end.0, element)) == Some(&at);
        let twice = before.open && since < config.keep_alive_timeout;
        let early = !reported && since < config.keep_alive_interval / 2;
        (!home && (twice || early))
            .then(|| format!("I6: {element:?} is asked again after {since:?}"))
    }

    /// Something comes to a host: what I6 depends on.
    pub(crate) fn witness(&mut self, id: NodeId, input: &Input<'_>) {
        use asap::message_type::{ENDPOINT_KEEP_ALIVE_ACK, ENDPOINT_UNREACHABLE, REGISTRATION};
        match *input {
            // Said again of one that was up: who lost another one asks on it.
            Input::Connected { association, .. } => self.truth.forget((id, association)),
            Input::Message {
                association,
                ppid: Ppid::ASAP,
                bytes,
                ..
            } => match bytes.first() {
                Some(&(ENDPOINT_KEEP_ALIVE_ACK | REGISTRATION)) => {
                    if let Some(asked) = self.truth.asked.get_mut(&(id, association)) {
                        asked.open = false;
                    }
                }
                Some(&ENDPOINT_UNREACHABLE) => self.witness_report(id, bytes),
                _ => {}
            },
            _ => {}
        }
    }

    fn witness_report(&mut self, id: NodeId, bytes: &[u8]) {
        if let Ok(decoded) = asap::decode(bytes)
            && let asap::Message::EndpointUnreachable { pool_handle, pe_id } = decoded.message
        {
            let at = self.nodes[id.index()].local(self.now);
            let member = self.truth.member(pool_handle, pe_id);
            for host in member
                .map(|member| member.hosts.clone())
                .unwrap_or_default()
            {
                self.truth.reported.insert((id, host), at);
            }
        }
    }

    /// A user calls somebody.
    pub(crate) fn witness_call(&mut self, from: NodeId, to: IpAddr) {
        if matches!(self.nodes[from.index()].role, Role::User(_)) {
            *self.truth.calls.entry((from, to)).or_default() += 1;
        }
    }

    /// A user's session was closed in order: there is nothing to report.
    pub(crate) fn witness_close(&mut self, user: NodeId, pe_id: PeId) {
        let pools: Vec<_> = self.truth.members.keys().cloned().collect();
        for pool in pools {
            let _ = self.truth.take_call(user, pool.as_bytes(), pe_id);
        }
    }

    /// I2: why an element's home has removed it. One that lives, answers and takes this registrar for its home stays.
    pub(crate) fn check_removal(
        &mut self,
        id: NodeId,
        pool: &PoolHandle,
        pe_id: PeId,
        reason: Removal,
    ) -> Option<String> {
        let member = self.truth.member_mut(pool.as_bytes(), pe_id);
        if reason == Removal::Deregistered {
            let hosts: BTreeSet<_> = member.granted.values().copied().collect();
            let wanted = member
                .leaving
                .iter_mut()
                .find(|(host, count)| hosts.contains(host) && **count > 0);
            return match wanted {
                Some((_, count)) => {
                    *count -= 1;
                    None
                }
                None => Some(format!("I2: element {} did not de-register", pe_id.0)),
            };
        }
        let element = *member.granted.get(&id)?;
        let patience = match reason {
            Removal::Expired if self.is_skewed(id) || self.is_skewed(element) => return None,
            // It renews its registration well before that.
            Removal::Expired => PATIENCE * 20,
            _ => PATIENCE,
        };
        let is_home = self.home_of(element)? == self.server_id(id)?;
        (is_home && self.undisturbed(id, element, patience))
            .then(|| format!("I2: {element:?} is there, and is removed: {reason:?}"))
    }

    /// I2: a registrar that lives and is heard is not forgotten, whoever says that it was taken over.
    pub(crate) fn check_lost_peer(&self, id: NodeId, server: ServerId) -> Option<String> {
        let lives = |node: &NodeId| self.server_id(*node) == Some(server);
        let peer = self.live_registrars().into_iter().find(lives)?;
        self.undisturbed(id, peer, PATIENCE * 3)
            .then(|| format!("I2: {peer:?} is there, and is forgotten"))
    }

    /// The element of a registrar's own that a peer's DEL_PE is about.
    pub(crate) fn endangered(&self, id: NodeId, input: &Input<'_>) -> Option<(PoolHandle, PeId)> {
        let Input::Message {
            ppid: Ppid::ENRP,
            bytes,
            ..
        } = *input
        else {
            return None;
        };
        if bytes.first() != Some(&enrp::message_type::HANDLE_UPDATE) {
            return None;
        }
        match enrp::decode(bytes).ok()?.message.body {
            MessageBody::HandleUpdate {
                action: UpdateAction::Delete,
                pool_handle,
                ref pool_element,
                ..
            } if self.owns(id, pool_handle, pool_element.id) => {
                Some((pool_handle.into(), pool_element.id))
            }
            _ => None,
        }
    }

    /// Whether the element is in the registrar's handlespace, as its own.
    pub(crate) fn owns(&self, id: NodeId, pool: &[u8], pe_id: PeId) -> bool {
        let Role::Registrar(registrar) = &self.nodes[id.index()].role else {
            return false;
        };
        let handlespace = registrar.handlespace();
        let found = handlespace.find(pool, pe_id);
        found
            .and_then(|key| handlespace.get(key))
            .is_some_and(|element| element.home == registrar.id())
    }

    fn is_skewed(&self, id: NodeId) -> bool {
        self.nodes[id.index()].rate != 1000
    }

    /// Whether a host's process has run, and its associations were left alone, since then.
    pub(crate) fn has_run_since(&self, id: NodeId, since: Instant) -> bool {
        self.is_running(id) && self.nodes[id.index()].disturbed <= since
    }

    /// Whether two hosts have run, and could hear each other well, for that long.
    fn undisturbed(&self, one: NodeId, other: NodeId, patience: Duration) -> bool {
        let calm = |since: Instant| since + patience <= self.now;
        let cut = |cut: &Cut| cut.blocks(one, other) || cut.blocks(other, one);
        let patience_micros = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let since = Instant::from_micros(self.now.as_micros().saturating_sub(patience_micros));
        self.has_run_since(one, since)
            && self.has_run_since(other, since)
            && calm(self.truth.rough)
            && !self.kernel.is_cut(one, other)
            && !self
                .truth
                .healed
                .iter()
                .any(|(at, healed)| !calm(*at) && cut(healed))
    }
}
