//! A pool user as an application holds it.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;
use std::io;

use rserpool_core::user::{
    self, Carrier, Config, Failover, OpenError, PoolUser as Machine, SessionId, SessionOptions,
    SubscribeError,
};
use rserpool_core::{PeId, PoolHandle};
use tokio::sync::oneshot;

use super::asked::Asked;
use super::router;
use super::session::Session;
use super::tcp::TcpSession;
use super::udp::UdpSession;
use super::watch::{Pool, Watch, Watches};
use super::{Builder, Ended};
use crate::{Handle, Options, Runtime, Spawn, Stopped, seed};

/// A client of pools (RFC 5352 §3.3, §3.5). It runs as long as a clone of it lives, or a session.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::PoolUser;
///
/// let user = PoolUser::builder()
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
///
/// ```no_run
/// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_core::user::SessionError;
/// use rserpool_tokio::{ConnectError, Ended};
///
/// match user.connect("EchoPool").await {
///     Ok(session) => println!("with {:?}", session.element().await),
///     Err(ConnectError::Ended(Ended::Failed(SessionError::Unreachable))) => println!("all are down"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The pool could not be resolved, or none of its elements reached, for the time of `failover_timeout` (1 minute).
    #[error(transparent)]
    Ended(#[from] Ended),
    /// There are `max_sessions` (10,000) already.
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
///
/// ```
/// use rserpool_core::user;
/// use rserpool_core::wire::CauseCode;
/// use rserpool_tokio::ResolveError;
///
/// /// Whether the pool has nobody, as against nobody to ask.
/// fn is_empty(error: &ResolveError) -> bool {
///     matches!(error, ResolveError::Failed(user::ResolveError::Refused(causes))
///         if causes.contains(&CauseCode::UNKNOWN_POOL_HANDLE))
/// }
/// assert!(!is_empty(&user::ResolveError::Timeout.into()));
/// ```
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
///
/// ```
/// use rserpool_core::user::SubscribeError;
/// use rserpool_tokio::WatchError;
///
/// let error = WatchError::from(SubscribeError::TooManySubscriptions);
/// assert_eq!(error.to_string(), "too many subscriptions");
/// ```
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
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use core::time::Duration;
    /// use rserpool_tokio::PoolUser;
    ///
    /// let user = PoolUser::builder()
    ///     .registrar("192.0.2.1:3863".parse()?)
    ///     .config(|config| config.failover_timeout = Duration::from_secs(10))
    ///     .spawn()?;
    /// # let _ = user;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder<R, Config> {
        Builder::new(Options::user(), Config::default())
    }

    /// The machine, for everything else.
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// let counters = user.handle().call(|user, _| user.counters()).await?;
    /// println!("{} resolutions, {} elements reported", counters.resolutions, counters.reports);
    /// # Ok(()) }
    /// ```
    pub fn handle(&self) -> &Handle<Machine> {
        &self.handle
    }

    /// Opens a session that fails over by itself, and waits until it has its first element (RFC 5352 §3.5). It fails after
    /// `failover_timeout` (1 minute) of looking for one; dropping the future gives it up.
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// use core::time::Duration;
    ///
    /// // Rather nothing than an answer after five seconds.
    /// let session = tokio::time::timeout(Duration::from_secs(5), user.connect("EchoPool")).await??;
    /// println!("with {:?}", session.element().await);
    /// # Ok(()) }
    /// ```
    pub async fn connect(&self, pool: impl Into<PoolHandle>) -> Result<Session, ConnectError> {
        self.connect_with(pool, SessionOptions::default()).await
    }

    /// Connects to an element of a pool over TCP: see [`TcpSession`]. Otherwise as [`connect`](Self::connect).
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// use tokio::io::{AsyncBufReadExt, BufReader};
    ///
    /// let stream = user.connect_tcp("NewsPool").await?;
    /// let mut lines = BufReader::new(stream).lines();
    /// while let Some(line) = lines.next_line().await? {
    ///     println!("{line}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn connect_tcp(
        &self,
        pool: impl Into<PoolHandle>,
    ) -> Result<TcpSession<R>, ConnectError> {
        let session = self.open(pool.into(), held_by(Carrier::Tcp)).await?;
        Ok(TcpSession::connect(session).await?)
    }

    /// Exchanges datagrams with an element of a pool over UDP: see [`UdpSession`]. Otherwise as [`connect`](Self::connect).
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// let mut session = user.connect_udp("LogPool").await?;
    /// session.send(b"<14>started").await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_udp(
        &self,
        pool: impl Into<PoolHandle>,
    ) -> Result<UdpSession<R>, ConnectError> {
        let session = self.open(pool.into(), held_by(Carrier::Udp)).await?;
        Ok(UdpSession::connect(session).await?)
    }

    /// Opens a session of another kind: see [`SessionOptions`]. One that is not held by SCTP does not wait for its element: it begins
    /// with [`SessionEvent::Selected`](crate::SessionEvent::Selected).
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::user::SessionOptions;
    ///
    /// // What an element has not acknowledged is sent to the next one, by itself.
    /// let mut options = SessionOptions::default();
    /// options.resend = true;
    /// let session = user.connect_with("LogPool", options).await?;
    /// session.send("started").await?;
    /// # Ok(()) }
    /// ```
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
    /// [`SessionEvent::Connected`](crate::SessionEvent::Connected) or ends.
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// for (element, session) in user.connect_all("CachePool", None).await? {
    ///     match session.ask("drop everything").await {
    ///         Ok(_) => println!("{element} has done so"),
    ///         Err(error) => println!("{element}: {error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
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
    /// It fails where no registrar has answered for 45 s: T1-ENRPrequest × (1 + MAX-REQUEST-RETRANSMIT).
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// let pool = user.resolve("EchoPool").await?;
    /// for element in &pool.elements {
    ///     println!("{} serves at {:?}", element.id, element.user_transport);
    /// }
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// let mut watch = user.watch("EchoPool").await?;
    /// // Waits for the first element.
    /// while watch.next().await.is_some_and(|pool| pool.elements.is_empty()) {}
    /// let session = user.connect("EchoPool").await?;
    /// # let _ = session;
    /// # Ok(()) }
    /// ```
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

    /// Closes all sessions after what was sent has been delivered, for at most `closing_timeout` (2 s), and stops. Sessions that
    /// the application holds end with [`Ended::Stopped`].
    ///
    /// ```no_run
    /// # async fn example(user: rserpool_tokio::PoolUser) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Ended;
    ///
    /// let session = user.connect("LogPool").await?;
    /// session.send("the last words").await?;
    /// // They are delivered, and the session ends.
    /// user.shutdown().await;
    /// assert_eq!(session.next().await, Err(Ended::Stopped));
    /// # Ok(()) }
    /// ```
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
    /// Binds the endpoint, and returns the user with the future that runs it. Fails as [`Options::bind`] does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::PoolUser;
    ///
    /// // Nothing is spawned: the endpoint ends with this function.
    /// let (user, endpoint) = PoolUser::builder().start()?;
    /// let ask = async {
    ///     let session = user.connect("EchoPool").await?;
    ///     Ok::<_, Box<dyn core::error::Error>>(session.ask("hello").await?)
    /// };
    /// tokio::select! {
    ///     () = endpoint => println!("stopped"),
    ///     answer = ask => println!("{:?}", answer?),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn start(mut self) -> io::Result<(PoolUser<R>, impl Future<Output = ()> + Send + 'static)> {
        let bound = self.options.bind()?;
        let role = Arc::new(Asked::new(self.limits));
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

    /// Binds the endpoint, and runs it in a task of its own. Fails as [`Options::bind`] does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::PoolUser;
    ///
    /// // Registrars are found by their announcements.
    /// let user = PoolUser::builder()
    ///     .options(|options| options.multicast = Some(rserpool_core::Dialect::Rfc))
    ///     .spawn()?;
    /// # let _ = user;
    /// # Ok(()) }
    /// ```
    pub fn spawn(self) -> io::Result<PoolUser<R>>
    where
        R: Spawn,
    {
        let (user, run) = self.start()?;
        R::spawn(run);
        Ok(user)
    }
}
