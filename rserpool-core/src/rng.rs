//! The one source of randomness of a machine: ChaCha8, seeded by the driver.

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;

use ahash::{AHasher, RandomState};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

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
        if let Ok(bound) = u32::try_from(bound) {
            return self.below_u32(bound).into();
        }
        // The high half of a product is below `bound`; a few draws are not used, so that all are equally likely.
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            let low = low_half(product);
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return low_half(product >> 64);
            }
        }
    }

    fn below_u32(&mut self, bound: u32) -> u32 {
        loop {
            let draw = self.0.next_u32();
            if let Some(value) = scaled(draw, bound) {
                return value;
            }
        }
    }

    /// As [`Self::below_u64`], and a value of 32 bits.
    pub(crate) fn below_and_bits(&mut self, bound: u32) -> (u32, u32) {
        loop {
            let (draw, bits) = halves(self.next_u64());
            if let Some(value) = scaled(draw, bound) {
                return (value, bits);
            }
        }
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
        let [one, two, three, four] = core::array::from_fn(|_| self.next_u64());
        HashKey {
            state: RandomState::with_seeds(one, two, three, four),
            odd: self.next_u64() | 1,
        }
    }
}

/// The key of the core's hash tables: no collisions by choice, and the same table for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct HashKey {
    state: RandomState,
    odd: u64,
}

impl BuildHasher for HashKey {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        self.state.build_hasher()
    }
}

impl HashKey {
    /// The hash of bytes.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// The half of a hash of a number in what has the hash `hash`: multiplied by a secret odd number, and folded. Two numbers meet
    /// in the same place by chance only, as long as hashes and the order of the tables stay inside.
    pub(crate) fn mark(&self, hash: u64, number: u32) -> u32 {
        let product = u128::from(hash ^ u64::from(number)) * u128::from(self.odd);
        halves(low_half(product) ^ low_half(product >> 64)).1
    }
}

/// A mark as a hash. Tables look at both ends of one.
pub(crate) const fn spread(mark: u32) -> u64 {
    (mark as u64) << 32 | mark as u64
}

/// A draw from 32 bits as a value below `bound`; `None` for the few draws that must not be used, so that all values are equally
/// likely.
fn scaled(draw: u32, bound: u32) -> Option<u32> {
    let (value, low) = halves(u64::from(draw) * u64::from(bound));
    (low >= bound || low >= bound.wrapping_neg() % bound).then_some(value)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are everything"
)]
const fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
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
    fn hashes_differ_by_length_content_and_number() {
        let key = Rng::from_seed([2; 32]).hash_key();
        let texts = [
            "",
            "\0",
            "\0\0",
            "a",
            "ab",
            "ba",
            "1234567",
            "12345678",
            "123456789",
            "1234567812345678",
            "\0\0\0\0\0\0\0\0\0",
        ];
        let hashes = texts.map(|text| key.hash(text.as_bytes()));
        let numbers = [0, 1, u32::MAX].map(|number| spread(key.mark(hashes[0], number)));
        let mut all = [&hashes[..], &numbers].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), texts.len() + numbers.len());
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::from_seed([1; 32]);
        assert_eq!((rng.below(0), rng.index(0)), (0, 0));
        let wide = u64::from(u32::MAX) + 2;
        assert!((0..100).all(|_| rng.below_u64(wide) < wide && rng.below_and_bits(3).0 < 3));
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
