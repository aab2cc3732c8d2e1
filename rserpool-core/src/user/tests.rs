//! The user against hand-made input: each test is a sentence of RFC 5352 or RFC 5356.

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

fn connect(remote: SocketAddr) -> Action<Event> {
    Action::Connect {
        ppid: Ppid::ASAP,
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
        let addresses: Vec<_> = ids.iter().map(|id| [server(*id).ip()]).collect();
        let elements: Vec<_> = ids
            .iter()
            .zip(&addresses)
            .map(|(id, addresses)| PoolElement {
                id: PeId((*id).into()),
                home_id: ServerId(1),
                life: 60,
                user_transport: Transport::Sctp(SctpTransport {
                    port: 7,
                    transport_use: TransportUse::DATA_PLUS_CONTROL,
                    addresses: List::Slice(addresses),
                }),
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
            accepted: false,
            pool_handle: POOL,
            policy,
            pool_elements: List::Slice(&elements),
            error: None,
        };
        self.asap(HOME, &message);
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

    /// Lets time pass up to the next timer, and runs it.
    fn wait(&mut self) -> Duration {
        let next = self.user.poll_timeout().expect("a timer runs");
        let waited = next.duration_since(self.now);
        self.now = next;
        self.user.handle_timeout(self.now);
        waited
    }
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

#[test]
fn a_resolution_is_sent_to_the_home_and_answered_from_the_cache_while_fresh() {
    // RFC 5352 §3.3 NR1–NR4, C1, C2, C4
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    assert_eq!(script.actions(), [connect(registrar(1))]);
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()), [(HOME, 5)]);
    script.answer(Some(Policy::Random), &[1, 2]);
    let events = script.events();
    let [
        Event::Resolved {
            policy, elements, ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*policy, elements.len()), (PolicyType::RANDOM, 2));
    assert_eq!(script.user.poll_timeout(), None, "T1 is stopped");
    script.now = script.now + Duration::from_secs(29);
    script.user.resolve(script.now, &pool());
    assert!(matches!(script.events()[..], [Event::Resolved { .. }]));
    script.now = script.now + Duration::from_secs(1);
    script.user.resolve(script.now, &pool());
    assert_eq!(sent(&script.actions()), [(HOME, 5)], "stale after 30 s");
}

#[test]
fn an_unanswered_request_is_repeated_twice_and_then_reported() {
    // RFC 5352 §3.7.2: T1, MAX-REQUEST-RETRANSMIT
    let mut script = Script::new(|config| config.hunt.registrars.push(registrar(2)));
    script.user.resolve(script.now, &pool());
    script.actions();
    script.connected(HOME, registrar(1));
    script.actions();
    script.input(Input::ConnectFailed {
        remote: registrar(2),
    });
    assert_eq!(script.wait(), Duration::from_secs(15));
    let actions = script.actions();
    assert!(
        actions.contains(&connect(registrar(2))),
        "in parallel the hunt begins"
    );
    assert_eq!(sent(&actions), [(HOME, 5)]);
    script.connected(2, registrar(2));
    let actions = script.actions();
    assert_eq!(sent(&actions), [(2, 5)], "the alternate is adopted");
    assert!(actions.contains(&Action::Disconnect {
        association: AssocId(HOME)
    }));
    let failed = loop {
        script.wait();
        if let Some(event) = script.events().pop() {
            break event;
        }
    };
    assert_eq!(
        failed,
        Event::ResolveFailed {
            pool_handle: pool(),
            error: ResolveError::Timeout
        }
    );
    assert!(script.now <= Instant::EPOCH + Duration::from_secs(45));
}

#[test]
fn a_request_ends_in_bounded_time_without_any_registrar() {
    let mut script = Script::new(|config| config.hunt.registrars.clear());
    script.user.resolve(script.now, &pool());
    while script.events().is_empty() {
        script.wait();
    }
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(45));
}

#[test]
fn requests_are_repeated_at_the_next_registrar() {
    // RFC 5352 §3.7.1
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.actions();
    script.disconnected(HOME, End::Lost);
    assert_eq!(script.actions(), [connect(registrar(1))]);
    script.connected(2, registrar(1));
    assert_eq!(sent(&script.actions()), [(2, 5)]);
}

#[test]
fn an_answer_without_policy_is_round_robin_and_an_error_is_a_refusal() {
    // RFC 5352 §2.2.6
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.actions();
    script.answer(None, &[1]);
    assert!(matches!(
        script.events()[..],
        [Event::Resolved {
            policy: PolicyType::ROUND_ROBIN,
            ..
        }]
    ));
    script.user.purge(&pool());
    script.user.resolve(script.now, &pool());
    script.refuse();
    let error = ResolveError::Refused(vec![CauseCode::UNKNOWN_POOL_HANDLE]);
    assert_eq!(
        script.events(),
        [Event::ResolveFailed {
            pool_handle: pool(),
            error
        }]
    );
    script.answer(None, &[1]);
    assert_eq!(script.user.counters().unexpected, 1, "nobody has asked");
}

#[test]
fn an_asap_error_answers_the_oldest_request() {
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.user.resolve(script.now, &PoolHandle::from("Other"));
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()).len(), 2);
    let causes = [Cause {
        code: CauseCode::INVALID_VALUES,
        info: &[],
    }];
    script.asap(
        HOME,
        &Message::Error {
            causes: List::Slice(&causes),
        },
    );
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::ResolveFailed { pool_handle, .. }] if *pool_handle == pool())
    );
}

/// The elements that sessions connect to, one after another, with the pool in the cache.
fn order(policy: Policy<'static>, ids: &[u8], count: usize) -> Vec<u8> {
    let mut script = Script::new(|_| {});
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    script.answer(Some(policy), ids);
    script.actions();
    (0..count)
        .map(|_| {
            script.user.open(script.now, &pool()).expect("room");
            let actions = script.actions();
            let [Action::Connect { remote, .. }] = &actions[..] else {
                panic!("{actions:?}");
            };
            let core::net::IpAddr::V4(address) = remote[0].ip() else {
                panic!("{remote:?}");
            };
            address.octets()[3]
        })
        .collect()
}

#[test]
fn the_user_selects_by_the_policy_of_the_pool() {
    // RFC 5356 §4.1.3, §4.2.3
    assert_eq!(order(Policy::RoundRobin, &[3, 1, 2], 4), [3, 1, 2, 3]);
    let weighted = Policy::WeightedRoundRobin { weight: 1 };
    assert_eq!(order(weighted, &[3, 1, 2], 4), [3, 1, 2, 3]);
    // RFC 5356 §4.5.3: MUST select the highest priority, whatever the order
    assert_eq!(
        order(Policy::Priority { priority: 0 }, &[1, 3, 2], 2),
        [3, 3]
    );
    // RFC 5356 §5.1.3, §5.2.3, §5.3.3
    assert_eq!(order(Policy::LeastUsed { load: 0 }, &[2, 1], 2), [2, 2]);
    // RFC 5356 §4.3.3, §4.4.3, §5.4.3
    let random = order(Policy::Random, &[1, 2, 3], 60);
    for id in 1..=3 {
        let count = random.iter().filter(|selected| **selected == id).count();
        assert!((8..=35).contains(&count), "{id}: {count}");
    }
}

#[test]
fn messages_wait_for_the_element_and_go_in_order() {
    // RFC 5352 §6.5.1
    let (mut script, session) = Script::session(|config| config.max_session_queue = 8);
    for bytes in [&b"one"[..], b"two"] {
        let bytes = Bytes::from_static(bytes);
        assert_eq!(script.user.send(session, Ppid(0), 0, bytes), Ok(()));
    }
    let long = Bytes::from_static(b"three");
    assert_eq!(
        script.user.send(session, Ppid(0), 0, long),
        Err(SendError::QueueFull)
    );
    assert_eq!(
        script
            .user
            .send(session, Ppid::ASAP, 0, Bytes::from_static(b"x")),
        Err(SendError::ReservedPpid)
    );
    assert_eq!(
        script.user.send(session, Ppid(0), 0, Bytes::new()),
        Err(SendError::Empty)
    );
    script.answer(Some(Policy::RoundRobin), &[1]);
    assert_eq!(script.actions(), [connect(server(1))]);
    script.connected(7, server(1));
    let actions = script.actions();
    let data: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { bytes, .. } => Some(&bytes[..]),
            _ => None,
        })
        .collect();
    assert_eq!(data, [&b"one"[..], b"two"]);
    assert_eq!(
        actions[0],
        Action::Notify(Event::Connected {
            session,
            element: PeId(1)
        })
    );
}

#[test]
fn a_lost_element_is_reported_once_and_the_cookie_goes_first_to_the_next() {
    // RFC 5352 §3.5, §3.8
    let (mut script, session) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    script.connected(7, server(1));
    script.asap(7, &Message::Cookie { cookie: b"old" });
    script.asap(7, &Message::Cookie { cookie: b"new" });
    script.actions();
    script.disconnected(7, End::Lost);
    let actions = script.actions();
    assert_eq!(sent(&actions), [(HOME, 9)]);
    assert!(actions.contains(&connect(server(2))));
    let message = Bytes::from_static(b"go on");
    script
        .user
        .send(session, Ppid(0), 0, message.clone())
        .expect("queued");
    script.connected(8, server(2));
    let actions = script.actions();
    let Action::Send {
        association: AssocId(8),
        ppid: Ppid::ASAP,
        bytes,
        ..
    } = &actions[0]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(
        asap::decode(bytes).expect("ours").message,
        Message::CookieEcho { cookie: b"new" }
    );
    assert_eq!(
        actions[1],
        Action::Notify(Event::FailedOver {
            session,
            old: PeId(1),
            new: PeId(2),
            cookie_echoed: true,
        })
    );
    assert!(matches!(&actions[2], Action::Send { bytes, .. } if *bytes == message));
    assert_eq!(script.user.counters().reports, 1);
}

#[test]
fn an_element_that_closes_in_order_is_left_without_a_report() {
    let (mut script, session) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    script.connected(7, server(1));
    script.actions();
    script.disconnected(7, End::Closed);
    let actions = script.actions();
    assert_eq!(sent(&actions), []);
    let interrupted = Event::Interrupted {
        session,
        element: PeId(1),
        closed: true,
    };
    assert_eq!(actions, [Action::Notify(interrupted), connect(server(2))]);
}

#[test]
fn elements_that_cannot_be_reached_are_tried_in_turn_and_then_after_growing_pauses() {
    let (mut script, session) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    for id in [1, 2] {
        let actions = script.actions();
        assert!(actions.contains(&connect(server(id))), "{actions:?}");
        script.input(Input::ConnectFailed { remote: server(id) });
    }
    assert_eq!(
        sent(&script.actions()),
        [(HOME, 9), (HOME, 5)],
        "reported, asked again"
    );
    let mut pauses = Vec::new();
    while pauses.len() < 8 {
        script.answer(Some(Policy::RoundRobin), &[1]);
        let actions = script.actions();
        if actions.contains(&connect(server(1))) {
            script.input(Input::ConnectFailed { remote: server(1) });
            script.actions();
        } else {
            pauses.push(script.wait().as_millis());
            script.input(Input::ConnectFailed { remote: server(1) });
            script.actions();
        }
        if script.now.as_micros() >= 50_000_000 {
            break;
        }
    }
    assert_eq!(pauses[..4], [250, 500, 1000, 2000]);
    assert!(*pauses.iter().max().expect("some") <= 10_000);
    loop {
        if let Some(Event::SessionFailed {
            session: failed,
            error,
        }) = script.events().pop()
        {
            assert_eq!((failed, error), (session, SessionError::Unreachable));
            break;
        }
        script.wait();
    }
    assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(60));
    assert_eq!(
        script
            .user
            .send(session, Ppid(0), 0, Bytes::from_static(b"x")),
        Err(SendError::UnknownSession)
    );
}

#[test]
fn an_element_that_does_not_answer_the_call_is_given_up_after_5_seconds() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1, 2]);
    assert_eq!(script.actions(), [connect(server(1))]);
    assert_eq!(script.wait(), Duration::from_secs(5));
    assert!(script.actions().contains(&connect(server(2))));
    script.connected(7, server(2));
    script.actions();
    script.connected(8, server(1));
    assert_eq!(
        script.actions(),
        [Action::Disconnect {
            association: AssocId(8)
        }],
        "nobody waits for it any more"
    );
}

#[test]
fn two_sessions_with_one_element_are_two_associations() {
    let (mut script, first) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1]);
    let second = script.user.open(script.now, &pool()).expect("room");
    script.connected(7, server(1));
    script.connected(8, server(1));
    script.message(7, Ppid(0), b"a");
    script.message(8, Ppid(0), b"b");
    let events: Vec<_> = script
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Message { session, bytes, .. } => Some((session, bytes)),
            _ => None,
        })
        .collect();
    assert_eq!(
        events,
        [
            (first, Bytes::from_static(b"a")),
            (second, Bytes::from_static(b"b"))
        ]
    );
    script.user.close(first);
    assert_eq!(
        script.actions(),
        [Action::Disconnect {
            association: AssocId(7)
        }]
    );
}

#[test]
fn a_report_waits_for_a_home() {
    // RFC 5352 §3.5: to any registrar
    let mut script = Script::new(|_| {});
    script.user.report_unreachable(&pool(), PeId(4));
    assert_eq!(script.actions(), []);
    script.user.resolve(script.now, &pool());
    script.connected(HOME, registrar(1));
    assert_eq!(sent(&script.actions()), [(HOME, 5), (HOME, 9)]);
}

#[test]
fn bad_input_is_answered_once_and_changes_nothing() {
    let (mut script, _) = Script::session(|_| {});
    script.answer(Some(Policy::RoundRobin), &[1]);
    script.connected(7, server(1));
    script.actions();
    for association in [HOME, 7] {
        script.message(association, Ppid::ASAP, &[0x06, 0, 0, 99]);
        assert_eq!(sent(&script.actions()), [(association, 0x0e)]);
        script.message(association, Ppid::ENRP, &[0x01, 0, 0, 4]);
        script.asap(association, &Message::CookieEcho { cookie: b"x" });
        assert_eq!(script.actions(), []);
    }
    assert_eq!(script.user.counters().malformed, 2);
    assert_eq!(script.user.counters().unexpected, 4);
}
