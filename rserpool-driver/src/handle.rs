//! How commands come to a machine that an endpoint runs.

use rserpool_core::{AssocId, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Something to do with the machine.
pub(crate) type Task<M> = Box<dyn FnOnce(&mut M, Instant) + Send>;

/// The same, with a way to ask whether a peer's send buffer is full.
pub(crate) type RoomTask<M> = Box<dyn FnOnce(&mut M, Instant, &dyn Fn(AssocId) -> bool) + Send>;

/// What a handle wants of the driver.
pub(crate) enum Command<M> {
    Run(RoomTask<M>),
    Stop,
}

/// The events of a machine, in order; `None` when the endpoint has stopped. Up to
/// [`event_capacity`](crate::Options::event_capacity) of them wait to be taken; then peers have to wait.
///
/// ```
/// use rserpool_core::element::Event;
/// use rserpool_tokio::Events;
///
/// async fn print(mut events: Events<Event>) {
///     while let Some(event) = events.recv().await {
///         println!("{event:?}");
///     }
/// }
/// ```
pub type Events<E> = mpsc::Receiver<E>;

/// The endpoint has stopped.
///
/// ```
/// use rserpool_tokio::{Ended, SendError, Stopped};
///
/// assert_eq!(Stopped.to_string(), "the endpoint has stopped");
/// assert_eq!(SendError::from(Stopped), SendError::Ended(Ended::Stopped));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint has stopped")]
pub struct Stopped;

/// Gives commands to a machine that an endpoint runs. When the last handle is dropped, the endpoint stops.
///
/// ```
/// use rserpool_core::registrar::{Counters, Registrar};
/// use rserpool_tokio::{Handle, Stopped};
///
/// async fn counters(registrar: &Handle<Registrar>) -> Result<Counters, Stopped> {
///     registrar.call(|registrar, _| registrar.counters()).await
/// }
/// ```
pub struct Handle<M> {
    commands: mpsc::Sender<Command<M>>,
    room: Room,
}

/// What the driver tells of the send buffers.
#[derive(Clone)]
pub(crate) struct Room {
    /// Whether any is full.
    pub(crate) full: watch::Receiver<bool>,
    /// Changes whenever one has room again.
    pub(crate) relieved: watch::Receiver<u64>,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            room: self.room.clone(),
        }
    }
}

impl<M> Handle<M> {
    pub(crate) fn new(commands: mpsc::Sender<Command<M>>, room: Room) -> Self {
        Self { commands, room }
    }

    /// Runs `command` on the machine and returns its result. What it queues is done at once. [`Stopped`] says that it was not
    /// run; where the future is dropped, it was run or not.
    ///
    /// ```no_run
    /// # async fn example(element: rserpool_tokio::PoolElement) -> Result<(), Box<dyn core::error::Error>> {
    /// let (is_member, home) = element
    ///     .handle()
    ///     .call(|element, _| (element.is_registered(), element.home()))
    ///     .await?;
    /// println!("member: {is_member}, home: {home:?}");
    /// # Ok(()) }
    /// ```
    pub async fn call<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        self.answer(move |machine, now, _| command(machine, now))
            .await
    }

    /// The same, when no messages to a peer wait for room in its send buffer: the one on the association that `to` says, if any.
    /// Whoever sends much to one peer sends it here, and is held to the speed of that peer and of no other. Both closures may be
    /// called several times, but what `command` does is done once. Go on taking events meanwhile: the peer may wait for that.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     handle: rserpool_tokio::Handle<rserpool_core::user::PoolUser>,
    /// #     session: rserpool_core::user::SessionId,
    /// #     chunk: bytes::Bytes,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::Ppid;
    ///
    /// handle
    ///     .call_with_room(
    ///         move |user| user.association(session),
    ///         move |user, _| user.send(session, Ppid::UNSPECIFIED, 0, chunk),
    ///     )
    ///     .await??;
    /// # Ok(()) }
    /// ```
    pub async fn call_with_room<R: Send + 'static>(
        &self,
        to: impl Fn(&M) -> Option<AssocId> + Clone + Send + 'static,
        command: impl FnOnce(&mut M, Instant) -> R + Clone + Send + 'static,
    ) -> Result<R, Stopped> {
        let mut relieved = self.room.relieved.clone();
        loop {
            // Before the attempt: what changes in between counts.
            relieved.mark_unchanged();
            let (to, command) = (to.clone(), command.clone());
            let attempt = self.answer(move |machine, now, is_full| {
                let full = to(machine).is_some_and(is_full);
                (!full).then(|| command(machine, now))
            });
            match attempt.await? {
                Some(result) => return Ok(result),
                None => relieved.changed().await.map_err(|_| Stopped)?,
            }
        }
    }

    async fn answer<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut M, Instant, &dyn Fn(AssocId) -> bool) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, result) = oneshot::channel();
        let task: RoomTask<M> = Box::new(move |machine, now, is_full| {
            // Whoever asked may have gone; the command is done all the same.
            let _ = answer.send(command(machine, now, is_full));
        });
        self.give(Command::Run(task)).await?;
        result.await.map_err(|_| Stopped)
    }

    /// Has something done without waiting for it.
    pub(crate) async fn run(&self, task: Task<M>) -> Result<(), Stopped>
    where
        M: 'static,
    {
        let task: RoomTask<M> = Box::new(move |machine, now, _| task(machine, now));
        self.give(Command::Run(task)).await
    }

    async fn give(&self, command: Command<M>) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// Stops the endpoint, whatever handles there are: its associations are closed in order, for at most
    /// [`closing_timeout`](crate::Options::closing_timeout). It has stopped when its events end.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     handle: rserpool_tokio::Handle<rserpool_core::user::PoolUser>,
    /// #     mut events: rserpool_tokio::Events<rserpool_core::user::Event>,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// handle.stop().await;
    /// while let Some(event) = events.recv().await {
    ///     println!("at the last moment: {event:?}");
    /// }
    /// println!("stopped");
    /// # Ok(()) }
    /// ```
    pub async fn stop(&self) {
        // It may have stopped already.
        let _ = self.give(Command::Stop).await;
    }

    pub(crate) fn downgrade(&self) -> WeakHandle<M> {
        WeakHandle {
            commands: self.commands.downgrade(),
            room: self.room.clone(),
        }
    }

    /// Waits until no association of the endpoint has messages beyond its send buffer. Whoever sends much waits here before
    /// each message, and is held to the speed of the slowest peer; without it, a peer that lets 4 MiB wait beside its send
    /// buffer is given up. Go on taking events meanwhile: a peer may wait for that. It fails where the endpoint has stopped.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     handle: rserpool_tokio::Handle<rserpool_core::user::PoolUser>,
    /// #     session: rserpool_core::user::SessionId,
    /// #     chunks: Vec<bytes::Bytes>,
    /// # ) -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_core::Ppid;
    ///
    /// for chunk in chunks {
    ///     handle.writable().await?;
    ///     handle
    ///         .call(move |user, _| user.send(session, Ppid::UNSPECIFIED, 0, chunk))
    ///         .await??;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn writable(&self) -> Result<(), Stopped> {
        let mut full = self.room.full.clone();
        full.wait_for(|full| !full).await.map_err(|_| Stopped)?;
        if self.commands.is_closed() {
            return Err(Stopped);
        }
        Ok(())
    }
}

/// A handle that does not keep the endpoint running.
pub(crate) struct WeakHandle<M> {
    commands: mpsc::WeakSender<Command<M>>,
    room: Room,
}

impl<M> WeakHandle<M> {
    /// `None` where the endpoint stops.
    pub(crate) fn upgrade(&self) -> Option<Handle<M>> {
        Some(Handle {
            commands: self.commands.upgrade()?,
            room: self.room.clone(),
        })
    }
}
