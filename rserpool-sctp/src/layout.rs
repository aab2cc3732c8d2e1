//! The kernel's structures (linux/sctp.h) that `libc` lacks. They are never made: they say where in the kernel's bytes a field
//! is, and bytes are read and written at these offsets.

/// Room for an address of any family.
pub(crate) const STORAGE: usize = size_of::<libc::sockaddr_storage>();

// Socket options beyond those of `libc`.
pub(crate) const SCTP_SOCKOPT_BINDX_ADD: i32 = 100;
pub(crate) const SCTP_SOCKOPT_BINDX_REM: i32 = 101;
pub(crate) const SCTP_GET_PEER_ADDRS: i32 = 108;
pub(crate) const SCTP_GET_LOCAL_ADDRS: i32 = 109;
pub(crate) const SCTP_SOCKOPT_CONNECTX3: i32 = 111;
pub(crate) const SCTP_EVENT: i32 = 127;
pub(crate) const SCTP_REMOTE_UDP_ENCAPS_PORT: i32 = 132;

// Notification types (RFC 6458 §6.1).
pub(crate) const ASSOC_CHANGE: u16 = 0x8001;
pub(crate) const PEER_ADDR_CHANGE: u16 = 0x8002;
pub(crate) const REMOTE_ERROR: u16 = 0x8004;
pub(crate) const SHUTDOWN_EVENT: u16 = 0x8005;
pub(crate) const PARTIAL_DELIVERY_EVENT: u16 = 0x8006;
pub(crate) const SENDER_DRY_EVENT: u16 = 0x8009;
pub(crate) const SEND_FAILED_EVENT: u16 = 0x800d;

pub(crate) const SPP_HB_ENABLE: u32 = 1;
/// In the flags of a failed message's fragment: the last one, and the first one, as in a DATA chunk.
pub(crate) const FRAGMENT_END: u16 = 1;
pub(crate) const FRAGMENT_BEGIN: u16 = 2;

/// `struct sctp_assoc_change`
#[repr(C)]
pub(crate) struct AssocChange {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) length: u32,
    pub(crate) state: u16,
    pub(crate) error: u16,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) assoc_id: i32,
}

/// `struct sctp_paddr_change`
#[repr(C)]
pub(crate) struct PaddrChange {
    pub(crate) header: [u32; 2],
    pub(crate) address: [u8; STORAGE],
    pub(crate) state: i32,
    pub(crate) error: i32,
    pub(crate) assoc_id: i32,
}

/// `struct sctp_remote_error`
#[repr(C)]
pub(crate) struct RemoteError {
    pub(crate) header: [u32; 2],
    pub(crate) error: u16,
    pub(crate) assoc_id: i32,
}

/// `struct sctp_send_failed_event`
#[repr(C)]
pub(crate) struct SendFailedEvent {
    pub(crate) header: [u32; 2],
    pub(crate) error: u32,
    pub(crate) info: libc::sctp_sndinfo,
    pub(crate) assoc_id: i32,
}

/// `struct sctp_shutdown_event`, and `struct sctp_sender_dry_event`
#[repr(C)]
pub(crate) struct ShortEvent {
    pub(crate) header: [u32; 2],
    pub(crate) assoc_id: i32,
}

/// `struct sctp_pdapi_event`
#[repr(C)]
pub(crate) struct PdapiEvent {
    pub(crate) header: [u32; 2],
    pub(crate) indication: u32,
    pub(crate) assoc_id: i32,
    pub(crate) stream: u32,
    pub(crate) sequence: u32,
}

/// `struct sctp_rtoinfo`
#[repr(C)]
pub(crate) struct RtoInfo {
    pub(crate) assoc_id: i32,
    pub(crate) initial: u32,
    pub(crate) max: u32,
    pub(crate) min: u32,
}

/// `struct sctp_assocparams`
#[repr(C)]
pub(crate) struct AssocParams {
    pub(crate) assoc_id: i32,
    pub(crate) max_retransmissions: u16,
    pub(crate) peer_destinations: u16,
    pub(crate) windows: [u32; 2],
    pub(crate) cookie_life: u32,
}

/// `struct sctp_paddrparams`; it is packed, and its size a multiple of 4
#[repr(C, packed)]
pub(crate) struct PaddrParams {
    pub(crate) assoc_id: i32,
    pub(crate) address: [u8; STORAGE],
    pub(crate) heartbeat_interval: u32,
    pub(crate) path_max_retransmissions: u16,
    pub(crate) path_mtu: u32,
    pub(crate) sack_delay: u32,
    pub(crate) flags: u32,
    pub(crate) ipv6_flowlabel: u32,
    pub(crate) dscp: u8,
    pub(crate) padding: u8,
}

/// `struct sctp_paddrinfo`
#[repr(C)]
pub(crate) struct PaddrInfo {
    pub(crate) assoc_id: i32,
    pub(crate) address: [u8; STORAGE],
    pub(crate) state: i32,
    pub(crate) measures: [u32; 4],
}

/// `struct sctp_prim`
#[repr(C)]
pub(crate) struct Primary {
    pub(crate) assoc_id: i32,
    pub(crate) address: [u8; STORAGE],
}

/// `struct sctp_sack_info`
#[repr(C)]
pub(crate) struct SackInfo {
    pub(crate) assoc_id: i32,
    pub(crate) delay: u32,
    pub(crate) frequency: u32,
}

/// `struct sctp_event`
#[repr(C)]
pub(crate) struct Event {
    pub(crate) assoc_id: i32,
    pub(crate) kind: u16,
    pub(crate) on: u8,
}

/// `struct sctp_udpencaps`: its address is aligned like a pointer
#[repr(C)]
pub(crate) struct UdpEncaps {
    pub(crate) assoc_id: i32,
    pub(crate) address: [usize; STORAGE / size_of::<usize>()],
    pub(crate) port: u16,
}

/// `struct sctp_getaddrs` without its addresses
#[repr(C)]
pub(crate) struct GetAddrs {
    pub(crate) assoc_id: i32,
    pub(crate) count: u32,
}

/// `struct sctp_getaddrs_old`, as SCTP_SOCKOPT_CONNECTX3 takes it: the count is in bytes
#[repr(C)]
pub(crate) struct Connectx3 {
    pub(crate) assoc_id: i32,
    pub(crate) bytes: i32,
    pub(crate) addresses: *const u8,
}

/// The bytes of a structure that is handed to the kernel; what is not set is 0.
pub(crate) struct Record<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Record<N> {
    pub(crate) fn new() -> Self {
        Self([0; N])
    }

    /// Sets the field at `offset`, which is one of this structure.
    pub(crate) fn with<const M: usize>(mut self, offset: usize, value: [u8; M]) -> Self {
        self.0[offset..offset + M].copy_from_slice(&value);
        self
    }
}

/// The field at `offset`; `None` where the bytes end before.
pub(crate) fn field<const M: usize>(bytes: &[u8], offset: usize) -> Option<[u8; M]> {
    bytes.get(offset..)?.first_chunk().copied()
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    field(bytes, offset).map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    field(bytes, offset).map(u32::from_ne_bytes)
}

pub(crate) fn i32_at(bytes: &[u8], offset: usize) -> Option<i32> {
    field(bytes, offset).map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    /// As a C compiler says for linux/sctp.h on 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes_and_offsets_are_the_kernels() {
        assert_eq!(size_of::<AssocChange>(), 20);
        assert_eq!(offset_of!(AssocChange, assoc_id), 16);
        assert_eq!(size_of::<PaddrChange>(), 148);
        assert_eq!(offset_of!(PaddrChange, state), 136);
        assert_eq!(size_of::<RemoteError>(), 16);
        assert_eq!(offset_of!(RemoteError, assoc_id), 12);
        assert_eq!(size_of::<SendFailedEvent>(), 32);
        assert_eq!(offset_of!(SendFailedEvent, info), 12);
        assert_eq!(size_of::<ShortEvent>(), 12);
        assert_eq!(size_of::<PdapiEvent>(), 24);
        assert_eq!(size_of::<RtoInfo>(), 16);
        assert_eq!(size_of::<AssocParams>(), 20);
        assert_eq!(size_of::<PaddrParams>(), 156);
        assert_eq!(offset_of!(PaddrParams, path_max_retransmissions), 136);
        assert_eq!(offset_of!(PaddrParams, flags), 146);
        assert_eq!(size_of::<PaddrInfo>(), 152);
        assert_eq!(size_of::<Primary>(), 132);
        assert_eq!(size_of::<SackInfo>(), 12);
        assert_eq!(size_of::<Event>(), 8);
        assert_eq!(size_of::<UdpEncaps>(), 144);
        assert_eq!(offset_of!(UdpEncaps, address), 8);
        assert_eq!(offset_of!(UdpEncaps, port), 136);
        assert_eq!(size_of::<GetAddrs>(), 8);
        assert_eq!(size_of::<Connectx3>(), 16);
        assert_eq!(size_of::<libc::sctp_sndinfo>(), 16);
        assert_eq!(size_of::<libc::sctp_rcvinfo>(), 28);
        assert_eq!(size_of::<libc::sctp_initmsg>(), 8);
    }
}
