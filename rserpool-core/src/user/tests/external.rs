//! Sessions with pools of other transports than SCTP (RFC 5352 §3.5, §6.5; RFC 5354 §3.5, §3.6).

use super::*;

fn options(carrier: Carrier) -> SessionOptions {
    SessionOptions {
        carrier,
        ..SessionOptions::default()
    }
}

/// A session with a pool of that kind, whose elements 1 and 2 have just become known.
fn session(kind: Carrier, options: SessionOptions) -> (Script, SessionId) {
    let mut script = Script::new(|_| {});
    script.kind = kind;
    let session = script.user.open_with(script.now, &pool(), options);
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    (script, session.expect("room"))
}

fn selected(script: &Script, session: SessionId, id: u8) -> Action<Event> {
    Action::Notify(Event::Selected {
        session,
        element: PeId(id.into()),
        transport: (&script.transport(&[server(id).ip()])).into(),
    })
}

fn interrupted(session: SessionId, element: u32, closed: bool) -> Event {
    Event::Interrupted {
        session,
        element: PeId(element),
        closed,
    }
}

fn confirm(script: &mut Script, session: SessionId, element: u32) -> bool {
    let now = script.now;
    script.user.confirm_connection(now, session, PeId(element))
}

fn end(script: &mut Script, session: SessionId, element: u32, end: End) {
    let now = script.now;
    script
        .user
        .end_connection(now, session, PeId(element), end, false);
}

#[test]
fn the_application_is_told_whom_to_connect_to_and_tells_what_came_of_it() {
    for kind in [Carrier::Tcp, Carrier::Udp, Carrier::Any] {
        let (mut script, session) = session(kind, options(kind));
        assert_eq!(script.actions(), [selected(&script, session, 1)]);
        assert_eq!(script.user.element(session), None);
        assert!(confirm(&mut script, session, 1));
        let element = PeId(1);
        assert_eq!(script.events(), [Event::Connected { session, element }]);
        assert_eq!(script.user.element(session), Some(element));
        assert_eq!(script.user.poll_timeout(), None, "nothing is waited for");
    }
}

#[test]
fn any_is_any() {
    for kind in [Carrier::Sctp, Carrier::Tcp, Carrier::Udp, Carrier::Any] {
        let (mut script, session) = session(kind, options(Carrier::Any));
        assert_eq!(script.actions(), [selected(&script, session, 1)]);
    }
}

#[test]
fn an_element_that_is_lost_is_reported_and_the_next_one_selected() {
    // RFC 5352 §3.5. RFC 5354 §3.5: without a control channel no cookie is echoed, and no business card sent.
    let (mut script, session) = session(Carrier::Tcp, options(Carrier::Tcp));
    confirm(&mut script, session, 1);
    script.actions();
    end(&mut script, session, 1, End::Lost);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(HOME, 9)]);
    assert_eq!(
        actions[0],
        Action::Notify(interrupted(session, 1, false)),
        "{actions:?}"
    );
    assert!(actions.contains(&selected(&script, session, 2)));
    assert!(confirm(&mut script, session, 2));
    let failed_over = Event::FailedOver {
        session,
        old: PeId(1),
        new: PeId(2),
        cookie_echoed: false,
    };
    assert_eq!(script.actions(), [Action::Notify(failed_over)]);
}

#[test]
fn an_element_that_cannot_be_reached_or_in_time_is_reported_and_the_next_one_selected() {
    for refused in [true, false] {
        let (mut script, session) = session(Carrier::Tcp, options(Carrier::Tcp));
        script.actions();
        if refused {
            end(&mut script, session, 1, End::Closed);
        } else {
            assert_eq!(script.wait(), Duration::from_secs(5));
        }
        let actions = script.actions();
        assert_eq!(sent(&actions), [(HOME, 9)]);
        assert!(actions.contains(&selected(&script, session, 2)));
        assert!(!confirm(&mut script, session, 1), "it comes too late");
        end(&mut script, session, 1, End::Lost);
        assert_eq!(script.actions(), []);
        // All have failed: they are candidates again after a pause.
        end(&mut script, session, 2, End::Lost);
        assert_eq!(sent(&script.actions()), [(HOME, 9), (HOME, 5)]);
        script.answer(Some(Policy::RoundRobin), &[1, 2]);
        assert_eq!(script.actions(), []);
        assert_eq!(script.wait(), Duration::from_millis(250));
        assert_eq!(script.actions(), [selected(&script, session, 1)]);
    }
}

#[test]
fn an_element_that_closes_in_order_is_not_reported() {
    let (mut script, session) = session(Carrier::Tcp, options(Carrier::Tcp));
    confirm(&mut script, session, 1);
    script.actions();
    end(&mut script, session, 1, End::Closed);
    let expected = [
        Action::Notify(interrupted(session, 1, true)),
        selected(&script, session, 2),
    ];
    assert_eq!(script.actions(), expected);
}

#[test]
fn what_was_heard_of_an_element_makes_it_a_good_one() {
    for heard in [true, false] {
        let (mut script, session) = session(Carrier::Tcp, options(Carrier::Tcp));
        end(&mut script, session, 1, End::Lost);
        confirm(&mut script, session, 2);
        script.now = script.now + Duration::from_secs(1);
        script.actions();
        let now = script.now;
        script
            .user
            .end_connection(now, session, PeId(2), End::Closed, heard);
        script.answer(Some(Policy::RoundRobin), &[1]);
        let again = script.actions().contains(&selected(&script, session, 1));
        assert_eq!(again, heard);
    }
}

#[test]
fn the_application_leaves_an_element() {
    let mut on_demand = options(Carrier::Tcp);
    on_demand.failover = Failover::OnDemand;
    let (mut script, session) = session(Carrier::Tcp, on_demand);
    confirm(&mut script, session, 1);
    script.actions();
    script.user.fail_over(script.now, session);
    let expected = [
        Action::Notify(interrupted(session, 1, true)),
        selected(&script, session, 2),
    ];
    assert_eq!(script.actions(), expected);
    confirm(&mut script, session, 2);
    script.actions();
    end(&mut script, session, 2, End::Lost);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(HOME, 9)]);
    assert_eq!(script.user.poll_timeout(), None, "it waits to be told");
    script.user.fail_over(script.now, session);
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
}

#[test]
fn a_session_without_failover_ends() {
    let mut never = options(Carrier::Tcp);
    never.failover = Failover::Never;
    for (up, error) in [
        (false, SessionError::Unreachable),
        (true, SessionError::ElementLost),
    ] {
        let (mut script, session) = session(Carrier::Tcp, never);
        if up {
            confirm(&mut script, session, 1);
        }
        end(&mut script, session, 1, End::Lost);
        let failed = Event::SessionFailed { session, error };
        assert!(script.events().contains(&failed));
        assert!(!confirm(&mut script, session, 1));
    }
}

#[test]
fn a_session_of_another_kind_than_its_pool_says_so() {
    for (kind, carrier) in [
        (Carrier::Tcp, Carrier::Sctp),
        (Carrier::Sctp, Carrier::Tcp),
        (Carrier::Any, Carrier::Udp),
    ] {
        let (mut script, session) = session(kind, options(carrier));
        assert_eq!(script.actions(), []);
        let failed = Event::SessionFailed {
            session,
            error: SessionError::OtherTransport,
        };
        loop {
            script.wait();
            let events = script.events();
            if !events.is_empty() {
                break assert_eq!(events, [failed]);
            }
            script.answer(Some(Policy::RoundRobin), &[1, 2]);
        }
    }
}

#[test]
fn it_carries_no_messages() {
    let (mut script, session) = session(Carrier::Tcp, options(Carrier::Tcp));
    for _ in 0..2 {
        let message = Bytes::from_static(b"x");
        let result = script.user.send(session, Ppid(0), 0, message);
        assert_eq!(result, Err(SendError::NotSctp));
        confirm(&mut script, session, 1);
    }
}

#[test]
fn closed_sessions_leave_nothing_behind() {
    for up in [false, true] {
        let (mut script, session) = session(Carrier::Tcp, options(Carrier::Tcp));
        if up {
            confirm(&mut script, session, 1);
        }
        script.actions();
        script.user.close(session);
        end(&mut script, session, 1, End::Lost);
        assert!(!confirm(&mut script, session, 1));
        assert_eq!(script.actions(), []);
        assert_eq!(script.user.poll_timeout(), None);
        assert!(script.user.sessions.is_empty() && script.user.connecting.is_empty());
    }
}
