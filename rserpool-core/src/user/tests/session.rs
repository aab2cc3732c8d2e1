//! Sessions and the selection (RFC 5352 §3.5, §3.8; RFC 5356).

use super::*;

/// The elements that sessions connect to, one after another, with the pool in the cache.
fn order(policy: Policy<'static>, ids: &[u8], count: usize) -> Vec<u8> {
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(Some(policy), ids);
    script.actions();
    (0..count)
        .map(|_| {
            script.user.open(script.now, &pool()).expect("room");
            let actions = script.actions();
            let [Action::Connect { remote, .. }] = &actions[..] else {
                panic!("{actions:?}");
            };
            let core::net::IpAddr::V4(address) = remote[0].ip() else {
                panic!("{remote:?}");
            };
            address.octets()[3]
        })
        .collect()
}

#[test]
fn the_user_selects_by_the_policy_of_the_pool() {
    // RFC 5356 §4.1.3, §4.2.3
    assert_eq!(order(Policy::RoundRobin, &[3, 1, 2], 4), [3, 1, 2, 3]);
    let weighted = Policy::WeightedRoundRobin { weight: 1 };
    assert_eq!(order(weighted, &[3, 1, 2], 4), [3, 1, 2, 3]);
    // RFC 5356 §4.5.3: MUST select the highest priority, whatever the order
    assert_eq!(
        order(Policy::Priority { priority: 0 }, &[1, 3, 2], 2),
        [3, 3]
    );
    // RFC 5356 §5.1.3, §5.2.3, §5.3.3
    assert_eq!(order(Policy::LeastUsed { load: 0 }, &[2, 1], 2), [2, 2]);
    // RFC 5356 §4.3.3, §4.4.3, §5.4.3
    let random = order(Policy::Random, &[1, 2, 3], 60);
    for id in 1..=3 {
        let count = random.iter().filter(|selected| **selected == id).count();
        assert!((8..=35).contains(&count), "{id}: {count}");
    }
}

#[test]
fn without_a_registrar_what_is_known_of_a_pool_is_used_however_old() {
    // RFC 5352 §3.3 C3
    let stale = |script: &mut Script| {
        script.answer(Some(Policy::RoundRobin), &[1]);
        script.now = script.now + Duration::from_secs(31);
        script.actions();
    };
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    stale(&mut script);
    // A registrar is asked anew, and another one where it is mute; in the end nobody has answered.
    script.user.open(script.now, &pool()).expect("room");
    let begin = script.now;
    while !script.actions().contains(&connect(server(1))) {
        script.wait();
    }
    assert_eq!(script.now.duration_since(begin), Duration::from_secs(45));
    // Where it is known that there is none, nobody waits; the pool is asked for beside it.
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    stale(&mut script);
    script.disconnected(HOME, End::Lost);
    script.actions();
    script.user.open(script.now, &pool()).expect("room");
    assert_eq!(script.actions(), [connect(server(1))]);
    script.connected(2, registrar(1));
    assert_eq!(sent(&script.actions()), [(2, 5)]);
}

#[test]
fn messages_wait_for_the_element_and_go_in_order() {
    // RFC 5352 §6.5.1
    let (mut script, session) = Script::session(|config| config.max_session_queue = 8);
    for bytes in [&b"one"[..], b"two"] {
        let bytes = Bytes::from_static(bytes);
        assert_eq!(script.user.send(session, Ppid(0), 0, bytes), Ok(()));
    }
    let long = Bytes::from_static(b"three");
    assert_eq!(
        script.user.send(session, Ppid(0), 0, long),
        Err(SendError::QueueFull)
    );
    assert_eq!(
        script
            .user
            .send(session, Ppid::ASAP, 0, Bytes::from_static(b"x")),
        Err(SendError::ReservedPpid)
    );
    assert_eq!(
        script.user.send(session, Ppid(0), 0, Bytes::new()),
        Err(SendError::Empty)
    );
    script.answer(Some(Policy::RoundRobin), &[1]);
    assert_eq!(script.actions(), [connect(server(1))]);
    script.connected(7, server(1));
    let actions = script.actions();
    let data: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { bytes, .. } => Some(&bytes[..]),
            _ => None,
        })
        .collect();
    assert_eq!(data, [&b"one"[..], b"two"]);
    assert_eq!(
        actions[0],
        Action::Notify(Event::Connected {
            session,
            element: PeId(1)
        })
    );
}

#[test]
fn a_lost_element_is_reported_once_and_the_cookie_goes_first_to_the_next() {
    // RFC 5352 §3.5, §3.8
    let (mut script, session) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    script.connected(7, server(1));
    script.asap(7, &Message::Cookie { cookie: b"old" });
    script.asap(7, &Message::Cookie { cookie: b"new" });
    script.actions();
    script.disconnected(7, End::Lost);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(HOME, 9)]);
    assert!(actions.contains(&connect(server(2))));
    let message = Bytes::from_static(b"go on");
    script
        .user
        .send(session, Ppid(0), 0, message.clone())
        .expect("queued");
    script.connected(8, server(2));
    let actions = script.actions();
    let Action::Send {
        association: AssocId(8),
        ppid: Ppid::ASAP,
        bytes,
        ..
    } = &actions[0]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(
        asap::decode(bytes).expect("ours").message,
        Message::CookieEcho { cookie: b"new" }
    );
    // RFC 5355 §2.9.3
    assert_eq!(
        actions[1],
        Action::Notify(Event::FailedOver {
            session,
            old: PeId(1),
            new: PeId(2),
            cookie_echoed: true,
        })
    );
    assert!(matches!(&actions[2], Action::Send { bytes, .. } if *bytes == message));
    assert_eq!(script.user.counters().reports, 1);
}

#[test]
fn an_element_that_closes_in_order_is_left_without_a_report() {
    let (mut script, session) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    script.connected(7, server(1));
    script.actions();
    script.disconnected(7, End::Closed);
    let actions = script.actions();
    assert_eq!(sent(&actions), []);
    let interrupted = Event::Interrupted {
        session,
        element: PeId(1),
        closed: true,
    };
    assert_eq!(actions, [Action::Notify(interrupted), connect(server(2))]);
}

#[test]
fn elements_that_cannot_be_reached_are_tried_in_turn_and_then_after_growing_pauses() {
    let (mut script, session) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    for id in [1, 2] {
        let actions = script.actions();
        assert!(actions.contains(&connect(server(id))), "{actions:?}");
        script.input(Input::ConnectFailed { remote: server(id) });
    }
    assert_eq!(
        sent(&script.actions()),
        [(HOME, 9), (HOME, 5)],
        "reported, asked again"
    );
    // All elements have failed: a pause, after which they are candidates again.
    for pause in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
        script.answer(Some(Policy::RoundRobin), &[1]);
        assert_eq!(script.actions(), []);
        assert_eq!(script.wait(), Duration::from_millis(pause));
        assert_eq!(script.actions(), [connect(server(1))]);
        script.input(Input::ConnectFailed { remote: server(1) });
        script.actions();
    }
    while script.now < Instant::EPOCH + Duration::from_secs(60) {
        assert_eq!(script.events(), []);
        script.wait();
    }
    let error = SessionError::Unreachable;
    assert!(
        script
            .events()
            .contains(&Event::SessionFailed { session, error })
    );
    let message = Bytes::from_static(b"x");
    assert_eq!(
        script.user.send(session, Ppid(0), 0, message),
        Err(SendError::UnknownSession)
    );
}

#[test]
fn a_pool_with_ever_new_elements_is_left_alone_for_a_while() {
    let (mut script, _) = Script::session(|config| config.max_pool_elements = 3);
    for id in 1..=3 {
        script.answer(None, &[id]);
        assert!(script.actions().contains(&connect(server(id))));
        script.input(Input::ConnectFailed { remote: server(id) });
    }
    assert_eq!(sent(&script.actions()), [(HOME, 9)], "it does not ask");
    assert_eq!(script.wait(), Duration::from_millis(250));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
}

#[test]
fn a_session_that_was_good_begins_its_search_from_scratch() {
    for (heard, lived, fresh) in [
        (true, 0, false),
        (true, 1, true),
        (false, 10, true),
        (false, 9, false),
    ] {
        let (mut script, _) = Script::session(|config| config.stale_cache_value = Duration::MAX);
        script.answer(Some(Policy::RoundRobin), &[1, 2]);
        script.input(Input::ConnectFailed { remote: server(1) });
        script.connected(7, server(2));
        if heard {
            script.message(7, Ppid(0), b"hello");
        }
        script.now = script.now + Duration::from_secs(lived);
        script.actions();
        script.disconnected(7, End::Lost);
        // Nothing is left in the cache: element 1 was reported when it was tried.
        assert_eq!(sent(&script.actions()), [(HOME, 9), (HOME, 5)]);
        script.answer(Some(Policy::RoundRobin), &[1]);
        let called = script.actions() == [connect(server(1))];
        assert_eq!(called, fresh, "{heard} {lived}");
    }
}

#[test]
fn a_failed_call_is_that_of_the_session_that_has_lost_interest() {
    let (mut script, first) = Script::session(|_| {});
    script.answer(None, &[1]);
    let second = script.user.open(script.now, &pool()).expect("room");
    script.user.close(first);
    script.actions();
    script.input(Input::ConnectFailed { remote: server(1) });
    assert_eq!(script.actions(), [], "the second call is under way");
    script.connected(7, server(1));
    let element = PeId(1);
    let session = second;
    assert_eq!(script.events(), [Event::Connected { session, element }]);
    script.input(Input::ConnectFailed { remote: server(1) });
    assert_eq!(script.user.counters().unexpected, 1, "there is no other");
}

#[test]
fn a_registrar_that_takes_no_message_is_left() {
    // RFC 5352 §3.7.1
    let (mut script, _) = Script::session(|_| {});
    script.send_failed(99, 0, b"x");
    assert_eq!(script.actions(), []);
    script.send_failed(HOME, 0, b"x");
    let association = AssocId(HOME);
    assert_eq!(script.actions(), [Action::Abort { association }]);
}

#[test]
fn closed_sessions_leave_nothing_behind() {
    // Waiting for an answer, connecting, connected: then nothing is told and no timer runs.
    for stage in 0..3 {
        let (mut script, session) = Script::session(|_| {});
        if stage > 0 {
            script.answer(None, &[1]);
        }
        if stage > 1 {
            script.connected(7, server(1));
        }
        script.actions();
        script.user.close(session);
        script.user.close(session);
        let association = AssocId(7);
        let expected: &[_] = if stage > 1 {
            &[Action::Disconnect { association }]
        } else {
            &[]
        };
        assert_eq!(script.actions(), expected);
        if stage == 0 {
            script.answer(None, &[1]);
        } else if stage == 1 {
            script.connected(7, server(1));
            assert_eq!(script.actions(), [Action::Disconnect { association }]);
        }
        script.message(7, Ppid(0), b"late");
        script.disconnected(7, End::Closed);
        assert_eq!(script.actions(), []);
        assert_eq!(script.user.poll_timeout(), None);
        assert!(script.user.sessions.is_empty() && script.user.connecting.is_empty());
        assert!(script.user.by_association.is_empty());
    }
}

#[test]
fn the_number_of_sessions_is_capped_and_no_name_is_used_twice() {
    let (mut script, first) = Script::session(|config| config.max_sessions = 1);
    assert_eq!(script.user.open(script.now, &pool()), None);
    script.user.close(first);
    let second = script.user.open(script.now, &pool());
    assert!(second.is_some() && second != Some(first));
}

#[test]
fn an_unresolved_pool_is_why_a_session_fails() {
    let (mut script, session) = Script::session(|config| {
        config.failover_timeout = Duration::from_secs(1);
    });
    script.refuse();
    while script.now < Instant::EPOCH + Duration::from_secs(1) {
        script.wait();
    }
    let error =
        SessionError::Unresolved(ResolveError::Refused(vec![CauseCode::UNKNOWN_POOL_HANDLE]));
    assert_eq!(script.events(), [Event::SessionFailed { session, error }]);
}

#[test]
fn an_element_that_does_not_answer_the_call_is_given_up_after_5_seconds() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    assert_eq!(script.actions(), [connect(server(1))]);
    assert_eq!(script.wait(), Duration::from_secs(5));
    assert!(script.actions().contains(&connect(server(2))));
    script.connected(7, server(2));
    script.actions();
    script.connected(8, server(1));
    assert_eq!(
        script.actions(),
        [Action::Disconnect {
            association: AssocId(8)
        }],
        "nobody waits for it any more"
    );
}

#[test]
fn two_sessions_with_one_element_are_two_associations() {
    let (mut script, first) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1]);
    let second = script.user.open(script.now, &pool()).expect("room");
    script.connected(7, server(1));
    script.connected(8, server(1));
    script.message(7, Ppid(0), b"a");
    script.message(8, Ppid(0), b"b");
    let events: Vec<_> = script
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Message { session, bytes, .. } => Some((session, bytes)),
            _ => None,
        })
        .collect();
    assert_eq!(
        events,
        [
            (first, Bytes::from_static(b"a")),
            (second, Bytes::from_static(b"b"))
        ]
    );
    script.user.close(first);
    assert_eq!(
        script.actions(),
        [Action::Disconnect {
            association: AssocId(7)
        }]
    );
}

#[test]
fn round_robin_goes_on_where_it_was_when_elements_leave_the_list() {
    // RFC 5356 §4.1.3
    for (gone, next) in [(1, 3), (2, 3), (3, 4), (4, 3)] {
        let mut script = Script::new(|_| {});
        script.user.resolve(script.now, &pool());
        script.connected(HOME, registrar(1));
        script.answer(Some(Policy::RoundRobin), &[1, 2, 3, 4]);
        script.user.open(script.now, &pool());
        script.user.open(script.now, &pool());
        script.user.report_unreachable(&pool(), PeId(gone));
        script.actions();
        script.user.open(script.now, &pool());
        assert_eq!(script.actions(), [connect(server(next))], "{gone}");
    }
}

#[test]
fn a_session_asks_where_the_pool_is_stale() {
    // RFC 5352 §3.3 C2, C4
    for (seconds, stale) in [(29, false), (30, true)] {
        let (mut script, _) = Script::session(|_| {});
        script.answer(None, &[1]);
        script.actions();
        script.now = script.now + Duration::from_secs(seconds);
        script.user.open(script.now, &pool());
        let actions = script.actions();
        assert_eq!(actions.contains(&connect(server(1))), !stale);
        assert_eq!(sent(&actions).is_empty(), !stale);
    }
}
