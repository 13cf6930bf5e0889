//! Which pieces a peer has, in as few bytes as its progress allows: nothing for a newcomer or a seed, a short list, or one bit
//! per piece. Not counts over all peers: those are [`super::availability`]'s.
//!
//! Invariant: the form is the smallest that fits, so a peer that has every piece is `All` however it got there.
//! BEP: 3 (bitfield, have), 6 (have all, have none)

use core::ops::Range;
use wire::{Bitfield, PieceIndex};

/// A list is kept up to this many pieces, so that a walk over it stays short whatever the torrent's size.
pub const SPARSE_PIECES_MAX: usize = 64;

/// The pieces of one remote peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RemotePieces {
    /// None. A peer without pieces may skip the bitfield (BEP 3), so silence means this.
    #[default]
    None,
    /// Every one: a seed.
    All,
    /// A few, in order.
    Sparse(Vec<PieceIndex>),
    /// Many.
    Words(CountedSet),
}

/// A bitfield that knows how many bits are set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CountedSet {
    set: Bitfield,
    count: u32,
}

impl CountedSet {
    /// The bits.
    pub fn bits(&self) -> &Bitfield {
        &self.set
    }
}

impl RemotePieces {
    /// The pieces of a bitfield message, whose length was checked against the layout.
    pub fn from_bitfield(set: Bitfield) -> RemotePieces {
        let count = set.count();
        if count == 0 {
            RemotePieces::None
        } else if count == set.len() {
            RemotePieces::All
        } else if fits_a_list(count as usize, set.len()) {
            RemotePieces::Sparse(set.iter().collect())
        } else {
            RemotePieces::Words(CountedSet { set, count })
        }
    }

    /// Adds a piece of a torrent with `total` pieces; says whether it is new. The piece must be one of the torrent's.
    pub fn insert(&mut self, piece: PieceIndex, total: u32) -> bool {
        let new = match self {
            RemotePieces::None => {
                *self = RemotePieces::Sparse(vec![piece]);
                true
            }
            RemotePieces::All => false,
            RemotePieces::Sparse(list) => match list.binary_search(&piece) {
                Ok(_) => false,
                Err(at) => {
                    list.insert(at, piece);
                    true
                }
            },
            RemotePieces::Words(words) => {
                let new = words.set.insert(piece);
                words.count += u32::from(new);
                new
            }
        };
        if new {
            self.settle(total);
        }
        new
    }

    /// Takes away pieces of a torrent with `total` that lie beside one another. O(pieces taken away), but O(`total` / 64) when that
    /// changes the form.
    pub fn remove(&mut self, pieces: Range<PieceIndex>, total: u32) {
        if let RemotePieces::All = self {
            *self = RemotePieces::Words(CountedSet { set: Bitfield::full(total), count: total });
        }
        match self {
            RemotePieces::None | RemotePieces::All => {}
            RemotePieces::Sparse(list) => list.retain(|piece| !pieces.contains(piece)),
            RemotePieces::Words(words) => {
                let range = pieces.start.0..pieces.end.0.min(total);
                words.count -= range.filter(|&piece| words.set.remove(PieceIndex(piece))).count() as u32;
            }
        }
        self.shrink(total);
    }

    /// Whether the peer has this piece.
    pub fn has(&self, piece: PieceIndex) -> bool {
        match self {
            RemotePieces::None => false,
            RemotePieces::All => true,
            RemotePieces::Sparse(list) => list.binary_search(&piece).is_ok(),
            RemotePieces::Words(words) => words.set.has(piece),
        }
    }

    /// How many pieces the peer has, of a torrent with `total`. Does not scan.
    pub fn count(&self, total: u32) -> u32 {
        match self {
            RemotePieces::None => 0,
            RemotePieces::All => total,
            RemotePieces::Sparse(list) => list.len() as u32,
            RemotePieces::Words(words) => words.count,
        }
    }

    /// Whether the peer has every piece.
    pub fn is_seed(&self) -> bool {
        matches!(self, RemotePieces::All)
    }

    /// Calls `visit` for each piece the peer has of a torrent with `total`, in order.
    pub fn each(&self, total: u32, visit: impl FnMut(PieceIndex)) {
        match self {
            RemotePieces::None => {}
            RemotePieces::All => (0..total).map(PieceIndex).for_each(visit),
            RemotePieces::Sparse(list) => list.iter().copied().for_each(visit),
            RemotePieces::Words(words) => words.set.iter().for_each(visit),
        }
    }

    /// Calls `visit` for each piece the peer lacks of a torrent with `total`, in order.
    pub fn each_lacking(&self, total: u32, mut visit: impl FnMut(PieceIndex)) {
        match self {
            RemotePieces::All => {}
            RemotePieces::None => (0..total).map(PieceIndex).for_each(visit),
            RemotePieces::Sparse(_) => {
                (0..total).map(PieceIndex).filter(|&piece| !self.has(piece)).for_each(visit)
            }
            RemotePieces::Words(words) => {
                for (index, word) in words.set.words().iter().enumerate() {
                    let mut rest = !word;
                    while rest != 0 {
                        let bit = rest.leading_zeros();
                        rest &= !(1 << (63 - bit));
                        let piece = index as u32 * 64 + bit;
                        if piece >= total {
                            return;
                        }
                        visit(PieceIndex(piece));
                    }
                }
            }
        }
    }

    /// Takes the smallest form again after growth.
    fn settle(&mut self, total: u32) {
        if self.count(total) == total {
            *self = RemotePieces::All;
        } else if let RemotePieces::Sparse(list) = self
            && !fits_a_list(list.len(), total)
        {
            let mut set = Bitfield::new(total);
            list.iter().for_each(|&piece| {
                set.insert(piece);
            });
            let count = list.len() as u32;
            *self = RemotePieces::Words(CountedSet { set, count });
        }
    }

    /// Takes the smallest form again after pieces went.
    fn shrink(&mut self, total: u32) {
        let count = self.count(total);
        if count == 0 {
            *self = RemotePieces::None;
        } else if count == total {
            *self = RemotePieces::All;
        } else if let RemotePieces::Words(words) = self
            && fits_a_list(count as usize, total)
        {
            *self = RemotePieces::Sparse(words.set.iter().collect());
        }
    }
}

/// A list costs 32 bits a piece it holds, a bitfield one bit a piece of the torrent.
fn fits_a_list(count: usize, total: u32) -> bool {
    count <= SPARSE_PIECES_MAX && count * 32 <= total as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};

    #[test]
    fn a_peer_that_gains_every_piece_becomes_a_seed_through_every_form() {
        for total in [1, 31, 64, 2_000, 5_000] {
            let mut order: Vec<u32> = (0..total).collect();
            Rng::new(Seed(u64::from(total))).shuffle(&mut order);
            let mut pieces = RemotePieces::None;
            for (count, &piece) in order.iter().enumerate() {
                assert_eq!(pieces.count(total), count as u32);
                assert!(!pieces.has(PieceIndex(piece)));
                assert!(pieces.insert(PieceIndex(piece), total));
                assert!(!pieces.insert(PieceIndex(piece), total));
            }
            assert_eq!(pieces, RemotePieces::All, "total {total}");
        }
    }

    #[test]
    fn what_it_has_and_what_it_lacks_make_the_whole() {
        for (total, step) in [(100, 1), (100, 2), (100, 99), (3_000, 7), (3_000, 1_000), (64, 3)] {
            let mut set = Bitfield::new(total);
            (1..total).step_by(step).for_each(|piece| {
                set.insert(PieceIndex(piece));
            });
            let pieces = RemotePieces::from_bitfield(set.clone());
            let (mut has, mut lacks) = (Vec::new(), Vec::new());
            pieces.each(total, |piece| has.push(piece));
            pieces.each_lacking(total, |piece| lacks.push(piece));
            assert_eq!(has, set.iter().collect::<Vec<_>>());
            assert!(lacks.iter().all(|&piece| !set.has(piece)));
            assert_eq!(has.len() + lacks.len(), total as usize);
        }
    }

    #[test]
    fn ranges_that_go_leave_the_rest_in_its_smallest_form() {
        for seed in 0..40 {
            let mut rng = Rng::new(Seed(seed));
            let total = 1 + rng.below(5_000);
            let mut pieces = RemotePieces::All;
            let mut set = Bitfield::full(total);
            while !set.is_empty() {
                let (start, len) = (rng.below(total), rng.below(total / 3 + 2));
                // Also beyond the end.
                pieces.remove(PieceIndex(start)..PieceIndex(start + len), total);
                (start..start + len).for_each(|piece| _ = set.remove(PieceIndex(piece)));
                assert_eq!(pieces, RemotePieces::from_bitfield(set.clone()), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_bitfield_takes_the_smallest_form() {
        assert_eq!(RemotePieces::from_bitfield(Bitfield::new(10)), RemotePieces::None);
        assert_eq!(RemotePieces::from_bitfield(Bitfield::full(10)), RemotePieces::All);
        let mut few = Bitfield::new(10_000);
        few.insert(PieceIndex(9_999));
        assert_eq!(RemotePieces::from_bitfield(few), RemotePieces::Sparse(vec![PieceIndex(9_999)]));
    }
}
