//! Processes that are watched line by line, and never survive their test.

use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// Nothing takes longer, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Lines of an output as they come.
struct Output {
    lines: Receiver<String>,
    /// What has come so far, for the message of a failed test.
    seen: Arc<Mutex<String>>,
}

impl Output {
    fn watch(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&seen);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut seen = copy.lock().expect("no reader has panicked");
                seen.push_str(&line);
                seen.push('\n');
                // Where nobody waits any more, the pipe is emptied all the same.
                let _ = sender.send(line);
            }
        });
        Self { lines, seen }
    }

    fn seen(&self) -> String {
        self.seen.lock().expect("no reader has panicked").clone()
    }

    fn until(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if matches(&line) => return line,
                Ok(_) => {}
                Err(error) => panic!("no {what} ({error}) in:\n{}", self.seen()),
            }
        }
    }
}

/// A running `rserpool`.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Output,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().expect("the program starts");
        Self {
            stdin: child.stdin.take(),
            stdout: Output::watch(child.stdout.take().expect("stdout is piped")),
            stderr: Output::watch(child.stderr.take().expect("stderr is piped")),
            child,
        }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the input has not ended");
        writeln!(stdin, "{line}").expect("the program reads its input");
    }

    /// Ctrl-D.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line on stdout.
    pub(crate) fn hear(&self) -> String {
        self.stdout.until("line on stdout", |_| true)
    }

    /// Waits for a line in the log.
    pub(crate) fn log(&self, part: &str) -> String {
        self.stderr.until(part, |line| line.contains(part))
    }

    /// Sends the signal of this name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(status.success(), "cannot send {name}");
    }

    /// Waits for the end: the exit status, and everything on stderr.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                // The reader ends with the pipe.
                while self.stderr.lines.recv().is_ok() {}
                return (status.code(), self.stderr.seen());
            }
            thread::yield_now();
        }
        panic!("it does not end:\n{}", self.stderr.seen());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run left.
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs the program with this input to its end.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = command(arguments).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // A program that does not read its input to the end breaks the pipe, and may.
    let writer = thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer does not panic");
    Run {
        status: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("messages are text"),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    command
        .args(arguments)
        .env_remove("RSERPOOL_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// An operational scope of its own: a UDP port that nobody else uses.
pub(crate) struct Scope {
    port: String,
}

impl Scope {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let [a, b, ..] = std::process::id().to_ne_bytes();
        let offset = u16::from_ne_bytes([a, b]);
        loop {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            // Below the ports that the system gives away.
            let port = 16_000 + offset.wrapping_mul(31).wrapping_add(next) % 8_000;
            if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self {
                    port: port.to_string(),
                };
            }
        }
    }

    /// A port that nobody else uses.
    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    /// The options that lead to the scope.
    pub(crate) fn options(&self) -> [&str; 4] {
        ["--transport", "udp", "--udp-port", &self.port]
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let (subcommand, rest) = arguments.split_first().expect("a subcommand is named");
        [&[*subcommand][..], &self.options(), rest].concat()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        Program::start(&self.arguments(arguments))
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Run {
        run(&self.arguments(arguments), input)
    }

    /// A registrar that is ready.
    pub(crate) fn registrar(&self) -> Program {
        let registrar = self.start(&["registrar"]);
        registrar.log("registrar at 127.0.0.1");
        registrar
    }

    /// A registered element, with its identifier.
    pub(crate) fn element(&self, arguments: &[&str]) -> (Program, String) {
        let mut all = vec!["element"];
        all.extend(arguments);
        let element = self.start(&all);
        let id = field(&element.log("element at 127.0.0."), "id");
        element.log("registered");
        (element, id)
    }
}

/// The value of `name=value` in a line of a log.
pub(crate) fn field(line: &str, name: &str) -> String {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {name} in: {line}"))
        .into()
}
