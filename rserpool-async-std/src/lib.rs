//! Reliable Server Pooling on `async-io`, for async-std, smol, and any other executor: one future drives one machine of
//! [`rserpool_core`](https://docs.rs/rserpool-core) over SCTP.
//!
//! Everything has the names that it has in `rserpool-tokio`. Nothing is spawned: `into_parts` returns the driver as a future
//! that the caller runs, and no runtime has to be there.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_async_std::Options;
//! use rserpool_core::{PoolHandle, user};
//!
//! let mut config = user::Config::default();
//! config.hunt.registrars = vec!["127.0.0.1:3863".parse()?];
//! let machine = user::PoolUser::new(config, rserpool_async_std::seed()?);
//! let (handle, mut events, driver) = Options::user().bind()?.drive(machine).into_parts();
//! smol::spawn(driver).detach(); // or async_std::task::spawn(driver)
//! handle.call(|user, now| user.resolve(now, &PoolHandle::from("EchoPool"))).await?;
//! println!("{:?}", events.recv().await);
//! # Ok(()) }
//! ```
//!
//! The features `async-std` and `smol` add `async_std::spawn` and `smol::spawn`, which do it in one line. Neither is on by
//! default: async-std is not maintained any more.
//!
//! The transport is the Linux kernel's SCTP where there is one, else SCTP over UDP (RFC 6951), which needs nothing of the operating
//! system; see [`TransportKind`]. Neither has protection of its own: on anything but loopback or a trusted network, whoever can
//! send packets can take part.
//!
//! How long messages wait, and what becomes of those that nobody takes: see
//! [back-pressure](rserpool_driver#back-pressure).
#![forbid(unsafe_code)]

mod runtime;

pub use rserpool_driver::{Events, Handle, MAX_MESSAGE_SIZE, Stopped, TransportKind, seed};
pub use runtime::AsyncIo;

/// Where an endpoint sits.
pub type Options = rserpool_driver::Options<AsyncIo>;

/// An endpoint without a machine.
pub type Bound = rserpool_driver::Bound<AsyncIo>;

/// A machine with its transport.
pub type Endpoint<M> = rserpool_driver::Endpoint<M, AsyncIo>;

/// On async-std.
#[cfg(feature = "async-std")]
pub mod async_std {
    use rserpool_driver::{Events, Handle, Machine};

    use crate::Endpoint;

    /// Runs the endpoint in a task of its own until the last handle is dropped.
    ///
    /// ```
    /// use rserpool_async_std::{Options, TransportKind};
    /// use rserpool_core::user::{Config, PoolUser};
    ///
    /// let mut options = Options::user();
    /// options.transport = TransportKind::Udp;
    /// let endpoint = options.bind()?.drive(PoolUser::new(Config::default(), [1; 32]));
    /// let (handle, _events) = rserpool_async_std::async_std::spawn(endpoint);
    /// async_std::task::block_on(handle.call(|_user, _now| ()))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<M>(endpoint: Endpoint<M>) -> (Handle<M>, Events<M::Event>)
    where
        M: Machine + Send + 'static,
        M::Event: Send,
    {
        let (handle, events, driver) = endpoint.into_parts();
        ::async_std::task::spawn(driver);
        (handle, events)
    }
}

/// On smol.
#[cfg(feature = "smol")]
pub mod smol {
    use rserpool_driver::{Events, Handle, Machine};

    use crate::Endpoint;

    /// Runs the endpoint in a task of its own until the last handle is dropped.
    ///
    /// ```
    /// use rserpool_async_std::{Options, TransportKind};
    /// use rserpool_core::user::{Config, PoolUser};
    ///
    /// let mut options = Options::user();
    /// options.transport = TransportKind::Udp;
    /// let endpoint = options.bind()?.drive(PoolUser::new(Config::default(), [1; 32]));
    /// let (handle, _events) = rserpool_async_std::smol::spawn(endpoint);
    /// smol::block_on(handle.call(|_user, _now| ()))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<M>(endpoint: Endpoint<M>) -> (Handle<M>, Events<M::Event>)
    where
        M: Machine + Send + 'static,
        M::Event: Send,
    {
        let (handle, events, driver) = endpoint.into_parts();
        ::smol::spawn(driver).detach();
        (handle, events)
    }
}
