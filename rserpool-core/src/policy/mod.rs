//! The pool member selection policies of RFC 5356, as a registrar runs them.
//!
//! A [`Selector`] orders the members of one pool. What it keeps depends on the policy; no operation looks at all members:
//!
//! ```text
//!  policy           kept as                                   select k of n    join, change, leave
//!  RR               circular list with a head                 k                1
//!  WRR              windows in a cycle, by their deadline     k + log n        log n
//!  RAND             array, shuffled as far as it is read      k                1
//!  WRAND, RLU       arrays by the size of the weight          k on average     1
//!  PRIO LU LUD PLU  circular lists with a head, by rank       k (LUD k log n)  log n
//! ```
//!
//! Members are any small value; a [`Seat`] says where one sits, and the caller keeps it beside the member.
//!
//! ```
//! use rserpool_core::Rng;
//! use rserpool_core::policy::Selector;
//! use rserpool_core::wire::{Policy, PolicyType};
//!
//! let mut rng = Rng::from_seed([0; 32]);
//! let mut selector = Selector::new(PolicyType::LEAST_USED).unwrap();
//! let busy = selector.insert("busy", &Policy::LeastUsed { load: 0x8000_0000 }).unwrap();
//! selector.insert("idle", &Policy::LeastUsed { load: 0 }).unwrap();
//!
//! let mut selected = Vec::new();
//! selector.select(&mut rng, 2, &mut selected);
//! assert_eq!(selected, ["idle", "busy"]);
//! assert_eq!(selector.remove(busy), Some("busy"));
//! ```

mod random;
mod ranked;
mod ranks;
mod round_robin;
mod run;
mod seats;
mod weighted_random;
mod weighted_round_robin;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::rng::Rng;
use crate::wire::{Policy, PolicyType};
use random::Random;
use ranked::{Rank, Ranked};
use round_robin::RoundRobin;
use weighted_random::WeightedRandom;
use weighted_round_robin::WeightedRoundRobin;

/// Where a member sits in its [`Selector`]: from [`Selector::insert`] to [`Selector::remove`], then it may be given to
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(u32);

/// The members of a pool, in the order in which its policy selects them.
#[derive(Clone, Debug)]
pub struct Selector<M> {
    policy_type: PolicyType,
    order: Order<M>,
}

#[derive(Clone, Debug)]
enum Order<M> {
    RoundRobin(RoundRobin<M>),
    /// In a box, because it is much larger than the others.
    WeightedRoundRobin(Box<WeightedRoundRobin<M>>),
    Random(Random<M>),
    WeightedRandom(WeightedRandom<M>),
    Ranked(Ranked<M>),
}

impl<M: Copy> Selector<M> {
    /// A selector without members; `None` for a policy that RFC 5356 does not define.
    pub fn new(policy_type: PolicyType) -> Option<Self> {
        let order = match policy_type {
            PolicyType::ROUND_ROBIN => Order::RoundRobin(RoundRobin::new()),
            PolicyType::WEIGHTED_ROUND_ROBIN => {
                Order::WeightedRoundRobin(Box::new(WeightedRoundRobin::new()))
            }
            PolicyType::RANDOM => Order::Random(Random::new()),
            PolicyType::WEIGHTED_RANDOM | PolicyType::RANDOMIZED_LEAST_USED => {
                Order::WeightedRandom(WeightedRandom::new())
            }
            PolicyType::PRIORITY
            | PolicyType::LEAST_USED
            | PolicyType::LEAST_USED_DEGRADATION
            | PolicyType::PRIORITY_LEAST_USED => Order::Ranked(Ranked::new()),
            _ => return None,
        };
        Some(Self { policy_type, order })
    }

    /// The policy's type.
    pub fn policy_type(&self) -> PolicyType {
        self.policy_type
    }

    /// The number of members, with those that cannot be selected.
    pub fn len(&self) -> usize {
        match &self.order {
            Order::RoundRobin(order) => order.len(),
            Order::WeightedRoundRobin(order) => order.len(),
            Order::Random(order) => order.len(),
            Order::WeightedRandom(order) => order.len(),
            Order::Ranked(order) => order.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a member with its values for the policy. `None`, and nothing has changed, where they are of another policy or
    /// 2^32 members are there.
    pub fn insert(&mut self, member: M, policy: &Policy<'_>) -> Option<Seat> {
        let terms = self.terms(policy)?;
        let seat = match (&mut self.order, terms) {
            (Order::RoundRobin(order), _) => order.insert(member),
            (Order::Random(order), _) => order.insert(member),
            (Order::WeightedRoundRobin(order), Terms::Weight(weight)) => {
                order.insert(member, weight)
            }
            (Order::WeightedRandom(order), Terms::Weight(weight)) => order.insert(member, weight),
            (Order::Ranked(order), Terms::Rank(rank)) => order.insert(member, rank),
            _ => return None,
        };
        seat.map(Seat)
    }

    /// Replaces a member's values, as a re-registration does: they count from the next selection on, and a degradation
    /// counter starts anew (RFC 5356 §5.2.2). A member whose values are the same keeps its place among the others.
    /// `false`, and nothing has changed, where the values are of another policy or nobody sits there.
    pub fn update(&mut self, seat: Seat, policy: &Policy<'_>) -> bool {
        let Some(terms) = self.terms(policy) else {
            return false;
        };
        match (&mut self.order, terms) {
            (Order::RoundRobin(order), _) => order.contains(seat.0),
            (Order::Random(order), _) => order.contains(seat.0),
            (Order::WeightedRoundRobin(order), Terms::Weight(weight)) => {
                order.update(seat.0, weight)
            }
            (Order::WeightedRandom(order), Terms::Weight(weight)) => order.update(seat.0, weight),
            (Order::Ranked(order), Terms::Rank(rank)) => order.update(seat.0, rank),
            _ => false,
        }
    }

    /// Removes the member that sits there.
    pub fn remove(&mut self, seat: Seat) -> Option<M> {
        match &mut self.order {
            Order::RoundRobin(order) => order.remove(seat.0),
            Order::WeightedRoundRobin(order) => order.remove(seat.0),
            Order::Random(order) => order.remove(seat.0),
            Order::WeightedRandom(order) => order.remove(seat.0),
            Order::Ranked(order) => order.remove(seat.0),
        }
    }

    /// Appends at most `items` different members in the policy's order: fewer where there are fewer, or where others have
    /// no weight. This is one handle resolution: it moves a head and counts as one selection.
    pub fn select(&mut self, rng: &mut Rng, items: usize, selected: &mut Vec<M>) {
        match &mut self.order {
            Order::RoundRobin(order) => order.select(items, selected),
            Order::WeightedRoundRobin(order) => order.select(items, selected),
            Order::Random(order) => order.select(rng, items, selected),
            Order::WeightedRandom(order) => order.select(rng, items, selected),
            Order::Ranked(order) => order.select(items, selected),
        }
    }

    fn terms(&self, policy: &Policy<'_>) -> Option<Terms> {
        if policy.policy_type() != self.policy_type {
            return None;
        }
        Terms::of(policy)
    }
}

/// A policy's values, reduced to what orders the members.
enum Terms {
    Equal,
    Weight(u32),
    Rank(Rank),
}

impl Terms {
    fn of(policy: &Policy<'_>) -> Option<Self> {
        Some(match *policy {
            Policy::RoundRobin | Policy::Random => Self::Equal,
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                Self::Weight(weight)
            }
            // RFC 5356 §5.4.2
            Policy::RandomizedLeastUsed { load } => Self::Weight(u32::MAX - load),
            // RFC 5356 §4.5.2: the highest priority is the lowest rank.
            Policy::Priority { priority } => Self::Rank(Rank::fixed((u32::MAX - priority).into())),
            // RFC 5356 §5.1.2
            Policy::LeastUsed { load } => Self::Rank(Rank::fixed(load.into())),
            // RFC 5356 §5.2.2
            Policy::LeastUsedDegradation {
                load,
                load_degradation,
            } => Self::Rank(Rank::degrading(load, load_degradation)),
            // RFC 5356 §5.3.2
            Policy::PriorityLeastUsed {
                load,
                load_degradation,
            } => Self::Rank(Rank::fixed(u64::from(load) + u64::from(load_degradation))),
            Policy::Other { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_another_policy_change_nothing() {
        let mut selector = Selector::new(PolicyType::WEIGHTED_RANDOM).unwrap();
        assert!(selector.insert('a', &Policy::RoundRobin).is_none());
        assert!(
            selector
                .insert('a', &Policy::WeightedRoundRobin { weight: 1 })
                .is_none()
        );
        let seat = selector
            .insert('a', &Policy::WeightedRandom { weight: 0 })
            .unwrap();
        assert!(!selector.update(seat, &Policy::RandomizedLeastUsed { load: 0 }));
        assert_eq!(selector.len(), 1);
        let mut selected = Vec::new();
        selector.select(&mut Rng::from_seed([0; 32]), 1, &mut selected);
        assert_eq!(selected, []);
        assert!(selector.update(seat, &Policy::WeightedRandom { weight: 1 }));
        selector.select(&mut Rng::from_seed([0; 32]), 9, &mut selected);
        assert_eq!(selected, ['a']);
    }

    #[test]
    fn an_empty_seat_is_nobodys() {
        let policies = [
            Policy::RoundRobin,
            Policy::WeightedRoundRobin { weight: 1 },
            Policy::Random,
            Policy::WeightedRandom { weight: 1 },
            Policy::Priority { priority: 1 },
        ];
        for policy in policies {
            let mut selector = Selector::new(policy.policy_type()).unwrap();
            let seat = selector.insert('a', &policy).unwrap();
            assert_eq!(selector.remove(seat), Some('a'));
            assert_eq!(selector.remove(seat), None, "{policy:?}");
            assert!(!selector.update(seat, &policy), "{policy:?}");
            assert!(selector.is_empty());
        }
    }

    #[test]
    fn only_the_policies_of_rfc_5356_are_there() {
        for unknown in [0, 6, 0x4000_0000, 0x4000_0005, 0x8000_0001] {
            assert!(Selector::<()>::new(PolicyType(unknown)).is_none());
        }
    }
}
