//! The edge: what stands between sctp-proto 0.10.8 and the wire.
//!
//! One module per gap of that version. Each says what is missing there; once upstream does it, the
//! module can go.

pub(crate) mod abort;
pub(crate) mod chunks;
pub(crate) mod cookie;
pub(crate) mod engine;
pub(crate) mod heartbeat;
pub(crate) mod init;
pub(crate) mod ootb;
pub(crate) mod params;
pub(crate) mod ppid;
pub(crate) mod reassembly;
pub(crate) mod sack;
pub(crate) mod shutdown;
pub(crate) mod unacknowledged;
