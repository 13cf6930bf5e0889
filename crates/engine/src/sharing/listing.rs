//! What lies under the paths that somebody wants to share: files, empty folders, and what does not come along, each with the reason.
//!
//! Reads folders and looks at files; no content is read. What always holds: a symbolic link is followed only if the user named it
//! himself, so nothing outside of what was named is listed; the same folders give the same list; at most [`LISTED_MAX`] entries.

use crate::hashing::{FileTimes, HashRange};
use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
pub use wire::offer::LostWhy;

/// Files and folders in a list: more are no share, but a file system.
pub const LISTED_MAX: usize = 2_000_000;

/// Everything that is to be shared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// What to call it: the name of the one path, or of the first and how many there are beside.
    pub name: String,
    /// Files: of each folder its own first, then those of its folders, by their names.
    pub files: Vec<ListedFile>,
    /// Folders with nothing in them, by their paths.
    pub empty_folders: Vec<Vec<String>>,
    /// What does not come along.
    pub lost: Vec<(PathBuf, LostWhy)>,
    /// Where what was named is, without links, and what it is called in the share.
    pub tops: Vec<(PathBuf, String)>,
}

/// A file that is to be shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedFile {
    /// Where it is: absolute, and without a symbolic link when it was listed.
    pub source: PathBuf,
    /// Its path in the share: that of one path alone begins with its name, so does that of each of several.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Its times when it was looked at.
    pub times: FileTimes,
    /// Its owner may run it.
    pub executable: bool,
}

impl ListedFile {
    /// A range of it, to be hashed and lent as it was listed.
    pub fn range(&self, offset: u64, len: u64) -> HashRange {
        HashRange { path: self.source.clone(), whole: self.len, times: self.times, offset, len }
    }
}

/// Why nothing can be shared.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// A path that was named cannot be read.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A path that was named is no file and no folder.
    #[error("{} is no file and no folder", .0.display())]
    Special(PathBuf),
    /// A path has no name to be called by, such as `/`.
    #[error("{} has no name that receivers could call it by: name what is in it, or another folder", .0.display())]
    NoName(PathBuf),
    /// Two paths end in the same name.
    #[error(
        "two of the paths end in {0:?}: receivers could not tell them apart; share them one after the other, or rename one"
    )]
    TwoOfOneName(String),
    /// There is too much.
    #[error("there are more than {LISTED_MAX} files and folders: share a part of them")]
    TooMany,
}

impl Listing {
    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// Lists what lies under these paths. `seen` is told now and then how many entries were looked at.
    ///
    /// # Errors
    /// When one of these paths themselves cannot be shared. What cannot be shared beneath them is in the list of what is lost.
    pub fn of(paths: &[PathBuf], mut seen: impl FnMut(usize)) -> Result<Listing, ListError> {
        let mut listing = Listing::default();
        let mut names = BTreeSet::new();
        for path in paths {
            let name = name_of(path)?;
            if !names.insert(name.clone()) {
                return Err(ListError::TwoOfOneName(name));
            }
            if listing.name.is_empty() {
                listing.name.clone_from(&name);
            }
            listing.add(path, name, &mut seen)?;
        }
        match paths.len() {
            0 | 1 => {}
            count => listing.name = format!("{} and {} more", listing.name, count - 1),
        }
        Ok(listing)
    }

    /// What lies under one path, which is called `name` in the share.
    fn add(&mut self, top: &Path, name: String, seen: &mut impl FnMut(usize)) -> Result<(), ListError> {
        let unreadable = |error| ListError::Unreadable { path: top.into(), error };
        // What the user named may be a link, or lie beneath one, and is resolved here and never again: nothing that is put in the way
        // later is followed.
        let top = &*top.canonicalize().map_err(unreadable)?;
        self.tops.push((top.into(), name.clone()));
        let metadata = fs::metadata(top).map_err(unreadable)?;
        if metadata.is_file() {
            File::open(top).map_err(unreadable)?;
            self.files.push(listed(top, vec![name], &metadata).map_err(unreadable)?);
            return Ok(());
        }
        if !metadata.is_dir() {
            return Err(ListError::Special(top.into()));
        }
        fs::read_dir(top).map_err(unreadable)?;
        // Folders whose content is still to be listed; the last is the next.
        let mut folders = vec![(top.to_owned(), vec![name])];
        while let Some((folder, path)) = folders.pop() {
            let entries = match entries(&folder) {
                Ok(entries) => entries,
                Err(_) => {
                    self.lost.push((folder, LostWhy::Unreadable));
                    continue;
                }
            };
            if entries.is_empty() {
                self.empty_folders.push(path);
                continue;
            }
            let mut inner = Vec::new();
            for source in entries {
                let count = self.files.len()
                    + self.empty_folders.len()
                    + self.lost.len()
                    + folders.len()
                    + inner.len();
                if count >= LISTED_MAX {
                    return Err(ListError::TooMany);
                }
                seen(count + 1);
                let Some(name) = source.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                    self.lost.push((source, LostWhy::Name));
                    continue;
                };
                let path = [&path[..], &[name]].concat();
                match kind_of(&source) {
                    Ok(Found::Folder) => inner.push((source, path)),
                    Ok(Found::File(metadata)) => match listed(&source, path, &metadata) {
                        Ok(file) => self.files.push(file),
                        Err(_) => self.lost.push((source, LostWhy::Unreadable)),
                    },
                    Ok(Found::Lost(why)) => self.lost.push((source, why)),
                    Err(_) => self.lost.push((source, LostWhy::Unreadable)),
                }
            }
            folders.extend(inner.into_iter().rev());
        }
        Ok(())
    }
}

/// What an entry of a folder is.
enum Found {
    File(Metadata),
    Folder,
    Lost(LostWhy),
}

fn kind_of(source: &Path) -> io::Result<Found> {
    let metadata = fs::symlink_metadata(source)?;
    let kind = metadata.file_type();
    Ok(if kind.is_symlink() {
        Found::Lost(LostWhy::Link)
    } else if kind.is_dir() {
        Found::Folder
    } else if kind.is_file() {
        // Only who tries knows whether it may be read.
        File::open(source)?;
        Found::File(metadata)
    } else {
        Found::Lost(LostWhy::Special)
    })
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)?.take(LISTED_MAX) {
        entries.push(entry?.path());
    }
    entries.sort_unstable();
    Ok(entries)
}

fn listed(source: &Path, path: Vec<String>, metadata: &Metadata) -> io::Result<ListedFile> {
    Ok(ListedFile {
        source: source.into(),
        path,
        len: metadata.len(),
        times: FileTimes::of(metadata),
        executable: metadata.permissions().mode() & 0o100 != 0,
    })
}

/// What a path is called: `.` and what ends in `..` by where they lead.
fn name_of(path: &Path) -> Result<String, ListError> {
    let unreadable = |error| ListError::Unreadable { path: path.into(), error };
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().map_err(unreadable)?,
    };
    let name = whole.file_name().ok_or_else(|| ListError::NoName(path.into()))?;
    name.to_str().map(str::to_owned).ok_or_else(|| ListError::NoName(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.files.iter().map(|file| file.path.join("/")).collect()
    }

    fn write(root: &Path, path: &str, len: usize) -> PathBuf {
        let whole = root.join(path);
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        fs::write(&whole, vec![7; len]).unwrap();
        whole
    }

    #[test]
    fn a_folder_is_listed_in_order_with_what_is_empty_and_what_may_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("holiday");
        for (path, len) in [("b", 5), ("a/z", 1), ("a/y/x", 100), ("c/tool", 3), ("none", 0)] {
            write(&root, path, len);
        }
        fs::set_permissions(root.join("c/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(root.join("empty/inner")).unwrap();
        let mut seen = 0;
        let listing = Listing::of(std::slice::from_ref(&root), |count| seen = seen.max(count)).unwrap();
        assert_eq!((&*listing.name, listing.size()), ("holiday", 109));
        assert_eq!(
            names(&listing),
            ["holiday/b", "holiday/none", "holiday/a/z", "holiday/a/y/x", "holiday/c/tool"]
        );
        assert_eq!(listing.empty_folders, [path("holiday/empty/inner")]);
        assert_eq!(listing.lost, []);
        let runs: Vec<bool> = listing.files.iter().map(|file| file.executable).collect();
        assert_eq!(runs, [false, false, false, false, true]);
        assert_eq!(listing.files[3].source, root.join("a/y/x"));
        assert!(seen >= 6, "{seen}");
        assert_eq!(Listing::of(&[root], |_| {}).unwrap(), listing, "the same each time");
    }

    #[test]
    fn what_does_not_come_along_is_named_and_nothing_outside_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let secret = write(dir.path(), "secret/key", 9);
        let root = dir.path().join("shared");
        write(&root, "a", 1);
        symlink(&secret, root.join("link")).unwrap();
        symlink(dir.path().join("secret"), root.join("folder-link")).unwrap();
        symlink(root.join("absent"), root.join("dangling")).unwrap();
        let _socket = UnixListener::bind(root.join("socket")).unwrap();
        let odd = root.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
        fs::write(&odd, b"x").unwrap();
        let listing = Listing::of(std::slice::from_ref(&root), |_| {}).unwrap();
        assert_eq!(names(&listing), ["shared/a"]);
        let expected = [
            (root.join("dangling"), LostWhy::Link),
            (root.join("folder-link"), LostWhy::Link),
            (root.join("link"), LostWhy::Link),
            (root.join("socket"), LostWhy::Special),
            (odd, LostWhy::Name),
        ];
        assert_eq!(listing.lost, expected);
        // What the user names himself is meant.
        let meant = Listing::of(&[root.join("folder-link")], |_| {}).unwrap();
        assert_eq!(names(&meant), ["folder-link/key"]);
        assert_eq!(meant.files[0].source, secret.canonicalize().unwrap(), "no link is left in it");
        let meant = Listing::of(&[root.join("link")], |_| {}).unwrap();
        assert_eq!((names(&meant), meant.size()), (vec!["link".to_owned()], 9));
    }

    #[test]
    fn several_paths_are_side_by_side_unless_they_have_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [write(dir.path(), "x/one", 1), write(dir.path(), "y/two", 2), dir.path().join("z")];
        write(dir.path(), "z/three", 3);
        let listing = Listing::of(&paths, |_| {}).unwrap();
        assert_eq!(
            (&*listing.name, names(&listing)),
            ("one and 2 more", vec!["one".into(), "two".into(), "z/three".into()])
        );
        let twice = [write(dir.path(), "x/same", 1), write(dir.path(), "y/same", 2)];
        assert!(matches!(Listing::of(&twice, |_| {}), Err(ListError::TwoOfOneName(name)) if name == "same"));
    }

    #[test]
    fn a_path_that_cannot_be_shared_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let told = |path: PathBuf| Listing::of(&[path], |_| {}).unwrap_err().to_string();
        assert!(told(dir.path().join("absent")).contains("absent: No such file or directory"));
        assert!(told("/".into()).contains("has no name that receivers could call it by"));
        assert!(told("/dev/null".into()).ends_with("is no file and no folder"));
        // `..` and `.` are called by where they lead.
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let listing = Listing::of(&[dir.path().join("a/b/..")], |_| {}).unwrap();
        assert_eq!((&*listing.name, listing.empty_folders), ("a", vec![path("a/b")]));
    }
}
