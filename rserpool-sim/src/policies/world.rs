//! One run: users, the pool and its elements in virtual time.
//!
//! ```text
//!   user       Demand ─▶ queue ─▶ (its turn) ───┐       ┌───▶ Request ─▶ rejected ─▶ Resolve again, after a while
//!   registrar                                 Resolve ──┘          │
//!   element                                                     accepted ─▶ Complete ─▶ Finish, at the user
//! ```
//!
//! Each arrow between two parties takes the delay; without one, it is a call.

use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use rserpool_core::Rng;
use rserpool_core::wire::PolicyType;

use super::draws::{exponential, uniform};
use super::pool::{Pool, Report};
use super::service::Service;
use super::{Scenario, whole};

/// What a run gave after the warm-up. Times are in seconds, sizes in calculations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Completed jobs.
    pub(super) completed: u32,
    /// Rejected requests.
    pub(super) rejected: u32,
    completed_size: f64,
    /// The sum of the times of the completed jobs from queued to finished.
    pub(super) handling_time: f64,
    /// The sum of the times of the completed jobs from accepted to finished.
    pub(super) processing_time: f64,
    /// Calculations of all elements.
    pub(super) used: f64,
    /// Calculations that all elements could have done.
    pub(super) offered: f64,
}

impl Sample {
    /// Calculations per second of `time`; 0 where there was none.
    pub(super) fn speed(&self, time: f64) -> f64 {
        match time > 0.0 {
            true => self.completed_size / time,
            false => 0.0,
        }
    }
}

/// A run that has not begun.
pub(super) struct World {
    scenario: Scenario,
    interval: f64,
    now: f64,
    events: BinaryHeap<Scheduled>,
    scheduled: u64,
    users: Vec<User>,
    services: Vec<Service>,
    pool: Pool,
    /// Decides when jobs come and how large they are: the same under each policy.
    demand: Rng,
    /// Decides when a rejected user asks again.
    patience: Rng,
    sample: Sample,
}

#[derive(Default)]
struct User {
    /// The jobs that are not finished, the one at work first.
    jobs: VecDeque<Job>,
}

struct Job {
    size: f64,
    queued: f64,
    accepted: f64,
}

#[derive(Clone, Copy)]
enum Event {
    /// A user has one more job.
    Demand { user: usize },
    /// A user's handle resolution request is at the registrar.
    Resolve { user: usize },
    /// A user's request is at an element.
    Request { user: usize, element: u32 },
    /// The first job of an element is done, unless its jobs have changed since.
    Complete { element: u32, changes: u64 },
    /// A result is at its user.
    Finish { user: usize },
    /// A re-registration is at the registrar.
    Register(Report),
}

/// An event and when it happens: the earliest is the greatest, and of simultaneous ones that which was scheduled first.
struct Scheduled {
    at: f64,
    number: u64,
    event: Event,
}

impl World {
    pub(super) fn new(scenario: &Scenario, policy: PolicyType, seed: [u8; 32]) -> Self {
        let mut streams = (0..=u8::MAX).map(|stream| {
            let mut seed = seed;
            seed[31] = stream;
            Rng::from_seed(seed)
        });
        let mut stream = || streams.next().unwrap_or_else(|| Rng::from_seed(seed));
        let service = |capacity: f64| {
            let most_jobs = whole(capacity / scenario.capacity_per_job).max(1);
            Service::new(capacity, most_jobs)
        };
        let mut world = Self {
            scenario: *scenario,
            interval: scenario.job_interval(),
            now: 0.0,
            events: BinaryHeap::new(),
            scheduled: 0,
            users: (0..scenario.users()).map(|_| User::default()).collect(),
            services: scenario.capacities().into_iter().map(service).collect(),
            demand: stream(),
            patience: stream(),
            pool: Pool::new(stream(), policy),
            sample: Sample::default(),
        };
        for element in 0..scenario.elements {
            world.pool.register(world.report(element));
        }
        for user in 0..world.users.len() {
            world.await_demand(user);
        }
        world
    }

    /// Runs for both times and counts in the second.
    pub(super) fn run(mut self, warm_up: Duration, duration: Duration) -> Sample {
        let begin = warm_up.as_secs_f64();
        self.run_until(begin);
        self.take_used();
        self.sample = Sample::default();
        self.run_until(begin + duration.as_secs_f64());
        self.sample.used = self.take_used();
        let capacity: f64 = self.services.iter().map(Service::capacity).sum();
        self.sample.offered = capacity * duration.as_secs_f64();
        self.sample
    }

    fn run_until(&mut self, end: f64) {
        while self.events.peek().is_some_and(|next| next.at <= end) {
            if let Some(Scheduled { at, event, .. }) = self.events.pop() {
                self.now = at;
                self.happen(event);
            }
        }
        self.now = end;
    }

    fn take_used(&mut self) -> f64 {
        let now = self.now;
        let services = self.services.iter_mut();
        services.map(|service| service.take_used(now)).sum()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Demand { user } => self.on_demand(user),
            Event::Resolve { user } => self.on_resolve(user),
            Event::Request { user, element } => self.on_request(user, element),
            Event::Complete { element, changes } => self.on_complete(element, changes),
            Event::Finish { user } => self.on_finish(user),
            Event::Register(report) => self.pool.register(report),
        }
    }

    fn on_demand(&mut self, user: usize) {
        let job = Job {
            size: self.scenario.job_size * exponential(&mut self.demand),
            queued: self.now,
            accepted: 0.0,
        };
        self.await_demand(user);
        let jobs = &mut self.users[user].jobs;
        jobs.push_back(job);
        if jobs.len() == 1 {
            self.after_delays(1.0, Event::Resolve { user });
        }
    }

    fn await_demand(&mut self, user: usize) {
        let interval = self.interval * exponential(&mut self.demand);
        self.schedule(self.now + interval, Event::Demand { user });
    }

    fn on_resolve(&mut self, user: usize) {
        if let Some(element) = self.pool.select() {
            // The answer to the user, then the request to the element.
            self.after_delays(2.0, Event::Request { user, element });
        }
    }

    fn on_request(&mut self, user: usize, element: u32) {
        let Some(job) = self.users[user].jobs.front_mut() else {
            return;
        };
        if self.services[element as usize].accept(self.now, user, job.size) {
            job.accepted = self.now + self.scenario.delay;
            self.on_change(element);
        } else {
            self.sample.rejected += 1;
            let pause = LONGEST_PAUSE * uniform(&mut self.patience);
            // The rejection to the user, then the request to the registrar.
            let at = self.now + 2.0 * self.scenario.delay + pause;
            self.schedule(at, Event::Resolve { user });
        }
    }

    fn on_complete(&mut self, element: u32, changes: u64) {
        let service = &mut self.services[element as usize];
        if service.changes() != changes {
            return;
        }
        if let Some(user) = service.complete(self.now) {
            self.on_change(element);
            self.after_delays(1.0, Event::Finish { user });
        }
    }

    /// An element has one job more or less: its next completion is another one, and the registrar has to know.
    fn on_change(&mut self, element: u32) {
        let service = &self.services[element as usize];
        let changes = service.changes();
        if let Some(at) = service.next_completion() {
            self.schedule(at, Event::Complete { element, changes });
        }
        if self.pool.is_adaptive() {
            let report = self.report(element);
            self.after_delays(1.0, Event::Register(report));
        }
    }

    fn on_finish(&mut self, user: usize) {
        let jobs = &mut self.users[user].jobs;
        let Some(job) = jobs.pop_front() else {
            return;
        };
        self.sample.completed += 1;
        self.sample.completed_size += job.size;
        self.sample.handling_time += self.now - job.queued;
        self.sample.processing_time += self.now - job.accepted;
        if !jobs.is_empty() {
            self.after_delays(1.0, Event::Resolve { user });
        }
    }

    fn report(&self, element: u32) -> Report {
        let service = &self.services[element as usize];
        Report {
            element,
            capacity: service.capacity(),
            jobs: service.jobs(),
            most_jobs: service.most_jobs(),
        }
    }

    fn after_delays(&mut self, delays: f64, event: Event) {
        match self.scenario.delay > 0.0 {
            true => self.schedule(self.now + delays * self.scenario.delay, event),
            false => self.happen(event),
        }
    }

    fn schedule(&mut self, at: f64, event: Event) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.events.push(Scheduled { at, number, event });
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        let at = other.at.total_cmp(&self.at);
        at.then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

/// A rejected user asks again after up to this many seconds.
const LONGEST_PAUSE: f64 = 0.2;
