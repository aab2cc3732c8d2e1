//! `rserpool registrar`: keeps the pools of an operational scope.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use clap::Args;
use rserpool_core::registrar::{Config, Event, Rate, Rates, Registrar};
use rserpool_core::{ASAP_PORT, Dialect, ENRP_PORT, Instant, ServerId};
use rserpool_tokio::{Options, seed};

use crate::common::{Address, Failure, Interrupt, ScopeArgs, bind, finish_or_interrupt, place};

/// Options of `rserpool registrar`.
#[derive(Args, Debug)]
pub(crate) struct RegistrarArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// The local address, and the SCTP port if it is not 3863; without it the first free one of 127.0.0.1, 127.0.0.2, …. May be
    /// given several times with kernel SCTP, the preferred one first.
    #[arg(long, value_name = "ADDR[:PORT]")]
    asap: Vec<Address>,
    /// The SCTP port for ENRP, if it is not 9901, at the address of --asap.
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = enrp_port)]
    enrp: Option<EnrpPort>,
    /// Let users in over TCP, too (resolve and connect with --registrar-tcp), at port 3863 or another one of the addresses of --asap.
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "3863", value_parser = clap::value_parser!(u16).range(1..))]
    tcp: Option<u16>,
    /// Another registrar's address, and its SCTP port for ENRP if it is not 9901; may be given several times. The first one that
    /// answers tells this registrar what there is.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = Address::enrp)]
    peer: Vec<Address>,
    /// The identifier of this registrar; drawn at random where it is missing.
    #[arg(long, value_name = "ID", value_parser = identifier)]
    id: Option<u32>,
    /// Announce this registrar by multicast, to elements and users and to its peers, and find peers that way.
    #[arg(long)]
    announce: bool,
    /// Mean time between two keep-alives to an element, in seconds; 0 sends none.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    keep_alive: f64,
    /// How many registrations per second one host may ask for, and twice as many at once; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = Rates::default().registrations.per_second)]
    registration_limit: u32,
    /// How many handle resolutions per second one host may ask for, and twice as many at once; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = Rates::default().resolutions.per_second)]
    resolution_limit: u32,
}

/// Where a registrar speaks ENRP; all its endpoints have one address.
#[derive(Clone, Copy, Debug)]
struct EnrpPort {
    ip: Option<IpAddr>,
    port: u16,
}

fn enrp_port(text: &str) -> Result<EnrpPort, String> {
    match text.parse() {
        Ok(0) => Err("port 0 cannot be called".into()),
        Ok(port) => Ok(EnrpPort { ip: None, port }),
        Err(_) => Address::enrp(text).map(|address| EnrpPort {
            ip: Some(address.ip),
            port: address.port,
        }),
    }
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

impl RegistrarArgs {
    /// The addresses of the registrar, where any were given.
    fn local(&self) -> Result<Vec<IpAddr>, Failure> {
        let asap: Vec<_> = self.asap.iter().map(|address| address.ip).collect();
        match (&asap[..], self.enrp.and_then(|enrp| enrp.ip)) {
            ([], enrp) => Ok(enrp.into_iter().collect()),
            ([first, ..], Some(enrp)) if !asap.contains(&enrp) => Err(Failure::usage(format!(
                "--asap {first} and --enrp {enrp} are different addresses: a registrar speaks both at the same"
            ))),
            _ => Ok(asap),
        }
    }

    /// The port of ASAP, which is one for all addresses.
    fn asap_port(&self) -> Result<u16, Failure> {
        let port = self.asap.first().map_or(ASAP_PORT, |address| address.port);
        match self.asap.iter().find(|address| address.port != port) {
            Some(other) => Err(Failure::usage(format!(
                "--asap {other} has another port than the first one, {port}: all addresses have one"
            ))),
            None => Ok(port),
        }
    }

    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::registrar();
        options.udp_port = self.scope.udp_port;
        self.scope.apply(&mut options);
        options.local = self.local()?;
        let asap = self.asap_port()?;
        let enrp = self.enrp.map_or(ENRP_PORT, |enrp| enrp.port);
        if asap == enrp {
            return Err(Failure::usage(format!(
                "ASAP and ENRP cannot share SCTP port {asap}: choose another one with --enrp"
            )));
        }
        options.sctp_port = Some(asap);
        options.enrp_port = Some(enrp);
        options.asap_tcp_port = self.tcp;
        options.multicast = self.announce.then(|| self.scope.dialect.into());
        Ok(options)
    }

    fn config(&self, local: &[IpAddr], options: &Options) -> Config {
        let at = |port: Option<u16>| {
            let at_port = |port| local.iter().map(move |ip| SocketAddr::new(*ip, port));
            port.into_iter().flat_map(at_port).collect()
        };
        let mut config = Config::for_dialect(Dialect::from(self.scope.dialect));
        config.server_id = self.id.map(ServerId);
        config.asap_addresses = at(options.sctp_port);
        config.asap_tcp_port = options.asap_tcp_port;
        config.enrp_addresses = at(options.enrp_port);
        config.peers = self.peer.iter().map(|peer| (*peer).into()).collect();
        config.announce = self.announce;
        config.enrp_announce = self.announce;
        config.keep_alive_interval = Duration::from_secs_f64(self.keep_alive);
        config.rates.registrations = Rate::per_second(self.registration_limit);
        config.rates.resolutions = Rate::per_second(self.resolution_limit);
        config
    }
}

/// Runs the registrar until it is interrupted.
pub(crate) async fn run(args: RegistrarArgs) -> Result<(), Failure> {
    let options = args.options()?;
    let mut interrupt = Interrupt::new()?;
    let bound = bind(&options)?;
    let local = bound.local();
    let config = args.config(&bound.addresses(), &options);
    let port = options.sctp_port.unwrap_or(ASAP_PORT);
    let registrar = Registrar::new(config, Instant::EPOCH, seed()?);
    tracing::info!(
        id = %registrar.id(),
        "registrar at {}",
        place(&bound, port),
    );
    if let Some(port) = options.asap_tcp_port {
        tracing::info!("users are let in at TCP port {port}");
    }
    if options.local.is_empty() && local.ip() != Ipv4Addr::LOCALHOST {
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
        Event::Moved { pool_handle, pe_id } => {
            tracing::info!(pool = %pool_handle, element = %pe_id, "moved to another registrar");
        }
        Event::PeerFound { server } => tracing::info!(registrar = %server, "peer found"),
        Event::PeerLost { server } => tracing::warn!(registrar = %server, "peer lost"),
        Event::TakenOver { server, elements } => {
            tracing::warn!(registrar = %server, elements, "taken over");
        }
        _ => tracing::debug!(?event, "told"),
    }
}
