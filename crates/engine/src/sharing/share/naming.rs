//! What everything in a share is called on any system: one name for each file and folder, which no receiver has to change. Pure.
//!
//! What always holds: over all torrents of the share together no two paths meet, even where case does not count, so that torrents that
//! a receiver keeps apart do not get in each other's way; and none is that of a file with `.part` behind it, under which a receiver keeps
//! the file until it is whole.

use crate::sharing::listing::{Listing, LostWhy};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::path::{DEPTH_MAX, PathsError, SafePaths};
use wire::{FileIndex, SafePath};

/// A listing with names for all that is in it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) listing: Arc<Listing>,
    /// What the share is called.
    pub(super) top: SafePath,
    /// It is one file, and no folder.
    pub(super) lone: bool,
    /// Of the files, then of the empty folders, beneath the top.
    paths: SafePaths,
}

impl Named {
    /// Names what is listed. What cannot be named is taken out and counted as lost.
    pub(super) fn new(mut listing: Listing) -> Named {
        let lone = listing.empty_folders.is_empty()
            && matches!(&listing.files[..], [file] if file.path == [&*listing.name]);
        let too_deep = |path: &[String]| path.len() > DEPTH_MAX;
        let mut lost: Vec<PathBuf> = Vec::new();
        let deep = listing.files.extract_if(.., |file| too_deep(&file.path));
        lost.extend(deep.map(|file| file.source));
        let deep = listing.empty_folders.extract_if(.., |path| too_deep(path));
        lost.extend(deep.map(|path| path.iter().collect()));
        let mut rounds = 0..ROUNDS_MAX;
        let paths = loop {
            match paths_of(&listing) {
                Ok(paths) if rounds.next().is_some() && rename_parts(&mut listing, &paths) => {}
                Ok(paths) => break paths,
                Err(PathsError::TooDeep(at) | PathsError::TooManySameNames(at)) => {
                    let files = listing.files.len();
                    lost.push(match at.as_usize() {
                        file if file < files => listing.files.remove(file).source,
                        folder => listing.empty_folders.remove(folder - files).iter().collect(),
                    });
                }
            }
        };
        listing.lost.extend(lost.into_iter().map(|path| (path, LostWhy::Name)));
        let top = SafePath::from_name(listing.name.as_bytes());
        Named { listing: Arc::new(listing), top, lone, paths }
    }

    /// A path as receivers are told of it: from what was named on, without the folders in which that is.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        let mut tops = self.listing.tops.iter();
        match tops.find_map(|(top, name)| Some((name, path.strip_prefix(top).ok()?))) {
            // Nothing joined would end in a slash.
            Some((name, beneath)) if beneath.as_os_str().is_empty() => name.into(),
            Some((name, beneath)) => Path::new(name).join(beneath),
            // An empty folder is known by its path in the share alone.
            None if path.is_relative() => path.into(),
            None => path.file_name().unwrap_or_default().into(),
        }
    }

    /// A file's path beneath the top, element by element; of a lone file its name.
    pub(super) fn beneath(&self, file: usize) -> Vec<String> {
        let path = self.paths.get(FileIndex(file as u32));
        path.map(|path| path.elements().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// A file's path from the top on.
    pub(super) fn file(&self, file: usize) -> Option<SafePath> {
        match self.lone {
            true => Some(self.top.clone()),
            false => self.paths.get_beneath(&self.top, FileIndex(file as u32)),
        }
    }

    /// An empty folder's path from the top on; the top's, if nothing else is shared.
    pub(super) fn folder(&self, folder: usize) -> Option<SafePath> {
        let listed = self.listing.empty_folders.get(folder)?;
        if *listed == [&*self.listing.name] {
            return Some(self.top.clone());
        }
        self.paths.get_beneath(&self.top, FileIndex((self.listing.files.len() + folder) as u32))
    }
}

fn paths_of(listing: &Listing) -> Result<SafePaths, PathsError> {
    let Listing { name, files, empty_folders, .. } = listing;
    let all = || files.iter().map(|file| &file.path).chain(empty_folders);
    // All that one folder holds begins with its name, which stands for itself; several paths are side by side.
    let one = all().all(|path| path.first() == Some(name));
    SafePaths::new(all().map(|path| {
        let beneath = if one && path.len() > 1 { &path[1..] } else { &path[..] };
        Some(beneath.iter().map(String::as_bytes))
    }))
}

/// A new name may be another's unfinished name in its turn; what is called so on purpose is given up.
const ROUNDS_MAX: u32 = 16;

/// What a receiver calls a file that is not whole yet: this behind its name.
const PART: &str = ".part";

/// Gives another name to whatever is called as a file beside it that is not whole yet; whether anything was.
fn rename_parts(listing: &mut Listing, paths: &SafePaths) -> bool {
    let is_part = |element: &str| element.to_ascii_lowercase().ends_with(PART);
    let path = |at: usize| paths.get(FileIndex(at as u32));
    let mut parts = (0..paths.len()).filter(|&at| path(at).is_some_and(|path| path.elements().any(is_part)));
    let Some(first) = parts.next() else { return false };
    let files: BTreeSet<String> =
        (0..listing.files.len()).filter_map(|at| Some(path(at)?.folded())).collect();
    let mut renamed = false;
    for at in std::iter::once(first).chain(parts) {
        let Some(path) = path(at) else { continue };
        let folded = path.folded();
        let listed = match listing.files.len() {
            files if at < files => listing.files.get_mut(at).map(|file| &mut file.path),
            files => listing.empty_folders.get_mut(at - files),
        };
        let Some(listed) = listed else { continue };
        // Elements from the last to the first: those that stand in front may be fewer in one than in the other.
        let ends = folded.match_indices('\0').map(|(end, _)| end).chain([folded.len()]);
        for (behind, end) in ends.collect::<Vec<_>>().into_iter().rev().enumerate() {
            let stem = folded.get(..end).and_then(|path| path.strip_suffix(PART));
            let element = listed.len().checked_sub(behind + 1).and_then(|element| listed.get_mut(element));
            if let (Some(stem), Some(element)) = (stem, element)
                && files.contains(stem)
            {
                element.push('_');
                renamed = true;
            }
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::FileTimes;
    use crate::sharing::listing::ListedFile;

    fn named(name: &str, files: &[&str], folders: &[&str]) -> Named {
        let path = |text: &&str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let file = |text: &&str| ListedFile {
            source: text.into(),
            path: path(text),
            len: 1,
            times: FileTimes::default(),
            executable: false,
        };
        Named::new(Listing {
            name: name.into(),
            files: files.iter().map(file).collect(),
            empty_folders: folders.iter().map(path).collect(),
            lost: Vec::new(),
            tops: vec![("/home/somebody/t".into(), "t".into()), ("/mnt/x".into(), "photos".into())],
        })
    }

    #[test]
    fn receivers_are_not_told_where_the_sharer_keeps_its_files() {
        let named = named("t", &["t/a"], &[]);
        for (path, expected) in [
            ("/home/somebody/t/sub/link", "t/sub/link"),
            ("/home/somebody/t", "t"),
            ("/mnt/x/y", "photos/y"),
            ("t/empty", "t/empty"),
            ("/elsewhere/y", "y"),
        ] {
            assert_eq!(named.shown(Path::new(path)).to_str(), Some(expected));
        }
    }

    fn all(named: &Named) -> Vec<String> {
        let files = (0..named.listing.files.len()).filter_map(|file| named.file(file));
        let folders = (0..named.listing.empty_folders.len()).filter_map(|folder| named.folder(folder));
        files.chain(folders).map(|path| path.to_string()).collect()
    }

    #[test]
    fn everything_is_called_as_it_was_beneath_the_name_of_the_share() {
        for (name, files, folders, expected) in [
            ("a", &["a"][..], &[][..], &["a"][..]),
            ("t", &["t/a", "t/b/c"], &["t/e"], &["t/a", "t/b/c", "t/e"]),
            ("t", &["t/t"], &[], &["t/t"]),
            ("t", &[], &["t"], &["t"]),
            (
                "a and 1 more",
                &["a", "b/c"],
                &["b/d"],
                &["a and 1 more/a", "a and 1 more/b/c", "a and 1 more/b/d"],
            ),
            ("a and 1 more", &["a"], &["b"], &["a and 1 more/a", "a and 1 more/b"]),
        ] {
            assert_eq!(all(&named(name, files, folders)), expected, "{name} {files:?} {folders:?}");
        }
        assert!(named("a", &["a"], &[]).lone && !named("t", &["t/t"], &[]).lone);
    }

    #[test]
    fn names_that_meet_on_some_systems_are_changed_here_and_not_by_each_receiver() {
        let found = named("t", &["t/Makefile", "t/makefile", "t/con", "t/a\\b"], &["t/MAKEFILE"]);
        let paths = all(&found);
        let mut folded: Vec<_> = paths.iter().map(|path| path.to_lowercase()).collect();
        folded.sort();
        folded.dedup();
        assert_eq!((paths[0].as_str(), folded.len()), ("t/Makefile", 5));
        // A receiver, who does the same for each torrent by itself, finds nothing to change.
        for file in 0..4 {
            let beneath = found.beneath(file);
            let again = SafePaths::new([Some(beneath.iter().map(String::as_bytes))]).unwrap();
            assert_eq!(again.get(FileIndex(0)).unwrap().as_str(), beneath.join("/"));
        }
    }

    #[test]
    fn nothing_is_called_as_a_file_beside_it_that_is_not_whole_yet() {
        for (files, folders, expected) in [
            (&["t/x", "t/x.part", "t/y.part"][..], &[][..], &["t/x", "t/x.part_", "t/y.part"][..]),
            (&["t/X.Part", "t/x"], &["t/x.PART_"], &["t/X.Part_", "t/x"]),
            (&["t/\u{e9}", "t/e\u{301}.part"], &[], &["t/\u{e9}", "t/e\u{301}.part_"]),
            (
                &["t/x", "t/x.part/a", "t/x.part/b"],
                &["t/x.part/c"],
                &["t/x", "t/x.part_/a", "t/x.part_/b", "t/x.part_/c"],
            ),
            (&["t/x", "t/x.part", "t/x.part.part"], &[], &["t/x", "t/x.part_", "t/x.part.part_"]),
            (&["t/x/x", "t/x.part"], &[], &["t/x/x", "t/x.part"]),
        ] {
            let found = named("t", files, folders);
            let paths = all(&found);
            let whole = |path: &str| {
                paths[..files.len()]
                    .iter()
                    .any(|file| format!("{}.part", file.to_lowercase()) == path.to_lowercase())
            };
            assert!(!paths.iter().any(|path| whole(path)), "{paths:?}");
            assert_eq!(paths[..expected.len()], *expected, "{files:?} {folders:?}");
        }
    }

    #[test]
    fn what_cannot_be_named_is_lost_and_says_so() {
        let deep = vec!["d"; DEPTH_MAX + 1].join("/");
        let found = named("d", &["d/a", &deep], &[]);
        assert_eq!(all(&found), ["d/a"]);
        assert_eq!(found.listing.lost, [(PathBuf::from(deep), LostWhy::Name)]);
    }
}
