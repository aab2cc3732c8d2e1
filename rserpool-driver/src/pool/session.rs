//! A session as a user's application holds it.

use alloc::sync::Arc;
use core::fmt;

use rserpool_core::user::{self, PoolUser as Machine, SessionId};
use rserpool_core::{AssocId, Instant, PeId};

use super::inbox::{Inbox, Weigh};
use super::router::Role;
use super::served::ITEM;
use super::user::Asked;
use super::{Ended, Message, SendError};
use crate::Handle;

/// What a session tells the user's application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The element sent a message.
    Message(Message),
    /// The session has its first element.
    Connected {
        /// The element.
        element: PeId,
    },
    /// The session has lost its element, and does what its [`Failover`](user::Failover) says: on demand, it waits for
    /// [`Session::fail_over`].
    Interrupted {
        /// The element.
        element: PeId,
        /// Whether the element closed the session in order, or [`Session::fail_over`] left it; else it is unreachable and has been
        /// reported (RFC 5352 §3.5).
        closed: bool,
    },
    /// The session goes on with another element. What was sent to the old one and not answered may be lost. Whatever made the old
    /// one trusted does not hold for the new one (RFC 5355 §2.9).
    FailedOver {
        /// The element that was lost.
        old: PeId,
        /// The element that it goes on with; the same one where no other could be reached.
        new: PeId,
        /// Whether the old one's state was handed over (RFC 5352 §3.8).
        cookie_echoed: bool,
    },
    /// A message could not be delivered, or perhaps not: the element may have it, and the transport not know. It is not sent
    /// again.
    Undelivered(Message),
}

impl Weigh for SessionEvent {
    fn weight(&self) -> usize {
        ITEM + match self {
            Self::Message(message) | Self::Undelivered(message) => message.bytes.len(),
            _ => 0,
        }
    }
}

/// Why [`Session::recv`] returned no message. Only [`Ended`](Self::Ended) is final.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The session goes on with another element: what has no answer may never get one. Ask again.
    #[error("the session goes on with element {new} in place of {old}")]
    FailedOver {
        /// The element that was lost.
        old: PeId,
        /// The element that it goes on with.
        new: PeId,
        /// Whether the old one's state was handed over (RFC 5352 §3.8).
        cookie_echoed: bool,
    },
    /// The session has lost its element; where its fail-over is not automatic, it waits for [`Session::fail_over`].
    #[error("the session has lost element {0}")]
    Interrupted(PeId),
    /// The message is not delivered, or perhaps not, and not sent again.
    #[error("a message of {} bytes was not delivered", .0.bytes.len())]
    Undelivered(Message),
    /// There is nothing more.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// A conversation with a pool that outlives the element it is held with (RFC 5352 §3.5). When the last clone is dropped, it is closed.
///
/// [`ask`](Self::ask) is for questions that each have an answer. With [`send`](Self::send) and [`recv`](Self::recv) the application
/// decides what becomes of what has no answer when its element fails:
///
/// ```no_run
/// # async fn example(session: rserpool_driver::Session) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_driver::RecvError;
///
/// session.send("subscribe").await?;
/// loop {
///     match session.recv().await {
///         Ok(news) => println!("{news:?}"),
///         Err(RecvError::FailedOver { new, cookie_echoed, .. }) => {
///             println!("now with {new}");
///             if !cookie_echoed {
///                 session.send("subscribe").await?;
///             }
///         }
///         Err(RecvError::Ended(end)) => return Err(end.into()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    handle: Handle<Machine>,
    role: Arc<Asked>,
    id: SessionId,
    inbox: Arc<Inbox<SessionEvent>>,
}

impl Session {
    pub(super) fn new(
        handle: Handle<Machine>,
        role: Arc<Asked>,
        id: SessionId,
        inbox: Arc<Inbox<SessionEvent>>,
    ) -> Self {
        Self(Arc::new(Inner {
            handle,
            role,
            id,
            inbox,
        }))
    }

    /// Its name in the machine.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The element that it is connected to at the moment.
    pub async fn element(&self) -> Option<PeId> {
        let id = self.0.id;
        let element = move |user: &mut Machine, _| user.element(id);
        self.0.handle.call(element).await.ok().flatten()
    }

    /// The next message. Errors say what an application has to know that waits for one: that the session goes on with another
    /// element, or a message was not delivered; then this can be called again. Dropping the future loses nothing.
    pub async fn recv(&self) -> Result<Message, RecvError> {
        loop {
            return match self.next().await? {
                SessionEvent::Message(message) => Ok(message),
                SessionEvent::FailedOver {
                    old,
                    new,
                    cookie_echoed,
                } => Err(RecvError::FailedOver {
                    old,
                    new,
                    cookie_echoed,
                }),
                SessionEvent::Undelivered(message) => Err(RecvError::Undelivered(message)),
                SessionEvent::Interrupted { element, .. } => Err(RecvError::Interrupted(element)),
                SessionEvent::Connected { .. } => continue,
            };
        }
    }

    /// Whatever comes next. Dropping the future loses nothing.
    pub async fn next(&self) -> Result<SessionEvent, Ended> {
        self.0.inbox.next().await
    }

    /// Sends a message to the session's element when there is room for it; while there is no element, it waits for one with up to
    /// `max_session_queue` bytes (1 MiB) of others. That it was taken does not mean that it arrives: see
    /// [`SessionOptions::resend`](user::SessionOptions::resend). A future that is dropped has sent the whole message or nothing;
    /// dropped before it was polled, nothing.
    ///
    /// Go on receiving meanwhile: a peer may wait for that.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        message.check()?;
        loop {
            self.0.inbox.open()?;
            // Before the attempt: what changes in between counts.
            let changed = self.0.inbox.changed();
            let (id, message) = (self.0.id, message.clone());
            let send = move |user: &mut Machine, _| give(user, id, message);
            match self.with_room(send).await? {
                Ok(()) => return Ok(()),
                Err(user::SendError::QueueFull) => changed.await,
                // The message has been checked.
                Err(_) => return Err(self.0.inbox.ended().into()),
            }
        }
    }

    /// Sends a question, and returns the next message: the answer, where each question has one and the next one is asked after it.
    /// Whoever the session goes on with is asked again, so that a question may reach several elements. What else is told is passed
    /// over. Where the future is dropped, the answer may still come, as the next message. Not for sessions that
    /// [send again](user::SessionOptions::resend) by themselves: an element might be asked twice.
    ///
    /// An element that is there and does not answer is the application's to notice: drop the future after some time, and
    /// [`fail_over`](Self::fail_over).
    pub async fn ask(&self, question: impl Into<Message>) -> Result<Message, SendError> {
        let question = question.into();
        question.check()?;
        let mut asked = self.send_anew(None, &question).await?;
        loop {
            match self.next().await? {
                SessionEvent::Message(answer) => return Ok(answer),
                SessionEvent::FailedOver { .. } => {
                    asked = self.send_anew(Some(asked), &question).await?;
                }
                _ => {}
            }
        }
    }

    /// Sends a message on the association that the session has, or will have, unless that is the one on which it was sent already.
    async fn send_anew(
        &self,
        sent: Option<AssocId>,
        message: &Message,
    ) -> Result<AssocId, SendError> {
        loop {
            self.0.inbox.open()?;
            // Before the attempt: what changes in between counts.
            let changed = self.0.inbox.changed();
            let (id, message) = (self.0.id, message.clone());
            let send = move |user: &mut Machine, _| {
                let association = user.association(id)?;
                if sent != Some(association) {
                    give(user, id, message).ok()?;
                }
                Some(association)
            };
            match self.with_room(send).await? {
                Some(association) => return Ok(association),
                None => changed.await,
            }
        }
    }

    async fn with_room<T: Send + 'static>(
        &self,
        send: impl FnOnce(&mut Machine, Instant) -> T + Clone + Send + 'static,
    ) -> Result<T, Ended> {
        let id = self.0.id;
        let to = move |user: &Machine| user.association(id);
        Ok(self.0.handle.call_with_room(to, send).await?)
    }

    /// Leaves the element for another one, whatever the session's [`Failover`](user::Failover): at once, so that what is on the way
    /// may be lost. For elements that do not answer, and for fail-over on demand.
    pub async fn fail_over(&self) -> Result<(), Ended> {
        let id = self.0.id;
        let fail_over = move |user: &mut Machine, now| user.fail_over(now, id);
        Ok(self.0.handle.call(fail_over).await?)
    }

    /// Ends the session after what was sent has been delivered; what waits for an element is dropped. What came and was not read is
    /// still there.
    pub fn close(&self) {
        self.0.role.sessions().close(self.0.id, Ended::Closed);
    }
}

fn give(user: &mut Machine, session: SessionId, message: Message) -> Result<(), user::SendError> {
    let Message {
        ppid,
        stream,
        unordered,
        bytes,
    } = message;
    if unordered {
        user.send_unordered(session, ppid, stream, bytes)
    } else {
        user.send(session, ppid, stream, bytes)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.role.sessions().close(self.id, Ended::Closed);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.0.id).finish()
    }
}
