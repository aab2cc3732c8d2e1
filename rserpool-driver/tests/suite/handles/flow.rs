//! Futures that are dropped, and what becomes of messages.

use bytes::Bytes;
use futures_lite::future::zip;
use rserpool_core::Ppid;

use super::{Scope, connect, echo, pair, register, start, touch};
use crate::runtime::driver::{Ended, MAX_MESSAGE_SIZE, Message, SendError};
use crate::runtime::{block_on, spawn};
use crate::suite::probe::within_patience;

#[test]
fn an_application_joins_and_another_one_talks_to_it() {
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        spawn(echo(served));
        let mut message = Message::new(Ppid(77), "with all fields");
        message.stream = 3;
        session.send(message.clone()).await.expect("it is up");
        assert_eq!(within_patience(session.recv()).await, Ok(message));
        let longest = Bytes::from(vec![1; MAX_MESSAGE_SIZE]);
        session.send(longest.clone()).await.expect("it is up");
        let answer = within_patience(session.recv()).await.expect("it is up");
        assert!(answer.bytes == longest);
    });
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        let bad = [
            (Message::from(""), SendError::Empty),
            (
                Message::from(vec![1; MAX_MESSAGE_SIZE + 1]),
                SendError::TooLong,
            ),
            (Message::new(Ppid::ASAP, "x"), SendError::ReservedPpid),
            (Message::new(Ppid::ENRP, "x"), SendError::ReservedPpid),
        ];
        for (message, error) in bad {
            assert_eq!(session.send(message.clone()).await, Err(error.clone()));
            assert_eq!(served.send(message).await, Err(error));
        }
        served.close();
        assert_eq!(served.send("x").await, Err(Ended::Closed.into()));
        session.close();
        assert_eq!(session.send("x").await, Err(Ended::Closed.into()));
        assert_eq!(session.recv().await, Err(Ended::Closed.into()));
    });
}

#[test]
fn a_receive_or_accept_that_is_given_up_loses_nothing() {
    const SESSIONS: usize = 3;
    const MESSAGES: usize = 300;
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(connect(&user).await);
        }
        let send = async {
            for number in 0..MESSAGES {
                for session in &sessions {
                    session.send(number.to_string()).await.expect("it is up");
                }
            }
        };
        let receive = async {
            let mut served = Vec::new();
            while served.len() < SESSIONS {
                // One future is dropped for each that is awaited.
                let touched = touch(element.accept()).await;
                served.push(match touched {
                    Some(served) => served.expect("it runs"),
                    None => element.accept().await.expect("it runs"),
                });
            }
            for served in served {
                for number in 0..MESSAGES {
                    let message = match touch(served.recv()).await {
                        Some(message) => message,
                        None => served.recv().await,
                    };
                    assert_eq!(message.expect("it is up").bytes, number.to_string());
                }
            }
        };
        within_patience(zip(send, receive)).await;
    });
}

#[test]
fn several_who_read_one_session_share_its_messages() {
    const MESSAGES: usize = 200;
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        let read = async |served: &super::ElementSession| {
            let mut count = 0;
            while served.recv().await.is_ok() {
                count += 1;
            }
            count
        };
        let send = async {
            for number in 0..MESSAGES {
                session.send(number.to_string()).await.expect("it is up");
            }
            session.close();
        };
        let readers = zip(read(&served), read(&served));
        let ((a, b), ()) = within_patience(zip(readers, send)).await;
        assert_eq!(a + b, MESSAGES);
    });
}

#[test]
fn a_send_that_is_given_up_is_done_whole_or_not_at_all() {
    const MESSAGES: usize = 200;
    block_on(async {
        let scope = Scope::new();
        let element = register(scope.element(2)).await;
        let user = start(scope.user());
        let (session, served) = pair(&element, &user).await;
        for number in 0..MESSAGES {
            drop(session.send("never polled"));
            // Its message is on its way, or not.
            let _ = touch(session.send(number.to_string())).await;
        }
        session.send("the end").await.expect("it is up");
        let mut next = 0;
        loop {
            let message = within_patience(served.recv()).await.expect("it is up");
            if message.bytes == "the end" {
                break;
            }
            let text = str::from_utf8(&message.bytes).expect("it is a number");
            let number: usize = text.parse().expect("it is a number");
            assert!(number >= next, "{number} after {next}");
            next = number + 1;
        }
    });
}

#[test]
fn what_is_sent_while_there_is_no_element_waits_for_room() {
    const MESSAGES: u8 = 100;
    const QUEUE: usize = 10 * MAX_MESSAGE_SIZE;
    block_on(async {
        let scope = Scope::new();
        let dying = super::Mortal::register(scope.element(2)).await;
        let user = start(
            scope
                .user()
                .config(|config| config.max_session_queue = QUEUE),
        );
        let (session, _served) = pair(&dying.element, &user).await;
        dying.crash().await;
        while session.element().await.is_some() {
            within_patience(session.next()).await.expect("it looks on");
        }
        let message = |number: u8| vec![number; MAX_MESSAGE_SIZE];
        let send = async {
            for number in 0..MESSAGES {
                session.send(message(number)).await.expect("it looks on");
            }
        };
        let receive = async {
            let element = register(scope.element(3)).await;
            let served = element.accept().await.expect("it runs");
            for number in 0..MESSAGES {
                let got = served.recv().await.expect("it is up");
                assert!(got.bytes == message(number), "{number}");
            }
        };
        within_patience(zip(send, receive)).await;
    });
}
