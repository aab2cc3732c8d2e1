//! The policy of an element and its values.

use clap::{Args, ValueEnum};
use rserpool_core::wire::Policy;

/// The policies of RFC 5356, as they are named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    RoundRobin,
    WeightedRoundRobin,
    Random,
    WeightedRandom,
    Priority,
    LeastUsed,
    LeastUsedDegradation,
    PriorityLeastUsed,
    RandomizedLeastUsed,
}

/// The policy of an element and its values.
#[derive(Args, Debug)]
pub(super) struct PolicyArgs {
    /// The pool's member selection policy.
    #[arg(long, value_enum, default_value = "round-robin")]
    policy: PolicyName,
    /// Capacity relative to the others, for the weighted policies; 0 gets no user.
    #[arg(long, default_value_t = 1)]
    weight: u32,
    /// Larger is preferred, for priority.
    #[arg(long, default_value_t = 0)]
    priority: u32,
    /// Current load from 0 to 1, for the least-used policies.
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    load: f64,
    /// What a new session adds to the load, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    load_degradation: f64,
}

/// A number from 0 to 1.
fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

/// A load of RFC 5356 §3.1: a fraction of 0xffffffff.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of u32::MAX fits"
)]
pub(crate) fn load(fraction: f64) -> u32 {
    (fraction.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32
}

impl PolicyArgs {
    /// Whether the load matters.
    pub(super) fn is_adaptive(&self) -> bool {
        matches!(
            self.policy,
            PolicyName::LeastUsed
                | PolicyName::LeastUsedDegradation
                | PolicyName::PriorityLeastUsed
                | PolicyName::RandomizedLeastUsed
        )
    }

    /// The load that was given.
    pub(super) const fn load(&self) -> f64 {
        self.load
    }

    /// The policy's value with this load, a fraction.
    pub(super) fn with_load(&self, fraction: f64) -> Policy<'static> {
        let load = load(fraction);
        let load_degradation = self::load(self.load_degradation);
        match self.policy {
            PolicyName::RoundRobin => Policy::RoundRobin,
            PolicyName::WeightedRoundRobin => Policy::WeightedRoundRobin {
                weight: self.weight,
            },
            PolicyName::Random => Policy::Random,
            PolicyName::WeightedRandom => Policy::WeightedRandom {
                weight: self.weight,
            },
            PolicyName::Priority => Policy::Priority {
                priority: self.priority,
            },
            PolicyName::LeastUsed => Policy::LeastUsed { load },
            PolicyName::LeastUsedDegradation => Policy::LeastUsedDegradation {
                load,
                load_degradation,
            },
            PolicyName::PriorityLeastUsed => Policy::PriorityLeastUsed {
                load,
                load_degradation,
            },
            PolicyName::RandomizedLeastUsed => Policy::RandomizedLeastUsed { load },
        }
    }
}
