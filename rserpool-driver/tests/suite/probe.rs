//! A machine without a protocol: it tells every input, and does every action that it is given.

use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use std::net::UdpSocket;

use bytes::Bytes;
use rserpool_core::{Action, AssocId, End, Input, Instant, Machine, Ppid};

use crate::runtime::driver::{Bound, Events, Handle, Options, TransportKind};
use crate::runtime::{sleep, start};

/// Nothing takes longer, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The SCTP port of those who are called.
pub(crate) const PORT: u16 = 4000;
pub(crate) const PPID: Ppid = Ppid(77);

/// An input, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected(AssocId, Vec<SocketAddr>),
    ConnectFailed(SocketAddr),
    Disconnected(AssocId, End),
    Message(AssocId, Ppid, u16, Bytes),
    SendFailed(AssocId, usize),
    Announcement(Bytes),
    Timeout(Instant),
}

#[derive(Default)]
pub(crate) struct Probe {
    actions: VecDeque<Action<Seen>>,
    pub(crate) deadline: Option<Instant>,
}

impl Probe {
    pub(crate) fn act(&mut self, action: Action<Seen>) {
        self.actions.push_back(action);
    }

    pub(crate) fn send(&mut self, association: AssocId, bytes: impl Into<Bytes>) {
        self.act(Action::Send {
            association,
            ppid: PPID,
            stream: 3,
            unordered: false,
            bytes: bytes.into(),
        });
    }
}

impl Machine for Probe {
    type Event = Seen;

    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        let seen = match input {
            Input::Connected {
                association,
                remote,
            } => Seen::Connected(association, remote.to_vec()),
            Input::ConnectFailed { remote } => Seen::ConnectFailed(remote),
            Input::Disconnected { association, end } => Seen::Disconnected(association, end),
            Input::Message {
                association,
                ppid,
                stream,
                bytes,
            } => Seen::Message(association, ppid, stream, Bytes::copy_from_slice(bytes)),
            Input::SendFailed {
                association, bytes, ..
            } => Seen::SendFailed(association, bytes.len()),
            Input::Announcement { bytes, .. } => Seen::Announcement(Bytes::copy_from_slice(bytes)),
        };
        self.act(Action::Notify(seen));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.act(Action::Notify(Seen::Timeout(now)));
        }
    }

    fn poll_action(&mut self) -> Option<Action<Seen>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

/// A probe with its endpoint.
pub(crate) struct Peer {
    pub(crate) handle: Handle<Probe>,
    pub(crate) events: Events<Seen>,
    pub(crate) local: SocketAddr,
}

impl Peer {
    pub(crate) fn start(options: &Options) -> Self {
        Self::over(options.bind().expect("the address is free"))
    }

    pub(crate) fn over(bound: Bound) -> Self {
        let local = bound.local();
        let (handle, events) = start(bound.drive(Probe::default()));
        Self {
            handle,
            events,
            local,
        }
    }

    pub(crate) async fn act(&self, action: Action<Seen>) {
        self.handle
            .call(move |probe, _| probe.act(action))
            .await
            .expect("the endpoint runs");
    }

    pub(crate) async fn send(&self, association: AssocId, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.handle
            .call(move |probe, _| probe.send(association, bytes))
            .await
            .expect("the endpoint runs");
    }

    pub(crate) async fn connect(&self, remote: SocketAddr) {
        self.act(Action::Connect {
            ppid: PPID,
            remote: vec![remote],
        })
        .await;
    }

    pub(crate) async fn next(&mut self) -> Seen {
        within_patience(self.events.recv())
            .await
            .expect("the endpoint runs")
    }

    pub(crate) async fn connected(&mut self) -> AssocId {
        match self.next().await {
            Seen::Connected(association, _) => association,
            other => panic!("not connected but {other:?}"),
        }
    }

    pub(crate) async fn message(&mut self) -> Bytes {
        match self.next().await {
            Seen::Message(_, PPID, 3, bytes) => bytes,
            other => panic!("no message but {other:?}"),
        }
    }
}

/// Two ends with an association: the one that called, and the one that was called.
pub(crate) struct Pair {
    pub(crate) caller: Peer,
    pub(crate) called: Peer,
    pub(crate) to_called: AssocId,
    pub(crate) to_caller: AssocId,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), 1024).await
    }

    /// Both at `ip`, the called one with room for so many events.
    pub(crate) async fn at(ip: IpAddr, event_capacity: usize) -> Self {
        let udp_port = free_port(ip);
        let mut options = Options::element(PORT);
        options.transport = TransportKind::Udp;
        options.local = vec![ip];
        options.udp_port = udp_port;
        options.event_capacity = event_capacity;
        Self::of(&options, &user(ip, udp_port)).await
    }

    /// One that is called, and one that calls it.
    pub(crate) async fn of(called: &Options, caller: &Options) -> Self {
        let port = called.sctp_port.expect("an element has a port");
        let mut called = Peer::start(called);
        let mut caller = Peer::start(caller);
        let remote = SocketAddr::new(called.local.ip(), port);
        caller.connect(remote).await;
        Self {
            to_called: caller.connected().await,
            to_caller: called.connected().await,
            caller,
            called,
        }
    }
}

/// What comes of the future, in time.
pub(crate) async fn within_patience<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        sleep(PATIENCE).await;
        None
    };
    futures_lite::future::or(async { Some(future.await) }, late)
        .await
        .expect("it ends in time")
}

/// The options of one who calls.
pub(crate) fn user(ip: IpAddr, peer_udp_port: u16) -> Options {
    let mut options = Options::user();
    options.transport = TransportKind::Udp;
    options.local = vec![ip];
    options.peer_udp_port = peer_udp_port;
    options
}

/// A UDP port that nobody else uses, below those that the system gives away.
pub(crate) fn free_port(ip: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [a, b, ..] = std::process::id().to_ne_bytes();
    let offset = u16::from_ne_bytes([a, b]).wrapping_mul(31);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 24_000 + offset.wrapping_add(next) % 8_000;
        if UdpSocket::bind((ip, port)).is_ok() {
            return port;
        }
    }
}
