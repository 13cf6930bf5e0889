//! H5: whatever lies there before us is checked, kept as far as it is right, never truncated, and never overwritten by bytes
//! that no hash vouches for.

use super::*;
use crate::disk::job::Payload;
use bytes::Bytes;

/// What may lie under a file's two names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Absent,
    Whole,
    WholeUnfinished,
    OneBadPiece,
    OneBadPieceUnfinished,
    Prefix,
    PrefixUnfinished,
    Garbage,
    ShortGarbage,
    Zeros,
    Hole,
    Empty,
    GarbageAndUnfinished,
    WholeAndGarbageUnfinished,
    ShortGarbageAndUnfinished,
    Longer,
    LongerUnfinished,
    Directory,
    Link,
    Pipe,
}

use Before::*;

const KINDS: [Before; 20] = [
    Absent,
    Whole,
    WholeUnfinished,
    OneBadPiece,
    OneBadPieceUnfinished,
    Prefix,
    PrefixUnfinished,
    Garbage,
    ShortGarbage,
    Zeros,
    Hole,
    Empty,
    GarbageAndUnfinished,
    WholeAndGarbageUnfinished,
    ShortGarbageAndUnfinished,
    Longer,
    LongerUnfinished,
    Directory,
    Link,
    Pipe,
];

impl Before {
    fn lay(self, place: &Place, path: &str) {
        let right = place.content.file(path).to_vec();
        let part = format!("{path}.part");
        let mut bad = right.clone();
        bad[20_000] ^= 0xff;
        let garbage = vec![0xaa; right.len()];
        match self {
            Absent => {}
            Whole => place.put(path, &right),
            WholeUnfinished => place.put(&part, &right),
            OneBadPiece => place.put(path, &bad),
            OneBadPieceUnfinished => place.put(&part, &bad),
            Prefix => place.put(path, &right[..20_000]),
            PrefixUnfinished => place.put(&part, &right[..20_000]),
            Garbage => place.put(path, &garbage),
            ShortGarbage => place.put(path, &garbage[..10_000]),
            Zeros => place.put(path, &vec![0; right.len()]),
            Hole => {
                place.put(path, b"");
                let file = std::fs::File::options().write(true).open(place.path(path)).unwrap();
                file.set_len(right.len() as u64).unwrap();
            }
            Empty => place.put(path, b""),
            GarbageAndUnfinished => {
                place.put(path, &garbage);
                place.put(&part, &right);
            }
            WholeAndGarbageUnfinished => {
                place.put(path, &right);
                place.put(&part, &garbage);
            }
            ShortGarbageAndUnfinished => {
                place.put(path, &garbage[..10_000]);
                place.put(&part, &right);
            }
            Longer => place.put(path, &[&right[..], b"x"].concat()),
            LongerUnfinished => place.put(&part, &[&right[..], b"x"].concat()),
            Directory => std::fs::create_dir_all(place.path(path)).unwrap(),
            Link => {
                place.put("precious", &right);
                std::fs::create_dir_all(place.path(path).parent().unwrap()).unwrap();
                std::os::unix::fs::symlink("../precious", place.path(path)).unwrap();
            }
            Pipe => {
                place.put(path, b"");
                std::fs::remove_file(place.path(path)).unwrap();
                let listener = std::os::unix::net::UnixListener::bind(place.path(path)).unwrap();
                drop(listener);
            }
        }
    }

    fn refused(self) -> bool {
        matches!(self, Longer | LongerUnfinished | Directory | Link | Pipe)
    }
}

/// How the missing pieces come.
#[derive(Clone, Copy, Debug)]
enum Order {
    Written,
    /// Wrong blocks are spilled first, found out, discarded.
    WrongThenWritten,
    /// Right blocks are spilled and written from there.
    Spilled,
}

#[test]
fn what_lies_there_is_kept_as_far_as_it_is_right_whatever_it_is() {
    let content = Content::of(&[("a", 50_000), ("b", 60_000)], 16_384);
    let mut cases = 0;
    for first in KINDS {
        for second in KINDS {
            let orders = [Order::Written, Order::WrongThenWritten, Order::Spilled];
            for order in orders {
                adopt(&content, first, second, order);
                cases += 1;
            }
        }
    }
    println!("{cases} adoptions");
    assert!(cases >= 400);
}

fn adopt(content: &Content, first: Before, second: Before, order: Order) {
    let case = format!("{first:?} {second:?} {order:?}");
    let place = Place::new(content);
    std::fs::create_dir(place.root()).unwrap();
    first.lay(&place, "t/a");
    second.lay(&place, "t/b");
    let before = place.tree();
    let run = match place.try_open(WantedFiles::all()) {
        Ok(run) => run,
        Err(error) => {
            assert!(first.refused() || second.refused(), "{case}: {}", error.detail);
            assert_eq!(error.kind, DiskErrorKind::Denied, "{case}");
            assert_eq!(place.tree(), before, "{case}");
            return;
        }
    };
    assert!(!first.refused() && !second.refused(), "{case}");
    assert_eq!(place.tree(), before, "{case}: looking changed something");
    let have = run.settle();
    assert_eq!(have, run.good_on_disk(), "{case}");
    let missing: Vec<_> = content.pieces().filter(|piece| !have.contains(piece)).collect();
    let whole = |kind| matches!(kind, Whole | WholeUnfinished | WholeAndGarbageUnfinished);
    if whole(first) && whole(second) {
        assert_eq!(missing, [], "{case}: good data is fetched again");
    }
    let checked = place.tree();
    for &piece in &missing {
        let blocks: Vec<u32> = (0..content.metainfo.layout.blocks_in(piece)).collect();
        match order {
            Order::Written => {}
            Order::WrongThenWritten => {
                let wrong =
                    content.blocks(piece).into_iter().map(|block| Bytes::from(vec![0x55; block.len()]));
                let wrong: Vec<_> = (0..).zip(wrong.map(Payload::one)).collect();
                run.storage.spill(piece, &wrong).unwrap();
                assert_prefixes_stay(&checked, &place.tree(), &case);
                run.storage.discard(piece);
            }
            Order::Spilled => run.spill(piece, &blocks).unwrap(),
        }
    }
    assert_prefixes_stay(&checked, &place.tree(), &case);
    for &piece in &missing {
        match order {
            Order::Written | Order::WrongThenWritten => run.write(piece).unwrap(),
            Order::Spilled => {
                let blocks = vec![BlockSource::Spilled; content.metainfo.layout.blocks_in(piece) as usize];
                run.storage.write_piece(piece, &blocks).unwrap();
            }
        }
    }
    run.sync().unwrap();
    let all: Vec<_> = content.pieces().collect();
    assert_eq!(run.good_on_disk(), all, "{case}");
    run.commit(&all, &[]).unwrap();
    run.storage.close().unwrap();
    for (kind, path) in [(first, "t/a"), (second, "t/b")] {
        // Where a foreign file had the name, ours keeps its suffix and the foreign one its bytes.
        let path = if kind == ShortGarbageAndUnfinished { format!("{path}.part") } else { path.to_owned() };
        let found = place.read(&path).unwrap();
        assert_eq!(found, content.file(path.trim_end_matches(".part")), "{case} {path}");
    }
    for (path, bytes) in before {
        let after = place.tree().remove(&path).flatten();
        let shrunk = bytes.zip(after).is_some_and(|(before, after)| after.len() < before.len());
        assert!(!shrunk, "{case}: {} was truncated", path.display());
    }
}

/// Files that were there may have grown; what was in them may not have changed.
fn assert_prefixes_stay(
    before: &BTreeMap<PathBuf, Option<Vec<u8>>>,
    after: &BTreeMap<PathBuf, Option<Vec<u8>>>,
    case: &str,
) {
    for (path, bytes) in before.iter().filter_map(|(path, bytes)| Some((path, bytes.as_ref()?))) {
        let now = after.get(path).and_then(Option::as_ref);
        // A hole is ours to fill: nobody's bytes are in it.
        let blank = bytes.iter().all(|&byte| byte == 0);
        assert!(
            blank || now.is_some_and(|now| now.starts_with(bytes)),
            "{case}: {} was overwritten by unverified bytes",
            path.display()
        );
    }
}
