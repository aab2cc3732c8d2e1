//! The driver on real sockets: a machine that does what it is told on one side, and the same on the other.

extern crate alloc;

#[path = "driver/flow.rs"]
mod flow;
#[path = "driver/life.rs"]
mod life;
#[path = "driver/multicast.rs"]
mod multicast;
#[path = "driver/pool.rs"]
mod pool;
#[path = "driver/probe.rs"]
mod probe;
