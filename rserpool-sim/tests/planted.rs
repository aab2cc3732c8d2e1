//! The test of the simulator: it finds each of many known bugs within 300 seeds.
//!
//! `cargo test --release -p rserpool-sim --features planted-bugs --test planted -- --nocapture` prints how many seeds each took.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::thread;

use rserpool_core::Dialect;
use rserpool_core::planted::{Bug, plant};
use rserpool_sim::{Mix, Options, run};

const SEEDS: u64 = 300;

/// A world of each mix and dialect in turn; its tables have several pages in the dialect that has short ones.
fn options(seed: u64) -> Options {
    let mut options = Options::default();
    let kinds = seed / 2;
    let mixes = u64::try_from(Mix::ALL.len()).unwrap_or(1);
    options.mix = Mix::ALL[usize::try_from(kinds % mixes).unwrap_or(0)].1;
    options.registrars = 4;
    options.elements = 30;
    options.time = Duration::from_secs(1500);
    options.dialect = match seed % 2 {
        0 => Dialect::Rfc,
        _ => Dialect::Rsplib,
    };
    options
}

/// The first seed of which a world goes wrong, and how.
fn search() -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(0), AtomicU64::new(SEEDS));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= found.load(Ordering::Relaxed) {
                        return;
                    }
                    if !run(seed, &options(seed)).violations.is_empty() {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = found.into_inner();
    let violation = (seed < SEEDS).then(|| run(seed, &options(seed)).violations.swap_remove(0));
    violation.map(|violation| (seed, violation))
}

/// I14.
#[test]
fn each_planted_bug_is_found() {
    let mut seeds = Vec::new();
    let mut missed = Vec::new();
    for &bug in Bug::ALL {
        if std::env::var("ONLY")
            .is_ok_and(|only| !only.split(',').any(|one| one == format!("{bug:?}")))
        {
            continue;
        }
        plant(Some(bug));
        match search() {
            Some((seed, violation)) => {
                println!("{bug:?}: {} seeds: {violation}", seed + 1);
                seeds.push(seed + 1);
            }
            None => {
                println!("{bug:?}: not found");
                missed.push(bug);
            }
        }
    }
    plant(None);
    seeds.sort_unstable();
    println!(
        "{} of {} bugs found, median {} seeds, at most {}",
        seeds.len(),
        Bug::ALL.len(),
        seeds[seeds.len() / 2],
        seeds[seeds.len() - 1]
    );
    assert_eq!(missed, []);
}
