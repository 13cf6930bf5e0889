//! The order of jobs: which may run now, which wait for which. Pure: no thread, no clock, no file.
//!
//! Always: jobs about one piece run one at a time in the order asked; so do syncs, commits and checks of one torrent;
//! `Open`, `Want` and `Close` run when nothing else of their torrent does. Reads wait for those alone. Nothing here bounds the
//! number of jobs: sessions do, by their buffer lease and their send credit.

use crate::disk::job::DiskJob;
use proto::TorrentId;
use std::collections::{HashMap, VecDeque};
use wire::PieceIndex;

/// Who waits for whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Lane {
    /// For nobody but jobs that must be alone.
    Free,
    /// For earlier jobs about this piece.
    Piece(PieceIndex),
    /// For earlier jobs about the torrent's durability.
    Whole,
    /// For all earlier jobs of the torrent; and all later ones wait for it.
    Alone,
}

/// The jobs of all torrents that are not done.
#[derive(Default)]
pub(super) struct Lanes {
    torrents: HashMap<TorrentId, Torrent>,
    /// Free to run: reads first, for a peer waits for them.
    reads: VecDeque<DiskJob>,
    ready: VecDeque<DiskJob>,
}

#[derive(Default)]
struct Torrent {
    /// Jobs that were let in and are not done, waiting ones included.
    inside: usize,
    /// Busy lanes, and who waits in them.
    busy: HashMap<Lane, VecDeque<DiskJob>>,
    alone: bool,
    /// Jobs behind one that must be alone, itself included.
    outside: VecDeque<DiskJob>,
}

impl Lanes {
    /// Takes a job in.
    pub(super) fn submit(&mut self, job: DiskJob) {
        let torrent = self.torrents.entry(torrent_of(&job)).or_default();
        torrent.outside.push_back(job);
        torrent.let_in(&mut self.reads, &mut self.ready);
    }

    /// A job that may run now: a read with those that lie right behind it, as far as `joins` says, or one of another kind.
    pub(super) fn take(&mut self, joins: impl Fn(&[DiskJob], &DiskJob) -> bool) -> Option<Vec<DiskJob>> {
        let Some(first) = self.reads.pop_front() else {
            return self.ready.pop_front().map(|job| vec![job]);
        };
        let mut burst = vec![first];
        while let Some(next) = self.reads.front()
            && joins(&burst, next)
        {
            burst.extend(self.reads.pop_front());
        }
        Some(burst)
    }

    /// Whether there is no job that is not done.
    pub(super) fn is_idle(&self) -> bool {
        self.torrents.is_empty()
    }

    /// A job of this torrent and lane is done.
    pub(super) fn done(&mut self, id: TorrentId, lane: Lane) {
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        torrent.inside -= 1;
        match lane {
            Lane::Alone => torrent.alone = false,
            Lane::Free => {}
            Lane::Piece(_) | Lane::Whole => match torrent.busy.get_mut(&lane).and_then(VecDeque::pop_front) {
                Some(next) => self.ready.push_back(next),
                None => drop(torrent.busy.remove(&lane)),
            },
        }
        torrent.let_in(&mut self.reads, &mut self.ready);
        if torrent.inside == 0 && torrent.outside.is_empty() {
            self.torrents.remove(&id);
        }
    }
}

impl Torrent {
    fn let_in(&mut self, reads: &mut VecDeque<DiskJob>, ready: &mut VecDeque<DiskJob>) {
        while !self.alone
            && let Some(job) = self.outside.pop_front()
        {
            let lane = lane_of(&job);
            if lane == Lane::Alone && self.inside > 0 {
                return self.outside.push_front(job);
            }
            self.inside += 1;
            match lane {
                Lane::Free => reads.push_back(job),
                Lane::Alone => {
                    self.alone = true;
                    ready.push_back(job);
                }
                Lane::Piece(_) | Lane::Whole => match self.busy.get_mut(&lane) {
                    Some(waiting) => waiting.push_back(job),
                    None => {
                        self.busy.insert(lane, VecDeque::new());
                        ready.push_back(job);
                    }
                },
            }
        }
    }
}

/// Whose job it is.
pub(super) fn torrent_of(job: &DiskJob) -> TorrentId {
    match *job {
        DiskJob::Open { torrent, .. }
        | DiskJob::Check { torrent, .. }
        | DiskJob::Verify { torrent, .. }
        | DiskJob::Write { torrent, .. }
        | DiskJob::Spill { torrent, .. }
        | DiskJob::Discard { torrent, .. }
        | DiskJob::Sync { torrent, .. }
        | DiskJob::Commit { torrent, .. }
        | DiskJob::Want { torrent, .. }
        | DiskJob::Read { torrent, .. }
        | DiskJob::Close { torrent } => torrent,
    }
}

/// Which lane it waits in.
pub(super) fn lane_of(job: &DiskJob) -> Lane {
    match *job {
        DiskJob::Open { .. } | DiskJob::Want { .. } | DiskJob::Close { .. } => Lane::Alone,
        DiskJob::Check { .. } | DiskJob::Sync { .. } | DiskJob::Commit { .. } => Lane::Whole,
        DiskJob::Verify { piece, .. }
        | DiskJob::Write { piece, .. }
        | DiskJob::Spill { piece, .. }
        | DiskJob::Discard { piece, .. } => Lane::Piece(piece),
        DiskJob::Read { .. } => Lane::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::spec::WantedFiles;
    use proto::{Attempt, Epoch};

    const ID: TorrentId = TorrentId { slot: 0, generation: 0 };

    fn write(piece: u32) -> DiskJob {
        DiskJob::Write { torrent: ID, piece: PieceIndex(piece), attempt: Attempt(0), blocks: Vec::new() }
    }

    fn want() -> DiskJob {
        DiskJob::Want { torrent: ID, wanted: WantedFiles::all() }
    }

    fn sync() -> DiskJob {
        DiskJob::Sync { torrent: ID, epoch: Epoch(0) }
    }

    /// The lanes of the jobs that may run now.
    fn runnable(lanes: &mut Lanes) -> Vec<Lane> {
        let mut all = Vec::new();
        while let Some(burst) = lanes.take(|_, _| false) {
            all.extend(burst.iter().map(lane_of));
        }
        all
    }

    #[test]
    fn jobs_of_one_piece_run_one_after_the_other_and_those_of_others_at_once() {
        let mut lanes = Lanes::default();
        [write(1), write(2), write(1), sync(), sync()].into_iter().for_each(|job| lanes.submit(job));
        let (one, two) = (Lane::Piece(PieceIndex(1)), Lane::Piece(PieceIndex(2)));
        assert_eq!(runnable(&mut lanes), [one, two, Lane::Whole]);
        lanes.done(ID, one);
        assert_eq!(runnable(&mut lanes), [one]);
        lanes.done(ID, Lane::Whole);
        assert_eq!(runnable(&mut lanes), [Lane::Whole]);
    }

    #[test]
    fn a_job_that_must_be_alone_waits_for_all_and_all_wait_for_it() {
        let mut lanes = Lanes::default();
        [write(1), write(2), want(), write(3)].into_iter().for_each(|job| lanes.submit(job));
        let piece = |number| Lane::Piece(PieceIndex(number));
        assert_eq!(runnable(&mut lanes), [piece(1), piece(2)]);
        lanes.done(ID, piece(1));
        assert_eq!(runnable(&mut lanes), []);
        lanes.done(ID, piece(2));
        assert_eq!(runnable(&mut lanes), [Lane::Alone]);
        lanes.done(ID, Lane::Alone);
        assert_eq!(runnable(&mut lanes), [piece(3)]);
        lanes.done(ID, piece(3));
        assert!(lanes.is_idle());
    }
}
