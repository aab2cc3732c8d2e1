//! One pool: what its elements have in common, and its members by owner and by policy.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::element::{NewElement, RegisterError};
use super::owners;
use super::slab::ElementKey;
use crate::ids::{PoolHandle, ServerId};
use crate::policy::Selector;
use crate::wire::{Policy, PolicyType, TransportBuf, TransportUse};

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) handle: PoolHandle,
    /// The handle's hash.
    pub(super) hash: u64,
    /// The policy of the pool, with the values of the element that created it.
    pub(super) policy: Policy<'static>,
    /// The user transport of the element that created it.
    transport: TransportBuf,
    /// Its type and its use, which are the pool's.
    transport_kind: u16,
    transport_use: TransportUse,
    /// The handle's part in the checksum of each element.
    pub(super) handle_sum: u64,
    pub(super) selector: Selector<ElementKey>,
    /// Where the members are in the slab, by owner, in the order of the owners. Those without a member are not there; the others
    /// are as few as registrars.
    owned: SmallVec<[(ServerId, Vec<u32>); 1]>,
}

impl Pool {
    /// RFC 5352 §3.1 rule 1: the first element decides on policy, transport type and transport use. `None` for an unknown
    /// policy.
    pub(super) fn new(
        hash: u64,
        handle: &[u8],
        first: &NewElement<'_>,
        policy: Policy<'static>,
    ) -> Option<Self> {
        Some(Self {
            handle: PoolHandle::from(handle),
            hash,
            policy,
            transport: TransportBuf::from(&first.user_transport),
            transport_kind: first.user_transport.kind(),
            transport_use: first.user_transport.transport_use(),
            handle_sum: owners::sum_of_handle(handle),
            selector: Selector::new(policy.policy_type())?,
            owned: SmallVec::new(),
        })
    }

    pub(super) fn is_named(&self, handle: &[u8]) -> bool {
        self.handle.as_bytes() == handle
    }

    /// RFC 5352 §3.1 rules 2 and 3: whoever joins or re-registers must be consistent with the pool.
    pub(super) fn check(&self, element: &NewElement<'_>) -> Result<(), RegisterError> {
        if element.policy.policy_type() != self.selector.policy_type() {
            Err(RegisterError::InconsistentPolicy(self.policy))
        } else if element.user_transport.kind() != self.transport_kind {
            let transport = self.transport.clone();
            Err(RegisterError::InconsistentTransport(transport))
        } else if element.user_transport.transport_use() != self.transport_use {
            Err(RegisterError::InconsistentUse)
        } else {
            Ok(())
        }
    }

    /// Makes `home` the owner of a member that has none, which is at `index`. Its position among the owner's.
    pub(super) fn add_owned(&mut self, home: ServerId, index: u32) -> u32 {
        let own = match self.owned.iter_mut().find(|(owner, _)| *owner == home) {
            Some((_, own)) => own,
            None => {
                let number = self.owned.partition_point(|(owner, _)| *owner < home);
                self.owned.insert(number, (home, Vec::new()));
                &mut self.owned[number].1
            }
        };
        // The slab has no more places than that.
        let position = u32::try_from(own.len()).unwrap_or(u32::MAX);
        own.push(index);
        position
    }

    /// Leaves a member without an owner. The last one of the owner's takes its position.
    pub(super) fn remove_owned(&mut self, home: ServerId, position: u32) -> Removed {
        let mut owned = self.owned.iter_mut().enumerate();
        let Some((number, (_, own))) = owned.find(|(_, (owner, _))| *owner == home) else {
            return Removed::default();
        };
        let position = position as usize;
        own.swap_remove(position);
        let removed = Removed {
            moved: own.get(position).copied(),
            last: own.is_empty(),
        };
        if removed.last {
            self.owned.remove(number);
        }
        removed
    }

    pub(super) fn len(&self) -> usize {
        self.selector.len()
    }

    /// Where the members are in the slab, by owner and from the last one to the first; or those of them that are to come where
    /// `left` of this owner are.
    pub(super) fn members(&self, left: Option<(ServerId, u32)>) -> impl Iterator<Item = u32> {
        let begin = left.map_or(ServerId::default(), |(home, _)| home);
        let owned = self.owned.iter().filter(move |(owner, _)| *owner >= begin);
        owned.flat_map(move |(owner, own)| {
            let left = left.filter(|(home, _)| home == owner);
            let left = left.map_or(own.len(), |(_, left)| own.len().min(left as usize));
            own[..left].iter().rev().copied()
        })
    }

    /// The same of those that `home` owns.
    pub(super) fn members_of(
        &self,
        home: ServerId,
        left: Option<u32>,
    ) -> impl Iterator<Item = u32> {
        let own = self.owned.iter().find(|(owner, _)| *owner == home);
        let own = own.map_or(&[][..], |(_, own)| own);
        let left = left.map_or(own.len(), |left| own.len().min(left as usize));
        own[..left].iter().rev().copied()
    }

    pub(super) fn view(&self) -> PoolView<'_> {
        PoolView {
            handle: &self.handle,
            policy: self.policy,
            transport_kind: self.transport_kind,
            transport_use: self.transport_use,
            elements: self.len(),
        }
    }
}

/// What has come of it that a member was taken away from its owner.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Removed {
    /// The place in the slab of the one that has its position now.
    pub(super) moved: Option<u32>,
    /// Whether it was the owner's last one here.
    pub(super) last: bool,
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
