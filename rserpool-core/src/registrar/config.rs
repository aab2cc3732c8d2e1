//! What a registrar is told, and what it tells.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::limits::Budget;
use crate::dialect::Dialect;
use crate::handlespace::Limits;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::wire::CauseCode;

/// Configuration of a [`Registrar`](super::Registrar).
///
/// ```
/// use core::time::Duration;
/// use rserpool_core::registrar::Config;
///
/// let mut config = Config::default();
/// config.asap_addresses = vec!["192.0.2.1:3863".parse()?];
/// config.enrp_addresses = vec!["192.0.2.1:9901".parse()?];
/// config.peers = vec!["192.0.2.2:9901".parse()?];
/// // Notices sooner that an element is gone.
/// config.keep_alive_interval = Duration::from_secs(5);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Its identifier, not 0; drawn at random where `None` (RFC 5353 §3.2.1).
    pub server_id: Option<ServerId>,
    /// The dialect of the operational scope.
    pub dialect: Dialect,
    /// Where it speaks ASAP: what it announces. All addresses have the same port.
    pub asap_addresses: Vec<SocketAddr>,
    /// The TCP port of these addresses at which users are let in, if there is one: it is announced, too.
    pub asap_tcp_port: Option<u16>,
    /// Whether it announces itself by multicast (no).
    pub announce: bool,
    /// T6-Serverannounce: time between the announcements of all registrars together (1 s).
    pub t6_serverannounce: Duration,
    /// Mean time between two keep-alives to an element, varied by ±50 % each time (30 s); zero sends none.
    pub keep_alive_interval: Duration,
    /// How long an element may take to acknowledge one (5 s).
    pub keep_alive_timeout: Duration,
    /// MAX-BAD-PE-REPORT: an element is removed when more than this many peers have reported it and it has acknowledged
    /// nothing since the first of them (3).
    pub max_bad_pe_report: usize,
    /// How many elements an answer has where the user does not say (128; rsplib's default is 3).
    pub default_items: usize,
    /// How many elements an answer has at most (128).
    pub max_items: usize,
    /// The longest pool handle, in bytes (32: longer ones crash the deployed reference implementation).
    pub max_pool_handle: usize,
    /// How many associations it has at most; more are aborted (10,000).
    pub max_associations: usize,
    /// How many elements may register on one association (1,024): what happens to it happens to all of them at once.
    pub max_association_elements: usize,
    /// How many pools a user may subscribe to on one association (16).
    pub max_association_subscriptions: usize,
    /// How many users may subscribe to one pool (1,024).
    pub max_pool_subscribers: usize,
    /// The shortest time between two updates about one pool (200 ms).
    pub update_interval: Duration,
    /// The limits of the handlespace.
    pub limits: Limits,
    /// How often a host may ask for something.
    pub rates: Rates,
    /// Where it speaks ENRP: what it tells its peers. Without any it has no peers.
    pub enrp_addresses: Vec<SocketAddr>,
    /// Peers to begin with: the first ones are asked to be the mentor (RFC 5353 §3.2.2.1). They are called again as long as they
    /// are not there.
    pub peers: Vec<SocketAddr>,
    /// Whether it announces itself to its peers by multicast, too (no).
    pub enrp_announce: bool,
    /// PEER-HEARTBEAT-CYCLE (30 s).
    pub peer_heartbeat_cycle: Duration,
    /// MAX-TIME-LAST-HEARD (61 s).
    pub max_time_last_heard: Duration,
    /// MAX-TIME-NO-RESPONSE (5 s).
    pub max_time_no_response: Duration,
    /// Mean time between two full re-synchronisations with the peers, for what the checksum cannot see (1 h).
    pub resync_interval: Duration,
    /// How many peers there may be at most (64).
    pub max_peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server_id: None,
            dialect: Dialect::default(),
            asap_addresses: Vec::new(),
            asap_tcp_port: None,
            announce: false,
            t6_serverannounce: Duration::from_secs(1),
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(5),
            max_bad_pe_report: 3,
            default_items: 128,
            max_items: 128,
            max_pool_handle: 32,
            max_associations: 10_000,
            max_association_elements: 1024,
            max_association_subscriptions: 16,
            max_pool_subscribers: 1024,
            update_interval: Duration::from_millis(200),
            limits: Limits::default(),
            rates: Rates::default(),
            enrp_addresses: Vec::new(),
            peers: Vec::new(),
            enrp_announce: false,
            peer_heartbeat_cycle: Duration::from_secs(30),
            max_time_last_heard: Duration::from_secs(61),
            max_time_no_response: Duration::from_secs(5),
            resync_interval: Duration::from_secs(3600),
            max_peers: 64,
        }
    }
}

impl Config {
    /// The defaults for a scope that speaks `dialect`: the RFC's timers, or the reference implementation's.
    ///
    /// ```
    /// use core::time::Duration;
    /// use rserpool_core::Dialect;
    /// use rserpool_core::registrar::Config;
    ///
    /// let config = Config::for_dialect(Dialect::Rsplib);
    /// assert_eq!(config.peer_heartbeat_cycle, Duration::from_millis(2400));
    /// ```
    pub fn for_dialect(dialect: Dialect) -> Self {
        let config = Self {
            dialect,
            ..Self::default()
        };
        match dialect {
            Dialect::Rfc => config,
            Dialect::Rsplib => Self {
                keep_alive_interval: Duration::from_secs(5),
                default_items: 3,
                peer_heartbeat_cycle: Duration::from_millis(2400),
                max_time_last_heard: Duration::from_secs(5),
                ..config
            },
        }
    }
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run; 0 is no limit at all.
    pub per_second: u32,
    /// At once, after a pause; at least 1.
    pub burst: u32,
}

impl Rate {
    /// So many per second, and at once those of two seconds.
    pub const fn per_second(per_second: u32) -> Self {
        Self {
            per_second,
            burst: per_second.saturating_mul(2),
        }
    }
}

/// How often one host may ask for something, whatever number of associations it has. A host is an IPv4 address, or a network of
/// 64 bits of IPv6; of an association with several addresses the first one counts.
///
/// ```
/// use rserpool_core::registrar::{Config, Rate};
///
/// let mut config = Config::default();
/// // Few hosts with many users each, all of them trusted.
/// config.rates.resolutions = Rate::per_second(0);
/// config.rates.reports = Rate { per_second: 10, burst: 100 };
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rates {
    /// Registrations, re-registrations included (1,000/s, 2,000 at once: all elements that one association may have can come
    /// together, and can tell their load every second). More are refused for lack of resources, and come back later.
    pub registrations: Rate,
    /// Handle resolutions (200/s, 400 at once). More are refused for lack of resources: a pool is never said to be unknown.
    pub resolutions: Rate,
    /// Unreachable reports (1/s, 5 at once). More are ignored.
    pub reports: Rate,
    /// Registrars that become peers (1/s, 5 at once). More are not heard.
    pub peers: Rate,
    /// Errors, and refusals for lack of resources because of these limits (50/s, 100 at once). More are kept silent.
    pub errors: Rate,
    /// Announcements of unknown registrars, of all hosts together: nobody knows where they come from (50/s, 100 at once). More
    /// are ignored.
    pub announcements: Rate,
    /// How many hosts are told apart at once (65,536). Where there are more, the new ones share one budget.
    pub max_hosts: usize,
}

impl Default for Rates {
    fn default() -> Self {
        const SELDOM: Rate = Rate {
            per_second: 1,
            burst: 5,
        };
        Self {
            registrations: Rate::per_second(1000),
            resolutions: Rate::per_second(200),
            reports: SELDOM,
            peers: SELDOM,
            errors: Rate::per_second(50),
            announcements: Rate::per_second(50),
            max_hosts: 65_536,
        }
    }
}

impl Rates {
    pub(super) fn of(&self, budget: Budget) -> Rate {
        match budget {
            Budget::Registrations => self.registrations,
            Budget::Resolutions => self.resolutions,
            Budget::Reports => self.reports,
            Budget::Peers => self.peers,
            Budget::Errors => self.errors,
        }
    }
}

/// Why an element was removed from the handlespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// It de-registered.
    Deregistered,
    /// Its registration's life has ended (RFC 5352 §3.2).
    Expired,
    /// It did not acknowledge a keep-alive, or could not be reached for one (RFC 5352 §3.5).
    Unreachable,
    /// Too many peers have reported it (RFC 5352 §3.5).
    Reported,
}

/// What a registrar tells its user.
///
/// ```
/// use rserpool_core::registrar::Event;
///
/// fn print(event: &Event) {
///     match event {
///         Event::Registered { pool_handle, pe_id } => println!("{pe_id} joins {pool_handle}"),
///         Event::Removed { pool_handle, pe_id, reason } => println!("{pe_id} leaves {pool_handle}: {reason:?}"),
///         Event::PeerDead { server } => println!("registrar {server} is silent"),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An element has joined a pool.
    Registered {
        /// The pool.
        pool_handle: PoolHandle,
        /// The element.
        pe_id: PeId,
    },
    /// An element is a member no longer.
    Removed {
        /// The pool.
        pool_handle: PoolHandle,
        /// The element.
        pe_id: PeId,
        /// Why.
        reason: Removal,
    },
    /// An element has another home now.
    Moved {
        /// The pool.
        pool_handle: PoolHandle,
        /// The element.
        pe_id: PeId,
    },
    /// A request was refused.
    Refused {
        /// The pool it was about.
        pool_handle: PoolHandle,
        /// The element it was about.
        pe_id: PeId,
        /// Why.
        cause: CauseCode,
    },
    /// Another registrar was heard for the first time, or again.
    PeerFound {
        /// The registrar.
        server: ServerId,
    },
    /// A registrar is taken for dead: it has been silent for too long, and a takeover begins.
    PeerDead {
        /// The registrar.
        server: ServerId,
    },
    /// A registrar is no peer any more: it is dead, and has been taken over.
    PeerLost {
        /// The registrar.
        server: ServerId,
    },
    /// This registrar has taken over the elements of a dead one.
    TakenOver {
        /// The dead one.
        server: ServerId,
        /// How many elements.
        elements: usize,
    },
}

/// What a registrar counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Registrations accepted, re-registrations included.
    pub registrations: u64,
    /// Registrations and de-registrations refused.
    pub refused: u64,
    /// De-registrations accepted.
    pub deregistrations: u64,
    /// Handle resolutions answered with elements.
    pub resolutions: u64,
    /// Handle resolutions refused.
    pub unresolved: u64,
    /// Updates sent to subscribers.
    pub updates: u64,
    /// Keep-alives sent.
    pub keep_alives: u64,
    /// Unreachable reports received.
    pub reports: u64,
    /// Messages that could not be decoded.
    pub malformed: u64,
    /// Messages that a registrar does not expect, or that are about elements of others.
    pub unexpected: u64,
    /// Associations refused because of the cap.
    pub refused_associations: u64,
    /// Peers refused because of the cap.
    pub refused_peers: u64,
    /// Handle tables asked for.
    pub downloads: u64,
    /// Takeovers completed.
    pub takeovers: u64,
    /// Errors that peers reported.
    pub peer_errors: u64,
    /// What was too much for [`Rates`].
    pub limited: Limited,
}

/// What a registrar has not done because of [`Rates`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limited {
    /// Registrations.
    pub registrations: u64,
    /// Handle resolutions.
    pub resolutions: u64,
    /// Unreachable reports.
    pub reports: u64,
    /// Messages of registrars that would have become peers.
    pub peers: u64,
    /// Errors and refusals that were not sent.
    pub errors: u64,
    /// Announcements.
    pub announcements: u64,
}
