//! The registrar against hand-made input: each test is a sentence of RFC 5352 or RFC 5353.

mod limits;
mod listed;
mod owners;
mod peers;
mod registration;
mod resolution;
mod scope;
mod startup;
mod subscribe;
mod takeover;
mod tcp;
mod watch;
mod work;

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::dialect::Dialect;
use crate::ids::PeId;
use crate::machine::End;
use crate::wire::asap::{self, Message};
use crate::wire::{
    Cause, CauseCode, List, Policy, PoolElement, SctpTransport, Transport, TransportUse,
};

const POOL: &[u8] = b"EchoPool";
const ID: ServerId = ServerId(0x1234);

struct Script {
    registrar: Registrar,
    now: Instant,
}

fn host(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

fn endpoint(number: u8) -> SocketAddr {
    SocketAddr::new(host(number), 4000)
}

/// What a test registration says; the tests change one thing each.
#[derive(Clone, Copy)]
struct Element<'a> {
    pool_handle: &'a [u8],
    id: u32,
    life: i32,
    transport: Transport<'a>,
    policy: Policy<'a>,
}

fn sctp(addresses: &[IpAddr]) -> Transport<'_> {
    Transport::Sctp(SctpTransport {
        port: 7,
        transport_use: TransportUse::DATA_ONLY,
        addresses: List::Slice(addresses),
    })
}

fn element(id: u32, addresses: &[IpAddr]) -> Element<'_> {
    Element {
        pool_handle: POOL,
        id,
        life: 600,
        transport: sctp(addresses),
        policy: Policy::WeightedRoundRobin { weight: 2 },
    }
}

impl Element<'_> {
    fn message(&self) -> Bytes {
        let message = Message::Registration {
            pool_handle: self.pool_handle,
            pool_element: PoolElement {
                id: PeId(self.id),
                home_id: ServerId(0),
                life: self.life,
                user_transport: self.transport,
                policy: self.policy,
                asap_transport: None,
            },
        };
        message.to_bytes().expect("it fits")
    }
}

impl Script {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            server_id: Some(ID),
            ..Config::default()
        };
        change(&mut config);
        Self {
            registrar: Registrar::new(config, Instant::EPOCH, [3; 32]),
            now: Instant::EPOCH,
        }
    }

    /// A registrar with element 1 of host 1 on association 1, and a user on association 9.
    fn with_element() -> Self {
        let mut script = Self::new(|_| {});
        script.connected(1, 1);
        script.connected(9, 9);
        script.register(1, &element(1, &[host(1)]));
        assert_eq!(script.registrar.handlespace.len(), 1);
        script
    }

    fn actions(&mut self) -> Vec<Action<Event>> {
        core::iter::from_fn(|| self.registrar.poll_action()).collect()
    }

    fn input(&mut self, input: Input<'_>) {
        self.registrar.handle_input(self.now, input);
    }

    fn connected(&mut self, association: u64, number: u8) {
        self.input(Input::Connected {
            association: AssocId(association),
            remote: &[endpoint(number)],
        });
    }

    fn disconnected(&mut self, association: u64) {
        self.input(Input::Disconnected {
            association: AssocId(association),
            end: End::Lost,
        });
    }

    fn message(&mut self, association: u64, bytes: &[u8]) {
        self.input(Input::Message {
            association: AssocId(association),
            ppid: Ppid::ASAP,
            stream: 0,
            bytes,
        });
    }

    fn asap(&mut self, association: u64, message: &Message<'_>) -> Vec<Action<Event>> {
        self.message(association, &message.to_bytes().expect("it fits"));
        self.actions()
    }

    fn register(&mut self, association: u64, element: &Element<'_>) -> Vec<Action<Event>> {
        self.message(association, &element.message());
        self.actions()
    }

    fn deregister(&mut self, association: u64, id: u32) -> Vec<Action<Event>> {
        let message = Message::Deregistration {
            pool_handle: POOL,
            pe_id: PeId(id),
        };
        self.asap(association, &message)
    }

    fn resolve(&mut self, items: Option<u32>) -> Vec<Action<Event>> {
        let message = Message::HandleResolution {
            subscribe: false,
            pool_handle: POOL,
            items,
        };
        self.asap(9, &message)
    }

    fn report(&mut self, association: u64, id: u32) -> Vec<Action<Event>> {
        let message = Message::EndpointUnreachable {
            pool_handle: POOL,
            pe_id: PeId(id),
        };
        self.asap(association, &message)
    }

    fn acknowledge(&mut self, association: u64, id: u32) -> Vec<Action<Event>> {
        let message = Message::EndpointKeepAliveAck {
            pool_handle: POOL,
            pe_id: PeId(id),
        };
        self.asap(association, &message)
    }

    fn at(&mut self, seconds: u64) -> Vec<Action<Event>> {
        self.now = Instant::EPOCH + Duration::from_secs(seconds);
        self.registrar.handle_timeout(self.now);
        self.actions()
    }

    /// Lets time pass up to the next timer, and runs it.
    fn wait(&mut self) -> (Duration, Vec<Action<Event>>) {
        let next = self.registrar.poll_timeout().expect("a timer runs");
        let waited = next.duration_since(self.now);
        self.now = next;
        self.registrar.handle_timeout(next);
        (waited, self.actions())
    }

    fn count(&self) -> usize {
        self.registrar.handlespace.len()
    }
}

/// The messages among `actions` and where they go.
fn sent(actions: &[Action<Event>]) -> Vec<(u64, Bytes)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send {
                association, bytes, ..
            } => Some((association.0, bytes.clone())),
            _ => None,
        })
        .collect()
}

fn types(actions: &[Action<Event>]) -> Vec<(u64, u8)> {
    sent(actions)
        .iter()
        .map(|(association, bytes)| (*association, bytes[0]))
        .collect()
}

fn removed(actions: &[Action<Event>]) -> Vec<(u32, Removal)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Notify(Event::Removed { pe_id, reason, .. }) => Some((pe_id.0, *reason)),
            _ => None,
        })
        .collect()
}

/// The one answer, whether it is a rejection, and its cause with the information.
fn answer(actions: &[Action<Event>]) -> (u8, bool, Option<(CauseCode, Vec<u8>)>) {
    let messages = sent(actions);
    let [(_, bytes)] = &messages[..] else {
        panic!("one answer: {actions:?}");
    };
    let first = |error: Option<List<'_, Cause<'_>>>| {
        error
            .and_then(|causes| causes.iter().next())
            .map(|cause| (cause.code, cause.info.to_vec()))
    };
    let (rejected, cause) = match asap::decode(bytes).expect("our own").message {
        Message::RegistrationResponse {
            rejected, error, ..
        } => (rejected, first(error)),
        Message::DeregistrationResponse { error, .. } => (error.is_some(), first(error)),
        Message::HandleResolutionResponse { error, .. } => (error.is_some(), first(error)),
        Message::Error { causes } => (true, first(Some(causes))),
        other => panic!("{other:?}"),
    };
    (bytes[0], rejected, cause)
}
