//! A run: a world in which things go wrong, come to an end, and must be well again.
//!
//! ```text
//!  start ─▶ at rest ─▶ faults ─▶ everything healed ─▶ watched until the limit ─▶ must be at rest ─┐
//!              ▲                                                                                 │
//!              └─────────────────────────────────────────────────────────────────────────────────┘
//! ```

use alloc::collections::{BTreeMap, BTreeSet};

use core::time::Duration;

use rserpool_core::element;
use rserpool_core::registrar::{self, Config};
use rserpool_core::wire::Policy;
use rserpool_core::{Dialect, Instant, Life, PeId, PoolHandle, Rng, ServerId, user};

use crate::network::CutId;
use crate::options::{Mix, Options, Report};
use crate::plan::{Cast, Fault, Kinds};
use crate::{Cut, Network, NodeId, Told, World};

/// The pool of all elements.
pub(crate) const POOL: &str = "EchoPool";

/// Runs one world.
pub fn run(seed: u64, options: &Options) -> Report {
    run_traced(seed, options, None)
}

/// Runs one world, and gives each line of its trace to `trace`.
pub fn run_traced(seed: u64, options: &Options, mut trace: Option<&mut dyn FnMut(&str)>) -> Report {
    let mut run = Run::new(seed, options.clone());
    if trace.is_some() {
        run.world.trace();
    }
    run.begin();
    let end = Instant::EPOCH + options.time;
    while run.world.now() < end && run.report.violations.is_empty() {
        run.round();
        if let Some(trace) = &mut trace {
            run.world.take_trace().iter().for_each(|line| trace(line));
        }
    }
    run.finish()
}

/// What happens at a time of a round.
#[derive(Debug)]
pub(crate) enum Op {
    Begin(Fault),
    Heal(CutId),
    Cut(Cut, u32),
    Resume(NodeId),
    Restart(NodeId),
    Rejoin(Vec<NodeId>),
    Calm,
    Attack(NodeId, usize),
}

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) registrars: Vec<NodeId>,
    pub(crate) elements: Vec<NodeId>,
    users: Vec<NodeId>,
    pub(crate) report: Report,
    kinds: Kinds,
    pub(crate) ops: BTreeMap<(Instant, u64), Op>,
    pub(crate) next_op: u64,
    pub(crate) cuts: BTreeSet<CutId>,
    pub(crate) attackers: Vec<NodeId>,
    /// When each server ID died, and whether it owned elements.
    pub(crate) deaths: BTreeMap<ServerId, (Instant, bool)>,
    /// When each registrar started again last: it knows nothing of deaths before.
    pub(crate) started: BTreeMap<NodeId, Instant>,
    /// Who was taken for dead already.
    noticed: BTreeSet<ServerId>,
    /// Elements that lost their registrar, and when.
    pub(crate) homeless: BTreeMap<NodeId, Instant>,
    /// Users' requests that wait for an answer.
    waiting: BTreeMap<NodeId, Instant>,
    /// Users whose session has no element.
    seeking: BTreeMap<NodeId, Instant>,
    /// Takeovers that registrars have begun: of whom, and when.
    takeovers: BTreeMap<(NodeId, ServerId), Instant>,
}

impl Run {
    fn new(seed: u64, options: Options) -> Self {
        let mut key = [0xa5; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(key);
        let kinds = Kinds::of(options.mix, &mut rng);
        Self {
            world: World::new(seed),
            kinds,
            rng,
            registrars: Vec::new(),
            elements: Vec::new(),
            users: Vec::new(),
            report: Report {
                seed,
                ..Report::default()
            },
            ops: BTreeMap::new(),
            next_op: 0,
            cuts: BTreeSet::new(),
            attackers: Vec::new(),
            deaths: BTreeMap::new(),
            started: BTreeMap::new(),
            noticed: BTreeSet::new(),
            homeless: BTreeMap::new(),
            waiting: BTreeMap::new(),
            seeking: BTreeMap::new(),
            takeovers: BTreeMap::new(),
            options,
        }
    }

    pub(crate) fn seconds(&mut self, from: u64, to: u64) -> Duration {
        let micros = self.rng.below(u128::from(to - from) * 1_000_000);
        Duration::from_secs(from) + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.rng.index(2) == 0
    }

    fn begin(&mut self) {
        self.calm();
        let count = self.options.registrars.max(1);
        let peers: Vec<_> = (0..count)
            .map(|id| crate::node::endpoint(NodeId(id), rserpool_core::ENRP_PORT))
            .collect();
        let together = self.coin();
        // M9: registrars that differ in whose identifier wins a takeover.
        let mixed = self.options.mix == Mix::Swarm && self.rng.index(4) == 0;
        for index in 0..count {
            let (dialect, own) = (self.options.dialect, peers[usize::from(index)]);
            let peers: Vec<_> = peers.iter().copied().filter(|peer| *peer != own).collect();
            let node = self.world.add_registrar(|config| {
                let (asap, enrp) = (config.asap_addresses.clone(), config.enrp_addresses.clone());
                *config = Config::for_dialect(dialect);
                if mixed && index % 2 == 1 {
                    config.dialect = match dialect {
                        Dialect::Rfc => Dialect::Rsplib,
                        Dialect::Rsplib => Dialect::Rfc,
                    };
                }
                (config.asap_addresses, config.enrp_addresses) = (asap, enrp);
                config.peers = peers;
                config.enrp_announce = true;
            });
            self.skew(node);
            self.registrars.push(node);
            if !together {
                self.world.run_for(Duration::from_secs(1));
            }
        }
        for id in 1..=self.options.elements {
            let node = self.add_element(u32::from(id), mixed);
            self.elements.push(node);
            if self.rng.index(10) == 0 {
                self.world.run_for(Duration::from_millis(100));
            }
        }
        for _ in 0..self.options.users {
            let user = self
                .world
                .add_user(|config| config.stale_cache_value = Duration::ZERO);
            self.skew(user);
            self.users.push(user);
            self.open(user);
        }
        self.settle();
    }

    fn open(&mut self, user: NodeId) {
        self.seeking.insert(user, self.world.now());
        self.world
            .user(user, |user, now| user.open(now, &PoolHandle::from(POOL)));
    }

    fn skew(&mut self, node: NodeId) {
        if matches!(self.options.mix, Mix::Clock | Mix::Swarm) {
            let permille = 900 + self.rng.index(201);
            self.world
                .set_clock(node, u16::try_from(permille).unwrap_or(1000));
        }
    }

    fn add_element(&mut self, id: u32, for_ever: bool) -> NodeId {
        let (dialect, first) = (self.options.dialect, self.rng.next_u64());
        let node = self.world.add_element(POOL, |config| {
            config.pe_id = Some(PeId(id));
            config.dialect = dialect;
            if for_ever {
                // Any other life is seconds in the one dialect and milliseconds in the other.
                config.life = Life::Forever;
            }
            config.policy = Policy::LeastUsed {
                load: u32::try_from(first >> 40).unwrap_or(0),
            };
        });
        self.skew(node);
        self.world
            .element(node, |element, now| element.register(now));
        node
    }

    /// The network as it is without faults.
    pub(crate) fn calm(&mut self) {
        // Some hosts are quick to notice a silence, and some take longer than all timers of the registrars.
        let spreads = match self.options.dialect {
            Dialect::Rfc => [2, 30, 120],
            Dialect::Rsplib => [2, 5, 30],
        };
        let spread = spreads[usize::try_from(self.report.seed % 3).unwrap_or(0)];
        let network = Network {
            detection: Duration::from_secs(1),
            detection_spread: Duration::from_secs(spread),
            jitter: Duration::from_millis(1),
            ..Network::default()
        };
        self.world.network = network;
    }

    fn round(&mut self) {
        let cast = Cast {
            registrars: &self.registrars,
            elements: &self.elements,
        };
        let faults = match self.elements.is_empty() {
            true => Vec::new(),
            false => self.kinds.round(&mut self.rng, &cast, self.options.dialect),
        };
        let begin = self.world.now();
        let mut last = begin;
        for (at, fault) in faults {
            last = last.max(begin + at);
            self.at(begin + at, Op::Begin(fault));
        }
        // Faults go on for a while, and some until everything is healed at once.
        let until = last + self.seconds(0, 120);
        self.advance(until);
        self.heal_all();
        self.settle();
    }

    pub(crate) fn at(&mut self, at: Instant, op: Op) {
        self.next_op += 1;
        self.ops.insert((at, self.next_op), op);
    }

    /// Runs until `end`, with what is planned, and what elements and users do by themselves.
    fn advance(&mut self, end: Instant) {
        while self.world.now() < end {
            let next = self
                .ops
                .first_key_value()
                .map_or(end, |((at, _), _)| *at)
                .min(end);
            let tick = (self.world.now() + Duration::from_secs(5)).min(next);
            self.run_to(tick);
            while let Some(entry) = self.ops.first_entry() {
                if entry.key().0 > self.world.now() {
                    break;
                }
                let op = entry.remove();
                self.execute(op);
            }
            self.activity();
        }
    }

    fn run_to(&mut self, at: Instant) {
        self.world.run_until(at);
        self.listen();
    }

    /// What users and elements do in an ordinary life.
    fn activity(&mut self) {
        for user in self.users.clone() {
            if !self.waiting.contains_key(&user) && self.rng.index(4) == 0 {
                self.waiting.insert(user, self.world.now());
                self.world
                    .user(user, |user, now| user.resolve(now, &PoolHandle::from(POOL)));
            }
        }
        if !self.elements.is_empty() && self.rng.index(4) == 0 {
            let element = self.elements[self.rng.index(self.elements.len())];
            let load = u32::try_from(self.rng.index(1 << 20)).unwrap_or(0);
            if self.world.is_running(element) {
                self.world.element(element, |element, now| {
                    element.set_policy(now, Policy::LeastUsed { load });
                });
            }
        }
        self.listen();
    }

    /// Takes in what the machines have told.
    fn listen(&mut self) {
        for (at, node, told) in self.world.take_told() {
            match told {
                Told::Registrar(registrar::Event::PeerDead { server }) => {
                    self.takeovers.entry((node, server)).or_insert(at);
                    if let Some((death, _)) = self.deaths.get(&server)
                        && self.noticed.insert(server)
                    {
                        self.report.detection.add(at.duration_since(*death));
                    }
                }
                Told::Registrar(registrar::Event::PeerLost { server }) => {
                    self.takeovers.remove(&(node, server));
                }
                Told::Registrar(registrar::Event::TakenOver { server, .. }) => {
                    self.on_takeover(at, node, server);
                }
                Told::Element(element::Event::Registered { .. }) => {
                    if let Some(since) = self.homeless.remove(&node) {
                        self.report.rehoming.add(at.duration_since(since));
                    }
                }
                // An attacker may have talked a registrar into it, or a registration took too long.
                Told::Element(
                    element::Event::Rejected { .. } | element::Event::RegistrationFailed,
                ) => self.at(at + Duration::from_secs(5), Op::Rejoin(vec![node])),
                Told::User(user::Event::Resolved { .. } | user::Event::ResolveFailed { .. }) => {
                    let answered = self.waiting.remove(&node).is_some();
                    self.report.requests += u64::from(answered);
                }
                Told::User(user::Event::Connected { .. } | user::Event::FailedOver { .. }) => {
                    self.seeking.remove(&node);
                }
                Told::User(user::Event::Interrupted { .. }) => {
                    self.seeking.insert(node, at);
                }
                Told::User(user::Event::SessionFailed { .. }) => self.open(node),
                _ => {}
            }
        }
        self.check_requests();
        self.check_takeovers();
        let found = self.world.take_violations();
        self.report.violations.extend(found);
    }

    /// RFC 5353 §3.4.3, §3.5: how long a takeover may take at most, counted from the last death, or from the start of the taker.
    fn on_takeover(&mut self, at: Instant, taker: NodeId, server: ServerId) {
        let Some((death, owned)) = self.deaths.remove(&server) else {
            return;
        };
        let last = self
            .deaths
            .values()
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(death)
            .max(death)
            .max(self.started.get(&taker).copied().unwrap_or(death));
        if owned {
            self.report.takeover.add(at.duration_since(death));
        }
        let strict = matches!(self.options.mix, Mix::None | Mix::Crash | Mix::Churn);
        if strict && at.duration_since(last) > self.takeover_limit() {
            let text = format!("{at:?} {server:?} died at {death:?} and is taken over too late");
            self.report.violations.push(text);
        }
    }

    /// MAX-TIME-LAST-HEARD, MAX-TIME-NO-RESPONSE for the target, and once more for those who do not acknowledge.
    fn takeover_limit(&self) -> Duration {
        let config = Config::for_dialect(self.options.dialect);
        config.max_time_last_heard + config.max_time_no_response * 2 + Duration::from_millis(500)
    }

    /// I11: a request is answered, refused or given up within T1 × (1 + MAX-REQUEST-RETRANSMIT), a session has an element or has
    /// failed within its time, both on a clock that may be off.
    fn check_requests(&mut self) {
        const REQUEST: Duration = Duration::from_secs(51);
        const SESSION: Duration = Duration::from_secs(68);
        let now = self.world.now();
        for (waiting, limit) in [(&mut self.waiting, REQUEST), (&mut self.seeking, SESSION)] {
            waiting.retain(|user, since| {
                let late = now.duration_since(*since) > limit;
                if late {
                    let text = format!("{now:?} I11: {user:?} waits for nothing since {since:?}");
                    self.report.violations.push(text);
                }
                !late
            });
        }
    }

    /// I12: a takeover that was begun is completed by somebody, however many others are dead or mute, or the target is there. What
    /// liars say of the dead is left out.
    fn check_takeovers(&mut self) {
        if self.takeovers.is_empty() {
            return;
        }
        let now = self.world.now();
        let turns = u32::from(self.options.registrars) * 3;
        let limit = Config::for_dialect(self.options.dialect).max_time_no_response * turns
            + Duration::from_secs(60);
        let ids = self.world.live_ids();
        let liars = !self.attackers.is_empty();
        let world = &self.world;
        self.takeovers.retain(|(taker, target), since| {
            let open = !liars && world.has_run_since(*taker, *since) && !ids.contains(target);
            let late = open && now.duration_since(*since) > limit;
            if late {
                let text = format!("{now:?} I12: {taker:?} takes over {target:?} since {since:?}");
                self.report.violations.push(text);
            }
            open && !late
        });
    }

    /// Waits until the world must be at rest, and looks whether it is.
    fn settle(&mut self) {
        let begin = self.world.now();
        let end = begin + self.limit();
        let mut converged = None;
        let mut pause = Duration::from_secs(1);
        let mut agreed = false;
        while self.world.now() < end && self.report.violations.is_empty() {
            let next = (self.world.now() + pause).min(end);
            self.advance_quietly(next);
            let disagreement = self.world.disagreement();
            agreed |= disagreement.is_none();
            if !agreed {
                self.check_agreement(disagreement, begin);
            }
            match (self.world.divergence(), converged) {
                (Some(_), _) => (converged, pause) = (None, Duration::from_secs(1)),
                (None, None) => {
                    converged = Some(self.world.now());
                    pause = Duration::from_secs(10);
                }
                (None, Some(_)) => {}
            }
        }
        // An element that happens to renew its registration at this moment is given the time to do so.
        for _ in 0..5 {
            if self.world.divergence().is_none() || !self.report.violations.is_empty() {
                break;
            }
            let next = self.world.now() + Duration::from_secs(1);
            self.advance_quietly(next);
        }
        self.world.check_thoroughly();
        self.listen();
        self.report.rounds += 1;
        match self.world.divergence() {
            Some(text) if self.report.violations.is_empty() => {
                let text = format!("{:?} not at rest since {begin:?}: {text}", self.world.now());
                self.report.violations.push(text);
            }
            _ => {}
        }
        self.deaths.clear();
        self.noticed.clear();
        self.homeless.clear();
        if let Some(at) = converged {
            self.report.convergence.add(at.duration_since(begin));
        }
    }

    /// After a partition, equal states within two heartbeats, the time of a transfer, and that of a question to an element that
    /// two registrars have an association with.
    fn check_agreement(&mut self, disagreement: Option<String>, begin: Instant) {
        let config = Config::for_dialect(self.options.dialect);
        let limit = config.peer_heartbeat_cycle * 2
            + config.max_time_no_response
            + config.keep_alive_timeout;
        let now = self.world.now();
        let late = now.duration_since(begin) > limit;
        // At the start, nobody has promised that.
        let started = self.report.rounds > 0;
        if self.options.mix == Mix::Partition && started && late {
            let text = disagreement.unwrap_or_default();
            let text = format!("{now:?} I9: no agreement since {begin:?}: {text}");
            self.report.violations.push(text);
        }
    }

    /// Runs without new activity; only what is planned already happens.
    fn advance_quietly(&mut self, end: Instant) {
        while self.world.now() < end {
            let next = self
                .ops
                .first_key_value()
                .map_or(end, |((at, _), _)| *at)
                .min(end);
            self.run_to(next.max(self.world.now()));
            while let Some(entry) = self.ops.first_entry() {
                if entry.key().0 > self.world.now() {
                    break;
                }
                let op = entry.remove();
                self.execute(op);
            }
        }
    }

    /// How long a world may take to come to rest: a takeover, two heartbeats, and the longest pause of an element's hunt.
    fn limit(&self) -> Duration {
        const HUNT: Duration = Duration::from_secs(75);
        let config = Config::for_dialect(self.options.dialect);
        let limit = self.takeover_limit() + config.peer_heartbeat_cycle * 2 + HUNT;
        limit * 11 / 10
    }

    fn finish(mut self) -> Report {
        self.report.trace_hash = self.world.trace_hash();
        self.report.simulated = self.world.now().duration_since(Instant::EPOCH);
        self.report.registrar_time = self.report.simulated * u32::from(self.options.registrars);
        self.report.events = self.world.events();
        self.report
    }
}
