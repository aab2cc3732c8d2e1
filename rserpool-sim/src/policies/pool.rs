//! The pool as a registrar has it: the real handlespace.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use rserpool_core::handlespace::{ElementKey, Handlespace, Limits, NewElement, Selection};
use rserpool_core::wire::{Policy, PolicyType, Transport};
use rserpool_core::{Life, PeId, Rng, ServerId};

use super::whole;

/// The handlespace, with one pool.
pub(super) struct Pool {
    handlespace: Handlespace,
    policy: PolicyType,
    selected: Vec<ElementKey>,
}

/// What an element says of itself.
#[derive(Clone, Copy)]
pub(super) struct Report {
    /// Its number; its identifier is one more.
    pub(super) element: u32,
    /// In calculations per second.
    pub(super) capacity: f64,
    /// Its jobs.
    pub(super) jobs: u32,
    /// The most that it takes.
    pub(super) most_jobs: u32,
}

impl Pool {
    pub(super) fn new(rng: Rng, policy: PolicyType) -> Self {
        let mut limits = Limits::default();
        limits.elements_per_pool = limits.elements;
        Self {
            handlespace: Handlespace::new(rng, limits),
            policy,
            selected: Vec::new(),
        }
    }

    /// Whether an element re-registers whenever its load changes.
    pub(super) fn is_adaptive(&self) -> bool {
        self.policy.0 & ADAPTIVE != 0
    }

    /// A registration or re-registration.
    pub(super) fn register(&mut self, report: Report) {
        let element = NewElement {
            id: PeId(report.element + 1),
            home: ServerId(1),
            life: Life::Forever,
            user_transport: Transport::Udp {
                port: 7,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            },
            policy: values(self.policy, report),
            asap_transport: None,
        };
        let registered = self.handlespace.register(POOL, &element);
        debug_assert!(registered.is_ok(), "{registered:?}");
    }

    /// A handle resolution for one element: its number.
    pub(super) fn select(&mut self) -> Option<u32> {
        self.selected.clear();
        let selection = self.handlespace.select(POOL, 1, &mut self.selected);
        debug_assert_eq!(selection, Selection::Selected(self.policy));
        let element = self.handlespace.get(*self.selected.first()?)?;
        element.id.0.checked_sub(1)
    }
}

/// The element's values for the policy, as the literature sets them: the weight is the capacity, the load is the share of
/// the jobs that it takes, and one more job degrades it by one such share.
fn values(policy: PolicyType, report: Report) -> Policy<'static> {
    let share = |jobs: u32| {
        let share = f64::from(jobs) / f64::from(report.most_jobs);
        whole(share * f64::from(u32::MAX))
    };
    let (load, load_degradation) = (share(report.jobs), share(1));
    match policy {
        PolicyType::RANDOM => Policy::Random,
        PolicyType::WEIGHTED_ROUND_ROBIN => Policy::WeightedRoundRobin {
            weight: whole(report.capacity / WRR_UNIT).max(1),
        },
        PolicyType::WEIGHTED_RANDOM => Policy::WeightedRandom {
            weight: whole(report.capacity),
        },
        PolicyType::LEAST_USED => Policy::LeastUsed { load },
        PolicyType::LEAST_USED_DEGRADATION => Policy::LeastUsedDegradation {
            load,
            load_degradation,
        },
        PolicyType::PRIORITY_LEAST_USED => Policy::PriorityLeastUsed {
            load,
            load_degradation,
        },
        PolicyType::RANDOMIZED_LEAST_USED => Policy::RandomizedLeastUsed { load },
        _ => Policy::RoundRobin,
    }
}

const POOL: &[u8] = b"CalcAppPool";
/// The policies that look at a load have this bit (RFC 5356 §7.1).
const ADAPTIVE: u32 = 0x4000_0000;
/// Calculations per second for each unit of a Weighted Round Robin weight.
const WRR_UNIT: f64 = 1e5;
