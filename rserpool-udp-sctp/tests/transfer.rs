//! Messages between two stacks: identifiers, sizes, order, back-pressure, faults, close.

mod common;

use common::{PORT, Rng, World, ip};
use core::net::SocketAddr;
use rserpool_udp_sctp::packet::{Packet, kind};
use rserpool_udp_sctp::{Config, ConnectError, Event, Reason, SendError, Stack};

#[test]
fn ppids_of_any_value_arrive() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    for ppid in [11, 12, 0x2909_7603, 0, 50, 51, 56, 57, u32::MAX] {
        w.send(0, a, ppid, b"to b");
        w.send(1, b, ppid, b"to a");
    }
    w.run_ms(100);
    for node in 0..2 {
        let ppids: Vec<u32> = w.messages(node).iter().map(|m| m.1).collect();
        assert_eq!(ppids, [11, 12, 0x2909_7603, 0, 50, 51, 56, 57, u32::MAX]);
    }
}

/// RFC 9260 §3.3.1: the PPID "MUST be sent even in fragmented DATA chunks".
#[test]
fn every_fragment_carries_the_ppid_of_its_message() {
    let mut w = World::new(2);
    let (a, _) = w.connected();
    w.link.loss = 10;
    w.log = true;
    for number in 0..40_u32 {
        let size = if number % 3 == 0 { 100 } else { 10_000 };
        w.send(0, a, 1000 + number, &vec![7; size]);
    }
    w.run_ms(20_000);
    assert_eq!(w.messages(1).len(), 40);
    let mut fragments = 0;
    for (_, datagram) in w.sent.iter().filter(|(node, _)| *node == 0) {
        let packet = Packet::parse(datagram).unwrap();
        for chunk in packet.chunks().filter(|chunk| chunk.kind == kind::DATA) {
            let sequence = u16::from_be_bytes(chunk.value[6..8].try_into().unwrap());
            let ppid = u32::from_be_bytes(chunk.value[8..12].try_into().unwrap());
            assert_eq!(ppid, 1000 + u32::from(sequence));
            fragments += 1;
        }
    }
    assert!(fragments > 40);
}

/// The kinds of the chunks in each packet that a node has to send.
fn packets(w: &mut World, node: usize) -> Vec<Vec<u8>> {
    let transmits = core::iter::from_fn(|| w.nodes[node].stack.poll_transmit());
    let kinds = |payload: &[u8]| {
        assert!(payload.len() <= Config::default().mtu);
        let packet = Packet::parse(payload).unwrap();
        packet.chunks().map(|chunk| chunk.kind).collect()
    };
    transmits.map(|transmit| kinds(&transmit.payload)).collect()
}

/// RFC 9260 §6.10: control chunks stand before the data. §6.2: every second packet is acknowledged at once.
#[test]
fn an_answer_takes_the_acknowledgement_along() {
    const FULL: usize = 1_300;
    for (length, expected) in [
        (100, &[&[kind::SACK, kind::DATA][..]][..]),
        (FULL + 100, &[&[kind::DATA], &[kind::SACK, kind::DATA]]),
    ] {
        let mut w = World::new(2);
        let (a, b) = w.connected();
        w.run_ms(1_000);
        let now = w.now;
        for _ in 0..2 {
            let asking = &mut w.nodes[0].stack;
            asking.send(now, a, 0, 11, b"a question").unwrap();
            let question = asking.poll_transmit().unwrap();
            let from = w.nodes[0].udp;
            w.nodes[1]
                .stack
                .handle_datagram(now, from, &question.payload);
        }
        let asked = &mut w.nodes[1].stack;
        assert!(matches!(asked.poll_event(), Some(Event::Message { .. })));
        asked.send(now, b, 0, 11, &vec![7; length]).unwrap();
        assert_eq!(packets(&mut w, 1), expected);
    }
}

#[test]
fn two_hundred_large_messages_arrive_both_ways() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    for i in 0..200_u8 {
        let message = vec![i; 60_000];
        w.push(0, a, &message);
        w.push(1, b, &message);
    }
    w.run_ms(20_000);
    for node in 0..2 {
        let messages = w.messages(node);
        assert_eq!(messages.len(), 200);
        for (i, message) in messages.iter().enumerate() {
            assert_eq!(message.2, vec![u8::try_from(i).unwrap(); 60_000]);
        }
    }
}

#[test]
fn the_longest_message_arrives_and_a_longer_one_is_refused() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    w.send(0, a, 11, &vec![1; 65_536]);
    w.send(1, b, 11, &vec![2; 65_536]);
    let now = w.now;
    let long = w.nodes[0].stack.send(now, a, 0, 11, &vec![0; 65_537]);
    assert_eq!(long, Err(SendError::TooLong));
    w.run_ms(2_000);
    assert_eq!(w.messages(1), [(0, 11, vec![1; 65_536])]);
    assert_eq!(w.messages(0), [(0, 11, vec![2; 65_536])]);
}

#[test]
fn a_message_that_is_one_byte_too_long_ends_the_association() {
    let mut w = World::new(2);
    let mut config = Config::default();
    config.max_message_size = 65_537;
    w.nodes[0].stack = Stack::new(ip(0), config, [1; 32]);
    let (a, b) = w.connected();
    w.send(0, a, 11, &vec![1; 65_537]);
    w.run_ms(2_000);
    assert_eq!(w.messages(1), []);
    assert_eq!(w.down(1), [(b, Reason::Aborted)]);
    assert_eq!(w.down(0), [(a, Reason::Aborted)]);
}

#[test]
fn an_empty_message_is_refused_and_harms_nothing() {
    let mut w = World::new(2);
    let (a, _) = w.connected();
    let now = w.now;
    assert_eq!(
        w.nodes[0].stack.send(now, a, 0, 11, b""),
        Err(SendError::Empty)
    );
    assert_eq!(
        w.nodes[0].stack.send(now, a, 16, 11, b"x"),
        Err(SendError::NoSuchStream)
    );
    w.send(0, a, 11, b"after");
    w.run_ms(50);
    assert_eq!(w.messages(1), [(0, 11, b"after".to_vec())]);
}

#[test]
fn what_is_sent_before_the_association_is_up_arrives() {
    let mut w = World::new(2);
    w.nodes[1].stack.listen(PORT).unwrap();
    let now = w.now;
    let a = w.nodes[0]
        .stack
        .connect(now, 5, SocketAddr::new(ip(1), PORT))
        .unwrap();
    w.send(0, a, 11, b"early");
    w.nodes[0].stack.close(now, a);
    w.run_ms(100);
    assert_eq!(w.messages(1), [(0, 11, b"early".to_vec())]);
    assert_eq!(w.down(0), [(a, Reason::Closed)]);
    assert_eq!(w.down(1).len(), 1);
}

#[test]
fn close_delivers_what_was_queued() {
    for (size, count) in [(20, 30), (60_000, 30)] {
        let mut w = World::new(2);
        let (a, b) = w.connected();
        for i in 0..count {
            w.send(0, a, 11, &vec![i; size]);
        }
        let now = w.now;
        w.nodes[0].stack.close(now, a);
        let refused = w.nodes[0].stack.send(now, a, 0, 11, b"late");
        assert_eq!(refused, Err(SendError::Closing));
        w.run_ms(10_000);
        assert_eq!(w.messages(1).len(), usize::from(count));
        assert_eq!(w.down(0), [(a, Reason::Closed)]);
        assert_eq!(w.down(1), [(b, Reason::Closed)]);
        assert!(matches!(
            w.nodes[1].events.last(),
            Some(Event::Disconnected { .. })
        ));
        assert_eq!(
            w.nodes[0].stack.associations() + w.nodes[1].stack.associations(),
            0
        );
    }
}

#[test]
fn close_by_both_sides_at_once_delivers_both_ways() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    for _ in 0..10 {
        w.send(0, a, 11, &[1; 5_000]);
        w.send(1, b, 12, &[2; 5_000]);
    }
    let now = w.now;
    w.nodes[0].stack.close(now, a);
    w.nodes[1].stack.close(now, b);
    w.run_ms(5_000);
    assert_eq!((w.messages(0).len(), w.messages(1).len()), (10, 10));
    assert_eq!(
        (w.down(0), w.down(1)),
        (vec![(a, Reason::Closed)], vec![(b, Reason::Closed)])
    );
}

#[test]
fn close_right_after_receiving_does_not_wait_for_a_delayed_acknowledgement() {
    let mut w = World::new(2);
    let (a, b) = w.connected();
    w.send(1, b, 11, b"one");
    w.run_ms(3);
    let now = w.now;
    w.nodes[0].stack.close(now, a);
    w.run_ms(20);
    assert_eq!(w.down(0), [(a, Reason::Closed)]);
    assert_eq!(w.down(1), [(b, Reason::Closed)]);
}

#[test]
fn close_of_a_peer_that_never_acknowledges_is_bounded() {
    let mut w = World::new(2);
    let (a, _) = w.connected();
    w.nodes[1].dead = true;
    w.send(0, a, 11, b"lost");
    let now = w.now;
    w.nodes[0].stack.close(now, a);
    w.run_ms(6_000);
    assert_eq!(w.down(0).len(), 1);
    assert_ne!(w.down(0)[0].1, Reason::Closed);
}

#[test]
fn loss_reordering_and_duplication_change_nothing() {
    for seed in 0..4 {
        let mut w = World::new(2);
        w.link.rng = Rng::new(seed);
        (w.link.loss, w.link.reorder, w.link.duplicate) = (5, 10, 5);
        w.nodes[1].stack.listen(PORT).unwrap();
        let now = w.now;
        let a = w.nodes[0]
            .stack
            .connect(now, 7, SocketAddr::new(ip(1), PORT))
            .unwrap();
        let mut rng = Rng::new(seed + 100);
        let mut expected = Vec::new();
        for i in 0..300_u32 {
            let len = 4 + usize::try_from(rng.next() % 4_000).unwrap();
            let mut message = vec![u8::try_from(seed).unwrap(); len];
            message[..4].copy_from_slice(&i.to_be_bytes());
            w.push(0, a, &message);
            expected.push((0, 11, message));
        }
        let now = w.now;
        w.nodes[0].stack.close(now, a);
        w.run_ms(60_000);
        assert_eq!(w.messages(1).len(), expected.len(), "seed {seed}");
        assert!(w.messages(1) == expected, "seed {seed}: order or content");
        assert_eq!(w.down(0), [(a, Reason::Closed)], "seed {seed}");
        assert_eq!(w.down(1).len(), 1);
    }
}

#[test]
fn a_full_send_buffer_says_so_and_says_when_it_is_not() {
    let mut config = Config::default();
    config.max_send_buffer = 100_000;
    let mut w = World::with_config(2, &config);
    let (a, _) = w.connected();
    let now = w.now;
    w.send(0, a, 11, &[0; 60_000]);
    let full = w.nodes[0].stack.send(now, a, 0, 11, &[0; 60_000]);
    assert_eq!(full, Err(SendError::BufferFull));
    w.run_ms(2_000);
    assert_eq!(w.nodes[0].events, [Event::Writable { id: a }]);
    w.send(0, a, 11, &[0; 60_000]);
    w.run_ms(2_000);
    assert_eq!(w.messages(1).len(), 2);
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_nothing_is_lost() {
    let mut w = World::new(2);
    let (a, _) = w.connected();
    w.nodes[1].deaf = true;
    for i in 0..60_u8 {
        w.send(0, a, 11, &vec![i; 60_000]);
    }
    w.run_ms(20_000);
    assert!(w.down(0).is_empty(), "a closed window is no dead peer");
    w.nodes[1].deaf = false;
    w.collect();
    let held = w.messages(1).len();
    assert!(held < 15, "bounded by the receive buffer");
    w.run_ms(300);
    assert!(
        w.messages(1).len() > held,
        "told that there is room, and heeded: one delayed acknowledgement at most"
    );
    w.run_ms(20_000);
    let first: Vec<u8> = w.messages(1).iter().map(|m| m.2[0]).collect();
    assert_eq!(first, (0..60).collect::<Vec<u8>>());
}

#[test]
fn many_associations_and_two_ports_share_a_stack() {
    let mut w = World::new(2);
    w.nodes[1].stack.listen(9901).unwrap();
    w.nodes[1].stack.listen(3863).unwrap();
    let now = w.now;
    let mut ids = Vec::new();
    for i in 0..500_u16 {
        let to = SocketAddr::new(ip(1), if i % 2 == 0 { 9901 } else { 3863 });
        ids.push(w.nodes[0].stack.connect(now, 10_000 + i, to).unwrap());
    }
    // More than one source may have open at once: the rest gets through by repetition.
    w.run_ms(5_000);
    assert_eq!(w.up(0).len(), 500);
    assert_eq!(w.up(1).len(), 500);
    for (i, id) in ids.iter().enumerate() {
        w.send(0, *id, 11, &u64::try_from(i).unwrap().to_be_bytes());
    }
    w.run_ms(500);
    let mut seen: Vec<Vec<u8>> = w.messages(1).into_iter().map(|m| m.2).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 500);
    for (i, to) in [9901_u16, 3863].into_iter().enumerate() {
        let again = w.nodes[0].stack.connect(
            now,
            10_000 + u16::try_from(i).unwrap(),
            SocketAddr::new(ip(1), to),
        );
        assert_eq!(again, Ok(ids[i]), "an existing association is returned");
    }
    w.nodes[0].events.clear();
    w.run_ms(1);
    assert_eq!(w.up(0), ids[..2], "and told again");
}

#[test]
fn associations_without_a_port_get_free_ones_until_there_are_none() {
    let mut config = Config::default();
    config.max_associations = 20_000;
    let mut w = World::with_config(1, &config);
    let (now, to) = (w.now, SocketAddr::new(ip(1), PORT));
    let s = &mut w.nodes[0].stack;
    s.listen(50_000).unwrap();
    for _ in 49_152..65_535 {
        s.connect(now, 0, to).unwrap();
    }
    assert_eq!(s.connect(now, 0, to), Err(ConnectError::InvalidPort));
    // Towards another peer they are free.
    s.connect(now, 0, SocketAddr::new(ip(2), PORT)).unwrap();
}

#[test]
fn the_same_seeds_give_the_same_trace() {
    let trace = || {
        let mut w = World::new(2);
        w.log = true;
        w.link.loss = 5;
        w.nodes[1].stack.listen(PORT).unwrap();
        let now = w.now;
        let a = w.nodes[0]
            .stack
            .connect(now, 7, SocketAddr::new(ip(1), PORT))
            .unwrap();
        for i in 0..50 {
            w.push(0, a, &vec![i; 3_000]);
        }
        w.run_ms(10_000);
        w.sent
    };
    assert!(trace() == trace());
}

fn undelivered(w: &World, node: usize) -> Vec<(u16, u32, Vec<u8>)> {
    w.nodes[node]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Undelivered {
                stream,
                ppid,
                bytes,
                ..
            } => Some((*stream, *ppid, bytes.to_vec())),
            _ => None,
        })
        .collect()
}

/// RFC 9260 §11.1.15
#[test]
fn what_was_not_acknowledged_comes_back_before_the_end() {
    for silent in [false, true] {
        let mut w = World::new(2);
        let (a, _) = w.connected();
        for number in 0..20_u32 {
            w.send(0, a, number, &vec![7; 3000]);
        }
        w.run_ms(1000);
        assert_eq!(w.messages(1).len(), 20);
        w.nodes[0].events.clear();
        // Long and short ones, of which the first are on the wire and the last are not.
        w.link.filter = Box::new(|_, _| true);
        let lost: Vec<_> = (0..30_u32)
            .map(|number| {
                let length = if number % 2 == 0 { 10 } else { 20_000 };
                let bytes = vec![u8::try_from(number).unwrap(); length];
                let stream = u16::try_from(number % 3).unwrap();
                let now = w.now;
                let sent = w.nodes[0].stack.send(now, a, stream, number, &bytes);
                assert_eq!(sent, Ok(()));
                (stream, number, bytes)
            })
            .collect();
        if silent {
            w.run_ms(20_000);
        } else {
            let now = w.now;
            w.nodes[0].stack.abort(now, a);
            w.run_ms(10);
        }
        assert!(undelivered(&w, 0) == lost, "all, in order");
        let last = w.nodes[0].events.last();
        assert!(matches!(last, Some(Event::Disconnected { .. })));
    }
}

#[test]
fn each_message_is_acknowledged_or_comes_back() {
    for seed in 0..40 {
        let mut w = World::new(2);
        let (a, _) = w.connected();
        w.link.rng = Rng::new(seed);
        w.link.loss = 20;
        for number in 0..60_u32 {
            w.send(
                0,
                a,
                number,
                &vec![7; 100 + 100 * usize::try_from(number).unwrap()],
            );
        }
        w.run_ms(40 * seed);
        let now = w.now;
        w.nodes[0].stack.abort(now, a);
        w.run_ms(10);
        let got: Vec<_> = w.messages(1).iter().map(|message| message.1).collect();
        let back: Vec<_> = undelivered(&w, 0).iter().map(|message| message.1).collect();
        // What comes back are the last ones, and nobody lacks one.
        let first = back.first().copied().unwrap_or(60);
        assert_eq!(back, (first..60).collect::<Vec<_>>());
        let delivered = u32::try_from(got.len()).unwrap();
        assert!(delivered >= first, "{seed}: {delivered} {first}");
    }
}

#[test]
fn nothing_comes_back_of_an_association_that_was_closed() {
    let mut w = World::new(2);
    let (a, _) = w.connected();
    for number in 0..60_u32 {
        w.send(0, a, number, &[7; 5000]);
    }
    let now = w.now;
    w.nodes[0].stack.close(now, a);
    w.run_ms(10_000);
    assert_eq!(w.messages(1).len(), 60);
    assert_eq!(undelivered(&w, 0), []);
}
