//! Socket addresses as the kernel's bytes.

use alloc::vec::Vec;
use core::mem::offset_of;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use libc::{sockaddr_in, sockaddr_in6};

use crate::layout::{Record, STORAGE, field, u16_at, u32_at};

#[expect(clippy::cast_possible_truncation, reason = "families are small")]
const AF_INET: u16 = libc::AF_INET as u16;
#[expect(clippy::cast_possible_truncation, reason = "families are small")]
const AF_INET6: u16 = libc::AF_INET6 as u16;

/// Room for one address in any of the two families.
pub(crate) const MAX_NAME: usize = size_of::<sockaddr_in6>();

/// Appends the address, in the size of its family.
pub(crate) fn encode(address: SocketAddr, bytes: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(v4) => bytes.extend(
            Record::<{ size_of::<sockaddr_in>() }>::new()
                .with(offset_of!(sockaddr_in, sin_family), AF_INET.to_ne_bytes())
                .with(offset_of!(sockaddr_in, sin_port), v4.port().to_be_bytes())
                .with(offset_of!(sockaddr_in, sin_addr), v4.ip().octets())
                .0,
        ),
        SocketAddr::V6(v6) => bytes.extend(
            Record::<MAX_NAME>::new()
                .with(
                    offset_of!(sockaddr_in6, sin6_family),
                    AF_INET6.to_ne_bytes(),
                )
                .with(offset_of!(sockaddr_in6, sin6_port), v6.port().to_be_bytes())
                .with(offset_of!(sockaddr_in6, sin6_addr), v6.ip().octets())
                .with(
                    offset_of!(sockaddr_in6, sin6_scope_id),
                    v6.scope_id().to_ne_bytes(),
                )
                .0,
        ),
    }
}

/// The addresses one after another, as bindx and connectx take them.
pub(crate) fn encode_all(addresses: &[SocketAddr]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(addresses.len() * MAX_NAME);
    for address in addresses {
        encode(*address, &mut bytes);
    }
    bytes
}

/// The address in the room that structures have for one.
pub(crate) fn encode_storage(address: SocketAddr) -> [u8; STORAGE] {
    let mut bytes = Vec::with_capacity(STORAGE);
    encode(address, &mut bytes);
    let mut storage = [0; STORAGE];
    storage[..bytes.len()].copy_from_slice(&bytes);
    storage
}

/// The address that the bytes begin with, and its length. An IPv4 address that is mapped into IPv6 comes out as what it is.
pub(crate) fn decode(bytes: &[u8]) -> Option<(SocketAddr, usize)> {
    match u16_at(bytes, offset_of!(sockaddr_in, sin_family))? {
        AF_INET => {
            let port = field(bytes, offset_of!(sockaddr_in, sin_port))?;
            let ip: [u8; 4] = field(bytes, offset_of!(sockaddr_in, sin_addr))?;
            let address = SocketAddr::new(Ipv4Addr::from(ip).into(), u16::from_be_bytes(port));
            Some((address, size_of::<sockaddr_in>()))
        }
        AF_INET6 => {
            let port = u16::from_be_bytes(field(bytes, offset_of!(sockaddr_in6, sin6_port))?);
            let ip: [u8; 16] = field(bytes, offset_of!(sockaddr_in6, sin6_addr))?;
            let scope = u32_at(bytes, offset_of!(sockaddr_in6, sin6_scope_id))?;
            let address = match IpAddr::V6(Ipv6Addr::from(ip)).to_canonical() {
                // The kernel fills it in for all addresses; it means something only for some.
                IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                    SocketAddrV6::new(ip, port, 0, scope).into()
                }
                IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, 0).into(),
                mapped @ IpAddr::V4(_) => SocketAddr::new(mapped, port),
            };
            Some((address, size_of::<sockaddr_in6>()))
        }
        _ => None,
    }
}

/// As many addresses as the bytes have, one after another, up to `count`.
pub(crate) fn decode_all(mut bytes: &[u8], count: usize) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    while addresses.len() < count
        && let Some((address, length)) = decode(bytes)
    {
        addresses.push(address);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_survive() {
        let all = [
            address("192.0.2.1:3863"),
            address("[2001:db8::1]:9901"),
            address("[fe80::1%3]:1"),
        ];
        let bytes = encode_all(&all);
        assert_eq!(bytes.len(), 16 + 28 + 28);
        assert_eq!(bytes[2..8], [0x0f, 0x17, 192, 0, 2, 1]);
        assert_eq!(decode_all(&bytes, 3), all);
        assert_eq!(decode_all(&bytes, 2), all[..2]);
        assert_eq!(decode_all(&bytes, 9), all);
    }

    #[test]
    fn only_link_local_addresses_have_a_scope() {
        for (text, shown) in [
            ("[::1%7]:80", "[::1]:80"),
            ("[fe80::1%7]:80", "[fe80::1%7]:80"),
        ] {
            let mut bytes = Vec::new();
            encode(address(text), &mut bytes);
            assert_eq!(decode(&bytes), Some((address(shown), 28)));
        }
    }

    #[test]
    fn mapped_addresses_come_out_as_ipv4() {
        let mut bytes = Vec::new();
        encode(address("[::ffff:192.0.2.7]:80"), &mut bytes);
        assert_eq!(decode(&bytes), Some((address("192.0.2.7:80"), 28)));
    }

    #[test]
    fn what_is_cut_or_foreign_is_no_address() {
        for text in ["192.0.2.1:3863", "[2001:db8::1]:9901"] {
            let storage = encode_storage(address(text));
            let (decoded, length) = decode(&storage).expect("an address");
            assert_eq!(decoded, address(text));
            let needed = if length == 16 { 8 } else { 28 };
            for cut in 0..needed {
                assert_eq!(decode(&storage[..cut]), None, "{text} cut to {cut}");
            }
        }
        assert_eq!(decode(&[1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(decode_all(&[0; 64], 4), []);
    }
}
