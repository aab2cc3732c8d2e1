//! What the subcommands that talk to others share: addresses, logs, errors.

use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rserpool_core::{ASAP_PORT, Dialect, HuntConfig};
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
    /// SCTP over UDP (RFC 6951), in this process.
    Udp,
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
        let (ip, port) = match text.parse::<SocketAddr>() {
            Ok(address) => (address.ip(), address.port()),
            Err(_) => match text.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(ip) => (ip, ASAP_PORT),
                Err(_) => return Err("expected ADDR or ADDR:PORT, such as 127.0.0.1:3863".into()),
            },
        };
        if port == 0 {
            return Err("port 0 cannot be called".into());
        }
        Ok(Self { ip, port })
    }
}

/// Options of everything that takes part in an operational scope.
#[derive(Args, Debug)]
pub(crate) struct ScopeArgs {
    /// How SCTP is carried.
    #[arg(long, value_enum, default_value = "udp")]
    pub(crate) transport: TransportName,
    /// The UDP port of SCTP over UDP, the same at all registrars and elements of the scope.
    #[arg(long, value_name = "PORT", default_value_t = 9899, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) udp_port: u16,
    /// The wire dialect of the scope.
    #[arg(long, value_enum, default_value = "rfc")]
    pub(crate) dialect: DialectName,
}

/// Options of everything that looks for a registrar.
#[derive(Args, Debug)]
pub(crate) struct ClientArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// A registrar's address, and its SCTP port if it is not 3863; may be given several times.
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1")]
    pub(crate) registrar: Vec<Address>,
    /// Also listen to registrars that announce themselves by multicast.
    #[arg(long)]
    pub(crate) announced: bool,
    /// The local address; without it a free one of 127.0.0.2, 127.0.0.3, ….
    #[arg(long, value_name = "ADDR")]
    pub(crate) local: Option<IpAddr>,
}

impl ClientArgs {
    /// The hunt for these registrars.
    pub(crate) fn hunt(&self) -> HuntConfig {
        let mut hunt = HuntConfig::default();
        hunt.registrars = self
            .registrar
            .iter()
            .map(|address| SocketAddr::new(address.ip, address.port))
            .collect();
        hunt
    }

    /// The groups to listen to.
    pub(crate) fn multicast(&self) -> Option<Dialect> {
        self.announced.then(|| self.scope.dialect.into())
    }

    /// The local address to sit at. A client of a registrar that is not on this host needs one that the registrar can see.
    pub(crate) fn local(&self) -> Result<Option<IpAddr>, Failure> {
        let away = self
            .registrar
            .iter()
            .find(|address| !address.ip.is_loopback());
        match (self.local, away) {
            (Some(local), _) => Ok(Some(local)),
            (None, Some(address)) => Err(Failure::usage(format!(
                "--registrar {} is not on this host: say with --local which of this host's addresses to use",
                address.ip
            ))),
            (None, None) => Ok(None),
        }
    }
}

/// Why a subcommand ended: one line for stderr, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    status: u8,
}

impl Failure {
    /// The command line or what it names is wrong: exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 2,
        }
    }

    /// It did not work: exit status 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 1,
        }
    }

    /// The endpoint could not be bound.
    pub(crate) fn bind(error: &std::io::Error, udp_port: u16) -> Self {
        Self::failed(format!(
            "cannot bind UDP port {udp_port}: {error}; choose another address or --udp-port"
        ))
    }
}

impl From<rserpool_tokio::Stopped> for Failure {
    fn from(stopped: rserpool_tokio::Stopped) -> Self {
        Self::failed(stopped.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
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
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rserpool: {}", failure.message);
            ExitCode::from(failure.status)
        }
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
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    Ok(())
}

/// Waits until the user asks the program to end: Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
