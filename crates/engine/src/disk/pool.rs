//! The disk threads: take jobs in the order that `lanes` allows, do them, tell the loops.
//!
//! Decides nothing about pieces. Always: every job gets its answer (see [`crate::disk::job`]); `notify` is called from disk
//! threads, one call at a time per job, and must not block.

mod check;
mod lanes;
mod perform;

#[cfg(test)]
mod tests;

use super::backing::Backing;
use super::buffers::Buffers;
use super::handles::Handles;
use super::job::{DiskDone, DiskJob};
use super::lent::Lent;
use super::spec::{ContentSpec, StorageSpec, WantedFiles};
use super::storage::{CHUNK_LEN, Storage};
use crate::state::{ResumeUpdate, State};
use check::{Check, Stepped};
use lanes::{Lane, Lanes, lane_of, torrent_of};
use proto::input::{DiskOperation, Found};
use proto::{DiskError, DiskErrorKind, Epoch, TorrentId};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Commits of different torrents that share one transaction, and so one sync of the state file.
const COMMITS_MAX: usize = 256;

/// What the disk threads are given.
pub(crate) struct DiskConfig {
    /// How many there are. Hashing wants one per core; more help only devices that like deep queues.
    pub(crate) threads: usize,
    /// Files held open at once.
    pub(crate) files_open_max: usize,
    /// Where resume records go.
    pub(crate) state: Arc<State>,
}

/// The disk threads. When it is dropped, what was submitted is still done, and storages that are open are closed.
pub(crate) struct Disk {
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
}

struct Pool {
    work: Mutex<Work>,
    wake: Condvar,
    buffers: Arc<Buffers>,
    handles: Arc<Handles>,
    state: Arc<State>,
    threads: usize,
    notify: Box<dyn Fn(DiskDone) + Send + Sync>,
}

/// What is to be done.
#[derive(Default)]
struct Work {
    lanes: Lanes,
    /// Steps of checks: one piece each, behind everything else.
    steps: VecDeque<(TorrentId, Arc<Check>)>,
    backings: HashMap<TorrentId, Backing>,
    checks: HashMap<TorrentId, Arc<Check>>,
    ending: bool,
}

enum Task {
    Jobs(Vec<DiskJob>),
    Step(TorrentId, Arc<Check>),
}

/// A commit on its way to the state file.
struct Commit {
    torrent: TorrentId,
    epoch: Epoch,
    storage: Arc<Storage>,
    update: ResumeUpdate,
}

impl Disk {
    /// Starts the threads. `notify` hears every answer.
    pub(crate) fn start(
        config: DiskConfig,
        notify: impl Fn(DiskDone) + Send + Sync + 'static,
    ) -> io::Result<Disk> {
        let pool = Arc::new(Pool {
            work: Mutex::default(),
            wake: Condvar::new(),
            buffers: Arc::default(),
            handles: Arc::new(Handles::new(config.files_open_max)),
            state: config.state,
            threads: config.threads.max(1),
            notify: Box::new(notify),
        });
        let (commits, to_commit) = channel();
        let mut disk = Disk { pool: Arc::clone(&pool), threads: Vec::new() };
        for number in 0..pool.threads {
            let (pool, commits) = (Arc::clone(&pool), commits.clone());
            let thread = std::thread::Builder::new().name(format!("disk-{number}"));
            disk.threads.push(thread.spawn(move || pool.run(&commits))?);
        }
        // It ends when the last thread that could commit has ended.
        let thread = std::thread::Builder::new().name("disk-commit".into());
        disk.threads.push(thread.spawn(move || pool.run_commits(&to_commit))?);
        Ok(disk)
    }

    /// Asks for something.
    pub(crate) fn submit(&self, job: DiskJob) {
        let mut work = self.pool.work();
        if let DiskJob::Close { torrent } = job
            && let Some(check) = work.checks.get(&torrent)
        {
            check.cancel();
        }
        work.lanes.submit(job);
        self.pool.wake.notify_one();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.pool.work().ending = true;
        self.pool.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        // A session that ends keeps its torrents and so never asks for this.
        for (torrent, backing) in std::mem::take(&mut self.pool.work().backings) {
            if let Err(error) = backing.close() {
                perform::warn(torrent, vec![error.detail], &*self.pool.notify);
            }
        }
    }
}

impl Pool {
    fn run(&self, commits: &Sender<Commit>) {
        let mut buffer = Vec::new();
        while let Some(task) = self.next() {
            match task {
                Task::Jobs(jobs) => self.perform(jobs, commits),
                Task::Step(torrent, check) => {
                    buffer.resize(CHUNK_LEN, 0);
                    self.step(torrent, check, &mut buffer);
                }
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut work = self.work();
        loop {
            if let Some(jobs) = work.lanes.take(joins) {
                return Some(Task::Jobs(jobs));
            }
            if let Some((torrent, check)) = work.steps.pop_front() {
                return Some(Task::Step(torrent, check));
            }
            if work.ending && work.lanes.is_idle() {
                return None;
            }
            work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn perform(&self, jobs: Vec<DiskJob>, commits: &Sender<Commit>) {
        let Some(first) = jobs.first() else { return };
        let (torrent, lane) = (torrent_of(first), lane_of(first));
        let backing = self.work().backings.get(&torrent).cloned();
        let count = jobs.len();
        match (lane, backing) {
            (Lane::Free, Some(backing)) => self.read(&backing, jobs),
            (_, backing) => {
                for job in jobs {
                    if self.perform_one(torrent, job, backing.clone(), commits) == Stage::Elsewhere {
                        return;
                    }
                }
            }
        }
        (0..count).for_each(|_| self.done(torrent, lane));
    }

    fn perform_one(
        &self,
        torrent: TorrentId,
        job: DiskJob,
        backing: Option<Backing>,
        commits: &Sender<Commit>,
    ) -> Stage {
        let tell = &*self.notify;
        match (job, backing) {
            (DiskJob::Open { spec, wanted, .. }, already) => self.open(torrent, spec, wanted, already),
            (DiskJob::Check { pieces, .. }, Some(backing)) => {
                let check = Arc::new(Check::new(backing, &pieces, self.threads));
                let mut work = self.work();
                work.checks.insert(torrent, Arc::clone(&check));
                work.steps.extend((0..self.threads).map(|_| (torrent, Arc::clone(&check))));
                self.wake.notify_all();
                return Stage::Elsewhere;
            }
            (DiskJob::Commit { epoch, record, .. }, Some(Backing::Kept(storage))) => {
                let update = storage.update(&record);
                let sent = commits.send(Commit { torrent, epoch, storage, update });
                if sent.is_ok() {
                    return Stage::Elsewhere;
                }
                tell(perform::commit_failed(
                    torrent,
                    epoch,
                    DiskErrorKind::Io,
                    "the thread that commits has ended".into(),
                ));
            }
            (DiskJob::Close { .. }, Some(backing)) => {
                self.work().backings.remove(&torrent);
                match backing.close() {
                    Ok(warnings) => perform::warn(torrent, warnings, tell),
                    Err(error) => perform::warn(torrent, vec![error.detail], tell),
                }
                tell(DiskDone::Closed { torrent });
            }
            (job, Some(Backing::Kept(storage))) => perform::perform(&storage, job, tell),
            (job, Some(Backing::Lent(_))) => perform::perform_lent(job, tell),
            (job, None) => perform::refuse(job, tell),
        }
        Stage::Done
    }

    fn open(&self, torrent: TorrentId, spec: ContentSpec, wanted: WantedFiles, already: Option<Backing>) {
        // Opened again after a fault: what the files look like now is what counts.
        if let Some(backing) = already {
            self.work().backings.remove(&torrent);
            if let Err(error) = backing.close() {
                perform::warn(torrent, vec![error.detail], &*self.notify);
            }
        }
        let opened = match spec {
            ContentSpec::Kept(spec) => self.open_kept(torrent, spec, wanted),
            ContentSpec::Lent(spec) => Lent::open(spec, Arc::clone(&self.handles))
                .map(|lent| (Backing::Lent(Arc::new(lent)), Found::AsRecorded)),
        };
        match opened {
            Ok((backing, found)) => {
                self.work().backings.insert(torrent, backing);
                (self.notify)(DiskDone::Opened { torrent, found });
            }
            Err(error) => {
                (self.notify)(DiskDone::Failed { torrent, operation: DiskOperation::Open, error });
            }
        }
    }

    fn open_kept(
        &self,
        torrent: TorrentId,
        spec: Arc<StorageSpec>,
        wanted: WantedFiles,
    ) -> Result<(Backing, Found), DiskError> {
        let (handles, state) = (Arc::clone(&self.handles), Arc::clone(&self.state));
        // A record that cannot be believed was named when the store was read; without it the files are checked.
        let stored = self.state.torrent(spec.metainfo.info_hash).ok().flatten();
        let resume = stored.and_then(|stored| stored.resume);
        let opened = Storage::open(spec, resume.as_deref(), wanted, handles, state)?;
        perform::warn(torrent, opened.warnings, &*self.notify);
        Ok((Backing::Kept(Arc::new(opened.storage)), opened.found))
    }

    /// Reads ranges that lie behind one another with one call; each answer is a slice of one buffer.
    fn read(&self, backing: &Backing, jobs: Vec<DiskJob>) {
        let reads = jobs.into_iter().filter_map(|job| match job {
            DiskJob::Read { token, block, .. } => Some((token, block)),
            _ => None,
        });
        let reads: Vec<_> = reads.collect();
        let Some(&(_, first)) = reads.first() else { return };
        let len = reads.iter().map(|(_, block)| block.len).sum();
        let mut buffer = self.buffers.take(len as usize);
        let outcome = backing.read(wire::Block { len, ..first }, buffer.as_mut());
        let bytes = buffer.freeze();
        for (token, block) in reads {
            let from = (block.offset - first.offset) as usize;
            let data = outcome.clone().map(|()| bytes.slice(from..from + block.len as usize));
            (self.notify)(DiskDone::Read { token, data });
        }
    }

    fn step(&self, torrent: TorrentId, check: Arc<Check>, buffer: &mut [u8]) {
        match check.step(buffer) {
            Stepped::More(report) => {
                if let Some(pieces) = report.filter(|_| !check.is_cancelled()) {
                    (self.notify)(DiskDone::CheckProgress { torrent, pieces });
                }
                self.work().steps.push_back((torrent, check));
                self.wake.notify_one();
            }
            Stepped::OthersGoOn => {}
            Stepped::Last => {
                self.work().checks.remove(&torrent);
                if !check.is_cancelled() {
                    match check.end() {
                        Ok((good, warnings)) => {
                            perform::warn(torrent, warnings, &*self.notify);
                            (self.notify)(DiskDone::Checked { torrent, good });
                        }
                        Err(error) => {
                            let operation = DiskOperation::Check;
                            (self.notify)(DiskDone::Failed { torrent, operation, error });
                        }
                    }
                }
                self.done(torrent, Lane::Whole);
            }
        }
    }

    fn run_commits(&self, commits: &Receiver<Commit>) {
        while let Ok(first) = commits.recv() {
            let batch: Vec<_> =
                std::iter::once(first).chain(commits.try_iter().take(COMMITS_MAX - 1)).collect();
            let (updates, whose): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .map(|commit| (commit.update, (commit.torrent, commit.epoch, commit.storage)))
                .unzip();
            let answers = self.state.commit(&updates);
            for ((answer, update), (torrent, epoch, storage)) in answers.into_iter().zip(&updates).zip(whose)
            {
                match answer {
                    Ok(()) => {
                        storage.committed(update);
                        (self.notify)(DiskDone::Committed { torrent, epoch });
                    }
                    Err(error) => {
                        storage.not_committed(update);
                        (self.notify)(perform::commit_failed(
                            torrent,
                            epoch,
                            error.disk_kind(),
                            error.to_string(),
                        ));
                    }
                }
                self.done(torrent, Lane::Whole);
            }
        }
    }

    fn done(&self, torrent: TorrentId, lane: Lane) {
        self.work().lanes.done(torrent, lane);
        // One job that ends may let in several.
        self.wake.notify_all();
    }

    /// A panic elsewhere cannot leave the queues half-changed: nothing in them panics between two changes.
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a job is when the thread lets go of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Done,
    /// With the threads that check, or the one that commits; they say when it is done.
    Elsewhere,
}

/// Whether a read belongs to a burst: right behind it in the same piece, and the whole not longer than a buffer.
fn joins(burst: &[DiskJob], next: &DiskJob) -> bool {
    let (Some(DiskJob::Read { torrent, block: first, .. }), Some(DiskJob::Read { block: last, .. })) =
        (burst.first(), burst.last())
    else {
        return false;
    };
    matches!(next, DiskJob::Read { torrent: other, block, .. } if other == torrent
        && block.piece == last.piece
        && block.offset == last.offset + last.len
        && (block.offset + block.len - first.offset) as usize <= CHUNK_LEN)
}
