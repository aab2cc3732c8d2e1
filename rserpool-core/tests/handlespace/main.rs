//! The handlespace from outside: rules, limits, orders and checksums, a naive model beside it, and the random policies'
//! distributions.

extern crate alloc;

mod distribution;
mod model;
mod operations;
mod rules;

use core::net::IpAddr;

use rserpool_core::handlespace::{ElementKey, Handlespace, Limits, NewElement, Registered};
use rserpool_core::wire::{Policy, Transport};
use rserpool_core::{Life, PeId, Rng, ServerId};

const HOME: ServerId = ServerId(0x1111_1111);

fn handlespace(seed: u8) -> Handlespace {
    Handlespace::new(Rng::from_seed([seed; 32]), Limits::default())
}

fn element(id: u32, policy: Policy<'_>) -> NewElement<'_> {
    NewElement {
        id: PeId(id),
        home: HOME,
        life: Life::Forever,
        user_transport: Transport::Udp {
            port: 7,
            address: IpAddr::from([127, 0, 0, 1]),
        },
        policy,
        asap_transport: None,
    }
}

fn register(handlespace: &mut Handlespace, id: u32, policy: Policy<'_>) -> Registered {
    handlespace
        .register(b"Pool", &element(id, policy))
        .expect("a consistent registration")
}

fn select(handlespace: &mut Handlespace, items: usize) -> Vec<u32> {
    let mut selected = Vec::new();
    let _ = handlespace.select(b"Pool", items, &mut selected);
    ids(handlespace, selected)
}

fn ids(handlespace: &Handlespace, keys: impl IntoIterator<Item = ElementKey>) -> Vec<u32> {
    let id = |key| handlespace.get(key).expect("a living element").id.0;
    keys.into_iter().map(id).collect()
}
