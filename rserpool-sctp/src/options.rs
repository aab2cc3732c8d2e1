//! Settings. With [`AssociationId::FUTURE`] they are for all associations that are still to come.

use core::mem::offset_of;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use libc::sctp_initmsg;

use crate::layout::{
    self, AssocParams, PaddrParams, Record, RtoInfo, SackInfo, UdpEncaps, u16_at, u32_at,
};
use crate::{AssociationId, Socket, address};

/// The retransmission time-out (SCTP_RTOINFO, RFC 6458 §8.1.1), in whole milliseconds. What is 0 stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rto {
    /// Before the first measurement.
    pub initial: Duration,
    /// Its lower bound.
    pub min: Duration,
    /// Its upper bound.
    pub max: Duration,
}

/// How associations begin (SCTP_INITMSG, RFC 6458 §8.1.3). What is 0 stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// How many streams to send on.
    pub outbound_streams: u16,
    /// How many streams to receive on at most.
    pub inbound_streams: u16,
    /// How often INIT is sent before the peer counts as absent.
    pub attempts: u16,
    /// The upper bound of the time between two of them, in whole milliseconds.
    pub max_timeout: Duration,
}

impl Socket {
    /// Sets the retransmission time-out.
    pub fn set_rto(&self, association: AssociationId, rto: Rto) -> io::Result<()> {
        let value = Record::<{ size_of::<RtoInfo>() }>::new()
            .with(offset_of!(RtoInfo, assoc_id), association.0.to_ne_bytes())
            .with(offset_of!(RtoInfo, initial), millis(rto.initial))
            .with(offset_of!(RtoInfo, max), millis(rto.max))
            .with(offset_of!(RtoInfo, min), millis(rto.min));
        self.set(libc::SCTP_RTOINFO, &value.0)
    }

    /// The retransmission time-out.
    pub fn rto(&self, association: AssociationId) -> io::Result<Rto> {
        let mut value = Record::<{ size_of::<RtoInfo>() }>::new()
            .with(offset_of!(RtoInfo, assoc_id), association.0.to_ne_bytes())
            .0;
        self.read(libc::SCTP_RTOINFO, &mut value)?;
        let at = |offset| Duration::from_millis(u32_at(&value, offset).unwrap_or(0).into());
        Ok(Rto {
            initial: at(offset_of!(RtoInfo, initial)),
            min: at(offset_of!(RtoInfo, min)),
            max: at(offset_of!(RtoInfo, max)),
        })
    }

    /// Sets how many time-outs in a row there may be before the peer counts as dead (SCTP_ASSOCINFO, RFC 6458 §8.1.2).
    pub fn set_max_retransmissions(
        &self,
        association: AssociationId,
        count: u16,
    ) -> io::Result<()> {
        let value = Record::<{ size_of::<AssocParams>() }>::new()
            .with(
                offset_of!(AssocParams, assoc_id),
                association.0.to_ne_bytes(),
            )
            .with(
                offset_of!(AssocParams, max_retransmissions),
                count.to_ne_bytes(),
            );
        self.set(libc::SCTP_ASSOCINFO, &value.0)
    }

    /// How many time-outs in a row there may be before the peer counts as dead.
    pub fn max_retransmissions(&self, association: AssociationId) -> io::Result<u16> {
        let mut value = Record::<{ size_of::<AssocParams>() }>::new()
            .with(
                offset_of!(AssocParams, assoc_id),
                association.0.to_ne_bytes(),
            )
            .0;
        self.read(libc::SCTP_ASSOCINFO, &mut value)?;
        let count = u16_at(&value, offset_of!(AssocParams, max_retransmissions));
        count.ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Sets the time between two heartbeats of an idle address, in whole milliseconds, to which the kernel adds its
    /// retransmission time-out; and how many time-outs in a row there may be before an address counts as unreachable
    /// (SCTP_PEER_ADDR_PARAMS, RFC 6458 §8.1.12).
    pub fn set_heartbeat(
        &self,
        association: AssociationId,
        interval: Duration,
        path_max_retransmissions: u16,
    ) -> io::Result<()> {
        let value = Record::<{ size_of::<PaddrParams>() }>::new()
            .with(
                offset_of!(PaddrParams, assoc_id),
                association.0.to_ne_bytes(),
            )
            .with(
                offset_of!(PaddrParams, heartbeat_interval),
                millis(interval),
            )
            .with(
                offset_of!(PaddrParams, path_max_retransmissions),
                path_max_retransmissions.to_ne_bytes(),
            )
            .with(
                offset_of!(PaddrParams, flags),
                layout::SPP_HB_ENABLE.to_ne_bytes(),
            );
        self.set(libc::SCTP_PEER_ADDR_PARAMS, &value.0)
    }

    /// Sets how associations begin.
    pub fn set_init(&self, init: Init) -> io::Result<()> {
        let timeout = u16::try_from(init.max_timeout.as_millis()).unwrap_or(u16::MAX);
        let value = Record::<{ size_of::<sctp_initmsg>() }>::new()
            .with(
                offset_of!(sctp_initmsg, sinit_num_ostreams),
                init.outbound_streams.to_ne_bytes(),
            )
            .with(
                offset_of!(sctp_initmsg, sinit_max_instreams),
                init.inbound_streams.to_ne_bytes(),
            )
            .with(
                offset_of!(sctp_initmsg, sinit_max_attempts),
                init.attempts.to_ne_bytes(),
            )
            .with(
                offset_of!(sctp_initmsg, sinit_max_init_timeo),
                timeout.to_ne_bytes(),
            );
        self.set(libc::SCTP_INITMSG, &value.0)
    }

    /// Sends short messages at once, instead of waiting for more (SCTP_NODELAY).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set(libc::SCTP_NODELAY, &i32::from(on).to_ne_bytes())
    }

    /// Sets how long, in whole milliseconds up to 500, and for how many packets an acknowledgement may wait
    /// (SCTP_DELAYED_SACK, RFC 6458 §8.1.19). What is 0 stays as it is.
    pub fn set_sack_delay(
        &self,
        association: AssociationId,
        delay: Duration,
        packets: u32,
    ) -> io::Result<()> {
        let value = Record::<{ size_of::<SackInfo>() }>::new()
            .with(offset_of!(SackInfo, assoc_id), association.0.to_ne_bytes())
            .with(offset_of!(SackInfo, delay), millis(delay))
            .with(offset_of!(SackInfo, frequency), packets.to_ne_bytes());
        self.set(libc::SCTP_DELAYED_SACK, &value.0)
    }

    /// Closes associations that have been idle for so long, in whole seconds; 0 leaves them open (SCTP_AUTOCLOSE).
    pub fn set_autoclose(&self, after: Duration) -> io::Result<()> {
        let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
        self.set(libc::SCTP_AUTOCLOSE, &seconds.to_ne_bytes())
    }

    /// Sets the UDP port at which the peer takes SCTP packets (SCTP_REMOTE_UDP_ENCAPS_PORT, RFC 6951 §6.1); 0 sends them without
    /// UDP. The kernel's own port is the setting `net.sctp.udp_port` of the system. Linux has it from version 5.11 on.
    pub fn set_udp_encapsulation(
        &self,
        association: AssociationId,
        peer: SocketAddr,
        port: u16,
    ) -> io::Result<()> {
        let value = Record::<{ size_of::<UdpEncaps>() }>::new()
            .with(offset_of!(UdpEncaps, assoc_id), association.0.to_ne_bytes())
            .with(
                offset_of!(UdpEncaps, address),
                address::encode_storage(peer),
            )
            .with(offset_of!(UdpEncaps, port), port.to_be_bytes());
        self.set(layout::SCTP_REMOTE_UDP_ENCAPS_PORT, &value.0)
    }

    /// Sets what may come between the parts of a message (SCTP_FRAGMENT_INTERLEAVE, RFC 6458 §8.1.20): 0 nothing, 1 messages of
    /// other associations, 2 also those of other streams. New sockets have 1.
    pub fn set_fragment_interleave(&self, level: u32) -> io::Result<()> {
        self.set(libc::SCTP_FRAGMENT_INTERLEAVE, &level.to_ne_bytes())
    }
}

fn millis(duration: Duration) -> [u8; 4] {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    millis.to_ne_bytes()
}
