//! `rserpool registrar`: keeps the pools of an operational scope.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use clap::Args;
use rserpool_core::registrar::{Config, Event, Registrar};
use rserpool_core::{ASAP_PORT, Dialect, Instant, ServerId};
use rserpool_tokio::{Options, seed};

use crate::common::{Address, Failure, Interrupt, ScopeArgs, finish_or_interrupt};

/// Options of `rserpool registrar`.
#[derive(Args, Debug)]
pub(crate) struct RegistrarArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// The local address, and the SCTP port if it is not 3863; without it the first free one of 127.0.0.1, 127.0.0.2, ….
    #[arg(long, value_name = "ADDR[:PORT]")]
    asap: Option<Address>,
    /// The identifier of this registrar; drawn at random where it is missing.
    #[arg(long, value_name = "ID", value_parser = identifier)]
    id: Option<u32>,
    /// Announce this registrar by multicast.
    #[arg(long)]
    announce: bool,
    /// Mean time between two keep-alives to an element, in seconds; 0 sends none.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    keep_alive: f64,
}

/// An identifier: decimal or `0x…`, not 0.
pub(crate) fn identifier(text: &str) -> Result<u32, String> {
    let id = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match id {
        Ok(0) => Err("0 means \"none\"".into()),
        Ok(id) => Ok(id),
        Err(_) => Err("expected a number of 32 bits, decimal or 0x…".into()),
    }
}

/// A time in seconds that can be waited for.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0 to 1000000000".into()),
    }
}

/// Runs the registrar until it is interrupted.
pub(crate) async fn run(args: RegistrarArgs) -> Result<(), Failure> {
    let dialect = Dialect::from(args.scope.dialect);
    let mut options = Options::registrar();
    options.udp_port = args.scope.udp_port;
    options.peer_udp_port = args.scope.udp_port;
    options.local = args.asap.map(|address| address.ip);
    let port = args.asap.map_or(ASAP_PORT, |address| address.port);
    options.sctp_port = Some(port);
    options.multicast = args.announce.then_some(dialect);
    let mut interrupt = Interrupt::new()?;
    let bound = options
        .bind()
        .map_err(|error| Failure::bind(&error, options.local, args.scope.udp_port))?;
    let local = bound.local();
    let mut config = Config::for_dialect(dialect);
    config.server_id = args.id.map(ServerId);
    config.asap_addresses = vec![SocketAddr::new(local.ip(), port)];
    config.announce = args.announce;
    config.keep_alive_interval = Duration::from_secs_f64(args.keep_alive);
    let registrar = Registrar::new(config, Instant::EPOCH, seed()?);
    tracing::info!(
        id = %registrar.id(),
        "registrar at {} (SCTP port {port} over UDP port {})",
        local.ip(),
        local.port(),
    );
    if args.asap.is_none() && local.ip() != Ipv4Addr::LOCALHOST {
        tracing::warn!(
            "127.0.0.1 was taken: others find this registrar with --registrar {}",
            local.ip()
        );
    }
    let (handle, mut events) = bound.drive(registrar).spawn();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => log(&event),
                None => return Err(Failure::socket()),
            },
            () = interrupt.wait() => break,
        }
    }
    finish_or_interrupt(handle, events, &mut interrupt).await;
    Ok(())
}

fn log(event: &Event) {
    match event {
        Event::Registered { pool_handle, pe_id } => {
            tracing::info!(pool = %pool_handle, element = %pe_id, "registered");
        }
        Event::Removed {
            pool_handle,
            pe_id,
            reason,
        } => tracing::info!(pool = %pool_handle, element = %pe_id, ?reason, "removed"),
        Event::Refused {
            pool_handle,
            pe_id,
            cause,
        } => tracing::warn!(pool = %pool_handle, element = %pe_id, %cause, "refused"),
        _ => tracing::debug!(?event, "told"),
    }
}
