//! What it costs to decode and to encode the two messages that a registrar meets most.
//!
//! A decode benchmark reads every field, all lists to their ends, so that no work is put off; an encode benchmark makes
//! the message in a buffer of its own, or in one that is used again and again.

use core::hint::black_box;

use bytes::BytesMut;
use divan::Bencher;

#[path = "../examples/common/messages.rs"]
mod messages;

fn main() {
    divan::main();
}

fn decode(bencher: Bencher<'_, '_>, bytes: &[u8]) {
    bencher.bench_local(|| messages::read(black_box(bytes)));
}

fn encode(bencher: Bencher<'_, '_>, message: &messages::Message<'_>) {
    bencher.bench_local(|| black_box(message).to_bytes().expect("it fits"));
}

fn encode_into(bencher: Bencher<'_, '_>, message: &messages::Message<'_>) {
    let mut buffer = BytesMut::with_capacity(2048);
    bencher.bench_local(move || {
        buffer.clear();
        black_box(message).encode(&mut buffer).expect("it fits");
        black_box(&buffer);
    });
}

#[divan::bench]
fn decode_registration(bencher: Bencher<'_, '_>) {
    decode(
        bencher,
        &messages::registration().to_bytes().expect("it fits"),
    );
}

#[divan::bench]
fn encode_registration(bencher: Bencher<'_, '_>) {
    encode(bencher, &messages::registration());
}

#[divan::bench]
fn encode_registration_into(bencher: Bencher<'_, '_>) {
    encode_into(bencher, &messages::registration());
}

#[divan::bench]
fn decode_response(bencher: Bencher<'_, '_>) {
    let elements = messages::elements();
    decode(
        bencher,
        &messages::response(&elements).to_bytes().expect("it fits"),
    );
}

#[divan::bench]
fn encode_response(bencher: Bencher<'_, '_>) {
    encode(bencher, &messages::response(&messages::elements()));
}

#[divan::bench]
fn encode_response_into(bencher: Bencher<'_, '_>) {
    encode_into(bencher, &messages::response(&messages::elements()));
}
