//! Captures: link layers, transports, reassembly, and files that are not as they should be.

use serde_json::Value;

use crate::build::{
    ACK, SYN, chunk, cookie, ethernet, ipv4, ipv4_fragment, ipv6, pcap, pcapng, sctp, short, tcp,
    udp, unreachable,
};
use crate::{Output, capture, file, lines, run};

const ETHERNET: u32 = 1;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const SCTP: u8 = 132;
const UDP: u8 = 17;
const TCP: u8 = 6;

fn in_ethernet(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    packets
        .iter()
        .map(|packet| ethernet(IPV4, packet))
        .collect()
}

fn objects(output: &Output) -> Vec<Value> {
    let object = |line: &&str| serde_json::from_str(line).expect("each line is an object");
    lines(output).iter().map(object).collect()
}

/// Frame numbers and element identifiers of the messages found.
fn found(output: &Output) -> Vec<(u64, u64)> {
    let number = |object: &Value, key: &str| object[key].as_u64().unwrap_or_default();
    let pair = |object: &Value| (number(object, "frame"), number(object, "pe_id"));
    objects(output).iter().map(pair).collect()
}

/// Frame numbers and cookie lengths of the messages found.
fn cookies(output: &Output) -> Vec<(u64, usize)> {
    let cookie = |object: &Value| object["cookie"].as_str().map_or(0, str::len) / 2;
    let pair = |object: &Value| (object["frame"].as_u64().unwrap_or_default(), cookie(object));
    objects(output).iter().map(pair).collect()
}

#[test]
fn sctp_is_found_behind_every_link_layer() {
    let packet = ipv4(SCTP, &sctp(&[chunk(1, 3, 11, &unreachable(7))]));
    let with = |head: &[u8]| [head, &packet].concat();
    let mut tagged = vec![0; 12];
    tagged.extend([0x81, 0, 0, 5, 0x08, 0]);
    let mut sll = vec![0; 14];
    sll.extend([0x08, 0]);
    let mut sll2 = vec![0; 20];
    sll2[0] = 8;
    let all = [
        (ETHERNET, ethernet(IPV4, &packet)),
        (ETHERNET, with(&tagged)),
        (0, with(&[2, 0, 0, 0])),
        (0, with(&[0, 0, 0, 2])),
        (101, packet.clone()),
        (113, with(&sll)),
        (228, packet.clone()),
        (276, with(&sll2)),
    ];
    for (link, frame) in all {
        let file = pcap(link, &[frame]);
        let output = capture(&format!("link-{link}.pcap"), &[], &file);
        assert_eq!(found(&output), [(1, 7)], "link type {link}");
    }
    let v6 = ipv6(SCTP, &sctp(&[chunk(1, 3, 11, &unreachable(8))]));
    for (link, frame) in [
        (1, ethernet(IPV6, &v6)),
        (229, v6.clone()),
        (0, [&[30, 0, 0, 0], &*v6].concat()),
    ] {
        let file = pcapng(link, &[frame]);
        let output = capture(&format!("link-{link}.pcapng"), &[], &file);
        assert_eq!(found(&output), [(1, 8)], "link type {link}");
    }
}

#[test]
fn a_message_over_sctp_has_its_ppid() {
    let list_request = [5, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2];
    let chunks = [
        chunk(1, 3, 11, &unreachable(1)),
        chunk(2, 3, 12, &list_request),
        chunk(3, 3, 46, &unreachable(2)),
        chunk(4, 3, 0, &unreachable(3)),
    ];
    let frames = in_ethernet(&[ipv4(SCTP, &sctp(&chunks))]);
    let output = capture("ppid.pcap", &[], &pcap(ETHERNET, &frames));
    let found: Vec<_> = objects(&output)
        .iter()
        .map(|object| (object["protocol"].clone(), object["ppid"].clone()))
        .collect();
    assert_eq!(
        found,
        [
            (Value::from("ASAP"), Value::from(11)),
            ("ENRP".into(), 12.into()),
            ("ASAP".into(), 0.into()),
        ]
    );
}

#[test]
fn sctp_over_udp_is_found_by_port_and_by_checksum() {
    let good = |tsn| sctp(&[chunk(tsn, 3, 11, &unreachable(tsn))]);
    let mut bad = good(4);
    bad[8] ^= 1;
    let packets = [
        ipv4(UDP, &udp(9899, 50000, &good(1))),
        ipv4(UDP, &udp(50000, 9900, &good(2))),
        ipv4(UDP, &udp(50000, 50001, &good(3))),
        ipv4(UDP, &udp(50002, 50003, &bad)),
    ];
    let file = pcap(ETHERNET, &in_ethernet(&packets));
    let output = capture("encapsulated.pcap", &[], &file);
    assert_eq!(found(&output), [(1, 1), (2, 2), (3, 3)]);
    let output = capture(
        "encapsulated-port.pcap",
        &["--sctp-udp-port", "50003"],
        &file,
    );
    assert_eq!(found(&output), [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

#[test]
fn announces_are_found_in_udp() {
    let announce = [10, 0, 0, 8, 0x11, 0x11, 0x11, 0x11];
    let presence = [1, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0];
    let mut padded = ethernet(IPV4, &ipv4(UDP, &udp(3863, 3863, &announce)));
    padded.resize(60, 0);
    let frames = [
        padded,
        ethernet(IPV4, &ipv4(UDP, &udp(9901, 9901, &presence))),
        ethernet(IPV4, &ipv4(UDP, &udp(53, 53, &presence))),
    ];
    let output = capture("announces.pcap", &[], &pcap(ETHERNET, &frames));
    assert_eq!(
        lines(&output),
        [
            "{\"frame\":1,\"protocol\":\"ASAP\",\"type\":10,\"name\":\"ASAP_SERVER_ANNOUNCE\",\"flags\":0,\"length\":8,\
             \"ppid\":null,\"server_id\":286331153,\"transports\":[]}",
            "{\"frame\":2,\"protocol\":\"ENRP\",\"type\":1,\"name\":\"ENRP_PRESENCE\",\"flags\":0,\"length\":12,\
             \"ppid\":null,\"sender_id\":1,\"receiver_id\":0,\"servers\":[]}",
        ]
    );
}

#[test]
fn fragmented_messages_are_joined_by_their_numbers() {
    let message = cookie(2500);
    let part = |tsn: u32, index: usize| {
        let flags = [2, 0, 1][index];
        let end = message.len().min((index + 1) * 1000);
        chunk(tsn, flags, 11, &message[index * 1000..end])
    };
    let packet = |chunks: &[Vec<u8>]| ipv4(SCTP, &sctp(chunks));
    let packets = [
        // In order, across the end of the number space.
        packet(&[part(u32::MAX, 0)]),
        packet(&[part(0, 1)]),
        packet(&[part(1, 2)]),
        // Out of order, with one of them sent twice, and others that never come.
        packet(&[part(11, 1), part(12, 2)]),
        packet(&[part(11, 1)]),
        packet(&[part(10, 0)]),
        packet(&[part(20, 0)]),
        packet(&[part(22, 2)]),
        // A retransmission of all.
        packet(&[part(10, 0), part(11, 1), part(12, 2)]),
    ];
    let file = pcap(ETHERNET, &in_ethernet(&packets));
    let output = capture("fragments.pcap", &[], &file);
    assert_eq!(cookies(&output), [(3, 2500), (6, 2500)]);
}

#[test]
fn a_retransmission_is_not_shown_again() {
    let packet = ipv4(SCTP, &sctp(&[chunk(1, 3, 11, &unreachable(1))]));
    let next = ipv4(SCTP, &sctp(&[chunk(2, 3, 11, &unreachable(1))]));
    let file = pcap(ETHERNET, &in_ethernet(&[packet.clone(), packet, next]));
    assert_eq!(found(&capture("again.pcap", &[], &file)), [(1, 1), (3, 1)]);
}

#[test]
fn ip_fragments_are_joined_in_any_order() {
    let datagram = udp(3863, 3863, &cookie(3000));
    let fragment = |start: usize, end: usize, more: u16| {
        let offset = u16::try_from(start / 8).expect("small");
        ipv4_fragment(UDP, more | offset, &datagram[start..end])
    };
    let (first, second) = (fragment(0, 1480, 0x2000), fragment(1480, 2960, 0x2000));
    let third = fragment(2960, datagram.len(), 0);
    let packets = [second, third, first.clone(), first];
    let file = pcap(ETHERNET, &in_ethernet(&packets));
    assert_eq!(
        cookies(&capture("ip-fragments.pcap", &[], &file)),
        [(3, 3000)]
    );
}

#[test]
fn asap_over_tcp_is_framed_by_its_own_length() {
    let stream = [unreachable(1), unreachable(2), unreachable(3)].concat();
    let segment = |start: usize, end: usize| {
        let sequence = u32::MAX.wrapping_add(u32::try_from(start).expect("small"));
        ipv4(TCP, &tcp(sequence, ACK, &stream[start..end]))
    };
    let packets = [
        ipv4(TCP, &tcp(u32::MAX - 1, SYN, &[])),
        segment(0, 3),
        segment(3, 30),
        // Ahead of the stream, then again what was there, then the gap is closed.
        segment(40, 72),
        segment(0, 30),
        segment(28, 41),
    ];
    let file = pcap(ETHERNET, &in_ethernet(&packets));
    assert_eq!(
        found(&capture("tcp.pcap", &[], &file)),
        [(3, 1), (6, 2), (6, 3)]
    );
}

#[test]
fn a_stream_without_framing_is_given_up() {
    let packets = [
        ipv4(TCP, &tcp(0, SYN, &[])),
        ipv4(TCP, &tcp(1, ACK, &[9, 0, 0, 3, 1, 2, 3, 4])),
        ipv4(TCP, &tcp(9, ACK, &unreachable(1))),
        ipv4(TCP, &tcp(100, SYN, &[])),
        ipv4(TCP, &tcp(101, ACK, &unreachable(2))),
    ];
    let file = pcap(ETHERNET, &in_ethernet(&packets));
    let output = capture("tcp-lost.pcap", &[], &file);
    assert_eq!(found(&output), [(2, 0), (5, 2)]);
    assert!(objects(&output)[0]["error"].is_string());
}

#[test]
fn what_is_no_message_is_a_line_and_the_next_one_is_decoded() {
    let mut headless = unreachable(1);
    headless[4] = 1;
    let chunks = [
        chunk(1, 3, 11, &[0x7f, 0, 0, 4]),
        chunk(2, 3, 11, &headless),
        chunk(3, 3, 11, &[]),
        chunk(4, 3, 11, &unreachable(4)),
    ];
    let file = pcap(ETHERNET, &in_ethernet(&[ipv4(SCTP, &sctp(&chunks))]));
    let output = capture("faults.pcap", &[], &file);
    let lines = lines(&output);
    let fault = |error: &str, offset: usize| {
        format!("{{\"frame\":1,\"protocol\":\"ASAP\",\"error\":\"{error}\",\"offset\":{offset}}}")
    };
    assert_eq!(lines[0], fault("unrecognized message type 0x7f", 0));
    assert_eq!(lines[1], fault("unrecognized parameter 0x0109", 4));
    assert_eq!(lines[2], fault("shorter than a message header", 0));
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_packet_that_the_capture_cuts_off_is_told_so() {
    let mut frame = ethernet(IPV4, &ipv4(UDP, &udp(3863, 3863, &unreachable(1))));
    frame.truncate(frame.len() - 4);
    let output = capture("snap.pcap", &[], &pcap(ETHERNET, &[frame]));
    let object = &objects(&output)[0];
    assert_eq!(object["error"], "only 20 of 24 bytes were captured");
    assert_eq!(object["offset"], 20);
}

#[test]
fn a_link_type_that_is_not_known_is_told_with_its_frame() {
    let output = capture("link-195.pcap", &[], &pcap(195, &[vec![0; 60]]));
    assert_eq!((output.status, output.stdout.as_str()), (Some(2), ""));
    assert!(
        output
            .stderr
            .ends_with(": frame 1: link type 195 is not supported\n")
    );
}

#[test]
fn a_truncated_capture_is_decoded_to_its_last_whole_block() {
    let packet = ipv4(SCTP, &sctp(&[chunk(1, 3, 11, &unreachable(7))]));
    let frames = in_ethernet(&[packet.clone(), packet]);
    for (name, whole) in [
        ("pcap", pcap(ETHERNET, &frames)),
        ("pcapng", pcapng(1, &frames)),
    ] {
        let output = capture(&format!("short.{name}"), &[], &whole[..whole.len() - 5]);
        assert_eq!(output.status, Some(2), "{name}");
        assert_eq!(output.stdout.lines().count(), 1, "{name}");
        assert_eq!(output.stderr.lines().count(), 1, "{name}");
        assert!(
            output
                .stderr
                .contains("truncated: the file ends within the block at byte "),
            "{name}"
        );
    }
}

#[test]
fn no_corruption_makes_the_program_fall_over() {
    let packets = [
        ipv4(
            SCTP,
            &sctp(&[
                chunk(1, 2, 11, &cookie(40)[..20]),
                chunk(2, 1, 11, &cookie(40)[20..]),
            ]),
        ),
        ipv4(TCP, &tcp(1, ACK, &unreachable(1))),
        ipv4_fragment(UDP, 0x2000, &udp(3863, 3863, &unreachable(1))[..16]),
    ];
    let frames = in_ethernet(&packets);
    for (kind, whole) in [
        ("pcap", pcap(ETHERNET, &frames)),
        ("pcapng", pcapng(1, &frames)),
    ] {
        for (at, value) in (0..whole.len())
            .step_by(3)
            .zip([0x00, 0xff, 0x80, 0x01].into_iter().cycle())
        {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let output = capture(&format!("corrupt.{kind}"), &[], &damaged);
            assert!(
                matches!(output.status, Some(0 | 2)),
                "{kind} at {at}: {}",
                output.stderr
            );
            assert!(
                output.stderr.lines().count() <= 1,
                "{kind} at {at}: {}",
                output.stderr
            );
        }
    }
}

#[test]
fn a_damaged_block_is_told_with_its_place() {
    let packet = ipv4(SCTP, &sctp(&[chunk(1, 3, 11, &unreachable(7))]));
    let mut bytes = pcapng(1, &in_ethernet(&[packet]));
    let last = bytes.len() - 1;
    bytes[last] = 1;
    let output = capture("damaged.pcapng", &[], &bytes);
    assert_eq!((output.status, output.stdout.as_str()), (Some(2), ""));
    assert!(
        output.stderr.contains("damaged: invalid block at byte 48"),
        "{}",
        output.stderr
    );
}

/// Messages and faults of each capture of the reference implementation.
const REFERENCE: [(&str, usize, usize); 11] = [
    ("01-basic", 393, 0),
    ("03-takeover2", 147, 0),
    ("04-pingpong-failover", 256, 0),
    ("06-asap-conformance", 970, 24),
    ("07-enrp-conformance", 377, 6),
    ("08-selection", 868, 0),
    ("11-basic-debian-3.4.4", 405, 0),
    ("12-registrar-sigkill", 603, 0),
    ("13-cache-hrestest-ratelimit", 147, 0),
    ("14-multihomed-single-host", 461, 0),
    ("16-services-calcapp-csp", 155, 0),
];

#[test]
fn the_reference_implementations_traffic_is_decoded() {
    for (name, messages, faults) in REFERENCE {
        let path = format!(
            "{}/tests/captures/{name}.pcapng",
            env!("CARGO_MANIFEST_DIR")
        );
        let output = run(&["--output", "json", &path], "");
        let objects = objects(&output);
        let refused = objects.iter().filter(|object| object["error"].is_string());
        assert_eq!(refused.count(), faults, "{name}");
        assert_eq!(objects.len() - faults, messages, "{name}");
    }
}

#[test]
fn several_files_are_named_in_the_table() {
    let announce = [&[10, 0], &short(8)[..], &[0, 0, 0, 9]].concat();
    let frames = in_ethernet(&[ipv4(UDP, &udp(3863, 3863, &announce))]);
    let path = file("named.pcap", &pcap(ETHERNET, &frames));
    let path = path.to_str().expect("text");
    let output = run(&[path, path], "");
    let all = lines(&output);
    assert_eq!((all.len(), all[0], all[3]), (6, path, path));
    assert!(all[2].starts_with("      1     0.000000  ASAP      SERVER_ANNOUNCE"));
}
