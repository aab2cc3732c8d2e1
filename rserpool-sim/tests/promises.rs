//! What registrars promise beyond the RFCs, one test each, and how long they may take (RFC 5353 §3.4, §3.5).

use core::time::Duration;

use rserpool_core::registrar::{self, Config};
use rserpool_core::wire::enrp::{Message, MessageBody};
use rserpool_core::wire::{List, SctpTransport, ServerInformation, TransportUse, asap};
use rserpool_core::{Dialect, PeId, Ppid, ServerId, element};
use rserpool_sim::{Cut, NodeId, Told, World};

#[path = "promises/attacks.rs"]
mod attacks;

const POOL: &str = "EchoPool";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Scope {
    world: World,
    registrars: Vec<NodeId>,
    elements: Vec<NodeId>,
}

fn server(index: usize) -> ServerId {
    ServerId((u32::try_from(index).expect("small") + 1) * 0x1111)
}

impl Scope {
    fn new(seed: u64, dialect: Dialect, registrars: usize, elements: u32) -> Self {
        let configs = vec![Config::for_dialect(dialect); registrars];
        Self::of(seed, &configs, elements, |config| config.dialect = dialect)
    }

    fn of(
        seed: u64,
        registrars: &[Config],
        elements: u32,
        configure: impl Fn(&mut element::Config),
    ) -> Self {
        let mut world = World::new(seed);
        let registrars: Vec<_> = (0..)
            .zip(registrars)
            .map(|(index, wanted)| {
                let node = world.add_registrar(|config| {
                    let (asap, enrp) =
                        (config.asap_addresses.clone(), config.enrp_addresses.clone());
                    let peers = config.peers.clone();
                    *config = wanted.clone();
                    (config.asap_addresses, config.enrp_addresses) = (asap, enrp);
                    config.peers = peers;
                    config.server_id = Some(server(index));
                    config.resync_interval = seconds(300);
                });
                world.run_for(seconds(1));
                node
            })
            .collect();
        let starting = |world: &mut World| {
            let mut all = registrars.iter();
            all.any(|node| !world.registrar(*node, |registrar, _| registrar.is_running()))
        };
        while starting(&mut world) {
            world.run_for(seconds(1));
        }
        let elements = (1..=elements)
            .map(|id| {
                let element = world.add_element(POOL, |config| {
                    config.pe_id = Some(PeId(id));
                    configure(config);
                });
                world.element(element, |element, now| element.register(now));
                element
            })
            .collect();
        world.run_for(seconds(2));
        let mut scope = Self {
            world,
            registrars,
            elements,
        };
        scope.assert_at_rest();
        scope
    }

    fn rfc(seed: u64, registrars: usize, elements: u32) -> Self {
        Self::new(seed, Dialect::Rfc, registrars, elements)
    }

    fn assert_at_rest(&mut self) {
        assert_eq!(self.world.divergence(), None);
        assert_eq!(self.world.take_violations(), [""; 0]);
    }

    /// How many elements each of the registrars knows.
    fn counts(&mut self, of: &[NodeId]) -> Vec<usize> {
        of.iter()
            .map(|node| {
                self.world
                    .registrar(*node, |registrar, _| registrar.handlespace().len())
            })
            .collect()
    }

    /// The homes of all elements as a registrar sees them, in the order of the elements' identifiers.
    fn homes(&mut self, node: NodeId) -> Vec<ServerId> {
        self.world.registrar(node, |registrar, _| {
            let handlespace = registrar.handlespace();
            let keys = handlespace.elements_after(None);
            let mut elements: Vec<_> = keys.filter_map(|key| handlespace.get(key)).collect();
            elements.sort_unstable_by_key(|element| element.id);
            elements.iter().map(|element| element.home).collect()
        })
    }

    /// A host without rights that has an association to every registrar.
    fn attacker(&mut self) -> NodeId {
        let attacker = self.world.add_raw();
        for node in self.registrars.clone() {
            self.world.raw_connect(attacker, node, Ppid::ENRP);
            self.world.raw_connect(attacker, node, Ppid::ASAP);
        }
        self.world.run_for(seconds(1));
        attacker
    }

    fn say(&mut self, attacker: NodeId, sender: ServerId, body: MessageBody<'_>) {
        let message = Message {
            sender,
            receiver: ServerId(0),
            body,
        };
        let bytes = message.to_bytes().expect("it is short");
        self.world.raw_send(attacker, Ppid::ENRP, &bytes);
        self.world.run_for(Duration::from_millis(100));
    }
}

/// How long after now the last takeover of the registrar is completed, within `limit`.
fn takeover_within(scope: &mut Scope, target: ServerId, limit: Duration) -> Option<Duration> {
    let begin = scope.world.now();
    scope.world.take_told();
    scope.world.run_for(limit);
    let told = scope.world.take_told();
    let at = told.into_iter().filter_map(|(at, _, told)| match told {
        Told::Registrar(registrar::Event::TakenOver { server, .. }) if server == target => Some(at),
        _ => None,
    });
    at.max().map(|at| at.duration_since(begin))
}

#[test]
fn a_dead_registrar_is_taken_over_within_71_seconds_and_16_with_the_timers_of_rsplib() {
    for (dialect, limit) in [(Dialect::Rfc, 71), (Dialect::Rsplib, 16)] {
        for seed in 0..10 {
            for registrars in [2, 3] {
                let mut scope = Scope::new(seed, dialect, registrars, 12);
                // Nothing but the silence of the dead one tells of its death.
                scope.world.network.detection = seconds(300);
                scope.world.run_for(seconds(seed * 3));
                scope.world.vanish(scope.registrars[0]);
                let took = takeover_within(&mut scope, server(0), seconds(limit));
                assert!(took.is_some(), "{dialect:?} {seed}");
                let survivors = scope.registrars[1..].to_vec();
                assert_eq!(scope.counts(&survivors), vec![12; registrars - 1]);
                for survivor in survivors {
                    assert!(!scope.homes(survivor).contains(&server(0)));
                }
            }
        }
    }
}

#[test]
fn a_takeover_completes_with_no_missing_or_mute_acknowledgers() {
    // No acknowledger; one that has died as well; one that stands still.
    for (registrars, mute) in [(2, None), (3, Some(true)), (3, Some(false))] {
        let mut scope = Scope::rfc(1, registrars, 12);
        scope.world.network.detection = seconds(300);
        match mute {
            None => {}
            Some(true) => scope.world.vanish(scope.registrars[1]),
            Some(false) => scope.world.pause(scope.registrars[1]),
        }
        scope.world.vanish(scope.registrars[0]);
        let survivor = scope.registrars[registrars - 1];
        scope.world.run_for(seconds(71));
        assert_eq!(
            scope.homes(survivor),
            vec![server(registrars - 1); 12],
            "{mute:?}"
        );
    }
}

#[test]
fn a_target_is_never_forgotten_while_it_owns_elements() {
    // The one who is about to take over dies in the middle of it.
    for seed in 0..5 {
        let mut scope = Scope::rfc(seed, 3, 15);
        scope.world.network.detection = seconds(300);
        scope.world.vanish(scope.registrars[0]);
        let dead_after = scope.world.now() + seconds(66);
        while scope.world.now() < dead_after {
            scope.world.run_for(Duration::from_millis(500));
            let told = scope.world.take_told();
            let begun = told.iter().any(|(_, node, told)| {
                *node == scope.registrars[1]
                    && matches!(told, Told::Registrar(registrar::Event::PeerDead { .. }))
            });
            if begun {
                break;
            }
        }
        scope.world.vanish(scope.registrars[1]);
        scope.world.run_for(seconds(90));
        let survivor = scope.registrars[2];
        assert_eq!(scope.homes(survivor), vec![server(2); 15], "{seed}");
    }
}

#[test]
fn a_returning_registrar_cannot_delete_elements_that_it_no_longer_owns() {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        let mut scope = Scope::new(2, dialect, 3, 15);
        scope.world.pause(scope.registrars[0]);
        scope.world.run_for(seconds(200));
        let others = scope.registrars[1..].to_vec();
        assert_eq!(scope.counts(&others), [15, 15]);
        scope.world.resume(scope.registrars[0]);
        for _ in 0..600 {
            scope.world.run_for(Duration::from_millis(200));
            assert_eq!(scope.counts(&others), [15, 15], "not for a moment");
        }
        scope.assert_at_rest();
    }
}

#[test]
fn takeover_server_counts_only_with_a_reason_of_ones_own() {
    // S5
    let mut scope = Scope::rfc(3, 3, 15);
    let before = scope.homes(scope.registrars[2]);
    let attacker = scope.attacker();
    for target in [server(0), server(1), server(2)] {
        scope.say(
            attacker,
            ServerId(0xbad),
            MessageBody::TakeoverServer { target },
        );
        scope.say(
            attacker,
            ServerId(0xbad),
            MessageBody::InitTakeover { target },
        );
        scope.say(
            attacker,
            ServerId(0xbad),
            MessageBody::TakeoverServer { target },
        );
    }
    assert_eq!(scope.homes(scope.registrars[2]), before);
    scope.world.crash(attacker);
    scope.world.run_for(seconds(75));
    assert_eq!(scope.homes(scope.registrars[2]), before);
    scope.assert_at_rest();
}

#[test]
fn a_registrar_speaks_only_for_itself() {
    // S4: who is not the owner, or says so from elsewhere, changes nothing.
    let mut scope = Scope::rfc(4, 3, 15);
    let before = scope.homes(scope.registrars[2]);
    let attacker = scope.attacker();
    for index in 0..3 {
        scope.say(
            attacker,
            server(index),
            MessageBody::TakeoverServer { target: server(0) },
        );
        scope.say(attacker, server(index), MessageBody::ListRequest);
    }
    assert!(scope.world.raw_heard(attacker).is_empty());
    assert_eq!(scope.homes(scope.registrars[2]), before);
    scope.assert_at_rest();
}

#[test]
fn false_reports_and_foreign_deregistrations_remove_nobody() {
    // S1, S2, S3
    let mut scope = Scope::rfc(5, 2, 5);
    let attacker = scope.attacker();
    let pool_handle = POOL.as_bytes();
    for round in 0..3000 {
        let pe_id = PeId(round % 5 + 1);
        for message in [
            asap::Message::EndpointUnreachable { pool_handle, pe_id },
            asap::Message::Deregistration { pool_handle, pe_id },
            asap::Message::EndpointKeepAliveAck { pool_handle, pe_id },
        ] {
            let bytes = message.to_bytes().expect("it is short");
            scope.world.raw_send(attacker, Ppid::ASAP, &bytes);
        }
        scope.world.run_for(Duration::from_millis(10));
    }
    let registrars = scope.registrars.clone();
    assert_eq!(scope.counts(&registrars), [5, 5]);
    scope.assert_at_rest();
}

#[test]
fn a_flood_of_ghosts_does_not_keep_a_registrar_out() {
    // S8: 10,000 registrars that do not exist, by multicast.
    let mut scope = Scope::rfc(6, 2, 5);
    for node in scope.registrars.clone() {
        scope
            .world
            .registrar(node, |registrar, _| assert!(registrar.is_running()));
    }
    let ghost = scope.world.add_raw();
    for id in 0..10_000_u32 {
        let [_, _, high, low] = id.to_be_bytes();
        let addresses = [core::net::Ipv4Addr::new(10, 9, high, low).into()];
        let message = Message {
            sender: ServerId(id + 1),
            receiver: ServerId(0),
            body: MessageBody::Presence {
                reply_required: false,
                checksum: Some(0),
                server: Some(ServerInformation {
                    id: ServerId(id + 1),
                    transport: SctpTransport {
                        port: 9901,
                        transport_use: TransportUse::DATA_ONLY,
                        addresses: List::Slice(&addresses),
                    },
                }),
            },
        };
        let bytes = message.to_bytes().expect("it is short");
        scope.world.raw_announce(ghost, Ppid::ENRP, &bytes);
    }
    scope.world.run_for(seconds(1));
    let late = scope
        .world
        .add_registrar(|config| config.enrp_announce = true);
    scope.world.run_for(seconds(60));
    assert!(
        scope
            .world
            .registrar(late, |registrar, _| registrar.is_running())
    );
    scope.assert_at_rest();
}

#[test]
fn a_tool_without_an_identifier_is_answered_and_never_becomes_a_peer() {
    let mut scope = Scope::rfc(7, 2, 5);
    let tool = scope.attacker();
    scope.say(tool, ServerId(0), MessageBody::ListRequest);
    scope.say(
        tool,
        ServerId(0),
        MessageBody::HandleTableRequest { own_only: false },
    );
    // Two registrars, two answers each.
    assert_eq!(scope.world.raw_heard(tool).len(), 4);
    scope.assert_at_rest();
    // It is mute, and nobody waits for it.
    scope.world.vanish(scope.registrars[0]);
    scope.world.run_for(seconds(71));
    assert_eq!(scope.homes(scope.registrars[1]), [server(1); 5]);
}

#[test]
fn after_a_partition_all_states_are_equal_within_two_heartbeats() {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        for (seed, both_ways) in [(8, true), (9, false), (10, true)] {
            let mut scope = Scope::new(seed, dialect, 3, 15);
            let side = [scope.registrars[0], scope.elements[0], scope.elements[1]];
            let rest = scope.registrars.iter().chain(&scope.elements);
            let cut = scope.world.cut(Cut {
                from: side.into(),
                to: rest.copied().filter(|node| !side.contains(node)).collect(),
                both_ways,
            });
            scope.world.run_for(seconds(200));
            scope.world.heal(cut);
            let heartbeat = Config::for_dialect(dialect).peer_heartbeat_cycle;
            scope.world.run_for(heartbeat * 2 + seconds(5));
            scope.assert_at_rest();
        }
    }
}

#[test]
fn what_the_checksum_cannot_see_is_fetched_again_from_time_to_time() {
    // S17
    let mut scope = Scope::rfc(11, 2, 5);
    let downloads = |scope: &mut Scope| {
        scope.world.registrar(scope.registrars[0], |registrar, _| {
            registrar.counters().downloads
        })
    };
    let before = downloads(&mut scope);
    scope.world.run_for(seconds(3600));
    // Every 300 s ±50 %.
    let count = downloads(&mut scope) - before;
    assert!((8..=24).contains(&count), "{count}");
    scope.assert_at_rest();
}

#[test]
fn registrars_that_start_together_do_not_wait_for_each_other_for_long() {
    // RFC 5353 §3.2.2.2: all of them refuse each other.
    for seed in 0..10 {
        let mut world = World::new(seed);
        let addresses: Vec<_> = (0..3)
            .map(|index| core::net::SocketAddr::new(NodeId(index).address(), 9901))
            .collect();
        let registrars: Vec<_> = addresses
            .iter()
            .map(|own| {
                world.add_registrar(|config| {
                    config.peers = addresses.iter().copied().filter(|one| one != own).collect();
                })
            })
            .collect();
        world.run_for(seconds(25));
        for node in registrars {
            assert!(
                world.registrar(node, |registrar, _| registrar.is_running()),
                "{seed}"
            );
        }
    }
}
