//! Sessions served, and bad input (RFC 5352 §3.8).

use super::*;

#[test]
fn data_opens_a_session_and_asap_is_the_control_channel() {
    // RFC 5352 §3.8, §5
    let mut script = Script::registered();
    script.connected(5, 8);
    assert_eq!(script.actions(), []);
    script.asap(5, &Message::CookieEcho { cookie: b"state" });
    script.input(Input::Message {
        association: AssocId(5),
        ppid: Ppid(33),
        stream: 2,
        bytes: b"ping",
    });
    let association = AssocId(5);
    assert_eq!(
        script.actions(),
        [
            Action::Notify(Event::SessionOpened { association }),
            Action::Notify(Event::CookieEcho {
                association,
                cookie: Bytes::from_static(b"state"),
            }),
            Action::Notify(Event::Message {
                association,
                ppid: Ppid(33),
                stream: 2,
                bytes: Bytes::from_static(b"ping"),
            }),
        ]
    );
    for (ppid, bytes, error) in [
        (Ppid::ASAP, &b"no"[..], SendError::ReservedPpid),
        (Ppid::ENRP, b"no", SendError::ReservedPpid),
        (Ppid(33), b"", SendError::Empty),
    ] {
        let bytes = Bytes::from_static(bytes);
        let sent = script.element.send(association, ppid, 0, bytes);
        assert_eq!(sent, Err(error));
    }
    assert_eq!(script.actions(), []);
    assert_eq!(script.element.send_cookie(association, b"mine"), Ok(()));
    assert_eq!(sent(&script.actions()), [(5, 0x0b)]);
    script.disconnected(5);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::SessionClosed { association })]
    );
}

#[test]
fn bad_input_is_answered_once_and_changes_nothing() {
    // RFC 5352 §2.2.14, RFC 5354 §3
    let mut script = Script::registered();
    let trailing = [0x03, 0, 0, 8, 0x40, 0x99, 0, 4];
    for (bytes, answered) in [
        (&[][..], false),
        (&[0x03, 0, 0, 99], true),
        (&[0x2a, 0, 0, 4], false),
        (&[0x6a, 0, 0, 4], true),
        (&trailing, true),
        (&[0x0e, 0, 0, 8, 0, 9, 0, 4], false),
    ] {
        script.input(Input::Message {
            association: AssocId(1),
            ppid: Ppid::ASAP,
            stream: 0,
            bytes,
        });
        let expected: &[_] = if answered { &[(1, 0x0e)] } else { &[] };
        assert_eq!(sent(&script.actions()), expected, "{bytes:x?}");
    }
    assert_eq!(script.element.counters().malformed, 6);
    assert!(script.element.is_registered());
}

#[test]
fn associations_are_capped() {
    let mut script = Script::new(&[], |config| config.max_associations = 2);
    for association in 1..=3 {
        script.connected(association, 8);
    }
    assert_eq!(
        script.actions(),
        [Action::Abort {
            association: AssocId(3)
        }]
    );
    assert_eq!(script.element.counters().refused, 1);
}

#[test]
fn what_is_not_meant_for_an_element_is_counted_and_ignored() {
    let mut script = Script::registered();
    script.asap(1, &Message::Cookie { cookie: b"x" });
    script.respond(1, false);
    script.deregistered(2, None);
    script.connected(2, 2);
    script.deregistered(2, None);
    script.keep_alive(1, false, b"Other", None);
    for (association, ppid) in [(1, Ppid::ENRP), (9, Ppid(0)), (9, Ppid::ASAP)] {
        script.input(Input::Message {
            association: AssocId(association),
            ppid,
            stream: 0,
            bytes: b"1234",
        });
    }
    script.input(Input::Announcement {
        source: address(1),
        ppid: Ppid::ENRP,
        bytes: b"1234",
    });
    assert_eq!(script.actions(), []);
    assert_eq!(script.element.counters().unexpected, 9);
}

#[test]
fn sessions_are_closed_and_cookies_are_of_bounded_length() {
    let mut script = Script::registered();
    script.connected(5, 8);
    let association = AssocId(5);
    for (to, length, result) in [
        (5, 65_000, Ok(())),
        (5, 65_001, Err(CookieError::TooLong)),
        (6, 1, Err(CookieError::UnknownAssociation)),
    ] {
        let cookie = vec![0; length];
        assert_eq!(script.element.send_cookie(AssocId(to), &cookie), result);
    }
    assert_eq!(sent(&script.actions()), [(5, 0x0b)]);
    let bytes = Bytes::from_static(b"pong");
    for (to, result) in [(5, Ok(())), (6, Err(SendError::UnknownAssociation))] {
        let pong = bytes.clone();
        let sent = script.element.send(AssocId(to), Ppid(33), 1, pong);
        assert_eq!(sent, result);
    }
    script.element.close(association);
    script.element.close(AssocId(6));
    let (ppid, stream) = (Ppid(33), 1);
    assert_eq!(
        script.actions(),
        [
            Action::Send {
                association,
                ppid,
                stream,
                unordered: false,
                bytes,
            },
            Action::Disconnect { association },
        ]
    );
}

#[test]
fn an_error_is_never_answered_with_an_error() {
    // RFC 5352 §2.2.14
    let mut script = Script::registered();
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    let error = Message::Error {
        causes: List::Slice(&causes),
    };
    let mut bytes = error.to_bytes().expect("short").to_vec();
    // To be skipped and reported.
    bytes.extend([0xc0, 0x99, 0, 4]);
    bytes[3] += 4;
    script.input(Input::Message {
        association: AssocId(1),
        ppid: Ppid::ASAP,
        stream: 0,
        bytes: &bytes,
    });
    let causes = vec![CauseCode::INVALID_VALUES];
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::ErrorReported { causes })]
    );
}

fn card<'a>(elements: &'a [WireElement<'a>]) -> Message<'a> {
    Message::BusinessCard {
        pool_handle: POOL,
        pool_elements: List::Slice(elements),
    }
}

fn member(id: u32) -> WireElement<'static> {
    WireElement {
        id: PeId(id),
        home_id: ServerId(1),
        life: 60,
        user_transport: Transport::Udp {
            port: 7,
            address: address(8).ip(),
        },
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}

#[test]
fn a_business_card_goes_to_users_when_they_begin_and_when_it_changes() {
    // RFC 5352 §3.9
    let mut script = Script::registered();
    let first = [member(2), member(3)];
    assert_eq!(script.element.set_business_card(&first), Ok(()));
    script.connected(5, 8);
    script.connected(6, 8);
    assert_eq!(
        script.actions(),
        [],
        "who has said nothing may be a registrar"
    );
    let data = |script: &mut Script, association| {
        script.input(Input::Message {
            association: AssocId(association),
            ppid: Ppid(33),
            stream: 0,
            bytes: b"hello",
        });
    };
    data(&mut script, 5);
    data(&mut script, 5);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(5, 0x0d)], "once");
    let Action::Send { bytes, .. } = &actions[1] else {
        panic!("{actions:?}");
    };
    assert_eq!(asap::decode(bytes).expect("ours").message, card(&first));
    assert_eq!(script.element.set_business_card(&[member(3)]), Ok(()));
    assert_eq!(sent(&script.actions()), [(5, 0x0d)]);
    let many = vec![member(1); 2000];
    assert_eq!(
        script.element.set_business_card(&many),
        Err(CardError::TooLong)
    );
    data(&mut script, 6);
    assert_eq!(sent(&script.actions()), [(6, 0x0d)], "the old one stands");
    assert_eq!(script.element.set_business_card(&[]), Ok(()));
    script.connected(7, 8);
    data(&mut script, 7);
    assert_eq!(sent(&script.actions()), []);
}

#[test]
fn a_user_that_is_an_element_says_so() {
    // RFC 5352 §3.9 BC2
    let mut script = Script::registered();
    script.connected(5, 8);
    script.asap(5, &card(&vec![member(2); 200]));
    let association = AssocId(5);
    let opened = Action::Notify(Event::SessionOpened { association });
    let told = Action::Notify(Event::BusinessCard {
        association,
        pool_handle: PoolHandle::from(POOL),
        elements: vec![(&member(2)).into(); 128],
    });
    assert_eq!(script.actions(), [opened, told]);
}

#[test]
fn a_transport_for_data_only_has_no_control_channel() {
    // RFC 5352 §3.8, §3.9: nothing goes out, and what comes all the same is ignored.
    let mut script = Script::new(&[], |config| {
        config.user_transport = TransportBuf::from(&Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&[address(9).ip()]),
        }));
    });
    script.connected(5, 8);
    let cookie = script.element.send_cookie(AssocId(5), b"state");
    assert_eq!(cookie, Err(CookieError::NoControlChannel));
    let own = script.element.set_business_card(&[member(2)]);
    assert_eq!(own, Err(CardError::NoControlChannel));
    script.asap(5, &Message::CookieEcho { cookie: b"state" });
    script.asap(5, &card(&[member(2)]));
    assert_eq!(script.actions(), []);
    assert_eq!(script.element.counters().unexpected, 2);
}

#[test]
fn a_message_may_go_unordered() {
    // RFC 5352 §6.5.5
    let mut script = Script::registered();
    script.connected(5, 8);
    let association = AssocId(5);
    let bytes = Bytes::from_static(b"now");
    let sent = script
        .element
        .send_unordered(association, Ppid(33), 2, bytes.clone());
    assert_eq!(sent, Ok(()));
    let send = Action::Send {
        association,
        ppid: Ppid(33),
        stream: 2,
        unordered: true,
        bytes,
    };
    assert_eq!(script.actions(), [send]);
}

#[test]
fn what_could_not_be_delivered_comes_back_to_the_application() {
    // RFC 5352 §6.7
    let mut script = Script::registered();
    script.connected(5, 8);
    for (association, ppid, told) in [
        (5, Ppid(33), true),
        (5, Ppid::ASAP, false),
        (6, Ppid(33), false),
    ] {
        let association = AssocId(association);
        script.input(Input::SendFailed {
            association,
            ppid,
            stream: 2,
            bytes: b"lost",
        });
        let undelivered = Event::Undelivered {
            association,
            ppid,
            stream: 2,
            bytes: Bytes::from_static(b"lost"),
        };
        let expected: &[_] = if told {
            &[Action::Notify(undelivered)]
        } else {
            &[]
        };
        assert_eq!(script.actions(), expected);
    }
}
