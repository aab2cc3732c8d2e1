//! The hosts of the world: a machine each, its process and its clock.

use alloc::collections::VecDeque;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser};
use rserpool_core::{ASAP_PORT, Action, ENRP_PORT, Input, Instant, Machine, Ppid};

use crate::kernel::Delivery;

/// A host of the world. Its address is 10.0.x.y with its number plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The host's address.
    pub fn address(self) -> IpAddr {
        let [high, low] = (self.0 + 1).to_be_bytes();
        Ipv4Addr::new(10, 0, high, low).into()
    }

    /// The host that has the address.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => match address.octets() {
                [10, 0, high, low] => u16::from_be_bytes([high, low]).checked_sub(1).map(Self),
                _ => None,
            },
            IpAddr::V6(_) => None,
        }
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
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

/// What runs on a host.
#[derive(Debug)]
pub(crate) enum Role {
    Registrar(Box<Registrar>),
    Element(Box<PoolElement>),
    User(Box<PoolUser>),
    /// One who speaks no protocol of its own: what it gets is kept, what it sends is given to it.
    Raw(Vec<bytes::Bytes>),
}

/// What a machine of the role is made from again after a crash.
#[derive(Clone, Debug)]
pub(crate) enum Blueprint {
    Registrar(Box<registrar::Config>),
    Element(Box<element::Config>),
    User(Box<user::Config>),
    Raw,
}

impl Blueprint {
    pub(crate) fn build(&self, now: Instant, seed: [u8; 32]) -> Role {
        match self {
            Self::Registrar(config) => {
                Role::Registrar(Box::new(Registrar::new((**config).clone(), now, seed)))
            }
            Self::Element(config) => {
                Role::Element(Box::new(PoolElement::new((**config).clone(), seed)))
            }
            Self::User(config) => Role::User(Box::new(PoolUser::new((**config).clone(), seed))),
            Self::Raw => Role::Raw(Vec::new()),
        }
    }
}

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its process runs.
    Running,
    /// Its process stands still; its kernel keeps the associations up and takes in what comes.
    Paused,
    /// Its process has died; its kernel refuses.
    Crashed,
    /// It is cut off or without power: nothing answers.
    Vanished,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) role: Role,
    pub(crate) blueprint: Blueprint,
    pub(crate) life: Life,
    pub(crate) next_port: u16,
    /// How many times it was started.
    pub(crate) starts: u16,
    /// The speed of its clock in thousandths of the world's.
    pub(crate) rate: u64,
    /// What waits for a process that stands still.
    pub(crate) held: VecDeque<Delivery>,
    /// When it wants to be woken, in the world's time.
    pub(crate) deadline: Option<Instant>,
    /// When something last happened to it that its peers may notice.
    pub(crate) disturbed: Instant,
}

impl Node {
    pub(crate) fn new(role: Role, blueprint: Blueprint) -> Self {
        Self {
            role,
            blueprint,
            life: Life::Running,
            next_port: 10_000,
            starts: 1,
            rate: 1000,
            held: VecDeque::new(),
            deadline: None,
            disturbed: Instant::EPOCH,
        }
    }

    /// The time on the host's clock.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        Instant::from_micros(now.as_micros().saturating_mul(self.rate) / 1000)
    }

    /// The first instant of the world at which the host's clock shows at least `local`.
    pub(crate) fn global(&self, local: Instant) -> Instant {
        let micros = local.as_micros();
        let whole = (micros / self.rate).saturating_mul(1000);
        let rest = (micros % self.rate * 1000).div_ceil(self.rate);
        Instant::from_micros(whole.saturating_add(rest))
    }

    /// Whether it has joined the group of that protocol.
    pub(crate) fn hears(&self, ppid: Ppid) -> bool {
        let joined = match self.role {
            Role::Registrar(_) => true,
            Role::Element(_) | Role::User(_) => ppid == Ppid::ASAP,
            Role::Raw(_) => false,
        };
        joined && matches!(self.life, Life::Running | Life::Paused)
    }

    /// Whether its kernel answers.
    pub(crate) fn is_up(&self) -> bool {
        self.life != Life::Vanished
    }

    pub(crate) fn listens(&self, port: u16) -> bool {
        let open = matches!(self.life, Life::Running | Life::Paused);
        open && match self.role {
            Role::Registrar(_) => port == ASAP_PORT || port == ENRP_PORT,
            Role::Element(_) | Role::Raw(_) => port == ASAP_PORT,
            Role::User(_) => false,
        }
    }

    /// The local port of a new association: an element calls from the port on which it can be called, a user from a fresh one.
    pub(crate) fn port(&mut self, ppid: Ppid) -> u16 {
        match self.role {
            Role::User(_) | Role::Raw(_) => {
                self.next_port = self.next_port.checked_add(1).unwrap_or(10_000);
                self.next_port
            }
            _ if ppid == Ppid::ENRP => ENRP_PORT,
            _ => ASAP_PORT,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.role {
            Role::Registrar(machine) => machine.poll_timeout(),
            Role::Element(machine) => machine.poll_timeout(),
            Role::User(machine) => machine.poll_timeout(),
            Role::Raw(_) => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.local(now);
        match &mut self.role {
            Role::Registrar(machine) => machine.handle_timeout(now),
            Role::Element(machine) => machine.handle_timeout(now),
            Role::User(machine) => machine.handle_timeout(now),
            Role::Raw(_) => {}
        }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        let now = self.local(now);
        match &mut self.role {
            Role::Registrar(machine) => machine.handle_input(now, input),
            Role::Element(machine) => machine.handle_input(now, input),
            Role::User(machine) => machine.handle_input(now, input),
            Role::Raw(heard) => {
                const KEPT: usize = 1024;
                if let Input::Message { bytes, .. } = input
                    && heard.len() < KEPT
                {
                    heard.push(bytes::Bytes::copy_from_slice(bytes));
                }
            }
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action<Told>> {
        match &mut self.role {
            Role::Registrar(machine) => machine
                .poll_action()?
                .filter_map(|event| Some(Told::Registrar(event))),
            Role::Element(machine) => machine
                .poll_action()?
                .filter_map(|event| Some(Told::Element(event))),
            Role::User(machine) => machine
                .poll_action()?
                .filter_map(|event| Some(Told::User(event))),
            Role::Raw(_) => None,
        }
    }
}

/// The address of one of a registrar's two endpoints.
pub(crate) fn endpoint(id: NodeId, port: u16) -> SocketAddr {
    SocketAddr::new(id.address(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_still_comes_to_its_deadline() {
        for rate in [900, 999, 1000, 1001, 1100] {
            let mut node = Node::new(Role::Raw(Vec::new()), Blueprint::Raw);
            node.rate = rate;
            for micros in [0, 1, 2, 999, 1000, 1001, 61_000_000, 3_600_000_007] {
                let local = Instant::from_micros(micros);
                let global = node.global(local);
                assert!(node.local(global) >= local, "{rate} {micros}");
                let before = Instant::from_micros(global.as_micros().saturating_sub(1));
                assert!(micros == 0 || node.local(before) < local, "{rate} {micros}");
            }
        }
    }
}
