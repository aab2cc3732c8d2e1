//! Reliable Server Pooling on tokio: one task drives one machine of [`rserpool_core`] over SCTP.
//!
//! The transport is the Linux kernel's SCTP where there is one, else SCTP over UDP (RFC 6951), which needs nothing of the operating
//! system; see [`TransportKind`]. Neither has protection of its own: on anything but loopback or a trusted network, whoever can
//! send packets can take part.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_core::{PoolHandle, user};
//! use rserpool_tokio::Options;
//!
//! let mut config = user::Config::default();
//! config.hunt.registrars = vec!["127.0.0.1:3863".parse()?];
//! let machine = user::PoolUser::new(config, rserpool_tokio::seed()?);
//! let (handle, mut events) = Options::user().bind()?.drive(machine).spawn();
//! handle.call(|user, now| user.resolve(now, &PoolHandle::from("EchoPool"))).await?;
//! println!("{:?}", events.recv().await);
//! # Ok(()) }
//! ```
//!
//! # Back-pressure
//!
//! Whoever does not take [`Events`] closes the windows of its peers, who then have to wait; nothing is lost. Whoever sends much
//! waits for [`Handle::writable`] before each message. A peer that takes nothing and is sent to all the same is given up when
//! 4 MiB wait beside its send buffer: memory is bounded, and no message is left out in silence. The send buffer is 4 MiB for each
//! association with SCTP over UDP. With kernel SCTP all associations of a port share what the kernel grants (`net.core.wmem_max`);
//! none is given more than a quarter of it before its peer has acknowledged everything.
#![forbid(unsafe_code)]

extern crate alloc;

mod driver;
mod multicast;
mod options;
mod transport;

pub use driver::{Bound, Endpoint, Events, Handle, Stopped};
pub use options::{Options, TransportKind};

use std::io;

/// The longest message that is sent, and taken from peers, in bytes. A longer one comes back as not sent.
pub const MAX_MESSAGE_SIZE: usize = 65_536;

/// A seed for a machine, from the operating system.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}
