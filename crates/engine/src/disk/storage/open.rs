//! Looks at what lies on disk and compares it with what an earlier run remembered: sizes, times, inodes, and a few pieces
//! read back (`sample`).
//!
//! Always: looking changes nothing. Opening makes the root of a torrent that never had one, gives complete files their names,
//! and does what `want` does. A root that is gone, or another volume in its place, is `Vanished`, never "nothing here".

use super::durable::clamp;
use super::ranges;
use super::{Book, Dirty, FileEntry, Home, PART_STORE, SpillPlace, Storage, next_number};
use crate::disk::handles::Handles;
use crate::disk::names;
use crate::disk::spec::{StorageSpec, WantedFiles};
use crate::disk::step::{Step, step};
use crate::disk::trouble::{fault, trouble};
use crate::state::{FileMark, State, StoredResume, VolumeMark};
use os::fs::{Access, Data, Dir, Kind, Stat};
use proto::input::Found;
use proto::{DiskError, DiskErrorKind};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use wire::{Bitfield, FileIndex, PieceIndex};

/// A storage, and what was found in it.
pub(crate) struct Opened {
    /// The storage, ready.
    pub(crate) storage: Storage,
    /// Compared with the resume record.
    pub(crate) found: Found,
    /// What the user should know.
    pub(crate) warnings: Vec<Arc<str>>,
}

/// What lies under a file's names.
#[derive(Clone, Copy, Debug)]
struct Present {
    home: Home,
    stat: Stat,
    /// It lies under both names: whoever gave it its own was stopped before he took the other away.
    twice: bool,
}

impl Storage {
    /// Opens a torrent's storage.
    pub(crate) fn open(
        spec: Arc<StorageSpec>,
        resume: Option<&StoredResume>,
        wanted: WantedFiles,
        handles: Arc<Handles>,
        state: Arc<State>,
    ) -> Result<Opened, DiskError> {
        let look = Look { root: open_root(&spec, resume)?, spec: &spec };
        let volume = volume_of(&look.root).map_err(|error| trouble(&error, "looking at", &spec.root))?;
        let present = look.at_files(resume)?;
        let store = look.at(&names::part_store(spec.metainfo.info_hash))?;
        if let Some(resume) = resume {
            let nothing = present.iter().all(Option::is_none);
            if nothing && resume.volume != volume && !resume.files.is_empty() {
                return Err(vanished(&spec.root));
            }
        }
        let (files, unvouched) = look.compare(&present, resume)?;
        let mut doubtful = look.doubtful(&files, &unvouched, resume, store);
        let mut written =
            resume.map_or_else(|| Bitfield::new(doubtful.len()), |resume| resume.record.have.clone());
        doubtful.iter().for_each(|piece| _ = written.remove(piece));
        let book = Book {
            wanted: wanted.clone(),
            files,
            has_store: store.is_some(),
            durable: Bitfield::new(doubtful.len()),
            spills: spills(resume),
            outlived: Vec::new(),
            dirty: Dirty::default(),
            seen: BTreeMap::new(),
            settled: resume.is_some_and(|resume| resume.files.iter().any(|mark| mark.settled)),
            written: written.clone(),
        };
        let twice = |(file, present): (u32, Option<Present>)| present?.twice.then_some(FileIndex(file));
        let twice: Vec<_> = (0..).zip(present).filter_map(twice).collect();
        let root = look.root;
        let storage =
            Storage { root, volume, handles, state, number: next_number(), book: Mutex::new(book), spec };
        storage.drop_second_names(&twice);
        storage.refuted(&written)?.iter().for_each(|piece| _ = doubtful.insert(piece));
        let found = verdict(&doubtful, resume);
        let warnings = storage.settle_what_was_durable();
        storage.note_what_was_found();
        storage.want(wanted)?;
        Ok(Opened { storage, found, warnings })
    }

    /// Takes from files that have their own names the others. If one stays, the file is not written to: see `open_handle`.
    fn drop_second_names(&self, files: &[FileIndex]) {
        let stat = |file, home| self.root.stat(&self.path_of(file, home));
        for &file in files {
            let (whole, part) = (stat(file, Home::Finished), stat(file, Home::Unfinished));
            if let (Ok(whole), Ok(part)) = (whole, part)
                && (whole.device, whole.inode) == (part.device, part.inode)
                && whole.links > 1
            {
                let removed = step(Step::Rename)
                    .and_then(|()| self.root.remove_file(&self.path_of(file, Home::Unfinished)));
                if let Err(error) = removed {
                    tracing::warn!(root = %self.spec.root.display(), %file, %error, "has two names");
                }
            }
        }
    }

    /// Files that others may have made, and to which we shall write.
    fn note_what_was_found(&self) {
        let mut book = self.book();
        for place in &self.spec.places {
            let entry = book.files[place.file.as_usize()];
            if entry.home != Home::Absent && entry.missing > 0 {
                self.note_found(&mut book, &self.path_of(place.file, entry.home));
            }
        }
    }

    /// Counts what each file still lacks; one that lacks nothing but its name gets it.
    fn settle_what_was_durable(&self) -> Vec<Arc<str>> {
        let layout = &self.spec.metainfo.layout;
        let mut book = self.book();
        for file in layout.file_indices() {
            let pieces = layout.pieces_of(file);
            book.files[file.as_usize()].missing = pieces.end.0 - pieces.start.0;
        }
        let durable: Vec<_> = book.written.iter().collect();
        self.settle_pieces(&mut book, &durable)
    }
}

/// The volume and directory at a path.
pub(super) fn identity(root: &Path) -> io::Result<VolumeMark> {
    volume_of(&Dir::open(root)?)
}

/// The fault of a root that is not there.
pub(super) fn vanished(root: &Path) -> DiskError {
    let root = root.display();
    fault(
        DiskErrorKind::Vanished,
        format!(
            "{root} is not there, or another volume is mounted in its place; connect or mount the drive again: nothing is checked or fetched anew"
        ),
    )
}

fn volume_of(root: &Dir) -> io::Result<VolumeMark> {
    Ok(VolumeMark { fsid: root.volume()?.fsid, root_inode: root.stat_self()?.inode })
}

fn open_root(spec: &StorageSpec, resume: Option<&StoredResume>) -> Result<Dir, DiskError> {
    let used_before = resume.is_some_and(|resume| !resume.files.is_empty());
    match Dir::open(&spec.root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && used_before => Err(vanished(&spec.root)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = std::fs::create_dir_all(&spec.root).and_then(|()| Dir::open(&spec.root));
            made.map_err(|error| trouble(&error, "creating", &spec.root))
        }
        opened => opened.map_err(|error| trouble(&error, "opening", &spec.root)),
    }
}

fn spills(resume: Option<&StoredResume>) -> BTreeMap<PieceIndex, SpillPlace> {
    let Some(resume) = resume else { return BTreeMap::new() };
    let place = |piece| match resume.stored.contains(&piece) {
        true => SpillPlace::Store,
        false => SpillPlace::InPlace,
    };
    resume.record.open.iter().map(|open| (open.piece, place(open.piece))).collect()
}

fn verdict(doubtful: &Bitfield, resume: Option<&StoredResume>) -> Found {
    let record = resume.map(|resume| &resume.record);
    if !doubtful.is_empty() {
        Found::Doubtful(doubtful.clone())
    } else if record.is_some_and(|record| !record.have.is_empty() || !record.open.is_empty()) {
        Found::AsRecorded
    } else {
        Found::Nothing
    }
}

/// One look at a root.
struct Look<'s> {
    spec: &'s StorageSpec,
    root: Dir,
}

impl Look<'_> {
    /// What lies under each file's names. Directories are opened once for all neighbours in them.
    fn at_files(&self, resume: Option<&StoredResume>) -> Result<Vec<Option<Present>>, DiskError> {
        let marks = marks_of(resume);
        let layout = &self.spec.metainfo.layout;
        let mut open: Option<(PathBuf, Option<Dir>)> = None;
        let mut present = Vec::with_capacity(layout.files() as usize);
        for file in layout.file_indices() {
            let Some(path) = self.spec.finished(file) else {
                present.push(None);
                continue;
            };
            let parent = path.parent().unwrap_or(Path::new(""));
            if open.as_ref().is_none_or(|(at, _)| at != parent) {
                open = Some((parent.to_owned(), self.dir(parent)?));
            }
            let Some((_, Some(dir))) = &open else {
                present.push(None);
                continue;
            };
            // First the name that may be given up for the other at any time: looking the other way round could miss both.
            let unfinished = self.spec.unfinished(file).unwrap_or_default();
            let unfinished = self.stat_in(dir, &unfinished)?;
            let finished = self.stat_in(dir, &path)?;
            // Of a range others may have the rest under the unfinished name already: a whole file beside that is a stranger's.
            let len = self.spec.place(file).is_none().then(|| self.spec.metainfo.layout.extent(file).len);
            present.push(choose(finished, unfinished, marks.get(&file.0).copied(), len));
        }
        Ok(present)
    }

    fn dir(&self, path: &Path) -> Result<Option<Dir>, DiskError> {
        match self.root.dir(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble(&error, "opening", &self.spec.root.join(path))),
        }
    }

    fn stat_in(&self, dir: &Dir, path: &Path) -> Result<Option<Stat>, DiskError> {
        let name = Path::new(path.file_name().unwrap_or_default());
        let stat = match dir.stat(name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(trouble(&error, "looking at", &self.spec.root.join(path))),
        };
        let what = match stat.kind {
            Kind::File => return Ok(Some(stat)),
            Kind::Directory => "a directory",
            Kind::Link => "a symbolic link, which is not followed,",
            Kind::Other => "a pipe, socket or device",
        };
        let path = self.spec.root.join(path);
        let detail =
            format!("{what} is in the way of {}: move it away, or choose another directory", path.display());
        Err(fault(DiskErrorKind::Denied, detail))
    }

    fn at(&self, path: &Path) -> Result<Option<Stat>, DiskError> {
        self.stat_in(&self.root, path)
    }

    /// The files as they stand, and which of them hold data that no mark vouches for.
    fn compare(
        &self,
        present: &[Option<Present>],
        resume: Option<&StoredResume>,
    ) -> Result<(Vec<FileEntry>, Vec<bool>), DiskError> {
        let marks = marks_of(resume);
        let layout = &self.spec.metainfo.layout;
        let mut entries = Vec::with_capacity(present.len());
        let mut unvouched = Vec::with_capacity(present.len());
        for (file, present) in layout.file_indices().zip(present) {
            let mark = marks.get(&file.0).copied();
            let Some(Present { home, stat, .. }) = *present else {
                entries.push(FileEntry::ABSENT);
                unvouched.push(mark.is_some_and(|mark| mark.size > 0));
                continue;
            };
            let (whole, begin) = self.spec.whole_and_offset(file);
            if stat.size > whole {
                return Err(self.too_long(file, home, stat.size, whole));
            }
            let is_range = self.spec.place(file).is_some();
            let vouched = mark.is_some_and(|mark| fits(mark, &stat));
            let end = stat.size.min(begin + layout.extent(file).len);
            let blank = !vouched && self.is_blank(file, home, begin..end.max(begin));
            unvouched.push(!vouched && (!blank || mark.is_some_and(|mark| mark.size > 0)));
            // Others made it: what we have, if anything, lies in the part store.
            if is_range && blank {
                entries.push(FileEntry::ABSENT);
                continue;
            }
            let adopted = match mark {
                Some(mark) if vouched => mark.adopted,
                _ if blank => 0,
                Some(_) | None => end.saturating_sub(begin),
            };
            let inode = if is_range { stat.inode } else { 0 };
            entries.push(FileEntry { home, adopted, missing: 0, inode });
        }
        Ok((entries, unvouched))
    }

    /// Nothing in it, or in our range of it, but room: what a crash right after we made it leaves, and nothing that anybody could
    /// miss.
    fn is_blank(&self, file: FileIndex, home: Home, ours: Range<u64>) -> bool {
        let path = match home {
            Home::Finished => self.spec.finished(file),
            Home::Unfinished | Home::Absent => self.spec.unfinished(file),
        };
        let open = || self.root.file(&path.unwrap_or_default(), Access::Read);
        match self.spec.place(file) {
            Some(_) => open().and_then(|file| ranges::is_blank(&file, ours.start, ours.end)).unwrap_or(false),
            None => ours.is_empty() || matches!(open().and_then(|file| file.data_from(0)), Ok(Data::None)),
        }
    }

    fn too_long(&self, file: FileIndex, home: Home, size: u64, len: u64) -> DiskError {
        let path = match home {
            Home::Finished => self.spec.finished(file),
            Home::Unfinished | Home::Absent => self.spec.unfinished(file),
        };
        let path = self.spec.root.join(path.unwrap_or_default());
        let detail = format!(
            "{} has {size} bytes where the torrent's file has {len}: it is another file and is left alone; move it away, or choose another directory",
            path.display()
        );
        fault(DiskErrorKind::Denied, detail)
    }

    /// The pieces that must be hashed before anyone trusts them.
    fn doubtful(
        &self,
        files: &[FileEntry],
        unvouched: &[bool],
        resume: Option<&StoredResume>,
        store: Option<Stat>,
    ) -> Bitfield {
        let layout = &self.spec.metainfo.layout;
        let mut doubtful = Bitfield::new(layout.pieces());
        for (file, _) in layout.file_indices().zip(unvouched).filter(|(_, unvouched)| **unvouched) {
            let pieces = layout.pieces_of(file);
            (pieces.start.0..pieces.end.0).for_each(|piece| _ = doubtful.insert(PieceIndex(piece)));
        }
        let Some(resume) = resume else { return doubtful };
        let marks = marks_of(Some(resume));
        // Bytes of files that do not exist can only be in the part store, if it is the one we left.
        let mark = marks.get(&PART_STORE.0);
        let has_store = mark.zip(store.as_ref()).is_some_and(|(mark, stat)| fits(&unsettled(mark), stat));
        if !has_store {
            let elsewhere = |piece: PieceIndex| {
                layout
                    .files_of(piece)
                    .any(|file| files[file.as_usize()].home == Home::Absent && !layout.extent(file).pad)
            };
            let lost = resume.record.have.iter().filter(|&piece| elsewhere(piece));
            lost.chain(resume.stored.iter().copied()).for_each(|piece| _ = doubtful.insert(piece));
        }
        doubtful
    }
}

fn marks_of(resume: Option<&StoredResume>) -> HashMap<u32, &FileMark> {
    resume.map_or_else(HashMap::new, |resume| resume.files.iter().map(|mark| (mark.file, mark)).collect())
}

/// Of two files the one that we remember; else a whole one of the right length, if any is given; else the unfinished one.
fn choose(
    finished: Option<Stat>,
    unfinished: Option<Stat>,
    mark: Option<&FileMark>,
    len: Option<u64>,
) -> Option<Present> {
    let finished = finished.map(|stat| Present { home: Home::Finished, stat, twice: false });
    let unfinished = unfinished.map(|stat| Present { home: Home::Unfinished, stat, twice: false });
    let (Some(whole), Some(part)) = (finished, unfinished) else { return finished.or(unfinished) };
    if whole.stat.inode == part.stat.inode {
        return Some(Present { twice: true, ..whole });
    }
    let known = |present: &Present| mark.is_some_and(|mark| mark.inode == present.stat.inode);
    let whole_first = known(&whole) || (!known(&part) && Some(whole.stat.size) == len);
    Some(if whole_first { whole } else { part })
}

/// Whether a file is as we left it. While it was being written to it may have grown and its time moved on.
fn fits(mark: &FileMark, stat: &Stat) -> bool {
    let exact = mark.size == stat.size && mark.mtime == clamp(stat.mtime);
    mark.inode == stat.inode && if mark.settled { exact } else { stat.size >= mark.size }
}

fn unsettled(mark: &FileMark) -> FileMark {
    FileMark { settled: false, ..*mark }
}
