//! Handle resolution and the home (RFC 5352 §3.3, §3.6, §3.7).

use super::*;

#[test]
fn a_resolution_is_sent_to_the_home_and_answered_from_the_cache_while_fresh() {
    // RFC 5352 §3.3 NR1–NR4, C1, C2, C4
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    assert_eq!(script.actions(), [hunt(registrar(1))]);
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
    script.answer(Some(Policy::Random), &[1, 2]);
    let events = script.events();
    let [
        Event::Resolved {
            policy, elements, ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*policy, elements.len()), (PolicyType::RANDOM, 2));
    assert_eq!(script.user.poll_timeout(), None, "T1 is stopped");
    script.now = script.now + Duration::from_secs(29);
    script.user.resolve(script.now, &pool());
    assert!(matches!(script.events()[..], [Event::Resolved { .. }]));
    script.now = script.now + Duration::from_secs(1);
    script.user.resolve(script.now, &pool());
    assert_eq!(sent(&script.actions()), [(HOME, 5)], "stale after 30 s");
}

#[test]
fn an_unanswered_request_is_repeated_twice_and_then_reported() {
    // RFC 5352 §3.7.2: T1, MAX-REQUEST-RETRANSMIT
    let mut script = Script::new(|config| config.hunt.registrars.push(registrar(2)));
    script.user.resolve(script.now, &pool());
    script.actions();
    script.connected(HOME, registrar(1));
    script.actions();
    script.input(Input::ConnectFailed {
        remote: registrar(2),
    });
    assert_eq!(script.wait(), Duration::from_secs(15));
    let actions = script.actions();
    assert!(
        actions.contains(&hunt(registrar(2))),
        "in parallel the hunt begins"
    );
    assert_eq!(sent(&actions), [(HOME, 5)]);
    script.connected(2, registrar(2));
    let actions = script.actions();
    assert_eq!(sent(&actions), [(2, 5)], "the alternate is adopted");
    assert!(actions.contains(&Action::Disconnect {
        association: AssocId(HOME)
    }));
    let failed = loop {
        script.wait();
        if let Some(event) = script.events().pop() {
            break event;
        }
    };
    assert_eq!(
        failed,
        Event::ResolveFailed {
            pool_handle: pool(),
            error: ResolveError::Timeout
        }
    );
    assert!(script.now <= Instant::EPOCH + Duration::from_secs(45));
}

#[test]
fn a_request_ends_in_bounded_time_without_any_registrar() {
    let mut script = Script::new(|config| config.hunt.registrars.clear());
    script.user.resolve(script.now, &pool());
    while script.events().is_empty() {
        script.wait();
    }
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(45));
}

#[test]
fn requests_are_repeated_at_the_next_registrar() {
    // RFC 5352 §3.7.1
    let mut script = Script::new(|config| config.hunt.registrars.push(registrar(2)));
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    let remote = registrar(2);
    script.input(Input::ConnectFailed { remote });
    script.actions();
    script.disconnected(HOME, End::Lost);
    assert_eq!(script.actions(), [hunt(remote)]);
    script.connected(2, remote);
    assert_eq!(sent(&script.actions()), [(2, 5)]);
}

#[test]
fn homes_that_come_and_go_do_not_postpone_the_end_of_a_request() {
    // RFC 5352 §3.7.2: T1 and MAX-REQUEST-RETRANSMIT
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    let mut home = 1;
    while !script.events().contains(&Event::ResolveFailed {
        pool_handle: pool(),
        error: ResolveError::Timeout,
    }) {
        assert!(script.now <= Instant::EPOCH + Duration::from_secs(45));
        script.disconnected(home, End::Lost);
        home += 1;
        script.connected(home, registrar(1));
        script.now = script.now + Duration::from_secs(5);
        script.user.handle_timeout(script.now);
    }
}

#[test]
fn a_late_answer_of_the_home_ends_the_search_beside_it() {
    let mut script = Script::new(|config| config.hunt.registrars.push(registrar(2)));
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.wait();
    script.actions();
    script.answer(None, &[1]);
    script.actions();
    assert_eq!(script.user.poll_timeout(), None);
    script.connected(2, registrar(2));
    let association = AssocId(2);
    assert_eq!(script.actions(), [Action::Disconnect { association }]);
}

#[test]
fn a_pool_without_elements_left_is_asked_for_again() {
    // RFC 5352 §2.2.6: at least one; §3.3 C2
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(None, &[1]);
    script.user.report_unreachable(&pool(), PeId(1));
    script.actions();
    script.user.resolve(script.now, &pool());
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
}

#[test]
fn an_association_that_is_up_already_stays_what_it_is() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(None, &[1]);
    script.connected(7, server(1));
    script.actions();
    script.connected(HOME, registrar(1));
    script.connected(7, server(1));
    assert_eq!(script.actions(), []);
    assert_eq!(script.user.home(), Some(AssocId(HOME)));
    assert_eq!(script.user.counters().unexpected, 1);
}

#[test]
fn the_number_of_requests_is_capped() {
    let mut script = Script::new(|config| config.max_requests = 1);
    script.user.resolve(script.now, &PoolHandle::from("Other"));
    script.user.resolve(script.now, &PoolHandle::from("Other"));
    script.user.resolve(script.now, &pool());
    assert_eq!(
        script.events(),
        [Event::ResolveFailed {
            pool_handle: pool(),
            error: ResolveError::TooManyRequests
        }]
    );
    // A session that cannot ask tries again after a pause, also where the pause has no length.
    let mut script = Script::new(|config| {
        config.max_requests = 0;
        config.failover_pause = Duration::ZERO;
    });
    script.user.open(script.now, &pool());
    assert_eq!(script.wait(), Duration::from_millis(1));
    assert_eq!(script.wait(), Duration::from_millis(2));
}

#[test]
fn the_oldest_pool_makes_room_in_the_cache() {
    let mut script = Script::new(|config| config.max_pools = 1);
    let other = PoolHandle::from("Other");
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(None, &[1]);
    script.answer_for(b"Other", None, &[1]);
    assert_eq!(script.user.counters().unexpected, 1, "nobody has asked");
    script.user.resolve(script.now, &other);
    script.answer_for(b"Other", None, &[1]);
    script.actions();
    script.user.resolve(script.now, &other);
    assert_eq!(sent(&script.actions()), [], "it is in the cache");
    script.user.resolve(script.now, &pool());
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
}

#[test]
fn no_more_elements_are_kept_than_the_cap_says() {
    let mut script = Script::new(|config| config.max_pool_elements = 2);
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(None, &[1, 2, 3]);
    let events = script.events();
    let [Event::Resolved { elements, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(elements.len(), 2);
    let wire = elements[0].to_wire();
    assert_eq!(
        (wire.id, wire.life, wire.home_id),
        (PeId(1), 60, ServerId(1))
    );
    assert_eq!(wire.policy, Policy::RoundRobin);
}

#[test]
fn reports_that_wait_are_capped() {
    let mut script = Script::new(|_| {});
    for id in 0..100 {
        script.user.report_unreachable(&pool(), PeId(id));
    }
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()).len(), 1 + 64);
}

#[test]
fn an_error_without_a_request_is_told() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(None, &[1]);
    script.actions();
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    let message = Message::Error {
        causes: List::Slice(&causes),
    };
    script.asap(HOME, &message);
    let causes = vec![CauseCode::INVALID_VALUES];
    assert_eq!(script.events(), [Event::ErrorReported { causes }]);
}

#[test]
fn an_answer_without_policy_is_round_robin_and_an_error_is_a_refusal() {
    // RFC 5352 §2.2.6, §6.4
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.actions();
    script.answer(None, &[1]);
    assert!(matches!(
        script.events()[..],
        [Event::Resolved {
            policy: PolicyType::ROUND_ROBIN,
            ..
        }]
    ));
    script.user.purge(&pool());
    script.user.resolve(script.now, &pool());
    script.refuse();
    let error = ResolveError::Refused(vec![CauseCode::UNKNOWN_POOL_HANDLE]);
    assert_eq!(
        script.events(),
        [Event::ResolveFailed {
            pool_handle: pool(),
            error
        }]
    );
    script.answer(None, &[1]);
    assert_eq!(script.user.counters().unexpected, 1, "nobody has asked");
}

#[test]
fn an_asap_error_answers_the_oldest_request() {
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.user.resolve(script.now, &PoolHandle::from("Other"));
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()).len(), 2);
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    script.asap(
        HOME,
        &Message::Error {
            causes: List::Slice(&causes),
        },
    );
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::ResolveFailed { pool_handle, .. }] if *pool_handle == pool())
    );
}

#[test]
fn a_report_waits_for_a_home() {
    // RFC 5352 §3.5: to any registrar
    let mut script = Script::new(|_| {});
    script.user.report_unreachable(&pool(), PeId(4));
    assert_eq!(script.actions(), []);
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()), [(HOME, 5), (HOME, 9)]);
}

#[test]
fn bad_input_is_answered_once_and_changes_nothing() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1]);
    script.connected(7, server(1));
    script.actions();
    for association in [HOME, 7] {
        script.message(association, Ppid::ASAP, &[0x06, 0, 0, 99]);
        assert_eq!(sent(&script.actions()), [(association, 0x0e)]);
        script.message(association, Ppid::ENRP, &[0x01, 0, 0, 4]);
        script.asap(association, &Message::CookieEcho { cookie: b"x" });
        assert_eq!(script.actions(), []);
    }
    assert_eq!(script.user.counters().malformed, 2);
    assert_eq!(script.user.counters().unexpected, 4);
}

#[test]
fn what_is_not_meant_for_a_user_is_counted_and_ignored() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(None, &[1]);
    script.connected(7, server(1));
    script.actions();
    script.user.resolve(script.now, &PoolHandle::from("Other"));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
    // Neither an element nor a stranger answers for the registrar.
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    let error = Some(List::Slice(&causes[..]));
    let refusal = Message::HandleResolutionResponse {
        accepted: false,
        pool_handle: b"Other",
        policy: None,
        pool_elements: List::EMPTY,
        error,
    };
    for association in [7, 9] {
        script.asap(association, &refusal);
        let causes = List::Slice(&causes[..]);
        script.asap(association, &Message::Error { causes });
    }
    script.asap(HOME, &Message::Cookie { cookie: b"x" });
    script.message(9, Ppid(0), b"nobody");
    script.message(HOME, Ppid(0), b"no session");
    for ppid in [Ppid::ENRP, Ppid(0)] {
        script.input(Input::Announcement {
            source: registrar(3),
            ppid,
            bytes: b"1234",
        });
    }
    let remote = registrar(3);
    script.input(Input::ConnectFailed { remote });
    assert_eq!(script.actions(), []);
    assert_eq!(script.user.counters().unexpected, 10);
    assert_eq!(script.user.counters().resolutions, 2);
}

#[test]
fn announced_registrars_are_called() {
    // RFC 5352 §3.6
    let mut script = Script::new(|config| config.hunt.registrars.clear());
    script.user.resolve(script.now, &pool());
    assert_eq!(script.actions(), []);
    let message = Message::ServerAnnounce {
        server_id: ServerId(1),
        transports: List::EMPTY,
    };
    let source = registrar(3);
    script.input(Input::Announcement {
        source,
        ppid: Ppid::ASAP,
        bytes: &message.to_bytes().expect("short"),
    });
    assert_eq!(script.actions(), [hunt(source)]);
}

#[test]
fn over_tcp_the_tcp_ports_of_announced_registrars_are_called() {
    // RFC 5352 §2.1, §2.2.10
    for (over_tcp, expected) in [(false, 3863), (true, 80)] {
        let mut script = Script::new(|config| {
            config.hunt.registrars.clear();
            config.hunt.over_tcp = over_tcp;
        });
        script.user.resolve(script.now, &pool());
        let (source, address) = (registrar(3), registrar(4).ip());
        let addresses = [address];
        let tcp = |port| Transport::Tcp {
            port,
            transport_use: TransportUse::DATA_ONLY,
            address,
        };
        let sctp = Transport::Sctp(SctpTransport {
            port: 3863,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&addresses),
        });
        // Nobody is at port 0.
        let transports = [tcp(0), sctp, tcp(80)];
        let announce = |transports| {
            let server_id = ServerId(1);
            let message = Message::ServerAnnounce {
                server_id,
                transports,
            };
            message.to_bytes().expect("short")
        };
        let announced = [&transports[..], &[]].map(|list| announce(List::Slice(list)));
        for bytes in &announced {
            let ppid = Ppid::ASAP;
            script.input(Input::Announcement {
                source,
                ppid,
                bytes,
            });
        }
        let called = hunt(SocketAddr::new(address, expected));
        assert_eq!(script.actions(), [called, hunt(source)]);
    }
}

#[test]
fn a_pool_that_is_resolved_again_takes_no_other_ones_place() {
    let mut script = Script::new(|config| config.max_pools = 2);
    script.connected(HOME, registrar(1));
    let other = PoolHandle::from("Other");
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(None, &[1]);
    script.now = script.now + Duration::from_secs(20);
    script.user.resolve(script.now, &other);
    script.answer_for(b"Other", None, &[1]);
    script.now = script.now + Duration::from_secs(20);
    script.user.resolve(script.now, &pool());
    script.answer(None, &[1]);
    script.actions();
    for pool in [&other, &pool()] {
        script.user.resolve(script.now, pool);
        assert!(matches!(script.events()[..], [Event::Resolved { .. }]));
    }
    // A third one takes the place of the oldest.
    script.user.resolve(script.now, &PoolHandle::from("Third"));
    script.answer_for(b"Third", None, &[1]);
    script.actions();
    script.user.resolve(script.now, &pool());
    assert_eq!(sent(&script.actions()), []);
    script.user.resolve(script.now, &other);
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
}

#[test]
fn a_refusal_names_its_causes() {
    let refused = ResolveError::Refused(vec![
        CauseCode::UNKNOWN_POOL_HANDLE,
        CauseCode::LACK_OF_RESOURCES,
    ]);
    let names = [
        CauseCode::UNKNOWN_POOL_HANDLE.name(),
        CauseCode::LACK_OF_RESOURCES.name(),
    ];
    let text = alloc::format!("the registrar refused: {}, {}", names[0], names[1]);
    assert_eq!(alloc::format!("{refused}"), text);
}
