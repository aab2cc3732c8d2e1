//! The group on which registrars announce themselves (RFC 5352 §3.6, §8.4).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

use rserpool_core::{ASAP_PORT, Dialect};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// A member of the ASAP group of a dialect.
pub(crate) struct Group {
    /// Bound to the group's port: receives.
    receiver: UdpSocket,
    /// Bound to the local address and the SCTP port, which some receivers take from the source: sends. It is never waited for: an
    /// announcement that has no room is made again soon.
    sender: std::net::UdpSocket,
    group: SocketAddr,
}

impl Group {
    /// Joins the group on the interface of `local`.
    pub(crate) fn join(dialect: Dialect, local: IpAddr, port: u16) -> io::Result<Self> {
        let group = group_address(dialect, local);
        let any: IpAddr = match local {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let receiver = socket(SocketAddr::new(any, group.port()))?;
        match (group.ip(), local) {
            (IpAddr::V4(group), IpAddr::V4(local)) => receiver.join_multicast_v4(&group, &local)?,
            (IpAddr::V6(group), _) => receiver.join_multicast_v6(&group, 0)?,
            _ => {}
        }
        let sender = socket(SocketAddr::new(local, port))?;
        match local {
            IpAddr::V4(local) => {
                sender.set_multicast_if_v4(&local)?;
                sender.set_multicast_loop_v4(true)?;
                sender.set_multicast_ttl_v4(1)?;
            }
            IpAddr::V6(_) => {
                sender.set_multicast_loop_v6(true)?;
                sender.set_multicast_hops_v6(1)?;
            }
        }
        Ok(Self {
            receiver: UdpSocket::from_std(receiver.into())?,
            sender: sender.into(),
            group,
        })
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        if let Err(error) = self.sender.send_to(bytes, self.group) {
            tracing::debug!(group = %self.group, %error, "announcement not sent");
        }
    }

    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receiver.recv_from(buffer).await
    }
}

fn group_address(dialect: Dialect, local: IpAddr) -> SocketAddr {
    let group: IpAddr = match (dialect, local) {
        (Dialect::Rfc, IpAddr::V4(_)) => Ipv4Addr::new(224, 0, 1, 185).into(),
        (Dialect::Rsplib, IpAddr::V4(_)) => Ipv4Addr::new(239, 0, 0, 50).into(),
        // RFC 5352 §8.4: FF0X::133, here with link-local scope.
        (_, IpAddr::V6(_)) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x133).into(),
    };
    SocketAddr::new(group, ASAP_PORT)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
