//! ASAP in a byte stream: however it is cut, the same messages come out, and less than one is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rserpool_core::wire::{Deframer, MAX_MESSAGE};

/// What comes out, and whether the stream is readable to its end.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut deframer = Deframer::default();
    let mut messages = Vec::new();
    for piece in pieces {
        deframer.push(piece);
        loop {
            match deframer.poll_message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
        assert!(deframer.pending().len() <= MAX_MESSAGE);
    }
    (messages, true)
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, stream)) = input.split_first() else {
        return;
    };
    let whole = read(core::iter::once(stream));
    let cut = read(stream.chunks(usize::from(size).max(1)));
    assert_eq!(whole, cut);
    let bytes: usize = whole.0.iter().map(Vec::len).sum();
    assert!(bytes <= stream.len());
    for message in &whole.0 {
        rserpool_fuzz::read(message, rserpool_core::wire::asap::decode(message));
    }
});
