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
