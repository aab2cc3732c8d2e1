//! One pool: what its elements have in common, and its members by identifier, by owner and by policy.

use alloc::collections::BTreeMap;
use core::ops::Bound;

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
    pub(super) members: BTreeMap<PeId, ElementKey>,
    pub(super) owned: BTreeMap<(ServerId, PeId), ElementKey>,
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
            members: BTreeMap::new(),
            owned: BTreeMap::new(),
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

    /// Members with an identifier after `after`, in their order.
    pub(super) fn members_after(
        &self,
        after: Option<PeId>,
    ) -> impl Iterator<Item = ElementKey> + use<'_> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.members.range((after, Bound::Unbounded));
        members.map(|(_, key)| *key)
    }

    /// Members that `home` owns with an identifier after `after`, in their order.
    pub(super) fn owned_after(
        &self,
        home: ServerId,
        after: Option<PeId>,
    ) -> impl Iterator<Item = ElementKey> + use<'_> {
        let first = Bound::Included((home, PeId(0)));
        let after = after.map_or(first, |id| Bound::Excluded((home, id)));
        let last = Bound::Included((home, PeId(u32::MAX)));
        self.owned.range((after, last)).map(|(_, key)| *key)
    }

    pub(super) fn view(&self) -> PoolView<'_> {
        let transport = self.transport.as_transport();
        PoolView {
            handle: &self.handle,
            policy: self.policy,
            transport_kind: transport.kind(),
            transport_use: transport.transport_use(),
            elements: self.members.len(),
        }
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
