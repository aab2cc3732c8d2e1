//! Every ENRP message, byte by byte from the figures of RFC 5353 §2.

mod wire_common;

use core::net::IpAddr;

use rserpool_core::wire::enrp::{self, Message, MessageBody, Pool, UpdateAction};
use rserpool_core::wire::{
    Cause, CauseCode, List, Policy, PoolElement, SctpTransport, ServerInformation, Transport,
    TransportUse,
};
use rserpool_core::{PeId, ServerId};
use wire_common::{hex, to_hex};

const SENDER: ServerId = ServerId(0xa1a2_a3a4);
const RECEIVER: ServerId = ServerId(0xb1b2_b3b4);
const TARGET: ServerId = ServerId(0xc1c2_c3c4);
const IDS: &str = "a1a2a3a4 b1b2b3b4";

/// Encodes to these bytes with these flags, and decodes from them.
fn check(body: MessageBody<'_>, flags: u8, expected: &str) {
    let message = Message {
        sender: SENDER,
        receiver: RECEIVER,
        body,
    };
    let name = Message::name_of(message.message_type()).expect("a name");
    let expected = hex(expected);
    let bytes = message.to_bytes().expect("it fits");
    assert_eq!(to_hex(&bytes), to_hex(&expected), "{name}");
    let decoded = enrp::decode(&expected).expect(name);
    assert_eq!(decoded.message, message, "{name}");
    assert_eq!(decoded.flags, flags, "{name}");
    assert_eq!(decoded.trailing, 0, "{name}");
    assert!(decoded.unrecognized.spans().is_empty(), "{name}");
}

fn address() -> IpAddr {
    "192.0.2.1".parse().expect("an address")
}

fn sctp(port: u16, addresses: &[IpAddr]) -> SctpTransport<'_> {
    SctpTransport {
        port,
        transport_use: TransportUse::DATA_ONLY,
        addresses: List::Slice(addresses),
    }
}

fn server(id: ServerId, addresses: &[IpAddr]) -> ServerInformation<'_> {
    ServerInformation {
        id,
        transport: sctp(9901, addresses),
    }
}

/// The transport of a server: RFC 5354 §3.11.
const SERVER_TRANSPORT: &str = "0004 0010 26ad 0000 0001 0008 c0000201";

fn element(addresses: &[IpAddr]) -> PoolElement<'_> {
    PoolElement {
        id: PeId(5),
        home_id: SENDER,
        life: 300,
        user_transport: Transport::Udp {
            port: 7,
            address: address(),
        },
        policy: Policy::WeightedRandom { weight: 2 },
        asap_transport: Some(sctp(3863, addresses)),
    }
}

/// The element above.
const ELEMENT: &str = "000a 003c 00000005 a1a2a3a4 0000012c \
                       | 0006 0010 0007 0000 0001 0008 c0000201 \
                       | 0008 000c 00000004 00000002 \
                       | 0004 0010 0f17 0000 0001 0008 c0000201";

#[test]
fn presence() {
    let addresses = [address()];
    let presence = |reply_required, checksum, server| MessageBody::Presence {
        reply_required,
        checksum,
        server,
    };
    check(presence(false, None, None), 0, &format!("01 00 000c {IDS}"));
    let checksum = format!("01 01 0014 {IDS} | 000f 0006 1b94 0000");
    check(presence(true, Some(0x1b94), None), 1, &checksum);
    check(
        presence(false, Some(0xffff), Some(server(SENDER, &addresses))),
        0,
        &format!("01 00 002c {IDS} | 000f 0006 ffff 0000 | 000b 0018 a1a2a3a4 {SERVER_TRANSPORT}"),
    );
}

#[test]
fn handle_table_request() {
    let request = |own_only| MessageBody::HandleTableRequest { own_only };
    check(request(false), 0, &format!("02 00 000c {IDS}"));
    check(request(true), 1, &format!("02 01 000c {IDS}"));
}

#[test]
fn handle_table_response() {
    let addresses = [address()];
    let elements = [element(&addresses), element(&addresses)];
    let pools = [
        Pool {
            pool_handle: b"one",
            pool_elements: List::Slice(&elements),
        },
        Pool {
            pool_handle: b"three",
            pool_elements: List::Slice(&elements[..1]),
        },
    ];
    let response = |rejected, more, pools| MessageBody::HandleTableResponse {
        rejected,
        more,
        pools,
    };
    check(
        response(false, true, List::Slice(&pools)),
        2,
        &format!(
            "03 02 00d4 {IDS} | 0009 0007 6f6e65 00 | {ELEMENT} | {ELEMENT} \
             | 0009 0009 7468726565 000000 | {ELEMENT}"
        ),
    );
    check(
        response(true, false, List::EMPTY),
        1,
        &format!("03 01 000c {IDS}"),
    );
    check(
        response(false, false, List::EMPTY),
        0,
        &format!("03 00 000c {IDS}"),
    );
    check(
        response(true, true, List::EMPTY),
        3,
        &format!("03 03 000c {IDS}"),
    );
}

#[test]
fn handle_update() {
    let addresses = [address()];
    let update = |action, takeover_suggested| MessageBody::HandleUpdate {
        action,
        takeover_suggested,
        pool_handle: b"pool",
        pool_element: element(&addresses),
    };
    let rest = format!("0009 0008 706f6f6c | {ELEMENT}");
    check(
        update(UpdateAction::Add, false),
        0,
        &format!("04 00 0054 {IDS} 0000 0000 | {rest}"),
    );
    check(
        update(UpdateAction::Delete, false),
        0,
        &format!("04 00 0054 {IDS} 0001 0000 | {rest}"),
    );
    // An extension: the receiver may take the element over.
    check(
        update(UpdateAction::Add, true),
        1,
        &format!("04 01 0054 {IDS} 0000 0000 | {rest}"),
    );
    // The reserved field is ignored.
    let reserved = hex(&format!("04 00 0054 {IDS} 0001 ffff | {rest}"));
    let decoded = enrp::decode(&reserved).expect("it is valid");
    assert_eq!(decoded.message.body, update(UpdateAction::Delete, false));
}

#[test]
fn lists_of_servers() {
    check(MessageBody::ListRequest, 0, &format!("05 00 000c {IDS}"));
    let addresses = [address()];
    let servers = [server(RECEIVER, &addresses), server(TARGET, &addresses)];
    check(
        MessageBody::ListResponse {
            rejected: false,
            servers: List::Slice(&servers),
        },
        0,
        &format!(
            "06 00 003c {IDS} | 000b 0018 b1b2b3b4 {SERVER_TRANSPORT} | 000b 0018 c1c2c3c4 {SERVER_TRANSPORT}"
        ),
    );
    let rejected = MessageBody::ListResponse {
        rejected: true,
        servers: List::EMPTY,
    };
    check(rejected, 1, &format!("06 01 000c {IDS}"));
}

#[test]
fn takeover() {
    let target = TARGET;
    check(
        MessageBody::InitTakeover { target },
        0,
        &format!("07 00 0010 {IDS} c1c2c3c4"),
    );
    check(
        MessageBody::InitTakeoverAck { target },
        0,
        &format!("08 00 0010 {IDS} c1c2c3c4"),
    );
    check(
        MessageBody::TakeoverServer { target },
        0,
        &format!("09 00 0010 {IDS} c1c2c3c4"),
    );
}

#[test]
fn error() {
    let info = hex("c123 0005 01");
    let causes = [Cause {
        code: CauseCode::UNRECOGNIZED_PARAMETER,
        info: &info,
    }];
    check(
        MessageBody::Error {
            causes: List::Slice(&causes),
        },
        0,
        &format!("0a 00 001c {IDS} | 000c 000d | 0001 0009 c123 0005 01 000000"),
    );
}
