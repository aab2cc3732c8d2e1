//! Handle table responses of a whole handlespace, made and read (RFC 5353 §2.3).

use core::hint::black_box;

use bytes::Bytes;
use rserpool_core::handlespace::{Element, ElementKey, Handlespace, Place};
use rserpool_core::wire::enrp::{self, Message, MessageBody, Pool};
use rserpool_core::wire::{List, PoolElement};
use rserpool_core::{Dialect, ServerId};

use super::Operation;
use super::ledger::Ledger;
use super::workload::HOME;

/// Elements of one message: as many as the reference implementation sends.
const PAGE: usize = 128;

/// Makes all pages, and reads them.
pub(super) fn measure(ledger: &mut Ledger, handlespace: &Handlespace, elements: u32) {
    let mut pages = Vec::new();
    ledger.measure((Operation::TableCreate, 0), elements, || {
        pages = create(handlespace);
    });
    if pages.is_empty() && !ledger.leaves_out(Operation::TableParse) {
        pages = create(handlespace);
    }
    ledger.measure((Operation::TableParse, 0), elements, || {
        pages.iter().for_each(|page| parse(page));
    });
}

fn create(handlespace: &Handlespace) -> Vec<Bytes> {
    let mut pages = Vec::new();
    let mut after: Option<Place> = None;
    loop {
        let keys: Vec<ElementKey> = handlespace
            .elements_after(after.as_ref())
            .take(PAGE)
            .collect();
        let Some(last) = keys.last() else {
            return pages;
        };
        after = handlespace.place_after(*last);
        let elements = keys.iter().filter_map(|key| handlespace.get(*key));
        pages.push(page(&elements.collect::<Vec<_>>()));
    }
}

fn page(elements: &[&Element]) -> Bytes {
    let parameters: Vec<PoolElement<'_>> = elements
        .iter()
        .map(|element| element.to_wire(Dialect::Rfc.life_to_wire(element.life), true))
        .collect();
    let mut rest = &parameters[..];
    let mut pools = Vec::new();
    for pool in elements.chunk_by(|one, other| one.pool == other.pool) {
        let (these, others) = rest.split_at(pool.len());
        rest = others;
        pools.push(Pool {
            pool_handle: pool[0].pool.as_bytes(),
            pool_elements: List::Slice(these),
        });
    }
    let message = Message {
        sender: HOME,
        receiver: ServerId(0x2222_2222),
        body: MessageBody::HandleTableResponse {
            rejected: false,
            more: true,
            pools: List::Slice(&pools),
        },
    };
    message.to_bytes().expect("128 elements fit")
}

/// Decodes a page and looks at every element in it, to the last address.
fn parse(page: &[u8]) {
    let decoded = enrp::decode(page).expect("a page that was made here");
    let MessageBody::HandleTableResponse { pools, .. } = decoded.message.body else {
        unreachable!("it is a table");
    };
    for pool in pools {
        black_box(pool.pool_handle);
        for element in pool.pool_elements {
            black_box(element.user_transport.addresses().count());
            let asap = element.asap_transport.map(|asap| asap.addresses.len());
            black_box((asap, &element));
        }
    }
}
