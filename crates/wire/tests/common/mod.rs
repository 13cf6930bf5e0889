//! What the threat suites share: chance from a seed, a counter that a suite must fill, and small torrents.
// Each suite is a program of its own and uses a part of this.
#![allow(dead_code)]

use wire::bencode::{Encoded, bytes, dict, int, list};

/// SplitMix64: chance for tests, from a seed that a failure prints.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Counts distinct cases of one threat row.
pub(crate) struct Cases {
    row: &'static str,
    count: usize,
}

impl Cases {
    pub(crate) fn of(row: &'static str) -> Cases {
        Cases { row, count: 0 }
    }

    pub(crate) fn add(&mut self) {
        self.count += 1;
    }

    /// Prints the count and holds it against the table's.
    pub(crate) fn finish(self, at_least: usize) {
        println!("{}: {} cases", self.row, self.count);
        assert!(self.count >= at_least, "{}: {} cases, the table asks for {at_least}", self.row, self.count);
    }
}

/// An `info` dictionary of one file, with as many hashes as asked for.
pub(crate) fn single(len: Encoded, piece_len: Encoded, hashes: usize, more: Vec<(&str, Encoded)>) -> Encoded {
    let mut entries = more;
    entries.extend([
        ("name", bytes("n")),
        ("length", len),
        ("piece length", piece_len),
        ("pieces", bytes(vec![7; hashes * 20])),
    ]);
    dict(entries)
}

/// An `info` dictionary of many files in one piece.
pub(crate) fn many(files: Vec<Encoded>, name: &[u8]) -> Encoded {
    let entries = [
        ("name", bytes(name)),
        ("files", list(files)),
        ("piece length", int(1 << 29)),
        ("pieces", bytes([7; 20])),
    ];
    dict(entries)
}

pub(crate) fn file(len: i64, path: &[&[u8]]) -> Encoded {
    dict([("length", int(len)), ("path", list(path.iter().map(bytes)))])
}

pub(crate) fn torrent(info: Encoded) -> Vec<u8> {
    dict([("info", info)]).into_bytes()
}
