//! A machine with a UDP socket of its own on a loopback address, and the roles of a small pool.

use core::net::Ipv4Addr;
use std::{net::UdpSocket, time::Instant};

use rserpool_core::element::{self, PoolElement};
use rserpool_core::registrar::Registrar;
use rserpool_core::user::{self, PoolUser};
use rserpool_core::wire::{Policy, TransportBuf};
use rserpool_core::{ASAP_PORT, Machine, PeId, Ppid};
use rserpool_udp_sctp::{Config, Endpoint, Stack};

pub(crate) type Failure = Box<dyn core::error::Error>;
const ELEMENT_PORT: u16 = 7;
const POOL: &str = "echo";

pub(crate) struct Node<M> {
    pub(crate) endpoint: Endpoint<M>,
    pub(crate) socket: UdpSocket,
}

impl<M: Machine> Node<M> {
    /// Everything out: events to the application, whose commands go with the rest, and then the datagrams.
    pub(crate) fn settle(&mut self, mut on_event: impl FnMut(&mut Endpoint<M>, M::Event)) {
        while let Some(event) = self.endpoint.poll_event(Instant::now()) {
            on_event(&mut self.endpoint, event);
        }
        while let Some(datagram) = self.endpoint.poll_transmit() {
            // One that cannot be sent is one that got lost.
            let _ = self.socket.send_to(&datagram.payload, datagram.to);
        }
    }

    /// Everything in: the timers, and a batch of datagrams, so that a flood of them keeps nothing waiting. Whether those were all.
    pub(crate) fn receive(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        self.endpoint.handle_timeout(Instant::now());
        for _ in 0..64 {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                return true;
            };
            self.endpoint
                .handle_datagram(Instant::now(), from, &buffer[..length]);
        }
        false
    }

    /// At 127.0.0.`host`, in a scope that uses the UDP port `scope`; only who has an SCTP port is called there.
    fn new(host: u8, scope: u16, port: Option<u16>, machine: M) -> Result<Self, Failure> {
        let ip = Ipv4Addr::new(127, 0, 0, host);
        let socket = UdpSocket::bind((ip, port.map_or(0, |_| scope)))?;
        socket.set_nonblocking(true)?;
        let mut config = Config::default();
        config.udp_port = scope;
        let stack = Stack::new(ip.into(), config, seed()?);
        let mut endpoint = Endpoint::new(Instant::now(), machine, stack);
        if let Some(port) = port {
            endpoint.listen(Ppid::ASAP, port)?;
        }
        Ok(Self { endpoint, socket })
    }
}

pub(crate) fn registrar(scope: u16) -> Result<Node<Registrar>, Failure> {
    let machine = Registrar::new(Default::default(), rserpool_core::Instant::EPOCH, seed()?);
    Node::new(1, scope, Some(ASAP_PORT), machine)
}

pub(crate) fn element(host: u8, scope: u16) -> Result<Node<PoolElement>, Failure> {
    let transport = TransportBuf::sctp(ELEMENT_PORT, &[Ipv4Addr::new(127, 0, 0, host).into()]);
    let mut config = element::Config::new(POOL.into(), transport, Policy::RoundRobin);
    config.hunt.registrars = vec![(Ipv4Addr::LOCALHOST, ASAP_PORT).into()];
    let machine = PoolElement::new(config, seed()?);
    let mut node = Node::new(host, scope, Some(ELEMENT_PORT), machine)?;
    node.endpoint.call(Instant::now(), PoolElement::register);
    Ok(node)
}

pub(crate) fn user(scope: u16) -> Result<Node<PoolUser>, Failure> {
    let mut config = user::Config::default();
    config.hunt.registrars = vec![(Ipv4Addr::LOCALHOST, ASAP_PORT).into()];
    let mut node = Node::new(1, scope, None, PoolUser::new(config, seed()?))?;
    node.endpoint
        .call(Instant::now(), |user, now| user.open(now, &POOL.into()));
    Ok(node)
}

/// The element's application: what comes goes back.
pub(crate) fn echo(element: &mut Endpoint<PoolElement>, event: element::Event) {
    #[rustfmt::skip]
    let element::Event::Message { association, ppid, stream, bytes } = event else { return };
    let answer = |element: &mut PoolElement, _| element.send(association, ppid, stream, bytes);
    // A user that has gone needs no answer.
    let _ = element.call(Instant::now(), answer);
}

/// The user's: it asks each element that it gets; the element that has answered.
pub(crate) fn ask(user: &mut Endpoint<PoolUser>, event: &user::Event) -> Option<PeId> {
    println!("{event:?}");
    match *event {
        user::Event::Connected { session, .. } | user::Event::FailedOver { session, .. } => {
            let ask = |user: &mut PoolUser, _| user.send(session, Ppid(0), 0, "hello".into());
            // It was told this moment that there is an element: it takes messages.
            let _ = user.call(Instant::now(), ask);
            None
        }
        user::Event::Message { session, .. } => user.machine().element(session),
        _ => None,
    }
}

fn seed() -> Result<[u8; 32], getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map(|()| seed)
}
