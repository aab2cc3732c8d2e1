//! Associations that are lost, and what the kernel had not delivered for them.
//!
//! Linux tells of the end first, and at once after it of each fragment that was not acknowledged; nothing of the same socket comes
//! between. So the end is held back until something else comes, or nothing. What is sent meanwhile comes back with the rest, in
//! order. A message of which the peer has acknowledged a part cannot be put together again, and is lost without a trace.

use bytes::{Bytes, BytesMut};
use rserpool_core::{End, Ppid};
use rserpool_sctp::{AssociationId, Notification, Received};

use super::{Arrival, Kernel, KernelName, Outgoing};
use crate::Runtime;

/// An association of a socket whose end is held back.
pub(super) struct Lost {
    id: AssociationId,
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
    fn is_told_more_by(&self, received: &Received) -> bool {
        matches!(received, Received::Notification {
            notification: Notification::SendFailed { association, .. },
            ..
        } if *association == self.id)
    }

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
        let known = self.names.get(&name).and_then(|it| self.open.get_mut(it));
        if let Some(known) = known {
            known.outbound.ended = true;
            let (id, part) = (name.1, None);
            self.ports[name.0].lost = Some(Lost { id, part });
        }
    }

    /// A message that was refused, or a fragment of one after the end of its association.
    pub(super) fn on_send_failed(&mut self, name: KernelName, failed: Failed) {
        let Some(&association) = self.names.get(&name) else {
            return;
        };
        let bytes = match &mut self.ports[name.0].lost {
            Some(lost) if lost.id == name.1 => lost.complete(&failed),
            _ => (failed.first && failed.last).then_some(failed.bytes),
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

    /// Tells of the end that is held back, unless what follows at this port belongs to it.
    pub(super) fn tell_end(&mut self, index: usize, next: Option<&Received>) {
        let lost = self.ports[index]
            .lost
            .take_if(|lost| next.is_none_or(|next| !lost.is_told_more_by(next)));
        if let Some(lost) = lost {
            self.down((index, lost.id), End::Lost);
        }
    }
}
