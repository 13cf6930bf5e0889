//! Where a torrent's files go, and whether two torrents want the same ones.
//!
//! Looks at the root's links and at nothing else on disk. Names that differ only in case count as the same: on some file
//! systems they are.

use super::AddError;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Metainfo;

/// One torrent's place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    metainfo: Arc<Metainfo>,
    root: PathBuf,
    /// All files are this path or below it, in small letters.
    top: PathBuf,
}

impl Place {
    /// The place of a torrent whose files go below `root`.
    pub(crate) fn new(metainfo: Arc<Metainfo>, root: &Path) -> Place {
        let root = resolved(root);
        let top = folded(&root.join(metainfo.name.safe.as_str()));
        Place { metainfo, root, top }
    }

    /// Whose it is.
    pub(crate) fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// An error if the torrent that was here first has a file of the same path.
    pub(crate) fn keep_apart(&self, first: &Place) -> Result<(), AddError> {
        let Some(path) = self.shares(first) else { return Ok(()) };
        let Metainfo { info_hash, name, .. } = &*first.metainfo;
        Err(AddError::SamePlace { first: *info_hash, name: name.original.to_string(), path })
    }

    /// A file that both torrents have, wanted or not. Costs no more than a comparison if their names or roots differ.
    fn shares(&self, other: &Place) -> Option<PathBuf> {
        if !self.top.starts_with(&other.top) && !other.top.starts_with(&self.top) {
            return None;
        }
        let theirs: HashSet<_> = other.files().map(|path| folded(&path)).collect();
        self.files().find(|path| theirs.contains(&folded(path)))
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let paths = self.metainfo.layout.file_indices().filter_map(|file| self.metainfo.path(file));
        paths.map(|path| self.root.join(path.as_str()))
    }
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
        Place::new(Arc::new(builder.build(&[[1; 20]]).unwrap().1), root)
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
}
