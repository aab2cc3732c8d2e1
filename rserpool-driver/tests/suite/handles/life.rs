//! Endpoints that come and go.

use core::time::Duration;
use std::io;

use futures_lite::future::{or, yield_now, zip};
use rserpool_core::ASAP_PORT;
use rserpool_core::registrar::{Event, Removal};
use rserpool_core::user::{self, Element, Failover, SessionError, SessionOptions};
use rserpool_core::wire::Policy;
use rserpool_core::wire::{CauseCode, PolicyType};

use super::{Mortal, POOL, Scope, connect, echo, pair, register, start};
use crate::runtime::driver::{
    ConnectError, Ended, Membership, Options, Pool, RecvError, RegisterError, ResolveError,
    SessionEvent, SetLoadError, Stopped,
};
use crate::runtime::{block_on, spawn};
use crate::suite::probe::{Peer, within_patience};

#[test]
fn a_session_fails_over_and_hands_its_cookie_on() {
    block_on(async {
        let scope = Scope::new();
        let first = Mortal::register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&first.element, &user).await;
        let (dead, cookie) = (first.element.id(), "line 42");
        served.send_cookie(cookie).await.expect("it is up");
        served.send("after the cookie").await.expect("it is up");
        let after = within_patience(session.recv()).await;
        assert_eq!(after.expect("it is up").bytes, "after the cookie");
        let second = register(scope.element(3)).await;
        first.crash().await;
        let interrupted = Err(RecvError::Interrupted(dead));
        loop {
            match within_patience(session.recv()).await {
                // It was not acknowledged yet.
                Err(RecvError::Undelivered(message)) => assert_eq!(message.bytes, "hello"),
                other => break assert_eq!(other, interrupted),
            }
        }
        let failed_over = RecvError::FailedOver {
            old: dead,
            new: second.id(),
            cookie_echoed: true,
        };
        assert_eq!(within_patience(session.recv()).await, Err(failed_over));
        assert_eq!(session.element().await, Some(second.id()));
        session.send("go on").await.expect("it is up");
        let served = within_patience(second.accept()).await.expect("it runs");
        let asked = within_patience(served.recv()).await.expect("it is up");
        assert_eq!(asked.bytes, "go on");
        assert_eq!(served.cookie().as_deref(), Some(cookie.as_bytes()));
    });
}

#[test]
fn who_asks_has_an_answer_whoever_gives_it() {
    block_on(async {
        let scope = Scope::new();
        let first = Mortal::register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, mute) = pair(&first.element, &user).await;
        let second = register(scope.element(3)).await;
        let serve = async {
            // One has the question and dies, the other one is asked again.
            assert_eq!(mute.recv().await.expect("it is up").bytes, "what?");
            first.crash().await;
            echo(second.accept().await.expect("it runs")).await;
        };
        let answer = or(async { Some(session.ask("what?").await) }, async {
            serve.await;
            None
        });
        let answer = within_patience(answer).await.expect("it is asked");
        assert_eq!(answer.expect("there is an answer").bytes, "what?");
    });
}

#[test]
fn a_question_between_two_elements_is_asked_once() {
    block_on(async {
        let scope = Scope::new();
        let first = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, _served) = pair(&first, &user).await;
        within_patience(first.shutdown()).await;
        let left = async { while session.element().await.is_some() {} };
        within_patience(left).await;
        let serve = async {
            let second = register(scope.element(3)).await;
            let served = second.accept().await.expect("it runs");
            spawn(echo(served));
            second
        };
        let (one, _second) = within_patience(zip(session.ask("one"), serve)).await;
        assert_eq!(one.expect("there is an answer").bytes, "one");
        let two = within_patience(session.ask("two")).await;
        assert_eq!(two.expect("there is an answer").bytes, "two");
    });
}

#[test]
fn a_shutdown_leaves_the_pool_and_closes_the_sessions() {
    block_on(async {
        let scope = Scope::new();
        let mut told = scope.registrar.events();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let options = SessionOptions::only(element.id());
        let session = within_patience(user.connect_with(POOL, options)).await;
        let session = session.expect("it is there");
        session.send("hello").await.expect("it is up");
        let served = within_patience(element.accept()).await.expect("it runs");
        served.recv().await.expect("it is up");
        served.send("last words").await.expect("it is up");
        within_patience(element.shutdown()).await;
        assert_eq!(element.accept().await.map(|_| ()), None);
        assert_eq!(served.recv().await, Err(Ended::Stopped));
        let stopped = RegisterError::from(Stopped);
        assert_eq!(element.register().await, Err(stopped));
        let removed = Event::Removed {
            pool_handle: POOL.into(),
            pe_id: element.id(),
            reason: Removal::Deregistered,
        };
        while within_patience(told.recv()).await != Ok(removed.clone()) {}
        let last = within_patience(session.recv()).await.expect("it came");
        assert_eq!(last.bytes, "last words");
        let lost = SessionEvent::Interrupted {
            element: element.id(),
            closed: true,
        };
        assert_eq!(within_patience(session.next()).await, Ok(lost));
        let failed = Ended::Failed(SessionError::ElementLost);
        assert_eq!(within_patience(session.next()).await, Err(failed));
    });
}

#[test]
fn the_end_of_a_user_is_the_end_of_its_sessions() {
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        within_patience(user.shutdown()).await;
        assert_eq!(session.next().await, Err(Ended::Stopped));
        assert_eq!(session.send("hello").await, Err(Ended::Stopped.into()));
        assert_eq!(within_patience(served.recv()).await, Err(Ended::Closed));
        assert_eq!(user.resolve(POOL).await, Err(ResolveError::from(Stopped)));
        within_patience(scope.registrar.shutdown()).await;
    });
}

#[test]
fn an_endpoint_that_nobody_runs_has_stopped() {
    block_on(async {
        let scope = Scope::new();
        let (user, run) = scope.user().start().expect("any port is free");
        drop(run);
        let stopped = ConnectError::from(Stopped);
        assert_eq!(user.connect(POOL).await.err(), Some(stopped));
        let dying = Mortal::register(scope.element(2)).await;
        let user = start(scope.user());
        let (_session, served) = pair(&dying.element, &user).await;
        let element = dying.element.clone();
        dying.crash().await;
        assert_eq!(served.next().await, Err(Ended::Stopped));
        assert_eq!(element.accept().await.map(|_| ()), None);
        assert!(matches!(element.membership(), Membership::Failed(_)));
    });
}

#[test]
fn the_last_handle_of_a_session_closes_it() {
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        let clone = session.clone();
        drop(session);
        clone.send("still there").await.expect("it is up");
        let message = within_patience(served.recv()).await.expect("it is up");
        assert_eq!(message.bytes, "still there");
        drop(clone);
        assert_eq!(within_patience(served.recv()).await, Err(Ended::Closed));
        // From the other side; this one's last handle is the only thing that keeps its endpoint.
        let options = SessionOptions::only(element.id());
        let session = within_patience(user.connect_with(POOL, options)).await;
        let session = session.expect("it is there");
        session.send("hello").await.expect("it is up");
        let served = within_patience(element.accept()).await.expect("it runs");
        drop(user);
        drop(served);
        let failed = Ended::Failed(SessionError::ElementLost);
        let end = async { while session.next().await.is_ok() {} };
        within_patience(end).await;
        assert_eq!(session.next().await, Err(failed.clone()));
        assert_eq!(session.send("hello").await, Err(failed.into()));
    });
}

#[test]
fn a_dropped_element_leaves_its_pool_while_its_sessions_go_on() {
    block_on(async {
        let scope = Scope::new();
        let mut told = scope.registrar.events();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        let waiting = connect(&user).await;
        waiting.send("is anybody there?").await.expect("it is up");
        let id = element.id();
        drop(element);
        let removed = Event::Removed {
            pool_handle: POOL.into(),
            pe_id: id,
            reason: Removal::Deregistered,
        };
        while within_patience(told.recv()).await != Ok(removed.clone()) {}
        let lost = within_patience(waiting.recv()).await;
        assert_eq!(lost, Err(RecvError::Interrupted(id)));
        spawn(echo(served));
        session.send("still there?").await.expect("it is up");
        let answer = within_patience(session.recv()).await.expect("it is up");
        assert_eq!(answer.bytes, "still there?");
    });
}

#[test]
fn a_refused_element_says_why() {
    block_on(async {
        let scope = Scope::new();
        let _first = register(scope.element(2)).await;
        let other = scope.element(3).policy(Policy::Random);
        let (element, run) = other.start().expect("the address is free");
        spawn(run);
        let causes = vec![CauseCode::INCONSISTENT_POLICY];
        let refused = RegisterError::Rejected(causes);
        let result = within_patience(element.register()).await;
        assert_eq!(result, Err(refused.clone()));
        assert_eq!(element.membership(), Membership::Failed(refused));
        element
            .set_policy(Policy::RoundRobin)
            .await
            .expect("it runs");
        assert_eq!(within_patience(element.register()).await, Ok(()));
        let changed = element.membership_changed(&Membership::Joining).await;
        assert_eq!(changed, Membership::Member);
    });
}

#[test]
fn a_member_that_has_no_answer_goes_on_trying() {
    block_on(async {
        let scope = Scope::new();
        let quick = scope.element(2).config(|config| {
            config.t2_registration = Duration::from_millis(50);
            config.max_reg_attempt = 0;
        });
        let (element, run) = quick.start().expect("the address is free");
        spawn(run);
        // On a busy machine an answer may take longer than it may here.
        let member = async { while element.register().await.is_err() {} };
        within_patience(member).await;
        within_patience(scope.registrar.shutdown()).await;
        // One in its place that says nothing.
        let mut options = Options::element(ASAP_PORT);
        super::place(&mut options, 1, scope.udp_port);
        let mute = Peer::start(&options);
        let changed = element.membership_changed(&Membership::Member);
        assert_eq!(within_patience(changed).await, Membership::Joining);
        mute.handle.stop().await;
        drop(mute);
        let again = async {
            loop {
                match Scope::start(scope.udp_port, |_| {}) {
                    Ok(registrar) => break registrar,
                    // The mute one is about to go.
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
                }
                yield_now().await;
            }
        };
        let _registrar = within_patience(again).await;
        let changed = element.membership_changed(&Membership::Joining);
        assert_eq!(within_patience(changed).await, Membership::Member);
    });
}

/// What a user reads of its policies.
fn policies(pool: &Pool) -> Vec<Policy<'static>> {
    let known = |element: &Element| element.policy.expect("it is a standard one");
    pool.elements.iter().map(known).collect()
}

#[test]
fn a_watched_pool_tells_its_loads_and_its_end() {
    block_on(async {
        let scope = Scope::new();
        let user = start(scope.user());
        let mut watch = user.watch(POOL).await.expect("there is room");
        let none = within_patience(watch.next()).await.expect("it runs");
        assert_eq!((none.policy, none.elements.len()), (None, 0));
        let policy = Policy::LeastUsed { load: 0 };
        let element = register(scope.element(2).policy(policy)).await;
        // No registrar tells of a pool that was not there: another one asks.
        let resolved = within_patience(user.resolve(POOL))
            .await
            .expect("it is there");
        assert_eq!(resolved.policy, Some(PolicyType::LEAST_USED));
        let mut second = user.watch(POOL).await.expect("it is watched already");
        for watch in [&mut watch, &mut second] {
            loop {
                let pool = within_patience(watch.next()).await.expect("it runs");
                if pool.policy.is_some() {
                    break assert_eq!(policies(&pool), [policy]);
                }
            }
        }
        drop(second);
        element.set_load(0.5).await.expect("it has a load");
        let half = Policy::LeastUsed { load: 0x8000_0000 };
        let pool = within_patience(watch.next()).await.expect("it runs");
        assert_eq!(policies(&pool), [half]);
        within_patience(element.shutdown()).await;
        let gone = within_patience(watch.next()).await.expect("it runs");
        assert_eq!(gone.policy, None);
        within_patience(user.shutdown()).await;
        assert_eq!(watch.next().await, None);
    });
}

#[test]
fn a_watch_that_is_dropped_ends_the_subscription() {
    block_on(async {
        let scope = Scope::new();
        let user = start(scope.user().config(|config| config.max_subscriptions = 1));
        let watch = user.watch("one").await.expect("there is room");
        assert!(user.watch("other").await.is_err());
        drop(watch);
        // Tidied up beside, and soon.
        let other = async { while user.watch("other").await.is_err() {} };
        within_patience(other).await;
    });
}

#[test]
fn only_the_least_used_policies_have_a_load() {
    block_on(async {
        let scope = Scope::new();
        let (element, run) = scope.element(2).start().expect("the address is free");
        spawn(run);
        assert_eq!(element.set_load(0.5).await, Err(SetLoadError::NoLoad));
    });
}

#[test]
fn those_who_resolve_at_once_all_have_their_answer() {
    block_on(async {
        let scope = Scope::new();
        let user = start(scope.user());
        let causes = vec![CauseCode::UNKNOWN_POOL_HANDLE];
        let unknown = ResolveError::from(user::ResolveError::Refused(causes));
        let both = zip(user.resolve(POOL), user.resolve(POOL));
        let answers = within_patience(both).await;
        assert_eq!(answers, (Err(unknown.clone()), Err(unknown)));
        let element = register(scope.element(2)).await;
        let resolved = within_patience(user.resolve(POOL))
            .await
            .expect("it is there");
        assert_eq!(resolved.elements[0].id, element.id());
    });
}

#[test]
fn a_pool_can_be_reached_as_a_whole() {
    block_on(async {
        let scope = Scope::new();
        let own = register(scope.element(2)).await;
        let others = [
            register(scope.element(3)).await,
            register(scope.element(4)).await,
        ];
        let user = start(scope.user());
        let all = user.connect_all(POOL, Some(own.id()));
        let mut all = within_patience(all).await.expect("it is there");
        all.sort_by_key(|(element, _)| *element);
        let mut ids = others.each_ref().map(|element| element.id());
        ids.sort();
        assert_eq!(
            all.iter().map(|(element, _)| *element).collect::<Vec<_>>(),
            ids
        );
        for (_, session) in &all {
            session
                .send("to all")
                .await
                .expect("it waits for its element");
        }
        for element in &others {
            let served = within_patience(element.accept()).await.expect("it runs");
            let message = within_patience(served.recv()).await.expect("it is up");
            assert_eq!(message.bytes, "to all");
        }
    });
}

#[test]
fn fail_over_on_demand_waits_for_it() {
    block_on(async {
        let scope = Scope::new();
        let mute = register(scope.element(2)).await;
        let user = start(scope.user());
        let mut options = SessionOptions::default();
        options.failover = Failover::OnDemand;
        let session = within_patience(user.connect_with(POOL, options)).await;
        let session = session.expect("it is there");
        let other = register(scope.element(3)).await;
        // One that does not answer is the application's to notice.
        session.send("hello").await.expect("it is up");
        session.fail_over().await.expect("it runs");
        let lost = within_patience(session.recv()).await;
        assert!(matches!(
            lost,
            Err(RecvError::Undelivered(_) | RecvError::Interrupted(_))
        ));
        loop {
            match within_patience(session.recv()).await {
                Err(RecvError::FailedOver { old, new, .. }) => {
                    break assert_eq!((old, new), (mute.id(), other.id()));
                }
                Err(RecvError::Interrupted(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_connect_that_is_given_up_leaves_no_session() {
    block_on(async {
        let scope = Scope::new();
        let user = start(scope.user().config(|config| config.max_sessions = 1));
        let element = register(scope.element(2)).await;
        // Where the driver's thread was quick, there is a session already, and it is dropped.
        drop(super::touch(user.connect(POOL)).await);
        let (session, _served) = within_patience(async {
            loop {
                match user.connect(POOL).await {
                    Ok(session) => {
                        session.send("hello").await.expect("it is up");
                        break (session, element.accept().await);
                    }
                    // Tidied up beside, and soon.
                    Err(error) => assert_eq!(error, ConnectError::TooManySessions),
                }
            }
        })
        .await;
        let another = user.connect(POOL).await;
        assert_eq!(another.err(), Some(ConnectError::TooManySessions));
        drop(session);
    });
}

#[test]
fn a_pool_that_is_not_there_is_given_up_in_time() {
    block_on(async {
        let scope = Scope::new();
        let user = start(scope.user().config(|config| {
            config.failover_timeout = Duration::from_secs(1);
        }));
        // There is a registrar.
        assert!(within_patience(user.resolve(POOL)).await.is_err());
        let causes = vec![CauseCode::UNKNOWN_POOL_HANDLE];
        let unresolved = SessionError::Unresolved(user::ResolveError::Refused(causes));
        let session = within_patience(user.connect(POOL)).await;
        let failed = ConnectError::from(Ended::Failed(unresolved));
        assert_eq!(session.err(), Some(failed));
    });
}
