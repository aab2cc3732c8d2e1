//! From what one receive gives to whole messages and notifications.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use crate::cmsg::{self, ReceiveInfo};
use crate::notification::{self, Notification};
use crate::sys::Slot;
use crate::{AssociationId, AssociationState, address};

/// What came, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message of a peer.
    Message {
        /// On which association.
        association: AssociationId,
        /// On which stream.
        stream: u16,
        /// Its payload protocol identifier, in host order.
        ppid: u32,
        /// The message.
        bytes: Bytes,
    },
    /// The kernel tells something.
    Notification {
        /// What it tells.
        notification: Notification,
        /// The peer's primary address, which is known here even when the association has ended meanwhile.
        peer: Option<SocketAddr>,
    },
}

/// What came and was of no use. Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages beyond what is taken; their associations were aborted.
    pub oversized: u64,
    /// Messages whose rest did not come.
    pub aborted: u64,
    /// Messages without a ReceiveInfo, notifications that are cut.
    pub malformed: u64,
    /// Notifications of unknown types.
    pub unknown: u64,
}

/// What one receive gave: a message or notification, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The control messages.
    pub control: &'a [u8],
    /// The peer's address as the kernel writes it.
    pub name: &'a [u8],
    /// Whether it is a notification (MSG_NOTIFICATION).
    pub notification: bool,
    /// Whether it is the end of a record (MSG_EOR).
    pub end: bool,
}

/// Buffers for receiving, and what has been received. One inbox belongs to one socket.
///
/// A message of which only a part has come is kept until its rest comes, for each stream of each association. It may become
/// as long as the inbox takes messages, and all together as long as [`Inbox::MAX_PARTS`] bytes; beyond that
/// [`Socket::receive`](crate::Socket::receive) aborts the association: a message less would be a gap in a reliable stream.
pub struct Inbox {
    max_message_size: usize,
    pub(crate) slots: Box<[Slot]>,
    received: VecDeque<Received>,
    /// `None`: the rest of a message that was too long, until its end comes.
    parts: BTreeMap<(AssociationId, u16), Option<BytesMut>>,
    parts_bytes: usize,
    notification: Vec<u8>,
    counters: Counters,
}

impl Inbox {
    /// How many bytes of incomplete messages are kept in all.
    pub const MAX_PARTS: usize = 16 << 20;
    /// The header of the longest notification, beside the message that it may carry.
    const NOTIFICATION: usize = 1024;
    /// How many receives are done by one system call.
    pub(crate) const SLOTS: usize = 16;

    /// An inbox that takes messages up to this length in bytes.
    pub fn new(max_message_size: usize) -> Self {
        Self {
            max_message_size,
            slots: (0..Self::SLOTS).map(|_| Slot::new()).collect(),
            received: VecDeque::new(),
            parts: BTreeMap::new(),
            parts_bytes: 0,
            notification: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// What was of no use so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes what one receive gave, in the order of the receives. Returns the association that must be aborted because its
    /// message is too long.
    pub fn accept(&mut self, fragment: Fragment<'_>) -> Option<AssociationId> {
        if fragment.notification {
            self.accept_notification(fragment);
            return None;
        }
        let Some(info) = cmsg::receive_info(fragment.control) else {
            self.counters.malformed += 1;
            return None;
        };
        self.accept_message(info, fragment)
    }

    fn accept_message(
        &mut self,
        info: ReceiveInfo,
        Fragment { bytes, end, .. }: Fragment<'_>,
    ) -> Option<AssociationId> {
        let key = (info.association, info.stream);
        let part = self.parts.remove(&key);
        let known = match &part {
            // Its association is being aborted.
            Some(None) => {
                if !end {
                    self.parts.insert(key, None);
                }
                return None;
            }
            Some(Some(part)) => part.len(),
            None => 0,
        };
        self.parts_bytes -= known;
        let length = known + bytes.len();
        let kept = if end { 0 } else { length };
        if length > self.max_message_size || self.parts_bytes + kept > Self::MAX_PARTS {
            self.counters.oversized += 1;
            if !end {
                self.parts.insert(key, None);
            }
            return Some(info.association);
        }
        let whole = match part.flatten() {
            None if end => Bytes::copy_from_slice(bytes),
            part => {
                let mut part = part.unwrap_or_default();
                part.extend_from_slice(bytes);
                if !end {
                    self.parts_bytes += part.len();
                    self.parts.insert(key, Some(part));
                    return None;
                }
                part.freeze()
            }
        };
        self.received.push_back(Received::Message {
            association: info.association,
            stream: info.stream,
            ppid: info.ppid,
            bytes: whole,
        });
        None
    }

    fn accept_notification(&mut self, fragment: Fragment<'_>) {
        let max = self.max_message_size + Self::NOTIFICATION;
        let room = max.saturating_sub(self.notification.len());
        let taken = &fragment.bytes[..fragment.bytes.len().min(room)];
        // One that is cut does not decode.
        self.notification.extend_from_slice(taken);
        if !fragment.end {
            return;
        }
        let bytes = core::mem::take(&mut self.notification);
        let Some(notification) = notification::decode(&bytes) else {
            self.counters.malformed += 1;
            return;
        };
        match notification {
            Notification::Unknown { .. } => self.counters.unknown += 1,
            Notification::PartialDeliveryAborted {
                association,
                stream,
            } => self.forget(association, stream),
            Notification::AssociationChange {
                association, state, ..
            } if state != AssociationState::Up => self.forget(association, None),
            _ => {}
        }
        self.received.push_back(Received::Notification {
            notification,
            peer: address::decode(fragment.name).map(|(address, _)| address),
        });
    }

    /// Drops what has come of messages of the stream, or of all streams.
    fn forget(&mut self, association: AssociationId, stream: Option<u16>) {
        let (first, last) = stream.map_or((0, u16::MAX), |stream| (stream, stream));
        let range = (association, first)..=(association, last);
        while let Some((&key, _)) = self.parts.range(range.clone()).next() {
            if let Some(Some(part)) = self.parts.remove(&key) {
                self.counters.aborted += 1;
                self.parts_bytes -= part.len();
            }
        }
    }
}

/// What has been received, in order.
impl Iterator for Inbox {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        self.received.pop_front()
    }
}

#[cfg(test)]
mod tests;
