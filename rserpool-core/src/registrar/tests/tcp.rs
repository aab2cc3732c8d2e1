//! Users over TCP (RFC 5352 §2.1, §3.3).

use super::*;

/// A connection from element 1's host, where the element's association comes from, too; by chance from the same port.
fn connection(script: &mut Script) -> u64 {
    let association = AssocId::tcp(0);
    script.input(Input::Connected {
        association,
        remote: &[endpoint(1)],
    });
    assert_eq!(script.actions(), []);
    association.0
}

#[test]
fn users_resolve_and_report_over_tcp() {
    let mut script = Script::with_element();
    let connection = connection(&mut script);
    let resolution = Message::HandleResolution {
        subscribe: true,
        pool_handle: POOL,
        items: None,
    };
    assert_eq!(
        types(&script.asap(connection, &resolution)),
        [(connection, 6)]
    );
    assert_eq!(types(&script.report(connection, 1)), [(1, 7)]);
    assert_eq!(script.registrar.counters().reports, 1);
    script.register(1, &element(2, &[host(1)]));
    let (_, update) = script.wait();
    assert_eq!(types(&update), [(connection, 6)]);
}

#[test]
fn elements_must_use_sctp() {
    // RFC 5352 §2.1
    let mut script = Script::with_element();
    let connection = connection(&mut script);
    let (kind, rejected, cause) = answer(&script.register(connection, &element(2, &[host(1)])));
    assert_eq!((kind, rejected), (3, true));
    assert_eq!(cause, Some((CauseCode::UNSPECIFIED, vec![])));
    let unknown = 2;
    for id in [1, unknown] {
        let (kind, rejected, cause) = answer(&script.deregister(connection, id));
        assert_eq!((kind, rejected), (4, true));
        assert_eq!(cause, Some((CauseCode::SECURITY, vec![])));
    }
    assert_eq!(script.registrar.counters().deregistrations, 0);
    assert_eq!(script.count(), 1);
    // Nor is an acknowledgement one.
    assert_eq!(script.acknowledge(connection, unknown), []);
    script.report(9, 1);
    script.acknowledge(connection, 1);
    let (_, actions) = script.wait();
    assert_eq!(removed(&actions), [(1, Removal::Unreachable)]);
}

#[test]
fn a_connection_is_not_taken_for_the_association_that_was_asked_for() {
    let mut script = Script::with_element();
    script.disconnected(1);
    let called = script.actions();
    assert!(
        called.iter().any(
            |action| matches!(action, Action::Connect { remote, .. } if *remote == [endpoint(1)])
        ),
        "{called:?}"
    );
    connection(&mut script);
    script.connected(2, 1);
    assert_eq!(types(&script.actions()), [(2, 7)]);
}
