//! Graceful close (RFC 9260 §9.2).
//!
//! Gaps in sctp-proto 0.10.8: SHUTDOWN goes out while data are queued (they are lost), it carries our
//! own TSN in place of the peer's, it is repeated for ever, and the side that began never ends. None
//! of the three SHUTDOWN chunks reaches it; the states are in `association`, the timers here. Can go
//! when upstream drains first and implements §9.2.

use core::time::Duration;
use std::time::Instant;

use crate::config::Config;

/// A packet that is repeated until it is answered: INIT and COOKIE ECHO (T1), SHUTDOWN and SHUTDOWN
/// ACK (T2). Doubles its interval up to `rto_max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    /// When to repeat next.
    pub(crate) deadline: Instant,
    interval: Duration,
    repetitions: u32,
}

impl Repeat {
    /// Just sent for the first time.
    pub(crate) fn start(now: Instant, interval: Duration) -> Repeat {
        Repeat {
            deadline: now + interval,
            interval,
            repetitions: 0,
        }
    }

    /// At the deadline: whether to repeat once more. False once `limit` repetitions went unanswered.
    pub(crate) fn again(&mut self, now: Instant, limit: u32, config: &Config) -> bool {
        self.repetitions += 1;
        self.interval = (self.interval * 2).min(config.rto_max);
        self.deadline = now + self.interval;
        self.repetitions <= limit
    }
}

/// T5-shutdown-guard, but with progress taken into account: a slow receiver is not a dead one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// When patience ends.
    pub(crate) deadline: Instant,
}

impl Guard {
    /// Begins, or begins anew after progress.
    pub(crate) fn start(now: Instant, config: &Config) -> Guard {
        Guard {
            deadline: now + config.t5_shutdown_guard,
        }
    }
}
