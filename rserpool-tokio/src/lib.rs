//! Reliable Server Pooling on tokio: one task drives one machine of [`rserpool_core`](https://docs.rs/rserpool-core) over SCTP.
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
//! How long messages wait, and what becomes of those that nobody takes: see
//! [back-pressure](rserpool_driver#back-pressure).
#![forbid(unsafe_code)]

mod runtime;

pub use rserpool_driver::{Events, Handle, MAX_MESSAGE_SIZE, Stopped, TransportKind, seed};
pub use runtime::Tokio;

/// Where an endpoint sits.
pub type Options = rserpool_driver::Options<Tokio>;

/// An endpoint without a machine.
pub type Bound = rserpool_driver::Bound<Tokio>;

/// A machine with its transport.
pub type Endpoint<M> = rserpool_driver::Endpoint<M, Tokio>;
