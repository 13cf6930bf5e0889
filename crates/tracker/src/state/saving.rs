//! When a worker walks through its swarms, and how far at a time; what it comes by goes to the writer. Knows no file.
//!
//! Invariants: nobody is kept waiting for it, neither by a long walk (each turn of the loop a few swarms, and a pause) nor by a disk that
//! is slow (what it has no room for waits, and the walk with it). A walk begins half an interval after the one before and takes a quarter
//! of one, so that a swarm that is older than an interval is in a snapshot that was whole before.

use crate::accounts::Accounts;
use proto::tracker::SwarmTable;
use proto::tracker::ledger;
use proto::tracker::swarm_table::{Progress, Walk};
use proto::{Duration, Instant};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::SystemTime;

/// Between two parts of a walk.
const PAUSE: Duration = Duration::from_millis(10);

/// Peers and swarms looked at in one turn of the loop, by the time since the last: at least so many, which takes some 10 microseconds, and
/// at most, 0.2 ms.
const PART_MIN: u64 = 1024;
const PART_MAX: u64 = 16_384;

/// Bytes that are worth being written.
const PIECE_LEN: usize = 256 << 10;

/// Accounts in a piece: a few hundred KiB.
const ACCOUNTS_PER_PIECE: usize = 2048;

/// What a snapshot is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    Swarms,
    /// Where counting for members stands, at the end.
    Accounts,
}

/// Whom to tell when it is on the disk, or why it is not.
pub(crate) type Told = SyncSender<Result<(), String>>;

/// Part of a worker's snapshot, on its way to the disk.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) of: Of,
    pub(crate) worker: usize,
    /// It is the first, of a walk that began then.
    pub(crate) began: Option<SystemTime>,
    pub(crate) slices: Vec<u8>,
    /// It is the last; who waits for it.
    pub(crate) last: Option<Vec<Told>>,
}

/// One worker's walks.
#[derive(Debug)]
pub(crate) struct Saving {
    worker: usize,
    interval: Duration,
    to: SyncSender<Piece>,
    walking: Option<Walking>,
    /// What there was no room for.
    unsent: Option<Piece>,
    /// When it last went on.
    walked: Instant,
    /// When the next walk begins.
    next: Instant,
    /// When there is something to do.
    due: Instant,
    waiting: Vec<Told>,
}

#[derive(Debug)]
struct Walking {
    walk: Walk,
    /// Until the first piece was made.
    began: Option<SystemTime>,
    slices: Vec<u8>,
}

impl Saving {
    /// For this worker, whose peers come again after this interval.
    pub(crate) fn new(worker: usize, interval: Duration, now: Instant, to: SyncSender<Piece>) -> Saving {
        let next = now + interval / 2;
        let (walking, unsent, waiting) = (None, None, Vec::new());
        Saving { worker, interval, to, walking, unsent, walked: now, next, due: next, waiting }
    }

    /// When there is something to do.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// A walk begins now.
    pub(crate) fn begin_now(&mut self, now: Instant, told: Told) {
        self.waiting.push(told);
        self.walking = None;
        (self.next, self.due) = (now, now);
    }

    /// Does what is due.
    pub(crate) fn go_on(&mut self, now: Instant, table: &mut SwarmTable) {
        if now < self.due {
            return;
        }
        if let Some(piece) = self.unsent.take() {
            self.send(piece);
        }
        if self.unsent.is_none() && (self.walking.is_some() || now >= self.next) {
            // Turns may take longer than the pause: what was missed by that is made up for.
            let since = if self.walking.is_some() { now.since(self.walked) } else { PAUSE };
            self.walked = now;
            let all = u128::from(table.peers()) + u128::from(table.swarms());
            let part = all * since.as_micros() / (self.interval / 4).as_micros().max(1);
            let part = u64::try_from(part).unwrap_or(u64::MAX).clamp(PART_MIN, PART_MAX);
            if let Some(piece) = self.walk_on(now, table, part as u32) {
                self.send(piece);
            }
        }
        let is_busy = self.walking.is_some() || self.unsent.is_some();
        self.due = if is_busy { now + PAUSE } else { self.next };
    }

    /// Last snapshots, however long it takes. Whoever has accounts does not credit anything any more.
    pub(crate) fn finish(mut self, now: Instant, table: &mut SwarmTable, accounts: Option<&Accounts>) {
        self.finish_swarms(now, table);
        let Some(accounts) = accounts else { return };
        let (mut walk, mut began) = (Some(ledger::Walk::default()), Some(SystemTime::now()));
        while let Some(at) = walk {
            let mut slices = Vec::new();
            walk = accounts.snapshot(now, at, ACCOUNTS_PER_PIECE, &mut slices);
            let last = walk.is_none().then(Vec::new);
            let piece = Piece { of: Of::Accounts, worker: self.worker, began: began.take(), slices, last };
            if self.to.send(piece).is_err() {
                return;
            }
        }
    }

    fn finish_swarms(&mut self, now: Instant, table: &mut SwarmTable) {
        self.walking = None;
        let mut piece = self.unsent.take();
        loop {
            // Without a writer there is nothing to be done.
            if let Some(Err(_)) = piece.map(|piece| self.to.send(piece)) {
                return;
            }
            piece = self.walk_on(now, table, PART_MAX as u32);
            if self.walking.is_none() {
                let _ = piece.map(|piece| self.to.send(piece));
                return;
            }
        }
    }

    /// The next part of this walk, or of a new one. Gives a piece when there is enough for one.
    fn walk_on(&mut self, now: Instant, table: &mut SwarmTable, part: u32) -> Option<Piece> {
        let mut walking = self.walking.take().unwrap_or_else(|| {
            self.next = now + self.interval / 2;
            Walking {
                walk: table.begin_snapshot(now),
                began: Some(SystemTime::now()),
                slices: Vec::with_capacity(PIECE_LEN),
            }
        });
        let progress = table.snapshot(now, &mut walking.walk, part, &mut walking.slices);
        let is_done = progress == Progress::Done;
        let piece = (is_done || walking.slices.len() >= PIECE_LEN).then(|| Piece {
            of: Of::Swarms,
            worker: self.worker,
            began: walking.began.take(),
            slices: std::mem::take(&mut walking.slices),
            last: is_done.then(|| std::mem::take(&mut self.waiting)),
        });
        self.walking = (!is_done).then_some(walking);
        piece
    }

    fn send(&mut self, piece: Piece) {
        match self.to.try_send(piece) {
            Err(TrySendError::Full(piece)) => self.unsent = Some(piece),
            // It has said why it ended.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }
}
