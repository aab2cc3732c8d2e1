//! Registration by RFC 5352 §3.1, limits, keys, orders of iteration, checksums and the deterministic policies in examples.

use core::net::IpAddr;
use core::time::Duration;

use rserpool_core::handlespace::{
    Handlespace, Limits, NewElement, RegisterError, RegisterOutcome, Selection,
};
use rserpool_core::wire::{
    List, Policy, PolicyType, SctpTransport, Transport, TransportBuf, TransportUse, kind,
};
use rserpool_core::{Life, PeId, Rng, ServerId};

use crate::{HOME, element, handlespace, ids, register, select};

const OTHER: ServerId = ServerId(0x2222_2222);

fn sctp(addresses: &[IpAddr], transport_use: TransportUse) -> SctpTransport<'_> {
    SctpTransport {
        port: 9,
        transport_use,
        addresses: List::Slice(addresses),
    }
}

// RFC 5352 §3.1 rule 1
#[test]
fn the_first_element_makes_the_pool() {
    let mut handlespace = handlespace(0);
    let mut selected = Vec::new();
    let selection = handlespace.select(b"Pool", 1, &mut selected);
    assert_eq!(selection, Selection::UnknownPool);
    let registered = register(&mut handlespace, 1, Policy::LeastUsed { load: 5 });
    assert_eq!(registered.outcome, RegisterOutcome::New);
    let pool = handlespace.pool(b"Pool").unwrap();
    assert_eq!(pool.handle.as_bytes(), b"Pool");
    assert_eq!(pool.policy_type(), PolicyType::LEAST_USED);
    assert_eq!(pool.transport_kind, kind::UDP_TRANSPORT);
    assert_eq!(pool.transport_use, TransportUse::DATA_ONLY);
    assert_eq!(pool.elements, 1);
    let selection = handlespace.select(b"Pool", 1, &mut selected);
    assert_eq!(selection, Selection::Selected(PolicyType::LEAST_USED));
    assert_eq!(selected, [registered.key]);
}

// RFC 5352 §3.1 rules 2 and 3
#[test]
fn whoever_joins_or_re_registers_must_be_consistent() {
    let addresses = [IpAddr::from([127, 0, 0, 1])];
    let mut handlespace = handlespace(0);
    let policy = Policy::WeightedRandom { weight: 3 };
    let first = NewElement {
        user_transport: Transport::Sctp(sctp(&addresses, TransportUse::DATA_ONLY)),
        ..element(1, policy)
    };
    let key = handlespace.register(b"Pool", &first).unwrap().key;
    let before = handlespace.get(key).unwrap().clone();
    for id in [1, 2] {
        let new = NewElement {
            id: PeId(id),
            home: OTHER,
            ..first
        };
        let mut register = |new: NewElement<'_>| handlespace.register(b"Pool", &new);
        let other_policy = Policy::WeightedRoundRobin { weight: 3 };
        assert_eq!(
            register(NewElement {
                policy: other_policy,
                ..new
            }),
            Err(RegisterError::InconsistentPolicy(policy))
        );
        let udp = element(id, policy).user_transport;
        assert_eq!(
            register(NewElement {
                user_transport: udp,
                ..new
            }),
            Err(RegisterError::InconsistentTransport(TransportBuf::from(
                &first.user_transport
            )))
        );
        let control = Transport::Sctp(sctp(&addresses, TransportUse::DATA_PLUS_CONTROL));
        assert_eq!(
            register(NewElement {
                user_transport: control,
                ..new
            }),
            Err(RegisterError::InconsistentUse)
        );
        let unknown = Policy::Other {
            policy_type: PolicyType(0x8000_0001),
            data: &[],
        };
        assert_eq!(
            register(NewElement {
                policy: unknown,
                ..new
            }),
            Err(RegisterError::UnsupportedPolicy)
        );
    }
    assert_eq!(handlespace.get(key), Some(&before));
    assert_eq!((handlespace.len(), handlespace.owned_count(OTHER)), (1, 0));
}

// RFC 5352 §3.1 rules 3 and 4
#[test]
fn a_re_registration_replaces_all_attributes() {
    let addresses = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0; 16])];
    let mut handlespace = handlespace(0);
    let first = element(1, Policy::LeastUsed { load: 1 });
    let key = handlespace.register(b"Pool", &first).unwrap().key;
    let same = handlespace.register(b"Pool", &first).unwrap();
    assert_eq!(same.key, key);
    let outcome = RegisterOutcome::Updated {
        previous_home: HOME,
        changed: false,
    };
    assert_eq!(same.outcome, outcome);

    let second = NewElement {
        home: OTHER,
        life: Life::For(Duration::from_secs(30)),
        user_transport: Transport::Udp {
            port: 8,
            address: addresses[1],
        },
        policy: Policy::LeastUsed { load: 2 },
        asap_transport: Some(sctp(&addresses, TransportUse::DATA_ONLY)),
        ..first
    };
    let outcome = RegisterOutcome::Updated {
        previous_home: HOME,
        changed: true,
    };
    let registered = handlespace.register(b"Pool", &second).unwrap();
    assert_eq!((registered.key, registered.outcome), (key, outcome));
    let wire = handlespace.get(key).unwrap().to_wire(30, true);
    assert_eq!((wire.id, wire.home_id, wire.life), (PeId(1), OTHER, 30));
    assert_eq!(wire.user_transport, second.user_transport);
    assert_eq!(wire.policy, second.policy);
    assert_eq!(wire.asap_transport, second.asap_transport);
    let without = handlespace.get(key).unwrap().to_wire(30, false);
    assert_eq!(without.asap_transport, None);
    assert_eq!(ids(&handlespace, handlespace.owned_by(OTHER)), [1]);
    assert_eq!(handlespace.owned_by(HOME).count(), 0);

    handlespace.register(b"Pool", &first).unwrap();
    assert_eq!(handlespace.get(key).unwrap().asap_transport, None);
}

#[test]
fn limits_refuse_what_is_new_and_nothing_else() {
    let mut limits = Limits::default();
    (limits.pools, limits.elements, limits.elements_per_pool) = (2, 4, 3);
    let mut handlespace = Handlespace::new(Rng::from_seed([0; 32]), limits);
    let mut register =
        |pool: &[u8], id| handlespace.register(pool, &element(id, Policy::RoundRobin));
    for id in 1..=3 {
        assert!(register(b"a", id).is_ok());
    }
    assert_eq!(register(b"a", 4), Err(RegisterError::PoolFull));
    assert!(register(b"b", 1).is_ok());
    assert_eq!(register(b"b", 2), Err(RegisterError::TooManyElements));
    assert_eq!(register(b"c", 1), Err(RegisterError::TooManyPools));
    assert!(register(b"a", 3).is_ok(), "a re-registration needs no room");
    assert_eq!((handlespace.len(), handlespace.pool_count()), (4, 2));

    let mut limits = Limits::default();
    limits.elements_per_pool = 0;
    let mut handlespace = Handlespace::new(Rng::from_seed([0; 32]), limits);
    let refused = handlespace.register(b"a", &element(1, Policy::RoundRobin));
    assert_eq!(refused, Err(RegisterError::PoolFull));
    assert_eq!(handlespace.pool_count(), 0);
    assert_eq!(handlespace.pools().count(), 0);
}

#[test]
fn a_key_dies_with_its_element() {
    let mut handlespace = handlespace(0);
    let old = register(&mut handlespace, 1, Policy::RoundRobin).key;
    let removed = handlespace.deregister(old).unwrap();
    assert_eq!(
        (removed.id, removed.pool.as_bytes()),
        (PeId(1), &b"Pool"[..])
    );
    assert!(handlespace.is_empty() && handlespace.pool(b"Pool").is_none());
    let new = register(&mut handlespace, 1, Policy::Random).key;
    assert_ne!(old, new);
    assert_eq!(handlespace.get(old), None);
    assert_eq!(handlespace.deregister(old), None);
    handlespace.set_home(old, OTHER);
    assert_eq!(handlespace.get(new).unwrap().home, HOME);
    assert_eq!(handlespace.find(b"Pool", PeId(1)), Some(new));
}

#[test]
fn walks_are_by_handle_and_owner() {
    let mut handlespace = handlespace(0);
    for (pool, id, home) in [
        (&b"b"[..], 2, HOME),
        (b"aa", 9, OTHER),
        (b"b", 1, OTHER),
        (b"", 5, HOME),
        (b"aa", 3, HOME),
        (b"b", 0xffff_ffff, OTHER),
    ] {
        let new = NewElement {
            home,
            ..element(id, Policy::RoundRobin)
        };
        handlespace.register(pool, &new).unwrap();
    }
    let pools: Vec<_> = handlespace.pools().map(|pool| pool.as_bytes()).collect();
    assert_eq!(pools, [&b""[..], b"aa", b"b"]);
    assert_eq!(handlespace.owners().collect::<Vec<_>>(), [HOME, OTHER]);
    let all = ids(&handlespace, handlespace.elements_after(None));
    assert_eq!(all, [5, 3, 9, 2, 0xffff_ffff, 1]);
    let rest = ids(&handlespace, handlespace.elements(b"b"));
    assert_eq!(rest, [2, 0xffff_ffff, 1]);
    assert_eq!(ids(&handlespace, handlespace.owned_by(HOME)), [5, 3, 2]);
    let owned = ids(&handlespace, handlespace.owned_by(OTHER));
    assert_eq!(owned, [9, 0xffff_ffff, 1]);

    // A place stays where it is when all before it have gone, the pool with the last of them.
    let keys: Vec<_> = handlespace.elements_after(None).collect();
    let places = keys.iter().map(|key| handlespace.place_after(*key));
    let places: Vec<_> = places.collect();
    for (number, key) in keys.iter().enumerate() {
        handlespace.deregister(*key);
        assert_eq!(handlespace.place_after(*key), None);
        let place = places[number].as_ref();
        assert!(
            handlespace
                .elements_after(place)
                .eq(keys[number + 1..].iter().copied())
        );
    }
}

// RFC 5353 §3.6.2: values that were seen on the wire.
#[test]
fn checksums_are_those_of_the_wire() {
    let mut handlespace = handlespace(0);
    assert_eq!(handlespace.checksum(HOME), 0xffff);
    let mut register = |id| {
        let registered = handlespace.register(b"EchoPool", &element(id, Policy::RoundRobin));
        (registered.unwrap().key, handlespace.checksum(HOME))
    };
    let (first, checksum) = register(0xaabb_cc01);
    assert_eq!(checksum, 0x1b94);
    let (second, checksum) = register(0xaabb_cc02);
    assert_eq!(checksum, 0x3727);
    handlespace.set_home(second, OTHER);
    assert_eq!(handlespace.checksum(HOME), 0x1b94);
    handlespace.set_home(second, HOME);
    assert_eq!(handlespace.checksum(HOME), 0x3727);
    handlespace.deregister(second);
    assert_eq!(handlespace.checksum(HOME), 0x1b94);
    handlespace.deregister(first);
    assert_eq!(handlespace.checksum(HOME), 0xffff);
}

// RFC 5356 §4.1.2
#[test]
fn round_robin_visits_each_once_a_round_whatever_is_returned_and_re_registered() {
    let mut handlespace = handlespace(0);
    for id in 0..5 {
        register(&mut handlespace, id, Policy::RoundRobin);
    }
    for round in 0..4 {
        for head in 0..5 {
            let list = select(&mut handlespace, round + 1);
            let expected: Vec<_> = (0..5)
                .map(|step| (head + step) % 5)
                .take(round + 1)
                .collect();
            assert_eq!(list, expected);
            register(&mut handlespace, (head + 2) % 5, Policy::RoundRobin);
        }
    }
}

// RFC 5356 §4.2.2
#[test]
fn weighted_round_robin_is_exact_and_never_selects_the_weightless() {
    let mut handlespace = handlespace(0);
    for (id, weight) in [(0, 5), (1, 0), (2, 3), (3, 2)] {
        register(&mut handlespace, id, Policy::WeightedRoundRobin { weight });
    }
    assert_eq!(select(&mut handlespace, 9), [0, 2, 3]);
    let mut counts = [1, 0, 0, 0];
    for _ in 0..99 {
        counts[select(&mut handlespace, 1)[0] as usize] += 1;
    }
    assert_eq!(counts, [50, 0, 30, 20]);
}

// RFC 5356 §4.5.2
#[test]
fn priorities_decrease_and_equals_take_turns() {
    let mut handlespace = handlespace(0);
    for (id, priority) in [(1, 0), (2, 7), (3, u32::MAX), (4, 7)] {
        register(&mut handlespace, id, Policy::Priority { priority });
    }
    assert_eq!(select(&mut handlespace, 4), [3, 2, 4, 1]);
    assert_eq!(select(&mut handlespace, 2), [3, 4]);
    assert_eq!(select(&mut handlespace, 2), [3, 2]);
    register(&mut handlespace, 3, Policy::Priority { priority: 1 });
    assert_eq!(select(&mut handlespace, 4), [4, 2, 3, 1]);
}

// RFC 5356 §5.1.2
#[test]
fn the_least_used_come_first_and_a_new_load_counts_at_once() {
    let mut handlespace = handlespace(0);
    for (id, load) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
        register(&mut handlespace, id, Policy::LeastUsed { load });
    }
    assert_eq!(select(&mut handlespace, 4), [2, 4, 3, 1]);
    assert_eq!(select(&mut handlespace, 1), [4]);
    register(&mut handlespace, 1, Policy::LeastUsed { load: 0 });
    assert_eq!(select(&mut handlespace, 2), [1, 2]);
}

// RFC 5356 §5.2.2
#[test]
fn degradation_counts_every_selection_and_starts_anew_with_a_registration() {
    let mut handlespace = handlespace(0);
    let policy = |load| Policy::LeastUsedDegradation {
        load,
        load_degradation: 10,
    };
    for (id, load) in [(1, 0), (2, 15), (3, 100)] {
        register(&mut handlespace, id, policy(load));
    }
    // Sums 0 15 100, then 10 15 100, 20 15 100, 20 25 100, and both of a list count.
    let row: Vec<_> = (0..3).flat_map(|_| select(&mut handlespace, 1)).collect();
    assert_eq!(row, [1, 1, 2]);
    assert_eq!(select(&mut handlespace, 2), [1, 2]);
    assert_eq!(select(&mut handlespace, 2), [1, 2]);
    register(&mut handlespace, 2, policy(15));
    let row: Vec<_> = (0..3).flat_map(|_| select(&mut handlespace, 1)).collect();
    assert_eq!(row, [2, 2, 2]);
}

// RFC 5356 §5.3.1: its example.
#[test]
fn priority_least_used_looks_one_session_ahead() {
    let mut handlespace = handlespace(0);
    for (id, load_degradation) in [(0xb, 50), (0xa, 10)] {
        let load = 50;
        register(
            &mut handlespace,
            id,
            Policy::PriorityLeastUsed {
                load,
                load_degradation,
            },
        );
    }
    for _ in 0..20 {
        assert_eq!(select(&mut handlespace, 2), [0xa, 0xb]);
    }
}

// RFC 5356 §5.4.2, §3.2: a weight of 0 cannot provide any service.
#[test]
fn nobody_is_selected_where_nobody_has_a_weight() {
    for policy in [
        Policy::WeightedRoundRobin { weight: 0 },
        Policy::WeightedRandom { weight: 0 },
        Policy::RandomizedLeastUsed { load: 0xffff_ffff },
    ] {
        let mut handlespace = handlespace(0);
        register(&mut handlespace, 1, policy);
        let mut selected = Vec::new();
        let selection = handlespace.select(b"Pool", 3, &mut selected);
        assert_eq!(selection, Selection::Selected(policy.policy_type()));
        assert_eq!(selected, []);
    }
}
