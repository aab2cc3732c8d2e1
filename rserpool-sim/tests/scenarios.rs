//! Whole scopes in virtual time: what the machines do together.

use core::time::Duration;

use bytes::Bytes;
use rserpool_core::registrar::{Rate, Removal};
use rserpool_core::wire::Policy;
use rserpool_core::{Life, PeId, PoolHandle, Ppid, element, registrar, user};
use rserpool_sim::{NodeId, Told, World};

const POOL: &str = "EchoPool";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One registrar, registered elements with the identifiers from 1 on, and a user with a session.
struct Scope {
    world: World,
    registrar: NodeId,
    elements: Vec<NodeId>,
    user: NodeId,
    session: user::SessionId,
}

impl Scope {
    fn new(seed: u64, elements: u32) -> Self {
        let mut world = World::new(seed);
        let registrar = world.add_registrar(|_| {});
        let elements: Vec<_> = (1..=elements)
            .map(|id| {
                let element = world.add_element(POOL, |config| config.pe_id = Some(PeId(id)));
                world.element(element, |element, now| element.register(now));
                element
            })
            .collect();
        world.run_for(seconds(1));
        let user = world.add_user(|_| {});
        let session = world.user(user, |user, now| user.open(now, &PoolHandle::from(POOL)));
        world.run_for(seconds(1));
        let session = session.expect("there is room for a session");
        Self {
            world,
            registrar,
            elements,
            user,
            session,
        }
    }

    fn registered(&mut self) -> usize {
        self.world
            .registrar(self.registrar, |registrar, _| registrar.handlespace().len())
    }

    /// Which element the session is with, by the last event that says so.
    fn current(&mut self) -> Option<PeId> {
        self.world
            .take_user_events()
            .into_iter()
            .rev()
            .find_map(|event| match event {
                user::Event::Connected { element, .. } => Some(element),
                user::Event::FailedOver { new, .. } => Some(new),
                _ => None,
            })
    }

    fn node_of(&self, id: PeId) -> NodeId {
        self.elements[usize::try_from(id.0).expect("small") - 1]
    }

    fn send(&mut self, text: &'static str) {
        let session = self.session;
        self.world
            .user(self.user, |user, _| {
                user.send(session, Ppid(0), 0, Bytes::from_static(text.as_bytes()))
            })
            .expect("the session is there");
    }
}

/// Why elements were removed, in order.
fn removals(world: &mut World) -> Vec<Removal> {
    world
        .take_told()
        .into_iter()
        .filter_map(|(_, _, told)| match told {
            Told::Registrar(registrar::Event::Removed { reason, .. }) => Some(reason),
            _ => None,
        })
        .collect()
}

#[test]
fn a_session_outlives_every_element_but_the_last() {
    for silent in [false, true] {
        let mut scope = Scope::new(1, 3);
        let mut seen = Vec::new();
        for left in (0..3).rev() {
            let current = scope.current().expect("the session has an element");
            assert!(!seen.contains(&current), "never back to a dead one");
            seen.push(current);
            let node = scope.node_of(current);
            if silent {
                scope.world.vanish(node);
            } else {
                scope.world.crash(node);
            }
            scope.world.run_for(seconds(15));
            assert_eq!(
                scope.registered(),
                left,
                "the dead one is gone from the pool"
            );
        }
        assert_eq!(scope.current(), None);
        // A new element comes, and the session goes on with it.
        let element = scope
            .world
            .add_element(POOL, |config| config.pe_id = Some(PeId(9)));
        scope
            .world
            .element(element, |element, now| element.register(now));
        scope.world.run_for(seconds(12));
        assert_eq!(scope.current(), Some(PeId(9)));
    }
}

#[test]
fn a_silent_death_is_failed_over_in_seconds() {
    // The transport takes 3 s to notice it here, 4.5 s over UDP; keep-alives would take half a minute.
    let mut scope = Scope::new(1, 3);
    let dead = scope.current().expect("the session has an element");
    scope.world.vanish(scope.node_of(dead));
    scope.world.run_for(seconds(4));
    let next = scope.current().expect("the session goes on");
    assert_ne!(next, dead);
    // The registrar calls the element, which may take 5 s.
    scope.world.run_for(seconds(5));
    assert_eq!(scope.registered(), 2, "nobody else is sent to the dead one");
}

#[test]
fn the_cookie_of_a_crashed_element_reaches_the_next_one_before_the_data() {
    let mut scope = Scope::new(2, 2);
    scope.send("open");
    scope.world.run_for(seconds(1));
    let told = scope.world.take_told();
    let (node, association) = told
        .iter()
        .find_map(|(_, node, told)| match told {
            Told::Element(element::Event::SessionOpened { association }) => {
                Some((*node, *association))
            }
            _ => None,
        })
        .expect("the first message opens the session");
    scope.world.element(node, |element, _| {
        element.send_cookie(association, b"state").expect("room");
    });
    scope.world.run_for(seconds(1));
    scope.world.crash(node);
    scope.send("lost or queued");
    scope.world.run_for(seconds(1));
    scope.send("go on");
    scope.world.run_for(seconds(1));
    let heard: Vec<_> = scope
        .world
        .take_told()
        .into_iter()
        .filter_map(|(_, _, told)| match told {
            Told::Element(element::Event::CookieEcho { cookie, .. }) => Some(cookie),
            Told::Element(element::Event::Message { bytes, .. }) => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(heard.first().map(|bytes| &bytes[..]), Some(&b"state"[..]));
    assert_eq!(heard.last().map(|bytes| &bytes[..]), Some(&b"go on"[..]));
}

#[test]
fn an_element_that_stands_still_is_removed_by_its_keep_alive() {
    let mut scope = Scope::new(3, 2);
    scope.world.take_told();
    scope.world.pause(scope.elements[0]);
    scope.world.run_for(seconds(50));
    assert_eq!(removals(&mut scope.world), [Removal::Unreachable]);
    assert_eq!(scope.registered(), 1);
}

#[test]
fn elements_stay_registered_for_hours_without_an_event() {
    let mut scope = Scope::new(4, 5);
    scope.world.take_told();
    scope.world.run_for(seconds(4 * 3600));
    assert_eq!(scope.registered(), 5);
    assert_eq!(scope.world.take_told(), []);
    // 4 hours of a keep-alive every 30 s on average, to 5 elements.
    let counters = scope
        .world
        .registrar(scope.registrar, |registrar, _| registrar.counters());
    assert!(
        (2200..=2600).contains(&counters.keep_alives),
        "{counters:?}"
    );
    assert_eq!(
        counters.unexpected + counters.malformed + counters.refused,
        0
    );
}

#[test]
fn the_registration_is_renewed_before_its_life_ends() {
    let mut world = World::new(5);
    let registrar = world.add_registrar(|_| {});
    let element = world.add_element(POOL, |config| {
        config.life = Life::For(seconds(100));
        // It believes that it has more time than it has.
        config.t4_reregistration = seconds(600);
    });
    world.element(element, |element, now| element.register(now));
    world.run_for(seconds(79));
    world.take_told();
    // T4 is due at 80 s: the re-registration keeps the element alive.
    world.run_for(seconds(300));
    assert_eq!(removals(&mut world), []);
    let count = world.registrar(registrar, |registrar, _| registrar.handlespace().len());
    assert_eq!(count, 1);
}

#[test]
fn an_element_that_loses_its_registrar_registers_at_the_next_one_at_once() {
    let mut world = World::new(6);
    let registrars = [world.add_registrar(|_| {}), world.add_registrar(|_| {})];
    let element = world.add_element(POOL, |_| {});
    world.element(element, |element, now| element.register(now));
    world.run_for(seconds(1));
    let count = |world: &mut World, node| {
        world.registrar(node, |registrar, _| registrar.handlespace().len())
    };
    let home = registrars[usize::from(count(&mut world, registrars[0]) == 0)];
    let other = registrars[usize::from(home == registrars[0])];
    world.crash(home);
    world.run_for(seconds(1));
    assert_eq!(count(&mut world, other), 1);
    assert!(world.element(element, |element, _| element.is_registered()));
}

#[test]
fn deregistration_is_prompt_and_users_stop_being_sent_there() {
    let mut scope = Scope::new(7, 2);
    let first = scope.elements[0];
    scope
        .world
        .element(first, |element, now| element.deregister(now));
    scope.world.run_for(seconds(1));
    assert_eq!(scope.registered(), 1);
    scope.world.user(scope.user, |user, now| {
        user.purge(&PoolHandle::from(POOL));
        user.resolve(now, &PoolHandle::from(POOL));
    });
    scope.world.take_told();
    scope.world.run_for(seconds(1));
    let events = scope.world.take_user_events();
    assert!(
        matches!(&events[..], [user::Event::Resolved { elements, .. }] if elements.len() == 1),
        "{events:?}"
    );
}

#[test]
fn least_used_follows_the_load_that_elements_report() {
    let mut world = World::new(8);
    world.add_registrar(|_| {});
    let elements: Vec<_> = (1..=3)
        .map(|id| {
            let element = world.add_element(POOL, |config| {
                config.pe_id = Some(PeId(id));
                config.policy = Policy::LeastUsed { load: 100 };
            });
            world.element(element, |element, now| element.register(now));
            element
        })
        .collect();
    world.run_for(seconds(1));
    let user = world.add_user(|config| config.stale_cache_value = Duration::ZERO);
    for (node, id) in elements.iter().zip(1..) {
        world.element(*node, |element, now| {
            element.set_policy(now, Policy::LeastUsed { load: 1 });
        });
        world.run_for(seconds(1));
        world.take_told();
        world.user(user, |user, now| user.resolve(now, &PoolHandle::from(POOL)));
        world.run_for(seconds(1));
        let events = world.take_user_events();
        let [user::Event::Resolved { elements, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(elements[0].id, PeId(id), "the least used one comes first");
        world.element(*node, |element, now| {
            element.set_policy(now, Policy::LeastUsed { load: 200 });
        });
    }
}

#[test]
fn loads_told_too_often_arrive_all_the_same() {
    let mut world = World::new(12);
    let registrar = world.add_registrar(|config| {
        config.rates.registrations = Rate {
            per_second: 1,
            burst: 3,
        };
    });
    let element = world.add_element(POOL, |config| {
        config.policy = Policy::LeastUsed { load: 0 };
    });
    world.element(element, |element, now| element.register(now));
    world.run_for(seconds(1));
    for load in 1..=20 {
        world.element(element, |element, now| {
            element.set_policy(now, Policy::LeastUsed { load });
        });
        world.run_for(Duration::from_millis(100));
    }
    let state = |world: &mut World| {
        world.registrar(registrar, |registrar, _| {
            let handlespace = registrar.handlespace();
            let element = handlespace.elements_after(None).next();
            let element = element.and_then(|key| handlespace.get(key));
            (
                element.map(|element| element.policy),
                registrar.counters().limited.registrations > 0,
            )
        })
    };
    let last = Policy::LeastUsed { load: 20 };
    assert!(state(&mut world).0.is_some_and(|policy| policy != last));
    // Tried again after T2 ±50 %.
    world.run_for(seconds(46));
    assert_eq!(state(&mut world), (Some(last), true));
    assert!(world.element(element, |element, _| element.is_registered()));
    assert_eq!(world.take_violations(), [""; 0]);
}

#[test]
fn users_find_registrars_by_their_announcements() {
    let mut world = World::new(9);
    world.add_registrar(|config| config.announce = true);
    let element = world.add_element(POOL, |config| config.hunt.registrars.clear());
    world.element(element, |element, now| element.register(now));
    world.run_for(seconds(3));
    assert!(world.element(element, |element, _| element.is_registered()));
}

#[test]
fn an_empty_pool_costs_few_requests() {
    let mut world = World::new(10);
    world.add_registrar(|_| {});
    let user = world.add_user(|config| config.failover_timeout = seconds(7200));
    world.user(user, |user, now| user.open(now, &PoolHandle::from(POOL)));
    world.run_for(seconds(3600));
    let counters = world.user(user, |user, _| user.counters());
    assert!((300..=400).contains(&counters.resolutions), "{counters:?}");
}

#[test]
fn same_seed_same_trace() {
    let run = |seed| {
        let mut scope = Scope::new(seed, 5);
        for index in [0, 1, 2] {
            let node = scope.elements[index];
            scope.world.vanish(node);
            scope.world.run_for(seconds(40));
        }
        scope.world.trace_hash()
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn a_registrar_without_room_is_not_called_over_and_over() {
    let mut world = World::new(11);
    let registrar = world.add_registrar(|config| config.max_associations = 0);
    let element = world.add_element(POOL, |_| {});
    world.element(element, |element, now| element.register(now));
    let user = world.add_user(|_| {});
    world.user(user, |user, now| user.open(now, &PoolHandle::from(POOL)));
    world.run_for(seconds(3600));
    let counters = world.registrar(registrar, |registrar, _| registrar.counters());
    // Each of the two calls once in T5.
    assert!(
        (700..=722).contains(&counters.refused_associations),
        "{counters:?}"
    );
}

#[test]
fn an_element_that_answers_too_late_comes_back_at_once() {
    let mut world = World::new(12);
    let registrar = world.add_registrar(|_| {});
    let element = world.add_element(POOL, |_| {});
    world.element(element, |element, now| element.register(now));
    world.run_for(seconds(1));
    world.take_told();
    // An answer takes longer than the 5 s that a keep-alive may take.
    world.network.latency = seconds(3);
    world.run_for(seconds(55));
    world.network.latency = Duration::from_millis(1);
    world.run_for(seconds(10));
    assert_eq!(removals(&mut world), [Removal::Unreachable]);
    let count = world.registrar(registrar, |registrar, _| registrar.handlespace().len());
    assert_eq!(count, 1, "long before T4");
}
