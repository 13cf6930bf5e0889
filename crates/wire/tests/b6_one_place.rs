//! Threat row B6: on no file system do two entries of a torrent share a place or lie in one another's way.
//! Random torrents of few names are laid out on model file systems, one that tells everything apart and two that do not.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cases, Chance, torrent};
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization;
use wire::Metainfo;
use wire::bencode::{Encoded, bytes, dict, int, list};

const CASES_MIN: usize = 2_000;

/// Few, so that they meet; among them what renaming makes.
const NAMES: [&str; 16] = [
    "a",
    "A",
    "a.1",
    "a.2",
    "a.part",
    "A.PART",
    "a.part.part",
    "b",
    "b.txt",
    "B.TXT",
    "b.1.txt",
    "\u{e9}",
    "e\u{301}",
    "",
    "..",
    ".pad",
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Node {
    Directory,
    File(u32),
}

/// A tree of places; `same` says which names are one.
struct FileSystem {
    same: Key,
    nodes: BTreeMap<String, Node>,
}

impl FileSystem {
    /// Creates a file and the directories above it, or says what is in the way.
    fn create(&mut self, path: &str, file: u32) -> Result<(), String> {
        let key = (self.same)(path);
        for (at, _) in key.match_indices('/') {
            let above = &key[..at];
            match *self.nodes.entry(above.to_owned()).or_insert(Node::Directory) {
                Node::Directory => {}
                Node::File(other) => return Err(format!("file {other} stands at {above}")),
            }
        }
        match self.nodes.insert(key.clone(), Node::File(file)) {
            None => Ok(()),
            Some(node) => Err(format!("{node:?} stands at {key}")),
        }
    }
}

/// What a system compares names by.
type Key = fn(&str) -> String;

const SYSTEMS: [(&str, Key); 3] = [
    ("bytes", str::to_owned),
    ("case-blind", str::to_lowercase),
    ("case-blind, normalising", |path| path.nfd().flat_map(char::to_lowercase).collect()),
];

/// A random torrent's files: path, length, and the letters of BEP 47.
fn files(chance: &mut Chance) -> Vec<(Vec<&'static str>, i64, &'static str)> {
    let count = 1 + chance.below(24);
    let few = 2 + chance.below(NAMES.len() - 2);
    let file = |chance: &mut Chance| {
        let depth = 1 + chance.below(3);
        let path = (0..depth).map(|_| *chance.pick(&NAMES[..few])).collect();
        let attributes = *chance.pick(&["", "", "", "", "x", "h", "p", "l"]);
        (path, chance.below(3) as i64, attributes)
    };
    (0..count).map(|_| file(chance)).collect()
}

fn encode((path, len, attributes): &(Vec<&str>, i64, &str)) -> Encoded {
    let path = list(path.iter().map(bytes));
    dict([("length", int(*len)), ("path", path), ("attr", bytes(attributes))])
}

#[test]
fn no_two_entries_share_a_place_or_nest() {
    let mut cases = Cases::of("B6");
    let (mut met, mut unwritten) = (0, 0);
    for seed in 0..2_000 {
        let mut chance = Chance(seed);
        let files = files(&mut chance);
        let mut entries: Vec<Encoded> = files.iter().map(encode).collect();
        entries.push(encode(&(vec!["last"], 1, "")));
        let metainfo = Metainfo::parse(&torrent(common::many(entries, b"top"))).unwrap();
        let paths: Vec<_> = metainfo.layout.file_indices().map(|file| metainfo.path(file)).collect();
        for (system, same) in SYSTEMS {
            let mut disk = FileSystem { same, nodes: BTreeMap::new() };
            for (file, path) in metainfo.layout.file_indices().zip(&paths) {
                let Some(path) = path else { continue };
                let done = disk.create(path.as_str(), file.0);
                assert_eq!(done, Ok(()), "seed {seed}, {system}: {files:?} became {paths:?}");
            }
        }
        for (file, (path, _, attributes)) in files.iter().enumerate() {
            let pad = matches!(*attributes, "p" | "l");
            assert_eq!(paths[file].is_none(), pad, "seed {seed}: pads and links are never written");
            unwritten += usize::from(pad);
            let kept =
                paths[file].as_ref().is_some_and(|made| made.as_str() == format!("top/{}", path.join("/")));
            met += usize::from(!pad && !kept);
        }
        assert_eq!(paths.len(), files.len() + 1);
        cases.add();
    }
    assert!(
        met > 5_000 && unwritten > 1_000,
        "the torrents are hostile: {met} renamed, {unwritten} unwritten"
    );
    cases.finish(CASES_MIN);
}
