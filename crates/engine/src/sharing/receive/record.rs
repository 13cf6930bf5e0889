//! What is remembered of one receive, so that a later run goes on: who we said to be, and where it goes. Beside it lies the state
//! of the client that fetches it.
//!
//! What always holds: it is written before anything is written to the output folder; so what is there without it is somebody else's, and
//! so is what is there when it says that all was here. There is one for each place, and whoever writes there holds its lock. The
//! key of the swarm is not in it.

use super::ReceiveError;
use crate::SwarmKey;
use crate::state::State;
use sha1::{Digest, Sha1};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wire::bencode::{Bencode, Limits, bytes, dict, int};
use wire::offer::INSTANCE_LEN;
use wire::private::SWARM_MARK_LEN;
use wire::{PieceIndex, SafePath};

/// Longest record: the longest path of Linux, a name, and what is around them.
const LIMITS: Limits = Limits { bytes: 16 * 1024, tokens: 16, depth: 2 };

/// What is remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// By which the sharer knows us again.
    pub(super) instance: [u8; INSTANCE_LEN],
    /// The folder into which it goes.
    pub(super) output: PathBuf,
    /// What lies there: a file or a folder.
    pub(super) top: SafePath,
    /// Of which swarm.
    pub(super) mark: [u8; SWARM_MARK_LEN],
    /// All of it was here: from then on it is the user's.
    pub(super) done: bool,
}

/// The right to write to a place; held as long as this.
#[derive(Debug)]
pub(super) struct Held {
    _lock: fs::File,
}

/// Where it is remembered.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    dir: PathBuf,
}

impl Memory {
    /// Where what belongs to a place is.
    pub(super) fn of(state_dir: &Path, output: &Path, top: &SafePath) -> Memory {
        let place = Sha1::digest(output.join(top).as_os_str().as_bytes());
        let name: String = place.iter().map(|byte| format!("{byte:02x}")).collect();
        Memory { dir: state_dir.join("receive").join(name) }
    }

    /// Where the client's state is.
    pub(super) fn client_dir(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// What an earlier run left, if it took the same to the same place and had not all of it.
    pub(super) fn recall(&self, output: &Path, top: &SafePath, key: &SwarmKey) -> Option<Record> {
        let record = self.recorded()?;
        let same = record.output == output && record.top == *top && record.mark == key.mark();
        (same && !record.done).then_some(record)
    }

    fn recorded(&self) -> Option<Record> {
        Record::decode(&fs::read(self.dir.join("record")).ok()?)
    }

    /// Bytes that an earlier run has, as it remembers; 0 if it does not.
    pub(super) fn resumed(&self) -> u64 {
        let dir = self.client_dir();
        if !dir.exists() {
            return 0;
        }
        let stored = State::open(&dir).ok().and_then(|(state, _)| state.torrents().ok());
        let torrents = stored.map(|stored| stored.torrents).unwrap_or_default();
        let has = torrents.iter().map(|torrent| {
            let metainfo = wire::Metainfo::parse_stored(&torrent.metainfo).ok();
            let (Some(metainfo), Some(resume)) = (metainfo, &torrent.resume) else { return 0 };
            let layout = &metainfo.layout;
            let have = layout.piece_indices().filter(|&piece: &PieceIndex| resume.record.have.has(piece));
            have.map(|piece| u64::from(layout.piece_len(piece))).sum()
        });
        has.sum()
    }

    /// Remembers, and forgets what was remembered of anything else in this place.
    ///
    /// # Errors
    /// When it cannot be written, or somebody else receives to this place at this time.
    pub(super) fn remember(&self, record: &Record) -> Result<Held, ReceiveError> {
        let remembered = || {
            let held = self.hold()?;
            if self.recorded().as_ref() != Some(record) {
                absent_or(fs::remove_file(self.dir.join("record")))?;
                absent_or(fs::remove_dir_all(self.client_dir()))?;
                self.write(record)?;
            }
            Ok(held)
        };
        remembered().map_err(|error| ReceiveError::Folder { path: record.output.join(&record.top), error })
    }

    fn hold(&self) -> io::Result<Held> {
        fs::create_dir_all(&self.dir)?;
        let path = self.dir.join("lock");
        let lock = fs::File::options().create(true).truncate(false).write(true).open(&path)?;
        let busy = || io::Error::new(io::ErrorKind::WouldBlock, "it is being received there already");
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => busy(),
            fs::TryLockError::Error(error) => error,
        })?;
        // Whoever ended in between took the file away with everything else.
        let is_there = path.metadata().is_ok_and(|at| lock.metadata().is_ok_and(|of| at.ino() == of.ino()));
        is_there.then_some(Held { _lock: lock }).ok_or_else(busy)
    }

    /// All of it is here: what lies there is the user's from now on, also if nothing can be removed any more. Where nothing can be
    /// written, on a disk that is full say, nothing is remembered any more, which says the same.
    pub(super) fn set_done(&self, record: &Record) -> io::Result<()> {
        self.write(&Record { done: true, ..record.clone() }).or_else(|_| {
            absent_or(fs::remove_file(self.dir.join("record")))?;
            fs::File::open(&self.dir)?.sync_all()
        })
    }

    /// Removes everything.
    pub(super) fn forget(&self) -> io::Result<()> {
        absent_or(fs::remove_dir_all(&self.dir))
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let unfinished = self.dir.join("record.new");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&record.encode())?;
        file.sync_all()?;
        fs::rename(&unfinished, self.dir.join("record"))?;
        fs::File::open(&self.dir)?.sync_all()
    }
}

fn absent_or(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let entries = [
            ("done", int(i64::from(self.done))),
            ("instance", bytes(self.instance)),
            ("mark", bytes(self.mark)),
            ("output", bytes(self.output.as_os_str().as_bytes())),
            ("top", bytes(self.top.as_str())),
        ];
        dict(entries).into_bytes()
    }

    fn decode(text: &[u8]) -> Option<Record> {
        let parsed = Bencode::parse(text, &LIMITS).ok()?;
        let root = parsed.root();
        Some(Record {
            instance: root.get("instance")?.as_bytes()?.try_into().ok()?,
            output: PathBuf::from(std::ffi::OsStr::from_bytes(root.get("output")?.as_bytes()?)),
            top: SafePath::from_name(root.get("top")?.as_bytes()?),
            mark: root.get("mark")?.as_bytes()?.try_into().ok()?,
            done: root.get("done")?.as_uint()? != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(output: &str, key: &SwarmKey) -> Record {
        let top = SafePath::from_name(b"holiday");
        Record { instance: [7; INSTANCE_LEN], output: output.into(), top, mark: key.mark(), done: false }
    }

    #[test]
    fn what_is_remembered_is_recalled_for_the_same_place_and_swarm_until_all_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other) = (SwarmKey([1; 32]), SwarmKey([2; 32]));
        let record = record("/somewhere", &key);
        let memory = Memory::of(dir.path(), &record.output, &record.top);
        let recall = |key| memory.recall(&record.output, &record.top, key);
        assert_eq!(recall(&key), None);
        let held = memory.remember(&record).unwrap();
        assert_eq!((recall(&key), recall(&other)), (Some(record.clone()), None));
        memory.set_done(&record).unwrap();
        assert_eq!(recall(&key), None, "what lies there is the user's");
        memory.forget().unwrap();
        memory.forget().unwrap();
        drop(held);
        let _again = memory.remember(&record).unwrap();
        assert_eq!(recall(&key), Some(record.clone()));
    }

    #[test]
    fn what_is_here_in_full_is_the_users_also_where_nothing_can_be_written_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let key = SwarmKey([1; 32]);
        let record = record("/somewhere", &key);
        let memory = Memory::of(dir.path(), &record.output, &record.top);
        let _held = memory.remember(&record).unwrap();
        // No file can be made under this name, as if the disk were full.
        fs::create_dir(memory.dir.join("record.new")).unwrap();
        memory.set_done(&record).unwrap();
        assert_eq!(memory.recall(&record.output, &record.top, &key), None);
    }

    #[test]
    fn a_second_receive_leaves_the_state_of_the_first_alone_wherever_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let key = SwarmKey([1; 32]);
        let [first, second] = ["/somewhere", "/elsewhere"].map(|output| record(output, &key));
        let memory = |record: &Record| Memory::of(dir.path(), &record.output, &record.top);
        let _held = memory(&first).remember(&first).unwrap();
        fs::create_dir(memory(&first).client_dir()).unwrap();
        let _other = memory(&second).remember(&second).unwrap();
        let taken = memory(&first).remember(&Record { mark: [9; SWARM_MARK_LEN], ..first.clone() });
        assert!(matches!(taken, Err(ReceiveError::Folder { .. })), "{taken:?}");
        assert!(memory(&first).client_dir().exists());
        assert_eq!(memory(&first).recall(&first.output, &first.top, &key), Some(first));
    }

    #[test]
    fn a_record_that_is_damaged_is_none() {
        let record = record("/o", &SwarmKey([1; 32]));
        let text = record.encode();
        assert_eq!(Record::decode(&text), Some(record));
        for len in 0..text.len() {
            assert_eq!(Record::decode(&text[..len]), None, "{len}");
        }
    }
}
