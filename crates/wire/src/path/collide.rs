//! Finds the files whose paths would meet on some system, and gives them others. Sorting, so O(n log n) in files.
//!
//! Paths are compared by their folded form: case-folded, normalised, and with NUL for `/`. As NUL sorts before all else, what
//! lies in directory `a` comes right behind a file `a`, and every directory is one run of the order.

use std::{borrow::Cow, collections::BTreeSet};

use unicode_normalization::UnicodeNormalization;

use crate::FileIndex;

use super::{BENEATH_BYTES_MAX, PathsError, SAME_NAMES_MAX, SafePaths, element};

/// Between elements of a folded path.
const SEPARATOR: char = '\0';

/// The safe but perhaps clashing paths of all files, and their folded forms, each in one text.
#[derive(Default)]
pub(super) struct Names {
    spelled: Texts,
    folded: Texts,
}

impl Names {
    pub(super) fn push(&mut self, path: &str) {
        self.spelled.push(path);
        self.folded.push(&fold(path));
    }

    pub(super) fn push_unwritten(&mut self) {
        self.spelled.push("");
        self.folded.push("");
    }

    pub(super) fn resolve(self) -> Result<SafePaths, PathsError> {
        let files = 0..self.folded.ends.len() as u32;
        let mut order: Vec<u32> = files.filter(|&file| !self.folded.get(file).is_empty()).collect();
        order.sort_unstable_by(|&a, &b| self.folded.get(a).cmp(self.folded.get(b)).then(a.cmp(&b)));
        let taken = Taken { names: &self, order: &order, given: BTreeSet::new() };
        let renamed = taken.rename_clashing()?;
        Ok(self.rewrite(&order, renamed))
    }

    /// All final paths: new names where needed, and one spelling for each directory.
    fn rewrite(&self, order: &[u32], mut renamed: Vec<(u32, String)>) -> SafePaths {
        let mut respelled = self.one_spelling_per_directory(order, &renamed);
        renamed.append(&mut respelled);
        if renamed.is_empty() {
            return self.spelled.clone().into_paths();
        }
        // Stable, so of two entries for a file the respelled one, which knows the new name, is last.
        renamed.sort_by_key(|(file, _)| *file);
        let mut changes = renamed.into_iter().peekable();
        let mut texts = Texts::default();
        for file in 0..self.spelled.ends.len() as u32 {
            let mut path = None;
            while let Some((_, changed)) = changes.next_if(|(changed, _)| *changed == file) {
                path = Some(changed);
            }
            texts.push(path.as_deref().unwrap_or(self.spelled.get(file)));
        }
        texts.into_paths()
    }

    /// Files whose directories were spelled otherwise by a file before them in the order.
    fn one_spelling_per_directory(&self, order: &[u32], renamed: &[(u32, String)]) -> Vec<(u32, String)> {
        let mut new_names: Vec<(u32, &str)> =
            renamed.iter().map(|(file, path)| (*file, path.as_str())).collect();
        new_names.sort_unstable();
        let mut respelled = Vec::new();
        let mut before = (Cow::Borrowed(""), "");
        for &file in order {
            let folded = self.folded.get(file);
            let current = match new_names.binary_search_by_key(&file, |(renamed, _)| *renamed) {
                Ok(at) => new_names.get(at).map_or("", |(_, path)| path),
                Err(_) => self.spelled.get(file),
            };
            let mut path = take_directories(&before.0, current, shared_directories(before.1, folded));
            if path.len() > BENEATH_BYTES_MAX {
                // The other spelling is longer. Two spellings of a directory are a blemish, a path too long is a fault.
                path = Cow::Borrowed(current);
            }
            if let Cow::Owned(path) = &path {
                respelled.push((file, path.clone()));
            }
            before = (path, folded);
        }
        respelled
    }
}

/// How many directories two folded paths share.
fn shared_directories(a: &str, b: &str) -> usize {
    let pairs = a.split(SEPARATOR).zip(b.split(SEPARATOR));
    let equal = pairs.take_while(|(a, b)| a == b).count();
    let depth = |path: &str| path.matches(SEPARATOR).count();
    equal.min(depth(a)).min(depth(b))
}

/// `path` with its first `count` directories spelled as in `like`.
fn take_directories<'a>(like: &str, path: &'a str, count: usize) -> Cow<'a, str> {
    if like.split('/').take(count).eq(path.split('/').take(count)) {
        return Cow::Borrowed(path);
    }
    let elements = like.split('/').take(count).chain(path.split('/').skip(count));
    Cow::Owned(elements.collect::<Vec<_>>().join("/"))
}

/// Which folded paths are in use.
struct Taken<'a> {
    names: &'a Names,
    order: &'a [u32],
    /// Folded paths that were given in place of clashing ones.
    given: BTreeSet<String>,
}

impl Taken<'_> {
    /// New paths for the files that cannot keep theirs, run by run of equal paths.
    fn rename_clashing(mut self) -> Result<Vec<(u32, String)>, PathsError> {
        let (names, order) = (self.names, self.order);
        let mut renamed = Vec::new();
        let mut behind = order;
        for run in order.chunk_by(|&a, &b| names.folded.get(a) == names.folded.get(b)) {
            behind = behind.get(run.len()..).unwrap_or_default();
            let Some(&first) = run.first() else { continue };
            if run.len() > SAME_NAMES_MAX {
                return Err(PathsError::TooManySameNames(FileIndex(first)));
            }
            let folded = names.folded.get(first);
            let directory = behind.first().is_some_and(|&next| lies_in(names.folded.get(next), folded));
            let kept = if directory { 0 } else { 1 };
            let mut number = 0;
            for &file in run.get(kept..).unwrap_or_default() {
                renamed.push((file, self.give_another(names.spelled.get(file), &mut number)));
            }
        }
        Ok(renamed)
    }

    /// The first numbered path that is free. The number goes on from the run's last, so a run never asks twice.
    fn give_another(&mut self, path: &str, number: &mut usize) -> String {
        let (directories, name) = path.rsplit_once('/').map_or(("", path), |(dirs, name)| (dirs, name));
        loop {
            *number += 1;
            let name = element::numbered(name, *number);
            let path = if directories.is_empty() { name } else { format!("{directories}/{name}") };
            let folded = fold(&path);
            if !self.is_used(&folded) {
                self.given.insert(folded);
                return path;
            }
        }
    }

    /// Whether a file has this path, or lies beneath it.
    fn is_used(&self, folded: &str) -> bool {
        let at = self.order.partition_point(|&file| self.names.folded.get(file) < folded);
        let natural = self.order.get(at).map(|&file| self.names.folded.get(file));
        natural.is_some_and(|path| path == folded || lies_in(path, folded)) || self.given.contains(folded)
    }
}

/// Whether a folded path is beneath a folded directory.
fn lies_in(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

/// What paths are compared by: the same for names that some system holds for the same.
///
/// Lower, upper and again lower case stands for full case folding: it joins `ß`, `ẞ` and `SS`, and dotless with dotted `i`.
/// Joining more than a given system does costs a rename, joining less would cost a file.
pub(super) fn fold(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase().replace('/', "\0");
    }
    let cased =
        path.nfd().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    cased.nfc().map(|c| if c == '/' { SEPARATOR } else { c }).collect()
}

/// Many strings in one.
#[derive(Clone, Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let end = self.ends.get(index).copied().unwrap_or(0);
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    fn into_paths(self) -> SafePaths {
        SafePaths { text: self.text.into(), ends: self.ends.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_normalisation_never_change_what_a_character_is_compared_by() {
        let changes = |c: &char| {
            let same = c.to_lowercase().eq([*c]) && c.to_uppercase().eq([*c]);
            !same || !core::iter::once(*c).nfd().eq([*c])
        };
        // Above plane 2 no character has a case or a decomposition.
        for c in ('\0'..='\u{2ffff}').filter(changes) {
            let name = c.to_string();
            let twins: [String; 6] = [
                name.to_lowercase(),
                name.to_uppercase(),
                name.to_uppercase().to_lowercase(),
                name.nfd().collect(),
                name.nfc().collect(),
                fold(&name),
            ];
            for twin in twins {
                assert_eq!(fold(&twin), fold(&name), "{c:?} {:x} and {twin:?}", u32::from(c));
            }
        }
    }
}
