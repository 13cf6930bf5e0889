//! A node's disk: memory that dies with the process, a page cache that dies with the power, and a medium that stays.
//!
//! Does what the seam's storage outputs ask, after a time, and knows what a crash leaves: what was not synced is lost whole,
//! in part, or torn; a commit under way may or may not have happened. Always: answers about one piece come in the order
//! asked, `Closed` comes last, and a sync covers what was answered before it was asked. Decides nothing about retries.

use crate::content::{Content, Tag};
use crate::network::micros;
use crate::store::{Place, Store};
use core::time::Duration;
use proto::input::{DiskOperation, Found};
use proto::{
    Attempt, BlockSet, DiskError, DiskErrorKind, Epoch, Input, Instant, ResumeRecord, Rng, TorrentId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{Bitfield, Block, PieceIndex};

/// How fast a disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskModel {
    /// To read a block.
    pub read: Duration,
    /// To hand a piece or some blocks to the file system.
    pub write: Duration,
    /// To sync, and to commit.
    pub sync: Duration,
    /// Bytes hashed per second.
    pub hashing: u64,
    /// Up to so many thousandths are added to each of these times, by chance.
    pub jitter_permille: u32,
}

impl DiskModel {
    /// A fair flash disk.
    pub const FLASH: DiskModel = DiskModel {
        read: Duration::from_micros(100),
        write: Duration::from_millis(1),
        sync: Duration::from_millis(5),
        hashing: 1 << 30,
        jitter_permille: 500,
    };
    /// A slow spinning disk.
    pub const SPINNING: DiskModel = DiskModel {
        read: Duration::from_millis(8),
        write: Duration::from_millis(20),
        sync: Duration::from_millis(60),
        hashing: 200 << 20,
        jitter_permille: 1000,
    };
}

/// What ails a disk at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskFaults {
    /// Nothing more can be written.
    pub full: bool,
    /// Syncs fail, and what they cover never gets to the medium.
    pub sync_fails: bool,
    /// Reads fail.
    pub read_fails: bool,
    /// The folder is not there.
    pub vanished: bool,
}

/// One storage job of the seam.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Open,
    Check { pieces: Bitfield },
    Verify { piece: PieceIndex, attempt: Attempt, key: [u8; 16], digests: bool },
    Write { piece: PieceIndex, attempt: Attempt },
    Spill { piece: PieceIndex, attempt: Attempt, blocks: BlockSet, key: Option<[u8; 16]> },
    Sync { epoch: Epoch },
    Commit { epoch: Epoch, record: Box<ResumeRecord> },
    Close,
}

/// How a node stops without notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process is killed: what was handed to the file system stays.
    Kill,
    /// The power goes: what was not synced is in doubt.
    PowerLoss,
}

/// A node's disk.
pub struct Disk {
    model: DiskModel,
    /// What ails it.
    pub faults: DiskFaults,
    stores: Vec<Store>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    /// It hangs until then.
    paused_until: Instant,
    /// When it hung, from and until, in order.
    pauses: Vec<(Instant, Instant)>,
    rng: Rng,
    /// Requests that make no sense: a session's bugs. Checkers collect them.
    pub(crate) complaints: Vec<String>,
}

struct Job {
    torrent: TorrentId,
    work: Work,
    ends: Instant,
    /// For a sync: how many writes of the store were answered before it was asked for.
    mark: u64,
}

impl Disk {
    pub(crate) fn new(model: DiskModel, contents: &[Arc<Content>], rng: Rng) -> Disk {
        Disk {
            model,
            faults: DiskFaults::default(),
            stores: contents.iter().map(|content| Store::new(content.clone())).collect(),
            jobs: BTreeMap::new(),
            next_job: 0,
            paused_until: Instant::ZERO,
            pauses: Vec::new(),
            rng,
            complaints: Vec::new(),
        }
    }

    /// What it holds of a torrent.
    pub fn store(&self, torrent: TorrentId) -> &Store {
        &self.stores[torrent.slot as usize]
    }

    pub(crate) fn store_mut(&mut self, torrent: TorrentId) -> &mut Store {
        &mut self.stores[torrent.slot as usize]
    }

    /// It hangs: what is asked for from now on is begun then.
    pub(crate) fn pause(&mut self, now: Instant, until: Instant) {
        let from = now.max(self.paused_until);
        if from < until {
            self.pauses.push((from, until));
            self.paused_until = until;
        }
    }

    /// For how long it hung between then and now: nothing could become durable meanwhile.
    pub(crate) fn hung_since(&self, then: Instant, now: Instant) -> Duration {
        let within = self.pauses.iter().rev().take_while(|&&(_, until)| until > then);
        within.map(|&(from, until)| until.min(now).since(from.max(then).min(until.min(now)))).sum()
    }

    /// How many jobs are under way.
    pub fn busy(&self) -> usize {
        self.jobs.len()
    }

    /// Begins a job: its number, and when it is done.
    pub(crate) fn start(&mut self, now: Instant, torrent: TorrentId, work: Work) -> (u64, Instant) {
        let span = self.span_of(torrent, &work);
        let after = self.must_follow(torrent, &work);
        let ends = (now.max(self.paused_until) + self.jittered(span)).max(after);
        let mark = self.store(torrent).writes();
        let id = self.next_job;
        self.next_job += 1;
        self.jobs.insert(id, Job { torrent, work, ends, mark });
        (id, ends)
    }

    /// Ends a job: what the session is told.
    pub(crate) fn finish(&mut self, id: u64) -> Option<Input<'static>> {
        let Job { torrent, work, mark, .. } = self.jobs.remove(&id)?;
        if let Some(kind) = self.refuses(&work) {
            return Some(failed(torrent, work, kind));
        }
        let store = &mut self.stores[torrent.slot as usize];
        Some(match work {
            Work::Open => Input::Opened { torrent, found: store.found() },
            Work::Check { pieces } => Input::Checked { torrent, good: store.check(&pieces) },
            Work::Verify { piece, attempt, key, digests } => {
                let tags = match store.load(piece) {
                    Ok(tags) => tags,
                    Err(missing) => {
                        self.complaints.push(format!("Verify {piece:?}: block {missing} was never kept"));
                        return Some(failed(torrent, work, DiskErrorKind::Changed));
                    }
                };
                let good = store.is_right(piece, &tags);
                let digests = (digests || !good).then(|| tags.iter().map(|tag| tag.digest(key)).collect());
                Input::Verified { torrent, piece, attempt, good, digests }
            }
            Work::Write { piece, attempt } => match store.write(piece) {
                Ok(()) => Input::Written { torrent, piece, attempt },
                Err(why) => {
                    self.complaints.push(format!("Write {piece:?}: {why}"));
                    return Some(failed(torrent, work, DiskErrorKind::Changed));
                }
            },
            Work::Spill { piece, attempt, blocks, key } => {
                let digests = key.map(|key| store.digests(piece, &blocks, key));
                if let Err(missing) = store.spill(piece, attempt, &blocks) {
                    self.complaints.push(format!("Spill {piece:?}: block {missing} is not in memory"));
                }
                Input::Spilled { torrent, piece, attempt, digests }
            }
            Work::Sync { epoch } => {
                store.sync(mark);
                Input::Synced { torrent, epoch }
            }
            Work::Commit { epoch, record } => {
                store.commit(*record);
                Input::Committed { torrent, epoch }
            }
            Work::Close => Input::Closed { torrent },
        })
    }

    /// Reads a block for sending: when, and what it reads as; `None` if it cannot be read.
    pub(crate) fn read(&mut self, now: Instant, torrent: TorrentId, block: Block) -> (Instant, Option<Tag>) {
        let (tag, place) = match self.stores[torrent.slot as usize].read(block) {
            Some((tag, place)) => (Some(tag), place),
            None => (None, Place::Files),
        };
        let at = match place {
            Place::Memory => now,
            Place::Files => now.max(self.paused_until) + self.jittered(self.model.read),
        };
        (at, tag.filter(|_| !self.faults.read_fails && !self.faults.vanished))
    }

    /// The process ends, by whatever cause: memory is gone; jobs under way are done, half done or not done.
    pub(crate) fn crash(&mut self, how: Crash) {
        for (_, job) in core::mem::take(&mut self.jobs) {
            let store = &mut self.stores[job.torrent.slot as usize];
            match job.work {
                Work::Write { piece, .. } => store.tear_write(piece, &mut self.rng),
                Work::Spill { piece, attempt, blocks, .. } => {
                    store.tear_spill(piece, attempt, &blocks, &mut self.rng);
                }
                Work::Commit { record, .. } if self.rng.below(2) == 0 => store.commit(*record),
                Work::Commit { .. }
                | Work::Open
                | Work::Check { .. }
                | Work::Verify { .. }
                | Work::Sync { .. }
                | Work::Close => {}
            }
        }
        for store in &mut self.stores {
            store.forget_memory();
            match how {
                Crash::Kill => {}
                Crash::PowerLoss => store.lose_power(&mut self.rng),
            }
            store.sweep_parts();
        }
    }

    fn span_of(&self, torrent: TorrentId, work: &Work) -> Duration {
        let layout = &self.store(torrent).content().metainfo().layout;
        let hashing = |bytes: u64| Duration::from_micros(bytes * 1_000_000 / self.model.hashing.max(1));
        match work {
            Work::Open | Work::Close => self.model.read,
            Work::Check { pieces } => hashing(u64::from(pieces.count()) * u64::from(layout.piece_len_max())),
            Work::Verify { piece, .. } => hashing(u64::from(layout.piece_len(*piece))),
            Work::Write { .. } | Work::Spill { .. } => self.model.write,
            Work::Sync { .. } | Work::Commit { .. } => self.model.sync,
        }
    }

    /// The job that this one must not overtake: the latest about the same piece; for the end, all.
    fn must_follow(&self, torrent: TorrentId, work: &Work) -> Instant {
        let piece = work.piece();
        let earlier = self.jobs.values().filter(|job| job.torrent == torrent);
        let related = earlier.filter(|job| match work {
            Work::Close => true,
            Work::Commit { .. } => matches!(job.work, Work::Commit { .. }),
            Work::Open
            | Work::Check { .. }
            | Work::Verify { .. }
            | Work::Write { .. }
            | Work::Spill { .. }
            | Work::Sync { .. } => piece.is_some() && job.work.piece() == piece,
        });
        related.map(|job| job.ends).max().unwrap_or(Instant::ZERO)
    }

    fn jittered(&mut self, span: Duration) -> Duration {
        let most = micros(span) * u64::from(self.model.jitter_permille) / 1000;
        span + Duration::from_micros(u64::from(self.rng.below(u32::try_from(most + 1).unwrap_or(u32::MAX))))
    }

    fn refuses(&mut self, work: &Work) -> Option<DiskErrorKind> {
        let DiskFaults { full, sync_fails, read_fails, vanished } = self.faults;
        let (writes, reads) = match work {
            Work::Open | Work::Close => (false, false),
            Work::Check { .. } | Work::Verify { .. } => (false, true),
            Work::Write { .. } | Work::Spill { .. } | Work::Commit { .. } => (true, false),
            Work::Sync { .. } => (false, false),
        };
        let sync = matches!(work, Work::Sync { .. });
        if sync && (sync_fails || vanished) {
            self.stores.iter_mut().for_each(Store::doom);
            return Some(if vanished { DiskErrorKind::Vanished } else { DiskErrorKind::Io });
        }
        match () {
            () if vanished && !matches!(work, Work::Close) => Some(DiskErrorKind::Vanished),
            () if full && writes => Some(DiskErrorKind::Full),
            () if read_fails && reads => Some(DiskErrorKind::Io),
            () => None,
        }
    }
}

impl Work {
    fn piece(&self) -> Option<PieceIndex> {
        match self {
            Work::Verify { piece, .. } | Work::Write { piece, .. } | Work::Spill { piece, .. } => {
                Some(*piece)
            }
            Work::Open | Work::Check { .. } | Work::Sync { .. } | Work::Commit { .. } | Work::Close => None,
        }
    }
}

fn failed(torrent: TorrentId, work: Work, kind: DiskErrorKind) -> Input<'static> {
    let error = DiskError { kind, detail: format!("simulated: {kind:?}").into() };
    let operation = match work {
        Work::Open => DiskOperation::Open,
        Work::Check { .. } => DiskOperation::Check,
        Work::Verify { piece, attempt, .. } => DiskOperation::Verify(piece, attempt),
        Work::Write { piece, attempt } => DiskOperation::Write(piece, attempt),
        Work::Spill { piece, attempt, .. } => DiskOperation::Spill(piece, attempt),
        Work::Sync { epoch } => return Input::SyncFailed { torrent, epoch, error },
        Work::Commit { epoch, .. } => DiskOperation::Commit(epoch),
        Work::Close => return Input::Closed { torrent },
    };
    Input::StorageFailed { torrent, operation, error }
}

/// Nothing lies there, what the record says lies there, or more than any record vouches for.
pub(crate) fn found_by(record: Option<&ResumeRecord>, data: Bitfield, changed: bool) -> Found {
    match record {
        Some(_) if !changed => Found::AsRecorded,
        Some(_) | None if data.is_empty() => Found::Nothing,
        Some(_) | None => Found::Doubtful(data),
    }
}

#[cfg(test)]
mod tests;
