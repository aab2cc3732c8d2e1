//! The one source of randomness of a machine: ChaCha8, seeded by the driver.

use core::hash::BuildHasher;
use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};
use siphasher::sip::SipHasher13;

/// A seeded generator: the same seed gives the same sequence on every machine.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// A generator for `seed`. A production seed comes from the operating system.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// A generator of its own for a part of the machine.
    pub(crate) fn fork(&mut self) -> Self {
        Self(ChaCha8Rng::from_rng(&mut self.0))
    }

    /// A random 64-bit value.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A random identifier that is not 0 (RFC 5352 §3.1 R2.2, RFC 5353 §3.2.1).
    pub fn nonzero_u32(&mut self) -> u32 {
        loop {
            let id = self.0.next_u32();
            if id != 0 {
                return id;
            }
        }
    }

    /// A value below `bound`, each equally likely; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u128) -> u128 {
        if let Ok(bound) = u64::try_from(bound) {
            return self.below_u64(bound).into();
        }
        let zone = u128::MAX - (u128::MAX - bound + 1) % bound;
        loop {
            let draw = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
            if draw <= zone {
                return draw % bound;
            }
        }
    }

    /// A value below `bound`, each equally likely; 0 where `bound` is 0.
    pub(crate) fn below_u64(&mut self, bound: u64) -> u64 {
        // The high half of a product is below `bound`; a few draws are not used, so that all are equally likely.
        let mut product = u128::from(self.next_u64()) * u128::from(bound);
        if low_half(product) < bound {
            let unused = bound.wrapping_neg() % bound;
            while low_half(product) < unused {
                product = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// A value of so many bits, at most 32.
    pub(crate) fn bits(&mut self, bits: u32) -> u64 {
        let draw = u64::from(self.0.next_u32());
        draw >> (u32::BITS - bits.min(u32::BITS))
    }

    /// A value below `bound` for sizes and indices; 0 where `bound` is 0.
    pub fn index(&mut self, bound: usize) -> usize {
        let below = u64::try_from(bound).map(|bound| self.below_u64(bound));
        below.map_or(0, |below| usize::try_from(below).unwrap_or(0))
    }

    /// `period` varied by up to ±50 % (RFC 5352 §3.5).
    pub fn jitter(&mut self, period: Duration) -> Duration {
        let micros = period.as_micros();
        let varied = micros / 2 + self.below(micros + 1);
        Duration::from_micros(u64::try_from(varied).unwrap_or(u64::MAX))
    }

    /// Keys for a hash map whose order nobody outside can foresee.
    pub(crate) fn hash_key(&mut self) -> HashKey {
        HashKey(self.next_u64(), self.next_u64())
    }
}

/// Builds the keyed hasher of the core's hash maps: no collisions by choice, and the same map for the same seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey(u64, u64);

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the high half is cut off")]
const fn low_half(product: u128) -> u64 {
    product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_sequence() {
        let draw = || {
            let mut rng = Rng::from_seed([7; 32]);
            [
                rng.next_u64(),
                rng.nonzero_u32().into(),
                rng.index(10) as u64,
            ]
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::from_seed([1; 32]);
        assert_eq!((rng.below(0), rng.index(0)), (0, 0));
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[rng.index(3)] = true;
            assert!(rng.below(5) < 5);
            let period = rng.jitter(Duration::from_secs(10));
            assert!(period >= Duration::from_secs(5) && period <= Duration::from_secs(15));
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.jitter(Duration::ZERO), Duration::ZERO);
    }
}
