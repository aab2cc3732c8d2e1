//! `rserpool decode`: the ASAP and ENRP messages of a capture, as a table or as JSON.
//!
//! A capture is read once, front to back, and each frame runs through the same stages:
//!
//! ```text
//! capture   file  -> frames            pcap and pcapng
//! network   frame -> IP datagram       link layers, IPv4 and IPv6 with their fragments
//! dissect   datagram -> items          UDP here; `sctp` and `tcp` have a file each
//! message   item  -> JSON object       the codec of `rserpool-core`
//! print     object -> line             JSON as it is, or a row of the table
//! ```
//!
//! What waits for the rest of itself (IP fragments, SCTP fragments, TCP segments) is bounded in number and size; the oldest
//! is forgotten first. What cannot be decoded becomes an item too, so that one bad message never ends the file.

mod capture;
mod dissect;
mod hex;
pub(crate) mod message;
mod network;
mod print;
mod sctp;
mod tcp;

use core::fmt;
use core::ops::ControlFlow;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dissect::Dissector;
use message::Protocol;
use print::Printer;

/// The arguments of `rserpool decode`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What a message becomes: rows to read, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// A UDP port that carries SCTP (RFC 6951), besides 9899 and 9900; may be repeated. Packets whose SCTP checksum is right
    /// are found without it.
    #[arg(long, value_name = "PORT")]
    sctp_udp_port: Vec<u16>,
    /// The digits on standard input are ASAP messages.
    #[arg(long, conflicts_with = "enrp")]
    asap: bool,
    /// The digits on standard input are ENRP messages.
    #[arg(long)]
    enrp: bool,
    /// Captures (pcap or pcapng); "-" reads messages as hexadecimal digits from standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What a message becomes.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Rows to read.
    Table,
    /// One JSON object a line.
    Json,
}

/// Why a file could not be decoded to its end.
#[derive(Debug)]
enum Failure {
    /// The output is gone. Where its reader simply stopped reading, that is no news.
    Output(io::Error),
    /// Something is wrong with the input, said in one line.
    Input(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Decodes all files. The exit status is 2 where one of them was not what it should be.
pub(crate) fn run(args: &Args) -> ExitCode {
    let stdout = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut printer = Printer::new(stdout, args.output);
    let mut status = ExitCode::SUCCESS;
    for file in &args.files {
        let result = decode_file(args, file, &mut printer);
        match result.and_then(|()| Ok(printer.flush()?)) {
            Ok(()) => {}
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(Failure::Output(error)) => {
                complain("standard output", &error);
                return ExitCode::from(2);
            }
            Err(Failure::Input(text)) => {
                // What was decoded before the fault goes out first.
                let _ = printer.flush();
                complain(&name_of(file), &text);
                status = ExitCode::from(2);
            }
        }
    }
    status
}

fn complain(what: &str, why: &dyn fmt::Display) {
    // Nothing can be done where standard error is closed.
    let _ = writeln!(io::stderr(), "rserpool decode: {what}: {why}");
}

fn name_of(file: &Path) -> String {
    if is_standard_input(file) {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn decode_file<W: Write>(
    args: &Args,
    file: &Path,
    printer: &mut Printer<W>,
) -> Result<(), Failure> {
    let protocol = match (args.asap, args.enrp) {
        (true, _) => Some(Protocol::Asap),
        (_, true) => Some(Protocol::Enrp),
        _ => None,
    };
    let input = |text: &str| Err(Failure::Input(text.to_owned()));
    match (is_standard_input(file), protocol) {
        (true, Some(protocol)) => {
            printer.start(None)?;
            decode_digits(protocol, printer)
        }
        (true, None) => {
            input("say --asap or --enrp: hexadecimal digits do not tell which they are")
        }
        (false, Some(_)) => input("--asap and --enrp are for standard input (\"-\") only"),
        (false, None) => decode_capture(args, file, printer),
    }
}

fn decode_digits<W: Write>(protocol: Protocol, printer: &mut Printer<W>) -> Result<(), Failure> {
    let mut number = 0;
    hex::messages(io::stdin().lock(), |bytes| {
        number += 1;
        printer.item(number, None, &dissect::Item::message(protocol, None, bytes))
    })
}

fn decode_capture<W: Write>(
    args: &Args,
    path: &Path,
    printer: &mut Printer<W>,
) -> Result<(), Failure> {
    let input = |error: &dyn fmt::Display| Failure::Input(error.to_string());
    let file = File::open(path).map_err(|error| input(&error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(input(&"is a directory, not a capture"));
    }
    let mut dissector = Dissector::new(args.sctp_udp_port.clone());
    let mut started = false;
    let mut unsupported = None;
    let result = capture::each_frame(file, |frame| {
        let mut show = || {
            if !started {
                started = true;
                printer.start((args.files.len() > 1).then_some(path))?;
            }
            printer.frame(frame.time);
            match dissector.frame(frame.link, frame.data) {
                Ok(items) => items
                    .iter()
                    .try_for_each(|item| printer.item(frame.number, Some(frame.time), item)),
                Err(network::UnsupportedLink(link)) => {
                    unsupported.get_or_insert((link, frame.number));
                    Ok(())
                }
            }
        };
        match show() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    });
    match (result, unsupported) {
        (Ok(ControlFlow::Break(error)), _) => Err(Failure::Output(error)),
        (Err(error), _) => Err(input(&error)),
        (Ok(ControlFlow::Continue(())), Some((link, number))) => Err(Failure::Input(format!(
            "frame {number}: link type {link} is not supported"
        ))),
        (Ok(ControlFlow::Continue(())), None) => Ok(()),
    }
}
