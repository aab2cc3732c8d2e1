//! The two messages of the codec's measurements, and a reader that leaves no field out.

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

pub(crate) use rserpool_core::wire::asap::Message;
use rserpool_core::wire::{
    List, Policy, PoolElement, SctpTransport, Transport, TransportUse, asap,
};
use rserpool_core::{PeId, ServerId};

const POOL_HANDLE: &[u8] = b"EchoPool-01";
const ADDRESSES: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::new(192, 0, 2, 17))];

fn element(id: u32) -> PoolElement<'static> {
    PoolElement {
        id: PeId(id),
        home_id: ServerId(0x1234_5678),
        life: 300,
        user_transport: Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DATA_ONLY,
            addresses: List::Slice(ADDRESSES),
        }),
        policy: Policy::WeightedRoundRobin { weight: id },
        asap_transport: None,
    }
}

/// A registration: one SCTP transport with one address, Weighted Round Robin.
pub(crate) fn registration() -> Message<'static> {
    Message::Registration {
        pool_handle: POOL_HANDLE,
        pool_element: element(1),
    }
}

/// The elements of [`response`].
pub(crate) fn elements() -> [PoolElement<'static>; 5] {
    [1, 2, 3, 4, 5].map(element)
}

/// A handle resolution response with five elements.
pub(crate) fn response<'a>(elements: &'a [PoolElement<'a>]) -> Message<'a> {
    Message::HandleResolutionResponse {
        accepted: false,
        pool_handle: POOL_HANDLE,
        policy: Some(Policy::WeightedRoundRobin { weight: 1 }),
        pool_elements: List::Slice(elements),
        error: None,
    }
}

/// Decodes a message and reads every field of it: [`black_box`] makes the compiler bring each into memory.
pub(crate) fn read(bytes: &[u8]) {
    let decoded = asap::decode(bytes);
    let Ok(decoded) = black_box(&decoded) else {
        unreachable!("a valid message");
    };
    match &decoded.message {
        Message::Registration { pool_element, .. } => read_element(pool_element),
        Message::HandleResolutionResponse { pool_elements, .. } => {
            for element in *pool_elements {
                read_element(&element);
            }
        }
        _ => unreachable!("one of the two"),
    }
}

fn read_element(element: &PoolElement<'_>) {
    let element = black_box(element);
    if let Transport::Sctp(sctp) = &element.user_transport {
        read_addresses(sctp);
    }
    if let Some(sctp) = &element.asap_transport {
        read_addresses(sctp);
    }
}

#[inline(never)]
fn read_addresses(sctp: &SctpTransport<'_>) {
    for address in sctp.addresses {
        black_box(&address);
    }
}
