//! The associations as the hosts' kernels keep them: opening, sending, silence, the end.
//!
//! There is at most one association between two endpoints. Each end lives by itself: where the network is cut, one end may be
//! gone while the other one has not noticed yet.

use alloc::collections::{BTreeMap, VecDeque};

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use rserpool_core::{AssocId, End, Instant, Ppid};

use crate::NodeId;
use crate::network::{Cut, CutId};
use crate::node::{Life, endpoint};
use crate::world::{Due, World};

/// What is on its way to a node.
#[derive(Debug)]
pub(crate) enum Delivery {
    Connected {
        association: AssocId,
        /// Whether the machine asked for it, and is owed an answer by that remote address.
        asked: Option<SocketAddr>,
    },
    ConnectFailed {
        remote: SocketAddr,
    },
    Disconnected {
        association: AssocId,
        end: End,
    },
    SendFailed {
        association: AssocId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    },
    Message {
        association: AssocId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    },
    Announcement {
        source: SocketAddr,
        ppid: Ppid,
        bytes: Bytes,
    },
}

/// One end of an association: whose it is, and its name there.
pub(crate) type EndId = (NodeId, AssocId);

#[derive(Debug)]
pub(crate) struct EndState {
    pub(crate) other: EndId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Whether the machine knows of it.
    pub(crate) told: bool,
    /// Whether its machine has aborted it: nothing comes any more.
    aborted: bool,
    /// When its end comes, where that is on the way already.
    ending: Option<Instant>,
    /// When the last thing that is on its way comes: nothing overtakes.
    last: Instant,
    /// What a cut keeps from coming.
    backlog: VecDeque<Delivery>,
}

/// All ends, and the cuts between the hosts.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) ends: BTreeMap<EndId, EndState>,
    /// The end between two endpoints, by the local and the remote address.
    pairs: BTreeMap<(SocketAddr, SocketAddr), EndId>,
    cuts: BTreeMap<CutId, Cut>,
    next_cut: u64,
}

impl Kernel {
    pub(crate) fn blocks(&self, from: NodeId, to: NodeId) -> bool {
        self.cuts.values().any(|cut| cut.blocks(from, to))
    }

    pub(crate) fn is_cut(&self, one: NodeId, other: NodeId) -> bool {
        self.blocks(one, other) || self.blocks(other, one)
    }

    /// Something has come to an end that it belongs to: the remote address where that end is there, and its machine knows.
    pub(crate) fn meet(&mut self, id: NodeId, delivery: &Delivery) -> Option<SocketAddr> {
        let (association, opens) = match delivery {
            Delivery::Connected { association, .. } => (association, true),
            Delivery::Message { association, .. } | Delivery::SendFailed { association, .. } => {
                (association, false)
            }
            _ => return None,
        };
        let state = self.ends.get_mut(&(id, *association))?;
        state.told |= opens;
        // Who aborts hears no more of the peer, but gets back what the peer has not got.
        let heard = !state.aborted || matches!(delivery, Delivery::SendFailed { .. });
        (state.told && heard).then_some(state.remote)
    }

    fn remove(&mut self, end: EndId) -> Option<EndState> {
        let state = self.ends.remove(&end)?;
        let pair = (state.local, state.remote);
        if self.pairs.get(&pair) == Some(&end) {
            self.pairs.remove(&pair);
        }
        Some(state)
    }

    fn ends_of(&self, node: NodeId) -> Vec<EndId> {
        self.ends
            .range((node, AssocId(0))..=(node, AssocId(u64::MAX)))
            .map(|(end, _)| *end)
            .collect()
    }
}

/// An attempt to open an association, until it is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) from: NodeId,
    pub(crate) starts: u16,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) until: Instant,
}

impl World {
    /// Sends the first packet of an association.
    pub(crate) fn connect(&mut self, from: NodeId, ppid: Ppid, remote: SocketAddr) {
        let node = &mut self.nodes[from.index()];
        let local = endpoint(from, node.port(ppid));
        let attempt = Attempt {
            from,
            starts: node.starts,
            local,
            remote,
            until: self.now + self.network.connect_timeout,
        };
        if let Some(&end) = self.kernel.pairs.get(&(local, remote)) {
            // It is up already, and said so again.
            return self.arrive(end, Duration::ZERO, |association| Delivery::Connected {
                association,
                asked: Some(remote),
            });
        }
        let delay = self.delay();
        self.schedule(delay, Due::Attempt(attempt));
    }

    /// The packet arrives, or does not.
    pub(crate) fn attempt(&mut self, attempt: Attempt) {
        let Attempt {
            from,
            local,
            remote,
            ..
        } = attempt;
        let caller = &self.nodes[from.index()];
        let dead = !matches!(caller.life, Life::Running | Life::Paused);
        if dead || caller.starts != attempt.starts {
            return;
        }
        if let Some(&end) = self.kernel.pairs.get(&(local, remote)) {
            return self.arrive(end, Duration::ZERO, |association| Delivery::Connected {
                association,
                asked: Some(remote),
            });
        }
        let failed = Delivery::ConnectFailed { remote };
        let to = NodeId::of(remote.ip()).filter(|id| id.index() < self.nodes.len());
        let Some(to) =
            to.filter(|to| self.nodes[to.index()].is_up() && !self.kernel.is_cut(from, *to))
        else {
            if self.now >= attempt.until {
                return self.deliver_later(from, Duration::ZERO, failed);
            }
            let pause = self.network.retransmission;
            return self.schedule(pause, Due::Attempt(attempt));
        };
        let back = self.delay();
        if !self.nodes[to.index()].listens(remote.port()) || self.chance(self.network.refusal) {
            return self.deliver_later(from, back, failed);
        }
        self.establish((from, local), (to, remote));
    }

    fn establish(
        &mut self,
        (from, local): (NodeId, SocketAddr),
        (to, remote): (NodeId, SocketAddr),
    ) {
        // The peer has lost the association without this end's knowing: it begins anew (RFC 9260 §5.2.2).
        if let Some(&stale) = self.kernel.pairs.get(&(remote, local)) {
            self.lose_now(stale);
        }
        self.next += 2;
        let (near, far) = ((from, AssocId(self.next)), (to, AssocId(self.next - 1)));
        for (end, other, local, remote) in [(near, far, local, remote), (far, near, remote, local)]
        {
            let state = EndState {
                other,
                local,
                remote,
                told: false,
                aborted: false,
                ending: None,
                last: self.now,
                backlog: VecDeque::new(),
            };
            self.kernel.ends.insert(end, state);
            self.kernel.pairs.insert((local, remote), end);
        }
        for end in [far, near] {
            let delay = self.delay();
            let asked = (end == near).then_some(remote);
            self.arrive(end, delay, |association| Delivery::Connected {
                association,
                asked,
            });
        }
    }

    /// Something comes to an end, after all that is on its way there already.
    fn arrive(&mut self, end: EndId, delay: Duration, delivery: impl FnOnce(AssocId) -> Delivery) {
        let at = self.now + delay;
        let Some(state) = self.kernel.ends.get_mut(&end) else {
            return;
        };
        state.last = state.last.max(at);
        let at = state.last;
        self.schedule_at(at, Due::Delivery(end.0, delivery(end.1)));
    }

    /// An end learns that the association is no more, where it does not learn it earlier.
    fn finish(&mut self, end: EndId, at: Instant, how: End) {
        let Some(state) = self.kernel.ends.get_mut(&end) else {
            return;
        };
        if state.ending.is_some_and(|ending| ending <= at) {
            return;
        }
        state.ending = Some(at);
        let association = end.1;
        let ended = Delivery::Disconnected {
            association,
            end: how,
        };
        self.schedule_at(at, Due::Delivery(end.0, ended));
    }

    /// When something that an end is sent now, with `delay`, comes.
    fn in_order(&self, end: EndId, delay: Duration) -> Instant {
        let at = self.now + delay;
        self.kernel
            .ends
            .get(&end)
            .map_or(at, |state| state.last.max(at))
    }

    /// No new association is taken for this one.
    fn unpair(&mut self, end: EndId) {
        if let Some(state) = self.kernel.ends.get(&end) {
            let pair = (state.local, state.remote);
            if self.kernel.pairs.get(&pair) == Some(&end) {
                self.kernel.pairs.remove(&pair);
            }
        }
    }

    /// A message of a machine.
    pub(crate) fn send_message(
        &mut self,
        from: NodeId,
        association: AssocId,
        (ppid, stream, bytes): (Ppid, u16, Bytes),
    ) {
        let Some(near) = self.kernel.ends.get(&(from, association)) else {
            return;
        };
        let other = near.other;
        let blocked = self.kernel.blocks(from, other.0);
        let delay = self.reliable_delay();
        let vanished = !self.nodes[other.0.index()].is_up();
        let Some(far) = self.kernel.ends.get_mut(&other).filter(|_| !vanished) else {
            return;
        };
        let message = Delivery::Message {
            association: other.1,
            ppid,
            stream,
            bytes,
        };
        if blocked || !far.backlog.is_empty() {
            far.backlog.push_back(message);
        } else {
            self.arrive(other, delay, |_| message);
        }
    }

    /// A datagram to all hosts.
    pub(crate) fn multicast(&mut self, from: NodeId, ppid: Ppid, bytes: &Bytes) {
        let source = endpoint(from, rserpool_core::ASAP_PORT);
        for index in 0..self.nodes.len() {
            let id = NodeId(u16::try_from(index).expect("checked by `add`"));
            let deaf = !self.nodes[index].hears(ppid);
            if id == from || deaf || self.kernel.blocks(from, id) {
                continue;
            }
            let copies = match (
                self.chance(self.network.loss),
                self.chance(self.network.duplication),
            ) {
                (true, _) => 0,
                (false, twice) => 1 + usize::from(twice),
            };
            for _ in 0..copies {
                let delay = self.delay();
                let announcement = Delivery::Announcement {
                    source,
                    ppid,
                    bytes: bytes.clone(),
                };
                self.deliver_later(id, delay, announcement);
            }
        }
    }

    /// A machine ends an association; what is on its way in it arrives before.
    pub(crate) fn end(&mut self, id: NodeId, association: AssocId, how: End) {
        let near = (id, association);
        let Some(state) = self.kernel.ends.get_mut(&near) else {
            return;
        };
        state.aborted |= how == End::Lost;
        let other = state.other;
        if how == End::Lost {
            self.return_undelivered(near);
        }
        let delay = self.delay();
        self.finish(near, self.in_order(near, delay), how);
        self.unpair(near);
        self.tell_end(id, other, how);
    }

    /// The other end learns of the end: at once, or, where nothing gets there, by the silence.
    fn tell_end(&mut self, from: NodeId, other: EndId, how: End) {
        if self.kernel.blocks(from, other.0) {
            let detection = self.detection();
            self.finish(other, self.now + detection, End::Lost);
        } else {
            let delay = self.delay();
            self.finish(other, self.in_order(other, delay), how);
            self.unpair(other);
        }
    }

    /// The association is no more; what it could not deliver comes back.
    pub(crate) fn lose_now(&mut self, end: EndId) {
        self.return_undelivered(end);
        self.finish(end, self.now, End::Lost);
        self.unpair(end);
    }

    fn return_undelivered(&mut self, end: EndId) {
        let Some(other) = self.kernel.ends.get(&end).map(|state| state.other) else {
            return;
        };
        let Some(far) = self.kernel.ends.get_mut(&other) else {
            return;
        };
        for delivery in core::mem::take(&mut far.backlog) {
            if let Delivery::Message {
                ppid,
                stream,
                bytes,
                ..
            } = delivery
            {
                self.arrive(end, Duration::ZERO, |association| Delivery::SendFailed {
                    association,
                    ppid,
                    stream,
                    bytes,
                });
            }
        }
    }

    /// The end is taken out of the kernel.
    pub(crate) fn close(&mut self, end: EndId) -> Option<EndState> {
        self.kernel.remove(end)
    }

    /// All associations of a host end; the others are told, or notice by the silence.
    pub(crate) fn end_all(&mut self, id: NodeId, told: bool) {
        for end in self.kernel.ends_of(id) {
            let Some(state) = self.kernel.remove(end) else {
                continue;
            };
            if told {
                self.tell_end(id, state.other, End::Lost);
            } else {
                let detection = self.detection();
                self.finish(state.other, self.now + detection, End::Lost);
            }
        }
    }

    /// Cuts the network: associations across the cut end when the silence is noticed, unless it is healed before.
    pub fn cut(&mut self, cut: Cut) -> CutId {
        self.kernel.next_cut += 1;
        let id = CutId(self.kernel.next_cut);
        let across: Vec<_> = self
            .kernel
            .ends
            .iter()
            .filter(|(end, state)| {
                cut.blocks(end.0, state.other.0) || cut.blocks(state.other.0, end.0)
            })
            .map(|(end, _)| *end)
            .collect();
        self.note(|| {
            format!(
                "cut {}: {:?} -> {:?}{}",
                id.0,
                cut.from,
                cut.to,
                if cut.both_ways { " and back" } else { "" }
            )
        });
        self.kernel.cuts.insert(id, cut);
        for end in across {
            let detection = self.detection();
            self.schedule(detection, Due::Silence(end, id));
        }
        id
    }

    /// The silence across a cut is noticed at one end.
    pub(crate) fn silence(&mut self, end: EndId, cut: CutId) {
        if !self.kernel.cuts.contains_key(&cut) {
            return;
        }
        let Some(other) = self.kernel.ends.get(&end).map(|state| state.other) else {
            return;
        };
        self.lose_now(end);
        // The other end is told, or finds out by the answer to its next packet after the cut.
        self.tell_end(end.0, other, End::Lost);
    }

    /// Ends a cut; what it kept from coming comes within a retransmission time.
    pub fn heal(&mut self, cut: CutId) {
        let Some(healed) = self.kernel.cuts.remove(&cut) else {
            return;
        };
        self.truth.heal(self.now, healed);
        self.note(|| format!("cut {} healed", cut.0));
        let waiting: Vec<_> = self
            .kernel
            .ends
            .iter()
            .filter(|(_, state)| !state.backlog.is_empty())
            // A dead host sends nothing again.
            .filter(|(_, state)| self.kernel.ends.contains_key(&state.other))
            .map(|(end, state)| (*end, state.other.0))
            .collect();
        for (end, from) in waiting {
            if self.kernel.blocks(from, end.0) {
                continue;
            }
            let backlog = self
                .kernel
                .ends
                .get_mut(&end)
                .map(|state| core::mem::take(&mut state.backlog));
            let delay = self.delay() + self.within(self.network.retransmission);
            for delivery in backlog.into_iter().flatten() {
                self.arrive(end, delay, |_| delivery);
            }
        }
    }

    /// A message that `from` never sent comes to `to` on an association between them, as from somebody in between.
    pub fn forge(&mut self, from: NodeId, to: NodeId, (ppid, bytes): (Ppid, Bytes)) {
        self.truth.hear_lie(from, ppid, &bytes);
        let port = if ppid == Ppid::ENRP {
            rserpool_core::ENRP_PORT
        } else {
            rserpool_core::ASAP_PORT
        };
        let ends = self.kernel.ends_of(to);
        let between = ends.into_iter().find(|end| {
            let state = &self.kernel.ends[end];
            state.other.0 == from && state.local.port() == port
        });
        if let Some(end) = between {
            self.arrive(end, Duration::ZERO, |association| Delivery::Message {
                association,
                ppid,
                stream: 0,
                bytes,
            });
        }
    }

    /// Cuts one association between two hosts, as a middlebox does: each end is told that it is lost.
    pub fn reset(&mut self, one: NodeId, other: NodeId) {
        self.note(|| format!("associations between {one:?} and {other:?} reset"));
        for node in [one, other] {
            self.nodes[node.index()].disturbed = self.now;
        }
        let ends = self.kernel.ends_of(one);
        for end in ends {
            let far = self.kernel.ends[&end].other;
            if far.0 == other {
                self.lose_now(end);
                self.lose_now(far);
            }
        }
    }

    /// A node gets something without an association, or a failure of its own kernel.
    fn deliver_later(&mut self, to: NodeId, delay: Duration, delivery: Delivery) {
        self.schedule(delay, Due::Delivery(to, delivery));
    }

    fn delay(&mut self) -> Duration {
        if self.network.is_rough() {
            self.truth.rough = self.now;
        }
        self.network.latency + self.within(self.network.jitter)
    }

    /// With every loss, a retransmission time that doubles.
    fn reliable_delay(&mut self) -> Duration {
        const MAX_LOSSES: u32 = 5;
        let mut delay = self.delay();
        let mut losses = 0;
        while losses < MAX_LOSSES && self.chance(self.network.loss) {
            delay += self.network.retransmission * (1 << losses);
            losses += 1;
        }
        delay
    }

    fn detection(&mut self) -> Duration {
        self.network.detection + self.within(self.network.detection_spread)
    }
}
