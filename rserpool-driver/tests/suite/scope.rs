//! A registrar, elements that echo, and a user, over either transport.

use core::net::SocketAddr;

use bytes::Bytes;
use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser, SessionId, SessionOptions};
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
    gone: oneshot::Receiver<()>,
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
        let (end, gone) = oneshot::channel();
        spawn(async move {
            let crashed = async {
                if crashed.await.is_err() {
                    core::future::pending::<()>().await;
                }
            };
            futures_lite::future::or(driver, crashed).await;
            // Who waits for it may have gone.
            let _ = end.send(());
        });
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
        Self { id, crash, gone }
    }

    /// Its driver is dropped, without a word to anybody: nothing is taken or acknowledged after this.
    pub(crate) async fn crash(self) {
        self.crash.send(()).expect("it runs");
        self.gone.await.expect("it ends");
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
        Self::open(options, home, SessionOptions::default()).await
    }

    /// The session sends again what an element did not get.
    pub(crate) async fn start_resending(options: &Options, home: SocketAddr) -> Self {
        let mut session = SessionOptions::default();
        session.resend = true;
        Self::open(options, home, session).await
    }

    async fn open(options: &Options, home: SocketAddr, session: SessionOptions) -> Self {
        let mut config = user::Config::default();
        config.hunt.registrars = vec![home];
        let bound = options.bind().expect("any port is free");
        let (handle, events) = start(bound.drive(PoolUser::new(config, seed().unwrap())));
        let session = handle
            .call(move |user, now| user.open_with(now, &PoolHandle::from(POOL), session))
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

    async fn send(&self, message: impl Into<Bytes>) {
        let (session, message) = (self.session, message.into());
        self.handle
            .call(move |user, _| user.send(session, Ppid(0), 0, message))
            .await
            .unwrap()
            .unwrap();
    }

    /// Sends the question until somebody echoes it; says which element the session has changed to meanwhile, if any.
    pub(crate) async fn ask(&mut self, question: &'static str) -> Option<PeId> {
        self.send(question).await;
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

/// The element that the user talks to, and the other one.
async fn in_use([a, b]: [Element; 2], user: &mut User) -> (Element, Element) {
    let first = user.ask("hello").await;
    let (used, other) = if first == Some(a.id) { (a, b) } else { (b, a) };
    assert_eq!(first, Some(used.id));
    (used, other)
}

/// What is said to an element that has crashed, before anybody has noticed, goes to the other one: nothing is left out,
/// and the order is kept.
pub(crate) async fn send_again(elements: [Element; 2], mut user: User) {
    const MESSAGES: usize = 200;
    let (dead, _other) = in_use(elements, &mut user).await;
    dead.crash().await;
    for number in 0..MESSAGES {
        user.send(number.to_string()).await;
    }
    let mut answered = 0;
    while answered < MESSAGES {
        match user.next().await {
            // Answered, and not acknowledged: it may come twice.
            user::Event::Message { bytes, .. } if answered == 0 && bytes == "hello" => {}
            user::Event::Message { bytes, .. } => {
                assert_eq!(bytes, answered.to_string());
                answered += 1;
            }
            user::Event::Undelivered { .. } => panic!("a message is lost"),
            _ => {}
        }
    }
}

/// A user goes on with the other element when the one that it talks to crashes.
pub(crate) async fn fail_over(elements: [Element; 2], mut user: User) {
    let (dead, other) = in_use(elements, &mut user).await;
    dead.crash().await;
    assert_eq!(user.failed_over().await, other.id);
    user.ask("still there?").await;
}
