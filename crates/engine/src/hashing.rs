//! Hashing files outside a session: for making torrents and for verifying what lies on disk. All cores, one pass.
//!
//! Changes nothing on disk. Always: each thread reads one piece at a time through a buffer of 1 MiB, so memory does not grow
//! with the piece length. BEP: 3, 47

use os::fs::{Access, Dir, File, Kind, Stat};
use sha1::{Digest, Sha1};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use wire::layout::{BLOCK_LEN, FileLen, LayoutError};
use wire::{Bitfield, FileIndex, Layout, Metainfo, PieceIndex};

/// How much is read at a time.
const CHUNK_LEN: usize = 1 << 20;

/// A file to be hashed, as the user named it: links are followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes. If it has another length by the time it is read, hashing fails.
    pub len: u64,
}

/// A range of a file to be hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashRange {
    /// Where the file is: absolute, and without a symbolic link in it, for none is followed.
    pub path: PathBuf,
    /// Bytes of the whole file, and its times: as they were when it was listed.
    pub whole: u64,
    /// See `whole`.
    pub times: FileTimes,
    /// Where the range begins.
    pub offset: u64,
    /// Bytes of it.
    pub len: u64,
}

/// The times by which a file is known to be as it was.
///
/// Its inode's number is none of this: FAT and some file systems in user space deal another one when they have forgotten a file, and
/// whatever is put in a file's place was changed at another time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileTimes {
    /// When it was last written to, in nanoseconds since 1970. Whoever may write to it may set this.
    pub modified: i128,
    /// When anything about it last changed, its names included, in nanoseconds since 1970. Nobody can set this.
    pub changed: i128,
}

impl FileTimes {
    /// Those that the system tells.
    pub fn of(found: &std::fs::Metadata) -> FileTimes {
        let nanoseconds = |seconds, beyond| i128::from(seconds) * 1_000_000_000 + i128::from(beyond);
        FileTimes {
            modified: nanoseconds(found.mtime(), found.mtime_nsec()),
            changed: nanoseconds(found.ctime(), found.ctime_nsec()),
        }
    }
}

impl HashRange {
    /// Opens its file, as far as no link is in the way.
    pub(crate) fn open(&self) -> io::Result<File> {
        top()?.file(below_top(&self.path), Access::Read)
    }

    /// What lies where its file was; a link is told as a link.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        top()?.stat(below_top(&self.path))
    }

    /// Whether this is the file that was listed, as far as its length and its times tell.
    pub(crate) fn is_as_it_was(&self, stat: &Stat) -> bool {
        let times = FileTimes { modified: stat.mtime, changed: stat.ctime };
        stat.kind == Kind::File && stat.size == self.whole && times == self.times
    }
}

/// Where all paths begin. Opened for each file anew: a handle for every torrent would be one of the few that a process has.
fn top() -> io::Result<Dir> {
    Dir::open(Path::new("/"))
}

fn below_top(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Why files were not hashed.
#[derive(thiserror::Error, Debug)]
pub enum HashError {
    /// These lengths make no torrent.
    #[error("no torrent can be made of this: {0}")]
    Layout(LayoutError),
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not as it was when it was listed: longer, shorter, or written to since.
    #[error("{path} changed while it was being read: try again when nobody writes to it", path = .path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
}

/// What lies on disk of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Pieces that are whole and right.
    pub good: Bitfield,
    /// Per file of the layout.
    pub files: Vec<FileState>,
}

/// What is under a file's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileState {
    /// All its pieces are right.
    Good,
    /// It is there, and some of its pieces are wrong.
    Damaged,
    /// It has this many bytes, which is not what the torrent says.
    WrongLen(u64),
    /// It is not there.
    Missing,
    /// Padding, which is nowhere.
    Pad,
}

/// SHA-1 of each piece of these files, one behind the other. `progress` is called from several threads with the bytes hashed
/// so far.
///
/// # Errors
/// If there is nothing to hash, or a file cannot be read, or is not as long as it was said to be.
pub fn hash_files(
    files: &[HashFile],
    piece_len: u32,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<[u8; 20]>, HashError> {
    let wanted = |file: FileIndex| {
        let HashFile { path, len } = &files[file.as_usize()];
        Wanted::Named { path, len: *len }
    };
    hash(files.iter().map(|file| file.len), &wanted, piece_len, progress)
}

/// SHA-1 of each piece of these ranges, one behind the other, as of files of a torrent of their own. `progress` is called from
/// several threads with the bytes hashed so far. Afterwards each file is looked at once more, so that what was written to
/// while it was read is noticed.
///
/// # Errors
/// If there is nothing to hash, or a file cannot be read, or is not as it was said to be, before or after.
pub fn hash_ranges(
    ranges: &[HashRange],
    piece_len: u32,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<[u8; 20]>, HashError> {
    let wanted = |file: FileIndex| Wanted::Listed(&ranges[file.as_usize()]);
    let hashes = hash(ranges.iter().map(|range| range.len), &wanted, piece_len, progress)?;
    for file in 0..ranges.len() as u32 {
        wanted(FileIndex(file)).open()?;
    }
    Ok(hashes)
}

/// A file as it must be to be hashed.
enum Wanted<'f> {
    /// As the user named it, of this length.
    Named { path: &'f Path, len: u64 },
    /// As it was listed.
    Listed(&'f HashRange),
}

impl Wanted<'_> {
    fn path(&self) -> &Path {
        match self {
            Wanted::Named { path, .. } => path,
            Wanted::Listed(range) => &range.path,
        }
    }

    /// From where on it is hashed.
    fn offset(&self) -> u64 {
        match self {
            Wanted::Named { .. } => 0,
            Wanted::Listed(range) => range.offset,
        }
    }

    fn open(&self) -> Result<File, HashError> {
        let opened = match self {
            Wanted::Named { path, .. } => {
                std::fs::File::open(path).map(|file| File::from(OwnedFd::from(file)))
            }
            Wanted::Listed(range) => range.open(),
        };
        let found = opened.and_then(|file| Ok((file.stat()?, file)));
        let (stat, file) = found.map_err(|error| HashError::Read { path: self.path().into(), error })?;
        let is_as_it_was = match self {
            Wanted::Named { len, .. } => stat.size == *len,
            Wanted::Listed(range) => range.is_as_it_was(&stat),
        };
        if is_as_it_was { Ok(file) } else { Err(HashError::Changed { path: self.path().into() }) }
    }
}

fn hash<'f>(
    lens: impl Iterator<Item = u64>,
    wanted: &(dyn Fn(FileIndex) -> Wanted<'f> + Sync),
    piece_len: u32,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<[u8; 20]>, HashError> {
    let lens = lens.map(|len| FileLen { len, pad: false });
    let layout = Layout::with_files(lens, piece_len, BLOCK_LEN).map_err(HashError::Layout)?;
    let open = |file: FileIndex| {
        let wanted = wanted(file);
        Ok(Some(Opened { file: wanted.open()?, offset: wanted.offset() }))
    };
    let hashes = Mutex::new(vec![[0; 20]; layout.pieces() as usize]);
    let each = |piece: PieceIndex, hash| {
        let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes[piece.as_usize()] = hash;
    };
    let hashing = Hashing::new(&layout, &open, progress);
    match hashing.run(&each)? {
        None => Ok(hashes.into_inner().unwrap_or_else(PoisonError::into_inner)),
        Some(short) => Err(HashError::Changed { path: wanted(short).path().into() }),
    }
}

/// Compares what lies below a directory with a torrent's hashes. Files that are absent or of the wrong length make their
/// pieces wrong; they are no error. `progress` is called from several threads with the bytes looked at so far.
///
/// # Errors
/// If the directory, or a file that is there, cannot be read.
pub fn verify_files(
    metainfo: &Metainfo,
    root: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verified, HashError> {
    let layout = &metainfo.layout;
    let dir = Dir::open(root).map_err(|error| HashError::Read { path: root.into(), error })?;
    let mut files: Vec<_> = Vec::with_capacity(layout.files() as usize);
    for file in layout.file_indices() {
        files.push(look_at(metainfo, &dir, root, file)?);
    }
    let open = |file: FileIndex| {
        if files[file.as_usize()] != FileState::Good {
            return Ok(None);
        }
        let Some(path) = metainfo.path(file) else { return Ok(None) };
        let opened = dir.file(path.as_ref(), Access::Read);
        opened
            .map(|file| Some(Opened { file, offset: 0 }))
            .map_err(|error| HashError::Read { path: root.join(path), error })
    };
    let good = Mutex::new(Bitfield::new(layout.pieces()));
    let each = |piece, hash| {
        if metainfo.piece_hash(piece) == hash {
            good.lock().unwrap_or_else(PoisonError::into_inner).insert(piece);
        }
    };
    // A file that shrinks while it is read has wrong pieces, and no more need be said.
    let _ = Hashing::new(layout, &open, progress).run(&each)?;
    let good = good.into_inner().unwrap_or_else(PoisonError::into_inner);
    for file in layout.file_indices() {
        let pieces = layout.pieces_of(file);
        let whole = (pieces.start.0..pieces.end.0).all(|piece| good.has(PieceIndex(piece)));
        if files[file.as_usize()] == FileState::Good && !whole {
            files[file.as_usize()] = FileState::Damaged;
        }
    }
    Ok(Verified { good, files })
}

fn look_at(metainfo: &Metainfo, dir: &Dir, root: &Path, file: FileIndex) -> Result<FileState, HashError> {
    let extent = metainfo.layout.extent(file);
    let Some(path) = metainfo.path(file).filter(|_| !extent.pad) else { return Ok(FileState::Pad) };
    match dir.stat(path.as_ref()) {
        Ok(stat) if stat.kind != os::fs::Kind::File => Ok(FileState::Missing),
        Ok(stat) if stat.size != extent.len => Ok(FileState::WrongLen(stat.size)),
        Ok(_) => Ok(FileState::Good),
        Err(error) => match os::fault::Fault::of(&error) {
            os::fault::Fault::Absent | os::fault::Fault::InTheWay => Ok(FileState::Missing),
            _ => Err(HashError::Read { path: root.join(path), error }),
        },
    }
}

/// A file of a layout, which begins at this byte of what lies on disk.
struct Opened {
    file: File,
    offset: u64,
}

type Open<'h> = dyn Fn(FileIndex) -> Result<Option<Opened>, HashError> + Sync + 'h;

/// A pass over all pieces of a layout.
struct Hashing<'h> {
    layout: &'h Layout,
    /// The file's handle; `None` if its pieces cannot be hashed.
    open: &'h Open<'h>,
    progress: &'h (dyn Fn(u64) + Sync),
    next: AtomicU32,
    hashed: AtomicU64,
    /// A file that ended too early.
    short: AtomicU32,
}

impl<'h> Hashing<'h> {
    fn new(layout: &'h Layout, open: &'h Open<'h>, progress: &'h (dyn Fn(u64) + Sync)) -> Hashing<'h> {
        let (next, hashed, short) = (AtomicU32::new(0), AtomicU64::new(0), AtomicU32::new(u32::MAX));
        Hashing { layout, open, progress, next, hashed, short }
    }

    /// Hashes on all cores; `each` hears of every piece that could be read. Says which file was too short, if one was.
    fn run(&self, each: &(dyn Fn(PieceIndex, [u8; 20]) + Sync)) -> Result<Option<FileIndex>, HashError> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = cores.min(self.layout.pieces() as usize);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work(each))).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for outcome in outcomes {
            match outcome {
                Ok(done) => done?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        let short = self.short.load(Ordering::Relaxed);
        Ok((short != u32::MAX).then_some(FileIndex(short)))
    }

    fn work(&self, each: &(dyn Fn(PieceIndex, [u8; 20]) + Sync)) -> Result<(), HashError> {
        let mut buffer = vec![0; CHUNK_LEN];
        // The last file stays open: the next piece often goes on in it.
        let mut last = None;
        while let Some(piece) = self.layout.piece(self.next.fetch_add(1, Ordering::Relaxed)) {
            match self.hash(piece, &mut buffer, &mut last) {
                Ok(Some(hash)) => each(piece, hash),
                Ok(None) => {}
                Err(error) => {
                    // The others need not go on.
                    self.next.store(u32::MAX / 2, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn hash(
        &self,
        piece: PieceIndex,
        buffer: &mut [u8],
        last: &mut Option<(FileIndex, Option<Opened>)>,
    ) -> Result<Option<[u8; 20]>, HashError> {
        let mut hash = Sha1::new();
        let mut whole = true;
        for slice in self.layout.slices_of_piece(piece) {
            let pad = self.layout.extent(slice.file).pad;
            if !pad && last.as_ref().is_none_or(|(file, _)| *file != slice.file) {
                *last = Some((slice.file, (self.open)(slice.file)?));
            }
            let handle = last.as_ref().and_then(|(_, handle)| handle.as_ref());
            let (mut at, end) = (slice.offset, slice.offset + slice.len);
            while at < end {
                let chunk = &mut buffer[..(end - at).min(CHUNK_LEN as u64) as usize];
                match handle {
                    _ if pad => chunk.fill(0),
                    Some(handle) if whole => whole = self.fill(handle, slice.file, chunk, at),
                    Some(_) | None => whole = false,
                }
                if whole {
                    hash.update(&*chunk);
                }
                at += chunk.len() as u64;
                let before = self.hashed.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                (self.progress)(before + chunk.len() as u64);
            }
        }
        Ok(whole.then(|| hash.finalize().into()))
    }

    fn fill(&self, handle: &Opened, file: FileIndex, chunk: &mut [u8], at: u64) -> bool {
        let read = handle.file.read_exact_at(chunk, handle.offset + at);
        if read.is_err() {
            self.short.store(file.0, Ordering::Relaxed);
        }
        read.is_ok()
    }
}

#[cfg(test)]
mod tests;
