//! Threat row B1, its pure part: no name leads out of its directory under the rules of Linux, Windows or macOS, and every
//! path that is made is portable to all three.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cases, Chance};
use wire::path::SafePaths;
use wire::{FileIndex, SafePath};

const CASES_MIN: usize = 12_000;

/// What traversals are made of.
const ATOMS: &[&[u8]] = &[
    b"..",
    b".",
    b"",
    b"/",
    b"\\",
    b":",
    b"\0",
    b"...",
    b". .",
    b".. ",
    b" ..",
    b"..\\",
    b"../",
    b"//",
    b"\\\\",
    b"C:",
    b"c:\\",
    b"\\\\?\\",
    b"\\\\.\\",
    b"\\\\server\\share",
    b"~",
    b"~root",
    b"%2e%2e",
    b"%2f",
    b"%5c",
    b"\xc0\xae",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xff",
    b"\xef\xbc\x8f",
    b"\xe2\x88\x95",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"\x1b[",
    b"a",
    b"etc",
    b"passwd",
    b"file.txt",
    b"CON",
    b"nul",
    b"aux.txt",
    b"COM1",
    b"lpt\xc2\xb9",
    b"PROGRA~1",
    b":$DATA",
    b"::$INDEX_ALLOCATION",
    b"$MFT",
    b" ",
    b".",
    b"*",
    b"?",
    b"|",
    b"<",
    b">",
    b"\"",
    b"-rf",
    b"e\xcc\x81",
    b"\xc3\xa9",
    b".part",
];

fn name(chance: &mut Chance) -> Vec<u8> {
    let atoms = 1 + chance.below(4);
    (0..atoms).flat_map(|_| chance.pick(ATOMS).iter().copied()).collect()
}

/// Where a path leads, element by element, when a system splits it in its own way: never above its start.
fn stays_inside(path: &str, separators: &[char]) -> bool {
    let mut depth = 0_i32;
    for element in path.split(separators) {
        match element {
            "" => return false,
            "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    depth > 0 && !path.starts_with(separators)
}

fn linux_takes(path: &str) -> bool {
    stays_inside(path, &['/'])
        && path.len() < 4_096
        && path.split('/').all(|element| element.len() <= 255 && !element.contains('\0'))
}

fn macos_takes(path: &str) -> bool {
    // The Finder shows `/` for `:`, and HFS+ swaps them.
    stays_inside(path, &['/', ':'])
        && path.len() < 1_024
        && !path.contains('\0')
        && path.split('/').all(|element| element.len() <= 255)
}

fn windows_takes(path: &str) -> bool {
    const DEVICES: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];
    let plain = |element: &str| {
        let base = element.split('.').next().unwrap().trim_end().to_lowercase();
        let mut port = base.chars();
        let kind: String = port.by_ref().take(3).collect();
        let number = port.as_str();
        let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\u{b9}", "\u{b2}", "\u{b3}"];
        let is_port = (kind == "com" || kind == "lpt") && digits.contains(&number);
        element.encode_utf16().count() <= 255
            && !element.ends_with(['.', ' '])
            && !element.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*'])
            && !element.chars().any(|c| u32::from(c) < 32)
            && !DEVICES.contains(&base.as_str())
            && !is_port
    };
    stays_inside(path, &['/', '\\']) && path.split('/').all(plain)
}

#[test]
fn no_name_leads_out_of_its_directory_on_any_system() {
    let mut cases = Cases::of("B1, pure");
    for seed in 0..4_000 {
        let mut chance = Chance(seed);
        let top = SafePath::from_name(&name(&mut chance));
        let depth = chance.below(5);
        let elements: Vec<Vec<u8>> = (0..depth).map(|_| name(&mut chance)).collect();
        let made = SafePaths::new([Some(elements.iter().map(Vec::as_slice))]).unwrap();
        let path = made.get_beneath(&top, FileIndex(0)).unwrap();
        let path = path.as_str();
        for (system, takes) in
            [("Linux", linux_takes as fn(&str) -> bool), ("Windows", windows_takes), ("macOS", macos_takes)]
        {
            assert!(takes(path), "seed {seed}, {system}: {elements:?} became {path:?}");
            cases.add();
        }
        // What is safe is left alone: a second look changes nothing.
        for element in path.split('/') {
            assert_eq!(SafePath::from_name(element.as_bytes()).as_str(), element, "seed {seed}");
        }
    }
    cases.finish(CASES_MIN);
}

#[test]
fn the_rules_here_refuse_what_they_should() {
    for bad in ["../a", "/a", "a/../../b", "", "a//b", "."] {
        assert!(!linux_takes(bad) && !windows_takes(bad) && !macos_takes(bad), "{bad}");
    }
    for bad in ["a\\..\\..\\b", "con", "a/aux.txt", "a.", "a ", "x:y", "COM\u{b9}.log", "nul .txt"] {
        assert!(!windows_takes(bad), "{bad}");
    }
}
