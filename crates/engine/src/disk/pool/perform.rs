//! Does one job on one torrent's storage and says what came of it. Blocks; runs on a disk thread.

use crate::disk::job::{BlockSource, DiskDone, DiskJob};
use crate::disk::storage::{Storage, digests_in_memory};
use crate::disk::trouble::fault;
use proto::input::DiskOperation;
use proto::{DiskError, DiskErrorKind, TorrentId};
use std::sync::Arc;
use wire::PieceIndex;

/// Does a job about a piece, or a sync. Others are the pool's.
pub(super) fn perform(storage: &Storage, job: DiskJob, tell: &dyn Fn(DiskDone)) {
    let failed = match job {
        DiskJob::Verify { torrent, piece, attempt, key, digests, blocks } => {
            match verify(storage, piece, &key, digests, &blocks) {
                Ok((good, digests)) => {
                    tell(DiskDone::Verified { torrent, piece, attempt, good, digests });
                    None
                }
                Err(error) => Some((torrent, DiskOperation::Verify(piece, attempt), error)),
            }
        }
        DiskJob::Write { torrent, piece, attempt, blocks } => match storage.write_piece(piece, &blocks) {
            Ok(()) => {
                tell(DiskDone::Written { torrent, piece, attempt });
                None
            }
            Err(error) => Some((torrent, DiskOperation::Write(piece, attempt), error)),
        },
        DiskJob::Spill { torrent, piece, attempt, blocks, key } => match storage.spill(piece, &blocks) {
            Ok(()) => {
                let digests = key.map(|key| digests_in_memory(&key, &blocks));
                tell(DiskDone::Spilled { torrent, piece, attempt, digests });
                None
            }
            Err(error) => Some((torrent, DiskOperation::Spill(piece, attempt), error)),
        },
        DiskJob::Discard { piece, .. } => {
            storage.discard(piece);
            None
        }
        DiskJob::Sync { torrent, epoch } => {
            match storage.sync() {
                Ok(warnings) => {
                    warn(torrent, warnings, tell);
                    tell(DiskDone::Synced { torrent, epoch });
                }
                Err(error) => tell(DiskDone::SyncFailed { torrent, epoch, error }),
            }
            None
        }
        DiskJob::Want { torrent, wanted } => {
            storage.want(wanted).err().map(|error| (torrent, DiskOperation::Open, error))
        }
        DiskJob::Open { .. }
        | DiskJob::Check { .. }
        | DiskJob::Commit { .. }
        | DiskJob::Read { .. }
        | DiskJob::Close { .. } => None,
    };
    if let Some((torrent, operation, error)) = failed {
        tell(DiskDone::Failed { torrent, operation, error });
    }
}

/// Answers a job about a torrent that is lent. All of it is there and none of it is remembered, so that there is nothing to make
/// durable; to be written to it is not.
pub(super) fn perform_lent(job: DiskJob, tell: &dyn Fn(DiskDone)) {
    match job {
        DiskJob::Sync { torrent, epoch } => tell(DiskDone::Synced { torrent, epoch }),
        DiskJob::Commit { torrent, epoch, .. } => tell(DiskDone::Committed { torrent, epoch }),
        job => {
            let error = || fault(DiskErrorKind::ReadOnly, "what is lent is not written to".into());
            refuse_for(job, &error, tell);
        }
    }
}

/// Answers a job whose torrent is not open: nothing was done.
pub(super) fn refuse(job: DiskJob, tell: &dyn Fn(DiskDone)) {
    let error = || fault(DiskErrorKind::Vanished, "the torrent's storage is not open".into());
    refuse_for(job, &error, tell);
}

fn refuse_for(job: DiskJob, error: &dyn Fn() -> DiskError, tell: &dyn Fn(DiskDone)) {
    let failed = |torrent, operation| DiskDone::Failed { torrent, operation, error: error() };
    match job {
        DiskJob::Open { torrent, .. } => tell(failed(torrent, DiskOperation::Open)),
        DiskJob::Check { torrent, .. } => tell(failed(torrent, DiskOperation::Check)),
        DiskJob::Verify { torrent, piece, attempt, .. } => {
            tell(failed(torrent, DiskOperation::Verify(piece, attempt)));
        }
        DiskJob::Write { torrent, piece, attempt, .. } => {
            tell(failed(torrent, DiskOperation::Write(piece, attempt)));
        }
        DiskJob::Spill { torrent, piece, attempt, .. } => {
            tell(failed(torrent, DiskOperation::Spill(piece, attempt)));
        }
        DiskJob::Sync { torrent, epoch } => tell(DiskDone::SyncFailed { torrent, epoch, error: error() }),
        DiskJob::Commit { torrent, epoch, .. } => tell(failed(torrent, DiskOperation::Commit(epoch))),
        DiskJob::Read { token, .. } => tell(DiskDone::Read { token, data: Err(error()) }),
        DiskJob::Close { torrent } => tell(DiskDone::Closed { torrent }),
        DiskJob::Discard { .. } | DiskJob::Want { .. } => {}
    }
}

/// Passes on what the user should know.
pub(super) fn warn(torrent: TorrentId, warnings: Vec<Arc<str>>, tell: &dyn Fn(DiskDone)) {
    for text in warnings {
        tracing::warn!(%text, "disk");
        tell(DiskDone::Warning { torrent, text });
    }
}

type Digests = Option<Box<[proto::input::BlockDigest]>>;

fn verify(
    storage: &Storage,
    piece: PieceIndex,
    key: &[u8; 16],
    digests: bool,
    blocks: &[BlockSource],
) -> Result<(bool, Digests), DiskError> {
    let good = storage.hash_blocks(piece, blocks)? == storage.spec().metainfo.piece_hash(piece);
    let digests = if digests || !good { Some(storage.digests(piece, key, blocks)?) } else { None };
    Ok((good, digests))
}

/// The failure of a commit, which the pool does itself.
pub(super) fn commit_failed(
    torrent: TorrentId,
    epoch: proto::Epoch,
    kind: DiskErrorKind,
    why: String,
) -> DiskDone {
    let error = fault(kind, why);
    DiskDone::Failed { torrent, operation: DiskOperation::Commit(epoch), error }
}
