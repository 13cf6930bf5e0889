//! Peers for an answer, packed as they travel. A buffer to be used again and again, so that an answer costs no allocation.

use super::WANT_MAX;
use super::entry::Entry;
use crate::Rng;
use core::net::SocketAddr;
use wire::compact::{self, Family, V4_LEN, V6_LEN};

/// Room for [`WANT_MAX`] peers, and for what [`Entry::write`] writes behind the last of them.
const ROOM: usize = WANT_MAX as usize * V6_LEN + 2;

/// Peers of one address family, as trackers pack them: 6 bytes each for IPv4, 18 for IPv6, port last.
#[derive(Clone)]
pub struct Peers {
    room: Box<[u8; ROOM]>,
    /// Bytes of the room that are filled.
    len: usize,
    family: Family,
}

impl core::fmt::Debug for Peers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for Peers {
    fn default() -> Peers {
        Peers::new()
    }
}

impl Peers {
    /// Nobody yet.
    pub fn new() -> Peers {
        Peers { room: Box::new([0; ROOM]), len: 0, family: Family::V4 }
    }

    /// How they are packed.
    pub fn family(&self) -> Family {
        self.family
    }

    /// All of them, packed (BEP 7, 15, 23).
    pub fn as_bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len / self.family.packed_len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        compact::decode(self.as_bytes(), self.family)
    }

    /// Nobody again; peers of this family are to come.
    pub(super) fn clear(&mut self, family: Family) {
        self.len = 0;
        self.family = family;
    }

    /// One more. There is room for [`WANT_MAX`]; further ones are left out.
    #[inline]
    pub(super) fn push(&mut self, peer: &impl Entry) {
        self.len += peer.write(self.room.get_mut(self.len..).unwrap_or_default());
    }

    /// Mixes the first so many with the rest; each of both parts is in random order already. Who reads an answer from its
    /// beginning shall not meet one kind first.
    pub(super) fn mix(&mut self, first: usize, rng: &mut Rng) {
        let bytes = self.room.get_mut(..self.len).unwrap_or_default();
        match self.family {
            Family::V4 => mix(bytes.as_chunks_mut::<V4_LEN>().0, first, rng),
            Family::V6 => mix(bytes.as_chunks_mut::<V6_LEN>().0, first, rng),
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
