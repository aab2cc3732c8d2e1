//! Lies that take more than one message, and scopes that are not of one mind.

use rserpool_core::Life;
use rserpool_core::wire::enrp::{self, Pool, UpdateAction};
use rserpool_core::wire::{Policy, PoolElement, Transport};

use super::*;

/// An element as an update or a table has it.
fn entry(id: u32, home: ServerId, addresses: &[core::net::IpAddr]) -> PoolElement<'_> {
    let transport = SctpTransport {
        port: 3863,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(addresses),
    };
    PoolElement {
        id: PeId(id),
        home_id: home,
        life: 620,
        user_transport: Transport::Sctp(transport),
        policy: Policy::RoundRobin,
        asap_transport: Some(SctpTransport {
            transport_use: TransportUse::DATA_ONLY,
            ..transport
        }),
    }
}

#[test]
fn states_that_differ_under_the_same_checksum_are_made_equal() {
    // S17: the words of the identifier, or of the handle, are in another order.
    let pairs = [
        ((POOL, 0x0001_0002), (POOL, 0x0002_0001)),
        (("ABCD", 9), ("CDAB", 9)),
    ];
    for ((pool, id), (other_pool, other_id)) in pairs {
        let mut scope = Scope::rfc(12, 2, 5);
        let own = scope.world.add_element(pool, |config| {
            config.pe_id = Some(PeId(id));
            config.hunt.registrars.truncate(1);
        });
        scope
            .world
            .element(own, |element, now| element.register(now));
        // Each has fetched the other's table, as after every new association.
        scope.world.run_for(seconds(65));
        scope.assert_at_rest();
        let (home, peer) = (scope.registrars[0], scope.registrars[1]);
        let addresses = [own.address()];
        for (action, pool, id) in [
            (UpdateAction::Delete, pool, id),
            (UpdateAction::Add, other_pool, other_id),
        ] {
            let message = Message {
                sender: server(0),
                receiver: ServerId(0),
                body: MessageBody::HandleUpdate {
                    action,
                    takeover_suggested: false,
                    pool_handle: pool.as_bytes(),
                    pool_element: entry(id, server(0), &addresses),
                },
            };
            let bytes = message.to_bytes().expect("it is short");
            scope.world.forge(home, peer, (Ppid::ENRP, bytes));
        }
        scope.world.run_for(Duration::from_millis(10));
        let checksums = [home, peer].map(|node| {
            scope.world.registrar(node, |registrar, _| {
                registrar.handlespace().checksum(server(0))
            })
        });
        assert_eq!(checksums[0], checksums[1]);
        assert!(scope.world.divergence().is_some());
        scope.world.run_for(seconds(70));
        assert!(
            scope.world.divergence().is_some(),
            "heartbeats do not see it"
        );
        // Every 300 s ±50 %.
        scope.world.run_for(seconds(450));
        scope.assert_at_rest();
    }
}

/// A host that answers a starting registrar as its mentor, with lies.
struct FalseMentor {
    node: NodeId,
    id: ServerId,
}

impl FalseMentor {
    /// Answers what has come, each time with another lie.
    fn answer(&self, scope: &mut Scope) {
        for bytes in scope.world.raw_heard(self.node) {
            let Ok(decoded) = enrp::decode(&bytes) else {
                continue;
            };
            match decoded.message.body {
                MessageBody::Presence {
                    reply_required: true,
                    ..
                } => self.present(scope),
                MessageBody::ListRequest => self.list(scope),
                MessageBody::HandleTableRequest { .. } => self.table(scope),
                _ => {}
            }
        }
    }

    fn information<'a>(id: ServerId, addresses: &'a [core::net::IpAddr]) -> ServerInformation<'a> {
        ServerInformation {
            id,
            transport: SctpTransport {
                port: 9901,
                transport_use: TransportUse::DATA_ONLY,
                addresses: List::Slice(addresses),
            },
        }
    }

    fn present(&self, scope: &mut Scope) {
        let addresses = [self.node.address()];
        let body = MessageBody::Presence {
            reply_required: false,
            checksum: Some(0x1234),
            server: Some(Self::information(self.id, &addresses)),
        };
        scope.say(self.node, self.id, body);
    }

    /// True registrars at the liar's address, and some that there never were.
    fn list(&self, scope: &mut Scope) {
        let own = [self.node.address()];
        let nowhere = [core::net::Ipv4Addr::new(10, 9, 0, 1).into()];
        let servers = [
            Self::information(server(0), &own),
            Self::information(server(1), &own),
            Self::information(ServerId(0xdead), &nowhere),
            Self::information(ServerId(0xdeaf), &own),
        ];
        let body = MessageBody::ListResponse {
            rejected: false,
            servers: List::Slice(&servers),
        };
        scope.say(self.node, self.id, body);
    }

    /// Elements that there never were, and living ones with other homes, addresses and values.
    fn table(&self, scope: &mut Scope) {
        let own = [self.node.address()];
        let homes = [server(0), server(2), self.id, ServerId(0xdead)];
        let elements: Vec<_> = (0..40)
            .zip(homes.into_iter().cycle())
            .map(|(id, home)| entry(id / 2 * 3 + 1, home, &own))
            .collect();
        let pools = [Pool {
            pool_handle: POOL.as_bytes(),
            pool_elements: List::Slice(&elements),
        }];
        let body = MessageBody::HandleTableResponse {
            rejected: false,
            more: false,
            pools: List::Slice(&pools),
        };
        scope.say(self.node, self.id, body);
    }
}

#[test]
fn what_a_false_mentor_told_is_forgotten() {
    // S9: the liar goes with or without a word, or stays as long as it likes and then goes.
    for (seed, silent, stays) in [(13, true, 1), (14, false, 1), (15, false, 200)] {
        let mut config = Config::default();
        config.enrp_announce = true;
        let mut scope = Scope::of(seed, &vec![config; 3], 15, |_| {});
        let mentor = FalseMentor {
            node: scope.world.add_raw(),
            id: ServerId(0xbad),
        };
        let late = scope.world.add_registrar(|config| {
            // Whoever speaks first is the mentor (RFC 5353 §3.2.2.1).
            config.peers.clear();
            config.enrp_announce = true;
            config.server_id = Some(server(3));
            config.resync_interval = seconds(300);
        });
        scope.world.raw_connect(mentor.node, late, Ppid::ENRP);
        scope.world.run_for(Duration::from_millis(10));
        mentor.present(&mut scope);
        let others = scope.registrars.clone();
        for _ in 0..stays * 10 {
            scope.world.run_for(Duration::from_millis(100));
            mentor.answer(&mut scope);
            assert_eq!(scope.counts(&others), [15; 3], "not for a moment");
        }
        let (running, forged) = scope.world.registrar(late, |registrar, _| {
            let forged = registrar
                .handlespace()
                .find(POOL.as_bytes(), PeId(58))
                .is_some();
            (registrar.is_running(), forged)
        });
        assert!(running && (forged || stays > 100), "the liar was believed");
        if silent {
            scope.world.vanish(mentor.node);
        } else {
            scope.world.crash(mentor.node);
        }
        for _ in 0..150 {
            scope.world.run_for(seconds(1));
            assert_eq!(scope.counts(&others), [15; 3], "not for a moment");
        }
        scope.assert_at_rest();
    }
}

/// A scope in which registrars differ in whose identifier wins a takeover. The life is for ever: of any other one, seconds of
/// the one dialect are milliseconds of the other.
fn mixed(seed: u64, registrars: &[Config], elements: u32) -> Scope {
    Scope::of(seed, registrars, elements, |config| {
        config.life = Life::Forever;
    })
}

#[test]
fn registrars_that_disagree_on_who_wins_end_with_one_owner() {
    // S16: both give way, or neither; with the same timers, so that they begin together, and each with its own.
    let ordered = |dialect| {
        let mut config = Config::default();
        config.dialect = dialect;
        config
    };
    let (rfc, rsplib) = (ordered(Dialect::Rfc), ordered(Dialect::Rsplib));
    let own = Config::for_dialect(Dialect::Rsplib);
    let scopes = [
        [&rfc, &rfc, &rsplib],
        [&rfc, &rsplib, &rfc],
        [&rfc, &rfc, &own],
        [&rfc, &own, &rfc],
        [&own, &rfc, &own],
    ];
    for seed in 0..10 {
        for configs in &scopes {
            let configs: Vec<_> = configs.iter().copied().cloned().collect();
            let mut scope = mixed(seed, &configs, 12);
            scope.world.network.jitter = Duration::from_micros(200);
            scope.world.network.detection = seconds(300);
            scope.world.run_for(seconds(seed * 3));
            scope.world.vanish(scope.registrars[0]);
            let survivors = scope.registrars[1..].to_vec();
            for _ in 0..200 {
                scope.world.run_for(seconds(1));
                assert_eq!(scope.counts(&survivors), [12; 2], "not for a moment");
            }
            scope.assert_at_rest();
        }
    }
}
