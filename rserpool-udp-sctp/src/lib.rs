//! SCTP over UDP in userspace (RFC 9260, RFC 6951), without I/O.
//!
//! A [`Stack`] is one local address with one UDP socket, which carries all SCTP ports and all
//! associations, as in a kernel. It owns no socket, clock, thread or random source: datagrams and time
//! go in, datagrams and [`Event`]s come out. Reliable transfer is done by
//! [sctp-proto](https://docs.rs/sctp-proto) 0.10.8, unmodified; everything that it lacks for peers
//! other than browsers is done around it.
//!
//! # The loop
//!
//! 1. Whenever anything was called, take [`Stack::poll_event`] and [`Stack::poll_transmit`] until both
//!    are empty.
//! 2. Then wait for a datagram or the instant of [`Stack::poll_timeout`], whichever is first.
//! 3. Hand it over with [`Stack::handle_datagram`] or [`Stack::handle_timeout`]; several datagrams in a
//!    row are cheaper than one by one.
//!
//! With the feature `machine`, an `Endpoint` is a stack with a machine of
//! [rserpool-core](https://docs.rs/rserpool-core), and has the same loop.
//!
//! A datagram that the system refuses to send is a lost one and nothing to report. Any order of calls
//! is legal and early timeouts are harmless. Nothing a peer sends makes a call fail or panic.
//!
//! ```
//! use core::net::SocketAddr;
//! use rserpool_udp_sctp::{Config, Event, Stack};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let (a, b): (SocketAddr, SocketAddr) = ("192.0.2.1:9899".parse()?, "192.0.2.2:9899".parse()?);
//! let mut client = Stack::new(a.ip(), Config::default(), [1; 32]);
//! let mut server = Stack::new(b.ip(), Config::default(), [2; 32]);
//! server.listen(3863)?;
//! let id = client.connect(now, 5000, SocketAddr::new(b.ip(), 3863))?;
//! client.send(now, id, 0, 11, b"an ASAP message")?;
//! for _ in 0..4 {
//!     while let Some(datagram) = client.poll_transmit() {
//!         server.handle_datagram(now, a, &datagram.payload);
//!     }
//!     while let Some(datagram) = server.poll_transmit() {
//!         client.handle_datagram(now, b, &datagram.payload);
//!     }
//! }
//! assert!(matches!(server.poll_event(), Some(Event::Connected { local_port: 3863, .. })));
//! assert!(matches!(server.poll_event(), Some(Event::Message { ppid: 11, .. })));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # No protection
//!
//! Bare SCTP over UDP is neither encrypted nor authenticated: who can read the packets can forge them,
//! who reaches the port can connect. Verification tags, a state cookie under a MAC, and limits hold off
//! those who cannot read. It belongs on loopback and on networks that are trusted or protected by other
//! means. Bind to loopback unless told otherwise. An association may keep
//! [`Config::max_receive_buffer`] bytes: times [`Config::max_associations`], that is what peers with
//! real addresses can make a caller store who does not read events.
//!
//! # What is done around sctp-proto 0.10.8
//!
//! | gap there | here |
//! |---|---|
//! | PPID is a closed set | any `u32`, carried in front of the message |
//! | address and unknown parameters drop INIT and INIT ACK | read by RFC 9260 §3.2.1, reported where asked for |
//! | unknown chunks drop the packet, ERROR closes | skipped and reported by their high bits, ERROR is counted |
//! | a TCB per INIT, cookie without MAC and lifetime | nothing is stored before COOKIE ECHO; HMAC-SHA-256, 60 s |
//! | duplicate INIT kills, restart and collision double | the tables of RFC 9260 §5.2 |
//! | no HEARTBEAT, a dead peer is never noticed | heartbeats, error counter; 4.5 s idle or loaded |
//! | SHUTDOWN loses data, carries the wrong TSN, never ends | drains, then RFC 9260 §9.2, bounded |
//! | no ABORT call, T bit ignored | both |
//! | no answer out of the blue | RFC 9260 §8.4, rate-limited |
//! | ports unchecked after the handshake, addresses never | ports, tag and address first; the UDP port follows (RFC 6951 §5.4) |
//! | wrong SACK closes, own SACK outgrows the packet | checked, cut |
//! | reassembly is quadratic and may sort without order | windows, charges, rations |
//! | what was not acknowledged is lost with the association | it comes back before the end |
//! | an empty write stalls the stream | refused with an error |
//!
//! # What is not there
//!
//! One path: further addresses of a multi-homed peer are accepted as sources and their heartbeats
//! answered, but nothing is sent to them otherwise. Messages are sent ordered; unordered ones are
//! received. No path MTU discovery ([`Config::mtu`]), no AUTH, stream reset, partial reliability or
//! interleaving, and none is announced. A peer that takes back what it gap-acknowledged is not served.
#![forbid(unsafe_code)]

extern crate alloc;

/// Borrows of a stack, field by field, so that an association of it can be held at the same time.
macro_rules! context {
    ($stack:ident, $now:expr) => {
        $crate::association::Context {
            now: $now,
            config: &$stack.config,
            out: &mut $stack.out,
            counters: &mut $stack.counters,
            rng: &mut $stack.rng,
        }
    };
}

mod association;
mod config;
mod edge;
#[cfg(feature = "machine")]
mod endpoint;
mod event;
pub mod packet;
mod stack;

pub use config::{Config, Counters};
#[cfg(feature = "machine")]
pub use endpoint::Endpoint;
pub use event::{
    AssociationId, ConnectError, ConnectFailure, Event, ListenError, Reason, SendError, Transmit,
};
pub use stack::Stack;

#[cfg(test)]
mod tests {
    #[test]
    fn a_stack_may_change_threads() {
        fn is_send<T: Send>() {}
        is_send::<crate::Stack>();
    }
}
