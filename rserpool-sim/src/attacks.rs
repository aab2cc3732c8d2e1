//! Peers that do harm: what a host without any right can say to a registrar (the attacks that work without TLS).
//!
//! | attack | in the mix `byzantine` | as a test of its own |
//! |---|---|---|
//! | S1 foreign de-registration | yes | `false_reports_and_foreign_deregistrations_remove_nobody` |
//! | S2 false unreachable reports | yes | the same |
//! | S3 forged keep-alive acknowledgement | yes | the same |
//! | S4 forged updates | yes | `a_registrar_speaks_only_for_itself` |
//! | S5 forged takeover | yes | `takeover_server_counts_only_with_a_reason_of_ones_own` |
//! | S6 a fake peer that is mute | yes: attackers do not answer | `a_takeover_completes_with_no_missing_or_mute_acknowledgers` |
//! | S7 two registrars die together | the mix `crash` | `two_of_three_die_together_and_the_survivor_owns_everything` |
//! | S8 flood of registrars that do not exist | yes | `a_flood_of_ghosts_does_not_keep_a_registrar_out` |
//! | S9 a false mentor | no: it takes a conversation | `what_a_false_mentor_told_is_forgotten` |
//! | S11 flood of registrations | no: it takes quantity | `limits_are_answered_with_lack_of_resources`, `elements_on_one_association_are_capped` of the core |
//! | S15 flood of INITs | no: below the associations | `a_flood_of_inits_stores_nothing_and_reflects_little` of `rserpool-udp-sctp` |
//! | S16 takeover by the rules of two dialects | M9 | `registrars_that_disagree_on_who_wins_end_with_one_owner` |
//! | S17 equal checksums of unequal states | no: it takes a forger between two registrars | `states_that_differ_under_the_same_checksum_are_made_equal` |
//!
//! S10, a flooder that comes back on a new association, is a matter of rates: `a_host_has_one_budget_on_whatever_association` in
//! the core. S12 to S14 are of TLS.

use bytes::Bytes;
use rserpool_core::wire::enrp::{self, MessageBody, Pool, UpdateAction};
use rserpool_core::wire::{
    List, Policy, PoolElement, SctpTransport, ServerInformation, Transport, TransportUse, asap,
};
use rserpool_core::{PeId, Ppid, Rng, ServerId};

use crate::NodeId;

/// Whom an attack is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Victim {
    pub(crate) attacker: NodeId,
    /// Who the attacker says it is: an identifier of its own, or that of a registrar.
    pub(crate) sender: ServerId,
    /// The registrar that is attacked.
    pub(crate) registrar: ServerId,
    /// The element that is attacked.
    pub(crate) element: PeId,
    pub(crate) address: core::net::IpAddr,
}

/// One random message of an attack.
pub(crate) fn message(rng: &mut Rng, pool: &[u8], victim: &Victim) -> (Ppid, Bytes) {
    if rng.index(3) == 0 {
        (Ppid::ASAP, asap_message(rng, pool, victim))
    } else {
        (Ppid::ENRP, enrp_message(rng, pool, victim))
    }
}

fn asap_message(rng: &mut Rng, pool_handle: &[u8], victim: &Victim) -> Bytes {
    let (pe_id, addresses) = (victim.element, [victim.address]);
    let message = match rng.index(4) {
        // S1
        0 => asap::Message::Deregistration { pool_handle, pe_id },
        // S2
        1 => asap::Message::EndpointUnreachable { pool_handle, pe_id },
        // S3
        2 => asap::Message::EndpointKeepAliveAck { pool_handle, pe_id },
        // Registers somebody else's element.
        _ => asap::Message::Registration {
            pool_handle,
            pool_element: element(victim, &addresses),
        },
    };
    message.to_bytes().unwrap_or_default()
}

/// An acknowledgement of a keep-alive in the name of an element.
pub(crate) fn acknowledgement(pool_handle: &[u8], pe_id: PeId) -> Bytes {
    let message = asap::Message::EndpointKeepAliveAck { pool_handle, pe_id };
    message.to_bytes().unwrap_or_default()
}

fn element<'a>(victim: &Victim, addresses: &'a [core::net::IpAddr]) -> PoolElement<'a> {
    PoolElement {
        id: victim.element,
        home_id: victim.sender,
        life: 600_000,
        user_transport: Transport::Sctp(transport(rserpool_core::ASAP_PORT, addresses)),
        policy: Policy::RoundRobin,
        asap_transport: Some(transport(rserpool_core::ASAP_PORT, addresses)),
    }
}

fn transport(port: u16, addresses: &[core::net::IpAddr]) -> SctpTransport<'_> {
    SctpTransport {
        port,
        transport_use: TransportUse::DATA_PLUS_CONTROL,
        addresses: List::Slice(addresses),
    }
}

fn enrp_message(rng: &mut Rng, pool_handle: &[u8], victim: &Victim) -> Bytes {
    let addresses = [victim.attacker.address()];
    let elements = [element(victim, &addresses)];
    let pools = [Pool {
        pool_handle,
        pool_elements: List::Slice(&elements),
    }];
    let server = |id| ServerInformation {
        id,
        transport: transport(rserpool_core::ENRP_PORT, &addresses),
    };
    let servers = [
        server(ServerId(0)),
        server(victim.registrar),
        server(ServerId(rng.nonzero_u32())),
    ];
    let target = victim.registrar;
    let body = match rng.index(10) {
        // S4
        kind @ 0..=2 => MessageBody::HandleUpdate {
            action: if kind == 0 {
                UpdateAction::Add
            } else {
                UpdateAction::Delete
            },
            takeover_suggested: false,
            pool_handle,
            pool_element: elements[0],
        },
        // S5
        3 => MessageBody::TakeoverServer { target },
        4 => MessageBody::InitTakeover { target },
        5 => MessageBody::InitTakeoverAck { target },
        6 => MessageBody::HandleTableResponse {
            rejected: false,
            more: rng.index(2) == 0,
            pools: List::Slice(&pools),
        },
        7 => MessageBody::ListResponse {
            rejected: false,
            servers: List::Slice(&servers),
        },
        8 => MessageBody::Presence {
            reply_required: true,
            checksum: Some(0x1234),
            server: Some(server(victim.sender)),
        },
        _ => MessageBody::HandleTableRequest { own_only: false },
    };
    let message = enrp::Message {
        sender: victim.sender,
        receiver: ServerId(0),
        body,
    };
    message.to_bytes().unwrap_or_default()
}

/// A presence by multicast of a registrar that does not exist (S8).
pub(crate) fn ghost(rng: &mut Rng) -> Bytes {
    let id = ServerId(rng.nonzero_u32());
    let [high, low] = u16::try_from(rng.index(4096)).unwrap_or(0).to_be_bytes();
    let addresses = [core::net::Ipv4Addr::new(10, 9, high, low).into()];
    let message = enrp::Message {
        sender: id,
        receiver: ServerId(0),
        body: MessageBody::Presence {
            reply_required: false,
            checksum: Some(0),
            server: Some(ServerInformation {
                id,
                transport: transport(rserpool_core::ENRP_PORT, &addresses),
            }),
        },
    };
    message.to_bytes().unwrap_or_default()
}
