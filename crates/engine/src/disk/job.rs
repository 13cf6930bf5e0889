//! What the loops ask of the disk, and what it answers. Not how it is done: that is `pool` and `storage`.
//!
//! Always: whoever asks owns the bytes; the disk is handed clones of reference-counted slices and copies none of them.
//! Every job but `Discard` and `Want` ends in exactly one answer, unless its torrent is closed first: `Closed` is the
//! last word about a torrent. Answers of different pieces come in any order, those about one piece in the order asked.

use super::spec::{ContentSpec, WantedFiles};
use bytes::Bytes;
use proto::input::{BlockDigest, DiskOperation, Found};
use proto::{Attempt, DiskError, Epoch, ResumeRecord, SendToken, TorrentId};
use std::sync::Arc;
use wire::{Bitfield, Block, PieceIndex};

/// The bytes of one block as they lie in the chunks that a socket filled: one slice, or two where a chunk ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    head: Bytes,
    tail: Bytes,
}

impl Payload {
    /// A block that lies in one chunk.
    pub(crate) fn one(bytes: Bytes) -> Payload {
        Payload { head: bytes, tail: Bytes::new() }
    }

    /// A block that began in one chunk and ended in the next.
    pub(crate) fn two(head: Bytes, tail: Bytes) -> Payload {
        Payload { head, tail }
    }

    /// Bytes of the block.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The slices, in order; the second may be empty.
    pub(crate) fn slices(&self) -> [&Bytes; 2] {
        [&self.head, &self.tail]
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload::one(bytes)
    }
}

/// Where the disk finds a block of a piece that is hashed or written.
#[derive(Clone, Debug)]
pub(crate) enum BlockSource {
    /// In memory.
    Memory(Payload),
    /// Where an earlier `Spill`, of this run or of the one that the resume record tells of, put it.
    Spilled,
}

/// One thing to do. Order holds within one piece (spill, verify, write, discard), and `Close` waits for all that was
/// asked before; a `Sync` covers what was answered before it was asked.
#[derive(Debug)]
pub(crate) enum DiskJob {
    /// Look at what lies on disk, compared with what was last committed, read a sample of that back, and remember the torrent
    /// until `Close`. May be asked again after a fault. Ends in `Opened` or `Failed(Open)`.
    Open {
        /// Whose.
        torrent: TorrentId,
        /// Where its bytes lie.
        spec: ContentSpec,
        /// Which files may be created.
        wanted: WantedFiles,
    },
    /// Hash these pieces as they lie on disk, on all disk threads. `CheckProgress` now and then, then `Checked`, or
    /// `Failed(Check)`. `Close` cancels it, and then nothing but `Closed` comes.
    Check {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        pieces: Bitfield,
    },
    /// Hash a piece from its blocks, one source each, in order. Ends in `Verified` or `Failed(Verify)`.
    Verify {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// Key of the digests.
        key: [u8; 16],
        /// Return digests of a good piece too.
        digests: bool,
        /// All blocks of the piece.
        blocks: Vec<BlockSource>,
    },
    /// Put a verified piece where it belongs. Ends in `Written` or `Failed(Write)`; until then its bytes must stay
    /// readable with whoever asks.
    Write {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// All blocks of the piece.
        blocks: Vec<BlockSource>,
    },
    /// Put unverified blocks where they take no memory. Ends in `Spilled` or `Failed(Spill)`.
    Spill {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// Block numbers inside the piece, and their bytes.
        blocks: Vec<(u32, Payload)>,
        /// Key of the digests to be returned, if any.
        key: Option<[u8; 16]>,
    },
    /// Forget the spilled blocks of a piece: all that were asked to be spilled before. No answer.
    Discard {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
    },
    /// Make durable what was `Written` or `Spilled` so far. Ends in `Synced` or `SyncFailed`.
    Sync {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
    },
    /// Make this record durable, with what the files look like now. Ends in `Committed` or `Failed(Commit)`.
    Commit {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
        /// What to remember.
        record: Box<ResumeRecord>,
    },
    /// Which files may be created from now on. No answer, but a `Failed(Open)` if a file cannot be made ready.
    Want {
        /// Whose.
        torrent: TorrentId,
        /// Which files.
        wanted: WantedFiles,
    },
    /// Read a range inside a piece that is written. Ends in `Read`.
    Read {
        /// Whose.
        torrent: TorrentId,
        /// For whom.
        token: SendToken,
        /// What.
        block: Block,
    },
    /// Close the files when all that was asked before is done. Ends in `Closed`.
    Close {
        /// Whose.
        torrent: TorrentId,
    },
}

/// One thing that is done, or was not.
#[derive(Debug)]
pub(crate) enum DiskDone {
    /// The storage was looked at.
    Opened {
        /// Whose.
        torrent: TorrentId,
        /// What lies there.
        found: Found,
    },
    /// A check goes on.
    CheckProgress {
        /// Whose.
        torrent: TorrentId,
        /// Pieces hashed so far.
        pieces: u32,
    },
    /// A check ended.
    Checked {
        /// Whose.
        torrent: TorrentId,
        /// Of the pieces asked about, those that are whole and right.
        good: Bitfield,
    },
    /// A piece was hashed.
    Verified {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// Whether the hash is right.
        good: bool,
        /// One per block if the piece is bad or they were asked for.
        digests: Option<Box<[BlockDigest]>>,
    },
    /// A piece was handed to the file system.
    Written {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
    },
    /// Blocks were handed to the file system.
    Spilled {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// One per block, of its bytes in memory, if asked for.
        digests: Option<Box<[BlockDigest]>>,
    },
    /// What the epoch covers is on stable storage.
    Synced {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
    },
    /// It may not be, and never will be by asking again: the kernel reports a failed write-back once.
    SyncFailed {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
        /// Why.
        error: DiskError,
    },
    /// The record is on stable storage.
    Committed {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
    },
    /// A job was not done.
    Failed {
        /// Whose.
        torrent: TorrentId,
        /// Which job.
        operation: DiskOperation,
        /// Why.
        error: DiskError,
    },
    /// A range was read, or not.
    Read {
        /// For whom.
        token: SendToken,
        /// The bytes: exactly as many as asked for.
        data: Result<Bytes, DiskError>,
    },
    /// Something the user should know, although the torrent goes on: a finished file could not get its name.
    Warning {
        /// Whose.
        torrent: TorrentId,
        /// What happened, why, and what to do.
        text: Arc<str>,
    },
    /// Nothing of this torrent is under way any more.
    Closed {
        /// Whose.
        torrent: TorrentId,
    },
}
