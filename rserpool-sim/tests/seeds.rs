//! Whole worlds with faults: a few seeds of each mix. `rserpool sim` runs thousands.

use core::time::Duration;

use rserpool_core::Dialect;
use rserpool_sim::{Mix, Options, Report, run, run_traced};

fn options(mix: Mix, dialect: Dialect) -> Options {
    let mut options = Options::default();
    options.mix = mix;
    options.elements = 12;
    options.time = Duration::from_secs(1500);
    options.dialect = dialect;
    options
}

fn passes(mix: Mix) {
    for (dialect, seeds) in [(Dialect::Rfc, 0..12), (Dialect::Rsplib, 12..18)] {
        let options = options(mix, dialect);
        for seed in seeds {
            let report = run(seed, &options);
            assert_eq!(report.violations, [""; 0], "{}", options.command(seed));
            assert!(report.rounds > 1 && report.simulated >= options.time);
        }
    }
}

#[test]
fn worlds_without_faults_stay_well() {
    passes(Mix::None);
}

#[test]
fn worlds_survive_loss() {
    passes(Mix::Loss);
}

#[test]
fn worlds_survive_partitions() {
    passes(Mix::Partition);
}

#[test]
fn worlds_survive_crashes() {
    passes(Mix::Crash);
}

#[test]
fn worlds_survive_pauses() {
    passes(Mix::Pause);
}

#[test]
fn worlds_survive_clocks_that_are_off() {
    passes(Mix::Clock);
}

#[test]
fn worlds_survive_churn() {
    passes(Mix::Churn);
}

#[test]
fn worlds_survive_byzantine_peers() {
    passes(Mix::Byzantine);
}

#[test]
fn worlds_survive_everything_at_once() {
    passes(Mix::Swarm);
}

/// I13; with and without a trace, which must not change anything.
#[test]
fn the_same_seed_is_the_same_world() {
    let options = options(Mix::Swarm, Dialect::Rfc);
    let run = |seed| {
        let mut lines = 0_u64;
        let traced = run_traced(seed, &options, Some(&mut |_| lines += 1));
        assert!(lines > 1000);
        traced
    };
    let (one, other): (Report, Report) = (run(7), rserpool_sim::run(7, &options));
    assert_eq!(one, other);
    assert_ne!(one.trace_hash, run(8).trace_hash);
}
