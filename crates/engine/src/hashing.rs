//! Hashing files outside a session: for making torrents and for verifying what lies on disk. All cores, one pass.
//!
//! Changes nothing on disk. Always: each thread reads one piece at a time through a buffer of 1 MiB, so memory does not grow
//! with the piece length. BEP: 3, 47

use os::fs::{Access, Dir, File};
use sha1::{Digest, Sha1};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
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

/// A range of a file to be hashed, as the user named it: links are followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashRange {
    /// Where the file is.
    pub path: PathBuf,
    /// Bytes of the whole file, and when it was last written to: as they were when it was listed.
    pub whole: u64,
    /// See `whole`.
    pub modified: SystemTime,
    /// Where the range begins.
    pub offset: u64,
    /// Bytes of it.
    pub len: u64,
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
        Wanted { path, whole: *len, modified: None, offset: 0 }
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
    let wanted = |file: FileIndex| {
        let HashRange { path, whole, modified, offset, .. } = &ranges[file.as_usize()];
        Wanted { path, whole: *whole, modified: Some(*modified), offset: *offset }
    };
    let hashes = hash(ranges.iter().map(|range| range.len), &wanted, piece_len, progress)?;
    for file in 0..ranges.len() as u32 {
        wanted(FileIndex(file)).open()?;
    }
    Ok(hashes)
}

/// A file as it must be to be hashed, and from where on it is.
struct Wanted<'f> {
    path: &'f Path,
    whole: u64,
    /// When it was last written to, if that matters.
    modified: Option<SystemTime>,
    offset: u64,
}

impl Wanted<'_> {
    fn open(&self) -> Result<File, HashError> {
        let fault = |error| HashError::Read { path: self.path.into(), error };
        let opened = std::fs::File::open(self.path).map_err(fault)?;
        let found = opened.metadata().map_err(fault)?;
        let touched = match self.modified {
            Some(modified) => found.modified().map_err(fault)? != modified,
            None => false,
        };
        if found.len() != self.whole || touched {
            return Err(HashError::Changed { path: self.path.into() });
        }
        Ok(File::from(OwnedFd::from(opened)))
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
        Ok(Some(Opened { file: wanted.open()?, offset: wanted.offset }))
    };
    let hashes = Mutex::new(vec![[0; 20]; layout.pieces() as usize]);
    let each = |piece: PieceIndex, hash| {
        let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes[piece.as_usize()] = hash;
    };
    let hashing = Hashing::new(&layout, &open, progress);
    match hashing.run(&each)? {
        None => Ok(hashes.into_inner().unwrap_or_else(PoisonError::into_inner)),
        Some(short) => Err(HashError::Changed { path: wanted(short).path.into() }),
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
