//! What is to be simulated, and what came of it.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use rserpool_core::Dialect;

/// Which faults a world has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mix {
    /// None.
    #[default]
    None,
    /// Packets are lost, come twice and late; associations are refused and reset.
    Loss,
    /// Symmetric, asymmetric and flapping partitions.
    Partition,
    /// Registrars and elements die, with and without a word, and come back.
    Crash,
    /// Processes stand still for longer than the timers.
    Pause,
    /// Clocks are up to 10 % off, while processes die.
    Clock,
    /// Elements come and go, many at once.
    Churn,
    /// Hosts that speak the protocols to do harm.
    Byzantine,
    /// All of them, in another composition with each seed.
    Swarm,
}

impl Mix {
    /// All mixes with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("none", Self::None),
        ("loss", Self::Loss),
        ("partition", Self::Partition),
        ("crash", Self::Crash),
        ("pause", Self::Pause),
        ("clock", Self::Clock),
        ("churn", Self::Churn),
        ("byzantine", Self::Byzantine),
        ("swarm", Self::Swarm),
    ];
}

impl FromStr for Mix {
    type Err = UnknownMix;

    fn from_str(name: &str) -> Result<Self, UnknownMix> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, mix)| *mix).ok_or(UnknownMix)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, mix)| mix == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// No mix has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMix;

impl fmt::Display for UnknownMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none, loss, partition, crash, pause, clock, churn, byzantine or swarm")
    }
}

impl core::error::Error for UnknownMix {}

/// The size of a world, and what happens in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Its faults (none).
    pub mix: Mix,
    /// How many registrars it has (3).
    pub registrars: u16,
    /// How many elements (20).
    pub elements: u16,
    /// How many users (2).
    pub users: u16,
    /// For how long it runs (1 h).
    pub time: Duration,
    /// The dialect of its scope, with its timers (RFC).
    pub dialect: Dialect,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mix: Mix::None,
            registrars: 3,
            elements: 20,
            users: 2,
            time: Duration::from_secs(3600),
            dialect: Dialect::Rfc,
        }
    }
}

impl Options {
    /// The command that repeats a run.
    pub fn command(&self, seed: u64) -> String {
        let dialect = match self.dialect {
            Dialect::Rfc => "rfc",
            Dialect::Rsplib => "rsplib",
        };
        format!(
            "rserpool sim --seeds {seed}..{} --mix {} --registrars {} --elements {} --users {} --hours {} --dialect {dialect} --trace",
            seed + 1,
            self.mix,
            self.registrars,
            self.elements,
            self.users,
            self.time.as_secs_f64() / 3600.0,
        )
    }
}

/// Durations, to tell how they are distributed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution(Vec<Duration>);

impl Distribution {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest one that is at least as long as `permille` of 1,000 of them; zero where there is none.
    pub fn quantile(&self, permille: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * permille).div_ceil(1000).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was wrong; empty where everything held.
    pub violations: Vec<String>,
    /// The hash of all that happened.
    pub trace_hash: u64,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// How much time its registrars ran, together.
    pub registrar_time: Duration,
    /// How many events there were.
    pub events: u64,
    /// How many faults.
    pub faults: u64,
    /// How many times the world came to rest and was looked at as a whole.
    pub rounds: u64,
    /// How many requests of users were answered or refused.
    pub requests: u64,
    /// From the death of a registrar until the first peer takes it for dead.
    pub detection: Distribution,
    /// From the death of a registrar until its elements are taken over.
    pub takeover: Distribution,
    /// From the end of all faults until all registrars have the same, right handlespace.
    pub convergence: Distribution,
    /// From the death of its registrar until an element is registered at another one.
    pub rehoming: Distribution,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut some = Distribution::default();
        assert_eq!(some.quantile(500), Duration::ZERO);
        for seconds in (1..=100).rev() {
            some.add(Duration::from_secs(seconds));
        }
        for (permille, seconds) in [(0, 1), (500, 50), (990, 99), (1000, 100)] {
            assert_eq!(some.quantile(permille), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn mixes_have_names() {
        for (name, mix) in Mix::ALL {
            assert_eq!(name.parse(), Ok(mix));
            assert_eq!(mix.to_string(), name);
        }
        assert_eq!("all".parse::<Mix>(), Err(UnknownMix));
    }
}
