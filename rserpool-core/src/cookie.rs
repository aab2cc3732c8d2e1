//! Sealed cookies: state that the next element of a pool can read and trust, and the user who carries it cannot (RFC 5352 §3.8).
//!
//! ```text
//!  | key id (32 bit) | end of validity (64 bit, Unix time) | nonce (192 bit) | state, encrypted | tag (128 bit) |
//! ```
//!
//! The cipher is XChaCha20-Poly1305, whose nonces are long enough to be drawn at random. Key identifier, end of validity and
//! pool handle are authenticated with the state, so that a cookie is good for one pool and for a time.
//!
//! All elements of a pool share the keys. A key is changed in three steps, each at all elements before the next: they open with
//! the new one, too; they seal with it, and open with the old one; the old one goes when its last cookie has expired.
//!
//! A user may hand over an older cookie than its last one, or the same to several elements: what must not happen twice has to
//! be looked up elsewhere.
//!
//! ```
//! use core::time::Duration;
//! use rserpool_core::PoolHandle;
//! use rserpool_core::cookie::{Key, Keys, Sealer};
//!
//! let pool = PoolHandle::from("EchoPool");
//! // In production, key and seeds come from the operating system.
//! let keys = Keys::new(Key::new(1, [7; 32]));
//! let mut first = Sealer::new(pool.clone(), Duration::from_secs(60), keys.clone(), [1; 32]);
//! let second = Sealer::new(pool, Duration::from_secs(60), keys, [2; 32]);
//!
//! let now = 1_790_000_000;
//! let cookie = first.seal(now, b"line 42")?;
//! assert_eq!(second.open(now + 59, &cookie)?, b"line 42"[..]);
//! assert!(second.open(now + 60, &cookie).is_err());
//! # Ok::<(), rserpool_core::cookie::SealError>(())
//! ```

use alloc::vec::Vec;
use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use core::fmt;
use core::time::Duration;

use crate::element::PoolElement;
use crate::ids::PoolHandle;
use crate::rng::Rng;

/// A secret that the elements of a pool share.
#[derive(Clone)]
pub struct Key {
    id: u32,
    secret: [u8; 32],
}

impl Key {
    /// A key with an identifier that cookies tell. `secret` comes from the operating system's source of randomness.
    pub const fn new(id: u32, secret: [u8; 32]) -> Self {
        Self { id, secret }
    }
}

/// The secret is not shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish()
    }
}

/// The keys in use: one, and while it is changed two.
#[derive(Clone, Debug)]
pub struct Keys {
    sealing: Key,
    opening: Option<Key>,
}

impl Keys {
    /// One key for everything.
    pub const fn new(sealing: Key) -> Self {
        Self {
            sealing,
            opening: None,
        }
    }

    /// Opens with another one, too.
    pub fn and_open_with(self, opening: Key) -> Self {
        Self {
            opening: Some(opening),
            ..self
        }
    }

    fn by_id(&self, id: u32) -> Option<&Key> {
        [Some(&self.sealing), self.opening.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id == id)
    }
}

/// Why a cookie was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The state has more than [`Sealer::MAX_STATE`] bytes.
    #[error("the state is too long")]
    TooLong,
    /// It was sealed with a key that is not in use.
    #[error("the cookie's key is not known")]
    UnknownKey,
    /// It was not sealed for this pool, or is not as it was sealed.
    #[error("the cookie is not authentic")]
    NotAuthentic,
    /// Its time is over.
    #[error("the cookie has expired")]
    Expired,
}

/// Seals and opens the cookies of one pool.
#[derive(Debug)]
pub struct Sealer {
    pool_handle: PoolHandle,
    life: Duration,
    keys: Keys,
    rng: Rng,
}

impl Sealer {
    const NONCE: usize = 24;
    const TAG: usize = 16;
    /// Key identifier and end of validity.
    const HEADER: usize = 4 + 8;

    /// The longest state.
    pub const MAX_STATE: usize = PoolElement::MAX_COOKIE - Self::HEADER - Self::NONCE - Self::TAG;

    /// A sealer whose cookies are good for `life`, in whole seconds. `seed` comes from the operating system's source of
    /// randomness: two sealers with the same seed and key would draw the same nonces, and be of no use.
    pub fn new(pool_handle: PoolHandle, life: Duration, keys: Keys, seed: [u8; 32]) -> Self {
        Self {
            pool_handle,
            life,
            keys,
            rng: Rng::from_seed(seed),
        }
    }

    /// Changes the keys.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// Makes a cookie of `state`. `now` is the Unix time in seconds.
    pub fn seal(&mut self, now: u64, state: &[u8]) -> Result<Bytes, SealError> {
        if state.len() > Self::MAX_STATE {
            return Err(SealError::TooLong);
        }
        let key = &self.keys.sealing;
        let end = now.saturating_add(self.life.as_secs());
        let mut nonce = [0; Self::NONCE];
        for chunk in nonce.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.rng.next_u64().to_be_bytes());
        }
        let mut cookie =
            Vec::with_capacity(PoolElement::MAX_COOKIE - Self::MAX_STATE + state.len());
        cookie.extend_from_slice(&key.id.to_be_bytes());
        cookie.extend_from_slice(&end.to_be_bytes());
        let payload = Payload {
            msg: state,
            aad: &self.associated(&cookie),
        };
        let sealed = XChaCha20Poly1305::new(&key.secret.into())
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::TooLong)?;
        cookie.extend_from_slice(&nonce);
        cookie.extend_from_slice(&sealed);
        Ok(cookie.into())
    }

    /// The state in a cookie. `now` is the Unix time in seconds, by a clock that is about as right as that of the element that
    /// sealed it.
    pub fn open(&self, now: u64, cookie: &[u8]) -> Result<Bytes, SealError> {
        let (header, rest) = cookie
            .split_first_chunk::<{ Self::HEADER }>()
            .ok_or(SealError::NotAuthentic)?;
        let (nonce, sealed) = rest
            .split_first_chunk::<{ Self::NONCE }>()
            .ok_or(SealError::NotAuthentic)?;
        let [a, b, c, d, end @ ..] = *header;
        let id = u32::from_be_bytes([a, b, c, d]);
        let key = self.keys.by_id(id).ok_or(SealError::UnknownKey)?;
        let payload = Payload {
            msg: sealed,
            aad: &self.associated(header),
        };
        let state = XChaCha20Poly1305::new(&key.secret.into())
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError::NotAuthentic)?;
        if now >= u64::from_be_bytes(end) {
            return Err(SealError::Expired);
        }
        Ok(state.into())
    }

    /// What is authenticated beside the state: the header has one length, so that nothing can be read in two ways.
    fn associated(&self, header: &[u8]) -> Vec<u8> {
        [header, self.pool_handle.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    const NOW: u64 = 1_790_000_000;

    fn key(id: u32) -> Key {
        Key::new(id, [u8::try_from(id).expect("small"); 32])
    }

    fn sealer(pool: &str, keys: Keys) -> Sealer {
        let life = Duration::from_secs(60);
        Sealer::new(PoolHandle::from(pool), life, keys, [9; 32])
    }

    #[test]
    fn what_was_sealed_is_opened_until_it_expires() {
        // RFC 5352 §3.8: signed by the sending element, verified by the receiving one
        let mut one = sealer("EchoPool", Keys::new(key(1)));
        for state in [&b""[..], b"state", &vec![7; Sealer::MAX_STATE]] {
            let cookie = one.seal(NOW, state).expect("it fits");
            assert!(cookie.len() <= PoolElement::MAX_COOKIE);
            for (now, opened) in [
                (NOW, Ok(())),
                (NOW + 59, Ok(())),
                (NOW + 60, Err(SealError::Expired)),
                (u64::MAX, Err(SealError::Expired)),
            ] {
                let expected = opened.map(|()| Bytes::copy_from_slice(state));
                assert_eq!(one.open(now, &cookie), expected);
            }
        }
        let long = vec![7; Sealer::MAX_STATE + 1];
        assert_eq!(one.seal(NOW, &long), Err(SealError::TooLong));
    }

    #[test]
    fn a_cookie_is_good_for_one_pool_and_one_key() {
        let mut one = sealer("EchoPool", Keys::new(key(1)));
        let cookie = one.seal(NOW, b"state").expect("short");
        for (pool, key, error) in [
            ("EchoPool2", key(1), SealError::NotAuthentic),
            ("", key(1), SealError::NotAuthentic),
            ("EchoPool", key(2), SealError::UnknownKey),
            ("EchoPool", Key::new(1, [2; 32]), SealError::NotAuthentic),
        ] {
            let other = sealer(pool, Keys::new(key));
            assert_eq!(other.open(NOW, &cookie), Err(error));
        }
    }

    #[test]
    fn nothing_of_a_cookie_can_be_changed_or_left_out() {
        let mut one = sealer("EchoPool", Keys::new(key(1)));
        let cookie = one.seal(NOW, b"state").expect("short");
        for length in 0..cookie.len() {
            assert!(one.open(NOW, &cookie[..length]).is_err(), "{length}");
        }
        for bit in 0..cookie.len() * 8 {
            let mut changed = cookie.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(one.open(NOW, &changed).is_err(), "{bit}");
        }
        let longer = [&cookie[..], b"x"].concat();
        assert_eq!(one.open(NOW, &longer), Err(SealError::NotAuthentic));
    }

    #[test]
    fn keys_are_changed_without_a_cookie_that_nobody_can_open() {
        let old = Keys::new(key(1));
        let both = Keys::new(key(1)).and_open_with(key(2));
        let turned = Keys::new(key(2)).and_open_with(key(1));
        let new = Keys::new(key(2));
        let mut one = sealer("EchoPool", old.clone());
        let mut other = sealer("EchoPool", old);
        for (step, keys) in [both, turned, new].into_iter().enumerate() {
            one.set_keys(keys.clone());
            let forth = one.seal(NOW, b"state").expect("short");
            assert!(other.open(NOW, &forth).is_ok(), "{step}");
            let back = other.seal(NOW, b"state").expect("short");
            assert!(one.open(NOW, &back).is_ok(), "{step}");
            other.set_keys(keys);
        }
        let cookie = sealer("EchoPool", Keys::new(key(1))).seal(NOW, b"state");
        let opened = one.open(NOW, &cookie.expect("short"));
        assert_eq!(opened, Err(SealError::UnknownKey), "the old one is gone");
    }

    #[test]
    fn no_two_cookies_are_alike_and_no_secret_is_shown() {
        let mut one = sealer("EchoPool", Keys::new(key(77)));
        let (first, second) = (one.seal(NOW, b"state"), one.seal(NOW, b"state"));
        assert_ne!(first, second);
        let first = first.expect("short");
        assert!(!first.windows(5).any(|window| window == b"state"));
        assert!(!format!("{:?}", Key::new(1, [77; 32])).contains("77"));
    }
}
