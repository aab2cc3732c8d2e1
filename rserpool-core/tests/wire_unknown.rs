//! Parameters and messages of unknown types in otherwise valid messages (RFC 5354 §3, §4).

mod wire_common;

use core::fmt::Debug;

use proptest::prelude::*;
use rserpool_core::wire::{CauseCode, DecodeError, Decoded, Unrecognized, asap, enrp};
use wire_common::arbitrary::{Scope, asap_message, enrp_message};
use wire_common::{message, param};

/// Types that no table has.
fn unknown_kind() -> impl Strategy<Value = u16> {
    prop_oneof![
        Just(0_u16),
        0x0011_u16..0x4000,
        0x4000_u16..0x8000,
        0x8000_u16..0xc000,
        0xc000_u16..=0xffff,
    ]
    .prop_filter("the item count is known", |kind| *kind != 0x803f)
}

/// What is at least before the first parameter in a message of this type.
fn fixed_fields(enrp: bool, kind: u8) -> usize {
    match (enrp, kind) {
        (true, 4 | 7..=9) => 16,
        (true, _) => 12,
        (false, 7 | 0x0a) => 8,
        (false, _) => 4,
    }
}

/// `bytes` with `unknown` before its first parameter or after its last.
fn insert(bytes: &[u8], start: usize, first: bool, unknown: &[u8]) -> (Vec<u8>, usize) {
    let at = if first { start } else { bytes.len() };
    let value = [&bytes[4..at], unknown, &bytes[at..]].concat();
    (message(bytes[0], bytes[1], &value), at)
}

/// What becomes of a message that was `valid` with an unknown parameter at `at`.
fn check<M: PartialEq + Debug>(
    (bytes, at): &(Vec<u8>, usize),
    (kind, value): (u16, &[u8]),
    valid: &M,
    result: Result<Decoded<M>, DecodeError>,
) -> Result<(), TestCaseError> {
    match (kind >> 14, result) {
        (0b10, Ok(decoded)) => {
            prop_assert_eq!(&decoded.message, valid);
            prop_assert!(decoded.unrecognized.spans().is_empty());
        }
        (0b11, Ok(decoded)) => {
            prop_assert_eq!(&decoded.message, valid);
            let spans = decoded.unrecognized.spans();
            prop_assert_eq!(spans.len(), 1);
            prop_assert_eq!((spans[0].offset, spans[0].length), (*at, 4 + value.len()));
        }
        (bits @ 0b00..=0b01, Err(error)) => {
            prop_assert_eq!(error.offset(), *at);
            let report = (bits == 0b01).then_some(CauseCode::UNRECOGNIZED_PARAMETER);
            prop_assert_eq!(error.cause(), report);
            prop_assert_eq!(
                error.offender(bytes),
                &param(kind, value)[..4 + value.len()]
            );
        }
        (_, result) => prop_assert!(false, "{:#06x}: {:?}", kind, result),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_unknown_parameter_in_an_asap_message(
        valid in asap_message(Scope::All), kind in unknown_kind(), first in any::<bool>(),
        value in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = valid.to_bytes().expect("it fits");
        let with = insert(&bytes, fixed_fields(false, bytes[0]), first, &param(kind, &value));
        check(&with, (kind, &value), &valid, asap::decode(&with.0))?;
    }

    #[test]
    fn an_unknown_parameter_in_an_enrp_message(
        valid in enrp_message(Scope::All), kind in unknown_kind(), first in any::<bool>(),
        value in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = valid.to_bytes().expect("it fits");
        let with = insert(&bytes, fixed_fields(true, bytes[0]), first, &param(kind, &value));
        check(&with, (kind, &value), &valid, enrp::decode(&with.0))?;
    }
}

#[test]
fn unknown_messages_by_their_upper_bits() {
    for kind in 0..=u8::MAX {
        let bytes = message(kind, 0, &[0; 12]);
        let report = (kind >> 6 == 0b01).then_some(CauseCode::UNRECOGNIZED_MESSAGE);
        if !(0x01..=0x0e).contains(&kind) {
            let error = asap::decode(&bytes).expect_err("an unknown type");
            assert_eq!(error.cause(), report, "{kind:#04x}");
            assert_eq!(error.offender(&bytes), bytes, "{kind:#04x}");
        }
        if !(0x01..=0x0a).contains(&kind) {
            let error = enrp::decode(&bytes).expect_err("an unknown type");
            assert_eq!(error.cause(), report, "{kind:#04x}");
            assert_eq!(error.offender(&bytes), bytes, "{kind:#04x}");
        }
    }
}

#[test]
fn of_many_parameters_to_report_some_are_reported() {
    let unknown = param(0xc0aa, b"");
    let mut value = param(9, b"pool");
    value.extend(unknown.repeat(100));
    let bytes = message(5, 0, &value);
    let decoded = asap::decode(&bytes).expect("it is valid");
    let spans = decoded.unrecognized.spans();
    assert_eq!(spans.len(), Unrecognized::CAP);
    assert!(spans.iter().all(|span| span.of(&bytes) == unknown));
}

#[test]
fn a_broken_registration_still_says_whose_it_is() {
    let mut element = param(0x0a, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9]);
    element.extend(param(0x4011, b"later"));
    let bytes = message(1, 0, &[param(9, b"pool"), element].concat());
    assert!(asap::decode(&bytes).is_err());
    let (pool, id) = asap::salvage_registration(&bytes).expect("both are there");
    assert_eq!((pool, id.0), (&b"pool"[..], 7));
    assert_eq!(
        asap::salvage_registration(&message(1, 0, &param(9, b"pool"))),
        None
    );
    assert_eq!(
        asap::salvage_registration(&message(2, 0, &param(9, b"pool"))),
        None
    );
}
