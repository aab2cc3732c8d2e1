//! What is done to the world of a run.

use core::time::Duration;

use rserpool_core::{Ppid, ServerId};

use crate::attacks::{self, Victim};
use crate::plan::Fault;
use crate::run::{Op, POOL, Run, pe_id};
use crate::{Cut, NodeId};

impl Run {
    pub(crate) fn execute(&mut self, op: Op) {
        match op {
            Op::Begin(fault) => {
                self.report.faults += 1;
                self.inflict(fault);
            }
            Op::Heal(cut) => {
                self.cuts.remove(&cut);
                self.world.heal(cut);
            }
            Op::Cut(cut, again) => self.flap(cut, again),
            Op::Resume(node) => self.world.resume(node),
            Op::Restart(node) => self.restart(node),
            Op::Rejoin(elements) => {
                for node in elements {
                    if self.world.is_running(node) {
                        self.world
                            .element(node, |element, now| element.register(now));
                    }
                }
            }
            Op::Calm => self.calm(),
            Op::Attack(attacker, messages) => self.attack(attacker, messages),
            Op::Vouch(attacker) => self.vouch(attacker),
        }
    }

    fn inflict(&mut self, fault: Fault) {
        let now = self.world.now();
        match fault {
            Fault::Weather => self.weather(),
            Fault::Reset(one, other) => self.world.reset(one, other),
            Fault::Partition {
                side,
                both_ways,
                flapping,
                lasts,
            } => {
                let cut = self.cut_off(side, both_ways);
                if flapping {
                    self.flap(cut, 20);
                } else {
                    let cut = self.world.cut(cut);
                    self.cuts.insert(cut);
                    self.at(now + lasts, Op::Heal(cut));
                }
            }
            Fault::Death {
                node,
                silent,
                back,
                renamed,
            } => {
                self.kill(node, silent, renamed);
                if let Some(back) = back {
                    self.at(now + back, Op::Restart(node));
                }
            }
            Fault::MassDeath { nodes, silent } => {
                for node in nodes {
                    self.kill(node, silent, false);
                }
            }
            Fault::Pause { node, lasts } => {
                self.world.pause(node);
                self.at(now + lasts, Op::Resume(node));
            }
            Fault::Storm(elements) => {
                for node in &elements {
                    if self.world.is_running(*node) {
                        self.world
                            .element(*node, |element, now| element.deregister(now));
                    }
                }
                let back = self.seconds(0, 20);
                self.at(now + back, Op::Rejoin(elements));
            }
            Fault::Attack { messages } => {
                let attacker = self.add_attacker(&[Ppid::ENRP, Ppid::ASAP]);
                self.at(now + Duration::from_secs(1), Op::Attack(attacker, messages));
            }
            Fault::Accomplice => {
                let attacker = self.add_attacker(&[Ppid::ASAP]);
                self.at(now + Duration::from_secs(1), Op::Vouch(attacker));
            }
        }
    }

    fn add_attacker(&mut self, ppids: &[Ppid]) -> NodeId {
        let attacker = self.world.add_raw();
        self.attackers.push(attacker);
        for node in self.registrars.clone() {
            for ppid in ppids {
                self.world.raw_connect(attacker, node, *ppid);
            }
        }
        attacker
    }

    /// The cut between some and all others.
    fn cut_off(&self, side: Vec<NodeId>, both_ways: bool) -> Cut {
        let from: alloc::collections::BTreeSet<_> = side.into_iter().collect();
        let all = [&self.registrars[..], &self.elements[..]].concat();
        let others = all.into_iter().filter(|node| !from.contains(node));
        Cut {
            to: others.collect(),
            from,
            both_ways,
        }
    }

    fn weather(&mut self) {
        let network = &mut self.world.network;
        network.loss = u16::try_from(self.rng.index(300)).unwrap_or(0);
        network.duplication = u16::try_from(self.rng.index(100)).unwrap_or(0);
        network.refusal = u16::try_from(self.rng.index(300)).unwrap_or(0);
        network.jitter = Duration::from_millis(u64::try_from(self.rng.index(5000)).unwrap_or(0));
        let calm = self.world.now() + self.seconds(0, 120);
        self.at(calm, Op::Calm);
    }

    /// The cut comes and goes, every few seconds.
    fn flap(&mut self, cut: Cut, again: u32) {
        let now = self.world.now();
        let id = self.world.cut(cut.clone());
        self.cuts.insert(id);
        let healed = now + self.seconds(1, 10);
        self.at(healed, Op::Heal(id));
        if again > 0 {
            let next = healed + self.seconds(1, 10);
            self.at(next, Op::Cut(cut, again - 1));
        }
    }

    fn kill(&mut self, node: NodeId, silent: bool, renamed: bool) {
        let now = self.world.now();
        if self.world.is_dead(node) {
            return;
        }
        if self.registrars.contains(&node) {
            let id = self.world.registrar(node, |registrar, _| registrar.id());
            let mut owned = false;
            for element in self.elements.clone() {
                if self.world.is_running(element) && self.world.home_of(element) == Some(id) {
                    self.homeless.insert(element, now);
                    owned = true;
                }
            }
            self.deaths.insert(id, (now, owned));
            self.last_death = Some(now);
            self.world.rename(node, (!renamed).then_some(id));
        } else {
            self.homeless.remove(&node);
            self.gone.insert(node, now);
        }
        if silent {
            self.world.vanish(node);
        } else {
            self.world.crash(node);
        }
    }

    fn restart(&mut self, node: NodeId) {
        if !self.world.is_dead(node) {
            return;
        }
        self.world.restart(node);
        if self.registrars.contains(&node) {
            let id = self.world.registrar(node, |registrar, _| registrar.id());
            self.deaths.remove(&id);
            self.started.insert(node, self.world.now());
        } else {
            self.gone.remove(&node);
            self.world
                .element(node, |element, now| element.register(now));
        }
    }

    fn attack(&mut self, attacker: NodeId, messages: usize) {
        if self.world.is_dead(attacker) {
            return;
        }
        let own = ServerId(self.rng.nonzero_u32());
        let portion = messages.min(10);
        for _ in 0..portion {
            let registrar = self.registrars[self.rng.index(self.registrars.len())];
            let index = self.rng.index(self.elements.len());
            let registrar = self
                .world
                .registrar(registrar, |registrar, _| registrar.id());
            let victim = Victim {
                attacker,
                sender: if self.coin() { own } else { registrar },
                registrar,
                element: pe_id(index),
                address: self.elements[index].address(),
            };
            let (ppid, bytes) = attacks::message(&mut self.rng, POOL.as_bytes(), &victim);
            self.world.raw_send(attacker, ppid, &bytes);
            let ghost = attacks::ghost(&mut self.rng);
            self.world.raw_announce(attacker, Ppid::ENRP, &ghost);
        }
        if messages > portion {
            let next = self.world.now() + self.seconds(0, 5);
            self.at(next, Op::Attack(attacker, messages - portion));
        }
    }

    /// The attacker acknowledges keep-alives in the name of all dead elements (S3), again and again.
    fn vouch(&mut self, attacker: NodeId) {
        let index = |element| self.elements.iter().position(|one| one == element);
        for index in self.gone.keys().filter_map(index) {
            let bytes = attacks::acknowledgement(POOL.as_bytes(), pe_id(index));
            self.world.raw_send(attacker, Ppid::ASAP, &bytes);
        }
        let next = self.world.now() + self.seconds(0, 3);
        self.at(next, Op::Vouch(attacker));
    }

    /// All faults end: the network is whole, processes go on, and the dead come back or are left dead.
    pub(crate) fn heal_all(&mut self) {
        self.ops.retain(|_, op| matches!(op, Op::Rejoin(_)));
        for cut in core::mem::take(&mut self.cuts) {
            self.world.heal(cut);
        }
        self.calm();
        let nodes = [&self.registrars[..], &self.elements[..]].concat();
        let alive = self
            .registrars
            .iter()
            .filter(|node| !self.world.is_dead(**node))
            .count();
        let mut revive = alive == 0;
        for node in nodes {
            self.world.resume(node);
            let is_registrar = self.registrars.contains(&node);
            if self.world.is_dead(node) && (self.coin() || (revive && is_registrar)) {
                revive = false;
                self.restart(node);
            }
        }
        // Whoever wanted to come back while it stood still, does so now.
        let elements = self.elements.clone();
        self.execute(Op::Rejoin(elements));
        for attacker in core::mem::take(&mut self.attackers) {
            if self.coin() {
                self.world.crash(attacker);
            } else {
                self.world.vanish(attacker);
            }
        }
    }
}
