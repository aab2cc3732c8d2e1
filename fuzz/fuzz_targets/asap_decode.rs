//! Decodes any bytes as an ASAP message and reads all that comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rserpool_core::wire::asap;

fuzz_target!(|bytes: &[u8]| {
    rserpool_fuzz::read(bytes, asap::decode(bytes));
    if let Some((pool_handle, _)) = asap::salvage_registration(bytes) {
        assert!(!pool_handle.is_empty());
    }
});
