//! The one-to-many socket.

use alloc::vec;
use alloc::vec::Vec;
use core::mem::offset_of;
use core::net::SocketAddr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::{Domain, Protocol, Type};

use crate::cmsg::{Purpose, SendInfo};
use crate::inbox::Inbox;
use crate::layout::{self, Event, GetAddrs, PaddrInfo, Primary, Record, i32_at, u32_at};
use crate::sys::{self, Outgoing};
use crate::{AssociationId, Error, address};

/// Which addresses a socket can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

impl Family {
    /// The one that has room for all of these addresses.
    pub fn of(addresses: &[SocketAddr]) -> Self {
        match addresses.iter().any(SocketAddr::is_ipv6) {
            false => Self::V4,
            true if addresses.iter().all(SocketAddr::is_ipv6) => Self::V6,
            true => Self::Both,
        }
    }
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where it goes to.
    pub info: SendInfo,
    /// The message; never empty.
    pub bytes: &'a [u8],
}

/// A one-to-many SCTP socket (RFC 6458 §3). No call blocks.
#[derive(Debug)]
pub struct Socket(socket2::Socket);

impl Socket {
    /// How many messages are sent by one system call.
    pub const BATCH: usize = 16;
    /// More addresses of one end are not asked for.
    const MAX_ADDRESSES: usize = 256;
    const EVENTS: [u16; 6] = [
        layout::ASSOC_CHANGE,
        layout::PEER_ADDR_CHANGE,
        layout::REMOTE_ERROR,
        layout::SHUTDOWN_EVENT,
        layout::PARTIAL_DELIVERY_EVENT,
        layout::SEND_FAILED_EVENT,
    ];

    /// A socket that tells of everything, but not of each time when everything has been acknowledged, for which see
    /// [`Socket::set_sender_dry`]. Messages of one association do not wait for the rest of another one's.
    pub fn new(family: Family) -> Result<Self, Error> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 | Family::Both => Domain::IPV6,
        };
        let socket = socket2::Socket::new(domain, Type::SEQPACKET, Some(Protocol::SCTP))
            .map_err(Error::of)?;
        if family != Family::V4 {
            socket.set_only_v6(family == Family::V6)?;
        }
        socket.set_nonblocking(true)?;
        // Associations that are still closing do not keep the port; another socket that listens there does.
        socket.set_reuse_address(true)?;
        let socket = Self(socket);
        let on = 1_i32.to_ne_bytes();
        socket.set(libc::SCTP_RECVRCVINFO, &on)?;
        socket.set_fragment_interleave(1)?;
        for kind in Self::EVENTS {
            socket.set_event(AssociationId::FUTURE, kind, true)?;
        }
        Ok(socket)
    }

    /// Whether an association tells by [`Notification::SenderDry`](crate::Notification::SenderDry) that everything sent has been
    /// acknowledged, each time anew; at once where there is nothing on its way (RFC 6458 §6.1.9).
    pub fn set_sender_dry(&self, association: AssociationId, on: bool) -> io::Result<()> {
        self.set_event(association, layout::SENDER_DRY_EVENT, on)
    }

    fn set_event(&self, association: AssociationId, kind: u16, on: bool) -> io::Result<()> {
        let event = Record::<{ size_of::<Event>() }>::new()
            .with(offset_of!(Event, assoc_id), association.0.to_ne_bytes())
            .with(offset_of!(Event, kind), kind.to_ne_bytes())
            .with(offset_of!(Event, on), [on.into()]);
        self.set(layout::SCTP_EVENT, &event.0)
    }

    /// Binds the first address, and adds the others. All have one port; 0 takes a free one.
    pub fn bind(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        let Some((first, others)) = addresses.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.set(
            layout::SCTP_SOCKOPT_BINDX_ADD,
            &address::encode_all(&[*first]),
        )?;
        if others.is_empty() {
            return Ok(());
        }
        let port = self.port()?;
        let others: Vec<_> = others
            .iter()
            .map(|address| SocketAddr::new(address.ip(), port))
            .collect();
        self.add_addresses(&others)
    }

    /// Adds local addresses (bindx, RFC 6458 §9.1). Their port is the socket's.
    pub fn add_addresses(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        let bytes = address::encode_all(addresses);
        self.set(layout::SCTP_SOCKOPT_BINDX_ADD, &bytes)
    }

    /// Removes local addresses; the last one stays.
    pub fn remove_addresses(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        let bytes = address::encode_all(addresses);
        self.set(layout::SCTP_SOCKOPT_BINDX_REM, &bytes)
    }

    /// Takes associations that others open.
    pub fn listen(&self) -> io::Result<()> {
        // On a one-to-many socket the number says only whether.
        self.0.listen(1)
    }

    /// The local port.
    pub fn port(&self) -> io::Result<u16> {
        let address = self.0.local_addr()?.as_socket();
        Ok(address.map_or(0, |address| address.port()))
    }

    /// Opens an association to a peer with these addresses (connectx, RFC 6458 §9.9). A
    /// [`Notification::AssociationChange`](crate::Notification::AssociationChange) says what became of it. The errors EISCONN and
    /// EALREADY say that there is one, up or on its way: see [`Socket::association`].
    pub fn connect(&self, addresses: &[SocketAddr]) -> io::Result<AssociationId> {
        sys::connectx(self.as_fd(), &address::encode_all(addresses)).map(AssociationId)
    }

    /// The association to the peer with this address and port.
    pub fn association(&self, peer: SocketAddr) -> io::Result<AssociationId> {
        let mut value = Record::<{ size_of::<PaddrInfo>() }>::new()
            .with(
                offset_of!(PaddrInfo, address),
                address::encode_storage(peer),
            )
            .0;
        self.read(libc::SCTP_GET_PEER_ADDR_INFO, &mut value)?;
        i32_at(&value, offset_of!(PaddrInfo, assoc_id))
            .map(AssociationId)
            .ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Sends up to [`Socket::BATCH`] messages; says how many of them, from the first one on, were taken. An error is the first
    /// one's: WouldBlock where the send buffer is full, EPIPE where its association has ended or is being closed.
    pub fn send(&self, messages: &[Message<'_>]) -> io::Result<usize> {
        let outgoing = messages.iter().map(|message| Outgoing {
            control: message.info.encode(Purpose::Message),
            bytes: message.bytes,
        });
        sys::send::<{ Self::BATCH }>(self.as_fd(), outgoing)
    }

    /// Closes an association after everything that was sent has been acknowledged (SCTP_EOF).
    pub fn close(&self, association: AssociationId) -> io::Result<()> {
        self.end(association, Purpose::Close)
    }

    /// Ends an association at once, and tells the peer (SCTP_ABORT).
    pub fn abort(&self, association: AssociationId) -> io::Result<()> {
        self.end(association, Purpose::Abort)
    }

    fn end(&self, association: AssociationId, purpose: Purpose) -> io::Result<()> {
        let info = SendInfo {
            association,
            stream: 0,
            ppid: 0,
            unordered: false,
            sack_immediately: false,
            context: 0,
        };
        let outgoing = Outgoing {
            control: info.encode(purpose),
            bytes: &[],
        };
        sys::send::<1>(self.as_fd(), core::iter::once(outgoing)).map(|_| ())
    }

    /// Takes what has come, up to the room of the inbox; says whether there may be more. WouldBlock where nothing has come.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<bool> {
        // The slots are lent out while the inbox takes what is in them.
        let mut slots = core::mem::take(&mut inbox.slots);
        let result = sys::receive::<{ Inbox::SLOTS }>(self.as_fd(), &mut slots);
        let taken = *result.as_ref().unwrap_or(&0);
        for slot in slots.iter().take(taken) {
            if let Some(association) = inbox.accept(slot.fragment()) {
                // It may have ended by itself.
                let _ = self.abort(association);
            }
        }
        inbox.slots = slots;
        result.map(|taken| taken == Inbox::SLOTS)
    }

    /// The local addresses of an association, or of the socket with [`AssociationId::FUTURE`] (RFC 6458 §9.5).
    pub fn local_addresses(&self, association: AssociationId) -> io::Result<Vec<SocketAddr>> {
        self.addresses(layout::SCTP_GET_LOCAL_ADDRS, association)
    }

    /// The addresses of the peer, the primary one first (RFC 6458 §9.3).
    pub fn peer_addresses(&self, association: AssociationId) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = self.addresses(layout::SCTP_GET_PEER_ADDRS, association)?;
        let mut value = Record::<{ size_of::<Primary>() }>::new()
            .with(offset_of!(Primary, assoc_id), association.0.to_ne_bytes())
            .0;
        self.read(libc::SCTP_PRIMARY_ADDR, &mut value)?;
        if let Some((primary, _)) = address::decode(&value[offset_of!(Primary, address)..])
            && let Some(index) = addresses.iter().position(|address| *address == primary)
        {
            addresses[..=index].rotate_right(1);
        }
        Ok(addresses)
    }

    fn addresses(&self, option: i32, association: AssociationId) -> io::Result<Vec<SocketAddr>> {
        const HEADER: usize = size_of::<GetAddrs>();
        let mut value = vec![0; HEADER + Self::MAX_ADDRESSES * address::MAX_NAME];
        value[..size_of::<i32>()].copy_from_slice(&association.0.to_ne_bytes());
        let length = self.read(option, &mut value)?;
        let count = u32_at(&value, offset_of!(GetAddrs, count)).unwrap_or(0);
        let bytes = value.get(HEADER..length).unwrap_or_default();
        Ok(address::decode_all(bytes, count as usize))
    }

    /// The sizes of the buffers in bytes, which all associations share; the kernel grants what it may.
    pub fn set_buffers(&self, send: usize, receive: usize) -> io::Result<()> {
        self.0.set_send_buffer_size(send)?;
        self.0.set_recv_buffer_size(receive)
    }

    /// The size of the send buffer in bytes, as the kernel counts: with what it needs beside the messages.
    pub fn send_buffer(&self) -> io::Result<usize> {
        self.0.send_buffer_size()
    }

    pub(crate) fn set(&self, option: i32, value: &[u8]) -> io::Result<()> {
        sys::set_option(self.as_fd(), option, value)
    }

    pub(crate) fn read(&self, option: i32, value: &mut [u8]) -> io::Result<usize> {
        sys::option(self.as_fd(), option, value)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
