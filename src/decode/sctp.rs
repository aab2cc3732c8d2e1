//! SCTP (RFC 9260): the user messages in the DATA chunks of packets, reassembled where they are fragmented.
//!
//! Each chunk of an association has a number (TSN): one that was there before is a retransmission and is passed over.
//! Fragments wait for each other by these numbers; their message is found in the frame that completes it.

use alloc::collections::VecDeque;
use std::collections::{HashMap, HashSet};

use super::dissect::Item;
use super::message::Protocol;
use super::network::{be16, be32};

/// What is remembered of all associations.
#[derive(Default)]
pub(super) struct Sctp {
    /// Chunks that were there.
    seen: HashSet<Key>,
    /// What is in `seen`, the oldest first.
    seen_order: VecDeque<Key>,
    /// Fragments that wait for others.
    fragments: HashMap<Key, Fragment>,
    /// The keys of `fragments`, the oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

/// A chunk of one direction of an association. Addresses are no part of it: a multi-homed endpoint uses several.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: u16,
    destination: u16,
    verification_tag: u32,
    tsn: u32,
}

impl Key {
    const fn with_tsn(self, tsn: u32) -> Self {
        Self { tsn, ..self }
    }

    /// The protocol of a chunk: its payload protocol identifier tells, or the port where it was left unspecified.
    fn protocol(self, ppid: u32) -> Option<Protocol> {
        let by_port = || {
            let ports = [self.source, self.destination];
            ports.into_iter().find_map(Protocol::of_port)
        };
        match ppid {
            UNSPECIFIED => by_port(),
            _ => Protocol::of_ppid(ppid),
        }
    }
}

struct Fragment {
    first: bool,
    last: bool,
    /// The stream and its sequence number, which all fragments of a message share.
    place: (u16, u16),
    data: Vec<u8>,
}

/// Whether the bytes are an SCTP packet with a right checksum (RFC 9260 §6.8).
pub(super) fn checksum_is_right(packet: &[u8]) -> bool {
    let (Some(head), Some(tail)) = (packet.get(..8), packet.get(12..)) else {
        return false;
    };
    let checksum =
        crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]), tail);
    !tail.is_empty() && packet[8..12] == checksum.to_le_bytes()
}

impl Sctp {
    /// Adds the messages that a packet holds or completes. Its checksum is not looked at.
    pub(super) fn packet(&mut self, packet: &[u8], items: &mut Vec<Item>) -> Option<()> {
        let key = Key {
            source: be16(packet, 0)?,
            destination: be16(packet, 2)?,
            verification_tag: be32(packet, 4)?,
            tsn: 0,
        };
        let mut rest = packet.get(12..)?;
        while !rest.is_empty() {
            let length = usize::from(be16(rest, 2)?);
            if length < 4 {
                break;
            }
            let chunk = rest.get(..length).unwrap_or(rest);
            if chunk[0] == DATA {
                let _ = self.data(key, chunk, length, items);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
        Some(())
    }

    fn data(&mut self, key: Key, chunk: &[u8], length: usize, items: &mut Vec<Item>) -> Option<()> {
        let flags = *chunk.get(1)?;
        let ppid = be32(chunk, 12)?;
        let protocol = key.protocol(ppid)?;
        let data = chunk.get(16..)?;
        let (first, last) = (flags & BEGINNING != 0, flags & ENDING != 0);
        let key = key.with_tsn(be32(chunk, 4)?);
        self.is_new(key).then_some(())?;
        if (first && last) || chunk.len() < length {
            items.push(Item::part(protocol, Some(ppid), data, length - 16));
            return Some(());
        }
        let fragment = Fragment {
            first,
            last,
            place: (be16(chunk, 8)?, be16(chunk, 10)?),
            data: data.to_vec(),
        };
        self.remember(key, fragment);
        if let Some(message) = self.complete(key) {
            items.push(Item::message(protocol, Some(ppid), &message));
        }
        Some(())
    }

    fn is_new(&mut self, key: Key) -> bool {
        if !self.seen.insert(key) {
            return false;
        }
        self.seen_order.push_back(key);
        if self.seen_order.len() > MAX_SEEN
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Keeps a fragment, and forgets the oldest ones where there are too many.
    fn remember(&mut self, key: Key, fragment: Fragment) {
        self.bytes += fragment.data.len();
        // A number comes back only after `seen` has forgotten it.
        if let Some(old) = self.fragments.insert(key, fragment) {
            self.bytes -= old.data.len();
        }
        self.order.push_back(key);
        while self.bytes > MAX_BYTES || self.order.len() > MAX_FRAGMENTS {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(fragment) = self.fragments.remove(&key) {
            self.bytes -= fragment.data.len();
        }
    }

    /// The message that a fragment belongs to, where all of it is here; its fragments are forgotten.
    fn complete(&mut self, key: Key) -> Option<Vec<u8>> {
        let place = self.fragments.get(&key)?.place;
        let fragment = |tsn| {
            let fragment = self.fragments.get(&key.with_tsn(tsn))?;
            (fragment.place == place).then_some(fragment)
        };
        let mut start = key.tsn;
        while !fragment(start)?.first {
            start = start.wrapping_sub(1);
            (key.tsn.wrapping_sub(start) < MAX_PER_MESSAGE).then_some(())?;
        }
        let mut message = Vec::new();
        let mut end = start;
        loop {
            let part = fragment(end)?;
            message.extend_from_slice(&part.data);
            if part.last {
                break;
            }
            end = end.wrapping_add(1);
            (end.wrapping_sub(start) < MAX_PER_MESSAGE).then_some(())?;
        }
        let mut tsn = start;
        while tsn != end.wrapping_add(1) {
            self.forget(key.with_tsn(tsn));
            tsn = tsn.wrapping_add(1);
        }
        self.order
            .retain(|other| self.fragments.contains_key(other));
        Some(message)
    }
}

/// The type of a DATA chunk.
const DATA: u8 = 0;
/// The payload protocol identifier of a sender that gives none (RFC 9260 §3.3.1).
const UNSPECIFIED: u32 = 0;
/// The E flag: the last fragment of a message.
const ENDING: u8 = 0x01;
/// The B flag: the first fragment of a message.
const BEGINNING: u8 = 0x02;
/// Chunks that are recognized when they come again.
const MAX_SEEN: usize = 1 << 16;
/// Fragments that are kept, and their bytes.
const MAX_FRAGMENTS: usize = 1 << 14;
const MAX_BYTES: usize = 1 << 24;
/// Fragments of one message: enough for its 65535 bytes at 16 bytes each.
const MAX_PER_MESSAGE: u32 = 4096;
