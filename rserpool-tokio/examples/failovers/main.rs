//! Many fail-overs of sessions with cookies over real sockets, in one process: what gets lost, and how long it takes.
//!
//! ```sh
//! cargo run --release -p rserpool-tokio --example failovers -- --transport udp --fail-overs 1000
//! ```
//!
//! Sessions that send again what an element did not get (`SessionOptions::resend`) send numbered messages to elements that answer
//! each of them, after a cookie with its number. At random moments an element is killed: its sockets and its memory are gone at
//! once, without a word of this program, and a new element takes its place at another address. Over UDP nothing tells of it but
//! silence; with kernel SCTP the kernel ends the associations of a closed socket.
//!
//! Lost is what the mode promises to keep: a message that no element has got and that did not come back, or a cookie that was
//! older than an answer, or missing. A message that the dead element had got may stay without an answer, and is counted beside it:
//! only its sender knows whether to ask again. The gap of a fail-over is the time from the kill to the first answer of the next
//! element. It fails where anything is lost. With kernel SCTP only a cookie is a reason: what a kernel had acknowledged, and nobody
//! had read before the kill, cannot be told from what was lost.

mod element;
mod ledger;

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use rserpool_core::registrar::Registrar;
use rserpool_core::user::{self, PoolUser, SessionId, SessionOptions};
use rserpool_core::{ASAP_PORT, PeId, Ppid, Rng};
use rserpool_tokio::{Events, Handle, Options, TransportKind, seed};

use tokio::time::MissedTickBehavior;

use element::Element;
use ledger::Ledger;

type Failure = Box<dyn core::error::Error>;

const POOL: &str = "failovers";
/// The application's protocol.
const NUMBERS: Ppid = Ppid(0x2909_7606);
/// How often each session sends.
const PACE: Duration = Duration::from_millis(250);
/// How long everything that was sent may take until it is answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the command line says.
struct Arguments {
    transport: TransportKind,
    fail_overs: usize,
    sessions: usize,
    elements: usize,
    /// Mean time between two kills.
    interval: Duration,
}

impl Arguments {
    fn parse() -> Result<Self, Failure> {
        let mut arguments = Self {
            transport: TransportKind::Udp,
            fail_overs: 1000,
            sessions: 300,
            elements: 30,
            interval: Duration::from_secs(2),
        };
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            let value = words.next().ok_or(format!("{option} needs a value"))?;
            match option.as_str() {
                "--transport" if value == "kernel" => arguments.transport = TransportKind::Kernel,
                "--transport" if value == "udp" => arguments.transport = TransportKind::Udp,
                "--fail-overs" => arguments.fail_overs = value.parse()?,
                "--sessions" => arguments.sessions = value.parse()?,
                "--elements" => arguments.elements = value.parse()?,
                "--interval" => arguments.interval = Duration::from_secs_f64(value.parse()?),
                _ => return Err(format!("unknown: {option} {value}").into()),
            }
        }
        Ok(arguments)
    }
}

/// Where everybody is.
#[derive(Clone, Copy)]
struct Scope {
    transport: TransportKind,
    udp_port: u16,
}

impl Scope {
    const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ASAP_PORT);

    fn place(self, mut options: Options, address: Ipv4Addr) -> Options {
        options.transport = self.transport;
        options.local = vec![address.into()];
        options.peer_udp_port = self.udp_port;
        if options.sctp_port.is_some() {
            options.udp_port = self.udp_port;
        }
        options
    }
}

/// The user, its sessions, and the elements that they are with.
struct Run {
    arguments: Arguments,
    scope: Scope,
    ledger: Arc<Mutex<Ledger>>,
    rng: Rng,
    elements: BTreeMap<PeId, Element>,
    /// How many elements there have been.
    started: u32,
    user: Handle<PoolUser>,
    sessions: Vec<SessionId>,
}

impl Run {
    async fn start_element(&mut self) -> Result<(), Failure> {
        self.started += 1;
        let [_, _, high, low] = (self.started + 1).to_be_bytes();
        let address = Ipv4Addr::new(127, 1, high, low);
        let element = Element::start(self.scope, address, Arc::clone(&self.ledger)).await?;
        self.elements.insert(element.id, element);
        Ok(())
    }

    async fn open_sessions(&mut self) -> Result<(), Failure> {
        let count = self.arguments.sessions;
        let open = move |user: &mut PoolUser, now| {
            let mut options = SessionOptions::default();
            options.resend = true;
            let open = |_| user.open_with(now, &POOL.into(), options);
            (0..count).map_while(open).collect::<Vec<_>>()
        };
        self.sessions = self.user.call(open).await?;
        Ok(())
    }

    /// Each session sends its next number, unless it has too many on the way.
    async fn send(&self) -> Result<(), Failure> {
        let messages: Vec<(SessionId, Bytes)> = {
            let mut ledger = self.ledger.lock().map_err(|_| "poisoned")?;
            let next = |id: &SessionId| Some((*id, ledger.next(*id)?));
            self.sessions.iter().filter_map(next).collect()
        };
        let send = |user: &mut PoolUser, _| {
            for (session, bytes) in messages {
                // One that has failed says so by an event.
                let _ = user.send(session, NUMBERS, 0, bytes);
            }
        };
        Ok(self.user.call(send).await?)
    }

    /// Kills one of the elements, and starts another one.
    async fn kill(&mut self) -> Result<(), Failure> {
        let index = self.rng.index(self.elements.len());
        let Some(id) = self.elements.keys().nth(index).copied() else {
            return Ok(());
        };
        if let Some(element) = self.elements.remove(&id) {
            element.kill().await;
            let mut ledger = self.ledger.lock().map_err(|_| "poisoned")?;
            ledger.killed(id, Instant::now());
        }
        self.start_element().await
    }

    /// Sends and kills until there have been enough fail-overs, and then lets everything be answered.
    async fn run(&mut self, mut events: Events<user::Event>) -> Result<(), Failure> {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kill = Instant::now() + self.arguments.interval;
        let mut end = None;
        loop {
            tokio::select! {
                event = events.recv() => {
                    let event = event.ok_or("the user has stopped")?;
                    let mut ledger = self.ledger.lock().map_err(|_| "poisoned")?;
                    ledger.hear(event)?;
                }
                _ = pace.tick() => self.send().await?,
                () = tokio::time::sleep_until(kill.into()), if end.is_none() => {
                    self.kill().await?;
                    let chance = f64::from(self.rng.nonzero_u32()) / f64::from(u32::MAX);
                    kill = Instant::now() + self.arguments.interval.mul_f64(2.0 * chance);
                }
            }
            let mut ledger = self.ledger.lock().map_err(|_| "poisoned")?;
            if end.is_none() && ledger.fail_overs() >= self.arguments.fail_overs {
                ledger.close();
                end = Some(Instant::now() + PATIENCE);
            }
            if end.is_some() && ledger.is_settled() {
                return Ok(());
            }
            if end.is_some_and(|end| Instant::now() > end) {
                return Err(format!("not all was answered in time: {ledger}").into());
            }
        }
    }
}

async fn start(arguments: Arguments) -> Result<(Run, Events<user::Event>), Failure> {
    let scope = Scope {
        transport: arguments.transport,
        udp_port: std::net::UdpSocket::bind("127.0.0.1:0")?
            .local_addr()?
            .port(),
    };
    let home = scope.place(Options::registrar(), Ipv4Addr::LOCALHOST);
    let registrar = Registrar::new(Default::default(), rserpool_core::Instant::EPOCH, seed()?);
    let (registrar, mut events) = home.bind()?.drive(registrar).spawn();
    tokio::spawn(async move {
        while events.recv().await.is_some() {}
        drop(registrar);
    });
    let mut config = user::Config::default();
    config.hunt.registrars = vec![Scope::HOME];
    let place = scope.place(Options::user(), Ipv4Addr::LOCALHOST);
    let user = PoolUser::new(config, seed()?);
    let (user, events) = place.bind()?.drive(user).spawn();
    let mut run = Run {
        scope,
        ledger: Arc::default(),
        rng: Rng::from_seed(seed()?),
        elements: BTreeMap::new(),
        started: 0,
        user,
        sessions: Vec::new(),
        arguments,
    };
    for _ in 0..run.arguments.elements {
        run.start_element().await?;
    }
    run.open_sessions().await?;
    Ok((run, events))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse()?;
    let begin = Instant::now();
    let (mut run, events) = start(arguments).await?;
    run.run(events).await?;
    let ledger = run.ledger.lock().map_err(|_| "poisoned")?;
    println!("{ledger} seconds={}", begin.elapsed().as_secs());
    let lost = match run.arguments.transport {
        TransportKind::Udp => ledger.lost(),
        _ => ledger.lost_cookies(),
    };
    if lost > 0 {
        return Err("something was lost".into());
    }
    Ok(())
}
