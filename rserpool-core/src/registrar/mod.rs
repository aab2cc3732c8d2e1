//! The registrar: it keeps the pools, answers elements and users, and watches its elements (RFC 5352 §3); with its peers it agrees
//! on all of that, and takes over the elements of those that die (RFC 5353 §3).
//!
//! ```text
//!  association up ─▶ REGISTRATION ─▶ handlespace ◀─ HANDLE_RESOLUTION ─ users
//!                                       │
//!                    ┌──────────────────┴─────────────────┐
//!                    ▼                                    │
//!   watched: KEEP_ALIVE every 30 s ±50 % ──▶ asked ── ACK ┘
//!                    ▲                         │
//!     report, association lost ────────────────┘ no ACK, no association ──▶ removed
//! ```

mod announce;
mod asap;
mod call;
mod config;
mod enrp;
mod limits;
mod scope;
mod startup;
mod subscribe;
mod sync;
mod takeover;
#[cfg(test)]
mod tests;
mod watch;

pub use config::{Config, Counters, Event, Limited, Rate, Rates, Removal};

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use self::announce::Announcer;
use self::limits::Hosts;
use self::scope::Scope;
use self::subscribe::Subscriptions;
use self::sync::Upload;
use self::watch::Watch;
use crate::handlespace::{ElementKey, Handlespace};
use crate::ids::{AssocId, Ppid, ServerId};
use crate::machine::{Action, Actions, Input, Machine};
use crate::rng::Rng;
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::PoolElement;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// When to send the next keep-alive to an element.
    KeepAlive(ElementKey),
    /// When an element must have acknowledged the last one.
    Acknowledgement(ElementKey),
    /// When the registration of an element ends.
    Life(ElementKey),
    /// When an association that nobody needs any more is closed.
    Idle(AssocId),
    /// When to announce.
    Announce,
    /// When another registrar's announcement is outdated.
    Outdated(ServerId),
    /// When to tell the peers that this registrar is there.
    Heartbeat,
    /// When a peer has been silent for too long.
    LastHeard(ServerId),
    /// When a peer that was asked must have answered.
    NoResponse(ServerId),
    /// When another one's takeover of a peer must have come to an end.
    Suspicion(ServerId),
    /// When all peers must have acknowledged a takeover of one's own.
    Takeover(ServerId),
    /// When the next element of a dead registrar gets its new home.
    Move,
    /// When the next page of a peer's table must have come; after the last one, when the next element goes that was not in it.
    Download(ServerId),
    /// When a peer must have asked for the next page.
    Upload(ServerId),
    /// When to go on to the next mentor.
    Mentor,
    /// When to fetch all peers' tables again.
    Resync,
    /// When to tell the subscribers of a pool that it has changed.
    Update(u64),
}

/// A peer that the registrar has an association with: an element, a user, or not known yet.
#[derive(Debug)]
struct Peer {
    remote: Vec<SocketAddr>,
    /// How many associations had come up before.
    order: u64,
    /// The elements that registered on it.
    elements: BTreeSet<ElementKey>,
    /// The registrar that is reached on it.
    server: Option<ServerId>,
    /// Whether that one has said so itself; else its address is all that speaks for it.
    proven: bool,
    /// The table that is being sent to one who is no peer.
    upload: Option<Upload>,
}

impl Peer {
    /// Whether it is certain to have this address: what gives it the rights of whoever is there.
    fn is_at(&self, address: IpAddr) -> bool {
        self.remote
            .first()
            .is_some_and(|remote| remote.ip() == address)
    }

    /// Whether it says that it has this address.
    fn lists(&self, address: IpAddr) -> bool {
        self.remote.iter().any(|remote| remote.ip() == address)
    }
}

/// The machine of one registrar.
///
/// ```
/// use rserpool_core::registrar::{Config, Registrar};
/// use rserpool_core::wire::asap::{self, Message};
/// use rserpool_core::{Action, AssocId, Input, Instant, Machine, Ppid};
///
/// let mut registrar = Registrar::new(Config::default(), Instant::EPOCH, [7; 32]);
/// let (now, association) = (Instant::EPOCH, AssocId(1));
/// registrar.handle_input(now, Input::Connected { association, remote: &["192.0.2.9:4000".parse()?] });
/// let question = Message::HandleResolution { subscribe: false, pool_handle: b"EchoPool", items: None };
/// let bytes = &question.to_bytes()?[..];
/// registrar.handle_input(now, Input::Message { association, ppid: Ppid::ASAP, stream: 0, bytes });
///
/// // Nobody has registered in that pool.
/// let Some(Action::Send { bytes, .. }) = registrar.poll_action() else { panic!() };
/// let answer = asap::decode(&bytes)?.message;
/// assert!(matches!(answer, Message::HandleResolutionResponse { error: Some(_), .. }));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registrar {
    config: Config,
    id: ServerId,
    rng: Rng,
    handlespace: Handlespace,
    peers: BTreeMap<AssocId, Peer>,
    /// The association with the peer that is at an address.
    associations: BTreeMap<SocketAddr, AssocId>,
    /// How many associations have come up.
    opened: u64,
    watches: BTreeMap<ElementKey, Watch>,
    /// The associations that were asked for and have not come, by their first address, and the elements that still wait for
    /// them.
    calls: BTreeMap<SocketAddr, BTreeSet<ElementKey>>,
    announcer: Announcer,
    hosts: Hosts,
    subscriptions: Subscriptions,
    scope: Scope,
    timers: Timers<Timer>,
    actions: Actions<Event>,
    counters: Counters,
    /// Room for the elements of an answer, kept between answers, and for how they are written.
    selected: Vec<ElementKey>,
    answer: Vec<PoolElement<'static>>,
}

impl Registrar {
    /// A registrar without pools. Where it announces itself, it begins at `now`.
    ///
    /// ```
    /// use rserpool_core::registrar::{Config, Registrar};
    /// use rserpool_core::{Instant, ServerId};
    ///
    /// let mut config = Config::default();
    /// config.server_id = Some(ServerId(0x1));
    /// let registrar = Registrar::new(config, Instant::EPOCH, [7; 32]);
    /// assert_eq!(registrar.id(), ServerId(0x1));
    /// // Without peers there is nothing to wait for.
    /// assert!(registrar.is_running());
    /// ```
    pub fn new(config: Config, now: Instant, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let id = config
            .server_id
            .filter(|id| *id != ServerId::default())
            .unwrap_or_else(|| ServerId(rng.nonzero_u32()));
        let mut registrar = Self {
            handlespace: Handlespace::new(rng.fork(), config.limits.clone()),
            id,
            peers: BTreeMap::new(),
            associations: BTreeMap::new(),
            opened: 0,
            watches: BTreeMap::new(),
            calls: BTreeMap::new(),
            announcer: Announcer::default(),
            hosts: Hosts::new(rng.hash_key()),
            subscriptions: Subscriptions::default(),
            rng,
            scope: Scope::new(&config.peers),
            config,
            timers: Timers::new(),
            actions: Actions::new(),
            counters: Counters::default(),
            selected: Vec::new(),
            answer: Vec::new(),
        };
        registrar.start(now);
        registrar
    }

    /// Its identifier.
    pub fn id(&self) -> ServerId {
        self.id
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All pools and elements it knows.
    ///
    /// ```
    /// use rserpool_core::registrar::{Config, Registrar};
    /// use rserpool_core::Instant;
    ///
    /// let registrar = Registrar::new(Config::default(), Instant::EPOCH, [7; 32]);
    /// assert_eq!(registrar.handlespace().len(), 0);
    /// ```
    pub fn handlespace(&self) -> &Handlespace {
        &self.handlespace
    }

    /// Whether its initialization is completed (RFC 5353 §3.2): before, it refuses to be anybody's mentor.
    pub fn is_running(&self) -> bool {
        self.scope.startup.is_running()
    }

    /// The registrars that it knows.
    ///
    /// ```
    /// use rserpool_core::registrar::Registrar;
    ///
    /// fn print(registrar: &Registrar) {
    ///     for peer in registrar.peers() {
    ///         println!("{} knows {peer}", registrar.id());
    ///     }
    /// }
    /// ```
    pub fn peers(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.scope.servers.keys().copied()
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn on_connected(&mut self, now: Instant, association: AssocId, remote: &[SocketAddr]) {
        // Others cannot take the places that are needed to ask elements and to reach peers.
        let known = self.peers.contains_key(&association);
        let first = remote.first().map(SocketAddr::ip);
        // RFC 5352 §2.1: elements and registrars come by SCTP. Whoever has the same port of TCP is somebody else.
        let sctp = !association.is_tcp();
        let called = sctp
            && first.is_some_and(|first| remote.iter().any(|remote| self.answers(remote, first)));
        let peer = sctp && remote.iter().any(|remote| self.scope.is_call(*remote));
        if !known && !called && !peer && self.peers.len() >= self.config.max_associations {
            self.counters.refused_associations += 1;
            self.actions.abort(association);
            return;
        }
        const MAX_ADDRESSES: usize = 64;
        self.opened += 1;
        self.peers.entry(association).or_insert_with(|| Peer {
            remote: remote.iter().take(MAX_ADDRESSES).copied().collect(),
            order: self.opened,
            elements: BTreeSet::new(),
            server: None,
            proven: false,
            upload: None,
        });
        if !sctp {
            return;
        }
        if let Some(&first) = remote.first() {
            self.associations.insert(first, association);
        }
        if called {
            self.on_call_answered(association, remote);
            if !known {
                let idle = now + self.config.keep_alive_timeout;
                self.timers.set(Timer::Idle(association), idle);
            }
        }
        self.on_enrp_connected(association, remote);
    }
}

impl Machine for Registrar {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected {
                association,
                remote,
            } => self.on_connected(now, association, remote),
            Input::ConnectFailed { remote } if self.scope.is_call(remote) => {
                self.on_enrp_call_failed(now, remote);
            }
            Input::ConnectFailed { remote } => self.on_call_failed(remote),
            Input::Disconnected { association, .. } => self.on_disconnected(now, association),
            Input::Message {
                association,
                ppid: Ppid::ENRP,
                bytes,
                ..
            } if self.peers.contains_key(&association) => self.on_enrp(now, association, bytes),
            Input::Message {
                association,
                ppid: Ppid::ASAP,
                bytes,
                ..
            } if self.peers.contains_key(&association) => {
                self.timers.cancel(Timer::Idle(association));
                self.on_asap(now, association, bytes);
            }
            Input::Message { .. } => self.counters.unexpected += 1,
            Input::SendFailed {
                association,
                ppid: Ppid::ASAP,
                bytes,
                ..
            } => self.on_send_failed(association, bytes),
            Input::SendFailed { .. } => {}
            Input::Announcement {
                ppid: Ppid::ASAP,
                bytes,
                ..
            } => self.on_announcement(now, bytes),
            Input::Announcement {
                ppid: Ppid::ENRP,
                bytes,
                ..
            } if self.config.enrp_announce => self.on_enrp_announcement(now, bytes),
            Input::Announcement { .. } => self.counters.unexpected += 1,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        // Whatever is much is done by timers that do a little each: nothing else has to wait for all of it.
        const TIMERS_AT_ONCE: usize = 256;
        for _ in 0..TIMERS_AT_ONCE {
            let Some(timer) = self.timers.pop(now) else {
                return;
            };
            match timer {
                Timer::KeepAlive(key) => self.ask(now, key),
                Timer::Acknowledgement(key) => self.remove(key, Removal::Unreachable),
                Timer::Life(key) => self.on_life_ended(key),
                Timer::Idle(association) => self.on_idle(association),
                Timer::Announce => self.announce(now),
                Timer::Outdated(server) => self.announcer.forget(server),
                Timer::Heartbeat => self.on_heartbeat(now),
                Timer::LastHeard(server) => self.probe(now, server),
                Timer::NoResponse(server) => self.on_no_response(now, server),
                Timer::Suspicion(server) => self.on_suspicion_ended(now, server),
                Timer::Takeover(server) => self.on_takeover_timeout(now, server),
                Timer::Move => self.on_move(now),
                Timer::Download(server) => self.on_download_timer(now, server),
                Timer::Upload(server) => self.on_upload_timeout(server),
                Timer::Mentor => self.on_mentor_timeout(now),
                Timer::Resync => self.on_resync(now),
                Timer::Update(id) => self.on_update(now, id),
            }
        }
    }

    fn poll_action(&mut self) -> Option<Action<Event>> {
        self.actions.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}
