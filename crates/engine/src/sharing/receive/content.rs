//! What is received: the torrents as they are offered, the folders and empty files beside them, and what is left to be done when bytes
//! are here: names of large files, marks that something may be executed.
//!
//! What always holds: at most [`ACTIVE_MAX`] torrents fetch at once, unless nothing comes for them, in the order of the offer, so
//! that the disk sees long sequential writes and what is begun gets finished; those that are done serve others. Nothing is
//! replaced: a name that is taken is left alone. All paths are beneath the name that was offered, or are it, by handle.

use super::ranges::Ranges;
use super::size::Size;
use super::{ReceiveError, ReceiveTrouble};
use crate::client::{AddOptions, Client};
use crate::sharing::listing::LISTED_MAX;
use crate::sharing::meter::Meter;
use crate::{DiskError, DiskErrorKind, Event, Priority, TorrentHandle, TorrentId};
use os::fault::Fault;
use os::fs::{Access, Dir, File};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wire::offer::{Offer, OfferedTorrent, Place};

#[cfg(test)]
mod tests;
use wire::SafePath;

/// Unfinished torrents that fetch at once.
const ACTIVE_MAX: usize = 3;

/// As many, if nothing comes for those that fetch: what the sharer cannot read any more must not hold up the rest.
const STUCK_MAX: usize = 64;

/// Torrents of one share: of a gigabyte each, and of a thousand files, there are not so many on any disk.
const TORRENTS_MAX: usize = 1 << 16;

/// Bytes of descriptions of torrents, beside those that go with what is offered.
const INFO_MAX: u64 = 64 << 20;

/// Behind the name of what is not finished.
const UNFINISHED: &str = ".part";

/// One torrent of the share.
#[derive(Debug)]
enum Item {
    /// Others come first.
    Waiting(Box<OfferedTorrent>),
    /// It fetches.
    Active(TorrentHandle, Box<OfferedTorrent>),
    /// Every byte of it is safely on disk, and it serves others.
    Done(Option<TorrentHandle>, Size),
    /// Every byte of it was here in one that it replaces: what is there of it still serves others, once that has left. It is the user's,
    /// and never written to.
    Kept(Option<TorrentHandle>, Box<OfferedTorrent>),
    /// It is of no more interest.
    Withdrawn {
        /// Every byte of it was here.
        was_here: bool,
    },
}

impl Item {
    /// Nothing of it is waited for.
    fn is_over(&self) -> bool {
        matches!(self, Item::Done(..) | Item::Kept(..) | Item::Withdrawn { .. })
    }
}

/// In place of one that is being changed.
const GONE: Item = Item::Withdrawn { was_here: false };

/// Something that is to be done with a file, or in place of one, once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Chore {
    /// All its bytes are here: so many.
    Name {
        path: SafePath,
        len: u64,
        executable: bool,
    },
    Folder(SafePath),
    EmptyFile {
        path: SafePath,
        executable: bool,
    },
}

/// What does not come along after all.
#[derive(Default)]
struct Gone {
    /// Torrents that are withdrawn and have not left yet. Their names are not free before.
    leaving: BTreeSet<TorrentId>,
    /// Files of theirs that may have come in part.
    remnants: BTreeSet<SafePath>,
    /// Items that are kept in place of some, and do not serve yet.
    successors: Vec<usize>,
    /// Bytes of all that are kept.
    kept: u64,
}

/// Everything that is received.
pub(super) struct Content {
    output: PathBuf,
    /// What everything is beneath, or is.
    top: SafePath,
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
    chores: BTreeSet<Chore>,
    /// Why the storage of those failed last that do not go on by themselves, or did.
    failed: BTreeMap<TorrentId, DiskErrorKind>,
    gone: Gone,
    /// Folders in which something has got a name since they were last made durable.
    named_in: BTreeSet<PathBuf>,
    sharer: Option<SocketAddr>,
    others: Vec<SocketAddr>,
    /// How many torrents there are, and bytes in them, once it is known.
    end: Option<(u64, u64)>,
}

/// How a torrent of the share is added.
fn options_for(torrent: &OfferedTorrent, output: &Path) -> AddOptions {
    AddOptions {
        output_dir: Some(output.to_owned()),
        places: torrent.places.clone(),
        ..AddOptions::default()
    }
}

/// What the offer said there would be, and how much of it was named.
struct Bounds {
    torrents: Size,
    torrents_max: Size,
    names: u64,
    names_max: u64,
}

impl Content {
    pub(super) fn new(output: PathBuf, top: SafePath, offer: &Offer) -> Content {
        let names_max = offer.files.saturating_add(offer.folders);
        let torrents_max = Size {
            bytes: offer.size,
            files: offer.files,
            executables: offer.executables,
            // Names of a usual length, and hashes of pieces that are not small.
            info: INFO_MAX + offer.files.min(LISTED_MAX as u64) * 1024 + offer.size / (16 << 10),
        };
        Content {
            output,
            top,
            root: None,
            limits: Bounds { torrents: Size::default(), torrents_max, names: 0, names_max },
            items: Vec::new(),
            active_max: ACTIVE_MAX,
            done: 0,
            ranges: Ranges::default(),
            chores: BTreeSet::new(),
            failed: BTreeMap::new(),
            gone: Gone::default(),
            named_in: BTreeSet::new(),
            sharer: None,
            others: Vec::new(),
            end: None,
        }
    }

    /// Bytes in the torrents that were offered.
    pub(super) fn offered(&self) -> u64 {
        self.limits.torrents.bytes
    }

    /// One more torrent is offered, or one again. Nothing is fetched any more once all is `finished`.
    pub(super) fn offer(&mut self, torrent: Box<OfferedTorrent>, finished: bool) -> Result<(), ReceiveError> {
        if torrent.number < self.items.len() as u64 {
            return Ok(());
        }
        let all = self.limits.torrents.and(Size::of(&torrent));
        let in_order = torrent.number == self.items.len() as u64 && self.items.len() < TORRENTS_MAX;
        // What the user has agreed to is one name: nothing beside it is touched.
        let beneath = torrent.metainfo.name.safe == self.top;
        let fits = torrent.places.iter().all(|place| place.whole <= self.limits.torrents_max.bytes);
        if !in_order || !beneath || !fits || !all.is_within(self.limits.torrents_max) {
            return Err(ReceiveError::TooMuch);
        }
        self.limits.torrents = all;
        let replaced = torrent.replaces.and_then(|number| self.items.get(usize::try_from(number).ok()?));
        self.items.push(match replaced {
            Some(Item::Withdrawn { was_here: true }) => {
                self.gone.successors.push(self.items.len());
                self.gone.kept += torrent.metainfo.layout.total();
                Item::Kept(None, torrent)
            }
            _ if finished => GONE,
            _ => Item::Waiting(torrent),
        });
        self.count_done();
        Ok(())
    }

    /// A torrent is no longer served: what is missing of it is not waited for. Whatever of it can be served comes in another torrent,
    /// with the same names; who has all of this one needs nothing of that.
    pub(super) fn withdraw(&mut self, number: u64, meter: &mut Meter) {
        let Some(item) = usize::try_from(number).ok().and_then(|number| self.items.get_mut(number)) else {
            return;
        };
        // Of one that waits an earlier run may have had something.
        let was_here = matches!(item, Item::Done(..) | Item::Kept(..) | Item::Withdrawn { was_here: true });
        let (handle, torrent) = match std::mem::replace(item, Item::Withdrawn { was_here }) {
            Item::Withdrawn { .. } => return,
            Item::Waiting(torrent) => (None, Ok(torrent)),
            Item::Active(handle, torrent) => (Some(handle), Ok(torrent)),
            Item::Done(handle, size) => (handle, Err(size)),
            Item::Kept(handle, torrent) => {
                self.gone.kept -= torrent.metainfo.layout.total();
                (handle, Err(Size::of(&torrent)))
            }
        };
        let size = torrent.map_or_else(
            |size| size,
            |torrent| {
                let files = torrent.metainfo.layout.file_indices();
                self.gone.remnants.extend(files.filter_map(|file| torrent.metainfo.path(file)));
                Size::of(&torrent)
            },
        );
        self.limits.torrents = self.limits.torrents.without(size);
        if let Some(handle) = handle {
            handle.remove();
            meter.remove(handle.id());
            self.gone.leaving.insert(handle.id());
        }
        self.count_done();
    }

    fn count_done(&mut self) {
        self.done += self.items.iter().skip(self.done).take_while(|item| item.is_over()).count();
    }

    /// These have no bytes.
    pub(super) fn make_empty_files(
        &mut self,
        paths: Vec<SafePath>,
        executable: bool,
    ) -> Result<Vec<ReceiveTrouble>, ReceiveError> {
        self.make(paths, |path| Chore::EmptyFile { path, executable })
    }

    /// These have nothing in them.
    pub(super) fn make_folders(&mut self, paths: Vec<SafePath>) -> Result<Vec<ReceiveTrouble>, ReceiveError> {
        self.make(paths, Chore::Folder)
    }

    fn make(
        &mut self,
        paths: Vec<SafePath>,
        chore: impl Fn(SafePath) -> Chore,
    ) -> Result<Vec<ReceiveTrouble>, ReceiveError> {
        // The same are named again whenever a line begins anew: making them twice changes nothing.
        self.limits.names = self.limits.names.saturating_add(paths.len() as u64);
        if paths.iter().any(|path| path.elements().next() != Some(self.top.as_str())) {
            return Err(ReceiveError::TooMuch);
        }
        if self.limits.names > self.limits.names_max {
            return Err(ReceiveError::TooMuch);
        }
        Ok(paths.into_iter().filter_map(|path| self.attempt(chore(path))).collect())
    }

    /// A line has begun: everything is said from the beginning.
    pub(super) fn begin_again(&mut self) {
        self.limits.names = 0;
    }

    /// Bytes of what is kept: no torrent of the client counts them.
    pub(super) fn kept(&self) -> u64 {
        self.gone.kept
    }

    /// It is known how many torrents there are.
    pub(super) fn set_end(&mut self, torrents: u64, bytes: u64) {
        self.end = Some((torrents, bytes));
    }

    /// Whether everything there is was offered.
    pub(super) fn is_all_offered(&self) -> bool {
        self.end.is_some_and(|(torrents, _)| torrents == self.items.len() as u64)
    }

    /// Whether all of it is here, under its name.
    pub(super) fn is_all_here(&self) -> bool {
        self.is_all_offered()
            && self.done == self.items.len()
            && self.chores.is_empty()
            && self.gone.leaving.is_empty()
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
        if !self.gone.leaving.is_empty() {
            return Ok(());
        }
        for at in std::mem::take(&mut self.gone.successors) {
            self.serve(at, client, meter);
        }
        let peers: Vec<_> = self.sharer.iter().chain(&self.others).copied().collect();
        let unfinished = self.items.iter_mut().skip(self.done).filter(|item| !item.is_over());
        for item in unfinished.take(self.active_max) {
            match std::mem::replace(item, GONE) {
                Item::Waiting(torrent) => {
                    let options = AddOptions { peers: peers.clone(), ..options_for(&torrent, &self.output) };
                    let handle = client.add(&torrent.metainfo.to_torrent(), options)?;
                    meter.add(handle.clone());
                    *item = Item::Active(handle, torrent);
                }
                other => *item = other,
            }
        }
        Ok(())
    }

    /// What is there still of one that is kept serves others: no file of it is wanted, so that nothing is written.
    fn serve(&mut self, at: usize, client: &Client, meter: &mut Meter) {
        let Some(Item::Kept(handle @ None, torrent)) = self.items.get_mut(at) else { return };
        let priorities = vec![Priority::Skip; torrent.metainfo.layout.files() as usize];
        let options = AddOptions { priorities, ..options_for(torrent, &self.output) };
        match client.add(&torrent.metainfo.to_torrent(), options) {
            Ok(added) => {
                meter.add(added.clone());
                *handle = Some(added);
            }
            Err(error) => {
                tracing::warn!(%error, "what is here of a torrent that was hashed anew serves nobody")
            }
        }
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
            Event::Removed(torrent) => {
                self.gone.leaving.remove(torrent);
                Vec::new()
            }
            Event::StorageFailed(torrent, error) => self.on_storage_failed(*torrent, error),
            _ => Vec::new(),
        }
    }

    fn on_storage_failed(&mut self, torrent: TorrentId, error: &DiskError) -> Vec<ReceiveTrouble> {
        let changed = matches!(error.kind, DiskErrorKind::Changed | DiskErrorKind::Vanished);
        let is_it = |handle: &TorrentHandle| handle.id() == torrent;
        for item in &mut self.items {
            match item {
                // It was here in full: who has changed it since wants it so, and nothing is fetched in its place.
                Item::Done(handle, _) | Item::Kept(handle, _) if handle.as_ref().is_some_and(is_it) => {
                    if changed && let Some(handle) = handle.take() {
                        handle.remove();
                        self.gone.leaving.insert(torrent);
                    }
                    return Vec::new();
                }
                Item::Active(handle, _) if is_it(handle) => {
                    let news = self.failed.insert(torrent, error.kind) != Some(error.kind);
                    return news.then(|| ReceiveTrouble::Storage(error.clone())).into_iter().collect();
                }
                _ => {}
            }
        }
        Vec::new()
    }

    /// Tries again what could not be done.
    pub(super) fn try_again(&mut self) -> Vec<ReceiveTrouble> {
        for item in self.items.iter().skip(self.done) {
            if let Item::Active(handle, _) = item
                && let Some(DiskErrorKind::Denied | DiskErrorKind::Io | DiskErrorKind::Unsupported) =
                    self.failed.get(&handle.id())
            {
                // The others are tried again by themselves.
                handle.resume();
            }
        }
        let chores = std::mem::take(&mut self.chores);
        chores.into_iter().filter_map(|chore| self.attempt(chore)).collect()
    }

    /// Once all is here: removes what has come of files that do not come along, and makes sure that names survive a loss of power.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.gone.remnants.extend(self.ranges.take_unfinished());
        self.root()?;
        let Some(root) = &self.root else { return Ok(()) };
        while let Some(path) = self.gone.remnants.first() {
            if let Err(error) = unless_absent(root.remove_file(&unfinished(path))) {
                tracing::warn!(%error, %path, "what has come of a file that does not come along stays");
            }
            self.gone.remnants.pop_first();
        }
        while let Some(folder) = self.named_in.first() {
            match root.dir(folder).and_then(|folder| folder.sync()) {
                Ok(()) => {}
                // What the user has moved away by now, or shut, or put something else in place of, is not ours any more.
                Err(error)
                    if matches!(Fault::of(&error), Fault::Absent | Fault::InTheWay | Fault::Denied) => {}
                Err(error) => return Err(error),
            }
            self.named_in.pop_first();
        }
        Ok(())
    }

    fn on_durable(&mut self, torrent: TorrentId) -> Vec<ReceiveTrouble> {
        let is_it = |item: &Item| matches!(item, Item::Active(handle, _) if handle.id() == torrent);
        let Some(at) = self.items.iter().skip(self.done).position(is_it) else { return Vec::new() };
        let item = &mut self.items[self.done + at];
        let Item::Active(handle, torrent) = std::mem::replace(item, GONE) else {
            return Vec::new();
        };
        self.failed.remove(&handle.id());
        *item = Item::Done(Some(handle), Size::of(&torrent));
        self.count_done();
        let OfferedTorrent { metainfo, places, executables, .. } = *torrent;
        let mut chores = Vec::new();
        for &Place { file, offset, whole } in &places {
            let Some(path) = metainfo.path(file) else { continue };
            if self.ranges.add(&path, offset, metainfo.layout.extent(file).len, whole) {
                chores.push(Chore::Name { path, len: whole, executable: executables.contains(&file) });
            }
        }
        // The others have their names, unless something was in the way.
        let is_range = |file| places.binary_search_by_key(&file, |place| place.file).is_ok();
        for file in metainfo.layout.file_indices().filter(|&file| !is_range(file)) {
            let Some(path) = metainfo.path(file) else { continue };
            let (len, executable) =
                (metainfo.layout.extent(file).len, executables.binary_search(&file).is_ok());
            chores.push(Chore::Name { path, len, executable });
        }
        chores.into_iter().filter_map(|chore| self.attempt(chore)).collect()
    }

    /// Does something now; if that fails it stays to be done, and this is why.
    fn attempt(&mut self, chore: Chore) -> Option<ReceiveTrouble> {
        match self.perform(&chore) {
            Ok(()) => None,
            Err(error) => {
                let path = PathBuf::from(chore.path().as_str());
                self.chores.insert(chore);
                Some(ReceiveTrouble::Finish { path, error })
            }
        }
    }

    fn perform(&mut self, chore: &Chore) -> io::Result<()> {
        let root = self.root()?;
        let path: &Path = chore.path().as_ref();
        let parent = path.parent().unwrap_or(Path::new(""));
        match chore {
            Chore::Name { len, executable, .. } => {
                let unfinished = unfinished(chore.path());
                // By its handle it stays the same file, whatever is put in its place.
                let ours = match root.file(&unfinished, Access::Read) {
                    Ok(ours) => {
                        root.rename_without_replacing(&unfinished, path)?;
                        ours
                    }
                    // It has its name already, of the storage or of an earlier run.
                    Err(error) if Fault::of(&error) == Fault::Absent => match root.file(path, Access::Read) {
                        Ok(named) if named.stat()?.size == *len => named,
                        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                        Err(error) if Fault::of(&error) == Fault::Absent => {
                            // It was here: whoever took it away has it.
                            tracing::warn!(path = %chore.path(), "is here in full and was moved away");
                            return Ok(());
                        }
                        Err(error) => return Err(error),
                    },
                    Err(error) => return Err(error),
                };
                if *executable {
                    mark_executable(&ours, chore.path());
                }
            }
            Chore::Folder(_) => {
                root.make_dirs(path)?;
            }
            Chore::EmptyFile { executable, .. } => {
                root.make_dirs(parent)?;
                match root.file(path, Access::Create) {
                    Ok(made) if *executable => mark_executable(&made, chore.path()),
                    Ok(_) => {}
                    // Of an earlier run, or of an earlier line; and if something is in it by now, its user's.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        if *executable
                            && root.stat(path).is_ok_and(|stat| stat.size == 0)
                            && let Ok(found) = root.file(path, Access::Read)
                        {
                            mark_executable(&found, chore.path());
                        }
                    }
                    Err(error) => return Err(error),
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
            Chore::Name { path, .. } | Chore::Folder(path) | Chore::EmptyFile { path, .. } => path,
        }
    }
}

/// What a file is called that is not finished.
fn unfinished(path: &SafePath) -> PathBuf {
    format!("{path}{UNFINISHED}").into()
}

/// Some file systems have no such mark; the file is here nevertheless.
fn mark_executable(file: &File, path: &SafePath) {
    if let Err(error) = file.allow_executing() {
        tracing::warn!(%error, %path, "cannot be marked as executable");
    }
}

fn unless_absent(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if Fault::of(&error) == Fault::Absent { Ok(()) } else { Err(error) })
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
