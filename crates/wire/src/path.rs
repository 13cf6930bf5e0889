//! Names that strangers gave to files, as paths that are safe to create on any system.
//!
//! Nothing is refused for its name: what a system could misread is replaced, what is too long is cut, what would share a
//! place is renamed. Pure: the same names give the same paths, on every platform. Opening them is `os`'s affair, which
//! opens beneath a directory handle all the same.
//!
//! Invariants of a [`SafePath`]: relative, UTF-8, at least one element, `/` between elements and nowhere else; no element is
//! empty, `.`, `..`, longer than [`ELEMENT_BYTES_MAX`], a Windows device, or holds a character that some system reserves or
//! that misleads. Invariants of [`SafePaths`]: no two paths are equal nor is one a directory of another, even if case and
//! Unicode normalisation are ignored, and with its top directory none is longer than [`PATH_BYTES_MAX`].
//! BEP: 3, 47; threats B1, B3 to B6

mod collide;
mod element;

#[cfg(test)]
mod tests;

use core::fmt;

use crate::FileIndex;

/// Longest element in bytes. Systems allow 255 bytes or UTF-16 units; the rest is for suffixes such as `.part`.
pub const ELEMENT_BYTES_MAX: usize = 240;

/// Longest path in bytes: macOS allows 1,024 in a call, and the folder in front needs its share.
pub const PATH_BYTES_MAX: usize = 900;

/// Most elements of one path, as libtorrent's `max_directory_depth`.
pub const DEPTH_MAX: usize = 100;

/// Most files of one torrent that would have the same path, as libtorrent's limit on duplicate names.
pub const SAME_NAMES_MAX: usize = 500;

/// A path that is safe to create beneath a directory of ours.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(Box<str>);

impl SafePath {
    /// One stranger's name as one element.
    pub fn from_name(raw: &[u8]) -> SafePath {
        SafePath(element::sanitise(raw).into())
    }

    /// The path with `/` between its elements; safe to show as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The elements, the file's own name last.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// What it is compared by: two paths that some system holds for the same give the same text, element by element, with NUL
    /// between them.
    pub fn folded(&self) -> String {
        collide::fold(&self.0)
    }

    /// The last element.
    pub fn file_name(&self) -> &str {
        self.elements().next_back().unwrap_or_default()
    }
}

impl AsRef<std::path::Path> for SafePath {
    fn as_ref(&self) -> &std::path::Path {
        self.as_str().as_ref()
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Why a set of names is refused: not for a name, but for their mass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathsError {
    /// This file's path has more than [`DEPTH_MAX`] elements.
    TooDeep(FileIndex),
    /// More than [`SAME_NAMES_MAX`] files would have this file's path.
    TooManySameNames(FileIndex),
}

/// The paths of all files of one torrent, relative to its top directory. One text for all: a torrent may have 10^6.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SafePaths {
    text: Box<str>,
    /// Where each file's path ends in the text; a file that is never written has an empty one.
    ends: Box<[u32]>,
}

impl SafePaths {
    /// Makes paths of names. `None` is a file that is never written (a pad): it gets no path and is in nobody's way.
    ///
    /// Of files that would share a path the first keeps it; a file in the way of a directory yields to it. Directories whose
    /// names differ only in case or normalisation become one.
    pub fn new<'a, P>(files: impl IntoIterator<Item = Option<P>>) -> Result<SafePaths, PathsError>
    where
        P: IntoIterator<Item = &'a [u8]>,
    {
        let mut names = collide::Names::default();
        for (index, path) in files.into_iter().enumerate() {
            let file = FileIndex(index as u32);
            match path {
                None => names.push_unwritten(),
                Some(path) => names.push(&file_path(file, path)?),
            }
        }
        names.resolve()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The file's path under the top directory; `None` if it is never written.
    pub fn get(&self, file: FileIndex) -> Option<SafePath> {
        self.text_of(file).map(|text| SafePath(text.into()))
    }

    /// The file's path with the top directory in front.
    pub fn get_beneath(&self, top: &SafePath, file: FileIndex) -> Option<SafePath> {
        self.text_of(file).map(|text| SafePath([top.as_str(), text].join("/").into()))
    }

    fn text_of(&self, file: FileIndex) -> Option<&str> {
        let end = *self.ends.get(file.as_usize())?;
        let start =
            file.as_usize().checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start as usize..end as usize).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for SafePaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} paths", self.len())
    }
}

/// Longest path beneath the top directory, which stands in front of every path.
const BENEATH_BYTES_MAX: usize = PATH_BYTES_MAX - ELEMENT_BYTES_MAX - 1;

/// Room for a dot and the number of a renamed file; there are at most 10^6 files.
const NUMBER_BYTES_MAX: usize = 8;

/// One file's elements, each made safe, with `/` between them.
fn file_path<'a>(file: FileIndex, raw: impl IntoIterator<Item = &'a [u8]>) -> Result<String, PathsError> {
    let mut path = String::new();
    let mut name_at = 0;
    for (depth, element) in raw.into_iter().enumerate() {
        if depth == DEPTH_MAX {
            return Err(PathsError::TooDeep(file));
        }
        if depth > 0 {
            path.push('/');
            name_at = path.len();
        }
        path.push_str(&element::sanitise(element));
    }
    if path.is_empty() {
        path.push_str(element::UNNAMED);
    }
    if path.len() > BENEATH_BYTES_MAX - NUMBER_BYTES_MAX {
        // Too long for some systems: one directory, named by a hash of them, stands for all its directories.
        let name = path.split_off(name_at);
        path = format!("_deep_{}/{name}", element::hex8(path.as_bytes()));
    }
    Ok(path)
}
