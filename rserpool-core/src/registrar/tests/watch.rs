//! Keep-alives, reports, lives and calls (RFC 5352 §3.2, §3.4, §3.5).

use super::*;

#[test]
fn keep_alives_are_spread_over_time() {
    // RFC 5352 §3.5: ±50 %
    let mut script = Script::with_element();
    let mut waits = Vec::new();
    for _ in 0..50 {
        let (waited, actions) = script.wait();
        assert_eq!(types(&actions), [(1, 7)]);
        script.acknowledge(1, 1);
        script.register(1, &element(1, &[host(1)]));
        waits.push(waited);
    }
    let shortest = waits.iter().min().expect("some");
    let longest = waits.iter().max().expect("some");
    assert!(*shortest >= Duration::from_secs(15) && *longest <= Duration::from_secs(45));
    assert!(*longest - *shortest > Duration::from_secs(15), "they vary");
}

#[test]
fn an_element_that_does_not_acknowledge_is_removed() {
    // RFC 5352 §3.5
    let mut script = Script::with_element();
    script.wait();
    let (waited, actions) = script.wait();
    assert_eq!(waited, Duration::from_secs(5));
    assert_eq!(removed(&actions), [(1, Removal::Unreachable)]);
    assert_eq!(script.count(), 0);
}

#[test]
fn only_the_element_itself_can_acknowledge() {
    let mut script = Script::with_element();
    script.wait();
    script.acknowledge(9, 1);
    let (_, actions) = script.wait();
    assert_eq!(removed(&actions), [(1, Removal::Unreachable)]);
}

#[test]
fn a_keep_alive_that_cannot_be_sent_removes_the_element() {
    // RFC 5352 §3.5: SEND.FAILURE
    let mut script = Script::with_element();
    let (_, actions) = script.wait();
    let (association, bytes) = sent(&actions).pop().expect("the keep-alive");
    script.input(Input::SendFailed {
        association: AssocId(association),
        ppid: Ppid::ASAP,
        stream: 0,
        bytes: &bytes,
    });
    assert_eq!(removed(&script.actions()), [(1, Removal::Unreachable)]);
}

#[test]
fn a_report_leads_to_a_question_at_once_and_the_element_stays_if_it_answers() {
    // RFC 5352 §3.5: MUST immediately send; MUST retain
    let mut script = Script::with_element();
    let actions = script.report(9, 1);
    assert_eq!(types(&actions), [(1, 7)]);
    let bytes = &sent(&actions)[0].1;
    assert!(matches!(
        asap::decode(bytes).expect("our own").message,
        Message::EndpointKeepAlive {
            home: false,
            server_id: ID,
            ..
        }
    ));
    assert_eq!(types(&script.report(9, 1)), [], "one question at a time");
    script.acknowledge(1, 1);
    // One host may report as often as it likes.
    for _ in 0..3000 {
        script.report(9, 1);
        script.acknowledge(1, 1);
    }
    assert_eq!(script.count(), 1);
}

#[test]
fn more_than_max_bad_pe_report_hosts_remove_a_silent_element() {
    // RFC 5352 §3.5: exceeds MAX-BAD-PE-REPORT
    let mut script = Script::with_element();
    for number in 10..13 {
        script.connected(number.into(), number);
        script.report(number.into(), 1);
        script.report(number.into(), 1);
    }
    assert_eq!(script.count(), 1, "three hosts do not exceed the threshold");
    script.connected(13, 13);
    assert_eq!(removed(&script.report(13, 1)), [(1, Removal::Reported)]);
}

#[test]
fn an_element_whose_association_has_ended_is_called_and_removed_if_it_refuses() {
    for answers in [true, false] {
        let mut script = Script::with_element();
        script.disconnected(1);
        let call = Action::Connect {
            ppid: Ppid::ASAP,
            remote: vec![endpoint(1)],
        };
        assert_eq!(script.actions(), [call]);
        if answers {
            script.connected(2, 1);
            assert_eq!(types(&script.actions()), [(2, 7)]);
            assert_eq!(script.acknowledge(2, 1), []);
            assert_eq!(script.count(), 1);
        } else {
            script.input(Input::ConnectFailed {
                remote: endpoint(1),
            });
            assert_eq!(removed(&script.actions()), [(1, Removal::Unreachable)]);
        }
    }
}

#[test]
fn the_dialects_differ_in_the_life_and_in_the_keep_alive() {
    let addresses = [host(1)];
    let mut script = Script::new(|config| {
        *config = Config::for_dialect(Dialect::Rsplib);
        config.server_id = Some(ID);
    });
    script.connected(1, 1);
    script.register(
        1,
        &Element {
            life: 90_000,
            ..element(1, &addresses)
        },
    );
    let (_, actions) = script.wait();
    assert!(matches!(
        asap::decode(&sent(&actions)[0].1).expect("our own").message,
        Message::EndpointKeepAlive {
            pe_id: Some(PeId(1)),
            ..
        }
    ));
    script.acknowledge(1, 1);
    let last = loop {
        let (_, actions) = script.wait();
        if let Some(removed) = removed(&actions).pop() {
            break removed;
        }
        script.acknowledge(1, 1);
    };
    assert_eq!(last, (1, Removal::Expired));
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(90));
}

#[test]
fn one_ipv6_network_is_one_reporter() {
    let mut script = Script::with_element();
    for (number, networks) in [(100, 1_u16), (200, 4)] {
        for n in 0..networks.max(8) {
            let address = IpAddr::from([0xfd00, 0, 0, n % networks, 0, 0, 0, n + 1]);
            let association = number + u64::from(n);
            script.input(Input::Connected {
                association: AssocId(association),
                remote: &[SocketAddr::new(address, 4000)],
            });
            script.report(association, 1);
        }
        assert_eq!(script.count(), usize::from(networks == 1));
    }
}

#[test]
fn an_acknowledgement_or_a_registration_forgets_the_reports() {
    // RFC 5352 §3.5: MUST retain
    for registers in [true, false] {
        let mut script = Script::with_element();
        for number in 10..20 {
            script.connected(number.into(), number);
            script.report(number.into(), 1);
            if number % 3 == 0 && registers {
                script.register(1, &element(1, &[host(1)]));
            } else if number % 3 == 0 {
                script.acknowledge(1, 1);
            }
        }
        assert_eq!(script.count(), 1);
        assert_eq!(script.registrar.counters().reports, 10);
    }
}

#[test]
fn others_cannot_take_the_places_that_calls_need() {
    let mut script = Script::with_element();
    script.registrar.config.max_associations = 2;
    script.disconnected(1);
    script.actions();
    script.connected(8, 8);
    script.connected(7, 7);
    let association = AssocId(7);
    assert_eq!(script.actions(), [Action::Abort { association }]);
    script.connected(2, 1);
    assert_eq!(types(&script.actions()), [(2, 7)]);
}

/// A call is answered only when its element has been given up.
fn answered_late() -> Script {
    let mut script = Script::with_element();
    script.disconnected(1);
    script.actions();
    script.wait();
    assert_eq!(script.count(), 0);
    script.connected(2, 1);
    assert_eq!(script.actions(), []);
    script
}

#[test]
fn an_association_that_comes_too_late_is_closed_unless_it_is_used() {
    let association = AssocId(2);
    let mut script = answered_late();
    let (waited, actions) = script.wait();
    assert_eq!(waited, Duration::from_secs(5));
    assert_eq!(actions, [Action::Disconnect { association }]);
    // The element registers on it.
    let mut script = answered_late();
    script.register(2, &element(1, &[host(1)]));
    let (_, actions) = script.wait();
    assert_eq!(types(&actions), [(2, 7)]);
    // It ends by itself.
    let mut script = answered_late();
    script.disconnected(2);
    assert_eq!(script.registrar.poll_timeout(), None);
}

#[test]
fn an_element_that_came_back_by_itself_needs_no_answer_to_its_call() {
    let mut script = Script::with_element();
    script.disconnected(1);
    script.connected(2, 5);
    script.register(2, &element(1, &[host(5)]));
    script.actions();
    script.input(Input::ConnectFailed {
        remote: endpoint(1),
    });
    assert_eq!(script.actions(), []);
    assert_eq!(script.count(), 1);
    assert!(script.registrar.calls.is_empty());
}

#[test]
fn elements_at_one_address_share_a_call_and_calls_are_capped() {
    let mut script = Script::with_element();
    script.register(1, &element(2, &[host(1)]));
    script.connected(3, 3);
    script.register(3, &element(3, &[host(3)]));
    script.registrar.config.max_associations = 1;
    script.disconnected(1);
    script.disconnected(3);
    let remote = vec![endpoint(1)];
    let ppid = Ppid::ASAP;
    assert_eq!(script.actions(), [Action::Connect { ppid, remote }]);
    // What cannot be called is given up in its time.
    script.connected(4, 1);
    assert_eq!(types(&script.actions()), [(4, 7), (4, 7)]);
    script.acknowledge(4, 1);
    script.acknowledge(4, 2);
    let (waited, actions) = script.wait();
    assert_eq!(waited, Duration::from_secs(5));
    assert_eq!(removed(&actions), [(3, Removal::Unreachable)]);
}

#[test]
fn an_association_that_is_up_already_keeps_its_elements() {
    let mut script = Script::with_element();
    script.connected(1, 1);
    script.disconnected(1);
    let ppid = Ppid::ASAP;
    let remote = vec![endpoint(1)];
    assert_eq!(script.actions(), [Action::Connect { ppid, remote }]);
}

#[test]
fn what_could_not_be_sent_condemns_only_the_element_that_was_asked() {
    // RFC 5352 §3.5
    let mut script = Script::with_element();
    script.register(1, &element(2, &[host(1)]));
    script.connected(3, 3);
    script.register(3, &element(3, &[host(3)]));
    let question = |pool_handle, pe_id: Option<u32>| Message::EndpointKeepAlive {
        home: false,
        server_id: ID,
        pool_handle,
        pe_id: pe_id.map(PeId),
    };
    for id in 1..=3 {
        script.report(9, id);
    }
    for (association, message, gone) in [
        (1, question(b"Other", None), vec![]),
        (1, question(POOL, Some(3)), vec![]),
        (9, question(POOL, None), vec![]),
        (1, Message::Cookie { cookie: b"x" }, vec![]),
        (1, question(POOL, Some(2)), vec![2]),
        (1, question(POOL, None), vec![1]),
    ] {
        script.input(Input::SendFailed {
            association: AssocId(association),
            ppid: Ppid::ASAP,
            stream: 0,
            bytes: &message.to_bytes().expect("short"),
        });
        let ids: Vec<_> = removed(&script.actions()).iter().map(|it| it.0).collect();
        assert_eq!(ids, gone);
    }
    // One that was not asked is not meant.
    script.acknowledge(3, 3);
    script.input(Input::SendFailed {
        association: AssocId(3),
        ppid: Ppid::ASAP,
        stream: 0,
        bytes: &question(POOL, None).to_bytes().expect("short"),
    });
    assert_eq!(script.count(), 1);
}

#[test]
fn an_element_is_watched_where_it_registered_last() {
    let mut script = Script::with_element();
    script.connected(2, 1);
    script.register(2, &element(1, &[host(1)]));
    script.disconnected(1);
    assert_eq!(script.actions(), [], "it is not there any more");
    let (_, actions) = script.wait();
    assert_eq!(types(&actions), [(2, 7)]);
    assert_eq!(script.registrar.counters().keep_alives, 1);
}

#[test]
fn an_element_that_answers_too_late_is_told_that_it_was_removed() {
    // RFC 5352 §2.2.4
    let mut script = Script::with_element();
    script.wait();
    script.wait();
    assert_eq!(script.count(), 0);
    let actions = script.acknowledge(1, 1);
    assert_eq!(answer(&actions), (4, false, None));
    assert_eq!(script.registrar.counters().unexpected, 1);
    let long = Message::EndpointKeepAliveAck {
        pool_handle: &[b'x'; 33],
        pe_id: PeId(1),
    };
    assert_eq!(script.asap(1, &long), [], "no handle of any element");
}
