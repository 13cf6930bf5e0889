//! Threat row B5: names and paths of every length fit every system, keep their extension, and stay apart.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::Cases;
use std::collections::BTreeSet;
use wire::path::{ELEMENT_BYTES_MAX, PATH_BYTES_MAX, SafePaths};
use wire::{FileIndex, SafePath};

const CASES_MIN: usize = 300;

/// Characters of one to four bytes.
const LETTERS: [&str; 4] = ["a", "\u{e9}", "\u{6f22}", "\u{1f3ac}"];

fn lengths() -> Vec<usize> {
    let near = |middle: usize| middle - 3..=middle + 3;
    let mut lengths: Vec<usize> =
        [4, 59, 60, 79, 80, 119, 120, 127, 239, 240, 255].into_iter().flat_map(near).collect();
    lengths.extend([300, 500, 1_000, 4_096, 10_000, 65_535, 65_536, 70_000]);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

#[test]
fn a_name_of_any_length_fits_and_keeps_its_extension() {
    let mut cases = Cases::of("B5");
    for letter in LETTERS {
        for letters in lengths() {
            for extension in ["", ".mkv", ".tar.gz"] {
                let raw = format!("{}{extension}", letter.repeat(letters));
                let safe = SafePath::from_name(raw.as_bytes());
                let what = format!("{letters} of {letter}, {extension:?}: {safe}");
                assert!(safe.as_str().len() <= ELEMENT_BYTES_MAX, "{what}");
                assert!(safe.as_str().encode_utf16().count() <= 255, "{what}");
                assert_eq!(raw.len() <= ELEMENT_BYTES_MAX, safe.as_str() == raw, "{what}");
                let kept = extension.rsplit_once('.').map_or("", |(_, last)| last);
                assert!(safe.as_str().ends_with(kept), "{what}");
                let other = SafePath::from_name(format!("{}b{extension}", letter.repeat(letters)).as_bytes());
                assert_ne!(safe, other, "{what}");
                cases.add();
            }
        }
    }
    // An extension that is none: a dot and a sentence.
    for tail in [25, 100, 239, 240, 10_000] {
        let raw = format!("{}.{}", "a".repeat(300), "b".repeat(tail));
        assert!(SafePath::from_name(raw.as_bytes()).as_str().len() <= ELEMENT_BYTES_MAX);
        cases.add();
    }
    cases.finish(CASES_MIN);
}

#[test]
fn a_path_of_any_length_fits_and_its_files_stay_apart() {
    let mut cases = Cases::of("B5, paths");
    for letter in LETTERS {
        for depth in [1, 2, 3, 4, 5, 10, 30, 99] {
            for letters in [1, 10, 60, 80, 239, 300] {
                let element = letter.repeat(letters);
                let file = |name: &'static str| {
                    let directories = core::iter::repeat_n(element.as_bytes(), depth);
                    Some(directories.chain([name.as_bytes()]))
                };
                let made = SafePaths::new([file("one.txt"), file("two.txt"), file("ONE.TXT")]).unwrap();
                let top = SafePath::from_name(element.as_bytes());
                let paths = [0, 1, 2].map(|file| made.get_beneath(&top, FileIndex(file)).unwrap());
                let apart: BTreeSet<_> = paths.iter().map(|path| path.as_str().to_lowercase()).collect();
                assert_eq!(apart.len(), 3, "{paths:?}");
                assert!(paths.iter().all(|path| path.as_str().len() <= PATH_BYTES_MAX), "{paths:?}");
                let directory = |path: &SafePath| path.as_str().rsplit_once('/').unwrap().0.to_owned();
                assert_eq!(directory(&paths[0]), directory(&paths[1]), "one directory stays one");
                cases.add();
            }
        }
    }
    cases.finish(150);
}
