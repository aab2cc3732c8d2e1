//! Messages on their way to the kernel.
//!
//! The associations of a socket share its send buffer, and a peer that takes nothing must not use it up. So an association that
//! has been given a share of it waits until the kernel tells that everything has been acknowledged. The kernel is asked for that
//! when half of the share is used: most associations have nothing on their way again before they have to wait, and those that send
//! little are spared a notification for each message.

use alloc::collections::VecDeque;
use std::io;

use rserpool_core::AssocId;
use rserpool_sctp::cmsg::SendInfo;
use rserpool_sctp::{Message, Socket};

use super::{Arrival, Kernel, KernelName, Outgoing, Port, close};
use crate::{Interest, Runtime, SctpSocket};

/// The part of the send buffer that an association is given at once: one in so many.
pub(super) const SHARE: usize = 4;

/// What waits for an association.
#[derive(Default)]
pub(super) struct Outbound {
    messages: VecDeque<Outgoing>,
    /// What they cost.
    pub(super) cost: usize,
    /// What the kernel has been given since it told that everything was acknowledged.
    given: usize,
    /// Whether it has been asked to tell.
    asked: bool,
    /// Whether its port will look after it: because it is in the port's list, or among those without room.
    listed: bool,
    /// Whether the association shall close when everything is sent; nothing more is taken.
    pub(super) closing: bool,
    /// Whether the kernel takes nothing more: what waits comes back with the end.
    pub(super) ended: bool,
}

impl Outbound {
    /// Adds a message; says whether its port must be told.
    pub(super) fn push(&mut self, message: Outgoing) -> bool {
        self.cost += message.cost();
        self.messages.push_back(message);
        // One that waits for its peer is told when that is over.
        self.messages.len() == 1 && self.list()
    }

    fn list(&mut self) -> bool {
        !core::mem::replace(&mut self.listed, true)
    }

    fn takes_more(&self, share: usize) -> bool {
        self.given < share && !self.ended
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> VecDeque<Outgoing> {
        self.cost = 0;
        core::mem::take(&mut self.messages)
    }
}

/// A message that the kernel shall be given.
struct Next {
    association: AssocId,
    name: KernelName,
    message: Outgoing,
    /// Whether the kernel shall tell when it is acknowledged.
    ask: bool,
    /// Whether it uses up its share.
    last: bool,
}

impl<R: Runtime> Kernel<R> {
    /// Everything has been acknowledged.
    pub(super) fn on_dry(&mut self, name: KernelName) {
        let Some(association) = self.names.get(&name) else {
            return;
        };
        if let Some(known) = self.open.get_mut(association) {
            // One that has ended tells nothing more.
            let _ = self.ports[name.0]
                .socket
                .get_ref()
                .set_sender_dry(name.1, false);
            known.outbound.given = 0;
            known.outbound.asked = false;
            if !known.outbound.is_empty() && known.outbound.list() {
                self.ports[name.0].ready.push_back(*association);
                self.sending.insert(name.0);
            }
        }
    }

    pub(in super::super) fn flush(&mut self) {
        while let Some(index) = self.sending.pop_first() {
            loop {
                let batch = self.batch(index);
                if batch.is_empty() {
                    break;
                }
                self.send_batch(index, batch);
            }
            let port = &mut self.ports[index];
            if !port.full.is_empty() && !port.waits_for_room {
                port.waits_for_room = true;
                self.waits.add(index, &port.socket, Interest::Writable);
            }
        }
    }

    /// The next messages of a port, association after association.
    fn batch(&mut self, index: usize) -> Vec<Next> {
        let port = &mut self.ports[index];
        let mut batch = Vec::new();
        while batch.len() < Socket::BATCH
            && let Some(association) = port.ready.pop_front()
        {
            let Some(known) = self.open.get_mut(&association) else {
                continue;
            };
            let (outbound, name) = (&mut known.outbound, known.name);
            while batch.len() < Socket::BATCH
                && outbound.takes_more(port.share)
                && let Some(message) = outbound.messages.pop_front()
            {
                outbound.cost -= message.cost();
                outbound.given += message.bytes.len();
                self.queued -= 1;
                batch.push(Next {
                    association,
                    name,
                    message,
                    ask: outbound.given >= port.share / 2
                        && !core::mem::replace(&mut outbound.asked, true),
                    last: outbound.given >= port.share,
                });
            }
            self.relieved += u64::from(outbound.is_empty());
            let more = !outbound.is_empty() && outbound.takes_more(port.share);
            outbound.listed = more;
            if more {
                port.ready.push_front(association);
            }
        }
        batch
    }

    fn send_batch(&mut self, index: usize, mut batch: Vec<Next>) {
        let messages: Vec<_> = batch.iter().map(Next::as_message).collect();
        let result = self.ports[index].send(&messages);
        let (done, full) = match &result {
            Ok(taken) => (*taken, None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                (0, batch.first().map(|first| first.association))
            }
            Err(_) => (1, None),
        };
        for unsent in batch.split_off(done.min(batch.len())).into_iter().rev() {
            self.put_back(unsent, full);
        }
        for done in batch {
            if done.ask {
                let socket = self.ports[index].socket.get_ref();
                // One that has ended says so by itself.
                let _ = socket.set_sender_dry(done.name.1, true);
            }
            self.close_if_empty(&done);
            if let Err(error) = &result {
                self.on_failed(done, error);
            }
        }
    }

    /// A message is done with, well or badly; if it was the last one, the association can close.
    fn close_if_empty(&mut self, done: &Next) {
        if let Some(known) = self.open.get(&done.association)
            && known.outbound.closing
            && known.outbound.is_empty()
        {
            close(self.ports[done.name.0].socket.get_ref(), done.name.1);
        }
    }

    /// Where the association is about to end, the message comes back with the end.
    fn on_failed(&mut self, failed: Next, error: &io::Error) {
        let association = failed.association;
        tracing::debug!(?association, %error, "message not sent");
        if error.kind() == io::ErrorKind::BrokenPipe {
            if let Some(known) = self.open.get_mut(&association) {
                known.outbound.ended = true;
            }
            self.put_back(failed, None);
        } else {
            self.arrivals.push_back(Arrival::SendFailed {
                association,
                message: failed.message,
            });
        }
    }

    /// There was no room, or an error before it: it is the next message of its association again.
    fn put_back(&mut self, unsent: Next, full: Option<AssocId>) {
        let Some(known) = self.open.get_mut(&unsent.association) else {
            return;
        };
        let (outbound, port) = (&mut known.outbound, &mut self.ports[known.name.0]);
        let length = unsent.message.bytes.len();
        outbound.given -= length.min(outbound.given);
        outbound.asked &= !unsent.ask;
        outbound.cost += unsent.message.cost();
        outbound.messages.push_front(unsent.message);
        self.queued += 1;
        if full == Some(unsent.association) {
            if outbound.list() {
                port.full.push(unsent.association);
            } else if port.ready.front() == Some(&unsent.association) {
                port.ready.pop_front();
                port.full.push(unsent.association);
            }
        } else if outbound.list() {
            port.ready.push_front(unsent.association);
        }
    }
}

impl Next {
    fn as_message(&self) -> Message<'_> {
        Message {
            info: SendInfo {
                association: self.name.1,
                stream: self.message.stream,
                ppid: self.message.ppid.0,
                unordered: self.message.unordered,
                sack_immediately: self.last,
                context: 0,
            },
            bytes: &self.message.bytes,
        }
    }
}

impl<R: Runtime> Port<R> {
    /// Where the socket is known to be full, it is asked all the same: one association may have room where another has none, if
    /// the system is set so (`net.sctp.sndbuf_policy`).
    fn send(&self, messages: &[Message<'_>]) -> io::Result<usize> {
        let mut asked = false;
        let result = self.socket.try_io(Interest::Writable, |socket| {
            asked = true;
            socket.send(messages)
        });
        if asked {
            result
        } else {
            self.socket.get_ref().send(messages)
        }
    }
}
