//! The network as a value: how long things take between two hosts.

use core::time::Duration;

/// The properties of every link. Associations are reliable and ordered, as SCTP makes them; what is left is time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Network {
    /// How long anything takes from one host to another (1 ms).
    pub latency: Duration,
    /// How long it takes until the silence of a peer is noticed (3 s).
    pub detection: Duration,
    /// How long an unanswered attempt to open an association takes (8 s).
    pub connect_timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            detection: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(8),
        }
    }
}
