//! A pool element as an application holds it.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::net::IpAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use rserpool_core::element::{CardError, Config, PoolElement as Machine};
use rserpool_core::user::Element;
use rserpool_core::wire::{Policy, Transport, TransportBuf};
use rserpool_core::{PeId, PoolHandle};

use super::builder::any_port;
use super::membership::{Membership, Opened, RegisterError, Served};
use super::router;
use super::served::ElementSession;
use super::{Builder, Ended, lock};
use crate::runtime::Alarm;
use crate::{Handle, Options, Runtime, Spawn, Stopped, seed};

/// A server in a pool (RFC 5352 §3.1, §3.2). It runs as long as a clone of it lives, or a session.
///
/// Where the last clone is dropped without [`shutdown`](Self::shutdown), no more sessions are taken, and the element leaves its
/// pool if a session keeps it running so long; else it goes without a word, and the registrar notices that its association is
/// gone.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_core::wire::Policy;
/// use rserpool_tokio::PoolElement;
///
/// let element = PoolElement::builder("ComputePool")
///     .registrar("192.0.2.1:3863".parse()?)
///     .policy(Policy::LeastUsed { load: 0 })
///     .port(4000)
///     .register()
///     .await?;
/// while let Some(session) = element.accept().await {
///     element.set_load(0.4).await?;
///     let task = session.recv().await?;
///     session.send(task).await?;
///     element.set_load(0.0).await?;
/// }
/// # Ok(()) }
/// ```
pub struct PoolElement<R> {
    inner: Arc<Inner>,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for PoolElement<R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R> fmt::Debug for PoolElement<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolElement").field(&self.inner.id).finish()
    }
}

struct Inner {
    handle: Handle<Machine>,
    role: Arc<Served>,
    id: PeId,
    port: u16,
    addresses: Vec<IpAddr>,
    closing: Duration,
}

/// Why the load was not changed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::{PoolElement, SetLoadError};
///
/// let (element, endpoint) = PoolElement::builder("EchoPool").start()?;
/// tokio::spawn(endpoint);
/// // Its policy is Round Robin.
/// assert_eq!(element.set_load(0.5).await, Err(SetLoadError::NoLoad));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetLoadError {
    /// Only the least-used policies have a load (RFC 5356 §5).
    #[error("the policy has no load")]
    NoLoad,
    /// The endpoint has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl<R: Runtime> PoolElement<R> {
    /// An element of `pool`: Round Robin, at the first free loopback address from 127.0.0.2 on, at any SCTP port.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::PeId;
    /// use rserpool_tokio::PoolElement;
    ///
    /// // Known to users before it is there.
    /// let element = PoolElement::builder("EchoPool")
    ///     .registrar("192.0.2.1:3863".parse()?)
    ///     .port(4000)
    ///     .config(|config| config.pe_id = Some(PeId(0x7)))
    ///     .register()
    ///     .await?;
    /// # let _ = element;
    /// # Ok(()) }
    /// ```
    pub fn builder(pool: impl Into<PoolHandle>) -> Builder<R, Config> {
        // Filled in when the endpoint is bound.
        let nowhere = TransportBuf::from(&Transport::Opaque(&[]));
        let config = Config::new(pool.into(), nowhere, Policy::RoundRobin);
        let mut options = Options::element(0);
        options.sctp_port = None;
        Builder::new(options, config)
    }

    /// Its identifier within the pool.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     user: rserpool_tokio::PoolUser,
    /// #     element: rserpool_tokio::PoolElement,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// // To all others of its pool.
    /// for (other, session) in user.connect_all("EchoPool", Some(element.id())).await? {
    ///     println!("{other} hears of {}", element.id());
    ///     session.send("I am new here").await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> PeId {
        self.inner.id
    }

    /// The addresses at which it serves.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::PoolElement;
    ///
    /// let (element, endpoint) = PoolElement::builder("EchoPool").start()?;
    /// tokio::spawn(endpoint);
    /// assert!(element.addresses().iter().all(|ip| ip.is_loopback()));
    /// # Ok(()) }
    /// ```
    pub fn addresses(&self) -> &[IpAddr] {
        &self.inner.addresses
    }

    /// The SCTP port at which it serves.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::PoolElement;
    ///
    /// let (element, endpoint) = PoolElement::builder("EchoPool").start()?;
    /// tokio::spawn(endpoint);
    /// // One of the dynamic range, because none was asked for.
    /// assert!(element.port() >= 49_152);
    /// # Ok(()) }
    /// ```
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// The machine, for everything else.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// let counters = element.handle().call(|element, _| element.counters()).await?;
    /// println!("{} messages could not be decoded", counters.malformed);
    /// # Ok(()) }
    /// ```
    pub fn handle(&self) -> &Handle<Machine> {
        &self.inner.handle
    }

    /// Joins the pool, and waits until it is a member (RFC 5352 §3.1). As long as no registrar can be reached at all, that takes:
    /// give it up by dropping the future, which changes nothing for the element.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// use core::time::Duration;
    /// use rserpool_tokio::RegisterError;
    ///
    /// match tokio::time::timeout(Duration::from_secs(10), element.register()).await {
    ///     Ok(Ok(())) => println!("a member"),
    ///     Ok(Err(RegisterError::Rejected(causes))) => println!("refused: {causes:?}"),
    ///     Ok(Err(error)) => println!("{error}"),
    ///     Err(_) => println!("no registrar yet; the element goes on looking for one"),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn register(&self) -> Result<(), RegisterError> {
        let role = self.inner.role.clone();
        let mut membership = role.membership.subscribe();
        let join = move |element: &mut Machine, now| {
            if !element.is_registered() {
                role.membership.send_replace(Membership::Joining);
                element.register(now);
            }
        };
        self.inner.handle.call(join).await?;
        let decided = |state: &Membership| !matches!(state, Membership::Joining);
        let state = membership.wait_for(decided).await.map_err(|_| Stopped)?;
        match &*state {
            Membership::Failed(error) => Err(error.clone()),
            Membership::Member => Ok(()),
            _ => Err(RegisterError::Left),
        }
    }

    /// Where it stands with its pool.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::{Membership, PoolElement};
    ///
    /// let (element, endpoint) = PoolElement::builder("EchoPool").start()?;
    /// tokio::spawn(endpoint);
    /// assert_eq!(element.membership(), Membership::Out);
    /// # Ok(()) }
    /// ```
    pub fn membership(&self) -> Membership {
        self.inner.role.membership.borrow().clone()
    }

    /// Waits until it stands otherwise than `known`, and says how. An element that was refused can [`register`](Self::register)
    /// again when what was wrong has been corrected.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Membership;
    ///
    /// let mut known = element.membership();
    /// loop {
    ///     known = element.membership_changed(&known).await;
    ///     println!("{known:?}");
    ///     if let Membership::Failed(error) = known {
    ///         return Err(error.into());
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn membership_changed(&self, known: &Membership) -> Membership {
        let mut membership = self.inner.role.membership.subscribe();
        let changed = membership.wait_for(|state| state != known).await;
        changed.map_or(Membership::Out, |state| state.clone())
    }

    /// The next session that a user opens; `None` when the element has stopped. A user's session begins with its first message.
    /// Dropping the future loses none.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// // Each in a task of its own: one that is slow keeps nobody waiting.
    /// while let Some(session) = element.accept().await {
    ///     tokio::spawn(async move {
    ///         let request = session.recv().await?;
    ///         Ok::<_, Box<dyn core::error::Error + Send + Sync>>(session.send(request).await?)
    ///     });
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn accept(&self) -> Option<ElementSession> {
        let Opened(association, inbox) = self.inner.role.backlog.next().await.ok()?;
        let (handle, role) = (self.inner.handle.clone(), self.inner.role.clone());
        Some(ElementSession::new(handle, role, association, inbox))
    }

    /// Changes the values for the pool's policy. Registrars are told at once (RFC 5352 §3.1); where they refuse, the element is
    /// a member no longer.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::wire::Policy;
    ///
    /// // New users go elsewhere; those that it has stay.
    /// element.set_policy(Policy::WeightedRoundRobin { weight: 0 }).await?;
    /// # Ok(()) }
    /// ```
    pub async fn set_policy(&self, policy: Policy<'static>) -> Result<(), Stopped> {
        let role = self.inner.role.clone();
        let set = move |element: &mut Machine, now| {
            *lock(&role.policy) = policy;
            element.set_policy(now, policy);
        };
        self.inner.handle.call(set).await
    }

    /// Changes the load, from 0 to 1, of an element with one of the least-used policies (RFC 5356 §5); what is beyond counts as
    /// the nearer end. Registrars are told at once, and by default take a thousand of it a second from all elements of a host:
    /// tell what has changed, and not more often than users resolve.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     element: rserpool_tokio::PoolElement,
    /// #     busy: std::sync::Arc<tokio::sync::Semaphore>,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// use core::time::Duration;
    ///
    /// const WORKERS: u32 = 64;
    /// loop {
    ///     let free = u32::try_from(busy.available_permits())?;
    ///     element.set_load(1.0 - f64::from(free) / f64::from(WORKERS)).await?;
    ///     tokio::time::sleep(Duration::from_secs(1)).await;
    /// }
    /// # }
    /// ```
    pub async fn set_load(&self, load: f64) -> Result<(), SetLoadError> {
        let role = self.inner.role.clone();
        let set = move |element: &mut Machine, now| {
            let mut policy = lock(&role.policy);
            let changed = with_load(*policy, load).ok_or(SetLoadError::NoLoad)?;
            *policy = changed;
            element.set_policy(now, changed);
            Ok(())
        };
        self.inner.handle.call(set).await?
    }

    /// Recommends elements of its pool to users, for the time when this one has failed, the first one preferred (RFC 5352 §3.9).
    /// Without any there is no business card. One that is too long for a message, or for which there is no control channel, is
    /// not taken, and the old one stands.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     user: rserpool_tokio::PoolUser,
    /// #     element: rserpool_tokio::PoolElement,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// // Those of its pool that have a copy of what it has.
    /// let mut pool = user.resolve("StorePool").await?;
    /// pool.elements.retain(|other| other.id.0 % 2 == element.id().0 % 2);
    /// element.set_business_card(pool.elements).await??;
    /// # Ok(()) }
    /// ```
    pub async fn set_business_card(
        &self,
        elements: Vec<Element>,
    ) -> Result<Result<(), CardError>, Stopped> {
        let set = move |element: &mut Machine, _| {
            let elements: Vec<_> = elements.iter().map(Element::to_wire).collect();
            element.set_business_card(&elements)
        };
        self.inner.handle.call(set).await
    }

    /// Leaves the pool, so that no more users come, closes the sessions after what was sent has been delivered, and stops
    /// (RFC 5352 §3.2). Each of both takes `closing_timeout` (2 s) at most. Sessions that the application holds end with
    /// [`Ended::Stopped`].
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// tokio::signal::ctrl_c().await?;
    /// // Nobody comes any more, and those that are here fail over to others.
    /// element.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub async fn shutdown(&self) {
        let mut membership = self.inner.role.membership.subscribe();
        let leave = |element: &mut Machine, now| element.deregister(now);
        if self.inner.handle.call(leave).await.is_ok() {
            let left =
                |state: &Membership| !matches!(state, Membership::Member | Membership::Joining);
            let mut alarm = Alarm::<R>::new();
            let late = alarm.wait(Some(Instant::now() + self.inner.closing));
            tokio::select! {
                _ = membership.wait_for(left) => {}
                () = late => tracing::warn!("no registrar answers the de-registration"),
            }
        }
        self.inner.handle.stop().await;
        self.inner.role.backlog.until_end().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let role = &self.role;
        role.backlog.end(Ended::Closed);
        while let Some(Ok(Opened(association, _))) = role.backlog.take() {
            role.sessions.close(association, Ended::Closed);
        }
        let leave = |element: &mut Machine, now| element.deregister(now);
        role.sessions.leave_behind(Box::new(leave));
    }
}

impl<R: Runtime> Builder<R, Config> {
    /// The pool's policy, with this element's values (Round Robin). The first element decides the policy of a pool; one with
    /// another policy is refused (RFC 5352 §3.1).
    ///
    /// ```
    /// use rserpool_core::wire::Policy;
    /// use rserpool_tokio::PoolElement;
    ///
    /// // Twice as many users as an element with half the weight.
    /// let builder = PoolElement::builder("EchoPool").policy(Policy::WeightedRandom { weight: 20 });
    /// # let _ = builder;
    /// ```
    pub fn policy(mut self, policy: Policy<'static>) -> Self {
        self.config.policy = policy;
        self
    }

    /// The SCTP port to serve at (any one of the dynamic range, 49152 to 65535).
    ///
    /// ```
    /// use rserpool_tokio::PoolElement;
    ///
    /// // One that the firewall knows.
    /// let builder = PoolElement::builder("EchoPool").port(4000);
    /// # let _ = builder;
    /// ```
    pub fn port(mut self, port: u16) -> Self {
        self.options.sctp_port = Some(port);
        self
    }

    /// Binds the endpoint, and returns the element with the future that runs it. It is no member until
    /// [`PoolElement::register`]. Its user transport is SCTP with a control channel, at the addresses of the endpoint, unless
    /// the configuration says otherwise. Fails as [`Options::bind`] does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::PoolElement;
    ///
    /// // The application's own task runs the endpoint, too.
    /// let (element, endpoint) = PoolElement::builder("EchoPool").start()?;
    /// let serve = async move {
    ///     element.register().await?;
    ///     while let Some(session) = element.accept().await {
    ///         session.send("welcome").await?;
    ///     }
    ///     Ok::<_, Box<dyn core::error::Error>>(())
    /// };
    /// let ((), served) = tokio::join!(endpoint, serve);
    /// # served?;
    /// # Ok(()) }
    /// ```
    pub fn start(
        mut self,
    ) -> io::Result<(PoolElement<R>, impl Future<Output = ()> + Send + 'static)> {
        let port = match self.options.sctp_port {
            Some(port) => port,
            None => any_port()?,
        };
        self.options.sctp_port = Some(port);
        let bound = self.options.bind()?;
        let addresses = bound.addresses();
        if self.config.user_transport.as_transport() == Transport::Opaque(&[]) {
            self.config.user_transport = TransportBuf::sctp(port, &addresses);
        }
        let role = Arc::new(Served::new(self.limits, self.config.policy));
        let machine = Machine::new(self.config, seed()?);
        let id = machine.id();
        let (handle, events, driver) = bound.drive(machine).into_parts();
        let run = router::run::<R, Served>(role.clone(), handle.downgrade(), events, driver);
        let element = PoolElement {
            inner: Arc::new(Inner {
                handle,
                role,
                id,
                port,
                addresses,
                closing: self.options.closing_timeout,
            }),
            runtime: PhantomData,
        };
        Ok((element, run))
    }

    /// Binds the endpoint, runs it in a task of its own, and joins the pool: returns when it is a member. Where it fails, or the
    /// future is dropped, nothing is left of the element.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::PoolElement;
    ///
    /// let element = PoolElement::builder("EchoPool")
    ///     .registrar("192.0.2.1:3863".parse()?)
    ///     .options(|options| options.local = vec!["192.0.2.3".parse().expect("an address")])
    ///     .register()
    ///     .await?;
    /// println!("{} serves at port {}", element.id(), element.port());
    /// # Ok(()) }
    /// ```
    pub async fn register(self) -> Result<PoolElement<R>, RegisterError>
    where
        R: Spawn,
    {
        let (element, run) = self.start()?;
        R::spawn(run);
        element.register().await?;
        Ok(element)
    }
}

/// The policy with another load: a fraction of 0xffffffff (RFC 5356 §3.1).
fn with_load(policy: Policy<'static>, load: f64) -> Option<Policy<'static>> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of u32::MAX fits"
    )]
    let load = (load.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32;
    Some(match policy {
        Policy::LeastUsed { .. } => Policy::LeastUsed { load },
        Policy::LeastUsedDegradation {
            load_degradation, ..
        } => Policy::LeastUsedDegradation {
            load,
            load_degradation,
        },
        Policy::PriorityLeastUsed {
            load_degradation, ..
        } => Policy::PriorityLeastUsed {
            load,
            load_degradation,
        },
        Policy::RandomizedLeastUsed { .. } => Policy::RandomizedLeastUsed { load },
        _ => return None,
    })
}
