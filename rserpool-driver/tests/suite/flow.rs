//! Messages that are too many, too long, or that nobody reads.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use bytes::Bytes;
use rserpool_core::{Action, End};

use super::probe::{Pair, Peer, Seen};
use crate::runtime::driver::{MAX_MESSAGE_SIZE, Stopped};
use crate::runtime::{block_on, sleep};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// More than the buffers on the way can take together.
const MESSAGES: usize = 1_000;
const LENGTH: usize = 20_000;

/// A message that knows its number.
pub(super) fn message(number: usize) -> Bytes {
    format!("{number:0>LENGTH$}").into()
}

#[test]
fn a_reader_that_sleeps_slows_the_sender_down_and_loses_nothing() {
    block_on(async {
        let mut pair = Pair::at(LOCALHOST, 4).await;
        let (handle, association) = (&pair.caller.handle, pair.to_called);
        let finished = Cell::new(false);
        let sender = async {
            for number in 0..MESSAGES {
                handle.writable().await?;
                let message = message(number);
                handle
                    .call(move |probe, _| probe.send(association, message))
                    .await?;
            }
            finished.set(true);
            Ok::<_, Stopped>(())
        };
        let called = &mut pair.called;
        let reader = async {
            // Longer than a peer may be silent: the endpoint lives, only its reader sleeps.
            sleep(Duration::from_secs(6)).await;
            assert!(!finished.get());
            for number in 0..MESSAGES {
                assert!(called.message().await == message(number), "{number}");
            }
        };
        let (sent, ()) = futures_lite::future::zip(sender, reader).await;
        assert_eq!(sent, Ok(()));
    });
}

/// The called one takes nothing, and has room for few events.
pub(super) async fn give_up(mut pair: Pair) {
    for number in 0..MESSAGES {
        pair.caller.send(pair.to_called, message(number)).await;
    }
    let mut failed = 0;
    let end = loop {
        match pair.caller.next().await {
            Seen::SendFailed(association, LENGTH) if association == pair.to_called => failed += 1,
            other => break other,
        }
    };
    assert!(failed > 0);
    assert_eq!(end, Seen::Disconnected(pair.to_called, End::Lost));
    assert_eq!(pair.caller.handle.writable().await, Ok(()));
    // What had come before the end is there, without a gap.
    let mut number = 0;
    loop {
        match pair.called.next().await {
            Seen::Message(_, _, _, bytes) => assert!(bytes == message(number), "{number}"),
            other => break assert_eq!(other, Seen::Disconnected(pair.to_caller, End::Lost)),
        }
        number += 1;
    }
}

/// So many messages are beyond the send buffer, and within what waits beside it.
pub(super) async fn send_and_close(mut pair: Pair, messages: usize) {
    for number in 0..messages {
        pair.caller.send(pair.to_called, message(number)).await;
    }
    let association = pair.to_called;
    pair.caller.act(Action::Disconnect { association }).await;
    for number in 0..messages {
        assert!(pair.called.message().await == message(number), "{number}");
    }
    let end = Seen::Disconnected(association, End::Closed);
    assert_eq!(pair.caller.next().await, end);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    block_on(async { give_up(Pair::at(LOCALHOST, 4).await).await });
}

#[test]
fn what_waits_for_room_is_sent_before_a_close() {
    block_on(async { send_and_close(Pair::at(LOCALHOST, 4).await, 300).await });
}

#[test]
fn a_message_that_is_too_long_fails_alone() {
    block_on(async {
        let mut pair = Pair::new().await;
        let longest = vec![1; MAX_MESSAGE_SIZE];
        pair.caller.send(pair.to_called, longest.clone()).await;
        pair.caller
            .send(pair.to_called, vec![2; MAX_MESSAGE_SIZE + 1])
            .await;
        pair.caller.send(pair.to_called, "short").await;
        let failed = Seen::SendFailed(pair.to_called, MAX_MESSAGE_SIZE + 1);
        assert_eq!(pair.caller.next().await, failed);
        assert!(pair.called.message().await == longest);
        assert_eq!(pair.called.message().await, "short");
    });
}

#[test]
fn without_a_reader_of_events_commands_go_on() {
    block_on(async {
        let mut pair = Pair::at(LOCALHOST, 1).await;
        let Peer { handle, events, .. } = pair.called;
        for number in 0..100 {
            pair.caller.send(pair.to_called, format!("{number}")).await;
        }
        drop(events);
        let association = pair.to_caller;
        handle
            .call(move |probe, _| probe.send(association, "still here"))
            .await
            .expect("the endpoint runs");
        assert_eq!(pair.caller.message().await, "still here");
    });
}
