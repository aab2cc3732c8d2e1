//! `rserpool demo`: a whole pool in one process, and what happens when its elements go.
//!
//! Three registrars, three echo elements of a least-used pool, and a user that asks them one question after another. One element
//! is killed without notice, then the registrar that all elements are registered at, and at last an element leaves in order; the
//! user goes on each time.

use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;

use bytes::Bytes;
use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser, SessionId};
use rserpool_core::wire::Policy;
use rserpool_core::{ASAP_PORT, ENRP_PORT, Instant, PeId, PoolHandle, Ppid};
use rserpool_tokio::{Events, Handle, Options, TransportKind, seed};
use tokio::task::JoinHandle;
use tokio::time::{Instant as Clock, timeout};

use crate::common::{Failure, finish};
use crate::element::{close, leave, load, user_transport};

const POOL: &str = "DemoPool";
/// What one session adds to an element's load.
const SESSION_LOAD: f64 = 0.1;
/// Time between two questions.
const PACE: Duration = Duration::from_millis(50);
/// When the element in use is killed, when the home registrar is, when the next element leaves, and when the conversation ends.
const KILL: Duration = Duration::from_secs(2);
const KILL_REGISTRAR: Duration = Duration::from_secs(7);
const LEAVE: Duration = Duration::from_secs(11);
const END: Duration = Duration::from_secs(13);
/// No answer takes longer than this, fail-over included; else something is broken.
const PATIENCE: Duration = Duration::from_secs(8);

/// Tells the story on stdout.
#[derive(Clone, Copy)]
struct Story {
    start: Clock,
}

impl Story {
    /// Where nobody reads stdout any more, the demonstration goes on: its end is near.
    fn tell(&self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stdout(), "{seconds:6.2} s  {text}");
    }
}

/// One of the elements.
struct Server {
    name: char,
    id: PeId,
    handle: Handle<PoolElement>,
    /// The task that moves its packets, and the one that serves its users.
    driver: JoinHandle<()>,
    service: JoinHandle<(Events<element::Event>, BTreeSet<rserpool_core::AssocId>)>,
    stop: tokio::sync::oneshot::Sender<()>,
}

/// One of the registrars.
struct Home {
    handle: Handle<Registrar>,
    address: SocketAddr,
    enrp: SocketAddr,
    driver: JoinHandle<()>,
    /// Counts its takeovers, until it ends.
    watch: JoinHandle<u64>,
}

/// Runs the demonstration.
pub(crate) async fn run() -> Result<(), Failure> {
    let story = Story {
        start: Clock::now(),
    };
    let mut registrars: Vec<Home> = Vec::new();
    for number in 1..=3 {
        let peers = registrars.iter().map(|registrar| registrar.enrp).collect();
        registrars.push(start_registrar(story, number, peers)?);
    }
    let mut servers = Vec::new();
    for name in ['A', 'B', 'C'] {
        servers.push(start_element(&story, name, registrars[0].address).await?);
    }
    let known = registrars
        .iter()
        .map(|registrar| registrar.address)
        .collect();
    let mut user = User::start(&story, known).await?;
    user.converse(KILL, &servers).await?;
    kill(&story, &mut servers, &mut user)?;
    user.converse(KILL_REGISTRAR, &servers).await?;
    let dead = registrars.remove(0);
    dead.driver.abort();
    story.tell("registrar 1, the home of all elements, is killed without notice");
    user.converse(LEAVE, &servers).await?;
    retire(&story, &mut servers, &mut user).await?;
    user.converse(END, &servers).await?;
    let summary = user.finish(&story).await?;
    for server in servers {
        stop(server).await?;
    }
    let mut takeovers = 0;
    for registrar in registrars {
        drop(registrar.handle);
        takeovers += registrar.watch.await.unwrap_or_default();
    }
    writeln!(std::io::stdout(), "{summary} takeovers={takeovers}")?;
    Ok(())
}

/// Every kernel has UDP.
fn over_udp(mut options: Options) -> Options {
    options.transport = TransportKind::Udp;
    options
}

/// A registrar with timers that fit into a demonstration.
fn start_registrar(story: Story, number: u32, peers: Vec<SocketAddr>) -> Result<Home, Failure> {
    let bound = over_udp(Options::registrar()).bind()?;
    let udp = bound.local();
    let address = SocketAddr::new(udp.ip(), ASAP_PORT);
    let enrp = SocketAddr::new(udp.ip(), ENRP_PORT);
    let mut config = registrar::Config::default();
    config.asap_addresses = vec![address];
    config.enrp_addresses = vec![enrp];
    config.peers = peers;
    config.keep_alive_interval = Duration::from_secs(2);
    config.keep_alive_timeout = Duration::from_secs(1);
    config.peer_heartbeat_cycle = Duration::from_millis(400);
    config.max_time_last_heard = Duration::from_secs(1);
    config.max_time_no_response = Duration::from_millis(500);
    let machine = Registrar::new(config, Instant::EPOCH, seed()?);
    story.tell(&format!(
        "registrar {number} ({}) starts at {udp}",
        machine.id()
    ));
    let (handle, mut events, driver) = bound.drive(machine).into_parts();
    let watch = tokio::spawn(async move {
        let mut takeovers = 0;
        while let Some(event) = events.recv().await {
            if let registrar::Event::TakenOver { elements, .. } = event
                && elements > 0
            {
                takeovers += 1;
                story.tell(&format!(
                    "registrar {number} takes over {elements} elements"
                ));
            }
        }
        takeovers
    });
    Ok(Home {
        handle,
        address,
        enrp,
        driver: tokio::spawn(driver),
        watch,
    })
}

async fn start_element(
    story: &Story,
    name: char,
    registrar: SocketAddr,
) -> Result<Server, Failure> {
    let port = crate::element::any_port()?;
    let bound = over_udp(Options::element(port)).bind()?;
    let udp = bound.local();
    let mut config = element::Config::new(
        PoolHandle::from(POOL),
        user_transport(&[udp.ip()], port),
        Policy::LeastUsed { load: 0 },
    );
    config.hunt.registrars = vec![registrar];
    let machine = PoolElement::new(config, seed()?);
    let id = machine.id();
    let (handle, mut events, driver) = bound.drive(machine).into_parts();
    let driver = tokio::spawn(driver);
    handle.call(|element, now| element.register(now)).await?;
    let registered = timeout(PATIENCE, events.recv()).await;
    if !matches!(registered, Ok(Some(element::Event::Registered { .. }))) {
        return Err(Failure::failed(format!("element {name} cannot register")));
    }
    story.tell(&format!("element {name} ({id}) at {udp} joins {POOL}"));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let service = tokio::spawn(serve(handle.clone(), events, stopped));
    Ok(Server {
        name,
        id,
        handle,
        driver,
        service,
        stop,
    })
}

/// The echo service: its load is the number of its sessions.
async fn serve(
    handle: Handle<PoolElement>,
    mut events: Events<element::Event>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> (Events<element::Event>, BTreeSet<rserpool_core::AssocId>) {
    let mut sessions = BTreeSet::new();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = &mut stopped => None,
        };
        let Some(event) = event else {
            return (events, sessions);
        };
        match event {
            element::Event::SessionOpened { association } => {
                sessions.insert(association);
            }
            element::Event::SessionClosed { association } => {
                sessions.remove(&association);
            }
            element::Event::Message {
                association,
                ppid,
                stream,
                bytes,
            } => {
                // The endpoint may have been stopped in the meantime; the loop sees it next.
                let _ = handle
                    .call(move |element, _| element.send(association, ppid, stream, bytes))
                    .await;
                continue;
            }
            _ => continue,
        }
        let sessions = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        let policy = Policy::LeastUsed {
            load: load(f64::from(sessions) * SESSION_LOAD),
        };
        let _ = handle
            .call(move |element, now| element.set_policy(now, policy))
            .await;
    }
}

/// Takes the element that the user talks to out of the list.
fn in_use(servers: &mut Vec<Server>, user: &User<'_>) -> Result<Server, Failure> {
    let index = servers
        .iter()
        .position(|server| Some(server.id) == user.element)
        .ok_or_else(|| Failure::failed("the user talks to nobody"))?;
    Ok(servers.remove(index))
}

/// The process is gone from one moment to the next: no packet says so.
fn kill(story: &Story, servers: &mut Vec<Server>, user: &mut User<'_>) -> Result<(), Failure> {
    let server = in_use(servers, user)?;
    server.driver.abort();
    server.service.abort();
    user.lost_at = Some(Clock::now());
    story.tell(&format!("element {} is killed without notice", server.name));
    Ok(())
}

/// The element de-registers, and then closes its sessions.
async fn retire(
    story: &Story,
    servers: &mut Vec<Server>,
    user: &mut User<'_>,
) -> Result<(), Failure> {
    let server = in_use(servers, user)?;
    user.lost_at = Some(Clock::now());
    story.tell(&format!("element {} is shut down in order", server.name));
    stop(server).await
}

async fn stop(server: Server) -> Result<(), Failure> {
    // Where the service has ended already, its result is there.
    let _ = server.stop.send(());
    let (mut events, sessions) = server
        .service
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    leave(&server.handle, &mut events, async |_| Ok(())).await?;
    close(&server.handle, sessions).await?;
    finish(server.handle, events).await;
    Ok(())
}

/// The pool user and its conversation.
struct User<'a> {
    story: &'a Story,
    handle: Handle<PoolUser>,
    events: Events<user::Event>,
    session: SessionId,
    element: Option<PeId>,
    sent: u64,
    answered: u64,
    failovers: u64,
    /// When the element in use was taken away.
    lost_at: Option<Clock>,
    slowest: Duration,
}

impl<'a> User<'a> {
    async fn start(story: &'a Story, registrars: Vec<SocketAddr>) -> Result<Self, Failure> {
        let bound = over_udp(Options::user()).bind()?;
        let mut config = user::Config::default();
        config.hunt.registrars = registrars;
        let (handle, events) = bound.drive(PoolUser::new(config, seed()?)).spawn();
        let session = handle
            .call(|user, now| user.open(now, &PoolHandle::from(POOL)))
            .await?
            .ok_or_else(|| Failure::failed("no session can be opened"))?;
        story.tell("a user opens a session with the pool");
        Ok(Self {
            story,
            handle,
            events,
            session,
            element: None,
            sent: 0,
            answered: 0,
            failovers: 0,
            lost_at: None,
            slowest: Duration::ZERO,
        })
    }

    /// Asks one question after another until `end`.
    async fn converse(&mut self, end: Duration, servers: &[Server]) -> Result<(), Failure> {
        while self.story.start.elapsed() < end {
            self.sent += 1;
            let question = Bytes::from(format!("question {}", self.sent));
            self.send(question.clone()).await?;
            timeout(PATIENCE, self.await_answer(&question, servers))
                .await
                .map_err(|_| {
                    Failure::failed(format!(
                        "question {} was not answered within {} s",
                        self.sent,
                        PATIENCE.as_secs()
                    ))
                })??;
            self.answered += 1;
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    }

    async fn send(&self, question: Bytes) -> Result<(), Failure> {
        let session = self.session;
        self.handle
            .call(move |user, _| user.send(session, Ppid(0), 0, question))
            .await?
            .map_err(|error| Failure::failed(error.to_string()))
    }

    async fn await_answer(&mut self, question: &Bytes, servers: &[Server]) -> Result<(), Failure> {
        let name = |id: PeId| {
            let server = servers.iter().find(|server| server.id == id);
            server.map_or("of before".into(), |server| server.name.to_string())
        };
        loop {
            match self.events.recv().await {
                Some(user::Event::Message { bytes, .. }) if bytes == *question => {
                    if let Some(lost_at) = self.lost_at.take() {
                        self.slowest = self.slowest.max(lost_at.elapsed());
                    }
                    return Ok(());
                }
                Some(user::Event::Connected { element, .. }) => {
                    self.element = Some(element);
                    self.story
                        .tell(&format!("the user talks to element {}", name(element)));
                }
                Some(user::Event::Interrupted { closed, .. }) => self.story.tell(if closed {
                    "the user sees that its element has closed the session"
                } else {
                    "the user notices the silence of its element, and reports it"
                }),
                Some(user::Event::FailedOver { new, .. }) => {
                    self.element = Some(new);
                    self.failovers += 1;
                    self.story.tell(&format!(
                        "the user goes on with element {} and repeats question {}",
                        name(new),
                        self.sent
                    ));
                    // The old element may have answered; the answer was lost with it.
                    self.send(question.clone()).await?;
                }
                Some(user::Event::SessionFailed { error, .. }) => {
                    return Err(Failure::failed(error.to_string()));
                }
                Some(_) => {}
                None => return Err(Failure::failed("the user's socket has failed")),
            }
        }
    }

    /// Closes the session, and sums up.
    async fn finish(self, story: &Story) -> Result<String, Failure> {
        let session = self.session;
        self.handle.call(move |user, _| user.close(session)).await?;
        finish(self.handle, self.events).await;
        story.tell("the user closes the session");
        Ok(format!(
            "demo: sent={} answered={} failovers={} slowest_failover_ms={} lost={}",
            self.sent,
            self.answered,
            self.failovers,
            self.slowest.as_millis(),
            self.sent - self.answered
        ))
    }
}
