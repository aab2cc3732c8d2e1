//! What goes over the network: a registrar that is asked, and an element that is visited, each side on a thread of its own.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::Write;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use clap::Args;
use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{Config, Rate, Registrar};
use rserpool_core::user::PoolUser;
use rserpool_core::wire::Policy;
use rserpool_core::{ASAP_PORT, Dialect, Instant, PoolHandle};
use rserpool_tokio::{Handle, Options, seed};
use serde_json::json;
use tokio::sync::oneshot;

use super::asap::{Caller, Plan, Request};
use super::latency::Latencies;
use super::session::{self, Echo, Visitor};
use crate::common::{Address, ClientArgs, Failure, Output, ScopeArgs, bind, finish};
use crate::element::{any_port, user_transport};
use crate::resolve::{user_config, user_options};

/// The pool that is measured with.
const POOL: &str = "rserpool-bench";
/// How long an element may take to join its pool, and to leave it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of everything that goes over the network.
#[derive(Args, Debug)]
pub(super) struct NetworkArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// The registrar to measure, which must not limit what a host may ask for; one of this process where it is missing.
    #[arg(long, value_name = "ADDR[:PORT]")]
    registrar: Option<Address>,
    /// The local address; a free one of 127.0.0.2, 127.0.0.3, … where it is missing.
    #[arg(long, value_name = "ADDR")]
    local: Option<IpAddr>,
    /// How many operations are on their way at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    outstanding: u32,
    /// For how many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = duration)]
    seconds: f64,
    /// The form of the row.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

fn duration(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.01 to 3600".into()),
    }
}

/// What was measured, or why nothing was.
pub(super) type Outcome = Result<Tally, String>;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    latencies: Latencies,
    refused: u64,
    unanswered: u64,
    begin: Option<Instant>,
    end: Option<Instant>,
}

impl Tally {
    pub(super) fn begin(&mut self, now: Instant) {
        self.begin = Some(now);
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.end = Some(now);
    }

    /// Whether the measurement has lasted that long.
    pub(super) fn is_over(&self, now: Instant, time: Duration) -> bool {
        self.begin.is_some_and(|begin| now >= begin + time)
    }

    /// An operation is done. One that was refused counts for nothing.
    pub(super) fn count(&mut self, time: Duration, refused: bool) {
        if refused {
            self.refused += 1;
        } else {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.latencies.record(micros);
        }
    }

    pub(super) fn unanswered(&mut self, operations: usize) {
        self.unanswered += u64::try_from(operations).unwrap_or(u64::MAX);
    }

    fn seconds(&self) -> f64 {
        match (self.begin, self.end) {
            (Some(begin), Some(end)) => end.duration_since(begin).as_secs_f64(),
            _ => f64::NAN,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "so many operations are never done"
    )]
    fn per_second(&self) -> f64 {
        self.latencies.total() as f64 / self.seconds()
    }
}

/// Measures requests to a registrar.
pub(super) async fn requests(
    args: NetworkArgs,
    request: Request,
    elements: u32,
) -> Result<(), Failure> {
    let client = client(&args)?;
    let port = any_port()?;
    let mut options = Options::element(port);
    options.local = client.local()?;
    options.udp_port = args.scope.udp_port;
    args.scope.apply(&mut options);
    let bound = bind(&options)?;
    let transport = bound.transport().to_string();
    let plan = Plan {
        request,
        registrar: client.registrar[0].into(),
        dialect: args.scope.dialect.into(),
        pool: Bytes::from_static(POOL.as_bytes()),
        elements,
        transport: user_transport(&bound.addresses(), port),
        outstanding: args.outstanding,
        time: Duration::from_secs_f64(args.seconds),
        no_registrar: client.no_registrar(),
    };
    let (handle, mut events) = bound.drive(Caller::new(plan)).spawn();
    let outcome = events.recv().await.ok_or_else(Failure::socket)?;
    finish(handle, events).await;
    let operation = match request {
        Request::Resolve => "resolve",
        Request::Register => "register",
    };
    print(&args, operation, &transport, outcome)
}

/// Measures sessions with an element.
pub(super) async fn sessions(args: NetworkArgs, messages: u32) -> Result<(), Failure> {
    let client = client(&args)?;
    let element = client.clone();
    let (echo, left) = on_a_thread(move |started| echo(element, started))?;
    let bound = bind(&user_options(&client)?)?;
    let transport = bound.transport().to_string();
    let plan = session::Plan {
        pool: PoolHandle::from(POOL),
        outstanding: args.outstanding,
        messages,
        time: Duration::from_secs_f64(args.seconds),
    };
    let mut config = user_config(&client);
    config.failover_timeout = Duration::from_secs(10);
    let visitor = Visitor::new(plan, PoolUser::new(config, seed()?));
    let (handle, mut events) = bound.drive(visitor).spawn();
    handle.call(Visitor::begin).await?;
    let outcome = events.recv().await.ok_or_else(Failure::socket)?;
    finish(handle, events).await;
    echo.call(|echo, now| echo.0.deregister(now)).await?;
    // Without an answer, its registration ends with its life.
    let _ = tokio::time::timeout(PATIENCE, left).await;
    print(&args, "session", &transport, outcome)
}

/// How the registrar is reached: the one that was named, or one that is started here.
fn client(args: &NetworkArgs) -> Result<ClientArgs, Failure> {
    let scope = args.scope.clone();
    let registrar = match args.registrar {
        Some(registrar) => registrar,
        None => on_a_thread(move |started| registrar(scope, started))?,
    };
    Ok(ClientArgs {
        scope: args.scope.clone(),
        registrar: vec![registrar],
        announced: false,
        local: args.local.into_iter().collect(),
    })
}

/// What a thread has started, once it has.
type Started<T> = mpsc::Sender<Result<T, Failure>>;

/// Runs an endpoint on a thread of its own, to the end of this process or its own.
fn on_a_thread<T, F>(run: impl FnOnce(Started<T>) -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Failure>>,
{
    let (sender, started) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let ended = match runtime {
            Ok(runtime) => runtime.block_on(run(sender.clone())),
            Err(error) => Err(error.into()),
        };
        if let Err(failure) = ended {
            // Only who still waits for the start wants to know.
            let _ = sender.send(Err(failure));
        }
    });
    let ended = |_| Failure::failed("an endpoint has ended before it began");
    started.recv().map_err(ended)?
}

/// A registrar that is asked for nothing but speed.
async fn registrar(scope: ScopeArgs, started: Started<Address>) -> Result<(), Failure> {
    let mut options = Options::registrar();
    options.enrp_port = None;
    options.udp_port = scope.udp_port;
    scope.apply(&mut options);
    let bound = bind(&options)?;
    let addresses = bound.addresses();
    let address = |ip: &IpAddr| SocketAddr::new(*ip, ASAP_PORT);
    let mut config = Config::for_dialect(Dialect::from(scope.dialect));
    config.asap_addresses = addresses.iter().map(address).collect();
    config.keep_alive_interval = Duration::ZERO;
    config.rates.registrations = Rate::per_second(0);
    config.rates.resolutions = Rate::per_second(0);
    let machine = Registrar::new(config, Instant::EPOCH, seed()?);
    let local = Address {
        ip: bound.local().ip(),
        port: ASAP_PORT,
    };
    let (_handle, mut events) = bound.drive(machine).spawn();
    // Whoever asked is there.
    let _ = started.send(Ok(local));
    while events.recv().await.is_some() {}
    Ok(())
}

/// The element that is visited, and what comes when it has left its pool.
type Visited = (Handle<Echo>, oneshot::Receiver<()>);

/// An echo element, which has to be a member before it can be visited.
async fn echo(client: ClientArgs, started: Started<Visited>) -> Result<(), Failure> {
    let port = any_port()?;
    let mut options = Options::element(port);
    options.local = client.local()?;
    options.udp_port = client.scope.udp_port;
    client.scope.apply(&mut options);
    let bound = bind(&options)?;
    let transport = user_transport(&bound.addresses(), port);
    let mut config = element::Config::new(PoolHandle::from(POOL), transport, Policy::RoundRobin);
    config.dialect = client.scope.dialect.into();
    config.hunt = client.hunt();
    let machine = Echo(PoolElement::new(config, seed()?));
    let (handle, mut events) = bound.drive(machine).spawn();
    handle.call(|echo, now| echo.0.register(now)).await?;
    match tokio::time::timeout(PATIENCE, events.recv()).await {
        Ok(Some(element::Event::Registered { .. })) => {}
        Ok(_) => return Err(Failure::failed("the registrar refuses the element")),
        Err(_) => return Err(Failure::failed(client.no_registrar())),
    }
    let (leave, left) = oneshot::channel();
    let _ = started.send(Ok((handle, left)));
    while let Some(event) = events.recv().await {
        if matches!(event, element::Event::Deregistered { .. }) {
            // It may have been waited for long enough.
            let _ = leave.send(());
            break;
        }
    }
    Ok(())
}

/// Prints the row.
fn print(
    args: &NetworkArgs,
    operation: &str,
    transport: &str,
    outcome: Outcome,
) -> Result<(), Failure> {
    let tally = outcome.map_err(Failure::failed)?;
    if tally.refused > 0 {
        tracing::warn!(
            "{} were refused: the registrar needs --resolution-limit 0 --registration-limit 0",
            tally.refused
        );
    }
    let rate = tally.per_second();
    let (median, most) = (
        tally.latencies.percentile(50),
        tally.latencies.percentile(99),
    );
    let mut stdout = std::io::stdout();
    if args.output == Output::Json {
        let row = json!({
            "operation": operation,
            "transport": transport,
            "outstanding": args.outstanding,
            "seconds": tally.seconds(),
            "operations": tally.latencies.total(),
            "per_second": rate,
            "median_us": median,
            "p99_us": most,
            "refused": tally.refused,
            "unanswered": tally.unanswered,
        });
        return Ok(writeln!(stdout, "{row}")?);
    }
    let micros = |time: Option<u64>| time.map_or_else(|| "-".into(), |time| time.to_string());
    writeln!(
        stdout,
        "{:<12}{:>12}{:>14}{:>12}{:>12}{:>10}{:>12}",
        "operation", "outstanding", "per second", "median µs", "99 % µs", "refused", "unanswered"
    )?;
    writeln!(
        stdout,
        "{operation:<12}{:>12}{rate:>14.0}{:>12}{:>12}{:>10}{:>12}",
        args.outstanding,
        micros(median),
        micros(most),
        tally.refused,
        tally.unanswered
    )?;
    Ok(())
}
