//! The protocol machines of Reliable Server Pooling (RSerPool, RFC 5351–5356), sans-IO.
//!
//! | role | machine | module |
//! |---|---|---|
//! | registrar (PR, ENRP server) | [`Registrar`](registrar::Registrar) | [`registrar`] |
//! | pool element (PE, server) | [`PoolElement`](element::PoolElement) | [`element`] |
//! | pool user (PU, client) | [`PoolUser`](user::PoolUser) | [`user`] |
//!
//! A machine owns no socket, clock, task or random source. What happened outside goes in as an [`Input`], what to do next comes
//! out as an [`Action`], and commands are method calls. Whoever drives it needs three lines, in any order: hand in inputs, take
//! actions until there are none, and call [`Machine::handle_timeout`] at [`Machine::poll_timeout`].
//!
//! ```
//! use rserpool_core::element::{Config, Event, PoolElement};
//! use rserpool_core::wire::asap::{self, Message};
//! use rserpool_core::wire::{Policy, Transport, TransportBuf};
//! use rserpool_core::{Action, AssocId, Input, Instant, Machine, PoolHandle, Ppid};
//!
//! let transport = Transport::Udp { port: 7, address: "192.0.2.2".parse()? };
//! let pool = PoolHandle::from("EchoPool");
//! let mut config = Config::new(pool, TransportBuf::from(&transport), Policy::RoundRobin);
//! config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
//! let mut element = PoolElement::new(config, [7; 32]);
//! let now = Instant::EPOCH;
//!
//! element.register(now);
//! let Some(Action::Connect { remote, .. }) = element.poll_action() else { panic!() };
//! let association = AssocId(1);
//! element.handle_input(now, Input::Connected { association, remote: &remote });
//! let Some(Action::Send { bytes, .. }) = element.poll_action() else { panic!() };
//! assert!(matches!(asap::decode(&bytes)?.message, Message::Registration { .. }));
//!
//! let answer = Message::RegistrationResponse {
//!     rejected: false,
//!     pool_handle: b"EchoPool",
//!     pe_id: element.id(),
//!     error: None,
//! };
//! let bytes = &answer.to_bytes()?[..];
//! element.handle_input(now, Input::Message { association, ppid: Ppid::ASAP, stream: 0, bytes });
//! assert_eq!(element.poll_action(), Some(Action::Notify(Event::Registered { home: association })));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! The contract in full, whole loops, and the mistakes that were made in them: `docs/embedding.md` of the repository. Where SCTP over
//! UDP is what carries the messages, `rserpool_udp_sctp::Endpoint` has all of it but the socket; `examples/poll_loop.rs` and
//! `examples/mio_loop.rs` run a registrar, elements and a user with it.
//!
//! Below the machines, [`wire`] is the codec, [`handlespace`] the pools and elements, [`policy`] the member selection, and
//! [`timers`] the deadlines: each is of use on its own.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod blocks;
#[cfg(feature = "sealed-cookies")]
pub mod cookie;
mod dialect;
pub mod element;
mod faults;
pub mod handlespace;
mod hashed;
mod hunt;
mod ids;
mod machine;
#[cfg(not(feature = "planted-bugs"))]
#[expect(unreachable_pub, reason = "only the feature exports them")]
mod planted;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod policy;
pub mod registrar;
mod rng;
mod time;
pub mod timers;
pub mod user;
pub mod wire;

/// The SCTP, TCP and UDP port of ASAP (RFC 5352 §8.2).
pub const ASAP_PORT: u16 = 3863;
/// The SCTP and UDP port of ENRP (RFC 5353 §5.3).
pub const ENRP_PORT: u16 = 9901;

pub use dialect::{Dialect, Life};
pub use hunt::HuntConfig;
pub use ids::{AssocId, PeId, PoolHandle, Ppid, ServerId};
pub use machine::{Action, End, Input, Machine};
pub use rng::Rng;
pub use time::Instant;

/// The programs of that page are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;
