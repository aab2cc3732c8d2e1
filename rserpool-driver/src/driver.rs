//! The driver: one loop that moves data between a machine and the world. It holds no protocol logic.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;

use rserpool_core::{Action, AssocId, Input, Instant, Machine, Ppid};
use tokio::sync::{mpsc, watch};

use crate::multicast::Groups;
use crate::runtime::Alarm;
use crate::transport::{Arrival, Outgoing, Transport};
use crate::{Options, Runtime, Spawn, TransportKind, seed};

/// Something to do with the machine.
pub(crate) type Task<M> = Box<dyn FnOnce(&mut M, Instant) + Send>;

/// The same, with a way to ask whether a peer's send buffer is full.
type RoomTask<M> = Box<dyn FnOnce(&mut M, Instant, &dyn Fn(AssocId) -> bool) + Send>;

enum Command<M> {
    Run(RoomTask<M>),
    Stop,
}

/// The events of a machine, in order; `None` when the endpoint has stopped.
pub type Events<E> = mpsc::Receiver<E>;

/// The endpoint has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint has stopped")]
pub struct Stopped;

/// Gives commands to a machine that an endpoint runs. When the last handle is dropped, the endpoint stops.
pub struct Handle<M> {
    commands: mpsc::Sender<Command<M>>,
    room: Room,
}

/// What the driver tells of the send buffers.
#[derive(Clone)]
struct Room {
    full: watch::Receiver<bool>,
    relieved: watch::Receiver<u64>,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            room: self.room.clone(),
        }
    }
}

impl<M> Handle<M> {
    /// Runs `command` on the machine and returns its result. What it queues is done at once.
    pub async fn call<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        self.answer(move |machine, now, _| command(machine, now))
            .await
    }

    /// The same, when no messages to a peer wait for room in its send buffer: the one on the association that `to` says, if any.
    /// Whoever sends much to one peer sends it here, and is held to the speed of that peer and of no other. Both closures may be
    /// called several times, but what `command` does is done once. Go on taking events meanwhile: the peer may wait for that.
    pub async fn call_with_room<R: Send + 'static>(
        &self,
        to: impl Fn(&M) -> Option<AssocId> + Clone + Send + 'static,
        command: impl FnOnce(&mut M, Instant) -> R + Clone + Send + 'static,
    ) -> Result<R, Stopped> {
        let mut relieved = self.room.relieved.clone();
        loop {
            // Before the attempt: what changes in between counts.
            relieved.mark_unchanged();
            let (to, command) = (to.clone(), command.clone());
            let attempt = self.answer(move |machine, now, is_full| {
                let full = to(machine).is_some_and(is_full);
                (!full).then(|| command(machine, now))
            });
            match attempt.await? {
                Some(result) => return Ok(result),
                None => relieved.changed().await.map_err(|_| Stopped)?,
            }
        }
    }

    async fn answer<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut M, Instant, &dyn Fn(AssocId) -> bool) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, result) = tokio::sync::oneshot::channel();
        let task: RoomTask<M> = Box::new(move |machine, now, is_full| {
            // Whoever asked may have gone; the command is done all the same.
            let _ = answer.send(command(machine, now, is_full));
        });
        self.give(Command::Run(task)).await?;
        result.await.map_err(|_| Stopped)
    }

    /// Has something done without waiting for it.
    pub(crate) async fn run(&self, task: Task<M>) -> Result<(), Stopped>
    where
        M: 'static,
    {
        let task: RoomTask<M> = Box::new(move |machine, now, _| task(machine, now));
        self.give(Command::Run(task)).await
    }

    async fn give(&self, command: Command<M>) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// Stops the endpoint, whatever handles there are: its associations are closed in order. It has stopped when its events end.
    pub async fn stop(&self) {
        // It may have stopped already.
        let _ = self.give(Command::Stop).await;
    }

    pub(crate) fn downgrade(&self) -> WeakHandle<M> {
        WeakHandle {
            commands: self.commands.downgrade(),
            room: self.room.clone(),
        }
    }

    /// Waits until no association of the endpoint has messages beyond its send buffer. Whoever sends much waits here before
    /// each message, and is held to the speed of the slowest peer; without it, a peer that lets 4 MiB wait beside its send
    /// buffer is given up. Go on taking events meanwhile: a peer may wait for that.
    pub async fn writable(&self) -> Result<(), Stopped> {
        let mut full = self.room.full.clone();
        full.wait_for(|full| !full).await.map_err(|_| Stopped)?;
        if self.commands.is_closed() {
            return Err(Stopped);
        }
        Ok(())
    }
}

/// A handle that does not keep the endpoint running.
pub(crate) struct WeakHandle<M> {
    commands: mpsc::WeakSender<Command<M>>,
    room: Room,
}

impl<M> WeakHandle<M> {
    /// `None` where the endpoint stops.
    pub(crate) fn upgrade(&self) -> Option<Handle<M>> {
        Some(Handle {
            commands: self.commands.upgrade()?,
            room: self.room.clone(),
        })
    }
}

/// An endpoint without a machine: its address is known, which a machine's configuration may need.
pub struct Bound<R: Runtime> {
    transport: Transport<R>,
    groups: Groups<R>,
    event_capacity: usize,
    closing: Duration,
}

impl<R: Runtime> Bound<R> {
    pub(crate) fn new(options: &Options<R>) -> io::Result<Self> {
        let transport = Transport::bind(options, seed()?)?;
        let local = transport.local();
        if transport.addresses().iter().any(|ip| !ip.is_loopback()) {
            tracing::warn!(
                %local,
                "SCTP without protection can be reached from outside this host"
            );
        }
        let groups = Groups::join(options, local.ip())?;
        Ok(Self {
            transport,
            groups,
            event_capacity: options.event_capacity.max(1),
            closing: options.closing_timeout,
        })
    }

    /// Which transport it has; never [`TransportKind::Auto`].
    pub fn transport(&self) -> TransportKind {
        self.transport.kind()
    }

    /// The local addresses; the first one is preferred.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.transport.addresses()
    }

    /// The first local address, and the UDP port; with kernel SCTP, the SCTP port.
    pub fn local(&self) -> SocketAddr {
        self.transport.local()
    }

    /// Gives the endpoint its machine. The machine's time begins now, at [`Instant::EPOCH`].
    pub fn drive<M: Machine>(self, machine: M) -> Endpoint<M, R> {
        Endpoint {
            machine,
            transport: self.transport,
            groups: self.groups,
            clock: Clock::start(),
            event_capacity: self.event_capacity,
            closing: self.closing,
            waiting: VecDeque::new(),
        }
    }
}

/// A machine with its transport.
pub struct Endpoint<M: Machine, R: Runtime> {
    machine: M,
    transport: Transport<R>,
    groups: Groups<R>,
    clock: Clock,
    event_capacity: usize,
    closing: Duration,
    /// Events that have no room in the channel yet.
    waiting: VecDeque<M::Event>,
}

impl<M, R> Endpoint<M, R>
where
    M: Machine + Send + 'static,
    M::Event: Send,
    R: Runtime,
{
    /// How many commands may wait for the driver.
    const COMMANDS: usize = 1024;

    /// Runs the endpoint in a task of its own until the last handle is dropped.
    pub fn spawn(self) -> (Handle<M>, Events<M::Event>)
    where
        R: Spawn,
    {
        let (handle, events, run) = self.into_parts();
        R::spawn(run);
        (handle, events)
    }

    /// The endpoint as a future that the caller runs; it ends when the last handle is dropped.
    pub fn into_parts(
        self,
    ) -> (
        Handle<M>,
        Events<M::Event>,
        impl Future<Output = ()> + Send + 'static,
    ) {
        let (commands, receiver) = mpsc::channel(Self::COMMANDS);
        let (sender, events) = mpsc::channel(self.event_capacity);
        let (is_full, full) = watch::channel(false);
        let (is_relieved, relieved) = watch::channel(0);
        let run = self.run(receiver, sender, is_full, is_relieved);
        let room = Room { full, relieved };
        (Handle { commands, room }, events, run)
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command<M>>,
        events: mpsc::Sender<M::Event>,
        is_full: watch::Sender<bool>,
        is_relieved: watch::Sender<u64>,
    ) {
        self.clock.read();
        let mut announcement = vec![0; usize::from(u16::MAX)];
        let mut alarm = Alarm::<R>::new();
        loop {
            self.settle(&events);
            set(&is_full, self.transport.is_full());
            set(&is_relieved, self.transport.relieved());
            let deadline = self.deadline();
            let room = self.waiting.is_empty();
            let turn = tokio::select! {
                command = commands.recv() => Turn::Command(command),
                result = self.transport.ready(room) => Turn::Socket(result),
                Ok(received) = self.groups.receive(&mut announcement) => Turn::Announcement(received),
                permit = events.reserve(), if !room => {
                    if let (Ok(permit), Some(event)) = (permit, self.waiting.pop_front()) {
                        permit.send(event);
                    } else {
                        // Nobody reads them any more.
                        self.waiting.clear();
                    }
                    Turn::Nothing
                }
                () = alarm.wait(deadline) => Turn::Nothing,
            };
            self.clock.read();
            let now = self.clock.now();
            match turn {
                Turn::Command(Some(Command::Run(task))) => {
                    let transport = &self.transport;
                    task(&mut self.machine, now, &|association| {
                        transport.is_full_for(association)
                    });
                }
                Turn::Command(_) => return self.close().await,
                Turn::Socket(Ok(())) => self.transport.receive(self.clock.time, room),
                Turn::Socket(Err(error)) => {
                    tracing::error!(%error, "the socket has failed");
                    return;
                }
                Turn::Announcement((ppid, length, source)) => {
                    let input = Input::Announcement {
                        source,
                        ppid,
                        bytes: &announcement[..length],
                    };
                    self.machine.handle_input(now, input);
                }
                Turn::Nothing => {}
            }
            // What has come is answered first: an acknowledgement and an answer to the same peer then go in one packet.
            if deadline.is_some_and(|at| at <= self.clock.time) {
                self.handle_timeouts();
            }
        }
    }

    /// Closes all associations in order, and waits for it within bounds.
    async fn close(mut self) {
        let end = self.clock.time + self.closing;
        let mut alarm = Alarm::<R>::new();
        self.transport.close_all(self.clock.time);
        while self.transport.is_open() && self.clock.time < end {
            self.transport.flush();
            let deadline = self.transport.poll_timeout().map_or(end, |at| at.min(end));
            let ready = tokio::select! {
                result = self.transport.ready(true) => Some(result),
                () = alarm.wait(Some(deadline)) => None,
            };
            self.clock.read();
            match ready {
                Some(Ok(())) => self.transport.receive(self.clock.time, true),
                Some(Err(_)) => return,
                None => self.transport.handle_timeout(self.clock.time),
            }
            while self.transport.poll_arrival(self.clock.time).is_some() {}
        }
        self.transport.flush();
    }

    fn deadline(&mut self) -> Option<std::time::Instant> {
        let machine = self
            .machine
            .poll_timeout()
            .map(|at| self.clock.epoch + Duration::from_micros(at.as_micros()));
        let transport = self.transport.poll_timeout();
        match (machine, transport) {
            (Some(machine), Some(transport)) => Some(machine.min(transport)),
            (one, other) => one.or(other),
        }
    }

    fn handle_timeouts(&mut self) {
        let time = self.clock.time;
        if self.transport.poll_timeout().is_some_and(|at| at <= time) {
            self.transport.handle_timeout(time);
        }
        self.machine.handle_timeout(self.clock.now());
    }

    /// Carries everything that is queued between machine and transport, until neither has anything to say, or the reader of the
    /// events cannot follow.
    fn settle(&mut self, events: &mpsc::Sender<M::Event>) {
        loop {
            while let Some(action) = self.machine.poll_action() {
                self.act(action, events);
            }
            if !self.waiting.is_empty() {
                break;
            }
            let Some(arrival) = self.transport.poll_arrival(self.clock.time) else {
                break;
            };
            self.arrive(&arrival);
        }
        self.transport.flush();
    }

    fn act(&mut self, action: Action<M::Event>, events: &mpsc::Sender<M::Event>) {
        let now = self.clock.time;
        match action {
            Action::Connect { ppid, remote } => self.transport.connect(now, ppid, &remote),
            Action::Send {
                association,
                ppid,
                stream,
                unordered,
                bytes,
            } => {
                let message = Outgoing {
                    ppid,
                    stream,
                    unordered,
                    bytes,
                };
                if !self.transport.send(now, association, &message) {
                    self.arrive(&Arrival::SendFailed {
                        association,
                        message,
                    });
                }
            }
            Action::Announce { ppid, bytes } => self.groups.send(ppid, &bytes),
            Action::Disconnect { association } => self.transport.close(now, association),
            Action::Abort { association } => self.transport.abort(now, association),
            Action::Notify(event) => {
                if !self.waiting.is_empty() {
                    self.waiting.push_back(event);
                } else if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
                    self.waiting.push_back(event);
                }
            }
        }
    }

    fn arrive(&mut self, arrival: &Arrival) {
        let input = match arrival {
            Arrival::Connected {
                association,
                remote,
            } => Input::Connected {
                association: *association,
                remote,
            },
            Arrival::ConnectFailed { remote } => Input::ConnectFailed { remote: *remote },
            Arrival::Disconnected { association, end } => Input::Disconnected {
                association: *association,
                end: *end,
            },
            Arrival::Message {
                association,
                ppid,
                stream,
                bytes,
            } => Input::Message {
                association: *association,
                ppid: *ppid,
                stream: *stream,
                bytes,
            },
            Arrival::SendFailed {
                association,
                message,
            } => Input::SendFailed {
                association: *association,
                ppid: message.ppid,
                stream: message.stream,
                bytes: &message.bytes,
            },
        };
        self.machine.handle_input(self.clock.now(), input);
    }
}

/// Tells those who wait, where it has changed.
fn set<T: PartialEq>(told: &watch::Sender<T>, value: T) {
    told.send_if_modified(|known| {
        let changed = *known != value;
        *known = value;
        changed
    });
}

/// What a round of the loop begins with.
enum Turn<M> {
    /// A command; `None` where nobody can give one any more.
    Command(Option<Command<M>>),
    Socket(io::Result<()>),
    /// A datagram of that many bytes to the group of a protocol.
    Announcement((Ppid, usize, SocketAddr)),
    Nothing,
}

/// The time of a round. It is read once in each: to read it is a system call where the kernel lends no page for it, as in many
/// virtual machines.
struct Clock {
    epoch: std::time::Instant,
    time: std::time::Instant,
}

impl Clock {
    fn start() -> Self {
        let epoch = std::time::Instant::now();
        Self { epoch, time: epoch }
    }

    fn read(&mut self) {
        self.time = std::time::Instant::now();
    }

    /// The machine's time.
    fn now(&self) -> Instant {
        let micros = self.time.duration_since(self.epoch).as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}
