//! The element and its registrar: whether there is one, what it refuses, and the farewell.

use core::time::Duration;

use rserpool_core::element::{Event, PoolElement};
use rserpool_core::wire::CauseCode;
use rserpool_core::{AssocId, PoolHandle};
use rserpool_tokio::{Events, Handle};

use crate::common::{ClientArgs, Failure};

/// Tells the user when there is no registrar.
pub(super) struct Home {
    clock: tokio::time::Interval,
    missing: u32,
}

impl Home {
    /// How often it is looked after, and how many times in a row there is none before it is said.
    const PERIOD: Duration = Duration::from_millis(500);
    const PATIENCE: u32 = 6;

    pub(super) fn new() -> Self {
        Self {
            clock: tokio::time::interval(Self::PERIOD),
            missing: 0,
        }
    }

    /// Waits until it is time to look again.
    pub(super) async fn tick(&mut self) {
        self.clock.tick().await;
    }

    pub(super) async fn watch(
        &mut self,
        handle: &Handle<PoolElement>,
        client: &ClientArgs,
    ) -> Result<(), Failure> {
        if handle.call(|element, _| element.home().is_some()).await? {
            self.missing = 0;
            return Ok(());
        }
        self.missing = self.missing.saturating_add(1);
        if self.missing == Self::PATIENCE {
            tracing::warn!("{}; trying on", client.no_registrar());
        }
        Ok(())
    }
}

/// Why the registrar does not want the element, and what to do.
pub(super) fn refusal(pool: &PoolHandle, causes: &[CauseCode]) -> String {
    let hint = match causes {
        [CauseCode::INCONSISTENT_POLICY] => {
            format!("; all elements of a pool have one policy, 'rserpool resolve {pool}' shows it")
        }
        [CauseCode::NON_UNIQUE_PE_ID] => "; choose another --id".into(),
        _ => String::new(),
    };
    let names = names(causes);
    format!("the registrar refused the registration in pool {pool}: {names}{hint}")
}

pub(super) fn names(causes: &[CauseCode]) -> String {
    let names: Vec<_> = causes.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "no cause given".into()
    } else {
        names.join(", ")
    }
}

/// Leaves the pool, so that nobody is sent here any more. The other events go to `serve` meanwhile.
pub(crate) async fn leave(
    handle: &Handle<PoolElement>,
    events: &mut Events<Event>,
    mut serve: impl AsyncFnMut(Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let registered = handle
        .call(|element, now| {
            element.deregister(now);
            element.home().is_some()
        })
        .await?;
    if !registered {
        return Ok(());
    }
    let deregistered = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Deregistered { .. }) {
                tracing::info!("de-registered");
                return Ok(());
            }
            serve(event).await?;
        }
        Ok(())
    };
    let left = tokio::time::timeout(PATIENCE, deregistered).await;
    left.unwrap_or_else(|_| {
        tracing::warn!("no registrar answers the de-registration");
        Ok(())
    })
}

/// Closes sessions.
pub(crate) async fn close(
    handle: &Handle<PoolElement>,
    sessions: impl IntoIterator<Item = AssocId>,
) -> Result<(), Failure> {
    let sessions: Vec<_> = sessions.into_iter().collect();
    let close = move |element: &mut PoolElement, _| {
        for association in sessions {
            element.close(association);
        }
    };
    Ok(handle.call(close).await?)
}
