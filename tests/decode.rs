//! `rserpool decode` as a program: what it prints, what it complains of, and its exit status.

extern crate alloc;

#[path = "decode/build.rs"]
mod build;
#[path = "decode/captures.rs"]
mod captures;
#[path = "decode/input.rs"]
mod input;
#[path = "decode/messages.rs"]
mod messages;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run of the program left.
struct Output {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

/// Runs `rserpool decode` with these arguments and this standard input.
fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .arg("decode")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that does not read its input to the end breaks the pipe, and may.
    let _ = child
        .stdin
        .take()
        .map(|mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the program ends");
    Output {
        stdout: String::from_utf8(output.stdout).expect("the output is text"),
        stderr: String::from_utf8(output.stderr).expect("complaints are text"),
        status: output.status.code(),
    }
}

/// Decodes hexadecimal digits on standard input.
fn digits(arguments: &[&str], text: &str) -> Output {
    let arguments: Vec<_> = arguments.iter().copied().chain(["-"]).collect();
    run(&arguments, text)
}

/// The lines of the output of a run that must have gone well.
fn lines(output: &Output) -> Vec<&str> {
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    output.stdout.lines().collect()
}

/// Writes a file for one test; no other test may use the name.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("the file can be written");
    path
}

/// Decodes a capture to JSON.
fn capture(name: &str, arguments: &[&str], bytes: &[u8]) -> Output {
    let path = file(name, bytes);
    let path = path.to_str().expect("the path is text");
    let arguments: Vec<_> = ["--output", "json", path]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    run(&arguments, "")
}
