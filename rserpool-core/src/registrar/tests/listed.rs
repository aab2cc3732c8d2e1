//! A host can list any address in its handshake: what it gets by an address of another host is nothing.

use super::owners::{OWNER, TAKER};
use super::*;
use crate::wire::enrp::MessageBody;

/// The host that lists.
const LIAR: u8 = 66;

impl Script {
    /// A host comes up that is at `number` and lists more.
    fn comes(&mut self, association: u64, number: u8, listed: &[u8]) {
        let mut remote = vec![endpoint(number)];
        remote.extend(listed.iter().map(|number| endpoint(*number)));
        self.input(Input::Connected {
            association: AssocId(association),
            remote: &remote,
        });
    }
}

#[test]
fn an_element_may_have_all_listed_addresses() {
    // RFC 5352 §2.2.1
    let mut script = Script::new(|_| {});
    script.comes(1, 1, &[11, 12]);
    let (_, rejected, _) = answer(&script.register(1, &element(1, &[host(11), host(12)])));
    assert!(!rejected);
    let (_, rejected, _) = answer(&script.register(1, &element(2, &[host(11), host(13)])));
    assert!(rejected);
}

#[test]
fn a_listed_address_does_not_speak_for_an_element() {
    let mut script = Script::with_element();
    script.comes(2, LIAR, &[1]);
    let (_, rejected, cause) = answer(&script.deregister(2, 1));
    assert!(rejected);
    assert_eq!(cause.map(|(code, _)| code), Some(CauseCode::SECURITY));
    script.report(9, 1);
    let before = script.registrar.counters().unexpected;
    script.acknowledge(2, 1);
    assert_eq!(script.registrar.counters().unexpected, before + 1);
}

#[test]
fn a_listed_address_does_not_take_an_identifier() {
    let mut script = Script::with_element();
    script.comes(2, LIAR, &[1]);
    let (_, rejected, cause) = answer(&script.register(2, &element(1, &[host(LIAR)])));
    assert!(rejected);
    assert_eq!(
        cause.map(|(code, _)| code),
        Some(CauseCode::NON_UNIQUE_PE_ID)
    );
    // A host of several addresses may come back from another one of them.
    let mut script = Script::new(|_| {});
    script.comes(1, 1, &[11]);
    script.register(1, &element(1, &[host(1)]));
    script.comes(2, 11, &[1]);
    let (_, rejected, _) = answer(&script.register(2, &element(1, &[host(1)])));
    assert!(!rejected);
}

#[test]
fn a_listed_address_does_not_answer_the_call_of_an_element() {
    let mut script = Script::with_element();
    script.disconnected(1);
    assert!(matches!(&script.actions()[..], [Action::Connect { .. }]));
    script.comes(2, LIAR, &[1]);
    assert_eq!(sent(&script.actions()), []);
    script.comes(3, 1, &[]);
    assert_eq!(types(&script.actions()), [(3, 7)]);
}

#[test]
fn a_listed_address_does_not_speak_for_a_registrar() {
    let mut script = Script::with_peers(1);
    let own = [host(50)];
    let say_where = |script: &mut Script, association, sender, addresses: &[IpAddr]| {
        let transport = SctpTransport {
            port: 4000,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(addresses),
        };
        let body = MessageBody::Presence {
            reply_required: false,
            checksum: None,
            server: Some(crate::wire::ServerInformation {
                id: sender,
                transport,
            }),
        };
        script.enrp(association, sender, body);
    };
    say_where(&mut script, 50, OWNER, &own);
    script.disconnected(50);
    script.comes(66, LIAR, &[50]);
    let before = script.registrar.counters().unexpected;
    script.presence(66, OWNER, 0xffff);
    assert_eq!(script.registrar.counters().unexpected, before + 1);
    // Nor can it say that a registrar of its own is there.
    say_where(&mut script, 66, ServerId(0x7000), &own);
    assert_eq!(script.registrar.counters().unexpected, before + 2);
    // Nor is it taken for the one that was called.
    script.presence(60, TAKER, 0xffff);
    script.at(120);
    script.comes(67, LIAR, &[50]);
    script.presence(67, OWNER, 0xffff);
    assert_eq!(script.owned(OWNER), 1);
}
