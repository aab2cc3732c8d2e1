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

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

use crate::ids::{AssocId, Ppid};
use crate::time::Instant;
use crate::wire::{Blocks, asap};

/// A protocol machine: a registrar, a pool element or a pool user.
///
/// ```
/// use rserpool_core::{Action, Input, Instant, Machine};
///
/// /// One round of a driver; says when the next one is due if nothing happens.
/// fn round<M: Machine>(
///     machine: &mut M,
///     now: Instant,
///     input: Option<Input<'_>>,
///     mut act: impl FnMut(Action<M::Event>),
/// ) -> Option<Instant> {
///     if let Some(input) = input {
///         machine.handle_input(now, input);
///     }
///     machine.handle_timeout(now);
///     while let Some(action) = machine.poll_action() {
///         act(action);
///     }
///     machine.poll_timeout()
/// }
/// ```
pub trait Machine {
    /// What the machine tells its user.
    type Event;

    /// Takes in what happened outside. A peer's bytes cannot make it fail.
    fn handle_input(&mut self, now: Instant, input: Input<'_>);

    /// Runs the timers that are due at `now`; where they are many, only some of them, and [`Machine::poll_timeout`] says to call
    /// again at once. Early and repeated calls do nothing.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to do. What is queued is visible at once, in order.
    fn poll_action(&mut self) -> Option<Action<Self::Event>>;

    /// When to call [`Machine::handle_timeout`] next, which may be in the past; `None` where no timer runs.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What happened outside.
///
/// ```
/// use rserpool_core::user::{Config, PoolUser};
/// use rserpool_core::{Action, Input, Instant, Machine, PoolHandle};
///
/// let mut config = Config::default();
/// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
/// let mut user = PoolUser::new(config, [7; 32]);
/// user.resolve(Instant::EPOCH, &PoolHandle::from("EchoPool"));
/// let Some(Action::Connect { remote, .. }) = user.poll_action() else { panic!() };
///
/// // Nobody is there: it tries again when T5 has expired.
/// user.handle_input(Instant::EPOCH, Input::ConnectFailed { remote: remote[0] });
/// assert_eq!(user.poll_action(), None);
/// assert!(user.poll_timeout().is_some());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An association is up, opened by either side.
    Connected {
        /// The driver's name for it.
        association: AssocId,
        /// All addresses of the peer with its SCTP port; at least one. The first one is verified: the handshake went to and fro
        /// with it. The others are what the peer says, and anybody can say anything.
        remote: &'a [SocketAddr],
    },
    /// An association that [`Action::Connect`] asked for did not come up.
    ConnectFailed {
        /// The first address of that action.
        remote: SocketAddr,
    },
    /// An association has ended. Nothing follows for it.
    Disconnected {
        /// Which one.
        association: AssocId,
        /// How it ended.
        end: End,
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
    /// A message could not be delivered: the transport does not take it, or the association is about to end. In the latter case a
    /// transport that knows what the peer has not acknowledged reports it so, in the order in which it was sent, and then at once
    /// [`Input::Disconnected`].
    SendFailed {
        /// On which association.
        association: AssocId,
        /// Of which protocol it was.
        ppid: Ppid,
        /// On which stream.
        stream: u16,
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

/// How an association ended.
///
/// ```
/// use rserpool_core::End;
/// use std::io;
///
/// /// How a stream ended whose reader has got this.
/// fn end_of(result: &io::Result<usize>) -> Option<End> {
///     match result {
///         Ok(0) => Some(End::Closed),
///         Ok(_) => None,
///         Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
///         Err(_) => Some(End::Lost),
///     }
/// }
/// assert_eq!(end_of(&Ok(0)), Some(End::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// One side closed it, and everything sent had been delivered.
    Closed,
    /// It was aborted, the peer was restarted or stayed silent: what was on the way may be lost.
    Lost,
}

/// What the driver shall do next.
///
/// ```
/// use rserpool_core::Action;
///
/// /// What a driver writes into its log.
/// fn line<E: core::fmt::Debug>(action: &Action<E>) -> String {
///     match action {
///         Action::Connect { remote, .. } => format!("connects to {}", remote[0]),
///         Action::Send { association, bytes, .. } => format!("{} bytes on {}", bytes.len(), association.0),
///         Action::Announce { bytes, .. } => format!("{} bytes to everybody", bytes.len()),
///         Action::Disconnect { association } => format!("closes {}", association.0),
///         Action::Abort { association } => format!("aborts {}", association.0),
///         Action::Notify(event) => format!("{event:?}"),
///     }
/// }
/// assert_eq!(line(&Action::Notify(7)), "7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<E> {
    /// Open an association to a peer, from the local endpoint of that protocol. It is answered by [`Input::Connected`] or
    /// [`Input::ConnectFailed`] with the remote address: SCTP folds an INIT collision into one association, so that there is
    /// no token to tell "ours" from "theirs". Where the association is up already, `Connected` comes again for it.
    Connect {
        /// The protocol it is for: a registrar has one endpoint for ASAP and one for ENRP. A user asks for its registrars with
        /// the PPID of ASAP, and for elements with [`Ppid::UNSPECIFIED`].
        ppid: Ppid,
        /// The peer's addresses with its SCTP port, the first one preferred; never empty.
        remote: Vec<SocketAddr>,
    },
    /// Send a message reliably.
    Send {
        /// On which association.
        association: AssocId,
        /// Of which protocol.
        ppid: Ppid,
        /// On which stream.
        stream: u16,
        /// Whether it may overtake others, and be overtaken. A transport that cannot do so sends it in order.
        unordered: bool,
        /// The message; never empty. A short one shares memory with others, 2 KiB in all, which stays as long as one of them does:
        /// copy what waits for long.
        bytes: Bytes,
    },
    /// Send a datagram to the multicast group of a protocol.
    Announce {
        /// Which protocol's group.
        ppid: Ppid,
        /// The message.
        bytes: Bytes,
    },
    /// Close an association after what is queued has been delivered. [`Input::Disconnected`] follows.
    Disconnect {
        /// Which one.
        association: AssocId,
    },
    /// Close an association at once. [`Input::Disconnected`] follows.
    Abort {
        /// Which one.
        association: AssocId,
    },
    /// Tell the user.
    Notify(E),
}

impl<E> Action<E> {
    /// The same action of a machine around this one, which tells something else; `None` where that has nothing to tell.
    ///
    /// ```
    /// use rserpool_core::Action;
    ///
    /// let told = Action::Notify(3).filter_map(|number| Some(number.to_string()));
    /// assert_eq!(told, Some(Action::Notify("3".to_string())));
    /// assert_eq!(Action::Notify(3).filter_map(|_| None::<String>), None);
    /// ```
    pub fn filter_map<T>(self, told: impl FnOnce(E) -> Option<T>) -> Option<Action<T>> {
        Some(match self {
            Self::Notify(event) => Action::Notify(told(event)?),
            Self::Connect { ppid, remote } => Action::Connect { ppid, remote },
            Self::Send {
                association,
                ppid,
                stream,
                unordered,
                bytes,
            } => Action::Send {
                association,
                ppid,
                stream,
                unordered,
                bytes,
            },
            Self::Announce { ppid, bytes } => Action::Announce { ppid, bytes },
            Self::Disconnect { association } => Action::Disconnect { association },
            Self::Abort { association } => Action::Abort { association },
        })
    }
}

/// A message of the application, on its way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) ppid: Ppid,
    pub(crate) stream: u16,
    pub(crate) unordered: bool,
    pub(crate) bytes: Bytes,
}

impl Data {
    pub(crate) fn ordered(ppid: Ppid, stream: u16, bytes: Bytes) -> Self {
        Self {
            ppid,
            stream,
            unordered: false,
            bytes,
        }
    }

    pub(crate) fn unordered(ppid: Ppid, stream: u16, bytes: Bytes) -> Self {
        Self {
            unordered: true,
            ..Self::ordered(ppid, stream, bytes)
        }
    }
}

/// The one ordered queue of a machine's actions.
#[derive(Debug)]
pub(crate) struct Actions<E> {
    queue: VecDeque<Action<E>>,
    /// Where messages are written.
    pub(crate) blocks: Blocks,
}

impl<E> Actions<E> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            blocks: Blocks::default(),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Action<E>> {
        self.queue.pop_front()
    }

    pub(crate) fn connect(&mut self, ppid: Ppid, remote: Vec<SocketAddr>) {
        self.queue.push_back(Action::Connect { ppid, remote });
    }

    /// Sends an ASAP message on stream 0, as every implementation does, and with the PPID of ASAP (RFC 5352 §5). A message that
    /// cannot be encoded is none that this machine may make: its parts are capped where they come in.
    pub(crate) fn send_asap(&mut self, association: AssocId, message: &asap::Message<'_>) {
        let Ok(bytes) = message.cut_from(&mut self.blocks) else {
            debug_assert!(false, "a message of our own is too long");
            return;
        };
        self.send(association, Ppid::ASAP, 0, bytes);
    }

    pub(crate) fn send(&mut self, association: AssocId, ppid: Ppid, stream: u16, bytes: Bytes) {
        self.queue.push_back(Action::Send {
            association,
            ppid,
            stream,
            unordered: false,
            bytes,
        });
    }

    /// Sends a message of the application.
    pub(crate) fn send_data(&mut self, association: AssocId, data: Data) {
        let Data {
            ppid,
            stream,
            unordered,
            bytes,
        } = data;
        self.queue.push_back(Action::Send {
            association,
            ppid,
            stream,
            unordered,
            bytes,
        });
    }

    pub(crate) fn announce(&mut self, ppid: Ppid, bytes: Bytes) {
        self.queue.push_back(Action::Announce { ppid, bytes });
    }

    pub(crate) fn disconnect(&mut self, association: AssocId) {
        self.queue.push_back(Action::Disconnect { association });
    }

    pub(crate) fn abort(&mut self, association: AssocId) {
        self.queue.push_back(Action::Abort { association });
    }

    pub(crate) fn notify(&mut self, event: E) {
        self.queue.push_back(Action::Notify(event));
    }
}
