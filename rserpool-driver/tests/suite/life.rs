//! Endpoints, their addresses, and the life of their associations.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;

use futures_lite::future::poll_once;
use rserpool_core::{Action, End, Instant};

use super::probe::{PORT, PPID, Pair, Peer, Seen, free_port, user};
use crate::runtime::block_on;
use crate::runtime::driver::{Options, Stopped, TransportKind};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn commands_return_and_messages_arrive() {
    block_on(async {
        let mut pair = Pair::new().await;
        let answer = pair
            .caller
            .handle
            .call(|_, now| now.as_micros() / u64::MAX + 42);
        assert_eq!(answer.await, Ok(42));
        pair.caller.send(pair.to_called, "question").await;
        let seen = pair.called.next().await;
        assert_eq!(
            seen,
            Seen::Message(pair.to_caller, PPID, 3, "question".into())
        );
        pair.called.send(pair.to_caller, "answer").await;
        assert_eq!(pair.caller.message().await, "answer");
    });
}

#[test]
fn a_call_that_is_given_up_is_done_whole_or_not_at_all() {
    block_on(async {
        let mut peer = Peer::start(&user(LOCALHOST, 9899));
        let notify = |number: u64| {
            peer.handle.call(move |probe, _| {
                probe.act(Action::Notify(Seen::Timeout(Instant::from_micros(number))));
            })
        };
        drop(notify(1));
        // On its way to the machine, or done; whoever asked does not wait for the answer.
        let _ = poll_once(notify(2)).await;
        assert_eq!(notify(3).await, Ok(()));
        for number in [2, 3] {
            let seen = Seen::Timeout(Instant::from_micros(number));
            assert_eq!(peer.next().await, seen);
        }
    });
}

#[test]
fn the_deadline_of_a_machine_is_kept_however_it_moves() {
    block_on(async {
        let mut peer = Peer::start(&user(LOCALHOST, 9899));
        let mut deadline = Instant::EPOCH;
        for wait in [3_600_000, 20, 40] {
            let set = peer.handle.call(move |probe, now| {
                let deadline = now + Duration::from_millis(wait);
                probe.deadline = Some(deadline);
                deadline
            });
            deadline = set.await.expect("the endpoint runs");
        }
        loop {
            match peer.next().await {
                Seen::Timeout(now) if now >= deadline => break,
                // On a busy machine the one before may have come first.
                Seen::Timeout(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn the_last_handle_closes_everything_in_order() {
    block_on(async {
        let mut pair = Pair::new().await;
        for number in 0..100 {
            pair.caller.send(pair.to_called, format!("{number}")).await;
        }
        let handle = pair.caller.handle.clone();
        drop(pair.caller.handle);
        assert_eq!(handle.call(|_, _| ()).await, Ok(()));
        drop(handle);
        for number in 0..100 {
            assert_eq!(pair.called.message().await, format!("{number}"));
        }
        let end = Seen::Disconnected(pair.to_caller, End::Closed);
        assert_eq!(pair.called.next().await, end);
        while pair.caller.events.recv().await.is_some() {}
    });
}

#[test]
fn one_side_closes_and_both_are_told() {
    block_on(async {
        let mut pair = Pair::new().await;
        let association = pair.to_called;
        pair.caller.send(association, "last words").await;
        pair.caller.act(Action::Disconnect { association }).await;
        assert_eq!(pair.called.message().await, "last words");
        let end = Seen::Disconnected(pair.to_caller, End::Closed);
        assert_eq!(pair.called.next().await, end);
        let end = Seen::Disconnected(association, End::Closed);
        assert_eq!(pair.caller.next().await, end);
    });
}

pub(super) async fn abort(mut pair: Pair) {
    let association = pair.to_called;
    pair.caller.act(Action::Abort { association }).await;
    let end = Seen::Disconnected(association, End::Lost);
    assert_eq!(pair.caller.next().await, end);
    let end = Seen::Disconnected(pair.to_caller, End::Lost);
    assert_eq!(pair.called.next().await, end);
}

#[test]
fn an_abort_is_a_loss_for_both() {
    block_on(async { abort(Pair::new().await).await });
}

#[test]
fn nobody_at_the_port_is_a_failed_connect() {
    block_on(async {
        let mut pair = Pair::new().await;
        let nobody = SocketAddr::new(pair.called.local.ip(), PORT + 1);
        pair.caller.connect(nobody).await;
        assert_eq!(pair.caller.next().await, Seen::ConnectFailed(nobody));
        let other_family = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), PORT);
        pair.caller.connect(other_family).await;
        assert_eq!(pair.caller.next().await, Seen::ConnectFailed(other_family));
    });
}

#[test]
fn an_association_that_is_up_is_connected_again() {
    block_on(async {
        let udp_port = free_port(LOCALHOST);
        let ends = [1, 2].map(|host| {
            let mut options = Options::element(PORT);
            options.transport = TransportKind::Udp;
            options.local = vec![Ipv4Addr::new(127, 0, 0, host).into()];
            options.udp_port = udp_port;
            options.peer_udp_port = udp_port;
            Peer::start(&options)
        });
        let [mut caller, called] = ends;
        let remote = SocketAddr::new(called.local.ip(), PORT);
        caller.connect(remote).await;
        let first = caller.connected().await;
        caller.connect(remote).await;
        assert_eq!(caller.connected().await, first);
    });
}

#[test]
fn over_ipv6() {
    block_on(async {
        let mut pair = Pair::at(Ipv6Addr::LOCALHOST.into(), 1024).await;
        assert!(pair.caller.local.is_ipv6());
        pair.caller.send(pair.to_called, "hello").await;
        assert_eq!(pair.called.message().await, "hello");
    });
}

#[test]
fn each_endpoint_takes_the_next_free_loopback_address() {
    block_on(async {
        let mut options = Options::element(PORT);
        options.transport = TransportKind::Udp;
        options.udp_port = free_port(Ipv4Addr::new(127, 0, 0, 2).into());
        let first = options.bind().expect("an address is free");
        let second = options.bind().expect("an address is free");
        assert_eq!(first.local().ip(), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(second.local().ip(), Ipv4Addr::new(127, 0, 0, 3));
        drop(first);
        let third = options.bind().expect("an address is free");
        assert_eq!(third.local().ip(), Ipv4Addr::new(127, 0, 0, 2));
        options.local = vec![third.local().ip()];
        let error = options.bind().err().expect("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn a_stopped_endpoint_says_so() {
    block_on(async {
        let bound = user(LOCALHOST, 9899).bind().expect("any port is free");
        let (handle, _events, run) = bound.drive(super::probe::Probe::default()).into_parts();
        drop(run);
        assert_eq!(handle.call(|_, _| ()).await, Err(Stopped));
        assert_eq!(handle.writable().await, Err(Stopped));
    });
}
