//! Taking over a failed peer's elements (RFC 5353 §3.5).
//!
//! ```text
//!  peer dead ─▶ INIT_TAKEOVER to all ─▶ all active peers have acknowledged, or 5 s ─▶ TAKEOVER_SERVER to all
//!                  │         │                                                            │
//!    target heard ─┘         └─ a better initiator: give way, and watch it                ▼
//!                                            move, one element after the other: home = self, KEEP_ALIVE(H)
//! ```
//!
//! Nobody's silence can stop a takeover: whoever does not acknowledge in time is left out and asked whether it is there. And a
//! target is never forgotten while it owns elements: where another one's takeover comes to nothing, one's own begins.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::scope::Status;
use super::{Event, Registrar, Timer};
use crate::ids::ServerId;
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::enrp::MessageBody;

/// A takeover of one's own that is being arbitrated.
#[derive(Debug)]
pub(super) struct Takeover {
    /// Who has not acknowledged yet.
    awaited: BTreeSet<ServerId>,
}

/// The elements of a dead registrar get a new home, one at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    from: ServerId,
    to: ServerId,
}

impl Registrar {
    /// The peer did not answer: it is dead (RFC 5353 §3.4.3).
    pub(super) fn on_no_response(&mut self, now: Instant, target: ServerId) {
        self.timers.cancel(Timer::NoResponse(target));
        match self.scope.servers.get(&target).map(|server| server.status) {
            Some(Status::Suspected {
                taker,
                claimed: true,
            }) => self.hand_over(now, target, taker),
            // Silent, but somebody else is about to take it over.
            Some(Status::Suspected { claimed: false, .. }) | None => {}
            Some(_) if planted(Bug::DeadPeerForgotten) => self.forget_server(target),
            Some(_) => self.initiate(now, target),
        }
    }

    /// Begins the arbitration (RFC 5353 §3.5.1).
    fn initiate(&mut self, now: Instant, target: ServerId) {
        if self.scope.takeovers.contains_key(&target) {
            return;
        }
        if let Some(server) = self.scope.servers.get_mut(&target) {
            server.status = Status::Probed;
        }
        self.actions.notify(Event::PeerDead { server: target });
        self.timers.cancel(Timer::LastHeard(target));
        self.timers.cancel(Timer::Suspicion(target));
        let awaited: BTreeSet<_> = self
            .active_peers()
            .into_iter()
            .filter(|id| *id != target)
            .collect();
        let alone = awaited.is_empty();
        self.scope.takeovers.insert(target, Takeover { awaited });
        self.send_all(MessageBody::InitTakeover { target }, false);
        if alone {
            self.complete(now, target);
        } else {
            self.timers.set(
                Timer::Takeover(target),
                now + self.config.max_time_no_response,
            );
        }
    }

    /// The target is alive after all.
    pub(super) fn stop_takeover(&mut self, target: ServerId) {
        if self.scope.takeovers.remove(&target).is_some() {
            self.timers.cancel(Timer::Takeover(target));
        }
    }

    pub(super) fn on_init_takeover_ack(
        &mut self,
        now: Instant,
        sender: ServerId,
        target: ServerId,
    ) {
        let Some(takeover) = self.scope.takeovers.get_mut(&target) else {
            return;
        };
        takeover.awaited.remove(&sender);
        if takeover.awaited.is_empty() {
            self.complete(now, target);
        }
    }

    /// Some have not acknowledged in time: they are asked whether they are there, and the takeover goes on without them.
    pub(super) fn on_takeover_timeout(&mut self, now: Instant, target: ServerId) {
        let Some(takeover) = self.scope.takeovers.get(&target) else {
            return;
        };
        if planted(Bug::TakeoverWaitsForAll) {
            return;
        }
        if planted(Bug::TakeoverGivenUp) {
            self.stop_takeover(target);
            return self.forget_server(target);
        }
        let mute: Vec<_> = takeover.awaited.iter().copied().collect();
        for id in mute {
            self.probe(now, id);
        }
        self.complete(now, target);
    }

    /// The arbitration is won (RFC 5353 §3.5.2).
    fn complete(&mut self, now: Instant, target: ServerId) {
        self.stop_takeover(target);
        self.send_all(MessageBody::TakeoverServer { target }, true);
        self.actions.notify(Event::TakenOver {
            server: target,
            elements: self.handlespace.owned_count(target),
        });
        self.counters.takeovers += 1;
        self.begin_move(now, target, self.id);
    }

    /// The elements of `from`, which is forgotten, are those of `to` from now on.
    fn begin_move(&mut self, now: Instant, from: ServerId, to: ServerId) {
        self.scope.moves.push_back(Move { from, to });
        self.timers.set(Timer::Move, now);
        self.forget_server(from);
    }

    /// Moves the next element. One that becomes one's own is asked to adopt this registrar (RFC 5353 §3.5.2 step 2).
    pub(super) fn on_move(&mut self, now: Instant) {
        let Some(&Move { from, to }) = self.scope.moves.front() else {
            return;
        };
        let next = self.handlespace.owned_by(from).next();
        match next {
            Some(key) => {
                self.set_home(key, to);
                self.touch(key);
                if to == self.id && !planted(Bug::ClaimsNotAsked) {
                    self.claim(now, key);
                }
            }
            None => {
                self.scope.moves.pop_front();
            }
        }
        if !self.scope.moves.is_empty() {
            self.timers.set(Timer::Move, now);
        }
    }

    /// Whether the elements of this registrar are about to have another home.
    pub(super) fn is_moving_from(&self, id: ServerId) -> bool {
        self.scope.moves.iter().any(|one| one.from == id)
    }

    /// RFC 5353 §3.5.1, what each peer does.
    pub(super) fn on_init_takeover(&mut self, now: Instant, sender: ServerId, target: ServerId) {
        if target == self.id {
            // 1: it is alive, and says so to all.
            self.announce_presence();
            return;
        }
        if self.scope.takeovers.contains_key(&target) {
            let yields = self.config.dialect.takeover_yields(self.id, sender);
            if !yields && !planted(Bug::BothYield) {
                // 2B
                return;
            }
            // 2A
            self.stop_takeover(target);
        }
        // 2A, 3: no longer monitored, but asked: a live target answers. Where nothing comes of the sender's takeover, one's
        // own begins.
        if let Some(server) = self.scope.servers.get_mut(&target) {
            server.status = Status::Suspected {
                taker: sender,
                claimed: false,
            };
            self.timers.cancel(Timer::LastHeard(target));
            self.timers.cancel(Timer::NoResponse(target));
            // The sender waits MAX-TIME-NO-RESPONSE at most; where it dies meanwhile, its takeover comes to nothing. So it does
            // where both give way, one by the RFC's rule and one by that of the reference implementation: the pause is random,
            // so that they do not begin together again and again.
            let patience = self.config.max_time_no_response;
            let pause = patience * 3 / 2 + self.rng.jitter(patience);
            if !planted(Bug::SuspicionNotArmed) {
                self.timers.set(Timer::Suspicion(target), now + pause);
            }
            self.timers.set(
                Timer::NoResponse(target),
                now + self.config.max_time_no_response,
            );
            self.send_presence(target, true);
        }
        self.send_server(sender, MessageBody::InitTakeoverAck { target });
    }

    /// Nothing came of another one's takeover.
    pub(super) fn on_suspicion_ended(&mut self, now: Instant, target: ServerId) {
        let status = self.scope.servers.get(&target).map(|server| server.status);
        if matches!(status, Some(Status::Suspected { .. })) {
            self.initiate(now, target);
        }
    }

    /// RFC 5353 §3.5.2, what each peer does. It counts only from a registrar whose takeover was acknowledged, or where the
    /// target is lost to this registrar, too; a target that may still answer is waited for.
    pub(super) fn on_takeover_server(&mut self, now: Instant, sender: ServerId, target: ServerId) {
        if planted(Bug::TakeoverByAnybody) {
            return self.hand_over(now, target, sender);
        }
        if target == self.id {
            self.announce_presence();
            return;
        }
        let Some(server) = self.scope.servers.get_mut(&target) else {
            // Unknown here, but it may own elements that a mentor told of.
            return;
        };
        match &mut server.status {
            Status::Suspected { taker, claimed } if *taker == sender => {
                *claimed = true;
                if !self.timers.is_set(Timer::NoResponse(target)) {
                    self.hand_over(now, target, sender);
                }
            }
            Status::Probed => {
                server.status = Status::Suspected {
                    taker: sender,
                    claimed: true,
                };
                self.stop_takeover(target);
                if !self.timers.is_set(Timer::NoResponse(target)) {
                    self.hand_over(now, target, sender);
                }
            }
            _ => self.counters.unexpected += 1,
        }
    }

    /// The target's elements are the taker's from now on.
    fn hand_over(&mut self, now: Instant, target: ServerId, taker: ServerId) {
        self.expect_news(taker);
        self.begin_move(now, target, taker);
    }
}
