//! A registrar, elements that echo, and a user, over either transport.

use core::net::SocketAddr;

use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser, SessionId};
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportBuf, TransportUse};
use rserpool_core::{Instant, PeId, PoolHandle, Ppid};
use tokio::sync::oneshot;

use super::probe::within_patience;
use crate::runtime::driver::{Events, Handle, Options, seed};
use crate::runtime::{spawn, start};

const POOL: &str = "EchoPool";

/// It runs as long as the handle lives.
pub(crate) fn start_registrar(options: &Options) -> Handle<Registrar> {
    let bound = options.bind().expect("the ports are free");
    let config = registrar::Config::default();
    let machine = Registrar::new(config, Instant::EPOCH, seed().unwrap());
    let (handle, mut events) = start(bound.drive(machine));
    spawn(async move { while events.recv().await.is_some() {} });
    handle
}

/// An element that echoes.
pub(crate) struct Element {
    pub(crate) id: PeId,
    crash: oneshot::Sender<()>,
}

impl Element {
    /// It is registered when this returns.
    pub(crate) async fn start(options: &Options, home: SocketAddr) -> Self {
        let bound = options.bind().expect("the port is free");
        let transport = TransportBuf::from(&Transport::Sctp(SctpTransport {
            port: options.sctp_port.expect("it is called"),
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: List::Slice(&bound.addresses()),
        }));
        let mut config = element::Config::new(POOL.into(), transport, Policy::RoundRobin);
        config.hunt.registrars = vec![home];
        let machine = PoolElement::new(config, seed().unwrap());
        let id = machine.id();
        let (handle, mut events, driver) = bound.drive(machine).into_parts();
        let (crash, crashed) = oneshot::channel();
        spawn(futures_lite::future::or(driver, async {
            if crashed.await.is_err() {
                core::future::pending::<()>().await;
            }
        }));
        handle
            .call(|element, now| element.register(now))
            .await
            .unwrap();
        let registered = within_patience(events.recv()).await;
        assert!(matches!(
            registered,
            Some(element::Event::Registered { .. })
        ));
        spawn(echo(handle, events));
        Self { id, crash }
    }

    /// Its driver is dropped, without a word to anybody.
    pub(crate) fn crash(self) {
        self.crash.send(()).expect("it runs");
    }
}

async fn echo(handle: Handle<PoolElement>, mut events: Events<element::Event>) {
    while let Some(event) = events.recv().await {
        if let element::Event::Message {
            association,
            ppid,
            stream,
            bytes,
        } = event
        {
            let echo =
                handle.call(move |element, _| element.send(association, ppid, stream, bytes));
            if echo.await.is_err() {
                return;
            }
        }
    }
}

/// A user with a session.
pub(crate) struct User {
    handle: Handle<PoolUser>,
    events: Events<user::Event>,
    session: SessionId,
}

impl User {
    pub(crate) async fn start(options: &Options, home: SocketAddr) -> Self {
        let mut config = user::Config::default();
        config.hunt.registrars = vec![home];
        let bound = options.bind().expect("any port is free");
        let (handle, events) = start(bound.drive(PoolUser::new(config, seed().unwrap())));
        let session = handle
            .call(|user, now| user.open(now, &PoolHandle::from(POOL)))
            .await
            .unwrap()
            .expect("a session can be opened");
        Self {
            handle,
            events,
            session,
        }
    }

    async fn next(&mut self) -> user::Event {
        within_patience(self.events.recv())
            .await
            .expect("the endpoint runs")
    }

    /// Sends the question until somebody echoes it; says which element the session has changed to meanwhile, if any.
    pub(crate) async fn ask(&mut self, question: &'static str) -> Option<PeId> {
        let session = self.session;
        self.handle
            .call(move |user, _| user.send(session, Ppid(0), 0, question.into()))
            .await
            .unwrap()
            .unwrap();
        let mut used = None;
        loop {
            match self.next().await {
                user::Event::Message { bytes, .. } => {
                    assert_eq!(bytes, question);
                    return used;
                }
                user::Event::Connected { element, .. } => used = Some(element),
                user::Event::FailedOver { new, .. } => used = Some(new),
                _ => {}
            }
        }
    }

    /// The element that the session goes on with.
    pub(crate) async fn failed_over(&mut self) -> PeId {
        loop {
            if let user::Event::FailedOver { new, .. } = self.next().await {
                return new;
            }
        }
    }
}

/// A user goes on with the other element when the one that it talks to crashes.
pub(crate) async fn fail_over(elements: [Element; 2], mut user: User) {
    let first = user.ask("hello").await;
    let [a, b] = elements;
    let (dead, other) = if first == Some(a.id) { (a, b) } else { (b, a) };
    assert_eq!(first, Some(dead.id));
    dead.crash();
    assert_eq!(user.failed_over().await, other.id);
    user.ask("still there?").await;
}
