//! ASAP over TCP: the messages in the byte stream of each direction of a connection.
//!
//! A stream begins with its SYN, or where the capture first sees data of it. Segments ahead of the others wait for them; where too many wait, the gap is taken for a loss of the
//! capture, a fault is shown, and the stream goes on behind it.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use std::collections::HashMap;

use rserpool_core::wire::Deframer;

use super::dissect::{Content, Item};
use super::message::Protocol;
use super::network::{be16, be32};

/// The sender and the receiver of a stream.
type Direction = (SocketAddr, SocketAddr);

/// The streams of a capture.
#[derive(Default)]
pub(super) struct Tcp {
    streams: HashMap<Direction, Stream>,
    /// The keys of `streams`, the oldest first.
    order: VecDeque<Direction>,
}

#[derive(Default)]
struct Stream {
    /// The sequence number of the next byte.
    next: u32,
    messages: Deframer,
    /// Segments ahead of `next`, by their sequence number.
    ahead: BTreeMap<u32, Vec<u8>>,
    /// Where the framing is lost, nothing more is read until the next SYN.
    lost: bool,
}

impl Tcp {
    /// Adds the messages that a segment completes.
    pub(super) fn segment(
        &mut self,
        direction: Direction,
        segment: &[u8],
        items: &mut Vec<Item>,
    ) -> Option<()> {
        let sequence = be32(segment, 4)?;
        let header = usize::from(segment.get(12)? >> 4) * 4;
        let flags = *segment.get(13)?;
        let data = segment.get(header.max(20)..)?;
        if flags & RST != 0 {
            self.remove(direction);
            return Some(());
        }
        if flags & SYN != 0 {
            self.remove(direction);
            self.start(direction, sequence.wrapping_add(1));
            return Some(());
        }
        if !data.is_empty() && !self.streams.contains_key(&direction) {
            self.start(direction, sequence);
        }
        let stream = self.streams.get_mut(&direction)?;
        stream.take(sequence, data, items);
        if flags & FIN != 0 && stream.ahead.is_empty() {
            stream.finish(items);
            self.remove(direction);
        }
        Some(())
    }

    fn start(&mut self, direction: Direction, next: u32) {
        if self.order.len() == MAX_STREAMS
            && let Some(oldest) = self.order.pop_front()
        {
            self.streams.remove(&oldest);
        }
        self.order.push_back(direction);
        let stream = Stream {
            next,
            ..Stream::default()
        };
        self.streams.insert(direction, stream);
    }

    fn remove(&mut self, direction: Direction) {
        if self.streams.remove(&direction).is_some() {
            self.order.retain(|other| *other != direction);
        }
    }
}

impl Stream {
    fn take(&mut self, sequence: u32, data: &[u8], items: &mut Vec<Item>) {
        if self.lost || data.is_empty() {
            return;
        }
        // Sequence numbers wrap, differences do not.
        let distance = sequence.wrapping_sub(self.next).cast_signed();
        if distance > 0 {
            let waiting: usize = self.ahead.values().map(Vec::len).sum();
            if self.ahead.len() < MAX_AHEAD && waiting + data.len() <= MAX_AHEAD_BYTES {
                self.ahead.insert(sequence, data.to_vec());
                return;
            }
            items.push(fault("bytes of the stream are missing in the capture"));
            self.messages = Deframer::default();
            self.ahead.clear();
            self.next = sequence;
        }
        self.append(sequence, data, items);
        while let Some(sequence) = self.reached() {
            let data = self.ahead.remove(&sequence).unwrap_or_default();
            self.append(sequence, &data, items);
        }
    }

    /// A segment that waited and that `next` has reached.
    fn reached(&self) -> Option<u32> {
        let due = |sequence: &&u32| self.next.wrapping_sub(**sequence).cast_signed() >= 0;
        self.ahead.keys().find(due).copied()
    }

    /// Takes what is new in a segment that begins at `next` or before it.
    fn append(&mut self, sequence: u32, data: &[u8], items: &mut Vec<Item>) {
        let known = usize::try_from(self.next.wrapping_sub(sequence)).unwrap_or(usize::MAX);
        let Some(fresh) = data.get(known..).filter(|fresh| !fresh.is_empty()) else {
            return;
        };
        // A segment is shorter than an IP datagram.
        let count = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        self.next = self.next.wrapping_add(count);
        self.messages.push(fresh);
        loop {
            match self.messages.poll_message() {
                Ok(Some(message)) => items.push(Item::message(Protocol::Asap, None, &message)),
                Ok(None) => return,
                Err(_) => {
                    items.push(fault(
                        "message length below 4: the rest of the stream is not readable",
                    ));
                    self.messages = Deframer::default();
                    self.lost = true;
                    return;
                }
            }
        }
    }

    /// The last message may lack its padding.
    fn finish(&mut self, items: &mut Vec<Item>) {
        let rest = self.messages.pending();
        if !rest.is_empty() {
            let length = be16(rest, 2).map_or(4, usize::from);
            items.push(Item::part(Protocol::Asap, None, rest, length));
        }
    }
}

fn fault(text: &'static str) -> Item {
    Item {
        protocol: Protocol::Asap,
        ppid: None,
        content: Content::Fault(text),
    }
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
/// Directions of connections that are followed.
const MAX_STREAMS: usize = 1024;
/// Segments of a stream that may wait, and their bytes.
const MAX_AHEAD: usize = 64;
const MAX_AHEAD_BYTES: usize = 1 << 18;
