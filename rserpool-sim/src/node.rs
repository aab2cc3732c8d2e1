//! A host: its machine, whatever its role is.

use rserpool_core::element::PoolElement;
use rserpool_core::registrar::Registrar;
use rserpool_core::user::PoolUser;
use rserpool_core::{Action, Input, Instant, Machine};

use crate::Told;

#[derive(Debug)]
pub(crate) enum Role {
    Registrar(Box<Registrar>),
    Element(Box<PoolElement>),
    User(Box<PoolUser>),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) role: Role,
    pub(crate) alive: bool,
    pub(crate) next_port: u16,
}

impl Node {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.role {
            Role::Registrar(machine) => machine.poll_timeout(),
            Role::Element(machine) => machine.poll_timeout(),
            Role::User(machine) => machine.poll_timeout(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.role {
            Role::Registrar(machine) => machine.handle_timeout(now),
            Role::Element(machine) => machine.handle_timeout(now),
            Role::User(machine) => machine.handle_timeout(now),
        }
    }

    pub(crate) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match &mut self.role {
            Role::Registrar(machine) => machine.handle_input(now, input),
            Role::Element(machine) => machine.handle_input(now, input),
            Role::User(machine) => machine.handle_input(now, input),
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action<Told>> {
        match &mut self.role {
            Role::Registrar(machine) => machine.poll_action().map(|a| relabel(a, Told::Registrar)),
            Role::Element(machine) => machine.poll_action().map(|a| relabel(a, Told::Element)),
            Role::User(machine) => machine.poll_action().map(|a| relabel(a, Told::User)),
        }
    }
}

fn relabel<E>(action: Action<E>, told: impl FnOnce(E) -> Told) -> Action<Told> {
    match action {
        Action::Notify(event) => Action::Notify(told(event)),
        Action::Connect { ppid, remote } => Action::Connect { ppid, remote },
        Action::Send {
            association,
            ppid,
            stream,
            bytes,
        } => Action::Send {
            association,
            ppid,
            stream,
            bytes,
        },
        Action::Announce { ppid, bytes } => Action::Announce { ppid, bytes },
        Action::Disconnect { association } => Action::Disconnect { association },
        Action::Abort { association } => Action::Abort { association },
    }
}
