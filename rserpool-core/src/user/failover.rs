//! From a session whose element fails to one that looks for another, or ends (RFC 5352 §3.5, §6.5.5).
//!
//! What the transport could not deliver comes back before the association ends. In a session that
//! [sends again](super::SessionOptions::resend) it goes to the next element, before all that waits and in the same order; else
//! the application gets it.

use core::time::Duration;

use super::session::{Queued, Session, State};
use super::{Event, Failover, PoolUser, SessionError, SessionId, Timer};
use crate::ids::AssocId;
use crate::machine::{Data, End};
use crate::time::Instant;

impl Session {
    /// How many elements a message that has come back was sent to before the last one. Messages come back in the order in which
    /// they were sent, so that those before it have arrived.
    fn tries(&mut self, data: &Data) -> u32 {
        while let Some((bytes, tries)) = self.resent.pop_front() {
            if bytes == data.bytes {
                return tries;
            }
        }
        0
    }
}

impl Data {
    /// RFC 5352 §6.5.5, §6.7: unsent data is returned.
    fn undelivered(self, session: SessionId) -> Event {
        Event::Undelivered {
            session,
            ppid: self.ppid,
            stream: self.stream,
            bytes: self.bytes,
        }
    }
}

impl PoolUser {
    /// A message could not be delivered. Whether the association has ended or only refuses the message, the end says that follows,
    /// or not. It is sent again to `max_resends` more elements: it may be the message that they fail of. What there is no room for
    /// is the application's.
    pub(super) fn on_send_failed(&mut self, now: Instant, association: AssocId, data: Data) {
        /// The end is told together with what was lost, unless the driver is very busy.
        const PATIENCE: Duration = Duration::from_secs(1);
        let Some(&id) = self.by_association.get(&association) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let tries = session.tries(&data) + 1;
        let room = session.queued + data.bytes.len() <= self.config.max_session_queue;
        let goes_on = session.options.resend && session.options.failover != Failover::Never;
        if goes_on && room && tries <= self.config.max_resends {
            session.queued += data.bytes.len();
            session.undelivered.push_back(Queued { data, tries });
            self.timers.set(Timer::Refused(id), now + PATIENCE);
        } else {
            self.actions.notify(data.undelivered(id));
        }
    }

    /// The element is still there: what could not be delivered is not for any other one either.
    pub(super) fn on_refused(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        for queued in core::mem::take(&mut session.undelivered) {
            session.queued -= queued.data.bytes.len();
            self.actions.notify(queued.data.undelivered(id));
        }
    }

    /// The session's association has ended. An element that closed it in order is not unreachable.
    pub(super) fn on_element_lost(&mut self, now: Instant, association: AssocId, end: End) {
        if let Some(id) = self.by_association.remove(&association) {
            self.on_link_lost(now, id, end);
        }
    }

    pub(super) fn on_link_lost(&mut self, now: Instant, id: SessionId, end: End) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (link, wanted) = match session.state {
            State::Connected(link) => (link, false),
            State::Leaving(link) => (link, true),
            _ => return,
        };
        let unreachable = !wanted && end == End::Lost;
        self.timers.cancel(Timer::Refused(id));
        // One that worked for a while was a good one: the search starts from scratch. The time with any other one does not count,
        // and the time without goes on.
        let lived = now.duration_since(link.since);
        let settled = self.config.failover_pause_max;
        let spoken = self.config.failover_pause.saturating_mul(4);
        if lived >= settled || session.heard && lived >= spoken {
            session.failed.clear();
            session.pause = self.config.failover_pause;
            session.deadline = now + self.config.failover_timeout;
        } else {
            session.deadline = session.deadline + lived;
        }
        session.state = State::Interrupted;
        session.resent.clear();
        session.failed.insert(link.element);
        let failover = session.options.failover;
        let pool_handle = session.pool_handle.clone();
        self.actions.notify(Event::Interrupted {
            session: id,
            element: link.element,
            closed: !unreachable,
        });
        if unreachable {
            self.report_unreachable(&pool_handle, link.element);
        } else if !wanted {
            self.cache.remove(&pool_handle, link.element);
        }
        match failover {
            _ if wanted => self.look_for_element(now, id),
            Failover::Automatic => self.look_for_element(now, id),
            Failover::OnDemand => {}
            Failover::Never => self.fail(id, SessionError::ElementLost),
        }
    }

    pub(super) fn on_give_up(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id) {
            let error = session.error.clone();
            self.fail(id, error);
        }
    }

    /// The session ends, and the application gets back what waited.
    pub(super) fn fail(&mut self, id: SessionId, error: SessionError) {
        let Some(mut session) = self.remove_session(id) else {
            return;
        };
        if let State::Connecting { call, .. } = session.state {
            self.abandon(id, call);
        }
        for queued in session.undelivered.drain(..).chain(session.queue.drain(..)) {
            self.actions.notify(queued.data.undelivered(id));
        }
        self.actions
            .notify(Event::SessionFailed { session: id, error });
    }
}
