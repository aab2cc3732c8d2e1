//! A client of a registrar that keeps a number of requests on their way, and does nothing else.
//!
//! ```text
//!  connect ──▶ Filling ──────────▶ Running ────────────────────────▶ Clearing ──▶ told
//!              the pool's elements  requests until the time is over   the elements leave
//! ```

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use rserpool_core::wire::Policy;
use rserpool_core::wire::asap::{self, Message};
use rserpool_core::wire::{PoolElement, TransportBuf};
use rserpool_core::{
    Action, AssocId, Dialect, Input, Instant, Life, Machine, PeId, Ppid, ServerId,
};

use super::network::{Outcome, Tally};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Handle resolutions of one pool.
    Resolve,
    /// Registrations of new elements. Each leaves again before the next one comes.
    Register,
}

/// What to do, and where.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) request: Request,
    pub(super) registrar: SocketAddr,
    pub(super) dialect: Dialect,
    pub(super) pool: Bytes,
    /// The elements of the pool, all at this place.
    pub(super) elements: u32,
    pub(super) transport: TransportBuf,
    pub(super) outstanding: u32,
    pub(super) time: Duration,
    /// What to say where no registrar answers.
    pub(super) no_registrar: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Filling,
    Running,
    Clearing,
    Done,
}

/// The client.
pub(super) struct Caller {
    plan: Plan,
    phase: Phase,
    home: Option<AssocId>,
    actions: VecDeque<Action<Outcome>>,
    /// When the requests on their way were sent; a registrar answers in order.
    sent: VecDeque<Instant>,
    /// How many de-registrations are on their way.
    leaving: u32,
    next: u32,
    heard: Instant,
    tally: Tally,
}

impl Caller {
    /// What is not answered in this time is not answered at all.
    const PATIENCE: Duration = Duration::from_secs(2);

    pub(super) fn new(plan: Plan) -> Self {
        let connect = Action::Connect {
            ppid: Ppid::ASAP,
            remote: vec![plan.registrar],
        };
        Self {
            plan,
            phase: Phase::Filling,
            home: None,
            actions: VecDeque::from([connect]),
            sent: VecDeque::new(),
            leaving: 0,
            next: 1,
            heard: Instant::EPOCH,
            tally: Tally::default(),
        }
    }

    fn send(&mut self, message: &Message<'_>) {
        if let (Some(association), Ok(bytes)) = (self.home, message.to_bytes()) {
            self.actions.push_back(Action::Send {
                association,
                ppid: Ppid::ASAP,
                stream: 0,
                unordered: false,
                bytes,
            });
        }
    }

    fn register(&mut self, now: Instant) {
        let (pool, transport) = (self.plan.pool.clone(), self.plan.transport.clone());
        let life = Life::For(Duration::from_secs(600));
        self.send(&Message::Registration {
            pool_handle: &pool,
            pool_element: PoolElement {
                id: PeId(self.next),
                home_id: ServerId::default(),
                life: self.plan.dialect.life_to_wire(life),
                user_transport: transport.as_transport(),
                policy: Policy::RoundRobin,
                asap_transport: None,
            },
        });
        self.next = self.next.wrapping_add(1).max(1);
        self.sent.push_back(now);
    }

    fn deregister(&mut self, pe_id: PeId) {
        let pool = self.plan.pool.clone();
        self.send(&Message::Deregistration {
            pool_handle: &pool,
            pe_id,
        });
        self.leaving += 1;
    }

    fn request(&mut self, now: Instant) {
        match self.plan.request {
            Request::Register => self.register(now),
            Request::Resolve => {
                let pool = self.plan.pool.clone();
                self.send(&Message::HandleResolution {
                    subscribe: false,
                    pool_handle: &pool,
                    items: None,
                });
                self.sent.push_back(now);
            }
        }
    }

    fn on_connected(&mut self, now: Instant, association: AssocId) {
        self.home = Some(association);
        self.heard = now;
        for _ in 0..self.plan.elements {
            self.register(now);
        }
        self.proceed(now);
    }

    /// Goes to the next phase, where nothing is left of this one.
    fn proceed(&mut self, now: Instant) {
        if !self.sent.is_empty() || self.leaving > 0 {
            return;
        }
        match self.phase {
            Phase::Filling => {
                self.phase = Phase::Running;
                self.tally.begin(now);
                for _ in 0..self.plan.outstanding {
                    self.request(now);
                }
            }
            Phase::Running => {
                self.tally.end(now);
                self.phase = Phase::Clearing;
                for id in 1..=self.plan.elements {
                    self.deregister(PeId(id));
                }
                self.proceed(now);
            }
            Phase::Clearing => {
                let tally = core::mem::take(&mut self.tally);
                self.finish(Ok(tally));
            }
            Phase::Done => {}
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        if self.phase == Phase::Done {
            return;
        }
        self.phase = Phase::Done;
        if let Some(association) = self.home {
            self.actions.push_back(Action::Disconnect { association });
        }
        self.actions.push_back(Action::Notify(outcome));
    }

    /// A request was answered: it counts, and the next one takes its place.
    fn on_answer(&mut self, now: Instant, refused: bool, registered: Option<PeId>) {
        let Some(sent) = self.sent.pop_front() else {
            return;
        };
        if self.phase == Phase::Filling && refused {
            return self.finish(Err("the registrar refuses the elements".into()));
        }
        if self.phase == Phase::Running {
            self.tally.count(now.duration_since(sent), refused);
            match registered.filter(|_| !refused) {
                Some(pe_id) => self.deregister(pe_id),
                None => self.again(now),
            }
        }
        self.proceed(now);
    }

    fn on_left(&mut self, now: Instant) {
        self.leaving = self.leaving.saturating_sub(1);
        if self.phase == Phase::Running {
            self.again(now);
        }
        self.proceed(now);
    }

    fn again(&mut self, now: Instant) {
        if !self.tally.is_over(now, self.plan.time) {
            self.request(now);
        }
    }

    fn on_message(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(decoded) = asap::decode(bytes) else {
            return;
        };
        self.heard = now;
        match decoded.message {
            Message::RegistrationResponse {
                rejected, pe_id, ..
            } => self.on_answer(now, rejected, Some(pe_id)),
            Message::HandleResolutionResponse { error, .. } => {
                self.on_answer(now, error.is_some(), None);
            }
            Message::DeregistrationResponse { .. } => self.on_left(now),
            Message::EndpointKeepAlive { pe_id, .. } => {
                let pool = self.plan.pool.clone();
                self.send(&Message::EndpointKeepAliveAck {
                    pool_handle: &pool,
                    pe_id: pe_id.unwrap_or(PeId(1)),
                });
            }
            _ => {}
        }
    }
}

impl Machine for Caller {
    type Event = Outcome;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { association, .. } => self.on_connected(now, association),
            Input::ConnectFailed { .. } => self.finish(Err(self.plan.no_registrar.clone())),
            Input::Disconnected { .. } => self.finish(Err("the registrar is gone".into())),
            Input::Message { bytes, .. } => self.on_message(now, bytes),
            Input::SendFailed { .. } | Input::Announcement { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        self.heard = now;
        if self.phase != Phase::Running {
            return self.finish(Err(self.plan.no_registrar.clone()));
        }
        let places = self.sent.len() + usize::try_from(self.leaving).unwrap_or(0);
        self.tally.unanswered(places);
        self.sent.clear();
        self.leaving = 0;
        for _ in 0..places {
            self.again(now);
        }
        self.proceed(now);
    }

    fn poll_action(&mut self) -> Option<Action<Outcome>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (self.phase != Phase::Done).then(|| self.heard + Self::PATIENCE)
    }
}
