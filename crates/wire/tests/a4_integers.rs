//! Threat row A4: numbers at every border, in torrents and in requests, held against arithmetic in 128 bits.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cases, file, many, single, torrent};
use wire::bencode::{Encoded, bytes, dict, int};
use wire::layout::{BLOCK_LEN, FILES_MAX, FileLen, PIECE_LEN_MAX, PIECES_MAX, TOTAL_LEN_MAX};
use wire::metainfo::MetainfoError;
use wire::{FileIndex, Layout, Metainfo};

const CASES_MIN: usize = 2_000;

const LENGTHS: [u64; 22] = [
    0,
    1,
    2,
    16_383,
    16_384,
    16_385,
    65_535,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 31) + 1,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    TOTAL_LEN_MAX - 1,
    TOTAL_LEN_MAX,
    TOTAL_LEN_MAX + 1,
    (1 << 53) + 1,
    (1 << 62) - 1,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX,
];

const PIECE_LENGTHS: [u32; 15] = [
    0,
    1,
    2,
    3,
    16_383,
    16_384,
    16_385,
    1 << 20,
    (1 << 24) - 1,
    1 << 24,
    PIECE_LEN_MAX - 1,
    PIECE_LEN_MAX,
    PIECE_LEN_MAX + 1,
    i32::MAX as u32,
    u32::MAX,
];

/// Whether a layout should exist, and with how many pieces.
fn pieces(total: u128, piece_len: u128) -> Option<u128> {
    let sound = total > 0
        && total <= u128::from(TOTAL_LEN_MAX)
        && piece_len > 0
        && piece_len <= u128::from(PIECE_LEN_MAX);
    let pieces = if sound { total.div_ceil(piece_len) } else { 0 };
    (sound && pieces <= u128::from(PIECES_MAX)).then_some(pieces)
}

/// Numbers as text, that no integer type need hold.
fn digits(text: &str) -> Encoded {
    let torrent = format!("i{text}e");
    let parsed = wire::bencode::Bencode::parse(torrent.as_bytes(), &wire::bencode::Limits::TORRENT).unwrap();
    Encoded::from(parsed.root())
}

#[test]
fn numbers_at_every_border_are_taken_or_refused_rightly() {
    let mut cases = Cases::of("A4");
    for total in LENGTHS {
        for piece_len in PIECE_LENGTHS {
            layouts(&mut cases, total, piece_len);
            torrents(&mut cases, total, piece_len);
        }
    }
    texts(&mut cases);
    sums(&mut cases);
    cases.finish(CASES_MIN);
}

/// A layout, and what strangers may ask of it.
fn layouts(cases: &mut Cases, total: u64, piece_len: u32) {
    let wanted = pieces(total.into(), piece_len.into());
    let layout = Layout::new(total, piece_len);
    assert_eq!(layout.as_ref().ok().map(|layout| u128::from(layout.pieces())), wanted, "{total} {piece_len}");
    cases.add();
    let Ok(layout) = layout else { return };
    let last = layout.pieces() - 1;
    let sizes = layout.piece_indices().rev().take(2).map(|piece| u64::from(layout.piece_len(piece)));
    assert!(sizes.sum::<u64>() <= total);
    for piece in [0, last, last.wrapping_add(1), u32::MAX] {
        let len_of = |piece: u32| {
            let start = u128::from(piece) * u128::from(piece_len);
            u128::from(total).saturating_sub(start).min(piece_len.into())
        };
        let there = u128::from(piece) < wanted.unwrap_or(0);
        let end = len_of(piece) as u32;
        for offset in [0, 1, BLOCK_LEN, end.wrapping_sub(1), end, u32::MAX] {
            for len in [0, 1, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1, u32::MAX] {
                let fits = there
                    && len > 0
                    && len <= BLOCK_LEN
                    && u128::from(offset) + u128::from(len) <= len_of(piece);
                let what = format!("{total} {piece_len}: {piece} {offset} {len}");
                assert_eq!(layout.range(piece, offset, len).is_some(), fits, "{what}");
                let rest = len_of(piece).saturating_sub(offset.into()).min(BLOCK_LEN.into());
                let aligned = fits && offset % BLOCK_LEN == 0 && rest == u128::from(len);
                assert_eq!(layout.block(piece, offset, len).is_some(), aligned, "{what}");
                if let Some(block) = layout.range(piece, offset, len) {
                    let covered: u64 = layout.slices_of(block).map(|slice| slice.len).sum();
                    assert_eq!(covered, u64::from(len), "{what}");
                }
                cases.add();
            }
        }
    }
}

/// A torrent with as many hashes as are due, and with one less and one more.
fn torrents(cases: &mut Cases, total: u64, piece_len: u32) {
    let (Ok(length), Ok(piece_length)) = (i64::try_from(total), i64::try_from(u64::from(piece_len))) else {
        return;
    };
    let due = pieces(total.into(), piece_len.into());
    let near = due.filter(|&due| due <= 5_000).unwrap_or(1) as usize;
    for hashes in [near - 1, near, near + 1] {
        let info = single(int(length), int(piece_length), hashes, vec![]);
        let parsed = Metainfo::parse(&torrent(info));
        let right = due == Some(hashes as u128);
        assert_eq!(parsed.is_ok(), right, "{total} {piece_len} {hashes}: {parsed:?}");
        cases.add();
    }
}

/// Numbers beyond every type, and below zero, at every key that holds a number.
fn texts(cases: &mut Cases) {
    let texts = [
        "-1",
        "-0",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "99999999999999999999999999999999999999999999999999999999999999999999999999999999",
    ];
    for text in texts {
        for (info, needed) in [
            (single(digits(text), int(1), 1, vec![]), true),
            (single(int(1), digits(text), 1, vec![]), true),
            (
                many(vec![dict([("length", digits(text)), ("path", bytes("p"))]), file(1, &[b"q"])], b"n"),
                text != "-0",
            ),
            (single(int(1), int(1), 1, vec![("private", digits(text))]), false),
            (single(int(1), int(1), 1, vec![("meta version", digits(text))]), false),
        ] {
            let parsed = Metainfo::parse(&torrent(info));
            assert_eq!(parsed.is_err(), needed, "{text}: {parsed:?}");
            cases.add();
        }
        let about = dict([("creation date", digits(text)), ("info", single(int(1), int(1), 1, vec![]))]);
        assert!(Metainfo::parse(about.as_bytes()).is_ok(), "{text}");
        cases.add();
    }
}

/// Lengths that are sound alone, but not together.
fn sums(cases: &mut Cases) {
    for first in LENGTHS {
        for second in LENGTHS {
            for third in [0, 1, TOTAL_LEN_MAX] {
                let sum = u128::from(first) + u128::from(second) + u128::from(third);
                let files = [first, second, third].map(|len| FileLen { len, pad: false });
                let layout = Layout::with_files(files, 1 << 29, BLOCK_LEN);
                assert_eq!(layout.is_ok(), pieces(sum, 1 << 29).is_some(), "{first} + {second} + {third}");
                cases.add();
            }
        }
    }
    let sound = (1 << 44) - 1;
    let many_large = (0..2_100).map(|n| file(sound, &[format!("{n}").as_bytes()])).collect();
    assert!(matches!(Metainfo::parse(&torrent(many(many_large, b"n"))), Err(MetainfoError::Layout(_))));
    cases.add();
    let empty = core::iter::repeat_n(FileLen { len: 0, pad: false }, FILES_MAX);
    let layout = Layout::with_files(empty.chain([FileLen { len: 1, pad: false }]), 1, 1);
    assert!(layout.is_err(), "one file too many");
    cases.add();
    let last = FileIndex(1);
    let files = [TOTAL_LEN_MAX - 1, 1].map(|len| FileLen { len, pad: false });
    let layout = Layout::with_files(files, 1 << 24, BLOCK_LEN).unwrap();
    assert_eq!(layout.extent(last).end(), TOTAL_LEN_MAX);
    assert_eq!(layout.pieces_of(last).start, layout.piece((1 << 21) - 1).unwrap());
    cases.add();
}
