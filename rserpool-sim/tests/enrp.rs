//! Registrars that survive each other (RFC 5353).

use core::time::Duration;

use rserpool_core::{Dialect, PeId, PoolHandle, ServerId, registrar};
use rserpool_sim::{NodeId, Told, World};

const POOL: &str = "EchoPool";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Scope {
    world: World,
    registrars: Vec<NodeId>,
    elements: Vec<NodeId>,
}

impl Scope {
    fn new(seed: u64, registrars: u32, elements: u32) -> Self {
        Self::with(seed, registrars, elements, |_| {})
    }

    fn with(
        seed: u64,
        registrars: u32,
        elements: u32,
        configure: impl Fn(&mut registrar::Config),
    ) -> Self {
        let mut world = World::new(seed);
        let registrars: Vec<_> = (1..=registrars)
            .map(|id| {
                let node = world.add_registrar(|config| {
                    config.server_id = Some(ServerId(id * 0x1111));
                    configure(config);
                });
                world.run_for(seconds(1));
                node
            })
            .collect();
        let elements: Vec<_> = (1..=elements)
            .map(|id| {
                let element = world.add_element(POOL, |config| config.pe_id = Some(PeId(id)));
                world.element(element, |element, now| element.register(now));
                element
            })
            .collect();
        world.run_for(seconds(1));
        Self {
            world,
            registrars,
            elements,
        }
    }

    /// Every registrar's full state, as text.
    fn states(&mut self, nodes: &[NodeId]) -> Vec<String> {
        nodes
            .iter()
            .map(|node| {
                self.world.registrar(*node, |registrar, _| {
                    let handlespace = registrar.handlespace();
                    let keys = handlespace.elements_after(None);
                    let elements = keys.filter_map(|key| handlespace.get(key));
                    let mut lines: Vec<_> =
                        elements.map(|element| format!("{element:?}\n")).collect();
                    lines.sort();
                    lines.concat()
                })
            })
            .collect()
    }

    fn assert_equal(&mut self, nodes: &[NodeId], elements: usize) {
        let states = self.states(nodes);
        for state in &states {
            assert_eq!(state, &states[0]);
            assert_eq!(state.lines().count(), elements, "{state}");
        }
    }

    /// The registrar that owns element `id`, as `node` sees it.
    fn home(&mut self, node: NodeId, id: u32) -> Option<ServerId> {
        self.world.registrar(node, |registrar, _| {
            let handlespace = registrar.handlespace();
            let key = handlespace.find(POOL.as_bytes(), PeId(id))?;
            handlespace.get(key).map(|element| element.home)
        })
    }
}

fn takeovers(world: &mut World) -> usize {
    world
        .take_told()
        .iter()
        .filter(|(_, _, told)| {
            matches!(told, Told::Registrar(registrar::Event::TakenOver { elements, .. }) if *elements > 0)
        })
        .count()
}

#[test]
fn updates_reach_all_registrars() {
    let mut scope = Scope::new(1, 3, 10);
    let registrars = scope.registrars.clone();
    scope.assert_equal(&registrars, 10);
    let first = scope.elements[0];
    scope
        .world
        .element(first, |element, now| element.deregister(now));
    scope.world.run_for(seconds(1));
    scope.assert_equal(&registrars, 9);
}

#[test]
fn a_registrar_that_starts_later_fetches_list_and_table_from_its_mentor() {
    // RFC 5353 §3.2.2, §3.2.3
    let mut scope = Scope::new(2, 2, 50);
    let late = scope.world.add_registrar(|config| {
        config.peers.truncate(1);
    });
    scope.world.run_for(seconds(2));
    let mut registrars = scope.registrars.clone();
    registrars.push(late);
    scope.assert_equal(&registrars, 50);
    let peers = scope
        .world
        .registrar(late, |registrar, _| registrar.peers().count());
    assert_eq!(peers, 2);
    assert!(
        scope
            .world
            .registrar(late, |registrar, _| registrar.is_running())
    );
}

#[test]
fn a_table_comes_in_pages() {
    let mut scope = Scope::with(3, 1, 0, |config| {
        *config = {
            let mut rsplib = registrar::Config::for_dialect(Dialect::Rsplib);
            rsplib.enrp_addresses = config.enrp_addresses.clone();
            rsplib
        }
    });
    let home = scope.registrars[0];
    for id in 1..=200 {
        let element = scope.world.add_element(POOL, |config| {
            config.pe_id = Some(PeId(id));
            config.dialect = Dialect::Rsplib;
        });
        scope
            .world
            .element(element, |element, now| element.register(now));
    }
    scope.world.run_for(seconds(1));
    let late = scope.world.add_registrar(|config| {
        let peers = config.peers.clone();
        let own = config.enrp_addresses.clone();
        *config = registrar::Config::for_dialect(Dialect::Rsplib);
        config.peers = peers;
        config.enrp_addresses = own;
    });
    scope.world.run_for(seconds(2));
    scope.assert_equal(&[home, late], 200);
}

#[test]
fn the_survivor_of_two_takes_over() {
    let mut scope = Scope::new(4, 2, 20);
    let [first, second] = scope.registrars[..] else {
        panic!("two registrars");
    };
    scope.world.take_told();
    scope.world.vanish(first);
    scope.world.run_for(seconds(71));
    scope.assert_equal(&[second], 20);
    for id in 1..=20 {
        assert_eq!(scope.home(second, id), Some(ServerId(0x2222)));
    }
    for element in scope.elements.clone() {
        assert!(
            scope
                .world
                .element(element, |element, _| element.is_registered())
        );
    }
}

#[test]
fn one_of_three_dies_and_exactly_one_takes_over() {
    for seed in 0..20 {
        let mut scope = Scope::new(seed, 3, 30);
        scope.world.take_told();
        let dead = scope
            .registrars
            .remove(usize::try_from(seed % 3).expect("small"));
        scope.world.vanish(dead);
        scope.world.run_for(seconds(75));
        let registrars = scope.registrars.clone();
        scope.assert_equal(&registrars, 30);
        assert!(takeovers(&mut scope.world) <= 1);
    }
}

#[test]
fn two_of_three_die_together_and_the_survivor_owns_everything() {
    let mut scope = Scope::new(6, 3, 30);
    scope.world.vanish(scope.registrars[0]);
    scope.world.vanish(scope.registrars[1]);
    scope.world.run_for(seconds(80));
    let survivor = scope.registrars[2];
    scope.assert_equal(&[survivor], 30);
    for id in 1..=30 {
        assert_eq!(scope.home(survivor, id), Some(ServerId(0x3333)));
    }
}

#[test]
fn a_user_resolves_at_any_registrar() {
    let mut scope = Scope::new(7, 3, 5);
    for node in scope.registrars.clone() {
        let user = scope.world.add_user(|config| {
            config.hunt.registrars = vec![core::net::SocketAddr::new(node.address(), 3863)];
        });
        scope
            .world
            .user(user, |user, now| user.resolve(now, &PoolHandle::from(POOL)));
        scope.world.run_for(seconds(1));
        let events = scope.world.take_user_events();
        assert!(
            matches!(&events[..], [rserpool_core::user::Event::Resolved { elements, .. }] if elements.len() == 5),
            "{events:?}"
        );
    }
}
