//! `rserpool sim --scenario policies`: how the policies share the load, as a table, as JSON and as a picture.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use rserpool_sim::policies::{Estimate, Figure, Options, Progress, Row, abbreviation, run, svg};
use serde_json::json;

use super::Output;
use crate::common::Failure;

/// The figures of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FigureName {
    /// More users for each element.
    Ratio,
    /// More offered load.
    Load,
    /// More unequal elements.
    Spread,
    /// Load information that is older.
    Delay,
}

/// Options of the scenario.
#[derive(Args, Debug)]
pub(crate) struct PolicyArgs {
    /// With --scenario policies: which figures; all of them where none is named.
    #[arg(long, value_enum)]
    figure: Vec<FigureName>,
    /// With --scenario policies: how many runs each point has; their spread gives the confidence interval.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    runs: u32,
    /// With --scenario policies: write the figures to this file as a picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Runs the comparison and prints it.
pub(crate) fn show(args: &PolicyArgs, output: Output) -> Result<(), Failure> {
    let mut options = Options::default();
    options.runs = args.runs;
    if !args.figure.is_empty() {
        options.figures = args
            .figure
            .iter()
            .map(|figure| match figure {
                FigureName::Ratio => Figure::ratio(),
                FigureName::Load => Figure::load(),
                FigureName::Spread => Figure::spread(),
                FigureName::Delay => Figure::delay(),
            })
            .collect();
    }
    let terminal = std::io::stderr().is_terminal();
    let mut told = 0;
    let rows = run(&options, &mut |progress: Progress| {
        let percent = progress.done * 100 / progress.total.max(1);
        // A line now and then where nobody watches, a counter where somebody does.
        if percent > told && (terminal || percent.is_multiple_of(10)) {
            told = percent;
            let end = if terminal { '\r' } else { '\n' };
            eprint!("{percent} % of {} runs{end}", progress.total);
        }
    });
    if terminal {
        eprintln!();
    }
    if let Some(file) = &args.svg {
        std::fs::write(file, svg(&rows))
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    }
    match output {
        Output::Json => print_json(&rows),
        Output::Table => print_table(&rows),
    }
}

fn print_json(rows: &[Row]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    // An interval that is not finite, as of one run alone, is null.
    let estimate = |estimate: &Estimate| json!([estimate.mean, estimate.half_width]);
    for row in rows {
        let line = json!({
            "figure": row.figure,
            "value": row.value,
            "policy": row.policy.name(),
            "handling_speed": estimate(&row.handling_speed),
            "utilisation": estimate(&row.utilisation),
            "completed": estimate(&row.completed),
            "rejected": estimate(&row.rejected),
        });
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}

fn print_table(rows: &[Row]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "{:<8} {:>8} {:<6} {:>18} {:>18}",
        "FIGURE", "VALUE", "POLICY", "HANDLING SPEED %", "UTILISATION %"
    )?;
    for row in rows {
        let percent = |estimate: &Estimate| {
            format!(
                "{:.1} ±{:.1}",
                estimate.mean * 100.0,
                estimate.half_width * 100.0
            )
        };
        writeln!(
            stdout,
            "{:<8} {:>8} {:<6} {:>18} {:>18}",
            row.figure,
            row.value,
            abbreviation(row.policy),
            percent(&row.handling_speed),
            percent(&row.utilisation),
        )?;
    }
    Ok(())
}
