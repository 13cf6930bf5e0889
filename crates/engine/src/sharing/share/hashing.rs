//! From paths to torrents, on a thread of its own: list, name, cut, hash, one portion after another.
//!
//! Reads what is shared and writes nothing. What always holds: what is told was hashed as it was listed; what was written to meanwhile
//! is told as lost, and the rest of its portion is hashed without it. Ends when nobody listens any more, after the portion at hand.

use super::ShareError;
use super::naming::Named;
use crate::hashing::{HashError, HashRange, hash_ranges};
use crate::sharing::listing::{ListedFile, Listing, LostWhy};
use os::fault::Fault;
use proto::cutting::{Cutter, File, Portion, Range};
use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use wire::FileIndex;
use wire::metainfo::{MetainfoBuilder, NewFile};
use wire::offer::{OfferedTorrent, Place};

/// What is told and not yet heard: a portion's description is at most 160 KiB.
const TOLD_MAX: usize = 4;

/// What the thread has to tell.
#[derive(Debug)]
pub(super) enum Told {
    /// This is what there is.
    Listed(Arc<Named>),
    /// One more torrent can be served.
    Hashed(Box<Hashed>),
    /// A file does not come along after all.
    Lost(PathBuf, LostWhy),
    /// That was all.
    Done,
    /// There is nothing to share.
    Failed(ShareError),
}

/// A torrent that was hashed just now.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) torrent: Vec<u8>,
    pub(super) offered: OfferedTorrent,
    /// Where its files are, in their order.
    pub(super) ranges: Vec<HashRange>,
    /// Files of the listing among which they are.
    pub(super) files: RangeInclusive<usize>,
}

/// Begins. `hashed` is how many bytes were, while they are.
pub(super) fn start(
    paths: Vec<PathBuf>,
    targets: [u64; 4],
    hashed: Arc<AtomicU64>,
) -> io::Result<Receiver<Told>> {
    let (told, heard) = channel(TOLD_MAX);
    std::thread::Builder::new().name("gannet-hashing".into()).spawn(move || {
        // Who does not listen any more has ended the share.
        let _: Option<()> = run(&paths, targets, &hashed, &told);
    })?;
    Ok(heard)
}

fn run(paths: &[PathBuf], targets: [u64; 4], hashed: &AtomicU64, told: &Sender<Told>) -> Option<()> {
    let listing = match Listing::of(paths, |_| {}) {
        Ok(listing) => listing,
        Err(error) => return tell(told, Told::Failed(error.into())),
    };
    if listing.files.is_empty() && listing.empty_folders.is_empty() {
        return tell(told, Told::Failed(ShareError::Nothing));
    }
    let named = Arc::new(Named::new(listing));
    tell(told, Told::Listed(Arc::clone(&named)))?;
    let files = named.listing.files.iter().enumerate();
    let files = files.map(|(file, listed)| File { len: listed.len, path_cost: cost(&named.beneath(file)) });
    let mut work = Work { named: &named, hashed, told, lost: BTreeSet::new(), torrents: 0, bytes: 0 };
    for portion in Cutter::with_targets(files, targets) {
        work.take(portion)?;
    }
    tell(told, Told::Done)
}

fn tell(told: &Sender<Told>, what: Told) -> Option<()> {
    told.blocking_send(what).ok()
}

/// Bytes of a path as it is bencoded.
fn cost(path: &[String]) -> usize {
    path.iter().map(|element| element.len() + element.len().to_string().len() + 1).sum()
}

struct Work<'w> {
    named: &'w Named,
    hashed: &'w AtomicU64,
    told: &'w Sender<Told>,
    /// Files that do not come along, or no further.
    lost: BTreeSet<u64>,
    torrents: u64,
    bytes: u64,
}

impl Work<'_> {
    /// Hashes a portion, without what turns out to be lost of it.
    fn take(&mut self, portion: Portion) -> Option<()> {
        let mut ranges = portion.ranges;
        loop {
            ranges.retain(|range| !self.lost.contains(&range.file));
            if ranges.is_empty() || self.told.is_closed() {
                return Some(());
            }
            match self.hash(&mut ranges, portion.piece_len) {
                Ok(hashed) => {
                    self.torrents += 1;
                    self.bytes += hashed.offered.metainfo.layout.total();
                    self.hashed.fetch_max(self.bytes, Ordering::Relaxed);
                    return tell(self.told, Told::Hashed(Box::new(hashed)));
                }
                Err(error) => self.lose(&ranges, &error)?,
            }
        }
    }

    fn hash(&self, ranges: &mut [Range], piece_len: u32) -> Result<Hashed, HashError> {
        let Named { listing, lone, .. } = self.named;
        // In a torrent files come in the order of their paths.
        ranges.sort_by_cached_key(|range| self.named.beneath(range.file as usize));
        let numbers = || ranges.iter().map(|range| range.file as usize);
        let files = numbers().min().unwrap_or(0)..=numbers().max().unwrap_or(0);
        let name = listing.name.clone();
        let builder = match (lone, &*ranges) {
            (true, [range]) => MetainfoBuilder::single(name, range.len, piece_len),
            _ => {
                let new =
                    |range: &Range| NewFile { path: self.named.beneath(range.file as usize), len: range.len };
                MetainfoBuilder::directory(name, ranges.iter().map(new).collect(), piece_len)
            }
        };
        // Ranges of a file that hold the same, such as nothing, are torrents of their own all the same.
        let builder = builder.source(self.torrents.to_string());
        let file_of = |range: &Range| &listing.files[range.file as usize];
        let sources: Vec<HashRange> =
            ranges.iter().map(|range| file_of(range).range(range.offset, range.len)).collect();
        let before = self.bytes;
        let progress = |done| {
            self.hashed.fetch_max(before + done, Ordering::Relaxed);
        };
        let hashes = hash_ranges(&sources, piece_len, &progress)?;
        let (torrent, metainfo) = builder.build(&hashes).map_err(|error| HashError::Read {
            path: sources.first().map(|source| source.path.clone()).unwrap_or_default(),
            error: io::Error::other(error),
        })?;
        let numbered = || (0..).map(FileIndex).zip(&*ranges);
        let places = numbered().filter(|(_, range)| range.len < file_of(range).len);
        let places =
            places.map(|(file, range)| Place { file, offset: range.offset, whole: file_of(range).len });
        let executables = numbered().filter(|(_, range)| file_of(range).executable).map(|(file, _)| file);
        let offered = OfferedTorrent {
            // Given when it is offered.
            number: 0,
            places: places.collect(),
            executables: executables.collect(),
            metainfo,
        };
        Ok(Hashed { torrent, offered, ranges: sources, files })
    }

    /// Tells of what cannot be hashed: the file that was named, and all others that by now are not as they were either.
    fn lose(&mut self, ranges: &[Range], error: &HashError) -> Option<()> {
        let named = match error {
            HashError::Read { path, .. } | HashError::Changed { path } => Some(path),
            HashError::Layout(_) => None,
        };
        for range in ranges {
            let file = &self.named.listing.files[range.file as usize];
            let why = match what_became_of(file) {
                Some(why) => why,
                None if named.is_none_or(|named| *named == file.source) => match error {
                    HashError::Changed { .. } => LostWhy::Changed,
                    HashError::Read { .. } | HashError::Layout(_) => LostWhy::Unreadable,
                },
                None => continue,
            };
            tracing::info!(%error, path = %file.source.display(), "does not come along");
            self.lost.insert(range.file);
            tell(self.told, Told::Lost(file.source.clone(), why))?;
        }
        Some(())
    }
}

/// Why a file is not any more what was listed, if so.
pub(super) fn what_became_of(file: &ListedFile) -> Option<LostWhy> {
    let range = file.range(0, file.len);
    match range.stat() {
        Err(error) => match Fault::of(&error) {
            Fault::Absent | Fault::InTheWay => Some(LostWhy::Changed),
            _ => Some(LostWhy::Unreadable),
        },
        Ok(found) if !range.is_as_it_was(&found) => Some(LostWhy::Changed),
        Ok(_) => None,
    }
}
