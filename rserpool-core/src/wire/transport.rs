//! Transport parameters and the addresses in them (RFC 5354 §3.1–3.7, §3.16).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smallvec::SmallVec;

use super::error::{DecodeError, DecodeErrorKind};
use super::list::{List, ListItem};
use super::param::{Param, Params, kind};
use super::reader::{Reader, Unrecognized};
use super::writer::Writer;

impl<'a> ListItem<'a> for IpAddr {
    fn next(
        params: &mut Params<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError> {
        while let Some(param) = params.next().transpose()? {
            match param.kind {
                kind::IPV4_ADDRESS => {
                    let octets: [u8; 4] = param.value.try_into().map_err(|_| param.invalid())?;
                    return Ok(Some(Ipv4Addr::from(octets).into()));
                }
                kind::IPV6_ADDRESS => {
                    let octets: [u8; 16] = param.value.try_into().map_err(|_| param.invalid())?;
                    return Ok(Some(Ipv6Addr::from(octets).into()));
                }
                _ => param.pass_over(unrecognized)?,
            }
        }
        Ok(None)
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::V4(_) => 8,
            Self::V6(_) => 20,
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::V4(address) => {
                writer.param_header(kind::IPV4_ADDRESS, 4);
                writer.put(address.octets());
            }
            Self::V6(address) => {
                writer.param_header(kind::IPV6_ADDRESS, 16);
                writer.put(address.octets());
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
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let (one, many) = match *self {
            Self::Sctp(sctp) => (None, Some(sctp.addresses.iter())),
            Self::Dccp { address, .. }
            | Self::Tcp { address, .. }
            | Self::Udp { address, .. }
            | Self::UdpLite { address, .. } => (Some(address), None),
            Self::Opaque(_) => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Decodes the parameter; `None` where it is no transport.
    pub(crate) fn decode(
        param: &Param<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError> {
        let mut reader = param.reader();
        if param.kind == kind::OPAQUE_TRANSPORT {
            return Ok(Some(Self::Opaque(param.value)));
        }
        if !(kind::DCCP_TRANSPORT..=kind::UDP_LITE_TRANSPORT).contains(&param.kind) {
            return Ok(None);
        }
        let port = reader.u16().map_err(|_| param.invalid())?;
        let transport_use = TransportUse(reader.u16().map_err(|_| param.invalid())?);
        if param.kind == kind::SCTP_TRANSPORT {
            let addresses: List<'a, IpAddr> = List::decode(reader, unrecognized)?;
            if addresses.is_empty() {
                return Err(param.error(DecodeErrorKind::MissingParameter(kind::IPV4_ADDRESS)));
            }
            return Ok(Some(Self::Sctp(SctpTransport {
                port,
                transport_use,
                addresses,
            })));
        }
        let service_code = match param.kind {
            kind::DCCP_TRANSPORT => reader.u32().map_err(|_| param.invalid())?,
            _ => 0,
        };
        let address = single_address(param, reader, unrecognized)?;
        Ok(Some(match param.kind {
            kind::DCCP_TRANSPORT => Self::Dccp {
                port,
                service_code,
                address,
            },
            kind::TCP_TRANSPORT => Self::Tcp {
                port,
                transport_use,
                address,
            },
            kind::UDP_TRANSPORT => Self::Udp { port, address },
            _ => Self::UdpLite { port, address },
        }))
    }

    fn value_len(&self) -> usize {
        match self {
            Self::Opaque(data) => data.len(),
            Self::Sctp(sctp) => 4 + sctp.addresses.encoded_len(),
            Self::Dccp { address, .. } => 8 + address.encoded_len(),
            Self::Tcp { address, .. }
            | Self::Udp { address, .. }
            | Self::UdpLite { address, .. } => 4 + address.encoded_len(),
        }
    }

    /// Bytes it takes as a parameter, with padding.
    pub(crate) fn encoded_len(&self) -> usize {
        4 + self.value_len().next_multiple_of(4)
    }

    /// Writes it as a parameter, with padding.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.param_header(self.kind(), self.value_len());
        match *self {
            Self::Opaque(data) => {
                writer.slice(data);
                writer.pad();
            }
            Self::Sctp(sctp) => {
                writer.pair(sctp.port, sctp.transport_use.0);
                sctp.addresses.write(writer);
            }
            Self::Dccp {
                port,
                service_code,
                address,
            } => {
                writer.pair(port, 0);
                writer.u32(service_code);
                address.write(writer);
            }
            Self::Tcp {
                port,
                transport_use,
                address,
            } => {
                writer.pair(port, transport_use.0);
                address.write(writer);
            }
            Self::Udp { port, address } | Self::UdpLite { port, address } => {
                writer.pair(port, 0);
                address.write(writer);
            }
        }
    }
}

/// The one address that transports other than SCTP have (RFC 5354 §3.3, §3.5–3.7).
fn single_address(
    param: &Param<'_>,
    reader: Reader<'_>,
    unrecognized: &mut Unrecognized,
) -> Result<IpAddr, DecodeError> {
    let mut params = Params::of(reader);
    let address = IpAddr::next(&mut params, unrecognized)?
        .ok_or_else(|| param.error(DecodeErrorKind::MissingParameter(kind::IPV4_ADDRESS)))?;
    match IpAddr::next(&mut params, unrecognized)? {
        None => Ok(address),
        Some(_) => Err(param.error(DecodeErrorKind::DuplicateParameter(kind::IPV4_ADDRESS))),
    }
}

impl<'a> ListItem<'a> for Transport<'a> {
    /// Only SCTP and TCP are allowed where transports are listed: in ASAP_SERVER_ANNOUNCE (RFC 5352 §2.2.10).
    fn next(
        params: &mut Params<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError> {
        while let Some(param) = params.next().transpose()? {
            match param.kind {
                kind::SCTP_TRANSPORT | kind::TCP_TRANSPORT => {
                    return Self::decode(&param, unrecognized);
                }
                _ => param.pass_over(unrecognized)?,
            }
        }
        Ok(None)
    }

    fn encoded_len(&self) -> usize {
        Transport::encoded_len(self)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        Transport::write(self, writer);
    }
}

/// A transport that is kept: the parameter's own bytes, with nothing in them that was not understood.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportBuf(SmallVec<[u8; 24]>);

impl TransportBuf {
    /// The parameter's bytes, padding included: also the information of an error cause.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The transport that is kept.
    pub fn as_transport(&self) -> Transport<'_> {
        let mut params = Params::new(&self.0, 0);
        params
            .next()
            .and_then(Result::ok)
            .and_then(|param| {
                Transport::decode(&param, &mut Unrecognized::default())
                    .ok()
                    .flatten()
            })
            // The bytes were written by `Transport::write` and nobody else.
            .unwrap_or(Transport::Opaque(&[]))
    }
}

impl From<&Transport<'_>> for TransportBuf {
    fn from(transport: &Transport<'_>) -> Self {
        let length = transport.encoded_len();
        let mut bytes = SmallVec::from_elem(0, length);
        transport.write(&mut Writer::over(&mut bytes));
        Self(bytes)
    }
}

impl fmt::Debug for TransportBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_transport(), f)
    }
}
