//! An hour with pools that are of no use: wake-ups and requests to the registrar are few.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// What the registrar and the elements of the pool do.
#[derive(Clone, Copy)]
struct World {
    /// The elements that the registrar tells of.
    elements: &'static [u8],
    /// When the pool vanishes.
    until: Duration,
    /// Whether elements take associations.
    accept: bool,
    /// Whether they say something and then close.
    close: bool,
    /// Whether each answer has another policy than the one before.
    fickle: bool,
}

/// What an hour costs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    wake_ups: u32,
    requests: u32,
    connects: u32,
}

/// Lives through an hour in which everything that is asked is answered at once.
fn hour(world: World, begin: impl FnOnce(&mut PoolUser)) -> Cost {
    let mut script = Script::new(|config| config.failover_timeout = HOUR * 2);
    begin(&mut script.user);
    script.connected(HOME, registrar(1));
    let mut cost = Cost {
        wake_ups: 0,
        requests: 0,
        connects: 0,
    };
    let mut next = 100;
    loop {
        let mut actions = script.actions();
        while !actions.is_empty() {
            for action in actions {
                react(&mut script, world, &action, &mut cost, &mut next);
            }
            actions = script.actions();
        }
        match script.user.poll_timeout() {
            Some(at) if at <= Instant::EPOCH + HOUR => script.wait(),
            _ => return cost,
        };
        cost.wake_ups += 1;
        assert!(cost.wake_ups < 100_000, "a busy loop");
    }
}

fn react(
    script: &mut Script,
    world: World,
    action: &Action<Event>,
    cost: &mut Cost,
    next: &mut u64,
) {
    match action {
        Action::Send { bytes, .. } if bytes[0] == 5 => {
            cost.requests += 1;
            if script.now < Instant::EPOCH + world.until && !world.elements.is_empty() {
                let policy = if world.fickle && cost.requests.is_multiple_of(2) {
                    Policy::LeastUsed { load: 0 }
                } else {
                    Policy::RoundRobin
                };
                script.answer(Some(policy), world.elements);
            } else {
                script.refuse();
            }
        }
        Action::Connect { remote, .. } if remote[0].port() == 7 => {
            cost.connects += 1;
            let remote = remote[0];
            if !world.accept {
                script.input(Input::ConnectFailed { remote });
                return;
            }
            *next += 1;
            script.connected(*next, remote);
            if world.close {
                script.message(*next, Ppid(0), b"hello");
                script.disconnected(*next, End::Closed);
            }
        }
        _ => {}
    }
}

fn session(user: &mut PoolUser) {
    user.open(Instant::EPOCH, &pool()).expect("room");
}

fn subscription(user: &mut PoolUser) {
    user.subscribe(Instant::EPOCH, &pool()).expect("room");
}

const GOOD: World = World {
    elements: &[1, 2],
    until: HOUR,
    accept: true,
    close: false,
    fickle: false,
};

#[test]
fn a_session_with_a_pool_that_is_of_no_use_asks_every_10_seconds_in_the_end() {
    // Pauses of 0.25, 0.5, 1, 2, 4, 8 seconds, and then of 10.
    const PAUSES: u32 = 6 + 358;
    let empty = World {
        elements: &[],
        ..GOOD
    };
    let refuse = World {
        accept: false,
        ..GOOD
    };
    let close = World {
        close: true,
        ..GOOD
    };
    for (world, name, connects) in [
        (empty, "empty", 0),
        (refuse, "refuse", 2 * (PAUSES + 1)),
        (close, "close", 2 * (PAUSES + 1)),
    ] {
        let cost = hour(world, session);
        assert_eq!(cost.connects, connects, "{name}");
        assert_eq!(cost.wake_ups, PAUSES, "{name}");
        assert!(cost.requests <= 2 * PAUSES + 2, "{name}: {cost:?}");
    }
}

#[test]
fn a_pool_that_vanishes_costs_no_more_than_one_that_was_never_there() {
    let vanish = World {
        until: HOUR / 2,
        close: true,
        ..GOOD
    };
    let cost = hour(vanish, session);
    assert!(cost.wake_ups <= 364 && cost.requests <= 730, "{cost:?}");
}

#[test]
fn a_pool_that_changes_its_policy_costs_no_more_than_one_that_does_not() {
    for accept in [true, false] {
        let steady = World {
            accept,
            close: true,
            ..GOOD
        };
        let fickle = World {
            fickle: true,
            ..steady
        };
        assert_eq!(hour(fickle, session), hour(steady, session), "{accept}");
    }
    // One whose elements work is not asked about at all.
    let fickle = World {
        fickle: true,
        ..GOOD
    };
    assert_eq!(hour(fickle, session), hour(GOOD, session));
}

#[test]
fn an_element_that_does_not_answer_costs_nothing() {
    let cost = hour(GOOD, session);
    let expected = Cost {
        wake_ups: 0,
        requests: 1,
        connects: 1,
    };
    assert_eq!(cost, expected);
}

#[test]
fn a_subscription_that_no_registrar_serves_asks_every_30_seconds() {
    for elements in [&[][..], &[1]] {
        let cost = hour(World { elements, ..GOOD }, subscription);
        let expected = Cost {
            wake_ups: 120,
            requests: 121,
            connects: 0,
        };
        assert_eq!(cost, expected);
    }
}
