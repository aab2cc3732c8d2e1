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
    script
        .element
        .send(association, Ppid::ASAP, 0, Bytes::from_static(b"no"));
    script.element.send(association, Ppid(33), 0, Bytes::new());
    assert_eq!(
        script.actions(),
        [],
        "neither ASAP's PPID nor an empty message"
    );
    script.element.send_cookie(association, b"mine");
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
    script.element.send_cookie(association, &[0; 65_000]);
    script.element.send_cookie(association, &[0; 65_001]);
    script.element.send_cookie(AssocId(6), b"nobody");
    assert_eq!(sent(&script.actions()), [(5, 0x0b)]);
    let bytes = Bytes::from_static(b"pong");
    script.element.send(association, Ppid(33), 1, bytes.clone());
    script.element.send(AssocId(6), Ppid(33), 1, bytes.clone());
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
