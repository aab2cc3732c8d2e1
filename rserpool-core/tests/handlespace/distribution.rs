//! The random policies: how often whom. Seeds are fixed, so that a test passes always or never; the bounds are those that
//! one seed in a thousand would miss.

use rserpool_core::wire::Policy;

use crate::{handlespace, register, select};

/// Pearson's statistic of `counts` against expectations that are proportional to `weights`.
fn chi_square(counts: &[u32], weights: &[f64]) -> f64 {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let sum: f64 = weights.iter().sum();
    let deviation = |(count, weight): (&u32, &f64)| {
        let expected = total * weight / sum;
        (f64::from(*count) - expected).powi(2) / expected
    };
    counts.iter().zip(weights).map(deviation).sum()
}

/// How often each of the lists of two was selected: `counts[first][second]`.
fn pairs(policies: &[Policy<'static>], draws: u32) -> Vec<Vec<u32>> {
    let mut handlespace = handlespace(42);
    for (id, policy) in (0..).zip(policies) {
        register(&mut handlespace, id, *policy);
    }
    let mut counts = vec![vec![0; policies.len()]; policies.len()];
    for _ in 0..draws {
        match select(&mut handlespace, 2)[..] {
            [first, second] => counts[first as usize][second as usize] += 1,
            ref other => panic!("{other:?} is no list of two"),
        }
    }
    counts
}

/// Expectations of a draw without replacement, by (first, second), and the counts for them.
fn without_replacement(weights: &[f64], counts: &[Vec<u32>]) -> (Vec<u32>, Vec<f64>) {
    let sum: f64 = weights.iter().sum();
    let (mut observed, mut expected) = (Vec::new(), Vec::new());
    for (first, first_weight) in weights.iter().enumerate() {
        for (second, second_weight) in weights.iter().enumerate() {
            let probability = first_weight / sum * second_weight / (sum - first_weight);
            if first != second && probability > 0.0 {
                observed.push(counts[first][second]);
                expected.push(probability);
            } else {
                assert_eq!(counts[first][second], 0);
            }
        }
    }
    (observed, expected)
}

// RFC 5356 §4.3.2
#[test]
fn random_is_uniform_over_all_lists() {
    let counts = pairs(&[Policy::Random; 8], 28_000);
    let (observed, expected) = without_replacement(&[1.0; 8], &counts);
    assert_eq!(observed.len(), 56);
    let statistic = chi_square(&observed, &expected);
    assert!(statistic < 93.17, "{statistic} at 55 degrees of freedom");
}

#[test]
fn a_random_selection_does_not_depend_on_the_one_before() {
    let mut handlespace = handlespace(43);
    for id in 0..8 {
        register(&mut handlespace, id, Policy::Random);
    }
    let mut counts = [0; 64];
    let mut before = 0;
    for _ in 0..32_000 {
        let drawn = select(&mut handlespace, 1)[0] as usize;
        counts[before * 8 + drawn] += 1;
        before = drawn;
    }
    let statistic = chi_square(&counts, &[1.0; 64]);
    assert!(statistic < 103.44, "{statistic} at 63 degrees of freedom");
}

// RFC 5356 §4.4.2
#[test]
fn weighted_random_is_proportional_to_the_weights() {
    let weights = [1, 2, 3, 0, 4, 5];
    let policies = weights.map(|weight| Policy::WeightedRandom { weight });
    let counts = pairs(&policies, 30_000);
    let (observed, expected) = without_replacement(&weights.map(f64::from), &counts);
    assert_eq!(observed.len(), 20);
    let statistic = chi_square(&observed, &expected);
    assert!(statistic < 43.82, "{statistic} at 19 degrees of freedom");
}

// RFC 5356 §5.4.1
#[test]
fn randomized_least_used_is_proportional_to_what_is_not_used() {
    let loads = [
        0x0000_0000,
        0x4000_0000,
        0x8000_0000,
        0xc000_0000,
        0xffff_ffff,
    ];
    let policies = loads.map(|load| Policy::RandomizedLeastUsed { load });
    let counts = pairs(&policies, 30_000);
    let weights = loads.map(|load| f64::from(0xffff_ffff - load));
    let (observed, expected) = without_replacement(&weights, &counts);
    assert_eq!(observed.len(), 12);
    let statistic = chi_square(&observed, &expected);
    assert!(statistic < 31.26, "{statistic} at 11 degrees of freedom");
}

// RFC 5356 §4.4.1: RAND is WRAND with all weights 1.
#[test]
fn weighted_random_with_equal_weights_is_uniform() {
    let counts = pairs(&[Policy::WeightedRandom { weight: 1 }; 8], 28_000);
    let (observed, expected) = without_replacement(&[1.0; 8], &counts);
    let statistic = chi_square(&observed, &expected);
    assert!(statistic < 93.17, "{statistic} at 55 degrees of freedom");
}

#[test]
fn a_skewed_draw_would_be_noticed() {
    let statistic = chi_square(&[1_050, 950, 1_000, 1_000], &[1.0; 4]);
    assert!((statistic - 5.0).abs() < 1e-9);
    assert!(chi_square(&[1_200, 800, 1_000, 1_000], &[1.0; 4]) > 16.27);
}
