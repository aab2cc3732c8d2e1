//! What goes wrong in a round of a run: drawn from the mix.

use core::time::Duration;

use rserpool_core::{Dialect, Rng};

use crate::{Mix, NodeId};

/// One thing that goes wrong, or ends going wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Loss, duplication and delay of all packets, refused attempts.
    Weather,
    /// One association between two hosts is reset.
    Reset(NodeId, NodeId),
    /// The hosts of a side are cut off from all others; how, and after which time that changes.
    Partition {
        side: Vec<NodeId>,
        both_ways: bool,
        flapping: bool,
        lasts: Duration,
    },
    /// A process dies; whether it is silent, and after which time it comes back, with the same server ID or not.
    Death {
        node: NodeId,
        silent: bool,
        back: Option<Duration>,
        renamed: bool,
    },
    /// Many elements die at the same time.
    MassDeath { nodes: Vec<NodeId>, silent: bool },
    /// A process stands still for a time.
    Pause { node: NodeId, lasts: Duration },
    /// Many elements leave and come back, or change their values.
    Storm(Vec<NodeId>),
    /// An attacker speaks to everybody.
    Attack { messages: usize },
    /// A host acknowledges keep-alives in the name of dead elements.
    Accomplice,
}

/// What the faults are drawn for.
pub(crate) struct Cast<'a> {
    pub(crate) registrars: &'a [NodeId],
    pub(crate) elements: &'a [NodeId],
}

/// Which kinds of faults a run has.
#[derive(Clone, Debug)]
pub(crate) struct Kinds(Vec<Kind>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Weather,
    Reset,
    Partition,
    RegistrarDeath,
    ElementDeath,
    MassDeath,
    RegistrarPause,
    ElementPause,
    Storm,
    Attack,
    Accomplice,
}

impl Kinds {
    /// Those of the mix; a swarm has another choice with each seed.
    pub(crate) fn of(mix: Mix, rng: &mut Rng) -> Self {
        use Kind::{
            Accomplice, Attack, ElementDeath, ElementPause, MassDeath, Partition, RegistrarDeath,
            RegistrarPause, Reset, Storm, Weather,
        };
        Self(match mix {
            Mix::None => vec![],
            Mix::Loss => vec![Weather, Reset],
            Mix::Partition => vec![Partition],
            Mix::Crash => vec![RegistrarDeath, RegistrarDeath, ElementDeath],
            Mix::Pause => vec![RegistrarPause, ElementPause],
            Mix::Clock => vec![RegistrarDeath, ElementDeath, RegistrarPause],
            Mix::Churn => vec![Storm, MassDeath, ElementDeath, Accomplice],
            Mix::Byzantine => vec![Attack, Attack, Accomplice, RegistrarDeath, ElementDeath],
            Mix::Swarm => {
                let all = [
                    Weather,
                    Reset,
                    Partition,
                    RegistrarDeath,
                    ElementDeath,
                    MassDeath,
                    RegistrarPause,
                    ElementPause,
                    Storm,
                    Attack,
                    Accomplice,
                ];
                let mut some: Vec<_> = all.into_iter().filter(|_| rng.index(2) == 0).collect();
                some.push(RegistrarDeath);
                some
            }
        })
    }

    /// The faults of one round with the time when each begins.
    pub(crate) fn round(
        &self,
        rng: &mut Rng,
        cast: &Cast<'_>,
        dialect: Dialect,
    ) -> Vec<(Duration, Fault)> {
        const MOST: usize = 8;
        if self.0.is_empty() {
            return Vec::new();
        }
        let window = match dialect {
            Dialect::Rfc => Duration::from_secs(90),
            Dialect::Rsplib => Duration::from_secs(20),
        };
        let count = 1 + rng.index(MOST);
        (0..count)
            .map(|_| {
                let at = random(rng, window);
                let kind = self.0[rng.index(self.0.len())];
                (at, fault(kind, rng, cast, window))
            })
            .collect()
    }
}

fn random(rng: &mut Rng, most: Duration) -> Duration {
    Duration::from_micros(u64::try_from(rng.below(most.as_micros())).unwrap_or(0))
}

fn one(rng: &mut Rng, of: &[NodeId]) -> NodeId {
    of[rng.index(of.len())]
}

fn some(rng: &mut Rng, of: &[NodeId], most: usize) -> Vec<NodeId> {
    let count = 1 + rng.index(most.max(1));
    (0..count).map(|_| one(rng, of)).collect()
}

fn death(rng: &mut Rng, node: NodeId, window: Duration) -> Fault {
    Fault::Death {
        node,
        silent: rng.index(2) == 0,
        back: (rng.index(2) == 0).then(|| random(rng, window * 2)),
        renamed: rng.index(2) == 0,
    }
}

fn fault(kind: Kind, rng: &mut Rng, cast: &Cast<'_>, window: Duration) -> Fault {
    let everybody = [cast.registrars, cast.elements].concat();
    match kind {
        Kind::Weather => Fault::Weather,
        Kind::Reset => Fault::Reset(one(rng, cast.registrars), one(rng, &everybody)),
        Kind::Partition => {
            let registrars = cast.registrars.len();
            let mut side = some(rng, cast.registrars, registrars.saturating_sub(1));
            side.extend(some(rng, cast.elements, cast.elements.len() / 2));
            Fault::Partition {
                side,
                both_ways: rng.index(3) > 0,
                flapping: rng.index(4) == 0,
                lasts: random(rng, window * 2),
            }
        }
        Kind::RegistrarDeath => {
            let node = one(rng, cast.registrars);
            death(rng, node, window)
        }
        Kind::ElementDeath => {
            let node = one(rng, cast.elements);
            death(rng, node, window)
        }
        Kind::MassDeath => {
            let nodes = some(rng, cast.elements, cast.elements.len() / 2);
            let silent = rng.index(2) == 0;
            if rng.index(2) == 0 {
                return Fault::MassDeath { nodes, silent };
            }
            // A rack without its network, for a time.
            Fault::Partition {
                side: nodes,
                both_ways: true,
                flapping: false,
                lasts: random(rng, window * 2),
            }
        }
        Kind::RegistrarPause => Fault::Pause {
            node: one(rng, cast.registrars),
            lasts: random(rng, window * 2),
        },
        Kind::ElementPause => Fault::Pause {
            node: one(rng, cast.elements),
            lasts: random(rng, window),
        },
        Kind::Storm => Fault::Storm(some(rng, cast.elements, cast.elements.len())),
        Kind::Attack => Fault::Attack {
            messages: 1 + rng.index(200),
        },
        Kind::Accomplice => Fault::Accomplice,
    }
}
