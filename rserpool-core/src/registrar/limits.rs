//! How often a host may ask for something: token buckets.
//!
//! They belong to the host and not to its association, so that whoever comes back on a new one finds the bucket as it was left.
//! A bucket is the instant at which it is full again. A host whose buckets are all full is as good as unknown, and is forgotten
//! when another one comes. Where there is no room, the hosts that are unknown share buckets: they may be refused, and those
//! that are known are not.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use hashbrown::HashMap;

use super::{Rate, Rates, Registrar};
use crate::ids::AssocId;
use crate::rng::HashKey;
use crate::time::Instant;
use crate::timers::Timers;

/// What a host can be kept from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Budget {
    Registrations,
    Resolutions,
    Reports,
    Peers,
    Errors,
}

/// The buckets of one host, by [`Budget`].
type Buckets = [Instant; 5];

/// All buckets.
#[derive(Debug)]
pub(super) struct Hosts {
    buckets: HashMap<IpAddr, Buckets, HashKey>,
    /// When each of them may be forgotten; not before.
    full: Timers<IpAddr>,
    strangers: Buckets,
    announcements: Instant,
}

impl Hosts {
    pub(super) fn new(hash_key: HashKey) -> Self {
        Self {
            buckets: HashMap::with_hasher(hash_key),
            full: Timers::new(),
            strangers: Buckets::default(),
            announcements: Instant::default(),
        }
    }

    /// Takes a token of `host`; O(log n). `false` where there is none.
    fn take(&mut self, now: Instant, host: IpAddr, budget: Budget, rates: &Rates) -> bool {
        let rate = rates.of(budget);
        if rate.per_second == 0 {
            return true;
        }
        if let Some(buckets) = self.buckets.get_mut(&host) {
            return take(&mut buckets[budget as usize], now, rate);
        }
        // Two for one, so that the table shrinks again after a flood.
        self.forget_one(now);
        self.forget_one(now);
        if self.buckets.len() >= rates.max_hosts {
            return take(&mut self.strangers[budget as usize], now, rate);
        }
        let buckets = self.buckets.entry(host).or_default();
        let taken = take(&mut buckets[budget as usize], now, rate);
        self.full.set(host, buckets[budget as usize]);
        taken
    }

    /// Forgets one host whose buckets are full. They may have been used since the time was set.
    fn forget_one(&mut self, now: Instant) {
        let Some(host) = self.full.pop(now) else {
            return;
        };
        let full = self.buckets.get(&host).into_iter().flatten().max().copied();
        match full.filter(|full| *full > now) {
            Some(full) => self.full.set(host, full),
            None => {
                self.buckets.remove(&host);
            }
        }
    }
}

/// Takes a token of the bucket that is full again at `full`.
fn take(full: &mut Instant, now: Instant, rate: Rate) -> bool {
    let token = Duration::from_secs(1) / rate.per_second;
    let then = now.max(*full) + token;
    let taken = then.duration_since(now) <= token.saturating_mul(rate.burst.max(1));
    if taken {
        *full = then;
    }
    taken
}

impl Registrar {
    /// Whether the host at the other end of the association may do this once more; if not, it is counted.
    pub(super) fn admits(&mut self, now: Instant, association: AssocId, budget: Budget) -> bool {
        let first = self
            .peers
            .get(&association)
            .and_then(|peer| peer.remote.first());
        let Some(first) = first else {
            return false;
        };
        let host = host(first.ip());
        let admitted = self.hosts.take(now, host, budget, &self.config.rates);
        if !admitted {
            let limited = &mut self.counters.limited;
            *match budget {
                Budget::Registrations => &mut limited.registrations,
                Budget::Resolutions => &mut limited.resolutions,
                Budget::Reports => &mut limited.reports,
                Budget::Peers => &mut limited.peers,
                Budget::Errors => &mut limited.errors,
            } += 1;
        }
        admitted
    }

    /// Whether another announcement of an unknown registrar is looked at. The source of a datagram proves nothing, so that all
    /// of them share one bucket.
    pub(super) fn admits_announcement(&mut self, now: Instant) -> bool {
        let rate = self.config.rates.announcements;
        let admitted = rate.per_second == 0 || take(&mut self.hosts.announcements, now, rate);
        self.counters.limited.announcements += u64::from(!admitted);
        admitted
    }
}

/// The host that an address stands for: of IPv6 its network, because a host has as many addresses in it as it likes.
pub(super) fn host(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    fn rates(max_hosts: usize) -> Rates {
        Rates {
            registrations: RATE,
            resolutions: RATE,
            max_hosts,
            ..Rates::default()
        }
    }

    fn none() -> Hosts {
        Hosts::new(Rng::from_seed([1; 32]).hash_key())
    }

    fn address(number: u32) -> IpAddr {
        core::net::Ipv4Addr::from_bits(number).into()
    }

    /// How many of 100 requests at `millis` are admitted.
    fn admitted(hosts: &mut Hosts, millis: u64, host: u32, rates: &Rates) -> usize {
        let now = Instant::from_micros(millis * 1000);
        (0..100)
            .filter(|_| hosts.take(now, address(host), Budget::Registrations, rates))
            .count()
    }

    #[test]
    fn a_bucket_has_its_burst_and_fills_at_its_rate() {
        let (mut hosts, rates) = (none(), rates(10));
        let times = [0, 0, 99, 100, 300, 301, 1_000_000];
        let counts = times.map(|millis| admitted(&mut hosts, millis, 1, &rates));
        assert_eq!(counts, [3, 0, 0, 1, 2, 0, 3]);
        let now = Instant::from_micros(1_000_000_000);
        assert!(hosts.take(now, address(1), Budget::Resolutions, &rates));
        assert!(!hosts.take(now, address(1), Budget::Registrations, &rates));
    }

    #[test]
    fn unknown_hosts_share_a_bucket_where_there_is_no_room() {
        let (mut hosts, rates) = (none(), rates(2));
        assert_eq!(admitted(&mut hosts, 0, 1, &rates), 3);
        assert_eq!(admitted(&mut hosts, 0, 2, &rates), 3);
        assert_eq!(admitted(&mut hosts, 0, 3, &rates), 3);
        assert_eq!(admitted(&mut hosts, 0, 4, &rates), 0, "with host 3");
        // Hosts 1 and 2 have their own tokens again one by one, the strangers together.
        for host in [1, 2] {
            assert_eq!(admitted(&mut hosts, 100, host, &rates), 1);
        }
        assert_eq!(admitted(&mut hosts, 100, 3, &rates), 1);
        assert_eq!(admitted(&mut hosts, 100, 4, &rates), 0);
        // Host 1 is full again, and makes room.
        assert_eq!(admitted(&mut hosts, 250, 2, &rates), 1);
        assert_eq!(admitted(&mut hosts, 450, 4, &rates), 3);
        assert_eq!(hosts.buckets.len(), 2);
    }

    #[test]
    fn a_flood_of_hosts_leaves_nothing_behind() {
        let (mut hosts, rates) = (none(), rates(1000));
        let mut take = |millis: u64, host| {
            let now = Instant::from_micros(millis * 1000);
            hosts.take(now, address(host), Budget::Registrations, &rates);
            hosts.buckets.len()
        };
        let most = (0..10_000).map(|host| take(0, host)).max();
        assert_eq!(most, Some(1000));
        let later = (1..1000).map(|one: u32| take(u64::from(one) * 200, 10_000 + one));
        assert_eq!(later.min(), Some(1));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (mut hosts, mut rates) = (none(), rates(10));
        rates.registrations.per_second = 0;
        assert_eq!(admitted(&mut hosts, 0, 1, &rates), 100);
        assert!(hosts.buckets.is_empty());
    }

    #[test]
    fn an_ipv4_address_is_the_same_host_in_both_notations() {
        assert_eq!(
            host("::ffff:10.0.0.1".parse().unwrap()),
            address(0x0a00_0001)
        );
    }
}
