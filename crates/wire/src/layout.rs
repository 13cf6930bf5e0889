//! Where the bytes of a torrent live: the arithmetic of pieces, blocks and files, and nothing else.
//!
//! Invariants: a `Layout` that exists is right. Its pieces tile the content without gap or overlap, and so do its files, in
//! their order (empty files lie between); there is at least one of each; every index it accepts is in range and no sum
//! overflows. A single file is a list of one. BEP: 3, 47

mod files;

use core::{fmt, ops::Range};

use files::FileTable;
pub use files::{FILES_MAX, FileExtent, FileIndex, FileLen, FileSlice};

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
    files: FileTable,
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
    /// There are more than [`FILES_MAX`] files.
    TooManyFiles,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::TooLong => write!(f, "the content is longer than {TOTAL_LEN_MAX} bytes (32 TiB)"),
            LayoutError::Empty => write!(f, "the content is empty"),
            LayoutError::PieceLen => write!(f, "the piece length is not within 1..={PIECE_LEN_MAX} bytes"),
            LayoutError::TooManyPieces => write!(f, "there are more than {PIECES_MAX} pieces"),
            LayoutError::TooManyFiles => write!(f, "there are more than {FILES_MAX} files"),
        }
    }
}

impl core::error::Error for LayoutError {}

impl Layout {
    /// One file in blocks of 16 KiB.
    pub fn new(total: u64, piece_len: u32) -> Result<Layout, LayoutError> {
        Layout::with_block_len(total, piece_len, BLOCK_LEN)
    }

    /// One file in blocks of another length: the simulator moves whole pieces as one block.
    pub fn with_block_len(total: u64, piece_len: u32, block_len: u32) -> Result<Layout, LayoutError> {
        Layout::with_files([FileLen { len: total, pad: false }], piece_len, block_len)
    }

    /// Files in the order in which pieces run through them.
    pub fn with_files(
        files: impl IntoIterator<Item = FileLen>,
        piece_len: u32,
        block_len: u32,
    ) -> Result<Layout, LayoutError> {
        if piece_len == 0 || piece_len > PIECE_LEN_MAX || block_len == 0 {
            return Err(LayoutError::PieceLen);
        }
        let (files, total) = FileTable::new(files)?;
        if total == 0 {
            return Err(LayoutError::Empty);
        }
        let pieces = total.div_ceil(u64::from(piece_len));
        if pieces > u64::from(PIECES_MAX) {
            return Err(LayoutError::TooManyPieces);
        }
        Ok(Layout { total, piece_len, block_len, pieces: pieces as u32, files })
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

    /// The block that holds this byte of the content, if there is one.
    pub fn block_at(&self, offset: u64) -> Option<Block> {
        if offset >= self.total {
            return None;
        }
        let piece = PieceIndex((offset / u64::from(self.piece_len)) as u32);
        let inside = (offset % u64::from(self.piece_len)) as u32;
        Some(self.nth_block(piece, inside / self.block_len))
    }

    /// Where in the content a block starts.
    pub fn block_offset(&self, block: Block) -> u64 {
        self.piece_offset(block.piece) + u64::from(block.offset)
    }

    /// How many files there are, pads and empty ones included; at least 1.
    pub fn files(&self) -> u32 {
        self.files.len()
    }

    /// All files in order.
    pub fn file_indices(&self) -> impl DoubleEndedIterator<Item = FileIndex> + use<> {
        (0..self.files()).map(FileIndex)
    }

    /// The file with this number, if there is one.
    pub fn file(&self, index: u32) -> Option<FileIndex> {
        (index < self.files()).then_some(FileIndex(index))
    }

    /// Where in the content a file lies, and whether it is padding.
    pub fn extent(&self, file: FileIndex) -> FileExtent {
        self.files.extent(file)
    }

    /// The parts of files that a range of the content's bytes covers, in order and none empty. What lies behind the end of
    /// the content is left out. Finds the first by binary search.
    pub fn file_slices(&self, range: Range<u64>) -> impl Iterator<Item = FileSlice> + '_ {
        self.files.slices(range)
    }

    /// The parts of files that a block covers.
    pub fn slices_of(&self, block: Block) -> impl Iterator<Item = FileSlice> + '_ {
        let start = self.piece_offset(block.piece) + u64::from(block.offset);
        self.file_slices(start..start + u64::from(block.len))
    }

    /// The parts of files that a piece covers.
    pub fn slices_of_piece(&self, piece: PieceIndex) -> impl Iterator<Item = FileSlice> + '_ {
        let start = self.piece_offset(piece);
        self.file_slices(start..start + u64::from(self.piece_len(piece)))
    }

    /// The files that have bytes in this piece, in order.
    pub fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = FileIndex> + '_ {
        self.slices_of_piece(piece).map(|slice| slice.file)
    }

    /// The pieces that hold bytes of this file; none if it is empty.
    pub fn pieces_of(&self, file: FileIndex) -> Range<PieceIndex> {
        let FileExtent { offset, len, .. } = self.extent(file);
        let piece_len = u64::from(self.piece_len);
        let first = offset / piece_len;
        let end = if len == 0 { first } else { (offset + len).div_ceil(piece_len) };
        PieceIndex(first as u32)..PieceIndex(end as u32)
    }
}

#[cfg(test)]
mod tests;
