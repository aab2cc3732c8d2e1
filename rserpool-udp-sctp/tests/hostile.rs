//! Death, ABORT, packets out of the blue, unknown chunks, lies and noise.

mod common;

use common::{PORT, Puppet, World, init_value, ip};
use core::net::SocketAddr;
use proptest::prelude::*;
use rserpool_udp_sctp::packet::{Header, Packet, PacketBuilder, T_BIT, checksum, kind};
use rserpool_udp_sctp::{Config, Event, Reason};

fn puppet() -> (World, Puppet) {
    let mut w = World::new(1);
    w.nodes[0].stack.listen(PORT).unwrap();
    let mut p = Puppet::new(1, 0x1122_3344);
    p.connect(&mut w, 0);
    (w, p)
}

#[test]
fn a_silent_peer_is_noticed_idle_and_loaded() {
    for loaded in [false, true] {
        for age in [0, 500, 5_000] {
            let mut w = World::new(2);
            let (a, _) = w.connected();
            w.run_ms(age);
            w.nodes[1].dead = true;
            if loaded {
                for _ in 0..10 {
                    w.send(0, a, 11, &[0; 10_000]);
                }
            }
            w.run_ms(1_900);
            assert!(w.down(0).is_empty(), "not hasty");
            w.run_ms(2_900);
            assert_eq!(
                w.down(0),
                [(a, Reason::TimedOut)],
                "loaded {loaded} age {age}"
            );
        }
    }
}

#[test]
fn a_peer_that_sends_but_does_not_hear_is_dead_too() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    w.link.filter = Box::new(|node, _| node == 0);
    for _ in 0..50 {
        let now = w.now;
        let _ = w.nodes[1].stack.send(now, b, 0, 11, b"hello?");
        w.run_ms(100);
    }
    assert_eq!(w.down(0), [(a, Reason::TimedOut)]);
}

#[test]
fn an_idle_association_lives_on() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    w.run_ms(120_000);
    w.send(0, a, 11, b"x");
    w.send(1, b, 11, b"y");
    w.run_ms(50);
    assert_eq!((w.messages(0).len(), w.messages(1).len()), (1, 1));
    assert!(w.down(0).is_empty() && w.down(1).is_empty());
}

#[test]
fn abort_is_seen_by_both_sides() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    let now = w.now;
    w.nodes[0].stack.abort(now, a);
    w.run_ms(5);
    assert_eq!(w.down(0), [(a, Reason::Aborted)]);
    assert_eq!(w.down(1), [(b, Reason::Aborted)]);
}

#[test]
fn messages_before_an_abort_are_delivered_first() {
    let (mut w, mut p) = puppet();
    let value = p.data_value(11, b"last words");
    let mut b = PacketBuilder::new(p.header());
    b.chunk(kind::DATA, 3, &value).chunk(kind::ABORT, 0, &[]);
    w.nodes[0].events.clear();
    w.inject(p.udp, 0, &b.finish());
    assert!(matches!(
        w.nodes[0].events[..],
        [
            Event::Message { .. },
            Event::Disconnected {
                reason: Reason::Aborted,
                ..
            }
        ]
    ));
}

fn send_abort(w: &mut World, p: &Puppet, tag: u32, flags: u8) {
    let mut b = PacketBuilder::new(Header { tag, ..p.header() });
    b.chunk(kind::ABORT, flags, &[]);
    w.inject(p.udp, 0, &b.finish());
}

#[test]
fn abort_with_the_t_bit_counts_with_the_peers_tag_only() {
    let (mut w, p) = puppet();
    let abort = |w: &mut World, tag, flags| {
        send_abort(w, &p, tag, flags);
        w.down(0).len()
    };
    assert_eq!(abort(&mut w, 0x1122_3344, 0), 0);
    assert_eq!(abort(&mut w, p.peer_tag, T_BIT), 0);
    assert_eq!(abort(&mut w, 77, T_BIT), 0);
    assert_eq!(abort(&mut w, 0x1122_3344, T_BIT), 1);
}

#[test]
fn out_of_the_blue_is_answered_seldom_and_never_an_answer() {
    let mut w = World::new(1);
    let mut p = Puppet::new(1, 1);
    p.peer_tag = 4711;
    p.data(&mut w, 0, 11, b"?");
    let chunks = p.chunks(&w);
    assert_eq!(chunks, [(kind::ABORT, T_BIT, vec![])]);
    assert_eq!(Packet::parse(&w.stray[0].1).unwrap().header.tag, 4711);
    w.stray.clear();
    p.send(&mut w, 0, kind::SHUTDOWN_ACK, 0, &[]);
    assert_eq!(p.chunks(&w), [(kind::SHUTDOWN_COMPLETE, T_BIT, vec![])]);
    w.stray.clear();
    for (kind, flags) in [
        (kind::ABORT, 0),
        (kind::ABORT, T_BIT),
        (kind::SHUTDOWN_COMPLETE, 0),
        (kind::COOKIE_ACK, 0),
        (kind::ERROR, 0),
        (kind::COOKIE_ECHO, 0),
    ] {
        p.send(&mut w, 0, kind, flags, &[]);
    }
    let mut b = PacketBuilder::new(p.header());
    b.chunk(kind::DATA, 3, &[0; 20]).chunk(kind::ABORT, 0, &[]);
    w.inject(p.udp, 0, &b.finish());
    w.run_ms(5);
    assert!(w.stray.is_empty());
    let mut b = PacketBuilder::new(p.header());
    b.chunk(kind::SACK, 0, &[0; 12]);
    let sack = b.finish();
    w.run_ms(2_000);
    for _ in 0..10_000 {
        w.inject(p.udp, 0, &sack);
    }
    w.run_ms(5);
    assert_eq!(w.stray.len(), 100);
}

#[test]
fn a_peer_that_forgot_us_is_noticed_at_the_next_heartbeat() {
    let mut w = World::new(2);
    let (a, _) = w.connected();
    w.nodes[1].stack = rserpool_udp_sctp::Stack::new(ip(1), Config::default(), [9; 32]);
    w.run_ms(1_100);
    assert_eq!(w.down(0), [(a, Reason::Aborted)]);
}

#[test]
fn error_chunks_are_harmless() {
    let (mut w, mut p) = puppet();
    for value in [
        &[][..],
        &[0, 1],
        &[0, 1, 0, 8, 0, 0, 0, 0],
        &[0, 3, 0, 8, 0, 0, 0, 9],
        &[255; 7],
    ] {
        p.send(&mut w, 0, kind::ERROR, 0, value);
    }
    p.data(&mut w, 0, 11, b"still here");
    assert_eq!(w.messages(0).len(), 1);
    assert_eq!(w.nodes[0].stack.counters().errors, 5);
}

#[test]
fn unknown_chunks_are_handled_by_their_high_bits() {
    // Type, whether what follows is read, whether it is reported.
    for (unknown, skip, report) in [
        (0x3f, false, false),
        (0x7f, false, true),
        (0x82, true, false),
        (0xbf, true, false),
        (0xc0, true, true),
        (0xff, true, true),
    ] {
        let (mut w, mut p) = puppet();
        let value = p.data_value(11, b"behind it");
        let mut b = PacketBuilder::new(p.header());
        b.chunk(unknown, 0, b"????").chunk(kind::DATA, 3, &value);
        w.stray.clear();
        w.inject(p.udp, 0, &b.finish());
        w.run_ms(300);
        assert_eq!(w.messages(0).len(), usize::from(skip), "{unknown:#x}");
        let error = p.take(&mut w, kind::ERROR);
        assert_eq!(error.is_some(), report, "{unknown:#x}");
        if let Some(error) = error {
            assert_eq!(
                error,
                [0, 6, 0, 12, unknown, 0, 0, 8, b'?', b'?', b'?', b'?']
            );
        }
    }
}

#[test]
fn wrong_port_tag_or_checksum_is_dropped_and_counted() {
    let (mut w, mut p) = puppet();
    let right = p.header();
    let value = p.data_value(11, b"x");
    let packet = |header| {
        let mut b = PacketBuilder::new(header);
        b.chunk(kind::DATA, 3, &value);
        b.finish()
    };
    w.inject(
        p.udp,
        0,
        &packet(Header {
            source_port: 1,
            ..right
        }),
    );
    w.inject(
        p.udp,
        0,
        &packet(Header {
            destination_port: 1,
            ..right
        }),
    );
    assert_eq!(w.nodes[0].stack.counters().bad_port, 2);
    w.inject(
        p.udp,
        0,
        &packet(Header {
            tag: right.tag ^ 1,
            ..right
        }),
    );
    assert_eq!(w.nodes[0].stack.counters().bad_tag, 1);
    let mut broken = packet(right);
    broken[20] ^= 1;
    w.inject(p.udp, 0, &broken);
    assert_eq!(w.nodes[0].stack.counters().bad_checksum, 1);
    w.inject(p.udp, 0, b"too short");
    assert_eq!(w.nodes[0].stack.counters().malformed, 1);
    assert!(w.messages(0).is_empty());
    w.inject(p.udp, 0, &packet(right));
    assert_eq!(w.messages(0).len(), 1);
}

#[test]
fn a_new_udp_port_is_followed_after_a_verified_packet_only() {
    let (mut w, mut p) = puppet();
    let home = p.udp;
    let right = p.peer_tag;
    p.udp.set_port(4444);
    p.peer_tag ^= 1;
    p.send(&mut w, 0, kind::HEARTBEAT, 0, &[0, 1, 0, 4]);
    assert_eq!(w.nodes[0].stack.counters().udp_port_changes, 0);
    p.peer_tag = right;
    w.stray.clear();
    p.data(&mut w, 0, 11, b"from the new port");
    w.run_ms(300);
    assert!(p.take(&mut w, kind::SACK).is_some(), "goes to the new port");
    assert_eq!(w.nodes[0].stack.counters().udp_port_changes, 1);
    assert_ne!(home, p.udp);
}

#[test]
fn lies_about_what_was_received_are_ignored() {
    let (mut w, mut p) = puppet();
    let ahead = (p.peer_tsn.wrapping_add(5)).to_be_bytes();
    let mut sack = ahead.to_vec();
    sack.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    p.send(&mut w, 0, kind::SACK, 0, &sack);
    p.send(&mut w, 0, kind::SHUTDOWN, 0, &ahead);
    let mut gaps = p.peer_tsn.wrapping_sub(1).to_be_bytes().to_vec();
    gaps.extend_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 255, 255]);
    p.send(&mut w, 0, kind::SACK, 0, &gaps);
    let far = p.tsn;
    p.tsn = far + 20_000;
    let mut value = p.tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&[0; 9]);
    p.send(&mut w, 0, kind::DATA, 3, &value);
    assert_eq!(w.nodes[0].stack.counters().impossible_chunks, 4);
    p.tsn = far;
    p.data(&mut w, 0, 11, b"fine");
    assert_eq!(w.messages(0).len(), 1);
}

#[test]
fn what_breaks_the_protocol_is_aborted() {
    let data = |stream: u8, body: &[u8]| {
        let mut value = 1000_u32.to_be_bytes().to_vec();
        value.extend_from_slice(&[0, stream, 0, 0, 0, 0, 0, 11]);
        value.extend_from_slice(body);
        value
    };
    // No user data; no such stream; a fragment too tiny to be one; a header cut short.
    for (flags, value) in [
        (3, data(0, b"")),
        (3, data(200, b"x")),
        (2, data(0, b"x")),
        (3, vec![0; 5]),
    ] {
        let (mut w, p) = puppet();
        p.send(&mut w, 0, kind::DATA, flags, &value);
        assert!(p.take(&mut w, kind::ABORT).is_some());
        assert_eq!(w.down(0)[0].1, Reason::Aborted);
    }
}

#[test]
fn a_message_longer_than_allowed_is_aborted() {
    let (mut w, mut p) = puppet();
    for i in 0..70_u32 {
        let mut value = p.data_value(11, &[0; 1_000]);
        value[6..8].copy_from_slice(&[0, 0]);
        p.send(&mut w, 0, kind::DATA, if i == 0 { 2 } else { 0 }, &value);
    }
    assert_eq!(w.down(0).len(), 1);
    assert!(p.take(&mut w, kind::ABORT).is_some());
}

#[test]
fn stream_sequence_numbers_in_a_circle_do_not_confuse_the_reassembly() {
    let (mut w, mut p) = puppet();
    for round in 0..40_u16 {
        for third in [1, 21_000, 42_000, 63_000_u16] {
            let mut value = p.data_value(11, b"x");
            value[6..8].copy_from_slice(&(third + round).to_be_bytes());
            p.send(&mut w, 0, kind::DATA, 3, &value);
        }
    }
    assert!(w.messages(0).is_empty(), "number 0 never came");
    assert!(w.nodes[0].stack.counters().impossible_chunks > 0);
}

#[test]
fn a_shower_of_tiny_fragments_is_aborted() {
    for unordered in [0, 4] {
        let (mut w, mut p) = puppet();
        let now = w.now;
        let mut sent = 0;
        while w.nodes[0].stack.associations() == 1 && sent < 20_000 {
            let mut b = PacketBuilder::new(p.header());
            for _ in 0..500 {
                let mut value = p.tsn.to_be_bytes().to_vec();
                value.extend_from_slice(&[0, 0, 0, 5, 0, 0, 0, 11, 1]);
                p.tsn += 1;
                sent += 1;
                b.chunk(kind::DATA, 1 | unordered, &value);
            }
            w.nodes[0].stack.handle_datagram(now, p.udp, &b.finish());
        }
        w.run_ms(5);
        assert_eq!(w.down(0)[0].1, Reason::Aborted);
        assert!(sent < 6_000);
    }
}

#[test]
fn unordered_messages_keep_their_ppids() {
    let (mut w, mut p) = puppet();
    for ppid in [11, 12, 77] {
        let value = p.data_value(ppid, b"whenever");
        p.send(&mut w, 0, kind::DATA, 7, &value);
    }
    assert_eq!(
        w.messages(0).iter().map(|m| m.1).collect::<Vec<_>>(),
        [11, 12, 77]
    );
}

#[test]
fn a_shutdown_of_the_peer_is_finished_even_if_its_last_word_is_lost() {
    let (mut w, p) = puppet();
    let cumulative = p.peer_tsn.wrapping_sub(1).to_be_bytes();
    w.stray.clear();
    p.send(&mut w, 0, kind::SHUTDOWN, 0, &cumulative);
    assert!(p.take(&mut w, kind::SHUTDOWN_ACK).is_some());
    w.run_ms(700);
    assert!(p.take(&mut w, kind::SHUTDOWN_ACK).is_some(), "repeated");
    p.send(&mut w, 0, kind::INIT, 0, &init_value(5, 5));
    p.send(&mut w, 0, kind::SHUTDOWN_COMPLETE, 0, &[]);
    assert_eq!(w.down(0)[0].1, Reason::Closed);
    let (mut w, p) = puppet();
    p.send(&mut w, 0, kind::SHUTDOWN, 0, &cumulative_of(&p));
    w.run_ms(5_000);
    assert_eq!(w.down(0).len(), 1, "bounded");
}

#[test]
fn a_peer_that_is_gone_after_its_shutdown_has_closed() {
    for (flags, expected) in [(T_BIT, Reason::Closed), (0, Reason::Aborted)] {
        let (mut w, p) = puppet();
        let cumulative = cumulative_of(&p);
        p.send(&mut w, 0, kind::SHUTDOWN, 0, &cumulative);
        assert!(p.take(&mut w, kind::SHUTDOWN_ACK).is_some());
        let tag = if flags == T_BIT {
            0x1122_3344
        } else {
            p.peer_tag
        };
        send_abort(&mut w, &p, tag, flags);
        assert_eq!(w.down(0)[0].1, expected);
    }
}

fn cumulative_of(p: &Puppet) -> [u8; 4] {
    p.peer_tsn.wrapping_sub(1).to_be_bytes()
}

/// Valid packets of every kind, to be mutated.
fn templates(p: &mut Puppet) -> Vec<Vec<u8>> {
    let header = p.header();
    let data = p.data_value(11, b"some data");
    let sack = [
        &cumulative_of(p)[..],
        &[0, 1, 0, 0, 0, 1, 0, 1, 0, 2, 0, 3, 0, 0, 0, 1],
    ]
    .concat();
    let mut out = Vec::new();
    for (kind, flags, value) in [
        (kind::DATA, 3, data),
        (kind::SACK, 0, sack),
        (kind::INIT, 0, init_value(9, 9)),
        (kind::INIT_ACK, 0, init_value(9, 9)),
        (kind::HEARTBEAT, 0, vec![0, 1, 0, 8, 1, 2, 3, 4]),
        (
            kind::HEARTBEAT_ACK,
            0,
            vec![0, 1, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
        (kind::SHUTDOWN, 0, cumulative_of(p).to_vec()),
        (kind::SHUTDOWN_ACK, 0, vec![]),
        (kind::ERROR, 0, vec![0, 1, 0, 8, 0, 0, 0, 0]),
        (kind::COOKIE_ECHO, 0, vec![0; 100]),
        (kind::COOKIE_ACK, 0, vec![]),
        (0xc0, 0, vec![0; 8]),
        (0x82, 0, vec![0; 16]),
    ] {
        let mut b = PacketBuilder::new(header);
        b.chunk(kind, flags, &value);
        out.push(b.finish());
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
        let (mut w, mut p) = puppet();
        let mut bytes = bytes;
        if fix && bytes.len() >= 12 {
            let sum = checksum(&bytes).to_le_bytes();
            bytes[8..12].copy_from_slice(&sum);
        }
        w.inject(p.udp, 0, &bytes);
        w.run_ms(10);
        p.data(&mut w, 0, 11, b"alive");
        prop_assert_eq!(w.messages(0).len(), 1);
    }

    #[test]
    fn mutated_packets_do_no_harm(
        picks in prop::collection::vec((0_usize..13, 12_usize..64, any::<u8>(), any::<bool>()), 1..12),
        cut in 0_usize..40,
    ) {
        let (mut w, mut p) = puppet();
        let id = w.up(0)[0];
        w.send(0, id, 11, &[7; 3_000]);
        w.run_ms(2);
        let templates = templates(&mut p);
        for (pick, at, byte, init) in picks {
            let mut bytes = templates[pick].clone();
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
            if cut < 8 {
                bytes.truncate((bytes.len() - cut).max(12));
            }
            if init {
                bytes[4..8].fill(0);
            }
            let sum = checksum(&bytes).to_le_bytes();
            bytes[8..12].copy_from_slice(&sum);
            w.inject(p.udp, 0, &bytes);
            w.run_ms(3);
        }
        w.run_ms(10_000);
        prop_assert_eq!(w.nodes[0].stack.associations(), 0, "it ends, one way or another");
        let mut q = Puppet::new(2, 5);
        q.connect(&mut w, 0);
        q.data(&mut w, 0, 11, b"served");
    }

    #[test]
    fn connecting_to_a_babbler_does_no_harm(picks in prop::collection::vec((0_usize..13, 12_usize..64, any::<u8>()), 1..12)) {
        let mut w = World::new(1);
        let mut p = Puppet::new(1, 3);
        let now = w.now;
        w.nodes[0].stack.connect(now, PORT, SocketAddr::new(p.udp.ip(), PORT)).unwrap();
        w.run_ms(5);
        let init = p.take(&mut w, kind::INIT).unwrap();
        p.peer_tag = u32::from_be_bytes(init[..4].try_into().unwrap());
        let templates = templates(&mut p);
        for (pick, at, byte) in picks {
            let mut bytes = templates[pick].clone();
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
            let sum = checksum(&bytes).to_le_bytes();
            bytes[8..12].copy_from_slice(&sum);
            w.inject(p.udp, 0, &bytes);
        }
        w.run_ms(12_000);
        prop_assert_eq!(w.nodes[0].stack.associations(), 0);
    }
}
