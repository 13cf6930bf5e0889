//! Where a torrent stands between being added and being gone: what is known of its storage, and what keeps it from running.
//!
//! Two facts, not one: the storage goes its way (opened, checked, closed) while the user, a fault or a farewell may stop the
//! torrent at any point of it. What the user sees is derived from both. Invariant: `active` is true only while the storage is
//! open, nothing on it is in doubt, and nothing stops the torrent.

use super::Torrent;
use super::durability::Lifetime;
use crate::cx::Cx;
use crate::event::StageName;
use crate::input::{DiskOperation, Found, LinkEnd};
use crate::output::CloseReason;
use crate::pieces::{Durability, OpenPiece, PieceState};
use crate::timers::{Timer, TorrentTimer};
use crate::{Attempt, DiskError, DiskErrorKind, Duration, Event, Output, ResumeRecord};
use wire::{Bitfield, PieceIndex};

/// A storage that failed is tried again after this long at first; space may be made, a drive plugged in.
pub const RETRY_AFTER: Duration = Duration::from_secs(10);
/// And at most this long after: someone waits for it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Where a torrent stands.
#[derive(Debug)]
pub struct Stage {
    storage: Storage,
    stop: Option<Stop>,
    /// Pieces on disk that must be hashed before anyone trusts them.
    doubtful: Option<Bitfield>,
    /// Those of them that are being hashed.
    asked: Option<Bitfield>,
    /// What an earlier run left, until the storage was opened.
    resume: Option<ResumeRecord>,
    /// Peers and trackers are at work.
    active: bool,
    /// What the user was told last.
    told: Option<StageName>,
    /// Failures in a row.
    failures: u32,
    /// The metadata has just come: peers and trackers stay at work while the storage is opened for the first time.
    born: bool,
    /// Unfinished pieces of an earlier run whose blocks are all there.
    whole: Vec<(PieceIndex, Attempt)>,
}

/// What is known of the storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Storage {
    /// There is no metadata yet that would say what to store.
    Unknown,
    /// Not looked at yet.
    Shut,
    /// It did not do what was asked, and was not looked at since.
    Broken,
    Opening,
    Open,
    /// Pieces hashed so far.
    Checking(u32),
    Closing,
    Gone,
}

/// What keeps a torrent from running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    Paused,
    Failed(DiskErrorKind),
    /// Its metadata is of no use.
    Unusable,
    /// It is being removed.
    Leaving,
}

impl Stage {
    /// A torrent that was just added.
    pub fn new(resume: Option<ResumeRecord>, paused: bool) -> Stage {
        let stop = paused.then_some(Stop::Paused);
        Stage {
            storage: Storage::Shut,
            stop,
            doubtful: None,
            asked: None,
            resume,
            active: false,
            told: None,
            failures: 0,
            born: false,
            whole: Vec::new(),
        }
    }

    /// Whether peers and trackers are at work.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether peers are at work on pieces: the storage can take them.
    pub fn is_fetching(&self) -> bool {
        self.active && self.storage == Storage::Open
    }

    /// Whether there is a storage to save to, and no known reason why it would not.
    pub fn may_save(&self) -> bool {
        !matches!(self.storage, Storage::Unknown | Storage::Broken)
    }

    /// There is nothing to store until the metadata is here.
    pub fn lacks_metadata(&mut self) {
        self.storage = Storage::Unknown;
    }

    /// There is now.
    pub fn has_metadata(&mut self) {
        if self.storage == Storage::Unknown {
            (self.storage, self.born) = (Storage::Shut, self.active);
        }
    }

    /// The metadata is of no use: the torrent stops, and begins anew if the user wants that.
    pub fn give_up(&mut self) {
        if self.stop.is_none() {
            self.stop = Some(Stop::Unusable);
        }
    }

    /// Whether the torrent is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.stop == Some(Stop::Leaving)
    }

    /// Whether the torrent is removed and its storage closed.
    pub fn is_gone(&self) -> bool {
        self.storage == Storage::Gone
    }

    /// Pieces hashed so far, while checking.
    pub fn checked(&self) -> u32 {
        match self.storage {
            Storage::Checking(pieces) => pieces,
            Storage::Unknown
            | Storage::Shut
            | Storage::Broken
            | Storage::Opening
            | Storage::Open
            | Storage::Closing
            | Storage::Gone => 0,
        }
    }

    /// What the user sees. `complete` says whether everything wanted is here.
    pub fn name(&self, complete: bool) -> StageName {
        match (self.stop, self.storage) {
            (Some(Stop::Paused | Stop::Leaving), _) => StageName::Paused,
            (Some(Stop::Failed(_) | Stop::Unusable), _) => StageName::Failed,
            (None, Storage::Unknown) => StageName::FetchingMetadata,
            (None, Storage::Checking(_)) => StageName::Checking,
            (None, Storage::Open) if self.doubtful.is_some() => StageName::Checking,
            (None, Storage::Open) if complete => StageName::Seeding,
            (None, Storage::Open) => StageName::Downloading,
            (None, Storage::Broken) => StageName::Failed,
            (None, Storage::Shut | Storage::Opening | Storage::Closing | Storage::Gone) => StageName::Opening,
        }
    }

    /// Whether the storage has failed and was not opened since.
    pub fn has_failed(&self) -> bool {
        self.storage == Storage::Broken
    }

    /// Unfinished pieces of an earlier run whose blocks are all there, to be verified when the torrent runs.
    pub fn take_whole(&mut self) -> Vec<(PieceIndex, Attempt)> {
        core::mem::take(&mut self.whole)
    }

    fn may_run(&self) -> bool {
        let open = match self.storage {
            Storage::Unknown | Storage::Open => true,
            Storage::Shut | Storage::Opening => self.born,
            Storage::Broken | Storage::Checking(_) | Storage::Closing | Storage::Gone => false,
        };
        self.stop.is_none() && open && self.doubtful.is_none()
    }
}

impl Torrent {
    /// Goes on after a pause or a failure.
    pub fn resume(&mut self, cx: &mut Cx<'_>) {
        if !self.stage.is_leaving() {
            self.stage.stop = None;
            if self.stage.storage == Storage::Broken {
                self.stage.storage = Storage::Shut;
            }
            self.settle(cx);
        }
    }

    /// Stops all traffic, and makes what is here durable.
    pub fn pause(&mut self, cx: &mut Cx<'_>) {
        if !self.stage.is_leaving() {
            self.stage.stop = Some(Stop::Paused);
            self.settle(cx);
        }
    }

    /// Leaves for good.
    pub fn remove(&mut self, cx: &mut Cx<'_>) {
        self.stage.stop = Some(Stop::Leaving);
        self.settle(cx);
    }

    /// Distrusts everything on disk.
    pub fn recheck(&mut self, cx: &mut Cx<'_>) {
        if self.is_known() {
            self.doubt(Bitfield::full(self.metainfo.layout.pieces()));
        }
        self.settle(cx);
    }

    /// Whether a stop has left nothing to save, and its goodbyes are said or not waited for any longer.
    pub fn is_settled(&self) -> bool {
        !self.stage.active
            && self.announcer.is_idle()
            && (self.stage.storage != Storage::Open || self.is_saved())
    }

    /// Whether everything here is durable, as far as it can be.
    fn is_saved(&self) -> bool {
        let pieces = self.picker.pieces();
        let verifying = |open: &OpenPiece| matches!(pieces.state(open.piece), PieceState::Verifying(_));
        self.saver.is_quiet() && !pieces.open().iter().any(verifying)
    }

    /// The storage was looked at.
    pub fn on_opened(&mut self, cx: &mut Cx<'_>, found: Found) {
        if self.stage.storage != Storage::Opening {
            return;
        }
        self.stage.storage = Storage::Open;
        let born = core::mem::take(&mut self.stage.born) && self.stage.active;
        if let Some(Stop::Failed(_)) = self.stage.stop {
            self.stage.stop = None;
        }
        let pieces = self.metainfo.layout.pieces();
        let (sound, doubtful) = match found {
            Found::Nothing => (false, None),
            Found::AsRecorded => (true, None),
            Found::Doubtful(set) if set.len() == pieces => (true, Some(set)),
            Found::Doubtful(_) => (true, Some(Bitfield::full(pieces))),
        };
        match self.stage.resume.take() {
            // A record for another number of pieces is no record of this torrent: whatever lies there is hashed first.
            Some(record) if record.have.len() != pieces => self.doubt(Bitfield::full(pieces)),
            Some(record) if sound => self.restore(record, doubtful.as_ref()),
            Some(record) => {
                self.totals.before = Lifetime { uploaded: record.uploaded, downloaded: record.downloaded };
                // What the record claims is gone: the next one must not.
                self.saver.lost(cx);
            }
            None if !sound => self.lose_what_was_written(cx),
            None => {}
        }
        if let Some(set) = doubtful {
            self.doubt(set);
        }
        if self.stage.stop.is_some() {
            // It will not start, so what a failure held up is saved now: a stop waits for it.
            self.saver.resume(cx);
            self.saver.flush(cx, &mut self.picker);
        }
        self.save(cx);
        if born && self.stage.is_fetching() {
            self.start_content(cx);
            self.check_finished(cx);
            self.reconsider_interest(cx);
            self.refill_starved(cx);
        }
    }

    /// A check goes on.
    pub fn on_check_progress(&mut self, pieces: u32) {
        if let Storage::Checking(done) = &mut self.stage.storage {
            *done = pieces.min(self.metainfo.layout.pieces());
        }
    }

    /// A check ended: what it found right is ours, what it did not is missing.
    pub fn on_checked(&mut self, cx: &mut Cx<'_>, good: &Bitfield) {
        let Storage::Checking(_) = self.stage.storage else { return };
        self.stage.storage = Storage::Open;
        for piece in self.stage.asked.take().iter().flat_map(|asked| asked.iter()) {
            match self.picker.pieces().state(piece) {
                // Its bytes came to memory meanwhile: the disk alone cannot judge them.
                PieceState::Open(_) | PieceState::Verifying(_) | PieceState::Have(Durability::Buffered) => {}
                PieceState::Missing if good.has(piece) => {
                    self.picker.found(piece);
                    self.saver.found(cx, piece);
                }
                PieceState::Have(_) if !good.has(piece) => {
                    self.lose(cx, piece);
                    self.saver.lost(cx);
                }
                PieceState::Missing | PieceState::Have(_) => {}
            }
        }
        self.settle(cx);
    }

    /// Storage did not do what was asked.
    pub fn on_storage_failed(&mut self, cx: &mut Cx<'_>, operation: DiskOperation, error: DiskError) {
        match operation {
            DiskOperation::Open if self.stage.storage != Storage::Opening => return,
            DiskOperation::Check if !matches!(self.stage.storage, Storage::Checking(_)) => return,
            DiskOperation::Open | DiskOperation::Check => {}
            DiskOperation::Verify(piece, attempt) => {
                if !self.picker.is_current(piece, attempt) {
                    return;
                }
                // The blocks that were to be read back are as good as lost, and no peer is to blame.
                self.lose(cx, piece);
            }
            DiskOperation::Write(piece, attempt) => self.saver.write_failed(piece, attempt),
            DiskOperation::Spill(piece, attempt) => {
                self.picker.spilled(piece, attempt, false, cx.now);
                self.saver.spilled(cx, false);
            }
            DiskOperation::Commit(epoch) => self.saver.commit_failed(cx, epoch),
        }
        self.fail(cx, error);
    }

    /// The files are closed.
    pub fn on_closed(&mut self, cx: &mut Cx<'_>) {
        if self.stage.storage == Storage::Closing {
            self.stage.storage = Storage::Gone;
            // What the driver did not tell of any more goes with the torrent.
            for key in self.peers.keys() {
                self.on_link_down(cx, key, LinkEnd::Closed(CloseReason::TorrentStopped));
            }
            cx.pool.buffered = cx.pool.buffered.saturating_sub(self.totals.buffered);
            cx.pool.freed |= cx.pool.short && self.totals.buffered > 0;
        }
    }

    /// A fault of the disk: the torrent stops with this reason, and tries again by itself where that can help.
    pub fn fail(&mut self, cx: &mut Cx<'_>, error: DiskError) {
        match self.stage.storage {
            // One fault often fails several operations: the first says it all.
            Storage::Unknown | Storage::Broken | Storage::Closing | Storage::Gone => return self.settle(cx),
            Storage::Shut | Storage::Opening | Storage::Open | Storage::Checking(_) => {}
        }
        self.stage.storage = Storage::Broken;
        self.stage.born = false;
        if let Some(asked) = self.stage.asked.take() {
            self.doubt(asked);
        }
        let (kind, again) = (error.kind, retry_after(error.kind, self.stage.failures));
        self.stage.failures = self.stage.failures.saturating_add(1);
        // A fault that a retry meets again is no news.
        if self.stage.stop != Some(Stop::Failed(kind)) {
            cx.tell(Event::StorageFailed(self.id, error));
        }
        if matches!(self.stage.stop, None | Some(Stop::Failed(_))) {
            self.stage.stop = Some(Stop::Failed(kind));
            cx.timers.set_or_clear(self.timer(TorrentTimer::Retry), again.map(|after| cx.now + after));
        }
        self.settle(cx);
    }

    /// The storage took what it was given: an earlier failure is over.
    pub fn on_storage_works(&mut self) {
        self.stage.failures = 0;
    }

    /// Time to try a failed storage again. What the user was told stays true until it opens.
    pub fn on_retry(&mut self, cx: &mut Cx<'_>) {
        if let (Some(Stop::Failed(_)), Storage::Broken) = (self.stage.stop, self.stage.storage) {
            self.stage.storage = Storage::Opening;
            cx.push(Output::Open { torrent: self.id, wanted: self.goals.wanted(&self.metainfo.layout) });
        }
    }

    /// Does what the stage asks for next, begins or ends the traffic, and tells the user what changed. Call it after every change.
    pub fn settle(&mut self, cx: &mut Cx<'_>) {
        let run = self.stage.may_run();
        if run && !self.stage.active {
            self.stage.active = true;
            self.start(cx);
        } else if !run && self.stage.active {
            self.stage.active = false;
            self.halt(cx);
        }
        if self.stage.stop.is_some() {
            self.stage.born = false;
        }
        self.advance_storage(cx);
        self.tell_stage(cx);
    }

    fn advance_storage(&mut self, cx: &mut Cx<'_>) {
        let torrent = self.id;
        match (self.stage.storage, self.stage.stop) {
            (Storage::Shut, None | Some(Stop::Paused)) => {
                self.stage.storage = Storage::Opening;
                cx.push(Output::Open { torrent, wanted: self.goals.wanted(&self.metainfo.layout) });
            }
            (Storage::Open, None) => {
                if let Some(pieces) = self.stage.doubtful.take() {
                    self.stage.storage = Storage::Checking(0);
                    self.stage.asked = Some(pieces.clone());
                    cx.push(Output::Check { torrent, pieces });
                }
            }
            (Storage::Open, Some(Stop::Leaving)) if !self.is_saved() => {}
            // A storage that failed saves nothing more; the driver closes it when what was asked for is done.
            (
                Storage::Unknown
                | Storage::Shut
                | Storage::Broken
                | Storage::Open
                | Storage::Opening
                | Storage::Checking(_),
                Some(Stop::Leaving),
            ) => {
                self.stage.storage = Storage::Closing;
                cx.push(Output::CloseStorage { torrent });
            }
            (Storage::Unknown, None | Some(Stop::Paused | Stop::Failed(_) | Stop::Unusable))
            | (Storage::Shut, Some(Stop::Failed(_) | Stop::Unusable))
            | (Storage::Broken, None | Some(Stop::Paused | Stop::Failed(_) | Stop::Unusable))
            | (Storage::Open, Some(Stop::Paused | Stop::Failed(_) | Stop::Unusable))
            | (
                Storage::Opening | Storage::Checking(_),
                None | Some(Stop::Paused | Stop::Failed(_) | Stop::Unusable),
            )
            | (Storage::Closing | Storage::Gone, _) => {}
        }
    }

    /// Tells the user of a new stage.
    pub fn tell_stage(&mut self, cx: &mut Cx<'_>) {
        let name = self.stage.name(self.is_finished());
        if self.totals.found.is_none() && matches!(name, StageName::Downloading | StageName::Seeding) {
            // Nothing was asked for before, so nothing of it came in this run.
            self.totals.found = Some(self.found_here());
        }
        if self.stage.told != Some(name) && !self.stage.is_leaving() {
            self.stage.told = Some(name);
            cx.tell(Event::Stage(self.id, name));
        }
    }

    /// These pieces are to be hashed as they lie on disk, but for those whose bytes are in memory.
    fn doubt(&mut self, mut pieces: Bitfield) {
        for piece in pieces.clone().iter() {
            match self.picker.pieces().state(piece) {
                PieceState::Missing | PieceState::Have(_) => {}
                PieceState::Open(_) | PieceState::Verifying(_) => {
                    pieces.remove(piece);
                }
            }
        }
        for piece in self.stage.doubtful.take().iter().flat_map(|before| before.iter()) {
            pieces.insert(piece);
        }
        self.stage.doubtful = (!pieces.is_empty()).then_some(pieces);
    }

    /// Takes over what an earlier run made durable and the storage confirmed.
    fn restore(&mut self, mut record: ResumeRecord, doubtful: Option<&Bitfield>) {
        for piece in doubtful.into_iter().flat_map(|set| set.iter()) {
            record.have.remove(piece);
            record.open.retain(|open| open.piece != piece);
        }
        self.totals.before = Lifetime { uploaded: record.uploaded, downloaded: record.downloaded };
        self.stage.whole = self.picker.restore(&record);
        self.saver.restored(&self.picker);
    }

    /// The storage came back empty: only what is still in memory is left.
    fn lose_what_was_written(&mut self, cx: &mut Cx<'_>) {
        for piece in self.metainfo.layout.piece_indices() {
            let gone = match self.picker.pieces().state(piece) {
                PieceState::Have(Durability::Written | Durability::Synced | Durability::Committed) => true,
                PieceState::Have(Durability::Buffered) | PieceState::Missing | PieceState::Verifying(_) => {
                    false
                }
                PieceState::Open(_) => {
                    self.picker.pieces().open_piece(piece).is_some_and(|open| !open.spilled().is_empty())
                }
            };
            if gone {
                self.lose(cx, piece);
            }
        }
    }

    /// A timer of this torrent.
    pub fn timer(&self, timer: TorrentTimer) -> Timer {
        Timer::Torrent(self.id, timer)
    }
}

/// When a storage that failed like this is tried again; `None` if only the user can help.
fn retry_after(kind: DiskErrorKind, failures: u32) -> Option<Duration> {
    match kind {
        DiskErrorKind::Full
        | DiskErrorKind::ReadOnly
        | DiskErrorKind::Vanished
        | DiskErrorKind::TooManyOpen => {
            Some((RETRY_AFTER + RETRY_AFTER / 2 * failures.min(8)).min(RETRY_AFTER_MAX))
        }
        // Looking again says what changed; but not in a tight circle.
        DiskErrorKind::Changed => Some((Duration::from_secs(1) * (failures + 1)).min(RETRY_AFTER_MAX)),
        DiskErrorKind::Denied | DiskErrorKind::Io | DiskErrorKind::Unsupported => None,
    }
}
