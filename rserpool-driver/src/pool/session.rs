//! A session as a user's application holds it.

use alloc::sync::Arc;
use core::fmt;

use rserpool_core::user::{self, PoolUser as Machine, SessionId};
use rserpool_core::wire::TransportBuf;
use rserpool_core::{AssocId, End, Instant, PeId};

use super::asked::Asked;
use super::inbox::{Inbox, Weigh};
use super::router::Role;
use super::served::ITEM;
use super::{Ended, Message, SendError};
use crate::Handle;

/// What a session tells the user's application.
///
/// ```no_run
/// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::SessionEvent;
///
/// while let Ok(event) = session.next().await {
///     match event {
///         SessionEvent::Message(message) => println!("{message:?}"),
///         SessionEvent::Interrupted { element, closed: false } => println!("{element} is gone"),
///         SessionEvent::FailedOver { new, .. } => println!("goes on with {new}"),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The element sent a message.
    Message(Message),
    /// A session that is not held by SCTP has an element that the application shall connect to, and tell by
    /// [`Session::confirm_connection`] or [`Session::end_connection`]; see [`Event::Selected`](user::Event::Selected).
    Selected {
        /// The element.
        element: PeId,
        /// Where it serves.
        transport: TransportBuf,
    },
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
///
/// ```
/// use rserpool_core::PeId;
/// use rserpool_tokio::{Ended, RecvError};
///
/// /// Whether it is worth while to call `recv` again.
/// fn goes_on(error: &RecvError) -> bool {
///     !matches!(error, RecvError::Ended(_))
/// }
/// assert!(goes_on(&RecvError::Interrupted(PeId(0x7))));
/// assert!(!goes_on(&Ended::Closed.into()));
/// ```
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
/// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::RecvError;
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
    ///
    /// ```no_run
    /// # async fn example(
    /// #     session: rserpool_tokio::Session,
    /// #     user: rserpool_tokio::PoolUser,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// // For what only the machine knows.
    /// let id = session.id();
    /// let association = user.handle().call(move |user, _| user.association(id)).await?;
    /// println!("{association:?}");
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The element that it is connected to at the moment; `None` also where it has ended.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
    /// match session.element().await {
    ///     Some(element) => println!("with {element}"),
    ///     None => println!("with nobody at the moment"),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn element(&self) -> Option<PeId> {
        let id = self.0.id;
        let element = move |user: &mut Machine, _| user.element(id);
        self.0.handle.call(element).await.ok().flatten()
    }

    /// The next message. Errors say what an application has to know that waits for one: that the session goes on with another
    /// element, or a message was not delivered; then this can be called again. Dropping the future loses nothing.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::RecvError;
    ///
    /// session.send("count").await?;
    /// let count = loop {
    ///     match session.recv().await {
    ///         Ok(message) => break message,
    ///         Err(RecvError::Ended(end)) => return Err(end.into()),
    ///         Err(RecvError::FailedOver { .. }) => session.send("count").await?,
    ///         Err(error) => println!("{error}"),
    ///     }
    /// };
    /// # let _ = count;
    /// # Ok(()) }
    /// ```
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
                SessionEvent::Connected { .. } | SessionEvent::Selected { .. } => continue,
            };
        }
    }

    /// Whatever comes next. Dropping the future loses nothing.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::End;
    /// use rserpool_core::wire::TransportBuf;
    /// use rserpool_tokio::SessionEvent;
    /// # async fn dial(transport: &TransportBuf) -> std::io::Result<()> { Ok(()) }
    ///
    /// // A session whose connection is the application's own: see `PoolUser::connect_with`.
    /// while let SessionEvent::Selected { element, transport } = session.next().await? {
    ///     match dial(&transport).await {
    ///         Ok(()) if session.confirm_connection(element).await? => break,
    ///         Ok(()) => {}
    ///         Err(_) => session.end_connection(element, End::Lost, false).await?,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn next(&self) -> Result<SessionEvent, Ended> {
        self.0.inbox.next().await
    }

    /// Sends a message to the session's element when there is room for it; while there is no element, it waits for one with up to
    /// `max_session_queue` bytes (1 MiB) of others. That it was taken does not mean that it arrives: see
    /// [`SessionOptions::resend`](user::SessionOptions::resend). A future that is dropped has sent the whole message or nothing;
    /// dropped before it was polled, nothing.
    ///
    /// Go on receiving meanwhile: a peer may wait for that.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::Session, lines: Vec<String>) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::SendError;
    ///
    /// for line in lines {
    ///     match session.send(line).await {
    ///         Err(SendError::Empty) => continue,
    ///         result => result?,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
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
                Err(user::SendError::NotSctp) => return Err(SendError::NotSctp),
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
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
    /// use core::time::Duration;
    ///
    /// // An element that takes longer is not waited for.
    /// let answer = loop {
    ///     match tokio::time::timeout(Duration::from_secs(2), session.ask("6 * 7")).await {
    ///         Ok(answer) => break answer?,
    ///         Err(_) => session.fail_over().await?,
    ///     }
    /// };
    /// println!("{answer:?}");
    /// # Ok(()) }
    /// ```
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
    /// may be lost. For elements that do not answer, and for fail-over on demand. Where the session has ended, it does nothing.
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::user::{Failover, SessionOptions};
    /// use rserpool_tokio::RecvError;
    ///
    /// let mut options = SessionOptions::default();
    /// options.failover = Failover::OnDemand;
    /// let session = user.connect_with("StorePool", options).await?;
    /// if let Err(RecvError::Interrupted(element)) = session.recv().await {
    ///     println!("first save what {element} has told, then");
    ///     session.fail_over().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn fail_over(&self) -> Result<(), Ended> {
        let id = self.0.id;
        self.call(move |user, now| user.fail_over(now, id)).await
    }

    /// The application is connected to the element that was selected, in a session that is not held by SCTP. `false` where the
    /// session does not wait for that any more: the connection is to be dropped.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     session: rserpool_tokio::Session,
    /// #     element: rserpool_core::PeId,
    /// #     stream: tokio::net::TcpStream,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// if session.confirm_connection(element).await? {
    ///     println!("with {element} at {}", stream.peer_addr()?);
    /// } else {
    ///     drop(stream);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn confirm_connection(&self, element: PeId) -> Result<bool, Ended> {
        let id = self.0.id;
        self.call(move |user, now| user.confirm_connection(now, id, element))
            .await
    }

    /// The application could not connect to the element that was selected, or its connection has ended: see
    /// [`PoolUser::end_connection`](Machine::end_connection).
    ///
    /// ```no_run
    /// # async fn example(
    /// #     session: rserpool_tokio::Session,
    /// #     element: rserpool_core::PeId,
    /// #     mut stream: tokio::net::TcpStream,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::End;
    /// use tokio::io::AsyncReadExt;
    ///
    /// let mut answer = Vec::new();
    /// let end = match stream.read_to_end(&mut answer).await {
    ///     Ok(_) => End::Closed,
    ///     Err(_) => End::Lost,
    /// };
    /// session.end_connection(element, end, !answer.is_empty()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn end_connection(&self, element: PeId, end: End, heard: bool) -> Result<(), Ended> {
        let id = self.0.id;
        self.call(move |user, now| user.end_connection(now, id, element, end, heard))
            .await
    }

    /// Runs a command on the machine.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Machine, Instant) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        Ok(self.0.handle.call(command).await?)
    }

    /// Has something done that nobody waits for.
    pub(super) fn leave_behind(&self, chore: impl FnOnce(&mut Machine, Instant) + Send + 'static) {
        self.0.role.sessions().leave_behind(Box::new(chore));
    }

    /// Ends the session after what was sent has been delivered; what waits for an element is dropped. What came and was not read is
    /// still there.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::Session) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Ended;
    ///
    /// session.send("good-bye").await?;
    /// session.close();
    /// assert_eq!(session.send("too late").await, Err(Ended::Closed.into()));
    /// # Ok(()) }
    /// ```
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
