//! Messages that the peer has not acknowledged.
//!
//! Gap in sctp-proto 0.10.8: it does not give them back when the association ends (RFC 9260 §11.1.15,
//! "receive unacknowledged message"). They are kept here, sharing the bytes that it keeps anyway, until
//! the TSN of their last fragment is acknowledged. sctp-proto numbers messages in the order in which
//! they were written.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::ppid::OUT_PREFIX;
use crate::packet::{read_u32, tsn_after};

/// A message that went to sctp-proto.
struct Written {
    stream: u16,
    /// With the PPID in front.
    bytes: Bytes,
    /// The TSN of its last fragment, when that is on the wire.
    last: Option<u32>,
}

/// The messages in the order in which they were written.
#[derive(Default)]
pub(crate) struct Unacknowledged {
    messages: VecDeque<Written>,
    /// How many of them are on the wire; they are the first.
    sent: usize,
}

impl Unacknowledged {
    pub(crate) fn on_written(&mut self, stream: u16, bytes: Bytes) {
        self.messages.push_back(Written {
            stream,
            bytes,
            last: None,
        });
    }

    /// The last fragment of the next message went to the wire for the first time.
    pub(crate) fn on_sent(&mut self, tsn: u32) {
        if let Some(message) = self.messages.get_mut(self.sent) {
            message.last = Some(tsn);
            self.sent += 1;
        }
    }

    /// Everything up to `cumulative` arrived.
    pub(crate) fn on_acknowledged(&mut self, cumulative: u32) {
        while let Some(Written {
            last: Some(last), ..
        }) = self.messages.front()
            && !tsn_after(*last, cumulative)
        {
            self.messages.pop_front();
            self.sent -= 1;
        }
    }

    /// What is left: stream, PPID and message.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = (u16, u32, Bytes)> {
        self.messages.into_iter().filter_map(|message| {
            let ppid = read_u32(&message.bytes, 0)?;
            Some((message.stream, ppid, message.bytes.slice(OUT_PREFIX..)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_when_their_last_fragment_is_acknowledged() {
        let left = |acknowledged: &[u32]| {
            let mut kept = Unacknowledged::default();
            for (stream, text) in [
                (1, "\0\0\0\x0bone"),
                (2, "\0\0\0\x0ctwo"),
                (1, "\0\0\0\x0bthree"),
            ] {
                kept.on_written(stream, Bytes::from_static(text.as_bytes()));
            }
            // The numbers turn over; the third message is not on the wire.
            kept.on_sent(u32::MAX);
            kept.on_sent(2);
            for cumulative in acknowledged {
                kept.on_acknowledged(*cumulative);
            }
            kept.into_messages().collect::<Vec<_>>()
        };
        let one = (1, 11, Bytes::from_static(b"one"));
        let two = (2, 12, Bytes::from_static(b"two"));
        let three = (1, 11, Bytes::from_static(b"three"));
        assert_eq!(left(&[u32::MAX - 1]), [one, two.clone(), three.clone()]);
        assert_eq!(left(&[u32::MAX, 1]), [two, three.clone()]);
        assert_eq!(left(&[0, 2, 9]), [three]);
    }
}
