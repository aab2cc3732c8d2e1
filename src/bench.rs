//! `rserpool bench`: what the parts of a registrar cost on this machine, and how many requests and sessions it bears.

mod asap;
mod handlespace;
mod latency;
mod ledger;
mod network;
mod session;
mod table;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::common::{self, Failure, Output, exit_code};
use crate::element::PolicyName;
use asap::Request;
use ledger::Row;
use network::NetworkArgs;
use workload::Workload;

#[derive(Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// The pools and elements of a registrar, their timers and handle tables: CPU time and memory.
    Handlespace(HandlespaceArgs),
    /// Handle resolutions, asked for by one user.
    Resolve(ResolveArgs),
    /// Registrations of new elements on one association; each of them leaves before the next one comes.
    Register(NetworkArgs),
    /// Sessions with an echo element: opened, used and closed.
    Session(SessionArgs),
}

#[derive(clap::Args)]
struct ResolveArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// How many elements the pool has, and each answer.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=128))]
    elements: u32,
}

#[derive(clap::Args)]
struct SessionArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// How many messages of a session are answered, one after the other.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
}

#[derive(clap::Args)]
struct HandlespaceArgs {
    /// How many elements.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    elements: u32,
    /// How many pools, all of the same size or nearly so.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pools: u32,
    /// The policy of all pools.
    #[arg(long, value_enum, default_value = "round-robin")]
    policy: PolicyName,
    /// Only this operation.
    #[arg(long, value_enum)]
    operation: Option<Operation>,
    /// How many elements a selection selects; may be given several times.
    #[arg(long, default_values_t = [1, 5], value_parser = clap::value_parser!(u16).range(1..))]
    items: Vec<u16>,
    /// How many runs, after one that does not count; a figure is the median of them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// One run on one handlespace and no other before it, to look at with a profiler.
    #[arg(long, conflicts_with = "runs")]
    once: bool,
    /// The form of the rows.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// What is measured, in the order in which it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// A new element registers.
    Register,
    /// An element registers again, with the same values.
    Reregister,
    /// An element registers again, with other values for its policy.
    ReregisterChanged,
    /// An element is looked up by pool handle and identifier.
    Find,
    /// A handle resolution.
    Select,
    /// A timer is started anew, with the latest deadline of all.
    TimerRestart,
    /// Handle table responses are made of all elements; for each element.
    TableCreate,
    /// Handle table responses are read; for each element.
    TableParse,
    /// An element leaves.
    Deregister,
}

/// The name of a value on the command line.
fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

pub(crate) fn run(args: Args) -> ExitCode {
    match args.subject {
        Subject::Handlespace(args) => exit_code(bench_handlespace(&args)),
        Subject::Resolve(args) => {
            let resolve = network::requests(args.network, Request::Resolve, args.elements);
            common::run("warn", resolve)
        }
        Subject::Register(args) => {
            common::run("warn", network::requests(args, Request::Register, 0))
        }
        Subject::Session(args) => {
            common::run("warn", network::sessions(args.network, args.messages))
        }
    }
}

fn bench_handlespace(args: &HandlespaceArgs) -> Result<(), Failure> {
    if args.pools > args.elements {
        return Err(Failure::usage("every pool must have an element"));
    }
    let work = Workload::new(args.policy, args.elements, args.pools);
    // Memory first, while this process has none that it could use again.
    let memory = handlespace::memory_per_element(&work);
    let runs = if args.once { 1 } else { args.runs + 1 };
    let mut rows: Vec<(Row, Vec<f64>)> = Vec::new();
    for run in 0..runs {
        let warm_up = run == 0 && !args.once;
        for (row, time) in handlespace::run(&work, args) {
            match rows.iter_mut().find(|(known, _)| *known == row) {
                Some((_, times)) => times.push(time),
                None if warm_up => rows.push((row, Vec::new())),
                None => rows.push((row, vec![time])),
            }
        }
    }
    if args.output == Output::Table {
        println!(
            "{:<20}{:>6}{:>12}{:>10}",
            "operation", "items", "ns per op", "bytes"
        );
    }
    for (row, mut times) in rows {
        let time = median(&mut times);
        let operation = name(&row.operation);
        match args.output {
            Output::Table => {
                let memory = memory.map_or_else(|| "-".into(), |bytes| format!("{bytes:.0}"));
                println!("{operation:<20}{:>6}{time:>12.1}{memory:>10}", row.items);
            }
            Output::Json => println!(
                "{}",
                json!({
                    "operation": operation,
                    "policy": name(&args.policy),
                    "elements": args.elements,
                    "pools": args.pools,
                    "items": row.items,
                    "ns_per_op": time,
                    "bytes_per_element": memory,
                })
            ),
        }
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => values[middle - 1].midpoint(values[middle]),
    }
}
