//! An inbox that is given fragments by a script: for each a byte of flags, the lengths of its control messages and of its bytes,
//! and both. Where the flags say so, the control message is a good one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rserpool_sctp::{Fragment, Inbox, Received, cmsg, notification};

const MAX: usize = 4096;

/// A control message with a ReceiveInfo of the association and the stream.
fn control(association: u8, stream: u8) -> Vec<u8> {
    let mut bytes = 44_usize.to_ne_bytes().to_vec();
    bytes.extend(132_i32.to_ne_bytes());
    bytes.extend(3_i32.to_ne_bytes());
    bytes.extend([stream, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11]);
    bytes.extend([0; 12]);
    bytes.extend([association, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fuzz_target!(|script: &[u8]| {
    // By themselves, at first.
    let _ = cmsg::receive_info(script);
    let _ = notification::decode(script);
    let mut inbox = Inbox::new(MAX);
    let mut rest = script;
    while let [flags, first, second, tail @ ..] = rest {
        let (head, tail) = tail.split_at(usize::from(*first).min(tail.len()));
        let (bytes, tail) = tail.split_at(usize::from(*second).min(tail.len()));
        rest = tail;
        let good = control(flags >> 5, flags >> 4 & 1);
        let aborted = inbox.accept(Fragment {
            bytes,
            control: if flags & 4 != 0 { &good } else { head },
            name: head,
            notification: flags & 1 != 0,
            end: flags & 2 != 0,
        });
        assert!(aborted.is_none() || inbox.counters().oversized > 0);
        while let Some(received) = inbox.next() {
            if let Received::Message { bytes, .. } = received {
                assert!(bytes.len() <= MAX);
            }
        }
    }
});
