//! The load-sharing comparison: agreement with reference values and with theory, and the order of the policies.
//!
//! The reference values are those of an independent model with the literature's definitions and parameters: 24 runs of 120
//! minutes after 15 minutes, as ours. Two values agree where their 95 % confidence intervals meet.

use core::num::NonZeroUsize;
use core::time::Duration;

use rserpool_core::wire::PolicyType;
use rserpool_sim::policies::{
    Estimate, Figure, Options, POLICIES, Progress, Row, abbreviation, run, svg,
};

/// Utilisation ± and handling speed ±, in percent.
type Cell = (f64, f64, f64, f64);

/// The values of a policy along the users per element.
struct Reference {
    job_size: f64,
    policy: PolicyType,
    ratios: &'static [f64],
    cells: &'static [Cell],
}

impl Reference {
    /// What ours makes of it.
    fn rows(&self, runs: u32) -> Vec<Row> {
        let mut options = Options::default();
        options.figures = vec![Figure::Ratio(self.ratios.to_vec())];
        options.policies = vec![self.policy];
        options.base.job_size = self.job_size;
        options.runs = runs;
        run(&options, &mut |_| {})
    }

    /// One of its points.
    fn at(&self, index: usize) -> Self {
        Self {
            ratios: &self.ratios[index..=index],
            cells: &self.cells[index..=index],
            ..*self
        }
    }

    fn check(&self, runs: u32) {
        let rows = self.rows(runs);
        assert_eq!(rows.len(), self.cells.len());
        for (row, (utilisation, utilisation_width, speed, speed_width)) in
            rows.iter().zip(self.cells)
        {
            let at = format!("{} at r = {}", abbreviation(self.policy), row.value);
            println!(
                "{at}: {}; {}",
                percent(row.utilisation),
                percent(row.handling_speed)
            );
            agree(&at, row.utilisation, (*utilisation, *utilisation_width));
            agree(&at, row.handling_speed, (*speed, *speed_width));
        }
    }
}

fn percent(estimate: Estimate) -> String {
    let (mean, half_width) = (estimate.mean * 100.0, estimate.half_width * 100.0);
    format!("{mean:.2} ± {half_width:.2}")
}

/// The intervals meet; the reference is rounded to tenths.
fn agree(at: &str, ours: Estimate, (mean, half_width): (f64, f64)) {
    let distance = (ours.mean * 100.0 - mean).abs();
    let tolerance = ours.half_width * 100.0 + half_width + 0.05;
    let ours = percent(ours);
    assert!(
        distance <= tolerance,
        "{at}: {ours}, reference {mean} ± {half_width}"
    );
}

/// One point, as the defaults have it but shorter.
fn at(policies: &[PolicyType], figure: Figure, runs: u32) -> Vec<Row> {
    let mut options = Options::default();
    options.figures = vec![figure];
    options.policies = policies.to_vec();
    (options.runs, options.warm_up, options.duration) = (runs, minutes(2), minutes(10));
    run(&options, &mut |_| {})
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn speeds(rows: &[Row]) -> Vec<f64> {
    rows.iter().map(|row| row.handling_speed.mean).collect()
}

#[test]
fn long_jobs_agree_with_the_reference() {
    LONG_JOBS.iter().for_each(|reference| reference.check(12));
}

#[test]
fn jobs_of_ten_seconds_agree_with_the_reference() {
    TEN_SECONDS
        .iter()
        .for_each(|reference| reference.at(2).check(12));
}

/// The example of the literature: least used 55.5 %, round robin 8.6 %, random 0.5 %.
#[test]
fn jobs_of_one_second_agree_with_the_reference() {
    for reference in &ONE_SECOND {
        reference.at(2).check(3);
    }
}

#[test]
#[ignore = "a minute in release: cargo test --release -p rserpool-sim --test policies -- --ignored --nocapture"]
fn all_of_the_first_figure_agrees_with_the_reference() {
    for reference in ONE_SECOND.iter().chain(&TEN_SECONDS).chain(&LONG_JOBS) {
        reference.check(24);
    }
}

/// Alone with an element each, users are M/M/1 queues: the handling speed is the idle share.
#[test]
fn least_used_with_a_user_per_element_is_as_theory_says() {
    let rows = at(&[PolicyType::LEAST_USED], Figure::Ratio(vec![1.0]), 12);
    agree("M/M/1", rows[0].handling_speed, (20.0, 0.0));
    assert!(rows[0].processing_speed.mean > 0.999);
}

/// With many users, elements that are selected at random are M/M/1 queues with processor sharing: the processing speed is
/// the idle share.
#[test]
fn random_with_many_users_is_as_theory_says() {
    let mut options = Options::default();
    options.figures = vec![Figure::Load(vec![0.5])];
    options.policies = vec![PolicyType::RANDOM, PolicyType::WEIGHTED_RANDOM];
    options.base.ratio = 100.0;
    (options.runs, options.warm_up, options.duration) = (8, minutes(2), minutes(10));
    for row in run(&options, &mut |_| {}) {
        agree("M/M/1-PS", row.processing_speed, (50.0, 0.0));
    }
}

#[test]
fn the_utilisation_is_what_the_users_need() {
    let rows = at(&POLICIES, Figure::Load(vec![0.5]), 3);
    assert_eq!(rows.len(), POLICIES.len());
    for row in &rows {
        assert!((row.utilisation.mean - row.value).abs() < 0.02, "{row:?}");
    }
}

/// Where all elements are equal, a weight says nothing, and neither does a degradation that counts at once.
#[test]
fn equal_elements_make_equal_policies() {
    let [rr, rand, wrr, wrand, lu, lud, plu, rlu] = at(&POLICIES, Figure::Load(vec![0.8]), 3)
        .try_into()
        .unwrap();
    let speed = |row: &Row| row.handling_speed;
    assert_eq!(speed(&rr), speed(&wrr));
    assert_eq!((speed(&lu), speed(&lu)), (speed(&lud), speed(&plu)));
    let (random, weighted) = (speed(&rand), speed(&wrand));
    assert!((random.mean - weighted.mean).abs() < random.half_width + weighted.half_width);
    let order = speeds(&[rand, rlu, rr, lu]);
    assert!(order.is_sorted(), "{order:?}");
}

/// One element as fast as six of the others: those who do not know it cannot use it.
#[test]
fn unequal_elements_need_weights_or_loads() {
    let [rr, rand, wrr, wrand, lu, _, plu, rlu] = at(&POLICIES, Figure::Spread(vec![6.0]), 3)
        .try_into()
        .unwrap();
    for blind in [&rr, &rand, &rlu] {
        assert!(blind.utilisation.mean < 0.72, "{blind:?}");
        assert!(blind.handling_speed.mean < 0.05, "{blind:?}");
    }
    for aware in [&wrr, &wrand, &lu, &plu] {
        assert!((aware.utilisation.mean - 0.8).abs() < 0.02, "{aware:?}");
    }
    let order = speeds(&[rand, wrand, wrr, plu, lu]);
    assert!(order.is_sorted(), "{order:?}");
}

/// Loads that are out of date send everybody to the same element. That is what degradation is for (RFC 5356 §5.2.1).
#[test]
fn degradation_bridges_the_delay() {
    let policies = [PolicyType::LEAST_USED, PolicyType::LEAST_USED_DEGRADATION];
    let rows = at(&policies, Figure::Delay(vec![0.0, 0.1, 0.5]), 3);
    let (plain, degrading) = (speeds(&rows[..3]), speeds(&rows[3..]));
    assert_eq!(plain[0], degrading[0]);
    assert!(degrading[1] > plain[1] * 1.1, "{plain:?} {degrading:?}");
    assert!(degrading[2] > plain[2] * 1.4, "{plain:?} {degrading:?}");
    assert!(plain.is_sorted_by(|a, b| a > b) && degrading.is_sorted_by(|a, b| a > b));
}

#[test]
fn the_rows_depend_on_the_seed_and_not_on_the_threads() {
    let mut options = Options::default();
    options.figures = vec![Figure::Ratio(vec![2.0]), Figure::Delay(vec![0.05])];
    (options.runs, options.warm_up, options.duration) = (3, minutes(1), minutes(2));
    options.threads = NonZeroUsize::new(1);
    let alone = run(&options, &mut |_| {});
    options.threads = NonZeroUsize::new(5);
    let mut reports = Vec::new();
    let together = run(&options, &mut |progress| reports.push(progress));
    assert_eq!(alone, together);
    assert_eq!(svg(&alone), svg(&together));
    let total = 2 * POLICIES.len() * 3;
    let expected = (1..=total).map(|done| Progress { done, total });
    assert!(reports.into_iter().eq(expected));
    options.seed = 2;
    assert_ne!(alone, run(&options, &mut |_| {}));
}

/// The same on every machine: no result of a mathematical library is in it.
#[test]
fn the_bits_are_the_same_everywhere() {
    let rows = at(&[PolicyType::LEAST_USED], Figure::Ratio(vec![3.0]), 1);
    assert_eq!(rows[0].handling_speed.mean.to_bits(), LEAST_USED_BITS);
}

/// A full element rejects, and the user comes again.
#[test]
fn full_elements_reject() {
    let mut options = Options::default();
    options.figures = vec![Figure::Load(vec![0.9])];
    options.policies = vec![PolicyType::RANDOM];
    options.base.capacity_per_job = 5e5;
    (options.runs, options.warm_up, options.duration) = (2, minutes(2), minutes(10));
    let rows = run(&options, &mut |_| {});
    assert!(
        rows[0].rejected.mean > rows[0].completed.mean / 10.0,
        "{rows:?}"
    );
    assert!(
        rows[0].processing_speed.mean > 0.5,
        "never more than two at a time"
    );
}

#[test]
fn what_is_out_of_range_is_brought_into_it() {
    let mut options = Options::default();
    options.figures = vec![Figure::Delay(vec![f64::NAN, -1.0])];
    options.policies = vec![PolicyType::PRIORITY, PolicyType::LEAST_USED, PolicyType(0)];
    options.base.elements = 0;
    options.base.ratio = f64::NEG_INFINITY;
    options.base.capacity = f64::NAN;
    options.base.job_size = 0.0;
    options.base.target_utilisation = 1e9;
    options.base.spread = 0.0;
    options.base.fast = f64::INFINITY;
    options.base.capacity_per_job = -0.0;
    (options.runs, options.warm_up, options.duration) = (0, Duration::ZERO, minutes(1));
    let rows = run(&options, &mut |_| {});
    assert_eq!(rows.len(), 2, "only what is comparable");
    for row in &rows {
        let scenario = row.scenario;
        assert_eq!(
            (scenario.elements, scenario.users(), scenario.delay),
            (1, 1, 0.0)
        );
        assert_eq!(scenario.capacities(), [1.0]);
        assert_eq!(row.handling_speed.half_width, f64::INFINITY);
    }
    options.figures.clear();
    assert_eq!(run(&options, &mut |_| {}), []);
    assert!(svg(&[]).ends_with("</svg>\n"));
}

#[test]
fn fast_elements_keep_the_capacity_of_the_pool() {
    let mut scenario = Options::default().base;
    (scenario.spread, scenario.fast) = (3.0, 0.2);
    let capacities = scenario.capacities();
    assert_eq!(capacities.len(), 10);
    assert!((capacities.iter().sum::<f64>() - 1e7).abs() < 1e-3);
    assert_eq!(capacities[1], 3.0 * capacities[2]);
    assert_eq!(capacities[2], capacities[9]);
}

#[test]
fn a_figure_has_a_line_for_each_policy_in_each_diagram() {
    let rows = at(&POLICIES[..3], Figure::Load(vec![0.2, 0.4]), 2);
    let drawing = svg(&rows);
    let lines = drawing
        .lines()
        .filter(|line| line.contains("stroke-dasharray"));
    assert_eq!(lines.count(), 3 + 2 * 3, "the legend and two diagrams");
    for text in [
        "RR",
        "RAND",
        "WRR",
        "Target utilisation, %",
        "Handling speed, % of an element",
    ] {
        assert!(drawing.contains(&format!(">{text}</text>")), "{text}");
    }
    assert!(!drawing.contains("NaN") && !drawing.contains("inf"));
}

const LEAST_USED_BITS: u64 = 0x3fe1_d8c6_463d_ff7e;

const RATIOS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0];

/// Jobs that take 1 s alone.
const ONE_SECOND: [Reference; 3] = [
    Reference {
        job_size: 1e6,
        policy: PolicyType::LEAST_USED,
        ratios: RATIOS,
        cells: &[
            (80.1, 0.2, 20.0, 0.2),
            (80.0, 0.2, 47.1, 0.3),
            (80.0, 0.2, 55.5, 0.3),
            (80.0, 0.2, 59.9, 0.3),
            (80.0, 0.2, 62.6, 0.3),
            (80.0, 0.2, 65.7, 0.3),
            (80.0, 0.2, 68.1, 0.3),
            (80.0, 0.2, 70.0, 0.4),
            (80.0, 0.2, 70.8, 0.4),
        ],
    },
    Reference {
        job_size: 1e6,
        policy: PolicyType::ROUND_ROBIN,
        ratios: RATIOS,
        cells: &[
            (65.1, 0.1, 0.1, 0.0),
            (79.3, 0.1, 1.4, 0.1),
            (80.0, 0.2, 8.6, 0.3),
            (80.0, 0.2, 13.4, 0.4),
            (80.0, 0.2, 16.8, 0.4),
            (80.0, 0.2, 21.1, 0.4),
            (80.0, 0.2, 24.5, 0.5),
            (80.0, 0.2, 27.2, 0.4),
            (80.0, 0.2, 28.8, 0.4),
        ],
    },
    Reference {
        job_size: 1e6,
        policy: PolicyType::RANDOM,
        ratios: RATIOS,
        cells: &[
            (52.6, 0.1, 0.1, 0.0),
            (69.0, 0.1, 0.2, 0.0),
            (76.6, 0.1, 0.5, 0.0),
            (79.7, 0.1, 1.8, 0.1),
            (80.0, 0.2, 4.0, 0.2),
            (80.0, 0.2, 7.6, 0.2),
            (80.1, 0.2, 10.5, 0.3),
            (80.0, 0.1, 13.5, 0.3),
            (79.9, 0.2, 14.8, 0.2),
        ],
    },
];

/// Jobs that take 10 s alone.
const TEN_SECONDS: [Reference; 3] = [
    Reference {
        job_size: 1e7,
        policy: PolicyType::LEAST_USED,
        ratios: RATIOS,
        cells: &[
            (79.8, 0.6, 20.3, 0.9),
            (79.9, 0.6, 47.2, 0.8),
            (79.9, 0.6, 56.0, 1.0),
            (79.9, 0.6, 60.4, 0.9),
            (79.9, 0.6, 63.1, 1.0),
            (79.9, 0.6, 66.3, 1.1),
            (79.9, 0.6, 68.8, 1.0),
            (79.8, 0.6, 70.1, 1.1),
            (79.8, 0.6, 70.9, 1.4),
        ],
    },
    Reference {
        job_size: 1e7,
        policy: PolicyType::ROUND_ROBIN,
        ratios: RATIOS,
        cells: &[
            (65.0, 0.3, 1.2, 0.0),
            (77.4, 0.4, 4.7, 0.5),
            (79.5, 0.6, 10.5, 1.1),
            (79.8, 0.6, 14.8, 1.2),
            (79.8, 0.6, 17.7, 1.2),
            (79.8, 0.6, 21.8, 1.5),
            (79.8, 0.6, 25.4, 1.4),
            (79.9, 0.6, 27.6, 1.2),
            (79.8, 0.7, 29.3, 1.3),
        ],
    },
    Reference {
        job_size: 1e7,
        policy: PolicyType::RANDOM,
        ratios: RATIOS,
        cells: &[
            (52.4, 0.3, 0.7, 0.0),
            (68.7, 0.4, 1.5, 0.1),
            (74.9, 0.3, 2.9, 0.2),
            (77.7, 0.5, 4.3, 0.4),
            (78.6, 0.4, 6.5, 0.7),
            (79.0, 0.6, 8.9, 0.6),
            (79.5, 0.7, 11.4, 1.0),
            (79.8, 0.4, 13.6, 0.7),
            (79.4, 0.5, 16.1, 0.8),
        ],
    },
];

/// Jobs that take 100 s alone.
const LONG_JOBS: [Reference; 3] = [
    Reference {
        job_size: 1e8,
        policy: PolicyType::LEAST_USED,
        ratios: RATIOS,
        cells: &[
            (78.6, 1.6, 26.5, 1.6),
            (80.4, 1.9, 48.5, 2.4),
            (80.2, 1.8, 57.4, 2.5),
            (80.1, 1.8, 60.9, 2.8),
            (80.1, 1.9, 64.1, 2.9),
            (80.1, 1.9, 67.1, 2.9),
            (80.1, 1.8, 69.1, 2.6),
            (79.9, 1.9, 71.2, 3.4),
            (79.9, 1.9, 71.8, 3.5),
        ],
    },
    Reference {
        job_size: 1e8,
        policy: PolicyType::ROUND_ROBIN,
        ratios: RATIOS,
        cells: &[
            (63.5, 0.6, 9.9, 0.6),
            (72.8, 1.1, 17.1, 1.3),
            (75.7, 1.2, 22.4, 1.6),
            (76.7, 1.2, 25.9, 1.9),
            (77.0, 1.1, 28.1, 1.8),
            (77.9, 1.6, 30.6, 2.5),
            (78.6, 1.4, 33.4, 2.3),
            (78.2, 1.5, 36.1, 2.3),
            (78.4, 1.6, 37.7, 2.7),
        ],
    },
    Reference {
        job_size: 1e8,
        policy: PolicyType::RANDOM,
        ratios: RATIOS,
        cells: &[
            (52.2, 0.9, 6.5, 0.3),
            (63.5, 1.1, 10.2, 0.6),
            (69.7, 1.0, 14.8, 1.1),
            (71.2, 1.1, 15.7, 1.2),
            (71.9, 1.3, 18.5, 1.8),
            (75.6, 1.1, 18.1, 1.1),
            (75.6, 1.4, 20.7, 1.6),
            (76.3, 1.2, 21.7, 1.2),
            (76.0, 1.7, 24.5, 1.8),
        ],
    },
];
