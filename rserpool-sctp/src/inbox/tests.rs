//! Fragments by hand.

use alloc::vec;

use super::*;

const MAX: usize = 100;

/// A control message with the ReceiveInfo of an association and a stream.
fn control(association: i32, stream: u16) -> Vec<u8> {
    let word = size_of::<usize>();
    let header = size_of::<libc::cmsghdr>();
    let mut bytes = (header + 28).to_ne_bytes().to_vec();
    bytes.extend(libc::IPPROTO_SCTP.to_ne_bytes());
    bytes.extend(libc::SCTP_RCVINFO.to_ne_bytes());
    bytes.extend(stream.to_ne_bytes());
    bytes.extend([0; 6]);
    bytes.extend(11_u32.to_be_bytes());
    bytes.extend([0; 12]);
    bytes.extend(association.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(word), 0);
    bytes
}

fn part(inbox: &mut Inbox, (association, stream): (i32, u16), bytes: &[u8], end: bool) -> bool {
    let aborted = inbox.accept(Fragment {
        bytes,
        control: &control(association, stream),
        name: &[],
        notification: false,
        end,
    });
    assert!(aborted.is_none_or(|aborted| aborted == AssociationId(association)));
    aborted.is_some()
}

fn tell(inbox: &mut Inbox, kind: u16, body: &[u8], end: bool) {
    let mut bytes = kind.to_ne_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(u32::try_from(8 + body.len()).unwrap_or(0).to_ne_bytes());
    bytes.extend(body);
    inbox.accept(Fragment {
        bytes: &bytes,
        control: &[],
        name: &[],
        notification: true,
        end,
    });
}

fn message(inbox: &mut Inbox) -> Option<(i32, u16, Vec<u8>)> {
    match inbox.next()? {
        Received::Message {
            association,
            stream,
            bytes,
            ..
        } => Some((association.0, stream, bytes.to_vec())),
        other => panic!("no message but {other:?}"),
    }
}

#[test]
fn parts_of_streams_and_associations_do_not_mix() {
    let mut inbox = Inbox::new(MAX);
    part(&mut inbox, (1, 1), b"a", false);
    part(&mut inbox, (1, 2), b"b", false);
    part(&mut inbox, (2, 1), b"c", false);
    part(&mut inbox, (1, 2), b"B", true);
    part(&mut inbox, (3, 1), b"whole", true);
    part(&mut inbox, (1, 1), b"A", true);
    part(&mut inbox, (2, 1), b"C", true);
    let expected: [(i32, u16, &[u8]); 4] = [
        (1, 2, b"bB"),
        (3, 1, b"whole"),
        (1, 1, b"aA"),
        (2, 1, b"cC"),
    ];
    for (association, stream, bytes) in expected {
        let message = message(&mut inbox);
        assert_eq!(message, Some((association, stream, bytes.to_vec())));
    }
    assert_eq!(message(&mut inbox), None);
    assert_eq!((inbox.parts.len(), inbox.parts_bytes), (0, 0));
}

#[test]
fn a_message_over_the_cap_ends_its_association_once() {
    let mut inbox = Inbox::new(MAX);
    assert!(!part(&mut inbox, (1, 0), &[1; MAX], true));
    assert!(part(&mut inbox, (1, 0), &[1; MAX + 1], true));
    assert!(!part(&mut inbox, (1, 0), &[1; MAX], false));
    assert!(part(&mut inbox, (1, 0), &[1], false));
    assert!(!part(&mut inbox, (1, 0), &[1; MAX], false));
    assert!(!part(&mut inbox, (1, 0), &[1], true));
    // The next one is a message of its own.
    assert!(!part(&mut inbox, (1, 0), b"next", true));
    assert_eq!(inbox.counters().oversized, 2);
    assert_eq!(message(&mut inbox), Some((1, 0, vec![1; MAX])));
    assert_eq!(message(&mut inbox), Some((1, 0, b"next".to_vec())));
    assert_eq!(message(&mut inbox), None);
    assert_eq!(inbox.parts_bytes, 0);
}

#[test]
fn parts_are_bounded_in_all() {
    const LENGTH: usize = 1 << 20;
    let mut inbox = Inbox::new(LENGTH);
    for association in 0..16 {
        assert!(!part(&mut inbox, (association, 0), &[0; LENGTH], false));
    }
    assert!(part(&mut inbox, (16, 0), &[0], false));
    // Whole messages need no room.
    assert!(!part(&mut inbox, (17, 0), &[0; LENGTH], true));
    assert!(!part(&mut inbox, (0, 0), &[], true));
    assert!(!part(&mut inbox, (18, 0), &[0; LENGTH], false));
}

#[test]
fn an_aborted_delivery_drops_its_stream_and_an_end_all() {
    let word = |value: i32| value.to_ne_bytes();
    let mut inbox = Inbox::new(MAX);
    for stream in 0..3 {
        part(&mut inbox, (1, stream), b"part", false);
    }
    part(&mut inbox, (2, 0), b"part", false);
    tell(
        &mut inbox,
        0x8006,
        &[word(0), word(1), word(1), word(0)].concat(),
        true,
    );
    assert_eq!(inbox.counters().aborted, 1);
    assert_eq!(inbox.parts_bytes, 12);
    // Lost.
    tell(
        &mut inbox,
        0x8001,
        &[word(1), word(0), word(1)].concat(),
        true,
    );
    assert_eq!(inbox.counters().aborted, 3);
    assert_eq!(inbox.parts_bytes, 4);
    part(&mut inbox, (2, 0), b" two", true);
    let last = inbox.by_ref().last();
    assert!(matches!(last, Some(Received::Message { bytes, .. }) if bytes == "part two"));
}

#[test]
fn notifications_come_in_parts_and_bad_ones_are_counted() {
    let mut inbox = Inbox::new(MAX);
    let dry = [0x09, 0x80, 0, 0, 12, 0, 0, 0, 7, 0, 0, 0];
    for (index, byte) in dry.iter().enumerate() {
        inbox.accept(Fragment {
            bytes: &[*byte],
            control: &[],
            name: &[],
            notification: true,
            end: index == dry.len() - 1,
        });
    }
    let association = AssociationId(7);
    let notification = Notification::SenderDry { association };
    let peer = None;
    assert_eq!(
        inbox.next(),
        Some(Received::Notification { notification, peer })
    );
    tell(&mut inbox, 0x8fff, b"", true);
    tell(&mut inbox, 0x8009, b"cut", true);
    for _ in 0..100 {
        tell(&mut inbox, 0x8009, &[0; 1000], false);
    }
    assert!(inbox.notification.len() <= MAX + Inbox::NOTIFICATION);
    tell(&mut inbox, 0x8009, b"", true);
    let no_info = Fragment {
        bytes: b"message",
        control: &[],
        name: &[],
        notification: false,
        end: true,
    };
    assert_eq!(inbox.accept(no_info), None);
    let counters = inbox.counters();
    assert_eq!((counters.unknown, counters.malformed), (1, 2));
}
