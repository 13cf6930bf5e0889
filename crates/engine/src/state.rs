//! What survives a restart: torrents, the user's settings for them, and resume records, in one SQLite file.
//!
//! Not the payload, and not a cache: every call goes to the file. Several processes may have the store open; a torrent is
//! run by the one that has its [`Claim`].
//! Always: a commit is on stable storage when the call returns (write-ahead log, `synchronous=FULL`: one sync a commit,
//! frames checked by checksum when read back). Every row bears a seal, so that a flipped bit is found and not believed; a
//! row that cannot be believed is quarantined and costs no other row anything.

mod error;
mod medium;
pub(crate) mod nodes;
pub(crate) mod record;
mod rows;
mod salvage;
mod schema;
mod seal;

pub(crate) use error::{StateError, StateNotice};
pub(crate) use record::{
    FileMark, ResumeUpdate, StoredResume, StoredTorrent, Swarm, TorrentOptions, VolumeMark,
};

use os::fs::{Access, Dir, File};
use proto::Priority;
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wire::InfoHash;

/// The store's file inside its directory.
const FILE_NAME: &str = "state.db";

/// What is read of a lock: a number and the longest path there is.
const HOLDER_BYTES_MAX: usize = 4096 + 16;

/// The store, open.
pub(crate) struct State {
    db: Mutex<Connection>,
    dir: PathBuf,
    /// How many claims there had ever been when nobody else ran any torrent.
    alone_at: Mutex<Option<u64>>,
}

/// All that the store holds of torrents.
#[derive(Debug, Default)]
pub(crate) struct StoredTorrents {
    /// Those that can be started.
    pub(crate) torrents: Vec<StoredTorrent>,
    /// What could not be believed, or not wholly.
    pub(crate) notices: Vec<StateNotice>,
}

/// The right to claim torrents: one process at a time, so that what is claimed cannot change between a look and a claim.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Holds how many claims there have ever been, of whichever process.
    lock: File,
}

impl Turn {
    fn claims(&self) -> std::io::Result<u64> {
        let mut count = [0; 8];
        // A file that is shorter is a new one, or an earlier version's.
        let _ = self.lock.read_at(&mut count, 0)?;
        Ok(u64::from_le_bytes(count))
    }

    fn set_claims(&self, count: u64) -> std::io::Result<()> {
        self.lock.write_all_at(&count.to_le_bytes(), 0)
    }
}

/// The right to run a torrent: no other process has it, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Claim {
    lock: File,
}

/// Who runs a torrent, as it wrote itself into its lock: for people, not to be relied upon.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Holder {
    /// Its process and the folder it downloads into, if it got so far as to say so.
    said: Option<(u32, PathBuf)>,
}

impl Claim {
    /// Says who we are, so that whoever finds the torrent taken can be told. What cannot be written is not told.
    pub(crate) fn sign(&self, root: &Path) {
        let text = format!("{}\n{}\n", std::process::id(), root.display());
        let text = text.as_bytes().get(..HOLDER_BYTES_MAX).unwrap_or(text.as_bytes());
        let written = self.lock.set_len(0).and_then(|()| self.lock.write_all_at(text, 0));
        if let Err(error) = written {
            tracing::debug!(%error, "a lock is not signed");
        }
    }
}

impl Holder {
    fn read(written: &[u8]) -> Holder {
        let text = String::from_utf8_lossy(written);
        let mut lines = text.lines();
        let process = lines.next().and_then(|line| line.parse().ok());
        Holder { said: process.zip(lines.next().map(PathBuf::from)) }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.said {
            Some((process, root)) => write!(f, " (process {process}, into {})", root.display()),
            None => Ok(()),
        }
    }
}

impl State {
    /// Opens the store in this directory; both are created if they are absent. A file that is no database is moved aside,
    /// and a damaged one too after all that can be read of it was carried over; the notices say so.
    pub(crate) fn open(dir: &Path) -> Result<(State, Vec<StateNotice>), StateError> {
        make_private_dir(dir)
            .map_err(|error| StateError::Directory { dir: dir.into(), error: error.into() })?;
        // Two processes that start at once must not both create, upgrade or move the file.
        let opening = lock_file(dir, "opening.lock")?;
        opening.lock().map_err(|error| StateError::Directory { dir: dir.into(), error: error.into() })?;
        let path = dir.join(FILE_NAME);
        let (db, notices) = match schema::open(&path) {
            Ok(db) if schema::is_sound(&db, &path)? => (db, Vec::new()),
            Ok(damaged) => salvage::rebuild(damaged, &path)?,
            Err(error) if error.is_damage() => salvage::replace(&path, &error)?,
            Err(error) => return Err(error),
        };
        Ok((State { db: Mutex::new(db), dir: dir.into(), alone_at: Mutex::default() }, notices))
    }

    /// Everything that can be started, and what cannot.
    pub(crate) fn torrents(&self) -> Result<StoredTorrents, StateError> {
        rows::read_all(&self.db())
    }

    /// One torrent. A record that cannot be believed is an error; one that is absent is not.
    pub(crate) fn torrent(&self, info_hash: InfoHash) -> Result<Option<StoredTorrent>, StateError> {
        let db = self.db();
        match rows::id_of(&db, info_hash)? {
            Some(id) => rows::read(&db, id).map(|(torrent, _)| Some(torrent)),
            None => Ok(None),
        }
    }

    /// Among whom a torrent is kept that is remembered, even if the rest of its record is damaged.
    pub(crate) fn swarm(&self, info_hash: InfoHash) -> Result<Option<Swarm>, StateError> {
        rows::swarm_of(&self.db(), info_hash)
    }

    /// Remembers a torrent; its settings are replaced if it is known, and its resume record stays, unless its data now
    /// lies in another directory or in other ranges of larger files, of which the record says nothing.
    pub(crate) fn add(&self, torrent: &StoredTorrent) -> Result<(), StateError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        rows::forget_elsewhere(&tx, torrent)?;
        rows::write_torrent(&tx, torrent)?;
        Ok(tx.commit()?)
    }

    /// Changes what the user set.
    pub(crate) fn set_options(
        &self,
        info_hash: InfoHash,
        options: &TorrentOptions,
    ) -> Result<(), StateError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = rows::id_of(&tx, info_hash)?.ok_or(StateError::Unknown(info_hash))?;
        let (mut torrent, _) = rows::read(&tx, id)?;
        torrent.options = options.clone();
        rows::write_torrent(&tx, &torrent)?;
        Ok(tx.commit()?)
    }

    /// The metadata of a torrent has come: its file replaces the link that is remembered, and its files have priorities. A
    /// torrent that was removed meanwhile is not brought back.
    pub(crate) fn set_metainfo(
        &self,
        info_hash: InfoHash,
        metainfo: &[u8],
        priorities: &[Priority],
    ) -> Result<(), StateError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = rows::id_of(&tx, info_hash)?.ok_or(StateError::Unknown(info_hash))?;
        let (mut torrent, _) = rows::read(&tx, id)?;
        torrent.metainfo = metainfo.into();
        torrent.options.priorities = priorities.into();
        rows::write_torrent(&tx, &torrent)?;
        Ok(tx.commit()?)
    }

    /// Forgets a torrent and its resume record. Its files are not touched.
    pub(crate) fn remove(&self, info_hash: InfoHash) -> Result<(), StateError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        rows::delete(&tx, info_hash)?;
        Ok(tx.commit()?)
    }

    /// Waits until no other process claims torrents.
    pub(crate) fn turn(&self) -> Result<Turn, StateError> {
        let lock = lock_file(&self.dir, "claiming.lock")?;
        lock.lock().map_err(|error| self.at_the_directory(error))?;
        Ok(Turn { lock })
    }

    /// Takes the right to run a torrent.
    pub(crate) fn claim(&self, turn: &Turn, info_hash: InfoHash) -> Result<Claim, StateError> {
        let claim = self.try_claim(info_hash)?;
        let mut alone_at = self.alone_at();
        let count = turn.claims().map_err(|error| self.at_the_directory(error))?;
        turn.set_claims(count.wrapping_add(1)).map_err(|error| self.at_the_directory(error))?;
        if *alone_at == Some(count) {
            *alone_at = Some(count.wrapping_add(1));
        }
        Ok(claim)
    }

    fn try_claim(&self, info_hash: InfoHash) -> Result<Claim, StateError> {
        let locks = self.dir.join("locks");
        make_private_dir(&locks)
            .map_err(|error| StateError::Directory { dir: locks.clone(), error: error.into() })?;
        let lock = lock_file(&locks, &info_hash.to_string())?;
        let free =
            lock.try_lock().map_err(|error| StateError::Directory { dir: locks, error: error.into() })?;
        if free {
            return Ok(Claim { lock });
        }
        let mut written = [0; HOLDER_BYTES_MAX];
        let len = lock.read_at(&mut written, 0).unwrap_or(0);
        Err(StateError::InUse { info_hash, holder: Holder::read(&written[..len]) })
    }

    /// The torrents that are claimed, but for ours. Those whose records are damaged are left out.
    ///
    /// Every claim is counted. Who found that nobody else runs any looks again when others have claimed one since, so that to
    /// add a thousand torrents costs one look at each, not a thousand.
    pub(crate) fn claimed(
        &self,
        turn: &Turn,
        ours: impl Fn(InfoHash) -> bool,
    ) -> Result<Vec<StoredTorrent>, StateError> {
        let count = turn.claims().map_err(|error| self.at_the_directory(error))?;
        if *self.alone_at() == Some(count) {
            return Ok(Vec::new());
        }
        let (mut claimed, mut alone) = (Vec::new(), true);
        let others = rows::info_hashes(&self.db())?.into_iter().filter(|&info_hash| !ours(info_hash));
        for info_hash in others.collect::<Vec<_>>() {
            match self.try_claim(info_hash) {
                Err(StateError::InUse { .. }) => {
                    alone = false;
                    claimed.extend(self.torrent(info_hash).ok().flatten());
                }
                Ok(_) => {}
                Err(_) => alone = false,
            }
        }
        *self.alone_at() = alone.then_some(count);
        Ok(claimed)
    }

    /// Makes resume records durable, all in one transaction. One answer per update: those of torrents that are not in the
    /// store fail alone, and if the transaction fails all do.
    pub(crate) fn commit(&self, updates: &[ResumeUpdate]) -> Vec<Result<(), StateError>> {
        let mut db = self.db();
        match commit_all(&mut db, updates) {
            Ok(done) => done,
            Err(error) => updates.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Says durably that these files are being written to again, so that a crash from now on does not make them look as if
    /// a stranger had changed them.
    pub(crate) fn unsettle(&self, info_hash: InfoHash) -> Result<(), StateError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(id) = rows::id_of(&tx, info_hash)? {
            rows::unsettle(&tx, id, info_hash)?;
        }
        Ok(tx.commit()?)
    }

    /// Makes durable what these files look like, without a new resume record: how a run leaves them.
    pub(crate) fn set_marks(&self, info_hash: InfoHash, marks: &[FileMark]) -> Result<(), StateError> {
        let mut db = self.db();
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(id) = rows::id_of(&tx, info_hash)? {
            rows::write_marks(&tx, id, info_hash, marks)?;
        }
        Ok(tx.commit()?)
    }

    fn at_the_directory(&self, error: std::io::Error) -> StateError {
        StateError::Directory { dir: self.dir.clone(), error: error.into() }
    }

    fn alone_at(&self) -> MutexGuard<'_, Option<u64>> {
        self.alone_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic elsewhere cannot leave the connection half-changed: an open transaction is rolled back when it is dropped.
    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn commit_all(
    db: &mut Connection,
    updates: &[ResumeUpdate],
) -> Result<Vec<Result<(), StateError>>, StateError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut done = Vec::with_capacity(updates.len());
    for update in updates {
        done.push(match rows::id_of(&tx, update.info_hash)? {
            Some(id) => {
                rows::write_resume(&tx, id, update)?;
                Ok(())
            }
            None => Err(StateError::Unknown(update.info_hash)),
        });
    }
    tx.commit()?;
    Ok(done)
}

/// What we share and with whom is nobody else's business on a machine with several users.
fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn lock_file(dir: &Path, name: &str) -> Result<File, StateError> {
    let fault = |error: std::io::Error| StateError::Directory { dir: dir.into(), error: error.into() };
    let handle = Dir::open(dir).map_err(fault)?;
    let name = Path::new(name);
    let file = match handle.file(name, Access::Create) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => handle.file(name, Access::Write),
        opened => opened,
    };
    file.map_err(fault)
}

#[cfg(test)]
mod tests;
