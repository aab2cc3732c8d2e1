//! `rserpool resolve`: asks a registrar for the elements of a pool.

use core::time::Duration;
use std::io::Write;

use clap::Args;
use rserpool_core::user::{Config, Element, Event, PoolUser, ResolveError};
use rserpool_core::wire::{CauseCode, PolicyType};
use rserpool_core::{Dialect, PoolHandle};
use rserpool_tokio::{Events, Handle, Options, seed};
use serde_json::{Value, json};

use crate::decode::message;

use crate::common::{ClientArgs, Failure, Interrupt, Output, bind, finish_or_interrupt};
use crate::element::pool_handle;

/// Options of `rserpool resolve`.
#[derive(Args, Debug)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Ask the registrars over TCP: the ports of --registrar are TCP ports, and a registrar has to be started with --tcp.
    #[arg(long)]
    registrar_tcp: bool,
    /// The pool.
    #[arg(value_name = "POOL", value_parser = pool_handle)]
    pool: PoolHandle,
    /// How many elements to ask for at most; without it the registrar decides.
    #[arg(long, value_name = "N")]
    items: Option<u32>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Go on until interrupted, and print the pool again whenever it has changed.
    #[arg(long)]
    watch: bool,
}

/// The options of a user's endpoint.
pub(crate) fn user_options(client: &ClientArgs) -> Result<Options, Failure> {
    let mut options = Options::user();
    options.local = client.local()?;
    client.scope.apply(&mut options);
    options.multicast = client.multicast();
    Ok(options)
}

/// The configuration of a user who waits for an answer at the terminal: an unanswered request fails after some seconds.
pub(crate) fn user_config(client: &ClientArgs) -> Config {
    let mut config = Config::default();
    config.dialect = Dialect::from(client.scope.dialect);
    config.hunt = client.hunt();
    config.t1_enrp_request = Duration::from_secs(2);
    config
}

/// Resolves the pool and prints what was answered.
pub(crate) async fn run(args: ResolveArgs) -> Result<(), Failure> {
    let mut options = user_options(&args.client)?;
    options.registrar_over_tcp = args.registrar_tcp;
    let mut interrupt = Interrupt::new()?;
    let bound = bind(&options)?;
    let mut config = user_config(&args.client);
    config.hunt.over_tcp = args.registrar_tcp;
    config.items = args.items;
    let (handle, mut events) = bound.drive(PoolUser::new(config, seed()?)).spawn();
    let asked = async {
        if args.watch {
            watch(&args, &handle, &mut events).await
        } else {
            resolve(&args, &handle, &mut events).await
        }
    };
    let result = tokio::select! {
        result = asked => result,
        () = interrupt.wait() => if args.watch {
            Ok(())
        } else {
            Err(Failure::failed("interrupted"))
        },
    };
    finish_or_interrupt(handle, events, &mut interrupt).await;
    result
}

async fn resolve(
    args: &ResolveArgs,
    handle: &Handle<PoolUser>,
    events: &mut Events<Event>,
) -> Result<(), Failure> {
    let pool = args.pool.clone();
    handle
        .call(move |user, now| user.resolve(now, &pool))
        .await?;
    let (policy, elements) = answer(&args.client, &args.pool, events).await?;
    print(args, Some(policy), &elements)
}

/// Prints the pool whenever it has changed; does not end by itself.
async fn watch(
    args: &ResolveArgs,
    handle: &Handle<PoolUser>,
    events: &mut Events<Event>,
) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let pool = args.pool.clone();
    let subscribed = handle.call(move |user, now| user.subscribe(now, &pool));
    subscribed
        .await?
        .map_err(|error| Failure::failed(error.to_string()))?;
    let mut quiet = true;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Updated { policy, elements, .. }) => {
                    quiet = false;
                    print(args, policy, &elements)?;
                }
                Some(_) => {}
                None => return Err(Failure::socket()),
            },
            () = tokio::time::sleep(PATIENCE), if quiet => {
                quiet = false;
                tracing::warn!("{}; trying on", args.client.no_registrar());
            }
        }
    }
}

/// Waits for the answer about the pool, and says what to do where there is none.
pub(crate) async fn answer(
    client: &ClientArgs,
    pool: &PoolHandle,
    events: &mut Events<Event>,
) -> Result<(PolicyType, Vec<Element>), Failure> {
    loop {
        match events.recv().await {
            Some(Event::Resolved {
                policy, elements, ..
            }) => return Ok((policy, elements)),
            Some(Event::ResolveFailed { error, .. }) => {
                return Err(unresolved(client, pool, &error, "--echo"));
            }
            Some(_) => {}
            None => return Err(Failure::socket()),
        }
    }
}

/// Why there is no answer about the pool, and what to do; `service` is an option of elements that would be of use.
pub(crate) fn unresolved(
    client: &ClientArgs,
    pool: &PoolHandle,
    error: &ResolveError,
    service: &str,
) -> Failure {
    Failure::failed(match error {
        ResolveError::Timeout => client.no_registrar(),
        ResolveError::Refused(causes)
            if causes.is_empty() || *causes == [CauseCode::UNKNOWN_POOL_HANDLE] =>
        {
            format!(
                "there is no pool {pool}: start an element with 'rserpool element --pool {pool} {service}'"
            )
        }
        error => format!("cannot resolve pool {pool}: {error}"),
    })
}

/// Prints a pool; without a policy there is none.
fn print(
    args: &ResolveArgs,
    policy: Option<PolicyType>,
    elements: &[Element],
) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let objects: Vec<Value> = elements
        .iter()
        .map(|element| message::element(&element.to_wire()))
        .collect();
    if args.output == Output::Json {
        let pool = json!({
            "pool_handle": args.pool.to_string(),
            "policy": policy.map(|policy| json!({ "type": policy.0, "name": policy.name() })),
            "pool_elements": objects,
        });
        writeln!(stdout, "{pool}")?;
        return Ok(());
    }
    let Some(policy) = policy else {
        writeln!(stdout, "{}: there is no such pool", args.pool)?;
        return Ok(());
    };
    let count = objects.len();
    let noun = if count == 1 { "element" } else { "elements" };
    writeln!(stdout, "{}: {}, {count} {noun}", args.pool, policy.name())?;
    writeln!(
        stdout,
        "{:<12}{:<12}{:<10}{:<7}{:<40}POLICY VALUES",
        "ELEMENT", "HOME", "TRANSPORT", "PORT", "ADDRESSES"
    )?;
    for (element, object) in elements.iter().zip(&objects) {
        let transport = &object["user_transport"];
        let addresses: Vec<_> = element
            .user_transport
            .as_transport()
            .addresses()
            .map(|address| address.to_string())
            .collect();
        writeln!(
            stdout,
            "{:<12}{:<12}{:<10}{:<7}{:<40}{}",
            element.id.to_string(),
            element.home_id.to_string(),
            transport["protocol"].as_str().unwrap_or_default(),
            transport["port"].to_string(),
            addresses.join(","),
            policy_values(&object["policy"]),
        )?;
    }
    Ok(())
}

/// The values of an element for the policy: `weight=5`.
pub(crate) fn policy_values(policy: &Value) -> String {
    let values: Vec<_> = policy
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "type" | "name"))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    values.join(" ")
}
