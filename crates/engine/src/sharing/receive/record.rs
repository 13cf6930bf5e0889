//! What is remembered of one receive, so that a later run goes on: who we said to be, and where it goes. Beside it lies the state
//! of the client that fetches it.
//!
//! What always holds: it is written before anything is written to the output folder; so what is there without it is somebody else's. The
//! key of the swarm is not in it.

use super::ReceiveError;
use crate::SwarmKey;
use crate::state::State;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use wire::bencode::{Bencode, Limits, bytes, dict};
use wire::offer::INSTANCE_LEN;
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
}

/// Where it is remembered.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    dir: PathBuf,
}

impl Memory {
    /// Where what belongs to this swarm is.
    pub(super) fn of(state_dir: &Path, key: &SwarmKey) -> Memory {
        let mark: String = key.mark().iter().map(|byte| format!("{byte:02x}")).collect();
        Memory { dir: state_dir.join("receive").join(mark) }
    }

    /// Where the client's state is.
    pub(super) fn client_dir(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// What an earlier run left, if it went to the same place.
    pub(super) fn recall(&self, output: &Path, top: &SafePath) -> Option<Record> {
        let text = fs::read(self.dir.join("record")).ok()?;
        let record = Record::decode(&text)?;
        (record.output == output && record.top == *top).then_some(record)
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

    /// Remembers, and forgets what was remembered of another place.
    pub(super) fn remember(&self, record: &Record) -> Result<(), ReceiveError> {
        let fault = |error| ReceiveError::Folder { path: self.dir.clone(), error };
        if self.recall(&record.output, &record.top).as_ref() == Some(record) {
            return Ok(());
        }
        self.forget().and_then(|()| self.write(record)).map_err(fault)
    }

    /// Removes everything.
    pub(super) fn forget(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

impl Record {
    fn encode(&self) -> Vec<u8> {
        let entries = [
            ("instance", bytes(self.instance)),
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_recalled_for_the_same_place_alone() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::of(dir.path(), &SwarmKey([1; 32]));
        let top = SafePath::from_name(b"holiday");
        let record = Record { instance: [7; INSTANCE_LEN], output: "/somewhere".into(), top: top.clone() };
        assert_eq!(memory.recall(&record.output, &top), None);
        memory.remember(&record).unwrap();
        assert_eq!(memory.recall(&record.output, &top), Some(record.clone()));
        assert_eq!(memory.recall(Path::new("/elsewhere"), &top), None);
        assert_eq!(memory.recall(&record.output, &SafePath::from_name(b"other")), None);
        assert_eq!(Memory::of(dir.path(), &SwarmKey([2; 32])).recall(&record.output, &top), None);
        memory.forget().unwrap();
        assert_eq!(memory.recall(&record.output, &top), None);
        memory.forget().unwrap();
    }

    #[test]
    fn a_record_that_is_damaged_is_none() {
        let record =
            Record { instance: [7; INSTANCE_LEN], output: "/o".into(), top: SafePath::from_name(b"t") };
        let text = record.encode();
        assert_eq!(Record::decode(&text), Some(record));
        for len in 0..text.len() {
            assert_eq!(Record::decode(&text[..len]), None, "{len}");
        }
    }
}
