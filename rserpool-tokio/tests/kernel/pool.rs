//! The three machines together: a registrar, two elements that echo, and a user who goes on when one of them dies.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser, SessionId};
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportBuf, TransportUse};
use rserpool_core::{Instant, PeId, PoolHandle, Ppid};
use rserpool_tokio::{Events, Handle, Options, seed};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::probe::PATIENCE;
use crate::{has_sctp, kernel, port};

const POOL: &str = "EchoPool";
const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// It runs as long as the handle lives.
fn start_registrar() -> (Handle<Registrar>, SocketAddr) {
    let mut options = kernel(Options::registrar(), &[IP]);
    options.sctp_port = Some(port());
    options.enrp_port = Some(port());
    let bound = options.bind().expect("the ports are free");
    let home = bound.local();
    let config = registrar::Config::default();
    let machine = Registrar::new(config, Instant::EPOCH, seed().unwrap());
    let (handle, mut events) = bound.drive(machine).spawn();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    (handle, home)
}

/// An element that echoes; the task ends it as a crash would.
async fn start_element(home: SocketAddr) -> (PeId, JoinHandle<()>) {
    let port = port();
    let transport = TransportBuf::from(&Transport::Sctp(SctpTransport {
        port,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(&[IP]),
    }));
    let mut config = element::Config::new(POOL.into(), transport, Policy::RoundRobin);
    config.hunt.registrars = vec![home];
    let machine = PoolElement::new(config, seed().unwrap());
    let id = machine.id();
    let options = kernel(Options::element(port), &[IP]);
    let bound = options.bind().expect("the port is free");
    let (element, mut events, run) = bound.drive(machine).into_parts();
    let driver = tokio::spawn(run);
    element
        .call(|element, now| element.register(now))
        .await
        .unwrap();
    let registered = timeout(PATIENCE, events.recv()).await;
    assert!(matches!(
        registered,
        Ok(Some(element::Event::Registered { .. }))
    ));
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let element::Event::Message {
                association,
                ppid,
                stream,
                bytes,
            } = event
            {
                let echo =
                    element.call(move |element, _| element.send(association, ppid, stream, bytes));
                if echo.await.is_err() {
                    return;
                }
            }
        }
    });
    (id, driver)
}

async fn ask(
    user: &Handle<PoolUser>,
    session: SessionId,
    events: &mut Events<user::Event>,
    question: &'static str,
) -> Option<PeId> {
    user.call(move |user, _| user.send(session, Ppid(0), 0, question.into()))
        .await
        .unwrap()
        .unwrap();
    let answer = async {
        let mut used = None;
        loop {
            match events.recv().await.expect("the endpoint runs") {
                user::Event::Message { bytes, .. } => {
                    assert_eq!(bytes, question);
                    return used;
                }
                user::Event::Connected { element, .. } => used = Some(element),
                user::Event::FailedOver { new, .. } => used = Some(new),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, answer).await.expect("it answers")
}

#[tokio::test]
async fn a_user_goes_on_with_the_next_element() {
    if !has_sctp() {
        return;
    }
    let (_registrar, home) = start_registrar();
    let elements = [start_element(home).await, start_element(home).await];
    let mut config = user::Config::default();
    config.hunt.registrars = vec![home];
    let bound = kernel(Options::user(), &[IP]).bind().expect("a free port");
    let (user, mut events) = bound.drive(PoolUser::new(config, seed().unwrap())).spawn();
    let session = user
        .call(|user, now| user.open(now, &PoolHandle::from(POOL)))
        .await
        .unwrap()
        .expect("a session can be opened");
    let first = ask(&user, session, &mut events, "hello").await;
    let [dead, other] = if first == Some(elements[0].0) {
        [&elements[0], &elements[1]]
    } else {
        [&elements[1], &elements[0]]
    };
    assert_eq!(first, Some(dead.0));
    dead.1.abort();
    let failed_over = async {
        loop {
            let event = events.recv().await.expect("the endpoint runs");
            if let user::Event::FailedOver { new, .. } = event {
                return new;
            }
        }
    };
    let new = timeout(PATIENCE, failed_over).await.expect("it goes on");
    assert_eq!(new, other.0);
    ask(&user, session, &mut events, "still there?").await;
}
