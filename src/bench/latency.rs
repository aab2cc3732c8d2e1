//! Times of operations in little memory: each is known to three hundredths.

/// How often which time was measured, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Latencies {
    /// Each doubling has this many buckets, as a power of two.
    const BITS: u32 = 5;

    pub(super) fn record(&mut self, micros: u64) {
        let bucket = Self::bucket(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// How many there are.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The time that so many of a hundred did not exceed; `None` where there is none at all.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket.map(Self::middle)
    }

    /// Single microseconds first, then doublings with equally many buckets each.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is left of a time are its highest bits"
    )]
    const fn bucket(micros: u64) -> usize {
        let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(Self::BITS + 1);
        ((shift as usize) << Self::BITS) + (micros >> shift) as usize
    }

    const fn middle(bucket: usize) -> u64 {
        let shift = (bucket >> Self::BITS).saturating_sub(1);
        let first = (bucket - (shift << Self::BITS)) as u64;
        (first << shift) + ((1_u64 << shift) >> 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Latencies;

    #[test]
    fn every_time_is_nearly_right() {
        let mut last = 0;
        for micros in (0..2_000).chain((11..63).map(|bit| (1 << bit) - 1)) {
            let bucket = Latencies::bucket(micros);
            assert!(bucket >= last, "{micros}");
            last = bucket;
            let error = Latencies::middle(bucket).abs_diff(micros);
            assert!(error <= micros / 32, "{micros}: {error} beside it");
        }
    }

    #[test]
    fn percentiles_are_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        for micros in 1..=50 {
            latencies.record(micros);
        }
        let found = [0, 50, 99, 100].map(|percent| latencies.percentile(percent));
        assert_eq!(found, [Some(1), Some(25), Some(50), Some(50)]);
        assert_eq!(latencies.total(), 50);
    }
}
