//! What single operations on a handlespace of 10,000 elements cost, and what they allocate. `rserpool bench handlespace` fills,
//! changes and empties handlespaces of any size.

use core::net::{IpAddr, Ipv4Addr};

use divan::{AllocProfiler, Bencher, black_box};
use rserpool_core::handlespace::{ElementKey, Handlespace, Limits, NewElement};
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportUse};
use rserpool_core::{Life, PeId, Rng, ServerId};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const ELEMENTS: u32 = 10_000;

const POLICIES: [Policy<'static>; 9] = [
    Policy::RoundRobin,
    Policy::WeightedRoundRobin { weight: 3 },
    Policy::Random,
    Policy::WeightedRandom { weight: 3 },
    Policy::Priority { priority: 3 },
    Policy::LeastUsed { load: 3 },
    Policy::LeastUsedDegradation {
        load: 3,
        load_degradation: 3,
    },
    Policy::PriorityLeastUsed {
        load: 3,
        load_degradation: 3,
    },
    Policy::RandomizedLeastUsed { load: 3 },
];

fn main() {
    divan::main();
}

fn register(handlespace: &mut Handlespace, id: u32, policy: Policy<'_>) -> ElementKey {
    let address = [IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + id))];
    let transport = SctpTransport {
        port: 1234,
        transport_use: TransportUse::DATA_ONLY,
        addresses: List::Slice(&address),
    };
    let element = NewElement {
        // Any order but that of the numbers.
        id: PeId(id.wrapping_mul(0x9e37_79b1)),
        home: ServerId(1),
        life: Life::Forever,
        user_transport: Transport::Sctp(transport),
        policy,
        asap_transport: Some(transport),
    };
    let registered = handlespace.register(b"Pool", &element);
    registered.expect("a consistent registration").key
}

fn filled(policy: Policy<'_>) -> Handlespace {
    let mut limits = Limits::default();
    limits.elements_per_pool = ELEMENTS as usize;
    let mut handlespace = Handlespace::new(Rng::from_seed([1; 32]), limits);
    for id in 1..=ELEMENTS {
        register(&mut handlespace, id, policy);
    }
    handlespace
}

#[divan::bench(args = POLICIES, sample_count = 5)]
fn fill(policy: Policy<'static>) -> Handlespace {
    filled(policy)
}

#[divan::bench(args = POLICIES)]
fn select_5(bencher: Bencher<'_, '_>, policy: Policy<'static>) {
    let mut handlespace = filled(policy);
    let mut selected = Vec::with_capacity(5);
    bencher.bench_local(move || {
        selected.clear();
        let _ = black_box(handlespace.select(black_box(b"Pool"), 5, &mut selected));
    });
}

#[divan::bench(args = POLICIES)]
fn reregister(bencher: Bencher<'_, '_>, policy: Policy<'static>) {
    let mut handlespace = filled(policy);
    let mut id = 0;
    bencher.bench_local(move || {
        id = id % ELEMENTS + 1;
        register(&mut handlespace, id, policy)
    });
}

#[divan::bench]
fn leave_and_join(bencher: Bencher<'_, '_>) {
    let mut handlespace = filled(Policy::RoundRobin);
    let mut key = register(&mut handlespace, ELEMENTS, Policy::RoundRobin);
    bencher.bench_local(move || {
        handlespace.deregister(key);
        key = register(&mut handlespace, ELEMENTS, Policy::RoundRobin);
    });
}
