//! The part of the drivers that is the same on every runtime: options, transports, multicast groups, and the one loop that moves
//! data between a machine of [`rserpool_core`] and the world.
//!
//! Programs use `rserpool-tokio` or `rserpool-async-std`. Those give [`Options`], [`Bound`] and [`Endpoint`] their [`Runtime`],
//! which is all that a driver for another runtime has to write.
//!
//! Applications hold [`Registrar`], [`PoolElement`], [`PoolUser`] and their sessions. Beneath is the machine with its one stream of
//! [`Events`], and a [`Handle`] for commands.
//!
//! # Back-pressure
//!
//! **Who does not read.** In each session up to [`Limits::unread`] bytes wait for the application (256 KiB). Then the endpoint takes
//! nothing more until there is room, which closes the windows of all its peers: SCTP has no other way to stop one of them. So a slow
//! reader is waited for, and others with it; one that has read nothing for [`Limits::patience`] (3 s) is given up, and told so by
//! [`Ended::Unread`] when it has read what there is: at an element always, because its registrar takes an element that does not answer
//! for dead (RFC 5352 §3.4); at a user where there are other sessions, or pools to resolve or to watch. Memory is bounded by
//! sessions × `unread`, and the sessions by `max_sessions` and `max_associations` of the machines' configurations.
//! Without sessions, whoever does not take [`Events`] closes the windows, too; nothing is lost.
//!
//! **Who sends much.** `send` waits as long as messages to the same peer wait for room in its send buffer; peers do not keep each other
//! waiting. Two that only send and do not read wait for each other: read meanwhile. Beneath, [`Handle::writable`] waits for all peers; a
//! peer that takes nothing and is sent to without waiting is given up when 4 MiB wait beside its send buffer, each message counted 128
//! bytes longer: memory is bounded, and no message is left out in silence.
//!
//! The send buffer is 4 MiB for each association with SCTP over UDP. With kernel SCTP all associations of a port share what the kernel
//! grants (`net.core.wmem_max`); none is given more than a quarter of it before its peer has acknowledged everything.
//!
//! # Dropped futures and handles
//!
//! Every future of the handles can be dropped. `recv`, `next` and `accept` lose nothing: what they would have returned is there for the
//! next call. A command (`send`, `set_load`, …) was done as a whole or not at all, which the caller cannot tell. `connect` and
//! `watch` leave nothing behind. Handles share what they hold; the last clone of a session closes it, after what was sent has been
//! delivered. An endpoint stops when its last handle is gone, sessions included, at `shutdown`, and where the future that runs it is
//! dropped: then all sessions end with [`Ended::Stopped`].
#![forbid(unsafe_code)]

extern crate alloc;

mod driver;
mod handle;
mod multicast;
mod options;
mod pool;
mod runtime;
mod tcp;
mod transport;

pub use driver::{Bound, Endpoint};
pub use handle::{Events, Handle, Stopped};
pub use options::{Options, TransportKind};
pub use pool::{
    Builder, ConnectError, CookieError, ElementEvent, ElementSession, Ended, Limits, Membership,
    Message, Pool, PoolElement, PoolUser, RecvError, RegisterError, Registrar, ResolveError,
    SendError, Session, SessionEvent, SetLoadError, TcpSession, UdpSession, Watch, WatchError,
};
pub use rserpool_core::Machine;
#[cfg(target_os = "linux")]
pub use runtime::SctpSocket;
pub use runtime::{Interest, Runtime, Spawn, TcpListener, TcpStream, UdpSocket, Watched};
pub use tcp::connect_tcp;

use std::io;

/// The longest message that is sent, and taken from peers, in bytes. A longer one comes back as not sent.
///
/// ```no_run
/// # async fn example(session: rserpool_tokio::Session, file: Vec<u8>) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::MAX_MESSAGE_SIZE;
///
/// for chunk in file.chunks(MAX_MESSAGE_SIZE) {
///     session.send(chunk.to_vec()).await?;
/// }
/// # Ok(()) }
/// ```
pub const MAX_MESSAGE_SIZE: usize = 65_536;

/// A seed for a machine, from the operating system's random source; an error is that source's.
///
/// ```
/// use rserpool_core::user::{Config, PoolUser};
///
/// let user = PoolUser::new(Config::default(), rserpool_tokio::seed()?);
/// // With a seed of one's own, a machine does the same again.
/// let repeatable = PoolUser::new(Config::default(), [7; 32]);
/// # let _ = (user, repeatable);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

/// Names what depends on a runtime for one of them: the crates for the runtimes have the same names.
///
/// ```
/// # use rserpool_driver::Runtime;
/// # use rserpool_tokio::Tokio;
/// # use std::time::Instant;
/// /// Tokio under another name.
/// pub enum Mine {}
/// # impl Runtime for Mine {
/// #     type Udp = <Tokio as Runtime>::Udp;
/// #     #[cfg(target_os = "linux")]
/// #     type Sctp = <Tokio as Runtime>::Sctp;
/// #     type Tcp = <Tokio as Runtime>::Tcp;
/// #     type TcpListener = <Tokio as Runtime>::TcpListener;
/// #     type Timer = <Tokio as Runtime>::Timer;
/// #     fn timer(at: Instant) -> Self::Timer {
/// #         Tokio::timer(at)
/// #     }
/// # }
///
/// rserpool_driver::names!(Mine);
///
/// let builder = PoolUser::builder();
/// # let _: rserpool_driver::Builder<Mine, _> = builder;
/// ```
#[macro_export]
macro_rules! names {
    ($runtime:ty) => {
        /// Where an endpoint sits: see [`rserpool_driver::Options`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::Options;")]
        ///
        /// let mut options = Options::element(4000);
        /// options.local = vec!["192.0.2.3".parse()?];
        /// let bound = options.bind()?;
        /// println!("{} at {:?}", bound.transport(), bound.addresses());
        /// # Ok::<(), Box<dyn core::error::Error>>(())
        /// ```
        pub type Options = $crate::Options<$runtime>;

        /// An endpoint without a machine: see [`rserpool_driver::Bound`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::Bound;")]
        /// use core::net::IpAddr;
        ///
        /// fn preferred(bound: &Bound) -> IpAddr {
        ///     bound.addresses()[0]
        /// }
        /// ```
        pub type Bound = $crate::Bound<$runtime>;

        /// A machine with its transport: see [`rserpool_driver::Endpoint`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::Endpoint;")]
        /// use rserpool_core::user::PoolUser;
        ///
        /// async fn run(endpoint: Endpoint<PoolUser>) {
        ///     // Commands go through `handle`, and the endpoint runs as long as it is there.
        ///     let (handle, events, run) = endpoint.into_parts();
        ///     run.await;
        /// }
        /// ```
        pub type Endpoint<M> = $crate::Endpoint<M, $runtime>;

        /// A registrar: see [`rserpool_driver::Registrar`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::Registrar;")]
        ///
        /// let (registrar, endpoint) = Registrar::builder().start()?;
        /// println!("{} at {}", registrar.id(), registrar.address());
        /// // Now run `endpoint` in a task.
        /// # Ok::<(), Box<dyn core::error::Error>>(())
        /// ```
        pub type Registrar = $crate::Registrar<$runtime>;

        /// A server in a pool: see [`rserpool_driver::PoolElement`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::PoolElement;")]
        ///
        /// let (element, endpoint) = PoolElement::builder("EchoPool")
        ///     .registrar("192.0.2.1:3863".parse()?)
        ///     .start()?;
        /// // Run `endpoint` in a task; then `element.register()`, and `element.accept()` again and again.
        /// # Ok::<(), Box<dyn core::error::Error>>(())
        /// ```
        pub type PoolElement = $crate::PoolElement<$runtime>;

        /// A client of pools: see [`rserpool_driver::PoolUser`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::PoolUser;")]
        ///
        /// let (user, endpoint) = PoolUser::builder()
        ///     .registrar("192.0.2.1:3863".parse()?)
        ///     .start()?;
        /// // Run `endpoint` in a task; then `user.connect("EchoPool")`.
        /// # Ok::<(), Box<dyn core::error::Error>>(())
        /// ```
        pub type PoolUser = $crate::PoolUser<$runtime>;

        /// A byte stream with a pool over TCP: see [`rserpool_driver::TcpSession`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::{PoolUser, TcpSession};")]
        ///
        /// async fn open(user: &PoolUser) -> Option<TcpSession> {
        ///     user.connect_tcp("WebPool").await.ok()
        /// }
        /// ```
        pub type TcpSession = $crate::TcpSession<$runtime>;

        /// Datagrams with a pool over UDP: see [`rserpool_driver::UdpSession`].
        ///
        /// ```no_run
        #[doc = concat!("use ", module_path!(), "::{PoolUser, UdpSession};")]
        ///
        /// async fn open(user: &PoolUser) -> Option<UdpSession> {
        ///     user.connect_udp("TimePool").await.ok()
        /// }
        /// ```
        pub type UdpSession = $crate::UdpSession<$runtime>;
    };
}
