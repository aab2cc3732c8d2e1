//! The three machines together: a registrar, an element that echoes, and a user.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::{self, Registrar};
use rserpool_core::user::{self, PoolUser};
use rserpool_core::wire::{List, Policy, SctpTransport, Transport, TransportBuf, TransportUse};
use rserpool_core::{ASAP_PORT, Instant, PeId, PoolHandle, Ppid};
use rserpool_tokio::{Bound, Events, Handle, Options, TransportKind, seed};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::probe::{PATIENCE, PORT, free_port};

const POOL: &str = "EchoPool";

const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ASAP_PORT);

fn bind(mut options: Options, ip: IpAddr, udp_port: u16) -> Bound {
    options.transport = TransportKind::Udp;
    options.local = vec![ip];
    options.udp_port = udp_port;
    options.peer_udp_port = udp_port;
    options.bind().expect("the address is free")
}

/// It runs as long as the handle lives.
fn start_registrar(udp_port: u16) -> Handle<Registrar> {
    let machine = Registrar::new(
        registrar::Config::default(),
        Instant::EPOCH,
        seed().unwrap(),
    );
    let bound = bind(Options::registrar(), HOME.ip(), udp_port);
    let (handle, mut events) = bound.drive(machine).spawn();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    handle
}

/// An echo at the host with that number, which is its identifier, too. Without its driver it is silent.
async fn start_element(udp_port: u16, number: u8) -> AbortHandle {
    let ip = Ipv4Addr::new(127, 0, 0, number).into();
    let transport = TransportBuf::from(&Transport::Sctp(SctpTransport {
        port: PORT,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(&[ip]),
    }));
    let mut config = element::Config::new(POOL.into(), transport, Policy::RoundRobin);
    config.pe_id = Some(PeId(number.into()));
    config.hunt.registrars = vec![HOME];
    let machine = PoolElement::new(config, seed().unwrap());
    let bound = bind(Options::element(PORT), ip, udp_port);
    let (element, mut events, run) = bound.drive(machine).into_parts();
    let driver = tokio::spawn(run).abort_handle();
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
                element
                    .call(move |element, _| element.send(association, ppid, stream, bytes))
                    .await
                    .unwrap()
                    .unwrap();
            }
        }
    });
    driver
}

fn start_user(udp_port: u16) -> (Handle<PoolUser>, Events<user::Event>) {
    let mut config = user::Config::default();
    config.hunt.registrars = vec![HOME];
    let mut options = Options::user();
    options.transport = TransportKind::Udp;
    options.peer_udp_port = udp_port;
    let bound = options.bind().expect("any port is free");
    bound.drive(PoolUser::new(config, seed().unwrap())).spawn()
}

#[tokio::test]
async fn a_user_finds_an_element_and_talks_to_it() {
    let udp_port = free_port(HOME.ip());
    let _registrar = start_registrar(udp_port);
    start_element(udp_port, 2).await;
    let (user, mut events) = start_user(udp_port);
    let session = user
        .call(|user, now| user.open(now, &PoolHandle::from(POOL)))
        .await
        .unwrap()
        .expect("a session can be opened");
    user.call(move |user, _| user.send(session, Ppid(0), 0, "hello".into()))
        .await
        .unwrap()
        .unwrap();
    let answer = async {
        loop {
            if let Some(user::Event::Message { bytes, .. }) = events.recv().await {
                return bytes;
            }
        }
    };
    assert_eq!(
        timeout(PATIENCE, answer).await.expect("it answers"),
        "hello"
    );
}

#[tokio::test]
async fn what_a_dead_element_did_not_get_goes_to_the_next_one() {
    const MESSAGES: usize = 200;
    let udp_port = free_port(HOME.ip());
    let _registrar = start_registrar(udp_port);
    let mut drivers = [
        (PeId(2), start_element(udp_port, 2).await),
        (PeId(3), start_element(udp_port, 3).await),
    ];
    let (user, mut events) = start_user(udp_port);
    let mut options = user::SessionOptions::default();
    options.resend = true;
    let session = user
        .call(move |user, now| user.open_with(now, &PoolHandle::from(POOL), options))
        .await
        .unwrap()
        .expect("a session can be opened");
    let connected = timeout(PATIENCE, events.recv()).await.expect("in time");
    let Some(user::Event::Connected { element, .. }) = connected else {
        panic!("{connected:?}");
    };
    drivers.sort_by_key(|(id, _)| *id != element);
    drivers[0].1.abort();
    for number in 0..MESSAGES {
        user.call(move |user, _| user.send(session, Ppid(0), 0, format!("{number}").into()))
            .await
            .unwrap()
            .unwrap();
    }
    let answers = async {
        let mut answers = Vec::new();
        while answers.len() < MESSAGES {
            match events.recv().await {
                Some(user::Event::Message { bytes, .. }) => answers.push(bytes),
                Some(user::Event::Undelivered { .. }) | None => panic!("a message is lost"),
                Some(_) => {}
            }
        }
        answers
    };
    let answers = timeout(PATIENCE, answers).await.expect("all come");
    let expected: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(answers, expected, "in order");
}
