//! The services: what becomes of a session and its messages.

use alloc::collections::BTreeMap;
use std::ffi::OsString;
use std::time::SystemTime;

use bytes::Bytes;
use clap::Args;
use rserpool_core::element::{PoolElement, SendError};
use rserpool_core::{AssocId, Ppid};
use rserpool_tokio::Handle;

use super::exec::Program;
use super::forward::Server;
use super::pingpong::{self, PingPong};
use super::relays::{Relays, Target};
use crate::common::Failure;

/// The service of an element: exactly one.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct ServiceArgs {
    /// Send back what comes.
    #[arg(long)]
    echo: bool,
    /// Throw away what comes.
    #[arg(long)]
    discard: bool,
    /// Answer every message with the time.
    #[arg(long)]
    daytime: bool,
    /// Answer pings with numbered pongs, and hand the number over to other elements in a cookie.
    #[arg(long)]
    pingpong: bool,
    /// Put a TCP server behind the pool: each session is a connection to it. 'rserpool connect --listen' is the other end.
    #[arg(long, value_name = "HOST:PORT")]
    forward: Option<Server>,
    /// Start a process for each session: its standard input and output are the session, and lines to users who know only messages.
    /// All that follows belongs to the command.
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    exec: Vec<OsString>,
    /// Register the TCP port of another program at this element's address: users connect to it themselves, without SCTP.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) tcp: Option<u16>,
}

/// A message of a user.
pub(super) struct Message {
    pub(super) association: AssocId,
    pub(super) ppid: Ppid,
    pub(super) stream: u16,
    pub(super) bytes: Bytes,
}

/// What is done with the sessions.
pub(super) enum Service {
    /// A service of this program. The ping-pong service is somewhere with each session.
    BuiltIn(BuiltIn, BTreeMap<AssocId, PingPong>),
    /// Sessions are passed on.
    Relays(Relays),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuiltIn {
    Echo,
    Discard,
    Daytime,
    PingPong,
}

impl Service {
    pub(super) fn new(args: &ServiceArgs, max_sessions: usize) -> Result<Self, Failure> {
        let built_in = if args.echo {
            BuiltIn::Echo
        } else if args.daytime {
            BuiltIn::Daytime
        } else if args.pingpong {
            BuiltIn::PingPong
        // Nobody is served by SCTP in a pool over TCP.
        } else if args.discard || args.tcp.is_some() {
            BuiltIn::Discard
        } else {
            let target = match &args.forward {
                Some(server) => Target::Server(server.clone()),
                None => Target::Program(Program::new(&args.exec)?),
            };
            return Ok(Self::Relays(Relays::new(target, max_sessions)));
        };
        Ok(Self::BuiltIn(built_in, BTreeMap::new()))
    }

    /// A session has begun.
    pub(super) async fn open(
        &mut self,
        handle: &Handle<PoolElement>,
        association: AssocId,
    ) -> Result<(), Failure> {
        match self {
            Self::BuiltIn(_, sessions) => {
                sessions.insert(association, PingPong::default());
            }
            Self::Relays(relays) => relays.open(handle, association).await?,
        }
        Ok(())
    }

    /// A session has ended.
    pub(super) fn close(&mut self, association: AssocId) {
        match self {
            Self::BuiltIn(_, sessions) => {
                sessions.remove(&association);
            }
            Self::Relays(relays) => relays.close(association),
        }
    }

    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        match self {
            Self::BuiltIn(_, sessions) => sessions.len(),
            Self::Relays(relays) => relays.sessions(),
        }
    }

    /// Ends all sessions on this side; returns those that are to be closed.
    pub(super) fn stop(&mut self) -> Vec<AssocId> {
        match self {
            Self::BuiltIn(_, sessions) => core::mem::take(sessions).into_keys().collect(),
            Self::Relays(relays) => relays.stop(),
        }
    }

    /// Waits until what was started for sessions has ended, within bounds.
    pub(super) async fn finished(&self) {
        if let Self::Relays(relays) = self {
            relays.finished().await;
        }
    }

    /// The state that another element had with the user.
    pub(super) fn resume(&mut self, association: AssocId, cookie: &[u8]) {
        tracing::debug!(bytes = cookie.len(), "cookie of another element");
        if let Self::BuiltIn(_, sessions) = self
            && let Some(session) = sessions.get_mut(&association)
        {
            session.resume(cookie);
        }
    }

    pub(super) async fn message(
        &mut self,
        handle: &Handle<PoolElement>,
        message: Message,
    ) -> Result<(), Failure> {
        let answer = match self {
            Self::BuiltIn(BuiltIn::Echo, _) => message.bytes,
            Self::BuiltIn(BuiltIn::Daytime, _) => {
                let now = humantime::format_rfc3339_seconds(SystemTime::now());
                Bytes::from(format!("{now}\n"))
            }
            Self::BuiltIn(BuiltIn::PingPong, sessions) => {
                return match sessions.get_mut(&message.association) {
                    Some(session) => pong(handle, &message, session).await,
                    None => Ok(()),
                };
            }
            Self::BuiltIn(BuiltIn::Discard, _) => return Ok(()),
            Self::Relays(relays) => return relays.message(handle, &message).await,
        };
        let (association, ppid, stream) = (message.association, message.ppid, message.stream);
        let send =
            move |element: &mut PoolElement, _| element.send(association, ppid, stream, answer);
        note(handle.call(send).await?);
        Ok(())
    }
}

/// The user may have gone before its answer.
fn note(sent: Result<(), SendError>) {
    if let Err(error) = sent {
        tracing::debug!("no answer: {error}");
    }
}

/// Answers a ping; other messages are thrown away.
async fn pong(
    handle: &Handle<PoolElement>,
    message: &Message,
    session: &mut PingPong,
) -> Result<(), Failure> {
    if message.ppid == pingpong::PPID
        && let Some(pong) = session.answer(&message.bytes)
    {
        let cookie = session.cookie();
        let (association, ppid, stream) = (message.association, message.ppid, message.stream);
        let answer = move |element: &mut PoolElement, _| {
            let sent = element.send(association, ppid, stream, pong);
            (sent, element.send_cookie(association, &cookie))
        };
        note(handle.call(answer).await?.0);
    }
    Ok(())
}
