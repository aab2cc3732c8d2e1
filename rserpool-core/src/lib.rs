//! The protocol machines of Reliable Server Pooling (RSerPool, RFC 5351–5356), sans-IO.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod dialect;
pub mod element;
mod faults;
pub mod handlespace;
mod hunt;
mod ids;
mod machine;
pub mod policy;
pub mod registrar;
mod rng;
mod time;
mod timers;
pub mod user;
pub mod wire;

/// The SCTP, TCP and UDP port of ASAP (RFC 5352 §8.2).
pub const ASAP_PORT: u16 = 3863;
/// The SCTP and UDP port of ENRP (RFC 5353 §5.2).
pub const ENRP_PORT: u16 = 9901;

pub use dialect::{Dialect, Life};
pub use hunt::HuntConfig;
pub use ids::{AssocId, PeId, PoolHandle, Ppid, ServerId};
pub use machine::{Action, End, Input, Machine};
pub use rng::Rng;
pub use time::Instant;
