//! Packets and capture files, made by hand.

/// ASAP_ENDPOINT_UNREACHABLE for an element of "EchoPool".
pub(crate) fn unreachable(pe_id: u32) -> Vec<u8> {
    let mut message = vec![9, 0, 0, 24, 0, 9, 0, 12];
    message.extend(b"EchoPool");
    message.extend([0, 14, 0, 8]);
    message.extend(pe_id.to_be_bytes());
    message
}

/// ASAP_COOKIE with so many bytes.
pub(crate) fn cookie(length: usize) -> Vec<u8> {
    let parameter = length + 4;
    let padded = parameter.next_multiple_of(4);
    let mut message = vec![11, 0];
    message.extend(short(padded + 4));
    message.extend([0, 13]);
    message.extend(short(parameter));
    message.extend((0..length).map(|at| u8::try_from(at % 251).expect("small")));
    message.resize(padded + 4, 0);
    message
}

pub(crate) fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("fits 16 bits").to_be_bytes()
}

fn long(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("fits 32 bits").to_le_bytes()
}

/// A DATA chunk on stream 0; flags 3 is a whole message, 2 its first part, 1 its last.
pub(crate) fn chunk(tsn: u32, flags: u8, ppid: u32, data: &[u8]) -> Vec<u8> {
    let mut chunk = vec![0, flags];
    chunk.extend(short(16 + data.len()));
    chunk.extend(tsn.to_be_bytes());
    chunk.extend([0, 0, 0, 0]);
    chunk.extend(ppid.to_be_bytes());
    chunk.extend(data);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// An SCTP packet from port 3863 with a right checksum.
pub(crate) fn sctp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = [short(3863), short(40606)].concat();
    packet.extend([0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0, 0]);
    packet.extend(chunks.concat());
    let checksum = crc32c::crc32c(&packet);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

pub(crate) fn udp(source: usize, destination: usize, payload: &[u8]) -> Vec<u8> {
    let mut datagram = [
        short(source),
        short(destination),
        short(payload.len() + 8),
        [0, 0],
    ]
    .concat();
    datagram.extend(payload);
    datagram
}

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

pub(crate) fn tcp(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [short(50000), short(3863)].concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

/// An IPv4 packet; `fragment` is the field of flags and offset.
pub(crate) fn ipv4_fragment(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(short(payload.len() + 20));
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(payload);
    packet
}

pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(protocol, 0x4000, payload)
}

/// An IPv6 packet with a hop-by-hop options header.
pub(crate) fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(short(payload.len() + 8));
    packet.extend([0, 64]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

pub(crate) fn ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame
}

/// A pcap file, little-endian, with times in microseconds.
pub(crate) fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend(long(0xffff));
    file.extend(link.to_le_bytes());
    for (second, frame) in frames.iter().enumerate() {
        file.extend([long(second), long(0), long(frame.len()), long(frame.len())].concat());
        file.extend(frame);
    }
    file
}

/// A pcapng file, little-endian, with one interface.
pub(crate) fn pcapng(link: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: usize, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let mut block = [long(kind), long(padded + 12)].concat();
        block.extend(body);
        block.resize(padded + 8, 0);
        block.extend(long(padded + 12));
        block
    };
    let mut section = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    section.extend([1, 0, 0, 0]);
    section.extend([0xff; 8]);
    let mut file = block(0x0a0d_0d0a, &section);
    let interface = [link.to_le_bytes().as_slice(), &[0, 0], &long(0)].concat();
    file.extend(block(1, &interface));
    for frame in frames {
        let mut packet = [
            long(0),
            long(0),
            long(0),
            long(frame.len()),
            long(frame.len()),
        ]
        .concat();
        packet.extend(frame);
        file.extend(block(6, &packet));
    }
    file
}
