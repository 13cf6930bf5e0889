//! What the disk must know of a torrent: its files, its hashes, and where they go. Not what lies there: that is `storage`.
//!
//! Always: paths are safe and distinct, for `Metainfo` makes them so. BEP: 3, 47

use proto::Priority;
use std::path::PathBuf;
use std::sync::Arc;
use wire::{FileIndex, Metainfo};

/// One torrent as the disk sees it.
#[derive(Clone, Debug)]
pub(crate) struct StorageSpec {
    /// Files, pieces and hashes.
    pub(crate) metainfo: Arc<Metainfo>,
    /// Directory below which everything stays. Created if it is absent and no earlier run used it.
    pub(crate) root: PathBuf,
    /// How room is made.
    pub(crate) allocation: Allocation,
}

/// How room for a file is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocation {
    /// Room is taken as pieces come.
    #[default]
    Sparse,
    /// All room is taken before the first piece, so that a full disk shows at once.
    Full,
}

/// Which files may be created. A piece that a wanted and an unwanted file share is kept without creating the latter, so
/// files, not pieces, must be told apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct WantedFiles(Box<[bool]>);

impl WantedFiles {
    /// All files.
    #[cfg(test)]
    pub(crate) fn all() -> WantedFiles {
        WantedFiles::default()
    }

    /// Those that are not skipped; an empty slice means all, as in `AddTorrent`.
    pub(crate) fn from_priorities(priorities: &[Priority]) -> WantedFiles {
        WantedFiles(priorities.iter().map(|&priority| priority != Priority::Skip).collect())
    }

    /// Whether this file is wanted.
    pub(crate) fn has(&self, file: FileIndex) -> bool {
        self.0.is_empty() || self.0.get(file.as_usize()).copied().unwrap_or(false)
    }
}
