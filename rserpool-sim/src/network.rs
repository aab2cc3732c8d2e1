//! The network as a value: what happens between two hosts.

use alloc::collections::BTreeSet;

use core::time::Duration;

use crate::NodeId;

/// The properties of every link. Associations are reliable and ordered, as SCTP makes them: what is lost there costs time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Network {
    /// How long anything takes from one host to another (1 ms).
    pub latency: Duration,
    /// What is added to it at random, up to this (0).
    pub jitter: Duration,
    /// How many packets of 1,000 are lost: a message of an association then takes a retransmission time longer, a datagram
    /// does not come (0).
    pub loss: u16,
    /// How many datagrams of 1,000 come twice (0).
    pub duplication: u16,
    /// How many attempts of 1,000 to open an association are refused (0).
    pub refusal: u16,
    /// How long a retransmission takes (1 s, SCTP's RTO.Min).
    pub retransmission: Duration,
    /// How long it takes until the silence of a peer is noticed (3 s).
    pub detection: Duration,
    /// What is added to it at random, up to this, at each end (0).
    pub detection_spread: Duration,
    /// How long an unanswered attempt to open an association takes (8 s).
    pub connect_timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0,
            duplication: 0,
            refusal: 0,
            retransmission: Duration::from_secs(1),
            detection: Duration::from_secs(3),
            detection_spread: Duration::ZERO,
            connect_timeout: Duration::from_secs(8),
        }
    }
}

impl Network {
    /// Whether messages may take much longer than usual, or not come at all.
    pub(crate) fn is_rough(&self) -> bool {
        const USUAL: Duration = Duration::from_millis(100);
        self.loss > 0 || self.refusal > 0 || self.latency + self.jitter > USUAL
    }
}

/// Names a cut, to heal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutId(pub(crate) u64);

/// Nothing gets from one set of hosts to another.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Whose packets are lost.
    pub from: BTreeSet<NodeId>,
    /// On the way to whom.
    pub to: BTreeSet<NodeId>,
    /// Whether those of the other direction are lost, too.
    pub both_ways: bool,
}

impl Cut {
    /// Whether packets from one host to the other are lost.
    pub fn blocks(&self, from: NodeId, to: NodeId) -> bool {
        let one = self.from.contains(&from) && self.to.contains(&to);
        one || (self.both_ways && self.from.contains(&to) && self.to.contains(&from))
    }
}
