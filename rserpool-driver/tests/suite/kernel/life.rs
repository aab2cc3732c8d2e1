//! Endpoints, their addresses, and the life of their associations.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::process::Command;
use std::time::Instant;

use futures_lite::future::zip;
use rserpool_core::{Action, End, Ppid};

use super::{has_sctp, is_required, kernel, message, pair, port};
use crate::runtime::block_on;
use crate::runtime::driver::{MAX_MESSAGE_SIZE, Options, TransportKind};
use crate::suite::life::abort;
use crate::suite::probe::{PPID, Pair, Peer, Seen};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn auto_takes_the_kernel_where_it_has_sctp() {
    block_on(async {
        let kind = Options::user()
            .bind()
            .expect("any port is free")
            .transport();
        let expected = if has_sctp() {
            TransportKind::Kernel
        } else {
            TransportKind::Udp
        };
        assert_eq!(kind, expected);
    });
}

#[test]
fn messages_of_all_lengths_arrive() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        for ip in [V4, V6] {
            let mut pair = pair(&[ip], 1024).await;
            for length in [1, 1_000, 20_000, MAX_MESSAGE_SIZE] {
                let bytes = vec![7; length];
                pair.caller.send(pair.to_called, bytes.clone()).await;
                let seen = Seen::Message(pair.to_caller, PPID, 3, bytes.clone().into());
                assert!(pair.called.next().await == seen, "{ip} {length}");
                pair.called.send(pair.to_caller, bytes.clone()).await;
                assert!(message(&mut pair.caller).await == bytes, "{ip} {length}");
            }
            let too_long = vec![7; MAX_MESSAGE_SIZE + 1];
            pair.caller.send(pair.to_called, too_long).await;
            let failed = Seen::SendFailed(pair.to_called, MAX_MESSAGE_SIZE + 1);
            assert_eq!(pair.caller.next().await, failed);
        }
    });
}

#[test]
fn one_side_closes_and_both_are_told() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = pair(&[V4], 1024).await;
        let association = pair.to_called;
        pair.caller.send(association, "last words").await;
        pair.caller.act(Action::Disconnect { association }).await;
        assert_eq!(message(&mut pair.called).await, "last words");
        let end = Seen::Disconnected(pair.to_caller, End::Closed);
        assert_eq!(pair.called.next().await, end);
        let end = Seen::Disconnected(association, End::Closed);
        assert_eq!(pair.caller.next().await, end);
    });
}

#[test]
fn the_last_handle_closes_everything_in_order() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = pair(&[V4], 1024).await;
        for number in 0..100 {
            pair.caller.send(pair.to_called, format!("{number}")).await;
        }
        drop(pair.caller.handle);
        for number in 0..100 {
            assert_eq!(message(&mut pair.called).await, format!("{number}"));
        }
        let end = Seen::Disconnected(pair.to_caller, End::Closed);
        assert_eq!(pair.called.next().await, end);
        while pair.caller.events.recv().await.is_some() {}
    });
}

#[test]
fn an_abort_is_a_loss_for_both() {
    block_on(async {
        if has_sctp() {
            abort(pair(&[V6], 1024).await).await;
        }
    });
}

#[test]
fn nobody_at_the_port_is_a_failed_connect() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut caller = Peer::start(&kernel(Options::element(port()), &[V4]));
        let others = [
            SocketAddr::new(V4, port()),
            SocketAddr::new(V6, port()),
            caller.local,
        ];
        for nobody in others {
            caller.connect(nobody).await;
            assert_eq!(caller.next().await, Seen::ConnectFailed(nobody));
        }
    });
}

/// Each session of a user has an association, also where two of them are with one element.
#[test]
fn a_user_has_as_many_associations_with_one_peer_as_it_asks_for() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut called = Peer::start(&kernel(Options::element(port()), &[V4]));
        let mut caller = Peer::start(&kernel(Options::user(), &[V4]));
        // At once, one after the other, and in the place of one that has ended.
        caller.connect(called.local).await;
        caller.connect(called.local).await;
        let mut associations = vec![caller.connected().await, caller.connected().await];
        caller.connect(called.local).await;
        associations.push(caller.connected().await);
        let first = associations.remove(0);
        let action = Action::Disconnect { association: first };
        caller.act(action).await;
        let end = Seen::Disconnected(first, End::Closed);
        assert_eq!(caller.next().await, end);
        caller.connect(called.local).await;
        associations.push(caller.connected().await);
        for association in &associations {
            caller.send(*association, format!("{association:?}")).await;
        }
        // Each message is answered where it came from, and the answer comes to who has asked.
        let mut answered = 0;
        while answered < associations.len() {
            if let Seen::Message(association, _, _, bytes) = called.next().await {
                called.send(association, bytes).await;
                answered += 1;
            }
        }
        for _ in &associations {
            let Seen::Message(association, _, _, bytes) = caller.next().await else {
                panic!("no message");
            };
            assert_eq!(bytes, format!("{association:?}"));
            assert!(associations.contains(&association));
        }
    });
}

#[test]
fn an_association_that_is_up_is_connected_again() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        // Both have a port that they are called at, so that there is one association between them.
        let options = || kernel(Options::element(port()), &[V4]);
        let mut pair = Pair::of(&options(), &options()).await;
        pair.caller.connect(pair.called.local).await;
        let again = Seen::Connected(pair.to_called, vec![pair.called.local]);
        assert_eq!(pair.caller.next().await, again);
    });
}

/// SCTP makes one association of two calls that meet.
#[test]
fn two_that_call_each_other_have_one_association() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        for _ in 0..20 {
            let [mut a, mut b] =
                [(); 2].map(|()| Peer::start(&kernel(Options::element(port()), &[V4])));
            zip(a.connect(b.local), b.connect(a.local)).await;
            let (to_b, to_a) = (a.connected().await, b.connected().await);
            a.send(to_b, "question").await;
            b.send(to_a, "answer").await;
            for (peer, association, bytes) in [(&mut a, to_b, "answer"), (&mut b, to_a, "question")]
            {
                loop {
                    match peer.next().await {
                        // Whose call came last hears that it is up.
                        Seen::Connected(again, _) => assert_eq!(again, association),
                        other => {
                            assert_eq!(other, Seen::Message(association, PPID, 3, bytes.into()));
                            break;
                        }
                    }
                }
            }
        }
    });
}

/// A registrar calls its peers from the port of ENRP.
#[test]
fn each_protocol_has_its_port() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let (asap, enrp) = (port(), port());
        let mut options = kernel(Options::element(asap), &[V4]);
        options.enrp_port = Some(enrp);
        let caller = Peer::start(&options);
        let mut called = Peer::start(&kernel(Options::element(port()), &[V4]));
        for (ppid, from) in [(Ppid::ASAP, asap), (Ppid::ENRP, enrp)] {
            let remote = vec![called.local];
            caller.act(Action::Connect { ppid, remote }).await;
            match called.next().await {
                Seen::Connected(_, remote) => assert_eq!(remote, [SocketAddr::new(V4, from)]),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn all_addresses_of_the_peer_are_told() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let local = [V4, Ipv4Addr::new(127, 0, 0, 2).into()];
        let mut called = Peer::start(&kernel(Options::element(port()), &local));
        let mut caller = Peer::start(&kernel(Options::element(port()), &local));
        caller.connect(called.local).await;
        let (there, here) = (called.local, caller.local);
        for (peer, other) in [(&mut caller, there), (&mut called, here)] {
            match peer.next().await {
                Seen::Connected(_, mut remote) => {
                    assert_eq!(remote[0], other);
                    remote.sort();
                    assert_eq!(remote, local.map(|ip| SocketAddr::new(ip, other.port())));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

/// Who has just closed takes the port again at once, as a program does that starts again; and nobody else while it is taken.
#[test]
fn a_port_is_free_when_its_endpoint_has_ended() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let mut pair = pair(&[V4], 1024).await;
        let options = kernel(Options::element(pair.called.local.port()), &[V4]);
        let taken = options.bind().err().expect("it is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(pair.called.handle);
        while pair.called.events.recv().await.is_some() {}
        options.bind().expect("it is free");
    });
}

/// Adds or takes away an address of this host.
fn ip(verb: &str, ip: IpAddr) {
    let arguments = ["addr", verb, &format!("{ip}/32"), "dev", "lo"];
    let status = Command::new("ip").args(arguments).status();
    assert!(status.expect("ip is there").success());
}

/// The address of the peer goes away before its association does, so that nothing tells of its end; and comes back.
#[test]
fn a_peer_that_starts_again_is_lost_and_connected() {
    block_on(async {
        if !has_sctp() || !is_required() {
            return;
        }
        let [here, there] = [1, 2].map(|host| IpAddr::from([10, 99, 0, host]));
        ip("replace", here);
        ip("replace", there);
        let mut stays = Peer::start(&kernel(Options::element(port()), &[here]));
        let options = kernel(Options::element(port()), &[there]);
        let mut goes = Peer::start(&options);
        stays.connect(goes.local).await;
        let first = stays.connected().await;
        let association = goes.connected().await;
        ip("del", there);
        goes.act(Action::Abort { association }).await;
        drop(goes.handle);
        while goes.events.recv().await.is_some() {}
        ip("replace", there);
        let mut again = Peer::start(&options);
        again.connect(stays.local).await;
        again.connected().await;
        assert_eq!(stays.next().await, Seen::Disconnected(first, End::Lost));
        let second = stays.connected().await;
        assert_ne!(second, first);
        stays.send(second, "hello").await;
        assert_eq!(message(&mut again).await, "hello");
    });
}

/// Nothing tells of the peer's end at all.
#[test]
fn a_silent_peer_is_lost_within_seconds() {
    block_on(async {
        // 5 seconds on average; the kernel adds up to a retransmission time-out by chance to each of 7 waits.
        const BOUND: Duration = Duration::from_secs(8);
        if !has_sctp() || !is_required() {
            return;
        }
        let [here, there] = [3, 4].map(|host| IpAddr::from([10, 99, 0, host]));
        ip("replace", here);
        for loaded in [false, true] {
            ip("replace", there);
            let mut stays = Peer::start(&kernel(Options::element(port()), &[here]));
            let silent = Peer::start(&kernel(Options::element(port()), &[there]));
            stays.connect(silent.local).await;
            let association = stays.connected().await;
            ip("del", there);
            let start = Instant::now();
            // The last one is given to the kernel in fragments.
            let lengths: &[usize] = if loaded { &[14, 1000, 5000] } else { &[] };
            for length in lengths {
                stays.send(association, vec![0; *length]).await;
            }
            // Everything comes back, in order, and then the end is told.
            for length in lengths {
                let failed = Seen::SendFailed(association, *length);
                assert_eq!(stays.next().await, failed);
            }
            let end = Seen::Disconnected(association, End::Lost);
            assert_eq!(stays.next().await, end);
            let time = start.elapsed();
            println!("lost after {time:?}, loaded: {loaded}");
            assert!(time < BOUND, "{time:?}");
        }
    });
}
