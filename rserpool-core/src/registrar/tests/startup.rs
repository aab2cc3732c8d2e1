//! Joining a scope: each test is a paragraph of RFC 5353 §3.2.

use super::peers::{
    RANDOM, SECOND, THIRD, enrp_endpoint, entry, introduce, kinds, only, say, table,
};
use super::*;
use crate::dialect::Life;
use crate::wire::ServerInformation;
use crate::wire::enrp::{self, MessageBody, message_type};

/// One that has two mentors to choose from.
fn starting() -> Script {
    Script::new(|config| {
        config.enrp_addresses = vec![enrp_endpoint(1)];
        config.peers = vec![enrp_endpoint(2), enrp_endpoint(3)];
    })
}

fn mentor_up(script: &mut Script, association: u64, number: u8) -> Vec<Action<Event>> {
    script.input(Input::Connected {
        association: AssocId(association),
        remote: &[enrp_endpoint(number)],
    });
    script.actions()
}

/// Lets time pass until something is sent.
fn wait_for(script: &mut Script, kind: u8) -> Vec<Action<Event>> {
    for _ in 0..100 {
        let (_, actions) = script.wait();
        if kinds(&actions).iter().any(|(_, sent)| *sent == kind) {
            return actions;
        }
    }
    panic!("no message {kind}");
}

#[test]
fn the_first_registrar_offers_its_services_at_once() {
    // RFC 5353 §3.2.2.1
    let script = Script::new(|config| config.enrp_addresses = vec![enrp_endpoint(1)]);
    assert!(script.registrar.is_running());
    assert!(!starting().registrar.is_running());
}

#[test]
fn list_and_table_come_from_the_mentor_page_by_page() {
    // RFC 5353 §3.2.2.1, §3.2.2.2, §3.2.3
    let mut script = starting();
    mentor_up(&mut script, 2, 2);
    let asked = introduce(&mut script, 2, 2, SECOND);
    only(&asked, message_type::LIST_REQUEST, |to, _| {
        assert_eq!(to, 2);
    });
    let addresses = [host(3)];
    let servers = [ServerInformation {
        id: THIRD,
        transport: SctpTransport {
            port: 9901,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&addresses),
        },
    }];
    let list = MessageBody::ListResponse {
        rejected: false,
        servers: List::Slice(&servers),
    };
    let asked = say(&mut script, 2, SECOND, list);
    assert_eq!(
        script.registrar.peers().collect::<Vec<_>>(),
        [SECOND, THIRD]
    );
    let whole = |to: u64, message: enrp::Message<'_>| {
        let wanted = MessageBody::HandleTableRequest { own_only: false };
        assert_eq!((to, message.body), (2, wanted));
    };
    only(&asked, message_type::HANDLE_TABLE_REQUEST, whole);
    // The pool has the policy of its first element, whatever the others say; one that is there is replaced.
    let page = [entry(4, THIRD, RANDOM), entry(5, SECOND, RANDOM)];
    let asked = table(&page, (false, true), |body| {
        say(&mut script, 2, SECOND, body)
    });
    only(&asked, message_type::HANDLE_TABLE_REQUEST, whole);
    assert!(!script.registrar.is_running());
    let mut newer = entry(5, SECOND, RANDOM);
    newer.life = 700;
    table(&[newer], (false, false), |body| {
        say(&mut script, 2, SECOND, body)
    });
    assert!(script.registrar.is_running());
    let handlespace = script.registrar.handlespace();
    let found = |id| {
        let key = handlespace.find(POOL, PeId(id)).expect("it came");
        handlespace.get(key).expect("it is there").clone()
    };
    assert_eq!((found(4).home, found(5).home), (THIRD, SECOND));
    assert_eq!(found(4).policy, RANDOM);
    assert_eq!(found(5).life, Life::For(Duration::from_secs(700)));
}

#[test]
fn a_mentor_that_refuses_or_is_silent_is_left_for_the_backup() {
    // RFC 5353 §3.2.2.2, §3.2.3
    let refused_list = MessageBody::ListResponse {
        rejected: true,
        servers: List::EMPTY,
    };
    let list = MessageBody::ListResponse {
        rejected: false,
        servers: List::EMPTY,
    };
    for answers in 0..4 {
        let mut script = starting();
        for (association, number, id) in [(2, 2, SECOND), (3, 3, THIRD)] {
            mentor_up(&mut script, association, number);
            introduce(&mut script, association, number, id);
        }
        let begin = script.now;
        match answers {
            0 => {}
            1 => drop(say(&mut script, 2, SECOND, refused_list)),
            _ => drop(say(&mut script, 2, SECOND, list)),
        }
        if answers == 3 {
            table(&[], (true, false), |refusal| {
                say(&mut script, 2, SECOND, refusal)
            });
        }
        let asked = wait_for(&mut script, message_type::LIST_REQUEST);
        only(&asked, message_type::LIST_REQUEST, |to, _| {
            assert_eq!(to, 3);
        });
        let waited = script.now.duration_since(begin);
        // A timer of 5 s, and the pause before the next one.
        assert!(waited <= Duration::from_millis(8750), "{waited:?}");
        assert!(!script.registrar.is_running());
    }
}

#[test]
fn who_is_starting_refuses_to_be_a_mentor() {
    // RFC 5353 §3.2.2.2, §3.2.3
    let mut script = starting();
    script.connected(3, 3);
    let actions = say(&mut script, 3, THIRD, MessageBody::ListRequest);
    only(&actions, message_type::LIST_RESPONSE, |_, message| {
        let refusal = MessageBody::ListResponse {
            rejected: true,
            servers: List::EMPTY,
        };
        assert_eq!(message.body, refusal);
    });
    let request = MessageBody::HandleTableRequest { own_only: false };
    let actions = say(&mut script, 3, THIRD, request);
    only(
        &actions,
        message_type::HANDLE_TABLE_RESPONSE,
        |_, message| {
            table(&[], (true, false), |refusal| {
                assert_eq!(message.body, refusal);
            });
        },
    );
}
