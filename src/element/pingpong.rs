//! The ping-pong service of the reference implementation: each ping is answered with a pong that has a running number, and a
//! cookie takes the number to the next element.
//!
//! ```text
//!  Ping: type 1, flags, length (16 bits), number (64 bits), text        Pong: type 2, flags, length, the ping's number and text
//!  Cookie: "<PP-TD1>", number of the next pong (64 bits)                      with the pong's number (64 bits) between them
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use rserpool_core::Ppid;

/// The payload protocol identifier that IANA has for it.
pub(super) const PPID: Ppid = Ppid(33);

const PING: u8 = 1;
const PONG: u8 = 2;
const HEADER: usize = 4;
const NUMBER: usize = 8;
const COOKIE: &[u8; 8] = b"<PP-TD1>";

/// A session of the service.
#[derive(Debug)]
pub(super) struct PingPong {
    /// The number of the next pong.
    next: u64,
}

impl Default for PingPong {
    fn default() -> Self {
        Self { next: 1 }
    }
}

impl PingPong {
    /// The pong to a ping; `None` where it is none.
    pub(super) fn answer(&mut self, ping: &[u8]) -> Option<Bytes> {
        let (header, rest) = ping.split_first_chunk::<HEADER>()?;
        let (number, text) = rest.split_first_chunk::<NUMBER>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] != PING || length != ping.len() {
            return None;
        }
        let mut pong = BytesMut::with_capacity(ping.len() + NUMBER);
        pong.put_u8(PONG);
        pong.put_u8(0);
        pong.put_u16(u16::try_from(ping.len() + NUMBER).ok()?);
        pong.put_slice(number);
        pong.put_u64(self.next);
        pong.put_slice(text);
        self.next = self.next.wrapping_add(1);
        Some(pong.freeze())
    }

    /// What another element needs to go on.
    pub(super) fn cookie(&self) -> Bytes {
        let mut cookie = BytesMut::with_capacity(COOKIE.len() + NUMBER);
        cookie.put_slice(COOKIE);
        cookie.put_u64(self.next);
        cookie.freeze()
    }

    /// Goes on where another element has left off. The service is a test of fail-over and its cookies are not signed: whoever
    /// changes one has changed the numbers of its own pongs.
    pub(super) fn resume(&mut self, cookie: &[u8]) {
        let number = cookie.strip_prefix(COOKIE).map(<[u8; NUMBER]>::try_from);
        if let Some(Ok(number)) = number {
            self.next = u64::from_be_bytes(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(number: u64, text: &[u8]) -> Vec<u8> {
        let length = u16::try_from(HEADER + NUMBER + text.len()).unwrap();
        let mut ping = vec![PING, 0];
        ping.extend(length.to_be_bytes());
        ping.extend(number.to_be_bytes());
        ping.extend(text);
        ping
    }

    // As a capture of the reference implementation has it: cookie 2 after the first pong.
    #[test]
    fn pongs_are_numbered_across_elements() {
        let mut first = PingPong::default();
        let pong = first.answer(&ping(7, b"text\0")).unwrap();
        let expected = b"\x02\x00\x00\x19\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x01text\0";
        assert_eq!(pong[..], expected[..]);
        assert_eq!(first.cookie()[..], *b"<PP-TD1>\0\0\0\0\0\0\0\x02");

        let mut second = PingPong::default();
        second.resume(&first.cookie());
        let pong = second.answer(&ping(8, b"")).unwrap();
        assert_eq!(pong[12..20], 2_u64.to_be_bytes());
    }

    #[test]
    fn what_is_no_ping_has_no_answer() {
        let mut session = PingPong::default();
        let good = ping(1, b"abc");
        for length in 0..good.len() {
            assert_eq!(session.answer(&good[..length]), None);
        }
        assert_eq!(session.answer(&[&[PONG], &good[1..]].concat()), None);
        let longest = ping(1, &[0; 65_535 - HEADER - NUMBER]);
        assert_eq!(session.answer(&longest), None);
        for cookie in [
            &b""[..],
            b"<PP-TD1>",
            b"<PP-TD1>\0\0\0\0\0\0\0",
            b"<PP-TD2>\0\0\0\0\0\0\0\x09",
        ] {
            session.resume(cookie);
        }
        assert_eq!(session.cookie()[8..], 1_u64.to_be_bytes());
    }
}
