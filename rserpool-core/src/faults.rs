//! What a machine answers to an ASAP message that it cannot use.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::wire::asap::{Message, message_type};
use crate::wire::{Cause, CauseCode, DecodeError, Decoded, List, Unrecognized};

/// The ASAP_ERROR for bytes that are no message, where the rules ask for one (RFC 5352 §2.2.14). An error is never answered
/// with an error.
pub(crate) fn answer(bytes: &[u8], error: &DecodeError) -> Option<Bytes> {
    if bytes.first() == Some(&message_type::ERROR) {
        return None;
    }
    let cause = Cause {
        code: error.cause()?,
        info: error.offender(bytes),
    };
    asap_error(&[cause])
}

/// The ASAP_ERROR for parameters that were skipped and are to be reported (RFC 5354 §3, upper bits 11), one cause each.
pub(crate) fn report(bytes: &[u8], decoded: &Decoded<Message<'_>>) -> Option<Bytes> {
    if matches!(decoded.message, Message::Error { .. }) {
        return None;
    }
    asap_error(&unrecognized(bytes, &decoded.unrecognized))
}

/// The causes for parameters of `bytes` that were skipped and are to be reported, in either protocol.
pub(crate) fn unrecognized<'a>(bytes: &'a [u8], skipped: &Unrecognized) -> Vec<Cause<'a>> {
    skipped
        .spans()
        .iter()
        .filter(|span| span.length <= DecodeError::ECHO_CAP)
        .map(|span| Cause {
            code: CauseCode::UNRECOGNIZED_PARAMETER,
            info: span.of(bytes),
        })
        .collect()
}

fn asap_error(causes: &[Cause<'_>]) -> Option<Bytes> {
    if causes.is_empty() {
        return None;
    }
    Message::Error {
        causes: List::Slice(causes),
    }
    .to_bytes()
    .ok()
}

/// The codes of `causes`, in their order; at most `CAP` of them.
pub(crate) fn codes(causes: List<'_, Cause<'_>>) -> Vec<CauseCode> {
    const CAP: usize = 16;
    causes.iter().take(CAP).map(|cause| cause.code).collect()
}
