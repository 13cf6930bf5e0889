//! Hashing against hashes of the same bytes in one piece of memory, and against files that are not what they should be.

use super::*;
use wire::metainfo::{MetainfoBuilder, NewFile};

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A directory with files of these lengths, as hash jobs and as one content.
fn files(lens: &[u64]) -> (tempfile::TempDir, Vec<HashFile>, Vec<u8>) {
    let temp = tempfile::tempdir().unwrap();
    let content = bytes(lens.iter().sum::<u64>() as usize);
    let mut start = 0;
    let mut files = Vec::new();
    std::fs::create_dir(temp.path().join("t")).unwrap();
    for (number, &len) in lens.iter().enumerate() {
        let path = temp.path().join(format!("t/{number}"));
        std::fs::write(&path, &content[start..start + len as usize]).unwrap();
        start += len as usize;
        files.push(HashFile { path, len });
    }
    (temp, files, content)
}

fn expected(content: &[u8], piece_len: u32) -> Vec<[u8; 20]> {
    content.chunks(piece_len as usize).map(|piece| Sha1::digest(piece).into()).collect()
}

#[test]
fn hashes_do_not_depend_on_where_files_end() {
    let cases: [(&[u64], u32); 5] = [
        (&[3_000_000], 16_384),
        (&[1, 0, 16_383, 16_384, 16_385, 5], 16_384),
        (&[2_500_000, 1, 2_500_000], 4 << 20),
        (&[100], 512 << 20),
        (&[7; 500], 1000),
    ];
    for (lens, piece_len) in cases {
        let (_temp, files, content) = files(lens);
        let seen = AtomicU64::new(0);
        let hashes = hash_files(&files, piece_len, &|hashed| _ = seen.fetch_max(hashed, Ordering::Relaxed));
        assert_eq!(hashes.unwrap(), expected(&content, piece_len), "{lens:?} {piece_len}");
        assert_eq!(seen.into_inner(), content.len() as u64);
    }
}

#[test]
fn a_file_that_changed_is_named() {
    for change in [&b"longer than it was said to be"[..], b"short"] {
        let (_temp, files, _) = files(&[50_000, 20]);
        std::fs::write(&files[1].path, change).unwrap();
        match hash_files(&files, 16_384, &|_| {}) {
            Err(HashError::Changed { path }) => assert_eq!(path, files[1].path),
            other => panic!("{other:?}"),
        }
    }
    let (_temp, files, _) = files(&[50_000, 20]);
    std::fs::remove_file(&files[0].path).unwrap();
    assert!(matches!(hash_files(&files, 16_384, &|_| {}), Err(HashError::Read { .. })));
    assert!(matches!(hash_files(&[], 16_384, &|_| {}), Err(HashError::Layout(LayoutError::Empty))));
}

#[test]
fn verifying_tells_good_damaged_missing_and_wrong_files_apart() {
    let lens = [40_000, 40_000, 40_000, 0, 40_000];
    let (temp, files, content) = files(&lens);
    let new = (0..).zip(lens).map(|(number, len)| NewFile { path: vec![format!("{number}")], len });
    let builder = MetainfoBuilder::directory("t", new.collect(), 10_000);
    let (_, metainfo) = builder.build(&expected(&content, 10_000)).unwrap();
    let all = verify_files(&metainfo, temp.path(), &|_| {}).unwrap();
    assert!(all.good.is_full());
    assert_eq!(all.files, [FileState::Good; 5]);
    let mut damaged = content[..40_000].to_vec();
    damaged[15_000] ^= 1;
    std::fs::write(&files[0].path, &damaged).unwrap();
    std::fs::write(&files[1].path, b"short").unwrap();
    std::fs::remove_file(&files[2].path).unwrap();
    std::fs::create_dir(&files[2].path).unwrap();
    std::fs::remove_file(&files[3].path).unwrap();
    let some = verify_files(&metainfo, temp.path(), &|_| {}).unwrap();
    let state =
        [FileState::Damaged, FileState::WrongLen(5), FileState::Missing, FileState::Missing, FileState::Good];
    assert_eq!(some.files, state);
    let good: Vec<_> = some.good.iter().map(|piece| piece.0).collect();
    assert_eq!(good, [0, 2, 3, 12, 13, 14, 15]);
    assert!(verify_files(&metainfo, &temp.path().join("absent"), &|_| {}).is_err());
}

/// The whole of a file as a range.
fn listed(file: &HashFile) -> HashRange {
    let times = FileTimes::of(&std::fs::metadata(&file.path).unwrap());
    HashRange { path: file.path.clone(), whole: file.len, times, offset: 0, len: file.len }
}

#[test]
fn ranges_are_hashed_as_if_they_were_files_of_their_own() {
    let (_dir, files, content) = files(&[100_000, 0, 70_000]);
    let ranges = [
        HashRange { offset: 99_000, len: 1_000, ..listed(&files[0]) },
        HashRange { offset: 5, len: 60_000, ..listed(&files[2]) },
    ];
    let shared = [&content[99_000..100_000], &content[100_005..160_005]].concat();
    let seen = AtomicU64::new(0);
    let note = |bytes| _ = seen.fetch_max(bytes, Ordering::Relaxed);
    assert_eq!(hash_ranges(&ranges, 16 * 1024, &note).unwrap(), expected(&shared, 16 * 1024));
    assert_eq!(seen.into_inner(), 61_000);
}

#[test]
fn a_file_that_was_written_to_after_it_was_listed_or_while_it_was_hashed_is_named() {
    let (_dir, files, _) = files(&[50_000, 50_000]);
    let ranges: Vec<HashRange> = files.iter().map(listed).collect();
    let touch = || {
        let file = std::fs::File::options().write(true).open(&files[1].path).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(1))
            .unwrap();
    };
    // After all of it has been read, and still before the end.
    let at_last = |bytes: u64| {
        if bytes == 100_000 {
            touch()
        }
    };
    for progress in [&at_last as &(dyn Fn(u64) + Sync), &|_| {}] {
        match hash_ranges(&ranges, 16 * 1024, progress) {
            Err(HashError::Changed { path }) => assert_eq!(path, files[1].path),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_link_in_place_of_what_was_listed_is_not_followed() {
    let (dir, files, _) = files(&[50_000]);
    let range = listed(&files[0]);
    let hash = |path: &std::path::Path| {
        let range = HashRange { path: path.into(), ..range.clone() };
        hash_ranges(&[range], 16 * 1024, &|_| {}).map(drop)
    };
    hash(&range.path).unwrap();
    let (link, folder) = (dir.path().join("link"), dir.path().join("folder"));
    std::os::unix::fs::symlink(&range.path, &link).unwrap();
    std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
    for path in [link, folder.join(range.path.file_name().unwrap())] {
        assert!(matches!(hash(&path), Err(HashError::Read { path: named, .. }) if named == path));
    }
}
