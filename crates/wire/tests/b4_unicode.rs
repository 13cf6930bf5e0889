//! Threat row B4: names that are equal to some file system though their bytes differ, and names that are no text at all.
//!
//! Each file system's notion of equality is written down here on its own.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cases, Chance};
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;
use wire::path::SafePaths;
use wire::{FileIndex, SafePath};

const CASES_MIN: usize = 1_500;

/// NTFS folds each character to upper case and does not normalise.
fn ntfs(path: &str) -> String {
    let upper = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    path.chars().map(upper).collect()
}

/// APFS folds case and normalises.
fn apfs(path: &str) -> String {
    path.nfd().flat_map(char::to_lowercase).nfd().collect()
}

/// HFS+ decomposes and folds; FAT of old knows upper case alone, `ß` being `SS` to some of its readers.
fn careless(path: &str) -> String {
    path.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// What a system compares names by.
type Key = fn(&str) -> String;

const SYSTEMS: [(&str, Key); 4] =
    [("bytes", str::to_owned), ("NTFS", ntfs), ("APFS", apfs), ("careless", careless)];

/// Sets of names of which some system takes all for one.
const SETS: [&[&str]; 13] = [
    &["readme", "README", "ReadMe", "rEADME"],
    &["\u{e9}t\u{e9}", "e\u{301}t\u{e9}", "\u{c9}T\u{c9}", "E\u{301}te\u{301}"],
    &["stra\u{df}e", "strasse", "STRASSE", "STRA\u{1e9e}E"],
    &["file", "FILE", "f\u{131}le", "FıLE"],
    &["\u{130}zmir", "i\u{307}zmir", "I\u{307}ZMIR"],
    &["\u{212b}ngstrom", "\u{c5}ngstrom", "A\u{30a}ngstrom", "\u{e5}NGSTROM"],
    &["\u{212a}elvin", "Kelvin", "kelvin"],
    &["\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}", "\u{3c3}\u{3c3}", "\u{3c2}\u{3c2}"],
    &["\u{17f}et", "set", "SET"],
    &["\u{1c4}", "\u{1c5}", "\u{1c6}"],
    &["\u{1e69}", "s\u{323}\u{307}", "s\u{307}\u{323}", "\u{1e63}\u{307}", "\u{1e61}\u{323}"],
    &["\u{ac00}", "\u{1100}\u{1161}"],
    &["\u{390}", "\u{3b9}\u{308}\u{301}", "\u{1fd3}"],
];

fn make(names: &[Vec<Vec<u8>>]) -> Vec<SafePath> {
    let raw = names.iter().map(|path| Some(path.iter().map(Vec::as_slice)));
    let made = SafePaths::new(raw).unwrap();
    (0..names.len()).map(|file| made.get(FileIndex(file as u32)).unwrap()).collect()
}

fn all_differ_everywhere(names: &[Vec<Vec<u8>>], what: &str) {
    let made = make(names);
    assert_eq!(made, make(names), "{what}: the same again");
    for (system, key) in SYSTEMS {
        let keys: BTreeSet<String> = made.iter().map(|path| key(path.as_str())).collect();
        assert_eq!(keys.len(), names.len(), "{what}, {system}: {made:?}");
    }
}

/// A path around a name.
type Form = fn(&str) -> Vec<Vec<u8>>;

fn path(elements: &[&str]) -> Vec<Vec<u8>> {
    elements.iter().map(|element| element.as_bytes().to_vec()).collect()
}

#[test]
fn names_that_some_system_takes_for_one_are_told_apart() {
    let mut cases = Cases::of("B4");
    for (number, set) in SETS.iter().enumerate() {
        // As files, as files of one extension, in one directory, in twin directories, and under a name of their own.
        let forms: [Form; 4] = [
            |name| path(&[name]),
            |name| path(&[&format!("{name}.mkv")]),
            |name| path(&["dir", name]),
            |name| path(&[name, "file"]),
        ];
        for (form, make_path) in forms.iter().enumerate() {
            let names: Vec<_> = set.iter().map(|name| make_path(name)).collect();
            all_differ_everywhere(&names, &format!("set {number}, form {form}"));
            cases.add();
        }
    }
    for seed in 0..1_500 {
        let mut chance = Chance(seed);
        let count = 2 + chance.below(8);
        let names: Vec<_> = (0..count).map(|_| twin(&mut chance)).collect();
        all_differ_everywhere(&names, &format!("seed {seed}"));
        cases.add();
    }
    cases.finish(CASES_MIN);
}

/// A path of few names in many disguises, so that most meet.
fn twin(chance: &mut Chance) -> Vec<Vec<u8>> {
    let depth = 1 + chance.below(2);
    (0..depth)
        .map(|_| {
            let set = chance.below(3) * 3;
            let name = *chance.pick(SETS[set]);
            let name = match chance.below(5) {
                0 => name.to_uppercase(),
                1 => name.to_lowercase(),
                2 => name.nfd().collect(),
                3 => name.nfc().collect(),
                _ => name.to_owned(),
            };
            match chance.below(8) {
                0 => [name.as_bytes(), b"\xff"].concat(),
                1 => format!("{name}\u{200b}").into_bytes(),
                2 => format!("\u{feff}{name}").into_bytes(),
                _ => name.into_bytes(),
            }
        })
        .collect()
}

#[test]
fn what_is_no_text_or_cannot_be_seen_becomes_text_that_can() {
    let broken: [&[u8]; 10] = [
        b"\xff",
        b"a\xc0\xafb",
        b"\xe0\x80\xaf",
        b"\xf0\x9f\x8e",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        "a\u{202e}b".as_bytes(),
        "a\u{200d}b".as_bytes(),
        "\u{feff}".as_bytes(),
        "\u{2066}\u{2069}\u{61c}".as_bytes(),
    ];
    for raw in broken {
        let safe = SafePath::from_name(raw);
        let visible = safe.as_str().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        assert!(visible && safe.as_str().contains('_'), "{} became {safe:?}", raw.escape_ascii());
    }
}
