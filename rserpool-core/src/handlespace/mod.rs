//! A handlespace: pools, their elements, who owns them, and the selection by policy (RFC 5352 §3, RFC 5353 §3.6, RFC 5356).
//!
//! ```text
//!   pools    handle ─▶ Pool ┬ selector   by policy: whom to select next
//!   (hash)                  └ owned      by owner, then by PE identifier
//!   names                          │
//!   (sorted)                       ▼
//!   elements          ElementKey ─▶ Element, seat in the selector
//!   (slab)                        ▲
//!   index      (handle, PE identifier)
//!   (hash)
//!   owners      server identifier ─▶ pools with elements of its own, checksum
//! ```
//!
//! An element is stored once, in the slab; all others have its place there, 4 bytes. Who asks for an element goes through the
//! index, whose work does not depend on the number of elements; the trees of `owned` are there for whatever has to be in order.
//! The members of a pool in the order of their identifiers are those of its owners, merged.
//!
//! Every call is O(log n) for each item that it gives or takes, and for all registrars that own elements of a pool; none looks
//! at all elements. There is no clock, and the same seed and the same calls give the same results: no order depends on the hash
//! maps.
//!
//! ```
//! use core::net::IpAddr;
//! use rserpool_core::handlespace::{Handlespace, Limits, NewElement, Selection};
//! use rserpool_core::wire::{Policy, PolicyType, Transport};
//! use rserpool_core::{Life, PeId, Rng, ServerId};
//!
//! let mut handlespace = Handlespace::new(Rng::from_seed([0; 32]), Limits::default());
//! for id in 1..=3 {
//!     let element = NewElement {
//!         id: PeId(id),
//!         home: ServerId(0x11111111),
//!         life: Life::Forever,
//!         user_transport: Transport::Udp { port: 7, address: IpAddr::from([127, 0, 0, 1]) },
//!         policy: Policy::RoundRobin,
//!         asap_transport: None,
//!     };
//!     handlespace.register(b"EchoPool", &element).unwrap();
//! }
//!
//! let mut selected = Vec::new();
//! let selection = handlespace.select(b"EchoPool", 2, &mut selected);
//! assert_eq!(selection, Selection::Selected(PolicyType::ROUND_ROBIN));
//! let ids: Vec<_> = selected.iter().map(|key| handlespace.get(*key).unwrap().id).collect();
//! assert_eq!(ids, [PeId(1), PeId(2)]);
//! ```

mod element;
mod owners;
mod pool;
mod slab;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;

use crate::hashed::Hashed;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::planted::{Bug, planted};
use crate::policy::Seat;
use crate::rng::{HashKey, Rng};
use crate::wire::{Policy, TransportBuf};

pub use element::{Element, NewElement, RegisterError, RegisterOutcome, Registered, Selection};
pub use pool::PoolView;
pub use slab::ElementKey;

use owners::Owners;
use pool::Pool;
use slab::Slab;

/// How much a handlespace holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pools.
    pub pools: usize,
    /// Elements of all pools together.
    pub elements: usize,
    /// Elements of one pool.
    pub elements_per_pool: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pools: 10_000,
            elements: 100_000,
            elements_per_pool: 4_096,
        }
    }
}

/// Pools and their elements.
#[derive(Debug)]
pub struct Handlespace {
    pools: Hashed<Box<Pool>>,
    names: BTreeSet<PoolHandle>,
    /// Elements, and where each sits in its pool's selector.
    elements: Slab<Element, Seat>,
    /// Where an element is in the slab, by pool handle and identifier.
    index: Hashed<u32>,
    hash_key: HashKey,
    owners: Owners,
    limits: Limits,
    rng: Rng,
}

impl Handlespace {
    /// An empty handlespace. `rng` decides what the random policies select.
    pub fn new(mut rng: Rng, limits: Limits) -> Self {
        Self {
            pools: Hashed::new(),
            names: BTreeSet::new(),
            elements: Slab::new(),
            index: Hashed::new(),
            hash_key: rng.hash_key(),
            owners: Owners::default(),
            limits,
            rng,
        }
    }

    /// Adds an element, and its pool with the first one, or replaces all attributes of the one that is there: its owner and
    /// its ASAP transport, too (RFC 5352 §3.1 rules 1–4). On an error nothing has changed.
    pub fn register(
        &mut self,
        pool: &[u8],
        element: &NewElement<'_>,
    ) -> Result<Registered, RegisterError> {
        let policy = element
            .policy
            .standard()
            .ok_or(RegisterError::UnsupportedPolicy)?;
        let hash = self.hash_key.hash(pool);
        match self.index_of(hash, pool, element.id) {
            Some(index) => self.replace(hash, index, element, policy),
            None => match self.pools.find(hash, |known| known.is_named(pool)) {
                Some(_) => self.join(hash, pool, element, policy),
                None => self.create(hash, pool, element, policy),
            },
        }
    }

    /// Removes an element, and its pool with the last one. `None` where it is not there any more.
    pub fn deregister(&mut self, key: ElementKey) -> Option<Element> {
        let (element, seat) = self.elements.remove(key)?;
        let handle = element.pool.as_bytes();
        let hash = self.hash_key.hash(handle);
        let place = self.hash_key.extend(hash, element.id.0);
        let is_it = |index: &u32| *index == key.index();
        self.index.remove(place, is_it);
        if let Some(pool) = self.pools.find_mut(hash, |pool| pool.is_named(handle)) {
            pool.selector.remove(seat);
            self.owners.remove(element.home, pool, element.id);
            if pool.len() == 0 {
                self.pools.remove(hash, |pool| pool.is_named(handle));
                self.names.remove(&element.pool);
            }
        }
        Some(element)
    }

    /// Makes `home` the owner of an element. Nothing else of it changes; does nothing where it is not there any more.
    pub fn set_home(&mut self, key: ElementKey, home: ServerId) {
        let Some((element, _)) = self.elements.get_mut(key) else {
            return;
        };
        let handle = element.pool.as_bytes();
        let hash = self.hash_key.hash(handle);
        if let Some(pool) = self.pools.find_mut(hash, |pool| pool.is_named(handle)) {
            self.owners.remove(element.home, pool, element.id);
            self.owners.add(home, pool, (element.id, key.index()));
            element.home = home;
        }
    }

    /// The element with this identifier in this pool.
    pub fn find(&self, pool: &[u8], id: PeId) -> Option<ElementKey> {
        self.index_of(self.hash_key.hash(pool), pool, id)
            .map(|index| self.elements.key_at(index))
    }

    /// The element; `None` where it is not there any more.
    pub fn get(&self, key: ElementKey) -> Option<&Element> {
        self.elements.get(key)
    }

    /// Appends at most `items` different elements of the pool to `selected`, in the order of its policy (RFC 5356). This is
    /// one handle resolution: heads advance and degradation counters rise.
    pub fn select(
        &mut self,
        pool: &[u8],
        items: usize,
        selected: &mut Vec<ElementKey>,
    ) -> Selection {
        let hash = self.hash_key.hash(pool);
        let Some(pool) = self.pools.find_mut(hash, |known| known.is_named(pool)) else {
            return Selection::UnknownPool;
        };
        pool.selector.select(&mut self.rng, items, selected);
        Selection::Selected(pool.selector.policy_type())
    }

    /// The pool as a whole.
    pub fn pool(&self, pool: &[u8]) -> Option<PoolView<'_>> {
        self.pool_of(pool).map(Pool::view)
    }

    /// The handles of all pools, in the order of their bytes.
    pub fn pools(&self) -> impl Iterator<Item = &PoolHandle> {
        self.names.iter()
    }

    /// The elements of a pool, in the order of their identifiers.
    pub fn elements<'a>(&'a self, pool: &[u8]) -> impl Iterator<Item = ElementKey> + use<'a> {
        let pool = self.pool_of(pool).into_iter();
        self.keys(pool.flat_map(|pool| pool.members_after(None)))
    }

    /// The elements of a registrar, in the order of (pool handle, PE identifier).
    pub fn owned_by(&self, home: ServerId) -> impl Iterator<Item = ElementKey> + use<'_> {
        self.owned_after(home, None)
    }

    /// All elements after this place in the order of (pool handle, PE identifier), or all from the beginning. The element at
    /// the place itself need not be there any more.
    pub fn elements_after<'a>(
        &'a self,
        after: Option<(&[u8], PeId)>,
    ) -> impl Iterator<Item = ElementKey> + use<'a> {
        let same = after.and_then(|(handle, id)| Some((self.pool_of(handle)?, id)));
        let same = same.into_iter();
        let others =
            names_after(&self.names, after).filter_map(|name| self.pool_of(name.as_bytes()));
        let same = same.flat_map(|(pool, id)| pool.members_after(Some(id)));
        self.keys(same.chain(others.flat_map(|pool| pool.members_after(None))))
    }

    /// As [`Self::elements_after`], of one registrar only.
    pub fn owned_after<'a>(
        &'a self,
        home: ServerId,
        after: Option<(&[u8], PeId)>,
    ) -> impl Iterator<Item = ElementKey> + use<'a> {
        let same = after.and_then(|(handle, id)| Some((self.pool_of(handle)?, id)));
        let same = same.into_iter();
        let owner = self.owners.get(home);
        let names = owner.map(|owner| names_after(&owner.pools, after));
        let others = names
            .into_iter()
            .flatten()
            .filter_map(|name| self.pool_of(name.as_bytes()));
        let same = same.flat_map(move |(pool, id)| pool.owned_after(home, Some(id)));
        self.keys(same.chain(others.flat_map(move |pool| pool.owned_after(home, None))))
    }

    /// The registrars that own an element, in the order of their identifiers.
    pub fn owners(&self) -> impl Iterator<Item = ServerId> + use<'_> {
        self.owners.ids()
    }

    /// The number of elements of a registrar.
    pub fn owned_count(&self, home: ServerId) -> usize {
        self.owners.len_of(home)
    }

    /// The PE checksum of a registrar (RFC 5353 §3.6.2), as the number that stands on the wire; 0xffff where it owns nothing.
    pub fn checksum(&self, home: ServerId) -> u16 {
        self.owners.checksum(home)
    }

    /// The same computed anew from all elements, for tests and invariants: O(n).
    pub fn recompute_checksum(&self, home: ServerId) -> u16 {
        let owned = self
            .elements
            .values()
            .filter(|element| element.home == home);
        owners::checksum_of(owned.map(|element| (&element.pool, element.id)))
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there is no element, and hence no pool.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of pools.
    pub fn pool_count(&self) -> usize {
        self.pools.len()
    }

    fn pool_of(&self, handle: &[u8]) -> Option<&Pool> {
        let hash = self.hash_key.hash(handle);
        let pool = self.pools.find(hash, |pool| pool.is_named(handle))?;
        Some(pool)
    }

    /// Where an element is in the slab; `hash` is that of the handle.
    fn index_of(&self, hash: u64, handle: &[u8], id: PeId) -> Option<u32> {
        let is_it = |index: &u32| {
            let element = self.elements.at(*index);
            element.is_some_and(|element| element.id == id && element.pool.as_bytes() == handle)
        };
        let place = self.hash_key.extend(hash, id.0);
        self.index.find(place, is_it).copied()
    }

    fn keys<'a, I: Iterator<Item = u32> + 'a>(
        &'a self,
        places: I,
    ) -> impl Iterator<Item = ElementKey> + use<'a, I> {
        places.map(|index| self.elements.key_at(index))
    }

    /// RFC 5352 §3.1 rule 1.
    fn create(
        &mut self,
        hash: u64,
        handle: &[u8],
        element: &NewElement<'_>,
        policy: Policy<'static>,
    ) -> Result<Registered, RegisterError> {
        if self.pool_count() >= self.limits.pools {
            return Err(RegisterError::TooManyPools);
        }
        let pool = Pool::new(hash, handle, element, policy);
        let pool = pool.ok_or(RegisterError::UnsupportedPolicy)?;
        let name = pool.handle.clone();
        self.pools.insert(hash, Box::new(pool), |pool| pool.hash);
        let joined = self.join(hash, handle, element, policy);
        if joined.is_ok() {
            self.names.insert(name);
        } else {
            self.pools.remove(hash, |pool| pool.is_named(handle));
        }
        joined
    }

    /// RFC 5352 §3.1 rule 2.
    fn join(
        &mut self,
        hash: u64,
        handle: &[u8],
        element: &NewElement<'_>,
        policy: Policy<'static>,
    ) -> Result<Registered, RegisterError> {
        if self.len() >= self.limits.elements {
            return Err(RegisterError::TooManyElements);
        }
        let pool = self.pools.find_mut(hash, |pool| pool.is_named(handle));
        let (Some(pool), Some(key)) = (pool, self.elements.vacant()) else {
            return Err(RegisterError::TooManyElements);
        };
        pool.check(element)?;
        if pool.len() >= self.limits.elements_per_pool {
            return Err(RegisterError::PoolFull);
        }
        let Some(seat) = pool.selector.insert(key, &policy) else {
            return Err(RegisterError::InconsistentPolicy(pool.policy));
        };
        let element = Element::new(pool.handle.clone(), element, policy);
        self.owners
            .add(element.home, pool, (element.id, key.index()));
        let (hash_key, id) = (&self.hash_key, element.id);
        self.elements.insert(element, seat);
        let place = hash_key.extend(hash, id.0);
        let elements = &self.elements;
        self.index.insert(place, key.index(), |index| {
            elements.at(*index).map_or(0, |element| {
                hash_key.extend(hash_key.hash(element.pool.as_bytes()), element.id.0)
            })
        });
        Ok(Registered {
            key,
            outcome: RegisterOutcome::New,
        })
    }

    /// RFC 5352 §3.1 rules 3 and 4.
    fn replace(
        &mut self,
        hash: u64,
        index: u32,
        element: &NewElement<'_>,
        policy: Policy<'static>,
    ) -> Result<Registered, RegisterError> {
        let key = self.elements.key_at(index);
        let Some((old, seat)) = self.elements.get_mut(key) else {
            return Err(RegisterError::TooManyElements);
        };
        let user_transport = TransportBuf::from(&element.user_transport);
        let previous_home = old.home;
        // Who has the transport and the policy type that it had is as consistent with its pool as it was. Most have, and the
        // pool is needed for nothing else then.
        let consistent = old.user_transport == user_transport
            && old.policy.policy_type() == policy.policy_type();
        let has_values = !matches!(policy, Policy::RoundRobin | Policy::Random);
        if (!consistent || has_values || element.home != previous_home)
            && let Some(pool) = self.pools.find_mut(hash, |pool| pool.handle == old.pool)
        {
            if !consistent {
                pool.check(element)?;
            }
            pool.selector.update(seat, &policy);
            if element.home != previous_home {
                if !planted(Bug::ChecksumOfHomeChange) {
                    self.owners.remove(previous_home, pool, element.id);
                }
                self.owners.add(element.home, pool, (element.id, index));
            }
        }
        let changed = old.replace(element, policy, user_transport);
        Ok(Registered {
            key,
            outcome: RegisterOutcome::Updated {
                previous_home,
                changed,
            },
        })
    }
}

/// The names after that of `after`, or all.
fn names_after<'a>(
    names: &'a BTreeSet<PoolHandle>,
    after: Option<(&[u8], PeId)>,
) -> impl Iterator<Item = &'a PoolHandle> + use<'a> {
    let after = after.map_or(Bound::Unbounded, |(handle, _)| Bound::Excluded(handle));
    names.range::<[u8], _>((after, Bound::Unbounded))
}
