//! A pool element under any sequence of associations, messages, time, failures and commands.
#![no_main]

use core::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use rserpool_core::element::{Config, PoolElement};
use rserpool_core::wire::{Policy, Transport, TransportBuf};
use rserpool_core::{AssocId, PeId, PoolHandle, Ppid};

fuzz_target!(|script: &[u8]| {
    let address = SocketAddr::from(([10, 0, 0, 9], 7));
    let transport = TransportBuf::from(&Transport::Udp {
        port: address.port(),
        address: address.ip(),
    });
    let mut config = Config::new(PoolHandle::from("EchoPool"), transport, Policy::RoundRobin);
    config.pe_id = Some(PeId(1));
    config.hunt.registrars = (1..5)
        .map(|n| SocketAddr::from(([10, 0, 0, n], 3863)))
        .collect();
    let element = PoolElement::new(config, [1; 32]);
    rserpool_fuzz::run(
        element,
        script,
        |element, now, code, argument| {
            let association = AssocId(u64::from(argument % 16));
            match code % 6 {
                0 => element.register(now),
                1 => element.deregister(now),
                2 => element.set_policy(
                    now,
                    Policy::LeastUsed {
                        load: argument.into(),
                    },
                ),
                3 => {
                    let _ = element.send(association, Ppid(0), 0, bytes::Bytes::from_static(b"x"));
                }
                4 => {
                    let _ = element.send_cookie(association, &[argument]);
                }
                _ => element.close(association),
            }
        },
        |_| {},
    );
});
