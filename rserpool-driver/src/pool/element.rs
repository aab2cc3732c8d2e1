//! A pool element as an application holds it.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

use rserpool_core::element::{CardError, Config, Event, PoolElement as Machine};
use rserpool_core::user::Element;
use rserpool_core::wire::{
    CauseCode, List, Policy, SctpTransport, Transport, TransportBuf, TransportUse,
};
use rserpool_core::{AssocId, PeId, PoolHandle};
use tokio::sync::watch;

use super::builder::any_port;
use super::inbox::{Inbox, Weigh};
use super::router::{self, Role, Sessions};
use super::served::{ElementEvent, ElementSession};
use super::{Builder, Ended, Message, lock};
use crate::runtime::Alarm;
use crate::{Handle, Options, Runtime, Spawn, Stopped, seed};

/// A server in a pool (RFC 5352 §3.1, §3.2). It runs as long as a clone of it lives, or a session.
///
/// Where the last clone is dropped without [`shutdown`](Self::shutdown), no more sessions are taken, and the element leaves its
/// pool if a session keeps it running so long; else it goes without a word, and the registrar notices that its association is
/// gone.
///
/// ```no_run
/// # async fn example<R: rserpool_driver::Spawn>() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_core::wire::Policy;
/// use rserpool_driver::PoolElement;
///
/// let element = PoolElement::<R>::builder("ComputePool")
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

/// Where an element stands with its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// It is not a member: it was never registered, or has left.
    Out,
    /// It registers, for the first time or again, or looks for a registrar.
    Joining,
    /// It is a member.
    Member,
    /// It is not, and why.
    Failed(RegisterError),
}

/// Why an element is not a member of its pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A registrar refused. It is not asked again until something is corrected (RFC 5352 §3.1).
    #[error("the registrar refused: {}", names(.0))]
    Rejected(Vec<CauseCode>),
    /// A registrar was found, and MAX-REG-ATTEMPT registrations had no answer (RFC 5352 §3.1). An element that has been a member
    /// goes on trying instead.
    #[error("no registrar answered")]
    NoAnswer,
    /// The element has left its pool meanwhile.
    #[error("the element has left the pool")]
    Left,
    /// The endpoint could not be bound, or has stopped.
    #[error("{0}")]
    Endpoint(String),
}

fn names(causes: &[CauseCode]) -> String {
    let names: Vec<_> = causes.iter().map(|cause| cause.name()).collect();
    names.join(", ")
}

impl From<io::Error> for RegisterError {
    fn from(error: io::Error) -> Self {
        Self::Endpoint(error.to_string())
    }
}

impl From<Stopped> for RegisterError {
    fn from(error: Stopped) -> Self {
        Self::Endpoint(error.to_string())
    }
}

/// Why the load was not changed.
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
    pub fn builder(pool: impl Into<PoolHandle>) -> Builder<R, Config> {
        // Filled in when the endpoint is bound.
        let nowhere = TransportBuf::from(&Transport::Opaque(&[]));
        let config = Config::new(pool.into(), nowhere, Policy::RoundRobin);
        let mut options = Options::element(0);
        options.sctp_port = None;
        Builder::new(options, config)
    }

    /// Its identifier within the pool.
    pub fn id(&self) -> PeId {
        self.inner.id
    }

    /// The addresses at which it serves.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.inner.addresses
    }

    /// The SCTP port at which it serves.
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// The machine, for everything else.
    pub fn handle(&self) -> &Handle<Machine> {
        &self.inner.handle
    }

    /// Joins the pool, and waits until it is a member (RFC 5352 §3.1). As long as no registrar can be reached at all, that takes:
    /// give it up by dropping the future, which changes nothing for the element.
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
    pub fn membership(&self) -> Membership {
        self.inner.role.membership.borrow().clone()
    }

    /// Waits until it stands otherwise than `known`, and says how. An element that was refused can [`register`](Self::register)
    /// again when what was wrong has been corrected.
    pub async fn membership_changed(&self, known: &Membership) -> Membership {
        let mut membership = self.inner.role.membership.subscribe();
        let changed = membership.wait_for(|state| state != known).await;
        changed.map_or(Membership::Out, |state| state.clone())
    }

    /// The next session that a user opens; `None` when the element has stopped. A user's session begins with its first message.
    /// Dropping the future loses none.
    pub async fn accept(&self) -> Option<ElementSession> {
        let Opened(association, inbox) = self.inner.role.backlog.next().await.ok()?;
        let (handle, role) = (self.inner.handle.clone(), self.inner.role.clone());
        Some(ElementSession::new(handle, role, association, inbox))
    }

    /// Changes the values for the pool's policy. Registrars are told at once (RFC 5352 §3.1).
    pub async fn set_policy(&self, policy: Policy<'static>) -> Result<(), Stopped> {
        let role = self.inner.role.clone();
        let set = move |element: &mut Machine, now| {
            *lock(&role.policy) = policy;
            element.set_policy(now, policy);
        };
        self.inner.handle.call(set).await
    }

    /// Changes the load, from 0 to 1, of an element with one of the least-used policies (RFC 5356 §5). Registrars are told at
    /// once, and by default take a thousand of it a second from all elements of a host: tell what has changed, and not more often
    /// than users resolve.
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

    /// Recommends elements of its pool to users, for the time when this one has failed, the first one preferred
    /// (RFC 5352 §3.9). Without any there is no business card.
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
    /// (RFC 5352 §3.2). Each of both takes `closing_timeout` at most. Sessions that the application holds end with
    /// [`Ended::Stopped`].
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
    /// The pool's policy, with this element's values. All elements of a pool have one (RFC 5356 §3).
    pub fn policy(mut self, policy: Policy<'static>) -> Self {
        self.config.policy = policy;
        self
    }

    /// The SCTP port to serve at.
    pub fn port(mut self, port: u16) -> Self {
        self.options.sctp_port = Some(port);
        self
    }

    /// Binds the endpoint, and returns the element with the future that runs it. It is no member until
    /// [`PoolElement::register`]. Its user transport is SCTP with a control channel, at the addresses of the endpoint, unless
    /// the configuration says otherwise.
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
            self.config.user_transport = TransportBuf::from(&Transport::Sctp(SctpTransport {
                port,
                transport_use: TransportUse::DATA_PLUS_CONTROL,
                addresses: List::Slice(&addresses),
            }));
        }
        let role = Arc::new(Served {
            sessions: Sessions::new(self.limits),
            backlog: Inbox::new(),
            membership: watch::Sender::new(Membership::Out),
            joined: AtomicBool::new(false),
            policy: Mutex::new(self.config.policy),
        });
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

    /// Binds the endpoint, runs it in a task of its own, and joins the pool: returns when it is a member.
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

/// A session that waits to be accepted.
pub(super) struct Opened(AssocId, Arc<Inbox<ElementEvent>>);

impl Weigh for Opened {
    fn weight(&self) -> usize {
        1
    }
}

/// The router's side of an element.
pub(super) struct Served {
    sessions: Sessions<Self>,
    backlog: Inbox<Opened>,
    membership: watch::Sender<Membership>,
    /// Whether it was a member, and neither left nor was refused since.
    joined: AtomicBool,
    policy: Mutex<Policy<'static>>,
}

impl Role for Served {
    type Machine = Machine;
    type Id = AssocId;
    type Item = ElementEvent;

    fn sessions(&self) -> &Sessions<Self> {
        &self.sessions
    }

    fn take(&self, event: Event) -> Option<(AssocId, ElementEvent)> {
        Some(match event {
            Event::SessionOpened { association } => {
                self.open(association);
                return None;
            }
            Event::SessionClosed { association } => {
                self.sessions.end(association, Ended::Closed);
                return None;
            }
            Event::CookieEcho {
                association,
                cookie,
            } => (association, ElementEvent::CookieEcho(cookie)),
            Event::BusinessCard {
                association,
                pool_handle,
                elements,
            } => {
                let card = ElementEvent::BusinessCard {
                    pool: pool_handle,
                    elements,
                };
                (association, card)
            }
            Event::Message {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message::received(ppid, stream, bytes);
                (association, ElementEvent::Message(message))
            }
            Event::Undelivered {
                association,
                ppid,
                stream,
                bytes,
            } => {
                let message = Message::received(ppid, stream, bytes);
                (association, ElementEvent::Undelivered(message))
            }
            other => {
                self.told(other);
                return None;
            }
        })
    }

    fn close(element: &mut Machine, association: AssocId) {
        element.close(association);
    }

    /// Its registrar waits, always: an element that does not answer is taken for dead (RFC 5352 §3.4).
    fn is_awaited(&self) -> bool {
        true
    }

    fn stopped(&self) {
        self.backlog.end(Ended::Stopped);
        let error = RegisterError::from(Stopped);
        self.membership.send_replace(Membership::Failed(error));
    }
}

impl Served {
    fn open(&self, association: AssocId) {
        let inbox = self.sessions.open(association);
        let opened = Opened(association, inbox);
        let limit = self.sessions.limits.backlog;
        if self.backlog.open().is_err() || self.backlog.push(opened, limit).is_err() {
            tracing::debug!(?association, "nobody accepts the session");
            self.sessions.close(association, Ended::Closed);
        }
    }

    fn told(&self, event: Event) {
        let membership = match event {
            Event::Registered { .. } => Membership::Member,
            // It was one, and stays one if it can: another registrar may answer.
            Event::RegistrationFailed if self.joined.load(Ordering::Relaxed) => {
                let register = |element: &mut Machine, now| element.register(now);
                self.sessions.leave_behind(Box::new(register));
                Membership::Joining
            }
            Event::RegistrationFailed => Membership::Failed(RegisterError::NoAnswer),
            Event::Rejected { causes } => Membership::Failed(RegisterError::Rejected(causes)),
            Event::Deregistered { .. } => Membership::Out,
            Event::Expired => Membership::Joining,
            other => return tracing::debug!(?other, "the element tells"),
        };
        if membership != Membership::Joining {
            let joined = membership == Membership::Member;
            self.joined.store(joined, Ordering::Relaxed);
        }
        self.membership.send_replace(membership);
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
