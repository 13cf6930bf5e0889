//! One check of a torrent's data, shared by the threads that hash it.
//!
//! Always: each piece is hashed by one thread; whoever takes the last step ends the check.

use super::super::backing::Backing;
use proto::DiskError;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wire::{Bitfield, PieceIndex};

/// How many times a check tells of its progress.
const REPORTS: usize = 200;

/// A check under way.
pub(super) struct Check {
    pub(super) backing: Backing,
    pieces: Vec<PieceIndex>,
    next: AtomicUsize,
    hashed: AtomicU32,
    /// Steps that are queued or run.
    steps: AtomicUsize,
    cancelled: AtomicBool,
    outcome: Mutex<Result<Bitfield, DiskError>>,
}

/// What one step came to.
pub(super) enum Stepped {
    /// More to do; report this many pieces, if it is time to.
    More(Option<u32>),
    /// This was the last step of all.
    Last,
    /// Other threads are still at it.
    OthersGoOn,
}

impl Check {
    /// A check of these pieces, to be worked on by this many steps at once.
    pub(super) fn new(backing: Backing, pieces: &Bitfield, steps: usize) -> Check {
        Check {
            pieces: pieces.iter().collect(),
            next: AtomicUsize::new(0),
            hashed: AtomicU32::new(0),
            steps: AtomicUsize::new(steps),
            cancelled: AtomicBool::new(false),
            outcome: Mutex::new(Ok(Bitfield::new(backing.metainfo().layout.pieces()))),
            backing,
        }
    }

    /// Stops after the pieces that are being hashed.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Hashes one piece.
    pub(super) fn step(&self, buffer: &mut [u8]) -> Stepped {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(&piece) = self.pieces.get(index).filter(|_| !self.is_cancelled()) else {
            return match self.steps.fetch_sub(1, Ordering::AcqRel) {
                1 => Stepped::Last,
                _ => Stepped::OthersGoOn,
            };
        };
        let right = self.backing.metainfo().piece_hash(piece);
        let found = self.backing.hash_on_disk(piece, buffer);
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, &mut *outcome) {
            (Ok(Some(hash)), Ok(good)) if hash == right => _ = good.insert(piece),
            (Ok(_), _) => {}
            (Err(error), outcome) => {
                *outcome = Err(error);
                // The rest would fail likewise.
                self.next.store(self.pieces.len(), Ordering::Relaxed);
            }
        }
        drop(outcome);
        let hashed = self.hashed.fetch_add(1, Ordering::Relaxed) + 1;
        Stepped::More((hashed as usize).is_multiple_of(self.pieces.len() / REPORTS + 1).then_some(hashed))
    }

    /// The outcome, after the last step: the good pieces, once the storage knows of them too.
    pub(super) fn end(&self) -> Result<(Bitfield, Vec<Arc<str>>), DiskError> {
        let good = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (right, wrong): (Vec<_>, Vec<_>) =
            self.pieces.iter().copied().partition(|&piece| good.has(piece));
        let warnings = self.backing.checked(&right, &wrong)?;
        Ok((good, warnings))
    }
}
