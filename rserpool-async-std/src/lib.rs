//! Reliable Server Pooling on `async-io`, for async-std and smol.
//!
//! The driver of this crate will have the names and the shape of the one in `rserpool-tokio`, and will never spawn: it returns
//! a future that any executor can run. Until it is here, programs on these runtimes drive the machines of `rserpool-core`
//! themselves: a machine needs a socket, a clock, and the three-line loop of its `Machine` trait.
#![forbid(unsafe_code)]
