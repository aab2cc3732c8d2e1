//! Decodes any bytes as an ASAP message and reads all that comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rserpool_core::wire::{DecodeError, asap};

fuzz_target!(|bytes: &[u8]| {
    match asap::decode(bytes) {
        Ok(decoded) => {
            // The text of a value has every field of it and every item of its lists.
            let text = format!("{:?}", decoded.message);
            assert!(!text.is_empty());
            assert!(decoded.trailing < bytes.len());
            for span in decoded.unrecognized.spans() {
                assert_eq!(span.of(bytes).len(), span.length);
                assert!(bytes[span.offset] >= 0xc0);
            }
        }
        Err(error) => {
            assert!(error.offset() <= bytes.len());
            assert!(error.offender(bytes).len() <= DecodeError::ECHO_CAP);
        }
    }
    if let Some((pool_handle, _)) = asap::salvage_registration(bytes) {
        assert!(!pool_handle.is_empty());
    }
});
