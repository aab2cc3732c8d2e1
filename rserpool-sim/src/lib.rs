//! A deterministic world for the protocol machines of Reliable Server Pooling.
//!
//! Registrars, elements and users are the real machines. The network, the clock and the faults are values: a run depends on
//! the seed and on nothing else, and takes no time. [`World::trace_hash`] is the same for the same seed.
//!
//! ```
//! use core::time::Duration;
//! use rserpool_sim::World;
//!
//! let mut world = World::new(1);
//! let registrar = world.add_registrar(|_| {});
//! let element = world.add_element("EchoPool", |_| {});
//! world.element(element, |element, now| element.register(now));
//! world.run_for(Duration::from_secs(1));
//! assert_eq!(world.registrar(registrar, |registrar, _| registrar.handlespace().len()), 1);
//! ```
#![forbid(unsafe_code)]

extern crate alloc;

mod attacks;
mod check;
mod faults;
mod kernel;
mod network;
mod node;
mod ops;
mod options;
mod plan;
pub mod policies;
mod remains;
mod run;
mod trace;
mod truth;
mod world;

pub use network::{Cut, CutId, Network};
pub use node::{NodeId, Told};
pub use options::{Distribution, Mix, Options, Report, UnknownMix};
pub use run::{run, run_traced};
pub use world::World;
