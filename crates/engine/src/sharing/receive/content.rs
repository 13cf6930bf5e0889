//! What is received: the torrents as they are offered, the folders and empty files beside them, and what is left to be done when bytes
//! are here: names of large files, marks that something may be executed.
//!
//! What always holds: at most [`ACTIVE_MAX`] torrents fetch at once, unless nothing comes for them, in the order of the offer, so that the disk sees long sequential
//! writes and what is begun gets finished; those that are done serve others. Nothing is replaced: a name that is taken is left
//! alone. All paths are below the output folder, by handle.

use super::ranges::Ranges;
use super::{ReceiveError, ReceiveTrouble};
use crate::client::{AddOptions, Client};
use crate::sharing::meter::Meter;
use crate::{Event, TorrentHandle, TorrentId};
use os::fault::Fault;
use os::fs::{Access, Dir};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wire::SafePath;
use wire::offer::{Offer, OfferedTorrent, Place};

/// Unfinished torrents that fetch at once.
const ACTIVE_MAX: usize = 3;

/// As many, if nothing comes for those that fetch: what the sharer cannot read any more must not hold up the rest.
const STUCK_MAX: usize = 64;

/// Torrents of one share: of a gigabyte each, and of a thousand files, there are not so many on any disk.
const TORRENTS_MAX: usize = 1 << 16;

/// Behind the name of what is not finished.
const UNFINISHED: &str = ".part";

/// One torrent of the share.
#[derive(Debug)]
enum Item {
    /// Others come first.
    Waiting(Box<OfferedTorrent>),
    /// It fetches.
    Active(TorrentHandle, Box<OfferedTorrent>),
    /// Every byte of it is safely on disk.
    Done,
}

/// Something that is to be done with a file, or in place of one, once.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Chore {
    /// All its ranges are here.
    Name {
        path: SafePath,
        executable: bool,
    },
    /// It may be executed.
    Execute(SafePath),
    Folder(SafePath),
    EmptyFile(SafePath),
}

/// Everything that is received.
pub(super) struct Content {
    output: PathBuf,
    /// By handle, once something was written.
    root: Option<Dir>,
    limits: Bounds,
    items: Vec<Item>,
    /// How many may fetch at once.
    active_max: usize,
    /// How many of the first are done.
    done: usize,
    ranges: Ranges,
    /// What could not be done yet.
    chores: Vec<Chore>,
    /// Folders in which something has got a name since they were last made durable.
    named_in: BTreeSet<PathBuf>,
    sharer: Option<SocketAddr>,
    others: Vec<SocketAddr>,
    /// How many torrents there are, and bytes in them, once it is known.
    end: Option<(u64, u64)>,
}

/// What the offer said there would be, and how much of it was named.
struct Bounds {
    bytes: u64,
    bytes_max: u64,
    names: u64,
    names_max: u64,
}

impl Content {
    pub(super) fn new(output: PathBuf, offer: &Offer) -> Content {
        let names_max = offer.files.saturating_add(offer.folders);
        Content {
            output,
            root: None,
            limits: Bounds { bytes: 0, bytes_max: offer.size, names: 0, names_max },
            items: Vec::new(),
            active_max: ACTIVE_MAX,
            done: 0,
            ranges: Ranges::default(),
            chores: Vec::new(),
            named_in: BTreeSet::new(),
            sharer: None,
            others: Vec::new(),
            end: None,
        }
    }

    /// Bytes in the torrents that were offered.
    pub(super) fn offered(&self) -> u64 {
        self.limits.bytes
    }

    /// One more torrent is offered, or one again.
    pub(super) fn offer(&mut self, torrent: Box<OfferedTorrent>) -> Result<(), ReceiveError> {
        if torrent.number < self.items.len() as u64 {
            return Ok(());
        }
        let bytes = self.limits.bytes.saturating_add(torrent.metainfo.layout.total());
        let in_order = torrent.number == self.items.len() as u64 && self.items.len() < TORRENTS_MAX;
        if !in_order || bytes > self.limits.bytes_max {
            return Err(ReceiveError::TooMuch);
        }
        self.limits.bytes = bytes;
        self.items.push(Item::Waiting(torrent));
        Ok(())
    }

    /// A torrent is no longer served: what is missing of it is not waited for.
    pub(super) fn withdraw(&mut self, number: u64) {
        let Some(item) = usize::try_from(number).ok().and_then(|number| self.items.get_mut(number)) else {
            return;
        };
        if let Item::Active(handle, _) = std::mem::replace(item, Item::Done) {
            handle.remove();
        }
        self.done += self.items.iter().skip(self.done).take_while(|item| matches!(item, Item::Done)).count();
    }

    /// These have no bytes.
    pub(super) fn make_empty_files(
        &mut self,
        paths: Vec<SafePath>,
    ) -> Result<Vec<ReceiveTrouble>, ReceiveError> {
        self.make(paths, Chore::EmptyFile)
    }

    /// These have nothing in them.
    pub(super) fn make_folders(&mut self, paths: Vec<SafePath>) -> Result<Vec<ReceiveTrouble>, ReceiveError> {
        self.make(paths, Chore::Folder)
    }

    fn make(
        &mut self,
        paths: Vec<SafePath>,
        chore: fn(SafePath) -> Chore,
    ) -> Result<Vec<ReceiveTrouble>, ReceiveError> {
        // The same are named again whenever a line begins anew: making them twice changes nothing.
        self.limits.names = self.limits.names.saturating_add(paths.len() as u64);
        if self.limits.names > self.limits.names_max {
            return Err(ReceiveError::TooMuch);
        }
        Ok(paths.into_iter().filter_map(|path| self.attempt(chore(path))).collect())
    }

    /// A line has begun: everything is said from the beginning.
    pub(super) fn begin_again(&mut self) {
        self.limits.names = 0;
    }

    /// All of it was offered: so many torrents.
    pub(super) fn set_end(&mut self, torrents: u64, bytes: u64) {
        self.end = Some((torrents, bytes));
    }

    /// Whether everything there is was offered.
    pub(super) fn is_all_offered(&self) -> bool {
        self.end.is_some_and(|(torrents, _)| torrents == self.items.len() as u64)
    }

    /// Whether all of it is here, under its name.
    pub(super) fn is_all_here(&self) -> bool {
        self.is_all_offered() && self.done == self.items.len() && self.chores.is_empty()
    }

    /// The sharer's place in the swarm, and those of others. Only those who are new are told of.
    pub(super) fn set_peers(&mut self, sharer: Option<SocketAddr>, others: Vec<SocketAddr>) {
        let mut new: Vec<_> = others.iter().copied().filter(|other| !self.others.contains(other)).collect();
        new.extend(sharer.filter(|_| self.sharer != sharer));
        (self.sharer, self.others) = (sharer.or(self.sharer), others);
        if new.is_empty() {
            return;
        }
        for item in &self.items {
            if let Item::Active(handle, _) = item {
                handle.add_peers(new.clone());
            }
        }
    }

    /// Others, as they were told last.
    pub(super) fn others(&self) -> Vec<SocketAddr> {
        self.others.clone()
    }

    /// Begins what is next, as far as so many may fetch at once.
    pub(super) fn go_on(&mut self, client: &Client, meter: &mut Meter) -> Result<(), ReceiveError> {
        let unfinished = self.items.iter_mut().skip(self.done).filter(|item| !matches!(item, Item::Done));
        for item in unfinished.take(self.active_max) {
            match std::mem::replace(item, Item::Done) {
                Item::Waiting(torrent) => {
                    let options = AddOptions {
                        output_dir: Some(self.output.clone()),
                        peers: self.sharer.iter().chain(&self.others).copied().collect(),
                        places: torrent.places.clone(),
                        ..AddOptions::default()
                    };
                    let handle = client.add(&torrent.metainfo.to_torrent(), options)?;
                    meter.add(handle.clone());
                    *item = Item::Active(handle, torrent);
                }
                other => *item = other,
            }
        }
        Ok(())
    }

    /// Nothing came for a while: one more may fetch, if one waits.
    pub(super) fn make_room(&mut self) {
        let waits = self.items.iter().skip(self.done).any(|item| matches!(item, Item::Waiting(_)));
        if waits && self.active_max < STUCK_MAX {
            self.active_max += 1;
        }
    }

    /// Something happened to the client; what stands in the way of what follows.
    pub(super) fn on_event(&mut self, event: &Event) -> Vec<ReceiveTrouble> {
        match event {
            Event::Durable(torrent) => self.on_durable(*torrent),
            Event::StorageFailed(_, error) => vec![ReceiveTrouble::Storage(error.clone())],
            _ => Vec::new(),
        }
    }

    /// Tries again what could not be done.
    pub(super) fn try_again(&mut self) -> Vec<ReceiveTrouble> {
        let chores = std::mem::take(&mut self.chores);
        chores.into_iter().filter_map(|chore| self.attempt(chore)).collect()
    }

    /// Makes sure that names survive a loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.root()?;
        let Some(root) = &self.root else { return Ok(()) };
        for folder in &self.named_in {
            root.dir(folder)?.sync()?;
        }
        self.named_in.clear();
        Ok(())
    }

    fn on_durable(&mut self, torrent: TorrentId) -> Vec<ReceiveTrouble> {
        let is_it = |item: &Item| matches!(item, Item::Active(handle, _) if handle.id() == torrent);
        let Some(at) = self.items.iter().skip(self.done).position(is_it) else { return Vec::new() };
        let item = &mut self.items[self.done + at];
        let Item::Active(_, torrent) = std::mem::replace(item, Item::Done) else { return Vec::new() };
        let done = self.items.iter().skip(self.done).take_while(|item| matches!(item, Item::Done)).count();
        self.done += done;
        let OfferedTorrent { metainfo, places, executables, .. } = *torrent;
        let mut chores = Vec::new();
        for &Place { file, offset, whole } in &places {
            let Some(path) = metainfo.path(file) else { continue };
            if self.ranges.add(&path, offset, metainfo.layout.extent(file).len, whole) {
                chores.push(Chore::Name { path, executable: executables.contains(&file) });
            }
        }
        for &file in &executables {
            let is_range = places.iter().any(|place| place.file == file);
            chores.extend(metainfo.path(file).filter(|_| !is_range).map(Chore::Execute));
        }
        chores.into_iter().filter_map(|chore| self.attempt(chore)).collect()
    }

    /// Does something now; if that fails it stays to be done, and this is why.
    fn attempt(&mut self, chore: Chore) -> Option<ReceiveTrouble> {
        match self.perform(&chore) {
            Ok(()) => None,
            Err(error) => {
                let path = PathBuf::from(chore.path().as_str());
                self.chores.push(chore);
                Some(ReceiveTrouble::Finish { path, error })
            }
        }
    }

    fn perform(&mut self, chore: &Chore) -> io::Result<()> {
        let root = self.root()?;
        let path: &Path = chore.path().as_ref();
        let parent = path.parent().unwrap_or(Path::new(""));
        match chore {
            Chore::Name { executable, .. } => {
                let unfinished = PathBuf::from(format!("{}{UNFINISHED}", chore.path()));
                match root.rename_without_replacing(&unfinished, path) {
                    // An earlier run has given it its name.
                    Err(error) if Fault::of(&error) == Fault::Absent && root.stat(path).is_ok() => {}
                    renamed => renamed?,
                }
                if *executable {
                    root.file(path, Access::Read)?.allow_executing()?;
                }
            }
            Chore::Execute(_) => root.file(path, Access::Read)?.allow_executing()?,
            Chore::Folder(_) => {
                root.make_dirs(path)?;
            }
            Chore::EmptyFile(_) => {
                root.make_dirs(parent)?;
                match root.file(path, Access::Create) {
                    // Of an earlier run, or of an earlier line.
                    Err(error)
                        if error.kind() == io::ErrorKind::AlreadyExists
                            && root.stat(path).is_ok_and(|stat| stat.size == 0) => {}
                    made => drop(made?),
                }
            }
        }
        self.named_in.extend(parent.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn root(&mut self) -> io::Result<&Dir> {
        if self.root.is_none() {
            std::fs::create_dir_all(&self.output)?;
            self.root = Some(Dir::open(&self.output)?);
        }
        self.root.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Chore {
    fn path(&self) -> &SafePath {
        match self {
            Chore::Name { path, .. }
            | Chore::Execute(path)
            | Chore::Folder(path)
            | Chore::EmptyFile(path) => path,
        }
    }
}

/// What lies where something would go, if anything does.
pub(super) fn in_the_way(output: &Path, top: &SafePath) -> Option<PathBuf> {
    let unfinished = format!("{top}{UNFINISHED}");
    let taken = [output.join(top), output.join(unfinished)];
    taken.into_iter().find(|path| path.symlink_metadata().is_ok())
}

/// Bytes that may be written below a folder, which need not exist yet; nothing if that cannot be known.
pub(super) fn free_below(output: &Path) -> Option<u64> {
    let existing = output.ancestors().find_map(|folder| Dir::open(folder).ok())?;
    existing.volume().ok().map(|volume| volume.free)
}
