//! Messages out of frames: which datagrams carry ASAP or ENRP, and where in them the messages are.

use core::net::SocketAddr;

use super::message::Protocol;
use super::network::{Datagram, Network, UnsupportedLink, be16, ip_protocol};
use super::sctp::{self, Sctp};
use super::tcp::Tcp;

/// Something found in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Whose it is.
    pub(super) protocol: Protocol,
    /// The payload protocol identifier, where it came over SCTP.
    pub(super) ppid: Option<u32>,
    /// What it is.
    pub(super) content: Content,
}

/// What an [`Item`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The bytes of a message, which may still turn out not to be one.
    Message(Vec<u8>),
    /// The first bytes of a message; the capture does not have the others.
    Cut {
        /// The bytes that are there.
        bytes: Vec<u8>,
        /// How many there should be.
        length: usize,
    },
    /// No message could be found where one should be.
    Fault(&'static str),
}

impl Item {
    /// An item of bytes that should be a message.
    pub(super) fn message(protocol: Protocol, ppid: Option<u32>, bytes: &[u8]) -> Self {
        let content = Content::Message(bytes.to_vec());
        Self {
            protocol,
            ppid,
            content,
        }
    }

    /// An item of `bytes` that stand where `length` bytes should.
    pub(super) fn part(protocol: Protocol, ppid: Option<u32>, bytes: &[u8], length: usize) -> Self {
        let mut item = Self::message(protocol, ppid, bytes);
        if bytes.len() < length {
            let bytes = bytes.to_vec();
            item.content = Content::Cut { bytes, length };
        }
        item
    }
}

/// All that is remembered of a capture from one frame to the next.
pub(super) struct Dissector {
    network: Network,
    sctp: Sctp,
    tcp: Tcp,
    sctp_udp_ports: Vec<u16>,
}

impl Dissector {
    /// A dissector that looks for SCTP on these UDP ports also.
    pub(super) fn new(mut sctp_udp_ports: Vec<u16>) -> Self {
        sctp_udp_ports.extend(SCTP_UDP_PORTS);
        Self {
            network: Network::default(),
            sctp: Sctp::default(),
            tcp: Tcp::default(),
            sctp_udp_ports,
        }
    }

    /// The messages that a frame holds or completes.
    pub(super) fn frame(&mut self, link: i32, frame: &[u8]) -> Result<Vec<Item>, UnsupportedLink> {
        let mut items = Vec::new();
        if let Some(datagram) = self.network.datagram(link, frame)? {
            // Each of them ends early where the headers do.
            let _ = match datagram.protocol {
                ip_protocol::SCTP => self.sctp.packet(&datagram.payload, &mut items),
                ip_protocol::UDP => self.udp(&datagram.payload, &mut items),
                ip_protocol::TCP => self.tcp(&datagram, &mut items),
                _ => None,
            };
        }
        Ok(items)
    }

    fn udp(&mut self, bytes: &[u8], items: &mut Vec<Item>) -> Option<()> {
        let ports = [be16(bytes, 0)?, be16(bytes, 2)?];
        let length = usize::from(be16(bytes, 4)?).checked_sub(8)?;
        let rest = bytes.get(8..)?;
        let payload = rest.get(..length).unwrap_or(rest);
        let for_sctp = ports.iter().any(|port| self.sctp_udp_ports.contains(port));
        if for_sctp || sctp::checksum_is_right(payload) {
            let _ = self.sctp.packet(payload, items);
        } else if let Some(protocol) = ports.into_iter().find_map(Protocol::of_port) {
            items.push(Item::part(protocol, None, payload, length));
        }
        Some(())
    }

    fn tcp(&mut self, datagram: &Datagram<'_>, items: &mut Vec<Item>) -> Option<()> {
        let segment = &*datagram.payload;
        let source = SocketAddr::new(datagram.source, be16(segment, 0)?);
        let destination = SocketAddr::new(datagram.destination, be16(segment, 2)?);
        if [source.port(), destination.port()].contains(&Protocol::Asap.port()) {
            self.tcp.segment((source, destination), segment, items)?;
        }
        Some(())
    }
}

/// RFC 6951 §5.1, and the port beside it that implementations use for a second endpoint.
const SCTP_UDP_PORTS: [u16; 2] = [9899, 9900];
