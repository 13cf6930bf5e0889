//! The way of a torrent's bytes to stable storage: spill, write, sync, commit, and what to distrust when a step fails.
//!
//! How far each piece has come is the picker's to hold; here is what is under way and when the next step is due. It never hashes
//! and knows no peers. What always holds: the record speaks of a piece, or of spilled blocks, only after a sync that was asked
//! for after they were handed to the file system; at most one sync or commit is under way. A crash costs at most the bytes of
//! the last [`super::pace::LOSS_MAX`], as far as `pace` can bring spills forward for a slow disk.

use super::pace::Pace;
use crate::cx::Cx;
use crate::pieces::{Durability, PiecePicker};
use crate::resume::OpenRecord;
use crate::timers::{Timer, TorrentTimer};
use crate::{Attempt, BlockSet, Epoch, Instant, Output, ResumeRecord, TorrentId};
use wire::PieceIndex;

/// Brings the bytes of one torrent to stable storage.
#[derive(Debug)]
pub struct Saver {
    torrent: TorrentId,
    /// Verified pieces on their way to the file system.
    writing: Vec<Writing>,
    /// Pieces handed to the file system since the last sync was asked for.
    written: Vec<PieceIndex>,
    /// Spills under way.
    spilling: u32,
    /// Spilled blocks that a sync covers: what the record says of pieces that it cannot have whole yet.
    synced: Vec<Spilled>,
    /// Spilled blocks of pieces that are whole since, until a sync covers the pieces.
    whole: Vec<Spilled>,
    batch: Batch,
    pace: Pace,
    epoch: Epoch,
    /// Since when the record is behind what could be on stable storage.
    behind_since: Option<Instant>,
    /// The counters moved since the last commit: worth one when the torrent stops, not before.
    uncounted: bool,
    /// Everything is to be made durable at once: the torrent stops, or is complete.
    flushing: bool,
    /// Blocks are digested under this key before they are spilled: pieces were bad.
    digest_key: Option<[u8; 16]>,
}

/// Payload bytes of all runs, for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Ever sent.
    pub uploaded: u64,
    /// Ever received.
    pub downloaded: u64,
}

#[derive(Clone, Copy, Debug)]
struct Writing {
    piece: PieceIndex,
    attempt: Attempt,
    /// The driver was asked and has not answered; `false` after a failure, until it is asked again.
    asked: bool,
}

/// Blocks of an unfinished piece that are out of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Spilled {
    piece: PieceIndex,
    attempt: Attempt,
    blocks: BlockSet,
}

/// The one sync or commit under way.
#[derive(Debug)]
enum Batch {
    Idle,
    Syncing(Box<Covered>),
    Committing(Box<Covered>),
}

/// What a sync covers, and then a record speaks of.
#[derive(Debug, Default)]
struct Covered {
    pieces: Vec<PieceIndex>,
    spilled: Vec<Spilled>,
}

impl Saver {
    /// Nothing is here yet.
    pub fn new(torrent: TorrentId) -> Saver {
        Saver {
            torrent,
            writing: Vec::new(),
            written: Vec::new(),
            spilling: 0,
            synced: Vec::new(),
            whole: Vec::new(),
            batch: Batch::Idle,
            pace: Pace::default(),
            epoch: Epoch(0),
            behind_since: None,
            uncounted: false,
            flushing: false,
            digest_key: None,
        }
    }

    /// From now on blocks are digested before they are spilled, under this key.
    pub fn digest_spills(&mut self, key: [u8; 16]) {
        self.digest_key = Some(key);
    }

    /// The picker took over what an earlier run made durable.
    pub fn restored(&mut self, picker: &PiecePicker) {
        self.synced = spilled(picker);
    }

    /// Whether all that is here is on stable storage and the record says so.
    pub fn is_caught_up(&self) -> bool {
        matches!(self.batch, Batch::Idle) && self.behind_since.is_none() && self.writing.is_empty()
    }

    /// Whether a flush has come to its end: nothing is under way and nothing waits.
    pub fn is_quiet(&self) -> bool {
        self.is_caught_up() && !self.uncounted && self.spilling == 0
    }

    /// A block was kept: blocks are spilled when they are old, or when memory is short.
    pub fn kept(&mut self, cx: &mut Cx<'_>, picker: &mut PiecePicker, piece: PieceIndex) {
        // Only the first block of a piece that waits moves the timer; it may go off early, which does no harm.
        let first = picker.pieces().open_piece(piece).is_some_and(|open| open.oldest_kept() == Some(cx.now));
        if first {
            cx.timers.set_no_later(self.timer(), self.pace.spill_at(cx.now, cx.now, cx.config));
        }
        if cx.pool.over_budget(picker.pieces().reserved_bytes(), || in_memory(picker))
            && let Some(oldest) = picker.oldest_kept()
        {
            self.spill_older(cx, picker, oldest);
        }
    }

    /// The hash was right: the piece is to be written.
    pub fn verified(&mut self, cx: &mut Cx<'_>, piece: PieceIndex, attempt: Attempt, spilled: BlockSet) {
        if !spilled.is_empty() {
            self.whole.push(Spilled { piece, attempt, blocks: spilled });
        }
        self.writing.push(Writing { piece, attempt, asked: true });
        cx.push(Output::Write { torrent: self.torrent, piece, attempt });
    }

    /// An unfinished piece is to be fetched from scratch: its hash was wrong, or its spilled blocks are lost.
    pub fn discard(&mut self, cx: &mut Cx<'_>, piece: PieceIndex, attempt: Attempt) {
        cx.push(Output::Discard { torrent: self.torrent, piece, attempt });
        if self.forget_spilled(piece) {
            self.fall_behind(cx);
        }
    }

    /// A check of the disk found this piece whole. What it rests on was perhaps never synced.
    pub fn found(&mut self, cx: &mut Cx<'_>, piece: PieceIndex) {
        self.written.push(piece);
        self.fall_behind(cx);
    }

    /// Pieces that the record vouched for are gone.
    pub fn lost(&mut self, cx: &mut Cx<'_>) {
        self.fall_behind(cx);
    }

    /// The driver wrote a piece.
    pub fn written(
        &mut self,
        cx: &mut Cx<'_>,
        picker: &mut PiecePicker,
        piece: PieceIndex,
        attempt: Attempt,
    ) -> bool {
        let Some(at) = self.writing.iter().position(|w| w.piece == piece && w.attempt == attempt) else {
            return false;
        };
        self.writing.swap_remove(at);
        picker.hardened(piece, Durability::Written);
        self.written.push(piece);
        self.fall_behind(cx);
        true
    }

    /// The driver could not write a piece: it stays in memory until [`Saver::resume`].
    pub fn write_failed(&mut self, piece: PieceIndex, attempt: Attempt) {
        for writing in self.writing.iter_mut().filter(|w| w.piece == piece && w.attempt == attempt) {
            writing.asked = false;
        }
    }

    /// The driver spilled, or (`done` is false) could not, what it was last asked to spill of a piece.
    pub fn spilled(&mut self, cx: &mut Cx<'_>, done: bool) {
        self.spilling = self.spilling.saturating_sub(1);
        if done {
            self.fall_behind(cx);
        }
    }

    /// A sync is done: what it covers may be spoken of in the record. `false` if the answer is stale.
    pub fn synced(
        &mut self,
        cx: &mut Cx<'_>,
        picker: &mut PiecePicker,
        epoch: Epoch,
        life: Lifetime,
    ) -> bool {
        let Some(Covered { pieces, spilled }) = self.take_syncing(epoch) else { return false };
        for &piece in &pieces {
            picker.hardened(piece, Durability::Synced);
        }
        // A piece that became whole stays in the record by its spilled blocks until the record can have it whole: the last
        // record promised them, or the sync before this one.
        let durable = picker.pieces().durable();
        self.whole.retain(|whole| !durable.has(whole.piece));
        let is_whole = |spilled: &Spilled| {
            self.whole.iter().any(|whole| (whole.piece, whole.attempt) == (spilled.piece, spilled.attempt))
        };
        self.synced = spilled;
        self.synced.retain(|spilled| picker.is_current(spilled.piece, spilled.attempt) || is_whole(spilled));
        self.commit(cx, picker, pieces, life);
        true
    }

    /// A sync failed: what it covers and what was written since may or may not be on the disk, and asking again would not
    /// tell (a kernel reports such a fault once), nor would reading back (the pages are still in its cache). Returns the
    /// pieces that must be fetched again; `None` if the answer is stale.
    pub fn sync_failed(
        &mut self,
        cx: &mut Cx<'_>,
        picker: &PiecePicker,
        epoch: Epoch,
    ) -> Option<Vec<PieceIndex>> {
        let mut doubtful = self.take_syncing(epoch)?.pieces;
        self.pace.ended(cx.now);
        doubtful.append(&mut self.written);
        let now = spilled(picker);
        doubtful
            .extend(now.iter().filter(|spilled| !self.synced.contains(spilled)).map(|spilled| spilled.piece));
        for &piece in &doubtful {
            self.forget_spilled(piece);
        }
        self.whole.clear();
        self.fall_behind(cx);
        Some(doubtful)
    }

    /// The record is on stable storage. `false` if the answer is stale.
    pub fn committed(&mut self, now: Instant, picker: &mut PiecePicker, epoch: Epoch) -> bool {
        let Some(covered) = self.take_committing(epoch) else { return false };
        self.pace.ended(now);
        for piece in covered.pieces {
            picker.hardened(piece, Durability::Committed);
        }
        true
    }

    /// The record could not be saved: the next one will say it all.
    pub fn commit_failed(&mut self, cx: &mut Cx<'_>, epoch: Epoch) {
        if let Some(mut covered) = self.take_committing(epoch) {
            self.pace.ended(cx.now);
            self.written.append(&mut covered.pieces);
            self.fall_behind(cx);
        }
    }

    /// The torrent goes on after a stop: asks once more for what failed.
    pub fn resume(&mut self, cx: &mut Cx<'_>) {
        self.flushing = false;
        for writing in self.writing.iter_mut().filter(|writing| !writing.asked) {
            writing.asked = true;
            cx.push(Output::Write { torrent: self.torrent, piece: writing.piece, attempt: writing.attempt });
        }
    }

    /// Begins a flush: everything becomes durable without waiting for company. Call [`Saver::proceed`] next.
    pub fn flush(&mut self, cx: &mut Cx<'_>, picker: &mut PiecePicker) {
        self.flushing = true;
        self.spill_older(cx, picker, Instant::FAR);
    }

    /// The counters of the record moved.
    pub fn touch(&mut self) {
        self.uncounted = true;
    }

    /// Spills what is old, begins the next sync or commit if one is due and nothing is under way, and sets the timer.
    pub fn proceed(&mut self, cx: &mut Cx<'_>, picker: &mut PiecePicker, life: Lifetime) {
        self.spill_old(cx, picker);
        if matches!(self.batch, Batch::Idle) {
            let in_flight = self.spilling > 0 || self.writing.iter().any(|writing| writing.asked);
            match self.behind_since {
                // A flush waits for what is on its way, so that one sync covers all of it.
                Some(_) if self.flushing && in_flight => {}
                Some(since) if self.flushing || since + cx.config.sync_interval <= cx.now => {
                    self.sync(cx, picker)
                }
                None if self.flushing && self.uncounted && !in_flight => {
                    self.epoch.0 = self.epoch.0.wrapping_add(1);
                    self.pace.began(cx.now);
                    self.commit(cx, picker, Vec::new(), life);
                }
                Some(_) | None => {}
            }
        }
        self.flushing &= !self.is_quiet();
        // While something is under way its answer leads on, not the clock.
        let sync = match self.batch {
            Batch::Idle if !self.flushing => self.behind_since.map(|since| since + cx.config.sync_interval),
            Batch::Idle | Batch::Syncing(_) | Batch::Committing(_) => None,
        };
        let spill = picker.oldest_kept().map(|oldest| self.pace.spill_at(oldest, cx.now, cx.config));
        cx.timers.set_or_clear(self.timer(), sync.into_iter().chain(spill).min());
    }

    /// A piece begins anew: what was spilled of it is no part of it any more. Says whether the record may have spoken of it.
    pub fn forget_spilled(&mut self, piece: PieceIndex) -> bool {
        self.whole.retain(|whole| whole.piece != piece);
        let before = self.synced.len();
        self.synced.retain(|spilled| spilled.piece != piece);
        self.synced.len() != before
    }

    /// Spills what must not wait longer.
    fn spill_old(&mut self, cx: &mut Cx<'_>, picker: &mut PiecePicker) {
        let Some(oldest) = picker.oldest_kept() else { return };
        if self.pace.spill_at(oldest, cx.now, cx.config) > cx.now {
            return;
        }
        let age = u64::try_from(self.pace.spill_age(cx.now, cx.config).as_micros()).unwrap_or(u64::MAX);
        let before = Instant::from_micros(cx.now.as_micros().saturating_sub(age));
        self.spill_older(cx, picker, before.max(oldest));
    }

    fn spill_older(&mut self, cx: &mut Cx<'_>, picker: &mut PiecePicker, before: Instant) {
        for piece in picker.due_for_spill(before) {
            self.spill(cx, picker, piece);
        }
    }

    /// What memory has of an unfinished piece leaves it now, if there is any.
    pub fn spill(&mut self, cx: &mut Cx<'_>, picker: &mut PiecePicker, piece: PieceIndex) {
        if let Some((attempt, blocks)) = picker.spill(piece) {
            self.spilling += 1;
            cx.push(Output::Spill { torrent: self.torrent, piece, attempt, blocks, key: self.digest_key });
        }
    }

    /// Whether blocks are on their way out of memory.
    pub fn is_spilling(&self) -> bool {
        self.spilling > 0
    }

    /// The record lags behind from now on: a sync is due within the interval.
    fn fall_behind(&mut self, cx: &mut Cx<'_>) {
        if self.behind_since.is_none() {
            self.behind_since = Some(cx.now);
            cx.timers.set_no_later(self.timer(), cx.now + cx.config.sync_interval);
        }
    }

    fn sync(&mut self, cx: &mut Cx<'_>, picker: &PiecePicker) {
        self.behind_since = None;
        self.epoch.0 = self.epoch.0.wrapping_add(1);
        let spilled = spilled(picker).into_iter().chain(self.whole.iter().cloned()).collect();
        let pieces = core::mem::take(&mut self.written);
        self.batch = Batch::Syncing(Box::new(Covered { pieces, spilled }));
        self.pace.began(cx.now);
        cx.push(Output::Sync { torrent: self.torrent, epoch: self.epoch });
    }

    fn commit(&mut self, cx: &mut Cx<'_>, picker: &PiecePicker, pieces: Vec<PieceIndex>, life: Lifetime) {
        let open = self.synced.iter();
        let open = open.map(|open| OpenRecord { piece: open.piece, blocks: open.blocks.clone() }).collect();
        let Lifetime { uploaded, downloaded } = life;
        let record =
            Box::new(ResumeRecord { have: picker.pieces().durable().clone(), open, uploaded, downloaded });
        self.uncounted = false;
        self.batch = Batch::Committing(Box::new(Covered { pieces, spilled: Vec::new() }));
        cx.push(Output::Commit { torrent: self.torrent, epoch: self.epoch, record });
    }

    fn take_syncing(&mut self, epoch: Epoch) -> Option<Covered> {
        match &mut self.batch {
            Batch::Syncing(covered) if epoch == self.epoch => {
                let covered = core::mem::take(&mut **covered);
                self.batch = Batch::Idle;
                Some(covered)
            }
            Batch::Syncing(_) | Batch::Idle | Batch::Committing(_) => None,
        }
    }

    fn take_committing(&mut self, epoch: Epoch) -> Option<Covered> {
        match &mut self.batch {
            Batch::Committing(covered) if epoch == self.epoch => {
                let covered = core::mem::take(&mut **covered);
                self.batch = Batch::Idle;
                Some(covered)
            }
            Batch::Committing(_) | Batch::Idle | Batch::Syncing(_) => None,
        }
    }

    fn timer(&self) -> Timer {
        Timer::Torrent(self.torrent, TorrentTimer::Durability)
    }
}

/// What they take now. O(unfinished pieces).
fn in_memory(picker: &PiecePicker) -> u64 {
    let block_len = u64::from(picker.pieces().layout().block_len());
    let open = picker.pieces().open().iter().map(|open| u64::from(open.in_memory()) * block_len);
    open.sum::<u64>() + picker.pieces().unwritten_bytes()
}

/// The blocks of unfinished pieces that are out of memory now.
fn spilled(picker: &PiecePicker) -> Vec<Spilled> {
    let of = |open: &crate::pieces::OpenPiece| Spilled {
        piece: open.piece,
        attempt: open.attempt,
        blocks: open.spilled(),
    };
    picker.pieces().open().iter().map(of).filter(|spilled| !spilled.blocks.is_empty()).collect()
}
