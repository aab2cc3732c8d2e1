//! Is the peer alive? (RFC 9260 §8.1, §8.3)
//!
//! Gaps in sctp-proto 0.10.8: it sends no HEARTBEAT, drops packets with HEARTBEAT ACK, and repeats DATA
//! for ever, so that a dead peer is never noticed, idle or not. Here a heartbeat goes out whenever the
//! peer has proved nothing for an interval. Proof is an answered heartbeat or an advancing SACK, that
//! is, only what shows that our packets reach the peer. Can go when upstream has §8.3 and an
//! association error counter.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::Instant;

use crate::config::Config;
use crate::packet::read_u16;

/// Heartbeat Information parameter.
const HEARTBEAT_INFO: u16 = 1;

/// What to do at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Not yet.
    Nothing,
    /// Send a heartbeat with this nonce.
    Send(u64),
    /// The error counter is over Association.Max.Retrans.
    Dead,
}

/// The heartbeat of one association.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// When to look next.
    pub(crate) deadline: Instant,
    proved: Instant,
    errors: u32,
    outstanding: VecDeque<(u64, Instant)>,
    smoothed: Option<(Duration, Duration)>,
    rto: Duration,
}

impl Heartbeat {
    /// The handshake just proved the path.
    pub(crate) fn new(now: Instant, config: &Config) -> Heartbeat {
        Heartbeat {
            deadline: now + config.heartbeat_interval,
            proved: now,
            errors: 0,
            outstanding: VecDeque::new(),
            smoothed: None,
            rto: config.rto_initial,
        }
    }

    /// The peer acknowledged new data. Cheap: the deadline is looked at only when it comes.
    pub(crate) fn on_progress(&mut self, now: Instant) {
        self.proved = now;
        self.errors = 0;
        self.outstanding.clear();
    }

    /// A HEARTBEAT ACK came back.
    pub(crate) fn on_ack(&mut self, now: Instant, info: &[u8], config: &Config) {
        let Some(nonce) = decode(info) else { return };
        let Some(sent) = self
            .outstanding
            .iter()
            .find(|(n, _)| *n == nonce)
            .map(|(_, at)| *at)
        else {
            return;
        };
        self.measure(now.saturating_duration_since(sent), config);
        self.on_progress(now);
    }

    /// At or after the deadline. `nonce` is used if a heartbeat is to be sent.
    pub(crate) fn on_deadline(&mut self, now: Instant, nonce: u64, config: &Config) -> Due {
        if now < self.deadline {
            return Due::Nothing;
        }
        if self.outstanding.is_empty() {
            let due = self.proved + config.heartbeat_interval;
            if now < due {
                self.deadline = due;
                return Due::Nothing;
            }
        } else {
            self.errors += 1;
            if self.errors > config.association_max_retransmissions {
                return Due::Dead;
            }
            self.rto = (self.rto * 2).min(config.rto_max);
        }
        if self.outstanding.len() > 8 {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((nonce, now));
        self.deadline = now + self.rto;
        Due::Send(nonce)
    }

    /// Present retransmission time-out.
    pub(crate) fn rto(&self) -> Duration {
        self.rto
    }

    /// RFC 9260 §6.3.1.
    fn measure(&mut self, rtt: Duration, config: &Config) {
        let (srtt, rttvar) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((srtt, rttvar)) => ((srtt * 7 + rtt) / 8, (rttvar * 3 + srtt.abs_diff(rtt)) / 4),
        };
        self.smoothed = Some((srtt, rttvar));
        self.rto = (srtt + rttvar * 4).clamp(config.rto_min, config.rto_max);
    }
}

/// Value of a HEARTBEAT chunk.
pub(crate) fn encode(nonce: u64) -> Vec<u8> {
    super::params::encode(HEARTBEAT_INFO, &[&nonce.to_be_bytes()])
}

fn decode(value: &[u8]) -> Option<u64> {
    if read_u16(value, 0)? != HEARTBEAT_INFO || read_u16(value, 2)? != 12 {
        return None;
    }
    Some(u64::from_be_bytes(*value.get(4..)?.first_chunk()?))
}
