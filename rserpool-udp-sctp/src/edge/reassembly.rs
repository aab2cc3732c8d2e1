//! What may go into the reassembly of sctp-proto.
//!
//! Gaps in sctp-proto 0.10.8: reassembly keeps messages and fragments in lists that it searches and
//! sorts anew for each chunk, counts only user data against the receive buffer, and sorts by stream
//! sequence numbers in an order that is not total once they span half of their space, on which a sort
//! may panic. So numbers are kept within a window, small messages are charged for what they cost, and
//! small fragments are rationed. Can go when upstream's reassembly is O(log n) and bounded by count.

use alloc::vec::Vec;

use super::ppid::Data;
use crate::packet::tsn_after;

/// DATA further ahead of what was acknowledged is dropped.
const TSN_WINDOW: u32 = 16_384;

/// Messages further ahead of what was read are dropped. More small ones do not fit the receive buffer.
const SSN_WINDOW: u16 = 16_384;

/// A shorter fragment that is not the last one of its message is no fragmentation.
const MIN_FRAGMENT: usize = 128;

/// Short last fragments beyond four times the first ones: room for loss and repetition.
const SLACK: u64 = 4_096;

/// What becomes of a DATA chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Goes on to the engine.
    Take,
    /// As if lost; an honest peer repeats it when there is room.
    Drop,
    /// No honest peer does that.
    Abort,
}

/// The intake of one association.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// By stream, the sequence number of the next message to read. Grows up to the stream limit.
    next: Vec<u16>,
    begins: u64,
    last_begin: Option<u32>,
    short_ends: u64,
}

impl Intake {
    /// Judges a chunk; `acknowledged` is what the peer was told.
    pub(crate) fn judge(&mut self, data: &Data<'_>, acknowledged: u32) -> Verdict {
        if tsn_after(data.tsn, acknowledged.wrapping_add(TSN_WINDOW)) {
            return Verdict::Drop;
        }
        let short = data.payload.len() < MIN_FRAGMENT;
        if short && !data.is_end() {
            return Verdict::Abort;
        }
        if data.is_begin()
            && !data.is_end()
            && self.last_begin.is_none_or(|last| tsn_after(data.tsn, last))
        {
            self.last_begin = Some(data.tsn);
            self.begins += 1;
        }
        if short && !data.is_begin() {
            self.short_ends += 1;
            if self.short_ends > SLACK + 4 * self.begins {
                return Verdict::Abort;
            }
        }
        // One that was read before is a repetition, which the engine has to see to acknowledge it.
        let ahead = data.sequence.wrapping_sub(self.next_of(data.stream));
        if !data.is_unordered() && (SSN_WINDOW..0x8000).contains(&ahead) {
            return Verdict::Drop;
        }
        Verdict::Take
    }

    /// An ordered message was read.
    pub(crate) fn on_read(&mut self, stream: u16, sequence: u16) {
        let index = usize::from(stream);
        if self.next.len() <= index {
            self.next.resize(index + 1, 0);
        }
        if let Some(next) = self.next.get_mut(index) {
            *next = sequence.wrapping_add(1);
        }
    }

    fn next_of(&self, stream: u16) -> u16 {
        self.next.get(usize::from(stream)).copied().unwrap_or(0)
    }
}
