//! The thread that puts snapshots on the disk, so that no worker waits for one.
//!
//! Invariants: a snapshot takes its name only when all of it is on the disk and the folder still ours; one that cannot be written leaves the
//! one before as it is.
//! What fails is said once, until everything works again.

use super::file::SnapshotWriter;
use super::saving::{Of, Piece};
use super::{Folder, private, snapshots};
use crate::tally::{Count, Tally};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{SystemTime, UNIX_EPOCH};

/// The thread's own.
pub(super) struct Writer {
    folder: Folder,
    tally: Arc<Tally>,
    /// Of each worker.
    shards: Vec<Shard>,
    /// That something fails was said.
    told: bool,
}

/// One worker's snapshots.
#[derive(Default)]
struct Shard {
    /// What is being written.
    file: Option<SnapshotWriter<File>>,
    /// There is a whole one of this run.
    whole: bool,
    /// Why the last one could not be written.
    fails: Option<String>,
}

/// What became of a piece.
enum Written {
    /// There is more to come.
    Part,
    /// With it the snapshot is whole.
    Whole,
    /// What came before it could not be written.
    Nothing,
}

impl Writer {
    pub(super) fn new(folder: Folder, workers: usize, tally: Arc<Tally>) -> Writer {
        let shards = (0..workers).map(|_| Shard::default()).collect();
        Writer { folder, tally, shards, told: false }
    }

    /// Until nobody sends any more.
    pub(super) fn run(mut self, pieces: &Receiver<Piece>) {
        while let Ok(piece) = pieces.recv() {
            match self.write(&piece) {
                Ok(Written::Whole) if piece.of == Of::Swarms => self.on_whole(piece.worker),
                Ok(Written::Whole | Written::Part | Written::Nothing) => {}
                Err(error) => self.on_failure(&piece, &error),
            }
            let fails = self.shards.get(piece.worker).and_then(|shard| shard.fails.as_ref());
            for told in piece.last.into_iter().flatten() {
                // Who does not listen any more does not want to know.
                let _ = told.try_send(fails.map_or(Ok(()), |why| Err(why.clone())));
            }
        }
    }

    fn write(&mut self, piece: &Piece) -> io::Result<Written> {
        let path = self.path(piece.of, piece.worker);
        let new = path.with_extension("new");
        let Some(shard) = self.shards.get_mut(piece.worker) else { return Ok(Written::Nothing) };
        if let Some(began) = piece.began {
            self.folder.hold()?;
            shard.file = Some(SnapshotWriter::new(private().truncate(true).open(&new)?, began)?);
        }
        let Some(mut file) = shard.file.take() else { return Ok(Written::Nothing) };
        file.block(&piece.slices)?;
        if piece.last.is_none() {
            shard.file = Some(file);
            return Ok(Written::Part);
        }
        file.end()?.sync_all()?;
        // It may be another tracker's by now.
        self.folder.hold()?;
        fs::rename(&new, &path)?;
        File::open(&self.folder.path)?.sync_all()?;
        Ok(Written::Whole)
    }

    fn on_whole(&mut self, worker: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.tally.set(Count::StateSaved, now.as_secs());
        let had_all = self.shards.iter().all(|shard| shard.whole);
        if let Some(shard) = self.shards.get_mut(worker) {
            (shard.whole, shard.fails) = (true, None);
        }
        if self.told && self.shards.iter().all(|shard| shard.fails.is_none()) {
            self.told = false;
            tracing::warn!("the tracker saves its swarms again");
        }
        if !had_all && self.shards.iter().all(|shard| shard.whole) {
            // Whatever another number of workers has left is in these by now, or was forgotten.
            let workers = self.shards.len();
            let all = snapshots(&self.folder.path, self.folder.prefix(Of::Swarms)).into_iter().flatten();
            for (path, _) in all.filter(|(_, of)| *of != workers) {
                // The next run knows by ages what is old.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn on_failure(&mut self, piece: &Piece, error: &io::Error) {
        self.tally.count(Count::StateFailures);
        if !self.told {
            self.told = true;
            let folder = self.folder.path.display();
            tracing::error!(%error, "the tracker goes on, but cannot save its swarms in {folder}");
        }
        if let Some(shard) = self.shards.get_mut(piece.worker) {
            (shard.file, shard.fails) = (None, Some(error.to_string()));
        }
        // It may have taken all the room that there was; if it is still ours.
        let new = self.path(piece.of, piece.worker).with_extension("new");
        let _ = self.folder.hold().and_then(|()| fs::remove_file(new));
    }

    fn path(&self, of: Of, worker: usize) -> PathBuf {
        let prefix = self.folder.prefix(of);
        self.folder.path.join(format!("{prefix}{worker}-of-{}", self.shards.len()))
    }
}
