//! How long a registrar that starts takes to fetch the handle table of its mentor, and how many bytes that is.
//!
//! `cargo run --release -p rserpool-sim --example synchronise` prints a row for each number of elements. The two machines are
//! carried by a link in memory without latency, so that the time is theirs alone.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant as Clock;

use rserpool_core::registrar::{Config, Registrar};
use rserpool_core::wire::asap::Message;
use rserpool_core::wire::{List, Policy, PoolElement, SctpTransport, Transport, TransportUse};
use rserpool_core::{
    ASAP_PORT, Action, AssocId, Dialect, ENRP_PORT, Input, Instant, Machine, PeId, Ppid, ServerId,
};

const PER_ASSOCIATION: u32 = 1000;

fn host(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], ASAP_PORT))
}

fn registrar(number: u32, dialect: Dialect, peers: Vec<SocketAddr>) -> Registrar {
    let mut config = Config::for_dialect(dialect);
    config.server_id = Some(ServerId(number));
    config.enrp_addresses = vec![SocketAddr::new(host(number).ip(), ENRP_PORT)];
    config.peers = peers;
    config.limits.elements = 1 << 21;
    config.limits.pools = 1 << 16;
    // This is about tables only.
    config.keep_alive_interval = Duration::ZERO;
    Registrar::new(config, Instant::EPOCH, [1; 32])
}

/// Registers `count` elements, 1,000 on each association and as many in each pool.
fn fill(registrar: &mut Registrar, count: u32) {
    for id in 0..count {
        let group = id / PER_ASSOCIATION;
        let association = AssocId(u64::from(group) + 1000);
        let address = host(group + 1000);
        if id % PER_ASSOCIATION == 0 {
            let remote = &[address];
            registrar.handle_input(
                Instant::EPOCH,
                Input::Connected {
                    association,
                    remote,
                },
            );
        }
        let pool = format!("pool-{group:06}");
        let addresses = [address.ip()];
        let message = Message::Registration {
            pool_handle: pool.as_bytes(),
            pool_element: PoolElement {
                id: PeId(id + 1),
                home_id: ServerId(0),
                life: 3_600_000,
                user_transport: Transport::Sctp(SctpTransport {
                    port: 7,
                    transport_use: TransportUse::DATA_ONLY,
                    addresses: List::Slice(&addresses),
                }),
                policy: Policy::LeastUsed { load: id },
                asap_transport: None,
            },
        };
        let bytes = message.to_bytes().expect("it is short");
        registrar.handle_input(
            Instant::EPOCH,
            Input::Message {
                association,
                ppid: Ppid::ASAP,
                stream: 0,
                bytes: &bytes,
            },
        );
        while registrar.poll_action().is_some() {}
    }
}

/// Carries what the two say to each other, until neither has anything to say: bytes and messages.
fn carry(mentor: &mut Registrar, newcomer: &mut Registrar) -> (usize, usize) {
    let association = AssocId(1);
    let (mut bytes_carried, mut messages) = (0, 0);
    loop {
        let mut quiet = true;
        for towards_mentor in [true, false] {
            let (from, to) = if towards_mentor {
                (&mut *newcomer, &mut *mentor)
            } else {
                (&mut *mentor, &mut *newcomer)
            };
            while let Some(action) = from.poll_action() {
                let Action::Send { ppid, bytes, .. } = action else {
                    continue;
                };
                quiet = false;
                bytes_carried += bytes.len();
                messages += 1;
                let message = Input::Message {
                    association,
                    ppid,
                    stream: 0,
                    bytes: &bytes,
                };
                to.handle_input(Instant::EPOCH, message);
            }
        }
        if quiet {
            return (bytes_carried, messages);
        }
    }
}

fn synchronise(dialect: Dialect, count: u32) {
    let mut mentor = registrar(1, dialect, Vec::new());
    fill(&mut mentor, count);
    let address = SocketAddr::new(host(1).ip(), ENRP_PORT);
    let mut newcomer = registrar(2, dialect, vec![address]);
    let begin = Clock::now();
    let association = AssocId(1);
    for (machine, other) in [(&mut mentor, 2), (&mut newcomer, 1)] {
        let remote = &[SocketAddr::new(host(other).ip(), ENRP_PORT)];
        machine.handle_input(
            Instant::EPOCH,
            Input::Connected {
                association,
                remote,
            },
        );
    }
    let (bytes, messages) = carry(&mut mentor, &mut newcomer);
    let time = begin.elapsed();
    assert_eq!(newcomer.handlespace().len(), mentor.handlespace().len());
    assert!(newcomer.is_running());
    println!(
        "{dialect:?} {count:>9} elements {:>9.1} ms {:>7.2} µs each {bytes:>11} bytes {messages:>6} messages",
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() * 1e6 / f64::from(count),
    );
}

fn main() {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        for count in [1_000, 10_000, 100_000, 200_000] {
            synchronise(dialect, count);
        }
    }
}
