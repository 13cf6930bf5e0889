//! Recounts the picker's own rows, and all that it holds.

use super::PiecePicker;
use crate::PeerKey;
use crate::audit::Doubts;
use crate::pieces::BlockState;
use wire::{Block, PieceIndex};

impl PiecePicker {
    /// Holds everything against everything; `peers_with` counts who has a piece anew.
    pub(crate) fn audit(&self, peers_with: impl Fn(PieceIndex) -> u32, doubts: &mut Doubts) {
        self.pieces.audit(doubts);
        self.availability.audit(&self.pieces, peers_with, doubts);
        for row in &self.rows {
            let copies: u32 = self.pieces.open.iter().map(|open| open.copies_of(row.key)).sum();
            doubts.must(u32::from(row.copies) == copies, || {
                format!("{:?} is asked for {copies} copies, and counted for {}", row.key, row.copies)
            });
        }
    }

    /// Who is asked for what, copies included.
    pub(crate) fn debts(&self) -> Vec<(PeerKey, Block)> {
        let of = |open: &crate::pieces::OpenPiece| {
            let block = |(number, peer)| (peer, self.pieces.layout.nth_block(open.piece, number));
            open.debtors().map(block).collect::<Vec<_>>()
        };
        self.pieces.open.iter().flat_map(of).collect()
    }

    /// Whether anybody may be asked for a block of this piece: nobody was, and no peer has it for itself.
    pub(crate) fn has_free(&self, piece: PieceIndex) -> bool {
        match self.pieces.open_piece(piece) {
            Some(open) => open.free() > 0 && open.reserved.is_none(),
            None => self.pieces.can_begin(piece),
        }
    }

    /// Whether a block is here or on its way, as far as the picker knows.
    pub(crate) fn knows_of(&self, block: Block) -> bool {
        let number = self.pieces.layout.block_index(block);
        let open = self.pieces.open_piece(block.piece);
        open.is_some_and(|open| open.block(number) != Some(BlockState::Free))
            || self.pieces.have().has(block.piece)
    }
}
