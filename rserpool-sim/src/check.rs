//! The invariants: what must hold after every event, and what must hold when a world has come to rest.
//!
//! | | what | where |
//! |---|---|---|
//! | I1 | checksums are what they would be if they were computed anew | `index`, of a sample of the events and at rest |
//! | I2 | nobody is a member who was not registered, with values that were said; no member that lives, is reached and answers is removed by its home | `truth.rs`: every update, table and answer that is sent, every removal and DEL_PE; all that is known, of a sample of the events and at rest |
//! | I3 | indexes agree, an element has one home | `index` |
//! | I4 | nothing grows beyond its cap | `caps`, after every event |
//! | I5 | what is sent can be read, and says the same | `check_action` |
//! | I6 | one question to an element at a time, not more often than at half the mean interval; one report for each call | `truth.rs`; that intervals vary by ±50 %: `keep_alives_are_spread_over_time` of the core |
//! | I7 | policies select as they should | tests of the core's `policy` and `tests/handlespace` (turns, order, χ² at p = 0.001), `tests/policies.rs` here |
//! | I8 | no event goes on for ever | `World::spend`; a machine that does not return from one call hangs the test |
//! | I9 | all registrars have the same full state | `divergence`, `disagreement` |
//! | I10 | of all living elements and no dead one, each at the home that it takes for its own | `divergence`; how long a dead one may remain: `remains.rs` |
//! | I11 | requests and sessions end | `run.rs` |
//! | I12 | takeovers end | `run.rs`, `divergence` |
//! | I13 | the same seed is the same world | `tests/seeds.rs`, and `tests/run` for debug and release |
//! | I14 | known bugs are found | `tests/planted.rs` |

use alloc::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rserpool_core::handlespace::Element;
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::wire::{asap, enrp};
use rserpool_core::{Action, AssocId, PeId, PoolHandle, Ppid, ServerId, user};

use crate::node::{NodeId, Role, Told};
use crate::world::World;

/// How many violations are kept of one world.
const KEPT: usize = 16;

impl World {
    pub(crate) fn violation(&mut self, text: &str) {
        if self.violations.len() < KEPT {
            self.note(|| format!("VIOLATION {text}"));
            self.violations.push(format!("{:?} {text}", self.now));
        }
    }

    /// I2, I5, I6: what a machine does.
    pub(crate) fn check_action(&mut self, id: NodeId, action: &Action<Told>) {
        let found = match action {
            Action::Send {
                association,
                ppid: Ppid::ASAP,
                bytes,
                ..
            } => match asap::decode(bytes) {
                Ok(decoded) if is_same(decoded.message.to_bytes(), bytes) => {
                    self.check_asap((id, *association), &decoded.message)
                }
                _ => Some(unreadable(bytes)),
            },
            Action::Send { ppid, bytes, .. } | Action::Announce { ppid, bytes } => match *ppid {
                Ppid::ENRP => match enrp::decode(bytes) {
                    Ok(decoded) if is_same(decoded.message.to_bytes(), bytes) => {
                        self.check_enrp(&decoded.message)
                    }
                    _ => Some(unreadable(bytes)),
                },
                Ppid::ASAP => {
                    let again = asap::decode(bytes).map(|decoded| decoded.message.to_bytes());
                    let same = again.is_ok_and(|again| is_same(again, bytes));
                    (!same).then(|| unreadable(bytes))
                }
                _ => None,
            },
            Action::Connect { remote, .. } => {
                self.witness_call(id, remote[0].ip());
                None
            }
            Action::Notify(told) => self.check_told(id, told),
            Action::Disconnect { .. } | Action::Abort { .. } => None,
        };
        if let Some(text) = found {
            self.violation(&format!("{id:?} {text}"));
        }
    }

    fn check_told(&mut self, id: NodeId, told: &Told) -> Option<String> {
        match told {
            Told::Registrar(registrar::Event::Removed {
                pool_handle,
                pe_id,
                reason,
            }) => self.check_removal(id, pool_handle, *pe_id, *reason),
            Told::Registrar(registrar::Event::PeerLost { server }) => {
                self.check_lost_peer(id, *server)
            }
            Told::User(user::Event::Interrupted {
                element,
                closed: true,
                ..
            }) => {
                self.witness_close(id, *element);
                None
            }
            _ => None,
        }
    }

    /// What must hold for a node after each of its events; what costs much is looked at from time to time.
    pub(crate) fn check_node(&mut self, id: NodeId) {
        const SAMPLED: u64 = 64;
        let thorough = self.events.is_multiple_of(SAMPLED);
        let Role::Registrar(registrar) = &self.nodes[id.index()].role else {
            return;
        };
        let found = caps(registrar).or_else(|| {
            let thorough = thorough.then(|| index(registrar).or_else(|| self.check_elements(id)));
            thorough.flatten()
        });
        if let Some(text) = found {
            self.violation(&format!("{id:?} {text}"));
        }
    }

    /// The registrars whose processes run.
    pub fn live_registrars(&self) -> Vec<NodeId> {
        self.nodes_where(|role| matches!(role, Role::Registrar(_)))
    }

    /// The elements whose processes run.
    pub fn live_elements(&self) -> Vec<NodeId> {
        self.nodes_where(|role| matches!(role, Role::Element(_)))
    }

    fn nodes_where(&self, wanted: impl Fn(&Role) -> bool) -> Vec<NodeId> {
        (0..)
            .map(NodeId)
            .zip(&self.nodes)
            .filter(|(id, node)| self.is_running(*id) && wanted(&node.role))
            .map(|(id, _)| id)
            .collect()
    }

    /// I1, I2, I3 for all registrars, whatever the time.
    pub fn check_thoroughly(&mut self) {
        for id in self.live_registrars() {
            if let Role::Registrar(registrar) = &self.nodes[id.index()].role
                && let Some(text) = index(registrar).or_else(|| self.check_elements(id))
            {
                self.violation(&format!("{id:?} {text}"));
            }
        }
    }

    pub(crate) fn server_id(&self, node: NodeId) -> Option<ServerId> {
        match &self.nodes[node.index()].role {
            Role::Registrar(registrar) => Some(registrar.id()),
            _ => None,
        }
    }

    /// The identifiers of the registrars whose processes run.
    pub(crate) fn live_ids(&self) -> BTreeSet<ServerId> {
        let live = self.live_registrars();
        live.iter().filter_map(|id| self.server_id(*id)).collect()
    }

    /// The registrar at the other end of an element's home association, if the element takes itself to be registered.
    pub fn home_of(&self, element: NodeId) -> Option<ServerId> {
        let Role::Element(machine) = &self.nodes[element.index()].role else {
            return None;
        };
        let home: AssocId = machine.home().filter(|_| machine.is_registered())?;
        let other = self.kernel.ends.get(&(element, home))?.other.0;
        self.server_id(other)
    }

    /// I9, I10: what keeps the world from having converged, or `None`. All live registrars have the same elements, attribute
    /// by attribute; these are the live elements; each is the home's that it takes for its own.
    pub fn divergence(&self) -> Option<String> {
        let registrars = self.live_registrars();
        let ids = self.live_ids();
        let mut expected: BTreeMap<(PoolHandle, PeId), ServerId> = BTreeMap::new();
        for element in self.live_elements() {
            let Role::Element(machine) = &self.nodes[element.index()].role else {
                continue;
            };
            let Some(home) = self.home_of(element) else {
                return Some(format!(
                    "I10: {element:?} (element {}) has no home",
                    machine.id().0
                ));
            };
            expected.insert((machine.pool().clone(), machine.id()), home);
        }
        let mut first: Option<(NodeId, Vec<&Element>)> = None;
        for id in registrars {
            let Role::Registrar(registrar) = &self.nodes[id.index()].role else {
                continue;
            };
            if !registrar.is_running() {
                return Some(format!("{id:?} is still starting"));
            }
            if !knows(registrar, &ids) {
                let peers: Vec<_> = registrar.peers().collect();
                return Some(format!("I10: {id:?} has the peers {peers:x?} of {ids:x?}"));
            }
            let elements = elements(registrar);
            if let Some(text) = compare(&expected, &elements) {
                return Some(format!("I10: at {id:?} ({:08x}) {text}", registrar.id().0));
            }
            match &first {
                None => first = Some((id, elements)),
                Some((one, others)) => {
                    if let Some((a, b)) = others.iter().zip(&elements).find(|(a, b)| a != b) {
                        return Some(format!("I9: {one:?} has {a:?}, {id:?} has {b:?}"));
                    }
                }
            }
        }
        None
    }

    /// Whether two live registrars have different elements, whatever they say of them.
    pub(crate) fn membership_differs(&self) -> bool {
        let live = self.live_registrars();
        let members = |id: &NodeId| -> Vec<_> {
            match &self.nodes[id.index()].role {
                Role::Registrar(registrar) => {
                    let members = elements(registrar).into_iter();
                    members.map(|one| (one.pool.clone(), one.id)).collect()
                }
                _ => Vec::new(),
            }
        };
        let mut all = live.iter().map(members);
        let first = all.next();
        all.any(|other| Some(other) != first)
    }

    /// Where the full states of two live registrars differ, whatever they should be.
    pub fn disagreement(&self) -> Option<String> {
        let live = self.live_registrars();
        let state = |id: &NodeId| match &self.nodes[id.index()].role {
            Role::Registrar(registrar) => elements(registrar),
            _ => Vec::new(),
        };
        let (first, rest) = live.split_first()?;
        let one = state(first);
        rest.iter().find_map(|id| {
            let other = state(id);
            let length = one.len().max(other.len());
            let index = (0..length).find(|index| one.get(*index) != other.get(*index))?;
            let (a, b) = (one.get(index), other.get(index));
            Some(format!("{first:?} has {a:?}, {id:?} has {b:?}"))
        })
    }
}

/// I5: what was read says what was sent.
fn is_same<E>(again: Result<Bytes, E>, bytes: &Bytes) -> bool {
    bytes.len() <= usize::from(u16::MAX) && again.is_ok_and(|again| again == *bytes)
}

fn unreadable(bytes: &Bytes) -> String {
    format!("I5: sends what cannot be read: {bytes:02x?}")
}

/// Whether the registrar knows all living ones and no dead one.
fn knows(registrar: &Registrar, ids: &BTreeSet<ServerId>) -> bool {
    let known: BTreeSet<_> = registrar.peers().chain([registrar.id()]).collect();
    known == *ids
}

/// All elements, in an order that is the same for all registrars.
fn elements(registrar: &Registrar) -> Vec<&Element> {
    let handlespace = registrar.handlespace();
    let keys = handlespace.elements_after(None);
    let mut elements: Vec<_> = keys.filter_map(|key| handlespace.get(key)).collect();
    elements.sort_unstable_by_key(|element| (&element.pool, element.id));
    elements
}

fn compare(
    expected: &BTreeMap<(PoolHandle, PeId), ServerId>,
    elements: &[&Element],
) -> Option<String> {
    let mut seen = 0;
    for element in elements {
        match expected.get(&(element.pool.clone(), element.id)) {
            None => {
                return Some(format!(
                    "dead element {} of {:08x} remains",
                    element.id.0, element.home.0
                ));
            }
            Some(home) if *home != element.home => {
                return Some(format!(
                    "element {} is {:08x}'s and says {:08x}",
                    element.id.0, element.home.0, home.0
                ));
            }
            Some(_) => seen += 1,
        }
    }
    if seen == expected.len() {
        return None;
    }
    let missing = expected.iter().find(|((pool, id), _)| {
        !elements
            .iter()
            .any(|one| one.pool == *pool && one.id == *id)
    });
    missing.map(|((_, id), home)| format!("live element {} of {:08x} is missing", id.0, home.0))
}

/// I4: nothing grows beyond its cap.
fn caps(registrar: &Registrar) -> Option<String> {
    let limits = registrar.config();
    let handlespace = registrar.handlespace();
    let peers = registrar.peers().count();
    let over = handlespace.len() > limits.limits.elements
        || handlespace.pool_count() > limits.limits.pools
        || peers > limits.max_peers;
    over.then(|| format!("I4: {} elements, {peers} peers", handlespace.len()))
}

/// I1, I3: checksums are what they would be if they were computed anew, and the indexes agree.
fn index(registrar: &Registrar) -> Option<String> {
    let handlespace = registrar.handlespace();
    let mut owned = 0;
    for owner in handlespace.owners() {
        let (kept, anew) = (
            handlespace.checksum(owner),
            handlespace.recompute_checksum(owner),
        );
        if kept != anew {
            return Some(format!(
                "I1: checksum of {:08x} is {kept:04x}, not {anew:04x}",
                owner.0
            ));
        }
        for key in handlespace.owned_by(owner) {
            owned += 1;
            let element = handlespace.get(key)?;
            let found = handlespace.find(element.pool.as_bytes(), element.id);
            if element.home != owner || found != Some(key) {
                return Some(format!(
                    "I3: element {} is in the wrong place",
                    element.id.0
                ));
            }
        }
    }
    (owned != handlespace.len()).then(|| format!("I3: {owned} of {} are owned", handlespace.len()))
}
