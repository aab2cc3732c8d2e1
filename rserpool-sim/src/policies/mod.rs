//! The load-sharing comparison of the RSerPool literature: how well each policy of RFC 5356 shares the capacity of a pool.
//!
//! ```text
//!   pool users        jobs of exponential size, exponentially distributed intervals, a queue (first in, first out) each
//!       │ 1 job each
//!       ▼
//!   handlespace       the real one: selects by the policy; each change of a load is a re-registration
//!       │ 1 element
//!       ▼
//!   pool elements     processor sharing: n jobs have an n-th of the capacity each; a full element rejects
//! ```
//!
//! A [`Scenario`] is one point of a [`Figure`]. [`run()`] gives a [`Row`] for each point and policy, with the mean of all
//! runs and its 95 % confidence interval; [`svg`] draws them. Runs of the same number have the same jobs under each policy.
//! The numbers depend on [`Options`] only, not on the number of threads or the machine.
//!
//! ```
//! use core::time::Duration;
//! use rserpool_core::wire::PolicyType;
//! use rserpool_sim::policies::{Figure, Options, run, svg};
//!
//! let mut options = Options::default();
//! options.figures = vec![Figure::Spread(vec![1.0, 4.0])];
//! options.policies = vec![PolicyType::WEIGHTED_RANDOM, PolicyType::LEAST_USED];
//! (options.runs, options.duration) = (2, Duration::from_secs(60));
//! let rows = run(&options, &mut |_| {});
//! assert_eq!(rows.len(), 4);
//! assert!(rows[2].handling_speed.mean > rows[0].handling_speed.mean);
//! assert!(svg(&rows).starts_with("<svg "));
//! ```

mod draws;
mod estimate;
mod pool;
mod service;
mod svg;
mod world;

use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::mpsc;
use std::thread;

use rserpool_core::wire::PolicyType;

pub use estimate::Estimate;
pub use svg::svg;

use world::{Sample, World};

/// The policies that the literature compares.
pub const POLICIES: [PolicyType; 8] = [
    PolicyType::ROUND_ROBIN,
    PolicyType::RANDOM,
    PolicyType::WEIGHTED_ROUND_ROBIN,
    PolicyType::WEIGHTED_RANDOM,
    PolicyType::LEAST_USED,
    PolicyType::LEAST_USED_DEGRADATION,
    PolicyType::PRIORITY_LEAST_USED,
    PolicyType::RANDOMIZED_LEAST_USED,
];

/// A policy's name in the literature: one of "RR", "RAND", "WRR", "WRAND", "LU", "LUD", "PLU", "RLU"; "?" for others than
/// [`POLICIES`].
pub const fn abbreviation(policy: PolicyType) -> &'static str {
    match policy {
        PolicyType::ROUND_ROBIN => "RR",
        PolicyType::RANDOM => "RAND",
        PolicyType::WEIGHTED_ROUND_ROBIN => "WRR",
        PolicyType::WEIGHTED_RANDOM => "WRAND",
        PolicyType::LEAST_USED => "LU",
        PolicyType::LEAST_USED_DEGRADATION => "LUD",
        PolicyType::PRIORITY_LEAST_USED => "PLU",
        PolicyType::RANDOMIZED_LEAST_USED => "RLU",
        _ => "?",
    }
}

/// A pool and its users. A value out of its range counts as the nearest in range.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// Pool elements: 1 to 10,000.
    pub elements: u32,
    /// Mean capacity of an element, in calculations per second: 1 to 10^15.
    pub capacity: f64,
    /// Users per element (r): up to 1,000; there is always one user.
    pub ratio: f64,
    /// The share of the pool's capacity that the jobs need in the long run: 0.01 to 1. With a ratio below 1 the users
    /// need less.
    pub target_utilisation: f64,
    /// Mean size of a job in calculations: 1 to 10^15.
    pub job_size: f64,
    /// The capacity of a fast element relative to a slow one (gamma): 1, where all are equal, to 10^6. The mean stays.
    pub spread: f64,
    /// The share of fast elements (lambda): 0 to 1, rounded to whole elements.
    pub fast: f64,
    /// What a job gets at least, in calculations per second, 1 to 10^15: an element rejects a job that would leave
    /// less to each.
    pub capacity_per_job: f64,
    /// One-way delay between users, registrar and elements, in seconds: 0 to 3600.
    pub delay: f64,
}

/// The literature's defaults, with jobs that take 1 s alone.
impl Default for Scenario {
    fn default() -> Self {
        Self {
            elements: 10,
            capacity: 1e6,
            ratio: 10.0,
            target_utilisation: 0.8,
            job_size: 1e6,
            spread: 1.0,
            fast: 0.1,
            capacity_per_job: 1e4,
            delay: 0.0,
        }
    }
}

impl Scenario {
    /// The number of users.
    pub fn users(&self) -> u32 {
        let scenario = self.in_range();
        whole(scenario.ratio * f64::from(scenario.elements)).max(1)
    }

    /// The mean interval between two jobs of a user, in seconds.
    pub fn job_interval(&self) -> f64 {
        let scenario = self.in_range();
        let alone = scenario.job_size / (scenario.target_utilisation * scenario.capacity);
        scenario.ratio.max(1.0) * alone
    }

    /// The capacity of each element, in calculations per second: the fast ones first.
    pub fn capacities(&self) -> Vec<f64> {
        let scenario = self.in_range();
        let elements = f64::from(scenario.elements);
        let fast = (scenario.fast * elements).round();
        let slow = scenario.capacity * elements / (fast * scenario.spread + (elements - fast));
        let of = |index: u32| match f64::from(index) < fast {
            true => slow * scenario.spread,
            false => slow,
        };
        (0..scenario.elements).map(of).collect()
    }

    /// The scenario that is simulated: every value in its range.
    fn in_range(&self) -> Self {
        // Of NaN, the lower end.
        let between = |value: f64, low: f64, high: f64| value.max(low).min(high);
        Self {
            elements: self.elements.clamp(1, 10_000),
            capacity: between(self.capacity, 1.0, 1e15),
            ratio: between(self.ratio, 0.0, 1000.0),
            target_utilisation: between(self.target_utilisation, 0.01, 1.0),
            job_size: between(self.job_size, 1.0, 1e15),
            spread: between(self.spread, 1.0, 1e6),
            fast: between(self.fast, 0.0, 1.0),
            capacity_per_job: between(self.capacity_per_job, 1.0, 1e15),
            delay: between(self.delay, 0.0, 3600.0),
        }
    }
}

/// What varies along the horizontal axis of a figure, with its values.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// [`Scenario::ratio`]: how much the users' own queues hide.
    Ratio(Vec<f64>),
    /// [`Scenario::target_utilisation`]: increasing offered load.
    Load(Vec<f64>),
    /// [`Scenario::spread`]: heterogeneous capacities.
    Spread(Vec<f64>),
    /// [`Scenario::delay`]: loads that are out of date.
    Delay(Vec<f64>),
}

impl Figure {
    /// PU:PE ratios from 1 to 20: the first figure of the literature.
    pub fn ratio() -> Self {
        Self::Ratio([1, 2, 3, 4, 5, 7, 10, 15, 20].map(f64::from).to_vec())
    }

    /// Target utilisations from 10 % to 95 %.
    pub fn load() -> Self {
        let percents = [10, 20, 30, 40, 50, 60, 70, 80, 90, 95];
        Self::Load(percents.map(|percent| f64::from(percent) / 100.0).to_vec())
    }

    /// A fast element with the capacity of 1 to 8 slow ones.
    pub fn spread() -> Self {
        Self::Spread((1..=8).map(f64::from).collect())
    }

    /// Delays from 0 to 500 ms.
    pub fn delay() -> Self {
        let millis = [0, 10, 20, 50, 100, 200, 500];
        Self::Delay(millis.map(|millis| f64::from(millis) / 1000.0).to_vec())
    }

    /// Its name for a table: "ratio", "load", "spread" or "delay".
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ratio(_) => "ratio",
            Self::Load(_) => "load",
            Self::Spread(_) => "spread",
            Self::Delay(_) => "delay",
        }
    }

    /// The values along the axis.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Ratio(values)
            | Self::Load(values)
            | Self::Spread(values)
            | Self::Delay(values) => values,
        }
    }

    fn scenario(&self, base: Scenario, value: f64) -> Scenario {
        let mut scenario = base;
        let varied = match self {
            Self::Ratio(_) => &mut scenario.ratio,
            Self::Load(_) => &mut scenario.target_utilisation,
            Self::Spread(_) => &mut scenario.spread,
            Self::Delay(_) => &mut scenario.delay,
        };
        *varied = value;
        scenario.in_range()
    }
}

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// The figures.
    pub figures: Vec<Figure>,
    /// The policies; others than [`POLICIES`] are left out.
    pub policies: Vec<PolicyType>,
    /// What does not vary.
    pub base: Scenario,
    /// Runs of each point and policy, at least 1: with one, the confidence intervals are infinite.
    pub runs: u32,
    /// Virtual time before anything is counted.
    pub warm_up: Duration,
    /// Virtual time that is counted.
    pub duration: Duration,
    /// The seed of the whole comparison.
    pub seed: u64,
    /// Threads; `None` for one on each core.
    pub threads: Option<NonZeroUsize>,
}

/// All figures and policies, 24 runs of 120 minutes after 15 minutes of warm-up.
impl Default for Options {
    fn default() -> Self {
        Self {
            figures: [
                Figure::ratio(),
                Figure::load(),
                Figure::spread(),
                Figure::delay(),
            ]
            .to_vec(),
            policies: POLICIES.to_vec(),
            base: Scenario::default(),
            runs: 24,
            warm_up: Duration::from_secs(15 * 60),
            duration: Duration::from_secs(120 * 60),
            seed: 1,
            threads: None,
        }
    }
}

/// What one policy made of one scenario. Speeds are shares of the mean capacity of an element.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The figure's [name](Figure::name).
    pub figure: &'static str,
    /// Where it stands on the figure's horizontal axis.
    pub value: f64,
    /// Everything that was simulated, with `value`.
    pub scenario: Scenario,
    /// The policy.
    pub policy: PolicyType,
    /// The average handling speed: sizes of the completed jobs by their times from queued to finished.
    pub handling_speed: Estimate,
    /// The average processing speed: sizes of the completed jobs by their times from accepted to finished.
    pub processing_speed: Estimate,
    /// The share of the pool's capacity that was used.
    pub utilisation: Estimate,
    /// Completed jobs of a run.
    pub completed: Estimate,
    /// Jobs of a run that a full element rejected; the user asks again.
    pub rejected: Estimate,
}

/// How far the comparison is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs that are done.
    pub done: usize,
    /// All runs.
    pub total: usize,
}

/// A point of a figure under a policy.
struct Point {
    figure: &'static str,
    value: f64,
    scenario: Scenario,
    policy: PolicyType,
}

/// Simulates all points; the rows come in the order of figures, policies and values. `progress` hears of each run that is
/// done, in this thread.
pub fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Vec<Row> {
    let points = points(options);
    let runs = usize::try_from(options.runs.max(1)).unwrap_or(1);
    let total = points.len() * runs;
    let mut samples = alloc::vec![Sample::default(); total];
    let next = AtomicUsize::new(0);
    let (report, reports) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads(options).min(total) {
            let (report, points, next) = (report.clone(), &points, &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = points.get(index / runs) else {
                        return;
                    };
                    let sample =
                        World::new(&point.scenario, point.policy, seed(options, index % runs))
                            .run(options.warm_up, options.duration);
                    if report.send((index, sample)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(report);
        for (done, (index, sample)) in reports.iter().enumerate() {
            samples[index] = sample;
            let done = done + 1;
            progress(Progress { done, total });
        }
    });
    let samples = samples.chunks(runs);
    points
        .iter()
        .zip(samples)
        .map(|(point, samples)| row(point, samples))
        .collect()
}

fn points(options: &Options) -> Vec<Point> {
    let mut points = Vec::new();
    for figure in &options.figures {
        for policy in options
            .policies
            .iter()
            .filter(|policy| POLICIES.contains(policy))
        {
            points.extend(figure.values().iter().map(|value| Point {
                figure: figure.name(),
                value: *value,
                scenario: figure.scenario(options.base, *value),
                policy: *policy,
            }));
        }
    }
    points
}

fn threads(options: &Options) -> usize {
    let threads = options
        .threads
        .or_else(|| thread::available_parallelism().ok());
    threads.map_or(1, NonZeroUsize::get)
}

/// The seed of a run. It does not depend on policy and scenario, so that all have the same jobs.
fn seed(options: &Options, run: usize) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    seed[8..16].copy_from_slice(&(run as u64).to_le_bytes());
    seed
}

fn row(point: &Point, samples: &[Sample]) -> Row {
    let capacity = point.scenario.capacity;
    let estimate = |of: &dyn Fn(&Sample) -> f64| Estimate::of(samples.iter().map(of));
    Row {
        figure: point.figure,
        value: point.value,
        scenario: point.scenario,
        policy: point.policy,
        handling_speed: estimate(&|sample| sample.speed(sample.handling_time) / capacity),
        processing_speed: estimate(&|sample| sample.speed(sample.processing_time) / capacity),
        utilisation: estimate(&|sample| sample.used / sample.offered),
        completed: estimate(&|sample| f64::from(sample.completed)),
        rejected: estimate(&|sample| f64::from(sample.rejected)),
    }
}

/// Rounded; what is below 0 or above `u32::MAX` is the nearest of the two.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer saturates"
)]
fn whole(value: f64) -> u32 {
    value.round() as u32
}
