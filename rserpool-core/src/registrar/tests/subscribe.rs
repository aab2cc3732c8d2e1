//! Subscriptions (RFC 5352 §2.2.5, §2.2.6).

use super::*;

fn subscribe(script: &mut Script, association: u64, pool_handle: &[u8]) -> Vec<Action<Event>> {
    let message = Message::HandleResolution {
        subscribe: true,
        pool_handle,
        items: None,
    };
    script.asap(association, &message)
}

/// The answers among `actions`: where they go, the A bit, and the elements; none where they are negative.
fn answers(actions: &[Action<Event>]) -> Vec<(u64, bool, Vec<u32>)> {
    sent(actions)
        .iter()
        .filter_map(
            |(association, bytes)| match asap::decode(bytes).expect("our own").message {
                Message::HandleResolutionResponse {
                    accepted,
                    pool_elements,
                    error,
                    ..
                } => {
                    assert_eq!(error.is_some(), pool_elements.is_empty());
                    let mut ids: Vec<_> =
                        pool_elements.iter().map(|element| element.id.0).collect();
                    ids.sort_unstable();
                    Some((*association, accepted, ids))
                }
                _ => None,
            },
        )
        .collect()
}

/// Runs what is due after `millis`.
fn after(script: &mut Script, millis: u64) -> Vec<(u64, bool, Vec<u32>)> {
    script.now = script.now + Duration::from_millis(millis);
    script.registrar.handle_timeout(script.now);
    answers(&script.actions())
}

/// A pool of element 1, and users on associations 8 and 9; the one on 9 has subscribed.
fn subscribed() -> Script {
    let mut script = Script::with_element();
    script.connected(8, 8);
    script.now = Instant::EPOCH + Duration::from_secs(1);
    let answer = subscribe(&mut script, 9, POOL);
    assert_eq!(answers(&answer), [(9, true, vec![1])]);
    script
}

#[test]
fn a_subscriber_is_told_of_changes_and_nobody_else() {
    let mut script = subscribed();
    script.resolve(None);
    assert_eq!(after(&mut script, 0), [], "a question is no change");
    script.register(1, &element(2, &[host(1)]));
    assert_eq!(after(&mut script, 0), [(9, true, vec![1, 2])]);
    script.register(1, &element(2, &[host(1)]));
    assert_eq!(after(&mut script, 500), [], "nothing has changed");
    let policy = Policy::WeightedRoundRobin { weight: 7 };
    let addresses = [host(1)];
    let changed = element(2, &addresses);
    script.register(1, &Element { policy, ..changed });
    assert_eq!(after(&mut script, 0).len(), 1);
    script.deregister(1, 2);
    assert_eq!(after(&mut script, 500), [(9, true, vec![1])]);
    assert_eq!(script.registrar.counters().updates, 3);
}

#[test]
fn changes_are_told_together_and_at_most_five_times_a_second() {
    let mut script = subscribed();
    subscribe(&mut script, 8, POOL);
    let mut told = 0;
    for id in 2..=100 {
        script.register(1, &element(id, &[host(1)]));
        // 99 changes in a second and 980 milliseconds.
        let updates = after(&mut script, 20);
        assert!(updates.is_empty() || updates.len() == 2, "{updates:?}");
        told += updates.len() / 2;
    }
    assert_eq!(told, 10);
    let last = after(&mut script, 200);
    assert_eq!(last.len(), 2);
    assert_eq!(last[0].2.len(), 100);
    assert_eq!(after(&mut script, 1000), []);
}

#[test]
fn an_update_is_encoded_once_for_all() {
    let mut script = subscribed();
    subscribe(&mut script, 8, POOL);
    script.register(1, &element(2, &[host(1)]));
    script.registrar.handle_timeout(script.now);
    let messages = sent(&script.actions());
    let [(8, first), (9, second)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn a_subscription_ends_with_the_association_and_leaves_nothing_behind() {
    let mut script = subscribed();
    script.register(1, &element(2, &[host(1)]));
    script.disconnected(9);
    assert_eq!(after(&mut script, 500), []);
    assert!(script.registrar.subscriptions.is_empty());
}

#[test]
fn a_subscription_ends_with_the_pool() {
    // RFC 5352 §2.2.5: no further updates, also when the pool is created again.
    let mut script = subscribed();
    script.deregister(1, 1);
    assert_eq!(after(&mut script, 0), [(9, false, vec![])]);
    assert!(script.registrar.subscriptions.is_empty());
    script.register(1, &element(1, &[host(1)]));
    assert_eq!(after(&mut script, 500), []);
}

#[test]
fn a_pool_that_is_back_before_the_update_has_only_changed() {
    let mut script = subscribed();
    script.deregister(1, 1);
    script.register(1, &element(3, &[host(1)]));
    assert_eq!(after(&mut script, 0), [(9, true, vec![3])]);
}

#[test]
fn nobody_subscribes_to_what_is_not_there() {
    // RFC 5352 §2.2.5
    let mut script = Script::with_element();
    let answer = subscribe(&mut script, 9, b"None");
    assert_eq!(answers(&answer), [(9, false, vec![])]);
    assert!(script.registrar.subscriptions.is_empty());
}

#[test]
fn subscriptions_are_capped() {
    // RFC 5352 §2.2.6: the A bit is 0, and the answer is given all the same.
    let mut script = Script::new(|config| config.max_pool_subscribers = 2);
    script.connected(1, 1);
    let pools: Vec<_> = (0..17_u8).map(|n| [b'a' + n]).collect();
    for pool_handle in &pools {
        let addresses = [host(1)];
        let element = element(1, &addresses);
        script.register(
            1,
            &Element {
                pool_handle,
                ..element
            },
        );
    }
    script.connected(9, 9);
    for (index, pool_handle) in pools.iter().enumerate() {
        let answer = subscribe(&mut script, 9, pool_handle);
        assert_eq!(answers(&answer), [(9, index < 16, vec![1])]);
        let again = subscribe(&mut script, 9, pool_handle);
        assert_eq!(answers(&again), [(9, index < 16, vec![1])]);
    }
    for (association, accepted) in [(10, true), (11, false)] {
        script.connected(association, 10);
        let answer = subscribe(&mut script, association, &pools[0]);
        assert_eq!(answers(&answer), [(association, accepted, vec![1])]);
    }
    script.disconnected(10);
    let answer = subscribe(&mut script, 11, &pools[0]);
    assert_eq!(answers(&answer), [(11, true, vec![1])]);
}
