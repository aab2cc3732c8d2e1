//! Whatever decodes, of either protocol, can be encoded and says the same then.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rserpool_core::wire::{MAX_MESSAGE, asap, enrp};

fuzz_target!(|bytes: &[u8]| {
    // With its padding, the longest message would be longer than the length field can say.
    if bytes.len() > MAX_MESSAGE - 3 {
        return;
    }
    if let Ok(decoded) = asap::decode(bytes) {
        let again = decoded.message.to_bytes().expect("no longer than it was");
        let back = asap::decode(&again).expect("its own bytes");
        assert_eq!(back.message, decoded.message);
        assert_eq!(back.message.to_bytes().as_ref(), Ok(&again));
    }
    if let Ok(decoded) = enrp::decode(bytes) {
        let again = decoded.message.to_bytes().expect("no longer than it was");
        let back = enrp::decode(&again).expect("its own bytes");
        assert_eq!(back.message, decoded.message);
        assert_eq!(back.message.to_bytes().as_ref(), Ok(&again));
    }
});
