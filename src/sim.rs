//! `rserpool sim`: worlds with faults, a seed each, on all cores.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use crate::common::DialectName;
use clap::{Parser, ValueEnum};
use rserpool_sim::{Distribution, Mix, Options, Report, run, run_traced};
use serde_json::json;

#[derive(Parser)]
pub(crate) struct Args {
    /// Which seeds: a range without its end, or one.
    #[arg(long, default_value = "0..100", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Which faults: none, loss, partition, crash, pause, clock, churn, byzantine or swarm.
    #[arg(long, default_value = "swarm")]
    mix: Mix,
    /// How many registrars.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    registrars: u16,
    /// How many elements.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=30_000))]
    elements: u16,
    /// How many users.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    users: u16,
    /// How much time passes in each world.
    #[arg(long, default_value_t = 1.0, value_parser = parse_hours)]
    hours: f64,
    /// The dialect of the scope, and its timers.
    #[arg(long, value_enum, default_value = "rfc")]
    dialect: DialectName,
    /// Show all events of each world.
    #[arg(long)]
    trace: bool,
    /// How many worlds at the same time; by default as many as there are cores.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The form of the summary.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|error| format!("{text:?}: {error}"))
    };
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => {
            let seed = number(text)?;
            seed..seed.checked_add(1).ok_or("too large")?
        }
    };
    if range.is_empty() {
        return Err("no seed is in this range".into());
    }
    Ok(range)
}

fn parse_hours(text: &str) -> Result<f64, String> {
    const MOST: f64 = 100_000.0;
    match text.parse::<f64>() {
        Ok(hours) if (0.0..=MOST).contains(&hours) => Ok(hours),
        _ => Err("a number of hours from 0 to 100,000".into()),
    }
}

/// What all worlds together showed.
#[derive(Default)]
struct Summary {
    worlds: u64,
    failed: Vec<Report>,
    simulated: Duration,
    /// Time that the worlds took, on all cores together.
    busy: Duration,
    registrar_time: Duration,
    events: u64,
    faults: u64,
    rounds: u64,
    requests: u64,
    hash: u64,
    distributions: [(&'static str, Distribution); 4],
}

impl Summary {
    fn add(&mut self, report: Report, busy: Duration) {
        self.worlds += 1;
        self.simulated += report.simulated;
        self.busy += busy;
        self.registrar_time += report.registrar_time;
        self.events += report.events;
        self.faults += report.faults;
        self.rounds += report.rounds;
        self.requests += report.requests;
        // Whatever the order in which the worlds end.
        self.hash = self
            .hash
            .wrapping_add(report.trace_hash.rotate_left((report.seed % 64) as u32));
        let parts = [
            ("failure detection", &report.detection),
            ("takeover", &report.takeover),
            ("convergence", &report.convergence),
            ("re-homing", &report.rehoming),
        ];
        for ((name, all), (part, more)) in self.distributions.iter_mut().zip(parts) {
            *name = part;
            all.merge(more);
        }
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }

    fn speed(&self) -> f64 {
        self.simulated.as_secs_f64() / self.busy.as_secs_f64().max(1e-9)
    }
}

fn run_worlds(args: &Args, options: &Options) -> ExitCode {
    let next = AtomicU64::new(args.seeds.start);
    let summary = Mutex::new(Summary::default());
    let done = AtomicBool::new(false);
    let begin = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match (args.trace, args.threads) {
        (true, _) => 1,
        (false, Some(threads)) => usize::from(threads),
        (false, None) => cores,
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(args, options, &next, &summary)))
            .collect();
        scope.spawn(|| progress(args, &summary, &done));
        for worker in workers {
            let _ = worker.join();
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut summary = summary
        .into_inner()
        .unwrap_or_else(|error| error.into_inner());
    summary.failed.sort_by_key(|report| report.seed);
    let wall = begin.elapsed();
    match args.output {
        Output::Table => print_table(&summary, options, wall),
        Output::Json => println!("{}", to_json(&summary, options, wall)),
    }
    if summary.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn work(args: &Args, options: &Options, next: &AtomicU64, summary: &Mutex<Summary>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if !args.seeds.contains(&seed) {
            return;
        }
        let begin = Instant::now();
        let report = if args.trace {
            let mut out = std::io::stdout().lock();
            // Whoever reads the trace may stop reading.
            let mut print = |line: &str| drop(writeln!(out, "{line}"));
            run_traced(seed, options, Some(&mut print))
        } else {
            run(seed, options)
        };
        if let Some(first) = report.violations.first() {
            eprintln!("seed {seed}: {first}\n  {}", options.command(seed));
        }
        if let Ok(mut summary) = summary.lock() {
            summary.add(report, begin.elapsed());
        }
    }
}

/// Says on standard error from time to time how far the worlds are.
fn progress(args: &Args, summary: &Mutex<Summary>, done: &AtomicBool) {
    const TICK: Duration = Duration::from_millis(100);
    let all = args.seeds.end - args.seeds.start;
    for ticks in 1_u32.. {
        std::thread::sleep(TICK);
        if done.load(Ordering::Relaxed) {
            return;
        }
        if ticks.is_multiple_of(50)
            && let Ok(summary) = summary.lock()
        {
            let (worlds, failed) = (summary.worlds, summary.failed.len());
            eprintln!("{worlds} of {all} worlds, {failed} with violations");
        }
    }
}

fn print_table(summary: &Summary, options: &Options, wall: Duration) {
    let hours = summary.registrar_time.as_secs_f64() / 3600.0;
    println!("worlds                    {:>12}", summary.worlds);
    println!("worlds with violations    {:>12}", summary.failed.len());
    println!("registrar-hours           {hours:>12.1}");
    println!("faults                    {:>12}", summary.faults);
    println!("times at rest             {:>12}", summary.rounds);
    println!("users' requests           {:>12}", summary.requests);
    println!("events                    {:>12}", summary.events);
    println!("simulated s per s of core {:>12.0}", summary.speed());
    println!("wall time, s              {:>12.1}", wall.as_secs_f64());
    println!("trace hash            {:016x}", summary.hash);
    println!(
        "\n{:<20}{:>8}{:>9}{:>9}{:>9}{:>9}",
        "seconds", "count", "median", "90 %", "99 %", "most"
    );
    for (name, times) in &summary.distributions {
        let [median, ninety, most_of, most] =
            [500, 900, 990, 1000].map(|permille| times.quantile(permille).as_secs_f64());
        println!(
            "{name:<20}{:>8}{median:>9.2}{ninety:>9.2}{most_of:>9.2}{most:>9.2}",
            times.len()
        );
    }
    for report in &summary.failed {
        println!("\nseed {}", report.seed);
        for violation in &report.violations {
            println!("  {violation}");
        }
        println!("  {}", options.command(report.seed));
    }
}

fn to_json(summary: &Summary, options: &Options, wall: Duration) -> serde_json::Value {
    let distributions: serde_json::Map<_, _> = summary
        .distributions
        .iter()
        .map(|(name, times)| {
            let quantile = |permille| times.quantile(permille).as_secs_f64();
            let value = json!({
                "count": times.len(),
                "median": quantile(500),
                "p90": quantile(900),
                "p99": quantile(990),
                "max": quantile(1000),
            });
            (name.replace([' ', '-'], "_"), value)
        })
        .collect();
    let failed: Vec<_> = summary
        .failed
        .iter()
        .map(|report| {
            json!({
                "seed": report.seed,
                "violations": report.violations,
                "command": options.command(report.seed),
            })
        })
        .collect();
    json!({
        "mix": options.mix.to_string(),
        "registrars": options.registrars,
        "elements": options.elements,
        "users": options.users,
        "worlds": summary.worlds,
        "registrar_hours": summary.registrar_time.as_secs_f64() / 3600.0,
        "faults": summary.faults,
        "rounds": summary.rounds,
        "requests": summary.requests,
        "events": summary.events,
        "simulated_per_core_second": summary.speed(),
        "wall_seconds": wall.as_secs_f64(),
        "trace_hash": format!("{:016x}", summary.hash),
        "seconds": distributions,
        "failed": failed,
    })
}

pub(crate) fn simulate(args: &Args) -> ExitCode {
    let mut options = Options::default();
    options.mix = args.mix;
    options.registrars = args.registrars;
    options.elements = args.elements;
    options.users = args.users;
    options.time = Duration::from_secs_f64(args.hours * 3600.0);
    options.dialect = args.dialect.into();
    run_worlds(args, &options)
}
