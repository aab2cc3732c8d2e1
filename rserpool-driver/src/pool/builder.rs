//! From options and configuration to a handle.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use rserpool_core::{element, user};

use crate::{Options, Runtime};

/// What one endpoint keeps for its application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many bytes may have come in one session and wait to be read (256 KiB); one message may always. Then all sessions of the
    /// endpoint, and their peers, wait until it is read.
    pub unread: usize,
    /// How long that may be so without anything being read (3 s, less than an element may take for a keep-alive); then the session
    /// ends with [`Ended::Unread`](super::Ended::Unread). At an element that holds for the only session, too, because its registrar
    /// waits. The only session of a user is waited for without end, unless its application resolves or watches a pool.
    pub patience: Duration,
    /// How many sessions of an element may wait to be accepted (1,024); more are closed at once.
    pub backlog: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unread: 256 << 10,
            patience: Duration::from_secs(3),
            backlog: 1024,
        }
    }
}

/// What a handle is made of: where the endpoint sits, the machine's configuration `C`, and what is kept for the application.
///
/// Everything has a default; what the methods here do not say, [`options`](Self::options) and [`config`](Self::config) do.
///
/// ```no_run
/// # fn example<R: rserpool_driver::Runtime>() -> std::io::Result<()> {
/// use core::time::Duration;
/// use rserpool_core::Dialect;
/// use rserpool_driver::{PoolElement, TransportKind};
///
/// let (element, endpoint) = PoolElement::<R>::builder("EchoPool")
///     .options(|options| {
///         options.transport = TransportKind::Kernel;
///         options.multicast = Some(Dialect::Rsplib);
///     })
///     .config(|config| config.dialect = Dialect::Rsplib)
///     .limits(|limits| limits.patience = Duration::from_secs(10))
///     .start()?;
/// # let _ = (element, endpoint); Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Builder<R: Runtime, C> {
    pub(super) options: Options<R>,
    pub(super) config: C,
    pub(super) limits: Limits,
}

impl<R: Runtime, C> Builder<R, C> {
    pub(super) fn new(mut options: Options<R>, config: C) -> Self {
        /// The router takes them at once. What waits between it and the driver is in nobody's limit.
        const EVENTS: usize = 64;
        options.event_capacity = EVENTS;
        Self {
            options,
            config,
            limits: Limits::default(),
        }
    }

    /// Changes where the endpoint sits: its transport, addresses and ports.
    pub fn options(mut self, change: impl FnOnce(&mut Options<R>)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes the machine's configuration: its timers, limits and dialect.
    pub fn config(mut self, change: impl FnOnce(&mut C)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes what is kept for the application.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }
}

impl<R: Runtime> Builder<R, element::Config> {
    /// Adds a registrar to look for: its ASAP address and SCTP port.
    pub fn registrar(mut self, address: SocketAddr) -> Self {
        self.config.hunt.registrars.push(address);
        self
    }
}

impl<R: Runtime> Builder<R, user::Config> {
    /// Adds a registrar to look for: its ASAP address and SCTP port.
    pub fn registrar(mut self, address: SocketAddr) -> Self {
        self.config.hunt.registrars.push(address);
        self
    }
}

/// A port of the dynamic range (RFC 6335 §6) by chance.
pub(super) fn any_port() -> io::Result<u16> {
    let [high, low, ..] = crate::seed()?;
    Ok(u16::from_be_bytes([high, low]) | 0xc000)
}
