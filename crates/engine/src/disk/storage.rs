//! One torrent's bytes on disk: which file, or the part store, holds which range, and what may be written where.
//!
//! Knows no peer and schedules nothing; calls block. Shared by all disk threads: the book is locked for moments, never while
//! bytes move, but for a look of at most 512 KiB into a file that others made, once for each (`ranges`).
//! Always:
//! * nothing is created, read or written outside the root, and no link below it is followed;
//! * an unwanted file is never created: its share of wanted pieces lies in the part store, at the content's own offsets in a
//!   sparse file, so there is no index that a crash could tear;
//! * bytes that were there before us are overwritten by verified pieces only, and no file is ever truncated;
//! * a file loses its `.part` only when all its pieces are durable, and never takes a name that is in use;
//! * of a file in which the torrent has a range, and others have the rest, all this holds for the range (`ranges`); it loses its
//!   `.part` by others' hands.
//!
//! BEP: 3, 47

mod durable;
mod open;
mod ranges;
mod sample;
mod transfer;

#[cfg(test)]
mod tests;

pub(crate) use transfer::{CHUNK_LEN, digests_in_memory, hash_piece};

use super::handles::{HandleKey, Handles};
use super::names;
use super::spec::{Allocation, StorageSpec, WantedFiles};
use super::step::{Step, step};
use super::trouble::{fault, trouble};
use crate::state::{State, VolumeMark};
use os::fs::{Access, Dir, File};
use proto::{DiskError, DiskErrorKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::layout::FileSlice;
use wire::{Bitfield, FileIndex, PieceIndex};

/// The part store's number where files have theirs. No file has it: a torrent has at most 10^6.
const PART_STORE: FileIndex = FileIndex(u32::MAX);

/// Files written to since the last sync, whose handles must stay open so that no failed write-back goes unseen. One more,
/// and the oldest is synced on the spot.
const DIRTY_FILES_MAX: usize = 128;

/// One torrent's files.
pub(crate) struct Storage {
    spec: Arc<StorageSpec>,
    root: Dir,
    volume: VolumeMark,
    handles: Arc<Handles>,
    state: Arc<State>,
    /// Names this storage among the handles.
    number: u64,
    book: Mutex<Book>,
}

/// What is known of the files right now.
struct Book {
    wanted: WantedFiles,
    files: Vec<FileEntry>,
    /// The part store exists.
    has_store: bool,
    /// Pieces whose verified bytes are in place.
    written: Bitfield,
    /// Of those, the ones that a sync has covered.
    durable: Bitfield,
    /// Where the spilled blocks of unfinished pieces lie.
    spills: BTreeMap<PieceIndex, SpillPlace>,
    /// Pieces whose bytes in the part store are of no more use once the next commit says so.
    outlived: Vec<PieceIndex>,
    dirty: Dirty,
    /// What files looked like when they were synced; the next commit remembers it.
    seen: BTreeMap<FileIndex, Seen>,
    /// The store may hold a file to its exact size and time: it must hear of it before the next write.
    settled: bool,
}

/// What waits for a sync.
#[derive(Default)]
struct Dirty {
    files: BTreeMap<FileIndex, Arc<File>>,
    /// Directories that gained an entry, by path below the root.
    dirs: BTreeSet<PathBuf>,
    pieces: Vec<PieceIndex>,
    /// Files that lack nothing but this sync and their names.
    whole: Vec<FileIndex>,
    /// A sync that had to be made in between failed.
    failed: Option<DiskError>,
}

/// One file as it stands.
#[derive(Clone, Copy, Debug)]
struct FileEntry {
    home: Home,
    /// The first so many bytes, of the range if it is one, were there before us.
    adopted: u64,
    /// Pieces of it that are not durable.
    missing: u32,
    /// Its inode, if the torrent has a range of it and it is there; else 0.
    inode: u64,
}

impl FileEntry {
    /// A file of which nothing is there.
    const ABSENT: FileEntry = FileEntry { home: Home::Absent, adopted: 0, missing: 0, inode: 0 };
}

/// What a sync saw of a file.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Bytes that were durable then; more may have come since.
    size: u64,
    mtime: i64,
    inode: u64,
}

/// Under which name a file exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    /// Under none.
    Absent,
    /// With the suffix.
    Unfinished,
    /// Under its own.
    Finished,
}

/// Where the spilled blocks of a piece lie. All of one piece lie in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SpillPlace {
    /// Where the verified piece will be.
    InPlace,
    /// In the part store, at the content's offsets.
    Store,
}

/// Where a part of a piece goes.
#[derive(Clone, Debug)]
enum Target {
    /// This open file, at this offset.
    File { file: FileIndex, handle: Arc<File>, offset: u64 },
    /// Padding: zeros that are nowhere.
    Pad,
}

impl Storage {
    /// What it was opened with.
    pub(crate) fn spec(&self) -> &StorageSpec {
        &self.spec
    }

    /// Lets files be created from now on, or no longer. What a newly wanted file's first and last piece left in the part
    /// store is moved into it. Nothing else may run on this storage meanwhile.
    pub(crate) fn want(&self, wanted: WantedFiles) -> Result<(), DiskError> {
        let mut book = self.book();
        book.wanted = wanted;
        let layout = &self.spec.metainfo.layout;
        for file in layout.file_indices() {
            let entry = book.files[file.as_usize()];
            if entry.home != Home::Absent || !book.wanted.has(file) || self.never_on_disk(file) {
                continue;
            }
            let pieces = layout.pieces_of(file);
            let held =
                (pieces.start.0..pieces.end.0).map(PieceIndex).filter(|&piece| book.written.has(piece));
            let held: Vec<_> = held.collect();
            let empty = layout.extent(file).len == 0;
            if empty || !held.is_empty() || self.spec.allocation == Allocation::Full {
                self.create(&mut book, file)?;
                self.move_from_store(&mut book, file, &held)?;
                if book.files[file.as_usize()].missing == 0 && !empty {
                    book.dirty.whole.push(file);
                }
            }
        }
        Ok(())
    }

    fn move_from_store(
        &self,
        book: &mut Book,
        file: FileIndex,
        held: &[PieceIndex],
    ) -> Result<(), DiskError> {
        if held.is_empty() || !book.has_store {
            return Ok(());
        }
        let layout = &self.spec.metainfo.layout;
        let store = self.open_store(book, Access::Read)?;
        let to = self.open_file(book, file, Access::Write)?;
        let (_, begin) = self.spec.whole_and_offset(file);
        let mut buffer = vec![0; CHUNK_LEN];
        for &piece in held {
            for slice in layout.slices_of_piece(piece).filter(|slice| slice.file == file) {
                let (mut at, end) = (slice.offset, slice.offset + slice.len);
                while at < end {
                    let chunk = &mut buffer[..(end - at).min(CHUNK_LEN as u64) as usize];
                    let from = layout.extent(file).offset + at;
                    let read = store.read_exact_at(chunk, from);
                    read.map_err(|error| self.trouble_of(&error, "reading", PART_STORE))?;
                    let written = step(Step::Write).and_then(|()| to.write_all_at(chunk, begin + at));
                    written.map_err(|error| self.trouble_of(&error, "writing", file))?;
                    at += chunk.len() as u64;
                }
            }
            book.outlived.push(piece);
        }
        self.touch(book, file, to);
        Ok(())
    }

    /// Where a slice of the content goes, or comes from. `Absent` files are created if they are wanted and we write.
    fn target(&self, book: &mut Book, slice: FileSlice, access: Access) -> Result<Target, DiskError> {
        let (file, layout) = (slice.file, &self.spec.metainfo.layout);
        if layout.extent(file).pad {
            return Ok(Target::Pad);
        }
        let absent = book.files[file.as_usize()].home == Home::Absent;
        if absent && access == Access::Write && book.wanted.has(file) && !self.never_on_disk(file) {
            self.create(book, file)?;
        } else if absent {
            let handle = self.open_store(book, access)?;
            let offset = layout.extent(file).offset + slice.offset;
            return Ok(Target::File { file: PART_STORE, handle, offset });
        }
        let handle = self.open_file(book, file, access)?;
        let (_, begin) = self.spec.whole_and_offset(file);
        Ok(Target::File { file, handle, offset: begin + slice.offset })
    }

    /// Makes a file that is absent: with the suffix, or under its own name if it is empty.
    fn create(&self, book: &mut Book, file: FileIndex) -> Result<(), DiskError> {
        let len = self.spec.metainfo.layout.extent(file).len;
        let home = if len == 0 { Home::Finished } else { Home::Unfinished };
        let path = self.path_of(file, home);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => fault(
                DiskErrorKind::Changed,
                format!(
                    "creating {}: it appeared after we had looked; check the torrent again",
                    self.show(&path)
                ),
            ),
            _ => self.trouble_at(&error, "creating", &path),
        };
        self.make_dirs_of(book, &path).map_err(failed)?;
        let made = step(Step::Create).and_then(|()| self.root.file(&path, Access::Create));
        let handle = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_range(file) => {
                self.join(book, file, &path)?
            }
            made => {
                let handle = Arc::new(made.map_err(failed)?);
                let inode = if self.is_range(file) { handle.stat().map_err(failed)?.inode } else { 0 };
                let entry = &mut book.files[file.as_usize()];
                (entry.home, entry.adopted, entry.inode) = (home, 0, inode);
                handle
            }
        };
        if self.spec.allocation == Allocation::Full && len > 0 {
            let (whole, _) = self.spec.whole_and_offset(file);
            match step(Step::Write).and_then(|()| handle.allocate(whole)) {
                // Where room cannot be set aside, the file grows as it is written: nothing else is possible.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                made => made.map_err(|error| self.trouble_at(&error, "making room for", &path))?,
            }
        }
        self.touch(book, file, handle);
        Ok(())
    }

    fn make_dirs_of(&self, book: &mut Book, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        step(Step::Create)?;
        self.root.make_dirs(parent)?;
        // Those that were there may be another torrent's, which has not synced them yet: then its crash would take our files with it.
        book.dirty.dirs.extend(parent.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn open_file(&self, book: &Book, file: FileIndex, access: Access) -> Result<Arc<File>, DiskError> {
        let entry = book.files[file.as_usize()];
        let path = self.path_of(file, entry.home);
        self.open_handle(file, &path, access, || match self.is_range(file) {
            true => self.open_range(file, entry, access),
            false => self.root.file(&path, access),
        })
    }

    fn open_store(&self, book: &mut Book, access: Access) -> Result<Arc<File>, DiskError> {
        let path = self.path_of(PART_STORE, Home::Finished);
        if !book.has_store && access == Access::Write {
            // One that lies there already is of a run that crashed before it could say so: its name is nobody else's.
            match step(Step::Create).and_then(|()| self.root.file(&path, Access::Create)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => drop(made.map_err(|error| self.trouble_at(&error, "creating", &path))?),
            }
            book.has_store = true;
            book.dirty.dirs.insert(PathBuf::new());
        }
        self.open_handle(PART_STORE, &path, access, || self.root.file(&path, access))
    }

    /// A file with a second name is nobody's to write to: under the other name it may lie anywhere, and be anything.
    fn open_handle(
        &self,
        file: FileIndex,
        path: &Path,
        access: Access,
        open: impl FnOnce() -> io::Result<File>,
    ) -> Result<Arc<File>, DiskError> {
        let key = HandleKey { storage: self.number, file: file.0, writes: access == Access::Write };
        let mut shared = false;
        let handle = self.handles.get(key, || {
            let opened = open()?;
            shared = access == Access::Write && opened.stat()?.links > 1;
            if shared { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(opened) }
        });
        handle.map_err(|error| match shared {
            true => fault(
                DiskErrorKind::Denied,
                format!(
                    "{} has another name elsewhere (a hard link), so that writing here would change it there too: put a copy in its place",
                    self.show(path)
                ),
            ),
            false => self.trouble_at(&error, "opening", path),
        })
    }

    /// Remembers that a file has bytes that are not on stable storage. Said after they were written: a sync that runs at
    /// the same time may have missed them.
    fn touch(&self, book: &mut Book, file: FileIndex, handle: Arc<File>) {
        book.dirty.files.entry(file).or_insert(handle);
        if book.dirty.files.len() > DIRTY_FILES_MAX
            && let Some((oldest, handle)) = book.dirty.files.pop_first()
        {
            match self.sync_file(oldest, &handle) {
                Ok(seen) => _ = book.seen.insert(oldest, seen),
                Err(error) => _ = book.dirty.failed.get_or_insert(error),
            }
        }
    }

    /// Whether a file's bytes can only lie in the part store: a symbolic link of the torrent's, which we do not make.
    fn never_on_disk(&self, file: FileIndex) -> bool {
        self.spec.metainfo.path(file).is_none()
    }

    fn path_of(&self, file: FileIndex, home: Home) -> PathBuf {
        let path = match home {
            _ if file == PART_STORE => Some(names::part_store(self.spec.metainfo.info_hash)),
            Home::Finished => self.spec.finished(file),
            Home::Unfinished | Home::Absent => self.spec.unfinished(file),
        };
        // Files without a name are sorted out before anyone asks for their path.
        path.unwrap_or_default()
    }

    fn show(&self, path: &Path) -> String {
        self.spec.root.join(path).display().to_string()
    }

    fn trouble_of(&self, error: &io::Error, doing: &str, file: FileIndex) -> DiskError {
        self.trouble_at(error, doing, &self.path_of(file, Home::Finished))
    }

    /// A fault at a path below the root. If the root itself is no longer there, that is what the user must hear.
    fn trouble_at(&self, error: &io::Error, doing: &str, path: &Path) -> DiskError {
        let found = trouble(error, doing, &self.spec.root.join(path));
        match found.kind {
            DiskErrorKind::Changed | DiskErrorKind::Io => match open::identity(&self.spec.root) {
                Ok(volume) if volume == self.volume => found,
                Ok(_) | Err(_) => open::vanished(&self.spec.root),
            },
            DiskErrorKind::Full
            | DiskErrorKind::ReadOnly
            | DiskErrorKind::Denied
            | DiskErrorKind::Vanished
            | DiskErrorKind::TooManyOpen
            | DiskErrorKind::Unsupported => found,
        }
    }

    /// A panic elsewhere cannot leave the book half-changed in a way that matters: what it says of bytes is said after they
    /// moved.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Storage {
    /// Whatever ended it, and be it that opening it failed: no file stays open, so that its drive can be unmounted.
    fn drop(&mut self) {
        self.handles.forget(self.number);
    }
}

/// Numbers storages, and what is lent, for the handles.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
