//! Threat row A7: torrents of very many files, with names that meet, nest or probe, cost time in proportion to their size.
//!
//! The budget of the table is one second per 10 MB. The case nearest to its budget is printed.

// A budget of time is what this suite is about, so it reads the clock that the crate itself must not know.
#![allow(clippy::disallowed_types)]

mod common;

use common::{Cases, many, torrent};
use std::time::{Duration, Instant};
use wire::bencode::{Encoded, bytes, dict, int, list};
use wire::metainfo::MetainfoError;
use wire::path::{PathsError, SAME_NAMES_MAX, SafePaths};
use wire::{FileIndex, Metainfo};

const CASES_MIN: usize = 120;

/// One second of a processor per 10 MB of input in release builds; tests are built lightly optimised, so three. Below a
/// megabyte the clock's own noise rules, and the budget stops shrinking.
fn budget(input_bytes: usize) -> Duration {
    Duration::from_micros(input_bytes.max(1_000_000) as u64 / 10) * 3
}

/// Time that this thread has spent on a processor, so that a busy machine changes little; where the kernel does not tell,
/// time that has passed.
fn clock(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// What the work gave, and how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let start = clock(since);
    let result = work();
    (result, clock(since).saturating_sub(start))
}

type Path = Vec<Vec<u8>>;

fn path(elements: &[&str]) -> Path {
    elements.iter().map(|element| element.as_bytes().to_vec()).collect()
}

/// Names file `n` of `all`.
type Naming = fn(n: usize, all: usize) -> Path;

/// How the names of a torrent's files relate.
const SHAPES: [(&str, Naming); 12] = [
    ("all different", |n, _| path(&[&format!("{n}")])),
    ("all the same", |_, _| path(&["same"])),
    ("as many alike as allowed", |n, _| path(&[&format!("{}.txt", n / SAME_NAMES_MAX)])),
    ("alike but for case", |n, _| path(&[&cased(n / 2, n % 2 == 0)])),
    ("each the directory of the next", |n, _| vec![b"a".to_vec(); 1 + n % 90]),
    ("a file in the way of a directory", |n, _| match n % 2 {
        0 => path(&[&format!("{}", n / 2)]),
        _ => path(&[&format!("{}", n / 2), "x"]),
    }),
    ("directories alike but for case", |n, _| path(&[&cased(n / 7, n % 2 == 0), &format!("{n}")])),
    ("numbered names in the way of numbering", |n, all| match n {
        _ if n < all / 2 => path(&[&format!("x.{n}")]),
        _ => path(&[&format!("x.{}", (n - all / 2) / 400)]),
    }),
    ("long names that differ at the end", |n, _| path(&[&format!("{}{}", "l".repeat(230), n / 2)])),
    ("long names beyond the cut", |n, _| path(&[&format!("{}{n}", "l".repeat(250))])),
    ("deep", |n, _| [vec![b"d".to_vec(); 80], path(&[&format!("{n}")])].concat()),
    ("unfinished names", |n, _| path(&[&format!("{}{}", n / 3, ".part".repeat(n % 3))])),
];

fn cased(n: usize, upper: bool) -> String {
    let name = format!("name{n:x}");
    if upper { name.to_uppercase() } else { name }
}

fn encode(files: &[Path], lens: i64) -> Vec<u8> {
    let entry = |(n, path): (usize, &Path)| -> Encoded {
        let len = if n == 0 { 1 } else { lens };
        dict([("length", int(len)), ("path", list(path.iter().map(bytes)))])
    };
    torrent(many(files.iter().enumerate().map(entry).collect(), b"top"))
}

#[test]
fn masses_of_files_cost_time_in_proportion() {
    let mut cases = Cases::of("A7");
    let mut slowest = (0.0, String::new());
    for (shape, name) in SHAPES {
        for all in [100, 500, 501, 1_500, 5_000, 12_000] {
            let files: Vec<Path> = (0..all).map(|n| name(n, all)).collect();
            let alike = shape == "all the same" && all > SAME_NAMES_MAX
                || shape == "each the directory of the next" && all / 90 >= SAME_NAMES_MAX;
            let raw = || files.iter().map(|path| Some(path.iter().map(Vec::as_slice)));
            let size: usize = files.iter().flatten().map(Vec::len).sum();
            let what = format!("{all} files, {shape}");
            let mut check = |input_bytes: usize, work: &dyn Fn() -> bool| {
                let budget = budget(input_bytes);
                let (done, spent) = timed(work);
                assert_eq!(done, !alike, "{what}");
                assert!(spent <= budget, "{what}: {spent:?} of {budget:?} for {input_bytes} bytes");
                let share = spent.as_secs_f64() / budget.as_secs_f64();
                if share > slowest.0 {
                    slowest = (share, format!("{what}, {input_bytes} bytes: {spent:?}"));
                }
                cases.add();
            };
            check(size + 24 * all, &|| SafePaths::new(raw()).is_ok());
            let torrent = encode(&files, i64::from(all % 1_000 != 500));
            if torrent.len() > 10_000_000 {
                assert!(Metainfo::parse(&torrent).is_err(), "{what}");
                continue;
            }
            check(torrent.len(), &|| Metainfo::parse(&torrent).is_ok());
        }
    }
    println!("A7, nearest to its budget: {:.0} %, {}", slowest.0 * 100.0, slowest.1);
    cases.finish(CASES_MIN);
}

/// Torrents as large as they may be, each swollen in another place.
fn swollen() -> Vec<(&'static str, Vec<u8>)> {
    const FULL: usize = 9_900_000;
    let repeat = |unit: &str| unit.repeat(FULL / unit.len());
    let numbered = |unit: fn(usize) -> String, each: usize| (0..FULL / each).map(unit).collect::<String>();
    let rest = "6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:aaaaaaaaaaaaaaaaaaaa";
    let info = format!("4:infod{rest}e");
    let many = "4:name1:n12:piece lengthi512e6:pieces20:aaaaaaaaaaaaaaaaaaaa";
    let files = numbered(|n| format!("d6:lengthi{}e4:pathl6:{n:06x}ee", u8::from(n == 0)), 31);
    let long_file = numbered(|n| format!("6:{n:06x}0:"), 10);
    vec![
        ("keys at the root", format!("d{}{info}e", numbered(|n| format!("6:{n:06x}0:"), 10))),
        ("keys in info", format!("d4:infod{rest}{}ee", numbered(|n| format!("6:{n:06x}0:"), 10))),
        ("one key over and over", format!("d{}{info}e", repeat("2:ab1:x"))),
        ("files", format!("d4:infod5:filesl{files}e{many}ee")),
        ("keys of one file", format!("d4:infod5:filesld{long_file}6:lengthi1e4:pathl1:aeee{many}ee")),
        (
            "trackers",
            format!("d13:announce-listll{}ee{info}e", numbered(|n| format!("14:http://{n:07x}"), 17)),
        ),
        ("tiers", format!("d13:announce-listl{}e{info}e", numbered(|n| format!("l14:http://{n:07x}e"), 19))),
        ("broken tiers", format!("d13:announce-listl{}e{info}e", repeat("l6:      e"))),
        ("web seeds", format!("d8:url-listl{}e{info}e", numbered(|n| format!("14:http://{n:07x}"), 17))),
        ("nodes", format!("d5:nodesl{}e{info}e", repeat("l6:abcdefi0ee"))),
        ("a comment", format!("d7:comment{FULL}:{}{info}e", repeat("\u{1b}"))),
        ("a number", format!("d13:creation datei{}e{info}e", repeat("9"))),
    ]
    .into_iter()
    .map(|(place, torrent)| (place, torrent.into_bytes()))
    .collect()
}

#[test]
fn a_torrent_swollen_anywhere_is_read_in_time() {
    let mut cases = Cases::of("A7, swollen");
    for (place, torrent) in swollen() {
        let budget = budget(torrent.len());
        let (parsed, spent) = timed(|| Metainfo::parse(&torrent));
        assert!(parsed.is_ok(), "{place}: {:?}", parsed.unwrap_err());
        println!("{place}: {} bytes in {spent:?}", torrent.len());
        assert!(spent <= budget, "{place}: {spent:?} of {budget:?}");
        cases.add();
    }
    cases.finish(12);
}

#[test]
fn a_million_empty_files_do_not_slow_their_place_down() {
    let names: Vec<String> = (0..400_000).map(|n| format!("{n:x}")).collect();
    let (paths, spent) = timed(|| SafePaths::new(names.iter().map(|name| Some([name.as_bytes()]))).unwrap());
    println!("400,000 paths: {spent:?}");
    assert_eq!(paths.get(FileIndex(399_999)).unwrap().as_str(), names[399_999]);
    let lens = (0..1_000_000).map(|n: u64| wire::layout::FileLen {
        len: if n == 0 || n == 999_999 { 16_384 } else { 0 },
        pad: false,
    });
    let layout = wire::Layout::with_files(lens, 32_768, 16_384).unwrap();
    let ((), spent) = timed(|| {
        for _ in 0..1_000 {
            let block = layout.nth_block(wire::PieceIndex(0), 1);
            assert!(layout.slices_of(block).map(|slice| slice.file).eq([FileIndex(999_999)]));
            assert_eq!(layout.files_of(wire::PieceIndex(0)).count(), 2);
        }
    });
    assert!(spent < Duration::from_millis(500), "{spent:?}");
}

#[test]
fn masses_that_no_honest_torrent_has_are_refused_by_name() {
    let deep = torrent(many(vec![common::file(1, &[&b"d"[..]; 101])], b"n"));
    let refused = Metainfo::parse(&deep).unwrap_err();
    assert_eq!(refused, MetainfoError::Paths(PathsError::TooDeep(FileIndex(0))));
    let same = torrent(many(vec![common::file(1, &[b"x"]); 501], b"n"));
    let refused = Metainfo::parse(&same).unwrap_err();
    assert_eq!(refused, MetainfoError::Paths(PathsError::TooManySameNames(FileIndex(0))));
}
