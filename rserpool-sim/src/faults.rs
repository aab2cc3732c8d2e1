//! Faults as values: what happens to hosts and their processes.

use rserpool_core::{AssocId, Ppid, ServerId};

use crate::node::{Blueprint, Life, NodeId, Role};
use crate::world::World;

impl World {
    /// A process dies and its kernel tells the peers: every association is aborted, and calls are refused.
    pub fn crash(&mut self, id: NodeId) {
        self.note(|| format!("{id:?} crashes"));
        self.stop(id, Life::Crashed);
    }

    /// A host is cut off without a word: its peers notice by its silence.
    pub fn vanish(&mut self, id: NodeId) {
        self.note(|| format!("{id:?} vanishes"));
        self.stop(id, Life::Vanished);
    }

    fn stop(&mut self, id: NodeId, life: Life) {
        let node = &mut self.nodes[id.index()];
        if matches!(node.life, Life::Crashed | Life::Vanished) {
            return;
        }
        node.life = life;
        node.disturbed = self.now;
        node.held.clear();
        self.end_all(id, life == Life::Crashed);
        self.reindex(id);
    }

    /// A dead host comes back with an empty memory. A registrar has a new server ID, unless its configuration names one.
    pub fn restart(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        if matches!(node.life, Life::Running | Life::Paused) {
            return;
        }
        node.starts += 1;
        let (starts, now) = (node.starts, node.local(self.now));
        let role = node
            .blueprint
            .clone()
            .build(now, self.node_seed(id, starts));
        let node = &mut self.nodes[id.index()];
        node.role = role;
        node.life = Life::Running;
        node.disturbed = self.now;
        self.truth.servers.extend(self.server_id(id));
        self.note(|| format!("{id:?} starts again"));
        self.settle(id);
    }

    /// Gives a registrar another server ID, from its next start on.
    pub fn rename(&mut self, id: NodeId, server_id: Option<ServerId>) {
        if let Blueprint::Registrar(config) = &mut self.nodes[id.index()].blueprint {
            config.server_id = server_id;
        }
    }

    /// A process stands still: timers rest, its kernel keeps the associations up and takes in what comes.
    pub fn pause(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        if node.life == Life::Running {
            node.life = Life::Paused;
            node.disturbed = self.now;
            self.note(|| format!("{id:?} stands still"));
            self.reindex(id);
        }
    }

    /// A process goes on: it finds all that has come meanwhile, and timers long due.
    pub fn resume(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        if node.life != Life::Paused {
            return;
        }
        node.life = Life::Running;
        node.disturbed = self.now;
        let held = core::mem::take(&mut node.held);
        self.note(|| format!("{id:?} goes on"));
        for delivery in held {
            self.hand_in(id, &delivery);
        }
        self.reindex(id);
    }

    /// Whether the host's process runs.
    pub fn is_running(&self, id: NodeId) -> bool {
        self.nodes[id.index()].life == Life::Running
    }

    /// Whether the host's process has died, or the host with it.
    pub fn is_dead(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.index()].life, Life::Crashed | Life::Vanished)
    }

    /// Makes a host's clock run at `permille` thousandths of the world's speed. Its time does not jump forward where it is set
    /// at the beginning of the world.
    pub fn set_clock(&mut self, id: NodeId, permille: u16) {
        self.nodes[id.index()].rate = u64::from(permille.max(1));
        self.reindex(id);
    }

    /// Adds a host that speaks for itself: what it sends is given to it byte by byte.
    pub fn add_raw(&mut self) -> NodeId {
        self.add(Blueprint::Raw)
    }

    /// A raw host opens an association.
    pub fn raw_connect(&mut self, id: NodeId, to: NodeId, ppid: Ppid) {
        let port = if ppid == Ppid::ENRP {
            rserpool_core::ENRP_PORT
        } else {
            rserpool_core::ASAP_PORT
        };
        self.connect(id, ppid, crate::node::endpoint(to, port));
    }

    /// A raw host sends to all that it has an association with on that protocol's port.
    pub fn raw_send(&mut self, id: NodeId, ppid: Ppid, bytes: &bytes::Bytes) {
        self.truth.hear_lie(id, ppid, bytes);
        let port = if ppid == Ppid::ENRP {
            rserpool_core::ENRP_PORT
        } else {
            rserpool_core::ASAP_PORT
        };
        let ends: Vec<_> = self
            .kernel
            .ends
            .range((id, AssocId(0))..=(id, AssocId(u64::MAX)))
            .filter(|(_, end)| end.remote.port() == port)
            .map(|(end, _)| end.1)
            .collect();
        for association in ends {
            self.send_message(id, association, (ppid, 0, bytes.clone()));
        }
    }

    /// A raw host sends a datagram to a protocol's group.
    pub fn raw_announce(&mut self, id: NodeId, ppid: Ppid, bytes: &bytes::Bytes) {
        self.multicast(id, ppid, bytes);
    }

    /// What a raw host was sent since the last call.
    pub fn raw_heard(&mut self, id: NodeId) -> Vec<bytes::Bytes> {
        match &mut self.nodes[id.index()].role {
            Role::Raw(heard) => core::mem::take(heard),
            _ => Vec::new(),
        }
    }
}
