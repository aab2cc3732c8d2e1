//! What some runs say about all.

use core::fmt;

/// A mean with its 95 % confidence interval: `mean` ± `half_width`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean of the runs.
    pub mean: f64,
    /// Half the width of the interval, by Student's t; infinite for one run.
    pub half_width: f64,
}

impl Estimate {
    /// The estimate from one value of each run; NaN where there is none.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count();
        let runs = count as f64;
        let mean = values.clone().sum::<f64>() / runs;
        let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
        let half_width = match count {
            0 | 1 => f64::INFINITY,
            _ => student(count - 1) * (squares / (runs - 1.0) / runs).sqrt(),
        };
        Self { mean, half_width }
    }
}

/// "0.555 ± 0.003", with the formatter's precision where it has one.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(3);
        write!(f, "{:.places$} ± {:.places$}", self.mean, self.half_width)
    }
}

/// The 97.5 % quantile of Student's t distribution: a table, then the expansion around the normal quantile.
fn student(freedom: usize) -> f64 {
    if let Some(quantile) = freedom
        .checked_sub(1)
        .and_then(|index| QUANTILES.get(index))
    {
        return *quantile;
    }
    let (z, freedom) = (NORMAL_QUANTILE, freedom as f64);
    let cube = z * z * z;
    let first = (cube + z) / 4.0;
    let second = (5.0 * cube * z * z + 16.0 * cube + 3.0 * z) / 96.0;
    z + (first + second / freedom) / freedom
}

const NORMAL_QUANTILE: f64 = 1.959_964;
const QUANTILES: [f64; 10] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        let known = [
            (1, 12.706),
            (10, 2.228),
            (11, 2.201),
            (23, 2.069),
            (100, 1.984),
        ];
        for (freedom, quantile) in known {
            assert!((student(freedom) - quantile).abs() < 0.003, "{freedom}");
        }
    }

    #[test]
    fn the_interval_is_as_wide_as_the_runs_differ() {
        let estimate = Estimate::of([1.0, 2.0, 3.0].into_iter());
        assert_eq!(estimate.mean, 2.0);
        assert!((estimate.half_width - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(Estimate::of([7.0].into_iter()).half_width, f64::INFINITY);
        assert_eq!(alloc::format!("{estimate:.1}"), "2.0 ± 2.5");
    }
}
