//! What becomes of messages and cookies when an element fails (RFC 5352 §3.5, §3.8, §3.9, §6.5.5, §6.7).

use super::*;

fn options(failover: Failover, resend: bool) -> SessionOptions {
    SessionOptions {
        failover,
        resend,
        ..SessionOptions::default()
    }
}

fn undelivered(session: SessionId, bytes: &'static [u8]) -> Event {
    Event::Undelivered {
        session,
        ppid: Ppid(0),
        stream: 0,
        bytes: Bytes::from_static(bytes),
    }
}

#[test]
fn undelivered_messages_go_first_and_in_order_to_the_next_element() {
    // RFC 5352 §6.5.5, ASAP_SEND_FAILOVER
    let (mut script, session) = Script::connected_session(options(Failover::Automatic, true));
    script.send_failed(7, 3, b"one");
    script.send_failed(7, 0, b"two");
    assert_eq!(script.actions(), []);
    script.disconnected(7, End::Lost);
    script.send(session, b"three");
    let actions = script.actions();
    assert_eq!(sent(&actions), [(HOME, 9)], "reported once");
    assert_eq!(data(&actions), []);
    script.connected(8, server(2));
    let actions = script.actions();
    let expected: [(_, _, _, &[u8]); 3] = [
        (8, 3, false, b"one"),
        (8, 0, false, b"two"),
        (8, 0, false, b"three"),
    ];
    assert_eq!(data(&actions), expected);
}

#[test]
fn what_an_element_had_got_before_it_closed_is_not_sent_again() {
    let (mut script, _) = Script::connected_session(options(Failover::Automatic, true));
    // The transport reports what waited for it, and then the end.
    script.send_failed(7, 0, b"late");
    script.disconnected(7, End::Closed);
    let actions = script.actions();
    assert_eq!(sent(&actions), [], "who closes in order is not unreachable");
    script.connected(8, server(2));
    let actions = script.actions();
    assert_eq!(data(&actions), [(8, 0, false, &b"late"[..])]);
}

#[test]
fn undelivered_messages_come_back_where_the_application_did_not_ask_for_more() {
    // RFC 5352 §6.5.5, ASAP_SEND_NO_FAILOVER; §6.7
    let (mut script, session) = Script::connected_session(SessionOptions::default());
    script.send_failed(7, 0, b"one");
    script.send_failed(7, 0, b"two");
    assert_eq!(
        script.events(),
        [undelivered(session, b"one"), undelivered(session, b"two")]
    );
    script.disconnected(7, End::Lost);
    script.actions();
    script.connected(8, server(2));
    assert_eq!(data(&script.actions()), []);
}

#[test]
fn a_message_that_elements_fail_of_is_sent_to_three_more() {
    let (mut script, session) = Script::connected_session(options(Failover::Automatic, true));
    for association in 7..=10 {
        script.send_failed(association, 0, b"bad");
        script.send_failed(association, 0, b"good");
        let told: Vec<_> = script.events();
        if association == 10 {
            let expected = [undelivered(session, b"bad"), undelivered(session, b"good")];
            assert_eq!(told, expected);
            break;
        }
        assert_eq!(told, []);
        script.disconnected(association, End::Lost);
        let mut actions = script.actions();
        while !actions
            .iter()
            .any(|action| matches!(action, Action::Connect { .. }))
        {
            script.answer(Some(Policy::RoundRobin), &[1, 2]);
            actions = script.actions();
            if actions.is_empty() {
                script.wait();
                actions = script.actions();
            }
        }
        let remote = actions.iter().find_map(|action| match action {
            Action::Connect { remote, .. } => Some(remote[0]),
            _ => None,
        });
        script.connected(association + 1, remote.expect("a call"));
        let actions = script.actions();
        let resent: Vec<_> = data(&actions).into_iter().map(|data| data.3).collect();
        assert_eq!(resent, [&b"bad"[..], b"good"]);
    }
}

#[test]
fn a_message_counts_its_own_failures() {
    let (mut script, session) = Script::connected_session(options(Failover::Automatic, true));
    script.user.config.max_resends = 1;
    script.send_failed(7, 0, b"old");
    script.disconnected(7, End::Lost);
    script.connected(8, server(2));
    script.actions();
    script.send(session, b"new");
    // The old one has arrived.
    script.send_failed(8, 0, b"new");
    assert_eq!(script.events(), []);
    // Nothing that was sent before it can fail after it.
    script.disconnected(8, End::Lost);
    script.answer(None, &[1]);
    script.wait();
    script.actions();
    script.connected(9, server(1));
    assert_eq!(data(&script.actions()), [(9, 0, false, &b"new"[..])]);
    script.send_failed(9, 0, b"new");
    assert_eq!(script.events(), [undelivered(session, b"new")]);
}

#[test]
fn what_is_kept_for_the_next_element_is_bounded() {
    let (mut script, session) = Script::connected_session(options(Failover::Automatic, true));
    script.user.config.max_session_queue = 4;
    script.send_failed(7, 0, b"1234");
    assert_eq!(script.events(), []);
    script.send_failed(7, 0, b"5");
    assert_eq!(script.events(), [undelivered(session, b"5")]);
    script.disconnected(7, End::Lost);
    let more = Bytes::from_static(b"6");
    assert_eq!(
        script.user.send(session, Ppid(0), 0, more),
        Err(SendError::QueueFull)
    );
}

#[test]
fn on_demand_a_session_waits_for_the_application() {
    let (mut script, session) = Script::connected_session(options(Failover::OnDemand, true));
    assert_eq!(script.user.element(session), Some(PeId(1)));
    script.send_failed(7, 0, b"one");
    script.disconnected(7, End::Lost);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(HOME, 9)]);
    assert!(!actions.contains(&connect(server(2))));
    assert_eq!(script.user.poll_timeout(), None);
    assert_eq!(script.user.element(session), None);
    script.send(session, b"two");
    script.now = script.now + Duration::from_secs(10);
    script.user.fail_over(script.now, session);
    script.user.fail_over(script.now, session);
    assert_eq!(script.actions(), [connect(server(2))]);
    script.connected(8, server(2));
    let actions = script.actions();
    assert_eq!(data(&actions).len(), 2);
    let (old, new) = (PeId(1), PeId(2));
    let cookie_echoed = false;
    assert!(actions.contains(&Action::Notify(Event::FailedOver {
        session,
        old,
        new,
        cookie_echoed
    })));
}

#[test]
fn a_session_that_is_not_to_fail_over_ends_with_its_element() {
    // RFC 5352 §6.5.5, ASAP_SEND_NO_FAILOVER
    let (mut script, session) = Script::connected_session(options(Failover::Never, true));
    script.send_failed(7, 0, b"one");
    script.disconnected(7, End::Lost);
    let element = PeId(1);
    let closed = false;
    let error = SessionError::ElementLost;
    assert_eq!(
        script.events(),
        [
            undelivered(session, b"one"),
            Event::Interrupted {
                session,
                element,
                closed
            },
            Event::SessionFailed { session, error },
        ]
    );
    assert_eq!(script.user.poll_timeout(), None);

    // The first one that was selected cannot be reached.
    let options = options(Failover::Never, false);
    let opened = script.user.open_with(script.now, &pool(), options);
    let session = opened.expect("room");
    script.send(session, b"three");
    script.input(Input::ConnectFailed { remote: server(2) });
    let error = SessionError::Unreachable;
    let failed = Event::SessionFailed { session, error };
    assert_eq!(script.events(), [undelivered(session, b"three"), failed]);
}

#[test]
fn the_application_may_leave_an_element_that_does_not_answer() {
    for failover in [Failover::Automatic, Failover::OnDemand, Failover::Never] {
        let (mut script, session) = Script::connected_session(options(failover, false));
        script.user.fail_over(script.now, session);
        script.user.fail_over(script.now, session);
        let association = AssocId(7);
        assert_eq!(script.actions(), [Action::Abort { association }]);
        script.send(session, b"waits");
        script.disconnected(7, End::Lost);
        let element = PeId(1);
        let closed = true;
        let interrupted = Event::Interrupted {
            session,
            element,
            closed,
        };
        assert_eq!(
            script.actions(),
            [Action::Notify(interrupted), connect(server(2))],
            "no report: that is the application's"
        );
        script.connected(8, server(2));
        assert_eq!(data(&script.actions()), [(8, 0, false, &b"waits"[..])]);
    }
}

#[test]
fn a_session_can_be_closed_while_its_element_is_left() {
    let (mut script, session) = Script::connected_session(SessionOptions::default());
    script.user.fail_over(script.now, session);
    script.user.close(session);
    script.actions();
    script.send_failed(7, 0, b"x");
    script.disconnected(7, End::Lost);
    assert_eq!(script.actions(), []);
    assert!(script.user.by_association.is_empty());
}

#[test]
fn a_session_with_an_element_of_choice() {
    // RFC 5352 §6.5.3
    for (id, ids, failover, first) in [
        (2, &[1, 2, 3][..], Failover::Automatic, Some(2)),
        (2, &[1, 2, 3], Failover::Never, Some(2)),
        (9, &[1, 2, 3], Failover::Automatic, Some(1)),
        (9, &[1, 2, 3], Failover::Never, None),
    ] {
        let mut script = Script::new(|_| {});
        let mut options = options(failover, false);
        options.element = Some(PeId(id));
        script.user.open_with(script.now, &pool(), options);
        script.connected(HOME, registrar(1));
        script.actions();
        script.answer(Some(Policy::RoundRobin), ids);
        let actions = script.actions();
        match first {
            Some(first) => assert_eq!(actions, [connect(server(first))]),
            None => assert!(matches!(
                actions[..],
                [Action::Notify(Event::SessionFailed {
                    error: SessionError::Unreachable,
                    ..
                })]
            )),
        }
    }
}

#[test]
fn a_message_to_all_goes_to_all_but_its_sender() {
    // RFC 5352 §6.5.5, ASAP_SEND_TO_ALL and ASAP_SEND_TO_SELF; §6.5.1: not before the translation
    for (own, expected) in [(Some(PeId(2)), &[11, 13][..]), (None, &[11, 12, 13])] {
        let mut script = Script::new(|config| config.max_sessions = 3);
        let unresolved = script.user.open_all(script.now, &pool(), own);
        assert_eq!(unresolved, Err(OpenError::Unresolved));
        script.user.resolve(script.now, &pool());
        script.connected(HOME, registrar(1));
        script.answer(Some(Policy::RoundRobin), &[1, 2, 3]);
        script.actions();
        let sessions = script.user.open_all(script.now, &pool(), own);
        let sessions = sessions.expect("room");
        for (element, session) in &sessions {
            script.send(*session, b"all");
            let id = u8::try_from(element.0).expect("short");
            script.connected(10 + u64::from(id), server(id));
        }
        let actions = script.actions();
        let reached: Vec<_> = data(&actions).into_iter().map(|data| data.0).collect();
        assert_eq!(reached, expected);
        let more = script.user.open_all(script.now, &pool(), None);
        assert_eq!(more, Err(OpenError::TooManySessions));
        // They do not fail over.
        script.disconnected(11, End::Lost);
        assert!(matches!(
            script.events()[..],
            [_, Event::SessionFailed { .. }]
        ));
    }
}

#[test]
fn a_message_may_go_unordered() {
    // RFC 5352 §6.5.5, ASAP_SCTP_UNORDER
    let (mut script, session) = Script::connected_session(SessionOptions::default());
    let bytes = Bytes::from_static(b"now");
    let taken = script.user.send_unordered(session, Ppid(0), 2, bytes);
    assert_eq!(taken, Ok(()));
    assert_eq!(data(&script.actions()), [(7, 2, true, &b"now"[..])]);
}

fn card<'a>(pool_handle: &'a [u8], elements: &'a [PoolElement<'a>]) -> Message<'a> {
    Message::BusinessCard {
        pool_handle,
        pool_elements: List::Slice(elements),
    }
}

fn member(id: u32) -> PoolElement<'static> {
    PoolElement {
        id: PeId(id),
        home_id: ServerId(1),
        life: 60,
        user_transport: Transport::Udp {
            port: 9,
            address: [10, 0, 0, 99].into(),
        },
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}

#[test]
fn the_last_business_card_says_whom_to_prefer() {
    // RFC 5352 §3.9 BC2: their order counts, and not where the card says that they are.
    for (pool_handle, next) in [(POOL, 4), (b"Other", 2)] {
        let (mut script, _) = Script::session(|_| {});
        script.answer(Some(Policy::RoundRobin), &[1, 2, 3, 4]);
        script.connected(7, server(1));
        script.actions();
        script.asap(7, &card(pool_handle, &[member(2)]));
        let preferred = [member(1), member(77), member(4), member(2)];
        script.asap(7, &card(pool_handle, &preferred));
        assert_eq!(script.actions(), []);
        script.disconnected(7, End::Lost);
        let actions = script.actions();
        assert!(actions.contains(&connect(server(next))), "{actions:?}");
    }
}

#[test]
fn a_business_card_for_a_pool_that_is_not_in_the_cache_is_a_reason_to_ask() {
    // RFC 5352 §3.9 BC1
    let (mut script, _) = Script::connected_session(SessionOptions::default());
    script.asap(7, &card(POOL, &[member(2)]));
    assert_eq!(sent(&script.actions()), []);
    script.user.purge(&pool());
    script.asap(7, &card(POOL, &[member(2)]));
    script.asap(7, &card(POOL, &[member(2)]));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
    script.answer(None, &[1, 2]);
    assert_eq!(script.actions(), [], "nobody is told");
}

#[test]
fn a_user_that_is_an_element_sends_its_business_card_after_the_cookie() {
    // RFC 5352 §3.8, §3.9
    let (mut script, _) = Script::connected_session(SessionOptions::default());
    let own = PoolHandle::from("Own");
    let many = vec![member(1); 2000];
    let too_long = script.user.set_business_card(&own, &many);
    assert_eq!(too_long, Err(CardError::TooLong));
    assert_eq!(script.user.set_business_card(&own, &[member(5)]), Ok(()));
    script.asap(7, &Message::Cookie { cookie: b"state" });
    script.disconnected(7, End::Lost);
    script.actions();
    script.connected(8, server(2));
    let actions = script.actions();
    assert_eq!(sent(&actions), [(8, 0x0c), (8, 0x0d)]);
    assert_eq!(script.user.set_business_card(&own, &[]), Ok(()));
    script.disconnected(8, End::Lost);
    script.answer(None, &[1]);
    script.connected(9, server(1));
    let actions = script.actions();
    assert!(!sent(&actions).contains(&(9, 0x0d)));
}

#[test]
fn a_transport_for_data_only_has_no_control_channel() {
    // RFC 5352 §3.8, §3.9; RFC 5354 §3.4
    let mut script = Script::new(|_| {});
    script.transport_use = TransportUse::DATA_ONLY;
    let own = PoolHandle::from("Own");
    assert_eq!(script.user.set_business_card(&own, &[member(5)]), Ok(()));
    script.user.open(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    script.connected(7, server(1));
    script.asap(7, &Message::Cookie { cookie: b"state" });
    script.asap(7, &card(POOL, &[member(2)]));
    assert_eq!(script.user.counters().unexpected, 2);
    script.disconnected(7, End::Lost);
    script.connected(8, server(2));
    let actions = script.actions();
    assert_eq!(
        sent(&actions),
        [(HOME, 5), (HOME, 9)],
        "nothing to elements"
    );
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Notify(Event::FailedOver {
            cookie_echoed: false,
            ..
        })
    )));
    // Nor to one of which another registrar says so.
    let (mut script, _) = Script::connected_session(SessionOptions::default());
    script.asap(7, &Message::Cookie { cookie: b"state" });
    script.user.purge(&pool());
    script.transport_use = TransportUse::DATA_ONLY;
    script.disconnected(7, End::Lost);
    script.answer(None, &[2]);
    script.actions();
    script.connected(8, server(2));
    assert_eq!(sent(&script.actions()), []);
}

#[test]
fn elements_that_close_at_once_do_not_begin_the_search_anew() {
    let (mut script, session) = Script::session(|config| {
        config.failover_timeout = Duration::from_secs(5);
    });
    let mut association = 7;
    loop {
        let actions = script.actions();
        if actions.contains(&connect(server(1))) {
            script.connected(association, server(1));
            script.message(association, Ppid(0), b"hello");
            script.disconnected(association, End::Closed);
            association += 1;
        } else if actions.iter().any(|action| matches!(action, Action::Notify(Event::SessionFailed { session: failed, .. }) if *failed == session)) {
            break;
        } else if !sent(&actions).is_empty() || association == 7 && script.now == Instant::EPOCH {
            script.answer(None, &[1]);
        } else {
            script.wait();
        }
    }
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(5));
    // After 0, 0.25, 0.75, 1.75 and 3.75 seconds.
    assert_eq!(association, 7 + 5);
}

#[test]
fn a_handle_that_no_message_can_carry_is_refused() {
    for length in [0, PoolHandle::MAX_LENGTH + 1] {
        let mut script = Script::new(|_| {});
        let bad = PoolHandle::from(&vec![b'x'; length][..]);
        script.user.resolve(script.now, &bad);
        let error = ResolveError::InvalidHandle;
        let pool_handle = bad.clone();
        let failed = Event::ResolveFailed { pool_handle, error };
        assert_eq!(script.events(), [failed]);
        let session = script.user.open(script.now, &bad).expect("room");
        let error = SessionError::Unresolved(ResolveError::InvalidHandle);
        assert_eq!(script.events(), [Event::SessionFailed { session, error }]);
        script.user.report_unreachable(&bad, PeId(1));
        let subscribed = script.user.subscribe(script.now, &bad);
        assert_eq!(subscribed, Err(SubscribeError::InvalidHandle));
        assert_eq!(script.actions(), []);
        assert_eq!(script.user.poll_timeout(), None);
    }
    let mut script = Script::new(|_| {});
    let longest = PoolHandle::from(&vec![b'x'; PoolHandle::MAX_LENGTH][..]);
    script.user.resolve(script.now, &longest);
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
}

#[test]
fn a_message_that_the_transport_refuses_fails_alone() {
    // It is too long, or there is no such stream: no other element would get it either.
    let (mut script, session) = Script::connected_session(options(Failover::Automatic, true));
    script.user.config.max_session_queue = 4;
    script.send_failed(7, 9, b"bad");
    assert_eq!(script.actions(), []);
    assert_eq!(script.wait(), Duration::from_secs(1));
    let refused = Event::Undelivered {
        session,
        ppid: Ppid(0),
        stream: 9,
        bytes: Bytes::from_static(b"bad"),
    };
    assert_eq!(script.actions(), [Action::Notify(refused)]);
    assert_eq!(script.user.element(session), Some(PeId(1)));
    // Nothing of it is left.
    script.send_failed(7, 0, b"good");
    script.disconnected(7, End::Lost);
    script.actions();
    script.connected(8, server(2));
    assert_eq!(data(&script.actions()), [(8, 0, false, &b"good"[..])]);
    assert_eq!(script.user.poll_timeout(), None);
}
