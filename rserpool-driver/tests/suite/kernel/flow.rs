//! Messages that are too many, or that nobody reads.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use futures_lite::future::zip;
use rserpool_core::{Action, End};
use rserpool_sctp::{Family, Socket};

use super::{Pair, has_sctp, message};
use crate::runtime::block_on;
use crate::runtime::driver::Stopped;
use crate::suite::probe::{Seen, within_patience};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// More than the buffers on the way can take together.
const MESSAGES: usize = 1_000;
const LENGTH: usize = 20_000;

/// A message that knows its number.
fn numbered(number: usize) -> Bytes {
    format!("{number:0>LENGTH$}").into()
}

#[test]
fn a_reader_that_waits_slows_the_sender_down_and_loses_nothing() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = Pair::at(&[V4], 4).await;
        let (handle, association) = (&pair.caller.handle, pair.to_called);
        let finished = Cell::new(false);
        let sender = async {
            for number in 0..MESSAGES {
                handle.writable().await?;
                let message = numbered(number);
                handle
                    .call(move |probe, _| probe.send(association, message))
                    .await?;
            }
            finished.set(true);
            Ok::<_, Stopped>(())
        };
        let called = &mut pair.called;
        let reader = async {
            for number in 0..MESSAGES {
                assert!(message(called).await == numbered(number), "{number}");
                assert!(number > 0 || !finished.get());
            }
        };
        let (sent, ()) = zip(sender, reader).await;
        assert_eq!(sent, Ok(()));
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = Pair::at(&[V4], 4).await;
        for number in 0..MESSAGES {
            pair.caller.send(pair.to_called, numbered(number)).await;
        }
        let mut failed = 0;
        let end = loop {
            match pair.caller.next().await {
                Seen::SendFailed(association, LENGTH) if association == pair.to_called => {
                    failed += 1;
                }
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
                Seen::Message(_, _, _, bytes) => assert!(bytes == numbered(number), "{number}"),
                other => break assert_eq!(other, Seen::Disconnected(pair.to_caller, End::Lost)),
            }
            number += 1;
        }
    });
}

/// The associations of a socket share its send buffer. The peer that takes nothing has hardly any room for what comes.
#[test]
fn a_peer_that_takes_nothing_does_not_keep_others_waiting() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = Pair::at(&[V4], 4).await;
        let mute = Socket::new(Family::V4).expect("there is SCTP");
        mute.set_buffers(4096, 4096).expect("it can be set");
        mute.connect(&[pair.called.local]).expect("it can call");
        let to_mute = pair.called.connected().await;
        for number in 0..200 {
            pair.called.send(to_mute, numbered(number)).await;
            pair.called.send(pair.to_caller, numbered(number)).await;
        }
        let all = async {
            for number in 0..200 {
                assert!(
                    message(&mut pair.caller).await == numbered(number),
                    "{number}"
                );
            }
        };
        // Nothing is in the way.
        within_patience(all).await;
    });
}

#[test]
fn what_waits_for_room_is_sent_before_a_close() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        // Beyond the send buffer, within what waits beside it.
        const MESSAGES: usize = 200;
        let mut pair = Pair::at(&[V4], 4).await;
        for number in 0..MESSAGES {
            pair.caller.send(pair.to_called, numbered(number)).await;
        }
        let association = pair.to_called;
        pair.caller.act(Action::Disconnect { association }).await;
        for number in 0..MESSAGES {
            assert!(
                message(&mut pair.called).await == numbered(number),
                "{number}"
            );
        }
        let end = Seen::Disconnected(association, End::Closed);
        assert_eq!(pair.caller.next().await, end);
    });
}
