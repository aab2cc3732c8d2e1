//! A pool user under any sequence of associations, messages, time, failures and commands.
#![no_main]

use core::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use rserpool_core::user::{Carrier, Config, Failover, PoolUser, SessionId, SessionOptions};
use rserpool_core::{End, PeId, PoolHandle, Ppid};

fuzz_target!(|script: &[u8]| {
    let mut config = Config::default();
    config.max_sessions = 8;
    config.max_requests = 4;
    config.hunt.registrars = (1..5)
        .map(|n| SocketAddr::from(([10, 0, 0, n], 3863)))
        .collect();
    let user = PoolUser::new(config, [1; 32]);
    rserpool_fuzz::run(
        user,
        script,
        |user, now, code, argument| {
            let pool = PoolHandle::from(["EchoPool", "a", "b"][usize::from(argument % 3)]);
            let session = SessionId(u64::from(argument % 16));
            match code % 12 {
                0 => user.resolve(now, &pool),
                1 => {
                    let mut options = SessionOptions::default();
                    options.resend = argument & 16 == 0;
                    options.failover = [Failover::Automatic, Failover::OnDemand, Failover::Never]
                        [usize::from(argument / 32 % 3)];
                    options.carrier = [Carrier::Sctp, Carrier::Tcp, Carrier::Udp, Carrier::Any]
                        [usize::from(argument / 64)];
                    user.open_with(now, &pool, options);
                }
                2 => {
                    // A session that is not there is an error of its own.
                    let _ = user.send(session, Ppid(0), 0, bytes::Bytes::from_static(b"x"));
                }
                3 => user.close(session),
                4 => user.purge(&pool),
                5 => user.fail_over(now, session),
                6 => {
                    let _ = user.subscribe(now, &pool);
                }
                7 => user.unsubscribe(&pool),
                8 => {
                    let _ = user.open_all(now, &pool, None);
                }
                9 => user.report_unreachable(&pool, PeId(argument.into())),
                10 => {
                    user.confirm_connection(now, session, PeId(argument.into()));
                }
                _ => user.end_connection(now, session, PeId(argument.into()), End::Lost, false),
            }
        },
        |_| {},
    );
});
