//! INIT, duplicates of it, restart, collision, cookies, floods, and the parameters peers send.

mod common;

use common::{PORT, Puppet, World, init_value, ip};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use rserpool_udp_sctp::packet::{PacketBuilder, kind, params};
use rserpool_udp_sctp::{Config, ConnectError, ConnectFailure, Event, Reason, Stack};

fn server() -> World {
    let mut w = World::new(1);
    w.nodes[0].stack.listen(PORT).unwrap();
    w
}

fn param(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u16::try_from(4 + body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// What the first event says of further addresses.
fn listed_by_peer(w: &World) -> Vec<IpAddr> {
    match w.nodes[0].events.first() {
        Some(Event::Connected { listed, .. }) => listed.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_init_with_addresses_and_unknown_parameters_is_answered() {
    let mut w = server();
    let mut p = Puppet::new(1, 0x11);
    let mut extra = param(5, &[10, 0, 9, 1]);
    extra.extend(param(6, &[0xfd; 16]));
    extra.extend(param(5, &[10, 0, 9, 77]));
    extra.extend(param(0x8000, &[]));
    extra.extend(param(0xc000, &[]));
    extra.extend(param(12, &[0, 5, 0, 6]));
    extra.extend(param(0x8008, &[0x82, 0xc0, 0x40]));
    extra.extend(param(9, &[0, 0, 1, 0]));
    extra.extend(param(0x4abc, b"stop"));
    extra.extend(param(0xc123, b"never reached"));
    let ack = p.init(&mut w, 0, &extra).expect("answered");
    let reported: Vec<Vec<u8>> = params(&ack, 16)
        .filter(|(k, _)| *k == 8)
        .map(|(_, b)| b.to_vec())
        .collect();
    // RFC 9260 §3.2.1: 0xc000 skip and report, 0x4abc stop and report.
    assert_eq!(reported, [param(0xc000, &[]), param(0x4abc, b"stop")]);
    p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &Puppet::cookie(&ack));
    assert!(p.take(&mut w, kind::COOKIE_ACK).is_some());
    // Its own one is not told twice.
    let listed = [IpAddr::from([0xfd; 16]), [10, 0, 9, 77].into()];
    assert_eq!(listed_by_peer(&w), listed);
    // A listed address of the peer may be used, another one not.
    let value = p.data_value(11, b"from the second address");
    p.udp = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 9, 77)), 9899);
    p.send(&mut w, 0, kind::DATA, 3, &value);
    assert_eq!(w.messages(0).len(), 1);
    p.udp = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 9, 78)), 9899);
    p.data(&mut w, 0, 11, b"from a stranger");
    assert_eq!(w.messages(0).len(), 1);
    assert_eq!(w.nodes[0].stack.counters().bad_port, 1);
}

#[test]
fn a_host_name_or_impossible_terms_are_refused() {
    let mut w = server();
    let mut p = Puppet::new(1, 0x11);
    assert!(p.init(&mut w, 0, &param(11, b"host\0")).is_none());
    for (at, bytes) in [(4, [0, 0, 0, 1]), (8, [0, 0, 0, 1]), (12, [0; 4])] {
        let mut value = init_value(0x12, 5);
        value[at..at + 4].copy_from_slice(&bytes);
        p.peer_tag = 0;
        w.stray.clear();
        p.send(&mut w, 0, kind::INIT, 0, &value);
        assert!(p.take(&mut w, kind::ABORT).is_some());
    }
    assert_eq!(w.nodes[0].stack.associations(), 0);
}

#[test]
fn an_init_ack_with_many_parameters_connects() {
    let mut w = World::new(1);
    let p = Puppet::new(1, 0x99);
    let now = w.now;
    let id = w.nodes[0]
        .stack
        .connect(now, PORT, SocketAddr::new(p.udp.ip(), PORT))
        .unwrap();
    w.run_ms(5);
    let init = p.take(&mut w, kind::INIT).unwrap();
    let mut p = p;
    p.peer_tag = u32::from_be_bytes(init[..4].try_into().unwrap());
    let mut value = init_value(p.tag, p.tsn);
    value.extend(param(5, &[10, 0, 9, 1]));
    value.extend(param(6, &[1; 16]));
    value.extend(param(8, &param(0xc000, &[])));
    value.extend(param(0xc777, b"odd"));
    value.extend(param(7, b"a cookie"));
    p.send(&mut w, 0, kind::INIT_ACK, 0, &value);
    let chunks = p.chunks(&w);
    assert_eq!(chunks[0], (kind::COOKIE_ECHO, 0, b"a cookie".to_vec()));
    assert_eq!(chunks[1].0, kind::ERROR, "0xc777 is reported");
    p.send(&mut w, 0, kind::COOKIE_ACK, 0, &[]);
    assert_eq!(w.up(0), [id]);
    assert_eq!(listed_by_peer(&w), [IpAddr::from([1; 16])]);
}

#[test]
fn listed_addresses_are_bounded_and_say_nothing_twice() {
    let mut w = server();
    let mut p = Puppet::new(1, 0x11);
    let IpAddr::V4(own) = p.udp.ip() else {
        panic!("IPv4");
    };
    let mut extra = param(5, &own.octets());
    for useless in [
        [0, 0, 0, 0],
        [224, 0, 0, 1],
        [255; 4],
        [10, 0, 9, 2],
        [10, 0, 9, 2],
    ] {
        extra.extend(param(5, &useless));
    }
    for last in 1..200 {
        extra.extend(param(5, &[10, 0, 8, last]));
    }
    let ack = p.init(&mut w, 0, &extra).expect("answered");
    p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &Puppet::cookie(&ack));
    let listed = listed_by_peer(&w);
    assert_eq!(
        listed[..2],
        [IpAddr::from([10, 0, 9, 2]), [10, 0, 8, 1].into()]
    );
    assert!(listed.len() <= 32);
}

#[test]
fn an_init_ack_may_come_from_another_listed_address() {
    for listed in [true, false] {
        let mut w = World::new(1);
        let mut p = Puppet::new(1, 0x99);
        let now = w.now;
        let to = SocketAddr::new(p.udp.ip(), PORT);
        w.nodes[0].stack.connect(now, PORT, to).unwrap();
        w.run_ms(5);
        let init = p.take(&mut w, kind::INIT).unwrap();
        p.peer_tag = u32::from_be_bytes(init[..4].try_into().unwrap());
        let mut value = init_value(p.tag, p.tsn);
        value.extend(param(5, &[10, 0, 9, 1]));
        if listed {
            value.extend(param(5, &[10, 0, 9, 66]));
        }
        value.extend(param(7, b"cookie"));
        let first = p.udp;
        p.udp = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 9, 66)), 9899);
        p.send(&mut w, 0, kind::INIT_ACK, 0, &value);
        let echoed = w
            .stray
            .iter()
            .any(|(to, bytes)| *to == first && bytes[12] == kind::COOKIE_ECHO);
        assert_eq!(echoed, listed);
        p.send(&mut w, 0, kind::COOKIE_ACK, 0, &[]);
        assert_eq!(w.up(0).len(), usize::from(listed));
    }
}

#[test]
fn duplicate_inits_and_cookies_are_harmless() {
    let mut w = server();
    let mut p = Puppet::new(1, 0x11);
    let ack = p.init(&mut w, 0, &[]).unwrap();
    let cookie = Puppet::cookie(&ack);
    p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &cookie);
    p.data(&mut w, 0, 11, b"one");
    let tag = p.peer_tag;
    for _ in 0..5 {
        p.init(&mut w, 0, &[]).expect("answered");
        p.peer_tag = tag;
        p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &cookie);
        assert!(p.take(&mut w, kind::COOKIE_ACK).is_some());
    }
    p.data(&mut w, 0, 11, b"two");
    assert_eq!(w.messages(0).len(), 2);
    assert_eq!(w.up(0).len(), 1);
    assert!(w.down(0).is_empty());
}

#[test]
fn a_restarted_peer_gets_a_new_association_and_the_old_one_is_reported() {
    let mut w = World::new(2);
    let (_, old) = w.connected();
    // Node 0 comes back without memory.
    w.nodes[0].stack = Stack::new(ip(0), Config::default(), [77; 32]);
    let now = w.now;
    let a = w.nodes[0]
        .stack
        .connect(now, PORT, SocketAddr::new(ip(1), PORT))
        .unwrap();
    w.run_ms(20);
    assert_eq!(w.up(0), [a]);
    let up = w.up(1);
    assert_eq!(up.len(), 1);
    assert_ne!(up[0], old);
    assert!(
        matches!(w.nodes[1].events[0], Event::Disconnected { id, reason: Reason::Restarted } if id == old)
    );
    w.send(0, a, 11, b"hello");
    w.send(1, up[0], 12, b"again");
    w.run_ms(20);
    assert_eq!((w.messages(0).len(), w.messages(1).len()), (1, 1));
    assert_eq!(w.nodes[1].stack.associations(), 1);
    assert_eq!(w.nodes[1].stack.counters().restarts, 1);
}

#[test]
fn an_init_collision_gives_one_association_that_works_both_ways() {
    // Second INIT after so many tenths of a millisecond, one way takes 1 ms.
    for offset in [0, 3, 9, 10, 11, 15, 19, 20, 21, 25, 29, 30, 31, 35, 40, 50] {
        for loss in [0, 20] {
            let mut w = World::new(2);
            w.link.loss = loss;
            w.nodes[0].stack.listen(PORT).unwrap();
            w.nodes[1].stack.listen(PORT).unwrap();
            let now = w.now;
            w.nodes[0]
                .stack
                .connect(now, PORT, SocketAddr::new(ip(1), PORT))
                .unwrap();
            w.run(Duration::from_micros(offset * 100));
            let now = w.now;
            // Where the first one is up already, that is the answer to the second one.
            let told = 1 + w.up(1).len();
            w.nodes[1]
                .stack
                .connect(now, PORT, SocketAddr::new(ip(0), PORT))
                .unwrap();
            w.run_ms(4_000);
            let case = format!("offset {offset}, loss {loss}");
            assert_eq!((w.up(0).len(), w.up(1).len()), (1, told), "{case}");
            assert_eq!(w.nodes[0].stack.associations(), 1, "{case}");
            assert_eq!(w.nodes[1].stack.associations(), 1, "{case}");
            w.link.loss = 0;
            let (a, b) = (w.up(0)[0], w.up(1)[0]);
            w.send(0, a, 11, b"x");
            w.send(1, b, 12, b"y");
            w.run_ms(1_000);
            assert_eq!((w.messages(0).len(), w.messages(1).len()), (1, 1), "{case}");
            assert!(w.down(0).is_empty() && w.down(1).is_empty(), "{case}");
        }
    }
}

#[test]
fn a_forged_altered_foreign_or_old_cookie_opens_nothing() {
    let mut w = server();
    let mut p = Puppet::new(1, 0x11);
    let ack = p.init(&mut w, 0, &[]).unwrap();
    let cookie = Puppet::cookie(&ack);
    for i in 0..cookie.len() {
        let mut bad = cookie.clone();
        bad[i] ^= 1;
        p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &bad);
    }
    p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &[]);
    let mut other = Puppet::new(2, 0x11);
    other.peer_tag = p.peer_tag;
    other.send(&mut w, 0, kind::COOKIE_ECHO, 0, &cookie);
    other.udp = p.udp;
    other.sctp = 1;
    other.send(&mut w, 0, kind::COOKIE_ECHO, 0, &cookie);
    assert_eq!(w.nodes[0].stack.associations(), 0);
    assert_eq!(
        w.nodes[0].stack.counters().bad_cookies,
        u64::try_from(cookie.len()).unwrap() + 3
    );
    w.run_ms(61_000);
    w.stray.clear();
    p.send(&mut w, 0, kind::COOKIE_ECHO, 0, &cookie);
    let error = p.take(&mut w, kind::ERROR).expect("told");
    assert_eq!(error[..4], [0, 3, 0, 8], "stale cookie");
    assert_eq!(w.nodes[0].stack.associations(), 0);
}

#[test]
fn a_flood_of_inits_stores_nothing_and_reflects_little() {
    let mut w = server();
    let mut b = PacketBuilder::new(Puppet::new(1, 1).header());
    b.chunk(kind::INIT, 0, &init_value(5, 5));
    let init = b.finish();
    let now = w.now;
    for i in 0..100_000_u32 {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + i)), 9899);
        w.nodes[0].stack.handle_datagram(now, from, &init);
        while w.nodes[0].stack.poll_transmit().is_some() {}
    }
    assert_eq!(w.nodes[0].stack.associations(), 0);
    assert_eq!(w.nodes[0].stack.poll_timeout(), None, "no timer either");
    // One source is answered up to its limit, and again later.
    let mut w = server();
    let now = w.now;
    let from = Puppet::new(1, 1).udp;
    for _ in 0..10_000 {
        w.nodes[0].stack.handle_datagram(now, from, &init);
    }
    assert_eq!(w.nodes[0].stack.counters().inits_answered, 256);
    w.run_ms(3_000);
    Puppet::new(1, 6)
        .init(&mut w, 0, &[])
        .expect("answered again");
}

#[test]
fn the_number_of_associations_is_bounded() {
    let mut config = Config::default();
    config.max_associations = 3;
    let mut w = World::with_config(1, &config);
    w.nodes[0].stack.listen(PORT).unwrap();
    for i in 0..3 {
        Puppet::new(i, 10 + u32::from(i)).connect(&mut w, 0);
    }
    assert!(Puppet::new(9, 9).init(&mut w, 0, &[]).is_none());
    let now = w.now;
    let more = w.nodes[0].stack.connect(now, 7, SocketAddr::new(ip(5), 7));
    assert_eq!(more, Err(ConnectError::TooMany));
}

#[test]
fn nobody_listening_is_refused_at_once_and_nobody_there_in_time() {
    let mut w = World::new(2);
    let now = w.now;
    let a = w.nodes[0]
        .stack
        .connect(now, 7, SocketAddr::new(ip(1), 7))
        .unwrap();
    w.run_ms(10);
    assert!(
        matches!(w.nodes[0].events[..], [Event::ConnectFailed { id, reason: ConnectFailure::Refused, .. }] if id == a)
    );
    let now = w.now;
    w.nodes[0]
        .stack
        .connect(now, 7, SocketAddr::new(ip(8), 7))
        .unwrap();
    w.run_ms(5_000);
    assert!(matches!(
        w.nodes[0].events[1..],
        [Event::ConnectFailed {
            reason: ConnectFailure::TimedOut,
            ..
        }]
    ));
    assert_eq!(w.nodes[0].stack.associations(), 0);
}

#[test]
fn impossible_addresses_are_refused() {
    let mut w = World::new(1);
    let now = w.now;
    let s = &mut w.nodes[0].stack;
    for (remote, local, error) in [
        ("10.0.0.9:0", 1, ConnectError::InvalidPort),
        ("0.0.0.0:1", 1, ConnectError::InvalidAddress),
        ("224.0.1.185:1", 1, ConnectError::InvalidAddress),
        ("[::1]:1", 1, ConnectError::InvalidAddress),
        ("10.0.0.1:5", 5, ConnectError::InvalidAddress),
    ] {
        assert_eq!(s.connect(now, local, remote.parse().unwrap()), Err(error));
    }
    assert!(s.listen(0).is_err());
    assert!(s.listen(5).is_ok() && s.listen(5).is_err());
}

#[test]
fn a_lost_cookie_ack_or_init_ack_is_made_up_for() {
    for lost in [
        kind::INIT,
        kind::INIT_ACK,
        kind::COOKIE_ECHO,
        kind::COOKIE_ACK,
    ] {
        let mut w = World::new(2);
        let mut left = 2;
        w.link.filter = Box::new(move |_, bytes| {
            let drop = bytes[12] == lost && left > 0;
            left -= i32::from(drop);
            drop
        });
        w.nodes[1].stack.listen(PORT).unwrap();
        let now = w.now;
        w.nodes[0]
            .stack
            .connect(now, PORT, SocketAddr::new(ip(1), PORT))
            .unwrap();
        w.run_ms(3_000);
        assert_eq!((w.up(0).len(), w.up(1).len()), (1, 1));
    }
}

#[test]
fn a_stale_cookie_is_tried_again_once() {
    let mut w = World::new(1);
    let mut p = Puppet::new(1, 0x99);
    let now = w.now;
    w.nodes[0]
        .stack
        .connect(now, PORT, SocketAddr::new(p.udp.ip(), PORT))
        .unwrap();
    w.run_ms(5);
    let init = p.take(&mut w, kind::INIT).unwrap();
    p.peer_tag = u32::from_be_bytes(init[..4].try_into().unwrap());
    let mut value = init_value(p.tag, p.tsn);
    value.extend(param(7, b"cookie"));
    for round in 0..2 {
        p.send(&mut w, 0, kind::INIT_ACK, 0, &value);
        assert!(p.take(&mut w, kind::COOKIE_ECHO).is_some());
        p.send(&mut w, 0, kind::ERROR, 0, &[0, 3, 0, 8, 0, 0, 0, 1]);
        assert_eq!(p.take(&mut w, kind::INIT).is_some(), round == 0);
    }
    assert_eq!(w.nodes[0].stack.associations(), 0);
}
