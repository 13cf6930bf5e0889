//! From paths to torrents, on a thread of its own: list, name, cut, hash, one portion after another.
//!
//! Reads what is shared and writes nothing. What always holds: what is told was hashed as it was listed; what was written to meanwhile
//! is told as lost, and the rest of its portion is hashed without it; so is, once more, a portion that could not be served as it was
//! hashed. Ends when nobody listens any more, after the portion at hand.

use super::ShareError;
use super::naming::Named;
use crate::hashing::{HashError, HashRange, hash_ranges};
use crate::sharing::listing::{ListedFile, Listing, LostWhy};
use os::fault::Fault;
use proto::cutting::{Cutter, File, Portion, Range};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use wire::FileIndex;
use wire::metainfo::{MetainfoBuilder, NewFile};
use wire::offer::{OfferedTorrent, Place};

/// What is told and not yet heard: a portion's description is at most 160 KiB.
const TOLD_MAX: usize = 4;

/// A portion of which nothing seems to have changed is hashed so often once more; then it is given up.
const TRIES_MAX: u32 = 3;

/// While the process has too many files open it is waited so long, and so often.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSES_MAX: u32 = 30;

/// What the thread has to tell.
#[derive(Debug)]
pub(super) enum Told {
    /// This is what there is.
    Listed(Arc<Named>),
    /// One more torrent can be served.
    Hashed(Box<Hashed>),
    /// A file does not come along after all.
    Lost(PathBuf, LostWhy),
    /// Every portion was hashed once.
    Done,
    /// One that was sent back is done with: whatever of it can be served was told before.
    Again,
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
    /// What to send back when it cannot be served.
    pub(super) again: Again,
}

/// A portion that could not be served as it was hashed, and is to be hashed without what has become of it.
#[derive(Debug)]
pub(super) struct Again {
    portion: Portion,
    /// How often it was hashed since anything of it was lost.
    tries: u32,
    /// By what number it was offered; nothing if it never was.
    offered: Option<u64>,
}

impl Again {
    /// It was offered by this number.
    pub(super) fn offered_as(self, number: u64) -> Again {
        Again { offered: Some(number), ..self }
    }

    /// What was to be served of it.
    pub(super) fn files(&self) -> impl Iterator<Item = usize> {
        self.portion.ranges.iter().map(|range| range.file as usize)
    }
}

/// The thread: what it tells, and whom to send portions back to. It ends when both are gone.
pub(super) struct HashingThread {
    pub(super) told: Receiver<Told>,
    pub(super) again: mpsc::Sender<Again>,
}

/// Begins. `hashed` is how many bytes were, while they are.
pub(super) fn start(
    paths: Vec<PathBuf>,
    targets: [u64; 4],
    hashed: Arc<AtomicU64>,
) -> io::Result<HashingThread> {
    let (tell, told) = channel(TOLD_MAX);
    let (again, sent_back) = mpsc::channel();
    std::thread::Builder::new().name("gannet-hashing".into()).spawn(move || {
        // Who does not listen any more has ended the share.
        let _: Option<()> = run(&paths, targets, &hashed, &tell, &sent_back);
    })?;
    Ok(HashingThread { told, again })
}

fn run(
    paths: &[PathBuf],
    targets: [u64; 4],
    hashed: &AtomicU64,
    told: &Sender<Told>,
    sent_back: &mpsc::Receiver<Again>,
) -> Option<()> {
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
        // What somebody waits for comes before what nobody has heard of.
        while let Ok(again) = sent_back.try_recv() {
            work.take_again(again)?;
        }
        work.take(Again { portion, tries: 0, offered: None })?;
    }
    tell(told, Told::Done)?;
    while let Ok(again) = sent_back.recv() {
        work.take_again(again)?;
    }
    Some(())
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
    fn take(&mut self, mut again: Again) -> Option<()> {
        let mut pauses = 0;
        loop {
            let before = again.portion.ranges.len();
            again.portion.ranges.retain(|range| !self.lost.contains(&range.file));
            if again.portion.ranges.is_empty() || self.told.is_closed() {
                return Some(());
            }
            if again.portion.ranges.len() < before {
                again.tries = 0;
            }
            match self.hash(&mut again) {
                Ok(hashed) => {
                    self.torrents += 1;
                    if again.offered.is_none() {
                        self.bytes += hashed.offered.metainfo.layout.total();
                        self.hashed.fetch_max(self.bytes, Ordering::Relaxed);
                    }
                    return tell(self.told, Told::Hashed(Box::new(hashed)));
                }
                Err(error) if passes(&error) && pauses < PAUSES_MAX => {
                    pauses += 1;
                    std::thread::park_timeout(PAUSE);
                }
                Err(error) => self.lose(&again.portion.ranges, &error)?,
            }
        }
    }

    /// The same for one that could not be served.
    fn take_again(&mut self, again: Again) -> Option<()> {
        if again.tries < TRIES_MAX {
            self.take(Again { tries: again.tries + 1, ..again })?;
        } else {
            self.give_up(again.portion)?;
        }
        tell(self.told, Told::Again)
    }

    /// However often it is hashed, nobody can be served from it.
    fn give_up(&mut self, portion: Portion) -> Option<()> {
        for range in portion.ranges {
            let file = &self.named.listing.files[range.file as usize];
            self.lost.insert(range.file);
            let why = what_became_of(file).unwrap_or(LostWhy::Unreadable);
            tell(self.told, Told::Lost(file.source.clone(), why))?;
        }
        Some(())
    }

    fn hash(&self, again: &mut Again) -> Result<Hashed, HashError> {
        let Again { portion, tries, offered: replaces } = again;
        let (ranges, piece_len) = (&mut portion.ranges, portion.piece_len);
        let Named { listing, lone, .. } = self.named;
        // In a torrent files come in the order of their paths.
        ranges.sort_by_cached_key(|range| self.named.beneath(range.file as usize));
        let name = listing.name.clone();
        let builder = match (lone, &ranges[..]) {
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
            // What is hashed once more was counted before.
            if replaces.is_none() {
                self.hashed.fetch_max(before + done, Ordering::Relaxed);
            }
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
            replaces: *replaces,
        };
        let again = Again { portion: portion.clone(), tries: *tries, offered: None };
        Ok(Hashed { torrent, offered, ranges: sources, again })
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

/// Whether this is nobody's fault and over soon.
fn passes(error: &HashError) -> bool {
    match error {
        HashError::Read { error, .. } => Fault::of(error) == Fault::TooManyOpen,
        HashError::Changed { .. } | HashError::Layout(_) => false,
    }
}

/// Why a file is not any more what was listed, if so.
fn what_became_of(file: &ListedFile) -> Option<LostWhy> {
    let range = file.range(0, file.len);
    match range.stat() {
        Err(error) => match Fault::of(&error) {
            Fault::Absent | Fault::InTheWay => Some(LostWhy::Changed),
            Fault::TooManyOpen => None,
            _ => Some(LostWhy::Unreadable),
        },
        Ok(found) if !range.is_as_it_was(&found) => Some(LostWhy::Changed),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What is told until the torrent that comes of a portion that was sent back, or until nothing comes of it.
    fn told(heard: &mut Receiver<Told>) -> (Option<Hashed>, Vec<(String, LostWhy)>) {
        let (mut hashed, mut lost) = (None, Vec::new());
        loop {
            match heard.blocking_recv() {
                Some(Told::Hashed(torrent)) => hashed = Some(*torrent),
                Some(Told::Lost(path, why)) => {
                    lost.push((path.file_name().unwrap().to_string_lossy().into_owned(), why));
                }
                Some(Told::Again) => return (hashed, lost),
                Some(_) => {}
                None => panic!("it has ended"),
            }
        }
    }

    #[test]
    fn however_often_something_changes_it_alone_is_lost_and_what_never_can_be_served_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("t");
        fs::create_dir(&top).unwrap();
        let names: Vec<_> = (0..8).map(|n| format!("{n}")).collect();
        names.iter().for_each(|name| fs::write(top.join(name), vec![7; 10_000]).unwrap());
        let HashingThread { told: mut heard, again } =
            start(vec![top.clone()], [1 << 20; 4], Arc::default()).unwrap();
        let mut torrent = loop {
            if let Told::Hashed(hashed) = heard.blocking_recv().unwrap() {
                break *hashed;
            }
        };
        assert_eq!(torrent.offered.replaces, None);
        let rounds = TRIES_MAX as usize + 2;
        for (round, name) in names[..rounds].iter().enumerate() {
            fs::write(top.join(name), b"changed").unwrap();
            again.send(torrent.again.offered_as(round as u64)).unwrap();
            let (hashed, lost) = told(&mut heard);
            assert_eq!(lost, [(name.clone(), LostWhy::Changed)]);
            torrent = hashed.expect("the others can be served");
            assert_eq!(torrent.offered.metainfo.layout.total(), 10_000 * (7 - round as u64));
            assert_eq!(torrent.offered.replaces, Some(round as u64));
        }
        for _ in 0..TRIES_MAX {
            again.send(torrent.again.offered_as(9)).unwrap();
            let (hashed, lost) = told(&mut heard);
            assert_eq!(lost, []);
            torrent = hashed.expect("nothing has changed");
        }
        again.send(torrent.again.offered_as(9)).unwrap();
        let (hashed, lost) = told(&mut heard);
        assert!(hashed.is_none());
        let expected: Vec<_> =
            names[rounds..].iter().map(|name| (name.clone(), LostWhy::Unreadable)).collect();
        assert_eq!(lost, expected);
        // Who listens no more has ended it.
        drop((again, heard));
    }
}
