//! Control messages (RFC 6458 §5.3): what is said of a message beside its bytes.

use core::mem::offset_of;

use libc::{sctp_rcvinfo, sctp_sndinfo};

use crate::AssociationId;
use crate::layout::{Record, field, i32_at, u16_at, u32_at};

const SOL_SCTP: i32 = libc::IPPROTO_SCTP;
const WORD: usize = size_of::<usize>();
/// A control message begins with its length, a `usize` that counts this header, too, its level and its type.
const HEADER: usize = (size_of::<libc::cmsghdr>()).next_multiple_of(WORD);
const LEVEL: usize = WORD;
const TYPE: usize = WORD + size_of::<i32>();

#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
const UNORDERED: u16 = libc::SCTP_UNORDERED as u16;
#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
const SACK_IMMEDIATELY: u16 = libc::SCTP_SACK_IMMEDIATELY as u16;
#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
const ABORT: u16 = libc::SCTP_ABORT as u16;
#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits")]
const EOF: u16 = libc::SCTP_EOF as u16;

/// Where a message goes to (SCTP_SNDINFO, RFC 6458 §5.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendInfo {
    /// The association.
    pub association: AssociationId,
    /// The stream.
    pub stream: u16,
    /// The payload protocol identifier, in host order.
    pub ppid: u32,
    /// Whether it may overtake others of its stream.
    pub unordered: bool,
    /// Whether the peer shall acknowledge it without delay (RFC 7053).
    pub sack_immediately: bool,
    /// Comes back in a [`Notification::SendFailed`](crate::Notification::SendFailed).
    pub context: u32,
}

/// What happens with an association: the flags of a SendInfo beyond those of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Message,
    Close,
    Abort,
}

/// The size of an encoded [`SendInfo`].
pub(crate) const SEND_INFO: usize =
    HEADER + size_of::<sctp_sndinfo>().next_multiple_of(size_of::<usize>());

impl SendInfo {
    /// The control message. The identifier is in network order there, whatever RFC 6458 says of who swaps it: the kernel sends
    /// its bytes as they are.
    pub(crate) fn encode(&self, purpose: Purpose) -> [u8; SEND_INFO] {
        let flags = match purpose {
            Purpose::Message => {
                (u16::from(self.unordered) * UNORDERED)
                    | (u16::from(self.sack_immediately) * SACK_IMMEDIATELY)
            }
            Purpose::Close => EOF,
            Purpose::Abort => ABORT,
        };
        let at = |offset| HEADER + offset;
        Record::new()
            .with(0, (HEADER + size_of::<sctp_sndinfo>()).to_ne_bytes())
            .with(LEVEL, SOL_SCTP.to_ne_bytes())
            .with(TYPE, libc::SCTP_SNDINFO.to_ne_bytes())
            .with(
                at(offset_of!(sctp_sndinfo, snd_sid)),
                self.stream.to_ne_bytes(),
            )
            .with(at(offset_of!(sctp_sndinfo, snd_flags)), flags.to_ne_bytes())
            .with(
                at(offset_of!(sctp_sndinfo, snd_ppid)),
                self.ppid.to_be_bytes(),
            )
            .with(
                at(offset_of!(sctp_sndinfo, snd_context)),
                self.context.to_ne_bytes(),
            )
            .with(
                at(offset_of!(sctp_sndinfo, snd_assoc_id)),
                self.association.0.to_ne_bytes(),
            )
            .0
    }
}

/// Where a message came from (SCTP_RCVINFO, RFC 6458 §5.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveInfo {
    /// The association.
    pub association: AssociationId,
    /// The stream.
    pub stream: u16,
    /// The payload protocol identifier, in host order.
    pub ppid: u32,
    /// Whether it may have overtaken others of its stream.
    pub unordered: bool,
}

/// Finds the [`ReceiveInfo`] among the control messages; others are skipped. `None` where there is none, or what there is is cut.
pub fn receive_info(mut control: &[u8]) -> Option<ReceiveInfo> {
    loop {
        let length = usize::from_ne_bytes(field(control, 0)?);
        let body = control.get(HEADER..length)?;
        let level = i32_at(control, LEVEL)?;
        if level == SOL_SCTP && i32_at(control, TYPE)? == libc::SCTP_RCVINFO {
            return decode(body);
        }
        control = control.get(length.checked_next_multiple_of(WORD)?..)?;
    }
}

fn decode(body: &[u8]) -> Option<ReceiveInfo> {
    let ppid = field(body, offset_of!(sctp_rcvinfo, rcv_ppid))?;
    let flags = u16_at(body, offset_of!(sctp_rcvinfo, rcv_flags))?;
    // The last field is there, and so are those before.
    let association = AssociationId(i32_at(body, offset_of!(sctp_rcvinfo, rcv_assoc_id))?);
    u32_at(body, offset_of!(sctp_rcvinfo, rcv_context))?;
    Some(ReceiveInfo {
        association,
        stream: u16_at(body, offset_of!(sctp_rcvinfo, rcv_sid))?,
        ppid: u32::from_be_bytes(ppid),
        unordered: flags & UNORDERED != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// A control message as the kernel writes it.
    fn message(level: i32, kind: i32, body: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + body.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    fn rcvinfo() -> Vec<u8> {
        let mut body = Vec::new();
        for half in [7_u16, 99, 1, 0] {
            body.extend(half.to_ne_bytes());
        }
        body.extend(0x2909_7603_u32.to_be_bytes());
        for word in [1_u32, 2, 3, 42] {
            body.extend(word.to_ne_bytes());
        }
        body
    }

    #[test]
    fn rcvinfo_is_found_among_others() {
        let mut control = message(1, 29, &[0; 16]);
        control.extend(message(SOL_SCTP, libc::SCTP_NXTINFO, &[0; 5]));
        control.extend(message(SOL_SCTP, libc::SCTP_RCVINFO, &rcvinfo()));
        let info = ReceiveInfo {
            association: AssociationId(42),
            stream: 7,
            ppid: 0x2909_7603,
            unordered: true,
        };
        assert_eq!(receive_info(&control), Some(info));
        // Without the padding it is whole, one byte less it is not.
        let whole = control.len() - (28_usize.next_multiple_of(WORD) - 28);
        for cut in 0..control.len() {
            let found = receive_info(&control[..cut]);
            assert_eq!(found.is_some(), cut >= whole, "cut to {cut}");
        }
    }

    #[test]
    fn lengths_that_lie_end_the_search() {
        for length in [0, 1, HEADER - 1, HEADER + 29, usize::MAX, usize::MAX - 7] {
            let mut control = message(1, 29, &[0; 8]);
            control[..WORD].copy_from_slice(&length.to_ne_bytes());
            control.extend(message(SOL_SCTP, libc::SCTP_RCVINFO, &rcvinfo()));
            assert_eq!(receive_info(&control), None, "length {length}");
        }
        let short = message(SOL_SCTP, libc::SCTP_RCVINFO, &rcvinfo()[..27]);
        assert_eq!(receive_info(&short), None);
    }

    #[test]
    fn sndinfo_has_the_identifier_in_network_order() {
        let info = SendInfo {
            association: AssociationId(5),
            stream: 3,
            ppid: 11,
            unordered: true,
            sack_immediately: true,
            context: 9,
        };
        let body = |purpose| info.encode(purpose)[HEADER..][..16].to_vec();
        let mut expected = Vec::new();
        expected.extend(3_u16.to_ne_bytes());
        expected.extend(9_u16.to_ne_bytes());
        expected.extend([0, 0, 0, 11]);
        expected.extend(9_u32.to_ne_bytes());
        expected.extend(5_i32.to_ne_bytes());
        assert_eq!(body(Purpose::Message), expected);
        assert_eq!(body(Purpose::Abort)[2..4], 4_u16.to_ne_bytes());
        assert_eq!(body(Purpose::Close)[2..4], 0x200_u16.to_ne_bytes());
        let header = message(SOL_SCTP, libc::SCTP_SNDINFO, &expected);
        assert_eq!(info.encode(Purpose::Message)[..], header[..]);
    }
}
