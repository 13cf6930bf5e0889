//! Recounts the blocks of an unfinished piece.

use super::{BlockState, OpenPiece};
use crate::audit::Doubts;

impl OpenPiece {
    /// Holds indexes and counts against the states of the blocks.
    pub(crate) fn audit(&self, doubts: &mut Doubts) {
        let count = |wanted: fn(&BlockState) -> bool| {
            self.blocks.all().iter().filter(|state| wanted(state)).count() as u32
        };
        let kept = count(|state| matches!(state, BlockState::Kept(_)));
        let spilling = count(|state| matches!(state, BlockState::Spilling(_)));
        let asked = count(|state| matches!(state, BlockState::Asked(_)));
        let free = count(|state| *state == BlockState::Free);
        let name = self.piece;
        let mut same = |what: &str, said: u32, is: u32| {
            doubts.must(said == is, || format!("{name:?}, {what}: says {said}, is {is}"));
        };
        same("free blocks", self.free(), free);
        same("blocks asked for", self.asked(), asked);
        same("blocks not here", self.absent, free + asked);
        same("blocks in memory", self.in_memory, kept + spilling);
        same("blocks on their way out of memory", self.spilling, spilling);
        doubts.must(self.oldest_kept().is_some() == (kept > 0), || {
            format!("{name:?} has {kept} blocks in memory alone, the oldest of {:?}", self.oldest_kept())
        });
        for &(block, peer) in self.copies.all() {
            let right = matches!(self.block(block), Some(BlockState::Asked(first)) if first != peer);
            doubts.must(right, || {
                format!("{name:?}: {peer:?} has a copy of block {block}, which is {:?}", self.block(block))
            });
        }
        doubts.must(self.copies.all().is_sorted(), || format!("{name:?}: copies out of order"));
    }

    /// How many end-game copies a peer is asked for.
    pub(crate) fn copies_of(&self, peer: crate::PeerKey) -> u32 {
        self.copies.all().iter().filter(|&&(_, other)| other == peer).count() as u32
    }
}
