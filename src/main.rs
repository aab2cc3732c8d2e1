//! `rserpool`: Reliable Server Pooling (RFC 5351–5356) as one program, a subcommand for each thing that it does.

extern crate alloc;

mod bench;
mod common;
mod connect;
mod decode;
mod demo;
mod dump;
mod element;
mod registrar;
mod relay;
mod resolve;
mod sim;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Reliable Server Pooling (RFC 5351-5356).
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the pools of an operational scope.
    Registrar(registrar::RegistrarArgs),
    /// Serve in a pool.
    Element(element::ElementArgs),
    /// Show who is in a pool.
    Resolve(resolve::ResolveArgs),
    /// Talk to a pool, line by line.
    Connect(connect::ConnectArgs),
    /// Show what a registrar knows: its peers, pools and elements.
    Dump(dump::DumpArgs),
    /// See a pool lose its servers, and a client go on: everything in this process, for some seconds.
    Demo,
    /// Simulate whole scopes with faults, and check that nothing is lost.
    Sim(sim::Args),
    /// Show the ASAP and ENRP messages in packet captures, or in hexadecimal digits.
    Decode(decode::Args),
    /// Measure what the parts of a registrar cost on this machine, and how much it bears.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            error.exit();
        }
        Err(error) => return usage_error(&error),
    };
    match program.command {
        Command::Registrar(args) => common::run("info", registrar::run(args)),
        Command::Element(args) => common::run("info", element::run(args)),
        Command::Resolve(args) => common::run("warn", resolve::run(args)),
        Command::Dump(args) => common::run("warn", dump::run(args)),
        Command::Connect(args) => common::run("info", connect::run(args)),
        Command::Demo => common::run("error", demo::run()),
        Command::Sim(args) => sim::simulate(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Bench(args) => bench::run(args),
    }
}

/// One line: what is wrong, in which subcommand, and where the options are explained.
fn usage_error(error: &clap::Error) -> ExitCode {
    let known = Program::command();
    let subcommand = std::env::args()
        .nth(1)
        .filter(|name| known.find_subcommand(name).is_some());
    let program = subcommand.map_or("rserpool".into(), |name| format!("rserpool {name}"));
    let missing = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let what = if error.kind() == missing {
        let names: Vec<_> = known
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        format!("say what to do: {}", names.join(", "))
    } else {
        one_line(&error.to_string())
    };
    // Nothing can be done where standard error is closed.
    let _ = writeln!(
        std::io::stderr(),
        "{program}: {what}; see '{program} --help'"
    );
    ExitCode::from(2)
}

/// The part of clap's message that is about the mistake.
fn one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let end = ["\n\nUsage:", "\n\nFor more information"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    let text = &text[..end.unwrap_or(text.len())];
    let words: Vec<_> = text.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .filter(|character| !character.is_control())
        .collect()
}
