//! What a tracker keeps over a restart, in a folder of its own: the swarms of each worker, and the key of connection ids.
//!
//! ```text
//! lock                 held for as long as a tracker uses the folder
//! key                  the key of connection ids, and since which start of the machine it is used
//! swarms-N-of-M        a snapshot of the N-th of M workers (see `file`); .new while it is being written
//! members-N-of-M       the same of a private tracker
//! accounts-N-of-M      where counting for members stood at an end in order
//! ```
//! Invariants: a snapshot replaces the one before only when it is whole and on the disk; what other numbers of workers have left is removed
//! only when every worker of this one has written its own, so that at any moment nobody is lost. Nobody but this user can read any
//! of it: it says who takes part in what; and what a private tracker knows of its members, no open one hands to strangers. Where counting
//! stood is used once, and gone before it is: what was counted behind it, until a tracker is killed, is in the books, and must not be
//! counted again. Threat E5.

pub(crate) mod file;
pub(crate) mod saving;
mod start;
mod writer;

use crate::connection_id::ConnectionIds;
use crate::desk::Desk;
use crate::tally::Tally;
use file::Reader;
use proto::tracker::swarm_table::Restored;
use saving::{Of, Piece};
use start::Start;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use wire::InfoHash;
use writer::Writer;

/// How snapshots are called: swarms of an open tracker, of a private one, and where counting stood.
const OPEN: &str = "swarms-";
const MEMBERS: &str = "members-";
const ACCOUNTS: &str = "accounts-";

/// Pieces of snapshots that wait for the disk, of all workers: a few MiB.
const PIECES_MAX: usize = 16;

/// So far a clock may have been set back since something was saved.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(60);

/// The folder, which is this tracker's alone as long as this exists.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The tracker serves members alone.
    is_private: bool,
    lock: File,
    /// What stands in the file of the key, once that is known.
    key: String,
}

/// What was found at the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remembered {
    /// Peers that are known again, and who of those that were is not.
    pub peers: Restored,
    /// Clients of members for which counting goes on where it stood.
    pub clients: u64,
    /// Files that could not be read to their end, and why. What stands before that is believed, and the rest left out.
    pub damaged: Vec<String>,
}

impl Folder {
    /// Makes it if need be, and takes hold of it.
    ///
    /// # Errors
    /// When it cannot be made or written to, or another tracker uses it; it is named.
    pub(crate) fn open(path: &Path, is_private: bool) -> io::Result<Folder> {
        let opened = || {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            let lock = lock(path)?;
            remove_unfinished(path);
            Ok(Folder { path: path.to_owned(), is_private, lock, key: String::new() })
        };
        opened().map_err(|error| named(path, &error))
    }

    /// Takes hold of it again if somebody has removed it meanwhile, or what was in it: another tracker could take it otherwise.
    ///
    /// # Errors
    /// When it is not there, or another tracker has taken it.
    fn hold(&mut self) -> io::Result<()> {
        let held = self.lock.metadata()?;
        match fs::metadata(self.path.join("lock")) {
            Ok(here) if (here.dev(), here.ino()) == (held.dev(), held.ino()) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let lock = lock(&self.path)?;
        self.write_key()?;
        self.lock = lock;
        Ok(())
    }

    /// Connection ids that were valid before the tracker was started again still are.
    ///
    /// # Errors
    /// When nothing can be written here, be it that the disk is full.
    pub(crate) fn connection_ids(&mut self, minutes: u8) -> io::Result<ConnectionIds> {
        // Ids name minutes since the machine was started: those of before would be valid once more.
        let start = Start::of_machine();
        let known = fs::read_to_string(self.path.join("key")).ok().and_then(|text| {
            let mut words = text.split_ascii_whitespace();
            let mut half = || u64::from_str_radix(words.next()?, 16).ok();
            let key = [half()?, half()?];
            let known = Start::read(words.next()?, words.next()?)?;
            known.is(&start).then_some((key, text))
        });
        // As it stands: a disk that has become full while a tracker was at work does not keep it from being started again.
        if let Some((key, text)) = known {
            self.key = text;
            return Ok(ConnectionIds::with(key, minutes));
        }
        let ids = ConnectionIds::new(minutes);
        let [one, other] = ids.key();
        self.key = format!("{one:016x} {other:016x} {start}\n");
        self.write_key().map_err(|error| named(&self.path, &error))?;
        Ok(ids)
    }

    fn write_key(&self) -> io::Result<()> {
        let new = self.path.join("key.new");
        let mut file = private().truncate(true).open(&new)?;
        file.write_all(self.key.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path.join("key"))?;
        File::open(&self.path)?.sync_all()
    }

    /// Takes in all that was saved; each desk what `owner` says is its. What cannot be read is left out.
    pub(crate) fn restore(
        &self,
        desks: &mut [Desk],
        owner: impl Fn(&InfoHash) -> usize + Sync,
    ) -> Remembered {
        let mut remembered = Remembered::default();
        let mut paths: Vec<PathBuf> = match snapshots(&self.path, self.prefix(Of::Swarms)) {
            Ok(snapshots) => snapshots.map(|(path, _)| path).collect(),
            Err(error) => {
                remembered.damaged.push(named(&self.path, &error).to_string());
                return remembered;
            }
        };
        paths.sort();
        for (path, _) in snapshots(&self.path, self.prefix_of_others()).into_iter().flatten() {
            let whose = if self.is_private { "an open tracker" } else { "a private tracker" };
            remembered
                .damaged
                .push(format!("{}: it is of {whose}, which this is not; it stays there", path.display()));
        }
        let (paths, owner) = (&paths, &owner);
        std::thread::scope(|scope| {
            let shares = desks.iter_mut().enumerate().map(|(number, desk)| {
                scope.spawn(move || restore_one(paths, desk, |hash| owner(hash) == number))
            });
            for share in shares.collect::<Vec<_>>() {
                let Ok(share) = share.join() else {
                    remembered.damaged.push(format!("{}: a reader of it panicked", self.path.display()));
                    continue;
                };
                // All have read the same files.
                share.damaged.into_iter().for_each(|said| {
                    if !remembered.damaged.contains(&said) {
                        remembered.damaged.push(said);
                    }
                });
                remembered.peers.stale += share.peers.stale;
                remembered.peers.left_out += share.peers.left_out;
            }
        });
        // Who is in several files, as when it was killed after its number of workers had changed, is one peer.
        remembered.peers.peers = desks.iter().map(|desk| u64::from(desk.table().peers())).sum();
        if desks.iter().any(Desk::has_accounts) {
            for (path, _) in snapshots(&self.path, self.prefix(Of::Accounts)).into_iter().flatten() {
                if let Err(error) = self.restore_accounts(&path, desks, owner, &mut remembered.clients) {
                    remembered.damaged.push(format!("{}: {error}", path.display()));
                }
            }
        }
        remembered
    }

    /// How what is kept of it is called.
    fn prefix(&self, of: Of) -> &'static str {
        match (of, self.is_private) {
            (Of::Swarms, false) => OPEN,
            (Of::Swarms, true) => MEMBERS,
            (Of::Accounts, _) => ACCOUNTS,
        }
    }

    /// How swarms are called that a tracker of the other kind has left.
    fn prefix_of_others(&self) -> &'static str {
        if self.is_private { OPEN } else { MEMBERS }
    }

    fn restore_accounts(
        &self,
        path: &Path,
        desks: &mut [Desk],
        owner: impl Fn(&InfoHash) -> usize,
        clients: &mut u64,
    ) -> io::Result<()> {
        let file = File::open(path)?;
        // Before anything is believed: nobody finds it again.
        fs::remove_file(path)?;
        File::open(&self.path)?.sync_all()?;
        let mut reader = Reader::new(file)?;
        let since = since(reader.began())?;
        while let Some(slice) = reader.next_block()? {
            for (number, desk) in desks.iter_mut().enumerate() {
                let became = desk.restore_accounts(slice, since, |hash| owner(hash) == number);
                *clients += became.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            }
        }
        Ok(())
    }

    /// Begins to write what workers send, until none of them is left. Holds the folder until then.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn write(
        self,
        workers: usize,
        tally: Arc<Tally>,
    ) -> io::Result<(SyncSender<Piece>, JoinHandle<()>)> {
        let (pieces, received) = sync_channel(PIECES_MAX);
        let writer = Writer::new(self, workers, tally);
        let thread = std::thread::Builder::new().name("tracker-state".into());
        Ok((pieces, thread.spawn(move || writer.run(&received))?))
    }
}

fn restore_one(paths: &[PathBuf], desk: &mut Desk, is_ours: impl Fn(&InfoHash) -> bool) -> Remembered {
    let mut remembered = Remembered::default();
    for path in paths {
        let mut restore = || {
            let mut reader = Reader::new(File::open(path)?)?;
            let since = since(reader.began())?;
            while let Some(slices) = reader.next_block()? {
                let became = desk.restore(slices, since, &is_ours);
                let became = became.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                remembered.peers.stale += became.stale;
                remembered.peers.left_out += became.left_out;
            }
            Ok(())
        };
        if let Err(error) = restore() {
            let error: io::Error = error;
            remembered.damaged.push(format!("{}: {error}", path.display()));
        }
    }
    remembered
}

/// How long ago something was saved. A clock that was set back a little makes no difference; one that knows nothing of the time, as at the
/// start of a machine without a battery, must not make people of last week as fresh as those of now.
fn since(began: SystemTime) -> io::Result<Duration> {
    match SystemTime::now().duration_since(began) {
        Ok(since) => Ok(since),
        Err(ahead) if ahead.duration() <= CLOCK_ERROR_MAX => Ok(Duration::ZERO),
        Err(ahead) => {
            let ahead = ahead.duration().as_secs();
            let what =
                format!("by this machine's clock it was saved {ahead} s from now: is the clock right?");
            Err(io::Error::new(ErrorKind::InvalidData, what))
        }
    }
}

/// Whole snapshots, each with the number of workers that there were.
fn snapshots(folder: &Path, prefix: &'static str) -> io::Result<impl Iterator<Item = (PathBuf, usize)>> {
    Ok(fs::read_dir(folder)?.flatten().filter_map(move |entry| {
        let name = entry.file_name().into_string().ok()?;
        let (worker, workers) = name.strip_prefix(prefix)?.split_once("-of-")?;
        let _: usize = worker.parse().ok()?;
        Some((entry.path(), workers.parse().ok()?))
    }))
}

/// Takes hold of a folder that is there.
fn lock(folder: &Path) -> io::Result<File> {
    let owner = fs::metadata(folder)?;
    refuse_others(owner.uid(), owner.mode(), os::limits::user())?;
    let lock = private().truncate(false).open(folder.join("lock"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(ErrorKind::WouldBlock, "another tracker uses it"),
        TryLockError::Error(error) => error,
    })?;
    Ok(lock)
}

/// Somebody else who may write into it could put files there that are not what they seem, links among them, and read the key.
fn refuse_others(owner: u32, mode: u32, we: u32) -> io::Result<()> {
    let what = if owner != we {
        format!(
            "it belongs to another user ({owner}, we are {we}): run the tracker as that user, or give it one of its own"
        )
    } else if mode & 0o002 != 0 {
        "everybody may write into it: chmod o-w it, or give the tracker one of its own".to_owned()
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, what))
}

/// What was being written when a tracker was killed; with another number of workers nobody would write over it.
fn remove_unfinished(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_new = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "new");
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        [OPEN, MEMBERS, ACCOUNTS].into_iter().any(|prefix| name.starts_with(prefix))
    };
    for path in entries.filter(|path| is_new(path) && is_ours(path)) {
        // It is in nobody's way but the disk's.
        let _ = fs::remove_file(path);
    }
}

/// For this user alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the folder {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
