//! Handle resolution (RFC 5352 §3.3).

use super::*;

#[test]
fn weight_0_is_registered_and_never_selected() {
    // RFC 5356 §3.2
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    script.connected(9, 9);
    let addresses = [host(1)];
    let idle = Element {
        policy: Policy::WeightedRoundRobin { weight: 0 },
        ..element(1, &addresses)
    };
    assert_eq!(answer(&script.register(1, &idle)), (3, false, None));
    let (_, rejected, cause) = answer(&script.resolve(None));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::LACK_OF_RESOURCES)
    );
}

#[test]
fn resolution_lists_the_elements_with_the_policy() {
    // RFC 5352 §3.3, §2.2.6
    let mut script = Script::with_element();
    for id in 2..=5 {
        script.register(1, &element(id, &[host(1)]));
    }
    for (items, expected) in [(None, 5), (Some(0), 5), (Some(2), 2), (Some(u32::MAX), 5)] {
        let messages = sent(&script.resolve(items));
        let Message::HandleResolutionResponse {
            accepted,
            policy,
            pool_elements,
            error,
            ..
        } = asap::decode(&messages[0].1).expect("our own").message
        else {
            panic!("{messages:?}");
        };
        assert_eq!(pool_elements.len(), expected);
        assert!(matches!(policy, Some(Policy::WeightedRoundRobin { .. })));
        assert!(!accepted && error.is_none());
        assert!(pool_elements.iter().all(|element| element.life == 600));
    }
    assert_eq!(script.registrar.counters().resolutions, 4);
}

#[test]
fn an_unknown_pool_is_an_unknown_pool_handle() {
    // RFC 5352 §3.3
    let mut script = Script::new(|_| {});
    script.connected(9, 9);
    let (kind, rejected, cause) = answer(&script.resolve(None));
    assert_eq!((kind, rejected), (6, true));
    assert_eq!(cause, Some((CauseCode::UNKNOWN_POOL_HANDLE, vec![])));
    assert_eq!(script.registrar.counters.unresolved, 1);
}

#[test]
fn an_answer_that_would_be_too_long_has_fewer_elements() {
    let mut script = Script::new(|_| {});
    let many: Vec<IpAddr> = (0..64)
        .map(|n| [0xfd00, 0, 0, 0, 0, 0, 0, n].into())
        .collect();
    let remote: Vec<_> = many
        .iter()
        .map(|address| SocketAddr::new(*address, 4000))
        .collect();
    script.input(Input::Connected {
        association: AssocId(1),
        remote: &remote,
    });
    script.connected(9, 9);
    for id in 1..=60 {
        assert_eq!(
            answer(&script.register(1, &element(id, &many))),
            (3, false, None)
        );
    }
    let messages = sent(&script.resolve(None));
    let Message::HandleResolutionResponse {
        pool_elements,
        error: None,
        ..
    } = asap::decode(&messages[0].1).expect("our own").message
    else {
        panic!("{messages:?}");
    };
    assert_eq!(pool_elements.len(), 30);
}
