//! A handlespace as it would be written without any thought of speed: vectors, searched and sorted at every step.

use rserpool_core::wire::Policy;
use rserpool_core::{PeId, ServerId};

/// All pools, in no order.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) pools: Vec<Pool>,
}

/// A pool: its elements in the order of their turns.
pub(crate) struct Pool {
    pub(crate) handle: Vec<u8>,
    pub(crate) elements: Vec<Element>,
}

#[derive(Clone)]
pub(crate) struct Element {
    pub(crate) id: PeId,
    pub(crate) home: ServerId,
    pub(crate) policy: Policy<'static>,
    /// The degradation counter.
    selections: u128,
    /// Weighted Round Robin: windows of the cycle that are over, whether the next one has opened, and whether the cycle is
    /// over for it.
    used: u128,
    opened: bool,
    done: bool,
}

impl Element {
    fn new(id: PeId, home: ServerId, policy: Policy<'static>) -> Self {
        Self {
            id,
            home,
            policy,
            selections: 0,
            used: 0,
            opened: false,
            done: true,
        }
    }

    fn rank(&self) -> u128 {
        match self.policy {
            Policy::Priority { priority } => u128::from(u32::MAX - priority),
            Policy::LeastUsed { load } => load.into(),
            Policy::LeastUsedDegradation {
                load,
                load_degradation,
            } => u128::from(load) + self.selections * u128::from(load_degradation),
            Policy::PriorityLeastUsed {
                load,
                load_degradation,
            } => u128::from(load) + u128::from(load_degradation),
            _ => 0,
        }
    }

    pub(crate) fn weight(&self) -> u128 {
        match self.policy {
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                weight.into()
            }
            Policy::RandomizedLeastUsed { load } => u128::from(u32::MAX - load),
            _ => 1,
        }
    }

    fn left(&self) -> u128 {
        match self.done {
            true => 0,
            false => self.weight() - self.used,
        }
    }
}

impl Model {
    pub(crate) fn pool(&mut self, handle: &[u8]) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| pool.handle == handle)
    }

    pub(crate) fn register(
        &mut self,
        handle: &[u8],
        id: PeId,
        home: ServerId,
        policy: Policy<'static>,
    ) {
        if self.pool(handle).is_none() {
            self.pools.push(Pool {
                handle: handle.to_vec(),
                elements: Vec::new(),
            });
        }
        let Some(pool) = self.pool(handle) else {
            return;
        };
        match pool.position(id) {
            Some(at) => {
                pool.elements[at].home = home;
                pool.update(at, policy);
            }
            None => {
                let without_weight = match policy {
                    Policy::WeightedRoundRobin { .. } => Policy::WeightedRoundRobin { weight: 0 },
                    other => other,
                };
                pool.elements.push(Element::new(id, home, without_weight));
                pool.update(pool.elements.len() - 1, policy);
            }
        }
    }

    pub(crate) fn deregister(&mut self, handle: &[u8], id: PeId) {
        if let Some(pool) = self.pool(handle) {
            pool.elements.retain(|element| element.id != id);
        }
        self.pools.retain(|pool| !pool.elements.is_empty());
    }

    /// All elements by (pool handle, PE identifier).
    pub(crate) fn sorted(&self) -> Vec<(&[u8], &Element)> {
        let mut all = Vec::new();
        for pool in &self.pools {
            all.extend(
                pool.elements
                    .iter()
                    .map(|element| (&pool.handle[..], element)),
            );
        }
        all.sort_by_key(|(handle, element)| (*handle, element.id));
        all
    }

    /// The Internet checksum over all blocks of a registrar, as one text (RFC 5353 §3.6.2).
    pub(crate) fn checksum(&self, home: ServerId) -> u16 {
        let mut text = Vec::new();
        for (handle, element) in self.sorted() {
            if element.home == home {
                text.extend_from_slice(handle);
                text.resize(text.len().next_multiple_of(4), 0);
                text.extend_from_slice(&element.id.0.to_be_bytes());
            }
        }
        let mut sum = 0_u32;
        for word in text.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(word[1]);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).expect("folded")
    }
}

impl Pool {
    pub(crate) fn position(&self, id: PeId) -> Option<usize> {
        self.elements.iter().position(|element| element.id == id)
    }

    /// RFC 5356 §5.2.2 and what a new value means for the place among the others.
    fn update(&mut self, at: usize, policy: Policy<'static>) {
        if matches!(policy, Policy::WeightedRoundRobin { .. }) {
            return self.update_weight(at, policy);
        }
        let before = self.elements[at].rank();
        let element = &mut self.elements[at];
        (element.policy, element.selections) = (policy, 0);
        if element.rank() != before {
            self.requeue(at);
        }
    }

    fn requeue(&mut self, at: usize) {
        let element = self.elements.remove(at);
        self.elements.push(element);
    }

    fn total(&self) -> u128 {
        self.elements.iter().map(Element::weight).sum()
    }

    fn left(&self) -> u128 {
        self.elements.iter().map(Element::left).sum()
    }

    fn is_open(&self, element: &Element) -> bool {
        element.used * self.total() <= (self.total() - self.left()) * element.weight()
    }

    fn update_weight(&mut self, at: usize, policy: Policy<'static>) {
        let (total, left) = (self.total(), self.left());
        let old = self.elements[at].clone();
        let new = Element {
            policy,
            ..old.clone()
        };
        if new.weight() == old.weight() {
            return;
        }
        let due = new.weight() * left;
        let left_of_it = match total {
            0 => 0,
            _ if old.weight() == 0 => due / total,
            _ => {
                let shift = (new.weight().abs_diff(old.weight()) * left + total / 2) / total;
                let moved = match new.weight() > old.weight() {
                    true => old.left() + shift,
                    false => old.left().saturating_sub(shift),
                };
                moved.clamp(due / total, due.div_ceil(total))
            }
        };
        let done = left_of_it == 0;
        let used = if done { 0 } else { new.weight() - left_of_it };
        self.elements[at] = Element { done, used, ..new };
        self.elements[at].opened = self.is_open(&self.elements[at]);
        if old.weight() == 0 {
            self.requeue(at);
        }
    }

    /// What a deterministic policy selects; `None` for a random one.
    pub(crate) fn select(&mut self, items: usize) -> Option<Vec<PeId>> {
        match self.elements.first()?.policy {
            Policy::Random | Policy::WeightedRandom { .. } | Policy::RandomizedLeastUsed { .. } => {
                None
            }
            Policy::WeightedRoundRobin { .. } => Some(self.select_weighted(items)),
            Policy::RoundRobin => {
                let list = self.elements.iter().take(items).map(|e| e.id).collect();
                if items > 0 {
                    self.requeue(0);
                }
                Some(list)
            }
            _ => Some(self.select_ranked(items)),
        }
    }

    /// The lowest ranks; of equals the first goes to their end, and whoever changes its rank joins the end of the new one.
    fn select_ranked(&mut self, items: usize) -> Vec<PeId> {
        let mut sorted = self.elements.clone();
        sorted.sort_by_key(Element::rank);
        let ranks: Vec<_> = sorted.iter().map(Element::rank).collect();
        sorted.truncate(items);
        for (index, element) in sorted.iter().enumerate() {
            let at = self.position(element.id).expect("a member");
            self.elements[at].selections += 1;
            let leads = index == 0 || ranks[index - 1] != ranks[index];
            let has_equals = ranks.get(index + 1) == Some(&ranks[index]);
            if (leads && has_equals) || self.elements[at].rank() != ranks[index] {
                self.requeue(at);
            }
        }
        sorted.iter().map(|element| element.id).collect()
    }

    fn select_weighted(&mut self, items: usize) -> Vec<PeId> {
        if items == 0 || self.total() == 0 {
            return Vec::new();
        }
        if self.left() == 0 {
            for element in &mut self.elements {
                (element.done, element.opened) = (false, true);
            }
        }
        for at in 0..self.elements.len() {
            self.elements[at].opened |= self.is_open(&self.elements[at]);
        }
        let mut list: Vec<_> = self
            .elements
            .iter()
            .filter(|e| e.weight() > 0)
            .cloned()
            .collect();
        // Windows that are open by their end, the others of this cycle by their start, those of the next one by their end;
        // of equals the heavier, then whose turn is earlier.
        list.sort_by(|a, b| {
            let line = |element: &Element| (element.done, !element.opened && !element.done);
            let point = |element: &Element| element.used + u128::from(!line(element).1);
            line(a)
                .cmp(&line(b))
                .then((point(a) * b.weight()).cmp(&(point(b) * a.weight())))
                .then(b.weight().cmp(&a.weight()))
        });
        let at = self.position(list[0].id).expect("a member");
        let element = &mut self.elements[at];
        element.used += 1;
        element.opened = false;
        if element.used == element.weight() {
            (element.used, element.done) = (0, true);
        }
        self.elements[at].opened = self.is_open(&self.elements[at]);
        self.requeue(at);
        list.iter().take(items).map(|element| element.id).collect()
    }
}
