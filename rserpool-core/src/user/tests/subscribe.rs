//! Subscriptions (RFC 5352 §2.2.5, §2.2.6).

use super::*;

/// The S bits of the resolutions among `actions`.
fn asked(actions: &[Action<Event>]) -> Vec<(u64, bool)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send {
                association, bytes, ..
            } => match asap::decode(bytes).expect("ours").message {
                Message::HandleResolution { subscribe, .. } => Some((association.0, subscribe)),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn updated(events: &[Event]) -> Vec<Vec<u32>> {
    events
        .iter()
        .map(|event| match event {
            Event::Updated { elements, .. } => {
                elements.iter().map(|element| element.id.0).collect()
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn subscribed() -> Script {
    let mut script = Script::new(|_| {});
    script.accepts = true;
    assert_eq!(script.user.subscribe(script.now, &pool()), Ok(()));
    script.connected(HOME, registrar(1));
    assert_eq!(asked(&script.actions()), [(HOME, true)]);
    script.answer(None, &[1, 2]);
    assert_eq!(updated(&script.events()), [[1, 2]]);
    script
}

#[test]
fn a_registrar_that_accepts_tells_of_changes_by_itself() {
    // RFC 5352 §2.2.5, §2.2.6
    let mut script = subscribed();
    assert_eq!(script.user.poll_timeout(), None, "nobody asks");
    script.answer(None, &[2, 1]);
    assert_eq!(script.actions(), [], "another order is no change");
    script.answer(None, &[2, 3]);
    assert_eq!(updated(&script.events()), [[2, 3]]);
    assert_eq!(script.user.counters().unexpected, 0);
    // The cache knows, too: a session needs no question.
    script.user.open(script.now, &pool());
    assert_eq!(script.actions(), [connect(server(2))]);
    script.user.unsubscribe(&pool());
    script.answer(None, &[4]);
    assert_eq!(script.actions(), []);
    assert_eq!(script.user.counters().unexpected, 1);
}

#[test]
fn a_registrar_that_does_not_accept_is_asked_again() {
    // RFC 5352 §2.2.6: the A bit
    let mut script = subscribed();
    script.accepts = false;
    script.answer(None, &[1]);
    assert_eq!(updated(&script.events()), [[1]]);
    for _ in 0..3 {
        assert_eq!(script.wait(), Duration::from_secs(30));
        assert_eq!(asked(&script.actions()), [(HOME, true)]);
        script.answer(None, &[1]);
        assert_eq!(script.actions(), []);
    }
    script.accepts = true;
    script.wait();
    script.actions();
    script.answer(None, &[1, 3]);
    assert_eq!(updated(&script.events()), [[1, 3]]);
    assert_eq!(script.user.poll_timeout(), None);
}

#[test]
fn a_pool_that_vanishes_is_told_and_asked_for() {
    // RFC 5352 §2.2.5: no further updates, also when it is created again.
    let mut script = subscribed();
    script.refuse();
    assert_eq!(updated(&script.events()), [[0; 0]]);
    assert_eq!(script.wait(), Duration::from_secs(30));
    assert_eq!(asked(&script.actions()), [(HOME, true)]);
    script.refuse();
    assert_eq!(script.actions(), []);
    script.wait();
    script.answer(None, &[5]);
    assert_eq!(updated(&script.events()), [[5]]);
}

#[test]
fn a_new_home_is_asked_at_once() {
    // RFC 5352 §2.2.5
    let mut script = subscribed();
    script.disconnected(HOME, End::Lost);
    script.actions();
    script.connected(9, registrar(1));
    assert_eq!(asked(&script.actions()), [(9, true)]);
}

#[test]
fn without_any_registrar_the_subscription_goes_on() {
    let mut script = Script::new(|_| {});
    script.user.subscribe(script.now, &pool()).expect("room");
    while script.now < Instant::EPOCH + Duration::from_secs(200) {
        script.wait();
        assert_eq!(script.events(), []);
    }
    script.connected(HOME, registrar(1));
    let actions = script.actions();
    assert!(asked(&actions).contains(&(HOME, true)), "{actions:?}");
}

#[test]
fn a_request_on_its_way_is_made_again_with_the_s_bit() {
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    assert_eq!(asked(&script.actions()), [(HOME, false)]);
    script.user.subscribe(script.now, &pool()).expect("room");
    assert_eq!(asked(&script.actions()), [(HOME, true)]);
    script.answer(None, &[1]);
    assert_eq!(script.events().len(), 2, "resolved and updated");
    script.accepts = true;
    script.answer(None, &[1]);
    assert_eq!(script.actions(), []);
    assert_eq!(script.user.poll_timeout(), None);
}

#[test]
fn subscriptions_are_capped_and_unsubscribed_ones_leave_nothing_behind() {
    let mut script = Script::new(|config| config.max_subscriptions = 1);
    assert_eq!(script.user.subscribe(script.now, &pool()), Ok(()));
    assert_eq!(script.user.subscribe(script.now, &pool()), Ok(()));
    let other = PoolHandle::from("Other");
    assert_eq!(
        script.user.subscribe(script.now, &other),
        Err(SubscribeError::TooManySubscriptions)
    );
    script.connected(HOME, registrar(1));
    script.answer(None, &[1]);
    script.user.unsubscribe(&pool());
    script.user.unsubscribe(&other);
    assert_eq!(script.user.poll_timeout(), None);
    assert_eq!(script.user.subscribe(script.now, &other), Ok(()));
}

#[test]
fn a_refusal_that_says_nothing_about_the_pool_is_no_news() {
    let mut script = subscribed();
    script.accepts = false;
    script.answer(None, &[1, 2]);
    let causes = [Cause {
        code: CauseCode::LACK_OF_RESOURCES,
        info: &[],
    }];
    let message = Message::HandleResolutionResponse {
        accepted: false,
        pool_handle: POOL,
        policy: None,
        pool_elements: List::EMPTY,
        error: Some(List::Slice(&causes)),
    };
    for _ in 0..2 {
        assert_eq!(script.wait(), Duration::from_secs(30));
        assert_eq!(asked(&script.actions()), [(HOME, true)]);
        script.asap(HOME, &message);
        assert_eq!(script.actions(), []);
    }
}
