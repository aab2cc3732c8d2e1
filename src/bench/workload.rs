//! Elements and pools to measure with: always the same, in no order that would make anything easy.

use core::net::{IpAddr, Ipv4Addr};

use crate::element::PolicyName;
use rserpool_core::handlespace::NewElement;
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportUse};
use rserpool_core::{Life, PeId, Rng, ServerId};

/// The registrar that owns all elements.
pub(super) const HOME: ServerId = ServerId(0x1111_1111);

/// Elements by number, from 0 to `elements`.
pub(super) struct Workload {
    pub(super) elements: u32,
    policy: PolicyName,
    handles: Vec<[u8; 13]>,
}

impl Workload {
    pub(super) fn new(policy: PolicyName, elements: u32, pools: u32) -> Self {
        let handle = |number: u32| {
            let mut handle = *b"Pool-00000000";
            let digits = format!("{number:08}");
            handle[5..].copy_from_slice(digits.as_bytes());
            handle
        };
        Self {
            elements,
            policy,
            handles: (0..pools).map(handle).collect(),
        }
    }

    /// A pool by number; numbers beyond the last one begin anew.
    pub(super) fn handle(&self, number: u32) -> &[u8] {
        &self.handles[number as usize % self.handles.len()]
    }

    /// The address of an element, for [`Self::element`] to borrow.
    pub(super) fn address(number: u32) -> [IpAddr; 1] {
        [IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number))]
    }

    /// An element's registration. Each `version` has other values for the policy, where it has any.
    pub(super) fn element<'a>(
        &self,
        number: u32,
        version: u32,
        address: &'a [IpAddr; 1],
    ) -> NewElement<'a> {
        let transport = |port| SctpTransport {
            port,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(address),
        };
        NewElement {
            id: Self::id(number),
            home: HOME,
            life: Life::For(core::time::Duration::from_secs(300)),
            user_transport: Transport::Sctp(transport(1234)),
            policy: self.policy(number ^ version << 31),
            asap_transport: Some(transport(4321)),
        }
    }

    /// An element's identifier: different for each, never 0.
    pub(super) const fn id(number: u32) -> PeId {
        PeId(mix(number + 1))
    }

    /// All elements once, in an order that depends on `seed` only.
    pub(super) fn shuffled(&self, seed: u8) -> Vec<u32> {
        let mut rng = Rng::from_seed([seed; 32]);
        let mut order: Vec<u32> = (0..self.elements).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng.index(last + 1));
        }
        order
    }

    fn policy(&self, number: u32) -> Policy<'static> {
        let random = || mix(number);
        // One percent of the full load.
        let load_degradation = u32::MAX / 100;
        match self.policy {
            PolicyName::RoundRobin => Policy::RoundRobin,
            PolicyName::WeightedRoundRobin => Policy::WeightedRoundRobin {
                weight: 1 + random() % 10,
            },
            PolicyName::Random => Policy::Random,
            PolicyName::WeightedRandom => Policy::WeightedRandom {
                weight: 1 + random() % 100,
            },
            PolicyName::Priority => Policy::Priority {
                priority: 1 + random() % 10,
            },
            PolicyName::LeastUsed => Policy::LeastUsed { load: random() },
            PolicyName::LeastUsedDegradation => Policy::LeastUsedDegradation {
                load: random(),
                load_degradation,
            },
            PolicyName::PriorityLeastUsed => Policy::PriorityLeastUsed {
                load: random(),
                load_degradation,
            },
            PolicyName::RandomizedLeastUsed => Policy::RandomizedLeastUsed { load: random() },
        }
    }
}

/// A bijection that looks random; 0 stays 0.
pub(super) const fn mix(mut value: u32) -> u32 {
    value = (value ^ value >> 16).wrapping_mul(0x85eb_ca6b);
    value = (value ^ value >> 13).wrapping_mul(0xc2b2_ae35);
    value ^ value >> 16
}
