//! Walks over elements that begin where an earlier one ended, as the pages of a handle table do.
//!
//! Pools come in the order of their handles, within a pool the owners in the order of their identifiers, and of each owner the
//! last element first. Who leaves an owner's elements is replaced by the last of them, and who joins them becomes the last: those
//! that are still to come are always among those before a place, so that a number says where a walk goes on.

use alloc::collections::BTreeSet;
use core::ops::Bound;

use super::pool::Pool;
use super::{ElementKey, Handlespace};
use crate::ids::{PoolHandle, ServerId};

/// Where a walk over elements goes on: after an element, which need not be there any more.
///
/// A walk gives each element that is there from the beginning to the end and keeps its owner. Who joins in between may be left
/// out, and where others leave, one that came already may come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pool: PoolHandle,
    home: ServerId,
    /// How many of the owner's elements in the pool are still to come.
    left: u32,
}

impl Handlespace {
    /// The place after an element, for walks that gave it; `None` where it is not there any more.
    pub fn place_after(&self, key: ElementKey) -> Option<Place> {
        let (element, note) = self.elements.get_with_note(key)?;
        Some(Place {
            pool: element.pool.clone(),
            home: element.home,
            left: note.position,
        })
    }

    /// The elements of a pool, in no order that means anything.
    pub fn elements<'a>(&'a self, pool: &[u8]) -> impl Iterator<Item = ElementKey> + use<'a> {
        let pool = self.pool_of(pool).into_iter();
        self.keys(pool.flat_map(|pool| pool.members(None)))
    }

    /// All elements after this place, or all from the beginning: pool by pool in the order of their handles.
    pub fn elements_after<'a>(
        &'a self,
        after: Option<&Place>,
    ) -> impl Iterator<Item = ElementKey> + use<'a> {
        let same = after.and_then(|place| {
            let pool = self.pool_of(place.pool.as_bytes())?;
            Some(pool.members(Some((place.home, place.left))))
        });
        let others = self.pools_after(&self.names, after);
        let others = others.flat_map(|pool| pool.members(None));
        self.keys(same.into_iter().flatten().chain(others))
    }

    /// The elements of a registrar, as [`Self::elements_after`] from the beginning.
    pub fn owned_by(&self, home: ServerId) -> impl Iterator<Item = ElementKey> + use<'_> {
        self.owned_after(home, None)
    }

    /// As [`Self::elements_after`], of one registrar only.
    pub fn owned_after<'a>(
        &'a self,
        home: ServerId,
        after: Option<&Place>,
    ) -> impl Iterator<Item = ElementKey> + use<'a> {
        let same = after.filter(|place| place.home == home).and_then(|place| {
            let pool = self.pool_of(place.pool.as_bytes())?;
            Some(pool.members_of(home, Some(place.left)))
        });
        let owner = self.owners.get(home);
        let others = owner.map(|owner| self.pools_after(&owner.pools, after));
        let others = others.into_iter().flatten();
        let others = others.flat_map(move |pool| pool.members_of(home, None));
        self.keys(same.into_iter().flatten().chain(others))
    }

    /// The pools of these names, from the one after the place's on.
    fn pools_after<'a>(
        &'a self,
        names: &'a BTreeSet<PoolHandle>,
        after: Option<&Place>,
    ) -> impl Iterator<Item = &'a Pool> + use<'a> {
        let after = after.map_or(Bound::Unbounded, |place| {
            Bound::Excluded(place.pool.as_bytes())
        });
        let names = names.range::<[u8], _>((after, Bound::Unbounded));
        names.filter_map(|name| self.pool_of(name.as_bytes()))
    }

    fn keys<'a, I: Iterator<Item = u32> + 'a>(
        &'a self,
        places: I,
    ) -> impl Iterator<Item = ElementKey> + use<'a, I> {
        places.map(|index| self.elements.key_at(index))
    }
}
