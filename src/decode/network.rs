//! IP datagrams out of frames: link layers, IPv4 and IPv6, and the reassembly of their fragments.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;

/// A whole IP datagram.
pub(super) struct Datagram<'a> {
    /// Where it comes from.
    pub(super) source: IpAddr,
    /// Where it goes.
    pub(super) destination: IpAddr,
    /// The protocol of the payload.
    pub(super) protocol: u8,
    /// What of the payload was captured.
    pub(super) payload: Cow<'a, [u8]>,
}

/// A link type that is not known here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnsupportedLink(pub(super) i32);

/// A part of an IP datagram, as one packet has it.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &'a [u8],
    /// Whether the capture has all of it.
    whole: bool,
    fragment: Option<Fragment>,
}

#[derive(Clone, Copy)]
struct Fragment {
    id: u32,
    offset: usize,
    more: bool,
}

/// Big-endian, as all of a network's numbers are.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let (field, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u16::from_be_bytes(*field))
}

/// Big-endian, as all of a network's numbers are.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let (field, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_be_bytes(*field))
}

/// The IP packet in a frame; `None` where the frame holds something else.
fn ip_packet(link: i32, frame: &[u8]) -> Result<Option<&[u8]>, UnsupportedLink> {
    Ok(match link {
        link_type::ETHERNET => be16(frame, 12).and_then(|kind| network_layer(kind, frame, 14)),
        link_type::LINUX_SLL => be16(frame, 14).and_then(|kind| network_layer(kind, frame, 16)),
        link_type::LINUX_SLL2 => be16(frame, 0).and_then(|kind| network_layer(kind, frame, 20)),
        // The version nibble says what the address family would say, and is the same in both byte orders.
        link_type::NULL | link_type::LOOP => frame.get(4..),
        link_type::RAW
        | link_type::RAW_BSD
        | link_type::RAW_OPENBSD
        | link_type::IPV4
        | link_type::IPV6 => Some(frame),
        other => return Err(UnsupportedLink(other)),
    })
}

/// Looks through VLAN tags (IEEE 802.1Q, 802.1ad).
fn network_layer(mut kind: u16, frame: &[u8], mut at: usize) -> Option<&[u8]> {
    while matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
        kind = be16(frame, at + 2)?;
        at += 4;
    }
    matches!(kind, 0x0800 | 0x86dd).then_some(())?;
    frame.get(at..)
}

impl<'a> Packet<'a> {
    fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::decode_v4(bytes),
            6 => Self::decode_v6(bytes),
            _ => None,
        }
    }

    fn decode_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        let total = match usize::from(be16(bytes, 2)?) {
            // Segmentation offload leaves the length out.
            0 => bytes.len(),
            total => total,
        };
        let flags = be16(bytes, 6)?;
        let (more, offset) = (flags & 0x2000 != 0, usize::from(flags & 0x1fff) * 8);
        if header < 20 || total < header {
            return None;
        }
        Some(Self {
            source: Ipv4Addr::from(be32(bytes, 12)?).into(),
            destination: Ipv4Addr::from(be32(bytes, 16)?).into(),
            protocol: *bytes.get(9)?,
            payload: bytes.get(header..total.min(bytes.len()))?,
            whole: total <= bytes.len(),
            fragment: (more || offset > 0).then_some(Fragment {
                id: u32::from(be16(bytes, 4)?),
                offset,
                more,
            }),
        })
    }

    fn decode_v6(bytes: &'a [u8]) -> Option<Self> {
        let address = |at: usize| {
            let (octets, _) = bytes.get(at..)?.split_first_chunk::<16>()?;
            Some(IpAddr::V6(Ipv6Addr::from(*octets)))
        };
        let end = match usize::from(be16(bytes, 4)?) {
            0 => bytes.len(),
            length => 40 + length,
        };
        let (mut protocol, mut at, mut fragment) = (*bytes.get(6)?, 40, None::<Fragment>);
        for _ in 0..MAX_EXTENSION_HEADERS {
            let length = match protocol {
                ip_protocol::HOP_BY_HOP | ip_protocol::ROUTING | ip_protocol::OPTIONS => {
                    usize::from(*bytes.get(at + 1)?) * 8 + 8
                }
                ip_protocol::AUTHENTICATION => usize::from(*bytes.get(at + 1)?) * 4 + 8,
                ip_protocol::FRAGMENT => {
                    let field = be16(bytes, at + 2)?;
                    fragment = Some(Fragment {
                        id: be32(bytes, at + 4)?,
                        offset: usize::from(field & 0xfff8),
                        more: field & 1 != 0,
                    });
                    8
                }
                _ => break,
            };
            protocol = *bytes.get(at)?;
            at += length;
            if fragment.is_some() {
                break;
            }
        }
        Some(Self {
            source: address(8)?,
            destination: address(24)?,
            protocol,
            payload: bytes.get(at..end.min(bytes.len()))?,
            whole: end <= bytes.len(),
            // A fragment that is all of its datagram (RFC 6946).
            fragment: fragment.filter(|fragment| fragment.more || fragment.offset > 0),
        })
    }
}

/// The datagrams of a capture, with the fragments that wait for the others.
#[derive(Default)]
pub(super) struct Network {
    partial: HashMap<Key, Partial>,
    /// The keys of `partial`, the oldest first.
    order: VecDeque<Key>,
}

type Key = (IpAddr, IpAddr, u8, u32);

#[derive(Default)]
struct Partial {
    pieces: BTreeMap<usize, Vec<u8>>,
    bytes: usize,
    /// The length of the datagram, once its last fragment is here.
    end: Option<usize>,
}

impl Partial {
    /// The datagram, where no byte of it is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end.filter(|end| self.bytes >= *end)?;
        let mut whole = Vec::with_capacity(end);
        for (offset, piece) in &self.pieces {
            let fresh = whole.len().checked_sub(*offset)?;
            whole.extend_from_slice(piece.get(fresh..).unwrap_or_default());
        }
        (whole.len() == end).then_some(whole)
    }
}

impl Network {
    /// The datagram that a frame holds or completes.
    pub(super) fn datagram<'a>(
        &mut self,
        link: i32,
        frame: &'a [u8],
    ) -> Result<Option<Datagram<'a>>, UnsupportedLink> {
        let Some(packet) = ip_packet(link, frame)?.and_then(Packet::decode) else {
            return Ok(None);
        };
        let payload = match packet.fragment {
            None => Some(Cow::Borrowed(packet.payload)),
            Some(fragment) => self.fragment(&packet, fragment).map(Cow::Owned),
        };
        Ok(payload.map(|payload| Datagram {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            payload,
        }))
    }

    fn fragment(&mut self, packet: &Packet<'_>, fragment: Fragment) -> Option<Vec<u8>> {
        let end = fragment.offset + packet.payload.len();
        if !packet.whole || end > MAX_DATAGRAM {
            return None;
        }
        // IPv6 tells the protocol in the first fragment only.
        let protocol = if packet.source.is_ipv4() {
            packet.protocol
        } else {
            0
        };
        let key = (packet.source, packet.destination, protocol, fragment.id);
        if !self.partial.contains_key(&key) {
            if self.order.len() == MAX_PARTIAL
                && let Some(oldest) = self.order.pop_front()
            {
                self.partial.remove(&oldest);
            }
            self.order.push_back(key);
        }
        let partial = self.partial.entry(key).or_default();
        if !fragment.more {
            partial.end = Some(end);
        }
        if let Some(replaced) = partial
            .pieces
            .insert(fragment.offset, packet.payload.to_vec())
        {
            partial.bytes -= replaced.len();
        }
        partial.bytes += packet.payload.len();
        let whole = partial.whole();
        // Pieces that overlap this much make no datagram.
        if whole.is_some() || partial.bytes > 2 * MAX_DATAGRAM {
            self.partial.remove(&key);
            self.order.retain(|other| *other != key);
        }
        whole
    }
}

/// Link types of captures, as pcap and pcapng number them.
mod link_type {
    pub(super) const NULL: i32 = 0;
    pub(super) const ETHERNET: i32 = 1;
    pub(super) const RAW_BSD: i32 = 12;
    pub(super) const RAW_OPENBSD: i32 = 14;
    pub(super) const RAW: i32 = 101;
    pub(super) const LOOP: i32 = 108;
    pub(super) const LINUX_SLL: i32 = 113;
    pub(super) const IPV4: i32 = 228;
    pub(super) const IPV6: i32 = 229;
    pub(super) const LINUX_SLL2: i32 = 276;
}

/// The numbers of protocols and of IPv6's extension headers.
pub(super) mod ip_protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(in super::super) const TCP: u8 = 6;
    pub(in super::super) const UDP: u8 = 17;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const OPTIONS: u8 = 60;
    pub(in super::super) const SCTP: u8 = 132;
}

const MAX_EXTENSION_HEADERS: usize = 8;
/// Datagrams whose fragments wait for each other.
const MAX_PARTIAL: usize = 256;
const MAX_DATAGRAM: usize = 65_535;
