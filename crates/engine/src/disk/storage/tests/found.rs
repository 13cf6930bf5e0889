//! H8 and H4: what changed behind us is found and only that is checked; a root that is gone is not an empty one.

use super::*;
use proto::{Rng, Seed};
use std::os::unix::fs::MetadataExt;

/// What somebody may do to a file while we are away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutation {
    Touch,
    Overwrite,
    Truncate,
    ToNothing,
    Zero,
    ReplaceSame,
    ReplaceOther,
    Delete,
    RenameAway,
    SuffixOn,
    Chmod,
    HardLink,
    Append,
    Directory,
    Link,
}

use Mutation::*;

const MUTATIONS: [Mutation; 15] = [
    Touch,
    Overwrite,
    Truncate,
    ToNothing,
    Zero,
    ReplaceSame,
    ReplaceOther,
    Delete,
    RenameAway,
    SuffixOn,
    Chmod,
    HardLink,
    Append,
    Directory,
    Link,
];

const FILES: [(&str, u64); 5] = [("a", 50_000), ("b", 32_768), ("c", 9_000), ("d", 100_000), ("e", 20_000)];

impl Mutation {
    fn apply(self, path: &Path) {
        let bytes = std::fs::read(path).unwrap();
        let file = || std::fs::File::options().write(true).open(path).unwrap();
        let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let aside = path.with_extension("aside");
        match self {
            Touch => file().set_modified(later).unwrap(),
            Overwrite => {
                let mut other = bytes.clone();
                other[bytes.len() / 2] ^= 1;
                std::fs::write(path, other).unwrap();
                file().set_modified(later).unwrap();
            }
            Truncate => file().set_len(bytes.len() as u64 - 1).unwrap(),
            ToNothing => file().set_len(0).unwrap(),
            Zero => {
                std::fs::write(path, vec![0; bytes.len()]).unwrap();
                file().set_modified(later).unwrap();
            }
            ReplaceSame | ReplaceOther => {
                let other = if self == ReplaceSame { bytes } else { vec![1; bytes.len()] };
                std::fs::write(&aside, other).unwrap();
                std::fs::rename(&aside, path).unwrap();
            }
            Delete => std::fs::remove_file(path).unwrap(),
            RenameAway => std::fs::rename(path, aside).unwrap(),
            SuffixOn => {
                let mut part = path.as_os_str().to_owned();
                part.push(".part");
                std::fs::rename(path, part).unwrap();
            }
            Chmod => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(path, mode).unwrap();
            }
            HardLink => std::fs::hard_link(path, aside).unwrap(),
            Append => std::fs::write(path, [&bytes[..], b"x"].concat()).unwrap(),
            Directory => {
                std::fs::remove_file(path).unwrap();
                std::fs::create_dir(path).unwrap();
            }
            Link => {
                std::fs::rename(path, &aside).unwrap();
                std::os::unix::fs::symlink(aside, path).unwrap();
            }
        }
    }

    fn refused(self) -> bool {
        matches!(self, Append | Directory | Link)
    }

    /// The file is the same one, as it was: nothing is to be checked.
    fn harmless(self) -> bool {
        matches!(self, SuffixOn | Chmod | HardLink)
    }
}

/// A finished torrent that was closed in order.
fn finished(content: &Content) -> Place {
    let place = Place::new(content);
    let run = place.open();
    run.finish(&content.pieces().collect::<Vec<_>>());
    run.storage.close().unwrap();
    place
}

#[test]
fn what_changed_behind_us_is_found_and_only_that_is_checked() {
    let content = Content::of(&FILES, 16_384);
    let mut cases = 0;
    let all_pairs = MUTATIONS.into_iter().flat_map(|first| MUTATIONS.map(|second| (first, Some(second))));
    let singles = MUTATIONS.into_iter().map(|first| (first, None));
    let mut rng = Rng::new(Seed(8));
    for (first, second) in singles.flat_map(|case| [case; 5]).chain(all_pairs) {
        let mut files = FILES.map(|(name, _)| name);
        rng.shuffle(&mut files);
        let changes: Vec<_> = std::iter::once(first).chain(second).zip(files).collect();
        let place = finished(&content);
        changes.iter().for_each(|(mutation, name)| mutation.apply(&place.path(&format!("t/{name}"))));
        behind_us(&content, &place, &changes);
        cases += 1;
    }
    println!("{cases} changes behind us");
    assert!(cases >= 300);
}

fn behind_us(content: &Content, place: &Place, changes: &[(Mutation, &str)]) {
    let case = format!("{changes:?}");
    let run = match place.try_open(WantedFiles::all()) {
        Ok(run) => run,
        Err(error) => {
            assert!(changes.iter().any(|(mutation, _)| mutation.refused()), "{case}: {}", error.detail);
            return assert_eq!(error.kind, DiskErrorKind::Denied, "{case}");
        }
    };
    let layout = &content.metainfo.layout;
    let changed = changes.iter().filter(|(mutation, _)| !mutation.harmless()).map(|(_, name)| *name);
    let mut expected = Bitfield::new(layout.pieces());
    for name in changed {
        let path = format!("t/{name}");
        let named = |file: &FileIndex| content.metainfo.path(*file).is_some_and(|at| at.as_str() == path);
        let of_file = layout.pieces_of(layout.file_indices().find(named).unwrap());
        (of_file.start.0..of_file.end.0).for_each(|piece| _ = expected.insert(PieceIndex(piece)));
    }
    let found = if expected.is_empty() { Found::AsRecorded } else { Found::Doubtful(expected) };
    assert_eq!(run.found, found, "{case}");
    let have = run.settle();
    assert_eq!(have, run.good_on_disk(), "{case}");
    let missing: Vec<_> = content.pieces().filter(|piece| !have.contains(piece)).collect();
    run.finish(&missing);
    assert_eq!(run.good_on_disk(), content.pieces().collect::<Vec<_>>(), "{case}");
}

/// Flips a byte of the content on disk, and gives the file back the time it had: the same size, time and inode.
fn change_quietly(content: &Content, place: &Place, at: u64) {
    let layout = &content.metainfo.layout;
    let slice = layout.file_slices(at..at + 1).next().unwrap();
    let path = place.path(content.metainfo.path(slice.file).unwrap().as_str());
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[!content.bytes[at as usize]], slice.offset).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn a_quiet_change_is_found_where_a_sample_lies_and_all_of_its_files_are_checked() {
    let content = Content::of(&FILES, 8_192);
    let layout = &content.metainfo.layout;
    let sampled = sample::choose(&content.metainfo, &Bitfield::full(layout.pieces()));
    assert_eq!(sampled.len() as u32, sample::SAMPLE_PIECES_MAX);
    let mut cases = 0;
    for piece in content.pieces() {
        for offset in [0, 1, layout.piece_len(piece) / 2, layout.piece_len(piece) - 1] {
            let place = finished(&content);
            change_quietly(&content, &place, layout.piece_offset(piece) + u64::from(offset));
            let run = place.open();
            let mut doubtful = Bitfield::new(layout.pieces());
            for file in layout.files_of(piece).filter(|_| sampled.contains(&piece)) {
                let of_file = layout.pieces_of(file);
                (of_file.start.0..of_file.end.0).for_each(|piece| _ = doubtful.insert(PieceIndex(piece)));
            }
            let case = format!("{piece} at {offset}, sampled {sampled:?}");
            if doubtful.is_empty() {
                assert_eq!(run.found, Found::AsRecorded, "{case}");
                assert!(
                    !run.good_on_disk().contains(&piece),
                    "{case}: the record is believed, and wrong here"
                );
            } else {
                assert_eq!(run.found, Found::Doubtful(doubtful), "{case}");
                assert_eq!(run.settle(), run.good_on_disk(), "{case}");
                // Somebody else's bytes now: what is not verified does not go over them.
                let before = place.tree();
                run.spill(piece, &[0]).unwrap();
                let after = place.tree();
                assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "{case}");
                run.finish(&content.pieces().collect::<Vec<_>>());
                assert_eq!(run.good_on_disk().len() as u32, layout.pieces(), "{case}");
            }
            cases += 1;
        }
    }
    println!("{cases} quiet changes, {} of {} pieces sampled", sampled.len(), layout.pieces());
}

#[test]
fn a_file_replaced_as_a_whole_is_found_although_size_and_time_fit() {
    let content = Content::of(&[("a", 3_000_000), ("b", 1_000)], 16_384);
    for time_fits in [false, true] {
        let place = finished(&content);
        let path = place.path("t/a");
        let time = path.metadata().unwrap().modified().unwrap();
        std::fs::write(&path, vec![7; 3_000_000]).unwrap();
        if time_fits {
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        let run = place.open();
        assert_eq!(run.found, Found::Doubtful(Bitfield::full(content.metainfo.layout.pieces())));
        assert_eq!(run.settle(), []);
    }
}

#[test]
fn an_unfinished_file_that_was_changed_behind_us_is_sampled_too() {
    // Killed while it was downloading: size and time may have moved on, so that only the bytes can tell.
    let content = Content::of(&[("a", 200_000)], 16_384);
    let place = Place::new(&content);
    let run = place.open();
    run.finish(&pieces(0..6));
    drop(run);
    std::fs::write(place.path("t/a.part"), vec![7; 150_000]).unwrap();
    let run = place.open();
    assert_eq!(run.found, Found::Doubtful(Bitfield::full(13)));
    assert_eq!(run.settle(), []);
}

#[test]
fn a_sample_is_bounded_spread_and_the_same_every_time() {
    const MIB: u64 = 1 << 20;
    // Bytes, piece length, pieces sampled.
    let table = [
        (1, 16_384, 1),
        (16_385, 16_384, 2),
        (7 * 16_384, 16_384, 7),
        (1000 * MIB, 16_384, 8),
        (1000 * MIB, 4 * MIB, 8),
        (1000 * MIB, 16 * MIB, 2),
        (1000 * MIB + 1, 20 * MIB, 2),
        (960 * MIB, 20 * MIB, 1),
        (960 * MIB, 32 * MIB, 1),
        (960 * MIB, 64 * MIB, 0),
        // Only the last piece is short enough.
        (961 * MIB, 64 * MIB, 1),
    ];
    for (total, piece_len, expected) in table {
        let layout = wire::Layout::with_block_len(total, piece_len as u32, 16_384).unwrap();
        let hashes = vec![[0; 20]; layout.pieces() as usize];
        let metainfo = wire::Metainfo::synthetic("t", layout, &hashes).unwrap();
        let layout = &metainfo.layout;
        let chosen = sample::choose(&metainfo, &Bitfield::full(layout.pieces()));
        let case = format!("{total} bytes in pieces of {piece_len}: {chosen:?}");
        assert_eq!(chosen.len(), expected, "{case}");
        let read: u64 = chosen.iter().map(|&piece| u64::from(layout.piece_len(piece))).sum();
        assert!(read <= sample::SAMPLE_BYTES_MAX, "{case}");
        assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), expected, "each once: {case}");
        if expected >= 2 {
            assert_eq!(&chosen[..2], [PieceIndex(0), PieceIndex(layout.pieces() - 1)], "{case}");
        }
        assert_eq!(chosen, sample::choose(&metainfo, &Bitfield::full(layout.pieces())));
        assert_eq!(sample::choose(&metainfo, &Bitfield::new(layout.pieces())), []);
    }
}

#[test]
fn a_root_that_is_gone_is_not_an_empty_one() {
    let content = Content::of(&FILES, 16_384);
    let place = finished(&content);
    let aside = place.temp.path().join("aside");
    std::fs::rename(place.root(), &aside).unwrap();
    let vanished = |place: &Place| {
        let error = place.try_open(WantedFiles::all()).err().unwrap();
        assert_eq!(error.kind, DiskErrorKind::Vanished, "{}", error.detail);
    };
    vanished(&place);
    assert!(!place.root().exists(), "the root was made anew");
    // Another directory in its place, as an unmounted mount point shows.
    std::fs::create_dir(place.root()).unwrap();
    vanished(&place);
    assert_eq!(std::fs::read_dir(place.root()).unwrap().count(), 0);
    std::fs::remove_dir(place.root()).unwrap();
    std::fs::rename(&aside, place.root()).unwrap();
    assert_eq!(place.open().found, Found::AsRecorded);
}

#[test]
fn a_drive_that_comes_back_under_another_number_is_the_same_if_its_files_are() {
    let content = Content::of(&FILES, 16_384);
    let place = finished(&content);
    let state = place.state();
    let mut resume = *state.torrent(content.metainfo.info_hash).unwrap().unwrap().resume.unwrap();
    resume.volume.fsid ^= 0xffff;
    let handles = Arc::new(Handles::new(4));
    let opened =
        Storage::open(place.spec(), Some(&resume), WantedFiles::all(), handles, Arc::new(state)).unwrap();
    assert_eq!(opened.found, Found::AsRecorded);
}

#[test]
fn all_files_deleted_in_a_root_that_is_there_are_missing_and_not_vanished() {
    let content = Content::of(&FILES, 16_384);
    let place = finished(&content);
    std::fs::remove_dir_all(place.path("t")).unwrap();
    let run = place.open();
    assert_eq!(run.found, Found::Doubtful(Bitfield::full(content.metainfo.layout.pieces())));
    assert_eq!(run.settle(), []);
}

#[test]
fn a_root_that_vanishes_while_we_run_is_named_as_such() {
    let content = Content::of(&FILES, 16_384);
    let place = finished(&content);
    let run = place.open();
    std::fs::rename(place.root(), place.temp.path().join("aside")).unwrap();
    std::fs::remove_dir_all(place.temp.path().join("aside")).unwrap();
    let range = wire::Block { piece: PieceIndex(0), offset: 0, len: 100 };
    let error = run.storage.read(range, &mut [0; 100]).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Vanished, "{}", error.detail);
}

#[test]
fn handles_are_given_back_when_a_torrent_closes() {
    let content = Content::of(&FILES, 16_384);
    let place = finished(&content);
    let run = place.open();
    assert_eq!(run.good_on_disk().len() as u32, content.metainfo.layout.pieces());
    run.storage.close().unwrap();
    let root = place.root().metadata().unwrap();
    let held = std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter(|fd| {
        let target = std::fs::metadata(fd.path());
        target.is_ok_and(|target| target.is_file() && target.dev() == root.dev())
            && std::fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(place.root()))
    });
    assert_eq!(held.count(), 0);
}
