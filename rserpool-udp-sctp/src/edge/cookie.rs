//! The state cookie (RFC 9260 §5.1.3).
//!
//! Gap in sctp-proto 0.10.8: it builds a whole association per INIT, keeps it for ever, and its
//! cookie has no MAC and no lifetime. Here a responder stores nothing: all it will need travels in
//! the cookie, under HMAC-SHA-256 with a key of this stack. Can go when upstream does the same.
//!
//! The responder's address is not in it: a stack has one.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::init::Terms;
use super::params::MAX_ADDRESSES;
use crate::packet::{read_u16, read_u32};

const MAC_LEN: usize = 32;

/// What the responder will need when the cookie comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Time of the INIT ACK since the start of the stack.
    pub(crate) made: Duration,
    /// Our SCTP port.
    pub(crate) local_port: u16,
    /// The peer: source address of the INIT and its SCTP port.
    pub(crate) remote: SocketAddr,
    /// Our side of the INIT exchange.
    pub(crate) local: Terms,
    /// The peer's side.
    pub(crate) peer: Terms,
    /// Tie-tags (RFC 9260 §5.2.2): local and peer tag of the association there was, or zeros.
    pub(crate) tie: (u32, u32),
    /// Further addresses of the peer.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Cookie {
    /// The bytes for the State Cookie parameter.
    pub(crate) fn seal(&self, key: &[u8; 32]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        let micros = u64::try_from(self.made.as_micros()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&micros.to_be_bytes());
        bytes.extend_from_slice(&self.local_port.to_be_bytes());
        bytes.extend_from_slice(&self.remote.port().to_be_bytes());
        put_terms(&mut bytes, &self.local);
        put_terms(&mut bytes, &self.peer);
        bytes.extend_from_slice(&self.tie.0.to_be_bytes());
        bytes.extend_from_slice(&self.tie.1.to_be_bytes());
        put_address(&mut bytes, self.remote.ip());
        for address in self.addresses.iter().take(MAX_ADDRESSES) {
            put_address(&mut bytes, *address);
        }
        if let Some(mac) = mac(key, &bytes) {
            bytes.extend_from_slice(&mac.finalize().into_bytes());
        }
        bytes
    }

    /// Takes a cookie back, if this stack made it and nobody altered it. Says nothing of its age.
    pub(crate) fn open(bytes: &[u8], key: &[u8; 32]) -> Option<Cookie> {
        let (body, tag) = bytes.split_at_checked(bytes.len().checked_sub(MAC_LEN)?)?;
        mac(key, body)?.verify_slice(tag).ok()?;
        let micros = u64::from_be_bytes(*body.first_chunk()?);
        let mut rest = body.get(52..)?;
        let remote_ip = take_address(&mut rest)?;
        let mut addresses = Vec::new();
        while let Some(address) = take_address(&mut rest) {
            addresses.push(address);
        }
        Some(Cookie {
            made: Duration::from_micros(micros),
            local_port: read_u16(body, 8)?,
            remote: SocketAddr::new(remote_ip, read_u16(body, 10)?),
            local: Terms::read(body.get(12..)?)?,
            peer: Terms::read(body.get(28..)?)?,
            tie: (read_u32(body, 44)?, read_u32(body, 48)?),
            addresses,
        })
    }
}

fn mac(key: &[u8; 32], body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).ok()?;
    mac.update(body);
    Some(mac)
}

fn put_terms(bytes: &mut Vec<u8>, terms: &Terms) {
    bytes.extend_from_slice(&terms.encode());
}

fn put_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            bytes.push(4);
            bytes.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            bytes.push(6);
            bytes.extend_from_slice(&v6.octets());
        }
    }
}

fn take_address(rest: &mut &[u8]) -> Option<IpAddr> {
    let (version, tail) = rest.split_first()?;
    let (address, used): (IpAddr, usize) = match version {
        4 => (Ipv4Addr::from(*tail.first_chunk::<4>()?).into(), 4),
        6 => (Ipv6Addr::from(*tail.first_chunk::<16>()?).into(), 16),
        _ => return None,
    };
    *rest = tail.get(used..)?;
    Some(address)
}
