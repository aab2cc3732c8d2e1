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
mod multicast;
mod options;
mod pool;
mod runtime;
mod tcp;
mod transport;

pub use driver::{Bound, Endpoint, Events, Handle, Stopped};
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
pub const MAX_MESSAGE_SIZE: usize = 65_536;

/// A seed for a machine, from the operating system.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

/// Names what depends on a runtime for one of them: the crates for the runtimes have the same names.
#[macro_export]
macro_rules! names {
    ($runtime:ty) => {
        /// Where an endpoint sits.
        pub type Options = $crate::Options<$runtime>;

        /// An endpoint without a machine.
        pub type Bound = $crate::Bound<$runtime>;

        /// A machine with its transport.
        pub type Endpoint<M> = $crate::Endpoint<M, $runtime>;

        /// A registrar.
        pub type Registrar = $crate::Registrar<$runtime>;

        /// A server in a pool.
        pub type PoolElement = $crate::PoolElement<$runtime>;

        /// A client of pools.
        pub type PoolUser = $crate::PoolUser<$runtime>;

        /// A byte stream with a pool over TCP.
        pub type TcpSession = $crate::TcpSession<$runtime>;

        /// Datagrams with a pool over UDP.
        pub type UdpSession = $crate::UdpSession<$runtime>;
    };
}
