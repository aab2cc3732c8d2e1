//! `rserpool`: Reliable Server Pooling (RFC 5351–5356) as one program, a subcommand for each thing that it does.

extern crate alloc;

mod common;
mod connect;
mod decode;
mod demo;
mod element;
mod registrar;
mod resolve;
mod sim;

use clap::{Parser, Subcommand};
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
    /// See a pool lose its servers, and a client go on: everything in this process, for some seconds.
    Demo,
    /// Simulate whole scopes with faults, and check that nothing is lost.
    Sim(sim::Args),
    /// Show the ASAP and ENRP messages in packet captures, or in hexadecimal digits.
    Decode(decode::Args),
}

fn main() -> ExitCode {
    match Program::parse().command {
        Command::Registrar(args) => common::run("info", registrar::run(args)),
        Command::Element(args) => common::run("info", element::run(args)),
        Command::Resolve(args) => common::run("warn", resolve::run(args)),
        Command::Connect(args) => common::run("info", connect::run(args)),
        Command::Demo => common::run("error", demo::run()),
        Command::Sim(args) => sim::simulate(&args),
        Command::Decode(args) => decode::run(&args),
    }
}
