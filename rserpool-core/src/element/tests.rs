//! The element against hand-made input: each test is a sentence of RFC 5352.

mod home;
mod registration;
mod session;

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::dialect::{Dialect, Life};
use crate::ids::PoolHandle;
use crate::machine::End;
use crate::wire::{SctpTransport, Transport, TransportBuf, TransportUse};

const POOL: &[u8] = b"EchoPool";
const ID: PeId = PeId(0x11);

struct Script {
    element: PoolElement,
    now: Instant,
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 3863))
}

impl Script {
    fn new(registrars: &[u8], change: impl FnOnce(&mut Config)) -> Self {
        let transport = TransportBuf::from(&Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: List::Slice(&[address(9).ip()]),
        }));
        let mut config = Config::new(
            PoolHandle::from(POOL),
            transport,
            Policy::LeastUsed { load: 5 },
        );
        config.pe_id = Some(ID);
        config.hunt.registrars = registrars.iter().map(|host| address(*host)).collect();
        change(&mut config);
        Self {
            element: PoolElement::new(config, [1; 32]),
            now: Instant::EPOCH,
        }
    }

    /// An element that registered at registrar 1, association 1.
    fn registered() -> Self {
        let mut script = Self::new(&[1], |_| {});
        script.element.register(script.now);
        script.connected(1, 1);
        script.actions();
        script.respond(1, false);
        assert_eq!(
            script.actions(),
            [Action::Notify(Event::Registered { home: AssocId(1) })]
        );
        script
    }

    fn actions(&mut self) -> Vec<Action<Event>> {
        core::iter::from_fn(|| self.element.poll_action()).collect()
    }

    fn input(&mut self, input: Input<'_>) {
        self.element.handle_input(self.now, input);
    }

    fn connected(&mut self, association: u64, host: u8) {
        self.input(Input::Connected {
            association: AssocId(association),
            remote: &[address(host)],
        });
    }

    fn disconnected(&mut self, association: u64) {
        self.input(Input::Disconnected {
            association: AssocId(association),
            end: End::Lost,
        });
    }

    fn asap(&mut self, association: u64, message: &Message<'_>) {
        let bytes = message.to_bytes().expect("a short message");
        self.input(Input::Message {
            association: AssocId(association),
            ppid: Ppid::ASAP,
            stream: 0,
            bytes: &bytes,
        });
    }

    fn respond(&mut self, association: u64, rejected: bool) {
        let message = Message::RegistrationResponse {
            rejected,
            pool_handle: POOL,
            pe_id: ID,
            error: None,
        };
        self.asap(association, &message);
    }

    fn refuse(&mut self, association: u64, code: CauseCode) {
        let causes = [Cause { code, info: &[] }];
        let message = Message::RegistrationResponse {
            rejected: true,
            pool_handle: POOL,
            pe_id: ID,
            error: Some(List::Slice(&causes)),
        };
        self.asap(association, &message);
    }

    fn deregistered(&mut self, association: u64, cause: Option<CauseCode>) {
        let causes: Vec<_> = cause
            .map(|code| Cause { code, info: &[] })
            .into_iter()
            .collect();
        let message = Message::DeregistrationResponse {
            pool_handle: POOL,
            pe_id: ID,
            error: cause.map(|_| List::Slice(&causes)),
        };
        self.asap(association, &message);
    }

    fn keep_alive(
        &mut self,
        association: u64,
        home: bool,
        pool_handle: &[u8],
        pe_id: Option<PeId>,
    ) {
        let message = Message::EndpointKeepAlive {
            home,
            server_id: ServerId(0x77),
            pool_handle,
            pe_id,
        };
        self.asap(association, &message);
    }

    /// Lets time pass up to the next timer, and runs it.
    fn wait(&mut self) -> Duration {
        let next = self.element.poll_timeout().expect("a timer runs");
        let waited = next.duration_since(self.now);
        self.now = next;
        self.element.handle_timeout(self.now);
        waited
    }
}

fn connect(host: u8) -> Action<Event> {
    Action::Connect {
        ppid: Ppid::ASAP,
        remote: vec![address(host)],
    }
}

/// The ASAP messages among `actions` and where they go.
fn sent(actions: &[Action<Event>]) -> Vec<(u64, u8)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send {
                association, bytes, ..
            } => Some((association.0, bytes[0])),
            _ => None,
        })
        .collect()
}
