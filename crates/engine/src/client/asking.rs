//! What a user of the library is asked about a torrent once it is known what is in it, before anything of it is written.

use proto::Priority;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use wire::{Bitfield, Metainfo};

/// Says which files are wanted, as soon as it is known which there are: one priority for each, or none if all are.
#[derive(Clone)]
pub struct ChooseFiles(Arc<Choose>);

type Choose = dyn Fn(&Metainfo) -> Result<Vec<Priority>, String> + Send + Sync;

impl ChooseFiles {
    /// Asks this function. Its error, a text for the user, stops the torrent.
    pub fn by(
        choose: impl Fn(&Metainfo) -> Result<Vec<Priority>, String> + Send + Sync + 'static,
    ) -> ChooseFiles {
        ChooseFiles(Arc::new(choose))
    }

    /// Asks.
    pub(super) fn ask(&self, metainfo: &Metainfo) -> Result<Vec<Priority>, String> {
        (self.0)(metainfo)
    }
}

impl fmt::Debug for ChooseFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChooseFiles")
    }
}

/// A torrent that is about to begin.
#[derive(Clone, Copy, Debug)]
pub struct Prospect<'a> {
    /// What it is.
    pub metainfo: &'a Metainfo,
    /// One per file; empty means that all are wanted.
    pub priorities: &'a [Priority],
    /// Where its files go.
    pub root: &'a Path,
    /// The pieces that an earlier run verified and made durable there, as its record says; `None` without a record.
    pub have: Option<&'a Bitfield>,
}

/// Says whether there is room for a torrent, before its first byte is written. Asked once when it is added, or when its metadata
/// has come; not for those of earlier runs that are restored.
#[derive(Clone)]
pub struct CheckRoom(Arc<Check>);

type Check = dyn Fn(Prospect<'_>) -> Result<(), String> + Send + Sync;

impl CheckRoom {
    /// Asks this function. Its error, a text for the user, stops the torrent. It may look at the disk, and should not wait for
    /// anything else.
    pub fn by(check: impl Fn(Prospect<'_>) -> Result<(), String> + Send + Sync + 'static) -> CheckRoom {
        CheckRoom(Arc::new(check))
    }

    /// Asks.
    pub(super) fn ask(&self, prospect: Prospect<'_>) -> Result<(), String> {
        (self.0)(prospect)
    }
}

impl fmt::Debug for CheckRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckRoom")
    }
}
