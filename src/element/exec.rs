//! A process for each session: its standard input and output are the session.

use core::time::Duration;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use rserpool_core::element::PoolElement;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::common::Failure;
use crate::relay::{Framing, Line};

/// The program to run, and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Program {
    command: Vec<OsString>,
}

impl Program {
    pub(super) fn new(command: &[OsString]) -> Result<Self, Failure> {
        match command.first() {
            Some(program) if is_there(program) => {
                // Options of this program that were to be none of the command's are seen here.
                tracing::info!("a process for each session: {command:?}");
                Ok(Self {
                    command: command.to_vec(),
                })
            }
            program => Err(Failure::usage(format!(
                "there is no program {} to execute",
                Path::new(program.map_or("".as_ref(), OsString::as_os_str)).display()
            ))),
        }
    }

    /// Serves a session to its end, and that of the process.
    pub(super) async fn serve(&self, line: &Line<PoolElement>) {
        match self.start() {
            Ok(mut process) => {
                if let (Some(stdin), Some(stdout)) =
                    (process.0.stdin.take(), process.0.stdout.take())
                    && line.accept().await.is_ok()
                {
                    // Its input has ended in any case.
                    let _ = line.carry(stdout, stdin, Framing::Lines).await;
                }
                line.part().await;
                process.end().await;
            }
            Err(error) => {
                tracing::warn!("cannot start a process: {error}; the user is sent away");
                line.hang_up().await;
            }
        }
    }

    fn start(&self) -> std::io::Result<Process> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or(std::io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Signals reach what it has started, too.
            .process_group(0);
        command.spawn().map(Process)
    }
}

/// A process that does not outlive this value.
struct Process(Child);

impl Process {
    /// How long it may go on after the end of its input, and after SIGTERM.
    const GRACE: Duration = Duration::from_secs(3);

    /// Waits until it ends, and sees to it that it does.
    async fn end(mut self) {
        let mut signals = [Signal::TERM, Signal::KILL].into_iter();
        let ended = loop {
            match timeout(Self::GRACE, self.0.wait()).await {
                Ok(ended) => break ended,
                // Nothing survives the second one for long.
                Err(_) => signals.next().into_iter().for_each(|it| self.signal(it)),
            }
        };
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::info!("a process has ended: {status}"),
            Err(error) => tracing::warn!("lost sight of a process: {error}"),
        }
    }

    fn signal(&self, signal: Signal) {
        // One that has been waited for has no number any more.
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may just have ended.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Whether there is such a program, at this path or in a directory of PATH.
fn is_there(program: &OsString) -> bool {
    let path = Path::new(program);
    if path.components().count() != 1 {
        return path.is_file();
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(path).is_file())
}
