//! What a handlespace holds, takes and answers.

use crate::dialect::Life;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::wire::{Policy, PolicyType, PoolElement, SctpTransport, Transport, TransportBuf};

use super::slab::ElementKey;

/// A registration, of a new element or of one that is there (RFC 5352 §3.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewElement<'a> {
    /// Its identifier within the pool.
    pub id: PeId,
    /// The registrar that owns it from now on.
    pub home: ServerId,
    /// How long it is valid. The handlespace has no clock: expiry is up to the caller.
    pub life: Life,
    /// Where it serves users.
    pub user_transport: Transport<'a>,
    /// Its policy and its values for it.
    pub policy: Policy<'a>,
    /// Where its registrar reaches it by ASAP.
    pub asap_transport: Option<SctpTransport<'a>>,
}

impl NewElement<'_> {
    pub(super) fn standard_policy(&self) -> Result<Policy<'static>, RegisterError> {
        let policy = self.policy.standard();
        policy.ok_or(RegisterError::UnsupportedPolicy)
    }

    fn asap_transport_buf(&self) -> Option<TransportBuf> {
        let transport = self.asap_transport.map(Transport::Sctp);
        transport.as_ref().map(TransportBuf::from)
    }
}

/// A pool element of a handlespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Element {
    /// Its pool. Clones share the bytes.
    pub pool: PoolHandle,
    /// Its identifier within the pool.
    pub id: PeId,
    /// The registrar that owns it.
    pub home: ServerId,
    /// How long its last registration is valid.
    pub life: Life,
    /// Where it serves users.
    pub user_transport: TransportBuf,
    /// The pool's policy and its values for it.
    pub policy: Policy<'static>,
    /// Where its registrar reaches it by ASAP.
    pub asap_transport: Option<TransportBuf>,
}

impl Element {
    pub(super) fn new(pool: PoolHandle, element: &NewElement<'_>, policy: Policy<'static>) -> Self {
        Self {
            pool,
            id: element.id,
            home: element.home,
            life: element.life,
            user_transport: TransportBuf::from(&element.user_transport),
            policy,
            asap_transport: element.asap_transport_buf(),
        }
    }

    /// Whether it has the two transports of a re-registration.
    #[inline]
    pub(super) fn has_transports(&self, element: &NewElement<'_>) -> (bool, bool) {
        let same_asap = match (&self.asap_transport, &element.asap_transport) {
            (Some(kept), Some(sctp)) => kept.keeps_sctp(sctp),
            (kept, sctp) => kept.is_none() && sctp.is_none(),
        };
        (
            self.user_transport.keeps(&element.user_transport),
            same_asap,
        )
    }

    /// Whether it has everything else that a re-registration says.
    #[inline]
    pub(super) fn has_values(&self, element: &NewElement<'_>) -> bool {
        self.policy == element.policy && self.home == element.home && self.life == element.life
    }

    /// Replaces all attributes by those of a re-registration, but transports that are the same.
    pub(super) fn replace(
        &mut self,
        element: &NewElement<'_>,
        policy: Policy<'static>,
        (same_user, same_asap): (bool, bool),
    ) {
        self.home = element.home;
        self.life = element.life;
        self.policy = policy;
        if !same_user {
            self.user_transport = TransportBuf::from(&element.user_transport);
        }
        if !same_asap {
            self.asap_transport = element.asap_transport_buf();
        }
    }

    /// The element as a parameter of a message. `life_field` is the Registration Life field, in the unit of the
    /// [dialect](crate::Dialect::life_to_wire); `with_asap` adds the ASAP transport, which peers want and users do not.
    pub fn to_wire(&self, life_field: i32, with_asap: bool) -> PoolElement<'_> {
        let asap_transport = match self.asap_transport.as_ref().map(TransportBuf::as_transport) {
            Some(Transport::Sctp(sctp)) if with_asap => Some(sctp),
            _ => None,
        };
        PoolElement {
            id: self.id,
            home_id: self.home,
            life: life_field,
            user_transport: self.user_transport.as_transport(),
            policy: self.policy,
            asap_transport,
        }
    }
}

/// An accepted registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The element. A re-registration does not change its key.
    pub key: ElementKey,
    /// Whether it is new.
    pub outcome: RegisterOutcome,
}

/// What a registration was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The element was not there, and neither was its pool if it is the first.
    New,
    /// A re-registration: all attributes have been replaced.
    Updated {
        /// The registrar that owned it until now, perhaps the same.
        previous_home: ServerId,
        /// Whether any attribute, the home included, differs from what it was.
        changed: bool,
    },
}

impl RegisterOutcome {
    /// Whether anybody who knew the pool knows something that is not so any more.
    pub const fn is_change(self) -> bool {
        matches!(self, Self::New | Self::Updated { changed: true, .. })
    }
}

/// Why a registration is refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The pool has another policy (RFC 5352 §3.1 rule 2). Here it is, with the values of the element that created the pool.
    #[error("the pool's policy is {}", .0.policy_type())]
    InconsistentPolicy(Policy<'static>),
    /// The pool has another transport type (RFC 5352 §3.1 rule 2). Here is the transport of the element that created it.
    #[error("the pool's transport is of another type: {0:?}")]
    InconsistentTransport(TransportBuf),
    /// The pool has another data/control configuration (RFC 5352 §3.1 rule 2).
    #[error("the pool's transport use is another one")]
    InconsistentUse,
    /// RFC 5356 does not define the policy, so that nobody could be selected.
    #[error("the policy is unknown")]
    UnsupportedPolicy,
    /// [`Limits::pools`](super::Limits::pools) is reached.
    #[error("too many pools")]
    TooManyPools,
    /// [`Limits::elements`](super::Limits::elements) is reached.
    #[error("too many pool elements")]
    TooManyElements,
    /// [`Limits::elements_per_pool`](super::Limits::elements_per_pool) is reached.
    #[error("too many pool elements in this pool")]
    PoolFull,
}

/// The answer to a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Selection {
    /// There is no such pool.
    UnknownPool,
    /// The pool's overall policy. What was selected has been appended: nothing, where no element has a weight.
    Selected(PolicyType),
}
