//! Calling elements whose association has ended (RFC 5352 §3.5).
//!
//! ```text
//!            call               Connected
//!   lost ────────────▶ calling ───────────▶ asked on the new association
//!                       │    └────────────▶ nobody waits any more: closed after a while, if nothing is said on it
//!                       └ ConnectFailed ──▶ removed
//! ```

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::{Peer, Registrar, Removal};
use crate::handlespace::ElementKey;
use crate::ids::{AssocId, Ppid};

impl Registrar {
    /// Opens an association to the element's ASAP transport. Where there are as many calls as there may be associations, the
    /// element is given up when its time is over.
    pub(super) fn call(&mut self, key: ElementKey) {
        let Some(element) = self.handlespace.get(key) else {
            return;
        };
        let transport = element.asap_transport.as_ref();
        let remote: Vec<_> = transport
            .map(|transport| transport.as_transport())
            .into_iter()
            .flat_map(|transport| {
                let port = transport.port().unwrap_or(0);
                transport
                    .addresses()
                    .map(move |address| SocketAddr::new(address, port))
            })
            .collect();
        let (Some(&first), Some(watch)) = (remote.first(), self.watches.get_mut(&key)) else {
            return;
        };
        if !self.calls.contains_key(&first) {
            if self.calls.len() >= self.config.max_associations {
                return;
            }
            self.actions.connect(Ppid::ASAP, remote);
        }
        watch.calling = Some(first);
        self.calls.entry(first).or_default().insert(key);
    }

    /// Whether somebody at `address` answers what `call` was made for. It may have taken so long that nobody waits any more.
    pub(super) fn answers(&self, call: &SocketAddr, address: IpAddr) -> bool {
        let waiting = self.calls.get(call);
        waiting.is_some_and(|keys| {
            keys.is_empty() || keys.iter().any(|key| self.is_element_at(*key, address))
        })
    }

    /// Whether the element's ASAP transport has the address.
    pub(super) fn is_element_at(&self, key: ElementKey, address: IpAddr) -> bool {
        let element = self.handlespace.get(key);
        let transport = element.and_then(|element| element.asap_transport.as_ref());
        transport.is_some_and(|transport| {
            let transport = transport.as_transport();
            transport.addresses().any(|one| one == address)
        })
    }

    /// An association came up that elements were waiting for: those that are where it leads to.
    pub(super) fn on_call_answered(&mut self, association: AssocId, remote: &[SocketAddr]) {
        let Some(first) = remote.first() else {
            return;
        };
        for address in remote {
            let waiting = self.calls.remove(address).unwrap_or_default();
            let (here, elsewhere): (BTreeSet<_>, BTreeSet<_>) = waiting
                .into_iter()
                .partition(|key| self.is_element_at(*key, first.ip()));
            if !elsewhere.is_empty() {
                self.calls.insert(*address, elsewhere);
            }
            for key in here {
                self.bind(association, key);
                self.send_keep_alive(association, key);
            }
        }
    }

    /// Nothing was said on an association that was asked for.
    pub(super) fn on_idle(&mut self, association: AssocId) {
        let unused = |peer: &Peer| peer.elements.is_empty() && peer.server.is_none();
        if self.peers.get(&association).is_some_and(unused) {
            self.actions.disconnect(association);
        }
    }

    /// The element's host refuses: it is truly unreachable (RFC 5352 §3.5).
    pub(super) fn on_call_failed(&mut self, remote: SocketAddr) {
        for key in self.calls.remove(&remote).unwrap_or_default() {
            self.remove(key, Removal::Unreachable);
        }
    }
}
