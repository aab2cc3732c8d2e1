//! The contract between a protocol machine and the driver that runs it.
//!
//! ```text
//!            Input, commands                    Action
//!  driver ───────────────────▶ machine ───────────────────▶ driver
//!            handle_timeout              poll_action
//! ```
//!
//! The loop of a driver is three lines, in any order: hand in what happened, take actions until there are none, and call
//! [`Machine::handle_timeout`] when [`Machine::poll_timeout`] has come. Calls that come early or twice do nothing.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use crate::ids::{AssocId, Ppid};
use crate::time::Instant;

/// A protocol machine: a registrar, a pool element or a pool user.
pub trait Machine {
    /// What the machine tells its user.
    type Event;

    /// Takes in what happened outside. A peer's bytes cannot make it fail.
    fn handle_input(&mut self, now: Instant, input: Input<'_>);

    /// Runs the timers that are due at `now`. Early and repeated calls do nothing.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to do. What is queued is visible at once, in order.
    fn poll_action(&mut self) -> Option<Action<Self::Event>>;

    /// When to call [`Machine::handle_timeout`] next; `None` where no timer runs.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An association is up, opened by either side.
    Connected {
        /// The driver's name for it.
        association: AssocId,
        /// All addresses of the peer with its SCTP port; at least one.
        remote: &'a [SocketAddr],
    },
    /// An association that [`Action::Connect`] asked for did not come up.
    ConnectFailed {
        /// The first address of that action.
        remote: SocketAddr,
    },
    /// An association has ended, for whatever reason. Nothing follows for it.
    Disconnected {
        /// Which one.
        association: AssocId,
    },
    /// A whole message has come.
    Message {
        /// On which association.
        association: AssocId,
        /// Of which protocol.
        ppid: Ppid,
        /// On which stream.
        stream: u16,
        /// The message.
        bytes: &'a [u8],
    },
    /// A message could not be delivered, and the association may live on.
    SendFailed {
        /// On which association.
        association: AssocId,
        /// Of which protocol it was.
        ppid: Ppid,
        /// The message as it was given to [`Action::Send`].
        bytes: &'a [u8],
    },
    /// A multicast datagram has come.
    Announcement {
        /// Its source address; its port is the UDP port.
        source: SocketAddr,
        /// Of which protocol's group.
        ppid: Ppid,
        /// The message.
        bytes: &'a [u8],
    },
}

/// What the driver shall do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<E> {
    /// Open an association to a peer, from the local endpoint of that protocol. It is answered by [`Input::Connected`] or
    /// [`Input::ConnectFailed`] with the remote address: SCTP folds an INIT collision into one association, so that there is
    /// no token to tell "ours" from "theirs".
    Connect {
        /// The protocol it is for: a registrar has one endpoint for ASAP and one for ENRP.
        ppid: Ppid,
        /// The peer's addresses with its SCTP port, the first one preferred; never empty.
        remote: Vec<SocketAddr>,
    },
    /// Send a message, ordered and reliable.
    Send {
        /// On which association.
        association: AssocId,
        /// Of which protocol.
        ppid: Ppid,
        /// On which stream.
        stream: u16,
        /// The message; never empty.
        bytes: Bytes,
    },
    /// Send a datagram to the multicast group of a protocol.
    Announce {
        /// Which protocol's group.
        ppid: Ppid,
        /// The message.
        bytes: Bytes,
    },
    /// Close an association after what is queued has been delivered.
    Disconnect {
        /// Which one.
        association: AssocId,
    },
    /// Close an association at once.
    Abort {
        /// Which one.
        association: AssocId,
    },
    /// Tell the user.
    Notify(E),
}
