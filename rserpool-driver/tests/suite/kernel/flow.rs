//! Messages that are too many, or that nobody reads.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};

use futures_lite::future::zip;
use rserpool_sctp::{Family, Socket};

use super::{has_sctp, message, pair};

use crate::runtime::block_on;
use crate::runtime::driver::Stopped;
use crate::suite::flow::{give_up, message as message_of, send_and_close};
use crate::suite::probe::within_patience;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// More than the buffers on the way can take together.
const MESSAGES: usize = 1_000;

#[test]
fn a_reader_that_waits_slows_the_sender_down_and_loses_nothing() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = pair(&[V4], 4).await;
        let (handle, association) = (&pair.caller.handle, pair.to_called);
        let finished = Cell::new(false);
        let sender = async {
            for number in 0..MESSAGES {
                handle.writable().await?;
                let message = message_of(number);
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
                assert!(message(called).await == message_of(number), "{number}");
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
        if has_sctp() {
            give_up(pair(&[V4], 4).await).await;
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
        let mut pair = pair(&[V4], 4).await;
        let mute = Socket::new(Family::V4).expect("there is SCTP");
        mute.set_buffers(4096, 4096).expect("it can be set");
        mute.connect(&[pair.called.local]).expect("it can call");
        let to_mute = pair.called.connected().await;
        for number in 0..200 {
            pair.called.send(to_mute, message_of(number)).await;
            pair.called.send(pair.to_caller, message_of(number)).await;
        }
        let all = async {
            for number in 0..200 {
                assert!(
                    message(&mut pair.caller).await == message_of(number),
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
        if has_sctp() {
            send_and_close(pair(&[V4], 4).await, 200).await;
        }
    });
}
