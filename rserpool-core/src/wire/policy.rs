//! The Pool Member Selection Policy parameter (RFC 5354 §3.8, RFC 5356).

use alloc::vec::Vec;
use core::fmt;

use super::error::DecodeError;
use super::param::{Param, kind};
use super::writer::{Writer, header, write_to};

/// A policy type (RFC 5356 §7.1).
///
/// ```
/// use rserpool_core::wire::PolicyType;
///
/// assert_eq!(PolicyType::LEAST_USED.to_string(), "Least Used (0x40000001)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyType(pub u32);

impl PolicyType {
    /// Round Robin (RFC 5356 §4.1).
    pub const ROUND_ROBIN: Self = Self(0x0000_0001);
    /// Weighted Round Robin (RFC 5356 §4.2).
    pub const WEIGHTED_ROUND_ROBIN: Self = Self(0x0000_0002);
    /// Random (RFC 5356 §4.3).
    pub const RANDOM: Self = Self(0x0000_0003);
    /// Weighted Random (RFC 5356 §4.4).
    pub const WEIGHTED_RANDOM: Self = Self(0x0000_0004);
    /// Priority (RFC 5356 §4.5).
    pub const PRIORITY: Self = Self(0x0000_0005);
    /// Least Used (RFC 5356 §5.1).
    pub const LEAST_USED: Self = Self(0x4000_0001);
    /// Least Used with Degradation (RFC 5356 §5.2).
    pub const LEAST_USED_DEGRADATION: Self = Self(0x4000_0002);
    /// Priority Least Used (RFC 5356 §5.3).
    pub const PRIORITY_LEAST_USED: Self = Self(0x4000_0003);
    /// Randomized Least Used (RFC 5356 §5.4).
    pub const RANDOMIZED_LEAST_USED: Self = Self(0x4000_0004);

    /// Its name by RFC 5356; "Unknown" for others.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ROUND_ROBIN => "Round Robin",
            Self::WEIGHTED_ROUND_ROBIN => "Weighted Round Robin",
            Self::RANDOM => "Random",
            Self::WEIGHTED_RANDOM => "Weighted Random",
            Self::PRIORITY => "Priority",
            Self::LEAST_USED => "Least Used",
            Self::LEAST_USED_DEGRADATION => "Least Used with Degradation",
            Self::PRIORITY_LEAST_USED => "Priority Least Used",
            Self::RANDOMIZED_LEAST_USED => "Randomized Least Used",
            _ => "Unknown",
        }
    }
}

impl fmt::Display for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#010x})", self.name(), self.0)
    }
}

impl fmt::Debug for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A member selection policy with an element's values for it. Loads are fractions of 0xffffffff (RFC 5356 §3.1).
///
/// ```
/// use rserpool_core::wire::{Policy, PolicyType};
///
/// // Half busy; each new user adds an eighth.
/// let policy = Policy::LeastUsedDegradation { load: u32::MAX / 2, load_degradation: u32::MAX / 8 };
/// assert_eq!(policy.policy_type(), PolicyType::LEAST_USED_DEGRADATION);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy<'a> {
    /// Round Robin: no values.
    RoundRobin,
    /// Weighted Round Robin.
    WeightedRoundRobin {
        /// Capacity relative to the others; 0 is never selected.
        weight: u32,
    },
    /// Random: no values.
    Random,
    /// Weighted Random.
    WeightedRandom {
        /// Capacity relative to the others; 0 is never selected.
        weight: u32,
    },
    /// Priority.
    Priority {
        /// Larger is preferred.
        priority: u32,
    },
    /// Least Used.
    LeastUsed {
        /// Current load.
        load: u32,
    },
    /// Least Used with Degradation.
    LeastUsedDegradation {
        /// Current load.
        load: u32,
        /// What each new session adds to it.
        load_degradation: u32,
    },
    /// Priority Least Used.
    PriorityLeastUsed {
        /// Current load.
        load: u32,
        /// What a new session adds to it.
        load_degradation: u32,
    },
    /// Randomized Least Used.
    RandomizedLeastUsed {
        /// Current load.
        load: u32,
    },
    /// A policy that RFC 5356 does not define.
    Other {
        /// Its type.
        policy_type: PolicyType,
        /// Its data.
        data: &'a [u8],
    },
}

impl<'a> Policy<'a> {
    /// Its type.
    pub const fn policy_type(&self) -> PolicyType {
        match *self {
            Self::RoundRobin => PolicyType::ROUND_ROBIN,
            Self::WeightedRoundRobin { .. } => PolicyType::WEIGHTED_ROUND_ROBIN,
            Self::Random => PolicyType::RANDOM,
            Self::WeightedRandom { .. } => PolicyType::WEIGHTED_RANDOM,
            Self::Priority { .. } => PolicyType::PRIORITY,
            Self::LeastUsed { .. } => PolicyType::LEAST_USED,
            Self::LeastUsedDegradation { .. } => PolicyType::LEAST_USED_DEGRADATION,
            Self::PriorityLeastUsed { .. } => PolicyType::PRIORITY_LEAST_USED,
            Self::RandomizedLeastUsed { .. } => PolicyType::RANDOMIZED_LEAST_USED,
            Self::Other { policy_type, .. } => policy_type,
        }
    }

    /// The policy without a borrow; `None` for those that RFC 5356 does not define.
    pub const fn standard(&self) -> Option<Policy<'static>> {
        Some(match *self {
            Self::RoundRobin => Policy::RoundRobin,
            Self::WeightedRoundRobin { weight } => Policy::WeightedRoundRobin { weight },
            Self::Random => Policy::Random,
            Self::WeightedRandom { weight } => Policy::WeightedRandom { weight },
            Self::Priority { priority } => Policy::Priority { priority },
            Self::LeastUsed { load } => Policy::LeastUsed { load },
            Self::LeastUsedDegradation {
                load,
                load_degradation,
            } => Policy::LeastUsedDegradation {
                load,
                load_degradation,
            },
            Self::PriorityLeastUsed {
                load,
                load_degradation,
            } => Policy::PriorityLeastUsed {
                load,
                load_degradation,
            },
            Self::RandomizedLeastUsed { load } => Policy::RandomizedLeastUsed { load },
            Self::Other { .. } => return None,
        })
    }

    /// The parameter's bytes, for the information of an error cause.
    pub fn to_param(&self) -> Vec<u8> {
        let write = |writer: &mut Writer<'_>| self.write(writer);
        let mut bytes = alloc::vec![0; write_to(&mut [], write)];
        write_to(&mut bytes, write);
        bytes
    }

    /// Decodes the parameter. Data beyond what the policy needs is tolerated.
    #[inline(always)]
    pub(crate) fn decode(param: &Param<'a>) -> Result<Self, DecodeError> {
        let (policy_type, mut reader) = param.fixed()?;
        let mut word = || reader.u32().map_err(|_| param.invalid());
        Ok(match PolicyType(u32::from_be_bytes(*policy_type)) {
            PolicyType::ROUND_ROBIN => Self::RoundRobin,
            PolicyType::WEIGHTED_ROUND_ROBIN => Self::WeightedRoundRobin { weight: word()? },
            PolicyType::RANDOM => Self::Random,
            PolicyType::WEIGHTED_RANDOM => Self::WeightedRandom { weight: word()? },
            PolicyType::PRIORITY => Self::Priority { priority: word()? },
            PolicyType::LEAST_USED => Self::LeastUsed { load: word()? },
            PolicyType::LEAST_USED_DEGRADATION => Self::LeastUsedDegradation {
                load: word()?,
                load_degradation: word()?,
            },
            PolicyType::PRIORITY_LEAST_USED => Self::PriorityLeastUsed {
                load: word()?,
                load_degradation: word()?,
            },
            PolicyType::RANDOMIZED_LEAST_USED => Self::RandomizedLeastUsed { load: word()? },
            policy_type => Self::Other {
                policy_type,
                data: reader.rest(),
            },
        })
    }

    /// Writes it as a parameter, with padding.
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        let policy_type = self.policy_type().0;
        match *self {
            Self::RoundRobin | Self::Random => {
                writer.words([header(kind::POLICY, 4), policy_type]);
            }
            Self::WeightedRoundRobin { weight: value }
            | Self::WeightedRandom { weight: value }
            | Self::Priority { priority: value }
            | Self::LeastUsed { load: value }
            | Self::RandomizedLeastUsed { load: value } => {
                writer.words([header(kind::POLICY, 8), policy_type, value]);
            }
            Self::LeastUsedDegradation {
                load,
                load_degradation,
            }
            | Self::PriorityLeastUsed {
                load,
                load_degradation,
            } => writer.words([
                header(kind::POLICY, 12),
                policy_type,
                load,
                load_degradation,
            ]),
            Self::Other { data, .. } => {
                writer.words([header(kind::POLICY, 4 + data.len()), policy_type]);
                writer.padded(data);
            }
        }
    }
}
