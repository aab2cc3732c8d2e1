//! Registration and de-registration (RFC 5352 §3.1, §3.2).

use super::*;

#[test]
fn a_registration_creates_the_pool_and_is_granted() {
    // RFC 5352 §3.1 rules 1, 4
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    let actions = script.register(1, &element(1, &[host(1)]));
    assert_eq!(answer(&actions), (3, false, None));
    let key = script
        .registrar
        .handlespace
        .find(POOL, PeId(1))
        .expect("registered");
    let stored = script.registrar.handlespace.get(key).expect("registered");
    assert_eq!(stored.home, ID);
    let asap_transport = stored.asap_transport.as_ref().expect("recorded");
    assert_eq!(asap_transport.as_transport().port(), Some(4000));
    assert_eq!(
        asap_transport
            .as_transport()
            .addresses()
            .collect::<Vec<_>>(),
        [host(1)]
    );
}

#[test]
fn a_reregistration_replaces_the_attributes() {
    // RFC 5352 §3.1 rule 3
    let mut script = Script::with_element();
    let mut changed = element(1, &[]);
    let addresses = [host(1)];
    changed.transport = sctp(&addresses);
    changed.policy = Policy::WeightedRoundRobin { weight: 9 };
    assert_eq!(answer(&script.register(1, &changed)), (3, false, None));
    assert_eq!(script.count(), 1);
    let key = script
        .registrar
        .handlespace
        .find(POOL, PeId(1))
        .expect("registered");
    let stored = script.registrar.handlespace.get(key).expect("registered");
    assert_eq!(stored.policy, Policy::WeightedRoundRobin { weight: 9 });
}

#[test]
fn a_registration_that_does_not_fit_the_pool_is_rejected_with_the_pools_parameter() {
    // RFC 5352 §3.1 rules 2, 3; RFC 5354 §3.12.6, §3.12.8, §3.12.9
    let addresses = [host(2)];
    let fits = element(2, &addresses);
    let control = Transport::Sctp(SctpTransport {
        port: 7,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(&addresses),
    });
    let udp = Transport::Udp {
        port: 7,
        address: host(2),
    };
    let cases = [
        (
            Element {
                policy: Policy::Random,
                ..fits
            },
            CauseCode::INCONSISTENT_POLICY,
            8_u16,
        ),
        (
            Element {
                transport: udp,
                ..fits
            },
            CauseCode::INCONSISTENT_TRANSPORT,
            4,
        ),
        (
            Element {
                transport: control,
                ..fits
            },
            CauseCode::INCONSISTENT_USE,
            0,
        ),
    ];
    for (element, cause, parameter) in cases {
        let mut script = Script::with_element();
        script.connected(2, 2);
        let (_, rejected, given) = answer(&script.register(2, &element));
        let (code, info) = given.expect("a cause");
        assert!(rejected);
        assert_eq!(code, cause);
        let kind = info
            .get(..2)
            .map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
        assert_eq!(kind, parameter, "{cause}");
        assert_eq!(script.count(), 1);
    }
}

#[test]
fn values_that_no_registration_may_have_are_rejected_as_such() {
    // RFC 5352 §2.2.1, §3.1 rule 5
    let addresses = [host(1)];
    let fits = element(1, &addresses);
    let foreign = [host(2)];
    let port_0 = Transport::Tcp {
        port: 0,
        transport_use: TransportUse(0),
        address: host(1),
    };
    let odd_use = Transport::Sctp(SctpTransport {
        port: 7,
        transport_use: TransportUse(2),
        addresses: List::Slice(&addresses),
    });
    let private = Policy::Other {
        policy_type: crate::wire::PolicyType(0x8000_0001),
        data: &[],
    };
    let long = [b'x'; 33];
    let huge = [b'x'; 65_000];
    for (name, element) in [
        ("PE identifier 0", Element { id: 0, ..fits }),
        (
            "port 0",
            Element {
                transport: port_0,
                ..fits
            },
        ),
        (
            "unknown transport use",
            Element {
                transport: odd_use,
                ..fits
            },
        ),
        ("life 0", Element { life: 0, ..fits }),
        ("life -2", Element { life: -2, ..fits }),
        (
            "address of another host",
            Element {
                transport: sctp(&foreign),
                ..fits
            },
        ),
        (
            "private policy",
            Element {
                policy: private,
                ..fits
            },
        ),
        (
            "handle of 33 bytes",
            Element {
                pool_handle: &long,
                ..fits
            },
        ),
        (
            "handle of 65,000 bytes",
            Element {
                pool_handle: &huge,
                ..fits
            },
        ),
    ] {
        let mut script = Script::new(|_| {});
        script.connected(1, 1);
        let (kind, rejected, cause) = answer(&script.register(1, &element));
        let code = cause.map(|(code, _)| code);
        assert_eq!(
            (kind, rejected, code),
            (3, true, Some(CauseCode::INVALID_VALUES)),
            "{name}"
        );
        assert_eq!(script.count(), 0, "{name}");
        assert_eq!(script.registrar.counters.refused, 1, "{name}");
    }
}

#[test]
fn an_identifier_in_use_on_another_host_is_not_unique() {
    // RFC 5354 §3.12.5
    let mut script = Script::with_element();
    script.connected(2, 2);
    let thief = [host(2)];
    let (_, rejected, cause) = answer(&script.register(2, &element(1, &thief)));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::NON_UNIQUE_PE_ID)
    );
    // The same host on a new association is the same element.
    script.connected(3, 1);
    assert_eq!(
        answer(&script.register(3, &element(1, &[host(1)]))),
        (3, false, None)
    );
    assert_eq!(script.count(), 1);
}

#[test]
fn limits_are_answered_with_lack_of_resources() {
    let mut script = Script::new(|config| {
        config.limits.elements = 1;
        config.max_associations = 2;
    });
    script.connected(1, 1);
    script.register(1, &element(1, &[host(1)]));
    let (_, rejected, cause) = answer(&script.register(1, &element(2, &[host(1)])));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::LACK_OF_RESOURCES)
    );
    script.connected(2, 2);
    script.connected(3, 3);
    assert_eq!(
        script.actions(),
        [Action::Abort {
            association: AssocId(3)
        }]
    );
    assert_eq!(script.registrar.counters().refused_associations, 1);
}

#[test]
fn a_registration_that_cannot_be_decoded_is_rejected_as_a_registration() {
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    let good = element(1, &[host(1)]).message();
    // The address parameter is one byte short of its type's length.
    let place = good
        .windows(4)
        .position(|window| window == [0, 1, 0, 8])
        .expect("an address");
    let mut bad = good.to_vec();
    bad[place + 3] = 7;
    script.message(1, &bad);
    let (kind, rejected, cause) = answer(&script.actions());
    assert_eq!((kind, rejected), (3, true));
    assert_eq!(
        cause,
        Some((CauseCode::INVALID_VALUES, bad[place..place + 7].to_vec()))
    );
    assert_eq!(script.registrar.counters.malformed, 1);
    // What is unknown and asks for a report is an ASAP_ERROR (RFC 5352 §2.2.14).
    let mut unknown = good.to_vec();
    unknown.extend([0x40, 0x99, 0, 4]);
    unknown[3] += 4;
    script.message(1, &unknown);
    let (kind, _, cause) = answer(&script.actions());
    assert_eq!(kind, 0x0e);
    assert_eq!(
        cause,
        Some((CauseCode::UNRECOGNIZED_PARAMETER, vec![0x40, 0x99, 0, 4]))
    );
    // Unknown and to be skipped with a report: both.
    unknown[good.len()] = 0xc0;
    script.message(1, &unknown);
    assert_eq!(types(&script.actions()), [(1, 0x0e), (1, 3)]);
    assert_eq!(script.count(), 1);
}

#[test]
fn deregistration_removes_element_and_pool_and_is_granted_for_unknown_elements() {
    // RFC 5352 §3.2
    let mut script = Script::with_element();
    let actions = script.deregister(1, 1);
    assert_eq!(answer(&actions), (4, false, None));
    assert_eq!(removed(&actions), [(1, Removal::Deregistered)]);
    assert_eq!(script.registrar.handlespace.pool_count(), 0);
    assert_eq!(answer(&script.deregister(1, 1)), (4, false, None));
    assert_eq!(
        script.registrar.poll_timeout(),
        None,
        "nothing is left to watch"
    );
}

#[test]
fn deregistration_by_proxy_is_refused() {
    // RFC 5352 §2.2.2
    let mut script = Script::with_element();
    let (_, rejected, cause) = answer(&script.deregister(9, 1));
    assert!(rejected);
    assert_eq!(cause.map(|(code, _)| code), Some(CauseCode::SECURITY));
    assert_eq!(script.count(), 1);
    // Another association of the element's own host will do.
    script.disconnected(1);
    script.connected(2, 1);
    script.actions();
    let actions = script.deregister(2, 1);
    assert_eq!(types(&actions), [(2, 4)]);
    assert_eq!(script.count(), 0);
}

#[test]
fn a_deregistration_that_was_overtaken_by_a_registration_is_told_to_the_element() {
    // The request took its time on an association of before; on the new one the element is a member, and wants to be.
    let mut script = Script::with_element();
    script.connected(2, 1);
    script.register(2, &element(1, &[host(1)]));
    let actions = script.deregister(1, 1);
    assert_eq!(types(&actions), [(2, 4), (1, 4)]);
    assert_eq!(script.count(), 0);
}

#[test]
fn a_registration_that_is_not_renewed_ends_with_a_notice() {
    // RFC 5352 §3.2
    let mut script = Script::new(|config| config.keep_alive_interval = Duration::ZERO);
    script.connected(1, 1);
    script.register(1, &element(1, &[host(1)]));
    assert_eq!(script.at(599), []);
    let actions = script.at(600);
    assert_eq!(answer(&actions), (4, false, None));
    assert_eq!(removed(&actions), [(1, Removal::Expired)]);
}

#[test]
fn a_renewed_registration_lives_on_and_an_infinite_one_does_not_end() {
    let mut script = Script::new(|config| config.keep_alive_interval = Duration::ZERO);
    script.connected(1, 1);
    let addresses = [host(1)];
    script.register(1, &element(1, &addresses));
    script.at(500);
    script.register(1, &element(1, &addresses));
    assert_eq!(script.at(1099), []);
    script.register(
        1,
        &Element {
            life: -1,
            ..element(1, &addresses)
        },
    );
    assert_eq!(script.registrar.poll_timeout(), None);
}

#[test]
fn elements_on_one_association_are_capped() {
    let mut script = Script::new(|config| config.max_association_elements = 2);
    script.connected(1, 1);
    script.connected(2, 1);
    let addresses = [host(1)];
    for (association, id, fits) in [
        (1, 1, true),
        (1, 2, true),
        (1, 3, false),
        (1, 2, true),
        (2, 3, true),
        (1, 3, false),
    ] {
        let (_, rejected, cause) = answer(&script.register(association, &element(id, &addresses)));
        assert_eq!(rejected, !fits);
        let code = cause.map(|(code, _)| code);
        let expected = (!fits).then_some(CauseCode::LACK_OF_RESOURCES);
        assert_eq!(code, expected, "{association} {id}");
    }
    assert_eq!(script.registrar.counters().registrations, 4);
}

#[test]
fn what_happens_to_elements_is_told_once() {
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    let addresses = [host(1)];
    let told = |actions: Vec<Action<Event>>| {
        let events = actions.into_iter().filter_map(|action| match action {
            Action::Notify(event) => Some(event),
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    let pool_handle = crate::ids::PoolHandle::from(POOL);
    let pe_id = PeId(1);
    assert_eq!(
        told(script.register(1, &element(1, &addresses))),
        [Event::Registered { pool_handle, pe_id }]
    );
    assert_eq!(told(script.register(1, &element(1, &addresses))), []);
    let long = [b'x'; 65_000];
    let refused = Element {
        pool_handle: &long,
        ..element(1, &addresses)
    };
    assert_eq!(
        told(script.register(1, &refused)),
        [Event::Refused {
            pool_handle: crate::ids::PoolHandle::from(&long[..32]),
            pe_id,
            cause: CauseCode::INVALID_VALUES,
        }]
    );
    script.deregister(1, 1);
    let counters = script.registrar.counters();
    assert_eq!((counters.registrations, counters.deregistrations), (2, 1));
    assert_eq!(counters.refused, 1);
}

#[test]
fn a_handle_may_be_as_long_as_the_cap_says() {
    let addresses = [host(1)];
    for (length, fits) in [(32, true), (33, false)] {
        let mut script = Script::new(|_| {});
        script.connected(1, 1);
        let handle = vec![b'x'; length];
        let long = Element {
            pool_handle: &handle,
            ..element(1, &addresses)
        };
        let (_, rejected, _) = answer(&script.register(1, &long));
        assert_eq!(rejected, !fits);
        // What cannot be decoded is rejected by name within the cap.
        let mut bad = long.message().to_vec();
        let place = bad.windows(4).position(|window| window == [0, 1, 0, 8]);
        bad[place.expect("an address") + 3] = 7;
        script.message(1, &bad);
        let (kind, _, _) = answer(&script.actions());
        assert_eq!(kind, if fits { 3 } else { 0x0e });
    }
}

#[test]
fn an_element_may_serve_by_any_transport() {
    // RFC 5352 §2.1, §2.2.1; RFC 5354 §3.3–3.7. The reserved field of a TCP transport is not looked at.
    let (port, address) = (80, host(1));
    let foreign = host(2);
    let tcp = |address| Transport::Tcp {
        port,
        transport_use: TransportUse(7),
        address,
    };
    let dccp = |address| Transport::Dccp {
        port,
        service_code: 1,
        address,
    };
    for (here, there) in [
        (tcp(address), tcp(foreign)),
        (dccp(address), dccp(foreign)),
        (
            Transport::Udp { port, address },
            Transport::Udp {
                port,
                address: foreign,
            },
        ),
        (
            Transport::UdpLite { port, address },
            Transport::UdpLite {
                port,
                address: foreign,
            },
        ),
    ] {
        let with = |transport| Element {
            transport,
            ..element(1, &[])
        };
        let mut script = Script::new(|_| {});
        script.connected(1, 1);
        script.connected(9, 9);
        let (_, rejected, cause) = answer(&script.register(1, &with(there)));
        assert!(rejected);
        assert_eq!(cause.map(|(code, _)| code), Some(CauseCode::INVALID_VALUES));
        assert_eq!(answer(&script.register(1, &with(here))), (3, false, None));
        let messages = sent(&script.resolve(None));
        let Message::HandleResolutionResponse { pool_elements, .. } =
            asap::decode(&messages[0].1).expect("our own").message
        else {
            panic!("{messages:?}");
        };
        let listed: Vec<_> = pool_elements
            .iter()
            .map(|element| element.user_transport)
            .collect();
        assert_eq!(listed, [here]);
        // It is asked on its association, and removed without an answer, as any other.
        let (_, asked) = script.wait();
        assert_eq!(types(&asked), [(1, 7)]);
        let (_, actions) = script.wait();
        assert_eq!(removed(&actions), [(1, Removal::Unreachable)]);
    }
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    let opaque = Element {
        transport: Transport::Opaque(b"pigeon"),
        ..element(1, &[])
    };
    assert_eq!(answer(&script.register(1, &opaque)), (3, false, None));
}
