//! What files are called on disk: unfinished ones have a suffix, and the part store has a name of its own.
//!
//! Pure. Always: no two files of a torrent, finished or not, share a name, nor has one the name of another's directory. Those of
//! finished ones are `wire`'s to keep apart; a torrent that has names which end like an unfinished file's has a suffix of its own. But
//! a file of which several torrents have ranges is called the same by all of them: [`first_taken`] says where that cannot be.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use wire::{FileIndex, InfoHash, Metainfo};

/// What is behind the name of a file that is not whole, unless the torrent needs another suffix.
const SUFFIX: &str = ".part";

/// What is behind the names of a torrent's files while they are not whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Suffix(Box<str>);

impl Suffix {
    /// Of this torrent. One that has names of this kind has its hash in its suffix: none of them ends so, unless somebody made them
    /// to, who gets no more of it than files that cannot be made.
    pub(crate) fn of(metainfo: &Metainfo) -> Suffix {
        match metainfo.layout.files() > 1 && has_unfinished_names(metainfo) {
            // As long as this it fits behind the longest name: 240 bytes and 14 more.
            true => {
                let hash = metainfo.info_hash.to_string();
                Suffix(format!(".{}{SUFFIX}", hash.get(..8).unwrap_or_default()).into())
            }
            false => Suffix::of_ranges(),
        }
    }

    /// Of files that several torrents have ranges of.
    pub(crate) fn of_ranges() -> Suffix {
        Suffix(SUFFIX.into())
    }

    /// What the file is called while it is unfinished; `None` if it is never on disk.
    pub(crate) fn unfinished(&self, metainfo: &Metainfo, file: FileIndex) -> Option<PathBuf> {
        metainfo.path(file).map(|path| format!("{path}{}", self.0).into())
    }
}

/// What the file is called when it is whole; `None` if it is never on disk.
pub(crate) fn finished(metainfo: &Metainfo, file: FileIndex) -> Option<PathBuf> {
    metainfo.path(file).map(|path| path.as_str().into())
}

/// The first of these files whose name, as long as it is unfinished and others have ranges of it, another file of the torrent has, or a
/// directory.
pub(crate) fn first_taken(
    metainfo: &Metainfo,
    mut files: impl Iterator<Item = FileIndex>,
) -> Option<FileIndex> {
    if !has_unfinished_names(metainfo) {
        return None;
    }
    let mut names = HashSet::new();
    for path in metainfo.layout.file_indices().filter_map(|file| metainfo.path(file)) {
        let path = PathBuf::from(path.as_str().to_lowercase());
        names.extend(path.ancestors().map(Path::to_owned));
    }
    let suffix = Suffix::of_ranges();
    let unfinished = |file| Some(suffix.unfinished(metainfo, file)?.to_string_lossy().to_lowercase().into());
    files.find(|&file| unfinished(file).is_some_and(|path: PathBuf| names.contains(&path)))
}

/// Whether a file or a directory is called as unfinished files are. It does not matter whose: such names are rare.
fn has_unfinished_names(metainfo: &Metainfo) -> bool {
    let ends_so = |name: &str| {
        let at = name.len().checked_sub(SUFFIX.len());
        at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX))
    };
    let mut paths = metainfo.layout.file_indices().filter_map(|file| metainfo.path(file));
    paths.any(|path| path.as_str().split('/').any(ends_so))
}

/// The part store of a torrent. Hidden, and named by hash so that nothing else is called so.
pub(crate) fn part_store(info_hash: InfoHash) -> PathBuf {
    format!(".gannet-{info_hash}.parts").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::metainfo::{MetainfoBuilder, NewFile};

    #[test]
    fn a_torrent_with_names_that_end_like_an_unfinished_files_has_a_suffix_of_its_own() {
        let own = |files: &[&str]| {
            let new = |path: &&str| NewFile { path: path.split('/').map(str::to_owned).collect(), len: 1 };
            let builder = MetainfoBuilder::directory("t", files.iter().map(new).collect(), 16_384);
            let metainfo = builder.build(&[[1; 20]]).unwrap().1;
            let suffix = Suffix::of(&metainfo);
            let ours = format!(".{}.part", &metainfo.info_hash.to_string()[..8]);
            assert!(*suffix.0 == *SUFFIX || *suffix.0 == *ours, "{suffix:?}");
            let taken = first_taken(&metainfo, metainfo.layout.file_indices());
            (*suffix.0 != *SUFFIX, taken.map(|file| file.0))
        };
        // And which file cannot be a range.
        let table: [(&[&str], bool, Option<u32>); 6] = [
            (&["a", "b"], false, None),
            (&["a", "apart", "a.parts", "part"], false, None),
            (&["a", "a.part"], true, Some(0)),
            (&["A", "a.PART/x"], true, Some(0)),
            (&["a", "b.part"], true, None),
            (&["a", "d/a.part"], true, None),
        ];
        for (files, expected, taken) in table {
            assert_eq!(own(files), (expected, taken), "{files:?}");
        }
    }
}
