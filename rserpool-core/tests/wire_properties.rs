//! Properties that hold for all messages, and for all bytes.

mod wire_common;

use proptest::prelude::*;
use rserpool_core::wire::{asap, enrp};
use wire_common::arbitrary::{Scope, asap_message, enrp_message};

/// What holds for the bytes of every message (RFC 5354 §4).
fn check_framing(bytes: &[u8]) {
    assert!(bytes.len().is_multiple_of(4));
    let length = u16::from_be_bytes([bytes[2], bytes[3]]);
    assert_eq!(usize::from(length), bytes.len());
}

/// The message with its length field as it is without the padding of the last parameter, and without that padding, if there
/// is any: `unpadded` bytes are then left.
fn without_last_padding(bytes: &[u8], unpadded: usize) -> [Vec<u8>; 2] {
    let mut padded = bytes.to_vec();
    let length = u16::try_from(unpadded).expect("a short message");
    padded[2..4].copy_from_slice(&length.to_be_bytes());
    let cut = padded[..unpadded].to_vec();
    [padded, cut]
}

/// Where the last parameter of a message whose parameters begin at `start` ends.
fn unpadded_length(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut end) = (start, bytes.len());
    while at < bytes.len() {
        end = at + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        at = end.next_multiple_of(4);
    }
    end
}

/// Whatever decodes can be encoded, and says the same then.
fn check_again_asap(bytes: &[u8]) {
    if let Ok(decoded) = asap::decode(bytes) {
        let again = decoded.message.to_bytes().expect("no longer than it was");
        check_framing(&again);
        let back = asap::decode(&again).expect("its own bytes");
        assert_eq!(back.message, decoded.message);
        assert!(back.unrecognized.spans().is_empty());
        assert_eq!(back.trailing, 0);
    }
}

fn check_again_enrp(bytes: &[u8]) {
    if let Ok(decoded) = enrp::decode(bytes) {
        let again = decoded.message.to_bytes().expect("no longer than it was");
        check_framing(&again);
        let back = enrp::decode(&again).expect("its own bytes");
        assert_eq!(back.message, decoded.message);
        assert!(back.unrecognized.spans().is_empty());
        assert_eq!(back.trailing, 0);
    }
}

/// Bytes, changed at some places, and cut or made longer.
fn mutate(bytes: &[u8], changes: &[(prop::sample::Index, u8)], length: i8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (index, value) in changes {
        let at = index.index(bytes.len());
        bytes[at] = *value;
    }
    let length = bytes.len().saturating_add_signed(length.into());
    bytes.resize(length, 0xa5);
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let value = prop_oneof![Just(0), Just(1), Just(4), Just(8), Just(0xff), any::<u8>()];
    prop::collection::vec((any::<prop::sample::Index>(), value), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_asap_message_comes_back(message in asap_message(Scope::All)) {
        let bytes = message.to_bytes().expect("it fits");
        check_framing(&bytes);
        let decoded = asap::decode(&bytes).expect("it is valid");
        prop_assert_eq!(decoded.message, message);
        prop_assert_eq!(bytes[0], message.message_type());
        prop_assert_eq!(bytes[1], decoded.flags);
        prop_assert!(decoded.unrecognized.spans().is_empty());
        prop_assert_eq!(decoded.trailing, 0);
        check_again_asap(&bytes);
    }

    #[test]
    fn an_enrp_message_comes_back(message in enrp_message(Scope::All)) {
        let bytes = message.to_bytes().expect("it fits");
        check_framing(&bytes);
        let decoded = enrp::decode(&bytes).expect("it is valid");
        prop_assert_eq!(decoded.message, message);
        prop_assert_eq!(bytes[0], message.message_type());
        prop_assert_eq!(bytes[1], decoded.flags);
        prop_assert!(decoded.unrecognized.spans().is_empty());
        prop_assert_eq!(decoded.trailing, 0);
        check_again_enrp(&bytes);
    }

    #[test]
    fn messages_are_appended_to_what_is_there(message in asap_message(Scope::All), before in 0_usize..9) {
        let mut buffer = bytes::BytesMut::from(&vec![7; before][..]);
        message.encode(&mut buffer).expect("it fits");
        prop_assert_eq!(&buffer[..before], &vec![7; before][..]);
        prop_assert_eq!(&buffer[before..], &message.to_bytes().expect("it fits")[..]);
    }

    #[test]
    fn the_last_padding_may_be_counted_or_not_asap(message in asap_message(Scope::All)) {
        let bytes = message.to_bytes().expect("it fits");
        let fixed = match message {
            asap::Message::EndpointKeepAlive { .. } | asap::Message::ServerAnnounce { .. } => 8,
            _ => 4,
        };
        for other in without_last_padding(&bytes, unpadded_length(&bytes, fixed)) {
            let decoded = asap::decode(&other).expect("it is valid");
            prop_assert_eq!(decoded.message, message);
            prop_assert_eq!(decoded.trailing, 0);
        }
    }

    #[test]
    fn the_last_padding_may_be_counted_or_not_enrp(message in enrp_message(Scope::All)) {
        use enrp::MessageBody as B;
        let bytes = message.to_bytes().expect("it fits");
        let fixed = match message.body {
            B::HandleUpdate { .. } | B::InitTakeover { .. } | B::InitTakeoverAck { .. } | B::TakeoverServer { .. } => 16,
            _ => 12,
        };
        for other in without_last_padding(&bytes, unpadded_length(&bytes, fixed)) {
            let decoded = enrp::decode(&other).expect("it is valid");
            prop_assert_eq!(decoded.message, message);
            prop_assert_eq!(decoded.trailing, 0);
        }
    }

    #[test]
    fn what_follows_a_message_is_counted_and_not_read(message in asap_message(Scope::All), after in 1_usize..50) {
        let mut bytes = message.to_bytes().expect("it fits").to_vec();
        bytes.resize(bytes.len() + after, 0xff);
        let decoded = asap::decode(&bytes).expect("it is valid");
        prop_assert_eq!(decoded.message, message);
        prop_assert_eq!(decoded.trailing, after);
    }

    #[test]
    fn every_cut_is_refused(message in enrp_message(Scope::All), at in any::<prop::sample::Index>()) {
        let bytes = message.to_bytes().expect("it fits");
        prop_assert!(enrp::decode(&bytes[..at.index(bytes.len() - 3)]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..20) {
        let mut bytes = bytes;
        check_again_asap(&bytes);
        check_again_enrp(&bytes);
        if let [first, _, high, low, ..] = &mut bytes[..] {
            (*first, *high, *low) = (kind, 0, *low % 200);
        }
        check_again_asap(&bytes);
        check_again_enrp(&bytes);
        let _ = asap::salvage_registration(&bytes);
    }

    #[test]
    fn mutated_asap_messages_do_no_harm(message in asap_message(Scope::All), changes in changes(), length in -9_i8..9) {
        let bytes = mutate(&message.to_bytes().expect("it fits"), &changes, length);
        check_again_asap(&bytes);
        let _ = asap::salvage_registration(&bytes);
        if let Err(error) = asap::decode(&bytes) {
            prop_assert!(error.offset() <= bytes.len());
            prop_assert!(error.offender(&bytes).len() <= rserpool_core::wire::DecodeError::ECHO_CAP);
        }
    }

    #[test]
    fn mutated_enrp_messages_do_no_harm(message in enrp_message(Scope::All), changes in changes(), length in -9_i8..9) {
        let bytes = mutate(&message.to_bytes().expect("it fits"), &changes, length);
        check_again_enrp(&bytes);
        if let Err(error) = enrp::decode(&bytes) {
            prop_assert!(error.offset() <= bytes.len());
            prop_assert!(error.offender(&bytes).len() <= rserpool_core::wire::DecodeError::ECHO_CAP);
        }
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_and_leaves_no_trace() {
    let long = vec![1; 65_528];
    let fits = asap::Message::Cookie {
        cookie: &long[..65_524],
    };
    assert_eq!(fits.to_bytes().expect("it fits").len(), 65_532);
    let mut buffer = bytes::BytesMut::from(&b"before"[..]);
    let message = asap::Message::Cookie { cookie: &long };
    let error = message.encode(&mut buffer).expect_err("65,536 bytes");
    assert_eq!(error.length, 65_536);
    assert_eq!(message.to_bytes().expect_err("65,536 bytes"), error);
    assert_eq!(&buffer[..], b"before");
}
