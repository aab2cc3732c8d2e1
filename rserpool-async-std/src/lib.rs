//! Reliable Server Pooling on `async-io`, for async-std, smol, and any other executor: a few lines to join a pool, and a few to
//! talk to one.
//!
//! Everything has the names that it has in `rserpool-tokio`. The examples of the items use them from there, and are the same
//! here, but for `spawn`: nothing is spawned. `start` returns the endpoint as a future that the caller runs, and no runtime has
//! to be there.
//!
//! A server is a [`PoolElement`]. It registers in a pool, and accepts sessions:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_async_std::PoolElement;
//!
//! let (element, endpoint) = PoolElement::builder("EchoPool")
//!     .registrar("127.0.0.1:3863".parse()?)
//!     .start()?;
//! smol::spawn(endpoint).detach(); // or async_std::task::spawn(endpoint)
//! element.register().await?;
//! while let Some(session) = element.accept().await {
//!     smol::spawn(async move {
//!         while let Ok(message) = session.recv().await {
//!             if session.send(message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     })
//!     .detach();
//! }
//! # Ok(()) }
//! ```
//!
//! A client is a [`PoolUser`]. Its sessions are with a pool, and go on with another element when theirs fails:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_async_std::PoolUser;
//!
//! let (user, endpoint) = PoolUser::builder()
//!     .registrar("127.0.0.1:3863".parse()?)
//!     .start()?;
//! smol::spawn(endpoint).detach();
//! let session = user.connect("EchoPool").await?;
//! let answer = session.ask("hello").await?;
//! println!("{answer:?}");
//! user.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! [`Session::ask`] asks the next element again; [`Session::recv`] leaves that to the application, and says when to think of it.
//!
//! Both need a [`Registrar`]: `rserpool registrar`, or one in the same program.
//!
//! * Handles are cloned at will. An endpoint runs as long as one of them lives, or a session; `shutdown` ends it in order.
//! * Every future can be dropped: what was to be received is still there, and what was to be sent was sent whole or not at all.
//! * Who does not read is not sent to: see [back-pressure](rserpool_driver#back-pressure).
//! * Pools may be of servers over TCP or UDP: [`PoolUser::connect_tcp`] gives a [stream](TcpSession), [`PoolUser::connect_udp`]
//!   [datagrams](UdpSession). With [`Options::registrar_over_tcp`] a user needs no SCTP at all for that.
//! * Ports, addresses and transport are [`Options`], timers and caps the machine's `Config`: each builder has both.
//! * State for the next element goes to the user in a cookie ([`ElementSession::send_cookie`]), which the next element finds at
//!   [`ElementSession::cookie`] (RFC 5352 §3.8); seal it with the feature `sealed-cookies` of `rserpool-core`.
//!
//! The features `async-std` and `smol` add modules with the same names once more, for runtimes that can spawn: `register` and
//! `spawn` of the builders do it in one line. Neither is on by default: async-std is not maintained any more.
//!
//! The transport is the Linux kernel's SCTP where there is one, else SCTP over UDP (RFC 6951), which needs nothing of the operating
//! system; see [`TransportKind`]. Neither has protection of its own: on anything but loopback or a trusted network, whoever can
//! send packets can take part.
//!
//! # Beneath
//!
//! One future drives one machine of [`rserpool_core`](https://docs.rs/rserpool-core). Whoever wants the machine with its events and
//! no sessions in between, drives it with [`Options`], [`Bound`] and [`Endpoint`]:
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
#![forbid(unsafe_code)]

mod runtime;

pub use rserpool_driver::{
    Builder, ConnectError, CookieError, ElementEvent, ElementSession, Ended, Events, Handle,
    Limits, MAX_MESSAGE_SIZE, Membership, Message, Pool, RecvError, RegisterError, ResolveError,
    SendError, Session, SessionEvent, SetLoadError, Stopped, TransportKind, Watch, WatchError,
    seed,
};
pub use runtime::AsyncIo;

rserpool_driver::names!(AsyncIo);

/// A runtime on async-io that has tasks, with all that depends on it.
#[cfg(any(feature = "async-std", feature = "smol"))]
macro_rules! spawning {
    ($runtime:ident, $spawn:expr) => {
        /// The runtime.
        ///
        /// ```
        #[doc = concat!("use ", module_path!(), "::{PoolUser, ", stringify!($runtime), "};")]
        ///
        /// // The names of this module are those of `rserpool_driver` with this runtime.
        #[doc = concat!("fn same(user: PoolUser) -> rserpool_driver::PoolUser<", stringify!($runtime), "> {")]
        ///     user
        /// }
        /// ```
        #[derive(Clone, Copy, Debug)]
        pub enum $runtime {}

        impl rserpool_driver::Runtime for $runtime {
            type Udp = <crate::AsyncIo as rserpool_driver::Runtime>::Udp;
            #[cfg(target_os = "linux")]
            type Sctp = <crate::AsyncIo as rserpool_driver::Runtime>::Sctp;
            type Tcp = <crate::AsyncIo as rserpool_driver::Runtime>::Tcp;
            type TcpListener = <crate::AsyncIo as rserpool_driver::Runtime>::TcpListener;
            type Timer = <crate::AsyncIo as rserpool_driver::Runtime>::Timer;

            fn timer(at: std::time::Instant) -> Self::Timer {
                <crate::AsyncIo as rserpool_driver::Runtime>::timer(at)
            }
        }

        impl rserpool_driver::Spawn for $runtime {
            fn spawn(future: impl Future<Output = ()> + Send + 'static) {
                $spawn(future);
            }
        }

        rserpool_driver::names!($runtime);
    };
}

/// On async-std, whose executor runs endpoints.
///
/// ```
/// use rserpool_async_std::TransportKind;
/// use rserpool_async_std::async_std::PoolUser;
///
/// let user = PoolUser::builder()
///     .options(|options| options.transport = TransportKind::Udp)
///     .spawn()?;
/// async_std::task::block_on(user.shutdown());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "async-std")]
pub mod async_std {
    spawning!(AsyncStd, ::async_std::task::spawn);
}

/// On smol, whose executor runs endpoints.
///
/// ```
/// use rserpool_async_std::TransportKind;
/// use rserpool_async_std::smol::PoolUser;
///
/// let user = PoolUser::builder()
///     .options(|options| options.transport = TransportKind::Udp)
///     .spawn()?;
/// smol::block_on(user.shutdown());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "smol")]
pub mod smol {
    spawning!(Smol, |future| ::smol::spawn(future).detach());
}
