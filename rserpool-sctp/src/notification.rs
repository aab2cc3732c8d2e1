//! Notifications (RFC 6458 §6): what the kernel tells of associations.

use core::mem::offset_of;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::layout::{
    self, AssocChange, PaddrChange, PdapiEvent, RemoteError, SendFailedEvent, ShortEvent, field,
    i32_at, u16_at, u32_at,
};
use crate::{AssociationId, address};

/// What the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notification {
    /// An association came up or ended (SCTP_ASSOC_CHANGE).
    AssociationChange {
        /// Which one.
        association: AssociationId,
        /// What became of it.
        state: AssociationState,
        /// An error cause, in host order; 0 where there is none.
        error: u16,
        /// How many streams can be sent on.
        outbound_streams: u16,
        /// How many streams can be received on.
        inbound_streams: u16,
    },
    /// The state of one of the peer's addresses (SCTP_PEER_ADDR_CHANGE).
    PeerAddressChange {
        /// Of which association.
        association: AssociationId,
        /// The address.
        address: SocketAddr,
        /// What became of it.
        state: AddressState,
    },
    /// The peer sent an ERROR chunk (SCTP_REMOTE_ERROR).
    RemoteError {
        /// Of which association.
        association: AssociationId,
        /// Its first error cause, in host order.
        cause: u16,
    },
    /// A message, or a fragment of one, could not be delivered (SCTP_SEND_FAILED_EVENT). Linux tells of each fragment by itself;
    /// those that were acknowledged are not among them.
    SendFailed {
        /// Of which association.
        association: AssociationId,
        /// On which stream.
        stream: u16,
        /// The payload protocol identifier, in host order.
        ppid: u32,
        /// The context that it was sent with.
        context: u32,
        /// Whether it is the message's first fragment.
        first: bool,
        /// Whether it is the message's last fragment; one that is first and last is the whole message.
        last: bool,
        /// What could not be delivered.
        bytes: Bytes,
    },
    /// The peer closes the association: nothing can be sent any more (SCTP_SHUTDOWN_EVENT).
    Shutdown {
        /// Which one.
        association: AssociationId,
    },
    /// The rest of a message will not come (SCTP_PARTIAL_DELIVERY_EVENT).
    PartialDeliveryAborted {
        /// Of which association.
        association: AssociationId,
        /// On which stream; `None` where the kernel is too old to tell.
        stream: Option<u16>,
    },
    /// Everything that was sent has been acknowledged (SCTP_SENDER_DRY_EVENT).
    SenderDry {
        /// Of which association.
        association: AssociationId,
    },
    /// One that this crate does not know.
    Unknown {
        /// Its type.
        kind: u16,
    },
}

/// What became of an association (RFC 6458 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssociationState {
    /// It is up (SCTP_COMM_UP).
    Up,
    /// It was aborted, or its peer is silent (SCTP_COMM_LOST).
    Lost,
    /// The peer has started again, and knows nothing of what was (SCTP_RESTART).
    Restarted,
    /// It was closed in order (SCTP_SHUTDOWN_COMP).
    Closed,
    /// It did not come up (SCTP_CANT_STR_ASSOC).
    CannotStart,
}

/// What became of an address (RFC 6458 §6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressState {
    /// It can be reached.
    Available,
    /// It does not answer.
    Unreachable,
    /// It is the peer's no more.
    Removed,
    /// It is one of the peer's now.
    Added,
    /// It is the one that is sent to.
    MadePrimary,
    /// It has answered for the first time.
    Confirmed,
    /// It has just not answered.
    PotentiallyFailed,
}

/// Decodes a notification; `None` where it is cut or has values that its type does not know.
pub fn decode(bytes: &[u8]) -> Option<Notification> {
    let kind = u16_at(bytes, offset_of!(AssocChange, kind))?;
    let length = u32_at(bytes, offset_of!(AssocChange, length))?;
    // What is beyond the length is not the notification's.
    let bytes = bytes.get(..usize::try_from(length).ok()?)?;
    let association = |offset| i32_at(bytes, offset).map(AssociationId);
    Some(match kind {
        layout::ASSOC_CHANGE => association_change(bytes)?,
        layout::PEER_ADDR_CHANGE => Notification::PeerAddressChange {
            association: association(offset_of!(PaddrChange, assoc_id))?,
            address: address::decode(bytes.get(offset_of!(PaddrChange, address)..)?)?.0,
            state: address_state(i32_at(bytes, offset_of!(PaddrChange, state))?)?,
        },
        layout::REMOTE_ERROR => Notification::RemoteError {
            association: association(offset_of!(RemoteError, assoc_id))?,
            cause: u16::from_be_bytes(field(bytes, offset_of!(RemoteError, error))?),
        },
        layout::SEND_FAILED_EVENT => send_failed(bytes)?,
        layout::SHUTDOWN_EVENT => Notification::Shutdown {
            association: association(offset_of!(ShortEvent, assoc_id))?,
        },
        layout::SENDER_DRY_EVENT => Notification::SenderDry {
            association: association(offset_of!(ShortEvent, assoc_id))?,
        },
        layout::PARTIAL_DELIVERY_EVENT
            if u32_at(bytes, offset_of!(PdapiEvent, indication))? == 0 =>
        {
            Notification::PartialDeliveryAborted {
                association: association(offset_of!(PdapiEvent, assoc_id))?,
                stream: u32_at(bytes, offset_of!(PdapiEvent, stream))
                    .and_then(|stream| u16::try_from(stream).ok()),
            }
        }
        kind => Notification::Unknown { kind },
    })
}

fn association_change(bytes: &[u8]) -> Option<Notification> {
    let half = |offset| u16_at(bytes, offset);
    Some(Notification::AssociationChange {
        association: AssociationId(i32_at(bytes, offset_of!(AssocChange, assoc_id))?),
        state: match half(offset_of!(AssocChange, state))? {
            0 => AssociationState::Up,
            1 => AssociationState::Lost,
            2 => AssociationState::Restarted,
            3 => AssociationState::Closed,
            4 => AssociationState::CannotStart,
            _ => return None,
        },
        error: half(offset_of!(AssocChange, error))?,
        outbound_streams: half(offset_of!(AssocChange, outbound_streams))?,
        inbound_streams: half(offset_of!(AssocChange, inbound_streams))?,
    })
}

fn address_state(state: i32) -> Option<AddressState> {
    Some(match state {
        0 => AddressState::Available,
        1 => AddressState::Unreachable,
        2 => AddressState::Removed,
        3 => AddressState::Added,
        4 => AddressState::MadePrimary,
        5 => AddressState::Confirmed,
        6 => AddressState::PotentiallyFailed,
        _ => return None,
    })
}

fn send_failed(bytes: &[u8]) -> Option<Notification> {
    const INFO: usize = offset_of!(SendFailedEvent, info);
    let flags = u16_at(bytes, INFO + offset_of!(libc::sctp_sndinfo, snd_flags))?;
    let ppid = field(bytes, INFO + offset_of!(libc::sctp_sndinfo, snd_ppid))?;
    Some(Notification::SendFailed {
        association: AssociationId(i32_at(bytes, offset_of!(SendFailedEvent, assoc_id))?),
        stream: u16_at(bytes, INFO + offset_of!(libc::sctp_sndinfo, snd_sid))?,
        ppid: u32::from_be_bytes(ppid),
        context: u32_at(bytes, INFO + offset_of!(libc::sctp_sndinfo, snd_context))?,
        first: flags & layout::FRAGMENT_BEGIN != 0,
        last: flags & layout::FRAGMENT_END != 0,
        bytes: Bytes::copy_from_slice(bytes.get(size_of::<SendFailedEvent>()..)?),
    })
}

#[cfg(test)]
mod tests;
