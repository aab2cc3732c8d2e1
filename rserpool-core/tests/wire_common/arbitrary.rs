//! Arbitrary valid messages.
//!
//! A message borrows, so what these strategies make is leaked: a few kilobytes in a process that ends soon.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rserpool_core::wire::enrp::{MessageBody, Pool, UpdateAction};
use rserpool_core::wire::{
    Cause, CauseCode, List, Policy, PolicyType, PoolElement, SctpTransport, ServerInformation,
    Transport, TransportUse, asap, enrp,
};
use rserpool_core::{PeId, ServerId};

/// How far the values go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything that the codec can say.
    All,
    /// What Wireshark's dissector of 4.0 knows: no opaque transports, assigned policies and cause codes, and inside a
    /// cause what RFC 5354 §3.12 says.
    Dissector,
}

fn leak<T>(items: Vec<T>) -> &'static [T] {
    items.leak()
}

fn list<T>(items: Vec<T>) -> List<'static, T> {
    List::Slice(items.leak())
}

fn bytes(range: core::ops::Range<usize>) -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), range).prop_map(leak)
}

fn handle() -> impl Strategy<Value = &'static [u8]> {
    bytes(1..40)
}

fn server_id() -> impl Strategy<Value = ServerId> {
    any::<u32>().prop_map(ServerId)
}

fn pe_id() -> impl Strategy<Value = PeId> {
    any::<u32>().prop_map(PeId)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Ipv4Addr::from(octets).into()),
        any::<[u8; 16]>().prop_map(|octets| Ipv6Addr::from(octets).into()),
    ]
}

fn sctp() -> impl Strategy<Value = SctpTransport<'static>> {
    let addresses = vec(address(), 1..5).prop_map(list);
    (any::<u16>(), 0_u16..2, addresses).prop_map(|(port, transport_use, addresses)| SctpTransport {
        port,
        transport_use: TransportUse(transport_use),
        addresses,
    })
}

fn tcp() -> impl Strategy<Value = Transport<'static>> {
    (any::<u16>(), 0_u16..2, address()).prop_map(|(port, transport_use, address)| Transport::Tcp {
        port,
        transport_use: TransportUse(transport_use),
        address,
    })
}

/// A user transport of any kind.
pub(crate) fn transport(scope: Scope) -> BoxedStrategy<Transport<'static>> {
    let dccp = (any::<u16>(), any::<u32>(), address());
    let known = prop_oneof![
        dccp.prop_map(|(port, service_code, address)| Transport::Dccp {
            port,
            service_code,
            address,
        }),
        sctp().prop_map(Transport::Sctp),
        tcp(),
        (any::<u16>(), address()).prop_map(|(port, address)| Transport::Udp { port, address }),
        (any::<u16>(), address()).prop_map(|(port, address)| Transport::UdpLite { port, address }),
    ];
    match scope {
        Scope::All => {
            prop_oneof![5 => known, 1 => bytes(0..20).prop_map(Transport::Opaque)].boxed()
        }
        Scope::Dissector => known.boxed(),
    }
}

/// A policy of any kind.
pub(crate) fn policy(scope: Scope) -> BoxedStrategy<Policy<'static>> {
    let values = (any::<u32>(), any::<u32>());
    let known = (0..9, values).prop_map(|(choice, (a, b))| match choice {
        0 => Policy::RoundRobin,
        1 => Policy::WeightedRoundRobin { weight: a },
        2 => Policy::Random,
        3 => Policy::WeightedRandom { weight: a },
        4 => Policy::Priority { priority: a },
        5 => Policy::LeastUsed { load: a },
        6 => Policy::LeastUsedDegradation {
            load: a,
            load_degradation: b,
        },
        7 => Policy::PriorityLeastUsed {
            load: a,
            load_degradation: b,
        },
        _ => Policy::RandomizedLeastUsed { load: a },
    });
    let other =
        (0x8000_0000..=u32::MAX, bytes(0..14)).prop_map(|(policy_type, data)| Policy::Other {
            policy_type: PolicyType(policy_type),
            data,
        });
    match scope {
        Scope::All => prop_oneof![8 => known, 1 => other].boxed(),
        Scope::Dissector => known.boxed(),
    }
}

fn element(scope: Scope) -> impl Strategy<Value = PoolElement<'static>> {
    let ids = (pe_id(), server_id(), any::<i32>());
    (ids, transport(scope), policy(scope), option::of(sctp())).prop_map(
        |((id, home_id, life), user_transport, policy, asap_transport)| PoolElement {
            id,
            home_id,
            life,
            user_transport,
            policy,
            asap_transport,
        },
    )
}

fn elements(
    scope: Scope,
    range: core::ops::Range<usize>,
) -> impl Strategy<Value = List<'static, PoolElement<'static>>> {
    vec(element(scope), range).prop_map(list)
}

fn server() -> impl Strategy<Value = ServerInformation<'static>> {
    (server_id(), sctp()).prop_map(|(id, transport)| ServerInformation { id, transport })
}

fn cause(scope: Scope) -> BoxedStrategy<Cause<'static>> {
    let cause = |code, info| Cause {
        code: CauseCode(code),
        info,
    };
    if scope == Scope::All {
        return (any::<u16>(), bytes(0..30))
            .prop_map(move |(code, info)| cause(code, info))
            .boxed();
    }
    let plain = prop_oneof![Just(0), Just(4), Just(6), Just(8), Just(9), Just(10)];
    prop_oneof![
        plain.prop_map(move |code| cause(code, &[])),
        bytes(0..9).prop_map(move |value| cause(1, leak(super::param(0xc123, value)))),
        handle().prop_map(move |pool_handle| {
            let message = asap::Message::HandleResolution {
                subscribe: false,
                pool_handle,
                items: None,
            };
            cause(2, message.to_bytes().expect("it fits").to_vec().leak())
        }),
        bytes(4..9).prop_map(move |value| cause(3, leak(super::param(9, value)))),
        policy(scope).prop_map(move |policy| cause(5, leak(policy.to_param()))),
        (any::<u16>(), any::<[u8; 4]>()).prop_map(move |(port, octets)| {
            let [high, low] = port.to_be_bytes();
            let address = super::param(1, &octets);
            cause(
                7,
                leak(super::param(
                    6,
                    &[&[high, low, 0, 0], &address[..]].concat(),
                )),
            )
        }),
    ]
    .boxed()
}

fn causes(scope: Scope) -> impl Strategy<Value = List<'static, Cause<'static>>> {
    vec(cause(scope), 1..4).prop_map(list)
}

/// Any ASAP message.
pub(crate) fn asap_message(scope: Scope) -> BoxedStrategy<asap::Message<'static>> {
    use asap::Message as M;
    let handle_and_id = || (0..3, handle(), pe_id());
    let response = (
        any::<bool>(),
        handle(),
        option::of(policy(scope)),
        elements(scope, 0..6),
    );
    prop_oneof![
        (handle(), element(scope)).prop_map(|(pool_handle, pool_element)| M::Registration {
            pool_handle,
            pool_element,
        }),
        handle_and_id().prop_map(|(choice, pool_handle, pe_id)| match choice {
            0 => M::Deregistration { pool_handle, pe_id },
            1 => M::EndpointKeepAliveAck { pool_handle, pe_id },
            _ => M::EndpointUnreachable { pool_handle, pe_id },
        }),
        (any::<bool>(), handle(), pe_id(), option::of(causes(scope))).prop_map(
            |(rejected, pool_handle, pe_id, error)| M::RegistrationResponse {
                rejected,
                pool_handle,
                pe_id,
                error,
            }
        ),
        (handle(), pe_id(), option::of(causes(scope))).prop_map(|(pool_handle, pe_id, error)| {
            M::DeregistrationResponse {
                pool_handle,
                pe_id,
                error,
            }
        }),
        (any::<bool>(), handle(), option::of(any::<u32>())).prop_map(
            |(subscribe, pool_handle, items)| M::HandleResolution {
                subscribe,
                pool_handle,
                items,
            }
        ),
        (response, option::of(causes(scope))).prop_map(
            |((accepted, pool_handle, policy, pool_elements), error)| M::HandleResolutionResponse {
                accepted,
                pool_handle,
                policy,
                pool_elements,
                error,
            }
        ),
        (any::<bool>(), server_id(), handle(), option::of(pe_id())).prop_map(
            |(home, server_id, pool_handle, pe_id)| M::EndpointKeepAlive {
                home,
                server_id,
                pool_handle,
                pe_id,
            }
        ),
        (
            server_id(),
            vec(prop_oneof![sctp().prop_map(Transport::Sctp), tcp()], 0..4)
        )
            .prop_map(|(server_id, transports)| M::ServerAnnounce {
                server_id,
                transports: list(transports),
            }),
        bytes(0..40).prop_map(|cookie| M::Cookie { cookie }),
        bytes(0..40).prop_map(|cookie| M::CookieEcho { cookie }),
        (handle(), elements(scope, 1..4)).prop_map(|(pool_handle, pool_elements)| {
            M::BusinessCard {
                pool_handle,
                pool_elements,
            }
        }),
        causes(scope).prop_map(|causes| M::Error { causes }),
    ]
    .boxed()
}

fn enrp_body(scope: Scope) -> BoxedStrategy<MessageBody<'static>> {
    use MessageBody as B;
    let pool = (handle(), elements(scope, 1..4)).prop_map(|(pool_handle, pool_elements)| Pool {
        pool_handle,
        pool_elements,
    });
    prop_oneof![
        (
            any::<bool>(),
            option::of(any::<u16>()),
            option::of(server())
        )
            .prop_map(|(reply_required, checksum, server)| B::Presence {
                reply_required,
                checksum,
                server,
            }),
        any::<bool>().prop_map(|own_only| B::HandleTableRequest { own_only }),
        (any::<bool>(), any::<bool>(), vec(pool, 0..4)).prop_map(|(rejected, more, pools)| {
            B::HandleTableResponse {
                rejected,
                more,
                pools: list(pools),
            }
        }),
        (any::<bool>(), any::<bool>(), handle(), element(scope)).prop_map(
            |(delete, takeover_suggested, pool_handle, pool_element)| B::HandleUpdate {
                action: if delete {
                    UpdateAction::Delete
                } else {
                    UpdateAction::Add
                },
                takeover_suggested,
                pool_handle,
                pool_element,
            }
        ),
        Just(B::ListRequest),
        (any::<bool>(), vec(server(), 0..5)).prop_map(|(rejected, servers)| B::ListResponse {
            rejected,
            servers: list(servers),
        }),
        (0..3, server_id()).prop_map(|(choice, target)| match choice {
            0 => B::InitTakeover { target },
            1 => B::InitTakeoverAck { target },
            _ => B::TakeoverServer { target },
        }),
        causes(scope).prop_map(|causes| B::Error { causes }),
    ]
    .boxed()
}

/// Any ENRP message.
pub(crate) fn enrp_message(scope: Scope) -> BoxedStrategy<enrp::Message<'static>> {
    (server_id(), server_id(), enrp_body(scope))
        .prop_map(|(sender, receiver, body)| enrp::Message {
            sender,
            receiver,
            body,
        })
        .boxed()
}
