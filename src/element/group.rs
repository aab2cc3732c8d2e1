//! A process and those that it starts.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

/// A process and those that it starts, unless they leave its group: none outlives this value.
pub(super) struct Group(Child);

impl Group {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }

    /// Its standard input and output, where they are pipes that were not taken yet.
    pub(super) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>) {
        (self.0.stdin.take(), self.0.stdout.take())
    }

    /// Waits until the first process has ended, and kills what it has left behind.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        // Before the first look: what ends in between counts.
        let mut children = signal(SignalKind::child())?;
        while self.is_running()? {
            children.recv().await;
        }
        // Before it is waited for: until then the group's number is nobody else's.
        self.signal(Signal::KILL);
        self.0.wait().await
    }

    fn is_running(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.pid() {
            Some(pid) => Ok(waitid(WaitId::Pid(pid), look)?.is_none()),
            None => Ok(false),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may just have ended.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// One that has been waited for has no number any more.
    fn pid(&self) -> Option<Pid> {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::process::Stdio;

    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    use super::*;

    /// The output ends with the last process that has it.
    async fn start(command: &str) -> (Group, ChildStdout) {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdout(Stdio::piped());
        let mut group = Group::start(&mut shell).unwrap();
        let mut output = group.pipes().1.unwrap();
        assert_eq!(output.read_u8().await.unwrap(), b'.');
        (group, output)
    }

    async fn assert_ended(output: &mut ChildStdout) {
        let mut byte = [0];
        let read = timeout(Duration::from_secs(20), output.read(&mut byte)).await;
        assert_eq!(read.expect("a process is left").unwrap(), 0);
    }

    #[tokio::test]
    async fn nothing_outlives_the_first_process() {
        let (mut group, mut output) = start("sleep 1000 & printf .; exit 7").await;
        assert_eq!(group.wait().await.unwrap().code(), Some(7));
        assert_ended(&mut output).await;
        assert_eq!(group.wait().await.unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn nothing_outlives_the_value() {
        let (group, mut output) = start("sleep 1000 & printf .; wait").await;
        drop(group);
        assert_ended(&mut output).await;
    }
}
