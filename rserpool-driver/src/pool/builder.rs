//! From options and configuration to a handle.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use rserpool_core::{element, user};

use crate::{Options, Runtime};

/// What one endpoint keeps for its application.
///
/// ```
/// use core::time::Duration;
/// use rserpool_tokio::Limits;
///
/// // Room for a few whole messages, and for a reader that computes for a while. At a user only: an element has to answer its registrar.
/// let mut limits = Limits::default();
/// limits.unread = 1 << 20;
/// limits.patience = Duration::from_secs(60);
/// ```
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
/// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
/// use core::time::Duration;
/// use rserpool_core::Dialect;
/// use rserpool_tokio::{PoolElement, TransportKind};
///
/// let element = PoolElement::builder("EchoPool")
///     .options(|options| {
///         options.transport = TransportKind::Kernel;
///         options.multicast = Some(Dialect::Rsplib);
///     })
///     .config(|config| config.dialect = Dialect::Rsplib)
///     .limits(|limits| limits.patience = Duration::from_secs(10))
///     .register()
///     .await?;
/// # let _ = element;
/// # Ok(()) }
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
    ///
    /// ```
    /// use rserpool_tokio::{PoolUser, TransportKind};
    ///
    /// let local = "192.0.2.7".parse()?;
    /// let builder = PoolUser::builder().options(|options| {
    ///     options.transport = TransportKind::Udp;
    ///     options.local = vec![local];
    /// });
    /// # let _ = builder;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn options(mut self, change: impl FnOnce(&mut Options<R>)) -> Self {
        change(&mut self.options);
        self
    }

    /// Changes the machine's configuration: its timers, limits and dialect.
    ///
    /// ```
    /// use core::time::Duration;
    /// use rserpool_tokio::PoolUser;
    ///
    /// // Every resolution asks a registrar, and `connect` gives up after ten seconds.
    /// let builder = PoolUser::builder().config(|config| {
    ///     config.stale_cache_value = Duration::ZERO;
    ///     config.failover_timeout = Duration::from_secs(10);
    /// });
    /// # let _ = builder;
    /// ```
    pub fn config(mut self, change: impl FnOnce(&mut C)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes what is kept for the application.
    ///
    /// ```
    /// use rserpool_tokio::PoolElement;
    ///
    /// // Who is not accepted soon shall turn to another element.
    /// let builder = PoolElement::builder("EchoPool").limits(|limits| limits.backlog = 16);
    /// # let _ = builder;
    /// ```
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }
}

impl<R: Runtime> Builder<R, element::Config> {
    /// Adds a registrar to look for: its ASAP address and SCTP port.
    ///
    /// ```
    /// use rserpool_tokio::PoolElement;
    ///
    /// let builder = PoolElement::builder("EchoPool")
    ///     .registrar("192.0.2.1:3863".parse()?)
    ///     .registrar("192.0.2.2:3863".parse()?);
    /// # let _ = builder;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn registrar(mut self, address: SocketAddr) -> Self {
        self.config.hunt.registrars.push(address);
        self
    }
}

impl<R: Runtime> Builder<R, user::Config> {
    /// Adds a registrar to look for: its ASAP address and SCTP port.
    ///
    /// ```
    /// use rserpool_tokio::PoolUser;
    ///
    /// let mut builder = PoolUser::builder();
    /// for address in "192.0.2.1:3863,[2001:db8::1]:3863".split(',') {
    ///     builder = builder.registrar(address.parse()?);
    /// }
    /// # let _ = builder;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
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
