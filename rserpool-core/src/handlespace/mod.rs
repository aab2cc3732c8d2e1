//! A handlespace: pools, their elements, who owns them, and the selection by policy (RFC 5352 §3, RFC 5353 §3.6, RFC 5356).
//!
//! ```text
//!   pools    handle ─▶ Pool ┬ selector   by policy: whom to select next
//!   (hash)                  └ owned      by owner, without an order
//!   names                          │
//!   (sorted)                       ▼
//!   elements          ElementKey ─▶ Element, seat in the selector, position among the owner's
//!   (slab)                        ▲
//!   index      (handle, PE identifier)
//!   (hash)
//!   owners      server identifier ─▶ pools with elements of its own, checksum
//! ```
//!
//! An element is stored once, in the slab; all others have its place there, 4 bytes. Who asks for an element goes through the
//! index, whose work does not depend on the number of elements.
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
mod walk;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::hashed::Hashed;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::planted::{Bug, planted};
use crate::policy::Seat;
use crate::rng::{self, HashKey, Rng};
use crate::wire::Policy;

pub use element::{Element, NewElement, RegisterError, RegisterOutcome, Registered, Selection};
pub use pool::PoolView;
pub use slab::ElementKey;
pub use walk::Place;

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
    elements: Slab<Element, Note>,
    /// Where an element is in the slab, by pool handle and identifier.
    index: Hashed<u32>,
    hash_key: HashKey,
    owners: Owners,
    limits: Limits,
    rng: Rng,
}

/// Where an element is noted elsewhere.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// Where it sits in its pool's selector.
    seat: Seat,
    /// Where it stands among the elements of its owner in its pool.
    position: u32,
    /// What the index knows it by.
    mark: u32,
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
        let hash = self.hash_key.hash(pool);
        match self.index_of(hash, pool, element.id) {
            Ok(index) => self.replace(hash, index, element),
            Err(mark) => self.join((hash, mark), pool, element),
        }
    }

    /// Removes an element, and its pool with the last one. `None` where it is not there any more.
    pub fn deregister(&mut self, key: ElementKey) -> Option<Element> {
        let (element, note) = self.elements.remove(key)?;
        let is_it = |index: &u32| *index == key.index();
        self.index.remove(rng::spread(note.mark), is_it);
        let handle = element.pool.as_bytes();
        let hash = self.hash_key.hash(handle);
        if let Some(pool) = self.pools.find_mut(hash, |pool| pool.is_named(handle)) {
            pool.selector.remove(note.seat);
            let member = (element.id, note.position);
            let moved = self.owners.remove(element.home, pool, member);
            let is_empty = pool.len() == 0;
            self.settle(moved, note.position);
            if is_empty {
                self.pools.remove(hash, |pool| pool.is_named(handle));
                self.names.remove(&element.pool);
            }
        }
        Some(element)
    }

    /// Makes `home` the owner of an element. Nothing else of it changes; does nothing where it is not there any more.
    pub fn set_home(&mut self, key: ElementKey, home: ServerId) {
        let Some((element, note)) = self.elements.get_mut(key) else {
            return;
        };
        if element.home == home {
            // Walks count on it that who stays does not move up.
            return;
        }
        let handle = element.pool.as_bytes();
        let hash = self.hash_key.hash(handle);
        if let Some(pool) = self.pools.find_mut(hash, |pool| pool.is_named(handle)) {
            let left = note.position;
            let moved = self.owners.remove(element.home, pool, (element.id, left));
            note.position = self.owners.add(home, pool, (element.id, key.index()));
            element.home = home;
            self.settle(moved, left);
        }
    }

    /// The element with this identifier in this pool.
    pub fn find(&self, pool: &[u8], id: PeId) -> Option<ElementKey> {
        let index = self.index_of(self.hash_key.hash(pool), pool, id).ok()?;
        Some(self.elements.key_at(index))
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

    /// Where an element is in the slab, or what the index will know it by; `hash` is that of the handle.
    #[inline]
    fn index_of(&self, hash: u64, handle: &[u8], id: PeId) -> Result<u32, u32> {
        let is_it = |index: &u32| {
            let element = self.elements.at(*index);
            element.is_some_and(|element| element.id == id && element.pool.as_bytes() == handle)
        };
        let mark = self.hash_key.mark(hash, id.0);
        let found = self.index.find(rng::spread(mark), is_it);
        found.copied().ok_or(mark)
    }

    /// Notes that an element has another position among its owner's, if one has.
    fn settle(&mut self, moved: Option<u32>, position: u32) {
        if let Some(note) = moved.and_then(|index| self.elements.note_mut(index)) {
            note.position = position;
        }
    }

    /// RFC 5352 §3.1 rule 2; and rule 1 where the pool is not there.
    fn join(
        &mut self,
        (hash, mark): (u64, u32),
        handle: &[u8],
        element: &NewElement<'_>,
    ) -> Result<Registered, RegisterError> {
        let policy = element.standard_policy()?;
        let Some(pool) = self.pools.find_mut(hash, |pool| pool.is_named(handle)) else {
            return self.create((hash, mark), handle, element);
        };
        let key = self.elements.vacant();
        let key = key.filter(|_| self.elements.len() < self.limits.elements);
        let key = key.ok_or(RegisterError::TooManyElements)?;
        pool.check(element)?;
        if pool.len() >= self.limits.elements_per_pool {
            return Err(RegisterError::PoolFull);
        }
        let Some(seat) = pool.selector.insert(key, &policy) else {
            return Err(RegisterError::InconsistentPolicy(pool.policy));
        };
        let member = (element.id, key.index());
        let note = Note {
            seat,
            position: self.owners.add(element.home, pool, member),
            mark,
        };
        let element = Element::new(pool.handle.clone(), element, policy);
        self.elements.insert(element, note);
        let elements = &self.elements;
        self.index.insert(rng::spread(mark), key.index(), |index| {
            elements
                .note_at(*index)
                .map_or(0, |note| rng::spread(note.mark))
        });
        Ok(Registered {
            key,
            outcome: RegisterOutcome::New,
        })
    }

    /// RFC 5352 §3.1 rule 1.
    fn create(
        &mut self,
        (hash, mark): (u64, u32),
        handle: &[u8],
        element: &NewElement<'_>,
    ) -> Result<Registered, RegisterError> {
        if self.pool_count() >= self.limits.pools {
            return Err(RegisterError::TooManyPools);
        }
        let pool = Pool::new(hash, handle, element, element.standard_policy()?);
        let pool = pool.ok_or(RegisterError::UnsupportedPolicy)?;
        let name = pool.handle.clone();
        self.pools.insert(hash, Box::new(pool), |pool| pool.hash);
        let joined = self.join((hash, mark), handle, element);
        if joined.is_ok() {
            self.names.insert(name);
        } else {
            self.pools.remove(hash, |pool| pool.is_named(handle));
        }
        joined
    }

    /// RFC 5352 §3.1 rules 3 and 4.
    fn replace(
        &mut self,
        hash: u64,
        index: u32,
        element: &NewElement<'_>,
    ) -> Result<Registered, RegisterError> {
        let Some((key, old, note)) = self.elements.at_mut(index) else {
            return Err(RegisterError::TooManyElements);
        };
        let (previous_home, position) = (old.home, note.position);
        let same = old.has_transports(element);
        let changed = same != (true, true) || !old.has_values(element);
        // Degradation begins anew with each registration.
        let counts = !matches!(old.policy, Policy::RoundRobin | Policy::Random);
        if changed || counts {
            let mut moved = None;
            let policy = element.standard_policy()?;
            // Who has the transport and the policy type that it had is as consistent with its pool as it was. Most have, and the
            // pool is needed for nothing else then.
            let consistent = same.0 && old.policy.policy_type() == policy.policy_type();
            if (!consistent || counts || element.home != previous_home)
                && let Some(pool) = self.pools.find_mut(hash, |pool| pool.handle == old.pool)
            {
                if !consistent {
                    pool.check(element)?;
                }
                pool.selector.update(note.seat, &policy);
                if element.home != previous_home {
                    let member = (element.id, position);
                    moved = match planted(Bug::ChecksumOfHomeChange) {
                        true => pool.remove_owned(previous_home, position).moved,
                        false => self.owners.remove(previous_home, pool, member),
                    };
                    note.position = self.owners.add(element.home, pool, (element.id, index));
                }
            }
            if changed {
                old.replace(element, policy, same);
            }
            self.settle(moved, position);
        }
        let outcome = RegisterOutcome::Updated {
            previous_home,
            changed,
        };
        Ok(Registered { key, outcome })
    }
}
