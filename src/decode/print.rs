//! Items as lines: JSON objects as they are, or rows of a table made from them.
//!
//! The table has a row for each message, with the values that stand in the message itself; its lists follow in rows of
//! their own, indented.

use core::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

use super::Output;
use super::dissect::{Content, Item};
use super::message::{self, Fault, Protocol};

/// Writes items.
pub(super) struct Printer<W> {
    writer: W,
    output: Output,
    /// The time of the first frame of the file.
    epoch: Option<u128>,
}

impl<W: Write> Printer<W> {
    /// A printer that writes to `writer`.
    pub(super) const fn new(writer: W, output: Output) -> Self {
        Self {
            writer,
            output,
            epoch: None,
        }
    }

    /// Begins a file; its name is shown where it is given.
    pub(super) fn start(&mut self, file: Option<&Path>) -> io::Result<()> {
        self.epoch = None;
        if self.output == Output::Json {
            return Ok(());
        }
        if let Some(file) = file {
            writeln!(self.writer, "{}", file.display())?;
        }
        writeln!(self.writer, "  FRAME         TIME  PROTOCOL  MESSAGE")
    }

    /// Notes when a frame was captured: times are shown from the first one.
    pub(super) fn frame(&mut self, time: u128) {
        self.epoch.get_or_insert(time);
    }

    /// Writes an item of a frame.
    pub(super) fn item(&mut self, frame: u64, time: Option<u128>, item: &Item) -> io::Result<()> {
        let (mut object, bytes) = (Map::new(), item.bytes());
        object.insert("frame".to_owned(), frame.into());
        object.insert("protocol".to_owned(), item.protocol.name().into());
        match item.decode() {
            Ok(message) => object.extend(message),
            Err(Fault { error, offset }) => {
                object.insert("error".to_owned(), error.into());
                object.insert("offset".to_owned(), offset.into());
            }
        }
        match self.output {
            Output::Json => {
                serde_json::to_writer(&mut self.writer, &object)?;
                writeln!(self.writer)
            }
            Output::Table => {
                let text = self.rows(frame, time, item.protocol, &object, bytes.first().copied());
                self.writer.write_all(text.as_bytes())
            }
        }
    }

    /// Writes out what is held back.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn rows(
        &self,
        frame: u64,
        time: Option<u128>,
        protocol: Protocol,
        object: &Map<String, Value>,
        kind: Option<u8>,
    ) -> String {
        let time = match (time, self.epoch) {
            (Some(time), Some(epoch)) => seconds(time, epoch),
            _ => "-".to_owned(),
        };
        let mut text = format!("{frame:>7} {time:>12}  {:<8}  ", protocol.name());
        if let Some(error) = object.get("error").and_then(Value::as_str) {
            let offset = object.get("offset").and_then(Value::as_u64).unwrap_or(0);
            add(
                &mut text,
                format_args!("not decoded: {error} (at byte {offset})\n"),
            );
            return text;
        }
        let name = object.get("name").and_then(Value::as_str).unwrap_or("?");
        // The protocol has a column of its own.
        let name = name.split_once('_').map_or(name, |(_, name)| name);
        let flags = object.get("flags").and_then(Value::as_u64);
        let flags = flags
            .and_then(|flags| u8::try_from(flags).ok())
            .unwrap_or(0);
        let letters = protocol.flag_letters(kind.unwrap_or(0), flags);
        let body = || {
            let head = [
                "frame", "protocol", "type", "name", "flags", "length", "ppid",
            ];
            object
                .iter()
                .filter(move |(key, _)| !head.contains(&key.as_str()))
        };
        let mut details = String::new();
        if flags != 0 {
            add(&mut details, format_args!("flags={letters}"));
        }
        fields(&mut details, body());
        if details.is_empty() {
            text.push_str(name);
        } else {
            add(&mut text, format_args!("{name:<26}  {details}"));
        }
        text.push('\n');
        lists(&mut text, body(), INDENT);
        text
    }
}

impl Item {
    fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Message(bytes) | Content::Cut { bytes, .. } => bytes,
            Content::Fault(_) => &[],
        }
    }

    fn decode(&self) -> Result<Map<String, Value>, Fault> {
        let bytes = self.bytes();
        let decoded = message::decode(self.protocol, self.ppid, bytes);
        match self.content {
            Content::Fault(error) => Err(Fault {
                error: error.to_owned(),
                offset: 0,
            }),
            // What is cut off may be padding only, and then nothing is missing.
            Content::Cut { length, .. } => decoded.map_err(|_| Fault {
                error: format!("only {} of {length} bytes were captured", bytes.len()),
                offset: bytes.len(),
            }),
            Content::Message(_) => decoded,
        }
    }
}

/// Seconds since the first frame; a clock may have been set back since.
fn seconds(time: u128, epoch: u128) -> String {
    let (sign, nanos) = match time.checked_sub(epoch) {
        Some(nanos) => ("", nanos),
        None => ("-", epoch - time),
    };
    let micros = nanos / 1000;
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Formatting into a string cannot fail.
fn add(text: &mut String, arguments: core::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

/// Adds the values that are no lists: `key=value`, separated by blanks.
fn fields<'a>(text: &mut String, entries: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (key, value) in entries {
        let shown = match value {
            Value::Array(_) => continue,
            Value::Object(object) => inner(key, object),
            Value::String(string) => shortened(string),
            Value::Number(number) => match (key.as_str(), number.as_u64()) {
                ("checksum", Some(number)) => format!("{number:#06x}"),
                (key, Some(number)) if key == "id" || key.ends_with("_id") => {
                    format!("{number:#010x}")
                }
                _ => number.to_string(),
            },
            other => other.to_string(),
        };
        let gap = if text.is_empty() { "" } else { "  " };
        add(text, format_args!("{gap}{key}={shown}"));
    }
}

/// A text that fits a row, with its length where it does not.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MAX_TEXT {
        return text.to_owned();
    }
    let head: String = text.chars().take(MAX_TEXT).collect();
    format!("{head}... ({length} characters)")
}

/// A policy or a transport in a few words.
fn inner(key: &str, object: &Map<String, Value>) -> String {
    let word = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let skip: &[&str] = match key {
        "policy" => &["type", "name"],
        _ => &["protocol", "port", "addresses"],
    };
    let mut text = String::new();
    fields(
        &mut text,
        object
            .iter()
            .filter(|(key, _)| !skip.contains(&key.as_str())),
    );
    let rest = text.replace("  ", ", ");
    let mut shown = match key {
        "policy" => word("name").to_owned(),
        _ => word("protocol").to_owned(),
    };
    if let Some(port) = object.get("port") {
        let addresses = object.get("addresses").and_then(Value::as_array);
        let addresses: Vec<_> = addresses
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        add(
            &mut shown,
            format_args!(" [{}]:{port}", addresses.join(", ")),
        );
    }
    if !rest.is_empty() {
        add(&mut shown, format_args!(" ({rest})"));
    }
    shown
}

/// Adds a row for each item of each list.
fn lists<'a>(
    text: &mut String,
    entries: impl Iterator<Item = (&'a String, &'a Value)>,
    indent: usize,
) {
    for (key, value) in entries {
        for item in value.as_array().into_iter().flatten() {
            let singular = key.strip_suffix('s').unwrap_or(key);
            add(text, format_args!("{:indent$}{singular}", ""));
            match item {
                // A transport that stands in a list of its own.
                Value::Object(object) if object.contains_key("addresses") => {
                    add(text, format_args!("  {}\n", inner(key, object)));
                }
                Value::Object(object) => {
                    let mut values = String::new();
                    fields(&mut values, object.iter());
                    add(text, format_args!("  {values}\n"));
                    lists(text, object.iter(), indent + 2);
                }
                other => add(
                    text,
                    format_args!("  {}\n", other.as_str().unwrap_or_default()),
                ),
            }
        }
    }
}

/// Characters of a value that are shown.
const MAX_TEXT: usize = 64;
/// Where the rows of lists begin.
const INDENT: usize = 33;
