//! Random operations on a handlespace and on the model: whatever they answer must be the same after every step.

use alloc::collections::BTreeSet;

use proptest::prelude::*;
use rserpool_core::handlespace::{ElementKey, Handlespace, NewElement, RegisterOutcome, Selection};
use rserpool_core::wire::Policy;
use rserpool_core::{PeId, ServerId};

use crate::model::Model;
use crate::{element, handlespace, ids};

const HANDLES: [&[u8]; 3] = [b"Pool", b"a", b"odd\xff\xff"];
const HOMES: [ServerId; 3] = [ServerId(1), ServerId(0xffff_ffff), ServerId(0x8000_0000)];

#[derive(Clone, Debug)]
enum Operation {
    Register {
        id: PeId,
        home: ServerId,
        values: (u32, u32),
    },
    Deregister(PeId),
    SetHome(PeId, ServerId),
    Select(usize),
}

fn operation() -> impl Strategy<Value = (&'static [u8], Operation)> {
    let handle = prop::sample::select(&HANDLES[..]);
    let home = || prop::sample::select(&HOMES[..]);
    let id = || prop_oneof![1..=8_u32, Just(0xffff_ffff), Just(0xfffe_0001)].prop_map(PeId);
    let value = || prop_oneof![4 => 0..=4_u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    let operation = prop_oneof![
        4 => (id(), home(), (value(), value()))
            .prop_map(|(id, home, values)| Operation::Register { id, home, values }),
        1 => id().prop_map(Operation::Deregister),
        1 => (id(), home()).prop_map(|(id, home)| Operation::SetHome(id, home)),
        6 => prop_oneof![0..=4_usize, Just(usize::MAX)].prop_map(Operation::Select),
    ];
    (handle, operation)
}

type MakePolicy = fn(u32, u32) -> Policy<'static>;

const POLICIES: [MakePolicy; 9] = [
    |_, _| Policy::RoundRobin,
    |weight, _| Policy::WeightedRoundRobin { weight },
    |_, _| Policy::Random,
    |weight, _| Policy::WeightedRandom { weight },
    |priority, _| Policy::Priority { priority },
    |load, _| Policy::LeastUsed { load },
    |load, load_degradation| Policy::LeastUsedDegradation {
        load,
        load_degradation,
    },
    |load, load_degradation| Policy::PriorityLeastUsed {
        load,
        load_degradation,
    },
    |load, _| Policy::RandomizedLeastUsed { load },
];

/// The handlespace, the model, and all keys that have died.
struct Both {
    real: Handlespace,
    model: Model,
    dead: Vec<ElementKey>,
    make_policy: MakePolicy,
}

impl Both {
    fn new(make_policy: MakePolicy) -> Self {
        Self {
            real: handlespace(7),
            model: Model::default(),
            dead: Vec::new(),
            make_policy,
        }
    }

    /// Carries out an operation on both; what was selected is the answer.
    fn step(&mut self, handle: &[u8], operation: &Operation) -> Vec<u32> {
        match *operation {
            Operation::Register {
                id,
                home,
                values: (a, b),
            } => self.register(handle, id, home, (self.make_policy)(a, b)),
            Operation::Deregister(id) => {
                if let Some(key) = self.real.find(handle, id) {
                    assert_eq!(self.real.deregister(key).map(|e| e.id), Some(id));
                    self.dead.push(key);
                }
                self.model.deregister(handle, id);
            }
            Operation::SetHome(id, home) => {
                if let Some(key) = self.real.find(handle, id) {
                    self.real.set_home(key, home);
                }
                if let Some(pool) = self.model.pool(handle)
                    && let Some(at) = pool.position(id)
                {
                    pool.elements[at].home = home;
                }
            }
            Operation::Select(items) => return self.select(handle, items),
        }
        Vec::new()
    }

    fn register(&mut self, handle: &[u8], id: PeId, home: ServerId, policy: Policy<'static>) {
        let known = self.real.find(handle, id);
        let previous = known.and_then(|key| self.real.get(key)).cloned();
        let new = NewElement {
            home,
            ..element(id.0, policy)
        };
        let registered = self.real.register(handle, &new).expect("consistent");
        assert!(known.is_none_or(|key| key == registered.key));
        let expected = match previous {
            None => RegisterOutcome::New,
            Some(previous) => RegisterOutcome::Updated {
                previous_home: previous.home,
                changed: previous.home != home || previous.policy != policy,
            },
        };
        assert_eq!(registered.outcome, expected);
        self.model.register(handle, id, home, policy);
    }

    fn select(&mut self, handle: &[u8], items: usize) -> Vec<u32> {
        let mut selected = Vec::new();
        let selection = self.real.select(handle, items, &mut selected);
        let list = ids(&self.real, selected);
        let Some(pool) = self.model.pool(handle) else {
            assert_eq!((selection, list.len()), (Selection::UnknownPool, 0));
            return list;
        };
        let policy_type = pool.elements[0].policy.policy_type();
        assert_eq!(selection, Selection::Selected(policy_type));
        let able = pool.elements.iter().filter(|element| element.weight() > 0);
        let able: BTreeSet<_> = able.map(|element| element.id.0).collect();
        let distinct: BTreeSet<_> = list.iter().copied().collect();
        assert_eq!(list.len(), items.min(able.len()));
        assert_eq!(distinct.len(), list.len());
        assert!(distinct.is_subset(&able));
        if let Some(expected) = pool.select(items) {
            let expected: Vec<_> = expected.iter().map(|id| id.0).collect();
            assert_eq!(list, expected);
        }
        list
    }

    /// Every index of the handlespace against the model.
    fn check(&self) {
        let sorted = self.model.sorted();
        let mut all: Vec<_> = self.real.elements_after(None).collect();
        all.sort_by_cached_key(|key| {
            let element = self.real.get(*key).expect("a living element");
            (element.pool.clone(), element.id)
        });
        assert_eq!(all.len(), sorted.len());
        for (key, (handle, expected)) in all.iter().zip(&sorted) {
            let element = self.real.get(*key).expect("a living element");
            assert_eq!(element.pool.as_bytes(), *handle);
            assert_eq!(
                (element.id, element.home, element.policy),
                (expected.id, expected.home, expected.policy)
            );
            assert_eq!(self.real.find(handle, element.id), Some(*key));
        }
        let mut handles: Vec<_> = sorted.iter().map(|(handle, _)| *handle).collect();
        handles.dedup();
        assert!(
            self.real
                .pools()
                .map(|pool| pool.as_bytes())
                .eq(handles.iter().copied())
        );
        for handle in HANDLES {
            let members = sorted.iter().filter(|(of, _)| *of == handle);
            let members: Vec<_> = members.map(|(_, element)| element.id.0).collect();
            let mut own = ids(&self.real, self.real.elements(handle));
            own.sort_unstable();
            assert_eq!(own, members);
            let view = self.real.pool(handle).map(|pool| pool.elements);
            assert_eq!(view, Some(members.len()).filter(|count| *count > 0));
        }
        assert_eq!(
            (self.real.len(), self.real.pool_count()),
            (all.len(), handles.len())
        );
        for home in HOMES {
            self.check_owner(home, &all);
        }
        assert!(self.dead.iter().all(|key| self.real.get(*key).is_none()));
    }

    fn check_owner(&self, home: ServerId, all: &[ElementKey]) {
        let is_own = |key: &&ElementKey| self.real.get(**key).is_some_and(|e| e.home == home);
        let owned: BTreeSet<_> = all.iter().filter(is_own).copied().collect();
        let walked: Vec<_> = self.real.owned_by(home).collect();
        assert_eq!(walked.len(), owned.len());
        assert_eq!(BTreeSet::from_iter(walked), owned);
        assert_eq!(self.real.owned_count(home), owned.len());
        assert_eq!(
            self.real.owners().any(|owner| owner == home),
            !owned.is_empty()
        );
        assert_eq!(self.real.checksum(home), self.real.recompute_checksum(home));
        assert_eq!(self.real.checksum(home), self.model.checksum(home));
    }

    /// The order from every place in it on, over all and by owner: by pool, whatever is within it.
    fn check_places(&self) {
        let all: Vec<_> = self.real.elements_after(None).collect();
        let pool = |key: &ElementKey| self.real.get(*key).map(|element| &element.pool);
        assert!(all.is_sorted_by_key(pool));
        for (index, key) in all.iter().enumerate() {
            let place = self.real.place_after(*key);
            let rest = &all[index + 1..];
            assert!(
                self.real
                    .elements_after(place.as_ref())
                    .eq(rest.iter().copied())
            );
            let home = self.real.get(*key).expect("a living element").home;
            let is_own = |key: &ElementKey| self.real.get(*key).is_some_and(|e| e.home == home);
            let owned = rest.iter().copied().filter(is_own);
            assert!(self.real.owned_after(home, place.as_ref()).eq(owned));
        }
    }

    /// Walks in pages, with operations in between: over all, or over what `home` owns. Whatever stays what it was comes.
    fn walk(
        &mut self,
        home: Option<ServerId>,
        page: usize,
        operations: &[(&'static [u8], Operation)],
    ) {
        let concerned = |real: &Handlespace| -> BTreeSet<(ElementKey, ServerId)> {
            let keys = real.elements_after(None);
            let owned = keys.filter_map(|key| Some((key, real.get(key)?.home)));
            owned
                .filter(|(_, owner)| home.is_none_or(|home| home == *owner))
                .collect()
        };
        let mut staying = concerned(&self.real);
        let (mut seen, mut place) = (BTreeSet::new(), None);
        let mut operations = operations.chunks(4);
        for pages in 0.. {
            assert!(pages < 1_000, "a walk ends");
            let keys: Vec<_> = match home {
                Some(home) => self
                    .real
                    .owned_after(home, place.as_ref())
                    .take(page)
                    .collect(),
                None => self
                    .real
                    .elements_after(place.as_ref())
                    .take(page)
                    .collect(),
            };
            let Some(last) = keys.last() else { break };
            place = self.real.place_after(*last);
            seen.extend(keys);
            for (handle, operation) in operations.next().into_iter().flatten() {
                self.step(handle, operation);
                let now = concerned(&self.real);
                staying.retain(|one| now.contains(one));
            }
        }
        assert!(staying.iter().all(|(key, _)| seen.contains(key)));
    }
}

fn agree(make_policy: MakePolicy, operations: &[(&'static [u8], Operation)]) {
    let mut both = Both::new(make_policy);
    for (handle, operation) in operations {
        both.step(handle, operation);
        both.check();
    }
    both.check_places();
}

macro_rules! agreement {
    ($($(#[$rfc:meta])* $name:ident: $policy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
            $(
                $(#[$rfc])*
                #[test]
                fn $name(operations in prop::collection::vec(operation(), 1..160)) {
                    agree(POLICIES[$policy], &operations);
                }
            )*
        }
    };
}

agreement! {
    // RFC 5356 §4.1.2
    round_robin: 0;
    // RFC 5356 §4.2.2
    weighted_round_robin: 1;
    // RFC 5356 §4.3.2
    random: 2;
    // RFC 5356 §4.4.2
    weighted_random: 3;
    // RFC 5356 §4.5.2
    priority: 4;
    // RFC 5356 §5.1.2
    least_used: 5;
    // RFC 5356 §5.2.2
    least_used_with_degradation: 6;
    // RFC 5356 §5.3.2
    priority_least_used: 7;
    // RFC 5356 §5.4.2
    randomized_least_used: 8;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    // RFC 5353 §3.2.3: a table is fetched while elements come and go.
    #[test]
    fn a_walk_in_pages_gives_whatever_stays(
        home in prop::option::of(prop::sample::select(&HOMES[..])),
        page in 1..6_usize,
        before in prop::collection::vec(operation(), 40..160),
        meanwhile in prop::collection::vec(operation(), 0..80),
    ) {
        let mut both = Both::new(POLICIES[0]);
        for (handle, operation) in &before {
            both.step(handle, operation);
        }
        both.walk(home, page, &meanwhile);
    }

    #[test]
    fn the_same_seed_and_the_same_calls_give_the_same_results(
        policy in 0..9_usize,
        operations in prop::collection::vec(operation(), 1..160),
    ) {
        let run = || {
            let mut both = Both::new(POLICIES[policy]);
            let step = |(handle, operation): &(&'static [u8], Operation)| both.step(handle, operation);
            let lists: Vec<_> = operations.iter().map(step).collect();
            (lists, both.real.elements_after(None).collect::<Vec<_>>())
        };
        prop_assert_eq!(run(), run());
    }
}
