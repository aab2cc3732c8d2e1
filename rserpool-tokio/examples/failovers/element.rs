//! An element that answers each number, after a cookie with it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use std::sync::Mutex;

use rserpool_core::element::{self, Event, PoolElement};
use rserpool_core::wire::{Policy, TransportBuf};
use rserpool_core::{AssocId, PeId};
use rserpool_tokio::{Events, Handle, Options, seed};
use tokio::task::JoinHandle;

use crate::ledger::{Ledger, Number};
use crate::{Failure, POOL, Scope};

/// The SCTP port of elements.
const PORT: u16 = 7;

/// One element.
pub(crate) struct Element {
    pub(crate) id: PeId,
    driver: JoinHandle<()>,
    service: JoinHandle<()>,
}

impl Element {
    /// It is registered when this returns.
    pub(crate) async fn start(
        scope: Scope,
        address: Ipv4Addr,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Result<Self, Failure> {
        let mut options = scope.place(Options::element(PORT), address);
        // All that sessions may have on the way: what a transport holds back goes with it, acknowledged and unread.
        options.event_capacity = 1 << 16;
        let bound = options.bind()?;
        let transport = TransportBuf::sctp(PORT, &[address.into()]);
        let mut config = element::Config::new(POOL.into(), transport, Policy::RoundRobin);
        config.hunt.registrars = vec![Scope::HOME];
        let machine = PoolElement::new(config, seed()?);
        let id = machine.id();
        let (handle, mut events, driver) = bound.drive(machine).into_parts();
        let driver = tokio::spawn(driver);
        handle.call(|element, now| element.register(now)).await?;
        match events.recv().await {
            Some(Event::Registered { .. }) => {}
            other => return Err(format!("the element is not registered: {other:?}").into()),
        }
        let service = tokio::spawn(serve(handle, events, ledger));
        Ok(Self {
            id,
            driver,
            service,
        })
    }

    /// Its sockets are gone when this returns. What it had taken from them is counted as got.
    pub(crate) async fn kill(self) {
        self.driver.abort();
        // It ends as it was told to.
        let _ = self.driver.await;
        let _ = self.service.await;
    }
}

/// Answers until the driver has ended.
async fn serve(handle: Handle<PoolElement>, mut events: Events<Event>, ledger: Arc<Mutex<Ledger>>) {
    // The last number of each session that is known here.
    let mut known: BTreeMap<AssocId, u64> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::CookieEcho {
                association,
                cookie,
            } => {
                if let (Some(number), Ok(mut ledger)) = (Number::decode(&cookie), ledger.lock()) {
                    known.insert(association, number.value);
                    ledger.echoed(number);
                }
            }
            Event::Message {
                association,
                ppid,
                stream,
                bytes,
            } => {
                if let (Some(number), Ok(mut ledger)) = (Number::decode(&bytes), ledger.lock()) {
                    ledger.got(number, known.get(&association).copied());
                    known.insert(association, number.value);
                }
                let answer = move |element: &mut PoolElement, _| {
                    // The session may have ended meanwhile.
                    let _ = element.send_cookie(association, &bytes);
                    let _ = element.send(association, ppid, stream, bytes);
                };
                // What is taken from a dead element stays without an answer.
                let _ = handle.call(answer).await;
            }
            Event::SessionClosed { association } => {
                known.remove(&association);
            }
            _ => {}
        }
    }
}
