//! What a registrar does all day long it does without allocating.

extern crate alloc;

use alloc::collections::VecDeque;
use core::net::{Ipv4Addr, SocketAddr};

use allocation_counter::measure;
use bytes::Bytes;
use rserpool_core::registrar::{Config, Rate, Registrar};
use rserpool_core::wire::asap::{self, Message};
use rserpool_core::wire::enrp::{self, MessageBody};
use rserpool_core::wire::{List, Policy, PoolElement, SctpTransport, Transport, TransportUse};
use rserpool_core::{Action, AssocId, Input, Instant, Machine, PeId, Ppid, ServerId};

const ELEMENTS: u32 = 1_000;
const POOLS: u32 = 50;
const USER: AssocId = AssocId(ELEMENTS as u64);
const PEERS: [AssocId; 2] = [AssocId(5_000), AssocId(5_001)];
const KEPT: usize = 16;
const OPERATIONS: u32 = 10_000;

/// A registrar, and an association for each of its elements: their numbers are the same.
struct World {
    registrar: Registrar,
    now: Instant,
    registrations: Vec<Bytes>,
    acknowledgements: Vec<Bytes>,
    resolutions: Vec<Bytes>,
    sent: usize,
    /// The last messages, which their receivers have not acknowledged yet.
    kept: VecDeque<Bytes>,
}

fn place(association: AssocId) -> usize {
    usize::try_from(association.0).expect("a small one")
}

fn host(association: AssocId) -> SocketAddr {
    let number = u32::try_from(association.0).expect("a small one");
    (Ipv4Addr::from_bits(0x0a00_0001 + number), 3863).into()
}

fn pool(number: u32) -> String {
    format!("Pool-{}", number % POOLS)
}

fn registration(number: u32) -> Bytes {
    let pool = pool(number);
    let address = [host(AssocId(number.into())).ip()];
    let message = Message::Registration {
        pool_handle: pool.as_bytes(),
        pool_element: PoolElement {
            id: PeId(number + 1),
            home_id: ServerId(0),
            life: 1_000_000,
            user_transport: Transport::Sctp(SctpTransport {
                port: 7,
                transport_use: TransportUse::DATA_ONLY,
                addresses: List::Slice(&address),
            }),
            policy: Policy::LeastUsed { load: number },
            asap_transport: None,
        },
    };
    message.to_bytes().expect("it is short")
}

fn resolution(number: u32) -> Bytes {
    let pool = pool(number);
    let message = Message::HandleResolution {
        subscribe: false,
        pool_handle: pool.as_bytes(),
        // Both fewer and more than are written at once.
        items: Some(number % 20 + 1),
    };
    message.to_bytes().expect("it is short")
}

fn acknowledgement(number: u32) -> Bytes {
    let pool = pool(number);
    let message = Message::EndpointKeepAliveAck {
        pool_handle: pool.as_bytes(),
        pe_id: PeId(number + 1),
    };
    message.to_bytes().expect("it is short")
}

impl World {
    fn new(enrp_addresses: Vec<SocketAddr>) -> Self {
        let mut config = Config::default();
        config.enrp_addresses = enrp_addresses;
        config.rates.resolutions = Rate::per_second(0);
        config.rates.registrations = Rate::per_second(0);
        let all = || 0..ELEMENTS;
        let mut world = Self {
            registrar: Registrar::new(config, Instant::EPOCH, [1; 32]),
            now: Instant::EPOCH,
            registrations: all().map(registration).collect(),
            acknowledgements: all().map(acknowledgement).collect(),
            resolutions: all().map(resolution).collect(),
            sent: 0,
            kept: VecDeque::with_capacity(KEPT),
        };
        let hosts = (0..=USER.0).map(AssocId);
        hosts.for_each(|association| world.connect(association));
        (0..ELEMENTS).for_each(|number| world.register(number));
        world
    }

    fn connect(&mut self, association: AssocId) {
        let remote = &[host(association)];
        let input = Input::Connected {
            association,
            remote,
        };
        self.registrar.handle_input(self.now, input);
        self.carry();
    }

    /// Other registrars come.
    fn connect_peers(&mut self) {
        for (association, id) in PEERS.into_iter().zip(1..) {
            self.connect(association);
            let message = enrp::Message {
                sender: ServerId(id),
                receiver: ServerId(0),
                body: MessageBody::Presence {
                    reply_required: false,
                    checksum: None,
                    server: None,
                },
            };
            let bytes = message.to_bytes().expect("it is short");
            self.message(association, Ppid::ENRP, &bytes);
        }
        assert_eq!(self.registrar.peers().count(), PEERS.len());
    }

    fn message(&mut self, association: AssocId, ppid: Ppid, bytes: &[u8]) {
        let input = Input::Message {
            association,
            ppid,
            stream: 0,
            bytes,
        };
        self.registrar.handle_input(self.now, input);
        self.carry();
    }

    /// Sends all that there is to send. The elements answer.
    fn carry(&mut self) {
        while let Some(action) = self.registrar.poll_action() {
            let Action::Send {
                association, bytes, ..
            } = action
            else {
                continue;
            };
            self.sent += 1;
            let asked = matches!(
                asap::decode(&bytes).map(|decoded| decoded.message),
                Ok(Message::EndpointKeepAlive { .. })
            );
            if self.kept.len() == KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back(bytes);
            if asked {
                let answer = self.acknowledgements[place(association)].clone();
                self.message(association, Ppid::ASAP, &answer);
            }
        }
    }

    fn request(&mut self, association: AssocId, bytes: &[u8]) {
        let before = self.sent;
        self.message(association, Ppid::ASAP, bytes);
        assert!(self.sent > before);
    }

    fn register(&mut self, number: u32) {
        let number = number % ELEMENTS;
        let bytes = self.registrations[number as usize].clone();
        self.request(AssocId(number.into()), &bytes);
    }

    fn resolve(&mut self, number: u32) {
        let bytes = self.resolutions[number as usize % self.resolutions.len()].clone();
        self.request(USER, &bytes);
    }

    /// Runs the next timer.
    fn wait(&mut self) {
        self.now = self.registrar.poll_timeout().expect("a timer runs");
        self.registrar.handle_timeout(self.now);
        self.carry();
    }
}

/// How much the second half of the operations allocates.
fn allocations(mut operation: impl FnMut(u32)) -> u64 {
    (0..OPERATIONS).for_each(&mut operation);
    measure(|| (OPERATIONS..2 * OPERATIONS).for_each(operation)).count_total
}

#[test]
fn a_resolution_allocates_nothing() {
    let mut world = World::new(Vec::new());
    assert_eq!(allocations(|number| world.resolve(number)), 0);
    assert_eq!(
        world.registrar.counters().resolutions,
        2 * u64::from(OPERATIONS)
    );
}

#[test]
fn a_keep_alive_allocates_nothing() {
    let mut world = World::new(Vec::new());
    assert_eq!(allocations(|_| world.wait()), 0);
    assert!(world.registrar.counters().keep_alives >= 2 * u64::from(OPERATIONS));
    assert_eq!(world.registrar.handlespace().len(), ELEMENTS as usize);
}

#[test]
fn a_registration_that_changes_nothing_allocates_nothing() {
    let mut world = World::new(vec![([10, 1, 0, 1], 9901).into()]);
    world.connect_peers();
    let before = world.sent;
    assert_eq!(allocations(|number| world.register(number)), 0);
    // An update to each peer, encoded once, and the answer.
    assert_eq!(world.sent - before, 2 * 3 * OPERATIONS as usize);
    let [one, other] = [KEPT - 3, KEPT - 2].map(|place| &world.kept[place]);
    assert_eq!((one.as_ptr(), one.len()), (other.as_ptr(), other.len()));
}
