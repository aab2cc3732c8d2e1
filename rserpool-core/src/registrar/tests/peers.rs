//! Peers and their tables: each test is a paragraph of RFC 5353 §3.1, §3.2.3, §3.3, §3.4, §3.6, §3.7.

use super::*;
use crate::dialect::Life;
use crate::wire::ServerInformation;
use crate::wire::enrp::{self, MessageBody, Pool, UpdateAction, message_type};

/// Two peers, on associations 2 and 3; the third identifier is greater than this registrar's, the second is smaller.
pub(super) const SECOND: ServerId = ServerId(0x0002);
pub(super) const THIRD: ServerId = ServerId(0x5678);

pub(super) fn enrp_endpoint(number: u8) -> SocketAddr {
    SocketAddr::new(host(number), 9901)
}

/// What a peer says on an association.
pub(super) fn say(
    script: &mut Script,
    association: u64,
    sender: ServerId,
    body: MessageBody<'_>,
) -> Vec<Action<Event>> {
    let message = enrp::Message {
        sender,
        receiver: ID,
        body,
    };
    script.input(Input::Message {
        association: AssocId(association),
        ppid: Ppid::ENRP,
        stream: 0,
        bytes: &message.to_bytes().expect("it fits"),
    });
    script.actions()
}

/// Looks at the only message of a type among `actions`.
pub(super) fn only<R>(
    actions: &[Action<Event>],
    kind: u8,
    look: impl FnOnce(u64, enrp::Message<'_>) -> R,
) -> R {
    let sent: Vec<_> = sent_enrp(actions)
        .into_iter()
        .filter(|(_, bytes)| bytes[0] == kind)
        .collect();
    let [(association, bytes)] = &sent[..] else {
        panic!("one message {kind}: {actions:?}");
    };
    look(*association, enrp::decode(bytes).expect("our own").message)
}

pub(super) fn sent_enrp(actions: &[Action<Event>]) -> Vec<(u64, Bytes)> {
    let is_enrp = |action: &&Action<Event>| {
        matches!(
            action,
            Action::Send {
                ppid: Ppid::ENRP,
                ..
            }
        )
    };
    let enrp: Vec<_> = actions.iter().filter(is_enrp).cloned().collect();
    sent(&enrp)
}

pub(super) fn kinds(actions: &[Action<Event>]) -> Vec<(u64, u8)> {
    let sent = sent_enrp(actions);
    sent.iter().map(|(to, bytes)| (*to, bytes[0])).collect()
}

pub(super) fn presence(checksum: Option<u16>) -> MessageBody<'static> {
    MessageBody::Presence {
        reply_required: false,
        checksum,
        server: None,
    }
}

/// An element of a peer.
pub(super) fn entry(id: u32, home_id: ServerId, policy: Policy<'static>) -> PoolElement<'static> {
    static HOST: [IpAddr; 1] = [IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 7))];
    PoolElement {
        id: PeId(id),
        home_id,
        life: 600,
        user_transport: sctp(&HOST),
        policy,
        asap_transport: Some(SctpTransport {
            port: 7,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&HOST),
        }),
    }
}

pub(super) const RANDOM: Policy<'static> = Policy::Random;

pub(super) fn table<R>(
    elements: &[PoolElement<'_>],
    (rejected, more): (bool, bool),
    use_it: impl FnOnce(MessageBody<'_>) -> R,
) -> R {
    let pools = [Pool {
        pool_handle: POOL,
        pool_elements: List::Slice(elements),
    }];
    use_it(MessageBody::HandleTableResponse {
        rejected,
        more,
        pools: List::Slice(if elements.is_empty() { &[] } else { &pools }),
    })
}

pub(super) fn update(
    script: &mut Script,
    association: u64,
    action: UpdateAction,
    element: PoolElement<'_>,
) -> Vec<Action<Event>> {
    let body = MessageBody::HandleUpdate {
        action,
        takeover_suggested: false,
        pool_handle: POOL,
        pool_element: element,
    };
    say(script, association, element.home_id, body)
}

/// A running registrar with two peers whose tables are empty, and an element of its own on association 9.
pub(super) fn with_peers() -> Script {
    let mut script = Script::new(|config| {
        config.enrp_addresses = vec![enrp_endpoint(1)];
        config.keep_alive_interval = Duration::ZERO;
    });
    script.connected(9, 9);
    script.register(9, &element(1, &[host(9)]));
    for (association, number, id) in [(2, 2, SECOND), (3, 3, THIRD)] {
        script.connected(association, number);
        say(&mut script, association, id, presence(None));
        table(&[], (false, false), |body| {
            say(&mut script, association, id, body)
        });
    }
    script.drain(|_, _| {});
    assert_eq!(
        script.registrar.peers().collect::<Vec<_>>(),
        [SECOND, THIRD]
    );
    script
}

pub(super) fn introduce(
    script: &mut Script,
    association: u64,
    number: u8,
    id: ServerId,
) -> Vec<Action<Event>> {
    let addresses = [host(number)];
    let body = MessageBody::Presence {
        reply_required: false,
        checksum: None,
        server: Some(ServerInformation {
            id,
            transport: SctpTransport {
                port: 9901,
                transport_use: TransportUse::DATA_ONLY,
                addresses: List::Slice(&addresses),
            },
        }),
    };
    say(script, association, id, body)
}

#[test]
fn a_peer_is_reached_on_its_newest_association() {
    // RFC 5353 §3.1
    let mut script = Script::new(|config| config.enrp_addresses = vec![endpoint(1)]);
    for association in [3, 2] {
        script.connected(association, 2);
        say(&mut script, association, THIRD, presence(None));
    }
    // The older one is lost at the other end; this has been on its way.
    say(&mut script, 3, THIRD, presence(None));
    script.connected(5, 5);
    let actions = script.register(5, &element(1, &[host(5)]));
    assert_eq!(kinds(&actions), [(2, message_type::HANDLE_UPDATE)]);
    // Where it ends, the older one is better than none.
    script.disconnected(2);
    say(&mut script, 3, THIRD, presence(None));
    let actions = script.deregister(5, 1);
    assert!(kinds(&actions).contains(&(3, message_type::HANDLE_UPDATE)));
}

#[test]
fn who_took_a_peers_name_loses_it_when_the_peer_speaks() {
    let mut script = Script::new(|config| config.enrp_addresses = vec![enrp_endpoint(1)]);
    script.connected(3, 3);
    script.connected(7, 7);
    say(&mut script, 7, THIRD, presence(None));
    introduce(&mut script, 3, 3, THIRD);
    say(&mut script, 7, THIRD, presence(None));
    script.connected(5, 5);
    let actions = script.register(5, &element(1, &[host(5)]));
    assert_eq!(kinds(&actions), [(3, message_type::HANDLE_UPDATE)]);
}

#[test]
fn a_mentor_tells_all_registrars_and_elements_and_where_there_is_more() {
    // RFC 5353 §3.2.2.2, §3.2.3
    let mut script = with_peers();
    introduce(&mut script, 3, 3, THIRD);
    let actions = say(&mut script, 2, SECOND, MessageBody::ListRequest);
    only(&actions, message_type::LIST_RESPONSE, |to, message| {
        let MessageBody::ListResponse { rejected, servers } = message.body else {
            panic!("{message:?}");
        };
        assert_eq!((to, rejected, servers.len()), (2, false, 1));
    });
    let entries: Vec<_> = (10..1100)
        .map(|id| entry(id, THIRD, Policy::WeightedRoundRobin { weight: 1 }))
        .collect();
    for element in entries {
        update(&mut script, 3, UpdateAction::Add, element);
    }
    let request = MessageBody::HandleTableRequest { own_only: false };
    let page = |script: &mut Script| {
        let actions = say(script, 2, SECOND, request);
        only(
            &actions,
            message_type::HANDLE_TABLE_RESPONSE,
            |_, message| {
                let MessageBody::HandleTableResponse { more, pools, .. } = message.body else {
                    panic!("{message:?}");
                };
                let first = pools.iter().next().expect("a pool").pool_elements;
                (first.iter().next().expect("an element").id, more)
            },
        )
    };
    assert_eq!(page(&mut script), (PeId(1), true));
    let (id, more) = page(&mut script);
    assert!(id > PeId(10) && !more);
    // The session is over, and so is one of which nothing was heard for MAX-TIME-NO-RESPONSE.
    assert_eq!(page(&mut script), (PeId(1), true));
    script.now = script.now + Duration::from_secs(5);
    script.registrar.handle_timeout(script.now);
    script.actions();
    assert_eq!(page(&mut script), (PeId(1), true));
}

#[test]
fn registrations_and_removals_are_announced_to_all_peers() {
    // RFC 5353 §3.3.1, §3.3.2
    let mut script = with_peers();
    script.connected(8, 8);
    let check = |actions: &[Action<Event>], wanted: UpdateAction| {
        let sent = sent_enrp(actions);
        assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [2, 3]);
        for (_, bytes) in sent {
            let message = enrp::decode(&bytes).expect("our own").message;
            assert_eq!((message.sender, message.receiver), (ID, ServerId(0)));
            let MessageBody::HandleUpdate {
                action,
                pool_handle,
                pool_element,
                ..
            } = message.body
            else {
                panic!("{message:?}");
            };
            assert_eq!(
                (action, pool_handle, pool_element.id),
                (wanted, POOL, PeId(4))
            );
            assert_eq!((pool_element.home_id, pool_element.life), (ID, 600));
            assert!(pool_element.asap_transport.is_some());
        }
    };
    let addresses = [host(8)];
    let registered = element(4, &addresses);
    for _ in 0..2 {
        check(&script.register(8, &registered), UpdateAction::Add);
    }
    check(&script.deregister(8, 4), UpdateAction::Delete);
    script.register(8, &registered);
    script.disconnected(8);
    script.actions();
    script.input(Input::ConnectFailed {
        remote: endpoint(8),
    });
    check(&script.actions(), UpdateAction::Delete);
}

#[test]
fn updates_of_peers_are_carried_out() {
    // RFC 5353 §3.3.1, §3.3.2
    let mut script = with_peers();
    script.deregister(9, 1);
    assert_eq!(script.registrar.handlespace().pool_count(), 0);
    update(&mut script, 3, UpdateAction::Add, entry(4, THIRD, RANDOM));
    update(&mut script, 3, UpdateAction::Add, entry(5, THIRD, RANDOM));
    let life = |script: &Script, id| {
        let handlespace = script.registrar.handlespace();
        let key = handlespace.find(POOL, PeId(id))?;
        handlespace.get(key).map(|element| element.life)
    };
    assert_eq!(script.count(), 2);
    let mut newer = entry(5, THIRD, RANDOM);
    newer.life = 700;
    update(&mut script, 3, UpdateAction::Add, newer);
    assert_eq!(life(&script, 5), Some(Life::For(Duration::from_secs(700))));
    assert_eq!(life(&script, 4), Some(Life::For(Duration::from_secs(600))));
    for id in [4, 5] {
        update(
            &mut script,
            3,
            UpdateAction::Delete,
            entry(id, THIRD, RANDOM),
        );
        assert_eq!(life(&script, id), None);
    }
    assert_eq!(script.registrar.handlespace().pool_count(), 0);
    let gone = entry(5, THIRD, RANDOM);
    assert_eq!(update(&mut script, 3, UpdateAction::Delete, gone), []);
}

#[test]
fn whoever_says_anything_is_a_peer_and_is_asked_who_it_is() {
    // RFC 5353 §3.4, §3.4.1
    let mut script = with_peers();
    script.connected(4, 4);
    let new = ServerId(0x4444);
    let actions = say(
        &mut script,
        4,
        new,
        MessageBody::InitTakeoverAck { target: ID },
    );
    only(&actions, message_type::PRESENCE, |to, message| {
        assert!(matches!(
            message.body,
            MessageBody::Presence {
                reply_required: true,
                ..
            }
        ));
        assert_eq!((to, message.receiver), (4, new));
    });
    assert!(script.registrar.peers().any(|id| id == new));
}

#[test]
fn the_answer_to_a_presence_says_where_this_registrar_is() {
    // RFC 5353 §2.1
    let mut script = with_peers();
    let question = MessageBody::Presence {
        reply_required: true,
        checksum: None,
        server: None,
    };
    let actions = say(&mut script, 3, THIRD, question);
    only(&actions, message_type::PRESENCE, |to, message| {
        let MessageBody::Presence {
            reply_required: false,
            server: Some(server),
            ..
        } = message.body
        else {
            panic!("{message:?}");
        };
        assert_eq!((to, server.id, server.transport.port), (3, ID, 9901));
        assert_eq!(server.transport.addresses.iter().next(), Some(host(1)));
    });
}

#[test]
fn heartbeats_go_to_all_peers_with_the_checksum() {
    // RFC 5353 §3.4.2, §3.6.1 step 2
    let mut script = with_peers();
    let actions = script.at(30);
    let sent = sent_enrp(&actions);
    assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [2, 3]);
    let checksum = script.registrar.handlespace().checksum(ID);
    for (_, bytes) in sent {
        let message = enrp::decode(&bytes).expect("our own").message;
        let MessageBody::Presence {
            reply_required,
            checksum: told,
            ..
        } = message.body
        else {
            panic!("{message:?}");
        };
        assert_eq!((reply_required, told), (false, Some(checksum)));
    }
}

#[test]
fn another_checksum_leads_to_a_download_of_what_the_peer_owns() {
    // RFC 5353 §3.6, §3.6.1, §3.6.2, §3.6.3
    let mut script = with_peers();
    let policy = Policy::WeightedRoundRobin { weight: 1 };
    for (association, id, home) in [(3, 4, THIRD), (3, 5, THIRD), (2, 6, SECOND)] {
        update(
            &mut script,
            association,
            UpdateAction::Add,
            entry(id, home, policy),
        );
    }
    let same = script.registrar.handlespace().checksum(THIRD);
    assert_eq!(
        same,
        script.registrar.handlespace().recompute_checksum(THIRD)
    );
    assert_eq!(say(&mut script, 3, THIRD, presence(Some(same))), []);
    let actions = say(&mut script, 3, THIRD, presence(Some(same ^ 1)));
    only(
        &actions,
        message_type::HANDLE_TABLE_REQUEST,
        |to, message| {
            let wanted = MessageBody::HandleTableRequest { own_only: true };
            assert_eq!((to, message.body), (3, wanted));
        },
    );
    let mut newer = entry(5, THIRD, policy);
    newer.life = 700;
    table(&[newer, entry(7, THIRD, policy)], (false, false), |body| {
        say(&mut script, 3, THIRD, body)
    });
    script.drain(|_, _| {});
    let handlespace = script.registrar.handlespace();
    let mut ids: Vec<_> = handlespace
        .elements_after(None)
        .filter_map(|key| handlespace.get(key))
        .map(|element| (element.id.0, element.life))
        .collect();
    ids.sort_unstable();
    let for_seconds = |seconds| Life::For(Duration::from_secs(seconds));
    // The one that was not in the table is gone; those of others are left alone.
    let left = [(1, 600), (5, 700), (6, 600), (7, 600)].map(|(id, life)| (id, for_seconds(life)));
    assert_eq!(ids, left);
}

#[test]
fn a_peer_is_told_which_elements_are_owned_here() {
    // RFC 5353 §3.6.3 step 3
    let mut script = with_peers();
    let policy = Policy::WeightedRoundRobin { weight: 1 };
    update(&mut script, 3, UpdateAction::Add, entry(4, THIRD, policy));
    let request = MessageBody::HandleTableRequest { own_only: true };
    let actions = say(&mut script, 2, SECOND, request);
    only(
        &actions,
        message_type::HANDLE_TABLE_RESPONSE,
        |to, message| {
            let MessageBody::HandleTableResponse {
                rejected,
                more,
                pools,
            } = message.body
            else {
                panic!("{message:?}");
            };
            let ids: Vec<_> = pools
                .iter()
                .flat_map(|pool| {
                    pool.pool_elements
                        .iter()
                        .map(|element| element.id.0)
                        .collect::<Vec<_>>()
                })
                .collect();
            assert_eq!((to, rejected, more, ids), (2, false, false, vec![1]));
        },
    );
}

#[test]
fn what_is_not_understood_is_reported_and_an_error_never_is() {
    // RFC 5353 §3.7
    let mut script = with_peers();
    let unknown = |kind: u8| {
        let mut bytes = vec![kind, 0, 0, 12];
        bytes.extend(SECOND.0.to_be_bytes());
        bytes.extend([0; 4]);
        bytes
    };
    let mut input = |bytes: &[u8]| {
        script.input(Input::Message {
            association: AssocId(2),
            ppid: Ppid::ENRP,
            stream: 0,
            bytes,
        });
        kinds(&script.actions())
    };
    assert_eq!(input(&unknown(0x7f)), [(2, message_type::ERROR)]);
    assert_eq!(input(&unknown(message_type::ERROR)), []);
}
