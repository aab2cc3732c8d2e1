//! The user against hand-made input: each test is a sentence of RFC 5352 or RFC 5356.

mod backoff;
mod external;
mod failover;
mod resolve;
mod session;
mod subscribe;

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::ids::ServerId;
use crate::machine::End;
use crate::wire::{
    Cause, CauseCode, List, Policy, PolicyType, PoolElement, SctpTransport, Transport, TransportUse,
};

const POOL: &[u8] = b"EchoPool";
const HOME: u64 = 1;

struct Script {
    user: PoolUser,
    now: Instant,
    /// How elements are used, and whether the registrar takes subscriptions.
    transport_use: TransportUse,
    /// What kind of transport elements have; `Any` is an opaque one.
    kind: Carrier,
    accepts: bool,
}

fn pool() -> PoolHandle {
    PoolHandle::from(POOL)
}

fn registrar(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 3863))
}

/// Where element `id` serves.
fn server(id: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, id], 7))
}

/// What asks for a registrar.
fn hunt(remote: SocketAddr) -> Action<Event> {
    Action::Connect {
        ppid: Ppid::ASAP,
        remote: vec![remote],
    }
}

/// What asks for an element.
fn connect(remote: SocketAddr) -> Action<Event> {
    Action::Connect {
        ppid: Ppid::UNSPECIFIED,
        remote: vec![remote],
    }
}

impl Script {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.hunt.registrars = vec![registrar(1)];
        change(&mut config);
        Self {
            user: PoolUser::new(config, [2; 32]),
            now: Instant::EPOCH,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            kind: Carrier::Sctp,
            accepts: false,
        }
    }

    /// A user with a home that has asked for the pool, for a session.
    fn session(change: impl FnOnce(&mut Config)) -> (Self, SessionId) {
        let mut script = Self::new(change);
        let session = script.user.open(script.now, &pool()).expect("room");
        script.connected(HOME, registrar(1));
        assert_eq!(sent(&script.actions()), [(HOME, 5)]);
        (script, session)
    }

    fn actions(&mut self) -> Vec<Action<Event>> {
        core::iter::from_fn(|| self.user.poll_action()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        self.actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Notify(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    fn input(&mut self, input: Input<'_>) {
        self.user.handle_input(self.now, input);
    }

    fn connected(&mut self, association: u64, remote: SocketAddr) {
        self.input(Input::Connected {
            association: AssocId(association),
            remote: &[remote],
        });
    }

    fn disconnected(&mut self, association: u64, end: End) {
        self.input(Input::Disconnected {
            association: AssocId(association),
            end,
        });
    }

    fn message(&mut self, association: u64, ppid: Ppid, bytes: &[u8]) {
        self.input(Input::Message {
            association: AssocId(association),
            ppid,
            stream: 0,
            bytes,
        });
    }

    fn asap(&mut self, association: u64, message: &Message<'_>) {
        let bytes = message.to_bytes().expect("a short message");
        self.message(association, Ppid::ASAP, &bytes);
    }

    fn answer(&mut self, policy: Option<Policy<'static>>, ids: &[u8]) {
        self.answer_for(POOL, policy, ids);
    }

    fn answer_for(&mut self, pool_handle: &[u8], policy: Option<Policy<'static>>, ids: &[u8]) {
        let addresses: Vec<_> = ids.iter().map(|id| [server(*id).ip()]).collect();
        let elements: Vec<_> = ids
            .iter()
            .zip(&addresses)
            .map(|(id, addresses)| PoolElement {
                id: PeId((*id).into()),
                home_id: ServerId(1),
                life: 60,
                user_transport: self.transport(addresses),
                policy: match policy {
                    Some(Policy::Priority { .. }) => Policy::Priority {
                        priority: (*id).into(),
                    },
                    other => other.unwrap_or(Policy::RoundRobin),
                },
                asap_transport: None,
            })
            .collect();
        let message = Message::HandleResolutionResponse {
            accepted: self.accepts,
            pool_handle,
            policy,
            pool_elements: List::Slice(&elements),
            error: None,
        };
        self.asap(HOME, &message);
    }

    fn transport<'a>(&self, addresses: &'a [core::net::IpAddr; 1]) -> Transport<'a> {
        let (port, [address]) = (7, *addresses);
        match self.kind {
            Carrier::Sctp => Transport::Sctp(SctpTransport {
                port,
                transport_use: self.transport_use,
                addresses: List::Slice(addresses),
            }),
            Carrier::Tcp => Transport::Tcp {
                port,
                transport_use: self.transport_use,
                address,
            },
            Carrier::Udp => Transport::Udp { port, address },
            Carrier::Any => Transport::Opaque(b"pigeon"),
        }
    }

    fn refuse(&mut self) {
        let causes = [Cause {
            code: CauseCode::UNKNOWN_POOL_HANDLE,
            info: &[],
        }];
        let message = Message::HandleResolutionResponse {
            accepted: false,
            pool_handle: POOL,
            policy: None,
            pool_elements: List::EMPTY,
            error: Some(List::Slice(&causes)),
        };
        self.asap(HOME, &message);
    }

    /// A session with element 1, on association 7; element 2 is there, too.
    fn connected_session(options: SessionOptions) -> (Self, SessionId) {
        let mut script = Self::new(|_| {});
        let opened = script.user.open_with(script.now, &pool(), options);
        script.connected(HOME, registrar(1));
        script.answer(Some(Policy::RoundRobin), &[1, 2]);
        script.connected(7, server(1));
        script.actions();
        (script, opened.expect("room"))
    }

    fn send_failed(&mut self, association: u64, stream: u16, bytes: &[u8]) {
        self.input(Input::SendFailed {
            association: AssocId(association),
            ppid: Ppid(0),
            stream,
            bytes,
        });
    }

    fn send(&mut self, session: SessionId, bytes: &'static [u8]) {
        let bytes = Bytes::from_static(bytes);
        self.user.send(session, Ppid(0), 0, bytes).expect("room");
    }

    /// Lets time pass up to the next timer, and runs it.
    fn wait(&mut self) -> Duration {
        let next = self.user.poll_timeout().expect("a timer runs");
        let waited = next.duration_since(self.now);
        self.now = next;
        self.user.handle_timeout(self.now);
        waited
    }
}

/// The messages of the application among `actions`: where they go, their streams, and whether they are unordered.
fn data(actions: &[Action<Event>]) -> Vec<(u64, u16, bool, &[u8])> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send {
                association,
                ppid,
                stream,
                unordered,
                bytes,
            } if *ppid != Ppid::ASAP => Some((association.0, *stream, *unordered, &bytes[..])),
            _ => None,
        })
        .collect()
}

/// The ASAP messages among `actions`: where they go, and their type.
fn sent(actions: &[Action<Event>]) -> Vec<(u64, u8)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send {
                association,
                ppid: Ppid::ASAP,
                bytes,
                ..
            } => Some((association.0, bytes[0])),
            _ => None,
        })
        .collect()
}
