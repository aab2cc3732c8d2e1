//! The registrar against hand-made input: each test is a sentence of RFC 5352.

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
        let mut config = Config::default();
        config.server_id = Some(ID);
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

#[test]
fn a_registration_creates_the_pool_and_is_granted() {
    // RFC 5352 §3.1 rules 1, 4
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    let actions = script.register(1, &element(1, &[host(1)]));
    assert_eq!(answer(&actions), (3, false, None));
    let key = script
        .registrar
        .handlespace
        .find(POOL, PeId(1))
        .expect("registered");
    let stored = script.registrar.handlespace.get(key).expect("registered");
    assert_eq!(stored.home, ID);
    let asap_transport = stored.asap_transport.as_ref().expect("recorded");
    assert_eq!(asap_transport.as_transport().port(), Some(4000));
    assert_eq!(
        asap_transport
            .as_transport()
            .addresses()
            .collect::<Vec<_>>(),
        [host(1)]
    );
}

#[test]
fn a_reregistration_replaces_the_attributes() {
    // RFC 5352 §3.1 rule 3
    let mut script = Script::with_element();
    let mut changed = element(1, &[]);
    let addresses = [host(1)];
    changed.transport = sctp(&addresses);
    changed.policy = Policy::WeightedRoundRobin { weight: 9 };
    assert_eq!(answer(&script.register(1, &changed)), (3, false, None));
    assert_eq!(script.count(), 1);
    let key = script
        .registrar
        .handlespace
        .find(POOL, PeId(1))
        .expect("registered");
    let stored = script.registrar.handlespace.get(key).expect("registered");
    assert_eq!(stored.policy, Policy::WeightedRoundRobin { weight: 9 });
}

#[test]
fn a_registration_that_does_not_fit_the_pool_is_rejected_with_the_pools_parameter() {
    // RFC 5352 §3.1 rules 2, 3; RFC 5354 §3.12.6, §3.12.8, §3.12.9
    let addresses = [host(2)];
    let fits = element(2, &addresses);
    let control = Transport::Sctp(SctpTransport {
        port: 7,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(&addresses),
    });
    let udp = Transport::Udp {
        port: 7,
        address: host(2),
    };
    let cases = [
        (
            Element {
                policy: Policy::Random,
                ..fits
            },
            CauseCode::INCONSISTENT_POLICY,
            8_u16,
        ),
        (
            Element {
                transport: udp,
                ..fits
            },
            CauseCode::INCONSISTENT_TRANSPORT,
            4,
        ),
        (
            Element {
                transport: control,
                ..fits
            },
            CauseCode::INCONSISTENT_USE,
            0,
        ),
    ];
    for (element, cause, parameter) in cases {
        let mut script = Script::with_element();
        script.connected(2, 2);
        let (_, rejected, given) = answer(&script.register(2, &element));
        let (code, info) = given.expect("a cause");
        assert!(rejected);
        assert_eq!(code, cause);
        let kind = info
            .get(..2)
            .map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
        assert_eq!(kind, parameter, "{cause}");
        assert_eq!(script.count(), 1);
    }
}

#[test]
fn values_that_no_registration_may_have_are_rejected_as_such() {
    let addresses = [host(1)];
    let fits = element(1, &addresses);
    let foreign = [host(2)];
    let port_0 = Transport::Tcp {
        port: 0,
        transport_use: TransportUse(0),
        address: host(1),
    };
    let odd_use = Transport::Sctp(SctpTransport {
        port: 7,
        transport_use: TransportUse(2),
        addresses: List::Slice(&addresses),
    });
    let private = Policy::Other {
        policy_type: crate::wire::PolicyType(0x8000_0001),
        data: &[],
    };
    let long = [b'x'; 33];
    let huge = [b'x'; 65_000];
    for (name, element) in [
        ("PE identifier 0", Element { id: 0, ..fits }),
        (
            "port 0",
            Element {
                transport: port_0,
                ..fits
            },
        ),
        (
            "unknown transport use",
            Element {
                transport: odd_use,
                ..fits
            },
        ),
        ("life 0", Element { life: 0, ..fits }),
        ("life -2", Element { life: -2, ..fits }),
        (
            "address of another host",
            Element {
                transport: sctp(&foreign),
                ..fits
            },
        ),
        (
            "private policy",
            Element {
                policy: private,
                ..fits
            },
        ),
        (
            "handle of 33 bytes",
            Element {
                pool_handle: &long,
                ..fits
            },
        ),
        (
            "handle of 65,000 bytes",
            Element {
                pool_handle: &huge,
                ..fits
            },
        ),
    ] {
        let mut script = Script::new(|_| {});
        script.connected(1, 1);
        let (kind, rejected, cause) = answer(&script.register(1, &element));
        let code = cause.map(|(code, _)| code);
        assert_eq!(
            (kind, rejected, code),
            (3, true, Some(CauseCode::INVALID_VALUES)),
            "{name}"
        );
        assert_eq!(script.count(), 0, "{name}");
        assert_eq!(script.registrar.counters.refused, 1, "{name}");
    }
}

#[test]
fn weight_0_is_registered_and_never_selected() {
    // RFC 5356 §3.2
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    script.connected(9, 9);
    let addresses = [host(1)];
    let idle = Element {
        policy: Policy::WeightedRoundRobin { weight: 0 },
        ..element(1, &addresses)
    };
    assert_eq!(answer(&script.register(1, &idle)), (3, false, None));
    let (_, rejected, cause) = answer(&script.resolve(None));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::LACK_OF_RESOURCES)
    );
}

#[test]
fn an_identifier_in_use_on_another_host_is_not_unique() {
    // RFC 5354 §3.12.5
    let mut script = Script::with_element();
    script.connected(2, 2);
    let thief = [host(2)];
    let (_, rejected, cause) = answer(&script.register(2, &element(1, &thief)));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::NON_UNIQUE_PE_ID)
    );
    // The same host on a new association is the same element.
    script.connected(3, 1);
    assert_eq!(
        answer(&script.register(3, &element(1, &[host(1)]))),
        (3, false, None)
    );
    assert_eq!(script.count(), 1);
}

#[test]
fn limits_are_answered_with_lack_of_resources() {
    let mut script = Script::new(|config| {
        config.limits.elements = 1;
        config.max_associations = 2;
    });
    script.connected(1, 1);
    script.register(1, &element(1, &[host(1)]));
    let (_, rejected, cause) = answer(&script.register(1, &element(2, &[host(1)])));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::LACK_OF_RESOURCES)
    );
    script.connected(2, 2);
    script.connected(3, 3);
    assert_eq!(
        script.actions(),
        [Action::Abort {
            association: AssocId(3)
        }]
    );
}

#[test]
fn a_registration_that_cannot_be_decoded_is_rejected_as_a_registration() {
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    let good = element(1, &[host(1)]).message();
    // The address parameter is one byte short of its type's length.
    let place = good
        .windows(4)
        .position(|window| window == [0, 1, 0, 8])
        .expect("an address");
    let mut bad = good.to_vec();
    bad[place + 3] = 7;
    script.message(1, &bad);
    let (kind, rejected, cause) = answer(&script.actions());
    assert_eq!((kind, rejected), (3, true));
    assert_eq!(
        cause,
        Some((CauseCode::INVALID_VALUES, bad[place..place + 7].to_vec()))
    );
    assert_eq!(script.registrar.counters.malformed, 1);
    // What is unknown and asks for a report is an ASAP_ERROR (RFC 5352 §2.2.14).
    let mut unknown = good.to_vec();
    unknown.extend([0x40, 0x99, 0, 4]);
    unknown[3] += 4;
    script.message(1, &unknown);
    let (kind, _, cause) = answer(&script.actions());
    assert_eq!(kind, 0x0e);
    assert_eq!(
        cause,
        Some((CauseCode::UNRECOGNIZED_PARAMETER, vec![0x40, 0x99, 0, 4]))
    );
    // Unknown and to be skipped with a report: both.
    unknown[good.len()] = 0xc0;
    script.message(1, &unknown);
    assert_eq!(types(&script.actions()), [(1, 0x0e), (1, 3)]);
    assert_eq!(script.count(), 1);
}

#[test]
fn deregistration_removes_element_and_pool_and_is_granted_for_unknown_elements() {
    // RFC 5352 §3.2
    let mut script = Script::with_element();
    let actions = script.deregister(1, 1);
    assert_eq!(answer(&actions), (4, false, None));
    assert_eq!(removed(&actions), [(1, Removal::Deregistered)]);
    assert_eq!(script.registrar.handlespace.pool_count(), 0);
    assert_eq!(answer(&script.deregister(1, 1)), (4, false, None));
    assert_eq!(
        script.registrar.poll_timeout(),
        None,
        "nothing is left to watch"
    );
}

#[test]
fn deregistration_by_proxy_is_refused() {
    // RFC 5352 §2.2.2
    let mut script = Script::with_element();
    let (_, rejected, cause) = answer(&script.deregister(9, 1));
    assert!(rejected);
    assert_eq!(cause.map(|(code, _)| code), Some(CauseCode::SECURITY));
    assert_eq!(script.count(), 1);
    // Another association of the element's own host will do.
    script.connected(2, 1);
    assert_eq!(answer(&script.deregister(2, 1)), (4, false, None));
    assert_eq!(script.count(), 0);
}

#[test]
fn resolution_lists_the_elements_with_the_policy() {
    // RFC 5352 §3.3, §2.2.6
    let mut script = Script::with_element();
    for id in 2..=5 {
        script.register(1, &element(id, &[host(1)]));
    }
    for (items, expected) in [(None, 5), (Some(0), 5), (Some(2), 2), (Some(u32::MAX), 5)] {
        let messages = sent(&script.resolve(items));
        let Message::HandleResolutionResponse {
            accepted,
            policy,
            pool_elements,
            error,
            ..
        } = asap::decode(&messages[0].1).expect("our own").message
        else {
            panic!("{messages:?}");
        };
        assert_eq!(pool_elements.len(), expected);
        assert!(matches!(policy, Some(Policy::WeightedRoundRobin { .. })));
        assert!(!accepted && error.is_none());
        assert!(pool_elements.iter().all(|element| element.life == 600));
    }
}

#[test]
fn an_unknown_pool_is_an_unknown_pool_handle() {
    // RFC 5352 §3.3
    let mut script = Script::new(|_| {});
    script.connected(9, 9);
    let (kind, rejected, cause) = answer(&script.resolve(None));
    assert_eq!((kind, rejected), (6, true));
    assert_eq!(cause, Some((CauseCode::UNKNOWN_POOL_HANDLE, vec![])));
    assert_eq!(script.registrar.counters.unresolved, 1);
}

#[test]
fn an_answer_that_would_be_too_long_has_fewer_elements() {
    let mut script = Script::new(|_| {});
    let many: Vec<IpAddr> = (0..64)
        .map(|n| [0xfd00, 0, 0, 0, 0, 0, 0, n].into())
        .collect();
    let remote: Vec<_> = many
        .iter()
        .map(|address| SocketAddr::new(*address, 4000))
        .collect();
    script.input(Input::Connected {
        association: AssocId(1),
        remote: &remote,
    });
    script.connected(9, 9);
    for id in 1..=60 {
        assert_eq!(
            answer(&script.register(1, &element(id, &many))),
            (3, false, None)
        );
    }
    let messages = sent(&script.resolve(None));
    let Message::HandleResolutionResponse {
        pool_elements,
        error: None,
        ..
    } = asap::decode(&messages[0].1).expect("our own").message
    else {
        panic!("{messages:?}");
    };
    assert_eq!(pool_elements.len(), 30);
}

#[test]
fn keep_alives_are_spread_over_time() {
    // RFC 5352 §3.5: ±50 %
    let mut script = Script::with_element();
    let mut waits = Vec::new();
    for _ in 0..50 {
        let (waited, actions) = script.wait();
        assert_eq!(types(&actions), [(1, 7)]);
        script.acknowledge(1, 1);
        script.register(1, &element(1, &[host(1)]));
        waits.push(waited);
    }
    let shortest = waits.iter().min().expect("some");
    let longest = waits.iter().max().expect("some");
    assert!(*shortest >= Duration::from_secs(15) && *longest <= Duration::from_secs(45));
    assert!(*longest - *shortest > Duration::from_secs(15), "they vary");
}

#[test]
fn an_element_that_does_not_acknowledge_is_removed() {
    // RFC 5352 §3.5
    let mut script = Script::with_element();
    script.wait();
    let (waited, actions) = script.wait();
    assert_eq!(waited, Duration::from_secs(5));
    assert_eq!(removed(&actions), [(1, Removal::Unreachable)]);
    assert_eq!(script.count(), 0);
}

#[test]
fn only_the_element_itself_can_acknowledge() {
    let mut script = Script::with_element();
    script.wait();
    script.acknowledge(9, 1);
    let (_, actions) = script.wait();
    assert_eq!(removed(&actions), [(1, Removal::Unreachable)]);
}

#[test]
fn a_keep_alive_that_cannot_be_sent_removes_the_element() {
    // RFC 5352 §3.5: SEND.FAILURE
    let mut script = Script::with_element();
    let (_, actions) = script.wait();
    let (association, bytes) = sent(&actions).pop().expect("the keep-alive");
    script.input(Input::SendFailed {
        association: AssocId(association),
        ppid: Ppid::ASAP,
        bytes: &bytes,
    });
    assert_eq!(removed(&script.actions()), [(1, Removal::Unreachable)]);
}

#[test]
fn a_report_leads_to_a_question_at_once_and_the_element_stays_if_it_answers() {
    // RFC 5352 §3.5: MUST immediately send; MUST retain
    let mut script = Script::with_element();
    let actions = script.report(9, 1);
    assert_eq!(types(&actions), [(1, 7)]);
    let bytes = &sent(&actions)[0].1;
    assert!(matches!(
        asap::decode(bytes).expect("our own").message,
        Message::EndpointKeepAlive {
            home: false,
            server_id: ID,
            ..
        }
    ));
    assert_eq!(types(&script.report(9, 1)), [], "one question at a time");
    script.acknowledge(1, 1);
    // One host may report as often as it likes.
    for _ in 0..3000 {
        script.report(9, 1);
        script.acknowledge(1, 1);
    }
    assert_eq!(script.count(), 1);
}

#[test]
fn more_than_max_bad_pe_report_hosts_remove_a_silent_element() {
    // RFC 5352 §3.5: exceeds MAX-BAD-PE-REPORT
    let mut script = Script::with_element();
    for number in 10..13 {
        script.connected(number.into(), number);
        script.report(number.into(), 1);
        script.report(number.into(), 1);
    }
    assert_eq!(script.count(), 1, "three hosts do not exceed the threshold");
    script.connected(13, 13);
    assert_eq!(removed(&script.report(13, 1)), [(1, Removal::Reported)]);
}

#[test]
fn a_registration_that_is_not_renewed_ends_with_a_notice() {
    // RFC 5352 §3.2
    let mut script = Script::new(|config| config.keep_alive_interval = Duration::ZERO);
    script.connected(1, 1);
    script.register(1, &element(1, &[host(1)]));
    assert_eq!(script.at(599), []);
    let actions = script.at(600);
    assert_eq!(answer(&actions), (4, false, None));
    assert_eq!(removed(&actions), [(1, Removal::Expired)]);
}

#[test]
fn a_renewed_registration_lives_on_and_an_infinite_one_does_not_end() {
    let mut script = Script::new(|config| config.keep_alive_interval = Duration::ZERO);
    script.connected(1, 1);
    let addresses = [host(1)];
    script.register(1, &element(1, &addresses));
    script.at(500);
    script.register(1, &element(1, &addresses));
    assert_eq!(script.at(1099), []);
    script.register(
        1,
        &Element {
            life: -1,
            ..element(1, &addresses)
        },
    );
    assert_eq!(script.registrar.poll_timeout(), None);
}

#[test]
fn an_element_whose_association_has_ended_is_called_and_removed_if_it_refuses() {
    for answers in [true, false] {
        let mut script = Script::with_element();
        script.disconnected(1);
        let call = Action::Connect {
            ppid: Ppid::ASAP,
            remote: vec![endpoint(1)],
        };
        assert_eq!(script.actions(), [call]);
        if answers {
            script.connected(2, 1);
            assert_eq!(types(&script.actions()), [(2, 7)]);
            assert_eq!(script.acknowledge(2, 1), []);
            assert_eq!(script.count(), 1);
        } else {
            script.input(Input::ConnectFailed {
                remote: endpoint(1),
            });
            assert_eq!(removed(&script.actions()), [(1, Removal::Unreachable)]);
        }
    }
}

#[test]
fn announcements_are_scaled_by_the_number_of_registrars() {
    // RFC 5352 §3.6: (N+1) × T6
    let mut script = Script::new(|config| {
        config.announce = true;
        config.asap_addresses = vec![endpoint(1)];
    });
    let (waited, actions) = script.wait();
    assert_eq!(waited, Duration::ZERO);
    let [
        Action::Announce {
            ppid: Ppid::ASAP,
            bytes,
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    let Message::ServerAnnounce {
        server_id,
        transports,
    } = asap::decode(bytes).expect("our own").message
    else {
        panic!("no announcement");
    };
    assert_eq!((server_id, transports.len()), (ID, 1));
    for other in [2, 3] {
        let message = Message::ServerAnnounce {
            server_id: ServerId(other),
            transports: List::EMPTY,
        };
        script.input(Input::Announcement {
            source: endpoint(2),
            ppid: Ppid::ASAP,
            bytes: &message.to_bytes().expect("short"),
        });
    }
    assert_eq!(script.wait().0, Duration::from_secs(1));
    assert_eq!(script.wait().0, Duration::from_secs(3));
    // Both are outdated in the meantime.
    script.wait();
    script.wait();
    assert_eq!(script.wait().0, Duration::from_secs(1));
}

#[test]
fn the_dialects_differ_in_the_life_and_in_the_keep_alive() {
    let addresses = [host(1)];
    let mut script = Script::new(|config| {
        *config = Config::for_dialect(Dialect::Rsplib);
        config.server_id = Some(ID);
    });
    script.connected(1, 1);
    script.register(
        1,
        &Element {
            life: 90_000,
            ..element(1, &addresses)
        },
    );
    let (_, actions) = script.wait();
    assert!(matches!(
        asap::decode(&sent(&actions)[0].1).expect("our own").message,
        Message::EndpointKeepAlive {
            pe_id: Some(PeId(1)),
            ..
        }
    ));
    script.acknowledge(1, 1);
    let last = loop {
        let (_, actions) = script.wait();
        if let Some(removed) = removed(&actions).pop() {
            break removed;
        }
        script.acknowledge(1, 1);
    };
    assert_eq!(last, (1, Removal::Expired));
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(90));
}

#[test]
fn what_is_not_meant_for_a_registrar_is_counted_and_ignored() {
    let mut script = Script::with_element();
    let cookie = Message::Cookie { cookie: b"x" };
    assert_eq!(script.asap(1, &cookie), []);
    assert_eq!(script.acknowledge(1, 77), []);
    let association = AssocId(1);
    for ppid in [Ppid::ENRP, Ppid(0)] {
        script.input(Input::Message {
            association,
            ppid,
            stream: 0,
            bytes: b"1234",
        });
    }
    script.message(99, b"nobody");
    assert_eq!(script.actions(), []);
    assert_eq!(script.registrar.counters.unexpected, 5);
}
