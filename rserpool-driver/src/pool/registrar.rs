//! A registrar as an application holds it.

use core::fmt;
use core::marker::PhantomData;
use core::net::SocketAddr;
use std::io;

use alloc::sync::Arc;
use rserpool_core::registrar::{Config, Event, Registrar as Machine};
use rserpool_core::{Instant, ServerId};
use tokio::sync::broadcast;

use super::Builder;
use crate::{Events, Handle, Options, Runtime, Spawn, seed};

/// A registrar (RFC 5352, RFC 5353). It runs as long as a clone of it lives.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
/// use rserpool_tokio::Registrar;
///
/// let peer = "192.0.2.2:9901".parse()?;
/// let registrar = Registrar::builder()
///     .options(|options| options.local = vec!["192.0.2.1".parse().expect("an address")])
///     .config(|config| config.peers.push(peer))
///     .spawn()?;
/// let mut events = registrar.events();
/// while let Ok(event) = events.recv().await {
///     println!("{event:?}");
/// }
/// # Ok(()) }
/// ```
pub struct Registrar<R> {
    inner: Arc<Inner>,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for Registrar<R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Registrar<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registrar").field(&self.inner.id).finish()
    }
}

struct Inner {
    handle: Handle<Machine>,
    id: ServerId,
    local: SocketAddr,
    events: broadcast::Receiver<Event>,
}

impl<R: Runtime> Registrar<R> {
    /// A registrar with the RFC's defaults, at the first free loopback address from 127.0.0.1 on, without peers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use core::time::Duration;
    /// use rserpool_tokio::Registrar;
    ///
    /// // One in the same program, which notices sooner that an element is gone.
    /// let registrar = Registrar::builder()
    ///     .config(|config| config.keep_alive_interval = Duration::from_secs(5))
    ///     .spawn()?;
    /// println!("registrar {} at {}", registrar.id(), registrar.address());
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder<R, Config> {
        Builder::new(Options::registrar(), Config::default())
    }

    /// Its identifier, by which its peers know it (RFC 5353 §3.2.1).
    ///
    /// ```no_run
    /// # async fn example(registrar: rserpool_tokio::Registrar) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::registrar::Event;
    ///
    /// let mut events = registrar.events();
    /// while let Ok(event) = events.recv().await {
    ///     if let Event::TakenOver { server, elements } = event {
    ///         println!("{} has {elements} elements of {server}", registrar.id());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> ServerId {
        self.inner.id
    }

    /// Where elements and users find it: its first ASAP address, and SCTP port.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::{PoolUser, Registrar};
    ///
    /// let registrar = Registrar::builder().spawn()?;
    /// let user = PoolUser::builder().registrar(registrar.address()).spawn()?;
    /// // It answers: there is no such pool.
    /// let error = user.resolve("EchoPool").await.expect_err("nobody has registered");
    /// assert_eq!(error.to_string(), "the registrar refused: Unknown Pool Handle");
    /// # Ok(()) }
    /// ```
    pub fn address(&self) -> SocketAddr {
        self.inner.local
    }

    /// What happens from now on. Who falls back by more than 1,024 events misses the oldest ones, and is told how many.
    ///
    /// ```no_run
    /// # async fn example(registrar: rserpool_tokio::Registrar) -> Result<(), Box<dyn core::error::Error>> {
    /// use tokio::sync::broadcast::error::RecvError;
    ///
    /// let mut events = registrar.events();
    /// loop {
    ///     match events.recv().await {
    ///         Ok(event) => println!("{event:?}"),
    ///         Err(RecvError::Lagged(missed)) => println!("{missed} events were too many"),
    ///         Err(RecvError::Closed) => break,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.resubscribe()
    }

    /// The machine, for everything else.
    ///
    /// ```no_run
    /// # async fn example(registrar: rserpool_tokio::Registrar) -> Result<(), Box<dyn core::error::Error>> {
    /// let (elements, peers) = registrar
    ///     .handle()
    ///     .call(|registrar, _| (registrar.handlespace().len(), registrar.peers().count()))
    ///     .await?;
    /// println!("{elements} elements, {peers} peers");
    /// # Ok(()) }
    /// ```
    pub fn handle(&self) -> &Handle<Machine> {
        &self.inner.handle
    }

    /// Closes all associations in order, for at most `closing_timeout` (2 s), and stops. Its peers take its elements over
    /// (RFC 5353 §3.5).
    ///
    /// ```no_run
    /// # async fn example(registrar: rserpool_tokio::Registrar) -> Result<(), Box<dyn core::error::Error>> {
    /// tokio::signal::ctrl_c().await?;
    /// registrar.shutdown().await;
    /// // Its addresses are free again.
    /// # Ok(()) }
    /// ```
    pub async fn shutdown(&self) {
        let mut events = self.events();
        self.inner.handle.stop().await;
        while !matches!(
            events.recv().await,
            Err(broadcast::error::RecvError::Closed)
        ) {}
    }
}

impl<R: Runtime> Builder<R, Config> {
    /// Binds the endpoint, and returns the registrar with the future that runs it. Fails as [`Options::bind`] does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Registrar;
    ///
    /// let (registrar, endpoint) = Registrar::builder().start()?;
    /// let task = tokio::spawn(endpoint);
    /// println!("{}", registrar.address());
    /// // It stops with its last handle, and says so.
    /// drop(registrar);
    /// task.await?;
    /// # Ok(()) }
    /// ```
    pub fn start(
        mut self,
    ) -> io::Result<(Registrar<R>, impl Future<Output = ()> + Send + 'static)> {
        let bound = self.options.bind()?;
        let addresses = bound.addresses();
        let at = |port: Option<u16>| {
            let at_port = |port| addresses.iter().map(move |ip| SocketAddr::new(*ip, port));
            port.into_iter().flat_map(at_port).collect()
        };
        let asap: Vec<_> = at(self.options.sctp_port);
        let local = asap.first().copied().unwrap_or(bound.local());
        if self.config.asap_addresses.is_empty() {
            self.config.asap_addresses = asap;
        }
        self.config.asap_tcp_port = self.options.asap_tcp_port;
        if self.config.enrp_addresses.is_empty() {
            self.config.enrp_addresses = at(self.options.enrp_port);
        }
        let machine = Machine::new(self.config, Instant::EPOCH, seed()?);
        let id = machine.id();
        let (handle, events, driver) = bound.drive(machine).into_parts();
        let (sender, receiver) = broadcast::channel(EVENTS);
        let registrar = Registrar {
            inner: Arc::new(Inner {
                handle,
                id,
                local,
                events: receiver,
            }),
            runtime: PhantomData,
        };
        let run = async move {
            let forward = forward(events, sender);
            tokio::join!(driver, forward);
        };
        Ok((registrar, run))
    }

    /// Binds the endpoint, and runs it in a task of its own. Fails as [`Options::bind`] does.
    ///
    /// ```no_run
    /// # async fn example(name: &str, peers: Vec<core::net::SocketAddr>) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Registrar;
    ///
    /// let local = name.parse()?;
    /// let registrar = Registrar::builder()
    ///     .options(|options| options.local = vec![local])
    ///     .config(|config| config.peers = peers)
    ///     .spawn()?;
    /// # let _ = registrar;
    /// # Ok(()) }
    /// ```
    pub fn spawn(self) -> io::Result<Registrar<R>>
    where
        R: Spawn,
    {
        let (registrar, run) = self.start()?;
        R::spawn(run);
        Ok(registrar)
    }
}

/// How many events are kept for who is slow.
const EVENTS: usize = 1024;

async fn forward(mut events: Events<Event>, sender: broadcast::Sender<Event>) {
    while let Some(event) = events.recv().await {
        // Perhaps nobody wants to know.
        let _ = sender.send(event);
    }
}
