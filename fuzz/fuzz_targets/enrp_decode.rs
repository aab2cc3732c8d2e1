//! Decodes any bytes as an ENRP message and reads all that comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rserpool_core::wire::enrp;

fuzz_target!(|bytes: &[u8]| rserpool_fuzz::read(bytes, enrp::decode(bytes)));
