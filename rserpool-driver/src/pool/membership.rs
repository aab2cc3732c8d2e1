//! Where an element stands with its pool, and the router's side of it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::Mutex;

use rserpool_core::AssocId;
use rserpool_core::element::{Event, PoolElement as Machine};
use rserpool_core::wire::{CauseCode, Policy};
use tokio::sync::watch;

use super::inbox::{Inbox, Weigh};
use super::router::{Role, Sessions};
use super::served::ElementEvent;
use super::{Ended, Limits, Message};
use crate::Stopped;

/// Where an element stands with its pool (RFC 5352 §3.1, §3.2).
///
/// ```
/// use rserpool_tokio::Membership;
///
/// fn health(membership: &Membership) -> Result<&'static str, String> {
///     match membership {
///         Membership::Member => Ok("serving"),
///         Membership::Joining => Ok("looking for a registrar"),
///         Membership::Failed(error) => Err(error.to_string()),
///         _ => Ok("not serving"),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// It is not a member: it was never registered, or has left.
    Out,
    /// It registers, for the first time or again, or looks for a registrar.
    Joining,
    /// It is a member.
    Member,
    /// It is not, and why.
    Failed(RegisterError),
}

/// Why an element is not a member of its pool.
///
/// ```
/// use rserpool_core::wire::CauseCode;
/// use rserpool_tokio::RegisterError;
///
/// // Another policy than that of the elements that are there.
/// let error = RegisterError::Rejected(vec![CauseCode::INCONSISTENT_POLICY]);
/// assert_eq!(error.to_string(), "the registrar refused: Inconsistent Pooling Policy");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A registrar refused. It is not asked again until something is corrected (RFC 5352 §3.1).
    #[error("the registrar refused: {}", names(.0))]
    Rejected(Vec<CauseCode>),
    /// A registrar was found, and MAX-REG-ATTEMPT registrations had no answer (RFC 5352 §3.1). An element that has been a member
    /// goes on trying instead.
    #[error("no registrar answered")]
    NoAnswer,
    /// The element has left its pool meanwhile.
    #[error("the element has left the pool")]
    Left,
    /// The endpoint could not be bound, or has stopped.
    #[error("{0}")]
    Endpoint(String),
}

fn names(causes: &[CauseCode]) -> String {
    let names: Vec<_> = causes.iter().map(|cause| cause.name()).collect();
    names.join(", ")
}

impl From<io::Error> for RegisterError {
    fn from(error: io::Error) -> Self {
        Self::Endpoint(error.to_string())
    }
}

impl From<Stopped> for RegisterError {
    fn from(error: Stopped) -> Self {
        Self::Endpoint(error.to_string())
    }
}

/// A session that waits to be accepted.
pub(super) struct Opened(pub(super) AssocId, pub(super) Arc<Inbox<ElementEvent>>);

impl Weigh for Opened {
    fn weight(&self) -> usize {
        1
    }
}

/// The router's side of an element.
pub(super) struct Served {
    pub(super) sessions: Sessions<Self>,
    pub(super) backlog: Inbox<Opened>,
    pub(super) membership: watch::Sender<Membership>,
    /// Whether it was a member, and neither left nor was refused since.
    joined: AtomicBool,
    pub(super) policy: Mutex<Policy<'static>>,
}

impl Role for Served {
    type Machine = Machine;
    type Id = AssocId;
    type Item = ElementEvent;

    fn sessions(&self) -> &Sessions<Self> {
        &self.sessions
    }

    fn take(&self, event: Event) -> Option<(AssocId, ElementEvent)> {
        Some(match event {
            Event::SessionOpened { association } => {
                self.open(association);
                return None;
            }
            Event::SessionClosed { association } => {
                self.sessions.end(association, Ended::Closed);
                return None;
            }
            Event::CookieEcho {
                association,
                cookie,
            } => (association, ElementEvent::CookieEcho(cookie)),
            Event::BusinessCard {
                association,
                pool_handle,
                elements,
            } => {
                let card = ElementEvent::BusinessCard {
                    pool: pool_handle,
                    elements,
                };
                (association, card)
            }
            Event::Message {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message::received(ppid, stream, bytes);
                (association, ElementEvent::Message(message))
            }
            Event::Undelivered {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message::received(ppid, stream, bytes);
                (association, ElementEvent::Undelivered(message))
            }
            other => {
                self.told(other);
                return None;
            }
        })
    }

    fn close(element: &mut Machine, association: AssocId) {
        element.close(association);
    }

    /// Its registrar waits, always: an element that does not answer is taken for dead (RFC 5352 §3.4).
    fn is_awaited(&self) -> bool {
        true
    }

    fn stopped(&self) {
        self.backlog.end(Ended::Stopped);
        let error = RegisterError::from(Stopped);
        self.membership.send_replace(Membership::Failed(error));
    }
}

impl Served {
    pub(super) fn new(limits: Limits, policy: Policy<'static>) -> Self {
        Self {
            sessions: Sessions::new(limits),
            backlog: Inbox::new(),
            membership: watch::Sender::new(Membership::Out),
            joined: AtomicBool::new(false),
            policy: Mutex::new(policy),
        }
    }

    fn open(&self, association: AssocId) {
        let inbox = self.sessions.open(association);
        let opened = Opened(association, inbox);
        let limit = self.sessions.limits.backlog;
        if self.backlog.open().is_err() || self.backlog.push(opened, limit).is_err() {
            tracing::debug!(?association, "nobody accepts the session");
            self.sessions.close(association, Ended::Closed);
        }
    }

    fn told(&self, event: Event) {
        let membership = match event {
            Event::Registered { .. } => Membership::Member,
            // It was one, and stays one if it can: another registrar may answer.
            Event::RegistrationFailed if self.joined.load(Ordering::Relaxed) => {
                let register = |element: &mut Machine, now| element.register(now);
                self.sessions.leave_behind(Box::new(register));
                Membership::Joining
            }
            Event::RegistrationFailed => Membership::Failed(RegisterError::NoAnswer),
            Event::Rejected { causes } => Membership::Failed(RegisterError::Rejected(causes)),
            Event::Deregistered { .. } => Membership::Out,
            Event::Expired => Membership::Joining,
            other => return tracing::debug!(?other, "the element tells"),
        };
        if membership != Membership::Joining {
            let joined = membership == Membership::Member;
            self.joined.store(joined, Ordering::Relaxed);
        }
        self.membership.send_replace(membership);
    }
}
