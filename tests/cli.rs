//! The program as its users have it: real processes on loopback. Each test has a UDP port of its own, so that they run side by
//! side.

extern crate alloc;

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/failover.rs"]
mod failover;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/load.rs"]
mod load;
#[path = "cli/pipes.rs"]
mod pipes;
#[path = "cli/processes.rs"]
mod processes;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/tcp_pools.rs"]
mod tcp_pools;
#[path = "cli/tour.rs"]
mod tour;
#[path = "cli/usage.rs"]
mod usage;
