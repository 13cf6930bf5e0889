//! What the disk must know of a torrent: its files, its hashes, and where they go. Not what lies there: that is `storage`.
//!
//! Always: paths below a root are safe and distinct, for `Metainfo` and `names` make them so; what is lent fits its torrent, file by file.
//! BEP: 3, 47

use super::names::{self, Suffix};
use crate::hashing::HashRange;
use proto::Priority;
use std::path::PathBuf;
use std::sync::Arc;
use wire::offer::Place;
use wire::{FileIndex, Metainfo};

/// Where a torrent's bytes lie.
#[derive(Clone, Debug)]
pub(crate) enum ContentSpec {
    /// In files of its own, below a root: read, written, remembered.
    Kept(Arc<StorageSpec>),
    /// In ranges of somebody's files, wherever they are: read.
    Lent(Arc<LentSpec>),
}

impl ContentSpec {
    /// Files, pieces and hashes.
    pub(crate) fn metainfo(&self) -> &Arc<Metainfo> {
        match self {
            ContentSpec::Kept(spec) => &spec.metainfo,
            ContentSpec::Lent(spec) => &spec.metainfo,
        }
    }
}

/// A torrent whose content is lent.
#[derive(Debug)]
pub(crate) struct LentSpec {
    /// Files, pieces and hashes.
    pub(crate) metainfo: Arc<Metainfo>,
    /// One per file. No link in their paths is followed.
    ranges: Box<[HashRange]>,
}

/// Why ranges are not the files of a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misfit {
    /// There are as many ranges as this, and another number of files.
    Count(usize),
    /// The range of this file is no range of its file, or is not as long as the torrent says.
    File(FileIndex),
}

impl LentSpec {
    /// These ranges as the files of this torrent.
    pub(crate) fn new(metainfo: Arc<Metainfo>, ranges: Vec<HashRange>) -> Result<LentSpec, Misfit> {
        let layout = &metainfo.layout;
        if ranges.len() != layout.files() as usize {
            return Err(Misfit::Count(ranges.len()));
        }
        for (file, range) in layout.file_indices().zip(&ranges) {
            let extent = layout.extent(file);
            let ends = range.offset.checked_add(range.len);
            if extent.pad || extent.len != range.len || ends.is_none_or(|end| end > range.whole) {
                return Err(Misfit::File(file));
            }
        }
        Ok(LentSpec { ranges: ranges.into(), metainfo })
    }

    /// Where a file's bytes lie.
    pub(crate) fn range(&self, file: FileIndex) -> Option<&HashRange> {
        self.ranges.get(file.as_usize())
    }

    /// All files with their ranges.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (FileIndex, &HashRange)> {
        self.metainfo.layout.file_indices().zip(&self.ranges)
    }
}

/// One torrent as the disk sees it that keeps files of its own.
#[derive(Clone, Debug)]
pub(crate) struct StorageSpec {
    /// Files, pieces and hashes.
    pub(crate) metainfo: Arc<Metainfo>,
    /// Directory below which everything stays. Created if it is absent and no earlier run used it.
    pub(crate) root: PathBuf,
    /// How room is made.
    pub(crate) allocation: Allocation,
    /// Files that are ranges of larger ones of the same path; ascending, each once ([`places_fit`]).
    pub(crate) places: Box<[Place]>,
    suffix: Suffix,
}

impl StorageSpec {
    /// This torrent below this directory. Looks at the names of all files.
    pub(crate) fn new(
        metainfo: Arc<Metainfo>,
        root: PathBuf,
        allocation: Allocation,
        places: Box<[Place]>,
    ) -> StorageSpec {
        StorageSpec { suffix: Suffix::of(&metainfo), metainfo, root, allocation, places }
    }

    /// What a file is called when it is whole; `None` if it is never on disk.
    pub(crate) fn finished(&self, file: FileIndex) -> Option<PathBuf> {
        names::finished(&self.metainfo, file)
    }

    /// What a file is called while it is unfinished; `None` if it is never on disk.
    pub(crate) fn unfinished(&self, file: FileIndex) -> Option<PathBuf> {
        match self.place(file) {
            Some(_) => Suffix::of_ranges().unfinished(&self.metainfo, file),
            None => self.suffix.unfinished(&self.metainfo, file),
        }
    }

    /// Where in a larger file this one lies, if it is a range.
    pub(crate) fn place(&self, file: FileIndex) -> Option<Place> {
        place_of(&self.places, file)
    }

    /// Bytes of the file on disk when all of it is there, and where in it our own begin.
    pub(crate) fn whole_and_offset(&self, file: FileIndex) -> (u64, u64) {
        match self.place(file) {
            Some(place) => (place.whole, place.offset),
            None => (self.metainfo.layout.extent(file).len, 0),
        }
    }
}

/// The place of a file, among places that ascend.
pub(crate) fn place_of(places: &[Place], file: FileIndex) -> Option<Place> {
    let at = places.binary_search_by_key(&file, |place| place.file).ok()?;
    places.get(at).copied()
}

/// An error if these places are not ascending, each for a file on disk that has bytes, within its larger file, and with no other file in
/// the way of its name.
pub(crate) fn places_fit(metainfo: &Metainfo, places: &[Place]) -> Result<(), FileIndex> {
    let layout = &metainfo.layout;
    let mut least = 0;
    for &Place { file, offset, whole } in places {
        let known = file.0 >= least && file.0 < layout.files() && metainfo.path(file).is_some();
        let len = if known { layout.extent(file).len } else { 0 };
        if len == 0 || offset.checked_add(len).is_none_or(|end| end > whole) {
            return Err(file);
        }
        least = file.0 + 1;
    }
    names::first_taken(metainfo, places.iter().map(|place| place.file)).map_or(Ok(()), Err)
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
