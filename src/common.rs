//! What the subcommands that talk to others share: addresses, logs, errors.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rserpool_core::{ASAP_PORT, Dialect, ENRP_PORT, HuntConfig};
use rserpool_tokio::{Bound, Options, TransportKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs: one JSON object a line.
    Json,
}

/// The transports that a machine can be driven over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportName {
    /// SCTP of the Linux kernel.
    Kernel,
    /// SCTP over UDP (RFC 6951), in this process.
    Udp,
    /// The kernel's where it has SCTP, else over UDP.
    Auto,
}

impl From<TransportName> for TransportKind {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Kernel => Self::Kernel,
            TransportName::Udp => Self::Udp,
            TransportName::Auto => Self::Auto,
        }
    }
}

/// The dialects, as they are named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectName {
    /// As RFC 5352-5356 say.
    Rfc,
    /// As the deployed reference implementation speaks.
    Rsplib,
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::Rfc => Self::Rfc,
            DialectName::Rsplib => Self::Rsplib,
        }
    }
}

/// An address with an optional port: `ADDR`, `ADDR:PORT`, `[IPV6]:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The address.
    pub(crate) ip: IpAddr,
    /// The SCTP port; the registered one of ASAP where none was given.
    pub(crate) port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, ASAP_PORT)
    }
}

impl Address {
    /// An address whose port is ENRP's where none is given.
    pub(crate) fn enrp(text: &str) -> Result<Self, String> {
        Self::parse(text, ENRP_PORT)
    }

    fn parse(text: &str, default: u16) -> Result<Self, String> {
        let (ip, port) = match text.parse::<SocketAddr>() {
            Ok(address) => (address.ip(), address.port()),
            Err(_) => match text.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(ip) => (ip, default),
                Err(_) => {
                    return Err(format!(
                        "expected ADDR or ADDR:PORT, such as 127.0.0.1:{default}"
                    ));
                }
            },
        };
        if port == 0 {
            return Err("port 0 cannot be called".into());
        }
        Ok(Self { ip, port })
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(address.ip, address.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Options of everything that takes part in an operational scope.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScopeArgs {
    /// What carries SCTP, the same at all who talk to each other.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) transport: TransportName,
    /// With SCTP over UDP, the UDP port, the same at all registrars and elements of the scope.
    #[arg(long, value_name = "PORT", default_value_t = 9899, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) udp_port: u16,
    /// The wire dialect of the scope.
    #[arg(long, value_enum, default_value = "rfc")]
    pub(crate) dialect: DialectName,
}

impl ScopeArgs {
    /// How the others of the scope are reached.
    pub(crate) fn apply(&self, options: &mut Options) {
        options.transport = self.transport.into();
        options.peer_udp_port = self.udp_port;
    }
}

/// Binds the endpoint. Where the program chose the transport, the log says which.
pub(crate) fn bind(options: &Options) -> Result<Bound, Failure> {
    let bound = options
        .bind()
        .map_err(|error| Failure::bind(&error, options))?;
    if options.transport == TransportKind::Auto {
        tracing::info!("using {}", bound.transport());
    }
    Ok(bound)
}

/// Where an endpoint can be called, for the log.
pub(crate) fn place(bound: &Bound, port: u16) -> String {
    let addresses = join(&bound.addresses());
    match bound.transport() {
        TransportKind::Kernel => format!("{addresses} (SCTP port {port} of the kernel)"),
        _ => format!(
            "{addresses} (SCTP port {port} over UDP port {})",
            bound.local().port()
        ),
    }
}

fn join<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

/// Options of everything that looks for a registrar.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// A registrar's address, and its SCTP port if it is not 3863; may be given several times.
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1")]
    pub(crate) registrar: Vec<Address>,
    /// Also listen to registrars that announce themselves by multicast.
    #[arg(long)]
    pub(crate) announced: bool,
    /// The local address; without it a free one of 127.0.0.2, 127.0.0.3, …, or ::1 with a registrar there. May be given several
    /// times with kernel SCTP, the preferred one first.
    #[arg(long, value_name = "ADDR")]
    pub(crate) local: Vec<IpAddr>,
}

impl ClientArgs {
    /// How long a set of attempts to find a registrar may take.
    const HUNT: Duration = Duration::from_secs(2);
    /// How long it may take after many that came to nothing.
    const HUNT_MAX: Duration = Duration::from_secs(8);

    /// The hunt for these registrars.
    pub(crate) fn hunt(&self) -> HuntConfig {
        let mut hunt = HuntConfig::default();
        hunt.registrars = self
            .registrar
            .iter()
            .map(|address| SocketAddr::new(address.ip, address.port))
            .collect();
        // A registrar that is started later is found within seconds.
        hunt.t5_serverhunt = Self::HUNT;
        hunt.retran_max = Self::HUNT_MAX;
        hunt
    }

    /// The groups to listen to.
    pub(crate) fn multicast(&self) -> Option<Dialect> {
        self.announced.then(|| self.scope.dialect.into())
    }

    /// The local addresses to sit at.
    pub(crate) fn local(&self) -> Result<Vec<IpAddr>, Failure> {
        local_for(&self.local, &self.registrar)
    }

    /// What to do when no registrar answers.
    pub(crate) fn no_registrar(&self) -> String {
        format!(
            "no registrar answers at {}: is 'rserpool registrar' running there, with the same transport? See --registrar, --transport, --udp-port",
            join(&self.registrar),
        )
    }
}

/// The local addresses for a client of `registrars`; none takes a loopback address of IPv4. A registrar that is not on this host
/// needs an address that it can see, and is reached only from one of its own IP version.
pub(crate) fn local_for(local: &[IpAddr], registrars: &[Address]) -> Result<Vec<IpAddr>, Failure> {
    let registrars = || registrars.iter().map(|address| address.ip);
    let away = registrars().find(|ip| !ip.is_loopback());
    let local = match away {
        _ if !local.is_empty() => local.to_vec(),
        Some(away) => {
            return Err(Failure::usage(format!(
                "registrar {away} is not on this host: say with --local which of this host's addresses to use"
            )));
        }
        // There is only one loopback address of IPv6.
        None => registrars().find(IpAddr::is_ipv6).into_iter().collect(),
    };
    let reaches = |ip: &IpAddr| match local[..] {
        [] => ip.is_ipv4(),
        _ => local.iter().any(|local| local.is_ipv4() == ip.is_ipv4()),
    };
    match registrars().find(|ip| !reaches(ip)) {
        Some(other) => Err(Failure::usage(format!(
            "registrar {other} and {} are not of the same IP version",
            match local[..] {
                [] => "the others".into(),
                _ => format!("the local address {}", join(&local)),
            }
        ))),
        None => Ok(local),
    }
}

/// Why an address and port cannot be had.
pub(crate) fn why_not_bound(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "it is taken, perhaps by another rserpool".into(),
        io::ErrorKind::AddrNotAvailable => "it is not an address of this host".into(),
        _ => error.to_string(),
    }
}

/// Why a subcommand ended: one line for stderr, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    message: Option<String>,
    status: u8,
}

impl Failure {
    /// The command line or what it names is wrong: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            status: 2,
        }
    }

    /// It did not work: exit status 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            status: 1,
        }
    }

    /// The endpoint could not be bound.
    pub(crate) fn bind(error: &io::Error, options: &Options) -> Self {
        let place = match options.local[..] {
            [] => "a loopback address".into(),
            _ => join(&options.local),
        };
        if error.kind() == io::ErrorKind::Unsupported {
            return Self::failed(error.to_string());
        }
        let why = why_not_bound(error);
        Self::failed(format!(
            "cannot use {} at {place}: {why}; choose another address or port",
            options.transport
        ))
    }

    /// The socket of a running endpoint has failed; the log says how.
    pub(crate) fn socket() -> Self {
        Self::failed("the socket has failed")
    }

    /// The one line for stderr; none where nobody reads stdout any more, as with `| head`.
    fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            // Nothing can be done where standard error is closed.
            let _ = writeln!(io::stderr(), "rserpool: {message}");
        }
        ExitCode::from(self.status)
    }
}

impl From<rserpool_tokio::Stopped> for Failure {
    fn from(stopped: rserpool_tokio::Stopped) -> Self {
        Self::failed(stopped.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                message: None,
                status: 0,
            };
        }
        Self::failed(error.to_string())
    }
}

/// Lets an endpoint close its associations in order.
pub(crate) async fn finish<M, E>(
    handle: rserpool_tokio::Handle<M>,
    mut events: rserpool_tokio::Events<E>,
) {
    drop(handle);
    while events.recv().await.is_some() {}
}

/// Lets an endpoint close its associations in order, unless the user is impatient.
pub(crate) async fn finish_or_interrupt<M, E>(
    handle: rserpool_tokio::Handle<M>,
    events: rserpool_tokio::Events<E>,
    interrupt: &mut Interrupt,
) {
    tokio::select! {
        () = finish(handle, events) => {}
        () = interrupt.wait() => {}
    }
}

/// Runs a subcommand on a runtime of its own. Logs go to stderr from the level `log` on, unless `RSERPOOL_LOG` says otherwise.
pub(crate) fn run(log: &str, command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let result = start_logging(log).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(command);
        // A read of the terminal cannot be cancelled: it must not keep the program from ending.
        runtime.shutdown_background();
        result
    });
    exit_code(result)
}

/// Says why a subcommand failed, if it did.
pub(crate) fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start_logging(level: &str) -> Result<(), Failure> {
    const VARIABLE: &str = "RSERPOOL_LOG";
    // The SCTP engine's own messages are of use to those who debug it.
    let directives =
        std::env::var(VARIABLE).unwrap_or_else(|_| format!("{level},sctp_proto=error"));
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| Failure::usage(format!("{VARIABLE}={directives}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .with_target(false)
        .init();
    Ok(())
}

/// The user's wish that the program ends: Ctrl-C or SIGTERM. From the time it is made on, none is missed.
pub(crate) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Must be made within the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
