//! Joining the scope: a mentor, its list of registrars, its handle table (RFC 5353 §3.2).
//!
//! ```text
//!  no peer configured ────────────────────────────────────────────────────────▶ Running
//!  peers configured ──▶ mentor i: PRESENCE ─▶ LIST ─▶ table, page by page ─────▶ Running
//!                          ▲     │ refused, silent, unreachable                    ▲
//!                          └─────┴── next mentor; after the last round, alone ─────┘
//! ```

use core::net::SocketAddr;

use super::{Registrar, Timer};
use crate::ids::{AssocId, ServerId};
use crate::time::Instant;
use crate::wire::enrp::MessageBody;
use crate::wire::{List, ServerInformation};

/// How far the registrar is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Startup {
    /// It offers its services.
    #[default]
    Running,
    /// It waits for any registrar's presence by multicast.
    Discovering,
    /// It asks a mentor.
    Mentored {
        /// Which of the configured peers, counted over all rounds.
        attempt: usize,
        /// Who the mentor is; unknown until it has said so.
        mentor: Option<ServerId>,
        /// Whether the list has come.
        listed: bool,
    },
}

impl Startup {
    pub(super) fn is_running(self) -> bool {
        self == Self::Running
    }
}

impl Registrar {
    /// How often all mentors are tried before the registrar takes itself to be alone.
    const MENTOR_ROUNDS: usize = 3;

    /// Begins to look for a mentor (RFC 5353 §3.2.2.1).
    pub(super) fn start(&mut self, now: Instant) {
        if !self.config.peers.is_empty() {
            self.ask_mentor(now, 0);
        } else if self.config.enrp_announce {
            self.scope.startup = Startup::Discovering;
            self.timers
                .set(Timer::Mentor, now + self.config.max_time_no_response);
        } else {
            self.run(now);
        }
    }

    /// Initialization is completed: the services are offered.
    fn run(&mut self, now: Instant) {
        self.scope.startup = Startup::Running;
        self.timers.cancel(Timer::Mentor);
        self.scope.refusers.clear();
        if self.config.announce {
            self.timers.set(Timer::Announce, now);
        }
        if !self.config.enrp_addresses.is_empty() {
            self.on_heartbeat(now);
            self.schedule_resync(now);
        }
    }

    fn ask_mentor(&mut self, now: Instant, attempt: usize) {
        let peers = self.config.peers.len();
        let over = attempt >= peers * Self::MENTOR_ROUNDS
            || (attempt >= peers && self.is_first_of_starters());
        let Some(address) = self.mentor_address(attempt).filter(|_| !over) else {
            self.run(now);
            return;
        };
        let known = self
            .scope
            .servers
            .iter()
            .find(|(_, server)| server.addresses.contains(&address))
            .map(|(id, _)| *id);
        self.scope.startup = Startup::Mentored {
            attempt,
            mentor: known,
            listed: false,
        };
        // Two registrars that start at the same time refuse each other: the pause is random, so that they do not stay in step.
        let patience = self.rng.jitter(self.config.max_time_no_response);
        self.timers.set(Timer::Mentor, now + patience);
        match known {
            Some(id) => self.send_server(id, MessageBody::ListRequest),
            None => self.call_contacts(),
        }
    }

    /// Who is asked at that attempt; nobody where no peer is configured, and the mentor was heard by multicast.
    fn mentor_address(&self, attempt: usize) -> Option<SocketAddr> {
        let peers = &self.config.peers;
        peers.get(attempt.checked_rem(peers.len())?).copied()
    }

    /// Whether others are starting, too, and this registrar is to be the first: all of them would refuse each other for ever.
    fn is_first_of_starters(&self) -> bool {
        let refusers = &self.scope.refusers;
        !refusers.is_empty() && refusers.iter().all(|refuser| self.id < *refuser)
    }

    fn next_mentor(&mut self, now: Instant) {
        match self.scope.startup {
            Startup::Mentored { attempt, .. } => self.ask_mentor(now, attempt + 1),
            Startup::Discovering => self.run(now),
            Startup::Running => {}
        }
    }

    /// MAX-TIME-NO-RESPONSE is over without an answer of the mentor (RFC 5353 §3.2.2.2).
    pub(super) fn on_mentor_timeout(&mut self, now: Instant) {
        self.next_mentor(now);
    }

    /// A mentor cannot be reached: the timer runs on, so that all mentors together are not tried in a burst.
    pub(super) fn on_mentor_unreachable(&mut self, now: Instant, remote: SocketAddr) {
        if let Startup::Mentored { attempt, .. } = self.scope.startup {
            let last = attempt + 1 >= self.config.peers.len() * Self::MENTOR_ROUNDS;
            if self.mentor_address(attempt) == Some(remote) && !last {
                let pause = self.config.max_time_no_response / 4;
                self.timers.set(Timer::Mentor, now + pause);
            }
        }
    }

    /// A peer is heard while a mentor is looked for.
    pub(super) fn on_mentor_heard(&mut self, now: Instant, id: ServerId) {
        let is_mentor = match self.scope.startup {
            Startup::Running
            | Startup::Mentored {
                mentor: Some(_), ..
            } => false,
            Startup::Discovering => true,
            Startup::Mentored { attempt, .. } => {
                let address = self.mentor_address(attempt);
                let server = self.scope.servers.get(&id);
                server
                    .zip(address)
                    .is_some_and(|(server, address)| server.addresses.contains(&address))
            }
        };
        if is_mentor {
            let attempt = match self.scope.startup {
                Startup::Mentored { attempt, .. } => attempt,
                _ => 0,
            };
            self.scope.startup = Startup::Mentored {
                attempt,
                mentor: Some(id),
                listed: false,
            };
            self.timers
                .set(Timer::Mentor, now + self.config.max_time_no_response);
            self.send_server(id, MessageBody::ListRequest);
        }
    }

    /// The mentor refused, or the download from it came to nothing.
    pub(super) fn on_mentor_failed(&mut self, now: Instant, id: ServerId) {
        if let Startup::Mentored {
            mentor: Some(mentor),
            ..
        } = self.scope.startup
            && mentor == id
        {
            let pause = self.rng.jitter(self.config.max_time_no_response / 2);
            self.timers.set(Timer::Mentor, now + pause);
        }
    }

    /// RFC 5353 §3.2.2.2. Only the mentor's answer counts.
    pub(super) fn on_list_response(
        &mut self,
        now: Instant,
        id: ServerId,
        rejected: bool,
        servers: List<'_, ServerInformation<'_>>,
    ) {
        let Startup::Mentored {
            attempt,
            mentor: Some(mentor),
            listed: false,
        } = self.scope.startup
        else {
            self.counters.unexpected += 1;
            return;
        };
        if mentor != id {
            self.counters.unexpected += 1;
            return;
        }
        if rejected {
            self.scope.refusers.insert(id);
            self.on_mentor_failed(now, id);
            return;
        }
        for server in servers {
            if server.id == self.id || server.id == ServerId::default() {
                continue;
            }
            let new = !self.scope.servers.contains_key(&server.id);
            if self.ensure_server(now, server.id).is_some() && new {
                self.learn_addresses(server.id, &server.transport);
                self.send_presence(server.id, true);
            }
        }
        self.scope.startup = Startup::Mentored {
            attempt,
            mentor: Some(id),
            listed: true,
        };
        self.timers.cancel(Timer::Mentor);
        self.start_download(now, id, false);
    }

    /// RFC 5353 §3.2.3 step 5.
    pub(super) fn on_mentor_table_complete(&mut self, now: Instant, id: ServerId) {
        if let Startup::Mentored {
            mentor: Some(mentor),
            ..
        } = self.scope.startup
            && mentor == id
        {
            self.run(now);
        }
    }

    /// A peer asks for the known registrars (RFC 5353 §3.2.2.2).
    pub(super) fn on_list_request(&mut self, association: AssocId, sender: ServerId) {
        let running = self.scope.startup.is_running();
        let known: alloc::vec::Vec<_> = self
            .scope
            .servers
            .iter()
            .filter(|(id, server)| running && **id != sender && !server.addresses.is_empty())
            .map(|(id, server)| {
                let addresses: alloc::vec::Vec<_> =
                    server.addresses.iter().map(|one| one.ip()).collect();
                (*id, server.addresses[0].port(), addresses)
            })
            .collect();
        let servers: alloc::vec::Vec<_> = known
            .iter()
            .map(|(id, port, addresses)| ServerInformation {
                id: *id,
                transport: crate::wire::SctpTransport {
                    port: *port,
                    transport_use: crate::wire::TransportUse::DATA_ONLY,
                    addresses: List::Slice(addresses),
                },
            })
            .collect();
        let body = MessageBody::ListResponse {
            rejected: !running,
            servers: List::Slice(&servers),
        };
        self.answer_enrp(association, sender, body);
    }
}
