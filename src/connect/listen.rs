//! A local TCP port whose connections each become a session with the pool.
//!
//! A connection goes from element to element until one is ready for it. From then on it stays with that one: what has been said
//! cannot be said again to another. Where it is lost, the connection is reset.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::io;

use rserpool_core::user::{Event, PoolUser, ResolveError, SessionId};
use rserpool_core::{PeId, PoolHandle};
use rserpool_tokio::{Events, Handle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{ConnectArgs, why_ended};
use crate::common::{Failure, why_not_bound};
use crate::relay::{CONTROL, Connection, CutOff, Inlet, Line, greeting};

/// Where connections are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(SocketAddr);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = match text.parse::<u16>() {
            Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
            Err(_) => text.parse(),
        };
        place
            .map(Self)
            .map_err(|_| "expected PORT or ADDR:PORT, such as 8080 or 127.0.0.1:8080".into())
    }
}

/// The local port.
pub(super) struct Gate {
    listener: TcpListener,
    /// Room for connections. Without it they wait in the listener's queue.
    places: Arc<Semaphore>,
}

impl Gate {
    /// How long nothing is taken when the system has no descriptor left, or the like.
    const PAUSE: Duration = Duration::from_millis(100);

    pub(super) async fn open(place: Place, max_connections: u32) -> Result<Self, Failure> {
        let listener = TcpListener::bind(place.0).await.map_err(|error| {
            let why = why_not_bound(&error);
            Failure::failed(format!(
                "cannot listen at {}: {why}; choose another address or port",
                place.0
            ))
        })?;
        let max = usize::try_from(max_connections).unwrap_or(usize::MAX);
        Ok(Self {
            listener,
            places: Arc::new(Semaphore::new(max)),
        })
    }

    /// Where it is.
    pub(super) fn place(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves connections by sessions over SCTP; does not end by itself.
    pub(super) async fn serve(
        &self,
        args: &ConnectArgs,
        handle: &Handle<PoolUser>,
        events: &mut Events<Event>,
    ) -> Result<(), Failure> {
        tracing::info!(pool = %args.pool, "listening at {}", self.place()?);
        let pool = args.pool.clone();
        let watch = move |user: &mut PoolUser, now| {
            // Elements that come and go are known before a connection is. The second one tells where there is no registrar.
            let subscribed = user.subscribe(now, &pool);
            user.resolve(now, &pool);
            subscribed
        };
        let subscribed = handle.call(watch).await?;
        subscribed.map_err(|error| Failure::failed(error.to_string()))?;
        let mut connections = Connections::new(handle, args);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => connections.hear(event).await?,
                    None => return Err(Failure::socket()),
                },
                Some(Ok(ended)) = connections.tasks.join_next() => {
                    connections.inlets.remove(&ended);
                }
                (stream, place) = self.next() => connections.add(stream, place).await?,
            }
        }
    }

    /// The next connection, and its place. Nothing is lost where this is dropped before it ends.
    pub(super) async fn next(&self) -> (Connection, OwnedSemaphorePermit) {
        loop {
            match self.accept().await {
                Ok((stream, place)) => return (Connection::new(stream), place),
                Err(error) => {
                    tracing::warn!("cannot take a connection: {error}");
                    tokio::time::sleep(Self::PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, place))
    }
}

/// Waits until an element is ready for the connection, and leaves those that are not ready in half the time that there is.
async fn accepted(line: &Line<PoolUser>, give_up: Duration) -> Result<(), CutOff> {
    let end = Instant::now() + give_up;
    while !line.accepted(give_up / 2).await? {
        if Instant::now() >= end {
            tracing::warn!("a connection is closed: no element is ready for it");
            return Err(CutOff);
        }
        tracing::warn!("the element says nothing; looking for another one");
        line.fail_over().await;
    }
    Ok(())
}

/// What is said where there is no pool yet, or none any more.
pub(super) fn no_pool(pool: &PoolHandle) {
    tracing::warn!("there is no pool {pool}; connections wait for it");
}

/// A session has lost its element. The connection stays with it where it was ready.
fn interrupt(inlet: &Inlet, element: PeId, closed: bool) {
    if inlet.is_accepted() {
        return inlet.close();
    }
    inlet.asked(false);
    if closed {
        tracing::info!(%element, "a connection has left the element; looking for another one");
    } else {
        tracing::warn!(%element, "the element is gone; looking for another one");
    }
}

/// The connections, and the sessions that they have become.
struct Connections<'a> {
    handle: &'a Handle<PoolUser>,
    args: &'a ConnectArgs,
    inlets: BTreeMap<SessionId, Inlet>,
    tasks: JoinSet<SessionId>,
}

impl<'a> Connections<'a> {
    fn new(handle: &'a Handle<PoolUser>, args: &'a ConnectArgs) -> Self {
        Self {
            handle,
            args,
            inlets: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn add(
        &mut self,
        connection: Connection,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Failure> {
        let pool = self.args.pool.clone();
        let session = self
            .handle
            .call(move |user, now| user.open(now, &pool))
            .await?;
        // There are as many as there may be connections.
        let Some(session) = session else {
            return Ok(());
        };
        let (line, inlet) = Line::new(self.handle, session);
        self.inlets.insert(session, inlet);
        let give_up = Duration::from_secs_f64(self.args.give_up());
        self.tasks.spawn(async move {
            line.carry_tcp(connection, accepted(&line, give_up)).await;
            line.hang_up().await;
            drop(place);
            session
        });
        Ok(())
    }

    async fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message {
                session,
                ppid,
                bytes,
                ..
            } => {
                if let Some(inlet) = self.inlets.get(&session)
                    && let Err(breach) = inlet.take(ppid, &bytes).await
                {
                    tracing::warn!(?breach, "connection cut off");
                    inlet.close();
                }
            }
            Event::Connected { session, element }
            | Event::FailedOver {
                session,
                new: element,
                ..
            } => self.greet(session, element).await?,
            Event::Interrupted {
                session,
                element,
                closed,
            } => {
                if let Some(inlet) = self.inlets.get(&session) {
                    interrupt(inlet, element, closed);
                }
            }
            Event::SessionFailed { session, error } => {
                tracing::warn!("a connection is closed: {}", why_ended(&error));
                if let Some(inlet) = self.inlets.get(&session) {
                    inlet.close();
                }
            }
            Event::ResolveFailed {
                error: ResolveError::Timeout,
                ..
            } => tracing::warn!("{}; trying on", self.args.client.no_registrar()),
            Event::Updated {
                pool_handle,
                policy: None,
                ..
            } => no_pool(&pool_handle),
            _ => {}
        }
        Ok(())
    }

    /// A session has an element: it hears that there is a user, who knows of end and credit.
    async fn greet(&self, session: SessionId, element: PeId) -> Result<(), Failure> {
        let Some(inlet) = self.inlets.get(&session) else {
            return Ok(());
        };
        if !inlet.is_accepted() {
            inlet.asked(true);
            tracing::info!(%element, connections = self.inlets.len(), "connected");
            let greet = move |user: &mut PoolUser, _| user.send(session, CONTROL, 0, greeting());
            // Where the element has just been lost, the event that says so is on its way.
            let _ = self.handle.call(greet).await?;
        }
        Ok(())
    }
}
