//! Peers that misbehave, and applications that do not read.

use core::time::Duration;

use futures_lite::future::{or, yield_now, zip};
use rserpool_core::element::PoolElement as Machine;
use rserpool_core::user::SessionError;

use super::{POOL, Scope, connect, echo, pair, register, start, touch};
use crate::runtime::driver::{
    CookieError, Ended, PoolElement, PoolUser, RecvError, Session, SessionEvent,
};
use crate::runtime::{block_on, sleep, spawn};
use crate::suite::probe::within_patience;

const LENGTH: usize = 20_000;
const UNREAD: usize = 256 << 10;

fn message(number: usize) -> String {
    format!("{number:0>LENGTH$}")
}

async fn flood(session: &Session, messages: usize) {
    for number in 0..messages {
        if session.send(message(number)).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_session_that_nobody_reads_is_given_up_where_others_wait() {
    const MESSAGES: usize = 100;
    block_on(async {
        let scope = Scope::new();
        let patience = Duration::from_millis(200);
        let element = scope.element(2).limits(|it| it.patience = patience);
        let element = register(element).await;
        let user = start(scope.user());
        let (session, sleeper) = pair(&element, &user).await;
        let (other, served) = pair(&element, &user).await;
        spawn(echo(served));
        let talk = async {
            for number in 0..20 {
                other.send(number.to_string()).await.expect("it is up");
                let answer = other.recv().await.expect("it is up");
                assert_eq!(answer.bytes, number.to_string());
            }
        };
        within_patience(zip(flood(&session, MESSAGES), talk)).await;
        // What is kept for it is bounded, has no gap, and says why there is no more.
        let mut read = 0;
        let end = loop {
            match within_patience(sleeper.recv()).await {
                Ok(got) => assert!(got.bytes == message(read), "{read}"),
                Err(end) => break end,
            }
            read += 1;
        };
        assert_eq!(end, Ended::Unread);
        assert!((1..=UNREAD / LENGTH).contains(&read), "{read}");
    });
}

#[test]
fn the_only_session_may_sleep_and_loses_nothing() {
    const MESSAGES: usize = 500;
    block_on(async {
        let scope = Scope::new();
        let patience = Duration::from_millis(10);
        let element = register(scope.element(2)).await;
        let user = start(scope.user().limits(|it| it.patience = patience));
        let (session, served) = pair(&element, &user).await;
        let flood = async {
            for number in 0..MESSAGES {
                served.send(message(number)).await.expect("it is up");
            }
        };
        let read = async {
            sleep(Duration::from_millis(500)).await;
            for number in 0..MESSAGES {
                let got = session.recv().await.expect("it is up");
                assert!(got.bytes == message(number), "{number}");
            }
        };
        within_patience(zip(flood, read)).await;
    });
}

#[test]
fn the_only_session_of_an_element_is_given_up_where_nobody_reads_it() {
    block_on(async {
        let scope = Scope::new();
        let patience = Duration::from_millis(10);
        let element = scope.element(2).limits(|it| it.patience = patience);
        let element = register(element).await;
        let user = start(scope.user());
        let (session, sleeper) = pair(&element, &user).await;
        let interrupted = async {
            let interrupted = Err(RecvError::Interrupted(element.id()));
            while session.recv().await != interrupted {}
        };
        within_patience(or(flood(&session, usize::MAX), interrupted)).await;
        let end = loop {
            if let Err(end) = within_patience(sleeper.recv()).await {
                break end;
            }
        };
        assert_eq!(end, Ended::Unread);
    });
}

#[test]
fn the_only_session_of_a_user_does_not_keep_a_resolution_or_a_watch_waiting() {
    const MESSAGES: usize = 100;
    block_on(async {
        let scope = Scope::new();
        let patience = Duration::from_millis(10);
        let element = register(scope.element(2)).await;
        for watches in [false, true] {
            let user = start(scope.user().limits(|it| it.patience = patience));
            let (unread, served) = pair(&element, &user).await;
            for number in 0..MESSAGES {
                served.send(message(number)).await.expect("it is up");
            }
            let watch = if watches {
                Some(user.watch(POOL).await.expect("it runs"))
            } else {
                None
            };
            // The session may still have room at first.
            within_patience(async {
                while unread.element().await.is_some() {
                    if !watches {
                        user.resolve(POOL).await.expect("it is there");
                    }
                }
            })
            .await;
            if let Some(mut watch) = watch {
                let pool = within_patience(watch.next()).await.expect("it runs");
                assert_eq!(pool.elements.len(), 1);
            }
            let end = loop {
                if let Err(end) = within_patience(unread.recv()).await {
                    break end;
                }
            };
            assert_eq!(end, RecvError::Ended(Ended::Unread));
        }
    });
}

#[test]
fn a_flood_from_an_element_is_read_as_fast_as_the_user_can() {
    const MESSAGES: usize = 500;
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        let flood = async {
            for number in 0..MESSAGES {
                served.send(message(number)).await.expect("it is up");
            }
        };
        let read = async {
            for number in 0..MESSAGES {
                let got = session.recv().await.expect("it is up");
                assert!(got.bytes == message(number), "{number}");
            }
        };
        within_patience(zip(flood, read)).await;
    });
}

/// One user has a session and does not read it, the other one is not kept waiting.
pub(crate) async fn keep_nobody_else_waiting(
    element: PoolElement,
    sleeper: PoolUser,
    user: PoolUser,
) {
    let (_unread, blocked) = pair(&element, &sleeper).await;
    let flood = async {
        // More than the buffers on the way can take together.
        for number in 0..2_000 {
            blocked.send(message(number)).await.expect("it is up");
        }
        "flood"
    };
    let talk = async {
        // The flood has come to a halt.
        while touch(element.handle().writable()).await.is_some() {
            yield_now().await;
        }
        let (session, served) = pair(&element, &user).await;
        spawn(echo(served));
        for number in 0..20 {
            let answer = session.ask(number.to_string()).await;
            assert_eq!(answer.expect("it is up").bytes, number.to_string());
        }
        "talk"
    };
    assert_eq!(within_patience(or(flood, talk)).await, "talk");
}

#[test]
fn a_user_that_reads_nothing_keeps_nobody_else_waiting() {
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let (sleeper, user) = (start(scope.user()), start(scope.user()));
        keep_nobody_else_waiting(element, sleeper, user).await;
    });
}

#[test]
fn an_element_that_closes_every_session_is_given_up_in_time() {
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let id = element.id();
        spawn(async move { while element.accept().await.is_some() {} });
        let user = start(scope.user().config(|config| {
            config.failover_timeout = Duration::from_millis(500);
            config.failover_pause = Duration::from_millis(50);
        }));
        let session = connect(&user).await;
        session.send("hello").await.expect("it is up");
        let end = within_patience(async {
            loop {
                match session.next().await {
                    Ok(SessionEvent::Interrupted { element, closed }) => {
                        assert_eq!((element, closed), (id, true));
                    }
                    Ok(SessionEvent::FailedOver { new, .. }) => {
                        assert_eq!(new, id);
                        // It may be over already.
                        let _ = session.send("hello").await;
                    }
                    Ok(SessionEvent::Undelivered(_)) => {}
                    other => break other,
                }
            }
        })
        .await;
        assert_eq!(end, Err(Ended::Failed(SessionError::Unreachable)));
    });
}

#[test]
fn an_element_that_never_answers_is_left() {
    block_on(async {
        let scope = Scope::new();
        let mute = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, _served) = pair(&mute, &user).await;
        let element = register(scope.element(3)).await;
        session.fail_over().await.expect("it runs");
        loop {
            match within_patience(session.recv()).await {
                Err(RecvError::FailedOver { new, .. }) => break assert_eq!(new, element.id()),
                Err(RecvError::Interrupted(_) | RecvError::Undelivered(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn the_longest_cookie_goes_round() {
    block_on(async {
        let scope = Scope::new();
        let first = super::Mortal::register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&first.element, &user).await;
        let cookie = vec![7; Machine::MAX_COOKIE];
        let longer = vec![7; Machine::MAX_COOKIE + 1];
        assert_eq!(served.send_cookie(longer).await, Err(CookieError::TooLong));
        // Again and again: the last one counts, and no more is kept.
        for number in 0..100 {
            let cookie = vec![number; Machine::MAX_COOKIE];
            served.send_cookie(cookie).await.expect("it is up");
        }
        served.send_cookie(cookie.clone()).await.expect("it is up");
        served.send("that was it").await.expect("it is up");
        within_patience(session.recv()).await.expect("it is up");
        let second = register(scope.element(3)).await;
        first.crash().await;
        while !matches!(
            within_patience(session.recv()).await,
            Err(RecvError::FailedOver {
                cookie_echoed: true,
                ..
            })
        ) {}
        let served = within_patience(second.accept()).await.expect("it runs");
        session.send("hello").await.expect("it is up");
        within_patience(served.recv()).await.expect("it is up");
        assert!(served.cookie().is_some_and(|got| got == cookie));
    });
}

#[test]
fn sessions_that_nobody_accepts_are_few() {
    const BACKLOG: usize = 2;
    block_on(async {
        let scope = Scope::new();
        let element = scope.element(2).limits(|it| it.backlog = BACKLOG);
        let element = register(element).await;
        let user = start(scope.user());
        let mut sessions = Vec::new();
        for number in 0..=BACKLOG {
            let options = rserpool_core::user::SessionOptions::only(element.id());
            let session = within_patience(user.connect_with(POOL, options)).await;
            let session = session.expect("it is there");
            session.send(number.to_string()).await.expect("it is up");
            sessions.push(session);
        }
        let refused = sessions.pop().expect("it is one too many");
        let end = within_patience(refused.recv()).await;
        assert_eq!(end, Err(RecvError::Interrupted(element.id())));
        for (number, session) in sessions.iter().enumerate() {
            let served = within_patience(element.accept()).await.expect("it runs");
            spawn(echo(served));
            let echoed = within_patience(session.recv()).await.expect("it is up");
            assert_eq!(echoed.bytes, number.to_string());
        }
    });
}
