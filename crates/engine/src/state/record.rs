//! What the state store holds, as values. Not how it is stored: that is `rows` and `schema`.

use proto::command::SeedGoal;
use proto::{AddTorrent, Priority, ResumeRecord, TorrentId};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use wire::offer::Place;
use wire::private::SWARM_MARK_LEN;
use wire::{InfoHash, Metainfo, PieceIndex};

/// One torrent of ours, as an earlier run left it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct StoredTorrent {
    /// Its name.
    pub(crate) info_hash: InfoHash,
    /// The bytes of the `.torrent` file; or, while the metadata has not come, of the magnet link.
    pub(crate) metainfo: Vec<u8>,
    /// Where its files are.
    pub(crate) root: PathBuf,
    /// What the user set.
    pub(crate) options: TorrentOptions,
    /// When it was added, in seconds of wall time; for display.
    pub(crate) added: u64,
    /// Among whom it is kept.
    pub(crate) swarm: Swarm,
    /// Files that are ranges of larger ones; ascending.
    pub(crate) places: Box<[Place]>,
    /// What was made durable; `None` before the first commit.
    pub(crate) resume: Option<Box<StoredResume>>,
}

/// Among whom a torrent is kept. It never changes as long as the torrent is remembered: see `Client::admit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Swarm {
    /// Among everybody.
    Open,
    /// Among those who hold the key that has this mark ([`wire::private::SwarmKey::mark`]).
    Private([u8; SWARM_MARK_LEN]),
    /// What was written is damaged. Never written; to be treated as somebody's secret.
    Unknown,
}

/// What the user set for one torrent.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct TorrentOptions {
    /// One per file; empty means all `Normal`.
    pub(crate) priorities: Box<[Priority]>,
    /// Fetch in order.
    pub(crate) sequential: bool,
    /// Do not start by itself.
    pub(crate) paused: bool,
    /// When to stop seeding.
    pub(crate) seed_goal: SeedGoal,
}

impl TorrentOptions {
    /// The wish to take part in a torrent with them.
    pub(crate) fn add(
        &self,
        torrent: TorrentId,
        metainfo: Arc<Metainfo>,
        resume: Option<ResumeRecord>,
        peers: Vec<SocketAddr>,
    ) -> AddTorrent {
        AddTorrent {
            torrent,
            metainfo,
            resume,
            priorities: self.priorities.clone(),
            sequential: self.sequential,
            paused: self.paused,
            peers,
            seed_goal: self.seed_goal,
        }
    }
}

/// What a commit made durable: the session's record, and what the disk must know to trust it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct StoredResume {
    /// The session's half.
    pub(crate) record: ResumeRecord,
    /// The volume that held the root.
    pub(crate) volume: VolumeMark,
    /// Files that exist, by index, and the part store if there is one.
    pub(crate) files: Vec<FileMark>,
    /// Open pieces whose spilled blocks lie in the part store; those of other open pieces lie in place.
    pub(crate) stored: Vec<PieceIndex>,
}

/// How a volume is known again when something else may be mounted in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct VolumeMark {
    /// The file system's own id; 0 if it has none.
    pub(crate) fsid: u64,
    /// Inode of the root directory.
    pub(crate) root_inode: u64,
}

/// How a file is known again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileMark {
    /// Which file of the torrent; the part store has a number that no file has.
    pub(crate) file: u32,
    /// Bytes.
    pub(crate) size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub(crate) mtime: i64,
    /// Inode.
    pub(crate) inode: u64,
    /// The first so many bytes were there before us: only verified pieces may be written over them.
    pub(crate) adopted: u64,
    /// Nobody of us writes to it any more, so that size and time must fit exactly. Otherwise it may have grown.
    pub(crate) settled: bool,
}

/// What one commit says of one torrent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ResumeUpdate {
    /// Whose.
    pub(crate) info_hash: InfoHash,
    /// The session's half.
    pub(crate) record: ResumeRecord,
    /// The volume that holds the root.
    pub(crate) volume: VolumeMark,
    /// Open pieces whose spilled blocks lie in the part store.
    pub(crate) stored: Vec<PieceIndex>,
    /// Files whose mark changed since the last commit.
    pub(crate) files: Vec<FileMark>,
}
