//! Budgets of hosts: what comes too often is answered honestly as long as answers are few, and harms nobody else.

use super::*;
use crate::wire::enrp;

const NONE: Rate = Rate {
    per_second: 0,
    burst: 0,
};

/// Ten registrations, resolutions and reports, four errors.
fn limited() -> Script {
    Script::new(|config| {
        let ten = Rate {
            per_second: 1,
            burst: 10,
        };
        config.rates.registrations = ten;
        config.rates.resolutions = ten;
        config.rates.reports = ten;
        config.rates.errors = Rate {
            per_second: 1,
            burst: 4,
        };
    })
}

fn resolve(script: &mut Script, association: u64) -> Vec<Action<Event>> {
    let message = Message::HandleResolution {
        subscribe: false,
        pool_handle: POOL,
        items: None,
    };
    script.asap(association, &message)
}

fn cause(actions: &[Action<Event>]) -> Option<CauseCode> {
    answer(actions).2.map(|(code, _)| code)
}

#[test]
fn a_host_has_one_budget_on_whatever_association() {
    // The association is a new one each time, and an element of another host is as well off as ever.
    let mut script = limited();
    for association in 1..=10 {
        script.connected(association, 1);
        assert!(!answer(&script.register(association, &element(1, &[host(1)]))).1);
        script.deregister(association, 1);
        script.disconnected(association);
    }
    script.connected(11, 1);
    let refused = script.register(11, &element(2, &[host(1)]));
    assert_eq!(cause(&refused), Some(CauseCode::LACK_OF_RESOURCES));
    assert_eq!(script.count(), 0);
    script.connected(12, 2);
    assert!(!answer(&script.register(12, &element(3, &[host(2)]))).1);
    // A token a second.
    script.at(1);
    assert!(!answer(&script.register(11, &element(2, &[host(1)]))).1);
    assert!(answer(&script.register(11, &element(4, &[host(1)]))).1);
    assert_eq!(script.registrar.counters().limited.registrations, 2);
}

#[test]
fn a_resolution_too_many_is_no_unknown_pool() {
    let mut script = limited();
    script.connected(1, 1);
    script.connected(9, 9);
    script.register(1, &element(1, &[host(1)]));
    for _ in 0..10 {
        assert_eq!(cause(&resolve(&mut script, 9)), None);
    }
    for _ in 0..4 {
        let answer = resolve(&mut script, 9);
        assert_eq!(cause(&answer), Some(CauseCode::LACK_OF_RESOURCES));
    }
    assert_eq!(resolve(&mut script, 9), [], "no more answers");
    assert_eq!(cause(&resolve(&mut script, 1)), None, "another host");
    let limited = script.registrar.counters().limited;
    assert_eq!((limited.resolutions, limited.errors), (5, 1));
    assert_eq!(script.registrar.counters().resolutions, 11);
}

#[test]
fn errors_are_few_whatever_comes() {
    let mut script = limited();
    script.connected(1, 1);
    script.register(1, &element(1, &[host(1)]));
    script.connected(9, 9);
    let registration = element(2, &[host(9)]).message();
    let cut = &registration[..registration.len() - 4];
    // An unknown parameter that is to be reported.
    let strange = [&registration[..], &[0xff, 0xff, 0, 4]].concat();
    let with_length = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let length = u16::try_from(bytes.len()).expect("short");
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let [cut, strange] = [cut, &strange].map(with_length);
    let deregistration = Message::Deregistration {
        pool_handle: POOL,
        pe_id: PeId(1),
    };
    let foreign = deregistration.to_bytes().expect("short");
    let mut types = Vec::new();
    for _ in 0..2 {
        for bytes in [&cut, &strange, &foreign[..]] {
            script.message(9, bytes);
            types.extend(sent(&script.actions()).iter().map(|(_, bytes)| bytes[0]));
        }
    }
    // An error; an error and the answer; a refusal; an error. Then only what is no error.
    assert_eq!(types, [0xe, 0xe, 3, 4, 0xe, 3]);
    assert_eq!(script.registrar.counters().limited.errors, 2);
}

#[test]
fn acknowledgements_of_elements_that_are_none_are_answered_a_few_times() {
    let mut script = limited();
    script.connected(9, 9);
    for _ in 0..4 {
        assert_eq!(types(&script.acknowledge(9, 1)), [(9, 4)]);
    }
    assert_eq!(script.acknowledge(9, 1), []);
    assert_eq!(script.registrar.counters().limited.errors, 1);
}

#[test]
fn reports_of_one_host_are_few() {
    let mut script = limited();
    script.connected(9, 9);
    for id in 1..=20 {
        let association = u64::from(id) + 20;
        script.connected(association, 20 + u8::try_from(id).expect("small"));
        let number = 20 + u8::try_from(id).expect("small");
        script.register(association, &element(id, &[host(number)]));
    }
    let asked: usize = (1..=20).map(|id| sent(&script.report(9, id)).len()).sum();
    assert_eq!(asked, 10);
    let counters = script.registrar.counters();
    assert_eq!((counters.reports, counters.limited.reports), (20, 10));
}

#[test]
fn registrars_of_one_host_become_peers_slowly() {
    let mut script = Script::new(|config| {
        config.enrp_addresses = vec![endpoint(0)];
        config.rates.announcements = NONE;
    });
    let hello = |script: &mut Script, id: u32, number: u8| {
        script.connected(id.into(), number);
        let message = enrp::Message {
            sender: ServerId(id),
            receiver: ServerId(0),
            body: enrp::MessageBody::ListRequest,
        };
        script.input(Input::Message {
            association: AssocId(id.into()),
            ppid: Ppid::ENRP,
            stream: 0,
            bytes: &message.to_bytes().expect("short"),
        });
        !sent(&script.actions()).is_empty()
    };
    let heard = (1..=20).filter(|id| hello(&mut script, *id, 1)).count();
    assert_eq!((heard, script.registrar.peers().count()), (5, 5));
    assert!(hello(&mut script, 3, 1), "a peer is heard as ever");
    assert!(hello(&mut script, 21, 2), "another host");
    script.at(1);
    assert!(hello(&mut script, 20, 1), "later");
    assert_eq!(script.registrar.counters().limited.peers, 15);
}

#[test]
fn announcements_of_unknown_registrars_are_few() {
    let mut script = Script::new(|config| {
        config.rates.announcements = Rate {
            per_second: 1,
            burst: 10,
        };
    });
    let announce = |script: &mut Script, id| {
        let message = Message::ServerAnnounce {
            server_id: ServerId(id),
            transports: List::EMPTY,
        };
        script.input(Input::Announcement {
            source: endpoint(2),
            ppid: Ppid::ASAP,
            bytes: &message.to_bytes().expect("short"),
        });
    };
    for id in 1..=20 {
        announce(&mut script, id);
    }
    assert_eq!(script.registrar.announcer.len(), 10);
    for id in 1..=10 {
        announce(&mut script, id);
    }
    let limited = script.registrar.counters().limited;
    assert_eq!(
        limited.announcements, 10,
        "the known ones are heard as ever"
    );
}

#[test]
fn a_thousand_elements_of_one_host_register_twice_at_once() {
    // A home that goes brings all of them together.
    let mut script = Script::new(|_| {});
    script.connected(1, 1);
    for _ in 0..2 {
        for id in 1..=1000 {
            assert!(!answer(&script.register(1, &element(id, &[host(1)]))).1);
        }
    }
    assert_eq!(script.count(), 1000);
}
