//! `rserpool element`: a server in a pool, with one of the built-in services or one that there is already.

mod exec;
mod forward;
mod group;
mod home;
mod load;
mod pingpong;
mod policy;
mod relays;
mod service;

use core::net::IpAddr;
use core::time::Duration;

use clap::Args;
use rserpool_core::element::{Config, Event, PoolElement};
use rserpool_core::wire::{List, SctpTransport, Transport, TransportBuf, TransportUse};
use rserpool_core::{Dialect, Life, PeId, PoolHandle};
use rserpool_tokio::{Events, Handle, Options, seed};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::home::{close, leave};
pub(crate) use self::policy::{PolicyName, load};

use self::home::Home;
use self::load::LoadArgs;
use self::policy::PolicyArgs;
use self::relays::Streak;
use self::service::{Message, Service, ServiceArgs};
use crate::common::{ClientArgs, Failure, Interrupt, bind, finish, place};
use crate::registrar::{identifier, seconds};

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
    #[command(flatten)]
    load: LoadArgs,
    /// The SCTP port to serve at; any free one where it is missing.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The identifier within the pool; drawn at random where it is missing.
    #[arg(long, value_name = "ID", value_parser = identifier)]
    id: Option<u32>,
    /// How long a registration is valid, in seconds; it is renewed in time.
    #[arg(long, value_name = "SECONDS", default_value_t = 620.0, value_parser = seconds)]
    life: f64,
    /// How many sessions there are at most with --forward or --exec; others are closed, and their users go elsewhere.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_sessions: u32,
    /// How long sessions may go on once the element has left its pool, in seconds; then they are closed.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    drain: f64,
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

/// The machine's configuration, for an endpoint with this transport.
fn config(args: &ElementArgs, transport: TransportBuf, load: f64) -> Config {
    let mut config = Config::new(args.pool.clone(), transport, args.policy.with_load(load));
    config.dialect = Dialect::from(args.client.scope.dialect);
    config.pe_id = args.id.map(PeId);
    config.life = Life::For(Duration::from_secs_f64(args.life.max(1.0)));
    config.hunt = args.client.hunt();
    config
}

/// Runs the element until it is interrupted; then it leaves its pool.
pub(crate) async fn run(args: ElementArgs) -> Result<(), Failure> {
    let max_sessions = usize::try_from(args.max_sessions).unwrap_or(usize::MAX);
    let service = Service::new(&args.service, max_sessions)?;
    if args.load.is_given() && !args.policy.is_adaptive() {
        return Err(Failure::usage(
            "--load-from is for the policies that ask for a load: choose one of the least-used ones with --policy",
        ));
    }
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
    let mut load = args.load.watch().await;
    let first = load.current().unwrap_or(args.policy.load());
    let transport = match args.service.tcp {
        Some(port) => TransportBuf::from(&Transport::Tcp {
            port,
            transport_use: TransportUse::DATA_ONLY,
            address: bound.local().ip(),
        }),
        None => user_transport(&bound.addresses(), port),
    };
    let element = PoolElement::new(config(&args, transport, first), seed()?);
    tracing::info!(
        pool = %args.pool,
        id = %element.id(),
        "element at {}",
        place(&bound, port),
    );
    let (handle, mut events) = bound.drive(element).spawn();
    handle.call(|element, now| element.register(now)).await?;
    let mut member = Member {
        args: &args,
        handle: &handle,
        service,
        undelivered: Streak::default(),
    };
    let mut home = Home::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => member.serve(event).await?,
                None => return Err(Failure::socket()),
            },
            () = home.tick() => home.watch(&handle, &args.client).await?,
            Some(load) = load.changed() => member.set_load(load).await?,
            () = interrupt.wait() => break,
        }
    }
    let mut service = tokio::select! {
        service = member.leave(&mut events) => service?,
        () = interrupt.wait() => return Ok(()),
    };
    close(&handle, service.stop()).await?;
    let finished = async {
        finish(handle, events).await;
        service.finished().await;
    };
    tokio::select! {
        () = finished => {}
        // Processes end with this one.
        () = interrupt.wait() => {}
    }
    Ok(())
}

/// The element as a member of its pool.
struct Member<'a> {
    args: &'a ElementArgs,
    handle: &'a Handle<PoolElement>,
    service: Service,
    /// Messages that could not be delivered.
    undelivered: Streak,
}

impl Member<'_> {
    async fn serve(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message {
                    association,
                    ppid,
                    stream,
                    bytes,
                };
                self.service.message(self.handle, message).await?;
            }
            Event::SessionOpened { association } => {
                self.service.open(self.handle, association).await?;
                tracing::info!(sessions = self.service.sessions(), "session opened");
            }
            Event::Undelivered { bytes, .. } => {
                if let Some(undelivered) = self.undelivered.count() {
                    let bytes = bytes.len();
                    tracing::warn!(undelivered, bytes, "an answer could not be delivered");
                }
            }
            Event::SessionClosed { association } => {
                self.service.close(association);
                tracing::info!(sessions = self.service.sessions(), "session closed");
            }
            Event::CookieEcho {
                association,
                cookie,
            } => self.service.resume(association, &cookie),
            event => self.hear_registrar(event).await?,
        }
        Ok(())
    }

    async fn hear_registrar(&self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Registered { .. } => tracing::info!("registered"),
            Event::Rejected { causes } => {
                return Err(Failure::failed(home::refusal(&self.args.pool, &causes)));
            }
            Event::RegistrationFailed => {
                let register = |element: &mut PoolElement, now| element.register(now);
                self.handle.call(register).await?;
            }
            Event::Expired => tracing::warn!("the registration expired; registering again"),
            Event::ErrorReported { causes } => {
                tracing::warn!("the registrar reported: {}", home::names(&causes));
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells the registrar how busy this element is.
    async fn set_load(&self, load: f64) -> Result<(), Failure> {
        tracing::debug!(load, "new load");
        let policy = self.args.policy.with_load(load);
        let set = move |element: &mut PoolElement, now| element.set_policy(now, policy);
        Ok(self.handle.call(set).await?)
    }

    /// Leaves the pool, and serves those who are there, but for so long.
    async fn leave(mut self, events: &mut Events<Event>) -> Result<Service, Failure> {
        leave(self.handle, events, async |event| self.serve(event).await).await?;
        let end = Instant::now() + Duration::from_secs_f64(self.args.drain);
        while self.service.sessions() > 0
            && let Ok(event) = timeout_at(end, events.recv()).await
        {
            self.serve(event.ok_or_else(Failure::socket)?).await?;
        }
        Ok(self.service)
    }
}
