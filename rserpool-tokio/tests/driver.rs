//! The suite of all drivers on tokio.

extern crate alloc;

#[path = "driver/runtime.rs"]
mod runtime;
#[path = "../../rserpool-driver/tests/suite/mod.rs"]
mod suite;
