//! Registration and de-registration (RFC 5352 §3.1, §3.2).

use super::*;

#[test]
fn registration_carries_all_that_the_rfc_asks_for() {
    // RFC 5352 §3.1 R2.1–R2.5, R3
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions(), [connect(1)]);
    script.connected(1, 1);
    let actions = script.actions();
    let [
        Action::Send {
            association,
            ppid,
            bytes,
            ..
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((*association, *ppid), (AssocId(1), Ppid::ASAP));
    let Message::Registration {
        pool_handle,
        pool_element,
    } = asap::decode(bytes).expect("our own").message
    else {
        panic!("no registration");
    };
    assert_eq!((pool_handle, pool_element.id), (POOL, ID));
    assert_eq!(pool_element.life, 620);
    assert_eq!(pool_element.policy, Policy::LeastUsed { load: 5 });
    assert_eq!(pool_element.user_transport.port(), Some(7));
    assert_eq!(pool_element.asap_transport, None);
}

#[test]
fn reregistration_comes_after_t4_and_20_seconds_before_the_end_of_life() {
    // RFC 5352 §3.1, §7.1
    let mut script = Script::registered();
    assert_eq!(script.wait(), Duration::from_secs(600));
    assert_eq!(sent(&script.actions()), [(1, 1)]);
    for (life, t4) in [(100, 80), (60, 40), (10, 5), (10_000, 600)] {
        let script = Script::new(&[1], |config| {
            config.life = Life::For(Duration::from_secs(life));
        });
        assert_eq!(
            script.element.config.t4(),
            Duration::from_secs(t4),
            "{life}"
        );
    }
}

#[test]
fn an_unanswered_registration_is_repeated_and_another_registrar_is_looked_for() {
    // RFC 5352 §3.1: T2; MAX-REG-ATTEMPT exceeded: report, and stop
    let mut script = Script::new(&[1, 2], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions().len(), 2);
    script.connected(1, 1);
    assert_eq!(sent(&script.actions()), [(1, 1)]);
    script.input(Input::ConnectFailed { remote: address(2) });
    assert_eq!(script.wait(), Duration::from_secs(30));
    assert_eq!(script.actions(), [connect(2), script_registration(1)]);
    script.input(Input::ConnectFailed { remote: address(2) });
    while script
        .actions()
        .iter()
        .all(|action| *action != Action::Notify(Event::RegistrationFailed))
    {
        script.wait();
    }
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(90));
    assert!(!script.element.is_registered());
}

/// A first registration, as every script sends it.
fn script_registration(association: u64) -> Action<Event> {
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(association, 1);
    script.actions().pop().expect("the registration")
}

#[test]
fn a_rejection_is_final_until_it_is_corrected() {
    // RFC 5352 §3.1: MUST NOT re-attempt registration without correcting the error condition
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.actions();
    script.respond(1, true);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Rejected { causes: vec![] })]
    );
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn a_refusal_for_lack_of_resources_passes() {
    let mut script = Script::new(&[1, 2], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.actions();
    for attempt in 0..2 {
        script.refuse(1, CauseCode::LACK_OF_RESOURCES);
        // T5 of the hunt beside runs, too.
        let begin = script.now;
        while sent(&script.actions()).is_empty() {
            script.wait();
        }
        let waited = script.now.duration_since(begin);
        let seconds = (Duration::from_secs(15), Duration::from_secs(45));
        assert!(seconds.0 <= waited && waited <= seconds.1, "{attempt}");
    }
    script.respond(1, false);
    assert!(script.element.is_registered());
    // A member stays one meanwhile, and may find room elsewhere.
    script.element.set_policy(script.now, Policy::Random);
    script.refuse(1, CauseCode::LACK_OF_RESOURCES);
    assert!(script.element.is_registered());
    script.actions();
    script.connected(2, 2);
    assert_eq!(sent(&script.actions()), [(2, 1)]);
    script.refuse(2, CauseCode::LACK_OF_RESOURCES);
    assert!(script.element.is_registered());
    // There is an end to it.
    while sent(&script.actions()).is_empty() {
        script.wait();
    }
    script.refuse(2, CauseCode::LACK_OF_RESOURCES);
    let causes = vec![CauseCode::LACK_OF_RESOURCES];
    let rejected = Action::Notify(Event::Rejected { causes });
    assert_eq!(script.actions(), [rejected]);
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn values_that_change_too_often_are_told_in_the_end() {
    // What was sent together is refused together, and nothing is sent meanwhile.
    let mut script = Script::registered();
    for load in 0..5 {
        let policy = Policy::LeastUsed { load };
        script.element.set_policy(script.now, policy);
    }
    assert_eq!(sent(&script.actions()).len(), 5);
    for _ in 0..5 {
        script.refuse(1, CauseCode::LACK_OF_RESOURCES);
    }
    let last = Policy::LeastUsed { load: 9 };
    script.element.set_policy(script.now, last);
    assert_eq!(sent(&script.actions()), []);
    let mut told = Vec::new();
    while told.is_empty() {
        script.wait();
        told = script.actions();
        told.retain(|action| matches!(action, Action::Send { .. }));
    }
    let [Action::Send { bytes, .. }] = &told[..] else {
        panic!("one registration: {told:?}");
    };
    let registration = asap::decode(bytes).expect("our own").message;
    assert!(matches!(
        registration,
        Message::Registration { pool_element, .. } if pool_element.policy == last
    ));
    script.respond(1, false);
    assert!(script.element.is_registered());
    script.element.set_policy(script.now, Policy::Random);
    assert_eq!(sent(&script.actions()).len(), 1, "at once again");
}

#[test]
fn deregistration_names_pool_and_element_and_stops_t4() {
    // RFC 5352 §3.2 D1–D4
    let mut script = Script::registered();
    script.element.deregister(script.now);
    assert_eq!(sent(&script.actions()), [(1, 2)]);
    let message = Message::DeregistrationResponse {
        pool_handle: POOL,
        pe_id: ID,
        error: None,
    };
    script.asap(1, &message);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Deregistered { acknowledged: true })]
    );
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn a_deregistration_that_nobody_answers_ends_in_bounded_time() {
    // RFC 5352 §3.2: T3
    let mut script = Script::registered();
    script.element.deregister(script.now);
    script.disconnected(1);
    let failed = Action::Notify(Event::Deregistered {
        acknowledged: false,
    });
    while !script.actions().contains(&failed) {
        script.wait();
        assert!(script.now <= Instant::EPOCH + Duration::from_secs(90));
    }
}

#[test]
fn the_notice_that_the_life_has_ended_leads_to_a_new_registration() {
    // RFC 5352 §3.2
    let mut script = Script::registered();
    let notice = Message::DeregistrationResponse {
        pool_handle: POOL,
        pe_id: ID,
        error: None,
    };
    script.asap(1, &notice);
    let actions = script.actions();
    assert_eq!(actions[0], Action::Notify(Event::Expired));
    assert_eq!(sent(&actions), [(1, 1)]);
}

#[test]
fn a_new_policy_value_is_registered_at_once() {
    // RFC 5352 §3.1: re-registration with the same identifier
    let mut script = Script::registered();
    script
        .element
        .set_policy(script.now, Policy::LeastUsed { load: 6 });
    let actions = script.actions();
    let [Action::Send { bytes, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    let Message::Registration { pool_element, .. } = asap::decode(bytes).expect("ours").message
    else {
        panic!("no registration");
    };
    assert_eq!(pool_element.id, ID);
    assert_eq!(pool_element.policy, Policy::LeastUsed { load: 6 });
}

#[test]
fn a_registration_after_a_deregistration_is_answered_as_the_first_one() {
    let mut script = Script::registered();
    script.element.deregister(script.now);
    script.element.register(script.now);
    assert_eq!(sent(&script.actions()), [(1, 2), (1, 1)]);
    script.deregistered(1, None);
    assert_eq!(script.actions(), [], "it answers what is withdrawn");
    script.respond(1, false);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Registered { home: AssocId(1) })]
    );
}

#[test]
fn the_answer_to_a_withdrawn_deregistration_is_no_notice() {
    // RFC 5352 §3.2
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.element.deregister(script.now);
    script.element.register(script.now);
    script.respond(1, false);
    script.actions();
    script.deregistered(1, None);
    assert_eq!(script.actions(), []);
    assert!(script.element.is_registered());
}

#[test]
fn values_that_change_while_a_registration_is_under_way_are_registered_too() {
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.actions();
    script
        .element
        .set_policy(script.now, Policy::LeastUsed { load: 6 });
    assert_eq!(sent(&script.actions()), [(1, 1)]);
}

#[test]
fn a_rejection_counts_also_where_another_registration_was_granted_before() {
    let mut script = Script::registered();
    for load in [6, 7] {
        script
            .element
            .set_policy(script.now, Policy::LeastUsed { load });
    }
    script.actions();
    script.respond(1, false);
    assert_eq!(script.actions(), []);
    script.respond(1, true);
    let causes = vec![];
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Rejected { causes })]
    );
    script.respond(1, true);
    assert_eq!(script.element.counters().unexpected, 1, "nothing is owed");
}

#[test]
fn new_values_do_not_hide_that_nobody_answers() {
    // RFC 5352 §3.1 R4
    let mut script = Script::registered();
    let failed = Action::Notify(Event::RegistrationFailed);
    while !script.actions().contains(&failed) {
        assert!(script.now < Instant::EPOCH + Duration::from_secs(91));
        let load = 6;
        script
            .element
            .set_policy(script.now, Policy::LeastUsed { load });
        script.now = script.now + Duration::from_secs(1);
        script.element.handle_timeout(script.now);
    }
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn a_new_home_has_all_of_t2() {
    // RFC 5352 §3.1: restart the registration procedure
    let mut script = Script::registered();
    script.element.set_policy(script.now, Policy::Random);
    script.now = script.now + Duration::from_secs(29);
    script.connected(2, 2);
    script.keep_alive(2, true, POOL, None);
    assert_eq!(script.wait(), Duration::from_secs(30));
}

#[test]
fn only_the_home_acknowledges_a_deregistration() {
    // RFC 5352 §3.2
    let mut script = Script::registered();
    script.connected(2, 8);
    script.element.deregister(script.now);
    script.actions();
    script.deregistered(2, None);
    let other = Message::DeregistrationResponse {
        pool_handle: POOL,
        pe_id: PeId(0x12),
        error: None,
    };
    script.asap(1, &other);
    assert_eq!(script.actions(), []);
    script.deregistered(1, None);
    let acknowledged = true;
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Deregistered { acknowledged })]
    );
}

#[test]
fn a_refused_deregistration_is_told_with_its_cause() {
    // RFC 5352 §2.2.4, §3.2
    let mut script = Script::registered();
    script.element.deregister(script.now);
    script.actions();
    script.deregistered(1, Some(CauseCode::SECURITY));
    let causes = vec![CauseCode::SECURITY];
    let acknowledged = false;
    assert_eq!(
        script.actions(),
        [
            Action::Notify(Event::ErrorReported { causes }),
            Action::Notify(Event::Deregistered { acknowledged }),
        ]
    );
}

#[test]
fn homes_that_come_and_go_do_not_postpone_the_end_of_a_deregistration() {
    // RFC 5352 §3.2 D4
    let mut script = Script::registered();
    script.element.deregister(script.now);
    let acknowledged = false;
    let failed = Action::Notify(Event::Deregistered { acknowledged });
    let mut home = 1;
    while !script.actions().contains(&failed) {
        assert!(script.now <= Instant::EPOCH + Duration::from_secs(90));
        script.disconnected(home);
        home += 1;
        script.connected(home, 1);
        script.now = script.now + Duration::from_secs(5);
        script.element.handle_timeout(script.now);
    }
}

#[test]
fn a_deregistration_that_nobody_needs_ends_at_once() {
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.actions();
    script.element.deregister(script.now);
    let acknowledged = false;
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Deregistered { acknowledged })]
    );
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn keep_alives_are_acknowledged_until_the_element_is_out() {
    // RFC 5352 §2.2.7, §3.4
    let mut script = Script::registered();
    script.element.deregister(script.now);
    script.actions();
    script.keep_alive(1, false, POOL, None);
    assert_eq!(sent(&script.actions()), [(1, 8)]);
    script.deregistered(1, None);
    script.actions();
    script.keep_alive(1, false, POOL, None);
    assert_eq!(script.actions(), []);
}

#[test]
fn an_error_is_the_answer_to_a_registration_or_is_told() {
    // RFC 5352 §2.2.14
    let mut script = Script::registered();
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    let error = Message::Error {
        causes: List::Slice(&causes),
    };
    let causes = vec![CauseCode::INVALID_VALUES];
    script.asap(1, &error);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::ErrorReported {
            causes: causes.clone()
        })]
    );
    script.element.set_policy(script.now, Policy::Random);
    script.actions();
    script.asap(1, &error);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Rejected { causes })]
    );
    assert!(!script.element.is_registered());
}

#[test]
fn an_identifier_is_drawn_where_none_is_given() {
    // RFC 5352 §3.1 R2.2
    let id = |seed| {
        let script = Script::new(&[1], |config| config.pe_id = None);
        PoolElement::new(script.element.config, [seed; 32]).id()
    };
    assert!(id(1) != id(2) && id(1) != PeId(0));
    assert_eq!(Script::new(&[1], |_| {}).element.id(), ID);
}

#[test]
fn a_deregistration_that_nobody_answers_is_repeated_beside_a_hunt() {
    // RFC 5352 §3.2
    let mut script = Script::new(&[1, 2], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.respond(1, false);
    script.input(Input::ConnectFailed { remote: address(2) });
    script.element.deregister(script.now);
    script.actions();
    assert_eq!(script.wait(), Duration::from_secs(30));
    let actions = script.actions();
    assert!(actions.contains(&connect(2)));
    assert_eq!(sent(&actions), [(1, 2)]);
    script.connected(2, 2);
    assert_eq!(sent(&script.actions()), [(2, 2)]);
}

#[test]
fn a_deregistration_without_a_home_ends_in_bounded_time() {
    // RFC 5352 §3.2
    let mut script = Script::registered();
    script.disconnected(1);
    script.element.deregister(script.now);
    let acknowledged = false;
    let failed = Action::Notify(Event::Deregistered { acknowledged });
    while !script.actions().contains(&failed) {
        script.wait();
        assert!(script.now <= Instant::EPOCH + Duration::from_secs(90));
    }
}

#[test]
fn answers_to_others_and_errors_of_others_change_nothing() {
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.connected(2, 8);
    script.actions();
    for (pool_handle, pe_id) in [(POOL, PeId(0x12)), (&b"Other"[..], ID)] {
        let error = None;
        let rejected = true;
        script.asap(
            1,
            &Message::RegistrationResponse {
                rejected,
                pool_handle,
                pe_id,
                error,
            },
        );
        script.asap(
            1,
            &Message::DeregistrationResponse {
                pool_handle,
                pe_id,
                error,
            },
        );
    }
    assert_eq!(script.actions(), []);
    assert_eq!(script.element.counters().unexpected, 4);
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    let causes = List::Slice(&causes[..]);
    script.asap(2, &Message::Error { causes });
    let causes = vec![CauseCode::INVALID_VALUES];
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::ErrorReported { causes })]
    );
    script.respond(1, false);
    assert!(script.element.is_registered());
}

#[test]
fn an_element_may_serve_by_another_transport_and_has_no_control_channel_then() {
    // RFC 5352 §2.1, §3.8; RFC 5354 §3.5, §3.6
    let (port, address) = (80, address(9).ip());
    for transport in [
        Transport::Tcp {
            port,
            transport_use: TransportUse::DATA_ONLY,
            address,
        },
        Transport::Udp { port, address },
        Transport::Opaque(b"pigeon"),
    ] {
        let mut script = Script::new(&[1], |config| config.user_transport = (&transport).into());
        script.element.register(script.now);
        script.connected(1, 1);
        let actions = script.actions();
        let registration = actions.iter().find_map(|action| match action {
            Action::Send { bytes, .. } => Some(bytes),
            _ => None,
        });
        let bytes = registration.expect("it registers");
        let Message::Registration { pool_element, .. } =
            asap::decode(bytes).expect("our own").message
        else {
            panic!("{bytes:?}");
        };
        assert_eq!(pool_element.user_transport, transport);
        script.respond(1, false);
        assert!(script.element.is_registered());
        script.keep_alive(1, false, POOL, Some(ID));
        assert!(sent(&script.actions()).contains(&(1, 8)));
        let association = AssocId(1);
        assert_eq!(
            script.element.send_cookie(association, b"state"),
            Err(CookieError::NoControlChannel)
        );
        assert_eq!(
            script.element.set_business_card(&[]),
            Err(CardError::NoControlChannel)
        );
    }
}
