//! What files are called on disk: unfinished ones have a suffix, and the part store has a name of its own.
//!
//! Pure. Always: no two files of a torrent, finished or not, share a name: `wire` makes paths so that this suffix is free.

use std::path::PathBuf;
use wire::{FileIndex, InfoHash, Metainfo};

/// What is behind the name of a file that is not whole.
const SUFFIX: &str = ".part";

/// What the file is called when it is whole; `None` if it is never on disk.
pub(crate) fn finished(metainfo: &Metainfo, file: FileIndex) -> Option<PathBuf> {
    metainfo.path(file).map(|path| path.as_str().into())
}

/// What the file is called while it is unfinished; `None` if it is never on disk.
pub(crate) fn unfinished(metainfo: &Metainfo, file: FileIndex) -> Option<PathBuf> {
    metainfo.path(file).map(|path| format!("{path}{SUFFIX}").into())
}

/// The part store of a torrent. Hidden, and named by hash so that nothing else is called so.
pub(crate) fn part_store(info_hash: InfoHash) -> PathBuf {
    format!(".gannet-{info_hash}.parts").into()
}
