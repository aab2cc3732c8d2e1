//! Random values without a mathematical library: the same bits on every machine.

use rserpool_core::Rng;

/// Equally distributed from 0 up to, not including, 1.
pub(super) fn uniform(rng: &mut Rng) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (rng.next_u64() >> 11) as f64 * STEP
}

/// Exponentially distributed with mean 1, by von Neumann's comparisons: of a uniform value and those that follow it, the
/// length of the first falling run is odd with probability e^-value. An even one adds 1 to the next attempt.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    let mut whole = 0.0;
    loop {
        let first = uniform(rng);
        let (mut last, mut odd) = (first, true);
        loop {
            let next = uniform(rng);
            if next >= last {
                break;
            }
            (last, odd) = (next, !odd);
        }
        if odd {
            return whole + first;
        }
        whole += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_those_of_the_exponential_distribution() {
        let mut rng = Rng::from_seed([5; 32]);
        let draws = 100_000;
        let (mut sum, mut squares, mut above) = (0.0, 0.0, [0_u32; 4]);
        for _ in 0..draws {
            let draw = exponential(&mut rng);
            sum += draw;
            squares += draw * draw;
            for (limit, above) in [0.1, 0.5, 1.0, 3.0].into_iter().zip(&mut above) {
                *above += u32::from(draw > limit);
            }
        }
        let draws = f64::from(draws);
        assert!((sum / draws - 1.0).abs() < 0.01, "mean {}", sum / draws);
        assert!((squares / draws - 2.0).abs() < 0.05, "second moment");
        for (limit, above) in [0.1_f64, 0.5, 1.0, 3.0].into_iter().zip(above) {
            let share = f64::from(above) / draws;
            assert!(
                (share - (-limit).exp()).abs() < 0.005,
                "above {limit}: {share}"
            );
        }
    }
}
