//! Sessions that are passed on, each to a connection or a process of its own.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use rserpool_core::AssocId;
use rserpool_core::element::PoolElement;
use rserpool_tokio::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::exec::Program;
use super::forward::Server;
use super::service::Message;
use crate::common::Failure;
use crate::relay::{Inlet, Line};

/// Where sessions are passed on to.
pub(super) enum Target {
    Server(Server),
    Program(Program),
}

/// What happens again and again, and is said the first, second, fourth, eighth time.
#[derive(Debug, Default)]
pub(super) struct Streak(AtomicU32);

impl Streak {
    /// It has happened: the number to tell, if it is to be told.
    pub(super) fn count(&self) -> Option<u32> {
        let count = self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        count.is_power_of_two().then_some(count)
    }

    /// It is over: says whether it had happened.
    pub(super) fn end(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// All sessions of the element.
pub(super) struct Relays {
    target: Arc<Target>,
    sessions: BTreeMap<AssocId, Inlet>,
    /// Places for sessions. Each is held until all that belongs to it has ended.
    places: Arc<Semaphore>,
    max: usize,
    refused: Streak,
}

impl Relays {
    /// How long connections and processes may take to end: longer than each of them does.
    const PATIENCE: Duration = Duration::from_secs(15);

    pub(super) fn new(target: Target, max: usize) -> Self {
        Self {
            target: Arc::new(target),
            sessions: BTreeMap::new(),
            places: Arc::new(Semaphore::new(max)),
            max,
            refused: Streak::default(),
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Passes a session on; closes it where there are too many, so that the user goes to another element.
    pub(super) async fn open(
        &mut self,
        handle: &Handle<PoolElement>,
        association: AssocId,
    ) -> Result<(), Failure> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            if let Some(refused) = self.refused.count() {
                tracing::warn!(
                    refused,
                    "all {} places are taken: users are sent away; see --max-sessions",
                    self.max
                );
            }
            return super::close(handle, [association]).await;
        };
        self.refused.end();
        let (line, inlet) = Line::new(handle, association);
        self.sessions.insert(association, inlet);
        let target = Arc::clone(&self.target);
        tokio::spawn(async move {
            match &*target {
                Target::Server(server) => server.serve(&line).await,
                Target::Program(program) => program.serve(&line).await,
            }
            drop(place);
        });
        Ok(())
    }

    pub(super) fn close(&mut self, association: AssocId) {
        if let Some(inlet) = self.sessions.remove(&association) {
            inlet.close();
        }
    }

    pub(super) fn stop(&mut self) -> Vec<AssocId> {
        let sessions = core::mem::take(&mut self.sessions);
        sessions.values().for_each(Inlet::close);
        sessions.into_keys().collect()
    }

    pub(super) async fn finished(&self) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        // Those that do not end in time are left to the end of this program.
        let _ = timeout(Self::PATIENCE, self.places.acquire_many(all)).await;
    }

    pub(super) async fn message(
        &mut self,
        handle: &Handle<PoolElement>,
        message: &Message,
    ) -> Result<(), Failure> {
        let Some(inlet) = self.sessions.get(&message.association) else {
            // It was sent away, and does not know yet.
            return Ok(());
        };
        if let Err(breach) = inlet.take(message.ppid, &message.bytes).await {
            tracing::warn!(?breach, "session cut off");
            inlet.close();
            super::close(handle, [message.association]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Streak;

    #[test]
    fn what_happens_often_is_said_seldom() {
        let streak = Streak::default();
        let told: Vec<_> = (0..9).filter_map(|_| streak.count()).collect();
        assert_eq!(told, [1, 2, 4, 8]);
        assert!(streak.end());
        assert!(!streak.end());
        assert_eq!(streak.count(), Some(1));
    }
}
