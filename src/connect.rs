//! `rserpool connect`: a conversation with a pool, line by line, that goes on when an element fails.

use alloc::collections::VecDeque;
use core::time::Duration;
use std::io::Write;

use bytes::Bytes;
use clap::Args;
use rserpool_core::user::{Event, PoolUser, SessionId};
use rserpool_core::{PoolHandle, Ppid};
use rserpool_tokio::{Events, Handle, seed};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::common::{ClientArgs, Failure, finish, interrupted};
use crate::element::pool_handle;
use crate::registrar::seconds;
use crate::resolve::{user_config, user_options};

/// Options of `rserpool connect`.
#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The pool.
    #[arg(value_name = "POOL", value_parser = pool_handle)]
    pool: PoolHandle,
    /// The payload protocol identifier of the messages.
    #[arg(long, default_value_t = 0, value_parser = ppid)]
    ppid: u32,
    /// How long to wait for the last answers after the end of the input, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    wait: f64,
}

fn ppid(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(ppid) if Ppid(ppid) == Ppid::ASAP => Err("11 belongs to ASAP".into()),
        Ok(ppid) if Ppid(ppid) == Ppid::ENRP => Err("12 belongs to ENRP".into()),
        Ok(ppid) => Ok(ppid),
        Err(_) => Err("expected a number of 32 bits".into()),
    }
}

/// The session at the terminal.
struct Terminal {
    handle: Handle<PoolUser>,
    session: SessionId,
    ppid: Ppid,
    /// Lines sent since the last answer came: they are sent again to the next element.
    unanswered: VecDeque<Bytes>,
}

impl Terminal {
    /// More lines than this are not sent again.
    const MAX_UNANSWERED: usize = 4096;

    async fn send(&self, line: Bytes) -> Result<(), Failure> {
        let (session, ppid) = (self.session, self.ppid);
        self.handle
            .call(move |user, _| user.send(session, ppid, 0, line))
            .await?
            .map_err(|error| Failure::failed(error.to_string()))
    }

    async fn say(&mut self, line: String) -> Result<(), Failure> {
        let line = Bytes::from(line);
        if self.unanswered.len() == Self::MAX_UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(line.clone());
        self.send(line).await
    }

    /// Answers go to stdout as they are; everything else is a log.
    async fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message { bytes, .. } => {
                self.unanswered.pop_front();
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()?;
            }
            Event::Connected { element, .. } => tracing::info!(%element, "connected"),
            Event::Interrupted {
                element, closed, ..
            } => tracing::warn!(
                %element,
                "{}; looking for another element",
                if closed { "the element closed the session" } else { "the element is gone" }
            ),
            Event::FailedOver { new, .. } => {
                tracing::info!(element = %new, again = self.unanswered.len(), "failed over");
                for line in self.unanswered.clone() {
                    self.send(line).await?;
                }
            }
            Event::SessionFailed { error, .. } => {
                return Err(Failure::failed(format!("the session has ended: {error}")));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Talks to the pool until the input ends and the last line is answered.
pub(crate) async fn run(args: ConnectArgs) -> Result<(), Failure> {
    let options = user_options(&args.client)?;
    let bound = options.bind().map_err(|error| Failure::bind(&error, 0))?;
    let user = PoolUser::new(user_config(&args.client), seed()?);
    let (handle, mut events) = bound.drive(user).spawn();
    let pool = args.pool.clone();
    let session = handle
        .call(move |user, now| user.open(now, &pool))
        .await?
        .ok_or_else(|| Failure::failed("no session can be opened"))?;
    let mut terminal = Terminal {
        handle,
        session,
        ppid: Ppid(args.ppid),
        unanswered: VecDeque::new(),
    };
    converse(&mut terminal, &mut events).await?;
    let rest = async {
        while !terminal.unanswered.is_empty() {
            match events.recv().await {
                Some(event) => terminal.hear(event).await?,
                None => return Err(Failure::failed("the socket has failed")),
            }
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_secs_f64(args.wait), rest).await {
        Ok(result) => result?,
        Err(_) => tracing::warn!(
            unanswered = terminal.unanswered.len(),
            "no answer after the end of the input"
        ),
    }
    terminal
        .handle
        .call(move |user, _| user.close(session))
        .await?;
    finish(terminal.handle, events).await;
    Ok(())
}

async fn converse(terminal: &mut Terminal, events: &mut Events<Event>) -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => terminal.say(line + "\n").await?,
                None => return Ok(()),
            },
            event = events.recv() => match event {
                Some(event) => terminal.hear(event).await?,
                None => return Err(Failure::failed("the socket has failed")),
            },
            result = interrupted() => return result,
        }
    }
}
