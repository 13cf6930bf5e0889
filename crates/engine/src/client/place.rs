//! Where a torrent's files go, and whether two torrents want the same ones.
//!
//! Looks at the root's links and at nothing else on disk. A file is in the way under both of its names, whole and unfinished. Names
//! that differ only in case count as the same: on some file systems they are. Ranges of one file may belong to several torrents as
//! long as no byte of it does, and what is lent is in nobody's way, for it is only read.

use super::AddError;
use crate::disk::names::{self, Suffix};
use crate::disk::spec::place_of;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::offer::Place as Range;
use wire::{FileIndex, Metainfo};

/// One torrent's place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    metainfo: Arc<Metainfo>,
    /// Where it writes; `None` if it only reads what is lent.
    below: Option<Below>,
}

/// Where the files of a torrent are that writes to them.
#[derive(Clone, Debug)]
struct Below {
    root: PathBuf,
    /// All files are one of these paths or below it, in small letters: an unfinished file of its own lies beside.
    tops: [PathBuf; 2],
    suffix: Suffix,
    /// Files that are ranges of larger ones; ascending.
    ranges: Arc<[Range]>,
    /// What stands for each file's two paths in small letters, ascending: whoever receives a large share adds a thousand torrents of a thousand
    /// files each, all of one top.
    marks: Arc<[u64]>,
}

impl Place {
    /// The place of a torrent whose files go below `root`, some of them as ranges of larger ones.
    pub(crate) fn new(metainfo: Arc<Metainfo>, root: &Path, ranges: &[Range]) -> Place {
        let root = resolved(root);
        let suffix = Suffix::of(&metainfo);
        let top = folded(&root.join(metainfo.name.safe.as_str()));
        let unfinished = suffix.unfinished(&metainfo, FileIndex(0)).filter(|_| metainfo.layout.files() == 1);
        let unfinished = unfinished.map(|path| folded(&root.join(path)));
        let tops = [unfinished.unwrap_or_else(|| top.clone()), top];
        let mut below = Below { root, tops, suffix, ranges: ranges.into(), marks: Arc::default() };
        let mut marks: Vec<_> = below.names(&metainfo).map(|(_, path)| mark(&folded(&path))).collect();
        marks.sort_unstable();
        below.marks = marks.into();
        Place { metainfo, below: Some(below) }
    }

    /// The place of a torrent that is lent.
    pub(crate) fn lent(metainfo: Arc<Metainfo>) -> Place {
        Place { metainfo, below: None }
    }

    /// Whose it is.
    pub(crate) fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// Whether it is lent, and so nothing of it is remembered.
    pub(crate) fn is_lent(&self) -> bool {
        self.below.is_none()
    }

    /// An error if the torrent that was here first has a file of the same path, or bytes of the same range of it.
    pub(crate) fn keep_apart(&self, first: &Place) -> Result<(), AddError> {
        let Some(path) = self.shares(first) else { return Ok(()) };
        let Metainfo { info_hash, name, .. } = &*first.metainfo;
        Err(AddError::SamePlace { first: *info_hash, name: name.original.to_string(), path })
    }

    /// A path that both torrents have, finished or not, wanted or not. Costs no more than a comparison if their names or roots differ, and one for each
    /// file if their files do.
    fn shares(&self, other: &Place) -> Option<PathBuf> {
        let (ours, theirs) = (self.below.as_ref()?, other.below.as_ref()?);
        let meet = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
        if !ours.tops.iter().any(|one| theirs.tops.iter().any(|other| meet(one, other))) {
            return None;
        }
        if !have_common(&ours.marks, &theirs.marks) {
            return None;
        }
        let known: HashMap<_, _> =
            theirs.names(&other.metainfo).map(|(file, path)| (folded(&path), file)).collect();
        let both = ours.names(&self.metainfo).find(|(file, path)| {
            let Some(&their) = known.get(&folded(path)) else { return false };
            // Ranges of one file: whoever has a range of another one, called as this one is while it is unfinished, is in the way.
            let of_one = self.path_of(*file) == other.path_of(their);
            !of_one || !are_apart(self.range(*file), other.range(their))
        });
        both.map(|(_, path)| path)
    }

    /// Where a file lies when it is whole, in small letters.
    fn path_of(&self, file: FileIndex) -> Option<PathBuf> {
        Some(folded(&self.below.as_ref()?.root.join(names::finished(&self.metainfo, file)?)))
    }

    /// A file's range of a larger one, and its bytes.
    fn range(&self, file: FileIndex) -> Option<(Range, u64)> {
        let range = place_of(&self.below.as_ref()?.ranges, file)?;
        Some((range, self.metainfo.layout.extent(file).len))
    }
}

impl Below {
    /// Under which paths files lie: each under two, whole or not.
    fn names(&self, metainfo: &Metainfo) -> impl Iterator<Item = (FileIndex, PathBuf)> {
        let both = |file| {
            let of_range = || Suffix::of_ranges().unfinished(metainfo, file);
            let unfinished = match place_of(&self.ranges, file) {
                Some(_) => of_range(),
                None => self.suffix.unfinished(metainfo, file),
            };
            [names::finished(metainfo, file), unfinished].map(|path| Some((file, self.root.join(path?))))
        };
        metainfo.layout.file_indices().flat_map(both).flatten()
    }
}

/// Whether two ascending lists have anything in common.
fn have_common(one: &[u64], other: &[u64]) -> bool {
    let mut others = other.iter().peekable();
    one.iter().any(|mark| {
        while others.next_if(|other| *other < mark).is_some() {}
        others.peek() == Some(&mark)
    })
}

fn mark(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Whether two files of one path are ranges of it that have no byte in common.
fn are_apart(one: Option<(Range, u64)>, other: Option<(Range, u64)>) -> bool {
    let (Some((one, one_len)), Some((other, other_len))) = (one, other) else { return false };
    let before = |first: Range, len: u64, second: Range| first.offset + len <= second.offset;
    one.whole == other.whole && (before(one, one_len, other) || before(other, other_len, one))
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path
}

fn folded(path: &Path) -> PathBuf {
    path.to_string_lossy().to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::metainfo::{MetainfoBuilder, NewFile};

    fn place(root: &Path, top: &str, files: &[&str]) -> Place {
        let new =
            files.iter().map(|path| NewFile { path: path.split('/').map(str::to_owned).collect(), len: 1 });
        let builder = match files {
            [] => MetainfoBuilder::single(top, 1, 16_384),
            _ => MetainfoBuilder::directory(top, new.collect(), 16_384),
        };
        Place::new(Arc::new(builder.build(&[[1; 20]]).unwrap().1), root, &[])
    }

    #[test]
    fn two_torrents_share_a_place_if_any_file_is_the_same() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&root, root.join("link")).unwrap();
        let first = place(&root, "t", &["a", "b/c"]);
        let at = |path: &str| root.join(path);
        // Root, top, files, and what is shared.
        let table: [(PathBuf, &str, &[&str], Option<&str>); 11] = [
            (root.clone(), "t", &["a"], Some("t/a")),
            (root.clone(), "t", &["x", "b/c"], Some("t/b/c")),
            (root.clone(), "T", &["x", "B/C"], Some("T/B/C")),
            (root.clone(), "t", &["x", "b/x"], None),
            (root.clone(), "u", &["a", "b/c"], None),
            (root.clone(), "t", &[], None),
            (at("other"), "t", &["a", "b/c"], None),
            (at("t"), "b", &["c"], Some("t/b/c")),
            (at("t"), "a", &[], Some("t/a")),
            (at("./link"), "t", &["a"], Some("t/a")),
            (at("link/t"), "b", &["c"], Some("t/b/c")),
        ];
        for (root_of, top, files, expected) in table {
            let second = place(&root_of, top, files);
            let case = format!("{} {top} {files:?}", root_of.display());
            assert_eq!(second.shares(&first), expected.map(at), "{case}");
            assert_eq!(first.shares(&second).is_some(), expected.is_some(), "{case}");
        }
    }

    #[test]
    fn a_file_is_in_the_way_of_one_that_is_called_like_it_while_it_is_unfinished() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let range = |top: &str, offset| {
            let metainfo = MetainfoBuilder::single(top, 10, 16_384).build(&[[1; 20]]).unwrap().1;
            Place::new(Arc::new(metainfo), &root, &[Range { file: FileIndex(0), offset, whole: 100 }])
        };
        let table = [
            (place(&root, "film", &[]), place(&root, "film.part", &[]), true),
            (place(&root, "film", &[]), place(&root, "Film.PART", &[]), true),
            (range("film", 0), place(&root, "film.part", &[]), true),
            (range("film", 0), range("film.part", 10), true),
            (range("film", 0), range("film", 10), false),
            (place(&root, "film", &[]), place(&root, "film.part.part", &[]), false),
            (place(&root, "t", &["a"]), place(&root, "t", &["a.part", "b"]), true),
            (place(&root, "t", &["a"]), place(&root, "t.part", &["a"]), false),
            (place(&root, "t", &["a"]), place(&root.join("t"), "a.part", &[]), true),
        ];
        for (first, second, shared) in table {
            assert_eq!(second.shares(&first).is_some(), shared, "{first:?} {second:?}");
            assert_eq!(first.shares(&second).is_some(), shared, "{first:?} {second:?}");
        }
    }

    #[test]
    fn ascending_lists_are_compared_to_their_ends() {
        let table: [(&[u64], &[u64], bool); 7] = [
            (&[], &[], false),
            (&[1], &[], false),
            (&[1, 3, 5], &[0, 2, 4, 6], false),
            (&[1, 3, 5], &[5], true),
            (&[5], &[1, 3, 5], true),
            (&[1, 1, 9], &[2, 9, 9], true),
            (&[7], &[7], true),
        ];
        for (one, other, expected) in table {
            assert_eq!(have_common(one, other), expected, "{one:?} {other:?}");
            assert_eq!(have_common(other, one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn ranges_of_one_file_are_apart_unless_they_overlap_or_are_of_files_of_different_lengths() {
        let temp = tempfile::tempdir().unwrap();
        // Each torrent has a file of 10 bytes.
        let range = |offset, whole| {
            let metainfo = MetainfoBuilder::single("film", 10, 16_384).build(&[[1; 20]]).unwrap().1;
            Place::new(Arc::new(metainfo), temp.path(), &[Range { file: FileIndex(0), offset, whole }])
        };
        let whole = place(temp.path(), "film", &[]);
        let lent = Place::lent(Arc::clone(whole.metainfo()));
        let first = range(20, 100);
        for (other, shared) in [
            (range(30, 100), false),
            (range(10, 100), false),
            (range(90, 100), false),
            (range(29, 100), true),
            (range(11, 100), true),
            (range(20, 100), true),
            (range(30, 101), true),
            (whole, true),
            (lent, false),
        ] {
            assert_eq!(other.shares(&first).is_some(), shared, "{other:?}");
            assert_eq!(first.shares(&other).is_some(), shared, "{other:?}");
        }
    }
}
