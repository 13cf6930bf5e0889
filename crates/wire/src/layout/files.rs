//! The files of a layout: where each lies in the content. Names are not here. BEP: 3, 47
//!
//! Invariant: extents are in order and without gap, and their last end is the content's length.

use core::{fmt, ops::Range};
use std::sync::Arc;

use super::{LayoutError, TOTAL_LEN_MAX};

/// Most files of one torrent: 10^6. The largest ever reported have some 300,000; a `.torrent` of 10 MB holds fewer.
pub const FILES_MAX: usize = 1_000_000;

/// The number of a file in the order of the torrent, from 0; pads count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileIndex(pub u32);

impl FileIndex {
    /// For indexing slices.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for FileIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", self.0)
    }
}

impl fmt::Display for FileIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a layout is told of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileLen {
    /// Bytes.
    pub len: u64,
    /// Only zeros that align what follows, never on disk (BEP 47).
    pub pad: bool,
}

/// Where a file lies in the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileExtent {
    /// Bytes from the start of the content.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Only zeros that align what follows, never on disk (BEP 47).
    pub pad: bool,
}

impl FileExtent {
    /// One past its last byte, from the start of the content.
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// A part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSlice {
    /// Which file.
    pub file: FileIndex,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes; never 0 in a slice that a layout made.
    pub len: u64,
}

/// Immutable and shared by the clones of a layout.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct FileTable {
    extents: Arc<[FileExtent]>,
    /// Numbers of the files that are not empty. So a million empty files in one place do not make that place slow.
    filled: Arc<[u32]>,
}

impl FileTable {
    /// The table and the length of the whole.
    pub(super) fn new(files: impl IntoIterator<Item = FileLen>) -> Result<(FileTable, u64), LayoutError> {
        let mut extents = Vec::new();
        let mut filled = Vec::new();
        let mut total = 0_u64;
        for FileLen { len, pad } in files {
            if extents.len() == FILES_MAX {
                return Err(LayoutError::TooManyFiles);
            }
            if len > 0 {
                filled.push(extents.len() as u32);
            }
            extents.push(FileExtent { offset: total, len, pad });
            total = total.checked_add(len).filter(|&sum| sum <= TOTAL_LEN_MAX).ok_or(LayoutError::TooLong)?;
        }
        Ok((FileTable { extents: extents.into(), filled: filled.into() }, total))
    }

    pub(super) fn len(&self) -> u32 {
        self.extents.len() as u32
    }

    pub(super) fn extent(&self, file: FileIndex) -> FileExtent {
        debug_assert!(file.0 < self.len());
        self.extents.get(file.as_usize()).copied().unwrap_or(FileExtent { offset: 0, len: 0, pad: false })
    }

    pub(super) fn slices(&self, range: Range<u64>) -> impl Iterator<Item = FileSlice> + '_ {
        let place = |&file: &u32| (FileIndex(file), self.extent(FileIndex(file)));
        let first = self.filled.partition_point(|file| place(file).1.end() <= range.start);
        let behind = self.filled.get(first..).filter(|_| !range.is_empty()).unwrap_or_default();
        behind.iter().map(place).take_while(move |(_, extent)| extent.offset < range.end).map(
            move |(file, extent)| {
                let start = range.start.max(extent.offset);
                let end = range.end.min(extent.end());
                FileSlice { file, offset: start - extent.offset, len: end - start }
            },
        )
    }
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.extents.len())
    }
}
