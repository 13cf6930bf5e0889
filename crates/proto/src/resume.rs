//! What survives a crash: the record that a commit makes durable and a start reads back.

use crate::BlockSet;
use wire::{Bitfield, PieceIndex};

/// What is known to be on stable storage for one torrent. Written whole, after the sync of the bytes it speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResumeRecord {
    /// Verified pieces whose bytes were synced before this record was written.
    pub have: Bitfield,
    /// Unverified blocks that were spilled and synced, per open piece.
    pub open: Vec<OpenRecord>,
    /// Payload bytes ever sent.
    pub uploaded: u64,
    /// Payload bytes ever received.
    pub downloaded: u64,
}

/// The spilled blocks of one unfinished piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenRecord {
    /// The piece.
    pub piece: PieceIndex,
    /// Its blocks that can be read back. They are unverified: the piece's hash is still to be checked.
    pub blocks: BlockSet,
}
