//! One pool: what its elements have in common, and its members by owner, identifier and policy.

use alloc::collections::btree_map::{self, BTreeMap};
use alloc::vec::Vec;
use core::iter::Peekable;
use core::ops::Bound;

use smallvec::SmallVec;

use super::element::{NewElement, RegisterError};
use super::owners;
use super::slab::ElementKey;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::policy::Selector;
use crate::wire::{Policy, PolicyType, TransportBuf, TransportUse};

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) handle: PoolHandle,
    /// The policy of the pool, with the values of the element that created it.
    pub(super) policy: Policy<'static>,
    /// The user transport of the element that created it: its type and its use are the pool's.
    pub(super) transport: TransportBuf,
    /// The handle's part in the checksum of each element.
    pub(super) handle_sum: u64,
    pub(super) selector: Selector<ElementKey>,
    /// The members by owner and identifier, and where they are in the slab. Owners without a member are not there; the others are
    /// as few as registrars.
    owned: Vec<(ServerId, BTreeMap<PeId, u32>)>,
}

impl Pool {
    /// RFC 5352 §3.1 rule 1: the first element decides on policy, transport type and transport use. `None` for an unknown
    /// policy.
    pub(super) fn new(
        handle: &[u8],
        first: &NewElement<'_>,
        policy: Policy<'static>,
    ) -> Option<Self> {
        Some(Self {
            handle: PoolHandle::from(handle),
            policy,
            transport: TransportBuf::from(&first.user_transport),
            handle_sum: owners::sum_of_handle(handle),
            selector: Selector::new(policy.policy_type())?,
            owned: Vec::new(),
        })
    }

    /// RFC 5352 §3.1 rules 2 and 3: whoever joins or re-registers must be consistent with the pool.
    pub(super) fn check(&self, element: &NewElement<'_>) -> Result<(), RegisterError> {
        let own = self.transport.as_transport();
        if element.policy.policy_type() != self.policy.policy_type() {
            Err(RegisterError::InconsistentPolicy(self.policy))
        } else if element.user_transport.kind() != own.kind() {
            let transport = self.transport.clone();
            Err(RegisterError::InconsistentTransport(transport))
        } else if element.user_transport.transport_use() != own.transport_use() {
            Err(RegisterError::InconsistentUse)
        } else {
            Ok(())
        }
    }

    /// Makes `home` the owner of a member that has none, which is at `index`. Whether it is the owner's first one here.
    pub(super) fn add_owned(&mut self, home: ServerId, id: PeId, index: u32) -> bool {
        let own = match self.owned.iter_mut().find(|(owner, _)| *owner == home) {
            Some((_, own)) => own,
            None => {
                self.owned.push((home, BTreeMap::new()));
                &mut self.owned.last_mut().expect("one was added").1
            }
        };
        own.insert(id, index);
        own.len() == 1
    }

    /// Leaves a member without an owner. `None` where `home` does not own it, else whether it was the owner's last one here.
    pub(super) fn remove_owned(&mut self, home: ServerId, id: PeId) -> Option<bool> {
        let number = self.owned.iter().position(|(owner, _)| *owner == home)?;
        let own = &mut self.owned[number].1;
        own.remove(&id)?;
        let last = own.is_empty();
        if last {
            self.owned.swap_remove(number);
        }
        Some(last)
    }

    pub(super) fn len(&self) -> usize {
        self.selector.len()
    }

    /// Where the members with an identifier after `after` are in the slab, in the order of their identifiers.
    pub(super) fn members_after(&self, after: Option<PeId>) -> Merged<'_> {
        let lines = self.owned.iter();
        Merged(lines.map(|(_, own)| range(own, after).peekable()).collect())
    }

    /// The same of those that `home` owns.
    pub(super) fn owned_after(
        &self,
        home: ServerId,
        after: Option<PeId>,
    ) -> impl Iterator<Item = u32> + use<'_> {
        let own = self.owned.iter().find(|(owner, _)| *owner == home);
        own.into_iter()
            .flat_map(move |(_, own)| range(own, after))
            .map(|(_, index)| *index)
    }

    pub(super) fn view(&self) -> PoolView<'_> {
        let transport = self.transport.as_transport();
        PoolView {
            handle: &self.handle,
            policy: self.policy,
            transport_kind: transport.kind(),
            transport_use: transport.transport_use(),
            elements: self.len(),
        }
    }
}

fn range(own: &BTreeMap<PeId, u32>, after: Option<PeId>) -> btree_map::Range<'_, PeId, u32> {
    own.range((
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    ))
}

/// Members of all owners in one order.
pub(super) struct Merged<'a>(SmallVec<[Peekable<btree_map::Range<'a, PeId, u32>>; 2]>);

impl Iterator for Merged<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if let [only] = &mut self.0[..] {
            return only.next().map(|(_, index)| *index);
        }
        let lines = self.0.iter_mut();
        let first =
            |line: &mut Peekable<btree_map::Range<'_, PeId, u32>>| line.peek().map(|(id, _)| **id);
        let (_, line) = lines
            .filter_map(|line| Some((first(line)?, line)))
            .min_by_key(|(id, _)| *id)?;
        line.next().map(|(_, index)| *index)
    }
}

/// What can be said of a pool as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolView<'a> {
    /// Its handle.
    pub handle: &'a PoolHandle,
    /// Its overall policy. The values are those of the element that created the pool and mean nothing for the others.
    pub policy: Policy<'static>,
    /// Its transport type: the type of a [transport parameter](crate::wire::Transport::kind).
    pub transport_kind: u16,
    /// Its data/control configuration.
    pub transport_use: TransportUse,
    /// The number of its elements, at least 1.
    pub elements: usize,
}

impl PoolView<'_> {
    /// The type of its policy.
    pub const fn policy_type(&self) -> PolicyType {
        self.policy.policy_type()
    }
}
