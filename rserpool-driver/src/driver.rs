//! The driver: one loop that moves data between a machine and the world. It holds no protocol logic.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;

use rserpool_core::{Action, Input, Instant, Machine, Ppid};
use tokio::sync::{mpsc, watch};

use crate::handle::{Command, Events, Handle, Room};
use crate::multicast::Groups;
use crate::runtime::Alarm;
use crate::transport::{Arrival, Outgoing, Transport};
use crate::{Options, Runtime, Spawn, TransportKind, seed};

/// An endpoint without a machine: its address is known, which a machine's configuration may need.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
/// use core::net::SocketAddr;
/// use rserpool_core::{ASAP_PORT, Instant, registrar};
/// use rserpool_tokio::{Options, seed};
///
/// let bound = Options::registrar().bind()?;
/// let mut config = registrar::Config::default();
/// config.asap_addresses = vec![SocketAddr::new(bound.addresses()[0], ASAP_PORT)];
/// let registrar = registrar::Registrar::new(config, Instant::EPOCH, seed()?);
/// let (handle, events) = bound.drive(registrar).spawn();
/// # let _ = (handle, events);
/// # Ok(()) }
/// ```
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::{Options, TransportKind};
    ///
    /// match Options::user().bind()?.transport() {
    ///     TransportKind::Kernel => println!("the kernel has SCTP"),
    ///     other => println!("{other}: registrars and elements need it, too"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn transport(&self) -> TransportKind {
        self.transport.kind()
    }

    /// The local addresses; the first one is preferred.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::wire::TransportBuf;
    /// use rserpool_tokio::Options;
    ///
    /// // What an element's configuration says to its users.
    /// let bound = Options::element(4000).bind()?;
    /// let user_transport = TransportBuf::sctp(4000, &bound.addresses());
    /// # let _ = user_transport;
    /// # Ok(()) }
    /// ```
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.transport.addresses()
    }

    /// The first local address, and the UDP port; with kernel SCTP, the SCTP port.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::{Options, TransportKind};
    ///
    /// let mut options = Options::user();
    /// options.transport = TransportKind::Udp;
    /// options.udp_port = 0;
    /// let bound = options.bind()?;
    /// assert_ne!(bound.local().port(), 0);
    /// println!("UDP from {}", bound.local());
    /// # Ok(()) }
    /// ```
    pub fn local(&self) -> SocketAddr {
        self.transport.local()
    }

    /// Gives the endpoint its machine. The machine's time begins now, at [`Instant::EPOCH`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::{PoolHandle, user};
    /// use rserpool_tokio::{Options, seed};
    ///
    /// let mut config = user::Config::default();
    /// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?];
    /// let machine = user::PoolUser::new(config, seed()?);
    /// let (handle, mut events) = Options::user().bind()?.drive(machine).spawn();
    /// handle.call(|user, now| user.subscribe(now, &PoolHandle::from("EchoPool"))).await??;
    /// println!("{:?}", events.recv().await);
    /// # Ok(()) }
    /// ```
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
///
/// ```
/// use rserpool_core::element::PoolElement;
/// use rserpool_tokio::{Endpoint, Options};
///
/// fn endpoint(machine: PoolElement) -> std::io::Result<Endpoint<PoolElement>> {
///     Ok(Options::element(4000).bind()?.drive(machine))
/// }
/// ```
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

    /// Runs the endpoint in a task of its own until the last handle is dropped. With tokio, it must be called within the runtime.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     endpoint: rserpool_tokio::Endpoint<rserpool_core::element::PoolElement>,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// let (handle, mut events) = endpoint.spawn();
    /// handle.call(|element, now| element.register(now)).await?;
    /// while let Some(event) = events.recv().await {
    ///     println!("{event:?}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn spawn(self) -> (Handle<M>, Events<M::Event>)
    where
        R: Spawn,
    {
        let (handle, events, run) = self.into_parts();
        R::spawn(run);
        (handle, events)
    }

    /// The endpoint as a future that the caller runs; it ends when the last handle is dropped.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     endpoint: rserpool_tokio::Endpoint<rserpool_core::element::PoolElement>,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Stopped;
    ///
    /// let (handle, mut events, run) = endpoint.into_parts();
    /// let application = async move {
    ///     handle.call(|element, now| element.register(now)).await?;
    ///     println!("{:?}", events.recv().await);
    ///     // Here `handle` is dropped, so that `run` ends, too.
    ///     Ok::<_, Stopped>(())
    /// };
    /// let ((), result) = tokio::join!(run, application);
    /// # result?;
    /// # Ok(()) }
    /// ```
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
        (Handle::new(commands, room), events, run)
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
