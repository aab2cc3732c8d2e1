//! Who owns which elements, and the checksums by which registrars compare what they know (RFC 5353 §3.6.1, §3.6.2).
//!
//! The checksum of an owner is the Internet checksum (RFC 1071) over one block for each of its elements: the pool handle,
//! padded with zeros to a multiple of 4 bytes, and the identifier. What is kept is the plain sum of the 16-bit words, from
//! which a block can be taken away as exactly as it was added; carries are folded in when the checksum is read.

use alloc::collections::{BTreeMap, BTreeSet};

use super::pool::Pool;
use crate::ids::{PeId, PoolHandle, ServerId};
use crate::planted::{Bug, planted};

/// All registrars that own an element.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<ServerId, Owner>);

#[derive(Debug, Default)]
pub(super) struct Owner {
    /// The pools in which it owns an element.
    pub(super) pools: BTreeSet<PoolHandle>,
    elements: usize,
    sum: u64,
}

impl Owners {
    pub(super) fn get(&self, home: ServerId) -> Option<&Owner> {
        self.0.get(&home)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ServerId> + use<'_> {
        self.0.keys().copied()
    }

    pub(super) fn len_of(&self, home: ServerId) -> usize {
        self.get(home).map_or(0, |owner| owner.elements)
    }

    pub(super) fn checksum(&self, home: ServerId) -> u16 {
        !fold(self.get(home).map_or(0, |owner| owner.sum))
    }

    /// Makes `home` the owner of an element that has none, which is at `index` in the slab. Its position among the owner's.
    pub(super) fn add(&mut self, home: ServerId, pool: &mut Pool, (id, index): (PeId, u32)) -> u32 {
        let owner = match self.0.get_mut(&home) {
            Some(owner) => owner,
            None => self.0.entry(home).or_default(),
        };
        let position = pool.add_owned(home, index);
        if position == 0 {
            owner.pools.insert(pool.handle.clone());
        }
        owner.elements += 1;
        owner.sum += pool.handle_sum + sum_of_id(id);
        position
    }

    /// Leaves an element without an owner. Which one in the slab has its position now.
    pub(super) fn remove(
        &mut self,
        home: ServerId,
        pool: &mut Pool,
        (id, position): (PeId, u32),
    ) -> Option<u32> {
        let removed = pool.remove_owned(home, position);
        let owner = self.0.get_mut(&home)?;
        owner.elements -= 1;
        if planted(Bug::ChecksumKeepsRemoved) {
            return removed.moved;
        }
        owner.sum -= pool.handle_sum + sum_of_id(id);
        if owner.elements == 0 {
            self.0.remove(&home);
        } else if removed.last {
            owner.pools.remove(&pool.handle);
        }
        removed.moved
    }
}

/// The sum of the 16-bit words of a handle. Padding adds nothing.
pub(super) fn sum_of_handle(handle: &[u8]) -> u64 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    handle.chunks(2).map(word).sum()
}

fn sum_of_id(id: PeId) -> u64 {
    u64::from(id.0 >> 16) + u64::from(id.0 & 0xffff)
}

/// The one's complement sum that a plain sum of 16-bit words stands for: its carries are added in at the end (RFC 1071 §2).
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum >> 16) + (sum & 0xffff),
        }
    }
}

/// The checksum of these elements, word by word as RFC 1071 §1 has it.
pub(super) fn checksum_of<'a>(elements: impl Iterator<Item = (&'a PoolHandle, PeId)>) -> u16 {
    let mut sum = 0_u16;
    let mut add = |word| {
        let (plain, carry) = sum.overflowing_add(word);
        sum = plain + u16::from(carry);
    };
    for (handle, id) in elements {
        for pair in handle.as_bytes().chunks(2) {
            add(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
        let [a, b, c, d] = id.0.to_be_bytes();
        add(u16::from_be_bytes([a, b]));
        add(u16::from_be_bytes([c, d]));
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::super::{Handlespace, Limits, NewElement};
    use super::*;
    use crate::dialect::Life;
    use crate::rng::Rng;
    use crate::wire::{Policy, Transport};

    // RFC 1071 §3: the words of its example.
    #[test]
    fn carries_go_round() {
        assert_eq!(fold(0x0001 + 0xf203 + 0xf4f5 + 0xf6f7), 0xddf2);
        assert_eq!(fold(0xffff * 3), 0xffff);
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0), 0);
    }

    #[test]
    fn an_odd_handle_is_padded_with_zeros() {
        assert_eq!(sum_of_handle(b"abc"), 0x6162 + 0x6300);
        assert_eq!(sum_of_handle(b""), 0);
    }

    #[test]
    fn an_owner_forgets_the_pools_in_which_it_owns_nothing_more() {
        let policy = Policy::RoundRobin;
        let address = core::net::IpAddr::from([127, 0, 0, 1]);
        let first = NewElement {
            id: PeId(1),
            home: ServerId(1),
            life: Life::Forever,
            user_transport: Transport::Udp { port: 7, address },
            policy,
            asap_transport: None,
        };
        let mut handlespace = Handlespace::new(Rng::from_seed([0; 32]), Limits::default());
        let mut register = |pool: &str| handlespace.register(pool.as_bytes(), &first).unwrap().key;
        let [a, b, c] = ["a", "b", "c"].map(&mut register);
        let pools = |handlespace: &Handlespace, home| {
            let owner = handlespace.owners.get(ServerId(home));
            owner.map_or(0, |owner| owner.pools.len())
        };
        handlespace.deregister(a);
        assert_eq!(pools(&handlespace, 1), 2);
        handlespace.set_home(b, ServerId(2));
        assert_eq!((pools(&handlespace, 1), pools(&handlespace, 2)), (1, 1));
        handlespace.deregister(c);
        assert_eq!((pools(&handlespace, 1), pools(&handlespace, 2)), (0, 1));
    }
}
