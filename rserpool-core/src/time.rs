//! Time as the machines know it: microseconds since an epoch of the driver's choice.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time, in microseconds since the driver's epoch.
///
/// The core has no clock: there is no `now()`. Additions saturate at the end of time, some 584,000 years away.
///
/// ```
/// use rserpool_core::Instant;
/// use std::time::Duration;
///
/// let epoch = std::time::Instant::now();
/// let later = epoch + Duration::from_millis(1500);
/// let now = Instant::EPOCH + later.duration_since(epoch);
/// assert_eq!(now.as_micros(), 1_500_000);
/// // And back, for the driver's own timer.
/// assert_eq!(epoch + now.duration_since(Instant::EPOCH), later);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's epoch.
    pub const EPOCH: Self = Self(0);

    /// The instant `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero where `earlier` is later.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Instant::EPOCH.duration_since(end), Duration::ZERO);
        assert_eq!(Instant::EPOCH + Duration::MAX, end);
    }
}
