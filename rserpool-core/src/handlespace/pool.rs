//! One pool: what its elements have in common, and its members by owner, identifier and policy.

use smallvec::SmallVec;

use super::element::{NewElement, RegisterError};
use super::owners;
use super::slab::ElementKey;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::ordered::{Iter, Ordered};
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
    /// The members by owner and identifier, and where they are in the slab. Owners without a member are not there; the others are
    /// as few as registrars.
    owned: SmallVec<[(ServerId, Ordered<PeId, u32>); 1]>,
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
        if element.policy.policy_type() != self.policy.policy_type() {
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

    /// Makes `home` the owner of a member that has none, which is at `index`. Whether it is the owner's first one here.
    pub(super) fn add_owned(&mut self, home: ServerId, id: PeId, index: u32) -> bool {
        let number = self.owned.iter().position(|(owner, _)| *owner == home);
        let number = number.unwrap_or_else(|| {
            self.owned.push((home, Ordered::new()));
            self.owned.len() - 1
        });
        let own = &mut self.owned[number].1;
        own.insert(id, index);
        own.len() == 1
    }

    /// Leaves a member without an owner. `None` where `home` does not own it, else whether it was the owner's last one here.
    pub(super) fn remove_owned(&mut self, home: ServerId, id: PeId) -> Option<bool> {
        let number = self.owned.iter().position(|(owner, _)| *owner == home)?;
        let own = &mut self.owned[number].1;
        own.remove(id)?;
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
        Merged(self.owned.iter().map(|(_, own)| own.after(after)).collect())
    }

    /// The same of those that `home` owns.
    pub(super) fn owned_after(&self, home: ServerId, after: Option<PeId>) -> Merged<'_> {
        let own = self.owned.iter().find(|(owner, _)| *owner == home);
        Merged(own.into_iter().map(|(_, own)| own.after(after)).collect())
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

/// Members of several owners in one order.
pub(super) struct Merged<'a>(SmallVec<[Iter<'a, PeId, u32>; 2]>);

impl Iterator for Merged<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let line = match &mut self.0[..] {
            [only] => only,
            lines => {
                let heads = lines.iter_mut().enumerate();
                let heads = heads.filter_map(|(number, line)| Some((line.peek()?.0, number)));
                let (_, number) = heads.min()?;
                self.0.get_mut(number)?
            }
        };
        line.next().map(|(_, index)| index)
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
