//! The protocol machines of Reliable Server Pooling (RSerPool, RFC 5351–5356), sans-IO.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod dialect;
mod ids;
mod machine;
mod rng;
mod time;
mod timers;
pub mod wire;

pub use dialect::{Dialect, Life};
pub use ids::{AssocId, PeId, PoolHandle, Ppid, ServerId};
pub use machine::{Action, Input, Machine};
pub use rng::Rng;
pub use time::Instant;
