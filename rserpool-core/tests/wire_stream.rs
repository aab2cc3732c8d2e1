//! Messages in a byte stream, however it is cut (RFC 5352 §3.3, RFC 5354 §4).

use bytes::BytesMut;
use proptest::prelude::*;
use rserpool_core::wire::{Deframer, FramingError, MAX_MESSAGE, frame};

/// A message without padding, whose length field says what it is.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4..64_usize, 4..=MAX_MESSAGE];
    (any::<u8>(), length).prop_map(|(seed, length)| {
        let mut bytes: Vec<_> = (0..length).map(|n| seed ^ n.to_le_bytes()[0]).collect();
        let field = u16::try_from(length).expect("it has 16 bits");
        bytes[2..4].copy_from_slice(&field.to_be_bytes());
        bytes
    })
}

/// All that comes out while a stream is put in, cut at `cuts`; and what is left.
fn read(stream: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut deframer = Deframer::default();
    let mut messages = Vec::new();
    let mut from = 0;
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.push(stream.len());
    cuts.sort_unstable();
    for to in cuts {
        deframer.push(&stream[from..to]);
        while let Some(message) = deframer.poll_message().expect("no length is too short") {
            messages.push(message.to_vec());
        }
        assert!(deframer.pending().len() <= MAX_MESSAGE);
        from = to;
    }
    (messages, deframer.pending().to_vec())
}

proptest! {
    #[test]
    fn what_is_framed_comes_out_whole_and_in_order(
        sent in prop::collection::vec(message(), 0..5),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        rest in 0..4_usize,
    ) {
        let mut stream = BytesMut::new();
        for message in &sent {
            frame(&mut stream, message);
        }
        stream.extend_from_slice(&[1, 0, 0xff][..rest.min(3)]);
        let (messages, left) = read(&stream, &cuts);
        prop_assert_eq!(left.len(), rest.min(3));
        prop_assert_eq!(messages.len(), sent.len());
        for (got, sent) in messages.iter().zip(&sent) {
            prop_assert_eq!(got.len(), sent.len().next_multiple_of(4));
            prop_assert_eq!(&got[..sent.len()], &sent[..]);
            prop_assert!(got[sent.len()..].iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn a_length_below_that_of_the_header_ends_the_stream() {
    for length in 0..4 {
        let mut deframer = Deframer::default();
        deframer.push(&[5, 0, 0, 4, 5, 0, 0]);
        assert_eq!(
            deframer.poll_message(),
            Ok(Some([5, 0, 0, 4][..].to_vec().into()))
        );
        assert_eq!(deframer.poll_message(), Ok(None));
        deframer.push(&[length]);
        assert_eq!(deframer.poll_message(), Err(FramingError));
        deframer.push(&[0; 8]);
        assert_eq!(deframer.poll_message(), Err(FramingError), "for ever");
    }
}
