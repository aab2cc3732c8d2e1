//! Sessions that are not held by SCTP: the machine selects, the application connects.
//!
//! ```text
//!  Selected ──▶ confirm_connection ──▶ Connected or FailedOver ──▶ end_connection ──▶ Interrupted
//!      └──────▶ end_connection, or nothing: the element is reported, and the next one selected
//! ```

use super::session::{Link, State};
use super::{PoolUser, SessionId};
use crate::ids::PeId;
use crate::machine::End;
use crate::time::Instant;

impl PoolUser {
    /// The application is connected to the element that [`Event::Selected`](super::Event::Selected) named. `false` where the session
    /// does not wait for that any more: the connection is to be dropped.
    ///
    /// ```
    /// use rserpool_core::user::{PoolUser, SessionId};
    /// use rserpool_core::{Instant, PeId};
    /// use std::net::TcpStream;
    ///
    /// /// The stream that was made for `Event::Selected`, where the session still wants it.
    /// fn connected(
    ///     user: &mut PoolUser,
    ///     now: Instant,
    ///     session: SessionId,
    ///     selected: (PeId, TcpStream),
    /// ) -> Option<TcpStream> {
    ///     let (element, stream) = selected;
    ///     user.confirm_connection(now, session, element).then_some(stream)
    /// }
    /// ```
    pub fn confirm_connection(&mut self, now: Instant, session: SessionId, element: PeId) -> bool {
        match self.sessions.get(&session).map(|session| session.state) {
            Some(State::Connecting {
                element: selected,
                call: None,
            }) if selected == element => {
                self.on_link_up(now, session, None);
                true
            }
            _ => false,
        }
    }

    /// The application could not connect to the element, or its connection has ended: [`End::Closed`] is for an element that closed
    /// it in order, all else counts as unreachable. `heard` says whether the element had sent anything. Does nothing where the
    /// session is not with that element.
    ///
    /// ```
    /// use rserpool_core::user::{PoolUser, SessionId};
    /// use rserpool_core::{End, Instant, PeId};
    ///
    /// /// Connecting has failed: the next element is selected.
    /// fn refused(user: &mut PoolUser, now: Instant, session: SessionId, element: PeId) {
    ///     user.end_connection(now, session, element, End::Lost, false);
    /// }
    /// ```
    pub fn end_connection(
        &mut self,
        now: Instant,
        session: SessionId,
        element: PeId,
        end: End,
        heard: bool,
    ) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        match known.state {
            State::Connecting {
                element: selected,
                call: None,
            } if selected == element => self.on_unreachable(now, session),
            State::Connected(Link {
                element: connected,
                channel: None,
                ..
            }) if connected == element => {
                known.heard |= heard;
                self.on_link_lost(now, session, end);
            }
            _ => {}
        }
    }
}
