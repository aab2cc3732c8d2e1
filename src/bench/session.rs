//! Sessions with an echo element: opened, used and closed, a number of them side by side.

use alloc::collections::BTreeMap;
use core::time::Duration;

use bytes::Bytes;
use rserpool_core::element::{self, PoolElement};
use rserpool_core::user::{self, PoolUser, SessionId};
use rserpool_core::{Action, Input, Instant, Machine, PoolHandle, Ppid};

use super::network::{Outcome, Tally};

/// An element that sends back what comes.
pub(super) struct Echo(pub(super) PoolElement);

impl Machine for Echo {
    type Event = element::Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.0.handle_input(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_action(&mut self) -> Option<Action<Self::Event>> {
        loop {
            let action = self.0.poll_action()?;
            let Action::Notify(element::Event::Message {
                association,
                ppid,
                stream,
                bytes,
            }) = action
            else {
                return Some(action);
            };
            // The user may have gone.
            let _ = self.0.send(association, ppid, stream, bytes);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

/// What to do with sessions.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) pool: PoolHandle,
    pub(super) outstanding: u32,
    /// Messages of a session that are answered one after the other.
    pub(super) messages: u32,
    pub(super) time: Duration,
}

/// A user with sessions, each of which makes room for the next one.
pub(super) struct Visitor {
    plan: Plan,
    user: PoolUser,
    /// When each session was opened, and how many answers it has to get.
    sessions: BTreeMap<SessionId, (Instant, u32)>,
    now: Instant,
    tally: Tally,
    outcome: Option<Outcome>,
}

impl Visitor {
    const MESSAGE: &[u8] = &[b'x'; 64];

    pub(super) fn new(plan: Plan, user: PoolUser) -> Self {
        Self {
            plan,
            user,
            sessions: BTreeMap::new(),
            now: Instant::EPOCH,
            tally: Tally::default(),
            outcome: None,
        }
    }

    /// The first sessions.
    pub(super) fn begin(&mut self, now: Instant) {
        self.now = now;
        self.tally.begin(now);
        for _ in 0..self.plan.outstanding {
            self.open();
        }
    }

    fn open(&mut self) {
        match self.user.open(self.now, &self.plan.pool) {
            Some(session) => {
                let entry = (self.now, self.plan.messages);
                self.sessions.insert(session, entry);
            }
            None => self.outcome = Some(Err("no session can be opened".into())),
        }
    }

    fn send(&mut self, session: SessionId) {
        let message = Bytes::from_static(Self::MESSAGE);
        // Where the element is lost, an event says so.
        let _ = self.user.send(session, Ppid(0), 0, message);
    }

    fn on_answer(&mut self, session: SessionId) {
        let Some((opened, left)) = self.sessions.get_mut(&session) else {
            return;
        };
        *left -= 1;
        if *left > 0 {
            return self.send(session);
        }
        let time = self.now.duration_since(*opened);
        self.tally.count(time, false);
        self.user.close(session);
        self.replace(session);
    }

    fn replace(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        if !self.tally.is_over(self.now, self.plan.time) {
            self.open();
        } else if self.sessions.is_empty() {
            self.tally.end(self.now);
            self.outcome = Some(Ok(core::mem::take(&mut self.tally)));
        }
    }

    fn on_event(&mut self, event: &user::Event) {
        match *event {
            user::Event::Connected { session, .. } => self.send(session),
            user::Event::Message { session, .. } => self.on_answer(session),
            user::Event::Interrupted { session, .. } if self.sessions.contains_key(&session) => {
                self.tally.unanswered(1);
                self.user.close(session);
                self.replace(session);
            }
            user::Event::SessionFailed { session, ref error }
                if self.sessions.contains_key(&session) =>
            {
                self.outcome = Some(Err(error.to_string()));
            }
            _ => {}
        }
    }
}

impl Machine for Visitor {
    type Event = Outcome;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        self.user.handle_input(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.user.handle_timeout(now);
    }

    fn poll_action(&mut self) -> Option<Action<Outcome>> {
        loop {
            if let Some(outcome) = self.outcome.take() {
                return Some(Action::Notify(outcome));
            }
            let action = self.user.poll_action()?.filter_map(|event| {
                self.on_event(&event);
                None
            });
            if action.is_some() {
                return action;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.user.poll_timeout()
    }
}
