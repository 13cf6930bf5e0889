//! One torrent's bytes, whichever kind they are of: files of its own, or what somebody lends.
//!
//! Only what both can do. What is written, spilled, synced or named goes to [`Storage`] alone.

use super::lent::Lent;
use super::storage::{Storage, hash_piece};
use proto::DiskError;
use std::sync::Arc;
use wire::{Block, Metainfo, PieceIndex};

/// Where the bytes are.
#[derive(Clone)]
pub(crate) enum Backing {
    /// In files of its own.
    Kept(Arc<Storage>),
    /// In ranges of somebody's files.
    Lent(Arc<Lent>),
}

impl Backing {
    /// Files, pieces and hashes.
    pub(crate) fn metainfo(&self) -> &Metainfo {
        match self {
            Backing::Kept(storage) => &storage.spec().metainfo,
            Backing::Lent(lent) => &lent.spec().metainfo,
        }
    }

    /// Reads a range of a piece that is there.
    pub(crate) fn read(&self, range: Block, buf: &mut [u8]) -> Result<(), DiskError> {
        match self {
            Backing::Kept(storage) => storage.read(range, buf),
            Backing::Lent(lent) => {
                lent.get(lent.spec().metainfo.layout.piece_offset(range.piece) + u64::from(range.offset), buf)
            }
        }
    }

    /// Hashes a piece as it lies on disk; `None` if not all of it is there. The buffer is [`CHUNK_LEN`](super::storage::CHUNK_LEN)
    /// long.
    pub(crate) fn hash_on_disk(
        &self,
        piece: PieceIndex,
        buffer: &mut [u8],
    ) -> Result<Option<[u8; 20]>, DiskError> {
        match self {
            Backing::Kept(storage) => storage.hash_on_disk(piece, buffer),
            // What is not there is a fault: nobody will fetch it.
            Backing::Lent(lent) => {
                hash_piece(&self.metainfo().layout, piece, buffer, |at, chunk| lent.get(at, chunk)).map(Some)
            }
        }
    }

    /// What a check found: good pieces are in place, bad ones are not.
    pub(crate) fn checked(
        &self,
        good: &[PieceIndex],
        bad: &[PieceIndex],
    ) -> Result<Vec<Arc<str>>, DiskError> {
        match self {
            Backing::Kept(storage) => storage.checked(good, bad),
            Backing::Lent(_) if bad.is_empty() => Ok(Vec::new()),
            Backing::Lent(lent) => Err(lent.spoiled()),
        }
    }

    /// Nothing more will be asked.
    pub(crate) fn close(&self) -> Result<Vec<Arc<str>>, DiskError> {
        match self {
            Backing::Kept(storage) => storage.close(),
            Backing::Lent(lent) => {
                lent.close();
                Ok(Vec::new())
            }
        }
    }
}
