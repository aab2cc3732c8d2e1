//! `rserpool element`: a server in a pool, with one of the built-in services.

mod pingpong;

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use rserpool_core::element::{Config, Event, PoolElement, SendError};
use rserpool_core::wire::{
    CauseCode, List, Policy, SctpTransport, Transport, TransportBuf, TransportUse,
};
use rserpool_core::{AssocId, Dialect, Life, PeId, PoolHandle, Ppid};
use rserpool_tokio::{Handle, Options, seed};

use self::pingpong::PingPong;
use crate::common::{ClientArgs, Failure, Interrupt, bind, finish_or_interrupt, place};
use crate::registrar::{identifier, seconds};

/// The policies of RFC 5356, as they are named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    RoundRobin,
    WeightedRoundRobin,
    Random,
    WeightedRandom,
    Priority,
    LeastUsed,
    LeastUsedDegradation,
    PriorityLeastUsed,
    RandomizedLeastUsed,
}

/// Options of `rserpool element`.
#[derive(Args, Debug)]
pub(crate) struct ElementArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The pool to join.
    #[arg(long, value_name = "NAME", value_parser = pool_handle)]
    pool: PoolHandle,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// The SCTP port to serve at; any free one where it is missing.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The identifier within the pool; drawn at random where it is missing.
    #[arg(long, value_name = "ID", value_parser = identifier)]
    id: Option<u32>,
    /// How long a registration is valid, in seconds; it is renewed in time.
    #[arg(long, value_name = "SECONDS", default_value_t = 620.0, value_parser = seconds)]
    life: f64,
}

/// The service of an element: exactly one.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct ServiceArgs {
    /// Send back what comes.
    #[arg(long)]
    echo: bool,
    /// Throw away what comes.
    #[arg(long)]
    discard: bool,
    /// Answer every message with the time.
    #[arg(long)]
    daytime: bool,
    /// Answer pings with numbered pongs, and hand the number over to other elements in a cookie.
    #[arg(long)]
    pingpong: bool,
}

/// The policy of an element and its values.
#[derive(Args, Debug)]
struct PolicyArgs {
    /// The pool's member selection policy.
    #[arg(long, value_enum, default_value = "round-robin")]
    policy: PolicyName,
    /// Capacity relative to the others, for the weighted policies; 0 gets no user.
    #[arg(long, default_value_t = 1)]
    weight: u32,
    /// Larger is preferred, for priority.
    #[arg(long, default_value_t = 0)]
    priority: u32,
    /// Current load from 0 to 1, for the least-used policies.
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    load: f64,
    /// What a new session adds to the load, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    load_degradation: f64,
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

/// A pool handle as it is given on the command line.
pub(crate) fn pool_handle(text: &str) -> Result<PoolHandle, String> {
    const MAX: usize = PoolHandle::MAX_LENGTH;
    match text.len() {
        0 => Err("a pool handle has at least one byte".into()),
        length if length > MAX => Err(format!("a pool handle has at most {MAX} bytes")),
        _ => Ok(PoolHandle::from(text)),
    }
}

/// A load of RFC 5356 §3.1: a fraction of 0xffffffff.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of u32::MAX fits"
)]
pub(crate) fn load(fraction: f64) -> u32 {
    (fraction.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32
}

impl PolicyArgs {
    fn policy(&self) -> Policy<'static> {
        let load = load(self.load);
        let load_degradation = self::load(self.load_degradation);
        match self.policy {
            PolicyName::RoundRobin => Policy::RoundRobin,
            PolicyName::WeightedRoundRobin => Policy::WeightedRoundRobin {
                weight: self.weight,
            },
            PolicyName::Random => Policy::Random,
            PolicyName::WeightedRandom => Policy::WeightedRandom {
                weight: self.weight,
            },
            PolicyName::Priority => Policy::Priority {
                priority: self.priority,
            },
            PolicyName::LeastUsed => Policy::LeastUsed { load },
            PolicyName::LeastUsedDegradation => Policy::LeastUsedDegradation {
                load,
                load_degradation,
            },
            PolicyName::PriorityLeastUsed => Policy::PriorityLeastUsed {
                load,
                load_degradation,
            },
            PolicyName::RandomizedLeastUsed => Policy::RandomizedLeastUsed { load },
        }
    }
}

/// The SCTP transport of an element at these addresses and `port`, with a control channel.
pub(crate) fn user_transport(addresses: &[IpAddr], port: u16) -> TransportBuf {
    TransportBuf::from(&Transport::Sctp(SctpTransport {
        port,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(addresses),
    }))
}

/// A port of the dynamic range (RFC 6335 §6) by chance.
pub(crate) fn any_port() -> Result<u16, Failure> {
    let [high, low, ..] = seed()?;
    Ok(u16::from_be_bytes([high, low]) | 0xc000)
}

/// The machine's configuration, for an endpoint at these addresses and the SCTP port `port`.
fn config(args: &ElementArgs, addresses: &[IpAddr], port: u16) -> Config {
    let transport = user_transport(addresses, port);
    let mut config = Config::new(args.pool.clone(), transport, args.policy.policy());
    config.dialect = Dialect::from(args.client.scope.dialect);
    config.pe_id = args.id.map(PeId);
    config.life = Life::For(Duration::from_secs_f64(args.life.max(1.0)));
    config.hunt = args.client.hunt();
    config
}

/// Runs the element until it is interrupted; then it leaves its pool.
pub(crate) async fn run(args: ElementArgs) -> Result<(), Failure> {
    let port = match args.port {
        Some(port) => port,
        None => any_port()?,
    };
    let mut options = Options::element(port);
    options.local = args.client.local()?;
    options.udp_port = args.client.scope.udp_port;
    args.client.scope.apply(&mut options);
    options.multicast = args.client.multicast();
    let mut interrupt = Interrupt::new()?;
    let bound = bind(&options)?;
    let element = PoolElement::new(config(&args, &bound.addresses(), port), seed()?);
    tracing::info!(
        pool = %args.pool,
        id = %element.id(),
        "element at {}",
        place(&bound, port),
    );
    let (handle, mut events) = bound.drive(element).spawn();
    handle.call(|element, now| element.register(now)).await?;
    let mut sessions = Sessions::new();
    let mut home = Home::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => serve(&handle, event, &args, &mut sessions).await?,
                None => return Err(Failure::socket()),
            },
            _ = home.clock.tick() => home.watch(&handle, &args.client).await?,
            () = interrupt.wait() => break,
        }
    }
    tokio::select! {
        result = leave(&handle, &mut events, sessions.into_keys()) => result?,
        () = interrupt.wait() => {}
    }
    finish_or_interrupt(handle, events, &mut interrupt).await;
    Ok(())
}

/// The users' associations, and where the ping-pong service is with each.
type Sessions = BTreeMap<AssocId, PingPong>;

/// Tells the user when there is no registrar.
struct Home {
    clock: tokio::time::Interval,
    missing: u32,
}

impl Home {
    /// How often it is looked after, and how many times in a row there is none before it is said.
    const PERIOD: Duration = Duration::from_millis(500);
    const PATIENCE: u32 = 6;

    fn new() -> Self {
        Self {
            clock: tokio::time::interval(Self::PERIOD),
            missing: 0,
        }
    }

    async fn watch(
        &mut self,
        handle: &Handle<PoolElement>,
        client: &ClientArgs,
    ) -> Result<(), Failure> {
        if handle.call(|element, _| element.home().is_some()).await? {
            self.missing = 0;
            return Ok(());
        }
        self.missing = self.missing.saturating_add(1);
        if self.missing == Self::PATIENCE {
            tracing::warn!("{}; trying on", client.no_registrar());
        }
        Ok(())
    }
}

async fn serve(
    handle: &Handle<PoolElement>,
    event: Event,
    args: &ElementArgs,
    sessions: &mut Sessions,
) -> Result<(), Failure> {
    match event {
        Event::Message {
            association,
            ppid,
            stream,
            bytes,
        } => {
            let answer = if args.service.echo {
                bytes
            } else if args.service.daytime {
                let now = humantime::format_rfc3339_seconds(SystemTime::now());
                Bytes::from(format!("{now}\n"))
            } else {
                return pong(handle, (association, ppid, stream), &bytes, sessions).await;
            };
            let sent = handle
                .call(move |element, _| element.send(association, ppid, stream, answer))
                .await?;
            note(sent);
        }
        Event::SessionOpened { association } => {
            sessions.insert(association, PingPong::default());
            tracing::info!(sessions = sessions.len(), "session opened");
        }
        Event::Undelivered { bytes, .. } => {
            tracing::warn!(bytes = bytes.len(), "an answer could not be delivered");
        }
        Event::SessionClosed { association } => {
            sessions.remove(&association);
            tracing::info!(sessions = sessions.len(), "session closed");
        }
        Event::Registered { .. } => tracing::info!("registered"),
        Event::Rejected { causes } => {
            return Err(Failure::failed(refusal(&args.pool, &causes)));
        }
        Event::RegistrationFailed => {
            handle.call(|element, now| element.register(now)).await?;
        }
        Event::Expired => tracing::warn!("the registration expired; registering again"),
        Event::ErrorReported { causes } => {
            tracing::warn!("the registrar reported: {}", names(&causes));
        }
        Event::CookieEcho {
            association,
            cookie,
        } => {
            tracing::debug!(bytes = cookie.len(), "cookie of another element");
            if let Some(session) = sessions.get_mut(&association) {
                session.resume(&cookie);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The user may have gone before its answer.
fn note(sent: Result<(), SendError>) {
    if let Err(error) = sent {
        tracing::debug!("no answer: {error}");
    }
}

/// Answers a ping, where that is the service; other messages are thrown away.
async fn pong(
    handle: &Handle<PoolElement>,
    (association, ppid, stream): (AssocId, Ppid, u16),
    ping: &[u8],
    sessions: &mut Sessions,
) -> Result<(), Failure> {
    let session = sessions.get_mut(&association);
    if let Some(session) = session.filter(|_| ppid == pingpong::PPID)
        && let Some(pong) = session.answer(ping)
    {
        let cookie = session.cookie();
        let answer = move |element: &mut PoolElement, _| {
            let sent = element.send(association, ppid, stream, pong);
            (sent, element.send_cookie(association, &cookie))
        };
        note(handle.call(answer).await?.0);
    }
    Ok(())
}

/// Why the registrar does not want the element, and what to do.
fn refusal(pool: &PoolHandle, causes: &[CauseCode]) -> String {
    let hint = match causes {
        [CauseCode::INCONSISTENT_POLICY] => {
            format!("; all elements of a pool have one policy, 'rserpool resolve {pool}' shows it")
        }
        [CauseCode::NON_UNIQUE_PE_ID] => "; choose another --id".into(),
        _ => String::new(),
    };
    let names = names(causes);
    format!("the registrar refused the registration in pool {pool}: {names}{hint}")
}

fn names(causes: &[CauseCode]) -> String {
    let names: Vec<_> = causes.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "no cause given".into()
    } else {
        names.join(", ")
    }
}

/// Leaves the pool first, so that nobody is sent here any more, and then closes the sessions.
pub(crate) async fn leave(
    handle: &Handle<PoolElement>,
    events: &mut rserpool_tokio::Events<Event>,
    sessions: impl IntoIterator<Item = AssocId>,
) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let registered = handle
        .call(|element, now| {
            element.deregister(now);
            element.home().is_some()
        })
        .await?;
    if registered {
        let deregistered = async {
            while let Some(event) = events.recv().await {
                if matches!(event, Event::Deregistered { .. }) {
                    tracing::info!("de-registered");
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, deregistered).await.is_err() {
            tracing::warn!("no registrar answers the de-registration");
        }
    }
    let sessions: Vec<_> = sessions.into_iter().collect();
    handle
        .call(move |element, _| {
            for association in sessions {
                element.close(association);
            }
        })
        .await?;
    Ok(())
}
