//! The driver over the SCTP of a Linux kernel. Where the kernel has none: the error that says so, unless
//! `RSERPOOL_KERNEL_SCTP=required` is set.

mod flow;
mod handles;
mod life;
mod pool;

use core::net::IpAddr;
use core::sync::atomic::{AtomicU16, Ordering};
use std::io;

use super::probe::{Pair, Peer, Seen};
use crate::runtime::driver::{Options, TransportKind};

/// Whether there is something to test here.
fn has_sctp() -> bool {
    match kernel(Options::user(), &[]).bind() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
            assert!(!is_required(), "{error}");
            false
        }
    }
}

/// Whether this is the lab, which has SCTP, and where its network may be changed.
fn is_required() -> bool {
    std::env::var("RSERPOOL_KERNEL_SCTP").is_ok_and(|it| it == "required")
}

/// With kernel SCTP, at these addresses.
fn kernel(mut options: Options, local: &[IpAddr]) -> Options {
    options.transport = TransportKind::Kernel;
    options.local = local.to_vec();
    options
}

/// An SCTP port for each test.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(5000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Two ends with an association; the called one has room for so many events.
async fn pair(local: &[IpAddr], event_capacity: usize) -> Pair {
    let mut options = kernel(Options::element(port()), local);
    options.event_capacity = event_capacity;
    Pair::of(&options, &kernel(Options::user(), local)).await
}

async fn message(peer: &mut Peer) -> bytes::Bytes {
    match peer.next().await {
        Seen::Message(_, _, _, bytes) => bytes,
        other => panic!("no message but {other:?}"),
    }
}
