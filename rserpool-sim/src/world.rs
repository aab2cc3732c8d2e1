//! The world: machines, what is on its way between them, and the time.

use alloc::collections::{BTreeMap, BTreeSet};

use core::hash::{Hash, Hasher};
use core::net::SocketAddr;
use core::time::Duration;

use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser};
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportBuf, TransportUse};
use rserpool_core::{ASAP_PORT, Action, ENRP_PORT, End, Input, Instant, PoolHandle, Rng};
use siphasher::sip::SipHasher13;

use crate::kernel::{Attempt, Delivery, EndId, Kernel};
use crate::network::CutId;
use crate::node::{Blueprint, Life, Node, NodeId, Role, Told};
use crate::truth::Truth;
use crate::{Network, trace};

/// What happens at a time.
#[derive(Debug)]
pub(crate) enum Due {
    Delivery(NodeId, Delivery),
    Attempt(Attempt),
    Silence(EndId, CutId),
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// The properties of its links; they may change at any time.
    pub network: Network,
    /// Whether the invariants are checked after every event (yes).
    pub checked: bool,
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) kernel: Kernel,
    pub(crate) next: u64,
    pub(crate) told: Vec<(Instant, NodeId, Told)>,
    pub(crate) violations: Vec<String>,
    pub(crate) events: u64,
    pub(crate) truth: Truth,
    queue: BTreeMap<(Instant, u64), Due>,
    deadlines: BTreeSet<(Instant, NodeId)>,
    order: u64,
    rng: Rng,
    hash: SipHasher13,
    /// The events in words, where wanted.
    pub(crate) words: Option<Vec<String>>,
    /// How many events and actions there were at this very instant.
    burst: u32,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        let mut key = [0x5a; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            network: Network::default(),
            checked: true,
            seed,
            now: Instant::EPOCH,
            nodes: Vec::new(),
            kernel: Kernel::default(),
            next: 0,
            told: Vec::new(),
            violations: Vec::new(),
            events: 0,
            truth: Truth::default(),
            queue: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            order: 0,
            rng: Rng::from_seed(key),
            hash: SipHasher13::new_with_keys(seed, 0),
            words: None,
            burst: 0,
        }
    }

    /// Adds a registrar that knows all registrars so far, with the default configuration changed by `configure`.
    pub fn add_registrar(&mut self, configure: impl FnOnce(&mut registrar::Config)) -> NodeId {
        let address = SocketAddr::new(self.next_node().address(), ASAP_PORT);
        let mut config = registrar::Config::default();
        config.asap_addresses = vec![address];
        config.enrp_addresses = vec![SocketAddr::new(address.ip(), ENRP_PORT)];
        config.peers = self
            .registrars()
            .into_iter()
            .map(|peer| SocketAddr::new(peer.ip(), ENRP_PORT))
            .collect();
        configure(&mut config);
        self.add(Blueprint::Registrar(Box::new(config)))
    }

    /// Adds a pool element that knows all registrars so far and serves on SCTP.
    pub fn add_element(
        &mut self,
        pool: &str,
        configure: impl FnOnce(&mut element::Config),
    ) -> NodeId {
        let addresses = [self.next_node().address()];
        let transport = Transport::Sctp(SctpTransport {
            port: ASAP_PORT,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: List::Slice(&addresses),
        });
        let transport = TransportBuf::from(&transport);
        let mut config =
            element::Config::new(PoolHandle::from(pool), transport, Policy::RoundRobin);
        config.hunt.registrars = self.registrars();
        configure(&mut config);
        self.add(Blueprint::Element(Box::new(config)))
    }

    /// Adds a pool user that knows all registrars so far.
    pub fn add_user(&mut self, configure: impl FnOnce(&mut user::Config)) -> NodeId {
        let mut config = user::Config::default();
        config.hunt.registrars = self.registrars();
        configure(&mut config);
        self.add(Blueprint::User(Box::new(config)))
    }

    pub(crate) fn next_node(&self) -> NodeId {
        NodeId(u16::try_from(self.nodes.len()).expect("a world has fewer than 65,536 hosts"))
    }

    pub(crate) fn node_seed(&self, id: NodeId, starts: u16) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..10].copy_from_slice(&id.0.to_le_bytes());
        seed[10..12].copy_from_slice(&starts.to_le_bytes());
        seed
    }

    fn registrars(&self) -> Vec<SocketAddr> {
        (0..)
            .map(NodeId)
            .zip(&self.nodes)
            .filter(|(_, node)| matches!(node.role, Role::Registrar(_)))
            .map(|(id, _)| SocketAddr::new(id.address(), ASAP_PORT))
            .collect()
    }

    pub(crate) fn add(&mut self, blueprint: Blueprint) -> NodeId {
        let id = self.next_node();
        let role = blueprint.build(self.now, self.node_seed(id, 1));
        self.nodes.push(Node::new(role, blueprint));
        self.nodes[id.index()].disturbed = self.now;
        self.truth.servers.extend(self.server_id(id));
        self.settle(id);
        id
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many events have happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// A hash of everything that has happened: equal for equal seeds.
    pub fn trace_hash(&self) -> u64 {
        self.hash.finish()
    }

    /// From now on all events are kept in words, for [`World::take_trace`].
    pub fn trace(&mut self) {
        self.words.get_or_insert_default();
    }

    /// What has happened since the last call, a line an event; nothing where [`World::trace`] was not called.
    pub fn take_trace(&mut self) -> Vec<String> {
        self.words.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// What was found to be wrong.
    pub fn take_violations(&mut self) -> Vec<String> {
        core::mem::take(&mut self.violations)
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(words) = &mut self.words {
            words.push(format!("{:?} {}", self.now, text()));
        }
    }

    /// Gives a command to a registrar, or looks at it.
    ///
    /// # Panics
    /// Where the node is none.
    pub fn registrar<R>(
        &mut self,
        id: NodeId,
        command: impl FnOnce(&mut Registrar, Instant) -> R,
    ) -> R {
        let node = &mut self.nodes[id.index()];
        let now = node.local(self.now);
        let Role::Registrar(machine) = &mut node.role else {
            panic!("{id:?} is no registrar");
        };
        let result = command(machine, now);
        self.settle(id);
        result
    }

    /// Gives a command to a pool element, or looks at it.
    ///
    /// # Panics
    /// Where the node is none.
    pub fn element<R>(
        &mut self,
        id: NodeId,
        command: impl FnOnce(&mut PoolElement, Instant) -> R,
    ) -> R {
        let node = &mut self.nodes[id.index()];
        let now = node.local(self.now);
        let Role::Element(machine) = &mut node.role else {
            panic!("{id:?} is no pool element");
        };
        let result = command(machine, now);
        self.settle(id);
        result
    }

    /// Gives a command to a pool user, or looks at it.
    ///
    /// # Panics
    /// Where the node is none.
    pub fn user<R>(&mut self, id: NodeId, command: impl FnOnce(&mut PoolUser, Instant) -> R) -> R {
        let node = &mut self.nodes[id.index()];
        let now = node.local(self.now);
        let Role::User(machine) = &mut node.role else {
            panic!("{id:?} is no pool user");
        };
        let result = command(machine, now);
        self.settle(id);
        result
    }

    /// Takes what the machines have told since the last call, in order.
    pub fn take_told(&mut self) -> Vec<(Instant, NodeId, Told)> {
        core::mem::take(&mut self.told)
    }

    /// What users of pool users were told.
    pub fn take_user_events(&mut self) -> Vec<user::Event> {
        self.take_told()
            .into_iter()
            .filter_map(|(_, _, told)| match told {
                Told::User(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// Runs for a while.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Runs until `end`: everything that is due by then has happened.
    pub fn run_until(&mut self, end: Instant) {
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            if next > self.now {
                self.now = next;
                self.burst = 0;
            }
            if !self.spend() {
                break;
            }
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// I8: no time passes in a loop without an end. Counts one step of it.
    fn spend(&mut self) -> bool {
        const BURST: u32 = 1_000_000;
        self.burst += 1;
        if self.burst == BURST {
            self.violation("I8: time stands still");
        }
        self.burst < BURST
    }

    fn next_instant(&self) -> Option<Instant> {
        let due = self.queue.first_key_value().map(|((at, _), _)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        match (due, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn step(&mut self) {
        self.events += 1;
        if let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Due::Delivery(id, delivery) => self.deliver(id, delivery),
                Due::Attempt(attempt) => self.attempt(attempt),
                Due::Silence(end, cut) => self.silence(end, cut),
            }
        } else if let Some((_, id)) = self.deadlines.pop_first() {
            let node = &mut self.nodes[id.index()];
            node.deadline = None;
            (self.now.as_micros(), id, 9).hash(&mut self.hash);
            node.handle_timeout(self.now);
            self.settle(id);
        }
    }

    pub(crate) fn schedule(&mut self, delay: Duration, due: Due) {
        self.schedule_at(self.now + delay, due);
    }

    pub(crate) fn schedule_at(&mut self, at: Instant, due: Due) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), due);
    }

    /// Whether something that happens `permille` times in 1,000 happens now.
    pub(crate) fn chance(&mut self, permille: u16) -> bool {
        permille > 0 && self.rng.index(1000) < usize::from(permille)
    }

    /// A random time up to `most`.
    pub(crate) fn within(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return Duration::ZERO;
        }
        let micros = self.rng.below(most.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn deliver(&mut self, id: NodeId, delivery: Delivery) {
        const HELD: usize = 100_000;
        let node = &mut self.nodes[id.index()];
        match node.life {
            Life::Running => self.hand_in(id, &delivery),
            Life::Paused if node.held.len() < HELD => node.held.push_back(delivery),
            Life::Paused | Life::Crashed | Life::Vanished => {}
        }
    }

    /// The machine gets what has come, if it still concerns it.
    pub(crate) fn hand_in(&mut self, id: NodeId, delivery: &Delivery) {
        if let Some(words) = &mut self.words {
            words.push(trace::delivery(self.now, id, delivery, &self.kernel));
        }
        self.hash_delivery(id, delivery);
        if let Delivery::Disconnected { association, end } = delivery {
            self.hand_in_end((id, *association), *end);
        } else {
            let remote = self.kernel.meet(id, delivery);
            if let Some(input) = input(delivery, &remote) {
                self.witness(id, &input);
                let endangered = self.endangered(id, &input);
                self.nodes[id.index()].handle_input(self.now, input);
                if let Some((pool, pe_id)) = endangered
                    && !self.owns(id, pool.as_bytes(), pe_id)
                {
                    self.violation(&format!("I2: {id:?} let others delete element {}", pe_id.0));
                }
            }
        }
        self.settle(id);
    }

    fn hand_in_end(&mut self, end: EndId, how: End) {
        let Some(state) = self.close(end) else {
            return;
        };
        self.truth.forget(end);
        if state.told {
            let input = Input::Disconnected {
                association: end.1,
                end: how,
            };
            self.nodes[end.0.index()].handle_input(self.now, input);
        }
    }

    fn hash_delivery(&mut self, id: NodeId, delivery: &Delivery) {
        let at = (self.now.as_micros(), id);
        match delivery {
            Delivery::Message {
                association, bytes, ..
            } => (at, 0, association, bytes).hash(&mut self.hash),
            Delivery::Connected { association, .. } => (at, 1, association).hash(&mut self.hash),
            Delivery::ConnectFailed { remote } => (at, 2, remote).hash(&mut self.hash),
            Delivery::Disconnected { association, end } => {
                (at, 3, association, *end == End::Lost).hash(&mut self.hash);
            }
            Delivery::Announcement { source, bytes, .. } => {
                (at, 4, source, bytes).hash(&mut self.hash);
            }
            Delivery::SendFailed {
                association, bytes, ..
            } => (at, 5, association, bytes).hash(&mut self.hash),
        }
    }

    /// Carries out what a node wants to be done.
    pub(crate) fn settle(&mut self, id: NodeId) {
        while let Some(action) = self.nodes[id.index()].poll_action() {
            if !self.spend() {
                break;
            }
            if self.checked {
                self.check_action(id, &action);
            }
            match action {
                Action::Connect { ppid, remote } => self.connect(id, ppid, remote[0]),
                Action::Send {
                    association,
                    ppid,
                    stream,
                    bytes,
                    // Links deliver in order.
                    unordered: _,
                } => self.send_message(id, association, (ppid, stream, bytes)),
                Action::Announce { ppid, bytes } => self.multicast(id, ppid, &bytes),
                Action::Disconnect { association } => self.end(id, association, End::Closed),
                Action::Abort { association } => self.end(id, association, End::Lost),
                Action::Notify(told) => {
                    self.note(|| format!("{id:?} says {told:?}"));
                    self.told.push((self.now, id, told));
                }
            }
        }
        self.reindex(id);
        if self.checked {
            self.check_node(id);
        }
    }

    /// The node's next deadline has changed.
    pub(crate) fn reindex(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        let wanted = match node.life {
            Life::Running => node.poll_timeout().map(|local| node.global(local)),
            _ => None,
        };
        if wanted != node.deadline {
            if let Some(old) = node.deadline {
                self.deadlines.remove(&(old, id));
            }
            if let Some(new) = wanted {
                self.deadlines.insert((new, id));
            }
            node.deadline = wanted;
        }
    }
}

/// What a machine is told of something that has come; nothing where the association is no more, so that it has no `remote`.
fn input<'a>(delivery: &'a Delivery, remote: &'a Option<SocketAddr>) -> Option<Input<'a>> {
    let up = remote.is_some();
    Some(match delivery {
        Delivery::Message {
            association,
            ppid,
            stream,
            bytes,
        } if up => Input::Message {
            association: *association,
            ppid: *ppid,
            stream: *stream,
            bytes,
        },
        Delivery::Connected { association, .. } if up => Input::Connected {
            association: *association,
            remote: remote.as_slice(),
        },
        Delivery::Connected { asked, .. } => Input::ConnectFailed { remote: (*asked)? },
        Delivery::ConnectFailed { remote } => Input::ConnectFailed { remote: *remote },
        Delivery::SendFailed {
            association,
            ppid,
            stream,
            bytes,
        } if up => Input::SendFailed {
            association: *association,
            ppid: *ppid,
            stream: *stream,
            bytes,
        },
        Delivery::Announcement {
            source,
            ppid,
            bytes,
        } => Input::Announcement {
            source: *source,
            ppid: *ppid,
            bytes,
        },
        _ => return None,
    })
}
