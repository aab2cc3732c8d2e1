//! The hunt, the home and keep-alives (RFC 5352 §3.4, §3.6).

use super::*;

#[test]
fn the_first_registrar_that_answers_becomes_home_and_the_others_are_closed() {
    // RFC 5352 §3.6 SH1, SH3, SH6
    let mut script = Script::new(&[1, 2, 3, 4, 5], |_| {});
    script.element.register(script.now);
    let connects = script.actions();
    assert_eq!(connects.len(), 3, "no more than three at a time");
    let Action::Connect { remote, .. } = &connects[1] else {
        panic!("{connects:?}");
    };
    script.input(Input::Connected {
        association: AssocId(1),
        remote,
    });
    assert_eq!(sent(&script.actions()), [(1, 1)]);
    let Action::Connect { remote, .. } = &connects[0] else {
        panic!("{connects:?}");
    };
    script.input(Input::Connected {
        association: AssocId(2),
        remote,
    });
    assert_eq!(
        script.actions(),
        [Action::Disconnect {
            association: AssocId(2)
        }]
    );
}

#[test]
fn the_hunt_doubles_t5_up_to_retran_max_and_takes_other_addresses() {
    // RFC 5352 §3.6 SH4, SH5.1, SH5.2
    let mut script = Script::new(&[1, 2, 3, 4], |_| {});
    script.element.register(script.now);
    let first = script.actions();
    assert_eq!(first.len(), 3);
    let waits: Vec<_> = (0..5).map(|_| script.wait().as_secs()).collect();
    assert_eq!(waits, [10, 20, 40, 60, 60]);
    let later = script.actions();
    let untried = later.iter().find(|action| !first.contains(action));
    assert!(untried.is_some(), "a different set is tried");
}

#[test]
fn a_lost_home_is_replaced_and_the_registration_repeated_at_once() {
    let mut script = Script::registered();
    script.disconnected(1);
    assert!(!script.element.is_registered());
    assert_eq!(script.actions(), [connect(1)]);
    script.connected(2, 1);
    assert_eq!(sent(&script.actions()), [(2, 1)]);
    script.respond(2, false);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Registered { home: AssocId(2) })]
    );
}

#[test]
fn keep_alives_are_acknowledged_on_their_association_if_they_are_meant_for_us() {
    // RFC 5352 §3.4 KA1, KA2.1–KA2.3
    let mut script = Script::registered();
    script.connected(2, 2);
    for (association, pool, pe_id, acknowledged) in [
        (1, POOL, None, true),
        (1, POOL, Some(ID), true),
        (2, POOL, Some(ID), true),
        (1, &b"OtherPool"[..], Some(ID), false),
        (1, POOL, Some(PeId(0x12)), false),
    ] {
        script.keep_alive(association, false, pool, pe_id);
        let expected: &[_] = if acknowledged {
            &[(association, 8)]
        } else {
            &[]
        };
        assert_eq!(sent(&script.actions()), expected);
    }
    assert_eq!(script.element.home(), Some(AssocId(1)));
}

#[test]
fn the_h_bit_makes_the_sender_home_and_the_element_registers_there_at_once() {
    // RFC 5352 §3.4 KA2.4
    let mut script = Script::registered();
    script.connected(2, 2);
    script.keep_alive(2, true, POOL, None);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(2, 8), (2, 1)]);
    assert!(actions.contains(&Action::Disconnect {
        association: AssocId(1)
    }));
    assert_eq!(script.element.home(), Some(AssocId(2)));
    script.respond(2, false);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Registered { home: AssocId(2) })]
    );
}

#[test]
fn announced_registrars_are_known_until_t7() {
    // RFC 5352 §3.6
    let mut script = Script::new(&[], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions(), []);
    let transports = [Transport::Sctp(SctpTransport {
        port: 3863,
        transport_use: TransportUse::DATA_ONLY,
        addresses: List::Slice(&[address(4).ip()]),
    })];
    for (transports, source, expected) in
        [(List::Slice(&transports[..]), 3, 4), (List::EMPTY, 5, 5)]
    {
        let message = Message::ServerAnnounce {
            server_id: ServerId(1),
            transports,
        };
        let bytes = message.to_bytes().expect("short");
        script.input(Input::Announcement {
            source: SocketAddr::new(address(source).ip(), 9999),
            ppid: Ppid::ASAP,
            bytes: &bytes,
        });
        assert_eq!(script.actions(), [connect(expected)]);
        script.input(Input::ConnectFailed {
            remote: address(expected),
        });
    }
    script.now = script.now + Duration::from_secs(5);
    script.element.handle_timeout(script.now);
    script.wait();
    assert_eq!(script.actions(), [], "both are outdated at the next round");
}

/// Lets T4 and T2 pass: the home that registered the element does not answer any more.
fn mute(script: &mut Script) -> Vec<Action<Event>> {
    script.wait();
    script.actions();
    script.wait();
    script.actions()
}

#[test]
fn another_address_of_a_mute_home_does_not_end_the_search() {
    // RFC 5352 §3.6: a different registrar
    let mut script = Script::new(&[1, 2, 3], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    for host in [2, 3] {
        script.input(Input::ConnectFailed {
            remote: address(host),
        });
    }
    script.actions();
    script.wait();
    let actions = script.actions();
    assert!(actions.contains(&connect(2)) && actions.contains(&connect(3)));
    script.input(Input::Connected {
        association: AssocId(1),
        remote: &[address(1), address(2)],
    });
    assert_eq!(script.actions(), [], "it is the home itself");
    script.connected(3, 3);
    let home = AssocId(1);
    let actions = script.actions();
    assert_eq!(actions[0], Action::Disconnect { association: home });
    assert_eq!(sent(&actions), [(3, 1)]);
}

#[test]
fn an_association_that_was_there_before_is_not_closed_as_surplus() {
    let mut script = Script::new(&[1, 2], |_| {});
    script.connected(5, 2);
    script.element.register(script.now);
    script.connected(1, 1);
    script.actions();
    script.connected(5, 2);
    assert_eq!(script.actions(), []);
    assert_eq!(script.element.home(), Some(AssocId(1)));
}

#[test]
fn a_mute_home_that_goes_is_called_again_at_once() {
    let mut script = Script::registered();
    assert_eq!(sent(&mute(&mut script)), [(1, 1)]);
    script.disconnected(1);
    assert_eq!(script.actions(), [connect(1)]);
}

#[test]
fn a_registrar_that_closes_without_a_word_is_left_alone_for_t5() {
    // RFC 5352 §3.6 SH4: a different address
    let mut script = Script::new(&[1, 2], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.input(Input::ConnectFailed { remote: address(2) });
    script.actions();
    script.disconnected(1);
    assert_eq!(script.actions(), [connect(2)]);
    script.input(Input::ConnectFailed { remote: address(2) });
    assert_eq!(script.actions(), []);
    assert_eq!(script.wait(), Duration::from_secs(10));
    assert!(script.actions().contains(&connect(1)));
}

#[test]
fn the_hunt_ends_with_the_registration() {
    let mut script = Script::new(&[1, 2], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.input(Input::ConnectFailed { remote: address(2) });
    script.actions();
    script.wait();
    assert!(script.actions().contains(&connect(2)));
    script.respond(1, true);
    script.actions();
    assert_eq!(script.element.poll_timeout(), None);
    script.connected(2, 2);
    let association = AssocId(2);
    assert_eq!(script.actions(), [Action::Disconnect { association }]);
}

#[test]
fn a_late_answer_of_the_home_ends_the_search_beside_it() {
    let mut script = Script::registered();
    mute(&mut script);
    script.respond(1, false);
    script.actions();
    assert_eq!(
        script.wait(),
        Duration::from_secs(600),
        "nothing but T4 runs"
    );
}

#[test]
fn users_cannot_take_the_places_that_the_hunt_needs() {
    let mut script = Script::new(&[1], |config| config.max_associations = 1);
    script.connected(8, 8);
    script.element.register(script.now);
    script.connected(1, 1);
    assert_eq!(sent(&script.actions()), [(1, 1)]);
}

#[test]
fn the_h_bit_of_the_home_on_another_association_changes_nothing() {
    // RFC 5352 §3.4 KA2.4: NOT the identity of your Home ENRP server
    let mut script = Script::registered();
    script.keep_alive(1, false, POOL, None);
    script.connected(2, 2);
    script.actions();
    script.keep_alive(2, true, POOL, None);
    assert_eq!(script.actions().len(), 1, "the acknowledgement");
    assert_eq!(script.element.home(), Some(AssocId(1)));
    // After it is lost, the same registrar is a new home.
    script.disconnected(1);
    script.keep_alive(2, true, POOL, None);
    assert_eq!(script.element.home(), Some(AssocId(2)));
}

#[test]
fn the_registration_says_who_the_home_was() {
    let mut script = Script::registered();
    script.keep_alive(1, false, POOL, None);
    script.element.set_policy(script.now, Policy::Random);
    let actions = script.actions();
    let Some(Action::Send { bytes, .. }) = actions.last() else {
        panic!("{actions:?}");
    };
    let Message::Registration { pool_element, .. } = asap::decode(bytes).expect("ours").message
    else {
        panic!("no registration");
    };
    assert_eq!(pool_element.home_id, ServerId(0x77));
}

#[test]
fn an_attempt_that_is_under_way_is_not_made_twice() {
    // RFC 5352 §3.6 SH5.2: the old set cannot be taken back, and may still succeed
    let mut script = Script::new(&[1, 2, 3], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions().len(), 3);
    script.wait();
    assert_eq!(script.actions(), []);
    script.input(Input::ConnectFailed { remote: address(2) });
    assert_eq!(script.actions(), [connect(2)]);
    script.connected(1, 1);
    assert_eq!(sent(&script.actions()), [(1, 1)]);
}

#[test]
fn a_registrar_that_announces_itself_anew_is_called_anew() {
    let mut script = Script::new(&[], |_| {});
    script.element.register(script.now);
    let message = Message::ServerAnnounce {
        server_id: ServerId(1),
        transports: List::EMPTY,
    };
    let bytes = message.to_bytes().expect("short");
    for _ in 0..2 {
        let source = address(4);
        let ppid = Ppid::ASAP;
        script.input(Input::Announcement {
            source,
            ppid,
            bytes: &bytes,
        });
        assert_eq!(script.actions(), [connect(4)]);
        script.input(Input::ConnectFailed { remote: source });
        script.now = script.now + Duration::from_secs(5);
        // T7 has come, the round of the hunt goes on.
        script.element.handle_timeout(script.now);
    }
}

#[test]
fn announcements_are_kept_alive_capped_and_checked() {
    // RFC 5352 §3.6: MUST be restarted; RFC 5352 §2.2.10
    let mut script = Script::new(&[9], |config| config.hunt.max_announced = 2);
    let announce = |script: &mut Script, address: SocketAddr| {
        let addresses = [address.ip()];
        let transports = [Transport::Sctp(SctpTransport {
            port: address.port(),
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&addresses),
        })];
        let message = Message::ServerAnnounce {
            server_id: ServerId(1),
            transports: List::Slice(&transports),
        };
        script.input(Input::Announcement {
            source: address,
            ppid: Ppid::ASAP,
            bytes: &message.to_bytes().expect("short"),
        });
    };
    for odd in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255]] {
        announce(&mut script, SocketAddr::from((odd, 3863)));
    }
    announce(&mut script, SocketAddr::from(([10, 0, 0, 7], 0)));
    announce(&mut script, address(9));
    for host in [1, 2, 3] {
        announce(&mut script, address(host));
    }
    script.now = script.now + Duration::from_secs(4);
    announce(&mut script, address(2));
    script.now = script.now + Duration::from_secs(4);
    script.element.handle_timeout(script.now);
    script.element.register(script.now);
    let actions = script.actions();
    assert_eq!(actions.len(), 2, "{actions:?}");
    assert!(actions.contains(&connect(9)) && actions.contains(&connect(2)));
}

#[test]
fn the_source_port_counts_in_the_dialect_that_says_so() {
    // RFC 5352 §3.6: the IANA-registered ASAP port number
    for (dialect, port) in [(Dialect::Rfc, 3863), (Dialect::Rsplib, 9999)] {
        let mut script = Script::new(&[], |config| config.dialect = dialect);
        script.element.register(script.now);
        let message = Message::ServerAnnounce {
            server_id: ServerId(1),
            transports: List::EMPTY,
        };
        script.input(Input::Announcement {
            source: SocketAddr::new(address(4).ip(), 9999),
            ppid: Ppid::ASAP,
            bytes: &message.to_bytes().expect("short"),
        });
        let remote = vec![SocketAddr::new(address(4).ip(), port)];
        let ppid = Ppid::ASAP;
        assert_eq!(script.actions(), [Action::Connect { ppid, remote }]);
    }
}

#[test]
fn what_cannot_be_sent_to_the_home_ends_it() {
    // RFC 5352 §3.7.1
    let mut script = Script::registered();
    script.connected(2, 2);
    for (association, aborted) in [(2, false), (1, true)] {
        let association = AssocId(association);
        for (ppid, aborted) in [(Ppid::ASAP, aborted), (Ppid(0), false)] {
            script.input(Input::SendFailed {
                association,
                ppid,
                stream: 0,
                bytes: b"x",
            });
            let undelivered = Event::Undelivered {
                association,
                ppid,
                stream: 0,
                bytes: Bytes::from_static(b"x"),
            };
            let expected: &[_] = if ppid != Ppid::ASAP {
                &[Action::Notify(undelivered)]
            } else if aborted {
                &[Action::Abort { association }]
            } else {
                &[]
            };
            assert_eq!(script.actions(), expected);
        }
    }
}

#[test]
fn timers_of_no_length_do_not_stop_the_time() {
    let mut script = Script::new(&[1], |config| {
        config.hunt.t5_serverhunt = Duration::ZERO;
        config.hunt.retran_max = Duration::ZERO;
    });
    script.element.register(script.now);
    assert_eq!(script.wait(), Duration::from_millis(1));
    assert_eq!(script.wait(), Duration::from_millis(1));
}

#[test]
fn the_hunt_tries_another_address_when_one_fails() {
    // RFC 5352 §3.6 SH1, SH4
    let mut script = Script::new(&[1, 2, 3, 4], |_| {});
    script.element.register(script.now);
    let mut left = vec![1, 2, 3, 4];
    for action in script.actions() {
        left.retain(|host| action != connect(*host));
    }
    let [last] = left[..] else {
        panic!("{left:?}");
    };
    let tried = 1 + last % 4;
    script.input(Input::ConnectFailed {
        remote: address(tried),
    });
    assert_eq!(script.actions(), [connect(last)]);
    script.input(Input::ConnectFailed {
        remote: address(last),
    });
    assert_eq!(script.actions(), [], "all were tried in this round");
}

#[test]
fn the_hunt_starts_anew_with_t5() {
    // RFC 5352 §3.6 SH3
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    assert_eq!(script.wait(), Duration::from_secs(10));
    assert_eq!(script.wait(), Duration::from_secs(20));
    script.connected(1, 1);
    script.respond(1, false);
    script.disconnected(1);
    assert_eq!(script.wait(), Duration::from_secs(10));
}
