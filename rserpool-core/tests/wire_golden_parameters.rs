//! Every parameter, policy and error cause, byte by byte from the figures of RFC 5354 §3 and RFC 5356.

mod wire_common;

use core::net::IpAddr;

use rserpool_core::wire::asap::{self, Message};
use rserpool_core::wire::{
    Cause, CauseCode, List, Policy, PolicyType, PoolElement, SctpTransport, Transport, TransportUse,
};
use rserpool_core::{PeId, ServerId};
use wire_common::{hex, to_hex};

/// Encodes to these bytes, and decodes from them.
fn check(name: &str, message: Message<'_>, expected: &str) {
    let expected = hex(expected);
    let bytes = message.to_bytes().expect("it fits");
    assert_eq!(to_hex(&bytes), to_hex(&expected), "{name}");
    let decoded = asap::decode(&expected).expect(name);
    assert_eq!(decoded.message, message, "{name}");
    assert_eq!(decoded.trailing, 0, "{name}");
    assert!(decoded.unrecognized.spans().is_empty(), "{name}");
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A business card of one element: handle "p", element 0x01020304 at home with 0x11121314, life 30.
fn card(transport: Transport<'_>, policy: Policy<'_>, check: impl FnOnce(Message<'_>)) {
    let element = PoolElement {
        id: PeId(0x0102_0304),
        home_id: ServerId(0x1112_1314),
        life: 30,
        user_transport: transport,
        policy,
        asap_transport: None,
    };
    check(Message::BusinessCard {
        pool_handle: b"p",
        pool_elements: List::Slice(&[element]),
    });
}

#[test]
fn transports() {
    let v4 = ip("10.1.2.3");
    let v6 = ip("2001:db8::5");
    let both = [v4, v6];
    let rows: [(&str, Transport<'_>, u8, &str); 7] = [
        // RFC 5354 §3.3: port, reserved, service code, one address parameter (§3.1).
        (
            "DCCP",
            Transport::Dccp {
                port: 5001,
                service_code: 0x6465_6667,
                address: v4,
            },
            0x14,
            "0003 0014 | 1389 0000 | 64656667 | 0001 0008 0a010203",
        ),
        // §3.4: port, transport use, any number of addresses.
        (
            "SCTP with both kinds of addresses",
            Transport::Sctp(SctpTransport {
                port: 5001,
                transport_use: TransportUse::DATA_PLUS_CONTROL,
                addresses: List::Slice(&both),
            }),
            0x24,
            "0004 0024 | 1389 0001 | 0001 0008 0a010203 | 0002 0014 20010db8000000000000000000000005",
        ),
        // §3.5.
        (
            "TCP",
            Transport::Tcp {
                port: 5001,
                transport_use: TransportUse::DATA_ONLY,
                address: v4,
            },
            0x10,
            "0005 0010 | 1389 0000 | 0001 0008 0a010203",
        ),
        // §3.6.
        (
            "UDP",
            Transport::Udp {
                port: 5001,
                address: v6,
            },
            0x1c,
            "0006 001c | 1389 0000 | 0002 0014 20010db8000000000000000000000005",
        ),
        // §3.7.
        (
            "UDP-Lite",
            Transport::UdpLite {
                port: 5001,
                address: v4,
            },
            0x10,
            "0007 0010 | 1389 0000 | 0001 0008 0a010203",
        ),
        // §3.16: any bytes.
        (
            "Opaque",
            Transport::Opaque(b"abcde"),
            0x0c,
            "0010 0009 | 6162636465 000000",
        ),
        (
            "Opaque without data",
            Transport::Opaque(b""),
            0x04,
            "0010 0004",
        ),
    ];
    for (name, transport, length, bytes) in rows {
        let (message, element) = (0x0c + 0x18 + length, 0x18 + length);
        let expected = format!(
            "0d 00 00{message:02x} | 0009 0005 70 000000 \
             | 000a 00{element:02x} 01020304 11121314 0000001e | {bytes} | 0008 0008 00000001"
        );
        card(transport, Policy::RoundRobin, |message| {
            check(name, message, &expected);
        });
    }
}

#[test]
fn all_but_sctp_are_for_data_only() {
    // RFC 5354 §3.3, §3.5–3.7
    let (port, address) = (7, ip("10.1.2.3"));
    let others = [
        Transport::Dccp {
            port,
            service_code: 1,
            address,
        },
        Transport::Tcp {
            port,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            address,
        },
        Transport::Udp { port, address },
        Transport::UdpLite { port, address },
    ];
    for transport in others {
        assert_eq!(transport.transport_use(), TransportUse::DATA_ONLY);
    }
}

#[test]
fn policies() {
    let data = hex("aabbccdd ee");
    let rows: [(&str, Policy<'_>, u8, u8, &str); 11] = [
        // RFC 5354 §3.8 with the values of RFC 5356 §4.1 to §5.4.
        ("RR", Policy::RoundRobin, 8, 0, "0008 0008 00000001"),
        (
            "WRR",
            Policy::WeightedRoundRobin { weight: 7 },
            12,
            0,
            "0008 000c 00000002 00000007",
        ),
        ("RAND", Policy::Random, 8, 0, "0008 0008 00000003"),
        (
            "WRAND",
            Policy::WeightedRandom { weight: 9 },
            12,
            0,
            "0008 000c 00000004 00000009",
        ),
        (
            "PRIO",
            Policy::Priority { priority: 3 },
            12,
            0,
            "0008 000c 00000005 00000003",
        ),
        (
            "LU",
            Policy::LeastUsed { load: 0x8000_0000 },
            12,
            0,
            "0008 000c 40000001 80000000",
        ),
        (
            "LUD",
            Policy::LeastUsedDegradation {
                load: 1,
                load_degradation: 2,
            },
            16,
            0,
            "0008 0010 40000002 00000001 00000002",
        ),
        (
            "PLU",
            Policy::PriorityLeastUsed {
                load: 1,
                load_degradation: 2,
            },
            16,
            0,
            "0008 0010 40000003 00000001 00000002",
        ),
        (
            "RLU",
            Policy::RandomizedLeastUsed { load: 5 },
            12,
            0,
            "0008 000c 40000004 00000005",
        ),
        (
            "another",
            Policy::Other {
                policy_type: PolicyType(0xb000_0001),
                data: &data[..4],
            },
            12,
            0,
            "0008 000c b0000001 aabbccdd",
        ),
        // The length of the element leaves the last padding out (RFC 5354 §2).
        (
            "another with padding",
            Policy::Other {
                policy_type: PolicyType(0xb000_0001),
                data: &data,
            },
            16,
            3,
            "0008 000d b0000001 aabbccddee 000000",
        ),
    ];
    for (name, policy, length, padding, bytes) in rows {
        let (message, element) = (0x0c + 0x20 + length, 0x20 + length - padding);
        let expected = format!(
            "0d 00 00{message:02x} | 0009 0005 70 000000 | 000a 00{element:02x} 01020304 11121314 0000001e \
             | 0006 0010 0007 0000 0001 0008 0a010203 | {bytes}"
        );
        let udp = Transport::Udp {
            port: 7,
            address: ip("10.1.2.3"),
        };
        card(udp, policy, |message| check(name, message, &expected));
    }
}

#[test]
fn the_pool_element() {
    // RFC 5354 §3.10: a life of -1 is infinite; the ASAP transport comes last.
    let (user, asap) = ([ip("10.0.0.1")], [ip("10.0.0.2"), ip("10.0.0.3")]);
    let element = PoolElement {
        id: PeId(0xdead_beef),
        home_id: ServerId(0),
        life: -1,
        user_transport: Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&user),
        }),
        policy: Policy::Random,
        asap_transport: Some(SctpTransport {
            port: 3863,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(&asap),
        }),
    };
    let message = Message::Registration {
        pool_handle: b"pool",
        pool_element: element,
    };
    check(
        "element",
        message,
        "01 00 004c | 0009 0008 706f6f6c \
         | 000a 0040 deadbeef 00000000 ffffffff \
         | 0004 0010 0007 0000 0001 0008 0a000001 \
         | 0008 0008 00000003 \
         | 0004 0018 0f17 0000 0001 0008 0a000002 0001 0008 0a000003",
    );
}

#[test]
fn the_order_in_an_element_is_free_but_the_first_transport_is_the_users() {
    let bytes = hex("01 00 0044 | 000a 0038 00000001 00000002 00000003 \
         | 0008 0008 00000001 | 0006 0010 0007 0000 0001 0008 0a000001 \
         | 0004 0010 0f17 0000 0001 0008 0a000002 | 0009 0005 70 000000");
    let decoded = asap::decode(&bytes).expect("it is valid");
    let Message::Registration {
        pool_handle,
        pool_element,
    } = decoded.message
    else {
        panic!("a registration");
    };
    assert_eq!(pool_handle, b"p");
    let udp = Transport::Udp {
        port: 7,
        address: ip("10.0.0.1"),
    };
    assert_eq!(pool_element.user_transport, udp);
    assert_eq!(
        pool_element.asap_transport.map(|sctp| sctp.port),
        Some(3863)
    );
}

#[test]
fn error_causes() {
    // RFC 5354 §3.12.1 to §3.12.11. Neither the last cause nor the parameter counts the last padding.
    let unknown = hex("c123 0007 010203");
    let message = hex("45 00 0008 00000001");
    let handle = hex("0009 0004");
    let policy = Policy::WeightedRoundRobin { weight: 1 }.to_param();
    let transport = hex("0006 0010 0007 0000 0001 0008 0a000001");
    let rows: [(CauseCode, &[u8], &str); 11] = [
        (
            CauseCode::UNSPECIFIED,
            &[],
            "0e 00 000c | 000c 0008 | 0000 0004",
        ),
        (
            CauseCode::UNRECOGNIZED_PARAMETER,
            &unknown,
            "0e 00 0014 | 000c 000f | 0001 000b c123 0007 010203 00",
        ),
        (
            CauseCode::UNRECOGNIZED_MESSAGE,
            &message,
            "0e 00 0014 | 000c 0010 | 0002 000c 45 00 0008 00000001",
        ),
        (
            CauseCode::INVALID_VALUES,
            &handle,
            "0e 00 0010 | 000c 000c | 0003 0008 0009 0004",
        ),
        (
            CauseCode::NON_UNIQUE_PE_ID,
            &[],
            "0e 00 000c | 000c 0008 | 0004 0004",
        ),
        (
            CauseCode::INCONSISTENT_POLICY,
            &policy,
            "0e 00 0018 | 000c 0014 | 0005 0010 0008 000c 00000002 00000001",
        ),
        (
            CauseCode::LACK_OF_RESOURCES,
            &[],
            "0e 00 000c | 000c 0008 | 0006 0004",
        ),
        (
            CauseCode::INCONSISTENT_TRANSPORT,
            &transport,
            "0e 00 001c | 000c 0018 | 0007 0014 0006 0010 0007 0000 0001 0008 0a000001",
        ),
        (
            CauseCode::INCONSISTENT_USE,
            &[],
            "0e 00 000c | 000c 0008 | 0008 0004",
        ),
        (
            CauseCode::UNKNOWN_POOL_HANDLE,
            &[],
            "0e 00 000c | 000c 0008 | 0009 0004",
        ),
        (
            CauseCode::SECURITY,
            &[],
            "0e 00 000c | 000c 0008 | 000a 0004",
        ),
    ];
    for (code, info, expected) in rows {
        let causes = [Cause { code, info }];
        let message = Message::Error {
            causes: List::Slice(&causes),
        };
        check(code.name(), message, expected);
    }
}

#[test]
fn several_causes_have_padding_between_them() {
    let unknown = hex("c123 0005 01");
    let causes = [
        Cause {
            code: CauseCode::UNRECOGNIZED_PARAMETER,
            info: &unknown,
        },
        Cause {
            code: CauseCode::UNRECOGNIZED_PARAMETER,
            info: &unknown,
        },
    ];
    check(
        "two causes",
        Message::Error {
            causes: List::Slice(&causes),
        },
        "0e 00 0020 | 000c 0019 | 0001 0009 c123 0005 01 000000 | 0001 0009 c123 0005 01 000000",
    );
    // The reading of others: the last padding counts everywhere.
    let counted = hex(
        "0e 00 0020 | 000c 001c | 0001 0009 c123 0005 01 000000 | 0001 0009 c123 0005 01 000000",
    );
    let decoded = asap::decode(&counted).expect("it is valid");
    assert_eq!(
        decoded.message,
        Message::Error {
            causes: List::Slice(&causes)
        }
    );
}
