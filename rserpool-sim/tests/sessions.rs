//! Sessions and subscriptions in whole scopes (RFC 5352 §2.2.5, §3.8, §6.5.5).

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use bytes::Bytes;
use rserpool_core::registrar::Registrar;
use rserpool_core::wire::{Policy, Transport};
use rserpool_core::{AssocId, End, PeId, PoolHandle, Ppid, ServerId, element, user};
use rserpool_sim::{Cut, NodeId, Told, World};

const POOL: &str = "EchoPool";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Elements that count what they are sent, give the count back as a cookie, and go on from the cookie of another one.
struct Service {
    world: World,
    user: NodeId,
    session: user::SessionId,
    elements: BTreeMap<PeId, NodeId>,
    counts: BTreeMap<(NodeId, AssocId), u64>,
    /// What elements have got, in order.
    got: Vec<u64>,
    /// The count of the last cookie that elements sent, and of the last one that was echoed.
    cookie: u64,
    current: Option<PeId>,
    fail_overs: u64,
    interrupted: Option<rserpool_core::Instant>,
    gaps: Vec<Duration>,
    returned: Vec<u64>,
}

impl Service {
    fn new(seed: u64, options: user::SessionOptions) -> Self {
        let mut world = World::new(seed);
        world.add_registrar(|_| {});
        let elements = (1..=4)
            .map(|id| {
                let element = world.add_element(POOL, |config| config.pe_id = Some(PeId(id)));
                world.element(element, |element, now| element.register(now));
                (PeId(id), element)
            })
            .collect();
        world.run_for(seconds(1));
        let user = world.add_user(|_| {});
        let session = world.user(user, |user, now| {
            user.open_with(now, &PoolHandle::from(POOL), options)
        });
        Self {
            world,
            user,
            session: session.expect("there is room for a session"),
            elements,
            counts: BTreeMap::new(),
            got: Vec::new(),
            cookie: 0,
            current: None,
            fail_overs: 0,
            interrupted: None,
            gaps: Vec::new(),
            returned: Vec::new(),
        }
    }

    fn send(&mut self, number: u64) {
        let session = self.session;
        let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
        self.world
            .user(self.user, |user, _| user.send(session, Ppid(0), 0, bytes))
            .expect("there is room");
    }

    /// Lets time pass, and elements answer within 5 milliseconds.
    fn run_for(&mut self, duration: Duration) {
        let end = self.world.now() + duration;
        while self.world.now() < end {
            self.world.run_for(millis(5));
            for (at, node, told) in self.world.take_told() {
                match told {
                    Told::Element(event) => self.serve(node, event),
                    Told::User(event) => self.hear(at, event),
                    _ => {}
                }
            }
        }
    }

    fn serve(&mut self, node: NodeId, event: element::Event) {
        match event {
            element::Event::CookieEcho {
                association,
                cookie,
            } => {
                self.counts.insert((node, association), number(&cookie));
            }
            element::Event::Message {
                association, bytes, ..
            } => {
                let count = self.counts.entry((node, association)).or_default();
                *count += 1;
                self.got.push(number(&bytes));
                self.cookie = *count;
                let cookie = count.to_be_bytes();
                // The session may have ended meanwhile.
                let _ = self
                    .world
                    .element(node, |element, _| element.send_cookie(association, &cookie));
            }
            _ => {}
        }
    }

    fn hear(&mut self, at: rserpool_core::Instant, event: user::Event) {
        match event {
            user::Event::Connected { element, .. } => self.current = Some(element),
            user::Event::Interrupted { element, .. } => {
                assert_eq!(self.current.take(), Some(element));
                self.interrupted = Some(at);
            }
            user::Event::FailedOver {
                old,
                new,
                cookie_echoed,
                ..
            } => {
                assert_ne!(old, new);
                assert_eq!(cookie_echoed, self.cookie > 0);
                self.current = Some(new);
                self.fail_overs += 1;
                let since = self.interrupted.take().expect("it was interrupted");
                self.gaps.push(at.duration_since(since));
            }
            user::Event::Undelivered { bytes, .. } => self.returned.push(number(&bytes)),
            user::Event::SessionFailed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }

    /// Cuts the element in use off, with messages before and after the cut, until the session is with another one.
    fn fail_over(&mut self, next: &mut u64, pause: u64) {
        let mut send = |service: &mut Self| {
            for _ in 0..3 {
                service.send(*next);
                *next += 1;
            }
        };
        send(self);
        self.run_for(millis(pause));
        let element = self.current.expect("it has an element");
        let cut = self.world.cut(Cut {
            from: BTreeSet::from([self.user]),
            to: BTreeSet::from([self.elements[&element]]),
            both_ways: true,
        });
        send(self);
        while self.current == Some(element) || self.current.is_none() {
            self.run_for(millis(100));
        }
        self.world.heal(cut);
        self.run_for(seconds(12));
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("8 bytes"))
}

#[test]
fn fail_overs_at_any_moment_lose_no_message() {
    let mut options = user::SessionOptions::default();
    options.resend = true;
    let mut service = Service::new(1, options);
    service.run_for(seconds(1));
    let mut next = 0;
    for round in 0..200 {
        service.fail_over(&mut next, 1 + round * 7 % 20);
    }
    assert_eq!(service.fail_overs, 200);
    assert_eq!(service.returned, []);
    assert_eq!(
        service.got,
        (0..next).collect::<Vec<_>>(),
        "all, and in order"
    );
    service.gaps.sort();
    let (median, most) = (service.gaps[100], service.gaps[198]);
    assert!(
        median < millis(50) && most < millis(500),
        "{median:?} {most:?}"
    );
}

#[test]
fn a_thousand_fail_overs_lose_no_cookie() {
    let mut options = user::SessionOptions::default();
    options.resend = true;
    let mut service = Service::new(4, options);
    service.run_for(seconds(1));
    let mut next = 0;
    for round in 0..1000 {
        // Whatever was counted before the cut has come back by then.
        service.fail_over(&mut next, 100 + round % 20);
        assert_eq!(service.cookie, next, "the next element goes on counting");
    }
    assert_eq!(service.fail_overs, 1000);
    assert_eq!(service.got, (0..next).collect::<Vec<_>>());
}

#[test]
fn without_sending_again_each_message_arrives_or_comes_back() {
    let mut service = Service::new(2, user::SessionOptions::default());
    service.run_for(seconds(1));
    let mut next = 0;
    for round in 0..20 {
        service.fail_over(&mut next, 1 + round * 7 % 20);
    }
    assert!(!service.returned.is_empty());
    let mut all = [service.got.clone(), service.returned.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..next).collect::<Vec<_>>());
}

/// The elements that a user was told of last.
fn updated(world: &mut World) -> Option<Vec<u32>> {
    let events = world.take_user_events();
    events.into_iter().rev().find_map(|event| match event {
        user::Event::Updated { elements, .. } => {
            let mut ids: Vec<_> = elements.iter().map(|element| element.id.0).collect();
            ids.sort_unstable();
            Some(ids)
        }
        _ => None,
    })
}

#[test]
fn a_subscriber_sees_what_happens_at_any_registrar() {
    let mut world = World::new(3);
    let registrars: Vec<_> = (1..=2)
        .map(|id| {
            let node = world.add_registrar(|config| config.server_id = Some(ServerId(id)));
            world.run_for(seconds(1));
            node
        })
        .collect();
    let user = world.add_user(|_| {});
    let pool = PoolHandle::from(POOL);
    let mut elements = Vec::new();
    for id in 1..=6 {
        let element = world.add_element(POOL, |config| config.pe_id = Some(PeId(id)));
        world.element(element, |element, now| element.register(now));
        world.run_for(seconds(1));
        elements.push(element);
        if id == 1 {
            let subscribed = world.user(user, |user, now| user.subscribe(now, &pool));
            assert_eq!(subscribed, Ok(()));
            world.run_for(seconds(1));
        }
        assert_eq!(updated(&mut world), Some((1..=id).collect()));
    }
    let requests = world.user(user, |user, _| user.counters().resolutions);
    assert_eq!(requests, 1, "the registrars tell by themselves");
    let homes: BTreeSet<_> = elements
        .iter()
        .map(|element| world.element(*element, |element, _| element.home()))
        .collect();
    assert!(homes.len() > 1, "elements are at both registrars");
    world.element(elements[0], |element, now| element.deregister(now));
    world.crash(elements[1]);
    world.run_for(seconds(2));
    assert_eq!(updated(&mut world), Some(vec![3, 4, 5, 6]));
    // Its home may be the one that dies.
    for registrar in registrars {
        world.crash(registrar);
        world.run_for(seconds(200));
        world.restart(registrar);
        world.run_for(seconds(200));
        updated(&mut world);
        world.crash(elements.pop().expect("one more"));
        world.run_for(seconds(60));
        let left = u32::try_from(elements.len()).expect("few");
        assert_eq!(updated(&mut world), Some((3..=left).collect()));
    }
}

#[test]
fn a_pool_vanishes_for_an_hour_and_comes_back_with_another_policy() {
    let mut world = World::new(5);
    world.add_registrar(|_| {});
    let element = |world: &mut World, id, policy| {
        let element = world.add_element(POOL, |config| {
            config.pe_id = Some(PeId(id));
            config.policy = policy;
        });
        world.element(element, |element, now| element.register(now));
        world.run_for(seconds(1));
        element
    };
    let first = element(&mut world, 1, Policy::RoundRobin);
    let user = world.add_user(|config| config.failover_timeout = seconds(7200));
    let pool = PoolHandle::from(POOL);
    let session = world
        .user(user, |user, now| user.open(now, &pool))
        .expect("there is room for a session");
    world
        .user(user, |user, now| user.subscribe(now, &pool))
        .expect("there is room for a subscription");
    world.run_for(seconds(20));
    let with = |world: &mut World| world.user(user, |user, _| user.element(session));
    assert_eq!(with(&mut world), Some(PeId(1)));
    let requests = |world: &mut World| world.user(user, |user, _| user.counters().resolutions);
    let before = requests(&mut world);
    world.crash(first);
    world.run_for(seconds(3600));
    assert_eq!(with(&mut world), None);
    // A session asks every 10 seconds in the end, the registrar tells the subscription.
    let asked = requests(&mut world) - before;
    assert!((300..=370).contains(&asked), "{asked}");
    element(&mut world, 2, Policy::LeastUsed { load: 0 });
    world.run_for(seconds(20));
    assert_eq!(with(&mut world), Some(PeId(2)));
    assert_eq!(updated(&mut world), Some(vec![2]));
}

/// A pool over UDP, and an application that connects to whoever is alive.
struct Datagrams {
    world: World,
    registrar: NodeId,
    user: NodeId,
    session: user::SessionId,
    elements: BTreeMap<PeId, NodeId>,
    dead: Option<PeId>,
    selected: u32,
}

impl Datagrams {
    fn new() -> Self {
        let mut world = World::new(6);
        let registrar = world.add_registrar(|_| {});
        let element = |id| {
            let element = world.add_element(POOL, |config| {
                config.pe_id = Some(PeId(id));
                let sctp = config.user_transport.as_transport();
                let address = sctp.addresses().next().expect("it is somewhere");
                let udp = Transport::Udp { port: 7, address };
                config.user_transport = (&udp).into();
            });
            world.element(element, |element, now| element.register(now));
            (PeId(id), element)
        };
        let elements = (1..=3).map(element).collect();
        world.run_for(seconds(1));
        let user = world.add_user(|_| {});
        let mut options = user::SessionOptions::default();
        options.carrier = user::Carrier::Udp;
        let session = world.user(user, |user, now| {
            user.open_with(now, &PoolHandle::from(POOL), options)
        });
        Self {
            world,
            registrar,
            user,
            session: session.expect("there is room for a session"),
            elements,
            dead: None,
            selected: 0,
        }
    }

    /// The element that the session has within so many seconds.
    fn settle(&mut self, within: u64) -> PeId {
        let session = self.session;
        for _ in 0..within * 10 {
            self.world.run_for(millis(100));
            for event in self.world.take_user_events() {
                let user::Event::Selected { element, .. } = event else {
                    continue;
                };
                self.selected += 1;
                let dead = self.dead == Some(element);
                self.world.user(self.user, |user, now| {
                    if dead {
                        user.end_connection(now, session, element, End::Lost, false);
                    } else {
                        assert!(user.confirm_connection(now, session, element));
                    }
                });
            }
            let element = self.world.user(self.user, |user, _| user.element(session));
            if let Some(element) = element {
                return element;
            }
        }
        panic!("the session has no element");
    }
}

#[test]
fn sessions_with_pools_of_other_transports_fail_over_and_report() {
    let mut datagrams = Datagrams::new();
    let mut current = datagrams.settle(1);
    for _ in 0..30 {
        let node = datagrams.elements[&current];
        datagrams.world.crash(node);
        datagrams.dead = Some(current);
        let session = datagrams.session;
        datagrams.world.user(datagrams.user, |user, now| {
            user.end_connection(now, session, current, End::Lost, true);
        });
        let next = datagrams.settle(1);
        assert_ne!(next, current);
        // It was reported, and does not answer the registrar either.
        datagrams.world.run_for(seconds(10));
        let known = |registrar: &mut Registrar, _| registrar.handlespace().len();
        assert_eq!(datagrams.world.registrar(datagrams.registrar, known), 2);
        datagrams.world.restart(node);
        datagrams.dead = None;
        datagrams
            .world
            .element(node, |element, now| element.register(now));
        datagrams.world.run_for(seconds(15));
        current = next;
    }
    assert_eq!(datagrams.selected, 31, "nobody was tried in vain");
}
