//! Where the bytes of a torrent live: the arithmetic of pieces, blocks and files, and nothing else.
//!
//! Invariant: a `Layout` that exists is right: pieces tile the content without gap, so every index it accepts is in range
//! and no sum overflows. BEP: 3, 47

use core::fmt;

/// 16 KiB: the block that every client asks for (BEP 3 practice; larger requests are dropped by most).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// Longest content we take part in: 2^45 bytes (32 TiB), so that sums of offsets never near `u64::MAX`.
pub const TOTAL_LEN_MAX: u64 = 1 << 45;

/// Longest piece: 512 MiB.
pub const PIECE_LEN_MAX: u32 = 512 * 1024 * 1024;

/// Most pieces: 2^21, as libtorrent's `0x200000`.
pub const PIECES_MAX: u32 = 1 << 21;

/// The number of a piece, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PieceIndex(pub u32);

impl PieceIndex {
    /// For indexing slices.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "piece {}", self.0)
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range inside a piece, as peers ask for it: normally one aligned block of the layout's block length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Block {
    /// The piece.
    pub piece: PieceIndex,
    /// Bytes from the start of the piece.
    pub offset: u32,
    /// Bytes; never 0 in a block that a [`Layout`] made.
    pub len: u32,
}

/// The arithmetic of one content: how many pieces, how long each, which blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    total: u64,
    piece_len: u32,
    block_len: u32,
    pieces: u32,
}

/// Why no layout can be made of these numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// The content is longer than [`TOTAL_LEN_MAX`].
    TooLong,
    /// The content is empty: there is nothing to share.
    Empty,
    /// The piece length is 0 or above [`PIECE_LEN_MAX`].
    PieceLen,
    /// There would be more than [`PIECES_MAX`] pieces.
    TooManyPieces,
}

impl Layout {
    /// A layout with blocks of 16 KiB.
    pub fn new(total: u64, piece_len: u32) -> Result<Layout, LayoutError> {
        Layout::with_block_len(total, piece_len, BLOCK_LEN)
    }

    /// A layout with blocks of another length: the simulator moves whole pieces as one block.
    pub fn with_block_len(total: u64, piece_len: u32, block_len: u32) -> Result<Layout, LayoutError> {
        if total == 0 {
            return Err(LayoutError::Empty);
        }
        if total > TOTAL_LEN_MAX {
            return Err(LayoutError::TooLong);
        }
        if piece_len == 0 || piece_len > PIECE_LEN_MAX || block_len == 0 {
            return Err(LayoutError::PieceLen);
        }
        let pieces = total.div_ceil(u64::from(piece_len));
        if pieces > u64::from(PIECES_MAX) {
            return Err(LayoutError::TooManyPieces);
        }
        Ok(Layout { total, piece_len, block_len, pieces: pieces as u32 })
    }

    /// Bytes of the whole content.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of every piece but the last.
    pub fn piece_len_max(&self) -> u32 {
        self.piece_len
    }

    /// Bytes of every block but the last of a piece.
    pub fn block_len(&self) -> u32 {
        self.block_len
    }

    /// How many pieces there are; at least 1.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// All pieces in order.
    pub fn piece_indices(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.pieces).map(PieceIndex)
    }

    /// The piece with this number, if there is one: the door through which strangers' numbers come in.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.pieces).then_some(PieceIndex(index))
    }

    /// Bytes of this piece; only the last is shorter.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        debug_assert!(piece.0 < self.pieces);
        let start = self.piece_offset(piece);
        (self.total - start).min(u64::from(self.piece_len)) as u32
    }

    /// Where this piece starts in the content.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// How many blocks this piece has.
    pub fn blocks_in(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(self.block_len)
    }

    /// Block number `index` of a piece.
    ///
    /// # Panics
    /// In debug builds, if there is no such block: the number is ours, never a stranger's.
    pub fn nth_block(&self, piece: PieceIndex, index: u32) -> Block {
        let offset = index * self.block_len;
        let len = self.piece_len(piece) - offset;
        Block { piece, offset, len: len.min(self.block_len) }
    }

    /// The number of an aligned block inside its piece.
    pub fn block_index(&self, block: Block) -> u32 {
        block.offset / self.block_len
    }

    /// A stranger's (piece, offset, len) as a block of ours: aligned and exactly as long as that block is.
    pub fn block(&self, piece: u32, offset: u32, len: u32) -> Option<Block> {
        let range = self.range(piece, offset, len)?;
        let aligned = range.offset.is_multiple_of(self.block_len)
            && range == self.nth_block(range.piece, range.offset / self.block_len);
        aligned.then_some(range)
    }

    /// A stranger's request: any range inside one piece, not empty and at most one block long.
    pub fn range(&self, piece: u32, offset: u32, len: u32) -> Option<Block> {
        let piece = self.piece(piece)?;
        let fits = len > 0 && len <= self.block_len && offset.checked_add(len)? <= self.piece_len(piece);
        fits.then_some(Block { piece, offset, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_and_its_last_block_are_short() {
        let layout = Layout::new(100_000, 65_536).unwrap();
        assert_eq!(layout.pieces(), 2);
        assert_eq!(layout.piece_len(PieceIndex(1)), 34_464);
        assert_eq!(layout.blocks_in(PieceIndex(1)), 3);
        assert_eq!(layout.nth_block(PieceIndex(1), 2).len, 34_464 - 2 * 16_384);
    }

    #[test]
    fn a_strangers_block_must_be_one_of_ours() {
        let layout = Layout::new(100_000, 65_536).unwrap();
        assert!(layout.block(1, 32_768, 1_696).is_some());
        for (piece, offset, len) in [
            (2, 0, 16_384),
            (1, 32_768, 16_384),
            (0, 1, 16_384),
            (0, 0, 16_383),
            (0, u32::MAX, 16_384),
            (0, 0, 0),
        ] {
            assert_eq!(layout.block(piece, offset, len), None, "{piece} {offset} {len}");
        }
    }
}
