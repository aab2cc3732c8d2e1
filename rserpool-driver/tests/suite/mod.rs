//! The driver on real sockets, on each runtime: a machine that does what it is told on one side, and the same on the other; and the
//! three roles together.
//!
//! Who includes this has a module `runtime` with the runtime's crate as `driver`, the runtime's name there as `Runtime`, and these:
//! `block_on` runs a test, `spawn` a task that nobody waits for, `start` an endpoint, `sleep` waits.

mod flow;
mod handles;
#[cfg(target_os = "linux")]
mod kernel;
mod life;
mod multicast;
mod pool;
mod probe;
mod scope;
