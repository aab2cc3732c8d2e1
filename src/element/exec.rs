//! A process for each session: its standard input and output are the session.

use core::time::Duration;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rserpool_core::element::PoolElement;
use rustix::process::Signal;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::timeout;

use super::group::Group;
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
                let (stdin, stdout) = process.pipes();
                let session = async move {
                    let stdin = stdin.and_then(|stdin| stdin.into_owned_fd().ok());
                    let stdin = stdin.and_then(|stdin| pipe::Sender::from_owned_fd(stdin).ok());
                    if let (Some(stdin), Some(stdout)) = (stdin, stdout)
                        && line.accept().await.is_ok()
                    {
                        // Its input has ended in any case.
                        let _ = line.carry(stdout, stdin, Framing::Lines).await;
                    }
                    line.part().await;
                };
                tokio::pin!(session);
                let ended = tokio::select! {
                    () = &mut session => end(&mut process).await,
                    // Its output and input end with it, and then the session does.
                    ended = process.wait() => {
                        session.await;
                        ended
                    }
                };
                match ended {
                    Ok(status) if status.success() => {}
                    Ok(status) => tracing::info!("a process has ended: {status}"),
                    Err(error) => tracing::warn!("lost sight of a process: {error}"),
                }
            }
            Err(error) => {
                tracing::warn!("cannot start a process: {error}; the user is sent away");
                line.hang_up().await;
            }
        }
    }

    fn start(&self) -> io::Result<Group> {
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Group::start(&mut command)
    }
}

/// Waits until a process ends whose input has, and sees to it that it does.
async fn end(process: &mut Group) -> io::Result<ExitStatus> {
    /// How long it may go on after the end of its input, and after SIGTERM.
    const GRACE: Duration = Duration::from_secs(3);
    let mut signals = [Signal::TERM, Signal::KILL].into_iter();
    loop {
        match timeout(GRACE, process.wait()).await {
            Ok(ended) => return ended,
            // Nothing survives the second one for long.
            Err(_) => signals.next().into_iter().for_each(|it| process.signal(it)),
        }
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
