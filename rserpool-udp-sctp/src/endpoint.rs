//! A machine of `rserpool-core` over a stack.

use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;
use std::time::Instant;

use rserpool_core::{Action, AssocId, End, Input, Machine, Ppid};

use crate::{AssociationId, Event, ListenError, Reason, SendError, Stack, Transmit};

/// A machine with its stack: as little of a driver as there can be, and without I/O like both of them. Datagrams, time and commands
/// go in, datagrams and the machine's events come out; the loop is that of a [`Stack`].
///
/// It has no queue that a peer can fill: messages stay in the stack, and the machine's events in the machine, until
/// [`poll_event`](Self::poll_event) asks for them. A peer that lets [`max_send_buffer`](crate::Config::max_send_buffer) wait is given up, because a message less
/// would be a gap. There is no multicast: what the machine announces is dropped, and an announcement that was received goes in by
/// [`call`](Self::call) as an [`Input::Announcement`].
///
/// ```no_run
/// use rserpool_core::user::{self, PoolUser};
/// use rserpool_udp_sctp::{Config, Endpoint, Stack};
/// use std::{net::UdpSocket, time::Instant};
///
/// # fn seed() -> [u8; 32] { [0; 32] }
/// let socket = UdpSocket::bind("192.0.2.3:0")?;
/// let mut config = user::Config::default();
/// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
/// let machine = PoolUser::new(config, seed());
/// let stack = Stack::new(socket.local_addr()?.ip(), Config::default(), seed());
/// let mut user = Endpoint::new(Instant::now(), machine, stack);
/// user.call(Instant::now(), |user, now| user.resolve(now, &"EchoPool".into()));
/// let mut buffer = [0; 65_536];
/// loop {
///     while let Some(event) = user.poll_event(Instant::now()) {
///         println!("{event:?}");
///     }
///     while let Some(datagram) = user.poll_transmit() {
///         let _ = socket.send_to(&datagram.payload, datagram.to); // else it got lost
///     }
///     let wait = user.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
///     if wait.is_none_or(|wait| !wait.is_zero()) { // zero would be no limit at all
///         socket.set_read_timeout(wait)?;
///         if let Ok((length, from)) = socket.recv_from(&mut buffer) {
///             user.handle_datagram(Instant::now(), from, &buffer[..length]);
///         }
///     }
///     user.handle_timeout(Instant::now());
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Endpoint<M> {
    machine: M,
    stack: Stack,
    /// Where the machine's time begins.
    epoch: Instant,
    asap_port: u16,
    enrp_port: u16,
    /// Messages that came too late for their association, whose end the machine has still to be told.
    late: Vec<Outgoing>,
}

/// A message of the machine.
#[derive(Debug)]
struct Outgoing {
    association: AssocId,
    ppid: Ppid,
    stream: u16,
    bytes: Bytes,
}

impl<M: Machine> Endpoint<M> {
    /// The machine's time begins at `now`.
    pub fn new(now: Instant, machine: M, stack: Stack) -> Self {
        Self {
            machine,
            stack,
            epoch: now,
            asap_port: 0,
            enrp_port: 0,
            late: Vec::new(),
        }
    }

    /// Takes associations at this SCTP port, and opens those of that protocol from it: [`Ppid::ENRP`], or all others. Without it
    /// the endpoint is not called, and each of its associations has a port of its own, as a pool user needs it.
    ///
    /// # Errors
    ///
    /// [`ListenError`]; nothing changed.
    pub fn listen(&mut self, ppid: Ppid, port: u16) -> Result<(), ListenError> {
        self.stack.listen(port)?;
        *self.port(ppid) = port;
        Ok(())
    }

    fn port(&mut self, ppid: Ppid) -> &mut u16 {
        match ppid {
            Ppid::ENRP => &mut self.enrp_port,
            _ => &mut self.asap_port,
        }
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Gives the machine a command.
    pub fn call<R>(
        &mut self,
        now: Instant,
        command: impl FnOnce(&mut M, rserpool_core::Instant) -> R,
    ) -> R {
        let now = self.time(now);
        command(&mut self.machine, now)
    }

    /// Takes the payload of a UDP datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.stack.handle_datagram(now, from, datagram);
    }

    /// Lets timers run. Early and repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        self.call(now, M::handle_timeout);
    }

    /// Carries everything between machine and stack, up to the next event that the machine has for its user.
    pub fn poll_event(&mut self, now: Instant) -> Option<M::Event> {
        loop {
            while let Some(action) = self.machine.poll_action() {
                if let Action::Notify(event) = action {
                    return Some(event);
                }
                self.act(now, action);
            }
            let event = self.stack.poll_event()?;
            self.arrive(now, event);
        }
    }

    /// The next datagram to send. What events and commands have caused is among them once
    /// [`poll_event`](Self::poll_event) has said that there is no more.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.stack.poll_transmit()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, which may be in the past; `None` where no timer runs.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let machine = self.machine.poll_timeout();
        let machine =
            machine.map(|at| self.epoch + at.duration_since(rserpool_core::Instant::EPOCH));
        let stack = self.stack.poll_timeout();
        stack.into_iter().chain(machine).min()
    }

    fn time(&self, now: Instant) -> rserpool_core::Instant {
        rserpool_core::Instant::EPOCH + now.saturating_duration_since(self.epoch)
    }

    fn act(&mut self, now: Instant, action: Action<M::Event>) {
        let id = |association: AssocId| AssociationId::from_u64(association.0);
        match action {
            Action::Connect { ppid, remote } => self.connect(now, ppid, &remote),
            Action::Send {
                association,
                ppid,
                stream,
                bytes,
                ..
            } => {
                let message = Outgoing {
                    association,
                    ppid,
                    stream,
                    bytes,
                };
                self.send(now, message);
            }
            Action::Disconnect { association } => self.stack.close(now, id(association)),
            Action::Abort { association } => self.stack.abort(now, id(association)),
            Action::Announce { .. } | Action::Notify(_) => {}
        }
    }

    fn send(&mut self, now: Instant, message: Outgoing) {
        let id = AssociationId::from_u64(message.association.0);
        let (ppid, bytes) = (message.ppid.0, &message.bytes);
        match self.stack.send(now, id, message.stream, ppid, bytes) {
            Ok(()) => {}
            Err(SendError::BufferFull) => {
                self.late.push(message);
                self.stack.abort(now, id);
            }
            // It is about to end, or has ended: what was sent before comes back first.
            Err(SendError::Closing | SendError::UnknownAssociation) => self.late.push(message),
            Err(SendError::Empty | SendError::TooLong | SendError::NoSuchStream) => {
                self.give_back(now, &message);
            }
        }
    }

    fn give_back(&mut self, now: Instant, message: &Outgoing) {
        let failed = Input::SendFailed {
            association: message.association,
            ppid: message.ppid,
            stream: message.stream,
            bytes: &message.bytes,
        };
        self.input(now, failed);
    }

    /// Calls the first address, the only one that SCTP over UDP has.
    fn connect(&mut self, now: Instant, ppid: Ppid, remote: &[SocketAddr]) {
        let Some(&remote) = remote.first() else {
            return;
        };
        let port = *self.port(ppid);
        if self.stack.connect(now, port, remote).is_err() {
            self.input(now, Input::ConnectFailed { remote });
        }
    }

    fn arrive(&mut self, now: Instant, event: Event) {
        let association = |id: AssociationId| AssocId(id.as_u64());
        match event {
            Event::Connected {
                id, remote, listed, ..
            } => {
                let listed = listed.into_iter().map(|ip| (ip, remote.port()).into());
                let remote: Vec<_> = core::iter::once(remote).chain(listed).collect();
                let association = association(id);
                let connected = Input::Connected {
                    association,
                    remote: &remote,
                };
                self.input(now, connected);
            }
            Event::ConnectFailed { remote, .. } => {
                self.input(now, Input::ConnectFailed { remote });
            }
            Event::Message {
                id,
                stream,
                ppid,
                bytes,
            } => {
                let message = Input::Message {
                    association: association(id),
                    ppid: Ppid(ppid),
                    stream,
                    bytes: &bytes,
                };
                self.input(now, message);
            }
            Event::Undelivered {
                id,
                stream,
                ppid,
                bytes,
            } => {
                let message = Outgoing {
                    association: association(id),
                    ppid: Ppid(ppid),
                    stream,
                    bytes,
                };
                self.give_back(now, &message);
            }
            Event::Disconnected { id, reason } => {
                let association = association(id);
                let is_of_it = |message: &mut Outgoing| message.association == association;
                let late: Vec<_> = self.late.extract_if(.., is_of_it).collect();
                for message in late {
                    self.give_back(now, &message);
                }
                let end = match reason {
                    Reason::Closed => End::Closed,
                    _ => End::Lost,
                };
                self.input(now, Input::Disconnected { association, end });
            }
            Event::Writable { .. } => {}
        }
    }

    fn input(&mut self, now: Instant, input: Input<'_>) {
        let now = self.time(now);
        self.machine.handle_input(now, input);
    }
}
