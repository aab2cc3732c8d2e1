//! From one stream of events to many sessions.
//!
//! Where the inbox of a session is full, nothing more is taken until there is room in it: the windows of all peers close. One
//! that is not read for [`Limits::patience`] while anybody else waits is given up.

use alloc::sync::Arc;
use core::hash::Hash;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use rserpool_core::Machine;
use tokio::sync::Notify;

use super::inbox::{Inbox, Weigh};
use super::{Ended, Limits, lock};
use crate::handle::{Task, WeakHandle};
use crate::runtime::Alarm;
use crate::{Events, Runtime};

/// What the router does differently for each machine.
pub(super) trait Role: Send + Sync + Sized + 'static {
    type Machine: Machine<Event: Send> + Send + 'static;
    /// The name of a session.
    type Id: Copy + Eq + Hash + Send + Sync;
    /// What is told of a session.
    type Item: Weigh + Send + Sync;

    fn sessions(&self) -> &Sessions<Self>;

    /// Does what an event is for; one that is for a session is returned.
    fn take(&self, event: <Self::Machine as Machine>::Event) -> Option<(Self::Id, Self::Item)>;

    /// Ends a session.
    fn close(machine: &mut Self::Machine, id: Self::Id);

    /// Whether anybody waits for events that are for no session.
    fn is_awaited(&self) -> bool;

    /// The endpoint has stopped.
    fn stopped(&self);
}

type Inboxes<Ro> = HashMap<<Ro as Role>::Id, Arc<Inbox<<Ro as Role>::Item>>>;

/// The sessions of an endpoint, and what is left to do for those that have gone.
pub(super) struct Sessions<Ro: Role> {
    inboxes: Mutex<Inboxes<Ro>>,
    chores: Mutex<Vec<Task<Ro::Machine>>>,
    left_behind: Notify,
    pub(super) limits: Limits,
}

impl<Ro: Role> Sessions<Ro> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            inboxes: Mutex::new(HashMap::new()),
            chores: Mutex::new(Vec::new()),
            left_behind: Notify::new(),
            limits,
        }
    }

    /// A new session's inbox.
    pub(super) fn open(&self, id: Ro::Id) -> Arc<Inbox<Ro::Item>> {
        let inbox = Arc::new(Inbox::new());
        lock(&self.inboxes).insert(id, inbox.clone());
        inbox
    }

    pub(super) fn inbox(&self, id: Ro::Id) -> Option<Arc<Inbox<Ro::Item>>> {
        lock(&self.inboxes).get(&id).cloned()
    }

    /// A session has ended: its application reads what there is, and then why.
    pub(super) fn end(&self, id: Ro::Id, end: Ended) {
        // Not under the lock: whoever is woken may ask for it.
        let inbox = lock(&self.inboxes).remove(&id);
        if let Some(inbox) = inbox {
            inbox.end(end);
        }
    }

    /// Ends a session from this side.
    pub(super) fn close(&self, id: Ro::Id, end: Ended) {
        self.end(id, end);
        self.leave_behind(Box::new(move |machine, _| Ro::close(machine, id)));
    }

    /// Has something done that nobody waits for. There are as many chores as handles that were dropped.
    pub(super) fn leave_behind(&self, chore: Task<Ro::Machine>) {
        lock(&self.chores).push(chore);
        self.left_behind.notify_one();
    }

    /// Whether other sessions wait where one does not read.
    fn are_several(&self) -> bool {
        lock(&self.inboxes).len() > 1
    }

    async fn tidy_up(&self, handle: &WeakHandle<Ro::Machine>) {
        let chores = core::mem::take(&mut *lock(&self.chores));
        // Where the endpoint stops, everything ends.
        let Some(handle) = handle.upgrade() else {
            return;
        };
        let all = move |machine: &mut Ro::Machine, now| {
            for chore in chores {
                chore(machine, now);
            }
        };
        // The same.
        let _ = handle.run(Box::new(all)).await;
    }
}

/// What is for a session.
struct Parcel<Ro: Role> {
    id: Ro::Id,
    inbox: Arc<Inbox<Ro::Item>>,
    item: Ro::Item,
}

/// What is for a session whose inbox is full.
struct Stalled<Ro: Role> {
    parcel: Parcel<Ro>,
    until: Instant,
}

/// The endpoint as a whole: its driver, and what becomes of its events.
pub(super) fn run<R: Runtime, Ro: Role>(
    role: Arc<Ro>,
    handle: WeakHandle<Ro::Machine>,
    events: Events<<Ro::Machine as Machine>::Event>,
    driver: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let mut router = Router {
        role,
        handle,
        events,
        stalled: None,
    };
    async move {
        tokio::select! {
            () = driver => {}
            () = router.route::<R>() => {}
        }
    }
}

struct Router<Ro: Role> {
    role: Arc<Ro>,
    handle: WeakHandle<Ro::Machine>,
    events: Events<<Ro::Machine as Machine>::Event>,
    stalled: Option<Stalled<Ro>>,
}

impl<Ro: Role> Router<Ro> {
    /// Ends never: the driver does.
    async fn route<R: Runtime>(&mut self) {
        let sessions = self.role.sessions();
        let mut alarm = Alarm::<R>::new();
        loop {
            let until = self.stalled.as_ref().map(|stalled| stalled.until);
            let room = async {
                match &self.stalled {
                    Some(stalled) => stalled.parcel.inbox.taken().await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.recv(), if until.is_none() => match event {
                    Some(event) => self.stalled = take(&*self.role, event),
                    None => core::future::pending().await,
                },
                () = sessions.left_behind.notified() => sessions.tidy_up(&self.handle).await,
                () = room => {
                    self.stalled = self.stalled.take().and_then(|stalled| deliver(sessions, stalled.parcel));
                }
                () = alarm.wait(until) => {
                    self.stalled = self.stalled.take().and_then(|stalled| give_up(&*self.role, stalled));
                }
            }
        }
    }
}

/// The endpoint has stopped, or whoever ran it has. What had come before is read, and is little.
impl<Ro: Role> Drop for Router<Ro> {
    fn drop(&mut self) {
        let sessions = self.role.sessions();
        let mut last = self.stalled.take().map(|stalled| stalled.parcel);
        loop {
            if let Some(Parcel { inbox, item, .. }) = last {
                // There is no limit.
                let _ = inbox.push(item, usize::MAX);
            }
            match self.events.try_recv() {
                Ok(event) => last = parcel(&*self.role, event),
                Err(_) => break,
            }
        }
        let inboxes = core::mem::take(&mut *lock(&sessions.inboxes));
        for inbox in inboxes.into_values() {
            inbox.end(Ended::Stopped);
        }
        self.role.stopped();
    }
}

/// What an event is for a session, if it is for one.
fn parcel<Ro: Role>(role: &Ro, event: <Ro::Machine as Machine>::Event) -> Option<Parcel<Ro>> {
    let (id, item) = role.take(event)?;
    Some(Parcel {
        id,
        inbox: role.sessions().inbox(id)?,
        item,
    })
}

fn take<Ro: Role>(role: &Ro, event: <Ro::Machine as Machine>::Event) -> Option<Stalled<Ro>> {
    deliver(role.sessions(), parcel(role, event)?)
}

/// Puts it into the inbox; returned is what has no room, although something may just have been read.
fn deliver<Ro: Role>(sessions: &Sessions<Ro>, parcel: Parcel<Ro>) -> Option<Stalled<Ro>> {
    let result = parcel.inbox.push(parcel.item, sessions.limits.unread);
    result.err().map(|item| Stalled {
        parcel: Parcel { item, ..parcel },
        until: Instant::now() + sessions.limits.patience,
    })
}

/// Gives a session up that is not read, unless nobody else waits, or the alarm was for another one.
fn give_up<Ro: Role>(role: &Ro, mut stalled: Stalled<Ro>) -> Option<Stalled<Ro>> {
    let sessions = role.sessions();
    let now = Instant::now();
    if now < stalled.until {
        return Some(stalled);
    }
    if !role.is_awaited() && !sessions.are_several() {
        stalled.until = now + sessions.limits.patience;
        return Some(stalled);
    }
    tracing::warn!("a session is not read while others wait; giving it up");
    sessions.close(stalled.parcel.id, Ended::Unread);
    None
}

#[cfg(test)]
mod tests {
    use rserpool_core::user::{Event, PoolUser};

    use super::*;

    struct Nobody(Sessions<Self>);

    impl Weigh for u8 {
        fn weight(&self) -> usize {
            usize::from(*self)
        }
    }

    impl Role for Nobody {
        type Machine = PoolUser;
        type Id = u8;
        type Item = u8;

        fn sessions(&self) -> &Sessions<Self> {
            &self.0
        }

        fn take(&self, _: Event) -> Option<(u8, u8)> {
            None
        }

        fn close(_: &mut PoolUser, _: u8) {}

        fn is_awaited(&self) -> bool {
            true
        }

        fn stopped(&self) {}
    }

    #[test]
    fn who_reads_too_little_for_what_waits_is_given_all_the_time_again() {
        const LIMIT: usize = 10;
        let limits = Limits {
            unread: LIMIT,
            ..Limits::default()
        };
        let role = Nobody(Sessions::new(limits));
        let inbox = role.0.open(7);
        for _ in 0..LIMIT {
            assert_eq!(inbox.push(1, LIMIT), Ok(()));
        }
        let past = Instant::now();
        let parcel = Parcel {
            id: 7,
            inbox: inbox.clone(),
            item: 5,
        };
        assert_eq!(inbox.take(), Some(Ok(1)));
        let stalled = deliver(&role.0, parcel).expect("there is no room");
        let stalled = give_up(&role, stalled).expect("something was read");
        assert_eq!(inbox.open(), Ok(()));
        assert!(stalled.until >= past + limits.patience);
        let stalled = Stalled {
            until: past,
            ..stalled
        };
        assert!(give_up(&role, stalled).is_none());
        assert_eq!(inbox.open(), Err(Ended::Unread));
    }
}
