//! One codec operation, many times, to count its instructions: `benches/instructions` runs this under callgrind.
//!
//! Usage: `codec_instructions OPERATION COUNT`; the operations are the names of the functions below.

use core::hint::black_box;
use std::process::ExitCode;

use bytes::BytesMut;
use messages::Message;

#[path = "common/messages.rs"]
mod messages;

#[inline(never)]
fn counted_decode(bytes: &[u8]) {
    messages::read(bytes);
}

#[inline(never)]
fn counted_encode(message: &Message<'_>) {
    black_box(message.to_bytes().expect("it fits"));
}

#[inline(never)]
fn counted_encode_into(message: &Message<'_>, buffer: &mut BytesMut) {
    message.encode(buffer).expect("it fits");
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().unwrap_or_default();
    let count: u32 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let elements = messages::elements();
    let message = match operation.split_once('_') {
        Some((_, "registration")) => messages::registration(),
        Some((_, "response")) => messages::response(&elements),
        _ => return ExitCode::FAILURE,
    };
    let bytes = message.to_bytes().expect("it fits");
    let mut buffer = BytesMut::with_capacity(2048);
    for _ in 0..count {
        match operation.split_once('_') {
            Some(("decode", _)) => counted_decode(black_box(&bytes)),
            Some(("encode", _)) => counted_encode(black_box(&message)),
            Some(("into", _)) => {
                buffer.clear();
                counted_encode_into(black_box(&message), black_box(&mut buffer));
            }
            _ => return ExitCode::FAILURE,
        }
    }
    ExitCode::SUCCESS
}
