//! The router's side of a user.

use alloc::collections::BTreeMap;
use core::sync::atomic::AtomicU64;
use std::sync::Mutex;

use rserpool_core::PoolHandle;
use rserpool_core::user::{self, Event, PoolUser as Machine, SessionId};
use tokio::sync::{oneshot, watch};

use super::router::{Role, Sessions};
use super::session::SessionEvent;
use super::watch::{Pool, Watches};
use super::{Ended, Limits, Message, lock};

type Answer = Result<Pool, user::ResolveError>;

/// Those who wait for pools to be resolved.
#[derive(Default)]
pub(super) struct Resolutions(Mutex<BTreeMap<PoolHandle, Vec<oneshot::Sender<Answer>>>>);

impl Resolutions {
    pub(super) fn add(&self, pool: &PoolHandle, sender: oneshot::Sender<Answer>) {
        let mut asked = lock(&self.0);
        let waiting = asked.entry(pool.clone()).or_default();
        // Whoever gave up does not count.
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
    }

    fn is_awaited(&self) -> bool {
        let asked = lock(&self.0);
        asked.values().flatten().any(|sender| !sender.is_closed())
    }

    fn answer(&self, pool: &PoolHandle, answer: &Answer) {
        let waiting = lock(&self.0).remove(pool);
        for sender in waiting.into_iter().flatten() {
            // Whoever asked may have gone.
            let _ = sender.send(answer.clone());
        }
    }
}

/// Who waits for what of a user, and its sessions.
pub(super) struct Asked {
    pub(super) sessions: Sessions<Self>,
    pub(super) asked: Resolutions,
    pub(super) watches: Watches,
    pub(super) next_watch: AtomicU64,
    pub(super) stopped: watch::Sender<bool>,
}

impl Role for Asked {
    type Machine = Machine;
    type Id = SessionId;
    type Item = SessionEvent;

    fn sessions(&self) -> &Sessions<Self> {
        &self.sessions
    }

    fn take(&self, event: Event) -> Option<(SessionId, SessionEvent)> {
        Some(match event {
            Event::Selected {
                session,
                element,
                transport,
            } => (session, SessionEvent::Selected { element, transport }),
            Event::Connected { session, element } => {
                self.change(session);
                (session, SessionEvent::Connected { element })
            }
            Event::Interrupted {
                session,
                element,
                closed,
            } => (session, SessionEvent::Interrupted { element, closed }),
            Event::FailedOver {
                session,
                old,
                new,
                cookie_echoed,
            } => {
                self.change(session);
                let failed_over = SessionEvent::FailedOver {
                    old,
                    new,
                    cookie_echoed,
                };
                (session, failed_over)
            }
            Event::Message {
                session,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message::received(ppid, stream, bytes);
                (session, SessionEvent::Message(message))
            }
            Event::Undelivered {
                session,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message::received(ppid, stream, bytes);
                (session, SessionEvent::Undelivered(message))
            }
            Event::SessionFailed { session, error } => {
                self.sessions.end(session, Ended::Failed(error));
                return None;
            }
            other => {
                self.told(other);
                return None;
            }
        })
    }

    fn close(user: &mut Machine, session: SessionId) {
        user.close(session);
    }

    fn is_awaited(&self) -> bool {
        self.asked.is_awaited() || self.watches.are_some()
    }

    fn stopped(&self) {
        lock(&self.asked.0).clear();
        self.watches.end();
        self.stopped.send_replace(true);
    }
}

impl Asked {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            sessions: Sessions::new(limits),
            asked: Resolutions::default(),
            watches: Watches::default(),
            next_watch: AtomicU64::new(0),
            stopped: watch::Sender::new(false),
        }
    }

    /// The session has an element: whoever waits to send tries again.
    fn change(&self, session: SessionId) {
        if let Some(inbox) = self.sessions.inbox(session) {
            inbox.change();
        }
    }

    fn told(&self, event: Event) {
        match event {
            Event::Resolved {
                pool_handle,
                policy,
                elements,
            } => {
                let pool = Pool {
                    policy: Some(policy),
                    elements,
                };
                self.asked.answer(&pool_handle, &Ok(pool));
            }
            Event::ResolveFailed { pool_handle, error } => {
                self.asked.answer(&pool_handle, &Err(error));
            }
            Event::Updated {
                pool_handle,
                policy,
                elements,
            } => self.watches.tell(&pool_handle, Pool { policy, elements }),
            other => tracing::debug!(?other, "the user tells"),
        }
    }
}
