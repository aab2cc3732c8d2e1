//! The server hunt: which registrars are known, and which of them is home (RFC 5352 §3.6). Elements and users share it.
//!
//! ```text
//!              search                 Connected
//!   no home ───────────▶ searching ───────────────▶ home
//!      ▲                  │    ▲                      │
//!      │         T5 ──────┘    │ next addresses       │ lost
//!      └──────────────────────────────────────────────┘
//! ```

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::dialect::Dialect;
use crate::ids::{AssocId, Ppid};
use crate::machine::Actions;
use crate::planted::{Bug, planted};
use crate::rng::Rng;
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::asap::{self, Message};
use crate::wire::{List, Transport};

/// How registrars are found.
///
/// ```
/// use rserpool_core::user::Config;
/// use core::time::Duration;
///
/// let mut config = Config::default();
/// config.hunt.registrars = vec!["192.0.2.1:3863".parse()?, "[2001:db8::1]:3863".parse()?];
/// // Tries the next ones sooner, and never waits longer than that.
/// config.hunt.t5_serverhunt = Duration::from_secs(2);
/// config.hunt.retran_max = Duration::from_secs(10);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HuntConfig {
    /// Configured registrars: their ASAP addresses and ports. They never leave the list.
    pub registrars: Vec<SocketAddr>,
    /// Whether registrars are called over TCP (no), which only users may (RFC 5352 §2.1): of an announcement, the TCP transports
    /// count then, and not those of SCTP. The driver has to call them so.
    pub over_tcp: bool,
    /// T5-Serverhunt: how long one set of attempts may take; doubles up to `retran_max` (10 s).
    pub t5_serverhunt: Duration,
    /// RETRAN-MAX: ceiling of T5's doubling (60 s).
    pub retran_max: Duration,
    /// T7-ENRPoutdate: how long an announced registrar is remembered (5 s).
    pub t7_enrpoutdate: Duration,
    /// How many announced addresses are remembered at most (64).
    pub max_announced: usize,
}

impl Default for HuntConfig {
    fn default() -> Self {
        Self {
            registrars: Vec::new(),
            over_tcp: false,
            t5_serverhunt: Duration::from_secs(10),
            retran_max: Duration::from_secs(60),
            t7_enrpoutdate: Duration::from_secs(5),
            max_announced: 64,
        }
    }
}

/// An association that came up, as the hunt sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is the new home.
    Home,
    /// It was asked for, but there is a home already: it is to be closed, unless it serves something else.
    Surplus,
    /// The hunt did not ask for it.
    NotOurs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    T5,
    T7(SocketAddr),
    /// A registrar that closed the association without a word is left alone until then.
    Shunned(SocketAddr),
}

#[derive(Clone, Copy, Debug)]
struct Home {
    association: AssocId,
    remote: SocketAddr,
    /// Whether it has answered anything.
    proven: bool,
}

/// No timer that starts itself anew is shorter, whatever the configuration says: time must pass.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

/// The hunt of one endpoint.
#[derive(Debug)]
pub(crate) struct Hunt {
    config: HuntConfig,
    announced: BTreeSet<SocketAddr>,
    timers: Timers<Timer>,
    /// Attempts of this round, and those of earlier rounds that nobody has answered yet.
    attempts: Vec<SocketAddr>,
    stale: BTreeSet<SocketAddr>,
    tried: BTreeSet<SocketAddr>,
    home: Option<Home>,
    searching: bool,
    t5: Duration,
    /// Where the next round starts.
    cursor: usize,
}

impl Hunt {
    /// RFC 5352 §3.6 SH1: no more than three at a time.
    const SIMULTANEOUS: usize = 3;

    pub(crate) fn new(config: HuntConfig, rng: &mut Rng) -> Self {
        Self {
            cursor: rng.index(config.registrars.len()),
            t5: config.t5_serverhunt.max(SHORTEST),
            config,
            announced: BTreeSet::new(),
            timers: Timers::new(),
            attempts: Vec::new(),
            stale: BTreeSet::new(),
            tried: BTreeSet::new(),
            home: None,
            searching: false,
        }
    }

    pub(crate) fn home(&self) -> Option<AssocId> {
        self.home.map(|home| home.association)
    }

    pub(crate) fn home_address(&self) -> Option<SocketAddr> {
        self.home.map(|home| home.remote)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Looks for a home, or, where there is one that does not answer, for another one beside it.
    pub(crate) fn search<E>(&mut self, now: Instant, actions: &mut Actions<E>) {
        if self.searching {
            // The address of a home that is gone has become a candidate.
            self.fill(actions);
        } else {
            self.searching = true;
            self.round(now, actions);
        }
    }

    /// Nobody needs a home any more, or the one that there is has answered after all.
    pub(crate) fn stop(&mut self) {
        self.searching = false;
        self.timers.cancel(Timer::T5);
        self.t5 = self.config.t5_serverhunt.max(SHORTEST);
        self.stale.extend(self.attempts.drain(..));
        self.tried.clear();
    }

    /// The home has answered a request: no other one is needed.
    pub(crate) fn on_answered(&mut self) {
        if let Some(home) = &mut self.home {
            home.proven = true;
            self.stop();
        }
    }

    /// An association is up. The peer's addresses say whether it was asked for.
    pub(crate) fn on_connected<E>(
        &mut self,
        association: AssocId,
        remote: &[SocketAddr],
        actions: &mut Actions<E>,
    ) -> Found {
        let Some(&address) = remote.iter().find(|remote| self.is_attempt(**remote)) else {
            return Found::NotOurs;
        };
        self.forget_attempt(address);
        if self.home() == Some(association) {
            // Another address of the home's own host: the search goes on elsewhere.
            if self.searching {
                self.fill(actions);
            }
            return Found::NotOurs;
        }
        if !self.searching {
            return Found::Surplus;
        }
        self.adopt(association, address, actions);
        Found::Home
    }

    /// Whether an association to the address was asked for and has not come.
    pub(crate) fn is_attempt(&self, address: SocketAddr) -> bool {
        self.attempts.contains(&address) || self.stale.contains(&address)
    }

    /// Makes the peer of `association` the home; the old one's association is closed (RFC 5352 §3.4 KA2.4, §3.6 SH3, SH6).
    pub(crate) fn adopt<E>(
        &mut self,
        association: AssocId,
        remote: SocketAddr,
        actions: &mut Actions<E>,
    ) {
        let old = self.home.replace(Home {
            association,
            remote,
            proven: false,
        });
        if let Some(old) = old.filter(|old| old.association != association) {
            actions.disconnect(old.association);
        }
        self.stop();
    }

    /// An attempt has failed: a different address is tried at once (RFC 5352 §3.6 SH4).
    pub(crate) fn on_connect_failed<E>(&mut self, remote: SocketAddr, actions: &mut Actions<E>) {
        self.forget_attempt(remote);
        if self.searching {
            self.fill(actions);
        }
    }

    /// An association has ended. Says whether it was the home; then there is none.
    ///
    /// One that ended before it answered anything is as good as an attempt that failed, and other addresses are tried first
    /// (RFC 5352 §3.6 SH4): a registrar that has no room must not be called again at once, over and over.
    pub(crate) fn on_disconnected(&mut self, now: Instant, association: AssocId) -> bool {
        let Some(home) = self.home.take_if(|home| home.association == association) else {
            return false;
        };
        if !home.proven {
            let pause = self.config.t5_serverhunt;
            self.timers.set(Timer::Shunned(home.remote), now + pause);
        }
        true
    }

    /// A registrar has announced itself (RFC 5352 §3.6).
    pub(crate) fn on_announcement<E>(
        &mut self,
        now: Instant,
        dialect: Dialect,
        (source, bytes): (SocketAddr, &[u8]),
        actions: &mut Actions<E>,
    ) {
        let Ok(decoded) = asap::decode(bytes) else {
            return;
        };
        let Message::ServerAnnounce { transports, .. } = decoded.message else {
            return;
        };
        let announced = if transports.is_empty() {
            vec![self.announced_from(dialect, source)]
        } else {
            self.announced_addresses(transports)
        };
        for address in announced {
            if !is_reachable(address.ip()) || self.config.registrars.contains(&address) {
                continue;
            }
            if self.announced.contains(&address) || self.announced.len() < self.config.max_announced
            {
                if self.announced.insert(address) {
                    self.tried.remove(&address);
                }
                self.timers
                    .set(Timer::T7(address), now + self.config.t7_enrpoutdate);
            }
        }
        if self.searching {
            self.fill(actions);
        }
    }

    pub(crate) fn handle_timeout<E>(&mut self, now: Instant, actions: &mut Actions<E>) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::T7(address) => {
                    self.announced.remove(&address);
                }
                Timer::Shunned(_) => {
                    if self.searching {
                        self.fill(actions);
                    }
                }
                Timer::T5 => {
                    // SH5.1: double, up to RETRAN-MAX. SH5.2: give up on this set, and try a different one.
                    let doubled = self.t5.saturating_mul(2);
                    self.t5 = doubled.min(self.config.retran_max).max(SHORTEST);
                    self.stale.extend(self.attempts.drain(..));
                    if planted(Bug::T5NotRearmed) {
                        continue;
                    }
                    self.round(now, actions);
                }
            }
        }
    }

    fn round<E>(&mut self, now: Instant, actions: &mut Actions<E>) {
        self.tried.clear();
        self.timers.set(Timer::T5, now + self.t5);
        self.fill(actions);
    }

    /// Starts attempts up to the limit, with addresses that this round has not tried. An earlier attempt that nobody has
    /// answered yet may still succeed, and is not made twice.
    fn fill<E>(&mut self, actions: &mut Actions<E>) {
        let known: Vec<_> = self
            .config
            .registrars
            .iter()
            .chain(&self.announced)
            .copied()
            .collect();
        let home = self.home_address();
        for _ in 0..known.len() {
            if self.attempts.len() >= Self::SIMULTANEOUS {
                return;
            }
            self.cursor = (self.cursor + 1) % known.len();
            let address = known[self.cursor];
            let busy = home == Some(address)
                || self.stale.contains(&address)
                || self.timers.is_set(Timer::Shunned(address));
            if !busy && self.tried.insert(address) {
                self.attempts.push(address);
                actions.connect(Ppid::ASAP, vec![address]);
            }
        }
    }

    /// Where to call who announces itself without an address: the registered port is the same with SCTP and TCP (RFC 5352 §8.2).
    fn announced_from(&self, dialect: Dialect, source: SocketAddr) -> SocketAddr {
        if dialect.announces_source_port() && !self.config.over_tcp {
            return source;
        }
        SocketAddr::new(source.ip(), crate::ASAP_PORT)
    }

    /// The addresses of an announcement (RFC 5352 §3.6).
    fn announced_addresses(&self, transports: List<'_, Transport<'_>>) -> Vec<SocketAddr> {
        const MAX_ADDRESSES: usize = 16;
        let over_tcp = self.config.over_tcp;
        transports
            .iter()
            .filter(|transport| match transport {
                Transport::Sctp(_) => !over_tcp,
                Transport::Tcp { .. } => over_tcp,
                _ => false,
            })
            .flat_map(|transport| {
                let port = transport.port().unwrap_or_default();
                let addresses = transport.addresses();
                addresses.map(move |address| SocketAddr::new(address, port))
            })
            .filter(|address| address.port() != 0)
            .take(MAX_ADDRESSES)
            .collect()
    }

    fn forget_attempt(&mut self, address: SocketAddr) {
        self.attempts.retain(|attempt| *attempt != address);
        self.stale.remove(&address);
    }
}

/// Whether an association to the address can be meant; announcements are not trusted.
fn is_reachable(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// Deadlines of a machine that has a hunt beside its own timers.
pub(crate) fn earlier(first: Option<Instant>, second: Option<Instant>) -> Option<Instant> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (one, other) => one.or(other),
    }
}
