//! The world: machines, what is on its way between them, and the time.

use alloc::collections::{BTreeMap, BTreeSet};

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser};
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportBuf, TransportUse};
use rserpool_core::{ASAP_PORT, Action, AssocId, End, Input, Instant, PoolHandle, Ppid};
use siphasher::sip::SipHasher13;

use crate::Network;
use crate::node::{Node, Role};

/// A host of the world. Its address is 10.0.x.y with its number plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The host's address.
    pub fn address(self) -> IpAddr {
        let [high, low] = (self.0 + 1).to_be_bytes();
        Ipv4Addr::new(10, 0, high, low).into()
    }
}

/// What a machine told its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A registrar.
    Registrar(registrar::Event),
    /// A pool element.
    Element(element::Event),
    /// A pool user.
    User(user::Event),
}

/// One end of an association.
#[derive(Clone, Copy, Debug)]
struct Link {
    node: NodeId,
    association: AssocId,
    address: SocketAddr,
}

/// What is on its way to a node.
#[derive(Debug)]
enum Delivery {
    Connected {
        association: AssocId,
        remote: SocketAddr,
        called: bool,
    },
    ConnectFailed {
        remote: SocketAddr,
    },
    Disconnected {
        association: AssocId,
        end: End,
    },
    Message {
        association: AssocId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    },
    Announcement {
        source: SocketAddr,
        ppid: Ppid,
        bytes: Bytes,
    },
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// The properties of its links; they may change at any time.
    pub network: Network,
    seed: u64,
    now: Instant,
    nodes: Vec<Node>,
    queue: BTreeMap<(Instant, u64), (NodeId, Delivery)>,
    /// The other end of each association.
    links: BTreeMap<(NodeId, AssocId), Link>,
    /// The associations that a machine knows of.
    open: BTreeSet<(NodeId, AssocId)>,
    next: u64,
    told: Vec<(Instant, NodeId, Told)>,
    trace: SipHasher13,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            network: Network::default(),
            seed,
            now: Instant::EPOCH,
            nodes: Vec::new(),
            queue: BTreeMap::new(),
            links: BTreeMap::new(),
            open: BTreeSet::new(),
            next: 0,
            told: Vec::new(),
            trace: SipHasher13::new_with_keys(seed, 0),
        }
    }

    /// Adds a registrar, with the default configuration changed by `configure`.
    pub fn add_registrar(&mut self, configure: impl FnOnce(&mut registrar::Config)) -> NodeId {
        let address = SocketAddr::new(self.next_node().address(), ASAP_PORT);
        let mut config = registrar::Config::default();
        config.asap_addresses = vec![address];
        configure(&mut config);
        let registrar = Registrar::new(config, self.now, self.node_seed());
        self.add(Role::Registrar(Box::new(registrar)))
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
        let element = PoolElement::new(config, self.node_seed());
        self.add(Role::Element(Box::new(element)))
    }

    /// Adds a pool user that knows all registrars so far.
    pub fn add_user(&mut self, configure: impl FnOnce(&mut user::Config)) -> NodeId {
        let mut config = user::Config::default();
        config.hunt.registrars = self.registrars();
        configure(&mut config);
        let user = PoolUser::new(config, self.node_seed());
        self.add(Role::User(Box::new(user)))
    }

    fn next_node(&self) -> NodeId {
        NodeId(u16::try_from(self.nodes.len()).expect("a world has fewer than 65,536 hosts"))
    }

    fn node_seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..10].copy_from_slice(&self.next_node().0.to_le_bytes());
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

    fn add(&mut self, role: Role) -> NodeId {
        let id = self.next_node();
        self.nodes.push(Node {
            role,
            alive: true,
            next_port: 10_000,
        });
        self.settle(id);
        id
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A hash of everything that has happened: equal for equal seeds.
    pub fn trace_hash(&self) -> u64 {
        self.trace.finish()
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
        let Role::Registrar(machine) = &mut self.nodes[usize::from(id.0)].role else {
            panic!("{id:?} is no registrar");
        };
        let result = command(machine, self.now);
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
        let Role::Element(machine) = &mut self.nodes[usize::from(id.0)].role else {
            panic!("{id:?} is no pool element");
        };
        let result = command(machine, self.now);
        self.settle(id);
        result
    }

    /// Gives a command to a pool user, or looks at it.
    ///
    /// # Panics
    /// Where the node is none.
    pub fn user<R>(&mut self, id: NodeId, command: impl FnOnce(&mut PoolUser, Instant) -> R) -> R {
        let Role::User(machine) = &mut self.nodes[usize::from(id.0)].role else {
            panic!("{id:?} is no pool user");
        };
        let result = command(machine, self.now);
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

    /// A process dies and its kernel tells the peers: every association is aborted.
    pub fn crash(&mut self, id: NodeId) {
        let latency = self.network.latency;
        self.end_all(id, latency);
    }

    /// A host is cut off without a word: its peers notice by its silence.
    pub fn vanish(&mut self, id: NodeId) {
        let detection = self.network.detection;
        self.end_all(id, detection);
    }

    fn end_all(&mut self, id: NodeId, delay: Duration) {
        self.nodes[usize::from(id.0)].alive = false;
        let ends: Vec<_> = self
            .links
            .range((id, AssocId(0))..=(id, AssocId(u64::MAX)))
            .map(|(key, other)| (*key, *other))
            .collect();
        for (key, other) in ends {
            self.links.remove(&key);
            self.links.remove(&(other.node, other.association));
            let end = Delivery::Disconnected {
                association: other.association,
                end: End::Lost,
            };
            self.send(other.node, delay, end);
        }
    }

    /// A process stands still: what comes is lost, timers rest, and its kernel keeps the associations up.
    pub fn pause(&mut self, id: NodeId) {
        self.nodes[usize::from(id.0)].alive = false;
    }

    /// Runs for a while.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Runs until `end`: everything that is due by then has happened.
    pub fn run_until(&mut self, end: Instant) {
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = self.now.max(end);
    }

    fn next_instant(&self) -> Option<Instant> {
        let delivery = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timers = self
            .nodes
            .iter()
            .filter(|node| node.alive)
            .filter_map(Node::poll_timeout);
        timers.chain(delivery).min()
    }

    fn step(&mut self) {
        if let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.now
        {
            let (id, delivery) = entry.remove();
            self.deliver(id, &delivery);
            return;
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let due = node.poll_timeout().is_some_and(|at| at <= self.now);
            if node.alive && due {
                node.handle_timeout(self.now);
                self.settle(NodeId(u16::try_from(index).expect("checked by `add`")));
            }
        }
    }

    fn deliver(&mut self, id: NodeId, delivery: &Delivery) {
        let node = &mut self.nodes[usize::from(id.0)];
        if !node.alive {
            return;
        }
        let at = (self.now.as_micros(), id);
        match delivery {
            Delivery::Message {
                association,
                ppid,
                stream,
                bytes,
            } => {
                if !self.links.contains_key(&(id, *association)) {
                    return;
                }
                (at, 0, association, ppid, bytes).hash(&mut self.trace);
                node.handle_input(
                    self.now,
                    Input::Message {
                        association: *association,
                        ppid: *ppid,
                        stream: *stream,
                        bytes,
                    },
                );
            }
            Delivery::Connected {
                association,
                remote,
                called,
            } => {
                let up = self.links.contains_key(&(id, *association));
                (at, 1, association, remote, up).hash(&mut self.trace);
                if up {
                    self.open.insert((id, *association));
                    node.handle_input(
                        self.now,
                        Input::Connected {
                            association: *association,
                            remote: &[*remote],
                        },
                    );
                } else if *called {
                    node.handle_input(self.now, Input::ConnectFailed { remote: *remote });
                }
            }
            Delivery::ConnectFailed { remote } => {
                (at, 2, remote).hash(&mut self.trace);
                node.handle_input(self.now, Input::ConnectFailed { remote: *remote });
            }
            Delivery::Disconnected { association, end } => {
                (at, 3, association, *end == End::Lost).hash(&mut self.trace);
                self.links.remove(&(id, *association));
                if !self.open.remove(&(id, *association)) {
                    return;
                }
                node.handle_input(
                    self.now,
                    Input::Disconnected {
                        association: *association,
                        end: *end,
                    },
                );
            }
            Delivery::Announcement {
                source,
                ppid,
                bytes,
            } => {
                (at, 4, source, ppid, bytes).hash(&mut self.trace);
                node.handle_input(
                    self.now,
                    Input::Announcement {
                        source: *source,
                        ppid: *ppid,
                        bytes,
                    },
                );
            }
        }
        self.settle(id);
    }

    /// Carries out what a node wants to be done.
    fn settle(&mut self, id: NodeId) {
        while let Some(action) = self.nodes[usize::from(id.0)].poll_action() {
            match action {
                Action::Connect { remote, .. } => self.connect(id, &remote),
                Action::Send {
                    association,
                    ppid,
                    stream,
                    bytes,
                } => self.send_message(id, association, (ppid, stream, bytes)),
                Action::Announce { ppid, bytes } => self.announce(id, ppid, &bytes),
                Action::Disconnect { association } => self.end(id, association, End::Closed),
                Action::Abort { association } => self.end(id, association, End::Lost),
                Action::Notify(told) => self.told.push((self.now, id, told)),
            }
        }
    }

    fn send(&mut self, to: NodeId, delay: Duration, delivery: Delivery) {
        self.next += 1;
        self.queue
            .insert((self.now + delay, self.next), (to, delivery));
    }

    fn connect(&mut self, from: NodeId, remote: &[SocketAddr]) {
        let address = remote[0];
        let target = (0..)
            .map(NodeId)
            .zip(&self.nodes)
            .find(|(id, _)| id.address() == address.ip())
            .map(|(id, node)| (id, node.alive));
        let listens = address.port() == ASAP_PORT;
        let to = match target {
            Some((id, true)) if listens => id,
            Some((_, true)) => {
                let refused = Delivery::ConnectFailed { remote: address };
                return self.send(from, self.network.latency * 2, refused);
            }
            _ => {
                let silent = Delivery::ConnectFailed { remote: address };
                return self.send(from, self.network.connect_timeout, silent);
            }
        };
        let node = &mut self.nodes[usize::from(from.0)];
        // An element calls from the port on which it can be called; a user from a fresh one.
        let port = match node.role {
            Role::User(_) => {
                node.next_port += 1;
                node.next_port
            }
            _ => ASAP_PORT,
        };
        let local = SocketAddr::new(from.address(), port);
        if let Some(association) = self.existing((from, local), (to, address)) {
            let remote = address;
            let called = true;
            let up = Delivery::Connected {
                association,
                remote,
                called,
            };
            return self.send(from, self.network.latency * 2, up);
        }
        self.next += 2;
        let (ours, theirs) = (AssocId(self.next), AssocId(self.next - 1));
        let far = Link {
            node: to,
            association: theirs,
            address,
        };
        let near = Link {
            node: from,
            association: ours,
            address: local,
        };
        self.links.insert((from, ours), far);
        self.links.insert((to, theirs), near);
        for end in [near, far] {
            let other = if end.node == from && end.association == ours {
                far
            } else {
                near
            };
            let up = Delivery::Connected {
                association: end.association,
                remote: other.address,
                called: end.association == ours,
            };
            self.send(end.node, self.network.latency * 2, up);
        }
    }

    /// The association between two endpoints, of which there is one at most: SCTP takes a second attempt for the same one.
    fn existing(
        &self,
        (from, local): (NodeId, SocketAddr),
        (to, remote): (NodeId, SocketAddr),
    ) -> Option<AssocId> {
        let own = (from, AssocId(0))..=(from, AssocId(u64::MAX));
        let mut links = self.links.range(own);
        let found = links.find(|(_, far)| {
            let near = self.links.get(&(to, far.association));
            far.node == to
                && far.address == remote
                && near.is_some_and(|near| near.address == local)
        });
        found.map(|((_, association), _)| *association)
    }

    fn send_message(
        &mut self,
        from: NodeId,
        association: AssocId,
        (ppid, stream, bytes): (Ppid, u16, Bytes),
    ) {
        assert!(!bytes.is_empty(), "SCTP has no empty messages");
        if let Some(other) = self.links.get(&(from, association)).copied() {
            let message = Delivery::Message {
                association: other.association,
                ppid,
                stream,
                bytes,
            };
            self.send(other.node, self.network.latency, message);
        }
    }

    fn announce(&mut self, from: NodeId, ppid: Ppid, bytes: &Bytes) {
        let source = SocketAddr::new(from.address(), ASAP_PORT);
        let others: BTreeSet<_> = (0..self.next_node().0).map(NodeId).collect();
        for id in others.into_iter().filter(|id| *id != from) {
            let announcement = Delivery::Announcement {
                source,
                ppid,
                bytes: bytes.clone(),
            };
            self.send(id, self.network.latency, announcement);
        }
    }

    /// An association ends; what is on its way in it arrives before.
    fn end(&mut self, id: NodeId, association: AssocId, end: End) {
        let Some(other) = self.links.get(&(id, association)).copied() else {
            return;
        };
        for (node, association) in [(id, association), (other.node, other.association)] {
            let ended = Delivery::Disconnected { association, end };
            self.send(node, self.network.latency, ended);
        }
    }
}
