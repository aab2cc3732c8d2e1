//! Every ASAP message, byte by byte from the figures of RFC 5352 §2.2.

mod wire_common;

use core::net::IpAddr;

use rserpool_core::wire::asap::{self, Message};
use rserpool_core::wire::{
    Cause, CauseCode, List, Policy, PoolElement, SctpTransport, Transport, TransportUse,
};
use rserpool_core::{PeId, ServerId};
use wire_common::{hex, to_hex};

const POOL: &[u8] = b"EchoPool";
const ID: PeId = PeId(0x0102_0304);
const SERVER: ServerId = ServerId(0x1112_1314);
const HANDLE_AND_ID: &str = "0009 000c 4563686f506f6f6c | 000e 0008 01020304";
const HANDLE: &str = "0009 000c 4563686f506f6f6c";
const UNKNOWN_POOL: &str = "000c 0008 0009 0004";

/// Encodes to these bytes with these flags, and decodes from them.
fn check(message: Message<'_>, flags: u8, expected: &str) {
    let name = Message::name_of(message.message_type()).expect("a name");
    let expected = hex(expected);
    let bytes = message.to_bytes().expect("it fits");
    assert_eq!(to_hex(&bytes), to_hex(&expected), "{name}");
    let decoded = asap::decode(&expected).expect(name);
    assert_eq!(decoded.message, message, "{name}");
    assert_eq!(decoded.flags, flags, "{name}");
    assert_eq!(decoded.trailing, 0, "{name}");
    assert!(decoded.unrecognized.spans().is_empty(), "{name}");
}

fn address() -> IpAddr {
    "192.0.2.1".parse().expect("an address")
}

fn element(addresses: &[IpAddr]) -> PoolElement<'_> {
    PoolElement {
        id: ID,
        home_id: SERVER,
        life: 300,
        user_transport: Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(addresses),
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}

/// The element above: RFC 5354 §3.10.
const ELEMENT: &str = "000a 0028 01020304 11121314 0000012c \
                       | 0004 0010 0007 0000 0001 0008 c0000201 | 0008 0008 00000001";

#[test]
fn registration_and_deregistration() {
    let addresses = [address()];
    check(
        Message::Registration {
            pool_handle: POOL,
            pool_element: element(&addresses),
        },
        0,
        &format!("01 00 0038 | {HANDLE} | {ELEMENT}"),
    );
    check(
        Message::Deregistration {
            pool_handle: POOL,
            pe_id: ID,
        },
        0,
        &format!("02 00 0018 | {HANDLE_AND_ID}"),
    );
}

#[test]
fn registration_responses() {
    let causes = [Cause {
        code: CauseCode::UNKNOWN_POOL_HANDLE,
        info: &[],
    }];
    let error = Some(List::Slice(&causes[..]));
    let response = |rejected, error| Message::RegistrationResponse {
        rejected,
        pool_handle: POOL,
        pe_id: ID,
        error,
    };
    check(
        response(false, None),
        0,
        &format!("03 00 0018 | {HANDLE_AND_ID}"),
    );
    check(
        response(true, error),
        1,
        &format!("03 01 0020 | {HANDLE_AND_ID} | {UNKNOWN_POOL}"),
    );
    check(
        response(false, error),
        0,
        &format!("03 00 0020 | {HANDLE_AND_ID} | {UNKNOWN_POOL}"),
    );
    let response = |error| Message::DeregistrationResponse {
        pool_handle: POOL,
        pe_id: ID,
        error,
    };
    check(response(None), 0, &format!("04 00 0018 | {HANDLE_AND_ID}"));
    check(
        response(error),
        0,
        &format!("04 00 0020 | {HANDLE_AND_ID} | {UNKNOWN_POOL}"),
    );
}

#[test]
fn handle_resolution() {
    let question = |subscribe, items| Message::HandleResolution {
        subscribe,
        pool_handle: POOL,
        items,
    };
    check(question(false, None), 0, &format!("05 00 0010 | {HANDLE}"));
    check(question(true, None), 1, &format!("05 01 0010 | {HANDLE}"));
    // An extension: how many elements are wanted.
    let items = format!("05 00 0018 | {HANDLE} | 803f 0008 ffffffff");
    check(question(false, Some(u32::MAX)), 0, &items);
}

#[test]
fn handle_resolution_responses() {
    let addresses = [address()];
    let elements = [element(&addresses), element(&addresses)];
    let causes = [Cause {
        code: CauseCode::UNKNOWN_POOL_HANDLE,
        info: &[],
    }];
    let positive = |accepted, policy| Message::HandleResolutionResponse {
        accepted,
        pool_handle: POOL,
        policy,
        pool_elements: List::Slice(&elements),
        error: None,
    };
    check(
        positive(true, Some(Policy::RoundRobin)),
        1,
        &format!("06 01 0068 | {HANDLE} | 0008 0008 00000001 | {ELEMENT} | {ELEMENT}"),
    );
    check(
        positive(false, None),
        0,
        &format!("06 00 0060 | {HANDLE} | {ELEMENT} | {ELEMENT}"),
    );
    let negative = Message::HandleResolutionResponse {
        accepted: false,
        pool_handle: POOL,
        policy: None,
        pool_elements: List::EMPTY,
        error: Some(List::Slice(&causes)),
    };
    check(
        negative,
        0,
        &format!("06 00 0018 | {HANDLE} | {UNKNOWN_POOL}"),
    );
}

#[test]
fn keep_alive_and_unreachable() {
    let keep_alive = |home, pe_id| Message::EndpointKeepAlive {
        home,
        server_id: SERVER,
        pool_handle: POOL,
        pe_id,
    };
    check(
        keep_alive(false, None),
        0,
        &format!("07 00 0014 11121314 | {HANDLE}"),
    );
    check(
        keep_alive(true, None),
        1,
        &format!("07 01 0014 11121314 | {HANDLE}"),
    );
    // An extension: which element is meant.
    check(
        keep_alive(true, Some(ID)),
        1,
        &format!("07 01 001c 11121314 | {HANDLE_AND_ID}"),
    );
    check(
        Message::EndpointKeepAliveAck {
            pool_handle: POOL,
            pe_id: ID,
        },
        0,
        &format!("08 00 0018 | {HANDLE_AND_ID}"),
    );
    check(
        Message::EndpointUnreachable {
            pool_handle: POOL,
            pe_id: ID,
        },
        0,
        &format!("09 00 0018 | {HANDLE_AND_ID}"),
    );
}

#[test]
fn server_announce() {
    check(
        Message::ServerAnnounce {
            server_id: SERVER,
            transports: List::EMPTY,
        },
        0,
        "0a 00 0008 11121314",
    );
    let addresses = [address(), "2001:db8::1".parse().expect("an address")];
    let transports = [
        Transport::Sctp(SctpTransport {
            port: 3863,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&addresses),
        }),
        Transport::Tcp {
            port: 3863,
            transport_use: TransportUse::DATA_ONLY,
            address: address(),
        },
    ];
    check(
        Message::ServerAnnounce {
            server_id: SERVER,
            transports: List::Slice(&transports),
        },
        0,
        "0a 00 003c 11121314 \
         | 0004 0024 0f17 0000 0001 0008 c0000201 0002 0014 20010db8000000000000000000000001 \
         | 0005 0010 0f17 0000 0001 0008 c0000201",
    );
}

#[test]
fn cookies() {
    check(
        Message::Cookie { cookie: b"state" },
        0,
        "0b 00 0010 | 000d 0009 7374617465 000000",
    );
    check(
        Message::CookieEcho { cookie: b"state" },
        0,
        "0c 00 0010 | 000d 0009 7374617465 000000",
    );
    check(Message::Cookie { cookie: b"" }, 0, "0b 00 0008 | 000d 0004");
}

#[test]
fn business_card() {
    let addresses = [address()];
    check(
        Message::BusinessCard {
            pool_handle: POOL,
            pool_elements: List::Slice(&[element(&addresses)]),
        },
        0,
        &format!("0d 00 0038 | {HANDLE} | {ELEMENT}"),
    );
}

#[test]
fn error() {
    let causes = [
        Cause {
            code: CauseCode::LACK_OF_RESOURCES,
            info: &[],
        },
        Cause {
            code: CauseCode::SECURITY,
            info: &[],
        },
    ];
    check(
        Message::Error {
            causes: List::Slice(&causes),
        },
        0,
        "0e 00 0010 | 000c 000c | 0006 0004 | 000a 0004",
    );
}

#[test]
fn flags_that_mean_nothing_are_ignored() {
    let bytes = hex(&format!("05 fe 0010 | {HANDLE}"));
    let decoded = asap::decode(&bytes).expect("it is valid");
    assert_eq!(decoded.flags, 0xfe);
    let message = Message::HandleResolution {
        subscribe: false,
        pool_handle: POOL,
        items: None,
    };
    assert_eq!(decoded.message, message);
}
