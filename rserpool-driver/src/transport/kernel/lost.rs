//! Associations that were lost, and what the kernel had not delivered for them.
//!
//! Linux tells of the end first, and at once after it of each fragment that was not acknowledged. So an end is held back until the
//! socket is empty. A message of which the peer has acknowledged a part cannot be put together again, and is lost without a trace.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use rserpool_core::{AssocId, End, Ppid};

use super::{Arrival, Kernel, KernelName, Outgoing};
use crate::Runtime;

/// An association that was lost.
pub(super) struct Lost {
    association: AssocId,
    /// What the kernel had not been given.
    unsent: VecDeque<Outgoing>,
    /// The first fragments of a message.
    part: Option<BytesMut>,
}

/// A message, or a fragment of one, that was not delivered.
pub(super) struct Failed {
    pub(super) stream: u16,
    pub(super) ppid: u32,
    pub(super) first: bool,
    pub(super) last: bool,
    pub(super) bytes: Bytes,
}

impl Lost {
    /// Adds a fragment; gives the message that it completes.
    fn complete(&mut self, failed: &Failed) -> Option<Bytes> {
        let mut whole = match self.part.take() {
            _ if failed.first => BytesMut::new(),
            Some(part) => part,
            None => return None,
        };
        whole.extend_from_slice(&failed.bytes);
        if failed.last {
            return Some(whole.freeze());
        }
        self.part = Some(whole);
        None
    }
}

impl<R: Runtime> Kernel<R> {
    /// Holds the end back.
    pub(super) fn hold_back(&mut self, name: KernelName) {
        self.calls_failed(name);
        let Some((association, unsent)) = self.forget(name) else {
            return;
        };
        let lost = Lost {
            association,
            unsent,
            part: None,
        };
        self.lost.insert(name, lost);
    }

    /// A message that was refused, or a fragment of one after the end of its association.
    pub(super) fn on_send_failed(&mut self, name: KernelName, failed: Failed) {
        let (association, bytes) = match self.lost.get_mut(&name) {
            Some(lost) => (lost.association, lost.complete(&failed)),
            None => match self.names.get(&name) {
                Some(&association) if failed.first && failed.last => {
                    (association, Some(failed.bytes))
                }
                _ => return,
            },
        };
        if let Some(bytes) = bytes {
            let message = Outgoing {
                ppid: Ppid(failed.ppid),
                stream: failed.stream,
                unordered: false,
                bytes,
            };
            self.arrivals.push_back(Arrival::SendFailed {
                association,
                message,
            });
        }
    }

    /// Tells of the ends that were held back, where everything before has been told.
    pub(super) fn tell_ends(&mut self) {
        let told = |(index, _): &&KernelName| self.ports[*index].empty;
        let told: Vec<_> = self.lost.keys().filter(told).copied().collect();
        for name in told {
            let Some(lost) = self.lost.remove(&name) else {
                continue;
            };
            let association = lost.association;
            self.give_back(association, lost.unsent);
            self.arrivals.push_back(Arrival::Disconnected {
                association,
                end: End::Lost,
            });
        }
    }
}
