//! The end of a peer, and who takes over its elements: each test is a paragraph of RFC 5353 §3.4.3, §3.5.

use super::peers::{
    SECOND, THIRD, entry, kinds, only, presence, say, sent_enrp, update, with_peers,
};
use super::*;
use crate::wire::asap::message_type::ENDPOINT_KEEP_ALIVE;
use crate::wire::enrp::{self, MessageBody, UpdateAction, message_type};

/// Lets the third registrar be silent until it is taken for dead, while the second one speaks.
fn third_is_dead() -> (Script, Vec<Action<Event>>) {
    let mut script = with_peers();
    update(
        &mut script,
        3,
        UpdateAction::Add,
        entry(4, THIRD, Policy::WeightedRoundRobin { weight: 1 }),
    );
    let mut all = Vec::new();
    for second in (5..=60).step_by(5).chain([61, 66]) {
        all = script.at(second);
        say(&mut script, 2, SECOND, presence(None));
    }
    (script, all)
}

#[test]
fn a_silent_peer_is_asked_and_then_taken_for_dead() {
    // RFC 5353 §3.4.3, §3.5.1
    let mut script = with_peers();
    for second in [20, 40] {
        script.at(second);
        say(&mut script, 2, SECOND, presence(None));
    }
    script.at(60);
    let actions = script.at(61);
    only(&actions, message_type::PRESENCE, |to, message| {
        assert!(matches!(
            message.body,
            MessageBody::Presence {
                reply_required: true,
                ..
            }
        ));
        assert_eq!(to, 3);
    });
    assert_eq!(kinds(&script.at(65)), []);
    // It is told, too: to all, with the sender and the target.
    let actions = script.at(66);
    let sent = sent_enrp(&actions);
    assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [2, 3]);
    for (_, bytes) in sent {
        let message = enrp::decode(&bytes).expect("our own").message;
        let init = MessageBody::InitTakeover { target: THIRD };
        assert_eq!((message.sender, message.body), (ID, init));
    }
}

#[test]
fn a_takeover_is_completed_when_all_active_peers_have_acknowledged() {
    // RFC 5353 §3.5.1, §3.5.2
    let (mut script, _) = third_is_dead();
    assert!(script.registrar.peers().any(|id| id == THIRD));
    let actions = say(
        &mut script,
        2,
        SECOND,
        MessageBody::InitTakeoverAck { target: THIRD },
    );
    let taken = [
        (2, message_type::TAKEOVER_SERVER),
        (3, message_type::TAKEOVER_SERVER),
    ];
    assert_eq!(kinds(&actions), taken);
    assert_eq!(script.registrar.peers().collect::<Vec<_>>(), [SECOND]);
    script.drain(|_, _| {});
    let handlespace = script.registrar.handlespace();
    let key = handlespace.find(POOL, PeId(4)).expect("it stays");
    assert_eq!(handlespace.get(key).map(|element| element.home), Some(ID));
    // The element is called, and asked to adopt this registrar.
    script.input(Input::Connected {
        association: AssocId(7),
        remote: &[SocketAddr::new(host(7), 7)],
    });
    let actions = script.actions();
    let [(7, bytes)] = &sent(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(bytes[0], ENDPOINT_KEEP_ALIVE);
    assert!(matches!(
        asap::decode(bytes).expect("our own").message,
        Message::EndpointKeepAlive { home: true, .. }
    ));
}

#[test]
fn a_target_that_speaks_is_not_taken_over() {
    // RFC 5353 §3.4.3, §3.5.1: a message of any type
    let (mut script, _) = third_is_dead();
    say(&mut script, 3, THIRD, MessageBody::ListRequest);
    let actions = say(
        &mut script,
        2,
        SECOND,
        MessageBody::InitTakeoverAck { target: THIRD },
    );
    assert_eq!(kinds(&actions), []);
    script.at(71);
    assert!(script.registrar.peers().any(|id| id == THIRD));
}

#[test]
fn an_arbitration_has_one_winner() {
    // RFC 5353 §3.5.1 rules 1, 2A, 2B, 3
    let init = |target| MessageBody::InitTakeover { target };
    // 1: this registrar is the target.
    let mut script = with_peers();
    let actions = say(&mut script, 2, SECOND, init(ID));
    assert_eq!(
        kinds(&actions),
        [(2, message_type::PRESENCE), (3, message_type::PRESENCE)]
    );
    // 2B: the smaller identifier's takeover is ignored.
    let (mut script, _) = third_is_dead();
    assert_eq!(kinds(&say(&mut script, 2, SECOND, init(THIRD))), []);
    // 2A: the greater one's ends one's own.
    let (mut script, _) = third_is_dead();
    script.connected(5, 5);
    let greater = ServerId(0x9999);
    say(&mut script, 5, greater, presence(None));
    let actions = say(&mut script, 5, greater, init(THIRD));
    assert!(kinds(&actions).contains(&(5, message_type::INIT_TAKEOVER_ACK)));
    let actions = say(
        &mut script,
        2,
        SECOND,
        MessageBody::InitTakeoverAck { target: THIRD },
    );
    assert_eq!(kinds(&actions), []);
    // 3: who has not begun, acknowledges.
    let mut script = with_peers();
    let actions = say(&mut script, 2, SECOND, init(THIRD));
    only(&actions, message_type::INIT_TAKEOVER_ACK, |to, message| {
        let acknowledgement = MessageBody::InitTakeoverAck { target: THIRD };
        assert_eq!((to, message.body), (2, acknowledgement));
    });
}

#[test]
fn a_takeover_of_another_one_moves_the_elements() {
    // RFC 5353 §3.5.2
    let mut script = with_peers();
    let policy = Policy::WeightedRoundRobin { weight: 1 };
    update(&mut script, 3, UpdateAction::Add, entry(4, THIRD, policy));
    say(
        &mut script,
        2,
        SECOND,
        MessageBody::InitTakeover { target: THIRD },
    );
    say(
        &mut script,
        2,
        SECOND,
        MessageBody::TakeoverServer { target: THIRD },
    );
    // A target that may still answer is waited for.
    script.at(5);
    assert_eq!(script.registrar.peers().collect::<Vec<_>>(), [SECOND]);
    let handlespace = script.registrar.handlespace();
    let key = handlespace.find(POOL, PeId(4)).expect("it stays");
    assert_eq!(
        handlespace.get(key).map(|element| element.home),
        Some(SECOND)
    );
}
