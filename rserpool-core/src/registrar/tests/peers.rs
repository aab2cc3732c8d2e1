//! Peers: which association they are reached on (RFC 5353 §3.1).

use super::*;
use crate::wire::enrp::{self, MessageBody};

const PEER: ServerId = ServerId(0x5678);

/// What the peer says on an association.
fn say(script: &mut Script, association: u64, body: MessageBody<'_>) -> Vec<Action<Event>> {
    let message = enrp::Message {
        sender: PEER,
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

fn presence() -> MessageBody<'static> {
    MessageBody::Presence {
        reply_required: false,
        checksum: None,
        server: None,
    }
}

#[test]
fn a_peer_is_reached_on_its_newest_association() {
    let mut script = Script::new(|config| config.enrp_addresses = vec![endpoint(1)]);
    for association in [3, 2] {
        script.connected(association, 2);
        say(&mut script, association, presence());
    }
    // The older one is lost at the other end; this has been on its way.
    say(&mut script, 3, presence());
    script.connected(5, 5);
    let actions = script.register(5, &element(1, &[host(5)]));
    let updates: Vec<_> = types(&actions)
        .into_iter()
        .filter(|(_, kind)| *kind == enrp::message_type::HANDLE_UPDATE)
        .collect();
    assert_eq!(updates, [(2, enrp::message_type::HANDLE_UPDATE)]);
    // Where it ends, the older one is better than none.
    script.disconnected(2);
    say(&mut script, 3, presence());
    let actions = script.deregister(5, 1);
    assert!(types(&actions).contains(&(3, enrp::message_type::HANDLE_UPDATE)));
}
