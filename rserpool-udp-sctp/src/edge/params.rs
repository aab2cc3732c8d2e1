//! Parameters of INIT and INIT ACK.
//!
//! Gap in sctp-proto 0.10.8: an address parameter (5, 6), an Unrecognized Parameter (8) or any other
//! unknown type with a clear high bit drops the packet, so a multi-homed kernel peer never gets an
//! answer. It now sees neither INIT nor INIT ACK; this module reads their parameters by the rules of
//! RFC 9260 §3.2.1. Can go when upstream parses all of RFC 9260 §3.3.2 and §3.3.3.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::chunks::Unknown;
use crate::packet::params;

/// Addresses of a peer that are kept.
pub(crate) const MAX_ADDRESSES: usize = 32;

const IPV4_ADDRESS: u16 = 5;
const IPV6_ADDRESS: u16 = 6;
pub(crate) const STATE_COOKIE: u16 = 7;
pub(crate) const UNRECOGNIZED: u16 = 8;
const COOKIE_PRESERVATIVE: u16 = 9;
const HOST_NAME_ADDRESS: u16 = 11;
const SUPPORTED_ADDRESS_TYPES: u16 = 12;

/// Bytes of unrecognized parameters that are reported back.
const MAX_REPORT: usize = 256;

/// The parameters that matter.
#[derive(Debug, Default)]
pub(crate) struct Params<'a> {
    /// Further addresses of the peer, at most [`MAX_ADDRESSES`].
    pub(crate) addresses: Vec<IpAddr>,
    /// INIT ACK only.
    pub(crate) cookie: Option<&'a [u8]>,
    /// Whole parameters (type, length, value) to report.
    pub(crate) unrecognized: Vec<Vec<u8>>,
    /// RFC 9260 §5.1.2: a host name must be answered with ABORT.
    pub(crate) host_name: bool,
}

impl<'a> Params<'a> {
    /// Reads what follows the 16 fixed bytes of an INIT or INIT ACK value.
    pub(crate) fn read(value: &'a [u8]) -> Params<'a> {
        let mut found = Params::default();
        let mut reported = 0;
        for (kind, body) in params(value, 16) {
            match kind {
                IPV4_ADDRESS => {
                    let v4 = body.first_chunk::<4>().copied();
                    found.address(v4.map(|bytes| Ipv4Addr::from(bytes).into()));
                }
                IPV6_ADDRESS => {
                    let v6 = body.first_chunk::<16>().copied();
                    found.address(v6.map(|bytes| Ipv6Addr::from(bytes).into()));
                }
                STATE_COOKIE => found.cookie = Some(body),
                HOST_NAME_ADDRESS => found.host_name = true,
                UNRECOGNIZED | COOKIE_PRESERVATIVE | SUPPORTED_ADDRESS_TYPES => {}
                _ => {
                    let rule = Unknown::param(kind);
                    if rule.report && reported + body.len() <= MAX_REPORT {
                        reported += 4 + body.len();
                        found.unrecognized.push(encode(kind, &[body]));
                    }
                    if !rule.skip {
                        break;
                    }
                }
            }
        }
        found
    }

    fn address(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address
            && self.addresses.len() < MAX_ADDRESSES
            && !self.addresses.contains(&address)
        {
            self.addresses.push(address);
        }
    }
}

/// One parameter. Padding goes between parameters, not behind the last one: that is the chunk's
/// (RFC 9260 §3.2). A body too long for the length field gives nothing.
pub(crate) fn encode(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let Ok(length) = u16::try_from(4 + body) else {
        return Vec::new();
    };
    let mut bytes = Vec::with_capacity(8 + body);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}
