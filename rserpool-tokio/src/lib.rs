//! Reliable Server Pooling on tokio: a few lines to join a pool, and a few to talk to one.
//!
//! A server is a [`PoolElement`]. It registers in a pool, and accepts sessions:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_tokio::PoolElement;
//!
//! let element = PoolElement::builder("EchoPool")
//!     .registrar("127.0.0.1:3863".parse()?)
//!     .register()
//!     .await?;
//! while let Some(session) = element.accept().await {
//!     tokio::spawn(async move {
//!         while let Ok(message) = session.recv().await {
//!             if session.send(message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//! }
//! # Ok(()) }
//! ```
//!
//! A client is a [`PoolUser`]. Its sessions are with a pool, and go on with another element when theirs fails:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_tokio::PoolUser;
//!
//! let user = PoolUser::builder()
//!     .registrar("127.0.0.1:3863".parse()?)
//!     .spawn()?;
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
//! The transport is the Linux kernel's SCTP where there is one, else SCTP over UDP (RFC 6951), which needs nothing of the operating
//! system; see [`TransportKind`]. Neither has protection of its own: on anything but loopback or a trusted network, whoever can
//! send packets can take part.
//!
//! # Beneath
//!
//! One task drives one machine of [`rserpool_core`](https://docs.rs/rserpool-core). Whoever wants the machine with its events and no
//! sessions in between, drives it with [`Options`], [`Bound`] and [`Endpoint`]:
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
#![forbid(unsafe_code)]

mod runtime;

pub use rserpool_driver::{
    Builder, ConnectError, CookieError, ElementEvent, ElementSession, Ended, Events, Handle,
    Limits, MAX_MESSAGE_SIZE, Membership, Message, Pool, RecvError, RegisterError, ResolveError,
    SendError, Session, SessionEvent, SetLoadError, Stopped, TransportKind, Watch, WatchError,
    seed,
};
pub use runtime::Tokio;

rserpool_driver::names!(Tokio);

/// The programs of that page are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/getting-started.md")]
struct GettingStarted;
