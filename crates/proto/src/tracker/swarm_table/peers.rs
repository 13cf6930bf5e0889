//! Peers for an answer, packed as they travel. A buffer to be used again and again, so that an answer costs no allocation.

use super::entry::Entry;
use crate::Rng;
use core::net::SocketAddr;
use wire::compact::{self, Family, V4_LEN, V6_LEN};

/// Peers of one address family, as trackers pack them: 6 bytes each for IPv4, 18 for IPv6, port last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peers {
    bytes: Vec<u8>,
    family: Family,
}

impl Default for Peers {
    fn default() -> Peers {
        Peers::new()
    }
}

impl Peers {
    /// Nobody yet.
    pub fn new() -> Peers {
        Peers { bytes: Vec::new(), family: Family::V4 }
    }

    /// How they are packed.
    pub fn family(&self) -> Family {
        self.family
    }

    /// All of them, packed (BEP 7, 15, 23).
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.family.packed_len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        compact::decode(&self.bytes, self.family)
    }

    /// Nobody again; peers of this family are to come.
    pub(super) fn clear(&mut self, family: Family) {
        self.bytes.clear();
        self.family = family;
    }

    #[inline]
    pub(super) fn push(&mut self, peer: &impl Entry) {
        peer.write(&mut self.bytes);
    }

    /// Mixes the first so many with the rest; each of both parts is in random order already. Who reads an answer from its
    /// beginning shall not meet one kind first.
    pub(super) fn mix(&mut self, first: usize, rng: &mut Rng) {
        match self.family {
            Family::V4 => mix(self.bytes.as_chunks_mut::<V4_LEN>().0, first, rng),
            Family::V6 => mix(self.bytes.as_chunks_mut::<V6_LEN>().0, first, rng),
        }
    }
}

/// As much of Fisher-Yates as has an effect: from the end where the fewer are.
fn mix<T>(items: &mut [T], first: usize, rng: &mut Rng) {
    let len = items.len();
    if first <= len / 2 {
        (0..first).for_each(|at| items.swap(at, at + rng.index(len - at)));
    } else {
        (first..len).for_each(|at| items.swap(at, rng.index(at + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn each_kind_stands_in_each_place_equally_often() {
        let mut rng = Rng::new(Seed(2));
        for first in [0, 1, 3, 5, 8, 10] {
            let mut seen = [0; 10];
            for _ in 0..10_000 {
                let mut items: [u8; 10] = core::array::from_fn(|at| u8::from(at < first));
                mix(&mut items, first, &mut rng);
                (0..10).for_each(|at| seen[at] += u32::from(items[at]));
            }
            let expected = first as u32 * 1_000;
            assert!(seen.iter().all(|count| count.abs_diff(expected) < 250), "{first}: {seen:?}");
        }
    }
}
