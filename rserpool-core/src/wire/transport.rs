//! Transport parameters and the addresses in them (RFC 5354 §3.1–3.7, §3.16).

use alloc::boxed::Box;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{DecodeError, DecodeErrorKind};
use super::list::{List, ListItem, WireList};
use super::param::{Param, Params, kind};
use super::reader::{Checked, Walk};
use super::writer::{Writer, header, pair, write_to};

impl<'a> ListItem<'a> for IpAddr {
    #[inline]
    fn next<W: Walk>(params: &mut Params<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError> {
        while let Some(param) = params.step()? {
            match param.kind {
                kind::IPV4_ADDRESS => return Ok(Some(Ipv4Addr::from(param.array::<4>()?).into())),
                kind::IPV6_ADDRESS => return Ok(Some(Ipv6Addr::from(param.array::<16>()?).into())),
                _ => param.pass_over(walk)?,
            }
        }
        Ok(None)
    }

    #[inline]
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::V4(address) => writer.words([header(kind::IPV4_ADDRESS, 4), address.to_bits()]),
            Self::V6(address) => {
                let octets = address.octets();
                let &[a, b, c, d] = octets.as_chunks().0 else {
                    return;
                };
                let [a, b, c, d] = [a, b, c, d].map(u32::from_be_bytes);
                writer.words([header(kind::IPV6_ADDRESS, 16), a, b, c, d]);
            }
        }
    }
}

/// How a pool element uses a transport (RFC 5354 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TransportUse(pub u16);

impl TransportUse {
    /// Application data only.
    pub const DATA_ONLY: Self = Self(0);
    /// Application data and an ASAP control channel.
    pub const DATA_PLUS_CONTROL: Self = Self(1);
}

/// An SCTP transport: one port and at least one address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SctpTransport<'a> {
    /// The SCTP port.
    pub port: u16,
    /// What it is used for.
    pub transport_use: TransportUse,
    /// All addresses of the endpoint.
    pub addresses: List<'a, IpAddr>,
}

/// A transport parameter.
///
/// ```
/// use rserpool_core::wire::{Transport, TransportBuf, TransportUse};
///
/// // Kept as its bytes, in which it can be found again.
/// let transport = Transport::Udp { port: 7, address: "192.0.2.2".parse()? };
/// let kept = TransportBuf::from(&transport);
/// assert_eq!(kept.as_transport(), transport);
/// assert_eq!((transport.port(), transport.transport_use()), (Some(7), TransportUse::DATA_ONLY));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transport<'a> {
    /// DCCP.
    Dccp {
        /// The port.
        port: u16,
        /// The service code.
        service_code: u32,
        /// The address.
        address: IpAddr,
    },
    /// SCTP, the only one with several addresses.
    Sctp(SctpTransport<'a>),
    /// TCP.
    Tcp {
        /// The port.
        port: u16,
        /// Reserved by RFC 5354 §3.5; the reference implementation puts its transport use here.
        transport_use: TransportUse,
        /// The address.
        address: IpAddr,
    },
    /// UDP.
    Udp {
        /// The port.
        port: u16,
        /// The address.
        address: IpAddr,
    },
    /// UDP-Lite.
    UdpLite {
        /// The port.
        port: u16,
        /// The address.
        address: IpAddr,
    },
    /// Something that only the application understands.
    Opaque(&'a [u8]),
}

impl<'a> Transport<'a> {
    /// The parameter type.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Dccp { .. } => kind::DCCP_TRANSPORT,
            Self::Sctp(_) => kind::SCTP_TRANSPORT,
            Self::Tcp { .. } => kind::TCP_TRANSPORT,
            Self::Udp { .. } => kind::UDP_TRANSPORT,
            Self::UdpLite { .. } => kind::UDP_LITE_TRANSPORT,
            Self::Opaque(_) => kind::OPAQUE_TRANSPORT,
        }
    }

    /// The port; an opaque transport has none.
    pub const fn port(&self) -> Option<u16> {
        match *self {
            Self::Dccp { port, .. }
            | Self::Tcp { port, .. }
            | Self::Udp { port, .. }
            | Self::UdpLite { port, .. }
            | Self::Sctp(SctpTransport { port, .. }) => Some(port),
            Self::Opaque(_) => None,
        }
    }

    /// The data/control configuration of a pool with this transport: all but SCTP are "data only" (RFC 5354 §3.3–3.7).
    pub const fn transport_use(&self) -> TransportUse {
        match self {
            Self::Sctp(sctp) => sctp.transport_use,
            _ => TransportUse::DATA_ONLY,
        }
    }

    /// All its addresses; an opaque transport has none.
    #[inline]
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let (mut one, mut many) = match *self {
            Self::Sctp(sctp) => (None, sctp.addresses.iter()),
            Self::Dccp { address, .. }
            | Self::Tcp { address, .. }
            | Self::Udp { address, .. }
            | Self::UdpLite { address, .. } => (Some(address), List::EMPTY.iter()),
            Self::Opaque(_) => (None, List::EMPTY.iter()),
        };
        core::iter::from_fn(move || one.take().or_else(|| many.next()))
    }

    /// Decodes the parameter; `None` where it is no transport.
    #[inline(always)]
    pub(crate) fn decode<W: Walk>(
        param: &Param<'a>,
        walk: &mut W,
    ) -> Result<Option<Self>, DecodeError> {
        if param.kind == kind::SCTP_TRANSPORT {
            return SctpTransport::decode(param, walk).map(|sctp| Some(Self::Sctp(sctp)));
        }
        Self::decode_other(*param, walk)
    }

    #[inline(never)]
    fn decode_other<W: Walk>(param: Param<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError> {
        match param.kind {
            kind::DCCP_TRANSPORT
            | kind::TCP_TRANSPORT
            | kind::UDP_TRANSPORT
            | kind::UDP_LITE_TRANSPORT => Self::decode_single(&param, walk).map(Some),
            kind::OPAQUE_TRANSPORT => Ok(Some(Self::Opaque(param.value))),
            _ => Ok(None),
        }
    }

    /// Decodes one of the transports that have one address (RFC 5354 §3.3, §3.5–3.7).
    fn decode_single<W: Walk>(param: &Param<'a>, walk: &mut W) -> Result<Self, DecodeError> {
        let (&[a, b, c, d], mut reader) = param.fixed()?;
        let (port, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let service_code = match param.kind {
            kind::DCCP_TRANSPORT => reader.u32().map_err(|_| param.invalid())?,
            _ => 0,
        };
        let mut params = Params::of(reader);
        let address =
            IpAddr::next(&mut params, walk)?.ok_or_else(|| param.lacks(kind::IPV4_ADDRESS))?;
        if !W::CHECKED && IpAddr::next(&mut params, walk)?.is_some() {
            return Err(param.error(DecodeErrorKind::DuplicateParameter(kind::IPV4_ADDRESS)));
        }
        Ok(match param.kind {
            kind::DCCP_TRANSPORT => Self::Dccp {
                port,
                service_code,
                address,
            },
            kind::TCP_TRANSPORT => Self::Tcp {
                port,
                transport_use: TransportUse(second),
                address,
            },
            kind::UDP_TRANSPORT => Self::Udp { port, address },
            _ => Self::UdpLite { port, address },
        })
    }

    /// Writes it as a parameter, with padding.
    #[inline]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Sctp(sctp) => sctp.write(writer),
            _ => self.write_single(writer),
        }
    }

    fn write_single(&self, writer: &mut Writer<'_>) {
        let (port, second, address) = match self {
            Self::Opaque(data) => return writer.param(kind::OPAQUE_TRANSPORT, data),
            Self::Sctp(sctp) => return sctp.write(writer),
            Self::Tcp {
                port,
                transport_use,
                address,
            } => (*port, transport_use.0, address),
            Self::Dccp { port, address, .. }
            | Self::Udp { port, address }
            | Self::UdpLite { port, address } => (*port, 0, address),
        };
        let transport = writer.open([pair(self.kind(), 0), pair(port, second)]);
        if let Self::Dccp { service_code, .. } = self {
            writer.words([*service_code]);
        }
        address.write(writer);
        writer.close(transport);
    }
}

impl<'a> SctpTransport<'a> {
    /// The parameter of one with one IPv4 address, as nearly all are, which needs no measuring.
    #[inline]
    fn usual(&self) -> Option<[u8; USUAL]> {
        let address = match self.addresses {
            List::Slice(&[IpAddr::V4(address)]) => address.to_bits(),
            List::Wire(WireList(&[0, 1, 0, 8, a, b, c, d])) => u32::from_be_bytes([a, b, c, d]),
            _ => return None,
        };
        let words = [
            header(kind::SCTP_TRANSPORT, 12),
            pair(self.port, self.transport_use.0),
            header(kind::IPV4_ADDRESS, 4),
            address,
        ];
        let mut bytes = [0; USUAL];
        for (target, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *target = word.to_be_bytes();
        }
        Some(bytes)
    }

    /// Decodes the parameter, which has at least one address (RFC 5354 §3.4).
    #[inline(always)]
    pub(crate) fn decode<W: Walk>(param: &Param<'a>, walk: &mut W) -> Result<Self, DecodeError> {
        let (&[a, b, c, d], reader) = param.fixed()?;
        let addresses =
            List::decode_some(reader, walk)?.ok_or_else(|| param.lacks(kind::IPV4_ADDRESS))?;
        Ok(Self {
            port: u16::from_be_bytes([a, b]),
            transport_use: TransportUse(u16::from_be_bytes([c, d])),
            addresses,
        })
    }

    /// Writes it as a parameter.
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        let fields = pair(self.port, self.transport_use.0);
        let transport = writer.open([pair(kind::SCTP_TRANSPORT, 0), fields]);
        self.addresses.write(writer);
        writer.close(transport);
    }
}

impl<'a> ListItem<'a> for Transport<'a> {
    /// Only SCTP and TCP are allowed where transports are listed: in ASAP_SERVER_ANNOUNCE (RFC 5352 §2.2.10).
    fn next<W: Walk>(params: &mut Params<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError> {
        while let Some(param) = params.step()? {
            match param.kind {
                kind::SCTP_TRANSPORT | kind::TCP_TRANSPORT => return Self::decode(&param, walk),
                _ => param.pass_over(walk)?,
            }
        }
        Ok(None)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        Transport::write(self, writer);
    }
}

/// A transport that is kept: the parameter's own bytes, with nothing in them that was not understood.
///
/// ```
/// use rserpool_core::wire::TransportBuf;
///
/// let transport = TransportBuf::sctp(4000, &["192.0.2.2".parse()?, "198.51.100.2".parse()?]);
/// assert_eq!(transport.as_transport().addresses().count(), 2);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TransportBuf(Kept);

/// What is behind the length is zero, and what fits is never long: equals are kept alike.
#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// What makes [`Kept`] as long as three pointers.
const SHORT: usize = 22;
/// The length of an SCTP transport with one IPv4 address.
const USUAL: usize = 16;

impl TransportBuf {
    /// SCTP at a port of these addresses, with a control channel: what most elements serve at.
    pub fn sctp(port: u16, addresses: &[IpAddr]) -> Self {
        Self::from(&Transport::Sctp(SctpTransport {
            port,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: List::Slice(addresses),
        }))
    }

    /// The parameter's bytes, padding included: also the information of an error cause.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Kept::Long(bytes) => bytes,
        }
    }

    /// Whether this is what is kept of a transport.
    #[inline]
    pub(crate) fn keeps(&self, transport: &Transport<'_>) -> bool {
        match transport {
            Transport::Sctp(sctp) => self.keeps_sctp(sctp),
            _ => *self == Self::from(transport),
        }
    }

    /// The same of SCTP.
    pub(crate) fn keeps_sctp(&self, sctp: &SctpTransport<'_>) -> bool {
        match (&self.0, sctp.usual()) {
            (Kept::Short { length: 16, bytes }, Some(usual)) => bytes.first_chunk() == Some(&usual),
            _ => *self == Self::from(&Transport::Sctp(*sctp)),
        }
    }

    /// The transport that is kept.
    pub fn as_transport(&self) -> Transport<'_> {
        let mut params = Params::new(self.as_bytes());
        params
            .next()
            .and_then(Result::ok)
            .and_then(|param| Transport::decode(&param, &mut Checked).ok().flatten())
            // The bytes were written by `Transport::write` and nobody else.
            .unwrap_or(Transport::Opaque(&[]))
    }
}

impl From<&Transport<'_>> for TransportBuf {
    #[inline]
    fn from(transport: &Transport<'_>) -> Self {
        if let Transport::Sctp(sctp) = transport
            && let Some(usual) = sctp.usual()
        {
            return Self(Kept::usual(usual));
        }
        Self(Kept::any(transport))
    }
}

impl Kept {
    #[inline]
    fn usual(usual: [u8; USUAL]) -> Self {
        let mut bytes = [0; SHORT];
        bytes[..USUAL].copy_from_slice(&usual);
        Self::Short { length: 16, bytes }
    }

    #[inline(never)]
    fn any(transport: &Transport<'_>) -> Self {
        let write = |writer: &mut Writer<'_>| transport.write(writer);
        let mut bytes = [0; SHORT];
        let length = write_to(&mut bytes, write);
        match u8::try_from(length) {
            Ok(length) if usize::from(length) <= SHORT => Self::Short { length, bytes },
            _ => {
                let mut bytes = alloc::vec![0; length];
                write_to(&mut bytes, write);
                Self::Long(bytes.into())
            }
        }
    }
}

impl fmt::Debug for TransportBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_transport(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_is_kept_as_any_other() {
        let v4 = IpAddr::from([10, 1, 2, 3]);
        let sctp = |addresses| SctpTransport {
            port: 1234,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses,
        };
        let one = [v4];
        let usual = Transport::Sctp(sctp(List::Slice(&one)));
        let buf = TransportBuf(Kept::any(&usual));
        for transport in [usual, buf.as_transport()] {
            assert!(matches!(transport, Transport::Sctp(sctp) if sctp.usual().is_some()));
            assert_eq!(TransportBuf::from(&transport), buf);
            assert!(buf.keeps(&transport));
        }
        let others = [&[][..], &[v4, v4], &[IpAddr::from([0_u16; 8])]];
        for addresses in others {
            assert_eq!(sctp(List::Slice(addresses)).usual(), None);
            let other = Transport::Sctp(sctp(List::Slice(addresses)));
            assert!(!buf.keeps(&other));
            assert!(TransportBuf::from(&other).keeps(&other));
        }
        let elsewhere = SctpTransport {
            port: 1235,
            ..sctp(List::Slice(&one))
        };
        assert!(!buf.keeps(&Transport::Sctp(elsewhere)));
    }
}
