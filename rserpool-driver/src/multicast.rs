//! The groups on which registrars announce themselves: to everybody by ASAP (RFC 5352 §3.6, §8.4), and to their peers by ENRP
//! (RFC 5353 §3.1).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

use rserpool_core::{ASAP_PORT, Dialect, ENRP_PORT, Ppid};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Interest, Options, Runtime, UdpSocket, Watched};

/// The groups of an endpoint.
pub(crate) struct Groups<R: Runtime> {
    asap: Option<Group<R>>,
    enrp: Option<Group<R>>,
}

impl<R: Runtime> Groups<R> {
    /// Joins the groups of the dialect, on the interface of `local`.
    pub(crate) fn join(options: &Options<R>, local: IpAddr) -> io::Result<Self> {
        let Some(dialect) = options.multicast else {
            return Ok(Self {
                asap: None,
                enrp: None,
            });
        };
        let join = |ppid, port| Group::join(group_address(dialect, ppid, local), local, port);
        Ok(Self {
            asap: Some(join(Ppid::ASAP, options.sctp_port.unwrap_or(0))?),
            enrp: match options.enrp_port {
                Some(port) => Some(join(Ppid::ENRP, port)?),
                None => None,
            },
        })
    }

    /// Sends a message to the group of a protocol; nothing happens where it was not joined.
    pub(crate) fn send(&self, ppid: Ppid, bytes: &[u8]) {
        let group = if ppid == Ppid::ENRP {
            &self.enrp
        } else {
            &self.asap
        };
        if let Some(group) = group {
            group.send(bytes);
        }
    }

    /// The next message of any group: its protocol, length and source.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(Ppid, usize, SocketAddr)> {
        let ppid = tokio::select! {
            result = readable(self.asap.as_ref()) => result.map(|()| Ppid::ASAP),
            result = readable(self.enrp.as_ref()) => result.map(|()| Ppid::ENRP),
        }?;
        let group = if ppid == Ppid::ENRP {
            &self.enrp
        } else {
            &self.asap
        };
        match group {
            Some(group) => {
                let (length, source) = group.receiver.try_recv_from(buffer)?;
                Ok((ppid, length, source))
            }
            None => core::future::pending().await,
        }
    }
}

async fn readable<R: Runtime>(group: Option<&Group<R>>) -> io::Result<()> {
    match group {
        Some(group) => group.receiver.ready(Interest::Readable).await,
        None => core::future::pending().await,
    }
}

/// A member of a group.
struct Group<R: Runtime> {
    /// Bound to the group's port: receives.
    receiver: R::Udp,
    /// Bound to the local address and the SCTP port, which some receivers take from the source: sends. It is never waited for: an
    /// announcement that has no room is made again soon.
    sender: std::net::UdpSocket,
    group: SocketAddr,
}

impl<R: Runtime> Group<R> {
    /// Joins the group on the interface of `local`.
    fn join(group: SocketAddr, local: IpAddr, port: u16) -> io::Result<Self> {
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
            receiver: R::Udp::watch(receiver.into())?,
            sender: sender.into(),
            group,
        })
    }

    fn send(&self, bytes: &[u8]) {
        if let Err(error) = self.sender.send_to(bytes, self.group) {
            tracing::debug!(group = %self.group, %error, "announcement not sent");
        }
    }
}

/// The group of a protocol. RFC 5353 names none for ENRP: it is ASAP's, at the port of ENRP.
fn group_address(dialect: Dialect, ppid: Ppid, local: IpAddr) -> SocketAddr {
    let enrp = ppid == Ppid::ENRP;
    let group: IpAddr = match (dialect, local) {
        (Dialect::Rfc, IpAddr::V4(_)) => Ipv4Addr::new(224, 0, 1, 185).into(),
        (Dialect::Rsplib, IpAddr::V4(_)) => {
            Ipv4Addr::new(239, 0, 0, if enrp { 51 } else { 50 }).into()
        }
        // RFC 5352 §8.4: FF0X::133, here with link-local scope.
        (_, IpAddr::V6(_)) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x133).into(),
    };
    SocketAddr::new(group, if enrp { ENRP_PORT } else { ASAP_PORT })
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
