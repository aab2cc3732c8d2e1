//! `rserpool connect`: a conversation with a pool that goes on when an element fails, or connections of others to it.

use core::time::Duration;

use clap::Args;
use rserpool_core::user::{PoolUser, SessionError};
use rserpool_core::{PoolHandle, Ppid};
use rserpool_tokio::seed;

use self::listen::{Gate, Place};
use crate::common::{ClientArgs, Failure, Interrupt, bind, finish_or_interrupt};
use crate::element::pool_handle;
use crate::registrar::seconds;
use crate::resolve::{user_config, user_options};

mod lines;
mod listen;
mod stream;
mod terminal;

/// Options of `rserpool connect`.
#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Ask the registrars over TCP: the ports of --registrar are TCP ports, and a registrar has to be started with --tcp.
    #[arg(long)]
    registrar_tcp: bool,
    /// The pool's elements are TCP servers themselves, as those of element --tcp: connect to one by TCP. What comes goes there as it
    /// is, and back.
    #[arg(long, conflicts_with_all = ["ppid", "one_way", "wait"])]
    tcp: bool,
    /// The pool.
    #[arg(value_name = "POOL", value_parser = pool_handle)]
    pool: PoolHandle,
    /// The payload protocol identifier of the messages.
    #[arg(long, default_value_t = 0, value_parser = ppid)]
    ppid: u32,
    /// Expect no answers, as of a discard service: no line is repeated, and the end of the input is the end.
    #[arg(long)]
    one_way: bool,
    /// How long to wait for each of the last answers after the end of the input, in seconds; longer than a failure takes to be
    /// noticed.
    #[arg(long, value_name = "SECONDS", default_value_t = 8.0, value_parser = seconds)]
    wait: f64,
    /// How long to look for another element when one has failed, in seconds: 60, and 10 with --listen, where an element that is not
    /// ready in half that time is left.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    give_up: Option<f64>,
    /// Take TCP connections at this port instead, at 127.0.0.1 where no address is given: each becomes a session with an element
    /// that has --forward or --exec, or with --tcp a connection to one. Port 0 is any free one, and the log says which.
    #[arg(long, value_name = "[ADDR:]PORT", conflicts_with_all = ["ppid", "one_way", "wait"])]
    listen: Option<Place>,
    /// How many connections there are at most with --listen; others wait.
    #[arg(long, value_name = "N", default_value_t = 256, requires = "listen", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_connections: u32,
}

impl ConnectArgs {
    /// How long to look for another element, in seconds.
    fn give_up(&self) -> f64 {
        let default = if self.listen.is_some() { 10.0 } else { 60.0 };
        self.give_up.unwrap_or(default)
    }
}

fn ppid(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(ppid) if Ppid(ppid) == Ppid::ASAP => Err("11 belongs to ASAP".into()),
        Ok(ppid) if Ppid(ppid) == Ppid::ENRP => Err("12 belongs to ENRP".into()),
        Ok(ppid) => Ok(ppid),
        Err(_) => Err("expected a number of 32 bits".into()),
    }
}

/// Why a session has ended, and what to do.
fn why_ended(error: &SessionError) -> String {
    match error {
        SessionError::OtherTransport => format!("{error}; --tcp is for pools over TCP"),
        error => error.to_string(),
    }
}

/// Talks to the pool, or lets others talk to it, until there is nothing to say or it is interrupted.
pub(crate) async fn run(args: ConnectArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::new()?;
    let gate = match args.listen {
        Some(place) => Some(Gate::open(place, args.max_connections).await?),
        None => None,
    };
    let mut options = user_options(&args.client)?;
    options.registrar_over_tcp = args.registrar_tcp;
    if args.one_way {
        // What is on its way has nothing else to wait for; the stack gives up on a peer that takes nothing.
        options.closing_timeout = Duration::from_secs(60);
    }
    let mut config = user_config(&args.client);
    config.hunt.over_tcp = args.registrar_tcp;
    config.failover_timeout = Duration::from_secs_f64(args.give_up());
    if args.tcp {
        return stream::run(&args, gate, options, config, &mut interrupt).await;
    }
    let bound = bind(&options)?;
    // Lines wait here, not there: what is refused there is repeated once, when there is an element.
    config.max_session_queue = 0;
    let user = PoolUser::new(config, seed()?);
    let (handle, mut events) = bound.drive(user).spawn();
    let conversation = async {
        match gate {
            Some(gate) => gate.serve(&args, &handle, &mut events).await,
            None => terminal::talk(&args, &handle, &mut events).await,
        }
    };
    let result = tokio::select! {
        result = conversation => result,
        () = interrupt.wait() => Ok(()),
    };
    finish_or_interrupt(handle, events, &mut interrupt).await;
    result
}
