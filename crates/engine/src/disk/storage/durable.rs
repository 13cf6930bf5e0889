//! What makes written bytes last: syncs, marks of files, finished names, and room given back.
//!
//! Always: a sync that failed is told once and its pieces are forgotten; it is never made good by asking again, for the
//! kernel has dropped what it could not write and calls the rest clean.

use super::{Book, Dirty, Home, PART_STORE, Seen, SpillPlace, Storage};
use crate::disk::step::{Step, step};
use crate::disk::trouble::fault;
use crate::state::{FileMark, ResumeUpdate};
use os::fs::{Access, File, Stat};
use proto::{DiskError, DiskErrorKind, ResumeRecord};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use wire::{FileIndex, PieceIndex};

impl Storage {
    /// Makes durable what was written and spilled so far, and gives finished files their names. What the user should know of
    /// those names is returned.
    pub(crate) fn sync(&self) -> Result<Vec<Arc<str>>, DiskError> {
        let Dirty { files, dirs, pieces, whole, mut failed } = std::mem::take(&mut self.book().dirty);
        let mut seen = Vec::new();
        for (file, handle) in files {
            match self.sync_file(file, &handle) {
                Ok(as_seen) => seen.push((file, as_seen)),
                Err(error) => _ = failed.get_or_insert(error),
            }
        }
        for dir in dirs {
            if let Err(error) = self.sync_dir(&dir) {
                failed.get_or_insert(error);
            }
        }
        let mut book = self.book();
        match failed {
            Some(error) => {
                // What was written meanwhile went to the same files: it is as doubtful.
                let since = std::mem::take(&mut book.dirty.pieces);
                for piece in pieces.into_iter().chain(since) {
                    book.written.remove(piece);
                }
                Err(error)
            }
            None => {
                book.seen.extend(seen);
                let mut warnings = self.settle_pieces(&mut book, &pieces);
                warnings.extend(self.finish(&mut book, &whole));
                Ok(warnings)
            }
        }
    }

    /// What a check found: good pieces are in place, bad ones are not. Ends with a sync, because good bytes may still be in
    /// the kernel's memory only, if another process wrote them a moment ago.
    pub(crate) fn checked(
        &self,
        good: &[PieceIndex],
        bad: &[PieceIndex],
    ) -> Result<Vec<Arc<str>>, DiskError> {
        let layout = &self.spec.metainfo.layout;
        {
            let mut book = self.book();
            // Files that were whole may be written to again.
            book.settled |= !bad.is_empty();
            for &piece in bad {
                book.written.remove(piece);
                if book.durable.remove(piece) {
                    layout.files_of(piece).for_each(|file| book.files[file.as_usize()].missing += 1);
                }
            }
            for &piece in good.iter().filter(|&&piece| !book.durable.has(piece)).collect::<Vec<_>>() {
                book.written.insert(piece);
                book.dirty.pieces.push(piece);
            }
            let files: BTreeSet<_> = good.iter().flat_map(|&piece| layout.files_of(piece)).collect();
            for file in files {
                if book.files[file.as_usize()].home != Home::Absent {
                    let handle = self.open_file(&book, file, Access::Read)?;
                    self.touch(&mut book, file, handle);
                } else if book.has_store && !layout.extent(file).pad {
                    let store = self.open_store(&mut book, Access::Read)?;
                    self.touch(&mut book, PART_STORE, store);
                }
            }
        }
        self.sync()
    }

    /// What a commit of this record has to say.
    pub(crate) fn update(&self, record: &ResumeRecord) -> ResumeUpdate {
        let mut book = self.book();
        // A piece that was written since may still be named by its spilled blocks: those lie in the store until a record has
        // the piece whole, and in place they may not have been synced.
        let in_store = |piece: &PieceIndex| match book.spills.get(piece) {
            Some(place) => *place == SpillPlace::Store,
            None => book.outlived.contains(piece),
        };
        let stored = record.open.iter().map(|open| open.piece).filter(in_store).collect();
        let seen = std::mem::take(&mut book.seen);
        let files = seen.into_iter().map(|(file, seen)| self.mark(&book, file, seen)).collect();
        ResumeUpdate {
            info_hash: self.spec.metainfo.info_hash,
            record: record.clone(),
            volume: self.volume,
            stored,
            files,
        }
    }

    /// The commit of this update is durable: room that only earlier records needed is given back.
    pub(crate) fn committed(&self, update: &ResumeUpdate) {
        let layout = &self.spec.metainfo.layout;
        let mut book = self.book();
        let open: BTreeSet<_> = update.record.open.iter().map(|open| open.piece).collect();
        let outlived = std::mem::take(&mut book.outlived);
        let (kept, gone): (Vec<_>, Vec<_>) =
            outlived.into_iter().partition(|piece| open.contains(piece) || book.spills.contains_key(piece));
        book.outlived = kept;
        if gone.is_empty() || !book.has_store {
            return;
        }
        // A store that cannot be opened has room to give back to nobody. The lock is kept: a spill must not come between.
        let Ok(store) = self.open_store(&mut book, Access::Write) else { return };
        for slice in gone.into_iter().flat_map(|piece| layout.slices_of_piece(piece)) {
            if book.files[slice.file.as_usize()].home != Home::Absent {
                let at = layout.extent(slice.file).offset + slice.offset;
                // File systems that cannot do this keep the room until the store is removed.
                let _ = store.punch_hole(at, slice.len);
            }
        }
    }

    /// The commit of this update failed: its marks are still to be remembered.
    pub(crate) fn not_committed(&self, update: &ResumeUpdate) {
        let mut book = self.book();
        for mark in &update.files {
            let seen = Seen { size: mark.size, mtime: mark.mtime, inode: mark.inode };
            book.seen.entry(FileIndex(mark.file)).or_insert(seen);
        }
    }

    /// Nothing more will be asked: makes durable what is not, remembers how the files are left, so that a change made by
    /// others is seen next time, and removes a part store that holds nothing of use.
    pub(crate) fn close(&self) -> Result<Vec<Arc<str>>, DiskError> {
        let warnings = self.sync();
        let mut book = self.book();
        self.remove_idle_store(&mut book);
        if warnings.is_ok() {
            let marks = self.final_marks(&book);
            let remembered = self.state.set_marks(self.spec.metainfo.info_hash, &marks);
            remembered.map_err(|error| fault(DiskErrorKind::Io, error.to_string()))?;
        }
        drop(book);
        self.handles.forget(self.number);
        warnings
    }

    /// Says durably, before the first write after a quiet time, that files are being written to.
    pub(super) fn unsettle(&self) -> Result<(), DiskError> {
        let mut book = self.book();
        if book.settled {
            let said = step(Step::Write).map_err(|error| error.to_string()).and_then(|()| {
                self.state.unsettle(self.spec.metainfo.info_hash).map_err(|error| error.to_string())
            });
            said.map_err(|error| fault(DiskErrorKind::Io, error))?;
            book.settled = false;
        }
        Ok(())
    }

    /// Syncs one file; says what it looked like. The size is taken before: what is appended meanwhile is not covered.
    pub(super) fn sync_file(&self, file: FileIndex, handle: &File) -> Result<Seen, DiskError> {
        let synced = (|| {
            let size = handle.stat()?.size;
            step(Step::Sync)?;
            handle.sync_data()?;
            let stat = handle.stat()?;
            if self.is_range(file) {
                self.stat_range(file, stat.inode)?;
            }
            Ok::<_, io::Error>(Seen { size, mtime: clamp(stat.mtime), inode: stat.inode })
        })();
        synced.map_err(|error| {
            // So that a check reads what the device has, not what the kernel wishes it had written.
            let _ = handle.forget_cached();
            self.trouble_of(&error, "syncing", file)
        })
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let synced = step(Step::Sync).and_then(|()| self.root.dir(path)).and_then(|dir| dir.sync());
        synced.map_err(|error| self.trouble_at(&error, "syncing", path))
    }

    /// These pieces are durable. Files that are complete now get their names.
    pub(super) fn settle_pieces(&self, book: &mut Book, pieces: &[PieceIndex]) -> Vec<Arc<str>> {
        let layout = &self.spec.metainfo.layout;
        let mut finished = Vec::new();
        for &piece in pieces {
            if !book.written.has(piece) || !book.durable.insert(piece) {
                continue;
            }
            for file in layout.files_of(piece) {
                let entry = &mut book.files[file.as_usize()];
                entry.missing = entry.missing.saturating_sub(1);
                if entry.missing == 0 && entry.home == Home::Unfinished {
                    finished.push(file);
                }
            }
        }
        self.finish(book, &finished)
    }

    /// Gives finished files their names. One that cannot have it keeps its bytes and its suffix: the torrent goes on.
    pub(super) fn finish(&self, book: &mut Book, files: &[FileIndex]) -> Vec<Arc<str>> {
        let mut warnings = Vec::new();
        let mut dirs = BTreeSet::new();
        // Of a file that has other torrents' ranges too, nobody here knows whether they are whole.
        for &file in files.iter().filter(|&&file| !self.is_range(file)) {
            let (from, to) = (self.path_of(file, Home::Unfinished), self.path_of(file, Home::Finished));
            let renamed = step(Step::Rename).and_then(|()| self.root.rename_without_replacing(&from, &to));
            match renamed {
                Ok(()) => {
                    book.files[file.as_usize()].home = Home::Finished;
                    dirs.extend(to.parent().map(ToOwned::to_owned));
                }
                Err(error) => {
                    let (from, to) = (self.show(&from), self.show(&to));
                    warnings.push(
                        format!("{from} is complete but cannot be renamed to {to}: {error}; move what is in the way").into(),
                    );
                }
            }
        }
        // The next sync covers the new names; until then a crash leaves the old one, and both are looked for.
        book.dirty.dirs.extend(dirs);
        warnings
    }

    fn remove_idle_store(&self, book: &mut Book) {
        let layout = &self.spec.metainfo.layout;
        let in_use = book.spills.values().any(|&place| place == SpillPlace::Store)
            || book
                .written
                .iter()
                .flat_map(|piece| layout.files_of(piece))
                .any(|file| book.files[file.as_usize()].home == Home::Absent && !layout.extent(file).pad);
        if book.has_store && !in_use {
            let path = self.path_of(PART_STORE, Home::Finished);
            // If it cannot be removed it stays, hidden and harmless.
            let removed = step(Step::Rename).and_then(|()| self.root.remove_file(&path));
            book.has_store = removed.is_err();
        }
    }

    /// What is remembered of a file. One that others write to beside us is not settled: it may be longer and younger next time.
    fn mark(&self, book: &Book, file: FileIndex, seen: Seen) -> FileMark {
        let Seen { size, mtime, inode } = seen;
        let entry = book.files.get(file.as_usize());
        FileMark {
            file: file.0,
            size,
            mtime,
            inode,
            adopted: entry.map_or(0, |entry| entry.adopted),
            settled: entry.is_some_and(|entry| entry.missing == 0) && !self.is_range(file),
        }
    }

    fn final_marks(&self, book: &Book) -> Vec<FileMark> {
        let present = (0..).map(FileIndex).zip(&book.files).filter(|(_, entry)| entry.home != Home::Absent);
        let marks = present.filter_map(|(file, entry)| {
            let home = if self.is_range(file) { Home::Finished } else { entry.home };
            let stat = self.root.stat(&self.path_of(file, home)).ok();
            // Who gave a file of many its name has seen that all of it is durable. Of one without it, what was synced stays true
            // whatever others do; what they have not synced yet does not count.
            let done = |stat: &Stat| entry.missing == 0 && stat.inode == entry.inode;
            if self.is_range(file) && !stat.as_ref().is_some_and(done) {
                return book.seen.get(&file).map(|&seen| self.mark(book, file, seen));
            }
            let stat = stat?;
            let seen = Seen { size: stat.size, mtime: clamp(stat.mtime), inode: stat.inode };
            Some(FileMark { settled: true, ..self.mark(book, file, seen) })
        });
        marks.collect()
    }
}

/// Nanoseconds since 1970 as the store keeps them: until the year 2262.
pub(super) fn clamp(mtime: i128) -> i64 {
    i64::try_from(mtime).unwrap_or(if mtime < 0 { i64::MIN } else { i64::MAX })
}
