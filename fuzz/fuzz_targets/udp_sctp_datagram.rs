//! A stack with an association, and packets for it that are nearly right: where the script says so, they have the ports, the tag
//! and the checksum that a packet of the peer would have.
#![no_main]

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use rserpool_udp_sctp::{Config, Event, Stack};

const PORT: u16 = 3863;

/// A stack and its UDP address.
struct Host {
    stack: Stack,
    udp: SocketAddr,
}

impl Host {
    fn new(number: u8) -> Self {
        let udp = SocketAddr::from(([10, 0, 0, number], 9899));
        let mut stack = Stack::new(udp.ip(), Config::default(), [number; 32]);
        stack.listen(PORT).expect("the port is free");
        Self { stack, udp }
    }
}

/// Carries packets until none is left; the header of the last one from `a` to `b`.
fn pump(now: Instant, a: &mut Host, b: &mut Host) -> Option<[u8; 8]> {
    let mut header = None;
    for _ in 0..1000 {
        let mut quiet = true;
        while let Some(packet) = a.stack.poll_transmit() {
            quiet = false;
            if packet.to == b.udp {
                header = packet.payload.first_chunk().copied();
                b.stack.handle_datagram(now, a.udp, &packet.payload);
            }
        }
        while let Some(packet) = b.stack.poll_transmit() {
            quiet = false;
            if packet.to == a.udp {
                a.stack.handle_datagram(now, b.udp, &packet.payload);
            }
        }
        if quiet {
            return header;
        }
    }
    panic!("packets without end");
}

fn fix_checksum(packet: &mut [u8]) {
    if let Some(field) = packet.get_mut(8..12) {
        field.fill(0);
        let sum = crc32c::crc32c(packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
    }
}

fuzz_target!(|script: &[u8]| {
    let mut now = Instant::now();
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let id = a
        .stack
        .connect(now, PORT, SocketAddr::new(b.udp.ip(), PORT))
        .expect("a good address");
    let mut header = pump(now, &mut a, &mut b).expect("a handshake has packets");
    let mut rest = script;
    while let [flags, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (body, tail) = tail.split_at(length);
        rest = tail;
        let mut packet = body.to_vec();
        if flags & 1 != 0 {
            packet.splice(0..0, header.into_iter().chain([0; 4]));
        }
        if flags & 2 != 0 {
            fix_checksum(&mut packet);
        }
        b.stack.handle_datagram(now, a.udp, &packet);
        if flags & 4 != 0 {
            // The association may be gone by now; then nothing is sent.
            let _ = a.stack.send(now, id, 0, 11, b"message");
        }
        if flags & 8 != 0 {
            now += Duration::from_millis(700);
            a.stack.handle_timeout(now);
            b.stack.handle_timeout(now);
        }
        header = pump(now, &mut a, &mut b).unwrap_or(header);
        while let Some(event) = b.stack.poll_event() {
            if let Event::Message { bytes, .. } = event {
                assert!(!bytes.is_empty() && bytes.len() <= 65_536);
            }
        }
        while a.stack.poll_event().is_some() {}
        assert!(b.stack.associations() <= 16);
    }
});
