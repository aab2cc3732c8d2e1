//! The element against hand-made input: each test is a sentence of RFC 5352.

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::dialect::Life;
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

#[test]
fn registration_carries_all_that_the_rfc_asks_for() {
    // RFC 5352 §3.1 R2.1–R2.5, R3
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions(), [connect(1)]);
    script.connected(1, 1);
    let actions = script.actions();
    let [
        Action::Send {
            association,
            ppid,
            bytes,
            ..
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((*association, *ppid), (AssocId(1), Ppid::ASAP));
    let Message::Registration {
        pool_handle,
        pool_element,
    } = asap::decode(bytes).expect("our own").message
    else {
        panic!("no registration");
    };
    assert_eq!((pool_handle, pool_element.id), (POOL, ID));
    assert_eq!(pool_element.life, 620);
    assert_eq!(pool_element.policy, Policy::LeastUsed { load: 5 });
    assert_eq!(pool_element.user_transport.port(), Some(7));
    assert_eq!(pool_element.asap_transport, None);
}

#[test]
fn reregistration_comes_after_t4_and_20_seconds_before_the_end_of_life() {
    // RFC 5352 §3.1, §7.1
    let mut script = Script::registered();
    assert_eq!(script.wait(), Duration::from_secs(600));
    assert_eq!(sent(&script.actions()), [(1, 1)]);
    for (life, t4) in [(100, 80), (60, 40), (10, 5), (10_000, 600)] {
        let script = Script::new(&[1], |config| {
            config.life = Life::For(Duration::from_secs(life));
        });
        assert_eq!(
            script.element.config.t4(),
            Duration::from_secs(t4),
            "{life}"
        );
    }
}

#[test]
fn an_unanswered_registration_is_repeated_and_another_registrar_is_looked_for() {
    // RFC 5352 §3.1: T2; MAX-REG-ATTEMPT exceeded: report, and stop
    let mut script = Script::new(&[1, 2], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions().len(), 2);
    script.connected(1, 1);
    assert_eq!(sent(&script.actions()), [(1, 1)]);
    script.input(Input::ConnectFailed { remote: address(2) });
    assert_eq!(script.wait(), Duration::from_secs(30));
    assert_eq!(script.actions(), [connect(2), script_registration(1)]);
    script.input(Input::ConnectFailed { remote: address(2) });
    while script
        .actions()
        .iter()
        .all(|action| *action != Action::Notify(Event::RegistrationFailed))
    {
        script.wait();
    }
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(90));
    assert!(!script.element.is_registered());
}

/// A first registration, as every script sends it.
fn script_registration(association: u64) -> Action<Event> {
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(association, 1);
    script.actions().pop().expect("the registration")
}

#[test]
fn the_first_registrar_that_answers_becomes_home_and_the_others_are_closed() {
    // RFC 5352 §3.6 SH1, SH3, SH6
    let mut script = Script::new(&[1, 2, 3, 4, 5], |_| {});
    script.element.register(script.now);
    let connects = script.actions();
    assert_eq!(connects.len(), 3, "no more than three at a time");
    let Action::Connect { remote, .. } = &connects[1] else {
        panic!("{connects:?}");
    };
    script.input(Input::Connected {
        association: AssocId(1),
        remote,
    });
    assert_eq!(sent(&script.actions()), [(1, 1)]);
    let Action::Connect { remote, .. } = &connects[0] else {
        panic!("{connects:?}");
    };
    script.input(Input::Connected {
        association: AssocId(2),
        remote,
    });
    assert_eq!(
        script.actions(),
        [Action::Disconnect {
            association: AssocId(2)
        }]
    );
}

#[test]
fn the_hunt_doubles_t5_up_to_retran_max_and_takes_other_addresses() {
    // RFC 5352 §3.6 SH4, SH5.1, SH5.2
    let mut script = Script::new(&[1, 2, 3, 4], |_| {});
    script.element.register(script.now);
    let first = script.actions();
    assert_eq!(first.len(), 3);
    let waits: Vec<_> = (0..5).map(|_| script.wait().as_secs()).collect();
    assert_eq!(waits, [10, 20, 40, 60, 60]);
    let later = script.actions();
    let untried = later.iter().find(|action| !first.contains(action));
    assert!(untried.is_some(), "a different set is tried");
}

#[test]
fn a_lost_home_is_replaced_and_the_registration_repeated_at_once() {
    let mut script = Script::registered();
    script.disconnected(1);
    assert!(!script.element.is_registered());
    assert_eq!(script.actions(), [connect(1)]);
    script.connected(2, 1);
    assert_eq!(sent(&script.actions()), [(2, 1)]);
    script.respond(2, false);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Registered { home: AssocId(2) })]
    );
}

#[test]
fn a_rejection_is_final_until_it_is_corrected() {
    // RFC 5352 §3.1: MUST NOT re-attempt registration without correcting the error condition
    let mut script = Script::new(&[1], |_| {});
    script.element.register(script.now);
    script.connected(1, 1);
    script.actions();
    script.respond(1, true);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Rejected { causes: vec![] })]
    );
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn deregistration_names_pool_and_element_and_stops_t4() {
    // RFC 5352 §3.2 D1–D4
    let mut script = Script::registered();
    script.element.deregister(script.now);
    assert_eq!(sent(&script.actions()), [(1, 2)]);
    let message = Message::DeregistrationResponse {
        pool_handle: POOL,
        pe_id: ID,
        error: None,
    };
    script.asap(1, &message);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Deregistered { acknowledged: true })]
    );
    assert_eq!(script.element.poll_timeout(), None);
}

#[test]
fn a_deregistration_that_nobody_answers_ends_in_bounded_time() {
    // RFC 5352 §3.2: T3
    let mut script = Script::registered();
    script.element.deregister(script.now);
    script.disconnected(1);
    let failed = Action::Notify(Event::Deregistered {
        acknowledged: false,
    });
    while !script.actions().contains(&failed) {
        script.wait();
        assert!(script.now <= Instant::EPOCH + Duration::from_secs(90));
    }
}

#[test]
fn keep_alives_are_acknowledged_on_their_association_if_they_are_meant_for_us() {
    // RFC 5352 §3.4 KA1, KA2.1–KA2.3
    let mut script = Script::registered();
    script.connected(2, 2);
    for (association, pool, pe_id, acknowledged) in [
        (1, POOL, None, true),
        (1, POOL, Some(ID), true),
        (2, POOL, Some(ID), true),
        (1, &b"OtherPool"[..], Some(ID), false),
        (1, POOL, Some(PeId(0x12)), false),
    ] {
        script.keep_alive(association, false, pool, pe_id);
        let expected: &[_] = if acknowledged {
            &[(association, 8)]
        } else {
            &[]
        };
        assert_eq!(sent(&script.actions()), expected);
    }
    assert_eq!(script.element.home(), Some(AssocId(1)));
}

#[test]
fn the_h_bit_makes_the_sender_home_and_the_element_registers_there_at_once() {
    // RFC 5352 §3.4 KA2.4
    let mut script = Script::registered();
    script.connected(2, 2);
    script.keep_alive(2, true, POOL, None);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(2, 8), (2, 1)]);
    assert!(actions.contains(&Action::Disconnect {
        association: AssocId(1)
    }));
    assert_eq!(script.element.home(), Some(AssocId(2)));
    script.respond(2, false);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::Registered { home: AssocId(2) })]
    );
}

#[test]
fn the_notice_that_the_life_has_ended_leads_to_a_new_registration() {
    // RFC 5352 §3.2
    let mut script = Script::registered();
    let notice = Message::DeregistrationResponse {
        pool_handle: POOL,
        pe_id: ID,
        error: None,
    };
    script.asap(1, &notice);
    let actions = script.actions();
    assert_eq!(actions[0], Action::Notify(Event::Expired));
    assert_eq!(sent(&actions), [(1, 1)]);
}

#[test]
fn a_new_policy_value_is_registered_at_once() {
    // RFC 5352 §3.1: re-registration with the same identifier
    let mut script = Script::registered();
    script
        .element
        .set_policy(script.now, Policy::LeastUsed { load: 6 });
    let actions = script.actions();
    let [Action::Send { bytes, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    let Message::Registration { pool_element, .. } = asap::decode(bytes).expect("ours").message
    else {
        panic!("no registration");
    };
    assert_eq!(pool_element.id, ID);
    assert_eq!(pool_element.policy, Policy::LeastUsed { load: 6 });
}

#[test]
fn data_opens_a_session_and_asap_is_the_control_channel() {
    // RFC 5352 §3.8, §5
    let mut script = Script::registered();
    script.connected(5, 8);
    assert_eq!(script.actions(), []);
    script.asap(5, &Message::CookieEcho { cookie: b"state" });
    script.input(Input::Message {
        association: AssocId(5),
        ppid: Ppid(33),
        stream: 2,
        bytes: b"ping",
    });
    let association = AssocId(5);
    assert_eq!(
        script.actions(),
        [
            Action::Notify(Event::SessionOpened { association }),
            Action::Notify(Event::CookieEcho {
                association,
                cookie: Bytes::from_static(b"state"),
            }),
            Action::Notify(Event::Message {
                association,
                ppid: Ppid(33),
                stream: 2,
                bytes: Bytes::from_static(b"ping"),
            }),
        ]
    );
    script
        .element
        .send(association, Ppid::ASAP, 0, Bytes::from_static(b"no"));
    script.element.send(association, Ppid(33), 0, Bytes::new());
    assert_eq!(
        script.actions(),
        [],
        "neither ASAP's PPID nor an empty message"
    );
    script.element.send_cookie(association, b"mine");
    assert_eq!(sent(&script.actions()), [(5, 0x0b)]);
    script.disconnected(5);
    assert_eq!(
        script.actions(),
        [Action::Notify(Event::SessionClosed { association })]
    );
}

#[test]
fn announced_registrars_are_known_until_t7() {
    // RFC 5352 §3.6
    let mut script = Script::new(&[], |_| {});
    script.element.register(script.now);
    assert_eq!(script.actions(), []);
    let transports = [Transport::Sctp(SctpTransport {
        port: 3863,
        transport_use: TransportUse::DATA_ONLY,
        addresses: List::Slice(&[address(4).ip()]),
    })];
    for (transports, source, expected) in
        [(List::Slice(&transports[..]), 3, 4), (List::EMPTY, 5, 5)]
    {
        let message = Message::ServerAnnounce {
            server_id: ServerId(1),
            transports,
        };
        let bytes = message.to_bytes().expect("short");
        script.input(Input::Announcement {
            source: SocketAddr::new(address(source).ip(), 9999),
            ppid: Ppid::ASAP,
            bytes: &bytes,
        });
        assert_eq!(script.actions(), [connect(expected)]);
        script.input(Input::ConnectFailed {
            remote: address(expected),
        });
    }
    script.now = script.now + Duration::from_secs(5);
    script.element.handle_timeout(script.now);
    script.wait();
    assert_eq!(script.actions(), [], "both are outdated at the next round");
}

#[test]
fn bad_input_is_answered_once_and_changes_nothing() {
    let mut script = Script::registered();
    let trailing = [0x03, 0, 0, 8, 0x40, 0x99, 0, 4];
    for (bytes, answered) in [
        (&[][..], false),
        (&[0x03, 0, 0, 99], true),
        (&[0x2a, 0, 0, 4], false),
        (&[0x6a, 0, 0, 4], true),
        (&trailing, true),
        (&[0x0e, 0, 0, 8, 0, 9, 0, 4], false),
    ] {
        script.input(Input::Message {
            association: AssocId(1),
            ppid: Ppid::ASAP,
            stream: 0,
            bytes,
        });
        let expected: &[_] = if answered { &[(1, 0x0e)] } else { &[] };
        assert_eq!(sent(&script.actions()), expected, "{bytes:x?}");
    }
    assert_eq!(script.element.counters().malformed, 6);
    assert!(script.element.is_registered());
}

#[test]
fn associations_are_capped() {
    let mut script = Script::new(&[], |config| config.max_associations = 2);
    for association in 1..=3 {
        script.connected(association, 8);
    }
    assert_eq!(
        script.actions(),
        [Action::Abort {
            association: AssocId(3)
        }]
    );
    assert_eq!(script.element.counters().refused, 1);
}
