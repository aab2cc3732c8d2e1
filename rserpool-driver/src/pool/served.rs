//! A session as an element's application holds it.

use alloc::sync::Arc;
use core::fmt;
use std::sync::Mutex;

use bytes::Bytes;
use rserpool_core::element::{self, PoolElement as Machine};
use rserpool_core::user::Element;
use rserpool_core::{AssocId, Instant, PoolHandle};

use super::inbox::{Inbox, Weigh};
use super::membership::Served;
use super::router::Role;
use super::{Ended, Message, SendError, lock};
use crate::Handle;

/// What a session tells the element's application.
///
/// ```no_run
/// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::ElementEvent;
///
/// match session.next().await? {
///     ElementEvent::CookieEcho(cookie) => println!("goes on from {cookie:?}"),
///     ElementEvent::Message(message) => session.send(message).await?,
///     ElementEvent::Undelivered(message) => println!("lost: {} bytes", message.bytes.len()),
///     other => println!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementEvent {
    /// The user sent a message.
    Message(Message),
    /// The user handed over the state that another element gave it, before anything else (RFC 5352 §3.8). It came through the
    /// user: verify it, or use sealed cookies.
    CookieEcho(Bytes),
    /// The user is an element, too, and says whom to turn to when it fails (RFC 5352 §3.9).
    BusinessCard {
        /// The user's pool.
        pool: PoolHandle,
        /// The elements in the order to fail over to; at most 128.
        elements: Vec<Element>,
    },
    /// A message to the user could not be delivered, or perhaps not: the user may have it, and the transport not know.
    Undelivered(Message),
}

/// What an item takes beside its bytes.
pub(super) const ITEM: usize = 128;

impl Weigh for ElementEvent {
    fn weight(&self) -> usize {
        ITEM + match self {
            Self::Message(message) | Self::Undelivered(message) => message.bytes.len(),
            Self::CookieEcho(cookie) => cookie.len(),
            Self::BusinessCard { elements, .. } => elements.len() * ITEM,
        }
    }
}

/// A user's session with an element. When the last clone is dropped, it is closed.
///
/// ```no_run
/// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
/// let mut line = 0_u32;
/// loop {
///     let request = session.recv().await?;
///     if line == 0 && let Some(cookie) = session.cookie() {
///         // Another element has failed. What it says came through the user: seal it in production.
///         line = u32::from_be_bytes(cookie[..].try_into()?);
///     }
///     line += 1;
///     session.send(request).await?;
///     session.send_cookie(line.to_be_bytes().to_vec()).await?;
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct ElementSession(Arc<Inner>);

struct Inner {
    handle: Handle<Machine>,
    role: Arc<Served>,
    association: AssocId,
    inbox: Arc<Inbox<ElementEvent>>,
    cookie: Mutex<Option<Bytes>>,
}

impl ElementSession {
    pub(super) fn new(
        handle: Handle<Machine>,
        role: Arc<Served>,
        association: AssocId,
        inbox: Arc<Inbox<ElementEvent>>,
    ) -> Self {
        Self(Arc::new(Inner {
            handle,
            role,
            association,
            inbox,
            cookie: Mutex::new(None),
        }))
    }

    /// The association to the user.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// // A name for its log that no other session ever has.
    /// while let Some(session) = element.accept().await {
    ///     println!("session {}: accepted", session.association().0);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn association(&self) -> AssocId {
        self.0.association
    }

    /// The next message; an error when the session has ended and everything is read. What else there is, is passed over: a
    /// cookie is at [`cookie`](Self::cookie) then. Dropping the future loses no message.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Ended;
    ///
    /// let end = loop {
    ///     match session.recv().await {
    ///         Ok(request) => session.send(request).await?,
    ///         Err(end) => break end,
    ///     }
    /// };
    /// println!("{}", if end == Ended::Closed { "done" } else { "broken off" });
    /// # Ok(()) }
    /// ```
    pub async fn recv(&self) -> Result<Message, Ended> {
        loop {
            if let ElementEvent::Message(message) = self.next().await? {
                return Ok(message);
            }
        }
    }

    /// Whatever comes next. Dropping the future loses nothing.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::ElementEvent;
    ///
    /// while let Ok(event) = session.next().await {
    ///     if let ElementEvent::BusinessCard { pool, elements } = event {
    ///         println!("instead of this user: {} others of {pool}", elements.len());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn next(&self) -> Result<ElementEvent, Ended> {
        let event = self.0.inbox.next().await?;
        if let ElementEvent::CookieEcho(cookie) = &event {
            *lock(&self.0.cookie) = Some(cookie.clone());
        }
        Ok(event)
    }

    /// The state that another element gave the user, if it has handed over any: known when the first message is read
    /// (RFC 5352 §3.8). Verify it.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
    /// let first = session.recv().await?;
    /// match session.cookie() {
    ///     Some(state) => println!("goes on where another element was: {state:?}, {first:?}"),
    ///     None => println!("begins with {first:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn cookie(&self) -> Option<Bytes> {
        lock(&self.0.cookie).clone()
    }

    /// Sends a message when there is room for it. That it was taken does not mean that it arrives. A future that is dropped has
    /// sent the whole message or nothing; dropped before it was polled, nothing.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Message;
    ///
    /// // News that need not wait for what was sent before.
    /// let mut news = Message::from("half of it is done");
    /// news.unordered = true;
    /// session.send(news).await?;
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        message.check()?;
        self.0.inbox.open()?;
        let association = self.0.association;
        let send = move |element: &mut Machine, _| {
            let Message {
                ppid,
                stream,
                unordered,
                bytes,
            } = message;
            if unordered {
                element.send_unordered(association, ppid, stream, bytes)
            } else {
                element.send(association, ppid, stream, bytes)
            }
        };
        let sent = self.with_room(send).await?;
        // The message has been checked.
        sent.map_err(|_| self.0.inbox.ended().into())
    }

    /// Gives the user state to hand to the next element if this one fails, in place of what it was given before: at most 65,000
    /// bytes. It comes back through the user: seal it (RFC 5352 §3.8).
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::ElementSession, rows: Vec<String>) -> Result<(), Box<dyn core::error::Error>> {
    /// // After each part that need not be repeated.
    /// for (done, row) in (1_u64..).zip(rows) {
    ///     session.send(row).await?;
    ///     session.send_cookie(done.to_be_bytes().to_vec()).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn send_cookie(&self, cookie: impl Into<Bytes>) -> Result<(), CookieError> {
        let (association, cookie) = (self.0.association, cookie.into());
        self.0.inbox.open()?;
        let send = move |element: &mut Machine, _| element.send_cookie(association, &cookie);
        let sent = self.with_room(send).await?;
        sent.map_err(|error| match error {
            element::CookieError::TooLong => CookieError::TooLong,
            element::CookieError::NoControlChannel => CookieError::NoControlChannel,
            _ => self.0.inbox.ended().into(),
        })
    }

    async fn with_room<T: Send + 'static>(
        &self,
        send: impl FnOnce(&mut Machine, Instant) -> T + Clone + Send + 'static,
    ) -> Result<T, Ended> {
        let association = self.0.association;
        let to = move |_: &Machine| Some(association);
        Ok(self.0.handle.call_with_room(to, send).await?)
    }

    /// Ends the session after what was sent has been delivered. What came and was not read is still there.
    ///
    /// ```no_run
    /// # async fn example(session: rserpool_tokio::ElementSession) -> Result<(), Box<dyn core::error::Error>> {
    /// session.send("good-bye").await?;
    /// session.close();
    /// // What the user had sent before can still be read.
    /// while let Ok(message) = session.recv().await {
    ///     println!("{message:?}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn close(&self) {
        self.0
            .role
            .sessions()
            .close(self.0.association, Ended::Closed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.role.sessions().close(self.association, Ended::Closed);
    }
}

impl fmt::Debug for ElementSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ElementSession")
            .field(&self.0.association)
            .finish()
    }
}

/// Why a cookie was not sent.
///
/// ```no_run
/// # async fn example(session: rserpool_tokio::ElementSession, state: Vec<u8>) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::CookieError;
///
/// match session.send_cookie(state).await {
///     Ok(()) => {}
///     Err(CookieError::Ended(end)) => return Err(end.into()),
///     Err(error) => println!("the next element will begin anew: {error}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The session has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The element's user transport is for data only (RFC 5352 §3.8).
    #[error("there is no control channel")]
    NoControlChannel,
    /// It has more than 65,000 bytes.
    #[error("the cookie is too long")]
    TooLong,
}
