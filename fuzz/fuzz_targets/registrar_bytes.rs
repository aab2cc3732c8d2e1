//! A registrar under any sequence of associations, messages, time and failures.
#![no_main]

use core::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use rserpool_core::registrar::{Config, Registrar};
use rserpool_core::{Instant, ServerId};

fuzz_target!(|script: &[u8]| {
    let mut config = Config::default();
    config.server_id = Some(ServerId(1));
    config.asap_addresses = vec![SocketAddr::from(([10, 0, 0, 9], 3863))];
    config.enrp_addresses = vec![SocketAddr::from(([10, 0, 0, 9], 9901))];
    config.peers = vec![SocketAddr::from(([10, 0, 0, 1], 9901))];
    config.announce = true;
    config.enrp_announce = true;
    config.max_peers = 8;
    config.limits.elements = 64;
    config.limits.pools = 16;
    let registrar = Registrar::new(config, Instant::EPOCH, [1; 32]);
    rserpool_fuzz::run(
        registrar,
        script,
        |_, _, _, _| {},
        |registrar| {
            let handlespace = registrar.handlespace();
            assert!(handlespace.len() <= 64 && handlespace.pool_count() <= 16);
            assert!(registrar.peers().count() <= 8);
            for owner in handlespace.owners() {
                assert_eq!(
                    handlespace.checksum(owner),
                    handlespace.recompute_checksum(owner)
                );
            }
        },
    );
});
