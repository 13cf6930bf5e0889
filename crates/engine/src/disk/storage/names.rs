//! What files are called on disk: unfinished ones have a suffix, and the part store has a name of its own.
//!
//! Pure. Always: no two files of a torrent, finished or not, share a name.

use crate::disk::spec::StorageSpec;
use std::path::PathBuf;
use wire::{FileIndex, InfoHash};

/// How many suffixes are tried: `.part`, `.part2` and so on. A torrent would need files with all these endings to use them up.
const SUFFIXES_MAX: u32 = 100;

/// The names that one torrent uses.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    suffix: String,
}

impl Names {
    /// Chooses the suffix: the first that no name in the torrent ends in, so that the unfinished `a` is never mistaken for a
    /// file that is called `a.part`.
    pub(crate) fn new(spec: &StorageSpec) -> Names {
        let layout = &spec.metainfo.layout;
        let suffixes = (1..=SUFFIXES_MAX).map(|number| match number {
            1 => ".part".to_owned(),
            _ => format!(".part{number}"),
        });
        let mut candidates: Vec<String> = suffixes.collect();
        for path in layout.file_indices().filter_map(|file| spec.metainfo.path(file)) {
            if !path.as_str().to_ascii_lowercase().contains(".part") {
                continue;
            }
            for element in path.elements().map(str::to_ascii_lowercase) {
                candidates.retain(|suffix| !element.ends_with(suffix.as_str()));
            }
        }
        let suffix = candidates.into_iter().next();
        Names { suffix: suffix.unwrap_or_else(|| format!(".{}.part", spec.metainfo.info_hash)) }
    }

    /// What the file is called while it is unfinished; `None` if it is never on disk.
    pub(crate) fn unfinished(&self, spec: &StorageSpec, file: FileIndex) -> Option<PathBuf> {
        spec.metainfo.path(file).map(|path| format!("{path}{}", self.suffix).into())
    }

    /// What the file is called when it is whole; `None` if it is never on disk.
    pub(crate) fn finished(&self, spec: &StorageSpec, file: FileIndex) -> Option<PathBuf> {
        spec.metainfo.path(file).map(|path| path.as_str().into())
    }
}

/// The part store of a torrent. Hidden, and named by hash so that nothing else is called so.
pub(crate) fn part_store(info_hash: InfoHash) -> PathBuf {
    format!(".gannet-{info_hash}.parts").into()
}
