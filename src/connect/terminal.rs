//! Lines at the terminal, or in a pipe, that go to a pool, and its answers.
//!
//! A line stays here until its answer has come; the next element gets all lines without an answer again. Lines are read only
//! as fast as they can be sent, and answers taken only as fast as they can be written.

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use rserpool_core::Ppid;
use rserpool_core::user::{Event, PoolUser, SendError, SessionId};
use rserpool_tokio::{Events, Handle, MAX_MESSAGE_SIZE};
use tokio::io::{AsyncWriteExt, Stdout};
use tokio::time::sleep;

use super::lines::Lines;
use super::{ConnectArgs, why_ended};
use crate::common::Failure;
use crate::resolve::answer;

/// The session at the terminal.
struct Terminal {
    handle: Handle<PoolUser>,
    session: SessionId,
    ppid: Ppid,
    one_way: bool,
    /// Whether the session has an element.
    connected: bool,
    /// Lines without an answer, and their bytes in all. The first `sent` are on their way to the element in use.
    lines: VecDeque<Bytes>,
    bytes: usize,
    sent: usize,
    /// Whether lines were given up that had no answer.
    forgotten: bool,
    stdout: Stdout,
}

impl Terminal {
    /// More bytes than these are not kept for the next element.
    const MAX_KEPT: usize = 16 << 20;
    /// So many bytes of answers are written at once.
    const OUTPUT: usize = 64 << 10;

    /// Whether the next line can be taken: all others have been sent.
    fn is_idle(&self) -> bool {
        self.sent == self.lines.len()
    }

    fn take(&mut self, line: Bytes) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > Self::MAX_KEPT && self.sent > 0 {
            self.forget();
            if !core::mem::replace(&mut self.forgotten, true) {
                tracing::warn!(
                    "no answer to {} bytes: older lines will not be repeated; --one-way for services that do not answer",
                    Self::MAX_KEPT
                );
            }
        }
    }

    /// The oldest line on its way is done with.
    fn forget(&mut self) {
        if self.sent > 0
            && let Some(line) = self.lines.pop_front()
        {
            self.sent -= 1;
            self.bytes -= line.len();
        }
    }

    /// Waits until the next line can be sent; does not end while there is none.
    async fn sendable(&self) -> Result<Bytes, Failure> {
        match self.lines.get(self.sent) {
            Some(line) if self.connected => {
                self.handle.writable().await?;
                Ok(line.clone())
            }
            _ => core::future::pending().await,
        }
    }

    async fn send(&mut self, line: Bytes) -> Result<(), Failure> {
        let (session, ppid) = (self.session, self.ppid);
        let result = self
            .handle
            .call(move |user, _| user.send(session, ppid, 0, line))
            .await?;
        match result {
            Ok(()) => {
                self.sent += 1;
                if self.one_way {
                    self.forget();
                }
                Ok(())
            }
            // The element has just been lost: the event that says so is on its way.
            Err(SendError::QueueFull) => {
                self.connected = false;
                Ok(())
            }
            Err(error) => Err(Failure::failed(error.to_string())),
        }
    }

    /// Takes an event, and those that have come with it.
    async fn hear(&mut self, event: Event, events: &mut Events<Event>) -> Result<(), Failure> {
        let mut answers = BytesMut::new();
        let mut next = Some(event);
        while let Some(event) = next {
            self.on_event(event, &mut answers)?;
            next = (answers.len() < Self::OUTPUT)
                .then(|| events.try_recv().ok())
                .flatten();
        }
        self.stdout.write_all(&answers).await?;
        Ok(self.stdout.flush().await?)
    }

    /// Answers go to stdout as they are; everything else is a log.
    fn on_event(&mut self, event: Event, answers: &mut BytesMut) -> Result<(), Failure> {
        match event {
            Event::Message { bytes, .. } => {
                self.forget();
                answers.extend_from_slice(&bytes);
            }
            Event::Connected { element, .. } => {
                self.connected = true;
                tracing::info!(%element, "connected");
            }
            Event::Interrupted {
                element, closed, ..
            } => {
                self.connected = false;
                let why = if closed {
                    "the element has closed the session"
                } else {
                    "the element is gone"
                };
                tracing::warn!(%element, "{why}; looking for another one");
            }
            Event::FailedOver { new, .. } => {
                self.connected = true;
                tracing::info!(element = %new, repeated = self.sent, "goes on with another element");
                self.sent = 0;
            }
            Event::SessionFailed { error, .. } => {
                return Err(Failure::failed(format!(
                    "the session has ended: {}",
                    why_ended(&error)
                )));
            }
            _ => {}
        }
        Ok(())
    }

    /// Carries lines to the pool until the input ends, and then waits up to `wait` for each answer that is left.
    async fn converse(
        &mut self,
        events: &mut Events<Event>,
        wait: Duration,
    ) -> Result<(), Failure> {
        let mut input = Lines::new(tokio::io::stdin(), MAX_MESSAGE_SIZE);
        let mut ended = false;
        while !(ended && self.lines.is_empty()) {
            // Answers first: who sends faster than he listens makes the other side pile up.
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.hear(event, events).await?,
                    None => return Err(Failure::socket()),
                },
                line = self.sendable() => self.send(line?).await?,
                line = input.next(), if self.is_idle() && !ended => match line? {
                    Some(line) => self.take(line),
                    None => ended = true,
                },
                // The search for another element has its own time-out.
                () = sleep(wait), if ended && self.connected && self.is_idle() => {
                    return Err(Failure::failed(format!(
                        "no answer to {} of the lines; --wait longer, or --one-way if the service does not answer",
                        self.lines.len()
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Opens a session with the pool, and talks to it until the input ends and the last line is answered.
pub(super) async fn talk(
    args: &ConnectArgs,
    handle: &Handle<PoolUser>,
    events: &mut Events<Event>,
) -> Result<(), Failure> {
    const SLOW: Duration = Duration::from_secs(3);
    let pool = args.pool.clone();
    let open = async {
        // A pool that does not exist is said at once; the session would wait for it.
        let resolved = pool.clone();
        handle
            .call(move |user, now| user.resolve(now, &resolved))
            .await?;
        answer(&args.client, &pool, events).await?;
        let pool = pool.clone();
        handle
            .call(move |user, now| user.open(now, &pool))
            .await?
            .ok_or_else(|| Failure::failed("no session can be opened"))
    };
    let mut terminal = Terminal {
        session: open.await?,
        handle: handle.clone(),
        ppid: Ppid(args.ppid),
        one_way: args.one_way,
        connected: false,
        lines: VecDeque::new(),
        bytes: 0,
        sent: 0,
        forgotten: false,
        stdout: tokio::io::stdout(),
    };
    tokio::select! {
        event = events.recv() => match event {
            Some(event) => terminal.hear(event, events).await?,
            None => return Err(Failure::socket()),
        },
        () = sleep(SLOW) => {
            tracing::warn!("no element of pool {} answers yet; trying on", args.pool);
        }
    }
    let wait = Duration::from_secs_f64(args.wait);
    terminal.converse(events, wait).await?;
    let session = terminal.session;
    handle.call(move |user, _| user.close(session)).await?;
    Ok(())
}
