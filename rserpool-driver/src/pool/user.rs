//! A pool user as an application holds it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::sync::Mutex;

use rserpool_core::user::{
    self, Carrier, Config, Event, Failover, OpenError, PoolUser as Machine, SessionId,
    SessionOptions, SubscribeError,
};
use rserpool_core::{PeId, PoolHandle};
use tokio::sync::oneshot;

use super::router::{self, Role, Sessions};
use super::session::{Session, SessionEvent};
use super::tcp::TcpSession;
use super::udp::UdpSession;
use super::watch::{Pool, Watch, Watches};
use super::{Builder, Ended, Message, lock};
use crate::{Handle, Options, Runtime, Spawn, Stopped, seed};

/// A client of pools (RFC 5352 §3.3, §3.5). It runs as long as a clone of it lives, or a session.
///
/// ```no_run
/// # async fn example<R: rserpool_driver::Spawn>() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_driver::PoolUser;
///
/// let user = PoolUser::<R>::builder()
///     .registrar("192.0.2.1:3863".parse()?)
///     .options(|options| options.local = vec!["192.0.2.7".parse().expect("an address")])
///     .spawn()?;
/// let session = user.connect("EchoPool").await?;
/// println!("{:?}", session.ask("hello").await?);
/// user.shutdown().await;
/// # Ok(()) }
/// ```
pub struct PoolUser<R> {
    handle: Handle<Machine>,
    role: Arc<Asked>,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for PoolUser<R> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            role: self.role.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R> fmt::Debug for PoolUser<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolUser").finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The pool could not be resolved, or none of its elements reached, for the time of `failover_timeout`.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// There are `max_sessions` already.
    #[error("too many sessions")]
    TooManySessions,
    /// There is nobody in the pool to open a session with.
    #[error("the pool is not resolved: {0}")]
    Unresolved(#[from] ResolveError),
}

impl From<Stopped> for ConnectError {
    fn from(stopped: Stopped) -> Self {
        Self::Ended(stopped.into())
    }
}

/// Why a pool could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// What came of the request.
    #[error(transparent)]
    Failed(#[from] user::ResolveError),
    /// The endpoint has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a pool cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It cannot be subscribed to.
    #[error(transparent)]
    Refused(#[from] SubscribeError),
    /// The endpoint has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl<R: Runtime> PoolUser<R> {
    /// A user at the first free loopback address from 127.0.0.2 on.
    pub fn builder() -> Builder<R, Config> {
        Builder::new(Options::user(), Config::default())
    }

    /// The machine, for everything else.
    pub fn handle(&self) -> &Handle<Machine> {
        &self.handle
    }

    /// Opens a session that fails over by itself, and waits until it has its first element (RFC 5352 §3.5). It fails after
    /// `failover_timeout` (1 minute) of looking for one; dropping the future gives it up.
    pub async fn connect(&self, pool: impl Into<PoolHandle>) -> Result<Session, ConnectError> {
        self.connect_with(pool, SessionOptions::default()).await
    }

    /// Connects to an element of a pool over TCP: see [`TcpSession`]. Otherwise as [`connect`](Self::connect).
    pub async fn connect_tcp(
        &self,
        pool: impl Into<PoolHandle>,
    ) -> Result<TcpSession<R>, ConnectError> {
        let session = self.open(pool.into(), held_by(Carrier::Tcp)).await?;
        Ok(TcpSession::connect(session).await?)
    }

    /// Exchanges datagrams with an element of a pool over UDP: see [`UdpSession`]. Otherwise as [`connect`](Self::connect).
    pub async fn connect_udp(
        &self,
        pool: impl Into<PoolHandle>,
    ) -> Result<UdpSession<R>, ConnectError> {
        let session = self.open(pool.into(), held_by(Carrier::Udp)).await?;
        Ok(UdpSession::connect(session).await?)
    }

    /// Opens a session of another kind: see [`SessionOptions`]. One that is not held by SCTP does not wait for its element: it begins
    /// with [`SessionEvent::Selected`].
    pub async fn connect_with(
        &self,
        pool: impl Into<PoolHandle>,
        options: SessionOptions,
    ) -> Result<Session, ConnectError> {
        let session = self.open(pool.into(), options).await?;
        if options.carrier == Carrier::Sctp {
            // Nothing else can come first.
            session.next().await?;
        }
        Ok(session)
    }

    async fn open(
        &self,
        pool: PoolHandle,
        options: SessionOptions,
    ) -> Result<Session, ConnectError> {
        let make = self.session_maker();
        let open = move |user: &mut Machine, now| Some(make(user.open_with(now, &pool, options)?));
        // Nobody takes it where this future is dropped; then it is closed.
        let session = self.handle.call(open).await?;
        session.ok_or(ConnectError::TooManySessions)
    }

    /// Opens a session with each element of a pool, `own` excepted, none of which fails over: what is sent in all of them reaches
    /// the whole pool (RFC 5352 §6.5.5, ASAP_SEND_TO_ALL). They do not wait for their elements: each begins with
    /// [`SessionEvent::Connected`] or ends.
    pub async fn connect_all(
        &self,
        pool: impl Into<PoolHandle>,
        own: Option<PeId>,
    ) -> Result<Vec<(PeId, Session)>, ConnectError> {
        let pool = pool.into();
        self.resolve(pool.clone()).await?;
        let make = self.session_maker();
        let open = move |user: &mut Machine, now| {
            let opened = user.open_all(now, &pool, own)?;
            let sessions = opened.into_iter().map(|(element, id)| (element, make(id)));
            Ok::<Vec<_>, OpenError>(sessions.collect())
        };
        // It has just been resolved.
        let opened = self.handle.call(open).await?;
        opened.map_err(|_| ConnectError::TooManySessions)
    }

    fn session_maker(&self) -> impl Fn(SessionId) -> Session + Send + use<R> {
        let (handle, role) = (self.handle.clone(), self.role.clone());
        move |id| {
            let inbox = role.sessions.open(id);
            Session::new(handle.clone(), role.clone(), id, inbox)
        }
    }

    /// The elements of a pool (RFC 5352 §3.3): at once where they are known for less than `stale_cache_value` (30 s).
    pub async fn resolve(&self, pool: impl Into<PoolHandle>) -> Result<Pool, ResolveError> {
        let (role, pool) = (self.role.clone(), pool.into());
        let (sender, answer) = oneshot::channel();
        let ask = move |user: &mut Machine, now| {
            role.asked.add(&pool, sender);
            user.resolve(now, &pool);
        };
        self.handle.call(ask).await?;
        Ok(answer.await.map_err(|_| Stopped)??)
    }

    /// The elements of a pool now, and whenever they change (RFC 5352 §2.2.5). At most `max_subscriptions` pools (64) can be
    /// watched at a time.
    pub async fn watch(&self, pool: impl Into<PoolHandle>) -> Result<Watch, WatchError> {
        let (role, pool) = (self.role.clone(), pool.into());
        let subscribe = move |user: &mut Machine, now| {
            user.subscribe(now, &pool)?;
            let id = role.next_watch.fetch_add(1, Ordering::Relaxed);
            // Nobody takes it where this future is dropped; then the subscription ends.
            Ok::<_, SubscribeError>(Watches::add(&role, pool, id))
        };
        Ok(self.handle.call(subscribe).await??)
    }

    /// Closes all sessions after what was sent has been delivered, for at most `closing_timeout`, and stops. Sessions that the
    /// application holds end with [`Ended::Stopped`].
    pub async fn shutdown(&self) {
        let stopped = self.role.stopped.subscribe();
        self.handle.stop().await;
        let mut stopped = stopped;
        // An error says so, too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// What fails over while it connects, and then only where the application wants it.
fn held_by(carrier: Carrier) -> SessionOptions {
    let mut options = SessionOptions::default();
    options.carrier = carrier;
    options.failover = Failover::OnDemand;
    options
}

impl<R: Runtime> Builder<R, Config> {
    /// Binds the endpoint, and returns the user with the future that runs it.
    pub fn start(mut self) -> io::Result<(PoolUser<R>, impl Future<Output = ()> + Send + 'static)> {
        let bound = self.options.bind()?;
        let role = Arc::new(Asked {
            sessions: Sessions::new(self.limits),
            asked: Resolutions::default(),
            watches: Watches::default(),
            next_watch: AtomicU64::new(0),
            stopped: tokio::sync::watch::Sender::new(false),
        });
        self.config.hunt.over_tcp = self.options.registrar_over_tcp;
        let machine = Machine::new(self.config, seed()?);
        let (handle, events, driver) = bound.drive(machine).into_parts();
        let run = router::run::<R, Asked>(role.clone(), handle.downgrade(), events, driver);
        let user = PoolUser {
            handle,
            role,
            runtime: PhantomData,
        };
        Ok((user, run))
    }

    /// Binds the endpoint, and runs it in a task of its own.
    pub fn spawn(self) -> io::Result<PoolUser<R>>
    where
        R: Spawn,
    {
        let (user, run) = self.start()?;
        R::spawn(run);
        Ok(user)
    }
}

type Answer = Result<Pool, user::ResolveError>;

/// Those who wait for pools to be resolved.
#[derive(Default)]
struct Resolutions(Mutex<BTreeMap<PoolHandle, Vec<oneshot::Sender<Answer>>>>);

impl Resolutions {
    fn add(&self, pool: &PoolHandle, sender: oneshot::Sender<Answer>) {
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

/// The router's side of a user.
pub(super) struct Asked {
    sessions: Sessions<Self>,
    asked: Resolutions,
    pub(super) watches: Watches,
    next_watch: AtomicU64,
    stopped: tokio::sync::watch::Sender<bool>,
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
